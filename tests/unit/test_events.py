"""Events derived from images (R9), and messages that are none."""

import pytest

from payments.domain.order import OrderStatus
from payments.domain.payment import PaymentStatus
from payments.domain.refund import RefundOrigin, automatic_refund
from payments.edge.events import TYPES, Event, UnreadableEvent, derive, parse
from payments.store import keys
from payments.store.dynamodb import plain
from tests.examples import NOW, ORDER_SN, order, paid_payment, payment


def image(value: object, key: dict[str, str]) -> dict[str, object]:
    return {**key, **plain(value)}


PAYMENT = keys.payment(ORDER_SN, 1)
ORDER = keys.order(ORDER_SN)


def test_a_payment_that_becomes_paid_is_one_event_with_an_id_that_stays() -> None:
    old, new = image(payment(), PAYMENT), image(paid_payment(), PAYMENT)
    event = derive(old, new, NOW)
    assert event is not None
    assert (event.id, event.type, event.order_sn, event.state.n) == (
        f"ORDER#{ORDER_SN}/PAYMENT#1@3",
        "payment.succeeded",
        ORDER_SN,
        1,
    )
    assert derive(old, new, NOW) == event


def test_a_change_without_a_new_status_is_no_event() -> None:
    assert derive(image(payment(), PAYMENT), image(payment(prepay_id="wx1"), PAYMENT), NOW) is None
    paid = image(paid_payment(), PAYMENT)
    assert derive(paid, paid | {"version": 3}, NOW) is None


def test_what_is_new_and_waits_is_no_event() -> None:
    assert derive(None, image(order(), ORDER), NOW) is None
    assert derive(None, image(payment(), PAYMENT), NOW) is None


def test_a_refund_request_is_an_event_from_its_first_write() -> None:
    refund = automatic_refund(paid_payment(), RefundOrigin.LATE, NOW)
    event = derive(None, image(refund, {"pk": ORDER["pk"], "sk": f"REFUND#{refund.out_refund_no}"}), NOW)
    assert event is not None
    assert event.type == "refund.requested"
    assert event.state.out_refund_no == refund.out_refund_no


def test_what_is_removed_or_is_no_entity_with_a_status_is_no_event() -> None:
    assert derive(image(order(), ORDER), None, NOW) is None
    assert derive(None, {"pk": "USER#u1", "sk": "USER"}, NOW) is None
    assert derive(None, {"pk": "X#1", "sk": "SOMETHING#1", "status": "SUCCESS"}, NOW) is None


def test_events_carry_neither_code_nor_openid() -> None:
    paid = order(status=OrderStatus.WAIT_USE, redeem_code="ABCDEFGH23", openid="o-secret", paid_by=1)
    event = derive(image(order(), ORDER), image(paid, ORDER), NOW)
    assert event is not None
    assert event.type == "order.paid"
    text = event.model_dump_json()
    assert "ABCDEFGH23" not in text
    assert "o-secret" not in text


def test_every_status_that_is_entered_has_its_event_or_is_silent_on_purpose() -> None:
    assert set(OrderStatus) - set(TYPES["ORDER"]) == {OrderStatus.WAIT_PAY}
    assert set(PaymentStatus) - set(TYPES["PAYMENT"]) == {PaymentStatus.NOTPAY}


def test_a_message_is_read_as_it_was_published_and_newer_fields_are_ignored() -> None:
    event = derive(image(payment(), PAYMENT), image(paid_payment(), PAYMENT), NOW)
    assert event is not None
    newer = event.model_dump(mode="json") | {"trace": "new"}
    assert parse(Event.model_validate(newer).model_dump_json()) == event


@pytest.mark.parametrize("poison", ["", "{", "[]", "{}", '{"id": 1}', '"order.paid"'])
def test_a_message_that_is_no_event_is_refused_without_quoting_it(poison: str) -> None:
    with pytest.raises(UnreadableEvent):
        parse(poison)
    with pytest.raises(UnreadableEvent) as refused:
        parse('{"id": "x", "type": "t", "time": "o-secret-openid", "order_sn": "s", "state": {"status": "S"}}')
    assert "o-secret-openid" not in str(refused.value)
