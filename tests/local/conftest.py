"""A whole laptop cloud of the tests' own: its own folder, free ports, beside a developer's."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from local.deploy import client
from local.home import PROJECT, State
from local.shopper import Shopper
from local.stack import local
from payments.domain.stock import MOST_ROOMS
from payments.domain.times import utc_now
from payments.edge.tokens import Identity, Role, issue
from payments.products import PRODUCTS
from payments.store.dynamodb import unwire, wire
from tests.money import assert_no_fen_missing
from tests.stock import assert_nothing_sold_twice

T = TypeVar("T")
WITHIN_S = 20


def dev(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """./dev, with its state in the folder."""
    environment = {**os.environ, "WXPAY_LOCAL_DIR": str(folder), "COLUMNS": "200", **environment}
    return subprocess.run(
        [str(PROJECT / "dev"), *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def ports_arguments(ports: list[int]) -> list[str]:
    return ["--port", str(ports[0]), "--wechat-port", str(ports[1]), "--aws-port", str(ports[2])]


def _passes(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except AssertionError as error:
        Cloud.last = str(error)
        return False


class Cloud:
    """The running stack, from outside."""

    poison = 0
    """Dead letters that tests have put there on purpose."""

    last = ""
    """What `check` missed last."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.dynamodb: Any = client("dynamodb", state.aws_endpoint_url)
        self.sqs: Any = client("sqs", state.aws_endpoint_url)
        self.secrets: Any = client("secretsmanager", state.aws_endpoint_url)
        self.functions: Any = client("lambda", state.aws_endpoint_url)
        self.api = httpx.Client(base_url=state.api_url, timeout=30, trust_env=False)
        self.wechat = httpx.Client(base_url=state.wechat_url, timeout=60, trust_env=False)

    def close(self) -> None:
        self.api.close()
        self.wechat.close()
        self.dynamodb.close()
        self.sqs.close()
        self.secrets.close()
        self.functions.close()

    def shopper(self, user: str) -> Shopper:
        return Shopper(self.state.api_url, self.state.wechat_url, self.state.appid, user)

    def items(self, pk: str) -> dict[str, dict[str, Any]]:
        """A partition by sort key."""
        reply = self.dynamodb.query(
            TableName=self.state.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=wire({":pk": pk}),
            ConsistentRead=True,
        )
        return {item["sk"]: item for item in map(unwire, reply["Items"])}

    def order(self, order_sn: str) -> dict[str, dict[str, Any]]:
        return self.items(f"ORDER#{order_sn}")

    def fault(self, **fault: Any) -> None:
        assert self.wechat.post("/_sim/faults", json=fault).status_code == 200

    def messages(self, user: str) -> list[dict[str, Any]]:
        return [message for message in self.wechat.get("/_sim/messages").json() if message["user"] == user]

    def staff(self, business: str = "b-hangzhou") -> dict[str, str]:
        """The headers of a member of staff."""
        identity = Identity("staff-1", Role.STAFF, business)
        return {"Authorization": f"Bearer {issue(identity, self.token_keys(), utc_now())}"}

    def token_keys(self) -> list[str]:
        secret = self.secrets.get_secret_value(SecretId=self.state.secrets["token"])["SecretString"]
        return list(json.loads(secret)["token_keys"])

    def set_due(self, order_sn: str, **attributes: Any) -> None:
        """The order is due now; with `expires_at` its time is over."""
        values = {"due_at": utc_now(), **attributes}
        self.dynamodb.update_item(
            TableName=self.state.table,
            Key=wire({"pk": f"ORDER#{order_sn}", "sk": "ORDER"}),
            UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in values),
            ExpressionAttributeValues=wire({f":{name}": value for name, value in values.items()}),
        )

    def minutes_ago(self, order_sn: str, minutes: int = 2) -> None:
        """Everything about the order's refunds was so much earlier: the tests do not wait for WeChat's minute."""
        for sk, refund in self.order(order_sn).items():
            names = ("created_at", "accepted_at", "not_before", "due_at", "withdrawing_at", "first_no_at")
            known = {name: datetime.fromisoformat(refund[name]) for name in names if name in refund}
            if sk.startswith("REFUND#"):
                earlier = {f":{name}": at - timedelta(minutes=minutes) for name, at in known.items()}
                self.dynamodb.update_item(
                    TableName=self.state.table,
                    Key=wire({"pk": f"ORDER#{order_sn}", "sk": sk}),
                    UpdateExpression="SET " + ", ".join(f"{name[1:]} = {name}" for name in earlier),
                    ExpressionAttributeValues=wire(earlier),
                )

    def sweep(self) -> dict[str, int]:
        """The janitor comes now."""
        reply = self.functions.invoke(FunctionName=self.state.sweep_function, Payload=b"{}")
        assert "FunctionError" not in reply
        return dict(json.loads(reply["Payload"].read()))

    def check(self) -> None:
        """No fen goes missing and nothing is sold twice, as soon as all is done that is under way."""

        def looked() -> bool:
            items = self.all_items()
            waiting = sum(map(self.waiting, self.state.queues.values()))
            dead = sum(map(self.waiting, self.state.dlqs.values()))
            wechat = self.wechat.get("/_sim/state").json()
            assert_no_fen_missing(wechat, items, waiting=waiting, dead=dead, poison=Cloud.poison)
            assert_nothing_sold_twice(items)
            return True

        eventually(lambda: _passes(looked))

    def all_items(self) -> list[dict[str, Any]]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.state.table, ConsistentRead=True)
        return [unwire(item) for page in pages for item in page["Items"]]

    def waiting(self, queue_url: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)


def eventually(look: Callable[[], T], within_s: float = WITHIN_S) -> T:
    """The first true thing that `look` gives; fails when none came in time."""
    until = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < until, f"not within {within_s} s; last seen: {seen!r} {Cloud.last}"
        time.sleep(0.02)
    return seen


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cloud")
    # What was compiled once need not be compiled again: the packages of the layer are the same for every cloud.
    if (PROJECT / ".local/dependencies").exists():
        (made / "dependencies").symlink_to(PROJECT / ".local/dependencies")
    return made


@pytest.fixture(scope="session")
def running(folder: Path) -> Iterator[State]:
    done = dev(folder, "up", "--detach", *ports_arguments(free_ports(3)))
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        state = State(**json.loads((folder / "state.json").read_text()))
        _has_room_for_every_test(state)
        yield state
    finally:
        stopped = dev(folder, "down")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


def _has_room_for_every_test(state: State) -> None:
    """The homes that tests book have as many rooms as a home can have: no test finds one sold out by another."""
    store, catalogue = local(state).store, PRODUCTS["homestay"].catalogue
    assert catalogue is not None
    for offer_id in ("lake-house", "one-fen"):
        home = store.catalogue.get(catalogue, offer_id)
        assert home is not None
        store.catalogue.put(catalogue, replace(home, rooms=MOST_ROOMS))


@pytest.fixture
def cloud(running: State) -> Iterator[Cloud]:
    made = Cloud(running)
    yield made
    assert_nothing_sold_twice(made.all_items())
    made.wechat.delete("/_sim/faults")
    made.close()
