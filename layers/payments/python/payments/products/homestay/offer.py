"""A night in a homestay: the catalogue's entry, the stay that is bought, its price, what comes back of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from payments.domain.message import Kind
from payments.domain.offer import (
    Catalogue,
    Priced,
    PurchaseRefused,
    Rule,
    a_map_of_days,
    a_switch,
    a_text,
    a_whole_number,
    an_id,
    check,
    or_nothing,
)
from payments.domain.stock import MOST_NIGHTS, MOST_ROOMS, Night, Nights, Session, days_between, night_begins
from payments.domain.texts import Field, for_wechat
from payments.domain.times import BEIJING, beijing_day, end_of_day
from payments.products.product import Models, Product

MAX_DAYS_AHEAD = 365
MAX_ID = 24
MAX_TITLE = 32
MAX_SUBTITLE = 100
MAX_REMARK = 40
MAX_PEOPLE = 100
MAX_DAY_PRICES = 100
MAX_PRICE_FEN = 10**9
"""Ten million yuan: the longest stay of the most people is still a sum."""

WEEKEND = {4, 5}
"""Friday and Saturday, as `date.weekday` has them: the nights before a day without work."""

_PRICE = a_whole_number(1, MAX_PRICE_FEN, "whole fen")

RULES: Mapping[str, Rule] = {
    "homestay_id": an_id(MAX_ID),
    "business_id": an_id(24),
    "title": a_text(1, MAX_TITLE),
    "subtitle": a_text(0, MAX_SUBTITLE),
    "price_fen": or_nothing(_PRICE),
    "weekend_price_fen": or_nothing(_PRICE),
    "day_prices": or_nothing(a_map_of_days(_PRICE, MAX_DAY_PRICES)),
    "market_price_fen": a_whole_number(0, MAX_PRICE_FEN, "whole fen"),
    "food_price_fen": a_whole_number(0, MAX_PRICE_FEN, "whole fen"),
    "capacity": a_whole_number(1, MAX_PEOPLE, "a whole number of people"),
    "rooms": or_nothing(a_whole_number(0, MOST_ROOMS, "a whole number of equal rooms")),
    "free_cancel_days": or_nothing(a_whole_number(0, 60, "whole days before the first one")),
    "free_cancel_hour": or_nothing(a_whole_number(0, 23, "an hour in Beijing")),
    "kept_nights": or_nothing(a_whole_number(0, MOST_NIGHTS, "whole nights")),
    "on_sale": a_switch,
}
"""What each field of a home must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Homestay:
    """A home in the catalogue, of which there are so many equal `rooms`. Prices in fen: the home per night, food per
    person and night.

    A night costs what `day_prices` has for its day (2026-10-01); else, of a Friday or Saturday, `weekend_price_fen`;
    else `price_fen`. A night that none of them prices is not sold. Until `free_cancel_hour` o'clock (Beijing),
    `free_cancel_days` before the first day, a guest who cancels gets all back; then all but the first `kept_nights`.
    """

    homestay_id: str
    business_id: str
    title: str
    subtitle: str
    price_fen: int | None = None
    weekend_price_fen: int | None = None
    day_prices: Mapping[str, int] | None = None
    market_price_fen: int
    food_price_fen: int
    capacity: int
    rooms: int = 1
    free_cancel_days: int = 1
    free_cancel_hour: int = 18
    kept_nights: int = 1
    on_sale: bool

    def __post_init__(self) -> None:
        check(RULES, self, str(self.homestay_id))
        if not self.prices:
            raise ValueError(f"{self.homestay_id}: price_fen: no night has a price; say price_fen, or some day_prices")

    @property
    def prices(self) -> list[int]:
        """Every price that a night of it may have."""
        prices = (self.price_fen, self.weekend_price_fen, *(self.day_prices or {}).values())
        return [price for price in prices if price is not None]

    @property
    def from_fen(self) -> int:
        """What its cheapest night costs."""
        return min(self.prices)

    def price_of(self, night: date) -> int | None:
        """What this night costs; None: it is not sold."""
        if (own := (self.day_prices or {}).get(night.isoformat())) is not None:
            return own
        weekend = self.weekend_price_fen if night.weekday() in WEEKEND else None
        return self.price_fen if weekend is None else weekend


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """What was bought, as it was on the day it was ordered: later changes of the catalogue do not touch it.

    `price_fen` is that of the first night, `room_fen` of all nights (None: each costs as much as the first). All comes
    back until `free_until`, then all but `kept_fen`; None: as homes have it that say nothing of it.
    """

    homestay_id: str
    title: str
    price_fen: int
    food_price_fen: int
    start_date: date
    end_date: date
    people: int
    need_food: bool
    remark: str = ""
    room_fen: int | None = None
    free_until: datetime | None = None
    kept_fen: int | None = None

    @property
    def nights(self) -> int:
        return (self.end_date - self.start_date).days

    @property
    def food_total_fen(self) -> int:
        return self.food_price_fen * self.people * self.nights if self.need_food else 0

    @property
    def homestay_total_fen(self) -> int:
        return self.price_fen * self.nights if self.room_fen is None else self.room_fen

    @property
    def total_fen(self) -> int:
        """The price of each night, and food × people × nights if it is wanted."""
        return self.homestay_total_fen + self.food_total_fen

    def back_fen(self, now: datetime) -> int:
        """What comes back to a guest who cancels now: all, all but the first nights, or nothing once he could be
        there."""
        until = free_until(self.start_date) if self.free_until is None else self.free_until
        if now < until:
            return self.total_fen
        kept = self.price_fen if self.kept_fen is None else self.kept_fen
        return 0 if night_begins(self.start_date) <= now else max(self.total_fen - kept, 0)


