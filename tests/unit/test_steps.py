"""An order seen from all sides: items, WeChat's wire, the gateway. And the words of the page that shows it."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.live import SWITCHES, _Watch
from local.steps import ROUTES, ApiCall, answer, as_json, function_of, route, steps, summary
from local.trace import TEXT
from payments.domain.guest_messages import Delivery, GuestMessages, Message
from payments.domain.order import OrderStatus
from payments.domain.payment import PREPAY_ID_LIFE, PaymentStatus
from payments.domain.refund import RefundOrigin, RefundStatus, automatic_refund
from payments.domain.times import millis
from payments.edge.events import TYPES
from payments.store.dynamodb import plain
from simulator.faults import parse
from tests.examples import NOW, ORDER_SN, order, payment

WEB = Path("local/web")
PAGES = sorted(WEB.glob("trace*"))


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def later(seconds: float) -> int:
    return millis(at(seconds))


def call(n: int, name: str, seconds: float, **changes: Any) -> dict[str, Any]:
    wire = {"n": n, "call": name, "at": at(seconds).timestamp(), "detail": "", "fault": "", "status": 200, "code": ""}
    return wire | {"ms": 10.0, "trade": "PAYMENT#1"} | changes


def asked(n: int, name: str, seconds: float, ms: float | None = 50.0, **changes: Any) -> ApiCall:
    return ApiCall(n=n, at=at(seconds), call=name, part=function_of(name), ms=ms, **{"status": 200, **changes})


def items_of(*more: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    return [{"sk": "ORDER", **plain(order(**changes))}, *more]


def trade_item(**changes: Any) -> dict[str, Any]:
    expires = at(0.1) + PREPAY_ID_LIFE
    return {"sk": "PAYMENT#1", **plain(payment(created_at=at(0.1), prepay_expires_at=expires, **changes))}


def told(items: list[dict[str, Any]], calls: list[dict[str, Any]], requests: list[ApiCall]) -> list[tuple[str, str]]:
    """(what happened, which function did it)."""
    moments = steps(items, calls, requests)
    assert moments == sorted(moments)
    assert len({moment.id for moment in moments}) == len(moments)
    return [(moment.kind, str(moment.facts.get("caller", moment.part))) for moment in moments]


def test_a_lost_callback_and_the_poll_that_finds_out() -> None:
    items = items_of(
        trade_item(
            status=PaymentStatus.SUCCESS,
            asked_at=at(1.1),
            transaction_id="4200",
            success_time=NOW,
            learned_by="status-poll",
            at={"SUCCESS": later(1.3)},
        ),
        status=OrderStatus.WAIT_USE,
        paid_by=1,
        at={"WAIT_USE": later(1.5)},
    )
    calls = [
        call(1, "prepay", 0.2),
        call(2, "cashier", 0.5),
        call(3, "callback", 0.51, fault="drop", status=0, ms=0.0),
        call(4, "query", 1.2),
    ]
    requests = [
        asked(1, "order", -0.05),
        asked(2, "prepay", 0.05, 300.0),
        asked(3, "poll", 0.6, answer="WAIT_PAY NOTPAY"),
        asked(4, "poll", 0.8, answer="WAIT_PAY NOTPAY"),
        asked(5, "poll", 1.05, 400.0, answer="WAIT_PAY SUCCESS"),
        asked(6, "poll", 2.0, None),
    ]
    assert told(items, calls, requests) == [
        ("api.order", "orders"),
        ("order.created", "orders"),
        ("api.prepay", "create_prepay"),
        ("payment.created", "create_prepay"),
        ("call.prepay", "create_prepay"),
        ("payment.prepay_id", "create_prepay"),  # the item keeps when its call began: it is stored after it
        ("call.cashier", "phone"),  # in the place of WeChat's success_time, which is whole seconds
        ("call.callback", "wechat"),
        ("api.poll", "status_poll"),
        ("api.poll", "status_poll"),
        ("call.query", "status_poll"),
        ("payment.SUCCESS", "status_poll"),
        ("order.WAIT_USE", "order_update"),
    ]
    moments = steps(items, calls, requests)
    polls = [moment.facts for moment in moments if moment.kind == "api.poll"]
    assert [(poll["times"], poll["answer"]) for poll in polls] == [(2, "WAIT_PAY NOTPAY"), (1, "WAIT_PAY SUCCESS")]
    paid = next(as_json(moment, moments[0].at) for moment in moments if moment.kind == "payment.SUCCESS")
    assert (paid["ms"], paid["state"], paid["event"]) == (1350.0, "SUCCESS", "payment.succeeded")
    assert (paid["part"], paid["what"], paid["happened"]) == ("status_poll", "PAYMENT#1", "payment.SUCCESS")
    standing = summary(items)
    assert (standing["order"], standing["payment"], standing["closing"]) == ("WAIT_USE", "SUCCESS", False)


def test_a_prepay_whose_answer_got_lost_has_brought_no_prepay_id() -> None:
    calls = [call(1, "prepay", 0.2, fault="drop"), call(2, "prepay", 0.7)]
    moments = steps(items_of(trade_item()), calls, [])
    assert [moment.kind for moment in moments][-2:] == ["call.prepay", "payment.prepay_id"]
    assert moments[-1].at == at(0.71)


@pytest.mark.parametrize(("cancelled_by_guest", "part"), [(True, "orders"), (False, "sweep")])
def test_who_was_at_work_ends_an_order(cancelled_by_guest: bool, part: str) -> None:
    closed = trade_item(status=PaymentStatus.CLOSED, at={"CLOSED": later(5.2)})
    cancelled = {"closing": later(5.1), "CANCELLED": later(5.3)}
    items = items_of(closed, status=OrderStatus.CANCELLED, closing=True, at=cancelled)
    requests = [asked(1, "cancel", 5, 400.0)] if cancelled_by_guest else [asked(1, "cancel", 9)]
    happened = told(items, [call(1, "query", 5.15), call(2, "close", 5.18)], requests)
    ending = ["order.closing", "call.query", "call.close", "payment.CLOSED", "order.CANCELLED"]
    assert [entry for entry in happened if entry[0] in ending] == [(kind, part) for kind in ending]


@pytest.mark.parametrize(("status", "part"), [(204, "wx_callback"), (0, "sweep")])
def test_a_refund_ends_by_a_callback_or_by_the_janitor(status: int, part: str) -> None:
    refund = plain(automatic_refund(payment(), RefundOrigin.LATE, at(1)))
    moments = {"PROCESSING": later(2), "SUCCESS": later(7.005)}
    items = items_of(trade_item(), {"sk": "REFUND#r", **refund, "status": RefundStatus.SUCCESS, "at": moments})
    calls = [
        call(1, "refund", 1.5, fault="drop"),
        call(2, "query_refund", 1.6),
        call(3, "callback", 7, status=status),
        call(4, "query_refund", 60),
        call(5, "query", 7.008),  # whoever answers a callback does not ask
    ]
    assert [entry for entry in told(items, calls, []) if "refund" in entry[0] or entry[0] == "call.query"] == [
        ("refund.created", "order_update"),
        ("call.refund", "execute_refund"),
        ("call.query_refund", "execute_refund"),  # after an answer that got lost
        ("refund.PROCESSING", "execute_refund"),
        ("refund.SUCCESS", part),
        ("call.query", "sweep"),
        ("call.query_refund", "sweep"),
    ]


def test_ten_copies_of_a_callback_are_one_step() -> None:
    copies = [call(n, "callback", 1 + n / 1000, fault="at_once", status=204, ms=float(n)) for n in range(1, 11)]
    copies[3] |= {"status": 0, "ms": None}
    (step,) = [moment for moment in steps(items_of(trade_item()), copies, []) if moment.kind == "call.callback"]
    assert (step.facts["times"], step.facts["status"], step.facts["ms"]) == (10, 204, None)
    copies[3] |= {"status": 204, "ms": 30.0}
    (step,) = [moment for moment in steps(items_of(trade_item()), copies, []) if moment.kind == "call.callback"]
    assert (step.id, step.facts["ms"]) == ("call/1", 30.0)


def test_only_failed_tries_of_this_orders_messages_are_steps() -> None:
    message = Message(state=Delivery.SENT, at=later(11))
    notice = GuestMessages(
        order_sn=ORDER_SN, event="order.paid", version=2, attempt="a", at=at(12), messages={"order_confirmed": message}
    )
    items = items_of(
        trade_item(), {"sk": "NOTICE#order.paid", **plain(notice)}, status="WAIT_USE", at={"WAIT_USE": later(10)}
    )
    calls = [
        call(1, "send", 9.9, code="-1"),  # of the guest's order before
        call(2, "send", 10.5, code="-1"),
        call(3, "send", 10.9),
        call(4, "send", 11, ms=None, status=0),
        call(5, "send", 13, code="40001"),  # of his next one
    ]
    sent = [(moment.id, moment.facts["code"]) for moment in steps(items, calls, []) if moment.kind == "call.send"]
    assert sent == [("call/2", "-1")]


def test_what_of_the_gateway_is_a_step() -> None:
    assert route("POST", "/orders") == ("order", "orders", "")
    assert route("GET", f"/orders/{ORDER_SN}/payment") == ("poll", "status_poll", ORDER_SN)
    assert route("POST", f"/merchant/orders/{ORDER_SN}/refunds") == ("refund", "back_office", ORDER_SN)
    for method, path in (
        ("GET", "/orders"),
        ("POST", "/login"),
        ("POST", "/wxpay/notify"),
        ("GET", "/orders/x/payment"),
    ):
        assert route(method, path) is None
    assert answer("poll", {"order_status": "WAIT_PAY", "payment_status": None, "redeem_code": "X"}) == "WAIT_PAY"
    assert answer("prepay", {"type": "urn:wxpay:order-state", "status": 409}) == "order-state"
    assert answer("order", {"order_sn": ORDER_SN, "status": "WAIT_PAY"}) == "WAIT_PAY"
    assert answer("order", ["no object"]) == ""


def test_a_step_that_turns_out_to_be_another_goes_once() -> None:
    watch = _Watch(None, ORDER_SN)  # type: ignore[arg-type]
    watch._take([{"id": "a"}, {"id": "b"}], {"order": "WAIT_PAY"})
    assert (watch.version, watch.since(0)) == (1, [{"id": "a"}, {"id": "b"}])
    for _ in range(2):
        watch._take([{"id": "a"}], {"order": "WAIT_PAY"})
        assert (watch.version, watch.since(1)) == (2, [{"id": "b", "gone": True}])
    watch._take([], {"order": "WAIT_PAY", "trouble": "..."})
    assert (watch.version, watch.since(2)) == (3, [])


# --- the page


def test_the_page_has_words_for_everything_that_can_happen() -> None:
    words = (WEB / "trace-words.js").read_text()
    named = set(re.findall(r'^  "?([\w.]+)"?: \["[^"]+", "[^"]+"\],$', words, re.MULTILINE))
    states = {f"{entity.lower()}.{state}" for entity, known in TYPES.items() for state in known}
    kinds = {*TEXT, *states, *(f"api.{one}" for one in ROUTES), "order.closing"} - {"refund.REQUESTED"}
    calls = {
        f"call.{one}" for one in ("prepay", "query", "close", "refund", "query_refund", "send", "cashier", "callback")
    }
    assert (kinds | calls | set(SWITCHES) | {status.value for status in OrderStatus}) - named == set()


def test_every_switch_is_one_of_the_simulators_faults_and_stands_on_the_page() -> None:
    page = (WEB / "trace.js").read_text()
    groups = page.partition("const GROUPS = {")[2].partition("\n}")[0]
    shown = re.findall(r'"(\w+)"', groups)
    assert sorted(shown) == sorted(SWITCHES)
    for switch in SWITCHES.values():
        fault = parse(switch.fault(1))
        assert (fault.call, fault.answer, fault.times) == (switch.call, switch.answer, 1)


def test_the_page_is_small_and_asks_nobody_else() -> None:
    assert len(PAGES) == 6
    assert sum(page.stat().st_size for page in PAGES) < 45_000
    for page in PAGES:
        assert set(re.findall(r"https?://[\w.]+", page.read_text())) <= {"http://www.w3.org"}
