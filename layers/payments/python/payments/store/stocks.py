"""Stock: what is held of each offer, by which order or block (R15).

A month of one room is an item with an attribute for each night that is held: `d12` has the order's number, or `BLOCK#`
and the block's id. A session is an item with the number of seats that are `held`. What holds is written in the same
transaction as its order or block, and so is its end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import Any, Protocol

from boto3.dynamodb.conditions import Attr, ConditionBase

from payments.domain.case import stock_case
from payments.domain.order import Order
from payments.domain.stock import (
    MOST_RUNS,
    SOLD_AHEAD,
    Holds,
    Night,
    Nights,
    Seats,
    Session,
    SoldOut,
    Stock,
    over,
    plan,
    span,
)
from payments.domain.times import beijing_day
from payments.store import keys
from payments.store.cases import opened
from payments.store.dynamodb import Conflict, Removed, UnreadableItem, plain, typed, wire
from payments.store.items import NEW, Add, Change, Items, Mark, Put, Standing, Taken, Values, Written

KEPT = timedelta(days=430)
"""What is held of a month goes away so long after the month began."""

TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Nights of one room, or seats, that staff hold back, and why: they are sold elsewhere, or cannot be used."""

    block_id: str
    service_type: str
    holds: Holds
    reason: str
    by: str
    at: datetime
    freed_by: str | None = None
    freed_at: datetime | None = None
    attempt: str | None = None  # which call freed it (R11)

    @property
    def holder(self) -> str:
        return f"{keys.BLOCK}#{self.block_id}"


@dataclass(frozen=True, slots=True)
class _Seats:
    """A session's item, as far as it is read."""

    held: int


class HasStock(Protocol):
    """A product, as far as it is needed here."""

    service_type: str

    def for_sale(self, offer: Any, first: date, last: date) -> Sequence[Night | Session]: ...


class Stocks:
    def __init__(self, items: Items) -> None:
        self._items = items

    def get(self, service_type: str, offer_id: str, first: date, last: date, session: str = "") -> Stock:
        """What is held of an offer in the months of these days: one consistent Query. What cannot be read is left out:
        a night that is held meets whoever wants to hold it in his own write. Raises UnreadableItem for the `session`
        that is asked for."""
        found = self._items.query(
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues=wire(
                {
                    ":pk": keys.stock(service_type, offer_id, "")["pk"],
                    ":first": f"{first:%Y-%m}",
                    ":last": f"{last:%Y-%m}~",
                }
            ),
            ConsistentRead=True,
        )
        nights: dict[date, dict[int, str]] = {}
        seats: dict[str, int] = {}
        for item in found:
            if item["sk"] == session:
                _read_stock(item)
        for one in self._items.readable(_read_stock, found):
            seats |= one.seats
            for day, rooms in one.nights.items():
                nights.setdefault(day, {}).update(rooms)
        return Stock(nights, seats)

    def plan(self, service_type: str, wanted: Nights | Seats, most_runs: int = MOST_RUNS) -> Holds | SoldOut:
        """What has to be held of what is asked for, as the stock is now. Raises UnreadableItem for the session that is
        asked for."""
        session = wanted.session if isinstance(wanted, Seats) else ""
        return plan(wanted, self.get(service_type, wanted.offer_id, *span(wanted), session), most_runs)

    def over(self, product: HasStock, offer_id: str, offer: Any, now: datetime) -> dict[str, int]:
        """By night or session how much is held of an offer, where that is more than there is, from today on."""
        today = beijing_day(now)
        last = today + SOLD_AHEAD
        return over(product.for_sale(offer, today, last), self.get(product.service_type, offer_id, today, last), today)

    # --- blocks

    def blocks(self, service_type: str, offer_id: str) -> list[Block]:
        """All that hold something of an offer, by id."""
        found = self._items.query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :block)",
            ExpressionAttributeValues=wire(
                {":pk": keys.stock(service_type, offer_id, "")["pk"], ":block": f"{keys.BLOCK}#"}
            ),
            ConsistentRead=True,
        )
        return [block for block in self._items.readable(read_block, found) if block.freed_at is None]

    def block(self, block: Block, of_seats: int = 0) -> Written | Taken:
        """Puts a new block and lets it hold what it holds, all or nothing; `of_seats`: how many seats its session has.
        Taken: others hold some of that by now."""
        item = {**_block_key(block), **plain(block), "ttl": _ttl(block.holds.last)}
        held = holding(block.service_type, block.holder, block.holds, of_seats)
        failed = self._items.together(Put(item, NEW), *held)
        if failed is None or failed[0]:  # its id is this call's own: an earlier try has put it (R11)
            return Written()
        return Taken()

    def unblock(self, block: Block, by: str, attempt: str, now: datetime) -> Written | Standing[None]:
        """Frees what a block holds. Standing: another has freed it."""
        gone = Mark(
            _block_key(block),
            {"freed_by": by, "freed_at": now, "attempt": attempt},
            Attr("pk").exists() & Attr("freed_at").not_exists(),
        )
        match _freed_with(self._items, block.service_type, block.holder, block.holds, None, gone):
            case Standing(image) if not image or image.get("attempt") != attempt:
                return Standing(lambda: None)
        return Written()

    def get_block(self, service_type: str, offer_id: str, block_id: str) -> Block | None:
        return self._items.get(Block, keys.block(service_type, offer_id, block_id), consistent=True)


