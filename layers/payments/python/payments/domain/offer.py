"""What is for sale, whatever it is: what a catalogue's entries must be, and what an offer becomes when it is bought.

Pure.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Generic, Protocol, TypeVar

from payments.domain.stock import Nights, Seats
from payments.domain.texts import cleaned

Rule = Callable[[object], str | None]
"""What a value must be, if it is not."""


class Offer(Protocol):
    """What a catalogue holds: a frozen dataclass of a product's own, with its id, and these two."""

    @property
    def business_id(self) -> str: ...
    @property
    def on_sale(self) -> bool: ...


O = TypeVar("O", bound=Offer)  # noqa: E741


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue(Generic[O]):
    """The offers of one product. `named_by`: the field, of an offer and of a request for it, that has the offer's id;
    `rules`: what each field must be, the same for the file that a person writes and for the item that is read; `stock`:
    the field that says how much there is, a number of equal rooms or the sessions with their seats; None: it does not
    run out."""

    service_type: str
    offer: type[O]
    named_by: str
    rules: Mapping[str, Rule]
    stock: str | None = None

    def id_of(self, offer: O) -> str:
        return str(getattr(offer, self.named_by))


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """What was bought, and what the money needs to know of it. `purchase`: the product's own value, a frozen dataclass
    of whole numbers, texts, booleans, days, and lists and maps of these: a snapshot, later changes of the catalogue do
    not touch it. `usable_until`: when its use is over (UTC); None: it has no end. `wanted`: what it has to hold of the
    stock; None: nothing."""

    purchase: Any
    business_id: str
    total_fen: int
    usable_until: datetime | None = None
    wanted: Nights | Seats | None = None


class PurchaseRefused(Exception):
    """It cannot be sold as it was asked for; `field` is the part of the request that is wrong."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field
        self.why = why


# --- rules


def an_id(most: int) -> Rule:
    form = re.compile(rf"[0-9A-Za-z_-]{{1,{most}}}")
    what = f"1 to {most} letters, digits, - and _"
    return lambda value: None if isinstance(value, str) and form.fullmatch(value) else what


def a_text(least: int, most: int) -> Rule:
    def rule(value: object) -> str | None:
        if not isinstance(value, str) or not least <= len(value) <= most:
            return f"{least} to {most} characters"
        if any(unicodedata.category(char) in _UNSEEN or char in _TURNING for char in value):
            return "one line of text, without control characters and marks of direction"
        return None if cleaned(value, all_planes=True) or not least else "something that can be read"

    return rule


def a_whole_number(least: int, most: int, what: str) -> Rule:
    def rule(value: object) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if good else f"{what}, from {least} to {most}"

    return rule


def a_switch(value: object) -> str | None:
    return None if isinstance(value, bool) else "true or false"


_UNSEEN = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def or_nothing(rule: Rule) -> Rule:
    """The field may be left out."""
    return lambda value: None if value is None else rule(value)


def a_list_of(kind: type, rules: Mapping[str, Rule], most: int) -> Rule:
    """A list of objects with these fields, no two with the same first one; or of what they stand for (`kind`)."""
    first = next(iter(rules))

    def rule(value: object) -> str | None:
        if not isinstance(value, list | tuple) or len(value) > most:
            return f"a list of at most {most}"
        names = []
        for number, each in enumerate(value, 1):
            fields = {name: getattr(each, name) for name in rules} if isinstance(each, kind) else each
            if not isinstance(fields, Mapping):
                return f"number {number} is no object with {', '.join(rules)}"
            if wrong := wrong_fields(rules, fields):
                return f"number {number}: " + "; ".join(f"{field}: {why}" for field, why in wrong)
            names.append(fields[first])
        twice = sorted({name for name in names if names.count(name) > 1})
        return f"{first} {', '.join(twice)} stands there twice" if twice else None

    return rule


def a_map_of_days(rule: Rule, most: int) -> Rule:
    """For some days (2026-12-01) a value each."""

    def whole(value: object) -> str | None:
        if not isinstance(value, Mapping) or len(value) > most:
            return f"an object with at most {most} days, as in 2026-12-01"
        for day, each in value.items():
            if not isinstance(day, str) or not is_day(day):
                return "days are written as 2026-12-01"
            if why := rule(each):
                return f"{day}: {why}"
        return None

    return whole


def is_day(text: str) -> bool:
    """2026-12-01, and nothing else."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def wrong_fields(rules: Mapping[str, Rule], offer: Mapping[str, object]) -> list[tuple[str, str]]:
    """(field, what it must be) of every field that is wrong, missing, or not known; empty for a good offer."""
    missing = {name: "is missing" for name, rule in rules.items() if name not in offer and rule(None)}
    found = [(name, rule(offer[name]) if name in offer else missing.get(name)) for name, rule in rules.items()]
    unknown = [(str(name), f"is not known; there are {', '.join(rules)}") for name in offer if name not in rules]
    return [(name, why) for name, why in found if why] + unknown


def check(rules: Mapping[str, Rule], offer: object, named: str) -> None:
    """For an offer's own `__post_init__`. Raises ValueError with what is wrong, under the name of the offer."""
    if wrong := wrong_fields(rules, {name: getattr(offer, name) for name in rules}):
        reasons = "; ".join(f"{field}: {why}" for field, why in wrong)
        raise ValueError(f"{named[:40]}: {reasons}")
