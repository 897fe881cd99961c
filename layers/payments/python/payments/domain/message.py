"""What goes into a subscription message: our values, the fields of a team's own template, WeChat's types. Pure.

In WeChat every team makes its templates itself, so what is `thing1` here may be `thing7` there. A mapping says it:
`order_sn=character_string6,title=thing1`, our value's name and the template's field. A field's type is its name without
the number; each type has its limits, and a message outside them is refused whole (47003).
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from payments.domain.texts import Field, for_wechat
from payments.domain.times import BEIJING

MAX_FIELDS = 20

TYPES = frozenset(
    {
        "thing",
        "number",
        "letter",
        "symbol",
        "character_string",
        "time",
        "date",
        "amount",
        "phone_number",
        "car_number",
        "name",
        "phrase",
    }
)
"""The types that WeChat has."""


class Kind(StrEnum):
    """What a value of ours is."""

    NUMBER = "an order number"
    CODE = "a code"
    TEXT = "a text"
    WORD = "a word of at most five Chinese characters"
    DAY = "a day"
    MOMENT = "a moment"
    MONEY = "a sum"
    COUNT = "a count"


_ORDER = {"order_sn": Kind.NUMBER, "title": Kind.TEXT, "total": Kind.MONEY}
_PAID = {"paid_at": Kind.MOMENT, "status": Kind.WORD}
_CODE = {"code": Kind.CODE, "hint": Kind.TEXT}
_BACK = {"amount": Kind.MONEY, "reason": Kind.TEXT, "refunded_at": Kind.MOMENT, "status": Kind.WORD}


REFUND = "refund"
"""The template of a refund's message; all others are of a paid order."""


def messages_of(own: Mapping[str, Kind], *, redeemed: bool) -> dict[str, Mapping[str, Kind]]:
    """A product's messages by template, in the order in which they go out, each with what it may say, by our names.

    `total` is the order's sum, `amount` the refund's. `own`: what only this product's messages of a paid order have. A
    product that is not `redeemed` has no code, and no message of it. Raises ValueError where a value of its own has a
    name that all products have.
    """
    if taken := sorted(set(own) & {*_ORDER, *_PAID, *_CODE}):
        raise ValueError(f"messages of every product have the value {', '.join(taken)} already")
    paid = {**_ORDER, **own, **_PAID, **(_CODE if redeemed else {})}
    return {"order_confirmed": paid, **({"check_in_code": paid} if redeemed else {}), REFUND: {**_ORDER, **_BACK}}


class BadMapping(ValueError):
    """A mapping or page that no message can be made with; the text says what is wrong and what there is."""


Fields = tuple[tuple[str, str], ...]
"""(our value, the template's field), in the order of the mapping."""


def parse_fields(kinds: Mapping[str, Kind], mapping: str) -> Fields:
    """The mapping of a template, checked against our values (`kinds`) and WeChat's types. Raises BadMapping."""
    pairs: list[tuple[str, str]] = []
    for part in mapping.split(","):
        value, _, field = part.partition("=")
        match = re.fullmatch(r"([a-z_]+?)[1-9]\d{0,2}", field, re.ASCII)
        if match is None:
            raise BadMapping(f"{part!r}: write value=field, as in title=thing1")
        if value not in kinds:
            raise BadMapping(f"{part!r}: there is no value {value!r}; there are {', '.join(kinds)}")
        if match[1] not in TYPES:
            raise BadMapping(f"{part!r}: WeChat has no type {match[1]!r}; it has {', '.join(sorted(TYPES))}")
        if match[1] not in _FITS[kinds[value]]:
            fits = ", ".join(_FITS[kinds[value]])
            raise BadMapping(f"{part!r}: {kinds[value]} never fits {match[1]}; it fits {fits}")
        pairs.append((value, field))
    fields = [field for _, field in pairs]
    if twice := {field for field in fields if fields.count(field) > 1}:
        raise BadMapping(f"{', '.join(sorted(twice))}: a field takes one value")
    if len(fields) > MAX_FIELDS:
        raise BadMapping(f"{len(fields)} fields: at most {MAX_FIELDS}")
    return tuple(pairs)


def fields_pattern(kinds: Mapping[str, Kind]) -> str:
    """The same rules as a regular expression, for the parameter in template.yaml; but it lets a field stand twice."""
    values = "|".join(f"{value}=({'|'.join(_FITS[kind])})" for value, kind in kinds.items())
    return rf"^(({values})[1-9][0-9]{{0,2}}(,(?=[a-z])|$)){{1,{MAX_FIELDS}}}$"


def fill(kinds: Mapping[str, Kind], fields: Fields, values: Mapping[str, Any]) -> dict[str, str]:
    """The message's data by field name, each value as its field's type wants it."""
    return {field: _FITS[kinds[value]][field.rstrip("0123456789")](values[value]) for value, field in fields}


def page_of(pattern: str, order_sn: str) -> str:
    """The page that a tap on the message opens; empty: none. Raises BadMapping."""
    page = pattern.replace("{order_sn}", order_sn)
    if pattern and not re.fullmatch(r"[0-9A-Za-z_][0-9A-Za-z_/.-]*(\?[0-9A-Za-z_.~%=&-]*)?", page, re.ASCII):
        raise BadMapping(
            f"{pattern!r} is no page: write one of app.json, as in pages/order/order?order_sn={{order_sn}}"
        )
    return page


def thing(text: str) -> str:
    """A `thing` field: 1 to 20 characters on one line."""
    return for_wechat(Field.THING, text)


# --- values as a type wants them


def _amount(sum_fen: int) -> str:
    return f"¥{_yuan(sum_fen)}"


def _yuan(sum_fen: int) -> str:
    return f"{sum_fen // 100}.{sum_fen % 100:02d}"


def _day(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"


def _moment(moment: datetime) -> str:
    here = moment.astimezone(BEIJING)
    return f"{_day(here.date())} {here:%H:%M}"


_FITS: Mapping[Kind, Mapping[str, Callable[[Any], str]]] = {
    Kind.NUMBER: {"character_string": str},  # 25 characters: too long for a thing
    Kind.CODE: {"character_string": str, "thing": str},
    Kind.TEXT: {"thing": thing},
    Kind.WORD: {"phrase": str, "thing": str},
    Kind.DAY: {"date": _day, "thing": _day},  # no clock time is known, so never `time`
    Kind.MOMENT: {"time": _moment, "date": _moment, "thing": _moment},
    Kind.MONEY: {"amount": _amount, "number": _yuan, "character_string": _yuan, "thing": _amount},
    Kind.COUNT: {"number": str, "character_string": str, "thing": str},
}
"""The types that a kind of value can always be written in, and how."""
