"""A stack to operate on: the running laptop cloud, or one on AWS by its name and a profile."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from local import deploy
from local.home import Home, State
from local.topology import read
from payments.domain.times import utc_now
from payments.edge.secret import text_of
from payments.edge.tokens import TOKEN
from payments.store.store import Store

SWEEP_WITHIN_S = 70
SWEEP_CALLS = Config(connect_timeout=2, read_timeout=SWEEP_WITHIN_S, retries={"total_max_attempts": 1})
"""The janitor works for 55 s at most; to ask again would start a second one."""


RECONCILE_WITHIN_S = 910
RECONCILE_CALLS = Config(connect_timeout=2, read_timeout=RECONCILE_WITHIN_S, retries={"total_max_attempts": 1})
"""A day of a million rows takes minutes; the function ends after 900 s at most."""


class ReconcileFailed(Exception):
    """The comparison with WeChat's bill ended with an error; the text says what happened."""


class SweepFailed(Exception):
    """The janitor ended with an error; the text says what happened and what to do."""


HANGS = "probably WeChat does not answer. Nothing is lost: it comes again every minute, and what is due stays due"


class NoStack(Exception):
    """There is no such stack, or it cannot be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Stack:
    """What commands need of a stack. `queues` and `dlqs` are URLs by function, `secrets` ARNs by name."""

    client: Callable[..., Any]  # of a service's name and, if need be, its own Config
    table_name: str
    queues: Mapping[str, str]
    dlqs: Mapping[str, str]
    secrets: Mapping[str, str]
    sweep_function: str
    reconcile_function: str = ""
    api_url: str = ""
    wechat_url: str = ""  # the simulator's, of the laptop cloud

    @property
    def store(self) -> Store:
        """The stack's table; a new client at each call."""
        return Store(self.client("dynamodb"), self.table_name, utc_now, "operator")

    def sweep(self) -> dict[str, int]:
        """The janitor comes now: orders looked at, failed, left. Raises SweepFailed."""
        try:
            reply = self.client("lambda", SWEEP_CALLS).invoke(FunctionName=self.sweep_function, Payload=b"{}")
        except ReadTimeoutError:
            raise SweepFailed(f"it has not ended in {SWEEP_WITHIN_S} s; {HANGS}") from None
        told = json.loads(reply["Payload"].read())
        if "FunctionError" in reply:
            why = str(told.get("errorMessage", told)) if isinstance(told, dict) else str(told)
            raise SweepFailed(f"it ran out of time; {HANGS}" if "timed out" in why else why)
        return dict(told)

    def reconcile(self, event: Mapping[str, object]) -> dict[str, Any]:
        """One run of reconcile_bill with this event; what it gives. Raises ReconcileFailed."""
        payload = json.dumps(event).encode()
        try:
            reply = self.client("lambda", RECONCILE_CALLS).invoke(FunctionName=self.reconcile_function, Payload=payload)
        except ReadTimeoutError:
            raise ReconcileFailed(f"it has not ended in {RECONCILE_WITHIN_S} s") from None
        told = json.loads(reply["Payload"].read())
        if "FunctionError" in reply:
            why = str(told.get("errorMessage", told)) if isinstance(told, dict) else str(told)
            raise ReconcileFailed("it ran out of time" if "timed out" in why else why)
        return dict(told)

    def token_keys(self) -> tuple[str, ...]:
        """The keys of our own tokens, as the functions read them. Raises Misconfigured."""
        keys, _ = TOKEN.parse(text_of(self.client("secretsmanager").get_secret_value(SecretId=self.secrets["token"])))
        return keys


def running() -> Stack:
    """The laptop cloud. Raises NotRunning."""
    return local(Home().state())


def local(state: State) -> Stack:
    """The laptop cloud of this state."""
    return Stack(
        client=lambda name, config=deploy.CALLS: deploy.client(name, state.aws_endpoint_url, config),
        table_name=state.table,
        queues=state.queues,
        dlqs=state.dlqs,
        secrets=state.secrets,
        sweep_function=state.sweep_function,
        reconcile_function=state.reconcile_function,
        api_url=state.api_url,
        wechat_url=state.wechat_url,
    )


def deployed(name: str, profile: str | None, region: str | None) -> Stack:
    """A stack on AWS, as its outputs tell. Raises NoStack."""
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        stacks = session.client("cloudformation", config=deploy.CALLS).describe_stacks(StackName=name)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise NoStack(f"stack {name} cannot be read: {error}") from None
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
    chosen = {one["ParameterKey"]: one["ParameterValue"] for one in stacks[0].get("Parameters", [])}
    topology = read(parameters=chosen)
    try:
        return Stack(
            client=lambda service, config=deploy.CALLS: session.client(service, config=config),
            table_name=outputs["TableName"],
            queues=topology.queue_urls(outputs),
            dlqs=topology.dead_letter_urls(outputs),
            secrets=topology.secret_arns(outputs),
            sweep_function=outputs["SweepFunctionName"],
            reconcile_function=outputs["ReconcileBillFunctionName"],
            api_url=outputs["ApiUrl"].rstrip("/"),
        )
    except KeyError as error:
        raise NoStack(f"stack {name} has no output {error}: deploy this version of template.yaml") from None
