"""status_poll: the answer that the client trusts. What WeChat says on the phone proves nothing.

While the trade is open here, WeChat itself is asked, at most every five seconds however often the client polls, and
its answer is recorded as a callback's would be (R4). A poll in between costs a read and no write. When WeChat cannot
be asked, the table's state is the answer: the client polls on, and the callback or the next poll brings the truth.
"""

from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from payments.domain.collection import Collection
from payments.domain.order import OrderStatus
from payments.domain.payment import CALL_PAUSE, Payment, PaymentStatus, quiet
from payments.domain.times import of_millis, utc_now
from payments.edge.http import Api, OrderSn, not_found
from payments.edge.observability import instrumented, logger
from payments.recording import record_answer
from payments.settings import store
from payments.wechat.errors import WechatError
from payments.wechat.pay import wechat_pay

PACE = ((300, 300), (900, 600), (2100, 1200))
"""(age, pause) in milliseconds: while a state is younger than the age, the next poll comes after the pause. A client
that heeds it polls after 300, 600 and 1200 ms."""

SLOW_MS = 2000
SELDOM_AFTER = timedelta(minutes=5)
SELDOM_MS = 5000

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
    collection = store().collection(order_sn, consistent=False)
    if collection is None or collection.order.user_id != user_id:
        raise not_found()
    asking = _to_ask(collection, now)
    if asking is not None and store().payments.claim_query(asking, now, CALL_PAUSE) and _learned(asking, now):
        collection = store().collection(order_sn, consistent=True) or collection
    return _answer(collection, now)


def _to_ask(collection: Collection, now: datetime) -> Payment | None:
    """The trade whose end WeChat may know and we do not, unless it was asked a moment ago. What was just read tells so:
    a claim that fails is billed like one that holds."""
    if collection.order.status is not OrderStatus.WAIT_PAY:
        return None
    waiting = (payment for payment in collection.payments if payment.status is PaymentStatus.NOTPAY)
    return next((payment for payment in waiting if quiet(payment.asked_at, now)), None)


def _learned(payment: Payment, now: datetime) -> bool:
    """Asks WeChat and stores what it says; True when something changed."""
    try:
        trade = wechat_pay().query(payment)
    except WechatError as error:
        logger.warning("query.failed", out_trade_no=payment.out_trade_no, why=str(error))
        return False
    if trade is None:
        return False  # WeChat does not know it: a prepay may be on its way, only R8 may call that closed
    return record_answer(store(), payment, trade, now)


def _answer(collection: Collection, now: datetime) -> PaymentOut:
    order = collection.order
    counting = [p for p in collection.payments if p.n == order.paid_by] or collection.payments[-1:]
    payment = counting[0] if counting else None
    waits = order.status is OrderStatus.WAIT_PAY
    return PaymentOut(
        order_sn=order.order_sn,
        order_status=order.status,
        payment_status=payment.status if payment else None,
        paid_at=order.paid_at,
        redeem_code=order.redeem_code if order.usable else None,
        on_hold=bool(order.on_hold),
        poll_after_ms=poll_after_ms(now - _since(collection, payment)) if waits else None,
    )


def _since(collection: Collection, payment: Payment | None) -> datetime:
    """Since when the state that the client sees stands: of an open trade, since WeChat was last called for it."""
    if payment is None:
        return collection.order.created_at
    moment = payment.at.get(payment.status)
    return payment.called_at or payment.created_at if moment is None else of_millis(moment)


def poll_after_ms(waited: timedelta) -> int:
    """300, 600, 1200, then 2000 again and again; after five minutes 5000."""
    if waited >= SELDOM_AFTER:
        return SELDOM_MS
    return next((pause for age, pause in PACE if waited < timedelta(milliseconds=age)), SLOW_MS)


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    return app.resolve(event, context)
