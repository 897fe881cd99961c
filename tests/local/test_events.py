"""Every event that ./dev events makes does what it says when `sam local` brings it to its function."""

import importlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import boto3
import pytest

from local import events, sam_local
from local.home import Home, State
from payments.domain.times import utc_now
from payments.parts import LambdaFunction
from simulator.shipping import INDEX_LAG_S
from tests.local.conftest import Cloud, eventually
from tests.shop.aws import default
from tests.shop.http import Context

UNTOUCHED = {
    "ORDER_CONFIRMED_FIELDS": "OrderConfirmedFields",
    "CHECK_IN_CODE_FIELDS": "CheckInCodeFields",
    "REFUND_FIELDS": "RefundFields",
    "COURSE_ORDER_CONFIRMED_FIELDS": "CourseOrderConfirmedFields",
    "COURSE_CHECK_IN_CODE_FIELDS": "CourseCheckInCodeFields",
    "MESSAGE_PAGE": "MessagePage",
}


@pytest.fixture
def as_in_sam_local(running: State, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The variables that `sam local --env-vars` gives to each function, with this machine's own addresses, and those
    that it takes from the template."""
    path = sam_local.write_variables(Home(folder), running, "127.0.0.1")
    given = json.loads(path.read_text())["Parameters"] | {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": running.region,
    }
    given |= {name: default(parameter) for name, parameter in UNTOUCHED.items()}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    yield
    boto3.DEFAULT_SESSION = None


def test_every_made_event_does_what_it_says_and_leaves_no_dead_letter(
    cloud: Cloud, folder: Path, as_in_sam_local: None
) -> None:
    dead = {name: cloud.waiting(url) for name, url in cloud.state.dlqs.items()}
    made = events.make(Home(folder), cloud.state)
    shapes = {str(path.relative_to(events.SHAPES).with_suffix("")) for path in events.SHAPES.glob("*/*.json")}
    assert set(made) == shapes | {"wx_callback/paid", "wx_callback/refunded"}
    assert set(events.SAYS) <= set(made)

    def run(name: str) -> dict[str, Any]:
        function = name.partition("/")[0]
        handler: LambdaFunction = importlib.import_module(f"functions.{function}.app").handler
        context = cast(Any, Context(remaining_ms=900_000 if function == "reconcile_bill" else 30_000))
        return dict(handler(json.loads(made[name].path.read_text()), context) or {})

    def answer(name: str, status: int) -> dict[str, Any]:
        reply = run(name)
        assert reply["statusCode"] == status, (name, reply)
        return dict(json.loads(reply.get("body") or "{}"))

    def items(name: str) -> dict[str, dict[str, Any]]:
        return cloud.order(made[name].about)

    def only(name: str, kind: str) -> dict[str, Any]:
        (one,) = (item for sk, item in items(name).items() if sk.startswith(kind))
        return one

    def known_to_shipping_at(name: str) -> datetime:
        """WeChat does not find a trade right after its payment; it tells of that by the whole second."""
        paid_at = datetime.fromisoformat(items(name)["PAYMENT#1"]["success_time"])
        return paid_at + timedelta(seconds=INDEX_LAG_S + 1)

    # what a gateway and its callers get
    assert run("authorizer/request")["isAuthorized"] is True
    assert answer("login/code", 200)["token"]
    assert len(answer("orders/catalogue", 200)["offers"]) >= 1
    created = answer("orders/create", 201)
    assert answer("orders/list", 200)["orders"][0]["order_sn"] == created["order_sn"]
    assert min(night["price_fen"] for night in answer("orders/availability", 200)["nights"]) > 0
    assert answer("orders/create_course", 201)["purchase"]["seats"] == 1
    assert answer("orders/refund_request", 200)["state"] == "shown"
    assert answer("orders/get", 200)["status"] == "WAIT_USE"
    assert answer("orders/cancel", 200)["status"] == "CANCELLED"
    assert answer("create_prepay/first", 200)["paySign"]
    assert answer("status_poll/waiting", 200)["payment_status"] == "NOTPAY"
    assert answer(events.of_staff("order"), 200)["order_sn"] == made[events.of_staff("order")].about
    assert answer(events.of_staff("redemption"), 200)["status"] == "USED"
    assert answer(events.of_staff("refund"), 201)["amount_fen"] == 30000
    assert "cases" in answer(events.of_staff("cases"), 200)
    arrivals = answer(events.of_staff("arrivals"), 200)["arrivals"]
    assert made[events.of_staff("arrivals")].about in [one["order_sn"] for one in arrivals]
    assert {"date", "price_fen", "free", "held"} == set(answer(events.of_staff("month"), 200)["nights"][0])
    assert answer(events.of_staff("block"), 201)["reason"] == "在别处卖了"

    # what WeChat is answered
    assert answer("wx_callback/forged", 401)["message"] == "the signature does not verify"
    assert items("wx_callback/paid")["PAYMENT#1"]["status"] == "NOTPAY"
    answer("wx_callback/paid", 204)
    assert items("wx_callback/paid")["PAYMENT#1"]["status"] == "SUCCESS"
    assert only("wx_callback/refunded", "REFUND#")["status"] == "PROCESSING"
    answer("wx_callback/refunded", 204)
    assert only("wx_callback/refunded", "REFUND#")["status"] == "SUCCESS"

    # what consumers do with a message
    def takes(name: str) -> None:
        assert run(name) == {"batchItemFailures": []}, name

    assert items("order_update/payment_succeeded")["ORDER"]["status"] == "WAIT_PAY"
    takes("order_update/payment_succeeded")
    assert items("order_update/payment_succeeded")["ORDER"]["status"] == "WAIT_USE"
    assert int(items("order_update/refund_succeeded")["ORDER"].get("refunded_fen", 0)) == 0
    takes("order_update/refund_succeeded")
    assert items("order_update/refund_succeeded")["ORDER"]["refunded_fen"] == 30000
    assert "NOTICE#order.paid" not in items("notify_user/order_paid")
    takes("notify_user/order_paid")
    told = items("notify_user/order_paid")["NOTICE#order.paid"]["messages"]
    assert {message["state"] for message in told.values()} == {"sent"}
    takes("notify_user/refund_succeeded")
    assert only("notify_user/refund_succeeded", "NOTICE#refund.succeeded")["messages"]["refund"]["state"] == "sent"
    assert only("execute_refund/refund_requested", "REFUND#")["status"] == "REQUESTED"
    takes("execute_refund/refund_requested")
    assert only("execute_refund/refund_requested", "REFUND#")["status"] in {"PROCESSING", "SUCCESS"}
    assert "SHIPPING#1" not in items("upload_shipping/order_used")
    eventually(lambda: utc_now() >= known_to_shipping_at("upload_shipping/order_used"))
    takes("upload_shipping/order_used")
    assert items("upload_shipping/order_used")["SHIPPING#1"]["status"] == "UPLOADED"

    # what goes on in the cloud
    assert items("publish_events/payment_succeeded")["ORDER"]["status"] == "WAIT_PAY"
    run("publish_events/payment_succeeded")
    eventually(lambda: items("publish_events/payment_succeeded")["ORDER"]["status"] == "WAIT_USE")
    assert run("sweep/every_minute")["failed"] == 0
    (yesterday,) = run("reconcile_bill/every_morning")["days"]
    assert yesterday["closed"] or yesterday["why"] in {"NO_STATEMENT_EXIST", "STATEMENT_CREATING"}  # before ten

    assert {name: cloud.waiting(url) for name, url in cloud.state.dlqs.items()} == dead, _letters(cloud)
    cloud.check()
    assert {name: cloud.waiting(url) for name, url in cloud.state.dlqs.items()} == dead, _letters(cloud)


def _letters(cloud: Cloud) -> list[str]:
    urls = cloud.state.dlqs.values()
    received = (cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []) for url in urls)
    return [message["Body"] for messages in received for message in messages]
