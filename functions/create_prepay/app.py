"""create_prepay: the five fields of wx.requestPayment for an order, with never more than one trade open (R2).

The payment is put before WeChat is called, and its prepay_id is stored before a phone gets it. So a repeat, a crash, a
later deployment or a second phone sends the same parameters, and no phone ever holds a prepay_id of a trade that the
table calls closed. When WeChat's answer is unknown the payment stays as it is: the next call repeats that trade (R1).
"""

import secrets
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Body as BodyParameter
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from payments.observability import count, instrumented, logger
from payments.payment import (
    PREPAY_ID_LIFE,
    Call,
    Open,
    Payment,
    Refuse,
    Resign,
    decide_prepay,
    open_payment,
)
from payments.problems import Api, Body, OrderSn, Problem, not_found, wechat_down
from payments.settings import optional, setting, table
from payments.settlement import take_in
from payments.table import Collection
from payments.times import utc_now
from payments.wechat_pay import Advice, OutcomeUnknown, Refused, WechatPay, wechat_pay

ROUNDS = 4
"""A trade that turns out to be closed or taken sends us back to the start; more than this is no longer chance."""

app = Api()


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
    """Opens the order's trade at WeChat, or signs the open one again. 409: the order cannot be paid, with its state."""
    user_id, now, fresh = app.caller()["user_id"], utc_now(), body.fresh
    for _ in range(ROUNDS):
        collection = table().collection(order_sn, consistent=True)
        if collection is None or collection.order.user_id != user_id:
            raise not_found()
        match decide_prepay(collection.order, collection.payments, now, fresh=fresh):
            case Refuse(why):
                raise _conflict(collection, why)
            case Resign(payment, prepay_id):
                return _signed(payment, prepay_id, now)
            case Open(n):
                payment = _opened(collection, n, now)
            case Call(payment):
                pass
        new_id = _prepay_id(payment, now)
        if new_id and table().store_prepay_id(payment, new_id, now + PREPAY_ID_LIFE):
            logger.info("prepay.created", out_trade_no=payment.out_trade_no, total_fen=payment.total_fen)
            count("PrepayCreated")
            return _signed(payment, new_id, now)
        fresh = False
    raise wechat_down()


def _opened(collection: Collection, n: int, now: datetime) -> Payment:
    """Puts `PAYMENT#n`, then makes sure that the order is still open: a cancel may have come in between."""
    payment = open_payment(
        collection.order,
        n,
        appid=setting("APPID"),
        mchid=setting("MCHID"),
        notify_url=_notify_url(),
        now=now,
    )
    if not table().put_payment(payment):
        standing = table().payment(payment.order_sn, n)  # another call was quicker: its parameters are the trade's
        if standing is None:
            raise wechat_down()
        payment = standing
    order = table().order(payment.order_sn)
    if order is None or not order.open_to_pay:
        table().close_payment(payment, unused=True)
        raise _conflict(collection, "the order is being cancelled")
    return payment


def _prepay_id(payment: Payment, now: datetime) -> str | None:
    """WeChat's prepay_id for the payment; None when the trade turned out to be at its end: decide again."""
    client = wechat_pay()
    try:
        return client.prepay(payment)
    except OutcomeUnknown as unknown:
        logger.warning("prepay.unknown", out_trade_no=payment.out_trade_no, why=str(unknown))
        count("PrepayUnknown")
        raise wechat_down() from None
    except Refused as refused:
        logger.warning("prepay.refused", out_trade_no=payment.out_trade_no, code=refused.code, status=refused.status)
        count("PrepayRefused")
        if refused.advice is Advice.LATER:
            raise wechat_down() from None
        if refused.advice is Advice.ASK and _brought_to_its_end(client, payment, now):
            return None
        # The first call was refused for good: without a prepay_id there is no trade, and the next prepay starts clean.
        table().close_payment(payment, unused=True)
        raise Problem(
            502, "wechat-refused", "WeChat does not accept this payment.", "Nothing was charged.", code=refused.code
        ) from None


def _brought_to_its_end(client: WechatPay, payment: Payment, now: datetime) -> bool:
    """Asks WeChat about a trade that it will not prepay, and stores the answer; False when it knows no such trade."""
    try:
        trade = client.query(payment)
        if trade is None:
            return False
        if not take_in(table(), payment, trade, now) and not trade.over:
            client.close(payment)  # it exists with other parameters than the stored ones: it must not stay payable
            table().close_payment(payment, unused=False)
    except (OutcomeUnknown, Refused) as error:
        logger.warning("prepay.unknown", out_trade_no=payment.out_trade_no, why=str(error))
        raise wechat_down() from None
    return True


def _signed(payment: Payment, prepay_id: str, now: datetime) -> PrepayOut:
    request = wechat_pay().payment_request(payment, prepay_id, now, secrets.token_hex(16))
    return PrepayOut.model_validate({**asdict(request), "out_trade_no": payment.out_trade_no})


def _conflict(collection: Collection, why: str) -> Problem:
    order = collection.order
    return Problem(409, "order-state", "This order cannot be paid now.", why, order_status=order.status)


def _notify_url() -> str:
    """Where WeChat reports: below the public address of this deployment, or else of this very request."""
    base = optional("PUBLIC_BASE_URL") or f"https://{app.current_event.request_context.domain_name}"
    return f"{base}/wxpay/notify"


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    return app.resolve(event, context)
