"""Money that goes back: the refund's states, what WeChat says of it, and the sums that an order draws from it (R6, R7).

Pure.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from payments.order import Order
from payments.payment import Malformed, Payment, fen, text
from payments.texts import Field, for_wechat

FIRST_LOOK = timedelta(minutes=1)
"""When the janitor looks first at a refund that was asked for (R10)."""

PATIENCE = timedelta(days=7)
"""How long a refund may be on its way before a person is asked."""

MAX_REASON = 24
"""Characters that a person may write; WeChat takes 80 bytes of them (`texts.Field.REASON`)."""


class RefundStatus(StrEnum):
    REQUESTED = "REQUESTED"
    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    ABNORMAL = "ABNORMAL"  # the guest's account cannot take it: a person sends it elsewhere
    CLOSED = "CLOSED"  # WeChat has given it up
    REFUSED = "REFUSED"  # WeChat said a final no, and does not know its number


ENTERED_FROM = {
    RefundStatus.PROCESSING: {RefundStatus.REQUESTED},
    RefundStatus.SUCCESS: {*RefundStatus} - {RefundStatus.SUCCESS},  # WeChat's verified word always wins
    RefundStatus.ABNORMAL: {RefundStatus.REQUESTED, RefundStatus.PROCESSING},
    RefundStatus.CLOSED: {RefundStatus.REQUESTED, RefundStatus.PROCESSING, RefundStatus.ABNORMAL},
    RefundStatus.REFUSED: {RefundStatus.REQUESTED},
}
"""The allowed transitions: each status with those it may be entered from."""

ON_ITS_WAY = {RefundStatus.REQUESTED, RefundStatus.PROCESSING}

FAILED = {RefundStatus.ABNORMAL, RefundStatus.CLOSED, RefundStatus.REFUSED}
"""Where money is still ours to give: a case says so."""

GIVEN_UP = {RefundStatus.CLOSED, RefundStatus.REFUSED}
"""Where it will not go back under this number: its sum may be asked for again."""


_WECHATS = {
    status.value: status for status in RefundStatus if status not in {RefundStatus.REQUESTED, RefundStatus.REFUSED}
}


class RefundOrigin(StrEnum):
    MERCHANT = "merchant"  # staff asked for it
    LATE = "late"  # the order was cancelled before the money came
    SECOND = "second"  # another trade has paid the order
    CONSOLE = "console"  # made in WeChat's merchant console


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """`REFUND#<out_refund_no>`: the refund body is rebuilt from these fields alone. Sums in fen."""

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
    refund_id: str | None = None
    accepted_at: datetime | None = None
    due_at: datetime | None = None
    entered: int = 1
    at: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundWord:
    """What WeChat says of a refund: the reply to a request or a query, or the plaintext of a notice. Sums in fen."""

    out_trade_no: str
    out_refund_no: str
    refund_id: str
    transaction_id: str
    status: RefundStatus
    total_fen: int
    amount_fen: int
    accepted_at: datetime | None = None
    """When WeChat accepted it; a notice does not say it."""

    @classmethod
    def from_wechat(cls, body: Mapping[str, Any]) -> "RefundWord":
        """Reads WeChat's JSON: a notice names its state `refund_status`, all else `status`. Raises Malformed."""
        try:
            created = body.get("create_time")
            return cls(
                out_trade_no=text(body["out_trade_no"]),
                out_refund_no=text(body["out_refund_no"]),
                refund_id=text(body["refund_id"]),
                transaction_id=text(body["transaction_id"]),
                status=_WECHATS[text(body.get("refund_status") or body["status"])],
                total_fen=fen(body["amount"]["total"]),
                amount_fen=fen(body["amount"]["refund"]),
                accepted_at=datetime.fromisoformat(text(created)) if created else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Malformed(f"{type(error).__name__} in WeChat's refund") from error


def automatic_refund(payment: Payment, origin: RefundOrigin, now: datetime, *, attempt: int = 1) -> Refund:
    """The refund of all of a trade that does not pay its order (R6). Its number derives from the trade's, so it exists
    once; `attempt` 2 is for a person to ask for, when the first has ended in vain."""
    reasons = {
        RefundOrigin.LATE: "订单已取消,款项原路退回",
        RefundOrigin.SECOND: "订单已支付,重复款项原路退回",
    }
    return _refund(
        payment,
        f"{payment.out_trade_no}_R{attempt}",
        amount_fen=payment.total_fen,
        reason=reasons[origin],
        origin=origin,
        requested_by="order-update",
        now=now,
    )


def merchant_refund(
    payment: Payment, *, amount_fen: int, reason: str, staff: str, key: str, body_hash: str, now: datetime
) -> Refund:
    """The refund that staff ask for. Its number derives from who asks and his Idempotency-Key: repeated for ever, it is
    one refund."""
    digest = hashlib.sha256(f"{staff}:{key}".encode()).hexdigest()[:24]
    return _refund(
        payment,
        f"{payment.out_trade_no}_M{digest}",
        amount_fen=amount_fen,
        reason=reason,
        origin=RefundOrigin.MERCHANT,
        requested_by=staff,
        now=now,
        body_hash=body_hash,
    )


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
) -> Refund:
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
        due_at=now + FIRST_LOOK,
    )


def console_refund(payment: Payment, word: RefundWord, now: datetime) -> Refund:
    """A refund that nobody here asked for, as WeChat tells of it."""
    return Refund(
        order_sn=payment.order_sn,
        out_refund_no=word.out_refund_no,
        out_trade_no=payment.out_trade_no,
        total_fen=payment.total_fen,
        amount_fen=word.amount_fen,
        reason="",
        notify_url=payment.notify_url,
        origin=RefundOrigin.CONSOLE,
        requested_by="",
        status=word.status,
        version=1,
        created_at=now,
        refund_id=word.refund_id,
        accepted_at=word.accepted_at or now,
        due_at=now + FIRST_LOOK,
    )


def sums(order: Order, refunds: Iterable[Refund]) -> tuple[int, int]:
    """(refunded_fen, refundable_fen) of an order, drawn from the refunds of the trade that pays it; others are not its
    own (R6, R7). Never moved by an event, so no event can be counted twice."""
    own = [refund for refund in refunds if refund.out_trade_no == f"{order.order_sn}_{order.paid_by}"]
    refunded = sum(refund.amount_fen for refund in own if refund.status is RefundStatus.SUCCESS)
    asked = sum(refund.amount_fen for refund in own if refund.status not in GIVEN_UP)
    return refunded, max(order.total_fen - asked, 0)
