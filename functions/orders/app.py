"""orders: the catalogue, and a user's orders. The price is always the server's: no request carries an amount.

Cancelling marks the order, closes its trade at WeChat, then cancels (R8). While WeChat cannot be asked, or while
someone is typing the password, it stays marked: `closing` stores the guest's wish, and the janitor cancels it later.

Run twice with one Idempotency-Key: the order and what the key stands for are one write, so a crash, or a repeat on
another phone, ends in the same single order.
"""

import hashlib
from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import BaseModel, Field

from payments.cancellation import Paid, close_order
from payments.domain.order import (
    NEW_ORDERS,
    NEW_ORDERS_WINDOW,
    STATUS_CODE,
    Order,
    OrderStatus,
    new_order_sn,
    place,
    wait_for_next_order,
)
from payments.domain.payment import (
    CALL_PAUSE,
    PaymentStatus,
    quiet,
)
from payments.domain.times import beijing_day
from payments.edge.http import (
    Api,
    Body,
    Day,
    IdempotencyKey,
    Instant,
    OrderSn,
    Problem,
    invalid,
    not_found,
    seconds,
    try_again,
)
from payments.edge.observability import count, logger
from payments.parts import LambdaFunction, Parts
from payments.products.homestay.offer import MAX_REMARK, StayRefused, book
from payments.store.orders import Reservation

PAGE = 20

DRAWS = 4
"""Order numbers that are drawn for one order: two orders of one second share theirs once in a hundred million."""

app: Api[Parts] = Api()


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
    """An order as its owner sees it; redeem_code only while it can be used. `closing`: it is being cancelled;
    `refunding_fen`: what is on its way back; `by_hand_fen`: what the shop gave back outside of WeChat; `stuck_fen`:
    what WeChat could not give back, so that the shop has to; `on_hold`: WeChat says that it was refunded, and the shop
    checks that."""

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
    by_hand_fen: int = 0
    stuck_fen: int = 0
    on_hold: bool = False
    stay: StayOut


class OrderList(BaseModel):
    """Newest first; `next`, if given, is the `before` of the next page."""

    orders: list[OrderOut]
    next: datetime | None = None


@app.get("/homestays")
def list_homestays() -> HomestayList:
    """The homes on sale."""
    homes = app.parts.store.catalogue.on_sale()
    return HomestayList(homestays=[HomestayOut.model_validate(home, from_attributes=True) for home in homes])


@app.post("/orders", status_code=201)
def create_order(body: NewOrder, idempotency_key: IdempotencyKey = None) -> OrderOut:
    """Orders a stay, priced from the catalogue. With an Idempotency-Key a repeat gives the same order. 429: 20 orders
    in 30 minutes are enough for one user; a repeat of one of them is answered all the same."""
    user_id, now = app.caller()["user_id"], app.parts.clock()
    digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    reserved, earlier = _earlier(user_id, idempotency_key, digest)
    if earlier is not None:
        return _out(earlier)
    _check_pace(user_id, now)
    draft = _draft(body, user_id, now)
    for draw in range(DRAWS):
        # A key whose order is not there keeps its number, if nobody else has it.
        number = (
            reserved.order_sn
            if reserved and not draw
            else new_order_sn(now, f"{app.parts.random.randrange(10**8):08d}")
        )
        order = replace(draft, order_sn=number)
        if idempotency_key is None:
            result = app.parts.store.orders.put(order)
        else:
            instead_of = reserved.order_sn if reserved else None
            result = app.parts.store.orders.put_for_key(order, idempotency_key, digest, instead_of)
        if result:
            logger.info("order.created", order_sn=order.order_sn, total_fen=order.total_fen)
            count("OrderCreated")
            return _out(order)
        # A repeat at the same moment was quicker; or the number is taken, and another is drawn.
        reserved, earlier = _earlier(user_id, idempotency_key, digest)
        if earlier is not None:
            return _out(earlier)
    raise try_again("The order number was taken.")


def _earlier(user_id: str, key: str | None, digest: str) -> tuple[Reservation | None, Order | None]:
    """What the caller's Idempotency-Key stands for, and the order, if it is there and his. 422: of another request."""
    reserved = app.parts.store.orders.reservation(user_id, key) if key else None
    if reserved is None:
        return None, None
    if reserved.body_hash != digest:
        raise Problem(
            422, "idempotency-key-reused", "This Idempotency-Key was used with another body.", "Take a new key."
        )
    order = app.parts.store.orders.get(reserved.order_sn)
    return reserved, order if order is not None and order.user_id == user_id else None


