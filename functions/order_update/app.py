"""order_update: an order follows what happens to its payments and refunds.

payment.succeeded: WAIT_PAY → WAIT_USE, with `paid_by`, the redeem code (if its product has one) and the sums of the
refunds that are there already, in the same write (R5). An order that is no longer WAIT_PAY decides what the event is:
paid by this very trade, it is a repeat; anything else is late or second money, which is refunded by itself (R6).
refund.*: the order's sums are drawn anew from its refunds, never moved by an event (R7); a refund that came to nothing
becomes a case, and a case that has answered itself is closed. Events come at least once and in any order; twice is the
same as once.
"""

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse

from payments.domain.case import SYSTEM, Resolution, by_hand, held_by, holds
from payments.domain.collection import Collection
from payments.domain.janitor import sums_are_drawn
from payments.domain.order import REDEEM_ALPHABET, REDEEM_LENGTH, OrderStatus
from payments.domain.payment import Payment
from payments.domain.refund import RefundOrigin, all_back, automatic_refund, of_trade
from payments.edge.events import Event
from payments.edge.observability import count, freed, logger
from payments.edge.queues import consume
from payments.parts import LambdaFunction, Parts

TRIES = 5
"""Each try after the first answers a change that another writer made in between."""


def handle(event: dict[str, Any], parts: Parts) -> PartialItemFailureResponse:
    """Takes a batch of queue messages; those that failed come again, and at last to the dead-letter queue."""
    return consume(event, partial(_handle, parts))


def _handle(parts: Parts, event: Event) -> None:
    if event.type == "payment.succeeded":
        _paid(parts, event)
    elif event.type.startswith("refund.") and event.type != "refund.requested":  # that one has reserved its sum itself
        _refund_changed(parts, event)


def _paid(parts: Parts, event: Event) -> None:
    for _ in range(TRIES):
        collection = parts.store.collection(event.order_sn, consistent=True)
        payment = collection.payment(event.state.n) if collection else None
        if collection is None or payment is None:
            raise LookupError(f"{event.id} is of no payment")
        if collection.order.status is OrderStatus.WAIT_PAY:
            # Where refunds are there already, the sums follow.
            done = _mark_paid(parts, collection, payment) and not collection.refunds
        elif collection.order.paid_by == payment.n:
            done = _bring_up_to_date(parts, collection)
        else:
            done = _refund_what_pays_nothing(parts, collection, payment)
        if done:
            return
    raise RuntimeError(f"{event.order_sn} keeps changing; its payment is not taken in yet")


def _mark_paid(parts: Parts, collection: Collection, payment: Payment) -> bool:
    """WAIT_PAY → WAIT_USE with the sums of the refunds that are there already, and a code where something is left to
    use (R5). False: the order has changed since it was read."""
    order, now = collection.order, parts.clock()
    paid = replace(order, paid_by=payment.n)
    drawn = replace(collection, order=paid).sums()
    # A hold of another trade is no reason to keep out who has paid with this one.
    released = bool(order.on_hold) and holds(collection.cases, order) and not holds(collection.cases, paid)
    code = _new_code(parts) if order.lacks_code and drawn.refundable and (released or not order.on_hold) else None
    if not parts.store.orders.mark_paid(order, payment.n, drawn, code, payment.success_time or now, released=released):
        return False
    logger.info("order.paid", order_sn=order.order_sn, paid_by=payment.n)
    count("OrderPaid")
    return True


def _refund_what_pays_nothing(parts: Parts, collection: Collection, payment: Payment) -> bool:
    """Late or second money goes back: what of the trade is not back or on its way yet, once (R6). Nothing while a
    person finds out what went back outside of this system. False: the order has changed since it was read."""
    order, now, own = collection.order, parts.clock(), of_trade(collection.refunds, payment.out_trade_no)
    if not collection.unpaid_rest(payment) or held_by(collection.cases, payment.out_trade_no):
        return True
    origin = RefundOrigin.LATE if order.paid_by is None else RefundOrigin.SECOND
    refund = automatic_refund(payment, origin, now, others=own, by_hand=by_hand(collection.cases))
    if collection.refund(refund.out_refund_no) is not None:
        return True
    if not parts.store.refunds.add(collection, refund, now):
        return False
    logger.warning("refund.requested", out_trade_no=payment.out_trade_no, origin=origin)
    count("AutomaticRefund")
    return True


def _refund_changed(parts: Parts, event: Event) -> None:
    for _ in range(TRIES):
        collection = parts.store.collection(event.order_sn, consistent=True)
        if collection is None:
            raise LookupError(f"{event.id} is of no order")
        if _bring_up_to_date(parts, collection):
            return
    raise RuntimeError(f"{event.order_sn} keeps changing; its sums are not drawn yet")


def _bring_up_to_date(parts: Parts, collection: Collection) -> bool:
    """Draws the order's sums from its refunds, writes REFUNDED when all is back, and the code of an order that was on
    hold; opens the cases of refunds that came to nothing, and closes those that are answered. False: the order has
    changed since it was read."""
    order, now, drawn = collection.order, parts.clock(), collection.sums()
    _open_and_close_cases(parts, collection, now)
    if order.paid_by is None:
        return True
    usable = replace(order, refundable_fen=drawn.refundable).usable and not order.over(now)
    code = _new_code(parts) if usable and order.lacks_code else None
    if sums_are_drawn(collection) and code is None:
        return True
    status = OrderStatus.REFUNDED if all_back(order, drawn) else None
    written = parts.store.orders.save_sums(order, drawn, status, code, now)
    if not written:
        return False
    freed(written, order.order_sn)
    logger.info("order.refunded", order_sn=order.order_sn, refunded_fen=drawn.refunded, refundable_fen=drawn.refundable)
    return True


def _open_and_close_cases(parts: Parts, collection: Collection, now: datetime) -> None:
    for case in collection.missing_cases(now):
        if parts.store.cases.open(case):
            logger.error("case.opened", order_sn=collection.order.order_sn, kind=case.kind, out_refund_no=case.case_id)
            count("CaseOpened")
    for case, why in collection.answers():
        if parts.store.cases.close(case, Resolution.ANSWERED, why, SYSTEM, "", now):
            logger.info("case.closed", kind=case.kind, out_trade_no=case.out_trade_no, why=why)
            count("CaseClosed")


def _new_code(parts: Parts) -> str:
    return "".join(parts.random.choice(REDEEM_ALPHABET) for _ in range(REDEEM_LENGTH))


handler = LambdaFunction(handle, "store")
