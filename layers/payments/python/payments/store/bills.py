"""The days' comparisons with WeChat's bill, and the index `settled`: what of ours is booked on a day (R14)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from boto3.dynamodb.conditions import Attr

from payments.domain.bill import Booked, DayOfBills, Difference, RowKind, Statement
from payments.domain.payment import PaymentStatus
from payments.domain.refund import RefundStatus
from payments.domain.times import beijing_day
from payments.domain.trade_number import TradeNumber
from payments.store import keys
from payments.store.dynamodb import UnreadableItem, each_readable, plain, typed, wire
from payments.store.items import NEW, Items, Put, Standing, Values

PAGE = 1000
"""Entries of the index that are read at once."""


@dataclass(frozen=True, slots=True)
class Used:
    """An order that was used on a day, with what it had cost."""

    business_id: str
    fen: int


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an order is, and until when it can be used; None: its use has no end."""

    business_id: str
    usable_until: date | None


@dataclass(frozen=True, slots=True)
class _First:
    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class _Payment:
    """A payment, as far as a day's books need it."""

    order_sn: str
    n: int
    total_fen: int
    status: PaymentStatus
    transaction_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refund:
    order_sn: str
    out_trade_no: str
    out_refund_no: str
    amount_fen: int
    status: RefundStatus
    refund_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    order_sn: str
    business_id: str
    total_fen: int
    usable_until: datetime | None = None


