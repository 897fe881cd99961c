"""Money that goes back: the refund's states, what WeChat says of it, and the sums that an order draws from it (R6, R7).

Pure.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from payments.domain.order import ENTERED_FROM as ORDER_ENTERED_FROM
from payments.domain.order import Order, OrderStatus
from payments.domain.payment import Malformed, Payment, PaymentStatus, fen, text, trade_number
from payments.domain.stock import Holds
from payments.domain.texts import Field, for_wechat
from payments.domain.times import of_millis, wechat_time
from payments.domain.trade_number import TradeNumber

FIRST_LOOK = timedelta(minutes=1)
"""When the janitor looks first at a refund that was asked for (R10)."""

PATIENCE = timedelta(days=7)
"""How long a refund may be on its way before a person is asked."""

APART = timedelta(seconds=61)
"""Between two refunds of one trade: WeChat wants a minute, and may answer otherwise that it refuses what it took."""

MOST_PARTS = 50
"""Refunds that WeChat takes of one trade."""

SECOND_NO = timedelta(minutes=1)
"""At least so long between the two times that WeChat does not know a refund, before it counts as not made (R1)."""

EXECUTION = timedelta(minutes=1)
"""Longer than execute_refund's timeout: a run that had not seen `withdrawing_at` is over after that (R7)."""

AFTER_WITHDRAWAL = (timedelta(minutes=10), timedelta(days=1))
"""When WeChat is asked once more about a refund that was withdrawn."""

MAX_REASON = 24
"""Characters that a person may write; WeChat takes 80 bytes of them (`texts.Field.REASON`)."""


class RefundStatus(StrEnum):
    REQUESTED = "REQUESTED"
    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    ABNORMAL = "ABNORMAL"  # the guest's account cannot take it: a person sends it elsewhere
    CLOSED = "CLOSED"  # WeChat has given it up
    REFUSED = "REFUSED"  # WeChat said a final no twice, and does not know its number
    WITHDRAWN = "WITHDRAWN"  # staff took it back before WeChat knew its number


_NOT_AT_WECHAT = {RefundStatus.REQUESTED, RefundStatus.REFUSED, RefundStatus.WITHDRAWN}

ENTERED_FROM = {
    RefundStatus.PROCESSING: _NOT_AT_WECHAT,
    RefundStatus.SUCCESS: {*RefundStatus} - {RefundStatus.SUCCESS},  # WeChat's verified report always wins
    RefundStatus.ABNORMAL: {*_NOT_AT_WECHAT, RefundStatus.PROCESSING},
    RefundStatus.CLOSED: {*_NOT_AT_WECHAT, RefundStatus.PROCESSING, RefundStatus.ABNORMAL},
    RefundStatus.REFUSED: {RefundStatus.REQUESTED},
    RefundStatus.WITHDRAWN: {RefundStatus.REQUESTED},
}
"""The allowed transitions: each status with those it may be entered from. REFUSED and WITHDRAWN are what we concluded
from WeChat's silence; its verified report leads out of them again."""

ON_ITS_WAY = {RefundStatus.REQUESTED, RefundStatus.PROCESSING}

FAILED = {RefundStatus.ABNORMAL, RefundStatus.CLOSED, RefundStatus.REFUSED}
"""Where money is still ours to give: a case says so."""

GIVEN_UP = {RefundStatus.CLOSED, RefundStatus.REFUSED, RefundStatus.WITHDRAWN}
"""Where it will not go back under this number: its sum may be asked for again."""


_WECHATS = {status.value: status for status in RefundStatus if status not in _NOT_AT_WECHAT}


