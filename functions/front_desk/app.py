"""front_desk: what staff do with a guest before them. See who arrives on a day or comes to a session, look an order up
by its number or its check-in code, redeem the code.

Staff see the orders of their own business, and nothing of others: 404. A code is redeemed once: the write's condition
decides, and whoever comes second reads who redeemed it. Run twice by one attempt it is redeemed once (R11).
"""

from datetime import date, datetime, timedelta
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import BaseModel, Field

from payments.domain.collection import Collection
from payments.domain.order import ORDER_SN, STATUS_CODE, Order, OrderStatus, read_code
from payments.domain.shipping import look_after_redemption
from payments.edge.http import (
    NAME,
    Api,
    Body,
    Day,
    OrderSn,
    Problem,
    decoded,
    encoded,
    invalid,
    not_found,
    seconds,
    shown,
)
from payments.edge.observability import count, logger, unreadable
from payments.edge.staff import Staff, StaffCase, StaffRefund, case_out, on_hold, refund_out, staff_of
from payments.parts import LambdaFunction, Parts
from payments.store.dynamodb import each_readable
from payments.store.items import Standing
from payments.store.purchase import bought

GUESSES, GUESS_PAUSE = 10, timedelta(seconds=5)
"""Wrong codes that may be tried at once, and after how long one more: of 32^10 codes nobody finds one, and a right code
waits five seconds at most."""

ARRIVALS = 100
"""Orders on a page."""

NameAsked = Annotated[str | None, Query(pattern=NAME)]

app: Api[Parts] = Api()


class StaffHolds(BaseModel):
    """What an order holds of its offer's stock: nights, or seats of a session."""

    nights: list[date] = []
    session: str | None = None
    seats: int = 0


class StaffOrder(BaseModel):
    """An order as staff see it: no code, no openid; `purchase` is what was bought, in the fields of its `service_type`.
    Sums in fen. `on_hold`: WeChat says that it was refunded, and no refund is known here: its case waits, and it is
    neither redeemed nor refunded. `given_up`: its guest has given it up, and it is not redeemed."""

    order_sn: str
    service_type: str
    status: str
    status_code: int
    total_fen: int
    refundable_fen: int
    refunded_fen: int
    by_hand_fen: int
    stuck_fen: int
    on_hold: bool
    created_at: datetime
    paid_at: datetime | None
    used_at: datetime | None
    used_by: str | None
    given_up: bool
    holds: StaffHolds
    purchase: dict[str, Any]


class StaffPayment(BaseModel):
    out_trade_no: str
    status: str
    transaction_id: str | None
    success_time: datetime | None


class StaffOrderDetails(StaffOrder):
    payments: list[StaffPayment]
    refunds: list[StaffRefund]
    cases: list[StaffCase]


class OrdersFound(BaseModel):
    """Nearly always one: two orders may have the same code, then a person has to choose."""

    orders: list[StaffOrderDetails]


class Lookup(Body):
    """A check-in code as it was typed or scanned, or an order's number."""

    code: Annotated[str, Field(min_length=1, max_length=64)]


class Redemption(Body):
    """`order_sn` only where two orders have the same code."""

    code: Annotated[str, Field(min_length=1, max_length=64)]
    order_sn: str | None = None


# --- orders


@app.get("/merchant/orders/<order_sn>")
def get_order(order_sn: OrderSn) -> StaffOrderDetails:
    """An order with its payments, refunds and cases."""
    return _details(staff_of(app.caller()).collection(app.parts.store, order_sn))


@app.post("/merchant/lookups")
def look_up(body: Lookup) -> OrdersFound:
    """The orders with a check-in code, or a number; nothing is redeemed. 404: unknown. 429: too many wrong codes."""
    staff, text = staff_of(app.caller()), body.code.strip()
    numbers = [text] if ORDER_SN.fullmatch(text) else [order.order_sn for order in _found(_code(text), staff)]
    if not numbers:
        raise not_found()
    return OrdersFound(orders=[_details(staff.collection(app.parts.store, order_sn)) for order_sn in numbers])


