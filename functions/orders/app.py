"""orders: the catalogue, and a user's orders. The price is always the server's: no request carries an amount.

Cancelling marks the order, closes its trade at WeChat, then cancels (R8). While WeChat cannot be asked, or while
someone is typing the password, it stays marked: `closing` is the guest's wish kept safe, and the janitor finishes it.

Run twice with one Idempotency-Key: the number is reserved before the order is put, so a crash between the two, or a
repeat on another phone, ends in the same single order.
"""

import hashlib
import secrets
from datetime import date, datetime
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field

from payments.business.homestay import MAX_REMARK, StayRefused, book
from payments.closing import close_order
from payments.observability import count, instrumented, logger
from payments.order import STATUS_CODE, Order, OrderStatus, new_order_sn, place
from payments.problems import Api, Body, Day, IdempotencyKey, Instant, OrderSn, Problem, invalid, not_found
from payments.settings import table
from payments.times import beijing_day, utc_now
from payments.wechat_pay import wechat_pay

PAGE = 20

app = Api()


class HomestayOut(BaseModel):
    """A home that can be booked. Sums in fen: the home per night, food per person and night."""

    homestay_id: str
    title: str
    subtitle: str
    price_fen: int
    market_price_fen: int
    food_price_fen: int
    capacity: int


class HomestayList(BaseModel):
    homestays: list[HomestayOut]


class NewOrder(Body):
    homestay_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,40}$")]
    start_date: Day
    end_date: Day
    people: Annotated[int, Field(ge=1, le=100)]
    need_food: bool
    remark: Annotated[str, Field(max_length=MAX_REMARK)] = ""


class StayOut(BaseModel):
    homestay_id: str
    title: str
    start_date: str
    end_date: str
    nights: int
    people: int
    need_food: bool
    remark: str
    homestay_total_fen: int
    food_total_fen: int


class OrderOut(BaseModel):
    """An order as its owner sees it; redeem_code only after payment. `closing`: it is being cancelled; `refunding_fen`:
    what is on its way back."""

    order_sn: str
    status: str
    status_code: int
    total_fen: int
    created_at: datetime
    expires_at: datetime
    closing: bool = False
    paid_at: datetime | None = None
    redeem_code: str | None = None
    refunded_fen: int = 0
    refunding_fen: int = 0
    stay: StayOut


class OrderList(BaseModel):
    """Newest first; `next`, if given, is the `before` of the next page."""

    orders: list[OrderOut]
    next: datetime | None = None


@app.get("/homestays")
def list_homestays() -> HomestayList:
    """The homes on sale."""
    homes = table().homestays_on_sale()
    return HomestayList(homestays=[HomestayOut.model_validate(home, from_attributes=True) for home in homes])


@app.post("/orders", status_code=201)
def create_order(body: NewOrder, idempotency_key: IdempotencyKey = None) -> OrderOut:
    """Orders a stay, priced from the catalogue. With an Idempotency-Key a repeat gives the same order."""
    user_id, now = app.caller()["user_id"], utc_now()
    order_sn = new_order_sn(now, f"{secrets.randbelow(10**8):08d}")
    if idempotency_key:
        digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
        reserved, order_sn = table().reserve_order_sn(user_id, idempotency_key, digest, order_sn, now)
        if reserved != digest:
            raise Problem(
                422, "idempotency-key-reused", "This Idempotency-Key was used with another body.", "Take a new key."
            )
        earlier = table().order(order_sn)
        if earlier is not None:
            return _out(earlier)
    user, home = table().user(user_id), table().homestay(body.homestay_id)
    if user is None:
        raise Problem(401, "unauthorized", "This user is not known any more.", "Sign in again.")
    if home is None:
        raise invalid("body.homestay_id", "there is no such homestay")
    try:
        stay = book(
            home,
            start_date=date.fromisoformat(body.start_date),
            end_date=date.fromisoformat(body.end_date),
            people=body.people,
            need_food=body.need_food,
            remark=body.remark,
            today=beijing_day(now),
        )
    except StayRefused as refused:
        raise invalid(f"body.{refused.field}", refused.why) from None
    order = place(
        stay,
        order_sn=order_sn,
        business_id=home.business_id,
        user_id=user_id,
        openid=user.openid,
        attempt=secrets.token_urlsafe(9),
        now=now,
    )
    standing = table().put_order(order)
    if standing is not None:
        if idempotency_key and standing.user_id == user_id:
            return _out(standing)  # a repeat at the same moment was quicker
        raise Problem(503, "try-again", "The order number was taken.", "Send it again.", retry_after_s=1)
    logger.info("order.created", order_sn=order.order_sn, total_fen=order.total_fen)
    count("OrderCreated")
    return _out(order)


@app.get("/orders")
def list_orders(before: Annotated[Instant | None, Query()] = None) -> OrderList:
    """The caller's orders, newest first, twenty a page."""
    orders = table().orders_of(app.caller()["user_id"], PAGE, before)
    return OrderList(
        orders=[_out(order) for order in orders], next=orders[-1].created_at if len(orders) == PAGE else None
    )


@app.get("/orders/<order_sn>")
def get_order(order_sn: OrderSn) -> OrderOut:
    """One order of the caller's."""
    order = table().order(order_sn)
    if order is None or order.user_id != app.caller()["user_id"]:
        raise not_found()
    return _out(order)


@app.post("/orders/<order_sn>/cancel")
def cancel_order(order_sn: OrderSn) -> OrderOut:
    """Cancels an unpaid order. `closing` in the answer: not yet, WeChat has to close its trade first; it will be done.

    409: it is paid, or was. Cancelled already is as good.
    """
    order = table().order(order_sn)
    if order is None or order.user_id != app.caller()["user_id"]:
        raise not_found()
    if order.status is OrderStatus.WAIT_PAY:
        order = close_order(table(), wechat_pay(), order_sn, utc_now())
    if order.status not in {OrderStatus.WAIT_PAY, OrderStatus.CANCELLED}:
        raise Problem(
            409, "order-state", "This order cannot be cancelled now.", "It is paid.", order_status=order.status
        )
    return _out(order)


def _out(order: Order) -> OrderOut:
    stay = order.stay
    return OrderOut(
        order_sn=order.order_sn,
        status=order.status,
        status_code=STATUS_CODE[order.status],
        total_fen=order.total_fen,
        created_at=order.created_at,
        expires_at=order.expires_at,
        closing=order.closing and order.status is OrderStatus.WAIT_PAY,
        paid_at=order.paid_at,
        redeem_code=order.redeem_code,
        refunded_fen=order.refunded_fen,
        refunding_fen=order.refunding_fen,
        stay=StayOut(
            homestay_id=stay.homestay_id,
            title=stay.title,
            start_date=stay.start_date.isoformat(),
            end_date=stay.end_date.isoformat(),
            nights=stay.nights,
            people=stay.people,
            need_food=stay.need_food,
            remark=stay.remark,
            homestay_total_fen=stay.homestay_total_fen,
            food_total_fen=stay.food_total_fen,
        ),
    )


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    return app.resolve(event, context)
