"""What WeChat is sent of a shipped order, and what follows from its answers."""

from datetime import timedelta

import pytest

from payments.domain.payment import Payment
from payments.domain.shipping import FIRST_LOOK, ShippingRecord, look_after_redemption, refusal_case, shipping_of
from payments.wechat.errors import Refused
from tests.examples import NOW, ORDER_SN, order, paid_payment, payment
from tests.money import MONEY_CASES, REFUND_CASES


def with_description(description: str) -> Payment:
    return payment(description=description, transaction_id="42")


def test_the_body_is_wechats_and_the_same_at_every_try() -> None:
    shipping = shipping_of(paid_payment(), NOW + timedelta(milliseconds=120))
    assert shipping.body() == {
        "order_key": {"order_number_type": 2, "transaction_id": "4200000001"},
        "logistics_type": 3,
        "delivery_mode": 1,
        "shipping_list": [{"item_desc": "西湖边的小屋 2晚"}],
        "upload_time": "2026-11-23T12:00:00.120+08:00",
        "payer": {"openid": "o1"},
    }
    assert shipping.body() == shipping.body()
    assert shipping.out_trade_no == f"{ORDER_SN}_1"


def test_what_is_shipped_has_at_most_120_characters() -> None:
    assert shipping_of(with_description("长" * 120), NOW).item_desc == "长" * 120
    assert shipping_of(with_description("长" * 127), NOW).item_desc == "长" * 119 + "…"


def test_what_is_not_paid_is_not_shipped() -> None:
    with pytest.raises(ValueError, match="is not paid"):
        shipping_of(payment(), NOW)


def test_the_case_of_a_refusal_holds_no_money() -> None:
    case = refusal_case(shipping_of(paid_payment(), NOW), str(Refused(10060004)), NOW)
    assert (case.kind, case.amount_fen, case.detail) == ("shipping_refused", 0, "errcode 10060004")
    assert case.kind not in MONEY_CASES | REFUND_CASES


@pytest.mark.parametrize(
    ("due_in", "look_in"),
    [(timedelta(days=9), FIRST_LOOK), (timedelta(minutes=2), timedelta(minutes=2)), (None, FIRST_LOOK)],
)
def test_redeeming_promises_a_look_and_never_a_later_one(due_in: timedelta | None, look_in: timedelta) -> None:
    used = order(due_at=NOW + due_in if due_in else None)
    assert look_after_redemption(used, ShippingRecord.ON_REDEMPTION, NOW) == NOW + look_in
    assert look_after_redemption(used, ShippingRecord.ON_PAYMENT, NOW) is None
    assert look_after_redemption(used, ShippingRecord.OFF, NOW) is None
