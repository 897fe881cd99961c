"""The index `due`: when the janitor looks again, and at what (R10)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from boto3.dynamodb.conditions import Attr

from payments.domain.janitor import Due, StockDue
from payments.domain.times import iso
from payments.store import keys
from payments.store.dynamodb import Removed, UnreadableItem, typed, wire
from payments.store.items import Items, Mark, Standing, Update, Written


class Looks:
    def __init__(self, items: Items) -> None:
        self._items = items

    def due(self, shard: str, now: datetime, limit: int) -> list[Due | StockDue]:
        """What the janitor is to re-check by `now`, of one shard (`0` to `9`), the longest overdue first."""
        entries, _ = self._items.page(
            IndexName="due",
            KeyConditionExpression="due_shard = :shard AND due_at <= :now",
            ExpressionAttributeValues=wire({":shard": shard, ":now": iso(now)}),
            Limit=limit,
        )
        return self._items.readable(_read, entries)

    def move(self, due: Due | StockDue, to: datetime | None) -> Written | Standing[Due | StockDue | None]:
        """Writes when the janitor looks next, or that it does not (None). Standing: someone has written another time
        since `due` was read; the entry as it is now, None if there is none."""
        changes = {"due_at": to or Removed(), "due_shard": None if to else Removed()}
        still = Attr("due_at").eq(iso(due.due_at))
        if isinstance(due, StockDue):  # an offer has no version
            return self._items.write(Mark(keys.offer(due.service_type, due.offer_id), changes, still), _read_if_due)
        return self._items.write(Update(keys.of(due.order_sn, due.item), changes, still), _read_if_due)


def planned(number: str, due_at: datetime | None) -> dict[str, object]:
    """The attributes that make an item an entry of index `due`: the janitor re-checks it at `due_at` (None: nothing is
    changed). Spread over ten shards by the last digit of its order's number; an offer has none, and says 0."""
    return {} if due_at is None else {"due_shard": number[-1], "due_at": due_at}


def _read(entry: Mapping[str, Any]) -> Due | StockDue:
    if offer := keys.offer_of(entry["pk"]):
        return typed(StockDue, {**entry, "service_type": offer[0], "offer_id": offer[1]})
    order_sn, item = keys.order_sn_of(entry["pk"]), keys.item_of(entry["sk"])
    if not order_sn or item is None:
        raise UnreadableItem(entry, "due_at", "is of an item that the janitor does not know")
    return typed(Due, {**entry, "order_sn": order_sn, "item": {"n": item.n, "out_refund_no": item.out_refund_no}})


def _read_if_due(entry: Mapping[str, Any]) -> Due | StockDue | None:
    return _read(entry) if "due_at" in entry else None
