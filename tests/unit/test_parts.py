"""A function's parts: those that it names are built, once; all others are not there."""

from typing import Any

import pytest

from payments.parts import LambdaFunction, Parts, build
from payments.settings import Misconfigured, Settings
from tests.shop.http import Context

VARIABLES = {
    "TABLE_NAME": "table",
    "TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:topic",
    "STREAM_DLQ_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/dead",
}


class Clients:
    """Makes clients of AWS services that answer nothing, and remembers of which."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self, service: str) -> Any:
        self.made.append(service)
        return object()


def test_only_the_named_parts_are_built() -> None:
    clients = Clients()
    parts = build(Settings(VARIABLES), ["store"], client=clients)
    assert clients.made == ["dynamodb"]
    assert parts.store.orders
    for use in (lambda: parts.wechat_pay.query, lambda: parts.publish(None), lambda: parts.token_keys.value()):  # type: ignore[arg-type]
        with pytest.raises(AttributeError, match="does not name"):
            use()


def test_parts_that_stand_on_one_another_share_it() -> None:
    clients = Clients()
    build(
        Settings(VARIABLES | {"APPID": "wx", "MINI_PROGRAM_BASE_URL": "https://x"}),
        ["mini_program", "store"],
        client=clients,
    )
    assert sorted(clients.made) == ["dynamodb", "secretsmanager"]


def test_a_part_that_lacks_a_setting_says_so_when_it_is_used_and_keeps_no_other_away() -> None:
    parts = build(Settings(VARIABLES | {"TOPIC_ARN": ""}), ["store", "publish"], client=Clients())
    assert parts.store.orders
    for _ in range(2):
        with pytest.raises(Misconfigured, match="TOPIC_ARN is not set"):
            parts.publish(None)  # type: ignore[arg-type]


def test_fewer_parts_are_the_same_parts_without_the_others() -> None:
    whole = build(Settings(VARIABLES), ["store", "publish"], client=Clients())
    part = whole.only(["store"])
    assert (part.store, part.settings, part.clock, part.random) == (
        whole.store,
        whole.settings,
        whole.clock,
        whole.random,
    )
    with pytest.raises(AttributeError):
        part.publish(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("in_lambda", [True, False])
def test_within_lambda_the_parts_are_there_before_the_first_event(
    monkeypatch: pytest.MonkeyPatch, in_lambda: bool
) -> None:
    clients, seen = Clients(), list[Parts]()
    monkeypatch.setattr("payments.parts.aws", clients)
    monkeypatch.setenv("TABLE_NAME", "table")
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    if in_lambda:
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    function = LambdaFunction(lambda _, parts: seen.append(parts), "store")
    assert clients.made == (["dynamodb"] if in_lambda else [])
    for _ in range(3):
        function({}, Context())  # type: ignore[arg-type]
    assert clients.made == ["dynamodb"]
    assert seen[0] is seen[2]


def test_attempts_are_short_and_differ() -> None:
    parts = build(Settings(VARIABLES), [])
    attempts = {parts.attempt() for _ in range(50)}
    assert len(attempts) == 50
    assert {len(one) for one in attempts} == {6}
