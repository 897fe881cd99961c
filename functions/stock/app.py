"""stock: what staff do with what is sold. See who holds which night and how many seats, hold some back from sale, say
how many there are.

Staff see the offers of their own business, and nothing of others: 404. What they hold back is held like an order's
(R15). Where an edit of an offer leaves more held than there is, that rings: at once, and a minute later, when every
order is written that had read the offer before.
"""

from collections import Counter
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import BaseModel, Field

from payments.domain.offer import Catalogue as CatalogueOf
from payments.domain.stock import (
    MOST_NIGHTS,
    MOST_ROOMS,
    MOST_SEATS,
    SOLD_AHEAD,
    Night,
    Nights,
    Seats,
    Session,
    SoldOut,
    Stock,
    seats_there,
    session_gone,
)
from payments.domain.texts import cleaned
from payments.domain.times import beijing_day
from payments.edge.http import Api, Body, Day, Name, Problem, a_day, invalid, not_found, sold_out, try_again
from payments.edge.observability import count, logger, oversold
from payments.edge.staff import staff_of
from payments.parts import LambdaFunction, Parts
from payments.products.product import Product
from payments.store.catalogue import Found
from payments.store.keys import holder_of
from payments.store.stocks import Block

TRIES = 4

MOST_RUNS = 30
"""Runs of nights in one room that one block may hold: every Saturday of half a year."""

AFTER_AN_EDIT = timedelta(minutes=1)
"""When every order is written that had read an offer before it was edited."""

app: Api[Parts] = Api()


class StockSession(BaseModel):
    """A session; `free` is below 0 where more seats are held than there are."""

    session: str
    minutes: int
    price_fen: int
    seats: int
    held: int
    blocked: int
    free: int


class StockRoom(BaseModel):
    """Who holds a room in a night: an order, or a block of staff."""

    unit: int
    order_sn: str | None
    block_id: str | None


class StockNight(BaseModel):
    """A night; `free` is below 0 where more rooms are held than there are."""

    date: date
    price_fen: int | None
    free: int
    held: list[StockRoom]


class StaffBlock(BaseModel):
    """Nights of one room, or seats, that staff hold back, and why."""

    block_id: str
    reason: str
    by: str
    at: datetime
    nights: list[date]
    session: str | None
    seats: int


class StockOffer(BaseModel):
    """An offer that runs out: so many equal rooms, or sessions with seats."""

    service_type: str
    offer_id: str
    title: str
    on_sale: bool
    rooms: int | None
    sessions: list[dict[str, Any]]


class StockOffers(BaseModel):
    offers: list[StockOffer]


class StockMonth(BaseModel):
    """What is held of an offer in a month, by whom."""

    service_type: str
    offer_id: str
    title: str
    month: str
    rooms: int | None
    nights: list[StockNight]
    sessions: list[StockSession]
    blocks: list[StaffBlock]


class NewBlock(Body):
    """One room for these nights, or so many seats of a session; and why."""

    nights: Annotated[list[Day], Field(max_length=MOST_NIGHTS, default_factory=list)]
    session: Annotated[str, Field(max_length=16)] | None = None
    seats: Annotated[int, Field(ge=0, le=MOST_SEATS)] = 0
    reason: Annotated[str, Field(min_length=1, max_length=40)]


class Capacity(Body):
    """How many equal rooms an offer has, or how many seats a session."""

    rooms: Annotated[int, Field(ge=0, le=MOST_ROOMS)] | None = None
    session: Annotated[str, Field(max_length=16)] | None = None
    seats: Annotated[int, Field(ge=0, le=MOST_SEATS)] | None = None


class CapacitySet(BaseModel):
    """How many there are now; `over`: of which nights or sessions more is held than there is."""

    service_type: str
    offer_id: str
    rooms: int | None
    session: str | None
    seats: int | None
    over: dict[str, int]


@app.get("/merchant/stock")
def list_stock() -> StockOffers:
    """The offers of the caller's business that run out."""
    staff = staff_of(app.caller())
    catalogues = [one.catalogue for one in app.parts.products.values() if one.catalogue and one.catalogue.stock]
    offers = [(one, offer) for one in catalogues for offer in app.parts.store.catalogue.readable(one)]
    return StockOffers(offers=[_stock_offer(catalogue, offer) for catalogue, offer in offers if staff.sees(offer)])


