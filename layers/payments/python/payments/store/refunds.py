"""Refunds of orders' trades."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase

from payments.domain.case import SYSTEM, Case, Resolution
from payments.domain.collection import Collection
from payments.domain.order import ENTERED_FROM as ORDER_ENTERED_FROM
from payments.domain.order import Order, OrderStatus
from payments.domain.refund import (
    AFTER_WITHDRAWAL,
    APART,
    ENTERED_FROM,
    EXECUTION,
    FIRST_LOOK,
    Refund,
    RefundReport,
    RefundStatus,
    Sums,
)
from payments.domain.times import iso
from payments.store import keys
from payments.store.cases import closed, opened
from payments.store.dynamodb import IfMissing, Plus, Removed, plain, typed
from payments.store.items import NEW, Change, Items, Put, Standing, Update, Written, as_read, status_in
from payments.store.looks import planned
from payments.store.orders import NOT_ON_HOLD, arrival
from payments.store.stocks import end_of_hold
from payments.store.sums import drawn_sums


class Refunds:
    """Standing: the stored refund that made the condition fail; None: there is no such refund, or the write was a
    transaction, of which one item has changed since it was read."""

    def __init__(self, items: Items) -> None:
        self._items = items

    def get(self, order_sn: str, out_refund_no: str) -> Refund | None:
        return self._items.get(Refund, keys.refund(order_sn, out_refund_no), consistent=True)

    def add(
        self, collection: Collection, refund: Refund, now: datetime, *, hold: Case | None = None, released: bool = False
    ) -> Written | Standing[None]:
        """Puts a refund that was not asked for through R7, under the order's version as the collection was read with
        it, with the sums as they are with this refund; one of a trade that is not known as paid names its transaction
        there. `hold`: the case of that trade, which the refund answers; `released`: nothing else holds the order then.

        All or nothing (R5). Standing: one of them has changed since it was read.
        """
        order, payment = collection.order, collection.payment(refund.n)
        changes: dict[str, object] = {}
        if order.paid_by is not None:
            changes = drawn_sums(order, replace(collection, refunds=[*collection.refunds, refund]).sums())
        if hold is not None:
            changes |= planned(order.order_sn, now) | ({"on_hold": Removed()} if released else {})
        parts: list[Put | Update] = [_new(refund), Update(keys.order(order.order_sn), changes, as_read(order))]
        if payment is not None and refund.transaction_id is not None:
            key = keys.payment(payment.order_sn, payment.n)
            parts.append(Update(key, {"refunded_transaction_id": refund.transaction_id}, as_read(payment)))
        if hold is not None:
            parts.append(closed(hold, Resolution.REFUNDED, refund.out_refund_no, SYSTEM, "", now))
        return self._items.transact(*parts)

    def request(
        self, order: Order, refund: Refund, now: datetime, *also: Change, ends: bool = False
    ) -> Written | Standing[None]:
        """Puts a refund of the order's own payment, takes its sum from what may be refunded, and frees what it gives
        up, all or nothing (R7); with the changes that go with it. `ends`: all that was bought is given up with it, held
        or not. Standing: the order does not allow it or has changed since it was read, the refund exists, or one of
        those changes is not possible."""
        when = (
            as_read(order)
            & status_in(ORDER_ENTERED_FROM[OrderStatus.REFUNDED])
            & Attr("paid_by").eq(order.paid_by)
            & Attr("refundable_fen").gte(refund.amount_fen)
            & NOT_ON_HOLD
        )
        changes: dict[str, object] = {"refundable_fen": Plus(-refund.amount_fen), "given_up": True if ends else None}
        freed = refund.gives_up
        if freed is not None and order.holds is not None:
            left = order.holds.without(freed)
            changes |= {"holds": left or Removed(), "arrives": arrival(replace(order, holds=left))}
            changes |= {} if left else {"given_up": True}
        parts: list[Change] = [Update(keys.order(order.order_sn), changes, when), _new(refund), *also]
        match end_of_hold(self._items, order, freed, now, *parts):
            case Standing():
                return Standing(lambda: None)
            case written:
                return written

    def record(
        self,
        collection: Collection,
        refund: Refund,
        report: RefundReport,
        now: datetime,
        drawn: Sums | None = None,
        cases: Sequence[Case] = (),
    ) -> Written | Standing[Refund | None]:
        """Writes WeChat's report on a refund that is ours. One that was at rest is due again: its new state has
        consequences of its own. With `drawn` the order gets these sums, and with `cases` they are opened, in the same
        transaction. Standing: the refund, changed since it was read."""
        changes = {
            "status": report.status,
            "refund_id": report.refund_id,
            "accepted_at": IfMissing(report.accepted_at or now),
            "booked_on": IfMissing(keys.booked(refund.order_sn, report.accepted_at or now)),
            **{name: IfMissing(value) for name, value in planned(refund.order_sn, now + FIRST_LOOK).items()},
        }
        change = Update(_key(refund), changes, as_read(refund) & status_in(ENTERED_FROM[report.status]))
        if drawn is None and not cases:
            return self._items.write(change, read_refund)
        order, parts = collection.order, [change]
        if drawn is not None:
            parts.append(Update(keys.order(order.order_sn), drawn_sums(order, drawn), as_read(order)))
        return self._items.transact(*parts, *map(opened, cases))

    def book(self, refund: Refund, at: datetime) -> Written | Standing[Refund | None]:
        """WeChat's bill shows a refund on the day of this instant: its day here from now on, whatever becomes of it
        (R14)."""
        changes = {"booked_on": keys.booked(refund.order_sn, at)}
        return self._items.write(Update(_key(refund), changes, Attr("pk").exists()), read_refund)

    def note_first_no(self, refund: Refund, now: datetime) -> Written | Standing[Refund | None]:
        """WeChat does not know the number of a refund that it refused for good, or that is being withdrawn. Said a
        second time, a minute later, it counts (R1): the janitor asks then. Standing: the refund, which has left
        REQUESTED or of which more is known than was read."""
        return self._wait(refund, {"first_no_at": now}, now + APART)

    def refuse(self, refund: Refund) -> Written | Standing[Refund | None]:
        """REQUESTED → REFUSED: WeChat said a final no twice, and does not know the number. Standing: as for
        `note_first_no`."""
        return self._give_up(refund, RefundStatus.REFUSED, None)

    def mark_withdrawing(self, refund: Refund, now: datetime) -> Written | Standing[Refund | None]:
        """Staff take a refund back: from now on execute_refund does not ask for it (R7). Standing: the refund, which
        has left REQUESTED, or is being withdrawn already."""
        return self._wait(refund, {"withdrawing_at": now, "first_no_at": Removed()}, now + EXECUTION)

    def withdraw(self, refund: Refund, now: datetime) -> Written | Standing[Refund | None]:
        """REQUESTED → WITHDRAWN, after WeChat twice did not know its number; WeChat is asked twice more, later.
        Standing: as for `note_first_no`."""
        return self._give_up(refund, RefundStatus.WITHDRAWN, now + AFTER_WITHDRAWAL[0])

    def postpone(self, refund: Refund, to: datetime) -> Written | Standing[Refund | None]:
        """Another part of this trade has just been asked for: this one waits until then (R7). Standing: as for
        `note_first_no`."""
        return self._wait(refund, {"not_before": to}, to)

    def look_at(self, refund: Refund, at: datetime) -> Written | Standing[Refund | None]:
        """The janitor looks at this refund at `at`. Standing: the refund, at which it would look before, or which has
        another status than was read."""
        sooner = Attr("due_at").not_exists() | Attr("due_at").gt(iso(at))
        change = Update(_key(refund), planned(refund.order_sn, at), status_in({refund.status}) & sooner)
        return self._items.write(change, read_refund)

    def _wait(
        self, refund: Refund, changes: Mapping[str, object], due_at: datetime
    ) -> Written | Standing[Refund | None]:
        """A refund stays REQUESTED, and the janitor looks at it at `due_at` if it would not do so before."""
        later = {**changes, **planned(refund.order_sn, min(refund.due_at or due_at, due_at))}
        when = status_in({RefundStatus.REQUESTED}) & _not_known_since(refund)
        return self._items.write(Update(_key(refund), later, when), read_refund)

    def _give_up(
        self, refund: Refund, status: RefundStatus, due_at: datetime | None
    ) -> Written | Standing[Refund | None]:
        changes = {"status": status, **planned(refund.order_sn, due_at)}
        when = status_in(ENTERED_FROM[status]) & _not_known_since(refund)
        return self._items.write(Update(_key(refund), changes, when), read_refund)


def read_refund(item: Mapping[str, Any]) -> Refund:
    return typed(Refund, item)


def _key(refund: Refund) -> keys.Key:
    return keys.refund(refund.order_sn, refund.out_refund_no)


def _new(refund: Refund) -> Put:
    on = {"booked_on": keys.booked(refund.order_sn, refund.accepted_at)} if refund.accepted_at else {}
    return Put({**_key(refund), **plain(refund), **on, **planned(refund.order_sn, refund.due_at)}, NEW)


def _not_known_since(refund: Refund) -> ConditionBase:
    """What is known of its withdrawal and of WeChat's first no is what was read: neither has happened since."""
    return _same("withdrawing_at", refund.withdrawing_at) & _same("first_no_at", refund.first_no_at)


def _same(name: str, value: datetime | None) -> ConditionBase:
    return Attr(name).not_exists() if value is None else Attr(name).eq(iso(value))
