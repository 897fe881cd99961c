"""A night in a homestay: the catalogue's entry, the stay that is bought, its price."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from payments.domain.message import Kind
from payments.domain.offer import (
    Catalogue,
    Priced,
    PurchaseRefused,
    Rule,
    a_switch,
    a_text,
    a_whole_number,
    an_id,
    check,
)
from payments.domain.texts import Field, for_wechat
from payments.domain.times import beijing_day, end_of_day
from payments.products.product import Models, Product

MAX_NIGHTS = 90
MAX_DAYS_AHEAD = 365
MAX_TITLE = 32
MAX_SUBTITLE = 100
MAX_REMARK = 40
MAX_PEOPLE = 100
MAX_PRICE_FEN = 10**9
"""Ten million yuan: the longest stay of the most people is still a sum."""

RULES: Mapping[str, Rule] = {
    "homestay_id": an_id(40),
    "business_id": an_id(24),
    "title": a_text(1, MAX_TITLE),
    "subtitle": a_text(0, MAX_SUBTITLE),
    "price_fen": a_whole_number(1, MAX_PRICE_FEN, "whole fen"),
    "market_price_fen": a_whole_number(0, MAX_PRICE_FEN, "whole fen"),
    "food_price_fen": a_whole_number(0, MAX_PRICE_FEN, "whole fen"),
    "capacity": a_whole_number(1, MAX_PEOPLE, "a whole number of people"),
    "on_sale": a_switch,
}
"""What each field of a home must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Homestay:
    """A home in the catalogue. Prices in fen: the home per night, food per person and night."""

    homestay_id: str
    business_id: str
    title: str
    subtitle: str
    price_fen: int
    market_price_fen: int
    food_price_fen: int
    capacity: int
    on_sale: bool

    def __post_init__(self) -> None:
        check(RULES, self, str(self.homestay_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """What was bought, as it was on the day it was ordered: later changes of the catalogue do not touch it."""

    homestay_id: str
    title: str
    price_fen: int
    food_price_fen: int
    start_date: date
    end_date: date
    people: int
    need_food: bool
    remark: str = ""

    @property
    def nights(self) -> int:
        return (self.end_date - self.start_date).days

    @property
    def food_total_fen(self) -> int:
        return self.food_price_fen * self.people * self.nights if self.need_food else 0

    @property
    def homestay_total_fen(self) -> int:
        return self.price_fen * self.nights

    @property
    def total_fen(self) -> int:
        """Nights × price, and food × people × nights if it is wanted."""
        return self.homestay_total_fen + self.food_total_fen


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
    if (end_date - start_date).days > MAX_NIGHTS:
        raise PurchaseRefused("end_date", f"at most {MAX_NIGHTS} nights")
    if not 1 <= people <= home.capacity:
        raise PurchaseRefused("people", f"from 1 to {home.capacity} people")
    if len(remark) > MAX_REMARK:
        raise PurchaseRefused("remark", f"at most {MAX_REMARK} characters")
    return Stay(
        homestay_id=home.homestay_id,
        title=home.title,
        price_fen=home.price_fen,
        food_price_fen=home.food_price_fen,
        start_date=start_date,
        end_date=end_date,
        people=people,
        need_food=need_food,
        remark=remark,
    )


class _Homestay(Product[Stay]):
    """Nights in a homestay."""

    service_type = "homestay"
    letters = "HSO"
    purchase = Stay
    catalogue = Catalogue(service_type="homestay", offer=Homestay, named_by="homestay_id", rules=RULES)
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
        over = end_of_day(stay.end_date)
        return Priced(purchase=stay, business_id=offer.business_id, total_fen=stay.total_fen, usable_until=over)

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
