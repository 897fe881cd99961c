"""What happened to an order, seen from all sides: its items, what went over WeChat's wire, what the gateway was asked.

Pure. The items are the truth; calls and requests say what led to them, and who was at work when.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from local.topology import whole
from local.trace import MILLISECOND, WECHAT, Item, Moment, life, promises
from payments.domain.order import ORDER_SN
from payments.domain.times import iso, millis, of_millis
from payments.store.keys import GUEST_MESSAGES, ORDER, PAYMENT, REFUND, entity

GUESTS = {
    "order": "POST /orders",
    "prepay": "POST /orders/{order_sn}/prepay",
    "poll": "GET /orders/{order_sn}/payment",
    "cancel": "POST /orders/{order_sn}/cancel",
    "give_up": "POST /orders/{order_sn}/refund-request",
}
ROUTES = GUESTS | {"redeem": "POST /merchant/redemptions", "refund": "POST /merchant/orders/{order_sn}/refunds"}
"""The requests that are a step of an order's life, by their name in the trace. The others only look."""

COPIES = {"at_once", "duplicate"}
"""Faults that send one notice several times."""

Call = Mapping[str, Any]
AtWork = Callable[..., str]

QUERY_WITHIN = timedelta(seconds=2)

SLACK = timedelta(milliseconds=2)
"""Items keep whole milliseconds."""

MESSAGE_TAKES = timedelta(minutes=3)
"""How long after the change that a message tells of its tries may be seen."""


@dataclass(slots=True, kw_only=True)
class ApiCall:
    """One request at the gateway. `answer` is the state that it told, or the type of its problem."""

    n: int
    at: datetime
    call: str
    part: str
    status: int = 0
    ms: float | None = None
    answer: str = ""


def route(method: str, path: str) -> tuple[str, str, str] | None:
    """(call, function, order_sn) of a request, order_sn empty if only the reply names it; None: no step of an order."""
    for call, key in ROUTES.items():
        pattern = key.replace("{order_sn}", f"({ORDER_SN.pattern})")
        if match := re.fullmatch(pattern, f"{method} {path}"):
            return call, function_of(call), match[1] if match.groups() else ""
    return None


def function_of(call: str) -> str:
    """The function that answers a request of ROUTES."""
    return whole().routes[ROUTES[call]]


def _askers() -> set[str]:
    """Who asks WeChat while a guest waits; the janitor does when nobody waits."""
    return set(map(function_of, GUESTS))


def answer(call: str, body: object) -> str:
    """What a reply's JSON says, in a word or two."""
    if not isinstance(body, Mapping):
        return ""
    if "type" in body:
        return str(body["type"]).rpartition(":")[2]
    if call == "poll":
        return f"{body.get('order_status')} {body.get('payment_status') or ''}".strip()
    return str(body.get("status", ""))


def steps(items: Sequence[Item], calls: Iterable[Call], requests: Sequence[ApiCall]) -> list[Moment]:
    """All of it in the order in which it happened. `calls` as the simulator tells them, each with its `trade`:
    the sort key of the payment that it is about."""
    wire = [{**call, "at": datetime.fromtimestamp(call["at"], UTC)} for call in calls]
    busy = sorted(_busy(wire, requests), reverse=True)

    def at_work(at: datetime, *among: str) -> str:
        """The function of these that was answering then, the one that began last; empty if none was."""
        return next((part for start, end, part in busy if part in among and start - SLACK <= at <= end + SLACK), "")

    told = [_known_better(moment, wire, at_work) for moment in life(items)]
    return sorted(
        [
            *(moment for moment in told if moment is not None),
            *_wire([call for call in wire if call["call"] != "send" or _of_a_notice(call, items)], at_work),
            *_asked(requests),
        ]
    )


def summary(items: Sequence[Item]) -> dict[str, Any]:
    """Where the order stands."""
    order = next(item for item in items if entity(item["sk"]) == ORDER)
    payments = sorted((item for item in items if entity(item["sk"]) == PAYMENT), key=lambda item: int(item["n"]))
    counting = [item for item in payments if item["n"] == order.get("paid_by")] or payments[-1:]
    return {
        "order_sn": order["order_sn"],
        "order": order["status"],
        "closing": bool(order.get("closing")) and order["status"] == "WAIT_PAY",
        "payment": counting[0]["status"] if counting else None,
        "refunds": [item["status"] for item in items if entity(item["sk"]) == REFUND],
        "total_fen": int(order["total_fen"]),
        "refunded_fen": int(order.get("refunded_fen", 0)),
        "janitor": next((iso(at) for at, _ in promises(items)), None),
    }


def as_json(moment: Moment, began: datetime) -> dict[str, Any]:
    """For the page. `ms`: since the order began; `timed`: whether that is known, or only places it."""
    return {
        "id": moment.id,
        "at": iso(moment.at),
        "ms": round((moment.at - began).total_seconds() * 1000, 1),
        "timed": moment.known_to == MILLISECOND,
        "part": moment.part,
        "what": moment.what,
        "happened": moment.kind,
        "by": moment.who,
        "state": moment.state,
        "event": moment.event,
        "facts": dict(moment.facts),
    }


