"""What is left to do for an order, and when to look again (R10). Pure: the decisions of `sweep`.

Any event may be lost at any time. An order is at rest when the consequences of all its states exist; what is missing is
done, or its event is published again with the same id.
"""

from collections.abc import Collection as Known
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from payments.domain.case import STALLED, Case, held_by, refund_case
from payments.domain.collection import Collection, ItemRef
from payments.domain.guest_messages import ORDER_PAID, messages_of_refund
from payments.domain.order import LOOKS, Order, OrderStatus
from payments.domain.payment import Payment, PaymentStatus
from payments.domain.refund import (
    FAILED,
    ON_ITS_WAY,
    PATIENCE,
    Refund,
    RefundOrigin,
    RefundStatus,
    Sums,
    all_back,
    next_question,
    withdrawn_long_ago,
)
from payments.domain.shipping import RECORDED_AFTER, ShippingRecord
from payments.domain.times import of_millis

SOON = timedelta(minutes=1)
"""The shortest time between two looks: how often the janitor comes."""

SELDOM = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Due:
    """Entry of index `due`: the janitor re-checks this item of the order at `due_at` (R10)."""

    order_sn: str
    item: ItemRef
    due_at: datetime


@dataclass(frozen=True, slots=True)
class StockDue:
    """Entry of index `due`: an offer was edited; the janitor looks whether more is held of it than there is (R15)."""

    service_type: str
    offer_id: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish the event of an item's state again: its consequence is not there."""

    item: ItemRef


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask WeChat about a trade that is open here."""

    n: int


@dataclass(frozen=True, slots=True)
class Close:
    """Close a trade that is open although its order does not need it any more."""

    n: int


@dataclass(frozen=True, slots=True)
class End:
    """Mark, close, cancel: the order's time is over, or its guest wants it so (R8)."""


@dataclass(frozen=True, slots=True)
class Expire:
    """The time in which it can be used is over."""


@dataclass(frozen=True, slots=True)
class Release:
    """It is over, and what it holds of the stock becomes free (R15)."""


@dataclass(frozen=True, slots=True)
class AskRefund:
    """Ask WeChat about a refund that is on its way."""

    out_refund_no: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Ask WeChat about a refund that staff take back: twice unknown there, it is WITHDRAWN (R7)."""

    out_refund_no: str


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A person has to look at it."""

    case: Case


Step = Announce | Ask | Close | End | Expire | Release | AskRefund | Withdraw | OpenCase


def next_step(
    collection: Collection,
    now: datetime,
    due: Known[ItemRef] = (),
    tried: Known[Step] = (),
    record: ShippingRecord = ShippingRecord.OFF,
) -> Step | None:
    """The first thing left to do that was not tried yet; None: nothing.

    WeChat is asked only about the items that are `due`; `record` tells when shipping is recorded.
    """
    return next((step for step in _steps(collection, now, due, record) if step not in tried), None)


def _steps(collection: Collection, now: datetime, due: Known[ItemRef], record: ShippingRecord) -> Iterator[Step]:
    order = collection.order
    for payment in collection.payments:
        if payment.status is PaymentStatus.SUCCESS and not _is_accounted_for(collection, payment):
            yield Announce(ItemRef.of(payment))
    open_trades = [payment.n for payment in collection.payments if payment.status is PaymentStatus.NOTPAY]
    if order.status is not OrderStatus.WAIT_PAY:
        yield from map(Close, open_trades)
    elif any(payment.status is PaymentStatus.SUCCESS for payment in collection.payments):
        pass  # announced above
    elif order.closing or order.expires_at <= now:
        yield End()
    elif ItemRef.of(order) in due:
        yield from map(Ask, open_trades)
    if order.on_hold:
        pass  # a person looks into it: no code, no message, no record, no end (R4)
    elif order.usable and order.lacks_code and not order.over(now):
        yield Announce(ItemRef(n=order.paid_by))  # the hold is over: order_update writes the code
    elif (order.usable and not _guest_was_told(collection, ORDER_PAID)) or _unrecorded(collection, record):
        yield Announce(ItemRef.of(order))
    if order.status is OrderStatus.WAIT_USE and order.over(now) and not order.on_hold:
        yield Expire()
    if order.holds_for_nothing:
        yield Release()
    for refund in collection.refunds:
        yield from _refund_steps(collection, refund, now, due)


def _refund_steps(collection: Collection, refund: Refund, now: datetime, due: Known[ItemRef]) -> Iterator[Step]:
    event, looked_at = Announce(ItemRef.of(refund)), ItemRef.of(refund) in due
    trade = collection.payment(refund.n)
    if looked_at and trade is not None and trade.status not in {PaymentStatus.SUCCESS, PaymentStatus.MISPAID}:
        yield Ask(trade.n)  # a refund proves that it was paid
    if refund.status not in ON_ITS_WAY and not _at_rest(collection, refund):
        yield event
    if (
        refund.status in ON_ITS_WAY
        and now - refund.created_at >= PATIENCE
        and not _has_case(collection, refund, STALLED)
    ):
        yield OpenCase(refund_case(refund, now, STALLED))
    if not looked_at:
        return
    if refund.status is RefundStatus.REQUESTED:
        question = next_question(refund, now)
        if not refund.withdrawing_at:
            yield event
        elif question is not None and question <= now:
            yield Withdraw(refund.out_refund_no)
    elif refund.status in {RefundStatus.PROCESSING, RefundStatus.ABNORMAL} or withdrawn_long_ago(refund, now):
        yield AskRefund(refund.out_refund_no)


