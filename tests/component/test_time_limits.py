"""Whatever hangs, a function ends by itself within the time that it has: real clients, sockets that never answer.

Each function is given five seconds, the least that any has; all at once, since they only wait.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests
from moto.core.models import botocore_stubber

from payments import calls
from payments.calls import OutOfTime
from payments.domain.payment import PaymentStatus
from payments.parts import Parts, aws, build
from payments.settings import Settings
from payments.wechat.session import wechat_session
from tests.shop.events import sqs_record
from tests.shop.http import Context, http_event
from tests.shop.shop import PARTS, handler_of

if TYPE_CHECKING:
    from tests.shop import Shop

TIME_S = 5.0
HARD_S = 0.5
"""More than this beyond its time and Lambda had killed it long ago; a busy machine needs some of it to start."""


@dataclass
class Passing(Context):
    """Lambda's context, whose time runs."""

    ends_at: float = field(default_factory=lambda: time.monotonic() + TIME_S)

    def get_remaining_time_in_millis(self) -> int:
        return int((self.ends_at - time.monotonic()) * 1000)


@pytest.fixture
def silence() -> Iterator[str]:
    """Where connections are accepted and nothing is ever answered."""
    with Peer(say_nothing) as peer:
        yield peer.url


class Peer:
    """A server that does one thing with each connection, and keeps them all."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self._kept: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "Peer":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._kept.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):  # the test is over
            self._behave(connection)

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for connection in self._kept:
            connection.close()


def http(method: str, route: str, body: Any = None, **parameters: str) -> dict[str, Any]:
    path = route
    for name, value in parameters.items():
        path = path.replace(f"{{{name}}}", value)
    event = http_event(method, path, None if body is None else json.dumps(body))
    event["routeKey"] = f"{method} {route}"
    role = {"user_id": "staff-1", "role": "staff", "business_id": "*"}
    event["requestContext"]["authorizer"] = {"lambda": role}
    return event


def batch(path: str, copies: int = 1) -> dict[str, Any]:
    """An event of events/, with its record that many times."""
    with open(f"events/{path}.json") as file:
        event: dict[str, Any] = json.load(file)
    return event | {"Records": [event["Records"][0] | {"messageId": f"m{n}"} for n in range(copies)]}


SN = "HSO2026112400590166743904"
CALLS: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "authorizer": ("authorizer", lambda: {"headers": {"authorization": "Bearer a.b.c"}}),
    "login": ("login", lambda: http("POST", "/login", {"code": "code"})),
    "orders": ("orders", lambda: http("GET", "/orders/{order_sn}", order_sn=SN)),
    "cancel": ("orders", lambda: http("POST", "/orders/{order_sn}/cancel", order_sn=SN)),
    "create_prepay": ("create_prepay", lambda: http("POST", "/orders/{order_sn}/prepay", {}, order_sn=SN)),
    "status_poll": ("status_poll", lambda: http("GET", "/orders/{order_sn}/payment", order_sn=SN)),
    "wx_callback": ("wx_callback", lambda: http("POST", "/wxpay/notify", {})),
    "front_desk": ("front_desk", lambda: http("POST", "/merchant/redemptions", {"code": "ABCDEFGHJK"})),
    "back_office": ("back_office", lambda: http("GET", "/merchant/cases", {})),
    "sweep": ("sweep", dict),
    "publish_events": ("publish_events", lambda: batch("publish_events/payment_succeeded")),
    "order_update": ("order_update", lambda: batch("order_update/payment_succeeded", 10)),
    "notify_user": ("notify_user", lambda: batch("notify_user/order_paid", 2)),
    "execute_refund": ("execute_refund", lambda: batch("execute_refund/refund_requested")),
    "upload_shipping": ("upload_shipping", lambda: batch("upload_shipping/order_used")),
}


def timed(handler: Any, event: dict[str, Any]) -> tuple[float, Any]:
    """How long an invocation took, and what came of it."""
    context, began = Passing(), time.monotonic()
    try:
        outcome = handler(event, context)
    except Exception as error:  # noqa: BLE001  # Lambda takes note of it; that is an end too
        outcome = error
    return time.monotonic() - began, outcome


def all_timed(parts: Parts) -> dict[str, tuple[float, Any]]:
    with ThreadPoolExecutor(len(CALLS)) as pool:
        runs = {
            name: pool.submit(timed, handler_of(function, parts), event()) for name, (function, event) in CALLS.items()
        }
        return {name: run.result() for name, run in runs.items()}


def test_no_function_outlives_its_time_when_all_of_aws_hangs(monkeypatch: pytest.MonkeyPatch, silence: str) -> None:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": silence,
    }.items():
        monkeypatch.setenv(name, value)
    variables = {
        "TABLE_NAME": "table",
        "STREAM_DLQ_URL": f"{silence}/dead-letters",
        "TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:topic",
        **{f"{name}_SECRET_ARN": name for name in ("MERCHANT", "VERIFICATION", "APP", "TOKEN")},
        **dict.fromkeys(("WECHAT_PAY_BASE_URL", "MINI_PROGRAM_BASE_URL"), silence),
        **dict.fromkeys(("APPID", "MCHID"), "x"),
    }
    parts = build(Settings(variables), PARTS, client=cache(aws))
    for name, (took, outcome) in all_timed(parts).items():
        assert 0.5 < took < TIME_S + HARD_S, (name, took)  # it has waited, and ended
        if isinstance(outcome, dict) and "statusCode" in outcome:
            assert (outcome["statusCode"], json.loads(outcome["body"])["type"]) == (503, "urn:wxpay:unavailable"), name
        elif isinstance(outcome, dict):
            assert outcome["batchItemFailures"], name
        else:
            assert isinstance(outcome, Exception), name


def test_a_secret_that_hangs_does_not_keep_a_callback_from_being_stored(
    shop: "Shop", monkeypatch: pytest.MonkeyPatch, silence: str
) -> None:
    """An old copy, Secrets Manager that hangs: the callback is stored all the same, in WeChat's five seconds."""
    _, order_sn = shop.guest.paid_order()
    signed = shop.wechat.notice(f"{order_sn}_1")
    assert shop.wechat.notify(signed, headers={"wechatpay-serial": "PUB_KEY_ID_0"}).status == 401
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", silence)
    hanging = aws("secretsmanager")
    # moto answers every client of this process before it sends: this one is let through.
    hanging.meta.events.unregister("before-send", botocore_stubber)
    shop.secrets_manager.instead = hanging
    shop.janitor.later(minutes=6)
    shop.context, began = Passing(), time.monotonic()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    assert 1 < time.monotonic() - began < TIME_S
    assert shop.items.collection(order_sn).payments[0].status is PaymentStatus.SUCCESS


