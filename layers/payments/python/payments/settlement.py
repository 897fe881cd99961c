"""The one door for money (R4): whoever learns that a trade was paid, or that money went back, brings it through here.

The callback, the poll, the janitor and the bill differ in how they learn of it; what follows is the same conditional
write with the same comparison.
"""

from datetime import datetime
from enum import StrEnum

from payments.case import Case
from payments.dynamodb import Conflict
from payments.observability import count, logger
from payments.payment import CURRENCY, Payment, PaymentStatus, Trade, Verdict, differences, judge, parse_out_trade_no
from payments.refund import RefundWord, console_refund
from payments.table import Table

TRIES = 4
"""Each try after the first answers a change that another writer made in between; there are few such changes."""


class Settlement(StrEnum):
    """What became of WeChat's word. All of them are stored facts: WeChat may be acknowledged (R3)."""

    BOOKED = "booked"
    DUPLICATE = "duplicate"
    CASE = "case"


def settle(table: Table, trade: Trade, now: datetime) -> Settlement:
    """Stores a verified success of WeChat's: on its payment, or as a case when it fits nowhere.

    Raises Conflict when other writers keep changing the payment: nothing is stored then, come again.
    """
    outcome = _settled(table, trade, now)
    logger.info("payment.settled", out_trade_no=trade.out_trade_no, outcome=outcome)
    count(f"Payment{outcome.title()}")
    return outcome


def _settled(table: Table, trade: Trade, now: datetime) -> Settlement:
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
    raise Conflict(f"{trade.out_trade_no} keeps changing; its success is not stored yet")


def take_in(table: Table, payment: Payment, trade: Trade, now: datetime) -> bool:
    """Stores what WeChat says of a trade that is open here; True when that has ended it."""
    if trade.paid:
        settle(table, trade, now)
        return True
    return trade.over and table.close_payment(payment, unused=False)


def settle_refund(table: Table, word: RefundWord, now: datetime) -> Settlement:
    """Stores WeChat's verified word on a refund: on the one that we asked for, as a refund made in WeChat's merchant
    console, or as a case when its trade or its sum is not ours."""
    outcome = _refund_settled(table, word, now)
    logger.info("refund.settled", out_refund_no=word.out_refund_no, status=word.status, outcome=outcome)
    count(f"Refund{outcome.title()}")
    return outcome


def _refund_settled(table: Table, word: RefundWord, now: datetime) -> Settlement:
    numbers = parse_out_trade_no(word.out_trade_no)
    payment = table.payment(*numbers) if numbers else None
    if payment is None:
        return _refund_case(table, word, "unknown_refund", "of no trade of ours", now)
    try:
        standing = table.record_refund(payment.order_sn, word, now)
    except LookupError:
        refund = console_refund(payment, word, now)
        if table.put_refund(refund):
            return Settlement.BOOKED
        standing = table.record_refund(payment.order_sn, word, now)
    if standing is None:
        return Settlement.BOOKED
    if standing.amount_fen != word.amount_fen:
        return _refund_case(table, word, "refund_mismatch", f"asked for {standing.amount_fen} fen", now)
    return Settlement.DUPLICATE


def _refund_case(table: Table, word: RefundWord, kind: str, detail: str, now: datetime) -> Settlement:
    table.put_case(
        Case(
            kind=kind,
            case_id=word.out_refund_no,
            out_trade_no=word.out_trade_no,
            amount_fen=word.amount_fen,
            currency=CURRENCY,
            transaction_id=word.transaction_id,
            detail=detail,
            opened_at=now,
        )
    )
    return Settlement.CASE


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
