"""./dev secrets check: the operator hears what the functions would, before they do."""

import json
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from local import secrets as command
from local.__main__ import app
from local.stack import Stack
from simulator.credentials import Credentials


def client_of(service: str) -> Any:
    return boto3.client(service)  # type: ignore[call-overload]


@pytest.fixture
def stack(aws: None, secrets: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Stack:
    """One whose secrets are there and empty, as a deployment leaves them."""
    manager = boto3.client("secretsmanager")
    arns = {name: manager.create_secret(Name=name)["ARN"] for name in secrets}
    stack = Stack(client=client_of, table_name="", queues={}, dlqs={}, secrets=arns, sweep_function="")
    monkeypatch.setattr(command, "chosen", lambda *_: stack)
    return stack


def put(name: str, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    boto3.client("secretsmanager").put_secret_value(SecretId=name, SecretString=text)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["secrets", "check", *arguments])
    return result.exit_code, result.output


def test_four_good_secrets_are_ok_with_the_time_of_their_last_change(stack: Stack, secrets: dict[str, Any]) -> None:
    for name, value in secrets.items():
        put(name, value)
    code, told = run()
    assert code == 0
    lines = told.splitlines()
    assert [line.split(":")[0] for line in lines] == ["merchant", "verification", "app", "token"]
    assert all(": ok, last changed 20" in line and "Beijing" in line for line in lines)


def test_secrets_that_nobody_has_filled_are_told(stack: Stack) -> None:
    code, told = run()
    assert code == 1
    assert told.count("WRONG") == 4
    assert told.count("no value yet") == 4


def test_each_field_that_is_wrong_is_named_and_no_value_shown(
    stack: Stack, secrets: dict[str, Any], credentials: Credentials
) -> None:
    put(
        "merchant",
        secrets["merchant"] | {"cert_serial_no": "not-a-number", "private_key": credentials.platform_public_key},
    )
    put("verification", secrets["verification"] | {"apiv3_keys": ["x" * 31, credentials.apiv3_key]})
    put("app", {"app_secret": "a-secret-that-is-short"})
    put("token", "not json")
    code, told = run("--json")
    assert code == 1
    found = {one["name"]: one for one in json.loads(told)}
    assert all(not one["ok"] and one["changed"] for one in found.values())
    assert "private_key is a public key" in found["merchant"]["wrong"][0]
    assert "cert_serial_no has 12 characters" in found["merchant"]["wrong"][0]
    assert "apiv3_keys[0] has 31 bytes" in found["verification"]["wrong"][0]
    assert "app_secret has 22 characters" in found["app"]["wrong"][0]
    assert "not a JSON object" in found["token"]["wrong"][0]
    for value in ("x" * 31, "a-secret-that", credentials.apiv3_key, "not-a-number", "BEGIN"):
        assert value not in told


def test_the_merchants_own_key_in_the_place_of_wechats_is_found(
    stack: Stack, secrets: dict[str, Any], credentials: Credentials
) -> None:
    for name, value in secrets.items():
        put(name, value)
    put("verification", secrets["verification"] | {"public_keys": {"PUB_KEY_ID_01": credentials.merchant_public_key}})
    code, told = run()
    assert code == 1
    assert "PUB_KEY_ID_01 is the merchant's own key" in told


def test_a_secret_in_the_place_of_another_is_found(stack: Stack, secrets: dict[str, Any]) -> None:
    for name in secrets:
        put(name, {key: value for other in secrets.values() for key, value in other.items()})
    code, told = run()
    assert code == 1
    assert told.count("WRONG") == 4
    assert "does not belong here" in told
