"""A night in a homestay: the catalogue's entry, the stay that is bought, its price."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar

MAX_NIGHTS = 90
MAX_DAYS_AHEAD = 365
MAX_TITLE = 32
MAX_REMARK = 40


class StayRefused(Exception):
    """The stay cannot be sold; `field` is the part of the request that is wrong."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field
        self.why = why


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
        if not 0 < len(self.title) <= MAX_TITLE:
            raise ValueError(f"title of {self.homestay_id}: 1 to {MAX_TITLE} characters")
        if self.price_fen < 1 or self.food_price_fen < 0 or self.capacity < 1:
            raise ValueError(f"{self.homestay_id}: price_fen >= 1, food_price_fen >= 0, capacity >= 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """What was bought, as it was on the day it was ordered: later changes of the catalogue do not touch it."""

    SERVICE_TYPE: ClassVar[str] = "homestay"

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

    Raises StayRefused.
    """
    if not home.on_sale:
        raise StayRefused("homestay_id", "this homestay is not on sale")
    if start_date < today:
        raise StayRefused("start_date", f"the stay begins in the past (today is {today})")
    if start_date > today + timedelta(days=MAX_DAYS_AHEAD):
        raise StayRefused("start_date", f"at most {MAX_DAYS_AHEAD} days ahead")
    if end_date <= start_date:
        raise StayRefused("end_date", "a stay is one night or more: end_date after start_date")
    if (end_date - start_date).days > MAX_NIGHTS:
        raise StayRefused("end_date", f"at most {MAX_NIGHTS} nights")
    if not 1 <= people <= home.capacity:
        raise StayRefused("people", f"from 1 to {home.capacity} people")
    if len(remark) > MAX_REMARK:
        raise StayRefused("remark", f"at most {MAX_REMARK} characters")
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
