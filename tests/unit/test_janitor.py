"""What is left to do, and when to look again: every kind of lost consequence, without a clock or a table (R10)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from payments.domain.case import Case
from payments.domain.collection import Collection, ItemRef
from payments.domain.guest_messages import ORDER_PAID, Delivery, GuestMessages, Message, messages_of_refund
from payments.domain.janitor import SELDOM, Announce, Ask, AskRefund, Close, End, Expire, OpenCase, next_look, next_step
from payments.domain.order import LOOKS, OrderStatus
from payments.domain.payment import PaymentStatus
from payments.domain.refund import PATIENCE, Refund, RefundOrigin, RefundStatus, automatic_refund, sums
from payments.domain.shipping import Shipping, ShippingRecord, ShippingStatus, shipping_of
from payments.domain.times import millis
from tests.examples import NOW, ORDER_SN, order, paid_payment, payment

EARLY = NOW + LOOKS[0]


def notice(event: str, *states: Delivery) -> dict[str, GuestMessages]:
    messages = {f"m{n}": Message(state=state) for n, state in enumerate(states)}
    return {event: GuestMessages(order_sn=ORDER_SN, event=event, version=1, attempt="a", at=NOW, messages=messages)}


TOLD = notice(ORDER_PAID, Delivery.SENT, Delivery.REFUSED)


def paid_order(**changes: Any) -> Any:
    base = {"status": OrderStatus.WAIT_USE, "paid_by": 1, "refundable_fen": order().total_fen, "redeem_code": "X"}
    return order(**base | changes)


def late_refund(status: RefundStatus, **changes: Any) -> Refund:
    return replace(automatic_refund(paid_payment(), RefundOrigin.LATE, NOW), status=status, **changes)


def own_refund(status: RefundStatus, amount: int = 100, **changes: Any) -> Refund:
    made = automatic_refund(paid_payment(), RefundOrigin.LATE, NOW)
    return replace(made, origin=RefundOrigin.MERCHANT, amount_fen=amount, status=status, **changes)


ORDER, PAYMENT, LATE = ItemRef(), ItemRef(n=1), ItemRef(out_refund_no=f"{ORDER_SN}_1_R1")


@pytest.mark.parametrize(
    ("collection", "step"),
    [
        (Collection(order(), []), None),
        (Collection(order(), [payment()]), Ask(1)),
        (Collection(order(), [payment(status=PaymentStatus.CLOSED)]), None),
        (Collection(order(), [paid_payment()]), Announce(PAYMENT)),
        (Collection(order(closing=True), [paid_payment()]), Announce(PAYMENT)),
        (Collection(order(closing=True), [payment()]), End()),
        (Collection(order(expires_at=EARLY), [payment()]), End()),
        (Collection(order(status=OrderStatus.CANCELLED), [payment(status=PaymentStatus.CLOSED)]), None),
        (Collection(order(status=OrderStatus.CANCELLED), [paid_payment()]), Announce(PAYMENT)),
        (Collection(paid_order(), [paid_payment()], guest_messages=TOLD), None),
        (Collection(paid_order(), [paid_payment()]), Announce(ORDER)),
        (
            Collection(paid_order(), [paid_payment()], guest_messages=notice(ORDER_PAID, Delivery.WAITING)),
            Announce(ORDER),
        ),
        (Collection(paid_order(status=OrderStatus.USED), [paid_payment()]), None),
        (Collection(paid_order(paid_by=2), [payment(1), paid_payment(2)], guest_messages=TOLD), Close(1)),
        (Collection(paid_order(paid_by=2), [paid_payment(1), paid_payment(2)], guest_messages=TOLD), Announce(PAYMENT)),
    ],
)
def test_what_is_left_to_do(collection: Collection, step: Any) -> None:
    assert next_step(collection, EARLY, {ORDER}) == step


# --- the shipping record


def shipping(status: ShippingStatus, n: int = 1) -> dict[int, Shipping]:
    return {n: replace(shipping_of(paid_payment(n), NOW), status=status)}


USED = paid_order(status=OrderStatus.USED, at={"USED": millis(NOW)})
WAIT_USE = paid_order(at={"WAIT_USE": millis(NOW)})
ON_PAYMENT, ON_REDEMPTION, OFF = ShippingRecord.ON_PAYMENT, ShippingRecord.ON_REDEMPTION, ShippingRecord.OFF


@pytest.mark.parametrize(
    ("made", "shippings", "record", "step"),
    [
        (WAIT_USE, {}, OFF, None),
        (WAIT_USE, {}, ON_REDEMPTION, None),
        (WAIT_USE, {}, ON_PAYMENT, Announce(ORDER)),
        (WAIT_USE, shipping(ShippingStatus.UPLOADING), ON_PAYMENT, Announce(ORDER)),
        (WAIT_USE, shipping(ShippingStatus.UPLOADED), ON_PAYMENT, None),
        (WAIT_USE, shipping(ShippingStatus.REFUSED), ON_PAYMENT, None),
        (WAIT_USE, shipping(ShippingStatus.UPLOADED, 2), ON_PAYMENT, Announce(ORDER)),
        (USED, {}, OFF, None),
        (USED, {}, ON_REDEMPTION, Announce(ORDER)),
        (USED, {}, ON_PAYMENT, Announce(ORDER)),
        (USED, shipping(ShippingStatus.UPLOADED), ON_REDEMPTION, None),
        (replace(USED, status=OrderStatus.REFUNDED), {}, ON_REDEMPTION, None),
        (replace(USED, status=OrderStatus.EXPIRED), {}, ON_PAYMENT, None),
        (order(), {}, ON_PAYMENT, None),
    ],
)
def test_an_order_is_at_rest_when_its_shipping_is_recorded(
    made: Any, shippings: dict[int, Shipping], record: ShippingRecord, step: Any
) -> None:
    payments = [] if made.paid_by is None else [paid_payment()]
    collection = Collection(made, payments, guest_messages=TOLD, shippings=shippings)
    assert next_step(collection, EARLY, record=record) == step
    if step is not None:
        assert next_look(collection, ORDER, EARLY, record) == EARLY + (EARLY - NOW)
    elif made.status is OrderStatus.USED:
        assert next_look(collection, ORDER, EARLY, record) is None


def test_wechat_is_asked_only_about_what_is_due() -> None:
    assert next_step(Collection(order(), [payment()]), EARLY) is None


def test_a_step_that_was_tried_is_not_tried_again_in_this_look() -> None:
    assert next_step(Collection(order(), [payment()]), EARLY, {ORDER}, {Ask(1)}) is None


def test_a_stay_ends_with_the_day_of_departure_in_beijing() -> None:
    over = order().usable_until
    collection = Collection(paid_order(), [paid_payment()], guest_messages=TOLD)
    assert over is not None
    assert over.isoformat() == "2026-12-03T16:00:00+00:00"
    assert next_step(collection, over - timedelta(milliseconds=1)) is None
    assert next_step(collection, over) == Expire()


@pytest.mark.parametrize(
    ("made", "due", "step"),
    [
        (late_refund(RefundStatus.REQUESTED), False, None),
        (late_refund(RefundStatus.REQUESTED), True, Announce(LATE)),
        (late_refund(RefundStatus.PROCESSING), True, AskRefund(f"{ORDER_SN}_1_R1")),
        (late_refund(RefundStatus.SUCCESS), False, Announce(LATE)),
        (late_refund(RefundStatus.ABNORMAL), False, Announce(LATE)),
        (late_refund(RefundStatus.SUCCESS, origin=RefundOrigin.CONSOLE, amount_fen=100), False, None),
        (late_refund(RefundStatus.SUCCESS, origin=RefundOrigin.CONSOLE), False, Announce(LATE)),  # too much is back
    ],
)
def test_a_refund_is_followed_to_its_consequences(made: Refund, due: bool, step: Any) -> None:
    cancelled = order(status=OrderStatus.CANCELLED)
    payments = [replace(paid_payment(), status=PaymentStatus.SUCCESS)]
    extra = (
        [late_refund(RefundStatus.SUCCESS, out_refund_no="x", amount_fen=100)]
        if made.origin is RefundOrigin.CONSOLE
        else []
    )
    notices = notice(messages_of_refund("x"), Delivery.SENT)
    collection = Collection(cancelled, payments, [made, *extra], notices)
    assert next_step(collection, EARLY, {LATE} if due else set()) == step


def test_a_refund_that_the_sums_do_not_count_is_told_again() -> None:
    made = own_refund(RefundStatus.SUCCESS)
    told = TOLD | notice(messages_of_refund(made.out_refund_no), Delivery.SENT)
    stale = Collection(paid_order(), [paid_payment()], [made], told)
    assert next_step(stale, EARLY) == Announce(LATE)
    drawn = sums(stale.order, [made])
    counted = replace(stale, order=paid_order(refunded_fen=drawn.refunded, refundable_fen=drawn.refundable))
    assert next_step(counted, EARLY) is None


def test_after_seven_days_a_person_is_asked_once() -> None:
    made = late_refund(RefundStatus.PROCESSING)
    collection = Collection(order(status=OrderStatus.CANCELLED), [paid_payment()], [made])
    step = next_step(collection, NOW + PATIENCE, {LATE})
    assert isinstance(step, OpenCase)
    assert (step.case.kind, step.case.amount_fen) == ("refund_stalled", made.amount_fen)
    asked = replace(collection, cases=[step.case])
    assert next_step(asked, NOW + PATIENCE, {LATE}) == AskRefund(made.out_refund_no)
    assert next_look(asked, LATE, NOW + PATIENCE) == NOW + PATIENCE + SELDOM


# --- when to look again


def test_an_unpaid_order_is_looked_at_after_2_5_10_20_minutes_and_at_its_end() -> None:
    collection, now, looks = Collection(order(), []), NOW, []
    while now < order().expires_at:
        now = next_look(collection, ORDER, now) or now
        looks.append(int((now - NOW).total_seconds() // 60))
    assert looks == [2, 5, 10, 20, 30]


def test_an_order_that_is_closing_is_looked_at_every_minute() -> None:
    assert next_look(Collection(order(closing=True), [payment()]), ORDER, EARLY) == EARLY + timedelta(minutes=1)


def test_a_paid_order_is_looked_at_when_its_stay_is_over_and_then_never() -> None:
    assert (
        next_look(Collection(paid_order(), [paid_payment()], guest_messages=TOLD), ORDER, EARLY) == order().usable_until
    )
    expired = paid_order(status=OrderStatus.EXPIRED)
    assert next_look(Collection(expired, [paid_payment()], guest_messages=TOLD), ORDER, EARLY) is None


def test_what_does_not_come_to_rest_is_looked_at_ever_more_seldom() -> None:
    made = late_refund(RefundStatus.PROCESSING, at={"PROCESSING": millis(NOW)})
    collection = Collection(order(status=OrderStatus.CANCELLED), [paid_payment()], [made])
    now, gaps = NOW, []
    for _ in range(14):
        look = next_look(collection, LATE, now)
        assert look is not None
        gaps.append((look - now).total_seconds() / 60)
        now = look
    assert gaps[:5] == [1, 1, 2, 4, 8]
    assert gaps[-1] == 24 * 60


def test_a_late_payment_is_let_go_when_its_refund_exists() -> None:
    cancelled, late = order(status=OrderStatus.CANCELLED), replace(paid_payment(), at={"SUCCESS": millis(NOW)})
    assert next_look(Collection(cancelled, [late]), PAYMENT, EARLY) == EARLY + (EARLY - NOW)
    assert next_look(Collection(cancelled, [late], [late_refund(RefundStatus.REQUESTED)]), PAYMENT, EARLY) is None


def test_a_case_of_another_refund_is_not_this_ones() -> None:
    made = late_refund(RefundStatus.CLOSED)
    names = {"out_trade_no": "x", "currency": "CNY", "transaction_id": "", "detail": "", "opened_at": NOW}
    other = Case(kind="refund_closed", case_id="another", amount_fen=1, **names)  # type: ignore[arg-type]
    collection = Collection(order(status=OrderStatus.CANCELLED), [paid_payment()], [made], cases=[other])
    assert next_step(collection, EARLY) == Announce(LATE)
