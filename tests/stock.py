"""The second promise as one check: nothing is sold twice. Every test that orders ends with it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from payments.domain.stock import Holds
from payments.domain.times import of_millis
from payments.store.dynamodb import typed

Night = tuple[str, date, int]
"""(partition of the stock, night, room)."""

OVER = {"CANCELLED"}
"""Orders that hold nothing, whatever they were."""


def assert_nothing_sold_twice(
    items: Iterable[Mapping[str, Any]], *, shrunk: Collection[str] = (), unreadable: Collection[str] = ()
) -> None:
    """What STOCK says is held is what orders and blocks hold, neither more nor less, each night by one of them; no more
    than the offer has, but for the offers whose owner made it less (`shrunk`); nothing by an order that is over.

    `unreadable`: orders that a test has spoilt.
    """
    table = {(item["pk"], item["sk"]): item for item in items}
    nights: dict[Night, str] = {}
    seats: dict[tuple[str, str], int] = defaultdict(int)
    for holder, partition, holds in _holders(table, unreadable):
        for night in _nights(partition, holds):
            assert night not in nights, f"{night} is held by {nights[night]} and by {holder}"
            nights[night] = holder
        for session, number in (holds.get("seats") or {}).items():
            seats[partition, session] += int(number)
    stocked, held = _stocked(table)
    assert _without(stocked, unreadable) == _without(nights, unreadable), "nights: stock and orders differ"
    known = {name: number for name, number in seats.items() if number}
    if unreadable:  # what they held of a session cannot be told from what others hold
        assert all(held.get(name, 0) >= number for name, number in known.items()), "seats: more than the stock knows"
    else:
        assert held == known, "seats: stock and orders differ"
    for (pk, sk), offer in table.items():
        if sk == "OFFER" and pk not in shrunk:
            _fits(pk.replace("OFFER#", "STOCK#"), offer, stocked, held)


def _holders(
    table: Mapping[tuple[str, str], Mapping[str, Any]], unreadable: Collection[str]
) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """(who holds, the partition of the stock, what) of every order and block."""
    for (pk, sk), item in table.items():
        if sk == "ORDER" and pk.removeprefix("ORDER#") not in unreadable and "holds" in item:
            assert item["status"] not in OVER, f"{pk} is {item['status']} and holds {item['holds']}"
            assert not _refunded_before_its_use(item), f"{pk} was REFUNDED before its use and holds {item['holds']}"
            yield item["order_sn"], f"STOCK#{item['service_type']}#{item['holds']['offer_id']}", item["holds"]
        if sk.startswith("BLOCK#") and "freed_at" not in item:
            yield sk, pk, item["holds"]


def _refunded_before_its_use(order: Mapping[str, Any]) -> bool:
    refunded = order["at"].get("REFUNDED")
    if order["status"] != "REFUNDED" or "USED" in order["at"] or refunded is None:
        return False
    return typed(Holds, order["holds"]).begins_at > of_millis(int(refunded))


def _nights(partition: str, holds: Mapping[str, Any]) -> Iterable[Night]:
    for run in holds.get("nights") or ():
        first, _, rest = run.partition("+")
        number, _, room = rest.partition("#")
        for n in range(int(number)):
            yield partition, date.fromisoformat(first) + timedelta(days=n), int(room)


def _stocked(
    table: Mapping[tuple[str, str], Mapping[str, Any]],
) -> tuple[dict[Night, str], dict[tuple[str, str], int]]:
    nights, seats = {}, {}
    for (pk, sk), item in table.items():
        if not pk.startswith("STOCK#") or sk.startswith("BLOCK#"):
            continue
        month, _, room = sk.partition("#")
        if item.get("held"):
            assert item["held"] > 0, f"{pk}/{sk} holds {item['held']}"
            seats[pk, sk] = int(item["held"])
        for name, holder in item.items():
            if name[:1] == "d" and name[1:].isdecimal():
                nights[pk, date.fromisoformat(f"{month}-{name[1:]}"), int(room)] = holder
    return nights, seats


def _fits(
    partition: str, offer: Mapping[str, Any], nights: Mapping[Night, str], seats: Mapping[tuple[str, str], int]
) -> None:
    held: dict[date, int] = defaultdict(int)
    for pk, night, _ in nights:
        held[night] += pk == partition
    most = max(held.values(), default=0)
    assert most <= int(offer.get("rooms", 1)), f"{partition}: {most} rooms are held in one night"
    for one in offer.get("sessions", ()):
        number = seats.get((partition, one["session"]), 0)
        assert number <= int(one["seats"]), f"{partition}/{one['session']}: {number} seats are held"


def _without(nights: Mapping[Night, str], unreadable: Collection[str]) -> dict[Night, str]:
    return {night: holder for night, holder in nights.items() if holder not in unreadable}