# --- WeChat


def say_nothing(_: socket.socket) -> None: ...


def drip(connection: socket.socket) -> None:
    """A byte of a reply now and then, for ever: no packet is ever late."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{")
    send_on(connection)


def drip_headers(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Padding: ")
    send_on(connection)


def send_on(connection: socket.socket) -> None:
    try:
        for _ in range(50):  # ten seconds: longer than any of the functions here may wait
            time.sleep(0.2)
            connection.sendall(b"x")
        connection.close()
    except OSError:
        return


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(say_nothing, id="silent"),
        pytest.param(drip, id="dripping", marks=pytest.mark.long),
        pytest.param(drip_headers, id="dripping headers", marks=pytest.mark.long),
    ],
)
def test_no_function_outlives_its_time_when_wechat_hangs(shop: "Shop", behave: Callable[[socket.socket], None]) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    user_id = shop.items.collection(order_sn).order.user_id
    _, paid = shop.guest.paid_order()
    shop.wechat.notify(shop.wechat.notice(f"{paid}_1"))
    shop.events.deliver_all()
    shop.records_shipping("on_payment")
    assert shop.staff.refund(paid, 100).status == 201
    refunds = [event for event in shop.events.published() if event["type"] == "refund.requested"]
    with Peer(behave) as peer:
        shop.deploy(WECHAT_PAY_BASE_URL=peer.url, MINI_PROGRAM_BASE_URL=peer.url)
        guest = {"user_id": user_id, "role": "user", "business_id": ""}

        def of_guest(route: str, body: Any = None) -> dict[str, Any]:
            method, path = route.split(" ")
            event = http(method, path, body, order_sn=order_sn)
            event["requestContext"]["authorizer"] = {"lambda": guest}
            return event

        def message(**changes: str) -> dict[str, Any]:
            return {"Records": [sqs_record(0, json.dumps(refunds[0] | changes))]}

        runs: dict[str, tuple[str, dict[str, Any]]] = {
            "login": ("login", http("POST", "/login", {"code": "code"})),
            "prepay": ("create_prepay", of_guest("POST /orders/{order_sn}/prepay", {})),
            "poll": ("status_poll", of_guest("GET /orders/{order_sn}/payment")),
            "cancel": ("orders", of_guest("POST /orders/{order_sn}/cancel")),
            "refund": ("execute_refund", message()),
            "shipping": ("upload_shipping", message(type="order.paid")),
        }
        for name, (function, event) in runs.items():
            took, outcome = timed(handler_of(function, shop.parts), event)
            assert 0.5 < took < TIME_S, (name, took)
            unknown_here = {"poll": 200, "cancel": 200}  # the table's state is the answer
            if "statusCode" in outcome:
                assert outcome["statusCode"] == unknown_here.get(name, 503), (name, outcome)
            else:
                assert outcome["batchItemFailures"], name


def test_a_reply_is_waited_for_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(drip) as peer:
        began = time.monotonic()
        with pytest.raises(requests.RequestException):
            wechat_session().get(peer.url, timeout=(1, 1))
        assert 0.9 < time.monotonic() - began < 2


def test_the_time_to_connect_is_shared_by_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a server that cannot be reached from here: each address is waited for."""
    many = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9))] * 4
    waited: list[float] = []

    def connect(address: Any, timeout: float, **_: Any) -> socket.socket:
        waited.extend([timeout] * len(many))
        raise TimeoutError

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: many)
    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    with pytest.raises(requests.ConnectTimeout):
        wechat_session().get("http://wechat.example", timeout=(2, 4))
    assert sum(waited) == pytest.approx(2)


