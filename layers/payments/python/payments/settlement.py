"""The one door for money (R4): whoever learns that a trade was paid brings it through here.

The callback, the poll, the sweep and the bill differ in how they learn of a success; what follows is the same
conditional write with the same comparison.
"""

from datetime import datetime
from enum import StrEnum

from payments.case import Case
from payments.payment import PaymentStatus, Trade, Verdict, differences, judge, parse_out_trade_no
from payments.table import Table

TRIES = 4
"""Each try after the first answers a change that another writer made in between; there are few such changes."""


class Settlement(StrEnum):
    """What became of a success. All of them are stored facts: WeChat may be acknowledged (R3)."""

    BOOKED = "booked"
    DUPLICATE = "duplicate"
    CASE = "case"


def settle(table: Table, trade: Trade, now: datetime) -> Settlement:
    """Stores a verified success of WeChat's: on its payment, or as a case when it fits nowhere.

    Raises RuntimeError when other writers keep changing the payment: nothing is stored then, come again.
    """
    if parse_out_trade_no(trade.out_trade_no) is None:
        return _open_case(table, trade, Verdict.UNKNOWN_TRADE, "not a number of ours", now)
    leaves = PaymentStatus.NOTPAY
    for _ in range(TRIES):
        obstacle = table.record_success(trade, leaves, now)
        if obstacle is None:
            return Settlement.BOOKED
        payment, verdict = obstacle.payment, judge(obstacle.payment, trade)
        if verdict is Verdict.DUPLICATE:
            return Settlement.DUPLICATE
        if payment is None or verdict is Verdict.SECOND_TRANSACTION:
            return _open_case(table, trade, verdict, "", now)
        if verdict is Verdict.LATE:
            leaves = payment.status
        elif table.record_mispaid(payment, trade, _case(trade, verdict, ", ".join(differences(payment, trade)), now)):
            return Settlement.CASE
    raise RuntimeError(f"{trade.out_trade_no} keeps changing; its success is not stored yet")


def _case(trade: Trade, verdict: Verdict, detail: str, now: datetime) -> Case:
    return Case(
        kind=verdict.value,
        case_id=trade.transaction_id,
        out_trade_no=trade.out_trade_no,
        amount_fen=trade.total_fen,
        currency=trade.currency,
        transaction_id=trade.transaction_id,
        detail=detail,
        opened_at=now,
    )


def _open_case(table: Table, trade: Trade, verdict: Verdict, detail: str, now: datetime) -> Settlement:
    table.put_case(_case(trade, verdict, detail, now))
    return Settlement.CASE