def _details(collection: Collection) -> StaffOrderDetails:
    return StaffOrderDetails(
        **_order_out(collection.order).model_dump(),
        payments=[StaffPayment.model_validate(payment, from_attributes=True) for payment in collection.payments],
        refunds=[refund_out(refund) for refund in collection.refunds],
        cases=[case_out(case) for case in collection.cases],
    )


class Arrivals(BaseModel):
    """In the order of their sessions; `next`, if given, is the `after` of the next page."""

    arrivals: list[StaffOrder]
    next: str | None = None


@app.get("/merchant/arrivals")
def arrivals(
    day: Annotated[Day, Query(alias="date")],
    service_type: NameAsked = None,
    offer_id: NameAsked = None,
    session: Annotated[str | None, Query(pattern=r"^[0-9T:-]{16}$")] = None,
    after: Annotated[str | None, Query(pattern=r"^[0-9A-Za-z_-]{1,300}$")] = None,
) -> Arrivals:
    """The paid orders whose use begins on a day (Beijing's); with all three names, those of one session: who comes
    through its door."""
    staff = staff_of(app.caller())
    if (session is None) != (offer_id is None) or (session is not None and service_type is None):
        raise invalid("query.session", "service_type, offer_id and session together, or none of them")
    if session is not None and not session.startswith(day):
        raise invalid("query.session", "a session of this date")
    place = None if session is None else f"{session}#{service_type}#{offer_id}"
    orders, more = _arrivals(staff, day, place, _after(after, place or day))
    wanted = [order for order in orders if service_type in (None, order.service_type)]
    return Arrivals(
        arrivals=each_readable(_order_out, wanted, unreadable), next=encoded("\n".join(more)) if more else None
    )


def _arrivals(
    staff: Staff, day: str, place: str | None, after: tuple[str, str, str] | None
) -> tuple[list[Order], tuple[str, str, str] | None]:
    """A page of the arrivals of the caller's business, or of all, one business after the other, for the owner; and
    where the next page begins: the business, the place among its arrivals, the order's number."""
    found: list[Order] = []
    for business in _businesses(staff):
        if after and business < after[0]:
            continue
        behind = after[1:] if after and business == after[0] else None
        orders, more = app.parts.store.orders.arrivals(business, day, place, behind, ARRIVALS)
        found += orders
        if more:
            return found, (business, *more)
    return found, None


def _after(text: str | None, begins: str) -> tuple[str, str, str] | None:
    """Where an earlier page has ended. 422: it is no such place."""
    try:
        names = decoded(text).split("\n") if text else []
    except ValueError:
        names = [""]
    if not names:
        return None
    if len(names) != 3 or not names[1].startswith(begins) or not ORDER_SN.fullmatch(names[2]):
        raise invalid("query.after", "the next of an earlier page")
    business, arrives, order_sn = names
    return business, arrives, order_sn


def _businesses(staff: Staff) -> list[str]:
    """Those whose orders the caller sees: for the owner, all that have something in the catalogue."""
    if not staff.owner:
        return [staff.business_id]
    catalogues = [product.catalogue for product in app.parts.products.values() if product.catalogue]
    offers = [offer for catalogue in catalogues for offer in app.parts.store.catalogue.readable(catalogue)]
    return sorted({offer.business_id for offer in offers if offer.business_id})


# --- redemption


@app.post("/merchant/redemptions")
def redeem(body: Redemption) -> StaffOrder:
    """Redeems a check-in code, once. 404: unknown. 409: used, expired, refunded. 429: too many wrong codes."""
    staff = staff_of(app.caller())
    if ORDER_SN.fullmatch(body.code.strip()):
        raise _order_number(body.code.strip(), staff)
    orders = _found(_code(body.code), staff)
    if body.order_sn:
        orders = [order for order in orders if order.order_sn == body.order_sn]
    if len(orders) > 1:
        numbers = [order.order_sn for order in orders]
        raise Problem(409, "code-twice", "Two orders have this code.", "Send the order_sn with it.", orders=numbers)
    if not orders:
        raise not_found()
    order, attempt, now = orders[0], app.parts.attempt(), app.parts.clock()
    bought(order, app.parts.products)  # what cannot be shown is not redeemed
    look = look_after_redemption(order, app.parts.settings.shipping_record, now)
    match app.parts.store.orders.redeem(order.order_sn, staff.user_id, attempt, now, look):
        case Standing(standing):
            raise _not_redeemed(standing or order)
    logger.info("order.redeemed", order_sn=order.order_sn, staff=staff.user_id)
    count("OrderRedeemed")
    return _order_out(app.parts.store.orders.get(order.order_sn) or order)


