"""The one table: the only file that knows item shapes, keys and conditions.

All that happens to one order shares a partition. Every change of state is one conditional write that checks the state
it leaves and adds one to `version`; the allowed changes stand in `order`, `payment`, `refund` and `shipping`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from boto3.dynamodb.conditions import Attr, ConditionBase

from payments.business.homestay import Homestay
from payments.case import Case, Resolution
from payments.dynamodb import (
    Attribute,
    IfMissing,
    Plus,
    Removed,
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
from payments.notice import Notice
from payments.order import ENTERED_FROM as ORDER_ENTERED_FROM
from payments.order import MAX_HINTS, Order, OrderStatus
from payments.payment import ENTERED_FROM as PAYMENT_ENTERED_FROM
from payments.payment import Payment, PaymentStatus, Trade, parse_out_trade_no
from payments.refund import ENTERED_FROM as REFUND_ENTERED_FROM
from payments.refund import FIRST_LOOK, Refund, RefundStatus, RefundWord
from payments.shipping import ENTERED_FROM as SHIPPING_ENTERED_FROM
from payments.shipping import Shipping, ShippingStatus
from payments.times import beijing_day, iso, millis, of_millis, utc_now

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")

IDEMPOTENCY_LIFE = timedelta(days=7)
ON_SALE = "ON_SALE"
OPEN = "OPEN"

NEW = Attr("pk").not_exists()


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A mini-program user; user_id derives from appid and openid."""

    user_id: str
    openid: str
    unionid: str | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """The mini-program's access token, shared by all functions."""

    appid: str
    access_token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Collection:
    """One order's partition: all that happened to it. Payments by number, refunds by age, notices by event, shipping
    records by the number of their trade."""

    order: Order
    payments: Sequence[Payment]
    refunds: Sequence[Refund] = ()
    notices: Mapping[str, Notice] = field(default_factory=dict)
    cases: Sequence[Case] = ()
    shippings: Mapping[int, Shipping] = field(default_factory=dict)


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
    """The table's operations. Those that can lose a race say so in what they return; other errors are botocore's."""

    def __init__(self, client: "DynamoDBClient", name: str, author: str = "") -> None:
        """`author`: the function that writes, for those who read an order's life."""
        self._client = client
        self._name = name
        self._author = author

    # --- catalogue

    def put_homestay(self, home: Homestay) -> None:
        """Puts a home into the catalogue, over the one that was there."""
        sale = {"catalogue": ON_SALE} if home.on_sale else {}
        self._put({"pk": f"HOMESTAY#{home.homestay_id}", "sk": "HOMESTAY"}, home, sale)

    def homestay(self, homestay_id: str) -> Homestay | None:
        return self._get(Homestay, {"pk": f"HOMESTAY#{homestay_id}", "sk": "HOMESTAY"}, consistent=False)

    def homestays_on_sale(self) -> list[Homestay]:
        items = self._query_all(
            IndexName="catalogue",
            KeyConditionExpression="catalogue = :on_sale",
            ExpressionAttributeValues=wire({":on_sale": ON_SALE}),
        )
        return [typed(Homestay, item) for item in items]

    # --- users and tokens

    def put_user(self, user: User) -> None:
        """Puts the user if he is new; who is known stays as he is."""
        self._put({"pk": f"USER#{user.user_id}", "sk": "USER"}, user, when=NEW)

    def user(self, user_id: str) -> User | None:
        return self._get(User, {"pk": f"USER#{user_id}", "sk": "USER"}, consistent=False)

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
        extra = {"list_user": order.user_id, **_due(order.order_sn, order.due_at)}
        standing = self._put(order_key(order.order_sn), order, extra, when=NEW)
        if standing is None or standing["attempt"] == order.attempt:
            return None
        return typed(Order, standing)

    def order(self, order_sn: str) -> Order | None:
        return self._get(Order, order_key(order_sn), consistent=True)

    def orders_of(self, user_id: str, limit: int, before: datetime | None = None) -> list[Order]:
        """The user's orders, newest first; with `before`, those created before it. At most 100."""
        condition, values = "list_user = :user", {":user": user_id}
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
        orders = [typed(Order, item) for item in self._read_many(map(unwire, page["Items"]), consistent=False)]
        return sorted(orders, key=lambda order: order.created_at, reverse=True)

    def reserve_order_sn(self, user_id: str, key: str, body_hash: str, order_sn: str, now: datetime) -> tuple[str, str]:
        """(body_hash, order_sn) that the user's Idempotency-Key stands for: the given ones if the key is new."""
        item = {
            "pk": f"IDEMPOTENCY#{user_id}#{key}",
            "sk": "IDEMPOTENCY",
            "body_hash": body_hash,
            "order_sn": order_sn,
            "ttl": int((now + IDEMPOTENCY_LIFE).timestamp()),
        }
        standing = write(self._client, self._name, **put_arguments(item, NEW))
        return (standing["body_hash"], standing["order_sn"]) if standing else (body_hash, order_sn)

    def collection(self, order_sn: str, *, consistent: bool) -> Collection | None:
        """The order with all that belongs to it, from one Query."""
        items = self._query_all(
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=wire({":pk": order_key(order_sn)["pk"]}),
            ConsistentRead=consistent,
        )
        order = next((typed(Order, item) for item in items if item["sk"] == "ORDER"), None)
        if order is None:
            return None

        def of(cls: type[T], kind: str) -> list[T]:
            return [typed(cls, item) for item in items if item["sk"].startswith(f"{kind}#")]

        return Collection(
            order,
            sorted(of(Payment, "PAYMENT"), key=lambda payment: payment.n),
            sorted(of(Refund, "REFUND"), key=lambda refund: refund.created_at),
            {notice.event: notice for notice in of(Notice, "NOTICE")},
            sorted(of(Case, "CASE"), key=lambda case: case.opened_at),
            {shipping.n: shipping for shipping in of(Shipping, "SHIPPING")},
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

    def mark_order_paid(self, order_sn: str, n: int, redeem_code: str, paid_at: datetime) -> Order | None:
        """WAIT_PAY → WAIT_USE, paid by trade n (R5). None when it is written; else the order as it stands.

        Raises LookupError when there is no such order.
        """
        standing = self._update(
            order_key(order_sn),
            {
                "status": OrderStatus.WAIT_USE,
                "paid_by": n,
                "paid_at": paid_at,
                "redeem_code": redeem_code,
                "refundable_fen": Attribute("total_fen"),
            },
            _status_in(ORDER_ENTERED_FROM[OrderStatus.WAIT_USE]),
        )
        return self._existing(order_sn, standing)

    def mark_closing(self, order_sn: str) -> Order | None:
        """WAIT_PAY stays WAIT_PAY, but is on its way to CANCELLED (R8). None when it is marked now or was before; else
        the order as it stands. Raises LookupError when there is no such order."""
        when = _status_in({OrderStatus.WAIT_PAY}) & (Attr("closing").eq(False))
        standing = self._existing(order_sn, self._update(order_key(order_sn), {"closing": True}, when))
        return None if standing is None or (standing.closing and standing.status is OrderStatus.WAIT_PAY) else standing

    def cancel_order(self, order_sn: str) -> bool:
        """WAIT_PAY → CANCELLED, only after it was marked `closing` and its trades are closed (R8)."""
        when = _status_in(ORDER_ENTERED_FROM[OrderStatus.CANCELLED]) & Attr("closing").eq(True)
        return self._update(order_key(order_sn), {"status": OrderStatus.CANCELLED}, when) is None

    def expire_order(self, order_sn: str) -> bool:
        """WAIT_USE → EXPIRED: the stay is over and nobody came."""
        when = _status_in(ORDER_ENTERED_FROM[OrderStatus.EXPIRED])
        return self._update(order_key(order_sn), {"status": OrderStatus.EXPIRED}, when) is None

    def redeem(self, order_sn: str, staff: str, attempt: str, due_at: datetime | None = None) -> Order | None:
        """WAIT_USE → USED by a member of staff, once, and not while all of it is on its way back (R7). With `due_at`
        the janitor looks then.

        None when this attempt has redeemed it; else the order as it stands. Raises LookupError.
        """
        when = _status_in(ORDER_ENTERED_FROM[OrderStatus.USED]) & Attr("refundable_fen").gt(0)
        changes = {"status": OrderStatus.USED, "used_by": staff, "attempt": attempt, **_due(order_sn, due_at)}
        standing = self._existing(order_sn, self._update(order_key(order_sn), changes, when))
        if standing and standing.status is OrderStatus.USED and standing.attempt == attempt:
            return None
        return standing

    def save_sums(self, order: Order, refunded_fen: int, refundable_fen: int, status: OrderStatus | None) -> bool:
        """The order's sums as drawn from its refunds, and REFUNDED when all of it is back; False when the order has
        changed since it was read (R7)."""
        changes = {"refunded_fen": refunded_fen, "refundable_fen": refundable_fen, "status": status}  # None: as it is
        when: ConditionBase = Attr("version").eq(order.version)
        if status is not None:
            when = when & _status_in(ORDER_ENTERED_FROM[status])
        return self._update(order_key(order.order_sn), changes, when) is None

    def hint(self, order_sn: str, now: datetime) -> bool:
        """An unpaid order is looked at now, at most five times (R13): an unverified notice is no more than a hint."""
        when = _status_in({OrderStatus.WAIT_PAY}) & Attr("hints").lt(MAX_HINTS) & Attr("due_at").gt(iso(now))
        return self._update(order_key(order_sn), {"due_at": now, "hints": Plus(1)}, when) is None

    # --- payments

    def put_payment(self, payment: Payment) -> bool:
        """Puts `PAYMENT#n` before WeChat is called (R2); False when another call has put it."""
        return self._put(payment_key(payment.order_sn, payment.n), payment, when=NEW) is None

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
        quiet = Attr("asked_at").not_exists() | Attr("asked_at").lt(iso(now - pause))
        return self._update_payment(payment, {"asked_at": now}, _status_in({PaymentStatus.NOTPAY}) & quiet)

    def record_success(self, trade: Trade, leaves: PaymentStatus, now: datetime) -> Obstacle | None:
        """`leaves` → SUCCESS, if sum, currency, appid and mchid are those that were asked for (R3, R4).

        None when it is written. A trade that was CLOSED gets `due_at` in the same write: its money finds its way even
        if every event is lost. Raises ValueError for a number that is not of our form.
        """
        order_sn, n = _ours(trade)
        changes = {"status": PaymentStatus.SUCCESS, "learned_by": self._author or None, **_settled(trade)}
        if leaves is PaymentStatus.CLOSED:
            changes |= _due(order_sn, now)
        when: ConditionBase = Attr("status").eq(leaves.value)
        for name in ("total_fen", "currency", "appid", "mchid"):
            when = when & Attr(name).eq(getattr(trade, name))
        standing = self._update(payment_key(order_sn, n), changes, when)
        if standing is None:
            return None
        return Obstacle(typed(Payment, standing) if standing else None)

    def record_mispaid(self, payment: Payment, trade: Trade, case: Case) -> bool:
        """→ MISPAID with its case, both or neither; False when the payment has changed since it was read."""
        change = update_arguments(
            payment_key(payment.order_sn, payment.n),
            {"status": PaymentStatus.MISPAID, **_settled(trade)},
            _status_in(PAYMENT_ENTERED_FROM[PaymentStatus.MISPAID]) & Attr("version").eq(payment.version),
            at=millis(utc_now()),
        )
        return transact(
            self._client,
            {"Update": {"TableName": self._name, **change}},
            {"Put": {"TableName": self._name, **put_arguments(_case_item(case), None)}},
        )

    # --- refunds

    def refund(self, order_sn: str, out_refund_no: str) -> Refund | None:
        return self._get(Refund, refund_key(order_sn, out_refund_no), consistent=True)

    def put_refund(self, refund: Refund) -> bool:
        """Puts a refund of money that does not pay the order; False when it exists: its number can exist only once."""
        return write(self._client, self._name, **put_arguments(_refund_item(refund), NEW)) is None

    def request_refund(self, order: Order, refund: Refund) -> bool:
        """Puts a refund of the order's own payment and takes its sum from what may be refunded, both or neither (R7).

        False when the order does not allow it, the refund exists, or another transaction was in the way: read again.
        """
        reserve = update_arguments(
            order_key(order.order_sn),
            {"refundable_fen": Plus(-refund.amount_fen)},
            _status_in(ORDER_ENTERED_FROM[OrderStatus.REFUNDED])
            & Attr("paid_by").eq(order.paid_by)
            & Attr("refundable_fen").gte(refund.amount_fen),
            at=millis(utc_now()),
        )
        return transact(
            self._client,
            {"Update": {"TableName": self._name, **reserve}},
            {"Put": {"TableName": self._name, **put_arguments(_refund_item(refund), NEW)}},
        )

    def record_refund(self, order_sn: str, word: RefundWord, now: datetime) -> Refund | None:
        """WeChat's word on a refund that is ours, if its sum is the one that was asked for. None when it is written;
        else the refund as it stands. One that was at rest is due again: its new state has consequences of its own.

        Raises LookupError when there is none.
        """
        changes = {
            "status": word.status,
            "refund_id": word.refund_id,
            "accepted_at": IfMissing(word.accepted_at or now),
            "settled_on": IfMissing(beijing_day(word.accepted_at or now)),
            **{name: IfMissing(value) for name, value in _due(order_sn, now + FIRST_LOOK).items()},
        }
        when = _status_in(REFUND_ENTERED_FROM[word.status]) & Attr("amount_fen").eq(word.amount_fen)
        standing = self._update(refund_key(order_sn, word.out_refund_no), changes, when)
        if standing is None:
            return None
        if not standing:
            raise LookupError(f"no refund {word.out_refund_no}")
        return typed(Refund, standing)

    def refuse_refund(self, refund: Refund) -> bool:
        """REQUESTED → REFUSED: WeChat said a final no, and does not know the number."""
        when = _status_in(REFUND_ENTERED_FROM[RefundStatus.REFUSED])
        key = refund_key(refund.order_sn, refund.out_refund_no)
        return self._update(key, {"status": RefundStatus.REFUSED}, when) is None

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
        """UPLOADING → REFUSED with its case, both or neither; False when it has come to its end before, or another
        transaction was in the way."""
        change = update_arguments(
            shipping_key(shipping),
            {"status": ShippingStatus.REFUSED, "why": case.detail},
            _status_in(SHIPPING_ENTERED_FROM[ShippingStatus.REFUSED]),
            at=millis(utc_now()),
        )
        return transact(
            self._client,
            {"Update": {"TableName": self._name, **change}},
            {"Put": {"TableName": self._name, **put_arguments(_case_item(case), None)}},
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
        read = {item["pk"] + item["sk"]: typed(Case, item) for item in self._read_many(keys, consistent=True)}
        cases = [read[key["pk"] + key["sk"]] for key in keys if key["pk"] + key["sk"] in read]
        return [case for case in cases if case.resolution is None]

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

    def close_case(self, case: Case, resolution: Resolution, reference: str, staff: str, now: datetime) -> bool:
        """Writes what became of it; False when it is closed already."""
        changes = {
            "resolution": resolution,
            "reference": reference,
            "closed_by": staff,
            "closed_at": now,
            "case_open": Removed(),
        }
        key = case_key(case.out_trade_no, case.kind, case.case_id)
        return self._update(key, changes, Attr("case_open").eq(OPEN)) is None

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
        items = map(unwire, page["Items"])
        return [Due(item["pk"], item["sk"], datetime.fromisoformat(item["due_at"])) for item in items]

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

    def save_notice(self, notice: Notice) -> Notice | None:
        """Writes the notice over its version less one. None when it is written; else the notice as it stands."""
        key = {"pk": order_key(notice.order_sn)["pk"], "sk": f"NOTICE#{notice.event}"}
        standing = self._put(key, notice, when=Attr("version").eq(notice.version - 1) if notice.version > 1 else NEW)
        if not standing or (standing["attempt"], standing["version"]) == (notice.attempt, notice.version):
            return None
        return typed(Notice, standing)

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

    def _get(self, cls: type[T], key: Mapping[str, str], *, consistent: bool) -> T | None:
        reply = self._client.get_item(TableName=self._name, Key=wire(key), ConsistentRead=consistent)
        return typed(cls, unwire(reply["Item"])) if "Item" in reply else None

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

    def _update_payment(self, payment: Payment, changes: Mapping[str, object], when: ConditionBase) -> bool:
        return self._update(payment_key(payment.order_sn, payment.n), changes, when) is None


def order_key(order_sn: str) -> dict[str, str]:
    return {"pk": f"ORDER#{order_sn}", "sk": "ORDER"}


def payment_key(order_sn: str, n: int) -> dict[str, str]:
    return {"pk": f"ORDER#{order_sn}", "sk": f"PAYMENT#{n}"}


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


def _settled(trade: Trade) -> dict[str, object]:
    return {
        "transaction_id": trade.transaction_id,
        "payer_total_fen": trade.payer_total_fen,
        "success_time": trade.success_time,
        "settled_on": None if trade.success_time is None else beijing_day(trade.success_time),
        "out_trade_no": trade.out_trade_no,
    }


def _status_in(statuses: Iterable[OrderStatus | PaymentStatus | RefundStatus | ShippingStatus]) -> ConditionBase:
    return Attr("status").is_in(sorted(status.value for status in statuses))


def _ours(trade: Trade) -> tuple[str, int]:
    numbers = parse_out_trade_no(trade.out_trade_no)
    if numbers is None:
        raise ValueError("an out_trade_no that is not of our form")
    return numbers


def _case_item(case: Case) -> dict[str, object]:
    key = case_key(case.out_trade_no, case.kind, case.case_id)
    return {**key, **plain(case), "case_open": OPEN, "version": 1}


def _refund_item(refund: Refund) -> dict[str, object]:
    key = refund_key(refund.order_sn, refund.out_refund_no)
    settled = {"settled_on": beijing_day(refund.accepted_at)} if refund.accepted_at else {}
    return {**key, **plain(refund), **settled, **_due(refund.order_sn, refund.due_at)}
