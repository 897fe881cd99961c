"""A case: money or a word of WeChat's that fits nowhere, kept until a person closes it (R12). Pure."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from payments.order import Order
from payments.payment import Trade
from payments.refund import ON_ITS_WAY, Refund, RefundOrigin, RefundStatus, of_trade

REFUNDED_ELSEWHERE = "refunded_elsewhere"
"""The kind of a case: WeChat calls a trade refunded, and no refund of it is known here (R4)."""

SYSTEM = "system"
"""Who closes a case whose question has answered itself."""

LEAST_REASON, LEAST_ACCOUNT = 10, 20
"""Characters: why money is kept, and how it was given back outside of WeChat."""

MOST_REFERENCE = 128


class Resolution(StrEnum):
    """What became of the money of a case, and what the reference must say."""

    REFUNDED = "refunded"  # the out_refund_no of a refund of this trade that WeChat calls SUCCESS
    BOOKED = "booked"  # the order_sn of an order that exists
    KEPT = "kept"  # why, in ten characters or more
    SETTLED_BY_HAND = "settled_by_hand"  # how it was given back outside of WeChat, in twenty or more; owners only
    ANSWERED = "answered"  # the system's: what answered it


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`CASE#<kind>#<case_id>` beside the order, or under the trade's own number if that is not ours.

    `kind` is one word (unknown_trade, mispaid, second_transaction, unreadable, refunded_elsewhere, unknown_refund,
    refund_mismatch, refund_abnormal, refund_closed, refund_refused, refund_stalled, refund_after_withdrawal,
    refunds_exceed, shipping_refused), `case_id` makes it exist once, `detail` names what differs; neither openid nor
    body. Open until it has a resolution.
    """

    kind: str
    case_id: str
    out_trade_no: str
    amount_fen: int
    currency: str
    transaction_id: str
    detail: str
    opened_at: datetime
    resolution: Resolution | None = None
    reference: str | None = None
    closed_by: str | None = None
    closed_at: datetime | None = None
    closing_attempt: str | None = None  # which call closed it: tells my own repeated write from another's (R11)

    @property
    def open(self) -> bool:
        return self.resolution is None


REFUND_CASES = frozenset({"refund_abnormal", "refund_closed", "refund_refused"})
"""Of refunds that came to nothing; `case_id` is the out_refund_no."""

STALLED = "refund_stalled"


def path_of(case: Case) -> str:
    """What names a case in a path: its three names, in letters that need no escaping."""
    names = f"{case.out_trade_no}\n{case.kind}\n{case.case_id}"
    return base64.urlsafe_b64encode(names.encode()).decode().rstrip("=")


def elsewhere_case(trade: Trade, now: datetime) -> Case:
    """The case of a trade that WeChat calls refunded although no refund of it is known here (R4)."""
    return Case(
        kind=REFUNDED_ELSEWHERE,
        case_id=trade.transaction_id,
        out_trade_no=trade.out_trade_no,
        amount_fen=trade.total_fen,
        currency=trade.currency,
        transaction_id=trade.transaction_id,
        detail="WeChat calls it refunded, in part or in full; no refund of it is known here",
        opened_at=now,
    )


def held_by(cases: Iterable[Case], out_trade_no: str) -> Case | None:
    """The open case of a trade that was refunded elsewhere, if there is one."""
    return next(
        (one for one in cases if one.kind == REFUNDED_ELSEWHERE and one.open and one.out_trade_no == out_trade_no), None
    )


def holds(cases: Iterable[Case], order: Order, but: Case | None = None) -> bool:
    """Whether a case keeps the order on hold: an open one of the trade that pays it, or of any while none does."""
    paid_by = f"{order.order_sn}_{order.paid_by}"
    return any(
        one.kind == REFUNDED_ELSEWHERE and one.open and (order.paid_by is None or one.out_trade_no == paid_by)
        for one in cases
        if one != but
    )


def by_hand(cases: Iterable[Case]) -> dict[str, int]:
    """What people gave back outside of WeChat, in fen by the out_refund_no that had failed."""
    return {
        case.case_id: case.amount_fen
        for case in cases
        if case.kind in REFUND_CASES and case.resolution is Resolution.SETTLED_BY_HAND
    }


def answer(case: Case, refunds: Iterable[Refund]) -> str | None:
    """What has answered an open case by itself, from the refunds of its order; None: it still needs a person."""
    own = of_trade(refunds, case.out_trade_no)
    refund = next((one for one in own if one.out_refund_no == case.case_id), None)
    if case.kind == STALLED and refund is not None and refund.status not in ON_ITS_WAY:
        return f"{refund.out_refund_no} is {refund.status}"
    if case.kind in REFUND_CASES and refund is not None and refund.status is RefundStatus.SUCCESS:
        return f"{refund.out_refund_no} is SUCCESS"
    if case.kind not in REFUND_CASES | {"mispaid"}:
        return None
    # Money that pays no order: it is all back, under whichever number.
    if refund is not None and refund.origin not in {RefundOrigin.LATE, RefundOrigin.SECOND}:
        return None
    total = case.amount_fen if refund is None else refund.total_fen
    back = sum(one.amount_fen for one in own if one.status is RefundStatus.SUCCESS)
    return f"{back} fen of {case.out_trade_no} are back" if back >= total else None


def excess_case(refund: Refund, excess_fen: int, now: datetime) -> Case:
    """The case of refunds that together are more than their trade's total."""
    return replace(refund_case(refund, now, "refunds_exceed"), amount_fen=excess_fen)


def refund_case(refund: Refund, now: datetime, kind: str = "") -> Case:
    """The case of a refund that came to nothing, or of one that does not end."""
    return Case(
        kind=kind or f"refund_{refund.status.lower()}",
        case_id=refund.out_refund_no,
        out_trade_no=refund.out_trade_no,
        amount_fen=refund.amount_fen,
        currency="CNY",
        transaction_id="",
        detail=f"origin {refund.origin}",
        opened_at=now,
    )
