"""The keys of the table: what an item is stored under, and what a key says of its item. No other file builds or parses
one.

All that happens to one order shares its partition.
"""

from datetime import date, datetime

from payments.domain.collection import ItemRef
from payments.domain.times import beijing_day
from payments.domain.trade_number import TradeNumber

Key = dict[str, str]
"""`pk` and `sk` of one item."""

ORDER, PAYMENT, REFUND = "ORDER", "PAYMENT", "REFUND"
GUEST_MESSAGES, CASE, SHIPPING = "NOTICE", "CASE", "SHIPPING"
"""The entities of an order's partition: how each sort key begins."""

OFFER, BLOCK = "OFFER", "BLOCK"

SUMMARY, DIFFERENCE, STATEMENT = "SUMMARY", "DIFF", "STATEMENT"
"""What stands in a day's partition of the comparison with WeChat's bill."""

TRADE = "TRADE"
"""How the partition of a trade begins whose number is not of our form."""


def order(order_sn: str) -> Key:
    return {"pk": f"{ORDER}#{order_sn}", "sk": ORDER}


def payment(order_sn: str, n: int) -> Key:
    return _beside(order_sn, f"{PAYMENT}#{n}")


def refund(order_sn: str, out_refund_no: str) -> Key:
    return _beside(order_sn, f"{REFUND}#{out_refund_no}")


def shipping(order_sn: str, n: int) -> Key:
    return _beside(order_sn, f"{SHIPPING}#{n}")


def guest_messages(order_sn: str, event: str) -> Key:
    return _beside(order_sn, f"{GUEST_MESSAGES}#{event}")


def case(out_trade_no: str, kind: str, case_id: str) -> Key:
    """Beside its order; in a partition of the trade's own when its number is not of our form."""
    number = TradeNumber.parse(out_trade_no)
    pk = order(number.order_sn)["pk"] if number else f"{TRADE}#{out_trade_no}"
    return {"pk": pk, "sk": f"{CASE}#{kind}#{case_id}"}


def offer(service_type: str, offer_id: str) -> Key:
    return {"pk": f"{OFFER}#{service_type}#{offer_id}", "sk": OFFER}


def stock(service_type: str, offer_id: str, of: str) -> Key:
    """What is held of an offer: in a room in a month (`2026-12#1`), or of a session (`2026-12-05T19:00`)."""
    return {"pk": f"STOCK#{service_type}#{offer_id}", "sk": of}


def block(service_type: str, offer_id: str, block_id: str) -> Key:
    return stock(service_type, offer_id, f"{BLOCK}#{block_id}")


def bill(day: date, of: str = SUMMARY) -> Key:
    """What came of comparing a day with WeChat's bill: its summary, a difference, or the statement of a business."""
    return {"pk": f"BILL#{day}", "sk": of}


def difference(day: date, name: str) -> Key:
    return bill(day, f"{DIFFERENCE}#{name}")


def statement(day: date, business_id: str) -> Key:
    return bill(day, f"{STATEMENT}#{business_id}")


def first_bill() -> Key:
    return {"pk": "BILL#FIRST", "sk": "FIRST"}


def user(user_id: str) -> Key:
    return {"pk": f"USER#{user_id}", "sk": "USER"}


def access_token(appid: str) -> Key:
    return {"pk": f"TOKEN#{appid}", "sk": "TOKEN"}


def idempotency(user_id: str, key: str) -> Key:
    """Of a user's Idempotency-Key: another user's same key is another item."""
    return {"pk": f"IDEMPOTENCY#{user_id}#{key}", "sk": "IDEMPOTENCY"}


def guesses(who: str) -> Key:
    return {"pk": f"GUESSES#{who}", "sk": "GUESSES"}


def of(order_sn: str, item: ItemRef) -> Key:
    """The key of an order, of one of its payments or of one of its refunds."""
    if item.n is not None:
        return payment(order_sn, item.n)
    if item.out_refund_no is not None:
        return refund(order_sn, item.out_refund_no)
    return order(order_sn)


def booked(order_sn: str, instant: datetime) -> str:
    """The partition of the index `settled` for what WeChat's bill of this instant's day shows, or what was used on it:
    the day in Beijing, and one of ten shards by the last digit of the order's number."""
    return f"{beijing_day(instant)}#{order_sn[-1]}"


def booked_on(day: date) -> list[str]:
    """All partitions of the index `settled` for this day."""
    return [f"{day}#{shard}" for shard in range(10)]


# --- what a key says


def order_sn_of(pk: str) -> str:
    """The order whose partition this is; empty if it is none of an order's."""
    return pk.removeprefix(f"{ORDER}#") if pk.startswith(f"{ORDER}#") else ""


def offer_of(pk: str) -> tuple[str, str] | None:
    """(service_type, offer_id) of an offer's partition; None: it is another's."""
    entity, _, names = pk.partition("#")
    service_type, _, offer_id = names.partition("#")
    return (service_type, offer_id) if entity == OFFER and offer_id else None


def holder_of(text: str) -> tuple[str | None, str | None]:
    """Who holds a night: (order_sn, None) or (None, block_id)."""
    kind, _, block_id = text.partition("#")
    return (None, block_id) if kind == BLOCK else (text, None)


def entity(sk: str) -> str:
    """Which kind of item it is: ORDER, PAYMENT, REFUND, NOTICE, CASE, SHIPPING, ..."""
    return sk.partition("#")[0]


def item_of(sk: str) -> ItemRef | None:
    """The order itself, its payment or its refund; None: none of these three."""
    kind, _, name = sk.partition("#")
    if kind == PAYMENT and name.isascii() and name.isdecimal():
        return ItemRef(n=int(name))
    if kind == REFUND and name:
        return ItemRef(out_refund_no=name)
    return ItemRef() if sk == ORDER else None


def is_case(pk: str, sk: str = "", *more: str) -> bool:
    """Whether these two are the key of a case."""
    partition, _, name = pk.partition("#")
    kind, _, case = sk.partition("#")
    return not more and partition in {ORDER, TRADE} and kind == CASE and bool(name and case)


def _beside(order_sn: str, sk: str) -> Key:
    return {"pk": order(order_sn)["pk"], "sk": sk}