# --- the rule itself


def test_what_is_left_is_divided_so_that_an_answer_can_still_be_stored() -> None:
    assert calls.seconds_left() == float("inf")
    assert calls.wechat_limits(2, 4) == (2, 4)
    context: Any = Context(remaining_ms=6_000)
    with calls.invocation(context):
        connect, read = calls.wechat_limits(2, 4)
        assert 3 < connect + read <= 6 - calls.ANSWER_S - calls.TRY_S
    context = Context(remaining_ms=3_000)
    with calls.invocation(context), pytest.raises(OutOfTime):
        calls.wechat_limits(2, 4)
    assert calls.seconds_left() == float("inf")


def test_a_call_that_could_not_end_in_time_is_not_begun(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.context = Context(remaining_ms=int((calls.TRY_S + calls.ANSWER_S) * 1000) - 50)
    event = http("GET", "/orders/{order_sn}", order_sn=order_sn)
    assert shop.run("orders", event)["statusCode"] == 503
    assert shop.store.orders.get(order_sn) is not None


def test_a_call_is_not_repeated_when_the_pause_and_the_repeat_would_not_end_in_time() -> None:
    handlers: dict[str, Any] = {}

    class Events:
        def register_first(self, event: str, handler: Any, **_: str) -> None:
            handlers[event] = handler

    config = SimpleNamespace(connect_timeout=1, read_timeout=1.5)
    calls.bounded(SimpleNamespace(meta=SimpleNamespace(config=config, events=Events())))
    context: Any = Context(remaining_ms=4_000)
    with calls.invocation(context):
        assert handlers["needs-retry"](attempts=1) is None  # botocore decides, and pauses a second at most
        assert handlers["needs-retry"](attempts=2) is False
    assert handlers["needs-retry"](attempts=9) is None
