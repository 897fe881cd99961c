"""order_update: what happens to an order's money happens to the order.

payment.succeeded: WAIT_PAY → WAIT_USE, with `paid_by` and the redeem code in the same write (R5). When that write
fails, the order as it stands decides: paid by this very trade, it is a repeat; anything else is late or second money,
which is refunded by itself (R6). Events come at least once and in any order; twice is the same as once.
"""

import secrets
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.events import Event
from payments.observability import count, instrumented, logger
from payments.queues import consume
from payments.refund import RefundOrigin, automatic_refund
from payments.settings import table
from payments.times import utc_now

REDEEM_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 characters without look-alikes."""

REDEEM_LENGTH = 10


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Takes a batch of queue messages; those that failed come again, and at last to the dead-letter queue."""
    return consume(event, context, _handle)


def _handle(event: Event) -> None:
    if event.type == "payment.succeeded":
        _paid(event)


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
