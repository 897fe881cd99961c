"""orders: the catalogue, and a user's orders. The price is always the server's: no request carries an amount.

Cancelling marks the order, closes its trade at WeChat, then cancels (R8). While WeChat cannot be asked, or while
someone is typing the password, it stays marked: `closing` stores the guest's wish, and the janitor cancels it later.

Run twice with one Idempotency-Key: the order and what the key stands for are one write, so a crash, or a repeat on
another phone, ends in the same single order.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import BaseModel, ConfigDict

from payments.cancellation import Paid, close_order
from payments.domain.offer import PurchaseRefused
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
from payments.domain.payment import CALL_PAUSE, PaymentStatus, quiet
from payments.edge.http import (
    Api,
    Body,
    IdempotencyKey,
    Instant,
    OrderSn,
    Problem,
    invalid,
    key_reused,
    not_found,
    read_body,
    seconds,
    shown,
    try_again,
)
from payments.edge.observability import count, logger, unreadable
from payments.parts import LambdaFunction, Parts
from payments.products.product import Product
from payments.store.dynamodb import UnreadableItem
from payments.store.orders import Reservation
from payments.store.purchase import bought, kept

PAGE = 20

DRAWS = 4
"""Order numbers that are drawn for one order: two orders of one second share theirs once in a hundred million."""


app: Api[Parts] = Api()


class Catalogue(BaseModel):
    """The offers of one product that are on sale, by id."""

    offers: list[dict[str, Any]]


class NewOrder(Body):
    """What is ordered: the other fields are those of the product that `service_type` names."""

    model_config = ConfigDict(extra="allow")

    service_type: str


class OrderOut(BaseModel):
    """An order as its owner sees it: `purchase` is what was bought, in the fields of its `service_type`; redeem_code
    only while it can be used. `closing`: it is being cancelled; `refunding_fen`: what is on its way back;
    `by_hand_fen`: what the shop gave back outside of WeChat; `stuck_fen`: what WeChat could not give back, so that the
    shop has to; `on_hold`: WeChat says that it was refunded, and the shop checks that."""

    order_sn: str
    service_type: str
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
    purchase: dict[str, Any]


class OrderList(BaseModel):
    """Newest first; `next`, if given, is the `before` of the next page."""

    orders: list[OrderOut]
    next: datetime | None = None


@app.get("/catalogue/<service_type>")
def list_offers(service_type: Annotated[str, Path(pattern=r"^[0-9A-Za-z_-]{1,40}$")]) -> Catalogue:
    """What is on sale of one product. 404: there is no such product, or it has no catalogue."""
    product = app.parts.products.get(service_type)
    catalogue, model = (product.catalogue, product.models().offer) if product else (None, None)
    if catalogue is None or model is None:
        raise not_found()
    offers = app.parts.store.catalogue.on_sale(catalogue)
    return Catalogue(offers=[shown(model, offer) for offer in offers])


@app.post("/orders", status_code=201)
def create_order(body: NewOrder, idempotency_key: IdempotencyKey = None) -> OrderOut:
    """Orders what the product of `service_type` sells, priced by the server. With an Idempotency-Key a repeat gives the
    same order. 429: 20 orders in 30 minutes are enough for one user; a repeat of one of them is answered all the
    same."""
    user_id, now = app.caller()["user_id"], app.parts.clock()
    product, asked = _asked(body)
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    reserved, earlier = _earlier(user_id, idempotency_key, digest)
    if earlier is not None:
        return _out(earlier)
    _check_pace(user_id, now)
    draft = _draft(product, asked, user_id, now)
    for draw in range(DRAWS):
        # A key whose order is not there keeps its number, if nobody else has it.
        drawn = new_order_sn(product.letters, now, f"{app.parts.random.randrange(10**8):08d}")
        order = replace(draft, order_sn=reserved.order_sn if reserved and not draw else drawn)
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
        raise key_reused()
    order = app.parts.store.orders.get(reserved.order_sn)
    return reserved, order if order is not None and order.user_id == user_id else None


def _check_pace(user_id: str, now: datetime) -> None:
    """429 for who has placed NEW_ORDERS orders in NEW_ORDERS_WINDOW."""
    wait = wait_for_next_order(app.parts.store.orders.placed_since(user_id, now - NEW_ORDERS_WINDOW, NEW_ORDERS), now)
    if wait is not None:
        count("OrderThrottled")
        minutes = seconds(NEW_ORDERS_WINDOW) // 60
        detail = f"At most {NEW_ORDERS} new orders in {minutes} minutes. Pay or cancel those that you have."
        raise Problem(429, "too-many-orders", "Too many new orders.", detail, retry_after_s=seconds(wait))


def _asked(body: NewOrder) -> tuple[Product[Any], Mapping[str, Any]]:
    """The product that is asked for, and the fields of its request. 422: it is none, or a field is not valid."""
    product = app.parts.products.get(body.service_type)
    if product is None:
        raise invalid("body.service_type", f"one of {', '.join(app.parts.products)}")
    return product, read_body(product.models().order, body.model_dump())


def _draft(product: Product[Any], asked: Mapping[str, Any], user_id: str, now: datetime) -> Order:
    """The order that is asked for, still without its number."""
    user, catalogue, offer = app.parts.store.users.get(user_id), product.catalogue, None
    if user is None:
        raise Problem(401, "unauthorized", "This user is not known any more.", "Sign in again.")
    if catalogue is not None:
        offer = app.parts.store.catalogue.get(catalogue, asked[catalogue.named_by])
        if offer is None:
            raise invalid(f"body.{catalogue.named_by}", f"there is no such {product.service_type}")
    try:
        priced = product.price(asked, offer, now)
    except PurchaseRefused as refused:
        raise invalid(f"body.{refused.field}", refused.why) from None
    return place(
        priced,
        kept(priced.purchase),
        order_sn="",
        service_type=product.service_type,
        redeemed=product.redeemed,
        user_id=user_id,
        openid=user.openid,
        attempt=app.parts.attempt(),
        now=now,
    )


@app.get("/orders")
def list_orders(before: Annotated[Instant | None, Query()] = None) -> OrderList:
    """The caller's orders, newest first, twenty a page."""
    orders, more = app.parts.store.orders.of_user(app.caller()["user_id"], PAGE, before)
    return OrderList(orders=[*_readable(orders)], next=more)


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
    trades = [one for one in payments if one.status is PaymentStatus.NOTPAY]
    claim = app.parts.store.payments.claim_query
    return all(quiet(trade.asked_at, now) and claim(trade, now, CALL_PAUSE) for trade in trades)


def _readable(orders: Iterable[Order]) -> Iterator[OrderOut]:
    """The orders whose purchase can be read: one that cannot hides no other."""
    for order in orders:
        try:
            yield _out(order)
        except UnreadableItem as error:
            unreadable(error)


def _out(order: Order) -> OrderOut:
    product, purchase = bought(order, app.parts.products)
    return OrderOut(
        service_type=order.service_type,
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
        purchase=shown(product.models().guest, purchase),
    )


def handle(event: dict[str, Any], parts: Parts) -> Any:
    """Takes an HTTP API request (2.0)."""
    return app.answer(event, parts)


handler = LambdaFunction(handle, "store", "wechat_pay", "products")
