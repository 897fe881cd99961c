"""The only code that records money (R4): callback, poll, janitor and bill bring what WeChat says through here, a
payment through `record_payment`, a refund through `record_refund_report`.

They differ in how they learn of it; what follows is the same conditional write with the same comparison.
"""

import hashlib
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from payments.domain.case import Case, elsewhere_case, excess_cases, held_by, holds, refund_case
from payments.domain.collection import Collection
from payments.domain.payment import CURRENCY, Payment, PaymentStatus, TradeReport, Verdict, differences, judge
from payments.domain.refund import (
    ENTERED_FROM,
    GIVEN_UP,
    Refund,
    RefundReport,
    RefundStatus,
    as_reported,
    console_refund,
    known_at_wechat,
    of_trade,
    refund_differences,
)
from payments.domain.times import plausible
from payments.domain.trade_number import TradeNumber
from payments.edge.observability import count, logger
from payments.store.dynamodb import Conflict
from payments.store.items import Standing, Written
from payments.store.store import Store

TRIES = 5
"""Each try after the first answers a change that another writer made in between; there are few such changes."""


class Recorded(StrEnum):
    """What became of WeChat's report. All of them are stored facts: WeChat may be acknowledged (R3)."""

    BOOKED = "booked"
    DUPLICATE = "duplicate"
    CASE = "case"


# --- payments


def record_payment(store: Store, trade: TradeReport, now: datetime) -> Recorded:
    """Stores a verified success of WeChat's: on its payment, or as a case when it fits nowhere. One that WeChat calls
    refunded, of which no refund is known here, puts its order on hold (R4).

    Raises Conflict when other writers keep changing the payment: nothing is stored then, come again.
    """
    timed = replace(trade, success_time=plausible(trade.success_time, now))
    outcome = _recorded(store, timed, now)
    logger.info("payment.recorded", out_trade_no=trade.out_trade_no, outcome=outcome)
    count(f"Payment{outcome.title()}")
    return outcome


def _recorded(store: Store, trade: TradeReport, now: datetime) -> Recorded:
    number = trade.number
    if not isinstance(number, TradeNumber):
        return _open_case(store, trade, Verdict.UNKNOWN_TRADE, "not a number of ours", now)
    return (_recorded_refunded if trade.refunded else _recorded_success)(store, number, trade, now)


def _recorded_success(store: Store, number: TradeNumber, trade: TradeReport, now: datetime) -> Recorded:
    leaves = PaymentStatus.NOTPAY
    for _ in range(TRIES):
        match store.payments.record_success(number, trade, leaves, now):
            case Written():
                return Recorded.BOOKED
            case Standing(payment):
                outcome = _not_written(store, payment, trade, now)
                if outcome is not None:
                    return outcome
                if payment is not None:
                    leaves = payment.status
    raise Conflict(f"{trade.out_trade_no} keeps changing; its success is not stored yet")


def _recorded_refunded(store: Store, number: TradeNumber, trade: TradeReport, now: datetime) -> Recorded:
    """A trade that WeChat calls refunded: was paid, and has gone back in part or in full. Its refunds decide."""
    for _ in range(TRIES):
        collection = store.collection(number.order_sn, consistent=True)
        payment = collection.payment(number.n) if collection else None
        if collection is None or payment is None:
            return _recorded_success(store, number, trade, now)
        written = payment.transaction_id == trade.transaction_id
        outcome = None if written else _not_written(store, payment, trade, now)
        if outcome is not None:
            return outcome
        if payment.status is PaymentStatus.MISPAID or not _refunded_elsewhere(collection, trade):
            return _recorded_success(store, number, trade, now)
        case = elsewhere_case(trade, now)
        if store.payments.record_refunded_elsewhere(collection.order, payment, trade, case, now):
            logger.error("case.opened", out_trade_no=trade.out_trade_no, kind=case.kind)
            count("CaseOpened")
            return Recorded.DUPLICATE if written else Recorded.BOOKED
    raise Conflict(f"{trade.out_trade_no} keeps changing; its success is not stored yet")


def _refunded_elsewhere(collection: Collection, trade: TradeReport) -> bool:
    """No refund of the trade explains what WeChat says, and nobody was asked about it yet."""
    if any(known_at_wechat(refund) for refund in of_trade(collection.refunds, trade.out_trade_no)):
        return False
    case = elsewhere_case(trade, collection.order.created_at)
    return not any((one.kind, one.case_id) == (case.kind, case.case_id) for one in collection.cases)