class RefundOrigin(StrEnum):
    MERCHANT = "merchant"  # staff asked for it
    LATE = "late"  # the order was cancelled before the money came
    SECOND = "second"  # another trade has paid the order
    CONSOLE = "console"  # made in WeChat's merchant console
    GUEST = "guest"  # its guest cancelled, and the rule gives all of it back


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One refund of a trade: the body of the call is rebuilt from these fields alone. Sums in fen."""

    order_sn: str
    out_refund_no: str
    out_trade_no: str
    total_fen: int
    amount_fen: int
    reason: str
    notify_url: str
    origin: RefundOrigin
    requested_by: str
    status: RefundStatus
    version: int
    created_at: datetime
    body_hash: str = ""  # of the request that an Idempotency-Key stands for
    transaction_id: str | None = None  # WeChat's, where its trade was not known as paid when it was recorded
    not_before: datetime | None = None  # WeChat is not asked earlier: an earlier part has just been asked for
    first_no_at: datetime | None = None  # when WeChat first did not know it, after a final no or a withdrawal (R1, R7)
    withdrawing_at: datetime | None = None  # when staff asked to take it back: execute_refund leaves it alone
    gives_up: Holds | None = None  # what its guest gave up with it: free since it was asked for (R7)
    refund_id: str | None = None
    accepted_at: datetime | None = None
    booked_on: str | None = None  # the day of WeChat's bill that shows it, with its shard of the index `settled` (R14)
    due_at: datetime | None = None
    entered: int = 1
    at: Mapping[str, int] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Which trade of its order it is of."""
        return int(self.out_trade_no.removeprefix(f"{self.order_sn}_"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundReport:
    """What WeChat says of a refund: the reply to a request or a query, or the plaintext of a notice. Sums in fen."""

    number: TradeNumber | str
    """The trade's; a text where it is not of our form."""
    out_refund_no: str
    transaction_id: str
    status: RefundStatus
    total_fen: int
    amount_fen: int
    refund_id: str | None = None
    mchid: str | None = None
    """Notices say it, replies do not."""
    accepted_at: datetime | None = None
    """When WeChat accepted it; a notice does not say it."""

    @property
    def out_trade_no(self) -> str:
        return str(self.number)

    @classmethod
    def from_wechat(cls, body: Mapping[str, Any]) -> "RefundReport":
        """Reads WeChat's JSON: a notice names its state `refund_status`, all else `status`. What says neither which
        refund it is nor its sums may be missing or unreadable (R4). Raises Malformed."""
        try:
            refund_id, mchid = body.get("refund_id"), body.get("mchid")
            return cls(
                number=trade_number(body["out_trade_no"]),
                out_refund_no=text(body["out_refund_no"]),
                refund_id=refund_id if isinstance(refund_id, str) and refund_id else None,
                mchid=None if mchid is None else text(mchid),
                transaction_id=text(body["transaction_id"]),
                status=_WECHATS[text(body.get("refund_status") or body["status"])],
                total_fen=fen(body["amount"]["total"]),
                amount_fen=fen(body["amount"]["refund"]),
                accepted_at=wechat_time(body.get("create_time")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Malformed(f"{type(error).__name__} in WeChat's refund") from error


def refund_differences(payment: Payment, refund: Refund | None, report: RefundReport) -> list[str]:
    """In what WeChat's report on a refund is not about the refund, or the trade, that it names (R4).

    A trade that is MISPAID was paid with another sum than we asked for: only its transaction can be compared.
    """
    wrong: list[str] = []
    if (payment.transaction_id or payment.refunded_transaction_id) not in (None, report.transaction_id):
        wrong.append("transaction_id")
    if payment.status is not PaymentStatus.MISPAID:
        wrong += ["mchid"] if report.mchid not in (None, payment.mchid) else []
        wrong += ["total_fen"] if report.total_fen != payment.total_fen else []
    if refund is None:
        most = report.total_fen if payment.status is PaymentStatus.MISPAID else payment.total_fen
        wrong += ["amount_fen"] if not 0 < report.amount_fen <= most else []
    else:
        names = ("out_trade_no", "amount_fen")
        wrong += [name for name in names if getattr(refund, name) != getattr(report, name)]
        wrong += ["transaction_id"] if refund.transaction_id not in (None, report.transaction_id) else []
    return wrong


def of_trade(refunds: Iterable[Refund], out_trade_no: str) -> list[Refund]:
    """The refunds of one trade."""
    return [refund for refund in refunds if refund.out_trade_no == out_trade_no]


def known_at_wechat(refund: Refund) -> bool:
    """Whether it is a reason for WeChat to call its trade refunded: on its way, done, or stuck (R4)."""
    return refund.status not in GIVEN_UP


def asked_fen(refunds: Iterable[Refund]) -> int:
    """The sum of the refunds that are not given up."""
    return sum(refund.amount_fen for refund in refunds if refund.status not in GIVEN_UP)


def not_before(others: Iterable[Refund], now: datetime) -> datetime | None:
    """The earliest time for one more refund of a trade, whose `others` are given: a minute after each of them was
    asked for or accepted. None: now."""
    asked = (max(one.not_before or one.created_at, one.accepted_at or one.created_at) for one in others)
    earliest = max((moment + APART for moment in asked), default=now)
    return earliest if earliest > now else None


def may_be_asked_for(refund: Refund, refunds: Iterable[Refund], now: datetime) -> datetime | None:
    """When WeChat may be asked for a refund, if that is not now: its own time, and a minute after WeChat accepted
    another one of its trade (R7)."""
    own = of_trade(refunds, refund.out_trade_no)
    times = [one.accepted_at + APART for one in own if one.accepted_at and one.out_refund_no != refund.out_refund_no]
    earliest = max([refund.not_before or now, *times])
    return earliest if earliest > now else None


ByHand = Mapping[str, int]
"""What people gave back outside of WeChat, in fen by the out_refund_no that had failed."""

NOTHING: ByHand = {}


def given_fen(own: Sequence[Refund], by_hand: ByHand = NOTHING) -> int:
    """What of one trade is back, on its way, or given back by hand, in fen. By hand counts where the refund that failed
    does not hold its sum any more."""
    handed = (by_hand.get(one.out_refund_no, 0) for one in own if one.status in FAILED & GIVEN_UP)
    return asked_fen(own) + sum(handed)


def rest(total_fen: int, own: Sequence[Refund], by_hand: ByHand = NOTHING) -> int:
    """What of a trade's total is neither back, nor on its way, nor given back by hand, in fen. `own`: its refunds."""
    return max(total_fen - given_fen(own, by_hand), 0)


def unpaid_rest(payment: Payment, refunds: Iterable[Refund], by_hand: ByHand = NOTHING) -> int:
    """What of a trade that pays no order is neither back nor on its way (R6), in fen."""
    return rest(payment.total_fen, of_trade(refunds, payment.out_trade_no), by_hand)


def next_attempt(payment: Payment, refunds: Iterable[Refund], by_hand: ByHand = NOTHING) -> int | None:
    """The k of the next `_R<k>` of a trade that pays no order: one more than the last. None while one of its refunds
    may still arrive, or when nothing is left of the total (R6)."""
    own = of_trade(refunds, payment.out_trade_no)
    settled = {*GIVEN_UP, RefundStatus.SUCCESS}
    if any(one.status not in settled for one in own) or not unpaid_rest(payment, own, by_hand):
        return None
    numbers = [one.out_refund_no.removeprefix(f"{payment.out_trade_no}_R") for one in own]
    return max((int(number) for number in numbers if number.isdecimal()), default=0) + 1


def automatic_refund(
    payment: Payment,
    origin: RefundOrigin,
    now: datetime,
    *,
    attempt: int = 1,
    requested_by: str = "order-update",
    others: Sequence[Refund] = (),
    by_hand: ByHand = NOTHING,
) -> Refund:
    """The refund of what a trade that does not pay its order still has (R6). Its number derives from the trade's, so it
    exists once; `attempt` 2 and more are for a person to ask for, when the ones before have ended. `others`: the
    trade's refunds until now."""
    reasons = {
        RefundOrigin.LATE: "订单已取消,款项原路退回",
        RefundOrigin.SECOND: "订单已支付,重复款项原路退回",
    }
    return _refund(
        payment,
        f"{payment.out_trade_no}_R{attempt}",
        amount_fen=unpaid_rest(payment, others, by_hand),
        reason=reasons[origin],
        origin=origin,
        requested_by=requested_by,
        now=now,
        others=others,
    )


def merchant_refund(
    payment: Payment,
    *,
    amount_fen: int,
    reason: str,
    staff: str,
    key: str,
    body_hash: str,
    now: datetime,
    others: Iterable[Refund] = (),
) -> Refund:
    """The refund that staff ask for. Its number derives from who asks and his Idempotency-Key: repeated for ever, it is
    one refund."""
    return _refund(
        payment,
        _merchant_no(payment, f"{staff}:{key}"),
        amount_fen=amount_fen,
        reason=reason,
        origin=RefundOrigin.MERCHANT,
        requested_by=staff,
        now=now,
        body_hash=body_hash,
        others=others,
    )


def granted_refund(
    payment: Payment,
    request: str,
    *,
    amount_fen: int,
    reason: str,
    staff: str,
    now: datetime,
    others: Iterable[Refund],
    gives_up: Holds | None,
) -> Refund:
    """The refund that staff grant a guest who has asked for it. Its number derives from his request: whoever grants it,
    it is one refund."""
    return _refund(
        payment,
        _merchant_no(payment, f":{request}"),
        amount_fen=amount_fen,
        reason=reason,
        origin=RefundOrigin.MERCHANT,
        requested_by=staff,
        now=now,
        others=others,
        gives_up=gives_up,
    )


def _merchant_no(payment: Payment, asked: str) -> str:
    return f"{payment.out_trade_no}_M{hashlib.sha256(asked.encode()).hexdigest()[:24]}"


def guest_refund(payment: Payment, *, reason: str, user_id: str, now: datetime, gives_up: Holds | None) -> Refund:
    """The refund of all of an order, which its guest cancels in time. Its number derives from the trade's, so it exists
    once."""
    return _refund(
        payment,
        guest_refund_no(payment),
        amount_fen=payment.total_fen,
        reason=reason,
        origin=RefundOrigin.GUEST,
        requested_by=user_id,
        now=now,
        gives_up=gives_up,
    )


def guest_refund_no(payment: Payment) -> str:
    return f"{payment.out_trade_no}_G"


def _refund(
    payment: Payment,
    out_refund_no: str,
    *,
    amount_fen: int,
    reason: str,
    origin: RefundOrigin,
    requested_by: str,
    now: datetime,
    body_hash: str = "",
    others: Iterable[Refund] = (),
    gives_up: Holds | None = None,
) -> Refund:
    earliest = not_before(others, now)
    return Refund(
        order_sn=payment.order_sn,
        out_refund_no=out_refund_no,
        out_trade_no=payment.out_trade_no,
        total_fen=payment.total_fen,
        amount_fen=amount_fen,
        reason=for_wechat(Field.REASON, reason),
        notify_url=payment.notify_url,
        origin=origin,
        requested_by=requested_by,
        status=RefundStatus.REQUESTED,
        version=1,
        created_at=now,
        body_hash=body_hash,
        gives_up=gives_up,
        not_before=earliest,
        due_at=max(earliest or now, now + FIRST_LOOK),
    )


def console_refund(payment: Payment, report: RefundReport, now: datetime) -> Refund:
    """A refund that nobody here asked for, as WeChat tells of it. It proves that its trade was paid: where that is not
    known here, it names the transaction, and WeChat is asked about the trade at once (R4)."""
    known = payment.status in {PaymentStatus.SUCCESS, PaymentStatus.MISPAID}
    return Refund(
        order_sn=payment.order_sn,
        out_refund_no=report.out_refund_no,
        out_trade_no=payment.out_trade_no,
        total_fen=report.total_fen,
        amount_fen=report.amount_fen,
        reason="",
        notify_url=payment.notify_url,
        origin=RefundOrigin.CONSOLE,
        requested_by="",
        status=report.status,
        version=1,
        created_at=now,
        transaction_id=None if known else report.transaction_id,
        refund_id=report.refund_id,
        accepted_at=report.accepted_at or now,
        due_at=now + FIRST_LOOK if known else now,
    )


def as_reported(refund: Refund, report: RefundReport, now: datetime) -> Refund:
    """The refund as WeChat's report makes it, as far as sums depend on it."""
    return replace(refund, status=report.status, accepted_at=refund.accepted_at or report.accepted_at or now)


# --- when the janitor looks (R1, R7, R10)


def next_question(refund: Refund, now: datetime) -> datetime | None:
    """When WeChat must next be asked about a refund whose withdrawal or refusal is not sure yet, or that was
    withdrawn; None: nothing of the kind is left. It may lie in the past."""
    if refund.status is RefundStatus.WITHDRAWN:
        since = of_millis(refund.at[refund.status])
        return next((since + later for later in AFTER_WITHDRAWAL if since + later > now), None)
    if refund.status is not RefundStatus.REQUESTED:
        return None
    if refund.first_no_at is not None:
        return refund.first_no_at + APART
    return refund.withdrawing_at + EXECUTION if refund.withdrawing_at else None


def withdrawn_long_ago(refund: Refund, now: datetime) -> bool:
    """Whether a refund was withdrawn long enough ago for WeChat to be asked once more."""
    withdrawn = refund.at.get(RefundStatus.WITHDRAWN) if refund.status is RefundStatus.WITHDRAWN else None
    return withdrawn is not None and now - of_millis(withdrawn) >= AFTER_WITHDRAWAL[0]


def second_no(refund: Refund, now: datetime) -> bool:
    """Whether WeChat, not knowing the refund now, says so for the second time, a minute after the first (R1)."""
    return refund.first_no_at is not None and now - refund.first_no_at >= SECOND_NO


# --- sums (R5, R7)


@dataclass(frozen=True, slots=True)
class Sums:
    """What an order draws from the refunds of the trade that pays it, in fen: what WeChat calls refunded, what may
    still be asked for, what was given back outside of WeChat, what WeChat could not deliver."""

    refunded: int
    refundable: int
    by_hand: int = 0
    stuck: int = 0


def sums(order: Order, refunds: Iterable[Refund], by_hand: ByHand = NOTHING) -> Sums:
    """The order's sums, drawn from the refunds of the trade that pays it; others are not its own (R6, R7). Never moved
    by an event, so no event can be counted twice."""
    own = of_trade(refunds, f"{order.order_sn}_{order.paid_by}")
    handed = {one.out_refund_no: by_hand.get(one.out_refund_no, 0) for one in own if one.status in FAILED}
    return Sums(
        refunded=sum(one.amount_fen for one in own if one.status is RefundStatus.SUCCESS),
        refundable=rest(order.total_fen, own, by_hand),
        by_hand=sum(handed.values()),
        stuck=sum(
            one.amount_fen for one in own if one.status is RefundStatus.ABNORMAL and not handed[one.out_refund_no]
        ),
    )


def all_back(order: Order, drawn: Sums) -> bool:
    """All of it has been given back, and the order does not say so yet."""
    return drawn.refunded >= order.total_fen and order.status in ORDER_ENTERED_FROM[OrderStatus.REFUNDED]


def excess(total_fen: int, own: Sequence[Refund], by_hand: ByHand = NOTHING) -> int:
    """By how much the refunds of one trade that are not given up, and what was given back by hand, exceed its total, in
    fen."""
    return max(given_fen(own, by_hand) - total_fen, 0)
