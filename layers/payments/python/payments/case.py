"""A case: money or a word of WeChat's that fits nowhere, kept until a person closes it (R12). Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from payments.refund import Refund


class Resolution(StrEnum):
    """What became of the money of a case."""

    REFUNDED = "refunded"  # the reference is the out_refund_no or refund_id
    BOOKED = "booked"  # the reference is the order_sn
    KEPT = "kept"  # the reference says why


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`CASE#<kind>#<case_id>` beside the order, or under the trade's own number if that is not ours.

    `kind` is one word (unknown_trade, mispaid, second_transaction, unreadable, unknown_refund, refund_mismatch,
    refund_abnormal, refund_closed, refund_refused, refund_stalled, shipping_refused), `case_id` makes it exist once,
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