def _check_pace(user_id: str, now: datetime) -> None:
    """429 for who has placed NEW_ORDERS orders in NEW_ORDERS_WINDOW."""
    wait = wait_for_next_order(app.parts.store.orders.placed_since(user_id, now - NEW_ORDERS_WINDOW, NEW_ORDERS), now)
    if wait is not None:
        count("OrderThrottled")
        minutes = seconds(NEW_ORDERS_WINDOW) // 60
        told = f"At most {NEW_ORDERS} new orders in {minutes} minutes. Pay or cancel those that you have."
        raise Problem(429, "too-many-orders", "Too many new orders.", told, retry_after_s=seconds(wait))


def _draft(body: NewOrder, user_id: str, now: datetime) -> Order:
    """The order that is asked for, still without its number."""
    user, home = app.parts.store.users.get(user_id), app.parts.store.catalogue.get(body.homestay_id)
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
    return place(
        stay,
        order_sn="",
        business_id=home.business_id,
        user_id=user_id,
        openid=user.openid,
        attempt=app.parts.attempt(),
        now=now,
    )


@app.get("/orders")
def list_orders(before: Annotated[Instant | None, Query()] = None) -> OrderList:
    """The caller's orders, newest first, twenty a page."""
    orders, more = app.parts.store.orders.of_user(app.caller()["user_id"], PAGE, before)
    return OrderList(orders=[_out(order) for order in orders], next=more)


@app.get("/orders/<order_sn>")
def get_order(order_sn: OrderSn) -> OrderOut:
    """One order of the caller's."""
    order = app.parts.store.orders.get(order_sn)
    if order is None or order.user_id != app.caller()["user_id"]:
        raise not_found()
    return _out(order)


@app.post("/orders/<order_sn>/cancel")
def cancel_order(order_sn: OrderSn) -> OrderOut:
    """Cancels an unpaid order. `closing` in the answer: not yet, WeChat has to close its trade first; it will be done.

    409: it is paid, or was. Cancelled already is as good.
    """
    order = app.parts.store.orders.get(order_sn)
    if order is None or order.user_id != app.caller()["user_id"]:
        raise not_found()
    now = app.parts.clock()
    try:
        if order.status is OrderStatus.WAIT_PAY and (not order.closing or _asks_again(order, now)):
            order = close_order(app.parts.store, app.parts.wechat_pay, order_sn, now, marked=order.closing)
    except Paid:
        raise _it_is_paid(order) from None
    if order.status not in {OrderStatus.WAIT_PAY, OrderStatus.CANCELLED}:
        raise _it_is_paid(order)
    return _out(order)


def _it_is_paid(order: Order) -> Problem:
    """`order_status` may still be WAIT_PAY: the money is recorded, and the order follows in a moment."""
    return Problem(409, "order-state", "This order cannot be cancelled now.", "It is paid.", order_status=order.status)


def _asks_again(order: Order, now: datetime) -> bool:
    """Whether a repeated cancel asks WeChat once more: not within CALL_PAUSE of the first, nor of the last question.

    Raises Paid: one of its trades is paid, as the table knows by now.
    """
    collection = app.parts.store.collection(order.order_sn, consistent=True)
    payments = collection.payments if collection else ()
    if any(payment.status is PaymentStatus.SUCCESS for payment in payments):
        raise Paid(f"{order.order_sn} is paid")
    if not quiet(order.closing_since, now):
        return False
    trades = [payment for payment in payments if payment.status is PaymentStatus.NOTPAY]
    return all(
        quiet(trade.asked_at, now) and app.parts.store.payments.claim_query(trade, now, CALL_PAUSE) for trade in trades
    )


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
        redeem_code=order.redeem_code if order.usable else None,
        refunded_fen=order.refunded_fen,
        refunding_fen=order.refunding_fen,
        by_hand_fen=order.by_hand_fen or 0,
        stuck_fen=order.stuck_fen or 0,
        on_hold=bool(order.on_hold),
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


def handle(event: dict[str, Any], parts: Parts) -> Any:
    """Takes an HTTP API request (2.0)."""
    return app.answer(event, parts)


handler = LambdaFunction(handle, "store", "wechat_pay")
