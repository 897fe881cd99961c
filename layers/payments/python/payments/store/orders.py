"""Orders, and what a user's Idempotency-Key stands for."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase

from payments.domain.order import ENTERED_FROM, MAX_HINTS, Order, OrderStatus
from payments.domain.refund import Sums
from payments.domain.stock import Holds
from payments.domain.times import iso
from payments.store import keys
from payments.store.dynamodb import Plus, Removed, plain, typed, wire
from payments.store.items import NEW, Change, Items, Put, Standing, Taken, Update, Values, Written, as_read, status_in
from payments.store.looks import planned
from payments.store.stocks import as_held, end_of_hold, holding
from payments.store.sums import drawn_sums

IDEMPOTENCY_LIFE = timedelta(days=7)

NOT_ON_HOLD = Attr("on_hold").not_exists()
NOT_GIVEN_UP = Attr("given_up").not_exists()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What a user's Idempotency-Key stands for: the order that was placed with it, and a hash of the request."""

    body_hash: str
    order_sn: str


@dataclass(frozen=True, slots=True)
class _Created:
    """An entry of the index `user`, as far as a page ends with it."""

    created_at: datetime


class Orders:
    def __init__(self, items: Items) -> None:
        self._items = items

    # --- reads

    def get(self, order_sn: str) -> Order | None:
        return self._items.get(Order, keys.order(order_sn), consistent=True)

    def of_user(self, user_id: str, limit: int, before: datetime | None = None) -> tuple[list[Order], datetime | None]:
        """The user's orders, newest first; with `before`, those created before it. At most 100. And the `before` of the
        next page, if there may be one: what cannot be read is left out of a page, and ends none."""
        condition, values = "user_id = :user", {":user": user_id}
        if before is not None:
            condition, values = f"{condition} AND created_at < :before", values | {":before": iso(before)}
        entries, _ = self._items.page(
            IndexName="user",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=wire(values),
            ScanIndexForward=False,
            Limit=limit,
        )
        orders = self._items.readable(read_order, self._items.many(entries, consistent=False))
        found = self._items.readable(lambda entry: typed(_Created, entry), entries)
        more = found[-1].created_at if found and len(entries) == limit else None
        return sorted(orders, key=lambda order: order.created_at, reverse=True), more

    def placed_since(self, user_id: str, since: datetime, limit: int) -> list[datetime]:
        """When the user's newest orders were placed, those after `since`, no more than `limit` of them. Read from an
        index, which knows a new order a moment later than the table."""
        entries, _ = self._items.page(
            IndexName="user",
            KeyConditionExpression="user_id = :user AND created_at > :since",
            ExpressionAttributeValues=wire({":user": user_id, ":since": iso(since)}),
            ScanIndexForward=False,
            Limit=limit,
        )
        return [datetime.fromisoformat(entry["created_at"]) for entry in entries]

    def by_code(self, redeem_code: str) -> list[Order]:
        """The orders that have this code: one, as good as always."""
        entries = self._items.query(
            IndexName="code",
            KeyConditionExpression="redeem_code = :code",
            ExpressionAttributeValues=wire({":code": redeem_code}),
        )
        orders = [read_order(item) for item in self._items.many(entries, consistent=True)]
        return [order for order in orders if order.redeem_code == redeem_code]

    def arrivals(
        self, business_id: str, day: str, session: str | None, after: tuple[str, str] | None, limit: int
    ) -> tuple[list[Order], tuple[str, str] | None]:
        """The paid orders of a business whose use begins on a day, or that are at this place among its arrivals
        (`session`, as `arrival` has it), in that order; and where the page ends, if there may be more. With `after`
        those behind: (place, order_sn)."""
        among = "begins_with(arrives, :begins)" if session is None else "arrives = :begins"
        entries, stopped = self._items.page(
            IndexName="arrivals",
            KeyConditionExpression=f"business_id = :business AND {among}",
            ExpressionAttributeValues=wire({":business": business_id, ":begins": session or day}),
            Limit=limit,
            **({"ExclusiveStartKey": wire(_arrival_key(business_id, after))} if after else {}),
        )
        read = self._items.readable(read_order, self._items.many(entries, consistent=True))
        orders = {order.order_sn: order for order in read}
        sns = (keys.order_sn_of(entry["pk"]) for entry in entries)
        found = [orders[order_sn] for order_sn in sns if order_sn in orders]
        return found, (stopped["arrives"], keys.order_sn_of(stopped["pk"])) if stopped else None

    def businesses(self, order_sns: Iterable[str]) -> dict[str, str]:
        """The business_id of each of these orders that exists."""
        wanted = (keys.order(order_sn) for order_sn in order_sns)
        found = self._items.many(wanted, consistent=False, only="order_sn, business_id")
        return {item["order_sn"]: item["business_id"] for item in found}

    # --- a new order

    def put(self, order: Order, of_seats: int = 0) -> Written | Taken | Standing[Order | None]:
        """Puts a new order and lets it hold what it holds, all or nothing; `of_seats`: how many seats its session has.

        Taken: others hold some of that by now. Standing: the order that has its number already.
        """
        if order.holds is None:
            return self._items.write(_new(order), read_order, {"attempt": order.attempt})
        return self._put(order, of_seats, read_order)

    def put_for_key(
        self, order: Order, key: str, body_hash: str, instead_of: str | None = None, of_seats: int = 0
    ) -> Written | Taken | Standing[Order | None]:
        """As `put`, with what its user's Idempotency-Key stands for. `instead_of`: the number that the key stood for,
        of an order that is not there or not the user's; None: the key is new.

        Standing: the key stands for something else by now, or the number is taken.
        """
        reservation = {
            **keys.idempotency(order.user_id, key),
            "body_hash": body_hash,
            "order_sn": order.order_sn,
            "ttl": int((order.created_at + IDEMPOTENCY_LIFE).timestamp()),
        }
        known = NEW if instead_of is None else Attr("order_sn").eq(instead_of)
        return self._put(order, of_seats, lambda _: None, Put(reservation, known))

    def _put(
        self, order: Order, of_seats: int, read: Callable[[Values], Order | None], *also: Change
    ) -> Written | Taken | Standing[Order | None]:
        held = [] if order.holds is None else holding(order.service_type, order.order_sn, order.holds, of_seats)
        failed = self._items.together(_new(order), *also, *held)
        if failed is None:
            return Written()
        there, *others = failed[: 1 + len(also)]
        if there and there.get("attempt") == order.attempt:
            return Written()  # by an earlier try of this call, whose answer got lost (R11)
        if there is None and not any(one is not None for one in others):
            return Taken()
        return Standing(lambda: read(there) if there else None)

    def reservation(self, user_id: str, key: str) -> Reservation | None:
        """What the user's Idempotency-Key stands for; None: it is new. Another user's same key is another item."""
        return self._items.get(Reservation, keys.idempotency(user_id, key), consistent=True)

    # --- its life. Standing: the stored order that made the condition fail; None: there is no such order.

    def mark_paid(
        self,
        order: Order,
        n: int,
        drawn: Sums,
        redeem_code: str | None,
        paid_at: datetime,
        *,
        released: bool = False,
    ) -> Written | Standing[Order | None]:
        """WAIT_PAY → WAIT_USE, paid by trade n, with the sums drawn from the refunds that are there (R5); `redeem_code`
        None: it gets none now; `released`: its hold was another trade's. Standing: the order, changed since it was
        read."""
        changes = {
            "status": OrderStatus.WAIT_USE,
            "paid_by": n,
            "paid_at": paid_at,
            "redeem_code": redeem_code,
            "on_hold": Removed() if released else None,
            "arrives": arrival(order),
            **drawn_sums(order, drawn),
        }
        when = as_read(order) & status_in(ENTERED_FROM[OrderStatus.WAIT_USE])
        return self._items.write(Update(keys.order(order.order_sn), changes, when), read_order)

    def mark_closing(self, order_sn: str) -> Written | Standing[Order | None]:
        """WAIT_PAY stays WAIT_PAY, but is on its way to CANCELLED (R8). Standing: the order, which is not WAIT_PAY any
        more or was marked before."""
        when = status_in({OrderStatus.WAIT_PAY}) & (Attr("closing").eq(False))
        return self._items.write(Update(keys.order(order_sn), {"closing": True}, when), read_order)

    def cancel(self, order: Order, now: datetime) -> Written | Standing[Order | None]:
        """WAIT_PAY → CANCELLED, only after it was marked `closing` and its trades are closed (R8); it holds nothing any
        more (R15). Standing: the order, which is not WAIT_PAY any more, not marked, or holds something else."""
        when = status_in(ENTERED_FROM[OrderStatus.CANCELLED]) & Attr("closing").eq(True)
        return self._freeing(order, order.holds, {"status": OrderStatus.CANCELLED}, when, now)

    def release(self, order: Order, now: datetime) -> Written | Standing[Order | None]:
        """What an order holds that is over becomes free (R15). Standing: the order, which has changed since it was
        read."""
        return self._freeing(order, order.holds, {}, status_in({order.status}), now)

    def _freeing(
        self, order: Order, freed: Holds | None, changes: Mapping[str, object], when: ConditionBase, now: datetime
    ) -> Written | Standing[Order | None]:
        """Changes an order and frees this of what it holds, all or nothing, if it holds what was read."""
        if freed is None:
            return self._items.write(Update(keys.order(order.order_sn), changes, when), read_order)
        left = order.holds.without(freed) if order.holds else None
        change = Update(keys.order(order.order_sn), {**changes, "holds": left or Removed()}, when & as_held(order))
        match end_of_hold(self._items, order, freed, now, change):
            case Standing(image):
                return Standing(lambda: read_order(image) if image else None)
            case written:
                return written

    def expire(self, order_sn: str) -> Written | Standing[Order | None]:
        """WAIT_USE → EXPIRED: the time of use is over and nobody came. Standing: the order, which is not WAIT_USE any
        more."""
        when = status_in(ENTERED_FROM[OrderStatus.EXPIRED])
        return self._items.write(Update(keys.order(order_sn), {"status": OrderStatus.EXPIRED}, when), read_order)

    def redeem(
        self, order_sn: str, staff: str, attempt: str, now: datetime, due_at: datetime | None = None
    ) -> Written | Standing[Order | None]:
        """WAIT_USE → USED by a member of staff, once, not while all of it is on its way back (R7) and not while it is
        on hold (R4). With `due_at` the janitor looks then.

        Standing: the order as it is; what it is says why it is not redeemed.
        """
        when = status_in(ENTERED_FROM[OrderStatus.USED]) & Attr("refundable_fen").gt(0) & NOT_ON_HOLD & NOT_GIVEN_UP
        changes: dict[str, object] = {
            "status": OrderStatus.USED,
            "used_by": staff,
            "attempt": attempt,
            **planned(order_sn, due_at),
        }
        changes["booked_on"] = keys.booked(order_sn, now)
        mine = {"status": OrderStatus.USED, "attempt": attempt}
        return self._items.write(Update(keys.order(order_sn), changes, when), read_order, mine)

    def save_sums(
        self, order: Order, drawn: Sums, status: OrderStatus | None, redeem_code: str | None, now: datetime
    ) -> Written | Standing[Order | None]:
        """The order's sums as drawn from its refunds, REFUNDED when all of it is back, and the code of one that had
        none because it was on hold: then the janitor looks at it now, so that the guest is told (R4, R7). One that is
        REFUNDED before its use begins holds nothing any more (R15). None leaves a value as it is. Standing: the order,
        changed since it was read."""
        changes = {**drawn_sums(order, drawn), "status": status, "redeem_code": redeem_code}
        if redeem_code is not None:
            changes |= planned(order.order_sn, now)
        when = as_read(order)
        if status is not None:
            when = when & status_in(ENTERED_FROM[status])
        freed = order.holds if status is OrderStatus.REFUNDED and not order.begun(now) else None
        return self._freeing(order, freed, changes, when, now)

    def hint(self, order_sn: str, now: datetime) -> Written | Standing[Order | None]:
        """An unverified notice is no more than a hint: the janitor looks at an unpaid order now, at most five times
        (R13). Standing: the order, which is not WAIT_PAY, was hinted at five times, or is due already."""
        when = status_in({OrderStatus.WAIT_PAY}) & Attr("hints").lt(MAX_HINTS) & Attr("due_at").gt(iso(now))
        return self._items.write(Update(keys.order(order_sn), {"due_at": now, "hints": Plus(1)}, when), read_order)


def read_order(item: Mapping[str, Any]) -> Order:
    return typed(Order, item)


def arrival(order: Order) -> str | None:
    """Its place among the arrivals of its business: its first day; of a session also which product and offer, for the
    list at its door. None: it has none."""
    held = order.holds
    if held is None or not held.seats:
        return held.arrival if held else None
    return f"{held.arrival}#{order.service_type}#{held.offer_id}"


def _arrival_key(business_id: str, place: tuple[str, str]) -> dict[str, str]:
    arrives, order_sn = place
    return {**keys.order(order_sn), "business_id": business_id, "arrives": arrives}


def _new(order: Order) -> Put:
    item = {
        **keys.order(order.order_sn),
        **plain(order),
        **planned(order.order_sn, order.due_at),
    }
    return Put(item, NEW)
