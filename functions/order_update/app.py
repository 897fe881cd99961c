"""order_update: what happens to an order's money happens to the order.

payment.succeeded: WAIT_PAY → WAIT_USE, with `paid_by` and the redeem code in the same write (R5). When that write
fails, the order as it stands decides: paid by this very trade, it is a repeat; anything else is late or second money,
which is refunded by itself (R6). refund.*: the order's sums are drawn anew from its refunds, never moved by an event
(R7), and a refund that came to nothing becomes a case. Events come at least once and in any order; twice is the same as
once.
"""

import secrets
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.case import refund_case
from payments.events import Event
from payments.observability import count, instrumented, logger
from payments.order import ENTERED_FROM, REDEEM_ALPHABET, REDEEM_LENGTH, OrderStatus
from payments.queues import consume
from payments.refund import FAILED, RefundOrigin, automatic_refund, sums
from payments.settings import table
from payments.times import utc_now

TRIES = 5
"""Each try after the first answers a change that another writer made in between."""


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Takes a batch of queue messages; those that failed come again, and at last to the dead-letter queue."""
    return consume(event, context, _handle)


def _handle(event: Event) -> None:
    if event.type == "payment.succeeded":
        _paid(event)
    elif event.type.startswith("refund.") and event.type != "refund.requested":  # that one has reserved its sum itself
        _refund_changed(event)


def _paid(event: Event) -> None:
    n, paid_at = event.state.n, event.state.success_time
    if n is None or paid_at is None:
        raise ValueError(f"{event.id} lacks n or success_time")
    code = "".join(secrets.choice(REDEEM_ALPHABET) for _ in range(REDEEM_LENGTH))
    standing = table().mark_order_paid(event.order_sn, n, code, paid_at)
    if standing is None:
        logger.info("order.paid", order_sn=event.order_sn, paid_by=n)
        count("OrderPaid")
        return
    if standing.paid_by == n:
        return
    payment = table().payment(event.order_sn, n)
    if payment is None:
        raise LookupError(f"{event.id} is of no payment")
    origin = RefundOrigin.LATE if standing.paid_by is None else RefundOrigin.SECOND
    if table().put_refund(automatic_refund(payment, origin, utc_now())):
        logger.warning("refund.requested", out_trade_no=payment.out_trade_no, origin=origin)
        count("AutomaticRefund")


def _refund_changed(event: Event) -> None:
    for _ in range(TRIES):
        collection = table().collection(event.order_sn, consistent=True)
        if collection is None:
            raise LookupError(f"{event.id} is of no order")
        refund = next((r for r in collection.refunds if r.out_refund_no == event.state.out_refund_no), None)
        if refund is not None and refund.status in FAILED and table().put_case(refund_case(refund, utc_now())):
            logger.error("case.opened", order_sn=event.order_sn, out_refund_no=refund.out_refund_no, why=refund.status)
            count("CaseOpened")
        order = collection.order
        if order.paid_by is None:
            return
        refunded, refundable = sums(order, collection.refunds)
        all_back = refunded >= order.total_fen and order.status in ENTERED_FROM[OrderStatus.REFUNDED]
        if (refunded, refundable) == (order.refunded_fen, order.refundable_fen) and not all_back:
            return
        if table().save_sums(order, refunded, refundable, OrderStatus.REFUNDED if all_back else None):
            logger.info("order.refunded", order_sn=order.order_sn, refunded_fen=refunded, refundable_fen=refundable)
            return
    raise RuntimeError(f"{event.order_sn} keeps changing; its sums are not drawn yet")
