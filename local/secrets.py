"""`./dev secrets check`: the four secrets of a stack, read as the functions read them."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import typer
from botocore.exceptions import BotoCoreError, ClientError

from local.operate import Json, Profile, Region, StackName, chosen, console
from local.stack import Stack
from payments.domain.times import BEIJING
from payments.edge.secret import text_of
from payments.edge.tokens import TOKEN
from payments.settings import SEE, Misconfigured, SecretKind
from payments.wechat.keys import APP, MERCHANT, VERIFICATION, MerchantSecret, VerificationSecret

app = typer.Typer(help="Keys and secrets of the functions.", no_args_is_help=True)

SECRETS: dict[str, SecretKind[Any]] = {"merchant": MERCHANT, "verification": VERIFICATION, "app": APP, "token": TOKEN}


@dataclass(frozen=True, slots=True)
class Found:
    """What one secret is like; `wrong` names fields and what to do, never a value."""

    name: str
    ok: bool
    changed: str | None
    wrong: list[str]


@app.callback()
def _secrets() -> None:
    """Keys and secrets of the functions."""


@app.command()
def check(stack: StackName = None, profile: Profile = None, region: Region = None, as_json: Json = False) -> None:
    """Read the four secrets as the functions do, and say what is wrong. Exit code 1 when one is."""
    all_found = found(chosen(stack, profile, region))
    if as_json:
        print(json.dumps([asdict(one) for one in all_found], ensure_ascii=False))
    else:
        for one in all_found:
            last = f"last changed {one.changed}" if one.changed else "never filled"
            console.print(f"{one.name}: {'ok' if one.ok else 'WRONG'}, {last}", highlight=False, soft_wrap=True)
            for line in one.wrong:
                console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)
    if not all(one.ok for one in all_found):
        raise typer.Exit(1)


def found(stack: Stack) -> list[Found]:
    """The four secrets of a stack."""
    values: dict[str, Any] = {}
    told = [_found(stack, name, values) for name in SECRETS]
    own, theirs = values.get("merchant"), values.get("verification")
    if isinstance(own, MerchantSecret) and isinstance(theirs, VerificationSecret):
        mine = own.private_key.public_key().public_numbers()
        for key_id, key in theirs.public_keys.items():
            if key.public_numbers() == mine:
                why = f"public_keys: {key_id} is the merchant's own key; paste pub_key.pem, WeChat's; {SEE}"
                told = [
                    Found(f.name, False, f.changed, [*f.wrong, why]) if f.name == "verification" else f for f in told
                ]
    return told


def _found(stack: Stack, name: str, values: dict[str, Any]) -> Found:
    changed: str | None = None
    wrong: list[str] = []
    try:
        client, arn = stack.client("secretsmanager"), stack.secrets[name]
        if at := client.describe_secret(SecretId=arn).get("LastChangedDate"):
            changed = f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M} Beijing time"
        values[name], wrong = SECRETS[name].parse(text_of(client.get_secret_value(SecretId=arn)))
    except Misconfigured as error:
        wrong = [str(error)]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        why = "it has no value yet, or is not there" if code == "ResourceNotFoundException" else code
        wrong = [f"cannot be read: {why}; {SEE}"]
    except BotoCoreError as error:
        wrong = [f"cannot be read: {type(error).__name__}"]
    return Found(name, not wrong, changed, wrong)
