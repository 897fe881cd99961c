"""The life of an order, told from the items of its partition: every state, call, message, refund and case. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from payments.payment import PREPAY_ID_LIFE
from payments.times import of_millis

MILLISECOND = timedelta(milliseconds=1)
Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """One thing that happened; `what` names the item's sort key."""

    at: datetime
    what: str
    happened: str
    by: str = ""


def life(items: Iterable[Item]) -> list[Moment]:
    """All that is known of an order, in the order in which it happened. `items` are plain values of one partition."""
    tellers = {
        "ORDER": _order,
        "PAYMENT": _payment,
        "REFUND": _refund,
        "NOTICE": _notice,
        "SHIPPING": _shipping,
        "CASE": _case,
    }
    return sorted(
        moment for item in items for moment in tellers.get(item["sk"].partition("#")[0], lambda _: iter(()))(item)
    )


def promises(items: Iterable[Item]) -> list[tuple[datetime, str]]:
    """When the janitor looks again, and at what."""
    return sorted((_at(item["due_at"]), item["sk"]) for item in items if "due_at" in item)


def _order(item: Item) -> Iterator[Moment]:
    sk = item["sk"]
    yield Moment(_at(item["created_at"]), sk, f"WAIT_PAY, {item['total_fen']} fen", "orders")
    details = {
        "closing": "is being cancelled",
        "WAIT_USE": f"WAIT_USE, paid by trade {item.get('paid_by')}, redeem code",
        "USED": f"USED, redeemed by {item.get('used_by')}",
        "REFUNDED": f"REFUNDED, {item.get('refunded_fen')} fen back",
    }
    functions = {"WAIT_USE": "order-update", "USED": "merchant", "REFUNDED": "order-update", "EXPIRED": "sweep"}
    for entry, moment in item["at"].items():
        yield Moment(of_millis(int(moment)), sk, details.get(entry, entry), functions.get(entry, ""))
    if "REFUNDED" not in item["at"] and item.get("refunded_fen"):
        yield Moment(_latest(item), sk, f"{item['refunded_fen']} fen are back", "order-update")


def _payment(item: Item) -> Iterator[Moment]:
    sk = item["sk"]
    yield Moment(_at(item["created_at"]), sk, f"NOTPAY, prepay is called, {item['total_fen']} fen", "create-prepay")
    if "prepay_expires_at" in item:
        yield Moment(_at(item["prepay_expires_at"]) - PREPAY_ID_LIFE, sk, "prepay_id", "create-prepay")
    if "asked_at" in item:
        yield Moment(_at(item["asked_at"]), sk, "WeChat asked", "status-poll")
    if "success_time" in item:
        # WeChat tells whole seconds: it was not before the prepay_id of the same second.
        paid = max(_at(item["success_time"]), _at(item["prepay_expires_at"]) - PREPAY_ID_LIFE + MILLISECOND)
        yield Moment(paid, sk, f"paid, transaction {item['transaction_id']}", "WeChat")
    for entry, moment in item["at"].items():
        yield Moment(of_millis(int(moment)), sk, entry, item.get("learned_by", "") if entry == "SUCCESS" else "")


def _refund(item: Item) -> Iterator[Moment]:
    sk = item["sk"]
    first = f"{item['amount_fen']} fen, {item['origin']}"
    if item["origin"] == "console":
        yield Moment(_at(item["created_at"]), sk, f"made in WeChat's console, {first}", "WeChat")
    else:
        yield Moment(_at(item["created_at"]), sk, f"REQUESTED, {first}: {item['reason']}", item["requested_by"])
    for entry, moment in item["at"].items():
        yield Moment(of_millis(int(moment)), sk, entry, "WeChat" if entry != "REFUSED" else "execute-refund")


def _notice(item: Item) -> Iterator[Moment]:
    for template, message in item["messages"].items():
        at = of_millis(int(message["at"])) if "at" in message else _at(item["at"])
        why = f": {message['why']}" if message.get("why") else ""
        yield Moment(at, item["sk"], f"message {template} {message['state']}{why}", "notify-user")


def _shipping(item: Item) -> Iterator[Moment]:
    yield Moment(_at(item["upload_time"]), item["sk"], "UPLOADING, the shipping record is sent", "upload-shipping")
    why = f", {item['why']}" if "why" in item else ""
    for entry, moment in item["at"].items():
        yield Moment(of_millis(int(moment)), item["sk"], entry + why, "upload-shipping")


def _case(item: Item) -> Iterator[Moment]:
    yield Moment(_at(item["opened_at"]), item["sk"], f"case opened, {item['amount_fen']} fen: {item['detail']}")
    if "resolution" in item:
        told = f"case closed: {item['resolution']}, {item['reference']}"
        yield Moment(_at(item["closed_at"]), item["sk"], told, item["closed_by"])


def _latest(item: Item) -> datetime:
    return max([_at(item["created_at"]), *(of_millis(int(moment)) for moment in item["at"].values())])


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