def _code(text: str) -> str:
    code = read_code(text)
    if code is None:
        raise invalid("body.code", "a code has ten letters and digits; it stands in the guest's message")
    return code


def _found(code: str, staff: Staff) -> list[Order]:
    """The orders of the caller's business with this code; one more wrong guess if there are none."""
    now = app.parts.clock()
    guesser = f"{staff.business_id}#{staff.user_id}#{staff.session}"
    match app.parts.store.guesses.take(guesser, now, GUESS_PAUSE, GUESSES):
        case Standing(free_at):
            count("RedeemThrottled")
            wait = seconds(free_at - now)
            detail = f"Try again in {wait} s."
            raise Problem(429, "too-many-guesses", "Too many wrong codes.", detail, retry_after_s=wait)
    orders = [order for order in app.parts.store.orders.by_code(code) if staff.sees(order)]
    if orders:
        app.parts.store.guesses.forgive(guesser, now, GUESS_PAUSE)
    return orders


def _order_number(order_sn: str, staff: Staff) -> Problem:
    """Someone typed the number of an order where its code belongs."""
    order = staff.collection(app.parts.store, order_sn).order
    if order.status is OrderStatus.WAIT_PAY:
        detail = "It gets its code when it is."
        return Problem(409, "order-not-paid", "This order is not paid yet.", detail, order_status=order.status)
    return invalid("body.code", "this is the order's number; the code stands in the guest's message")


def _not_redeemed(order: Order) -> Problem:
    """Why a code is not good, from the stored order that made the redemption fail."""
    state: dict[str, Any] = {"order_sn": order.order_sn, "order_status": order.status}
    match order.status:
        case OrderStatus.USED:
            detail = f"{order.entered_at(OrderStatus.USED)}, by {order.used_by}."
            return Problem(409, "code-used", "This code has been redeemed.", detail, **state)
        case OrderStatus.EXPIRED:
            return Problem(409, "code-expired", "Its time is over; the code has expired.", **state)
        case OrderStatus.REFUNDED:
            return Problem(409, "code-refunded", "The order is refunded.", **state)
    if order.on_hold:
        return on_hold(order)
    if order.given_up:
        return Problem(409, "given-up", "The guest has given this up.", "It was refunded as agreed.", **state)
    return Problem(409, "refund-in-flight", "All of this order is being refunded.", **state)


def _order_out(order: Order) -> StaffOrder:
    product, purchase = bought(order, app.parts.products)
    return StaffOrder(
        service_type=order.service_type,
        order_sn=order.order_sn,
        status=order.status,
        status_code=STATUS_CODE[order.status],
        total_fen=order.total_fen,
        refundable_fen=order.refundable_fen or 0,
        refunded_fen=order.refunded_fen,
        by_hand_fen=order.by_hand_fen or 0,
        stuck_fen=order.stuck_fen or 0,
        on_hold=bool(order.on_hold),
        created_at=order.created_at,
        paid_at=order.paid_at,
        used_at=order.entered_at(OrderStatus.USED),
        used_by=order.used_by,
        given_up=bool(order.given_up),
        holds=_holds_out(order),
        purchase=shown(product.models().staff, purchase),
    )


def _holds_out(order: Order) -> StaffHolds:
    held = order.holds
    if held is None:
        return StaffHolds()
    session, seats = held.session
    return StaffHolds(nights=sorted(held.rooms()), session=session, seats=seats)


def handle(event: dict[str, Any], parts: Parts) -> Any:
    """Takes an HTTP API request (2.0)."""
    return app.answer(event, parts)


handler = LambdaFunction(handle, "store", "products")