def free_until(start: date, days: int = 1, hour: int = 18) -> datetime:
    """Until when all comes back: so many days before the first one, at this hour of Beijing."""
    return datetime.combine(start - timedelta(days=days), time(hour), BEIJING)


def book(
    home: Homestay, *, start_date: date, end_date: date, people: int, need_food: bool, remark: str, today: date
) -> Stay:
    """The stay that is asked for, priced from the catalogue, never by the client. `today` is Beijing's.

    Raises PurchaseRefused.
    """
    if not home.on_sale:
        raise PurchaseRefused("homestay_id", "this homestay is not on sale")
    if start_date < today:
        raise PurchaseRefused("start_date", f"the stay begins in the past (today is {today})")
    if start_date > today + timedelta(days=MAX_DAYS_AHEAD):
        raise PurchaseRefused("start_date", f"at most {MAX_DAYS_AHEAD} days ahead")
    if end_date <= start_date:
        raise PurchaseRefused("end_date", "a stay is one night or more: end_date after start_date")
    if (end_date - start_date).days > MOST_NIGHTS:
        raise PurchaseRefused("end_date", f"at most {MOST_NIGHTS} nights")
    if not 1 <= people <= home.capacity:
        raise PurchaseRefused("people", f"from 1 to {home.capacity} people")
    if len(remark) > MAX_REMARK:
        raise PurchaseRefused("remark", f"at most {MAX_REMARK} characters")
    prices = {night: home.price_of(night) for night in days_between(start_date, end_date)}
    if unpriced := [night for night, price in prices.items() if price is None]:
        field_name = "start_date" if unpriced[0] == start_date else "end_date"
        raise PurchaseRefused(field_name, f"the night of {unpriced[0]} is not sold: it has no price")
    room = [price for price in prices.values() if price is not None]
    return Stay(
        homestay_id=home.homestay_id,
        title=home.title,
        price_fen=room[0],
        room_fen=None if len({*room}) == 1 else sum(room),
        food_price_fen=home.food_price_fen,
        start_date=start_date,
        end_date=end_date,
        people=people,
        need_food=need_food,
        remark=remark,
        free_until=free_until(start_date, home.free_cancel_days, home.free_cancel_hour),
        kept_fen=sum(room[: home.kept_nights]),
    )


class _Homestay(Product[Stay]):
    """Nights in a homestay."""

    service_type = "homestay"
    letters = "HSO"
    purchase = Stay
    catalogue = Catalogue(service_type="homestay", offer=Homestay, named_by="homestay_id", rules=RULES, stock="rooms")
    kinds = {"start": Kind.DAY, "end": Kind.DAY, "nights": Kind.COUNT, "people": Kind.COUNT}  # noqa: RUF012

    def price(self, asked: Mapping[str, Any], offer: Homestay, now: datetime) -> Priced:
        stay = book(
            offer,
            start_date=date.fromisoformat(asked["start_date"]),
            end_date=date.fromisoformat(asked["end_date"]),
            people=asked["people"],
            need_food=asked["need_food"],
            remark=asked["remark"],
            today=beijing_day(now),
        )
        return Priced(
            purchase=stay,
            business_id=offer.business_id,
            total_fen=stay.total_fen,
            usable_until=end_of_day(stay.end_date),
            wanted=Nights(
                offer_id=offer.homestay_id, days=days_between(stay.start_date, stay.end_date), rooms=offer.rooms
            ),
        )

    def for_sale(self, offer: Homestay, first: date, last: date) -> Sequence[Night | Session]:
        days = days_between(first, last + timedelta(days=1))
        return [Night(day=day, rooms=offer.rooms, price_fen=offer.price_of(day)) for day in days]

    def refund_rule(self, purchase: Stay, now: datetime) -> int:
        return purchase.back_fen(now)

    def title(self, purchase: Stay) -> str:
        return purchase.title

    def bill(self, purchase: Stay) -> str:
        return f"{for_wechat(Field.DESCRIPTION, purchase.title)} {purchase.nights}晚"

    def values(self, purchase: Stay) -> Mapping[str, Any]:
        days = {"start": purchase.start_date, "end": purchase.end_date}
        return {**days, "nights": purchase.nights, "people": purchase.people}

    def models(self) -> Models:
        from payments.products.homestay import request

        return Models(order=request.NewStay, guest=request.StayOut, staff=request.StaffStay, offer=request.HomestayOut)


HOMESTAY = _Homestay()
