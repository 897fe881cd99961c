"""A case: a payment or notice that matches no order or refund, kept until a person closes it (R12). Pure."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from payments.domain.order import Order
from payments.domain.payment import Payment, PaymentStatus, TradeReport
from payments.domain.refund import (
    FAILED,
    GIVEN_UP,
    NOTHING,
    ON_ITS_WAY,
    ByHand,
    Refund,
    RefundOrigin,
    RefundStatus,
    excess,
    of_trade,
    unpaid_rest,
)
from payments.domain.times import millis
from payments.domain.trade_number import TradeNumber

REFUNDED_ELSEWHERE = "refunded_elsewhere"
"""The kind of a case: WeChat calls a trade refunded, and no refund of it is known here (R4)."""

REFUND_REQUEST = "refund_request"
"""The kind of a case: a guest asks for his money back, and staff decide (R7)."""

SYSTEM = "system"
"""Who closes a case whose question has answered itself."""

LEAST_REASON, LEAST_ACCOUNT = 10, 20
"""Characters: why money is kept, and how it was given back outside of WeChat."""

MOST_REFERENCE, MOST_REFERENCE_BYTES = 128, 300
"""Characters, and bytes: with the longest of WeChat's numbers a case stays within 1 KB."""


class Resolution(StrEnum):
    """What became of the money of a case, and what the reference must say."""

    REFUNDED = "refunded"  # the out_refund_no of a refund of this trade that WeChat calls SUCCESS
    BOOKED = "booked"  # the order_sn of an order that exists
    KEPT = "kept"  # why, in ten characters or more
    SETTLED_BY_HAND = "settled_by_hand"  # how it was given back outside of WeChat, in twenty or more; owners only
    GRANTED = "granted"  # a guest's wish: the out_refund_no
    DECLINED = "declined"  # a guest's wish: why, which he reads
    ANSWERED = "answered"  # the system's: what answered it


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Beside the order of its trade, or by itself if the trade's number is not ours; named by `kind` and `case_id`.

    `kind` is one word (unknown_trade, mispaid, second_transaction, unreadable, refunded_elsewhere, unknown_refund,
    refund_mismatch, refund_abnormal, refund_closed, refund_refused, refund_stalled, refund_after_withdrawal,
    refund_after_settlement, refunds_exceed, shipping_refused, refund_request, stock), `case_id` makes it exist once,
    `detail` names what differs; neither openid nor body. Open until it has a resolution.
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
    def number(self) -> TradeNumber | None:
        """Of the trade that it lies beside; None where that is not of our form."""
        return TradeNumber.parse(self.out_trade_no)

    @property
    def open(self) -> bool:
        return self.resolution is None

    @property
    def name(self) -> tuple[str, str]:
        """What makes it exist once beside its order."""
        return self.kind, self.case_id


REFUND_CASES = frozenset({"refund_abnormal", "refund_closed", "refund_refused"})
"""Of refunds that came to nothing; `case_id` is the out_refund_no."""

STALLED, EXCEED, AFTER_SETTLEMENT = "refund_stalled", "refunds_exceed", "refund_after_settlement"


def path_of(case: Case) -> str:
    """What names a case in a path: its three names, in letters that need no escaping."""
    names = f"{case.out_trade_no}\n{case.kind}\n{case.case_id}"
    return base64.urlsafe_b64encode(names.encode()).decode().rstrip("=")


def elsewhere_case(trade: TradeReport, now: datetime) -> Case:
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


def request_case(payment: Payment, number: int, *, amount_fen: int, gives_up: str, reason: str, now: datetime) -> Case:
    """The case of a guest who asks for his money back, which the rule alone does not give him (R7). `amount_fen`: what
    the rule gives; `gives_up`: what of his purchase has not begun."""
    return Case(
        kind=REFUND_REQUEST,
        case_id=str(number),
        out_trade_no=payment.out_trade_no,
        amount_fen=amount_fen,
        currency="CNY",
        transaction_id=payment.transaction_id or "",
        detail=f"gives up {gives_up or 'nothing'}" + (f"; {reason}" if reason else ""),
        opened_at=now,
    )


