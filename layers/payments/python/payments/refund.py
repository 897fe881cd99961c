"""Money that goes back: the refund's states and the one that late or second money asks for by itself (R6). Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from payments.payment import Payment


class RefundStatus(StrEnum):
    REQUESTED = "REQUESTED"


class RefundOrigin(StrEnum):
    LATE = "late"  # the order was cancelled before the money came
    SECOND = "second"  # another trade has paid the order


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
    due_at: datetime


def automatic_refund(payment: Payment, origin: RefundOrigin, now: datetime) -> Refund:
    """The refund of all of a trade that does not pay its order. Its number derives from the trade's: it exists once."""
    reasons = {
        RefundOrigin.LATE: "订单已取消,款项原路退回",
        RefundOrigin.SECOND: "订单已支付,重复款项原路退回",
    }
    return Refund(
        order_sn=payment.order_sn,
        out_refund_no=f"{payment.out_trade_no}_R1",
        out_trade_no=payment.out_trade_no,
        total_fen=payment.total_fen,
        amount_fen=payment.total_fen,
        reason=reasons[origin],
        notify_url=payment.notify_url,
        origin=origin,
        requested_by="order_update",
        status=RefundStatus.REQUESTED,
        version=1,
        created_at=now,
        due_at=now,
    )
