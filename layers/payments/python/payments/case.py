"""A case: money or a word of WeChat's that fits nowhere, kept until a person closes it (R12). Pure."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`CASE#<kind>#<case_id>` beside the order, or under the trade's own number if that is not ours.

    `kind` is one word (unknown_trade, mispaid, second_transaction, unreadable), `case_id` makes it exist once, `detail`
    names what differs; neither openid nor body.
    """

    kind: str
    case_id: str
    out_trade_no: str
    amount_fen: int
    currency: str
    transaction_id: str
    detail: str
    opened_at: datetime
