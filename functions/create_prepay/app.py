"""create_prepay: the five fields of wx.requestPayment for an order, with never more than one trade open (R2).

The payment is put before WeChat is called, and its prepay_id is stored before a phone gets it. So a repeat, a crash, a
later deployment or a second phone sends the same parameters, and no phone ever holds a prepay_id of a trade that the
table calls closed. When WeChat's answer is unknown the payment stays as it is: the next call repeats that trade (R1).
"""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Body as BodyParameter
from pydantic import BaseModel

from payments.domain.collection import Collection
from payments.domain.payment import (
    CALL_PAUSE,
    MAX_TRADES,
    PREPAY_ID_LIFE,
    CallAgain,
    CreatePayment,
    Payment,
    Refuse,
    SignAgain,
    UsedUp,
    Wait,
    decide_prepay,
    new_payment,
)
from payments.edge.http import Api, Body, OrderSn, Problem, not_found, seconds, wechat_down
from payments.edge.observability import count, logger
from payments.parts import LambdaFunction, Parts
from payments.recording import record_answer
from payments.store.purchase import bought
from payments.wechat.codes import Meaning
from payments.wechat.errors import OutcomeUnknown, Refused, WechatError
from payments.wechat.pay import WechatPay

ROUNDS = 4
"""A trade that turns out to be closed or taken sends us back to the start; more than this is no longer chance."""

WAITS = {Meaning.LATER, Meaning.NOT_ENOUGH}
"""Refusals after which the same trade is prepaid again later."""


app: Api[Parts] = Api()


class Prepay(Body):
    """`fresh`: the cashier refused the prepay_id that the phone has."""

    fresh: bool = False


class PrepayOut(BaseModel):
    """The fields of wx.requestPayment under its own names, and the trade's number."""

    timeStamp: str  # noqa: N815
    nonceStr: str  # noqa: N815
    package: str
    signType: str  # noqa: N815
    paySign: str  # noqa: N815
    out_trade_no: str


@app.post("/orders/<order_sn>/prepay")
def prepay(order_sn: OrderSn, body: Annotated[Prepay, BodyParameter()] = Prepay()) -> PrepayOut:  # noqa: B008
    """Opens the order's trade at WeChat, or signs the open one again. 409: the order cannot be paid, with its state; or
    it has had all the trades that an order may have. 429: WeChat was called for it a moment ago; ask again after
    Retry-After."""
    user_id, attempt = app.caller()["user_id"], app.parts.attempt()
    for _ in range(ROUNDS):
        now = app.parts.clock()
        collection = app.parts.store.collection(order_sn, consistent=True)
        if collection is None or collection.order.user_id != user_id:
            raise not_found()
        payment: Payment | None
        match decide_prepay(collection.order, collection.payments, now, fresh=body.fresh):
            case Refuse(why):
                raise _conflict(collection, why)
            case UsedUp():
                raise _used_up(collection)
            case Wait(until):
                raise _too_soon(until)
            case SignAgain(payment, prepay_id):
                return _signed(payment, prepay_id, now)
            case CreatePayment(n):
                payment = _created(collection, n, attempt, now)
            case CallAgain(payment):
                payment = payment if app.parts.store.payments.claim_prepay(payment, attempt, now, CALL_PAUSE) else None
        if payment is None:
            continue  # another call was quicker
        new_id = _prepay_id(payment, now)
        if new_id and app.parts.store.payments.store_prepay_id(payment, new_id, now + PREPAY_ID_LIFE):
            logger.info("prepay.created", out_trade_no=payment.out_trade_no, total_fen=payment.total_fen)
            count("PrepayCreated")
            return _signed(payment, new_id, now)
    raise _down(order_sn, app.parts.clock())


def _created(collection: Collection, n: int, attempt: str, now: datetime) -> Payment | None:
    """Puts the n-th payment, then makes sure that the order is still open: a cancel may have come in between. None when
    another call has put it: its parameters are the trade's, and it calls WeChat."""
    product, purchase = bought(collection.order, app.parts.products)
    payment = new_payment(
        collection.order,
        n,
        description=product.bill(purchase),
        appid=app.parts.settings["APPID"],
        mchid=app.parts.settings["MCHID"],
        notify_url=_notify_url(),
        now=now,
        attempt=attempt,
    )
    if not app.parts.store.payments.put(payment):
        return None
    order = app.parts.store.orders.get(payment.order_sn)
    if order is None or not order.open_to_pay:
        app.parts.store.payments.close(payment, unused=True)
        raise _conflict(collection, "the order is being cancelled")
    return payment


