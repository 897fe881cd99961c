"""./dev trace, sweep, token, cases, dlq: what they say and how they end, over the template's table and real queues."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from typer.testing import CliRunner, Result

from local import operate
from local.__main__ import app
from local.stack import Stack
from payments.domain.case import Case
from payments.domain.times import utc_now
from payments.store.store import Store
from tests.examples import ORDER_SN, order, payment

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

CASE = Case(
    kind="mispaid",
    case_id="4200",
    out_trade_no=f"{ORDER_SN}_1",
    amount_fen=1,
    currency="CNY",
    transaction_id="4200",
    detail="total_fen",
    opened_at=utc_now(),
)

Dev = Callable[..., Result]


@pytest.fixture
def sqs(aws: None) -> "SQSClient":
    return boto3.client("sqs")


@pytest.fixture
def queues(sqs: "SQSClient") -> dict[str, str]:
    return {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("order_update", "dead", "stream")}


class Broken:
    """A service that answers every call with the error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, _: str) -> Callable[..., Any]:
        def call(*_: Any, **__: Any) -> Any:
            raise self.error

        return call


@pytest.fixture
def clients(store: Store, sqs: "SQSClient") -> dict[str, Any]:
    """The services, by name; tests may break some."""
    return {"dynamodb": boto3.client("dynamodb"), "sqs": sqs}