def _at_rest(collection: Collection, refund: Refund) -> bool:
    """It has come to its end, its trade is known as paid, the order's sums count it, the guest or a person knows, and
    no case asks what it has answered. One that is on its way is never at rest: a case does not end the duty to ask."""
    if refund.status in ON_ITS_WAY:
        return False
    trade = collection.payment(refund.n)
    if trade is not None and trade.status not in {PaymentStatus.SUCCESS, PaymentStatus.MISPAID}:
        return False
    if not sums_are_drawn(collection) or collection.answers() or collection.missing_cases(refund.created_at):
        return False
    if refund.status in FAILED or refund.status is RefundStatus.WITHDRAWN:
        return True
    return refund.origin is RefundOrigin.CONSOLE or _guest_was_told(
        collection, messages_of_refund(refund.out_refund_no)
    )


def sums_are_drawn(collection: Collection) -> bool:
    """The order's sums are those of its refunds, and it is REFUNDED when all of it is back (R7); one that nothing pays
    has none."""
    order, drawn = collection.order, collection.sums()
    standing = Sums(order.refunded_fen, order.refundable_fen or 0, order.by_hand_fen or 0, order.stuck_fen or 0)
    return order.paid_by is None or (standing == drawn and not all_back(order, drawn))


def _is_accounted_for(collection: Collection, payment: Payment) -> bool:
    """The money of a paid trade has found its way: into the order, into refunds of its own, or into a case (R5, R6)."""
    order = collection.order
    if order.status is OrderStatus.WAIT_PAY:
        return False  # the order must learn that it is paid, even if all of it has gone back meanwhile
    if order.paid_by == payment.n or held_by(collection.cases, payment.out_trade_no):
        return True
    return not collection.unpaid_rest(payment) or any(
        refund.out_trade_no == payment.out_trade_no and refund.origin in {RefundOrigin.LATE, RefundOrigin.SECOND}
        for refund in collection.refunds
    )


def _guest_was_told(collection: Collection, event: str) -> bool:
    """Every message of the event is final."""
    notice = collection.guest_messages.get(event)
    return notice is not None and all(message.state.final for message in notice.messages.values())


def _unrecorded(collection: Collection, record: ShippingRecord) -> bool:
    """Its shipping must be recorded and is not, and the event that its state stands for does it."""
    order, shipping = collection.order, collection.shippings.get(collection.order.paid_by or 0)
    announced = order.status in {OrderStatus.WAIT_USE, OrderStatus.USED} and bool(order.refundable_fen)
    return announced and order.status in RECORDED_AFTER[record] and not (shipping and shipping.final)


def _has_case(collection: Collection, refund: Refund, kind: str) -> bool:
    return any(case.kind == kind and case.case_id == refund.out_refund_no for case in collection.cases)


# --- when to look again


def next_look(
    collection: Collection,
    ref: ItemRef,
    now: datetime,
    record: ShippingRecord = ShippingRecord.OFF,
    *,
    unanswered: bool = False,
) -> datetime | None:
    """When to look again at an item that is due, after all was done that could be; None: never by itself.

    `unanswered`: WeChat was to be asked, and did not answer.
    """
    match collection.item(ref):
        case Payment() as payment:
            return None if _is_accounted_for(collection, payment) else _again(payment, now)
        case Refund() as refund:
            return _next_look_at_refund(collection, refund, now, unanswered=unanswered)
        case Order():
            return _next_look_at_order(collection, now, record)
    raise LookupError(f"{collection.order.order_sn} has no {ref}")


def _next_look_at_refund(collection: Collection, refund: Refund, now: datetime, *, unanswered: bool) -> datetime | None:
    if refund.status is RefundStatus.ABNORMAL and _at_rest(collection, refund) and not unanswered:
        return None  # a person has it; who asks to try now makes the janitor look
    question = next_question(refund, now)
    if question is not None and question > now and not unanswered:
        return max(question, now + SOON)
    if refund.withdrawing_at is not None and refund.status is RefundStatus.REQUESTED:
        return _after(refund.withdrawing_at, now)
    return None if _at_rest(collection, refund) and not unanswered else _again(refund, now)


def _next_look_at_order(collection: Collection, now: datetime, record: ShippingRecord) -> datetime | None:
    order, left = collection.order, set(_steps(collection, now, (), record))
    if order.status is OrderStatus.WAIT_PAY:
        if order.closing or order.expires_at <= now or any(isinstance(step, Announce) for step in left):
            return now + SOON
        looks = (order.created_at + look for look in LOOKS)
        return next((look for look in looks if look > now), order.expires_at)
    if any(
        isinstance(step, Close | Release) or (isinstance(step, Announce) and step.item.out_refund_no is None)
        for step in left
    ):
        return _again(order, now)
    return order.usable_until if order.status is OrderStatus.WAIT_USE and not order.on_hold else None


def _again(item: Order | Payment | Refund, now: datetime) -> datetime:
    """After as long again as it has been in its state: 1, 2, 4 ... minutes, at last once a day."""
    entered = item.at.get(item.status)
    return _after(item.created_at if entered is None else of_millis(entered), now)


def _after(since: datetime, now: datetime) -> datetime:
    return now + min(max(now - since, SOON), SELDOM)
