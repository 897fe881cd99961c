"""The one table: the only file that knows item shapes, keys and conditions.

All that happens to one order shares a partition. Every change of state is one conditional write that checks the state
it leaves and adds one to `version`; the allowed changes stand in `order`, `payment`, `refund` and `shipping`.
"""

from collections.abc import (
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import (
    asdict,
    dataclass,
    replace,
)
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from boto3.dynamodb.conditions import Attr, ConditionBase

from payments.domain.case import SYSTEM, Case, Resolution
from payments.domain.collection import Collection
from payments.domain.guest_messages import GuestMessages
from payments.domain.offer import Catalogue, Offer
from payments.domain.order import ENTERED_FROM as ORDER_ENTERED_FROM
from payments.domain.order import MAX_HINTS, Order, OrderStatus
from payments.domain.payment import ENTERED_FROM as PAYMENT_ENTERED_FROM
from payments.domain.payment import Payment, PaymentStatus, TradeReport, parse_out_trade_no
from payments.domain.refund import (
    AFTER_WITHDRAWAL,
    APART,
    EXECUTION,
    FIRST_LOOK,
    Refund,
    RefundReport,
    RefundStatus,
    Sums,
)
from payments.domain.refund import ENTERED_FROM as REFUND_ENTERED_FROM
from payments.domain.shipping import ENTERED_FROM as SHIPPING_ENTERED_FROM
from payments.domain.shipping import Shipping, ShippingStatus
from payments.domain.times import beijing_day, iso, millis, of_millis, utc_now
from payments.store.dynamodb import (
    IfMissing,
    Plus,
    Removed,
    UnreadableItem,
    add_arguments,
    plain,
    put_arguments,
    read_many,
    transact,
    typed,
    unwire,
    update_arguments,
    wire,
    write,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")
O = TypeVar("O", bound=Offer)  # noqa: E741

IDEMPOTENCY_LIFE = timedelta(days=7)
ON_SALE, OFF_SALE = "ON_SALE", "OFF_SALE"
"""The partitions of the index `catalogue`, after the service_type: `homestay#ON_SALE`."""
OPEN = "OPEN"

NEW = Attr("pk").not_exists()
NOT_ON_HOLD = Attr("on_hold").not_exists()


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A mini-program user; user_id derives from appid and openid."""

    user_id: str
    openid: str
    unionid: str | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What a user's Idempotency-Key stands for: the order that was placed with it, and a hash of the request."""

    body_hash: str
    order_sn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """The mini-program's access token, shared by all functions."""

    appid: str
    access_token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """An entry of the `due` index: the janitor promised to look at this item (R10)."""

    pk: str
    sk: str
    due_at: datetime

    @property
    def order_sn(self) -> str:
        return self.pk.removeprefix("ORDER#")


@dataclass(frozen=True, slots=True)
class _Created:
    """An entry of the `user` index, as far as a page ends with it."""

    created_at: datetime


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What a success met instead of the trade it expected; None: no such payment."""

    payment: Payment | None


@dataclass(frozen=True, slots=True)
class CasePlace:
    """A place among the open cases, which stand in the order of their age; without pk and sk: all of one instant."""

    opened_at: str
    pk: str = ""
    sk: str = ""

    @classmethod
    def of(cls, key: Mapping[str, Any]) -> "CasePlace":
        return cls(key["opened_at"], key["pk"], key["sk"])

    @classmethod
    def of_case(cls, case: Case) -> "CasePlace":
        return cls(iso(case.opened_at), **case_key(case.out_trade_no, case.kind, case.case_id))


class Table:
    """The table's operations. Those that can lose a race say so in what they return. Any write raises
    `payments.store.dynamodb.Conflict` when transactions keep being in its way; other errors are botocore's."""

    def __init__(
        self,
        client: "DynamoDBClient",
        name: str,
        author: str = "",
        tell: Callable[[UnreadableItem], None] = lambda _: None,
    ) -> None:
        """`author`: the function that writes, for those who read an order's life. `tell` hears of every item that a
        list left out because it cannot be read. What is asked for by its key raises UnreadableItem instead."""
        self._client = client
        self._name = name
        self._author = author
        self._tell = tell

    # --- catalogue

    def put_offer(self, catalogue: Catalogue[O], offer: O) -> None:
        """Puts an offer into the catalogue, over the one that was there."""
        sale = _sale(catalogue, ON_SALE if offer.on_sale else OFF_SALE)
        self._put(offer_key(catalogue, catalogue.id_of(offer)), offer, {"catalogue": sale})

    def offer(self, catalogue: Catalogue[O], offer_id: str) -> O | None:
        return self._get(catalogue.offer, offer_key(catalogue, offer_id), consistent=False)

    def offers_on_sale(self, catalogue: Catalogue[O]) -> list[O]:
        """By id. One that cannot be read is left out."""
        return self._readable(lambda item: _offer(catalogue, item), self._offers(catalogue, ON_SALE))

    def offers(self, catalogue: Catalogue[O]) -> list[O | UnreadableItem]:
        """The whole catalogue, on sale or not, with what cannot be read."""
        found: list[O | UnreadableItem] = []
        for item in [*self._offers(catalogue, ON_SALE), *self._offers(catalogue, OFF_SALE)]:
            try:
                found.append(_offer(catalogue, item))
            except UnreadableItem as error:
                found.append(error)
        return found

    def _offers(self, catalogue: Catalogue[O], sale: str) -> list[dict[str, Any]]:
        return self._query_all(
            IndexName="catalogue",
            KeyConditionExpression="catalogue = :sale",
            ExpressionAttributeValues=wire({":sale": _sale(catalogue, sale)}),
        )

    # --- users and tokens

    def put_user(self, user: User) -> None:
        """Puts the user if he is new; who is known stays as he is."""
        key = user_key(user.user_id)
        write(self._client, self._name, **put_arguments({**key, **user_item(user)}, NEW))

    def user(self, user_id: str) -> User | None:
        item = self._item(user_key(user_id), consistent=False)
        return None if item is None else typed(User, {**item, "user_id": user_id})

    def access_token(self, appid: str) -> AccessToken | None:
        return self._get(AccessToken, {"pk": f"TOKEN#{appid}", "sk": "TOKEN"}, consistent=False)

    def replace_access_token(self, token: AccessToken, failed: str | None) -> AccessToken:
        """Puts the token in the place of `failed` (None: of none); who comes second gets the first one's."""
        when = NEW if failed is None else Attr("access_token").eq(failed)
        standing = self._put({"pk": f"TOKEN#{token.appid}", "sk": "TOKEN"}, token, when=when)
        return typed(AccessToken, standing) if standing else token

    # --- orders

    def put_order(self, order: Order) -> Order | None:
        """Puts a new order. None when it is there now; else the order that has its number already."""
        standing = write(self._client, self._name, **put_arguments(_order_item(order), NEW))
        earlier = typed(Order, standing) if standing else None
        return None if earlier is None or earlier.attempt == order.attempt else earlier

    def put_order_for_key(self, order: Order, key: str, body_hash: str, instead_of: str | None = None) -> bool:
        """Puts a new order and what its user's Idempotency-Key stands for, both or neither. `instead_of`: the number
        that the key stood for, of an order that is not there or not the user's; None: the key is new.

        False when the key stands for something else by now, or the number is taken: read again.
        """
        reservation = {
            **idempotency_key(order.user_id, key),
            "body_hash": body_hash,
            "order_sn": order.order_sn,
            "ttl": int((order.created_at + IDEMPOTENCY_LIFE).timestamp()),
        }
        known = NEW if instead_of is None else Attr("order_sn").eq(instead_of)
        return transact(
            self._client,
            {"Put": {"TableName": self._name, **put_arguments(_order_item(order), NEW)}},
            {"Put": {"TableName": self._name, **put_arguments(reservation, known)}},
        )

    def reservation(self, user_id: str, key: str) -> Reservation | None:
        """What the user's Idempotency-Key stands for; None: it is new. Another user's same key is another item."""
        return self._get(Reservation, idempotency_key(user_id, key), consistent=True)

    def order(self, order_sn: str) -> Order | None:
        return self._get(Order, order_key(order_sn), consistent=True)

    def orders_of(
        self, user_id: str, limit: int, before: datetime | None = None
    ) -> tuple[list[Order], datetime | None]:
        """The user's orders, newest first; with `before`, those created before it. At most 100. And the `before` of the
        next page, if there may be one: what cannot be read is left out of a page, and ends none."""
        condition, values = "user_id = :user", {":user": user_id}
        if before is not None:
            condition, values = f"{condition} AND created_at < :before", values | {":before": iso(before)}
        page = self._client.query(
            TableName=self._name,
            IndexName="user",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=wire(values),
            ScanIndexForward=False,
            Limit=limit,
        )
        items = self._read_many(map(unwire, page["Items"]), consistent=False)
        orders = self._readable(_order, items)
        found = self._readable(lambda item: typed(_Created, item), map(unwire, page["Items"]))
        more = found[-1].created_at if found and len(page["Items"]) == limit else None
        return sorted(orders, key=lambda order: order.created_at, reverse=True), more

    def placed_since(self, user_id: str, since: datetime, limit: int) -> list[datetime]:
        """When the user's newest orders were placed, those after `since`, no more than `limit` of them. Read from an
        index, which knows a new order a moment later than the table."""
        page = self._client.query(
            TableName=self._name,
            IndexName="user",
            KeyConditionExpression="user_id = :user AND created_at > :since",
            ExpressionAttributeValues=wire({":user": user_id, ":since": iso(since)}),
            ScanIndexForward=False,
            Limit=limit,
        )
        return [datetime.fromisoformat(unwire(item)["created_at"]) for item in page["Items"]]

    def collection(self, order_sn: str, *, consistent: bool) -> Collection | None:
        """The order with all that belongs to it, from one Query.

        Raises UnreadableItem when the order, a payment or a refund cannot be read: no decision about money is taken
        past one. A notice, a case or a shipping record that cannot be read counts as none: whoever writes it meets the
        item itself.
        """
        items = self._query_all(
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=wire({":pk": order_key(order_sn)["pk"]}),
            ConsistentRead=consistent,
        )
        found = next((item for item in items if item["sk"] == "ORDER"), None)
        if found is None:
            return None

        def of(kind: str) -> list[dict[str, Any]]:
            return [item for item in items if item["sk"].startswith(f"{kind}#")]

        try:
            order = typed(Order, found)
            payments = [typed(Payment, item) for item in of("PAYMENT")]
            refunds = [typed(Refund, item) for item in of("REFUND")]
        except UnreadableItem as error:
            raise error.of(found) from None
        return Collection(
            order,
            sorted(payments, key=lambda payment: payment.n),
            sorted(refunds, key=lambda refund: refund.created_at),
            {notice.event: notice for notice in self._readable(lambda item: typed(GuestMessages, item), of("NOTICE"))},
            sorted(self._readable(_case, of("CASE")), key=lambda case: case.opened_at),
            {one.n: one for one in self._readable(lambda item: typed(Shipping, item), of("SHIPPING"))},
        )

    def orders_by_code(self, redeem_code: str) -> list[Order]:
        """The orders that have this code: one, as good as always."""
        keys = self._query_all(
            IndexName="code",
            KeyConditionExpression="redeem_code = :code",
            ExpressionAttributeValues=wire({":code": redeem_code}),
        )
        orders = [typed(Order, item) for item in self._read_many(keys, consistent=True)]
        return [order for order in orders if order.redeem_code == redeem_code]

    def mark_order_paid(
        self,
        order: Order,
        n: int,
        drawn: Sums,
        redeem_code: str | None,
        paid_at: datetime,
        *,
        released: bool = False,
    ) -> bool:
        """WAIT_PAY → WAIT_USE, paid by trade n, with the sums drawn from the refunds that are there (R5); `redeem_code`
        None: it gets none now; `released`: its hold was another trade's. False when the order has changed since it was
        read."""
        changes = {
            "status": OrderStatus.WAIT_USE,
            "paid_by": n,
            "paid_at": paid_at,
            "redeem_code": redeem_code,
            "on_hold": Removed() if released else None,
            **_drawn(order, drawn),
        }
        when = _as_read(order) & _status_in(ORDER_ENTERED_FROM[OrderStatus.WAIT_USE])
        return self._update(order_key(order.order_sn), changes, when) is None

    def mark_closing(self, order_sn: str) -> Order | None:
        """WAIT_PAY stays WAIT_PAY, but is on its way to CANCELLED (R8). None when this call has marked it; else the
        order as it stands, perhaps marked before. Raises LookupError when there is no such order."""
        when = _status_in({OrderStatus.WAIT_PAY}) & (Attr("closing").eq(False))
        return self._existing(order_sn, self._update(order_key(order_sn), {"closing": True}, when))

    def cancel_order(self, order_sn: str) -> bool:
        """WAIT_PAY → CANCELLED, only after it was marked `closing` and its trades are closed (R8)."""
        when = _status_in(ORDER_ENTERED_FROM[OrderStatus.CANCELLED]) & Attr("closing").eq(True)
        return self._update(order_key(order_sn), {"status": OrderStatus.CANCELLED}, when) is None

    def expire_order(self, order_sn: str) -> bool:
        """WAIT_USE → EXPIRED: the time in which it could be used is over and nobody came."""
        when = _status_in(ORDER_ENTERED_FROM[OrderStatus.EXPIRED])
        return self._update(order_key(order_sn), {"status": OrderStatus.EXPIRED}, when) is None

    def redeem(self, order_sn: str, staff: str, attempt: str, due_at: datetime | None = None) -> Order | None:
        """WAIT_USE → USED by a member of staff, once, not while all of it is on its way back (R7) and not while it is
        on hold (R4). With `due_at` the janitor looks then.

        None when this attempt has redeemed it; else the order as it stands. Raises LookupError.
        """
        when = _status_in(ORDER_ENTERED_FROM[OrderStatus.USED]) & Attr("refundable_fen").gt(0) & NOT_ON_HOLD
        changes = {"status": OrderStatus.USED, "used_by": staff, "attempt": attempt, **_due(order_sn, due_at)}
        standing = self._existing(order_sn, self._update(order_key(order_sn), changes, when))
        if standing and standing.status is OrderStatus.USED and standing.attempt == attempt:
            return None
        return standing

    def save_sums(
        self, order: Order, drawn: Sums, status: OrderStatus | None, redeem_code: str | None, now: datetime
    ) -> bool:
        """The order's sums as drawn from its refunds, REFUNDED when all of it is back, and the code of one that had
        none because it was on hold: then the janitor looks at it now, so that the guest is told (R4, R7). None leaves a
        value as it is; False when the order has changed since it was read."""
        changes = {**_drawn(order, drawn), "status": status, "redeem_code": redeem_code}
        if redeem_code is not None:
            changes |= _due(order.order_sn, now)
        when = _as_read(order)
        if status is not None:
            when = when & _status_in(ORDER_ENTERED_FROM[status])
        return self._update(order_key(order.order_sn), changes, when) is None

    def hint(self, order_sn: str, now: datetime) -> bool:
        """An unpaid order is looked at now, at most five times (R13): an unverified notice is no more than a hint."""
        when = _status_in({OrderStatus.WAIT_PAY}) & Attr("hints").lt(MAX_HINTS) & Attr("due_at").gt(iso(now))
        return self._update(order_key(order_sn), {"due_at": now, "hints": Plus(1)}, when) is None

    # --- payments

    def put_payment(self, payment: Payment) -> bool:
        """Puts `PAYMENT#n` before WeChat is called (R2); False when another call has put it. Who has put it may call
        WeChat for it now."""
        standing = self._put(payment_key(payment.order_sn, payment.n), payment, when=NEW)
        return _mine(standing, payment.attempt)

    def claim_prepay(self, payment: Payment, attempt: str, now: datetime, pause: timedelta) -> bool:
        """True for the one caller who may call WeChat for this open trade's prepay_id now: at most once per `pause`."""
        changes = {"called_at": now, "attempt": attempt}
        standing = self._update(payment_key(payment.order_sn, payment.n), changes, _free("called_at", now, pause))
        return _mine(standing, attempt)

    def payment(self, order_sn: str, n: int) -> Payment | None:
        return self._get(Payment, payment_key(order_sn, n), consistent=True)

    def store_prepay_id(self, payment: Payment, prepay_id: str, expires_at: datetime) -> bool:
        """Stores the prepay_id while the trade is NOTPAY; only after that may it reach a phone (R2)."""
        changes = {"prepay_id": prepay_id, "prepay_expires_at": expires_at}
        return self._update_payment(payment, changes, Attr("status").eq(PaymentStatus.NOTPAY.value))

    def close_payment(self, payment: Payment, *, unused: bool) -> bool:
        """NOTPAY → CLOSED. `unused`: only while no prepay_id is stored, for a trade that WeChat does not know (R2)."""
        when: ConditionBase = _status_in(PAYMENT_ENTERED_FROM[PaymentStatus.CLOSED])
        if unused:
            when = when & Attr("prepay_id").not_exists()
        return self._update_payment(payment, {"status": PaymentStatus.CLOSED}, when)

    def claim_query(self, payment: Payment, now: datetime, pause: timedelta) -> bool:
        """True for the one caller who may ask WeChat about this open trade now: at most once per `pause`."""
        return self._update_payment(payment, {"asked_at": now}, _free("asked_at", now, pause))

    def record_success(self, trade: TradeReport, leaves: PaymentStatus, now: datetime) -> Obstacle | None:
        """`leaves` → SUCCESS, if sum, currency, appid and mchid are those that were asked for, and the transaction is
        the one of a refund that was known before (R3, R4).

        None when it is written. A trade that was CLOSED gets `due_at` in the same write: its money finds its way even
        if every event is lost. Raises ValueError for a number that is not of our form.
        """
        order_sn, n = _ours(trade)
        changes = self._success(order_sn, trade, leaves, now)
        standing = self._update(payment_key(order_sn, n), changes, _as_asked(trade, leaves))
        if standing is None:
            return None
        return Obstacle(typed(Payment, standing) if standing else None)

    def record_refunded_elsewhere(
        self, order: Order, payment: Payment, trade: TradeReport, case: Case, now: datetime
    ) -> bool:
        """The case of a trade that WeChat calls refunded although no refund of it is known here, its success if that is
        not written yet, and `on_hold` on the order unless another trade pays it: all or nothing (R4). False when one of
        them has changed since it was read."""
        items = [
            self._put_item(_case_item(case)),
            self._update_item(
                order_key(order.order_sn),
                {"on_hold": True} if order.paid_by in (None, payment.n) else {},
                _as_read(order),
            ),
        ]
        if payment.status is not PaymentStatus.SUCCESS:
            changes = self._success(order.order_sn, trade, payment.status, now)
            key = payment_key(payment.order_sn, payment.n)
            items.append(self._update_item(key, changes, _as_asked(trade, payment.status)))
        return transact(self._client, *items)

    def _success(self, order_sn: str, trade: TradeReport, leaves: PaymentStatus, now: datetime) -> dict[str, object]:
        changes = {"status": PaymentStatus.SUCCESS, "learned_by": self._author or None, **_settled(trade)}
        return changes | (_due(order_sn, now) if leaves is PaymentStatus.CLOSED else {})

    def record_mispaid(self, payment: Payment, trade: TradeReport, case: Case) -> bool:
        """→ MISPAID with its case, both or neither; False when the payment has changed since it was read."""
        return transact(
            self._client,
            self._update_item(
                payment_key(payment.order_sn, payment.n),
                {"status": PaymentStatus.MISPAID, **_settled(trade)},
                _status_in(PAYMENT_ENTERED_FROM[PaymentStatus.MISPAID]) & _as_read(payment),
            ),
            self._put_item(_case_item(case), None),
        )

    # --- refunds

    def refund(self, order_sn: str, out_refund_no: str) -> Refund | None:
        return self._get(Refund, refund_key(order_sn, out_refund_no), consistent=True)

    def add_refund(
        self, collection: Collection, refund: Refund, now: datetime, *, hold: Case | None = None, released: bool = False
    ) -> bool:
        """Puts a refund that was not asked for through R7, under the order's version as the collection was read with
        it, with the sums as they are with this refund; one of a trade that is not known as paid names its transaction
        there. `hold`: the case of that trade, which the refund answers; `released`: nothing else holds the order then.

        All or nothing (R5); False when one of them has changed since it was read.
        """
        order, payment = collection.order, collection.payment(int(refund.out_trade_no.rpartition("_")[2]))
        changes: dict[str, object] = {}
        if order.paid_by is not None:
            changes = _drawn(order, replace(collection, refunds=[*collection.refunds, refund]).sums())
        if hold is not None:
            changes |= _due(order.order_sn, now) | ({"on_hold": Removed()} if released else {})
        items = [
            self._put_item(_refund_item(refund)),
            self._update_item(order_key(order.order_sn), changes, _as_read(order)),
        ]
        if payment is not None and refund.transaction_id is not None:
            key = payment_key(payment.order_sn, payment.n)
            named = {"refunded_transaction_id": refund.transaction_id}
            items.append(self._update_item(key, named, _as_read(payment)))
        if hold is not None:
            items.append(self._close_case_item(hold, Resolution.REFUNDED, refund.out_refund_no, SYSTEM, "", now))
        return transact(self._client, *items)

    def request_refund(self, order: Order, refund: Refund) -> bool:
        """Puts a refund of the order's own payment and takes its sum from what may be refunded, both or neither (R7).

        False when the order does not allow it or has changed since it was read, or when the refund exists.
        """
        when = (
            _as_read(order)
            & _status_in(ORDER_ENTERED_FROM[OrderStatus.REFUNDED])
            & Attr("paid_by").eq(order.paid_by)
            & Attr("refundable_fen").gte(refund.amount_fen)
            & NOT_ON_HOLD
        )
        reserved = {"refundable_fen": Plus(-refund.amount_fen)}
        return transact(
            self._client,
            self._update_item(order_key(order.order_sn), reserved, when),
            self._put_item(_refund_item(refund)),
        )

    def record_refund(
        self,
        collection: Collection,
        refund: Refund,
        word: RefundReport,
        now: datetime,
        drawn: Sums | None = None,
        cases: Sequence[Case] = (),
    ) -> bool:
        """WeChat's word on a refund that is ours; False when it has changed since it was read. One that was at rest is
        due again: its new state has consequences of its own. With `drawn` the order gets these sums, and with `cases`
        they are opened, in the same transaction."""
        order_sn = refund.order_sn
        changes = {
            "status": word.status,
            "refund_id": word.refund_id,
            "accepted_at": IfMissing(word.accepted_at or now),
            "booked_on": IfMissing(beijing_day(word.accepted_at or now)),
            **{name: IfMissing(value) for name, value in _due(order_sn, now + FIRST_LOOK).items()},
        }
        key = refund_key(order_sn, refund.out_refund_no)
        when = _as_read(refund) & _status_in(REFUND_ENTERED_FROM[word.status])
        if drawn is None and not cases:
            return self._update(key, changes, when) is None
        order = collection.order
        items = [self._update_item(key, changes, when)]
        if drawn is not None:
            items.append(self._update_item(order_key(order_sn), _drawn(order, drawn), _as_read(order)))
        return transact(self._client, *items, *(self._put_item(_case_item(case)) for case in cases))

    def note_first_no(self, refund: Refund, now: datetime) -> bool:
        """WeChat does not know the number of a refund that it refused for good, or that is being withdrawn. Said a
        second time, a minute later, it counts (R1): the janitor asks then."""
        return self._wait(refund, {"first_no_at": now}, now + APART)

    def refuse_refund(self, refund: Refund) -> bool:
        """REQUESTED → REFUSED: WeChat said a final no twice, and does not know the number."""
        return self._give_up(refund, RefundStatus.REFUSED, None)

    def mark_withdrawing(self, refund: Refund, now: datetime) -> bool:
        """Staff take a refund back: from now on execute_refund does not ask for it. False when it has left REQUESTED,
        or is being withdrawn already (R7)."""
        return self._wait(refund, {"withdrawing_at": now, "first_no_at": Removed()}, now + EXECUTION)

    def withdraw_refund(self, refund: Refund, now: datetime) -> bool:
        """REQUESTED → WITHDRAWN, after WeChat twice did not know its number; WeChat is asked twice more, later."""
        return self._give_up(refund, RefundStatus.WITHDRAWN, now + AFTER_WITHDRAWAL[0])

    def look_at_refund(self, refund: Refund, at: datetime) -> bool:
        """The janitor looks at this refund at `at`, if it would not do so before. False: it would, or the refund has
        changed since it was read."""
        sooner = Attr("due_at").not_exists() | Attr("due_at").gt(iso(at))
        key = refund_key(refund.order_sn, refund.out_refund_no)
        return self._update(key, _due(refund.order_sn, at), _status_in({refund.status}) & sooner) is None

    def postpone_refund(self, refund: Refund, to: datetime) -> bool:
        """Another part of this trade has just been asked for: this one waits until then (R7)."""
        return self._wait(refund, {"not_before": to}, to)

    def _wait(self, refund: Refund, changes: Mapping[str, object], due_at: datetime) -> bool:
        """A refund stays REQUESTED, and the janitor looks at it at `due_at` if it would not do so before."""
        planned = {**changes, **_due(refund.order_sn, min(refund.due_at or due_at, due_at))}
        when = _status_in({RefundStatus.REQUESTED}) & _not_known_since(refund)
        return self._update(refund_key(refund.order_sn, refund.out_refund_no), planned, when) is None

    def _give_up(self, refund: Refund, status: RefundStatus, due_at: datetime | None) -> bool:
        changes = {"status": status, **_due(refund.order_sn, due_at)}
        when = _status_in(REFUND_ENTERED_FROM[status]) & _not_known_since(refund)
        return self._update(refund_key(refund.order_sn, refund.out_refund_no), changes, when) is None

    # --- shipping

    def put_shipping(self, shipping: Shipping) -> Shipping | None:
        """Puts `SHIPPING#n` before WeChat is called. None when it is there now; else the one that stands there."""
        standing = self._put(shipping_key(shipping), shipping, when=NEW)
        return typed(Shipping, standing) if standing else None

    def finish_shipping(self, shipping: Shipping, why: str | None) -> bool:
        """UPLOADING → UPLOADED; False when it has come to its end before."""
        when = _status_in(SHIPPING_ENTERED_FROM[ShippingStatus.UPLOADED])
        return self._update(shipping_key(shipping), {"status": ShippingStatus.UPLOADED, "why": why}, when) is None

    def refuse_shipping(self, shipping: Shipping, case: Case) -> bool:
        """UPLOADING → REFUSED with its case, both or neither; False when it has come to its end before."""
        return transact(
            self._client,
            self._update_item(
                shipping_key(shipping),
                {"status": ShippingStatus.REFUSED, "why": case.detail},
                _status_in(SHIPPING_ENTERED_FROM[ShippingStatus.REFUSED]),
            ),
            self._put_item(_case_item(case), None),
        )

    # --- cases

    def put_case(self, case: Case) -> bool:
        """Opens a case; False when it exists, open or closed."""
        return write(self._client, self._name, **put_arguments(_case_item(case), NEW)) is None

    def case(self, out_trade_no: str, kind: str, case_id: str) -> Case | None:
        return self._get(Case, case_key(out_trade_no, kind, case_id), consistent=True)

    def open_cases(self) -> list[Case]:
        """All that wait for a person, the oldest first."""
        keys = self._query_all(
            IndexName="open_cases",
            KeyConditionExpression="case_open = :open",
            ExpressionAttributeValues=wire({":open": OPEN}),
        )
        return self._cases(keys)

    def open_cases_page(self, after: CasePlace | None, limit: int) -> tuple[list[Case], CasePlace | None]:
        """Of the open cases, the oldest first, those of one stretch of the index: `limit` at most, from the place
        `after` on, and the place where the stretch ends; None: there are no more."""
        condition, values = "case_open = :open", {":open": OPEN}
        start: dict[str, Any] = {}
        if after and after.sk:
            start = {"ExclusiveStartKey": wire({"case_open": OPEN, **asdict(after)})}
        elif after:  # of a place without its key the cases of that very millisecond are told once more
            condition, values = f"{condition} AND opened_at >= :after", values | {":after": after.opened_at}
        page = self._client.query(
            TableName=self._name,
            IndexName="open_cases",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=wire(values),
            Limit=limit,
            **start,
        )
        last = page.get("LastEvaluatedKey")
        return self._cases([unwire(key) for key in page["Items"]]), CasePlace.of(unwire(last)) if last else None

    def _cases(self, keys: Sequence[Mapping[str, str]]) -> list[Case]:
        """Those that are open, in the order of their keys."""
        read = {item["pk"] + item["sk"]: item for item in self._read_many(keys, consistent=True)}
        items = [read[key["pk"] + key["sk"]] for key in keys if key["pk"] + key["sk"] in read]
        return [case for case in self._readable(_case, items) if case.open]

    def businesses_of(self, order_sns: Iterable[str]) -> dict[str, str]:
        """The business_id of each of these orders that exists."""
        keys = [order_key(order_sn) for order_sn in order_sns]
        read = self._read_many(keys, consistent=False, only="order_sn, business_id")
        return {item["order_sn"]: item["business_id"] for item in read}

    def count_open_cases(self) -> int:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            IndexName="open_cases",
            KeyConditionExpression="case_open = :open",
            ExpressionAttributeValues=wire({":open": OPEN}),
            Select="COUNT",
        )
        return sum(page["Count"] for page in pages)

    def close_case(
        self, case: Case, resolution: Resolution, reference: str, by: str, attempt: str, now: datetime
    ) -> bool:
        """Writes what became of it; False when it is closed: read it again, it may be this very `attempt`, whose first
        answer got lost (R11)."""
        arguments = self._close_case_item(case, resolution, reference, by, attempt, now)["Update"]
        del arguments["TableName"]
        standing = write(self._client, self._name, **arguments)
        return standing is None

    def close_case_of_order(
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
    ) -> bool:
        """Closes a case that an order's sums or its hold depend on, with the sums as they are then and the janitor's
        look at the order now; `released`: nothing holds the order any more. All or nothing; False when one of them has
        changed since it was read."""
        order = collection.order
        closed = replace(case, resolution=resolution)
        after = replace(collection, cases=[closed if one == case else one for one in collection.cases])
        changes = _due(order.order_sn, now) | ({"on_hold": Removed()} if released else {})
        if order.paid_by is not None:
            changes |= _drawn(order, after.sums())
        return transact(
            self._client,
            self._close_case_item(case, resolution, reference, by, attempt, now),
            self._update_item(order_key(order.order_sn), changes, _as_read(order)),
        )

    def _close_case_item(
        self, case: Case, resolution: Resolution, reference: str, by: str, attempt: str, now: datetime
    ) -> dict[str, Any]:
        changes = {
            "resolution": resolution,
            "reference": reference,
            "closed_by": by,
            "closed_at": now,
            "closing_attempt": attempt or None,
            "case_open": Removed(),
        }
        key = case_key(case.out_trade_no, case.kind, case.case_id)
        return self._update_item(key, changes, Attr("case_open").eq(OPEN))

    # --- the janitor's promises (R10)

    def due(self, shard: str, now: datetime, limit: int) -> list[Due]:
        """What is due in a shard (`0` to `9`), the longest overdue first."""
        page = self._client.query(
            TableName=self._name,
            IndexName="due",
            KeyConditionExpression="due_shard = :shard AND due_at <= :now",
            ExpressionAttributeValues=wire({":shard": shard, ":now": iso(now)}),
            Limit=limit,
        )
        return self._readable(lambda item: typed(Due, item), map(unwire, page["Items"]))

    def move_due(self, due: Due, to: datetime | None) -> bool:
        """A later look, or none (None); False when someone has set an earlier one since `due` was seen."""
        changes = {"due_at": to or Removed(), "due_shard": None if to else Removed()}
        return self._update({"pk": due.pk, "sk": due.sk}, changes, Attr("due_at").eq(iso(due.due_at))) is None

    # --- guesses at redeem codes

    def guess(self, who: str, now: datetime, pause: timedelta, burst: int) -> datetime | None:
        """One more guess of `who`: `burst` of them at once, then one in each `pause`. None: it may be made; else when.

        `free_at` is the time at which all of them are his again; each guess takes it a pause further.
        """
        key, at, step = {"pk": f"GUESSES#{who}", "sk": "GUESSES"}, millis(now), round(pause / timedelta(milliseconds=1))
        ttl = int(now.timestamp()) + burst * int(pause.total_seconds() + 1)
        first = put_arguments({**key, "free_at": at + step, "ttl": ttl}, NEW | Attr("free_at").lt(at))
        standing = write(self._client, self._name, **first)
        if standing is None:
            return None
        latest = at + (burst - 1) * step
        more = add_arguments(key, "free_at", step, Attr("free_at").lte(latest), ttl)
        standing = write(self._client, self._name, **more)
        return None if standing is None else of_millis(int(standing.get("free_at", at)) - (burst - 1) * step)

    def forgive_guess(self, who: str, now: datetime, pause: timedelta) -> None:
        """The code was right: it was no guess."""
        key, step = {"pk": f"GUESSES#{who}", "sk": "GUESSES"}, round(pause / timedelta(milliseconds=1))
        ttl = int(now.timestamp()) + int(pause.total_seconds() + 1)
        write(self._client, self._name, **add_arguments(key, "free_at", -step, Attr("free_at").gt(millis(now)), ttl))

    # --- notices

    def save_notice(self, notice: GuestMessages) -> GuestMessages | None:
        """Writes the notice over its version less one. None when it is written; else the notice as it stands."""
        key = {"pk": order_key(notice.order_sn)["pk"], "sk": f"NOTICE#{notice.event}"}
        standing = self._put(key, notice, when=Attr("version").eq(notice.version - 1) if notice.version > 1 else NEW)
        known = typed(GuestMessages, standing) if standing else None
        return None if known is None or (known.attempt, known.version) == (notice.attempt, notice.version) else known

    # --- the wire

    def _read_many(
        self, keys: Iterable[Mapping[str, str]], *, consistent: bool, only: str = ""
    ) -> Iterator[dict[str, Any]]:
        return read_many(self._client, self._name, list(keys), consistent=consistent, only=only)

    def _query_all(self, **arguments: Any) -> list[dict[str, Any]]:
        pages = self._client.get_paginator("query").paginate(TableName=self._name, **arguments)
        return [unwire(item) for page in pages for item in page["Items"]]

    def _existing(self, order_sn: str, standing: dict[str, Any] | None) -> Order | None:
        """The order that stood in the way of an update, if any. Raises LookupError when there is no such order."""
        if standing is None:
            return None
        if not standing:
            raise LookupError(f"no order {order_sn}")
        return typed(Order, standing)

    def _item(self, key: Mapping[str, str], *, consistent: bool) -> dict[str, Any] | None:
        reply = self._client.get_item(TableName=self._name, Key=wire(key), ConsistentRead=consistent)
        return unwire(reply["Item"]) if "Item" in reply else None

    def _get(self, cls: type[T], key: Mapping[str, str], *, consistent: bool) -> T | None:
        """Raises UnreadableItem."""
        item = self._item(key, consistent=consistent)
        return None if item is None else typed(cls, item)

    def _readable(self, read: Callable[[dict[str, Any]], T], items: Iterable[dict[str, Any]]) -> list[T]:
        """The items of a list, without those that cannot be read: one never hides the others."""
        values: list[T] = []
        for item in items:
            try:
                values.append(read(item))
            except UnreadableItem as error:
                self._tell(error)
        return values

    def _put(
        self,
        key: Mapping[str, str],
        value: object,
        extra: Mapping[str, object] | None = None,
        when: ConditionBase | None = None,
    ) -> dict[str, Any] | None:
        item = {**key, **plain(value), **(extra or {})}
        return write(self._client, self._name, **put_arguments(item, when))

    def _update(
        self, key: Mapping[str, str], changes: Mapping[str, object], when: ConditionBase
    ) -> dict[str, Any] | None:
        return write(self._client, self._name, **update_arguments(key, changes, when, at=millis(utc_now())))

    def _put_item(self, item: Mapping[str, object], when: ConditionBase | None = NEW) -> dict[str, Any]:
        """A Put of a transaction."""
        return {"Put": {"TableName": self._name, **put_arguments(item, when)}}

    def _update_item(
        self, key: Mapping[str, str], changes: Mapping[str, object], when: ConditionBase
    ) -> dict[str, Any]:
        """An Update of a transaction."""
        return {"Update": {"TableName": self._name, **update_arguments(key, changes, when, at=millis(utc_now()))}}

    def _update_payment(self, payment: Payment, changes: Mapping[str, object], when: ConditionBase) -> bool:
        return self._update(payment_key(payment.order_sn, payment.n), changes, when) is None


def user_key(user_id: str) -> dict[str, str]:
    return {"pk": f"USER#{user_id}", "sk": "USER"}


def user_item(user: User) -> dict[str, Any]:
    """Without `user_id`, which its key has: the index `user` holds orders alone."""
    return {name: value for name, value in plain(user).items() if name != "user_id"}


def offer_key(catalogue: Catalogue[Any], offer_id: str) -> dict[str, str]:
    return {"pk": f"OFFER#{catalogue.service_type}#{offer_id}", "sk": "OFFER"}


def _sale(catalogue: Catalogue[Any], sale: str) -> str:
    return f"{catalogue.service_type}#{sale}"


def _offer(catalogue: Catalogue[O], item: Mapping[str, Any]) -> O:
    """An entry of the catalogue. Raises UnreadableItem, also where its key is not its own: it could not be ordered."""
    offer = typed(catalogue.offer, item)
    if offer_key(catalogue, catalogue.id_of(offer)) != {"pk": item["pk"], "sk": item["sk"]}:
        own = f"OFFER#{catalogue.service_type}#<{catalogue.named_by}>"
        raise UnreadableItem(item, catalogue.named_by, f"is another than its key's, {own} and OFFER")
    return offer


def _order(item: Mapping[str, Any]) -> Order:
    return typed(Order, item)


def _case(item: Mapping[str, Any]) -> Case:
    return typed(Case, item)


def order_key(order_sn: str) -> dict[str, str]:
    return {"pk": f"ORDER#{order_sn}", "sk": "ORDER"}


def payment_key(order_sn: str, n: int) -> dict[str, str]:
    return {"pk": f"ORDER#{order_sn}", "sk": f"PAYMENT#{n}"}


def idempotency_key(user_id: str, key: str) -> dict[str, str]:
    return {"pk": f"IDEMPOTENCY#{user_id}#{key}", "sk": "IDEMPOTENCY"}


def refund_key(order_sn: str, out_refund_no: str) -> dict[str, str]:
    return {"pk": f"ORDER#{order_sn}", "sk": f"REFUND#{out_refund_no}"}


def shipping_key(shipping: Shipping) -> dict[str, str]:
    return {"pk": order_key(shipping.order_sn)["pk"], "sk": f"SHIPPING#{shipping.n}"}


def case_key(out_trade_no: str, kind: str, case_id: str) -> dict[str, str]:
    """Beside its order; under the trade's own number when that is not of our form."""
    numbers = parse_out_trade_no(out_trade_no)
    pk = order_key(numbers[0])["pk"] if numbers else f"TRADE#{out_trade_no}"
    return {"pk": pk, "sk": f"CASE#{kind}#{case_id}"}


def _due(order_sn: str, due_at: datetime | None) -> dict[str, object]:
    """The promise to look again (R10), spread over ten shards by the order number's last digit."""
    return {} if due_at is None else {"due_shard": order_sn[-1], "due_at": due_at}


def _settled(trade: TradeReport) -> dict[str, object]:
    return {
        "transaction_id": trade.transaction_id,
        "payer_total_fen": trade.payer_total_fen,
        "success_time": trade.success_time,
        "booked_on": None if trade.success_time is None else beijing_day(trade.success_time),
        "out_trade_no": trade.out_trade_no,
    }


def _as_read(item: Order | Payment | Refund) -> ConditionBase:
    """It has not changed since it was read."""
    return Attr("version").eq(item.version)


def _not_known_since(refund: Refund) -> ConditionBase:
    """What is known of its withdrawal and of WeChat's first no is what was read: neither has happened since."""
    return _same("withdrawing_at", refund.withdrawing_at) & _same("first_no_at", refund.first_no_at)


def _same(name: str, value: datetime | None) -> ConditionBase:
    return Attr(name).not_exists() if value is None else Attr(name).eq(iso(value))


def _as_asked(trade: TradeReport, leaves: PaymentStatus) -> ConditionBase:
    """The payment is the one that WeChat's trade says was paid (R4)."""
    when: ConditionBase = Attr("status").eq(leaves.value)
    for name in ("total_fen", "currency", "appid", "mchid"):
        when = when & Attr(name).eq(getattr(trade, name))
    named = Attr("refunded_transaction_id")
    return when & (named.not_exists() | named.eq(trade.transaction_id))


def _drawn(order: Order, drawn: Sums) -> dict[str, object]:
    """The order's sums; those that are seldom there go away when they are 0."""
    changes: dict[str, object] = {"refunded_fen": drawn.refunded, "refundable_fen": drawn.refundable}
    for name, was, now in (
        ("by_hand_fen", order.by_hand_fen, drawn.by_hand),
        ("stuck_fen", order.stuck_fen, drawn.stuck),
    ):
        if now or was:
            changes[name] = now or Removed()
    return changes


def _status_in(statuses: Iterable[OrderStatus | PaymentStatus | RefundStatus | ShippingStatus]) -> ConditionBase:
    return Attr("status").is_in(sorted(status.value for status in statuses))


def _ours(trade: TradeReport) -> tuple[str, int]:
    numbers = parse_out_trade_no(trade.out_trade_no)
    if numbers is None:
        raise ValueError("an out_trade_no that is not of our form")
    return numbers


def _free(name: str, now: datetime, pause: timedelta) -> ConditionBase:
    """The trade is open, and the time that stands under this name is a pause ago."""
    ago = Attr(name).not_exists() | Attr(name).lte(iso(now - pause))
    return _status_in({PaymentStatus.NOTPAY}) & ago


def _mine(standing: Mapping[str, Any] | None, attempt: str) -> bool:
    """The write is done, or what stood in its way is what this very attempt wrote (R11)."""
    return standing is None or (bool(attempt) and standing.get("attempt") == attempt)


def _order_item(order: Order) -> dict[str, object]:
    return {
        **order_key(order.order_sn),
        **plain(order),
        **_due(order.order_sn, order.due_at),
    }


def _case_item(case: Case) -> dict[str, object]:
    key = case_key(case.out_trade_no, case.kind, case.case_id)
    return {**key, **plain(case), "case_open": OPEN, "version": 1}


def _refund_item(refund: Refund) -> dict[str, object]:
    key = refund_key(refund.order_sn, refund.out_refund_no)
    settled = {"booked_on": beijing_day(refund.accepted_at)} if refund.accepted_at else {}
    return {**key, **plain(refund), **settled, **_due(refund.order_sn, refund.due_at)}
