"""A night in a homestay: the catalogue's entry, the stay that is bought, its price."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar

from payments.domain.texts import cleaned

MAX_NIGHTS = 90
MAX_DAYS_AHEAD = 365
MAX_TITLE = 32
MAX_SUBTITLE = 100
MAX_REMARK = 40
MAX_PEOPLE = 100
MAX_PRICE_FEN = 10**9
"""Ten million yuan: the longest stay of the most people is still a sum."""

Rule = Callable[[object], str | None]
"""What a value must be, if it is not."""


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
        if wrong := wrong_fields({name: getattr(self, name) for name in RULES}):
            told = "; ".join(f"{field}: {why}" for field, why in wrong)
            raise ValueError(f"{str(self.homestay_id)[:40]}: {told}")


def _id(most: int) -> Rule:
    form = re.compile(rf"[0-9A-Za-z_-]{{1,{most}}}")
    what = f"1 to {most} letters, digits, - and _"
    return lambda value: None if isinstance(value, str) and form.fullmatch(value) else what


def _text(least: int, most: int) -> Rule:
    def rule(value: object) -> str | None:
        if not isinstance(value, str) or not least <= len(value) <= most:
            return f"{least} to {most} characters"
        if any(unicodedata.category(char) in _UNSEEN or char in _TURNING for char in value):
            return "one line of text, without control characters and marks of direction"
        return None if cleaned(value, all_planes=True) or not least else "something that can be read"

    return rule


def _whole(least: int, most: int, what: str) -> Rule:
    def rule(value: object) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if good else f"{what}, from {least} to {most}"

    return rule


def _switch(value: object) -> str | None:
    return None if isinstance(value, bool) else "true or false"


_UNSEEN = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

RULES: Mapping[str, Rule] = {
    "homestay_id": _id(40),
    "business_id": _id(24),
    "title": _text(1, MAX_TITLE),
    "subtitle": _text(0, MAX_SUBTITLE),
    "price_fen": _whole(1, MAX_PRICE_FEN, "whole fen"),
    "market_price_fen": _whole(0, MAX_PRICE_FEN, "whole fen"),
    "food_price_fen": _whole(0, MAX_PRICE_FEN, "whole fen"),
    "capacity": _whole(1, MAX_PEOPLE, "a whole number of people"),
    "on_sale": _switch,
}
"""What each field of a home must be: the same for the file that a person writes and for the item that is read."""


def wrong_fields(home: Mapping[str, object]) -> list[tuple[str, str]]:
    """(field, what it must be) of every field that is wrong, missing, or not known; empty for a good home."""
    found = [(name, rule(home[name]) if name in home else "is missing") for name, rule in RULES.items()]
    unknown = [(str(name), f"is not known; there are {', '.join(RULES)}") for name in home if name not in RULES]
    return [(name, why) for name, why in found if why] + unknown


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