def _stock_offer(catalogue: CatalogueOf[Any], offer: Any) -> StockOffer:
    there = getattr(offer, catalogue.stock or "")
    return StockOffer(
        service_type=catalogue.service_type,
        offer_id=catalogue.id_of(offer),
        title=offer.title,
        on_sale=offer.on_sale,
        rooms=there if isinstance(there, int) else None,
        sessions=[] if isinstance(there, int) else [asdict(one) for one in there],
    )


@app.get("/merchant/stock/<service_type>/<offer_id>")
def get_stock(
    service_type: Name, offer_id: Name, month: Annotated[str, Query(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
) -> StockMonth:
    """What is held of an offer in a month (2026-12), by which order or block."""
    product, catalogue, offer = _offer(service_type, offer_id)
    try:
        first = date.fromisoformat(f"{month}-01")
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    except (ValueError, OverflowError):
        raise invalid("query.month", "a month as in 2026-12") from None
    stock = app.parts.store.stocks.get(service_type, offer_id, first, last)
    blocks = app.parts.store.stocks.blocks(service_type, offer_id)
    for_sale = product.for_sale(offer, first, last)
    gone = [session_gone(name) for name in stock.seats.keys() - {one.name for one in for_sale}]  # held all the same
    blocked = Counter[str]()
    for block in blocks:
        blocked.update(block.holds.seats or {})
    nights = [one for one in for_sale if isinstance(one, Night)]
    sessions = [one for one in (*for_sale, *gone) if isinstance(one, Session)]
    return StockMonth(
        **_stock_offer(catalogue, offer).model_dump(include={"service_type", "offer_id", "title", "rooms"}),
        month=month,
        nights=[
            StockNight(date=one.day, price_fen=one.price_fen, free=stock.free(one), held=_rooms(stock, one))
            for one in nights
        ],
        sessions=[
            StockSession(**asdict(one), held=stock.held(one), blocked=blocked[one.session], free=stock.free(one))
            for one in sorted(sessions, key=lambda one: one.session)
        ],
        blocks=[_block_out(block) for block in blocks],
    )


def _rooms(stock: Stock, night: Night) -> list[StockRoom]:
    held = sorted(stock.nights.get(night.day, {}).items())
    names = [(unit, *holder_of(holder)) for unit, holder in held]
    return [StockRoom(unit=unit, order_sn=order_sn, block_id=block_id) for unit, order_sn, block_id in names]


def _block_out(block: Block) -> StaffBlock:
    session, seats = block.holds.session
    return StaffBlock(
        block_id=block.block_id,
        reason=block.reason,
        by=block.by,
        at=block.at,
        nights=sorted(block.holds.rooms()),
        session=session,
        seats=seats,
    )


@app.post("/merchant/stock/<service_type>/<offer_id>/blocks", status_code=201)
def block(service_type: Name, offer_id: Name, body: NewBlock) -> StaffBlock:
    """Holds one room for some nights, or some seats, back from sale: they are sold elsewhere, or cannot be used.

    409: others hold them; with what is `free`.
    """
    staff, now = staff_of(app.caller()), app.parts.clock()
    product, _, offer = _offer(service_type, offer_id)
    wanted = _wanted(product, offer, offer_id, body)
    reason = cleaned(body.reason, all_planes=True)
    if not reason:
        raise invalid("body.reason", "words that people can read")
    for _ in range(TRIES):
        planned = app.parts.store.stocks.plan(service_type, wanted, MOST_RUNS)
        if isinstance(planned, SoldOut):
            raise sold_out(planned, "Nothing was blocked.")
        made = Block(
            block_id=app.parts.attempt(),
            service_type=service_type,
            holds=planned,
            reason=reason,
            by=staff.user_id,
            at=now,
        )
        if app.parts.store.stocks.block(made, seats_there(wanted)):
            logger.info("stock.blocked", service_type=service_type, offer_id=offer_id, block_id=made.block_id)
            count("StockBlocked")
            return _block_out(made)
    raise try_again("Others were quicker.")


def _wanted(product: Product[Any], offer: Any, offer_id: str, body: NewBlock) -> Nights | Seats:
    """What is to be blocked. 422: the offer has nothing of the kind."""
    if body.session is not None and not body.nights:
        session = _session(product, offer, body.session)
        if not body.seats:
            raise invalid("body.seats", "1 or more")
        return Seats(offer_id=offer_id, session=session.session, seats=body.seats, of=session.seats)
    days = sorted({date.fromisoformat(day) for day in body.nights})
    if not days or body.session is not None or body.seats:
        raise invalid("body.nights", "say nights, or a session and seats")
    today = beijing_day(app.parts.clock())
    if not today <= days[0] <= days[-1] <= today + SOLD_AHEAD:
        raise invalid("body.nights", f"from today on, at most {SOLD_AHEAD.days} days ahead")
    found = [one for one in product.for_sale(offer, days[0], days[-1]) if isinstance(one, Night)]
    if not found:
        raise invalid("body.nights", "this offer has no nights")
    return Nights(offer_id=offer_id, days=days, rooms=found[0].rooms)


def _session(product: Product[Any], offer: Any, name: str) -> Session:
    try:
        day = date.fromisoformat(a_day(name[:10]))
    except ValueError:
        raise invalid("body.session", "when it begins in Beijing, as in 2026-12-05T19:00") from None
    for one in product.for_sale(offer, day, day):
        if isinstance(one, Session) and one.session == name:
            return one
    raise invalid("body.session", "there is no such session")


@app.delete("/merchant/stock/<service_type>/<offer_id>/blocks/<block_id>")
def unblock(service_type: Name, offer_id: Name, block_id: Name) -> StaffBlock:
    """What a block holds is for sale again. 404: there is none, or it is over."""
    staff, now = staff_of(app.caller()), app.parts.clock()
    _offer(service_type, offer_id)
    found = app.parts.store.stocks.get_block(service_type, offer_id, block_id)
    if found is None or found.freed_at is not None:
        raise not_found()
    if not app.parts.store.stocks.unblock(found, staff.user_id, app.parts.attempt(), now):
        raise not_found()
    logger.info("stock.unblocked", service_type=service_type, offer_id=offer_id, block_id=block_id)
    return _block_out(found)


@app.put("/merchant/stock/<service_type>/<offer_id>")
def set_capacity(service_type: Name, offer_id: Name, body: Capacity) -> CapacitySet:
    """Says how many equal rooms an offer has, or how many seats a session, from this moment on.

    409: more is `held` than that; the owner may say so all the same, and an alarm rings.
    """
    staff, now = staff_of(app.caller()), app.parts.clock()
    product, catalogue, offer = _offer(service_type, offer_id)
    value = _changed(product, catalogue, offer, body)
    changed = replace(offer, **{catalogue.stock or "": value})
    if not staff.owner and (held := app.parts.store.stocks.over(product, offer_id, changed, now)):
        raise Problem(409, "fewer-than-held", "More is held than that.", "Only the owner may do so.", held=held)
    if not app.parts.store.catalogue.set_stock(catalogue, offer, value, now + AFTER_AN_EDIT):
        raise try_again(title="The offer has just been changed.")
    logger.info("stock.changed", service_type=service_type, offer_id=offer_id)
    held = app.parts.store.stocks.over(product, offer_id, changed, now)
    if held:
        oversold(service_type, offer_id, held)
    told = {"service_type": service_type, "offer_id": offer_id, **body.model_dump(), "over": held}
    return CapacitySet.model_validate(told)


def _changed(product: Product[Any], catalogue: CatalogueOf[Any], offer: Any, body: Capacity) -> Any:
    """How much there is of the offer, with the change."""
    there = getattr(offer, catalogue.stock or "")
    if body.rooms is not None and body.session is None and body.seats is None:
        if not isinstance(there, int):
            raise invalid("body.rooms", "this offer has sessions with seats: say session and seats")
        return body.rooms
    if body.rooms is None and body.session is not None and body.seats is not None:
        session, seats = _session(product, offer, body.session), body.seats
        return tuple(replace(one, seats=seats) if one == session else one for one in offer.sessions)
    raise invalid("body", "rooms, or session and seats")


def _offer(service_type: str, offer_id: str) -> Found[Product[Any]]:
    """An offer of the caller's business, on sale or not, which may run out."""
    staff = staff_of(app.caller())
    found = app.parts.store.catalogue.find(app.parts.products, service_type, offer_id)
    if found is None or not found.catalogue.stock or not staff.sees(found.offer):
        raise not_found()
    return found


def handle(event: dict[str, Any], parts: Parts) -> Any:
    """Takes an HTTP API request (2.0)."""
    return app.answer(event, parts)


handler = LambdaFunction(handle, "store", "products")
