"""Mark, close, cancel (R8): how an unpaid order ends, by its guest's wish or because its time is over.

An order is cancelled only when none of its trades can be paid any more, as WeChat says. What cannot be closed now stays
marked `closing`, and the janitor finishes it.
"""

from datetime import datetime
from enum import StrEnum

from payments.domain.order import Order
from payments.domain.payment import Payment, PaymentStatus
from payments.edge.observability import count, freed, logger
from payments.recording import record_payment
from payments.store.items import Standing
from payments.store.store import Store
from payments.wechat.codes import Meaning
from payments.wechat.errors import Refused, WechatError
from payments.wechat.pay import WechatPay


class End(StrEnum):
    """What an attempt to end a trade came to."""

    OVER = "over"  # it cannot be paid any more, or it is MISPAID: its case holds that money
    PAID = "paid"
    UNKNOWN = "unknown"  # WeChat cannot be asked now, or someone is typing the password


class Paid(Exception):
    """The order cannot be cancelled: one of its trades is paid, as the table knew or as WeChat says now."""


def close_order(store: Store, client: WechatPay, order_sn: str, now: datetime, *, marked: bool = False) -> Order:
    """Brings an unpaid order to CANCELLED, or as near to it as WeChat allows now; the order as it stands afterwards.

    `marked`: the caller has read its mark. Without it, who finds the order marked leaves it to the one who marked it:
    a cancel that comes twice at once closes once. Raises Paid, and LookupError when there is no such order.
    """
    if not marked:
        match store.orders.mark_closing(order_sn):
            case Standing(Order() as order):
                return order
    collection = store.collection(order_sn, consistent=True)
    if collection is None:
        raise LookupError(f"no order {order_sn}")
    if any(payment.status is PaymentStatus.SUCCESS for payment in collection.payments):
        raise Paid(f"{order_sn} is paid")  # its event is on the way to the order
    ends = [
        close_trade(store, client, payment, now)
        for payment in collection.payments
        if payment.status is PaymentStatus.NOTPAY
    ]
    if End.PAID in ends:
        raise Paid(f"{order_sn} is paid")
    if End.UNKNOWN not in ends and (written := store.orders.cancel(collection.order, now)):
        freed(written, order_sn)
        logger.info("order.cancelled", order_sn=order_sn)
        count("OrderCancelled")
    return store.orders.get(order_sn) or collection.order


def close_trade(store: Store, client: WechatPay, payment: Payment, now: datetime) -> End:
    """Closes an open trade, here and at WeChat, or records that it was paid instead."""
    try:
        trade = client.query(payment)
        closed = trade is not None and trade.over
        if trade is not None and not trade.paid and not closed:
            closed = _closed(client, payment)
            if not closed:  # it has come to its end between the two calls
                trade = client.query(payment)
                closed = trade is not None and trade.over
    except WechatError as error:
        # 429 among them: someone is typing the password. Ask again later, never cancel.
        logger.warning("close.unknown", out_trade_no=payment.out_trade_no, why=str(error))
        return End.UNKNOWN
    if trade is not None and trade.paid:
        record_payment(store, trade, now)
    elif (trade is None or closed) and store.payments.close(payment, unused=trade is None):
        # While no prepay_id is stored none can reach a phone any more: a trade that WeChat does not know never opened.
        return End.OVER
    standing = store.payments.get(payment.order_sn, payment.n)
    if standing is None or standing.status is PaymentStatus.NOTPAY:
        return End.UNKNOWN
    return End.PAID if standing.status is PaymentStatus.SUCCESS else End.OVER


def _closed(client: WechatPay, payment: Payment) -> bool:
    """Closes the trade at WeChat; False when WeChat says that it has another state than we know of."""
    try:
        client.close(payment)
    except Refused as refused:
        if refused.meaning is Meaning.ASK:
            return False
        raise
    return True