@pytest.fixture
def dev(clients: dict[str, Any], queues: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Dev:
    """./dev with these words, against the running stack."""
    stack = Stack(
        client=lambda name, *_: clients[name],
        table_name="table",
        queues={"order_update": queues["order_update"]},
        dlqs={"order_update": queues["dead"], "publish_events": queues["stream"]},
        secrets={},
        sweep_function="sweep",
    )
    monkeypatch.setattr(operate, "running", lambda: stack)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(operate, "HIDDEN_S", 1)  # a command that goes round and round would not end
    return lambda *words: CliRunner().invoke(app, list(words))


def said(result: Result, code: int) -> str:
    """What it wrote to standard error: one line, no traceback."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stderr.strip()
    assert result.stderr.strip().count("\n") == 0, result.stderr
    assert "Traceback" not in result.output
    return result.stderr


def put_dead(sqs: "SQSClient", url: str, number: int) -> None:
    for start in range(0, number, 10):
        bodies = [
            json.dumps({"type": "order.paid", "order_sn": f"HSO{n}"}) for n in range(start, min(start + 10, number))
        ]
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": b} for n, b in enumerate(bodies)])


def depth(sqs: "SQSClient", url: str) -> int:
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


# --- what is meant when nothing is said


def test_cases_alone_lists_the_open_ones(dev: Dev, store: Store) -> None:
    assert dev("cases").stdout.strip() == "No case is open."
    store.cases.open(CASE)
    assert "mispaid" in dev("cases").stdout
    assert json.loads(dev("cases", "--json").stdout) == json.loads(dev("cases", "list", "--json").stdout)
    assert json.loads(dev("cases", "show", CASE.out_trade_no, "--json").stdout)["case_id"] == "4200"
    assert dev("cases", "--help").exit_code == 0
    assert "show" in dev("cases", "--help").stdout


def test_dlq_alone_lists_and_its_exit_code_says_whether_there_are_any(
    dev: Dev, sqs: "SQSClient", queues: dict[str, str]
) -> None:
    assert dev("dlq").exit_code == 0
    put_dead(sqs, queues["dead"], 1)
    assert dev("dlq").exit_code == 1
    assert json.loads(dev("dlq", "--json").stdout) == {"order_update": 1, "publish_events": 0}


@pytest.mark.parametrize("words", [("cases", "--stack", "x", "list"), ("dlq", "everything"), ("cases", "shut")])
def test_words_that_mean_nothing_are_wrong_usage(dev: Dev, words: tuple[str, ...]) -> None:
    assert dev(*words).exit_code == 2


# --- dead letters


@pytest.mark.parametrize("number", [0, 1, 11, 120])
def test_any_number_of_dead_letters_goes_back_once(
    dev: Dev, sqs: "SQSClient", queues: dict[str, str], number: int
) -> None:
    put_dead(sqs, queues["dead"], number)
    done = dev("dlq", "redrive", "order-update")
    assert done.exit_code == 0, done.output
    assert f"{number} went back to order_update." in done.stdout
    assert (depth(sqs, queues["dead"]), depth(sqs, queues["order_update"])) == (0, number)


def test_a_dry_run_and_a_look_take_nothing_away(dev: Dev, sqs: "SQSClient", queues: dict[str, str]) -> None:
    put_dead(sqs, queues["dead"], 25)
    for _ in range(2):  # they are there again at once
        assert "25 would go back to order_update." in dev("dlq", "redrive", "order_update", "--dry-run").stdout
        assert len(json.loads(dev("dlq", "show", "order_update", "--json").stdout)) == 25
    assert (depth(sqs, queues["dead"]), depth(sqs, queues["order_update"])) == (25, 0)


def test_letters_that_come_back_meanwhile_are_not_sent_round_and_round(
    dev: Dev, sqs: "SQSClient", queues: dict[str, str], clients: dict[str, Any]
) -> None:
    class Poison:
        """Whatever goes back is dead again at once."""

        def __getattr__(self, name: str) -> Any:
            return getattr(sqs, name)

        def send_message_batch(self, **call: Any) -> Any:
            return sqs.send_message_batch(**call | {"QueueUrl": queues["dead"]})

    clients["sqs"] = Poison()
    put_dead(sqs, queues["dead"], 30)
    done = dev("dlq", "redrive", "order_update")
    assert "30 went back" in done.stdout
    assert "30 are left" in said(done, 1)


def test_what_sqs_does_not_take_stays(
    dev: Dev, sqs: "SQSClient", queues: dict[str, str], clients: dict[str, Any]
) -> None:
    class Choosy:
        def __getattr__(self, name: str) -> Any:
            return getattr(sqs, name)

        def send_message_batch(self, **call: Any) -> Any:
            return sqs.send_message_batch(**call | {"Entries": call["Entries"][:3]})

    clients["sqs"] = Choosy()
    put_dead(sqs, queues["dead"], 5)
    assert "does not take 2" in said(dev("dlq", "redrive", "order_update"), 1)
    assert (depth(sqs, queues["dead"]), depth(sqs, queues["order_update"])) == (2, 3)


def test_one_letter_goes_back_or_away_and_the_others_stay(dev: Dev, sqs: "SQSClient", queues: dict[str, str]) -> None:
    put_dead(sqs, queues["dead"], 12)
    back, away, *_ = json.loads(dev("dlq", "show", "order_update", "--json").stdout)
    assert "1 went back" in dev("dlq", "redrive", "order_update", "--id", back["id"]).stdout
    assert "1 deleted" in dev("dlq", "delete", "order_update", "--id", away["id"]).stdout
    assert "no dead letter" in said(dev("dlq", "delete", "order_update", "--id", away["id"]), 1)
    assert "no dead letter" in said(dev("dlq", "redrive", "order_update", "--id", "x"), 1)
    assert (depth(sqs, queues["dead"]), depth(sqs, queues["order_update"])) == (10, 1)
    assert "10 deleted" in dev("dlq", "delete", "order_update", "--all").stdout
    assert depth(sqs, queues["dead"]) == 0


def test_a_queue_that_is_not_there_is_said_with_those_that_are(dev: Dev) -> None:
    for verb in ("show", "redrive"):
        assert "order_update, publish_events" in said(dev("dlq", verb, "nowhere"), 1)
    assert "nowhere" in said(dev("dlq", "delete", "nowhere", "--all"), 1)
    assert "say --id" in said(dev("dlq", "delete", "order_update"), 1)
    assert "pointers into the stream" in dev("dlq", "redrive", "publish_events").stderr


# --- the others


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--role", "user", "--link"), "which is for staff"),
        (("--role", "user", "--business", "b-hangzhou"), "is of staff"),
        (("--hours", "nan"), "0.01 to 24"),
        (("--hours", "inf"), "0.01 to 24"),
        (("--hours", "-1"), "0.01 to 24"),
        (("--link", "--stack", "x"), "laptop"),
        (("--profile", "x"), "--stack"),
    ],
)
def test_a_token_that_could_not_be_used_is_refused_with_why(dev: Dev, words: tuple[str, ...], why: str) -> None:
    assert why in said(dev("token", *words), 1)


@pytest.mark.parametrize("number", ["", "x", "HSO1", "'; DROP", "HSO" + "1" * 3000, "HSO20261124004005901667439041234"])
def test_what_is_no_order_number_is_said(dev: Dev, number: str) -> None:
    assert "is not an order number" in said(dev("trace", number), 1)


def test_an_unknown_order_is_said_and_a_known_one_told_without_invented_times(dev: Dev, store: Store) -> None:
    assert f"there is no order {ORDER_SN}" in said(dev("trace", ORDER_SN), 1)
    store.orders.put(order())
    store.payments.put(payment())
    life = json.loads(dev("trace", f" {ORDER_SN} ", "--json").stdout)["life"]
    assert [moment["what"] for moment in life] == ["ORDER", "PAYMENT#1"]
    assert json.loads(dev("trace", f"{ORDER_SN}_1", "--json").stdout)["life"] == life


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ReadTimeoutError(endpoint_url="http://x"), "WeChat does not answer"),
        (EndpointConnectionError(endpoint_url="http://x"), "does not answer"),
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "no\nright"}}, "Invoke"), "AccessDenied"),
    ],
)
def test_a_janitor_that_does_not_answer_is_one_line(
    dev: Dev, clients: dict[str, Any], error: Exception, why: str
) -> None:
    clients["lambda"] = Broken(error)
    assert why in said(dev("sweep"), 1)


@pytest.mark.parametrize("message", ["Task timed out after 55.00 seconds", "2026-11-25 sweep Task timed out"])
def test_a_janitor_that_runs_out_of_time_is_told_as_that(dev: Dev, clients: dict[str, Any], message: str) -> None:
    class Payload:
        def read(self) -> bytes:
            return json.dumps({"errorMessage": message}).encode()

    class Lambda:
        def invoke(self, **_: Any) -> dict[str, Any]:
            return {"FunctionError": "Unhandled", "Payload": Payload()}

    clients["lambda"] = Lambda()
    assert "it ran out of time; probably WeChat does not answer" in said(dev("sweep"), 1)


@pytest.mark.parametrize("words", [("cases",), ("trace", ORDER_SN), ("dlq",), ("dlq", "show", "order_update")])
@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
        NoCredentialsError(),
        ClientError({"Error": {"Code": "ExpiredToken", "Message": "expired"}}, "Query"),
    ],
)
def test_whatever_aws_does_a_command_ends_in_one_line(
    dev: Dev, clients: dict[str, Any], words: tuple[str, ...], error: Exception
) -> None:
    clients |= {"dynamodb": Broken(error), "sqs": Broken(error)}
    said(dev(*words), 1)


@pytest.mark.parametrize("words", [("cases",), ("dlq",), ("sweep",), ("token",), ("trace", ORDER_SN)])
def test_a_stack_or_profile_that_is_not_there_is_one_line(
    dev: Dev, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nowhere" in said(dev(*words, "--stack", "x", "--profile", "nowhere"), 1)
    assert "--stack is empty" in said(dev(*words, "--stack", ""), 1)  # not the laptop's in its place
    monkeypatch.setattr(boto3, "Session", lambda **_: Broken(NoCredentialsError()))
    assert "stack x cannot be read: Unable to locate credentials" in said(dev(*words, "--stack", "x"), 1)