class Bills:
    def __init__(self, items: Items) -> None:
        self._items = items

    # --- the comparisons

    def first(self, day: date) -> date:
        """The first day that is compared: this one, if none was before."""
        standing = self._items.write(Put({**keys.first_bill(), "day": day}, NEW), lambda item: typed(_First, item))
        return standing.item.day if isinstance(standing, Standing) and standing.item else day

    def begun(self) -> date | None:
        """The first day that was ever compared; None: none was."""
        first = self._items.get(_First, keys.first_bill(), consistent=False)
        return first.day if first else None

    def days(self, days: Iterable[date]) -> dict[date, DayOfBills]:
        """The summaries of those of these days that were compared."""
        items = self._items.many([keys.bill(day) for day in days], consistent=True)
        return {one.day: one for one in self._items.readable(lambda item: typed(DayOfBills, item), items)}

    def differences(self, day: date) -> list[Difference]:
        """What differed when the day was compared last."""
        found = (item for item in self._of_day(day, keys.DIFFERENCE) if not item.get("gone"))
        return self._items.readable(lambda item: typed(Difference, item), found)

    def statements(self, day: date) -> list[Statement]:
        """The lines of all businesses, and those of none, that have something to say."""
        found = self._items.readable(lambda item: typed(Statement, item), self._of_day(day, keys.STATEMENT))
        return [line for line in found if not line.empty]

    def statements_of(self, business_id: str, days: Iterable[date]) -> dict[date, Statement | None]:
        """The lines of one business that have something to say, by day; None: it is there and cannot be read."""
        asked = {keys.statement(day, business_id)["pk"]: day for day in days}
        items = self._items.many([keys.statement(day, business_id) for day in asked.values()], consistent=True)
        there = {item["pk"]: item for item in items}
        read = self._items.readable(lambda item: (item["pk"], typed(Statement, item)), there.values())
        found = {asked[pk]: line for pk, line in read if not line.empty}
        return found | {asked[pk]: None for pk in there.keys() - dict(read).keys()}

    def keep(self, day: DayOfBills) -> DayOfBills:
        """Writes how a day stands: as the last of its items, so that one that is closed is whole. One that is not
        closed never takes the place of one that is. Gives what stands then."""
        when = None if day.closed else Attr("closed").not_exists() | Attr("closed").eq(False)
        result = self._items.write(
            Put({**keys.bill(day.day), **plain(day)}, when), lambda item: typed(DayOfBills, item)
        )
        return result.item or day if isinstance(result, Standing) else day

    def reopen(self, day: date, why: str) -> bool:
        """A day that is closed is open from now on, with this reason; False: it was not closed."""
        found = self.days([day]).get(day)
        if found is None or not found.closed:
            return False
        self._put(keys.bill(day), replace(found, closed=False, why=why))
        return True

    def keep_results(
        self,
        day: date,
        differences: Iterable[Difference],
        lines: Iterable[Statement],
        gone: Iterable[Difference] = (),
    ) -> None:
        """Writes a day's differences and lines over those of an earlier comparison; `gone`: the differences of that one
        that are none any more. Nothing is taken away: such a difference is marked, such a line says nothing."""
        owned = {line.business_id: line for line in lines}
        for difference in differences:
            self._put(keys.difference(day, difference.name), difference)
        for line in owned.values():
            self._put(keys.statement(day, line.business_id), line)
        for old in self.statements(day):
            if old.business_id not in owned:
                self._put(keys.statement(day, old.business_id), Statement(business_id=old.business_id))
        for difference in gone:
            self._put(keys.difference(day, difference.name), difference, gone=True)

    # --- our books of a day

    def of_day(self, day: date, broken: Callable[[UnreadableItem], None]) -> Iterator[Booked | Used]:
        """What of ours is booked on a day, in no order. `broken` hears of what cannot be read: such a day cannot be
        compared."""
        for partition in keys.booked_on(day):
            for entries in self._pages(partition):
                yield from self._read(entries, partition, broken)

    def owners(self, order_sns: Iterable[str]) -> dict[str, Owner]:
        """Whose these orders are; one that does not exist is left out. Raises UnreadableItem."""
        orders = (typed(_Order, item) for item in self._items.many(map(keys.order, order_sns), consistent=False))
        return {
            one.order_sn: Owner(one.business_id, beijing_day(one.usable_until) if one.usable_until else None)
            for one in orders
        }

    def _pages(self, partition: str) -> Iterator[list[Values]]:
        query: dict[str, Any] = {
            "IndexName": "settled",
            "KeyConditionExpression": "booked_on = :day",
            "ExpressionAttributeValues": wire({":day": partition}),
            "Limit": PAGE,
        }
        while True:
            entries, stopped = self._items.page(**query)
            yield entries
            if stopped is None:
                return
            query["ExclusiveStartKey"] = wire(stopped)

    def _read(
        self, entries: list[Values], partition: str, broken: Callable[[UnreadableItem], None]
    ) -> Iterator[Booked | Used]:
        """The items of these entries that are still booked there, which the index knows a moment later than the table;
        with each refund its trade, which says whether it pays anything."""
        of: dict[str, list[Values]] = {keys.ORDER: [], keys.PAYMENT: [], keys.REFUND: []}
        for item in self._items.many(entries, consistent=True):
            if item.get("booked_on") == partition:
                of[keys.entity(item["sk"])].append(item)
        for order in each_readable(lambda item: typed(_Order, item), of[keys.ORDER], broken):
            yield Used(order.business_id, order.total_fen)
        yield from map(_booked_payment, each_readable(lambda item: typed(_Payment, item), of[keys.PAYMENT], broken))
        refunds = each_readable(lambda item: typed(_Refund, item), of[keys.REFUND], broken)
        mispaid = self._mispaid(refunds, broken)
        for refund in refunds:
            yield Booked(
                kind=RowKind.REFUND,
                order_sn=refund.order_sn,
                out_trade_no=refund.out_trade_no,
                number=refund.out_refund_no,
                fen=refund.amount_fen,
                wechat_no=refund.refund_id or "",
                assigned=refund.out_trade_no not in mispaid,
            )

    def _mispaid(self, refunds: Iterable[_Refund], broken: Callable[[UnreadableItem], None]) -> set[str]:
        """The trades of these refunds that were paid, but not as we asked for."""
        numbers = {TradeNumber.parse(one.out_trade_no) for one in refunds}
        found = self._items.many(
            [keys.payment(number.order_sn, number.n) for number in numbers if number], consistent=True
        )
        payments = each_readable(lambda item: typed(_Payment, item), found, broken)
        return {f"{one.order_sn}_{one.n}" for one in payments if one.status is PaymentStatus.MISPAID}

    def _of_day(self, day: date, entity: str) -> list[Values]:
        return self._items.query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :entity)",
            ExpressionAttributeValues=wire({":pk": keys.bill(day)["pk"], ":entity": f"{entity}#"}),
            ConsistentRead=True,
        )

    def _put(self, key: Mapping[str, str], value: object, **more: object) -> None:
        self._items.write(Put({**key, **plain(value), **more}, None), lambda _: None)


def _booked_payment(payment: _Payment) -> Booked:
    number = f"{payment.order_sn}_{payment.n}"
    return Booked(
        kind=RowKind.PAYMENT,
        order_sn=payment.order_sn,
        out_trade_no=number,
        number=number,
        fen=payment.total_fen,
        wechat_no=payment.transaction_id or "",
        assigned=payment.status is not PaymentStatus.MISPAID,
    )
