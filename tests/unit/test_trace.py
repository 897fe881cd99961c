"""The life of an order from its items."""

from datetime import timedelta
from typing import Any

from local.topology import whole
from local.trace import life, promises
from payments.domain.case import Case, Resolution
from payments.domain.guest_messages import Delivery, GuestMessages, Message
from payments.domain.order import OrderStatus
from payments.domain.payment import PREPAY_ID_LIFE, PaymentStatus
from payments.domain.refund import RefundOrigin, RefundStatus, automatic_refund
from payments.domain.shipping import shipping_of
from payments.domain.times import millis
from payments.store.dynamodb import plain
from tests.examples import NOW, ORDER_SN, order, payment, trade


def later(seconds: float) -> int:
    return millis(NOW + timedelta(seconds=seconds))


def test_everything_that_happened_stands_in_its_order() -> None:
    paid = order(
        status=OrderStatus.REFUNDED,
        paid_by=1,
        used_by="anna",
        refunded_fen=89600,
        redeem_code="SECRETCODE",
        at={"closing": later(1.2), "WAIT_USE": later(3), "USED": later(4), "REFUNDED": later(9)},
    )
    settled = payment(
        status=PaymentStatus.SUCCESS,
        prepay_id="wx",
        prepay_expires_at=NOW + timedelta(seconds=0.5) + PREPAY_ID_LIFE,
        asked_at=NOW + timedelta(seconds=1.5),
        transaction_id="4200",
        success_time=NOW,
        learned_by="wx-callback",
        at={"SUCCESS": later(2)},
    )
    refund = automatic_refund(settled, RefundOrigin.SECOND, NOW + timedelta(seconds=5))
    refund_item = plain(refund) | {"status": RefundStatus.SUCCESS, "at": {"PROCESSING": later(6), "SUCCESS": later(8)}}
    notice = GuestMessages(
        order_sn=ORDER_SN,
        event="order.paid",
        version=3,
        attempt="a",
        at=NOW,
        messages={"order_confirmed": Message(state=Delivery.REFUSED, why="errcode 43101", at=later(3.5))},
    )
    case = Case(
        kind="mispaid",
        case_id="4200",
        out_trade_no=trade().out_trade_no,
        amount_fen=1,
        currency="CNY",
        transaction_id="4200",
        detail="total_fen",
        opened_at=NOW + timedelta(seconds=10),
        resolution=Resolution.KEPT,
        reference="a tip",
        closed_by="anna",
        closed_at=NOW + timedelta(seconds=11),
    )
    shipping = shipping_of(settled, NOW + timedelta(seconds=4.2))
    shipping_item = plain(shipping) | {"status": "UPLOADED", "why": "errcode 10060023", "at": {"UPLOADED": later(4.4)}}
    items = [
        {"sk": "SHIPPING#1", **shipping_item},
        {"sk": "REFUND#x", **refund_item},
        {"sk": "ORDER", **plain(paid)},
        {"sk": "PAYMENT#1", **plain(settled)},
        {"sk": "NOTICE#order.paid", **plain(notice)},
        {"sk": "CASE#mispaid#4200", **plain(case)},
        {"sk": "SOMETHING#new"},
    ]
    moments = life(items)
    assert [(moment.happened.split(",")[0].split(":")[0], moment.by) for moment in moments] == [
        ("WAIT_PAY", "orders"),
        ("NOTPAY", "create-prepay"),
        ("prepay_id", "create-prepay"),
        ("paid", "WeChat"),
        ("is being cancelled", ""),
        ("WeChat asked", "status-poll"),
        ("SUCCESS", "wx-callback"),
        ("WAIT_USE", "order-update"),
        ("message order_confirmed refused", "notify-user"),
        ("USED", whole().functions[whole().routes["POST /merchant/redemptions"]].service),
        ("UPLOADING", "upload-shipping"),
        ("UPLOADED", "upload-shipping"),
        ("REQUESTED", "order-update"),
        ("PROCESSING", "WeChat"),
        ("SUCCESS", "WeChat"),
        ("REFUNDED", "order-update"),
        ("case opened", ""),
        ("case closed", "anna"),
    ]
    assert not any("SECRETCODE" in moment.happened for moment in moments)
    assert [sk for _, sk in promises(items)] == ["REFUND#x", "ORDER"]


def test_a_time_that_nobody_noted_is_not_told() -> None:
    """The item keeps when prepay was called, not when the prepay_id came; WeChat tells whole seconds."""
    expires = NOW + timedelta(seconds=0.412) + PREPAY_ID_LIFE
    paid: dict[str, Any] = {
        "transaction_id": "4200",
        "success_time": NOW,
        "status": PaymentStatus.SUCCESS,
        "at": {"SUCCESS": later(2)},
    }
    items = [
        {"sk": "ORDER", **plain(order(refunded_fen=100, at={"WAIT_USE": later(3)}))},
        {"sk": "PAYMENT#1", **plain(payment(prepay_id="wx", prepay_expires_at=expires, **paid))},
    ]
    times = {moment.kind: moment.time for moment in life(items)}
    assert times == {
        "order.created": NOW,
        "payment.created": NOW,
        "payment.prepay_id": None,
        "payment.paid": NOW,
        "payment.SUCCESS": NOW + timedelta(seconds=2),
        "order.WAIT_USE": NOW + timedelta(seconds=3),
        "order.back": None,
    }
    assert [moment.kind for moment in life(items)][:4] == [
        "order.created",
        "payment.created",
        "payment.prepay_id",
        "payment.paid",
    ]


def test_a_payment_that_is_said_to_be_older_than_its_prepay_has_no_time() -> None:
    odd: dict[str, Any] = {
        "transaction_id": "4200",
        "success_time": NOW - timedelta(hours=8),
        "status": PaymentStatus.SUCCESS,
    }
    items = [{"sk": "PAYMENT#1", **plain(payment(prepay_expires_at=NOW + PREPAY_ID_LIFE, **odd))}]
    assert [moment.time for moment in life(items) if moment.kind == "payment.paid"] == [None]
    # no prepay_id at all: its reply got lost
    items = [{"sk": "PAYMENT#1", **plain(payment(**odd | {"success_time": NOW}))}]
    assert [moment.time for moment in life(items) if moment.kind == "payment.paid"] == [NOW]