def _busy(wire: Iterable[Call], requests: Iterable[ApiCall]) -> Iterator[tuple[datetime, datetime, str]]:
    """When which function was answering someone. Who has not answered yet is still at it."""
    for request in requests:
        yield request.at, _end(request.at, request.ms), request.part
    for call in wire:
        if call["call"] == "callback" and (call["status"] or call["ms"] is None):
            yield call["at"], _end(call["at"], call["ms"]), "wx_callback"


def _end(at: datetime, ms: float | None) -> datetime:
    return datetime.max.replace(tzinfo=UTC) - SLACK if ms is None else at + timedelta(milliseconds=ms)


def _known_better(moment: Moment, wire: Sequence[Call], at_work: AtWork) -> Moment | None:
    """A moment of an item with what only the wire knows; None when the wire tells it whole."""
    mine = [call for call in wire if call["trade"] == moment.what]
    if moment.kind == "payment.asked":
        return None
    if moment.kind == "payment.paid" and any(not call["code"] for call in _of(mine, "cashier")):
        return None  # WeChat tells whole seconds, the cashier milliseconds
    if moment.kind == "payment.prepay_id":
        # The item keeps when its call began.
        good = (call for call in _of(mine, "prepay") if call["status"] == 200 and call["fault"] != "drop")
        ends = [_end(call["at"], call["ms"]) for call in good if call["at"] >= moment.at - SLACK]
        return replace(moment, at=max(moment.at, min(ends)), known_to=MILLISECOND) if ends else moment
    if moment.kind == "refund.PROCESSING":
        return replace(moment, part="execute_refund")
    if moment.kind.startswith("refund.") and moment.part == WECHAT and moment.state:
        return replace(moment, part=at_work(moment.at, "wx_callback") or "sweep")
    if moment.kind == "case.closed":
        return replace(moment, part=whole().routes["POST /merchant/cases/{case_id}/close"])
    if moment.kind == "case.opened" and moment.facts["case"] == "refund_request":
        return replace(moment, part=function_of("give_up"))
    if moment.kind == "case.opened" and moment.facts["case"].startswith("refund_"):
        return replace(moment, part="order_update")
    if not moment.part:
        return replace(moment, part=at_work(moment.at, "wx_callback", *_askers()) or "sweep")
    return moment


def _of(wire: Iterable[Call], name: str) -> list[Call]:
    return [call for call in wire if call["call"] == name]


def _wire(wire: Sequence[Call], at_work: AtWork) -> Iterator[Moment]:
    """The calls to WeChat or from it; `caller` is the function, or `phone`. Copies of one notice are one."""

    def alike(call: Call) -> object:
        return call["fault"] in COPIES or call["n"]

    for _, group in groupby(wire, alike):
        run = list(group)
        first, took = run[0], [call["ms"] for call in run]
        facts = {name: first[name] for name in ("code", "fault", "detail")} | {
            "status": max(call["status"] for call in run),
            "ms": None if None in took else max(took),
            "times": len(run),
            "caller": _caller(first, wire, at_work),
        }
        kind = f"call.{first['call']}"
        yield Moment(first["at"], first["trade"], f"call/{first['n']}", kind, WECHAT, facts=facts)


def _caller(call: Call, wire: Iterable[Call], at_work: AtWork) -> str:
    lost = (_end(refund["at"], refund["ms"]) for refund in _of(wire, "refund") if refund["at"] < call["at"])
    callers = {
        "prepay": "create_prepay",
        "refund": "execute_refund",
        "query_refund": "execute_refund" if any(call["at"] < end + QUERY_WITHIN for end in lost) else "sweep",
        "send": "notify_user",
        "upload_shipping_info": "upload_shipping",
        "get_order": "upload_shipping",
        "cashier": "phone",
        "callback": WECHAT,
    }
    return callers.get(call["call"]) or at_work(call["at"], *_askers()) or "sweep"


def _of_a_notice(call: Call, items: Iterable[Item]) -> bool:
    """Whether a message's try is worth a step of its own: it failed, and it may be one of this order's. What became of
    the message at last its item tells."""
    order = next(item for item in items if entity(item["sk"]) == ORDER)
    since = of_millis(int(order["at"].get("WAIT_USE", millis(datetime.fromisoformat(order["created_at"])))))
    notices = [item for item in items if entity(item["sk"]) == GUEST_MESSAGES]
    ends = [datetime.fromisoformat(item["at"]) + SLACK for item in notices]
    failed = call["ms"] is not None and (call["code"] or call["status"] != 200)
    return bool(failed and since <= call["at"] and any(end - MESSAGE_TAKES <= call["at"] <= end for end in ends))


def _asked(requests: Sequence[ApiCall]) -> Iterator[Moment]:
    """The gateway's steps; polls that were told the same one after the other are one."""

    def alike(request: ApiCall) -> object:
        return (request.status, request.answer) if request.call == "poll" else request.n

    done = (request for request in requests if request.call != "poll" or request.ms is not None)
    for _, group in groupby(done, alike):
        run = list(group)
        first, last = run[0], run[-1]
        facts = {"status": last.status, "answer": last.answer, "ms": last.ms, "times": len(run)}
        yield Moment(first.at, first.call, f"request/{first.n}", f"api.{first.call}", first.part, facts=facts)
