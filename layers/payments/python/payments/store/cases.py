"""Cases: what a person has to look at."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase

from payments.domain.case import Case, Resolution
from payments.domain.collection import Collection
from payments.domain.times import iso
from payments.store import keys
from payments.store.dynamodb import Removed, plain, typed, wire
from payments.store.items import NEW, Items, Put, Standing, Update, Values, Written, as_read
from payments.store.looks import planned
from payments.store.sums import drawn_sums

OPEN = "OPEN"
"""The one partition of the index `open_cases`."""

INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,12}Z")


@dataclass(frozen=True, slots=True)
class CasePlace:
    """A place among the open cases, which stand in the order of their age. `key` is the case's, empty: before all that
    were opened at this instant."""

    opened_at: str
    key: tuple[str, ...] = ()

    @classmethod
    def of(cls, case: Case) -> "CasePlace":
        return cls(iso(case.opened_at), tuple(_key(case).values()))

    @classmethod
    def parse(cls, text: str) -> "CasePlace":
        """Of what `str` gave. Raises ValueError."""
        opened_at, *key = text.split("\n")
        if not INSTANT.fullmatch(opened_at) or (key and not keys.is_case(*key)):
            raise ValueError("no place among the open cases")
        return cls(opened_at, tuple(key))

    def __str__(self) -> str:
        return "\n".join((self.opened_at, *self.key))

    def without_case(self) -> "CasePlace":
        """The same instant, naming no case."""
        return CasePlace(self.opened_at)


class Cases:
    def __init__(self, items: Items) -> None:
        self._items = items

    def open(self, case: Case) -> Written | Standing[Case | None]:
        """Opens a case. Standing: the stored case of the same name, open or closed."""
        return self._items.write(opened(case), read_case)

    def open_again(self, case: Case) -> Written | Standing[Case | None]:
        """Opens a case anew that the system has closed because it had answered itself. Standing: it is open, or a
        person has closed it."""
        return self._items.write(opened(case, Attr("resolution").eq(Resolution.ANSWERED.value)), read_case)

    def get(self, out_trade_no: str, kind: str, case_id: str) -> Case | None:
        return self._items.get(Case, keys.case(out_trade_no, kind, case_id), consistent=True)

    def beginning(self, out_trade_no: str, kind: str, case_id: str) -> list[Case]:
        """Those of a kind beside a trade whose id begins so, the oldest first."""
        key = keys.case(out_trade_no, kind, case_id)
        found = self._items.query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues=wire({":pk": key["pk"], ":sk": key["sk"]}),
        )
        return sorted(self._items.readable(read_case, found), key=lambda case: case.opened_at)

    def all_open(self) -> list[Case]:
        """All that wait for a person, the oldest first."""
        return self._open_ones(self._items.query(**_in_index()))

    def open_page(self, after: CasePlace | None, limit: int) -> tuple[list[Case], CasePlace | None]:
        """Of the open cases, the oldest first, those of one stretch of the index: `limit` at most, from the place
        `after` on, and the place where the stretch ends; None: there are no more."""
        query = _in_index()
        if after and after.key:
            pk, sk = after.key
            start = {"case_open": OPEN, "opened_at": after.opened_at, "pk": pk, "sk": sk}
            query["ExclusiveStartKey"] = wire(start)
        elif after:  # of a place without its case those of that very millisecond are given once more
            query["KeyConditionExpression"] += " AND opened_at >= :after"
            query["ExpressionAttributeValues"] |= wire({":after": after.opened_at})
        entries, stopped = self._items.page(**query, Limit=limit)
        place = CasePlace(stopped["opened_at"], (stopped["pk"], stopped["sk"])) if stopped else None
        return self._open_ones(entries), place

    def count_open(self) -> int:
        return self._items.count(**_in_index())

    def close(
        self, case: Case, resolution: Resolution, reference: str, by: str, attempt: str, now: datetime
    ) -> Written | Standing[Case | None]:
        """Writes what became of it. Standing: the case as another attempt has closed it; None if there is none."""
        closing = closed(case, resolution, reference, by, attempt, now)
        return self._items.write(closing, read_case, {"closing_attempt": attempt})

    def close_with_order(
        self,
        collection: Collection,
        case: Case,
        resolution: Resolution,
        reference: str,
        by: str,
        attempt: str,
        now: datetime,
        *,
        released: bool = False,
    ) -> Written | Standing[Case | None]:
        """Closes a case that an order's sums or its hold depend on; in the same transaction the order gets the sums
        that follow and is due now. `released`: nothing holds the order any more.

        All or nothing. Standing: the case, or the order, has changed since it was read; the case, read afterwards.
        """
        order = collection.order
        after = replace(
            collection,
            cases=[replace(case, resolution=resolution) if one == case else one for one in collection.cases],
        )
        changes = planned(order.order_sn, now) | ({"on_hold": Removed()} if released else {})
        if order.paid_by is not None:
            changes |= drawn_sums(order, after.sums())
        if self._items.transact(
            closed(case, resolution, reference, by, attempt, now),
            Update(keys.order(order.order_sn), changes, as_read(order)),
        ):
            return Written()
        standing = self.get(case.out_trade_no, case.kind, case.case_id)
        if attempt and standing is not None and standing.closing_attempt == attempt:
            return Written()
        return Standing(lambda: standing)

    def _open_ones(self, entries: Sequence[Mapping[str, str]]) -> list[Case]:
        """The cases of these entries of the index that are open, in their order."""
        read = {item["pk"] + item["sk"]: item for item in self._items.many(entries, consistent=True)}
        items = [read[entry["pk"] + entry["sk"]] for entry in entries if entry["pk"] + entry["sk"] in read]
        return [case for case in self._items.readable(read_case, items) if case.open]


def read_case(item: Mapping[str, Any]) -> Case:
    return typed(Case, item)


def opened(case: Case, when: ConditionBase | None = NEW) -> Put:
    """Puts an open case; by itself, or as part of a transaction."""
    return Put({**_key(case), **plain(case), "case_open": OPEN, "version": 1}, when)


def closed(case: Case, resolution: Resolution, reference: str, by: str, attempt: str, now: datetime) -> Update:
    """Writes into an open case what became of it; by itself, or as part of a transaction. `attempt`: empty where the
    system closes it."""
    changes = {
        "resolution": resolution,
        "reference": reference,
        "closed_by": by,
        "closed_at": now,
        "closing_attempt": attempt or None,
        "case_open": Removed(),
    }
    return Update(_key(case), changes, Attr("case_open").eq(OPEN))


def _key(case: Case) -> keys.Key:
    return keys.case(case.out_trade_no, case.kind, case.case_id)


def _in_index() -> Values:
    return {
        "IndexName": "open_cases",
        "KeyConditionExpression": "case_open = :open",
        "ExpressionAttributeValues": wire({":open": OPEN}),
    }
