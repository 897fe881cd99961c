"""upload_shipping: an order is paid, or redeemed, so its shipping is recorded at WeChat; without that the money of some
mini-programs stays frozen (docs/deploy-aws.md).

What is sent is written first, and is the same at every try: the one change that WeChat allows is never spent by
accident. A try after the first asks WeChat what became of the one before. What WeChat will not do now comes again; a
final no is REFUSED, and a person gets a case.
"""

from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.domain.shipping import RECORDED_AFTER, Shipping, refusal_case, shipping_of
from payments.domain.times import utc_now
from payments.edge.events import Event
from payments.edge.observability import count, instrumented, logger
from payments.edge.queues import consume
from payments.settings import shipping_record, store
from payments.wechat.codes import SHIPPED, Meaning
from payments.wechat.errors import Refused
from payments.wechat.mini_program import MiniProgram, mini_program


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Takes a batch of queue messages; those that failed come again, and at last to the dead-letter queue."""
    return consume(event, context, _handle)


def _handle(event: Event) -> None:
    if event.type != "order.paid" and event.type != "order.used":
        return
    collection = store().collection(event.order_sn, consistent=True)
    if collection is None:
        raise LookupError(f"{event.id} is of no order")
    order = collection.order
    if order.status not in RECORDED_AFTER[shipping_record()] or not order.refundable_fen or order.on_hold:
        # All of it is on its way back, or may have gone back elsewhere: that is looked into first (R4).
        logger.info("shipping.skipped", order_sn=order.order_sn, status=order.status)
        return
    payment = next(payment for payment in collection.payments if payment.n == order.paid_by)
    standing, new = collection.shippings.get(payment.n), shipping_of(payment, utc_now())
    if standing is None and not (result := store().shippings.put(new)):
        standing = result.item
    if standing is None or not standing.final:
        _record(mini_program(), standing or new, first=standing is None)


def _record(client: MiniProgram, shipping: Shipping, *, first: bool) -> None:
    """Sends the record and writes what became of it. Raises WechatError when it must come again."""
    try:
        why = _uploaded(client, shipping, first=first)
    except Refused as refused:
        if refused.meaning is not Meaning.FINAL:
            raise
        if not store().shippings.refuse(shipping, refusal_case(shipping, str(refused), utc_now())):
            raise RuntimeError(f"{shipping.out_trade_no} has changed; its refusal is not stored") from None
        logger.error("shipping.refused", out_trade_no=shipping.out_trade_no, errcode=refused.code)
        count("ShippingRefused")
        count("CaseOpened")
        return
    if store().shippings.finish(shipping, why):
        logger.info("shipping.uploaded", out_trade_no=shipping.out_trade_no, why=why)
        count("ShippingUploaded")


def _uploaded(client: MiniProgram, shipping: Shipping, *, first: bool) -> str | None:
    """How WeChat came to have the record, where this call did not bring it. Raises WechatError."""
    if not first and client.order_state(shipping.transaction_id, utc_now()) in SHIPPED:
        return "found at WeChat"
    try:
        client.upload_shipping(shipping.body(), utc_now())
    except Refused as refused:
        if refused.meaning is not Meaning.DONE:
            raise
        return str(refused)
    return None
