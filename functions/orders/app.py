"""orders: the catalogue with what is free of it, and a user's orders. The price is always the server's: a request may
carry the sum that its page showed, and is refused where that is another one.

A new order holds what it buys in the same write (R15); who comes second is told what is free. Who cancels a paid order
gets back what the product's rule says, at once where that is all of it, else staff decide (R7).

Cancelling marks the order, closes its trade at WeChat, then cancels (R8). While WeChat cannot be asked, or while
someone is typing the password, it stays marked: `closing` stores the guest's wish, and the janitor cancels it later.

Run twice with one Idempotency-Key: the order and what the key stands for are one write, so a crash, or a repeat on
another phone, ends in the same single order.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import BaseModel, ConfigDict, Field

from payments.cancellation import Paid, close_order
from payments.domain.case import Resolution, request_case
from payments.domain.collection import Collection
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
from payments.domain.payment import CALL_PAUSE, Payment, PaymentStatus, quiet
from payments.domain.refund import GIVEN_UP, MAX_REASON, guest_refund, guest_refund_no
from payments.domain.stock import Night, Nights, Seats, SoldOut, has_gone, seats_there
from payments.domain.texts import cleaned
from payments.edge.http import (
    Api,
    Body,
    Day,
    IdempotencyKey,
    Instant,
    Name,
    OrderSn,
    Problem,
    invalid,
    key_reused,
    not_found,
    read_body,
    seconds,
    shown,
    sold_out,
    try_again,
)
from payments.edge.observability import count, freed, logger, unreadable
from payments.parts import LambdaFunction, Parts
from payments.products.product import Product
from payments.store.dynamodb import Conflict, each_readable
from payments.store.items import Standing, Taken, Written
from payments.store.orders import Reservation
from payments.store.purchase import bought, kept

PAGE = 20

TRIES = 4

CANCELLED = "客人取消"
"""What a refund says for a guest who gave no reason."""

DRAWS = 6
"""Tries at one order: each draws a number (two orders of one second share theirs once in a hundred million), and looks
anew at what is free."""

MOST_DAYS = 92
"""What one request for the availability may cover: three months."""

MOST_WISHES = 3
"""How often a guest may ask staff for his money back."""


app: Api[Parts] = Api()


class NightOut(BaseModel):
    """A night: how many rooms are free, and what one costs in fen; null: it is not sold."""

    date: date
    price_fen: int | None
    free: int


class SessionFree(BaseModel):
    """A session, named by its beginning in Beijing: how many of its seats are free, and what one costs in fen."""

    session: str
    minutes: int
    price_fen: int
    seats: int
    free: int


class Availability(BaseModel):
    """What is free of an offer: nights, or the sessions that have not begun."""

    service_type: str
    offer_id: str
    nights: list[NightOut] = []
    sessions: list[SessionFree] = []


class Catalogue(BaseModel):
    """The offers of one product that are on sale, by id."""

    offers: list[dict[str, Any]]


class NewOrder(Body):
    """What is ordered: the other fields are those of the product that `service_type` names. `expected_total_fen`: the
    sum that the guest was shown."""

    model_config = ConfigDict(extra="allow")

    service_type: str
    expected_total_fen: Annotated[int, Field(ge=1)] | None = None


class RefundWish(Body):
    """`dry_run`: only say what would come back. `expected_refund_fen`: the sum that the guest was shown. `reason` is
    for staff, and stands with the refund."""

    dry_run: bool = False
    expected_refund_fen: Annotated[int, Field(ge=0)] | None = None
    reason: Annotated[str, Field(max_length=MAX_REASON)] = ""


class RefundAnswer(BaseModel):
    """`refund_fen`: what the rule of the product gives back now. `needs_staff`: they decide. `state`: shown (nothing
    was done), refunding (it is on its way, and what was bought is given up), asked (staff have it; what was bought
    stays)."""

    order_sn: str
    total_fen: int
    refund_fen: int
    needs_staff: bool
    state: Literal["shown", "refunding", "asked"]


class RefundRequest(BaseModel):
    """What a guest has asked staff for, and what they said. `reason`: why they declined."""

    state: Literal["asked", "declined", "granted"]
    refund_fen: int
    reason: str | None
    asked_at: datetime


class OrderOut(BaseModel):
    """An order as its owner sees it: `purchase` is what was bought, in the fields of its `service_type`; redeem_code
    only while it can be used. `closing`: it is being cancelled; `refunding_fen`: what is on its way back;
    `by_hand_fen`: what the shop gave back outside of WeChat; `stuck_fen`: what WeChat could not give back, so that the
    shop has to; `on_hold`: WeChat says that it was refunded, and the shop checks that; `given_up`: what was bought is
    given up, and has no code any more; `refund_request`: only of one order that is asked for."""

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
    given_up: bool = False
    refund_request: RefundRequest | None = None
    purchase: dict[str, Any]


class OrderList(BaseModel):
    """Newest first; `next`, if given, is the `before` of the next page."""

    orders: list[OrderOut]
    next: datetime | None = None


@app.get("/catalogue/<service_type>")
def list_offers(service_type: Name) -> Catalogue:
    """What is on sale of one product. 404: there is no such product, or it has no catalogue."""
    product = app.parts.products.get(service_type)
    catalogue, model = (product.catalogue, product.models().offer) if product else (None, None)
    if product is None or catalogue is None or model is None:
        raise not_found()
    offers, now = app.parts.store.catalogue.on_sale(catalogue), app.parts.clock()
    return Catalogue(offers=[shown(model, product.shown_now(offer, now)) for offer in offers])


@app.get("/catalogue/<service_type>/<offer_id>/availability")
def availability(
    service_type: Name,
    offer_id: Name,
    first: Annotated[Day, Query(alias="from")],
    last: Annotated[Day, Query(alias="to")],
) -> Availability:
    """What is free of an offer, and what it costs, from one day to another (both Beijing's, both included), as it is at
    this moment. 404: there is no such offer on sale, or nothing of it runs out."""
    now = app.parts.clock()
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    if not begin <= end < begin + timedelta(days=MOST_DAYS):
        raise invalid("query.to", f"the day of `from` or a later one, at most {MOST_DAYS} days in all")
    found = app.parts.store.catalogue.find(app.parts.products, service_type, offer_id)
    if found is None or not found.offer.on_sale:
        raise not_found()
    product, _, offer = found
    stock = app.parts.store.stocks.get(service_type, offer_id, begin, end)
    nights, sessions = [], []
    for one in product.for_sale(offer, begin, end):
        free = 0 if has_gone(one, now) else max(stock.free(one), 0)
        if isinstance(one, Night):
            nights.append(NightOut(date=one.day, price_fen=one.price_fen, free=free))
        elif not has_gone(one, now):
            sessions.append(SessionFree.model_validate({**asdict(one), "free": free}))
    return Availability(service_type=service_type, offer_id=offer_id, nights=nights, sessions=sessions)


@app.post("/orders", status_code=201)
def create_order(body: NewOrder, idempotency_key: IdempotencyKey = None) -> OrderOut:
    """Orders what the product of `service_type` sells, priced by the server, and holds it until the order ends. With an
    Idempotency-Key a repeat gives the same order. 409: it is sold out (with what is `free`), or costs another sum than
    the guest was shown. 429: 20 orders in 30 minutes are enough for one user; a repeat of one of them is answered all
    the same."""
    user_id, now = app.caller()["user_id"], app.parts.clock()
    product, asked = _asked(body)
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    reserved, earlier = _earlier(user_id, idempotency_key, digest)
    if earlier is not None:
        return _out(earlier)
    _check_pace(user_id, now)
    draft, wanted = _draft(product, asked, user_id, now)
    _check_sum(body, draft)
    conflict: Conflict | None = None
    for draw in range(DRAWS):
        # A key whose order is not there keeps its number, if nobody else has it.
        drawn = new_order_sn(product.letters, now, f"{app.parts.random.randrange(10**8):08d}")
        order_sn = reserved.order_sn if reserved and not draw else drawn
        holds = app.parts.store.stocks.plan(product.service_type, wanted) if wanted else None
        if isinstance(holds, SoldOut):
            # By a repeat at the same moment, perhaps: then its order is the answer.
            reserved, earlier = _earlier(user_id, idempotency_key, digest)
            if earlier is not None:
                return _out(earlier)
            count("SoldOut")
            raise sold_out(holds)
        order = replace(draft, order_sn=order_sn, holds=holds)
        try:
            result = _put(order, wanted, idempotency_key, digest, reserved)
        except Conflict as error:  # others write to the same nights or seats: are any left?
            conflict = error
            continue
        if result:
            logger.info("order.created", order_sn=order.order_sn, total_fen=order.total_fen)
            count("OrderCreated")
            return _out(order)
        # A repeat at the same moment was quicker; or the number, the room or the seats are taken.
        reserved, earlier = _earlier(user_id, idempotency_key, digest)
        if earlier is not None:
            return _out(earlier)
    if conflict:
        raise conflict
    raise try_again("Others were quicker.")


def _put(
    order: Order, wanted: Nights | Seats | None, key: str | None, digest: str, reserved: Reservation | None
) -> Written | Taken | Standing[Order | None]:
    of_seats = seats_there(wanted)
    if key is None:
        return app.parts.store.orders.put(order, of_seats)
    return app.parts.store.orders.put_for_key(order, key, digest, reserved.order_sn if reserved else None, of_seats)


def _check_sum(body: NewOrder, draft: Order) -> None:
    """409 where the guest was shown another sum."""
    if body.expected_total_fen not in (None, draft.total_fen):
        sums = {"expected_total_fen": body.expected_total_fen, "total_fen": draft.total_fen}
        raise Problem(409, "price-changed", "It costs another sum by now.", "Nothing was ordered.", **sums)


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
    return product, read_body(product.models().order, body.model_dump(exclude={"expected_total_fen"}))


def _draft(
    product: Product[Any], asked: Mapping[str, Any], user_id: str, now: datetime
) -> tuple[Order, Nights | Seats | None]:
    """The order that is asked for, still without its number and what it holds; and what it wants to hold."""
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
    draft = place(
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
    return draft, priced.wanted


@app.get("/orders")
def list_orders(before: Annotated[Instant | None, Query()] = None) -> OrderList:
    """The caller's orders, newest first, twenty a page."""
    orders, more = app.parts.store.orders.of_user(app.caller()["user_id"], PAGE, before)
    return OrderList(orders=each_readable(_out, orders, unreadable), next=more)


@app.get("/orders/<order_sn>")
def get_order(order_sn: OrderSn) -> OrderOut:
    """One order of the caller's, with what became of his wish to get his money back."""
    collection = _collection(order_sn)
    return _out(collection.order, _last_wish(collection))


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


@app.post("/orders/<order_sn>/refund-request")
def request_refund(order_sn: OrderSn, body: RefundWish) -> RefundAnswer:
    """Cancels a paid order: what the rule of its product gives back is shown (`dry_run`), or done at once where that is
    all of it; else staff are asked. Twice is the same as once.

    409: it is not paid, was used or refunded, money of it is on its way back, or another sum than the guest was shown.
    """
    now = app.parts.clock()
    for _ in range(TRIES):
        collection = _collection(order_sn)
        order, payment = collection.order, collection.payment(collection.order.paid_by)
        earlier = collection.refund(guest_refund_no(payment)) if payment else None
        if earlier is not None and earlier.status in GIVEN_UP:
            detail = "WeChat did not do the refund; the shop has been told."
            raise Problem(409, "order-state", "This cannot be asked back now.", detail, order_status=order.status)
        if earlier is not None:
            return _refund_answer(order, earlier.amount_fen, "refunding")
        asked = next((case for case in collection.requests() if case.open), None)
        if asked is not None:
            return _refund_answer(order, asked.amount_fen, "asked")
        if payment is None or not order.usable or order.refunding_fen:
            detail = "It is not paid, was used or given up, or a refund of it is on its way."
            raise Problem(409, "order-state", "This cannot be asked back now.", detail, order_status=order.status)
        product, purchase = bought(order, app.parts.products)
        left = order.refundable_fen or 0
        fen = max(product.refund_rule(purchase, now) - (order.total_fen - left), 0)  # what is back is part of it
        whole = fen == order.total_fen
        if body.dry_run:
            return _refund_answer(order, fen, "shown", needs_staff=not whole)
        if body.expected_refund_fen not in (None, fen):
            sums = {"expected_refund_fen": body.expected_refund_fen, "refund_fen": fen}
            raise Problem(409, "price-changed", "Another sum comes back by now.", "Nothing was done.", **sums)
        if whole:
            done = _cancel_paid(collection, payment, body.reason, now)
        else:
            done = _ask_staff(collection, payment, fen, body.reason, now)
        if done:
            return _refund_answer(order, fen, "refunding" if whole else "asked")
    raise try_again(title="The order keeps changing.")


def _cancel_paid(collection: Collection, payment: Payment, reason: str, now: datetime) -> bool:
    """All of it goes back, and all that has not begun is given up, in one write (R7). False: it has changed."""
    order = collection.order
    reason = reason or CANCELLED
    refund = guest_refund(payment, reason=reason, user_id=order.user_id, now=now, gives_up=order.unbegun(now))
    written = app.parts.store.refunds.request(order, refund, now, ends=True)
    if written:
        freed(written, order.order_sn)
        logger.info("refund.requested", out_refund_no=refund.out_refund_no, amount_fen=refund.amount_fen)
        count("RefundRequestedByGuest")
    return bool(written)


def _ask_staff(collection: Collection, payment: Payment, fen: int, reason: str, now: datetime) -> bool:
    """Staff get a case; nothing is refunded or freed. False: another call has just opened one."""
    order, wishes = collection.order, collection.requests()
    if len(wishes) >= MOST_WISHES:
        raise Problem(409, "too-many-requests", "The shop has answered this.", f"At most {MOST_WISHES} times.")
    unbegun = order.unbegun(now)
    told = unbegun.told() if unbegun else ""
    said = cleaned(reason, all_planes=True)
    case = request_case(payment, len(wishes) + 1, amount_fen=fen, gives_up=told, reason=said, now=now)
    if not app.parts.store.cases.open(case):
        return False
    logger.warning("case.opened", order_sn=order.order_sn, kind=case.kind)
    count("RefundAskedFor")
    return True


def _refund_answer(
    order: Order, fen: int, state: Literal["shown", "refunding", "asked"], *, needs_staff: bool | None = None
) -> RefundAnswer:
    return RefundAnswer(
        order_sn=order.order_sn,
        total_fen=order.total_fen,
        refund_fen=fen,
        needs_staff=state == "asked" if needs_staff is None else needs_staff,
        state=state,
    )


def _last_wish(collection: Collection) -> RefundRequest | None:
    """What the guest last asked staff for."""
    states: dict[Resolution | None, Literal["asked", "declined", "granted"]]
    states = {None: "asked", Resolution.DECLINED: "declined", Resolution.GRANTED: "granted"}
    for case in reversed(collection.requests()):
        if case.resolution in states:
            reason = case.reference if case.resolution is Resolution.DECLINED else None
            return RefundRequest(
                state=states[case.resolution], refund_fen=case.amount_fen, reason=reason, asked_at=case.opened_at
            )
    return None


def _collection(order_sn: str) -> Collection:
    """An order of the caller's, with all that belongs to it."""
    collection = app.parts.store.collection(order_sn, consistent=True)
    if collection is None or collection.order.user_id != app.caller()["user_id"]:
        raise not_found()
    return collection


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


def _out(order: Order, wish: RefundRequest | None = None) -> OrderOut:
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
        given_up=bool(order.given_up),
        refund_request=wish,
        purchase=shown(product.models().guest, purchase),
    )


def handle(event: dict[str, Any], parts: Parts) -> Any:
    """Takes an HTTP API request (2.0)."""
    return app.answer(event, parts)


handler = LambdaFunction(handle, "store", "wechat_pay", "products")
