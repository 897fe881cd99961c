"""status_poll: the answer that the client trusts. WeChat's word on the phone proves nothing.

While the trade is open here, WeChat itself is asked, at most every five seconds however often the client polls, and
what it says goes through the one door for money. When WeChat cannot be asked, the table's state is the answer: the
client polls on, and the callback or the next poll brings the truth.
"""

from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from payments.observability import instrumented, logger
from payments.order import OrderStatus
from payments.payment import Payment, PaymentStatus
from payments.problems import Api, OrderSn, not_found
from payments.settings import table
from payments.settlement import take_in
from payments.table import Collection
from payments.times import utc_now
from payments.wechat_pay import OutcomeUnknown, Refused, wechat_pay

ASK_PAUSE = timedelta(seconds=5)

app = Api()


class PaymentOut(BaseModel):
    """`payment_status` is that of the trade that counts, null before the first prepay. `on_hold`: it is paid, and
    WeChat says that it was refunded, which the shop checks. Poll again after `poll_after_ms`; null means that nothing
    more will come by itself."""

    order_sn: str
    order_status: str
    payment_status: str | None
    paid_at: datetime | None = None
    redeem_code: str | None = None
    on_hold: bool = False
    poll_after_ms: int | None


@app.get("/orders/<order_sn>/payment")
def poll(order_sn: OrderSn) -> PaymentOut:
    """Where an order's payment stands."""
    user_id, now = app.caller()["user_id"], utc_now()
    collection = table().collection(order_sn, consistent=False)
    if collection is None or collection.order.user_id != user_id:
        raise not_found()
    asking = _open_payment(collection)
    if asking is not None and table().claim_query(asking, now, ASK_PAUSE) and _learned(asking, now):
        collection = table().collection(order_sn, consistent=True) or collection
    return _answer(collection, now)


def _open_payment(collection: Collection) -> Payment | None:
    """The trade whose end WeChat may know and we do not."""
    if collection.order.status is not OrderStatus.WAIT_PAY:
        return None
    return next((payment for payment in collection.payments if payment.status is PaymentStatus.NOTPAY), None)


def _learned(payment: Payment, now: datetime) -> bool:
    """Asks WeChat and stores what it says; True when something changed."""
    try:
        trade = wechat_pay().query(payment)
    except (OutcomeUnknown, Refused) as error:
        logger.warning("query.failed", out_trade_no=payment.out_trade_no, why=str(error))
        return False
    if trade is None:
        return False  # WeChat does not know it: a prepay may be on its way, only R8 may call that closed
    return take_in(table(), payment, trade, now)


def _answer(collection: Collection, now: datetime) -> PaymentOut:
    order = collection.order
    counting = [p for p in collection.payments if p.n == order.paid_by] or collection.payments[-1:]
    status = counting[0].status if counting else None
    return PaymentOut(
        order_sn=order.order_sn,
        order_status=order.status,
        payment_status=status,
        paid_at=order.paid_at,
        redeem_code=order.redeem_code if order.usable else None,
        on_hold=bool(order.on_hold),
        poll_after_ms=_poll_after_ms(collection, status, now),
    )


def _poll_after_ms(collection: Collection, status: PaymentStatus | None, now: datetime) -> int | None:
    """Soon while money is on its way, seldom when the guest has long not paid, never when it is over."""
    if collection.order.status is not OrderStatus.WAIT_PAY:
        return None
    if status is PaymentStatus.SUCCESS:
        return 300
    return 1000 if now - collection.order.created_at < timedelta(minutes=5) else 5000


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    return app.resolve(event, context)
