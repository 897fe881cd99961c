"""The life of an order, told from the items of its partition: every state, call, message, refund and case. Pure.

A moment has a stable `kind` with its facts, which pages translate, and says itself in English for the terminal.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from local.topology import whole
from payments.domain.payment import PREPAY_ID_LIFE
from payments.domain.times import of_millis
from payments.edge.events import TYPES
from payments.store import keys

MILLISECOND, SECOND, ORDER_ONLY = "ms", "s", ""
"""How well the time of a moment is known. ORDER_ONLY: it places the moment among the others and is never told."""

WECHAT = "wechat"
Item = Mapping[str, Any]

TEXT = {
    "order.created": "WAIT_PAY, {fen} fen{now_holds}",
    "order.closing": "is being cancelled",
    "order.WAIT_USE": "WAIT_USE, paid by trade {paid_by}{code}",
    "order.USED": "USED, redeemed by {used_by}",
    "order.CANCELLED": "CANCELLED{holds}",
    "order.REFUNDED": "REFUNDED, {fen} fen back{holds}",
    "order.back": "{fen} fen are back",
    "payment.created": "NOTPAY, prepay is called, {fen} fen",
    "payment.prepay_id": "prepay_id",
    "payment.asked": "WeChat asked",
    "payment.paid": "paid, transaction {transaction_id}",
    "refund.created": "REQUESTED, {fen} fen, {origin}: {reason}{gives_up}",
    "refund.withdrawing": "is being withdrawn: WeChat is asked twice",
    "refund.console": "WeChat tells of a refund made in its console, {fen} fen",
    "message": "message {template} {delivery}",
    "shipping.created": "UPLOADING, the shipping record is sent",
    "case.opened": "case opened, {fen} fen: {detail}",
    "case.closed": "case closed: {resolution}, {reference}",
}
"""What the terminal says of each kind; of one that is not here, the state that was entered."""


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """One thing that happened. `what` names the item's sort key, or the call; `part` the function that did it, or
    `wechat`; `who` a person, where one is known; `state` the status that was entered. `known_to` says how far `at` may
    be told. `id` stays the same when more gets known of it."""

    at: datetime
    what: str
    id: str
    kind: str
    part: str = ""
    who: str = ""
    state: str = ""
    known_to: str = field(default=MILLISECOND, compare=False)
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def happened(self) -> str:
        said = {"holds": ", holds {}", "now_holds": ", now holds {}", "gives_up": ", gives up {}"}
        held = {name: self.facts.get(name.removeprefix("now_")) for name in said}
        stock = {name: text.format(held[name]) if held[name] else "" for name, text in said.items()}
        text = in_words(TEXT.get(self.kind, self.state).format_map({**self.facts, **stock}))
        return f"{text}: {self.facts['why']}" if self.facts.get("why") else text

    @property
    def time(self) -> datetime | None:
        """In UTC, as far as it is known: to the millisecond, to the second, or not at all."""
        return {MILLISECOND: self.at, SECOND: self.at.replace(microsecond=0)}.get(self.known_to)

    @property
    def by(self) -> str:
        return self.who or ("WeChat" if self.part == WECHAT else self.part.replace("_", "-"))

    @property
    def event(self) -> str:
        """The type of the event that this change of state is (R9); empty if it is none."""
        return TYPES.get(keys.entity(self.what), {}).get(self.state, "")


def life(items: Iterable[Item]) -> list[Moment]:
    """All that is known of an order, in the order in which it happened. `items` are plain values of one partition."""
    tellers = {
        keys.ORDER: _order,
        keys.PAYMENT: _payment,
        keys.REFUND: _refund,
        keys.GUEST_MESSAGES: _notice,
        keys.SHIPPING: _shipping,
        keys.CASE: _case,
    }
    return sorted(moment for item in items for moment in tellers.get(keys.entity(item["sk"]), lambda _: iter(()))(item))


def promises(items: Iterable[Item]) -> list[tuple[datetime, str]]:
    """When the janitor looks again, and at what."""
    return sorted((_at(item["due_at"]), item["sk"]) for item in items if "due_at" in item)


def on_hold(items: Iterable[Item]) -> bool:
    """WeChat calls its payment refunded, and no refund is known here: a case waits (R4)."""
    return any(item.get("on_hold") is True for item in items if keys.entity(item["sk"]) == keys.ORDER)


def _moment(
    item: Item,
    at: datetime,
    kind: str,
    part: str = "",
    who: str = "",
    state: str = "",
    known_to: str = MILLISECOND,
    **facts: Any,
) -> Moment:
    name = f"{kind}/{facts['template']}" if "template" in facts else kind
    return Moment(at, item["sk"], f"{item['sk']}/{name}", kind, part, who, state, known_to, facts)


def _order(item: Item) -> Iterator[Moment]:
    holds = _held(item["holds"]) if "holds" in item else ""
    made: dict[str, Any] = {"fen": int(item["total_fen"]), "holds": holds}
    yield _moment(item, _at(item["created_at"]), "order.created", "orders", state="WAIT_PAY", **made)
    functions = {"WAIT_USE": "order_update", "REFUNDED": "order_update", "EXPIRED": "sweep"}
    functions["USED"] = whole().routes["POST /merchant/redemptions"]
    fen = int(item.get("refunded_fen", 0))
    facts: dict[str, Any] = {"fen": fen, "paid_by": int(item.get("paid_by", 0)), "used_by": item.get("used_by")}
    facts["holds"] = holds or "nothing"
    facts["code"] = ", redeem code" if "redeem_code" in item else ", no redeem code"
    for entry, moment in item["at"].items():
        state = "" if entry == "closing" else entry
        yield _moment(item, of_millis(int(moment)), f"order.{entry}", functions.get(entry, ""), state=state, **facts)
    if "REFUNDED" not in item["at"] and fen:
        yield _moment(item, _latest(item), "order.back", "order_update", known_to=ORDER_ONLY, fen=fen)


def _payment(item: Item) -> Iterator[Moment]:
    made, fen = _at(item["created_at"]), int(item["total_fen"])
    yield _moment(item, made, "payment.created", "create_prepay", state="NOTPAY", fen=fen)
    called = _at(item["prepay_expires_at"]) - PREPAY_ID_LIFE if "prepay_expires_at" in item else made
    if "prepay_expires_at" in item:  # the item keeps when its call began, not when the reply came
        yield _moment(item, called, "payment.prepay_id", "create_prepay", known_to=ORDER_ONLY)
    if "asked_at" in item:
        yield _moment(item, _at(item["asked_at"]), "payment.asked", "status_poll")
    if "success_time" in item:
        # WeChat tells whole seconds: it was not before the prepay_id of the same second.
        told = _at(item["success_time"])
        paid = max(told, called + timedelta(milliseconds=1))
        exact = SECOND if paid - told < timedelta(seconds=1) else ORDER_ONLY
        facts = {"transaction_id": item["transaction_id"]}
        yield _moment(item, paid, "payment.paid", WECHAT, known_to=exact, **facts)
    for entry, moment in item["at"].items():
        learned = item.get("learned_by", "").replace("-", "_") if entry == "SUCCESS" else ""
        yield _moment(item, of_millis(int(moment)), f"payment.{entry}", learned, state=entry)


def _refund(item: Item) -> Iterator[Moment]:
    facts = {"fen": int(item["amount_fen"]), "origin": item["origin"], "reason": item["reason"]}
    facts["gives_up"] = _held(item["gives_up"]) if "gives_up" in item else ""
    made, console = _at(item["created_at"]), item["origin"] == "console"
    if console:
        yield _moment(item, made, "refund.console", WECHAT, **facts)
    else:
        by_itself = item["requested_by"] == "order-update"
        by_guest = item["origin"] == "guest"
        route = "POST /orders/{order_sn}/refund-request" if by_guest else "POST /merchant/orders/{order_sn}/refunds"
        asked = whole().routes[route]
        part, who = ("order_update", "") if by_itself else (asked, item["requested_by"])
        yield _moment(item, made, "refund.created", part, who, "REQUESTED", **facts)
    if "withdrawing_at" in item:
        asked = whole().routes["POST /merchant/orders/{order_sn}/refunds/{out_refund_no}/withdraw"]
        yield _moment(item, _at(item["withdrawing_at"]), "refund.withdrawing", asked)
    for entry, moment in item["at"].items():
        part = {"REFUSED": "execute_refund", "WITHDRAWN": "sweep"}.get(entry, WECHAT)
        yield _moment(item, of_millis(int(moment)), f"refund.{entry}", part, state=entry)


def _notice(item: Item) -> Iterator[Moment]:
    for template, message in item["messages"].items():
        at = of_millis(int(message["at"])) if "at" in message else _at(item["at"])
        facts = {"template": template, "delivery": message["state"], "why": message.get("why", "")}
        yield _moment(item, at, "message", "notify_user", **facts)


def _shipping(item: Item) -> Iterator[Moment]:
    yield _moment(item, _at(item["upload_time"]), "shipping.created", "upload_shipping", state="UPLOADING")
    for entry, moment in item["at"].items():
        at, why = of_millis(int(moment)), item.get("why", "")
        yield _moment(item, at, f"shipping.{entry}", "upload_shipping", state=entry, why=why)


def _case(item: Item) -> Iterator[Moment]:
    facts = {"fen": int(item["amount_fen"]), "detail": item["detail"], "case": item["kind"]}
    yield _moment(item, _at(item["opened_at"]), "case.opened", **facts)
    if "resolution" in item:
        facts = {"resolution": item["resolution"], "reference": item["reference"]}
        yield _moment(item, _at(item["closed_at"]), "case.closed", who=item["closed_by"], **facts)


def in_words(text: str) -> str:
    """The stock as orders and cases tell of it, `2026-12-30+3` and `2 of 2026-12-05T19:00`, in words."""
    nights = re.sub(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\+([0-9]+)", _nights, text)
    return re.sub(r"([0-9]+) of ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{5})", r"\1 seats of \2", nights)


def _nights(run: re.Match[str]) -> str:
    return f"{run[2]} night{'' if run[2] == '1' else 's'} from {run[1]}"


def _held(holds: Item) -> str:
    """Which nights, how many seats of which session, as `Holds.told` has it; also of what cannot be read any more."""
    seats = [f"{int(number)} of {session}" for session, number in (holds.get("seats") or {}).items()]
    return ", ".join([*(run.partition("#")[0] for run in holds.get("nights") or ()), *seats])


def _latest(item: Item) -> datetime:
    return max([_at(item["created_at"]), *(of_millis(int(moment)) for moment in item["at"].values())])


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