def stock_case(order_sn: str, holds: str, now: datetime) -> Case:
    """The case of what an order held and the stock did not know (R15). No money is about it."""
    return Case(
        kind="stock",
        case_id=str(millis(now)),
        out_trade_no=f"{order_sn}_1",
        amount_fen=0,
        currency="CNY",
        transaction_id="",
        detail=f"the order held {holds}; the stock did not know all of it",
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


def answer(case: Case, refunds: Iterable[Refund], handed: ByHand = NOTHING) -> str | None:
    """What has answered an open case by itself, from the refunds of its order and what was given back by hand; None: it
    still needs a person."""
    own = of_trade(refunds, case.out_trade_no)
    refund = next((one for one in own if one.out_refund_no == case.case_id), None)
    if case.kind == STALLED and refund is not None and refund.status not in ON_ITS_WAY:
        return f"{refund.out_refund_no} is {refund.status}"
    if case.kind in REFUND_CASES and refund is not None and case.kind != _kind(refund):
        return f"{refund.out_refund_no} is {refund.status}"  # done, on its way, or failed otherwise: a case of its own
    if case.kind not in REFUND_CASES | {"mispaid"}:
        return None
    # Money that pays no order: it is all back, under whichever number.
    if refund is not None and not _pays_nothing(own):
        return None
    total = case.amount_fen if refund is None else refund.total_fen
    back = sum(one.amount_fen for one in own if one.status is RefundStatus.SUCCESS)
    back += sum(handed.get(one.out_refund_no, 0) for one in own if one.status in FAILED)
    return f"{back} fen of {case.out_trade_no} are back" if back >= total else None


def _pays_nothing(own: Iterable[Refund]) -> bool:
    """Whether the trade of these refunds is late or second money: all of it has to go back."""
    return any(one.origin in {RefundOrigin.LATE, RefundOrigin.SECOND} for one in own)


def missing(payments: Iterable[Payment], refunds: Sequence[Refund], cases: Sequence[Case], now: datetime) -> list[Case]:
    """The cases that an order's refunds call for and that are not there: of each that came to nothing, unless its money
    was given back by hand; of each that arrived after that; of those that together are more than their trade's total.
    """
    handed, known, trades = by_hand(cases), {case.name for case in cases}, {one.out_trade_no: one for one in payments}
    wanted = []
    for refund in refunds:
        if refund.status in FAILED and refund.out_refund_no not in handed:
            wanted.append(_failed_case(refund, trades.get(refund.out_trade_no), refunds, handed, now))
        if refund.status is RefundStatus.SUCCESS and refund.out_refund_no in handed:
            twice = min(refund.amount_fen, handed[refund.out_refund_no])
            wanted.append(replace(refund_case(refund, now, AFTER_SETTLEMENT), amount_fen=twice))
    for payment in trades.values():
        own = of_trade(refunds, payment.out_trade_no)
        back = [one for one in own if one.status is RefundStatus.SUCCESS or one.out_refund_no in handed]
        if payment.status is PaymentStatus.SUCCESS:
            wanted += excess_cases(back, cases, now)
    return [case for case in wanted if case.name not in known]


def _failed_case(
    refund: Refund, payment: Payment | None, refunds: Iterable[Refund], handed: ByHand, now: datetime
) -> Case:
    """The case of a refund that came to nothing; of money that pays no order, over what of it is not back otherwise."""
    case = refund_case(refund, now)
    own = of_trade(refunds, refund.out_trade_no)
    if payment is None or refund.status not in GIVEN_UP or not _pays_nothing(own):
        return case
    return replace(case, amount_fen=min(case.amount_fen, unpaid_rest(payment, own, handed)))


def excess_cases(
    own: Sequence[Refund], cases: Sequence[Case], now: datetime, about: Refund | None = None
) -> list[Case]:
    """The case of one trade's refunds that together, with what was given back by hand, are more than its total, over
    what no earlier case tells; of the refund that it is `about`, else of the youngest that has none."""
    handed, earlier = by_hand(cases), {case.case_id: case.amount_fen for case in cases if case.kind == EXCEED}
    candidates = [*([about] if about else []), *reversed(own)]
    one = next((one for one in candidates if one.out_refund_no not in earlier), None)
    earlier_fen = sum(earlier.get(refund.out_refund_no, 0) for refund in own)
    too_much = excess(own[0].total_fen, own, handed) - earlier_fen if own else 0
    return [replace(refund_case(one, now, EXCEED), amount_fen=too_much)] if one and too_much > 0 else []


def _kind(refund: Refund) -> str:
    return f"refund_{refund.status.lower()}"


def refund_case(refund: Refund, now: datetime, kind: str = "") -> Case:
    """The case of a refund that came to nothing, or of one that does not end."""
    return Case(
        kind=kind or _kind(refund),
        case_id=refund.out_refund_no,
        out_trade_no=refund.out_trade_no,
        amount_fen=refund.amount_fen,
        currency="CNY",
        transaction_id="",
        detail=f"origin {refund.origin}",
        opened_at=now,
    )