def _read_stock(item: Mapping[str, Any]) -> Stock:
    """A month of a room, or a session. Raises UnreadableItem."""
    month, _, room = str(item["sk"]).partition("#")
    try:
        if not room:
            return Stock(seats={month: typed(_Seats, item).held})
        names = [name for name in item if name[:1] == "d" and name[1:].isdecimal()]
        held = {date.fromisoformat(f"{month}-{name[1:]}"): {int(room): item[name]} for name in names}
    except ValueError:
        raise UnreadableItem(item, "sk", "is no month of a room, or a night is none of its month") from None
    if wrong := [name for name in names if not isinstance(item[name], str)]:
        raise UnreadableItem(item, wrong[0], "must be text")
    return Stock(nights=held)


def read_block(item: Mapping[str, Any]) -> Block:
    return typed(Block, item)


def _block_key(block: Block) -> keys.Key:
    return keys.block(block.service_type, block.holds.offer_id, block.block_id)


# --- parts of a transaction


def holding(service_type: str, holder: str, holds: Holds, of_seats: int) -> list[Change]:
    """What makes `holder` hold this: each night must be free, and of a session so many seats be left of `of_seats`."""
    found: list[Change] = []
    for key, names in _names(holds).items():
        free = _all([Attr(name).not_exists() for name in names])
        changes = {**dict.fromkeys(names, holder), "ttl": _ttl(key)}
        found.append(Mark(keys.stock(service_type, holds.offer_id, key), changes, free))
    for session, seats in (holds.seats or {}).items():
        room = Attr("held").not_exists() | Attr("held").lte(of_seats - seats)
        found.append(Add(keys.stock(service_type, holds.offer_id, session), "held", seats, room, _ttl(session)))
    return found


def freeing(service_type: str, holder: str, holds: Holds) -> list[Mark | Add]:
    """What makes `holder` hold this no more: it must hold each night of it, and the session so many seats."""
    found: list[Mark | Add] = []
    for key, names in _names(holds).items():
        found.append(_freed(keys.stock(service_type, holds.offer_id, key), names, holder))
    for session, seats in (holds.seats or {}).items():
        at_least = Attr("held").gte(seats)
        found.append(Add(keys.stock(service_type, holds.offer_id, session), "held", -seats, at_least, _ttl(session)))
    return found


def as_held(order: Order) -> ConditionBase:
    """The order holds what was read."""
    held = Attr("holds")
    return held.not_exists() if order.holds is None else held.eq(plain(order.holds))


def end_of_hold(
    items: Items, order: Order, freed: Holds | None, now: datetime, *changes: Change
) -> Written | Standing[Values | None]:
    """Writes these changes and frees what the order held, in one transaction. Standing: the stored item that made the
    first change fail, None if it was another or there is no item.

    A hold that the stock does not know never keeps an order from ending (R15): what is not there cannot be freed, the
    rest is, and a case says so.
    """
    case = opened(stock_case(order.order_sn, freed.told() if freed else "", now), None)
    return _freed_with(items, order.service_type, order.order_sn, freed, case, *changes)


def _freed_with(
    items: Items, service_type: str, holder: str, freed: Holds | None, unknown: Change | None, *changes: Change
) -> Written | Standing[Values | None]:
    """As `end_of_hold`; `unknown` is written too where the stock does not know all of it."""
    parts, told = [] if freed is None else freeing(service_type, holder, freed), list[Change]()
    for _ in range(TRIES):
        failed = items.together(*changes, *parts, *told)
        if failed is None:
            return Written(not_in_stock=bool(told))
        own, images = failed[: len(changes)], failed[len(changes) : len(changes) + len(parts)]
        if any(image is not None for image in own):
            return _standing(own[0])
        known = (_that_is_there(part, holder, image) for part, image in zip(parts, images, strict=True))
        parts = [part for part in known if part is not None]
        told = [unknown] if unknown else []
    raise Conflict(f"{holder}: its stock keeps changing")


def _that_is_there(part: Mark | Add, holder: str, image: Values | None) -> Mark | Add | None:
    """Of what is to be freed the part that the stock knows, after a try that met `image`."""
    if image is None:
        return part
    if isinstance(part, Add):  # of a session so many seats as it has
        held = image.get("held")
        if not isinstance(held, Decimal) or held <= 0:
            return None
        return replace(part, by=-int(held), when=Attr("held").eq(held))
    mine = [name for name in part.changes if image.get(name) == holder]
    return _freed(part.key, mine, holder) if mine else None


def _standing(image: Values | None) -> Standing[Values | None]:
    return Standing(lambda: image or None)


def _freed(key: Mapping[str, str], names: Sequence[str], holder: str) -> Mark:
    return Mark(key, dict.fromkeys(names, Removed()), _all([Attr(name).eq(holder) for name in names]))


def _names(holds: Holds) -> dict[str, list[str]]:
    """By month and room the attributes of the nights."""
    names: dict[str, list[str]] = {}
    for day, room in sorted(holds.rooms().items()):
        names.setdefault(f"{day:%Y-%m}#{room}", []).append(f"d{day:%d}")
    return names


def _all(conditions: Sequence[ConditionBase]) -> ConditionBase:
    return reduce(lambda one, other: one & other, conditions)


def _ttl(key: str) -> int:
    """When a month of a room, or a session, goes away, in seconds since 1970."""
    return int((datetime.fromisoformat(f"{key[:7]}-01T00:00Z") + KEPT).timestamp())