def _prepay_id(payment: Payment, now: datetime) -> str | None:
    """WeChat's prepay_id for the payment, which was claimed at `now`; None when the trade turned out to be at its end:
    decide again."""
    client = app.parts.wechat_pay
    try:
        return client.prepay(payment)
    except OutcomeUnknown as unknown:
        logger.warning("prepay.unknown", out_trade_no=payment.out_trade_no, why=str(unknown))
        count("PrepayUnknown")
        raise _down(payment.order_sn, now) from None
    except Refused as refused:
        logger.warning("prepay.refused", out_trade_no=payment.out_trade_no, code=refused.code, status=refused.status)
        count("PrepayRefused")
        if refused.meaning in WAITS:
            raise _down(payment.order_sn, now) from None
        if refused.meaning is Meaning.ASK and _brought_to_its_end(client, payment, now):
            return None
        # The first call was refused for good: without a prepay_id there is no trade, and the next prepay starts clean.
        app.parts.store.payments.close(payment, unused=True)
        raise Problem(
            502, "wechat-refused", "WeChat does not accept this payment.", _charged(payment.order_sn), code=refused.code
        ) from None


def _brought_to_its_end(client: WechatPay, payment: Payment, now: datetime) -> bool:
    """Asks WeChat about a trade that it will not prepay, and stores the answer; False when it knows no such trade."""
    try:
        trade = client.query(payment)
        if trade is None:
            return False
        if not record_answer(app.parts.store, payment, trade, now) and not trade.over:
            client.close(payment)  # it exists with other parameters than the stored ones: it must not stay payable
            app.parts.store.payments.close(payment, unused=False)
    except WechatError as error:
        logger.warning("prepay.unknown", out_trade_no=payment.out_trade_no, why=str(error))
        raise _down(payment.order_sn, now) from None
    return True


def _signed(payment: Payment, prepay_id: str, now: datetime) -> PrepayOut:
    request = app.parts.wechat_pay.payment_request(payment, prepay_id, now, app.parts.random.randbytes(16).hex())
    return PrepayOut.model_validate({**asdict(request), "out_trade_no": payment.out_trade_no})


def _conflict(collection: Collection, why: str) -> Problem:
    order = collection.order
    return Problem(409, "order-state", "This order cannot be paid now.", why, order_status=order.status)


def _used_up(collection: Collection) -> Problem:
    detail = f"It has had {MAX_TRADES}. Place a new order; this one ends by itself."
    title = "No more payments can be opened for this order."
    return Problem(409, "trades-used-up", title, detail, order_status=collection.order.status)


def _too_soon(until: datetime) -> Problem:
    detail = (
        f"WeChat is called for one payment at most every {seconds(CALL_PAUSE)} seconds. The same one is used again."
    )
    wait = seconds(until - app.parts.clock())
    return Problem(429, "prepay-too-soon", "This payment was asked for a moment ago.", detail, retry_after_s=wait)


def _down(order_sn: str, called_at: datetime) -> Problem:
    """503, until WeChat may be called again for a trade that it was called for at `called_at`."""
    detail = f"{_charged(order_sn)} Try again in a few seconds; the same order is used."
    return wechat_down(detail, seconds(called_at + CALL_PAUSE - app.parts.clock()))


def _charged(order_sn: str) -> str:
    """What is true of the guest's money: without a stored prepay_id no phone has ever opened a cashier for it."""
    collection = app.parts.store.collection(order_sn, consistent=True)
    if collection is not None and not any(payment.prepay_id for payment in collection.payments):
        return "Nothing was charged."
    return f"An earlier try may have been paid: GET /orders/{order_sn}/payment tells."


def _notify_url() -> str:
    """Where WeChat reports: below the public address of this deployment, or else of this very request."""
    base = app.parts.settings.optional("PUBLIC_BASE_URL") or f"https://{app.current_event.request_context.domain_name}"
    return f"{base}/wxpay/notify"


def handle(event: dict[str, Any], parts: Parts) -> Any:
    """Takes an HTTP API request (2.0)."""
    return app.answer(event, parts)


handler = LambdaFunction(handle, "store", "wechat_pay", "products")