def _not_written(store: Store, payment: Payment | None, trade: TradeReport, now: datetime) -> Recorded | None:
    """What a success is that could not be written on its payment as that stands; None: it can be, try that."""
    verdict = judge(payment, trade)
    if verdict is Verdict.DUPLICATE:
        return Recorded.DUPLICATE
    if payment is None or verdict is Verdict.SECOND_TRANSACTION:
        return _open_case(store, trade, verdict, "", now)
    if verdict is Verdict.MISPAID:
        case = _case(trade, verdict, ", ".join(differences(payment, trade)), now)
        return Recorded.CASE if store.payments.record_mispaid(payment, trade, case) else None
    return None


def record_answer(store: Store, payment: Payment, trade: TradeReport, now: datetime) -> bool:
    """Stores what WeChat says of a trade that is open here; True when that has ended it."""
    if trade.paid:
        record_payment(store, trade, now)
        return True
    return trade.over and bool(store.payments.close(payment, unused=False))


# --- refunds


def record_refund_report(store: Store, report: RefundReport, now: datetime) -> Recorded:
    """Stores WeChat's verified report on a refund: on the one that we asked for, as a refund made in WeChat's merchant
    console, or as a case when its trade, its transaction or its sum is not ours.

    Raises Conflict when other writers keep changing the order: nothing is stored then, come again.
    """
    outcome = _recorded_refund(store, replace(report, accepted_at=plausible(report.accepted_at, now)), now)
    logger.info("refund.recorded", out_refund_no=report.out_refund_no, status=report.status, outcome=outcome)
    count(f"Refund{outcome.title()}")
    return outcome


def _recorded_refund(store: Store, report: RefundReport, now: datetime) -> Recorded:
    number = report.number if isinstance(report.number, TradeNumber) else None
    for _ in range(TRIES):
        collection = store.collection(number.order_sn, consistent=True) if number else None
        payment = collection.payment(number.n) if collection and number else None
        if collection is None or payment is None:
            return _refund_case(store, report, "unknown_refund", "of no trade of ours", now)
        refund = collection.refund(report.out_refund_no)
        wrong = refund_differences(payment, refund, report)
        if wrong:
            return _refund_case(store, report, "refund_mismatch", ", ".join(wrong), now)
        if refund is not None and refund.status not in ENTERED_FROM[report.status]:
            return Recorded.DUPLICATE
        if _written(store, collection, payment, refund, report, now):
            return Recorded.BOOKED
    raise Conflict(f"{report.out_refund_no} keeps changing; WeChat's report on it is not stored yet")


def _written(
    store: Store, collection: Collection, payment: Payment, refund: Refund | None, report: RefundReport, now: datetime
) -> Written | Standing[Refund | None]:
    if refund is None:
        found = console_refund(payment, report, now)
        hold = held_by(collection.cases, payment.out_trade_no) if known_at_wechat(found) else None
        released = hold is not None and not holds(collection.cases, collection.order, but=hold)
        return store.refunds.add(collection, found, now, hold=hold, released=released)
    if refund.status not in GIVEN_UP or report.status in GIVEN_UP:
        return store.refunds.record(collection, refund, report, now)
    # Its sum was free again: what the order may still give back is drawn anew in the same write.
    after = [as_reported(one, report, now) if one == refund else one for one in collection.refunds]
    drawn = replace(collection, refunds=after).sums() if collection.order.paid_by is not None else None
    cases = []
    if refund.status is RefundStatus.WITHDRAWN:
        cases.append(refund_case(refund, now, "refund_after_withdrawal"))
    cases += excess_cases(of_trade(after, payment.out_trade_no), collection.cases, now, about=refund)
    known = {case.name for case in collection.cases}  # one that stands there would keep the report from being stored
    new = [case for case in cases if case.name not in known]
    return store.refunds.record(collection, refund, report, now, drawn, new)


# --- cases: what matches no order, payment or refund (R12)


def _refund_case(store: Store, report: RefundReport, kind: str, detail: str, now: datetime) -> Recorded:
    reported = f"{report.out_trade_no}:{report.transaction_id}:{report.mchid}:{report.total_fen}:{report.amount_fen}"
    store.cases.open(
        Case(
            kind=kind,
            case_id=f"{report.out_refund_no}@{hashlib.sha256(reported.encode()).hexdigest()[:8]}",  # one of each report
            out_trade_no=report.out_trade_no,
            amount_fen=report.amount_fen,
            currency=CURRENCY,
            transaction_id=report.transaction_id,
            detail=detail,
            opened_at=now,
        )
    )
    return Recorded.CASE


def _case(trade: TradeReport, verdict: Verdict, detail: str, now: datetime) -> Case:
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


def _open_case(store: Store, trade: TradeReport, verdict: Verdict, detail: str, now: datetime) -> Recorded:
    store.cases.open(_case(trade, verdict, detail, now))
    return Recorded.CASE
