"""The live trace of the running stack: what really happens to an order, as its page hears it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from local.steps import function_of
from tests.local.conftest import Cloud, eventually
from tests.sse import listening


@pytest.fixture
def door(cloud: Cloud) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cloud.state.api_url.removesuffix("/api"), trust_env=False, timeout=30) as client:
        yield client


def happened(steps: list[dict[str, Any]], *left_out: str) -> list[tuple[str, str]]:
    """(what, which function): the steps, without those that may come at any time."""
    return [
        (step["happened"], step["facts"].get("caller", step["part"]))
        for step in steps
        if step["happened"] not in left_out
    ]


def messages_sent(steps: list[dict[str, Any]]) -> int:
    return sum(step["facts"].get("delivery") == "sent" for step in steps)


PAID = [
    ("api.order", "orders"),
    ("order.created", "orders"),
    ("api.prepay", "create_prepay"),
    ("payment.created", "create_prepay"),
    ("call.prepay", "create_prepay"),
    ("payment.prepay_id", "create_prepay"),
    ("call.cashier", "phone"),
    ("call.callback", "wechat"),
]
TOLD = [("order.WAIT_USE", "order_update"), ("message", "notify_user"), ("message", "notify_user")]


def test_an_order_is_followed_as_it_happens(cloud: Cloud, door: httpx.Client) -> None:
    with cloud.shopper("guest-live") as shopper, listening(f"{door.base_url}/live/orders") as newest:
        shopper.login()
        order_sn = shopper.order("lake-house")["order_sn"]
        while next(newest)[1]["order_sn"] != order_sn:
            pass
        with listening(f"{door.base_url}/live/orders/{order_sn}") as events:
            events.until(order="WAIT_PAY")
            fields = shopper.prepay(order_sn)
            fields.pop("out_trade_no")
            events.until(payment="NOTPAY")
            shopper.pay(fields)
            steps = events.until(lambda: messages_sent(events.steps) == 2, order="WAIT_USE", payment="SUCCESS")
    assert happened(steps) == [*PAID, ("payment.SUCCESS", "wx_callback"), *TOLD]
    assert [step["event"] for step in steps if step["event"]] == ["payment.succeeded", "order.paid"]
    callback = next(step["facts"] for step in steps if step["happened"] == "call.callback")
    assert (callback["status"], callback["detail"], callback["ms"] > 0) == (204, "TRANSACTION.SUCCESS", True)
    code = cloud.order(order_sn)["ORDER"]["redeem_code"]
    assert code not in str(steps)
    with listening(f"{door.base_url}/live/orders/{order_sn}") as again:
        assert again.until(order="WAIT_USE") == steps


def test_a_lost_callback_is_seen_and_the_poll_that_finds_out(cloud: Cloud, door: httpx.Client) -> None:
    reply = door.post("/live/faults", json={"name": "callback_lost", "mode": "once"})
    assert ({"name": "callback_lost", "mode": "once", "fired": 0} in reply.json()) is True
    with cloud.shopper("guest-live-lost") as shopper:
        shopper.login()
        order_sn = shopper.order("lake-house")["order_sn"]
        with listening(f"{door.base_url}/live/orders/{order_sn}") as events:
            fields = shopper.prepay(order_sn)
            fields.pop("out_trade_no")
            shopper.pay(fields)
            eventually(lambda: shopper.poll(order_sn)["order_status"] == "WAIT_USE")
            steps = events.until(lambda: messages_sent(events.steps) == 2, order="WAIT_USE")
    seen = happened(steps, "api.poll")
    assert seen == [*PAID, ("call.query", "status_poll"), ("payment.SUCCESS", "status_poll"), *TOLD]
    lost = next(step["facts"] for step in steps if step["happened"] == "call.callback")
    assert (lost["fault"], lost["status"]) == ("drop", 0)
    assert {"name": "callback_lost", "mode": "off", "fired": 1} in door.get("/live/faults").json()


def test_a_refund_is_followed_to_its_end(cloud: Cloud, door: httpx.Client) -> None:
    with cloud.shopper("guest-live-back") as shopper:
        order_sn = shopper.buy().order_sn
    with listening(f"{door.base_url}/live/orders/{order_sn}") as events:
        headers = cloud.staff() | {"Idempotency-Key": "live-back-1"}
        asked = cloud.api.post(f"/merchant/orders/{order_sn}/refunds", json={"reason": "客人改期"}, headers=headers)
        assert asked.status_code == 201
        events.until(refunds=["PROCESSING"])
        cloud.wechat.post("/_sim/clock", json={"advance_s": 5})
        steps = events.until(lambda: messages_sent(events.steps) == 3, order="REFUNDED", refunded_fen=89600)
    seen = happened(steps)
    staffs = function_of("refund")
    began = seen.index(("api.refund", staffs))
    # Each from its own queue: either may be first.
    assert sorted(seen[-2:]) == [("message", "notify_user"), ("order.REFUNDED", "order_update")]
    assert seen[began:-2] == [
        ("api.refund", staffs),
        ("refund.created", staffs),
        ("call.refund", "execute_refund"),
        ("refund.PROCESSING", "execute_refund"),
        ("call.callback", "wechat"),
        ("refund.SUCCESS", "wx_callback"),
    ]
    cloud.check()


def test_the_pages_and_the_janitors_bell_are_there(door: httpx.Client) -> None:
    for page in ("trace.html", "trace.js", "trace-words.js", "trace-picture.js", "trace.css"):
        assert door.get(f"/{page}").status_code == 200
    assert set(door.post("/live/sweep").json()) == {"orders", "failed", "left"}
    assert door.get("/live/orders/HSO0000000000000000000000").status_code == 404
    assert door.post("/live/faults", json={"name": "sun", "mode": "once"}).status_code == 422
