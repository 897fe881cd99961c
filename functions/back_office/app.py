"""back_office: what staff do with money. Refund an order, try a refund again, take it back; look at cases, and close
them with what became of their money; grant or decline what a guest asks for; read what each business is owed, and what
came of comparing the days with WeChat's bill (R14).

Staff see the orders and statements of their own business, and nothing of others: 404; the cases that belong to no
order, the days with their differences, and what was given back by hand, are the owner's. A request for a refund that is
repeated with its Idempotency-Key is one refund; every write says whether what it was decided on has changed, and is
decided anew then.
"""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import AfterValidator, BaseModel, Field

from payments.domain.bill import (
    MEANS,
    NOT_OURS,
    UNASSIGNED,
    DayOfBills,
    DayState,
    Difference,
    Statement,
    standing,
)
from payments.domain.case import (
    LEAST_ACCOUNT,
    LEAST_REASON,
    MOST_REFERENCE,
    MOST_REFERENCE_BYTES,
    REFUND_CASES,
    REFUND_REQUEST,
    REFUNDED_ELSEWHERE,
    STALLED,
    SYSTEM,
    Case,
    Resolution,
    by_hand,
    held_by,
    holds,
    path_of,
)
from payments.domain.collection import Collection
from payments.domain.order import ENTERED_FROM, ORDER_SN, Order, OrderStatus
from payments.domain.payment import Payment, PaymentStatus
from payments.domain.refund import (
    FAILED,
    GIVEN_UP,
    MAX_REASON,
    MOST_PARTS,
    ON_ITS_WAY,
    Refund,
    RefundOrigin,
    RefundReport,
    RefundStatus,
    automatic_refund,
    granted_refund,
    merchant_refund,
    next_attempt,
    of_trade,
    rest,
)
from payments.domain.stock import MOST_NIGHTS, MOST_SEATS, Holds
from payments.domain.texts import Field as Texts
from payments.domain.texts import cleaned, for_wechat
from payments.domain.times import beijing_day
from payments.domain.trade_number import TradeNumber
from payments.edge.http import (
    Api,
    Body,
    Day,
    IdempotencyKey,
    OrderSn,
    Problem,
    decoded,
    encoded,
    invalid,
    key_reused,
    not_found,
    try_again,
)
from payments.edge.observability import count, freed, logger
from payments.edge.staff import Staff, StaffCase, StaffRefund, case_out, on_hold, refund_out, staff_of
from payments.parts import LambdaFunction, Parts
from payments.recording import Recorded, record_refund_report
from payments.store.cases import CasePlace, closed
from payments.store.items import Change, Standing, Written
from payments.wechat.errors import WechatError

CASES = 50
"""Cases on a page, if no other number is asked for."""

STRETCHES = 20
"""Stretches of the index that are looked through for a page's cases."""

TRIES = 4

LEAST_DECLINATION = 2

STATEMENT_DAYS, DAYS = 31, 92
"""Days that one request for statements, and for the days themselves, may cover."""

DIFFERENCES = 100
"""Differences of a day on a page."""


NOT_OF_ITS_TRADE = {"refund_mismatch", "unknown_refund", "unreadable"}
"""Cases of what cannot be recorded: a refund that answers one need not be either."""

app: Api[Parts] = Api()

REFUND_NO = re.compile("[0-9A-Za-z_|*@-]{1,64}")
RefundNo = Annotated[str, Path(pattern=f"^{REFUND_NO.pattern}$")]
CaseId = Annotated[str, Path(pattern=r"^[0-9A-Za-z_-]{1,800}$")]
Limit = Annotated[int, Query(ge=1, le=100)]
First = Annotated[Day, Query(alias="from")]
Last = Annotated[Day, Query(alias="to")]
After = Annotated[str | None, Query(pattern=r"^[0-9A-Za-z_-]{1,800}$")]


def _reason(text: str) -> str:
    """As WeChat takes it: emoji go away."""
    if not cleaned(text):
        raise ValueError("nothing is left of it that WeChat can show to the guest: write letters, no pictures alone")
    return for_wechat(Texts.REASON, text)


Reason = Annotated[str, Field(min_length=1, max_length=MAX_REASON), AfterValidator(_reason)]


class GivenUp(Body):
    """What the guest gives up with a refund: whole nights that have not begun, or seats."""

    nights: Annotated[list[Day], Field(max_length=MOST_NIGHTS, default_factory=list)]
    seats: Annotated[int, Field(ge=0, le=MOST_SEATS)] = 0


class NewRefund(Body):
    """`amount_fen` left out: all that may still be refunded. `reason` is what WeChat tells the guest: emoji and what
    nobody can see are taken out of it, and it is stored and shown as it goes out. `gives_up` is free with the request,
    whatever becomes of the refund."""

    amount_fen: Annotated[int, Field(ge=1)] | None = None
    reason: Reason
    gives_up: GivenUp | None = None


class Grant(Body):
    """`amount_fen` left out: the sum of the case. `reason` is what WeChat tells the guest."""

    amount_fen: Annotated[int, Field(ge=1)] | None = None
    reason: Reason = "商家同意退款"


class Declination(Body):
    """`reason`: the guest reads it."""

    reason: Annotated[str, Field(min_length=2, max_length=40)]


class CaseResolution(Body):
    """`reference`: of refunded the out_refund_no of a refund of this trade that has arrived; of booked the order_sn; of
    kept why, in ten characters or more; of settled_by_hand how it was given back, in twenty or more (owners only)."""

    resolution: Literal["refunded", "booked", "kept", "settled_by_hand"]
    reference: Annotated[str, Field(min_length=1, max_length=MOST_REFERENCE)]


class CaseList(BaseModel):
    """The oldest first; `next`, if given, is the `after` of the next page."""

    cases: list[StaffCase]
    next: str | None = None


class DueLater(BaseModel):
    """What becomes due on a day that is still to come."""

    date: date
    fen: int


class StatementSums(BaseModel):
    """What was sold, used and given back, in numbers and fen. `discounts_fen`: what coupons of the merchant's own took
    off, `fees_fen`: WeChat's; both below 0 where more of them was given back. `net_fen`: sold less refunded, discounts
    and fees; of this `due_now_fen` is due by the day of the request, the rest later: on the last day on which what was
    sold can be used."""

    sold: int = 0
    sold_fen: int = 0
    used: int = 0
    used_fen: int = 0
    refunded: int = 0
    refunded_fen: int = 0
    discounts_fen: int = 0
    fees_fen: int = 0
    net_fen: int = 0
    due_now_fen: int = 0
    due_later: list[DueLater] = []


class StatementLine(StatementSums):
    """One day of one business; for the owner also `not_ours`, rows of the bill that are another system's, and
    `unassigned`, money of ours that pays no order: both without a business."""

    date: date
    of: Literal["business", "not_ours", "unassigned"]
    business_id: str | None


class MissingDay(BaseModel):
    """A day of which nothing can be said yet. `why`: `not_over`, `not_ready` (before 10:30 of the next morning),
    `not_compared`, `before_first` (no day was compared before that), `lines` (they cannot be read, or are not its
    bill), or why its bill could not be read as a whole, in the words of the runbook."""

    date: date
    why: str


class Statements(BaseModel):
    """A day of the range that is in neither list is closed, and nothing was sold, used or given back on it. `due_by`:
    the day of the request, in Beijing."""

    due_by: date
    lines: list[StatementLine]
    total: StatementSums
    missing: list[MissingDay]


class SideOfDay(BaseModel):
    """What one side has of a day, in numbers and fen."""

    payments: int
    paid_fen: int
    refunds: int
    refunded_fen: int


class BillDay(BaseModel):
    """How a day stands against WeChat's bill. `state`: `closed`, `open` (compared, and not as a whole), `not_yet`;
    `why` as in a MissingDay, where it is not closed. Of one whose bill was read as a whole both sides' sums; `fees_fen`
    as WeChat has them; `other_rows`: of other systems; `healed`: what our books learned from the bill."""

    date: date
    state: DayState
    why: str
    read_at: datetime | None = None
    closed_at: datetime | None = None
    wechat: SideOfDay | None = None
    ours: SideOfDay | None = None
    fees_fen: int | None = None
    other_rows: int | None = None
    healed: int | None = None
    difference_count: int | None = None


class BillDays(BaseModel):
    """The newest first."""

    days: list[BillDay]


class BillDifference(BaseModel):
    """One difference, to the fen; null: that side has nothing of it. `number`: the out_trade_no, of a refund the
    out_refund_no; `means` says the kind in words. `case` names its case in paths, where there is one."""

    kind: str
    means: str
    number: str
    out_trade_no: str
    order_sn: str | None
    wechat_no: str
    wechat_fen: int | None
    ours_fen: int | None
    case: str | None
    case_open: bool


class BillDayDetails(BillDay):
    """`next`, if given, is the `after` of the next page of differences."""

    differences: list[BillDifference]
    lines: list[StatementLine]
    next: str | None = None


# --- refunds


@app.post("/merchant/orders/<order_sn>/refunds", status_code=201)
def refund(order_sn: OrderSn, body: NewRefund, idempotency_key: IdempotencyKey = None) -> StaffRefund:
    """Asks for a refund, in full or in part. Idempotency-Key is required: the same key is the same refund, for ever.

    400: there is none. 409: not paid, more than may still be refunded, or the order does not hold what it gives up.
    """
    staff, now = staff_of(app.caller()), app.parts.clock()
    if not idempotency_key:
        raise Problem(
            400, "idempotency-key-required", "Send an Idempotency-Key.", "One per refund, 8 to 64 characters."
        )
    without = None if body.gives_up else {"gives_up"}  # as versions hashed it that did not know it
    body_hash = hashlib.sha256(body.model_dump_json(exclude=without).encode()).hexdigest()[:16]
    for _ in range(TRIES):
        collection = staff.collection(app.parts.store, order_sn)
        order = collection.order
        payment = next((payment for payment in collection.payments if payment.n == order.paid_by), None)
        if payment is None:
            raise Problem(409, "order-state", "This order is not paid.", order_status=order.status)
        wanted = merchant_refund(
            payment,
            amount_fen=body.amount_fen or order.refundable_fen or 0,
            reason=body.reason,
            staff=staff.user_id,
            key=idempotency_key,
            body_hash=body_hash,
            now=now,
            others=of_trade(collection.refunds, payment.out_trade_no),
        )
        earlier = next((one for one in collection.refunds if one.out_refund_no == wanted.out_refund_no), None)
        if earlier is not None:
            if earlier.body_hash != body_hash:
                raise key_reused()
            return refund_out(earlier)
        _check_refundable(collection, wanted)
        wanted = replace(wanted, gives_up=_gives_up(order, body.gives_up, now))
        if _requested(order, wanted, now):
            return refund_out(wanted)
    raise try_again(title="The order keeps changing.")


def _requested(order: Order, wanted: Refund, now: datetime, *also: Change, ends: bool = False) -> bool:
    """Asks for a refund of the order's own payment, with the changes that go with it; `ends`: all that was bought is
    given up. False: the order has changed."""
    written = app.parts.store.refunds.request(order, wanted, now, *also, ends=ends)
    if not written:
        return False
    freed(written, order.order_sn)
    logger.info("refund.requested", out_refund_no=wanted.out_refund_no, amount_fen=wanted.amount_fen)
    count("RefundRequested")
    return True


def _gives_up(order: Order, wanted: GivenUp | None, now: datetime) -> Holds | None:
    """What of its stock an order gives up (R7). 409: it does not hold all of that, or it has begun."""
    if wanted is None or not (wanted.nights or wanted.seats):
        return None
    left = order.unbegun(now)
    days = {date.fromisoformat(day) for day in wanted.nights}
    part = left.part(days, dict.fromkeys(left.seats or (), wanted.seats)) if left else None
    all_there = part and set(part.rooms()) == days and sum((part.seats or {}).values()) == wanted.seats
    if not all_there:
        told = f"It may give up {left.told()}." if left else "It holds nothing that has not begun."
        raise Problem(409, "cannot-give-up", "The order does not hold that, or it has begun.", told)
    return part


def _check_refundable(collection: Collection, wanted: Refund) -> None:
    """The reasons in words; what decides is the condition of the write."""
    order, left = collection.order, collection.order.refundable_fen or 0
    if order.on_hold:
        raise on_hold(order)
    if order.status not in ENTERED_FROM[OrderStatus.REFUNDED]:
        raise Problem(409, "order-state", "This order cannot be refunded.", order_status=order.status)
    if not 1 <= wanted.amount_fen <= left:
        detail = f"At most {left} fen may still be refunded."
        raise Problem(409, "refund-exceeds", "That is more than was paid.", detail, refundable_fen=left)
    parts = [one for one in of_trade(collection.refunds, wanted.out_trade_no) if one.status not in GIVEN_UP]
    if len(parts) >= MOST_PARTS:
        raise Problem(
            409, "too-many-refunds", f"WeChat takes {MOST_PARTS} refunds of one payment.", "Give it back by hand."
        )


@app.post("/merchant/orders/<order_sn>/refunds/<out_refund_no>/try", status_code=202)
def try_now(order_sn: OrderSn, out_refund_no: RefundNo) -> StaffRefund:
    """WeChat is asked again within a minute, about a refund that waits, is on its way or stuck. 409: it has ended."""
    refund, now = _refund(order_sn, out_refund_no), app.parts.clock()
    if refund.status not in ON_ITS_WAY | {RefundStatus.ABNORMAL}:
        raise _refund_state(refund, "It has come to its end.")
    app.parts.store.refunds.look_at(refund, now)
    return refund_out(_refund(order_sn, out_refund_no))


@app.post("/merchant/orders/<order_sn>/refunds/<out_refund_no>/withdraw", status_code=202)
def withdraw(order_sn: OrderSn, out_refund_no: RefundNo) -> StaffRefund:
    """Takes back a refund that WeChat has not taken. WeChat is asked about it twice, a minute apart: when it knows the
    refund, that goes on; else it is WITHDRAWN after some minutes, and its sum may be asked for again.

    409: WeChat has it already, it has come to its end, or it has to go back: money that pays no order, and what a guest
    gets who has given up his booking.
    """
    collection, now = staff_of(app.caller()).collection(app.parts.store, order_sn), app.parts.clock()
    refund = _refund_of(collection, out_refund_no)
    if refund.gives_up is not None or refund.origin is RefundOrigin.GUEST or collection.order.given_up:
        raise _refund_state(refund, "Its guest has given up what he bought for it: it has to go back.")
    if refund.origin in {RefundOrigin.LATE, RefundOrigin.SECOND}:
        raise _refund_state(refund, "This money pays no order: it has to go back.")
    if refund.status is not RefundStatus.REQUESTED:
        raise _refund_state(refund, "WeChat has it, or it has come to its end.")
    if refund.withdrawing_at is None and app.parts.store.refunds.mark_withdrawing(refund, now):
        logger.info("refund.withdrawing", out_refund_no=out_refund_no)
        count("RefundWithdrawing")
    return refund_out(_refund(order_sn, out_refund_no))


def _refund(order_sn: str, out_refund_no: str) -> Refund:
    """A refund of an order that the caller may see."""
    return _refund_of(staff_of(app.caller()).collection(app.parts.store, order_sn), out_refund_no)


def _refund_of(collection: Collection, out_refund_no: str) -> Refund:
    refund = collection.refund(out_refund_no)
    if refund is None:
        raise not_found()
    return refund


def _refund_state(refund: Refund, why: str) -> Problem:
    return Problem(409, "refund-state", "That cannot be done with this refund now.", why, refund_status=refund.status)


# --- cases


@app.get("/merchant/cases")
def list_cases(after: After = None, limit: Limit = CASES) -> CaseList:
    """The open cases, the oldest first, a page at a time."""
    staff, place = staff_of(app.caller()), _place(after)
    shown: list[Case] = []
    for _ in range(STRETCHES):
        stretch, place = app.parts.store.cases.open_page(place, max(limit, CASES))
        shown += _seen(stretch, staff)
        if place is None or len(shown) >= limit:
            break
    more = place is not None or len(shown) > limit
    shown = shown[:limit]
    if more:
        # The next page begins after a case that was shown: the keys of others' cases are not for this caller.
        place = CasePlace.of(shown[-1]) if shown or place is None else place.without_case()
    return CaseList(cases=[case_out(case) for case in shown], next=encoded(str(place)) if place and more else None)


def _seen(cases: Sequence[Case], staff: Staff) -> list[Case]:
    """Those of the caller's business; those of no order are the owner's alone."""
    if staff.owner:
        return list(cases)
    numbers = {case: case.number for case in cases}
    businesses = app.parts.store.orders.businesses({number.order_sn for number in numbers.values() if number})
    own = staff.business_id
    return [case for case, number in numbers.items() if number and businesses.get(number.order_sn) == own]


def _place(after: str | None) -> CasePlace | None:
    if after is None:
        return None
    try:
        return CasePlace.parse(decoded(after))
    except ValueError:
        raise invalid("query.after", "the next of an earlier page") from None


@app.get("/merchant/cases/<case_id>")
def get_case(case_id: CaseId) -> StaffCase:
    """One case, open or closed."""
    return case_out(_case(case_id))


@app.post("/merchant/cases/<case_id>/close")
def close_case(case_id: CaseId, body: CaseResolution) -> StaffCase:
    """Closes a case with what became of its money; the reference is checked, a refund's at WeChat.

    403: settled_by_hand is the owner's. 409: it is closed, or that resolution does not fit it. 422: the reference does
    not hold, and why. 503: WeChat cannot be asked now.
    """
    staff, case = staff_of(app.caller()), _case(case_id)
    resolution, reference = Resolution(body.resolution), cleaned(body.reference, all_planes=True)
    attempt, now = app.parts.attempt(), app.parts.clock()
    if not case.open:
        raise _closed_already()
    if case.kind == REFUND_REQUEST:
        raise _does_not_fit(case, "The guest asks for money: grant it, or decline it.")
    _check_resolution(case, resolution, reference, staff)
    for _ in range(TRIES):
        match _closed(case, resolution, reference, staff.user_id, attempt, now):
            case Written():
                break
            case Standing(Case(closed_by=by)) if by == SYSTEM and resolution is Resolution.REFUNDED:
                break  # by what WeChat has just said of the refund
            case Standing(Case(open=False)):
                raise _closed_already()
    else:
        raise try_again(title="The order keeps changing.")
    logger.info("case.closed", kind=case.kind, out_trade_no=case.out_trade_no, resolution=resolution)
    count("CaseClosed")
    return case_out(_case(case_id))


def _closed(
    case: Case, resolution: Resolution, reference: str, by: str, attempt: str, now: datetime
) -> Written | Standing[Case | None]:
    """Writes the resolution; where an order's hold or sums depend on it, both in one transaction. Standing: the case
    as it is now; where it is open still, its order has changed."""
    elsewhere = case.kind == REFUNDED_ELSEWHERE
    collection = _collection_of(case)
    if collection is None or not (
        elsewhere or (case.kind in REFUND_CASES | {STALLED} and resolution is Resolution.SETTLED_BY_HAND)
    ):
        return app.parts.store.cases.close(case, resolution, reference, by, attempt, now)
    if not elsewhere:
        _check_sum_by_hand(case, collection)
    released = elsewhere and not holds(collection.cases, collection.order, but=case)
    return app.parts.store.cases.close_with_order(
        collection, case, resolution, reference, by, attempt, now, released=released
    )


def _check_resolution(case: Case, resolution: Resolution, reference: str, staff: Staff) -> None:
    """Raises Problem unless the resolution fits the case and its reference holds."""
    if len(reference.encode()) > MOST_REFERENCE_BYTES:
        most = f"at most {MOST_REFERENCE_BYTES} bytes: {MOST_REFERENCE_BYTES // 3} Chinese characters"
        raise invalid("body.reference", most)
    if case.kind == REFUNDED_ELSEWHERE and resolution not in {Resolution.REFUNDED, Resolution.KEPT}:
        why = "WeChat calls this payment refunded: say refunded with that refund's number, or kept if there was none."
        raise _does_not_fit(case, why)
    match resolution:
        case Resolution.REFUNDED:
            _check_refund(case, reference)
        case Resolution.BOOKED:
            order = app.parts.store.orders.get(reference) if ORDER_SN.fullmatch(reference) else None
            if order is None or not staff.sees(order):
                raise invalid("body.reference", "there is no such order: name the order_sn that it is booked on")
        case Resolution.SETTLED_BY_HAND:
            if not staff.owner:
                raise Problem(403, "owner-only", "This is for the owner.", "Money given back by hand is his to say.")
            if len(reference) < LEAST_ACCOUNT:
                raise invalid("body.reference", f"how, when and to whom: {LEAST_ACCOUNT} characters or more")
        case _:
            if len(reference) < LEAST_REASON:
                raise invalid("body.reference", f"why the money is kept: {LEAST_REASON} characters or more")


def _closed_already() -> Problem:
    return Problem(409, "case-closed", "This case is closed.")


def _does_not_fit(case: Case, why: str) -> Problem:
    return Problem(409, "resolution", "This case cannot be closed so.", why, kind=case.kind)


def _check_sum_by_hand(case: Case, collection: Collection) -> None:
    """Raises Problem where a case's money cannot have been given back by hand: its refund has arrived or may still, or
    not so much is left, because it was asked for again."""
    refund = collection.refund(case.case_id)
    if refund is None:
        return
    if refund.status not in FAILED:
        why = f"This refund is {refund.status}: it has arrived, or may still."
        raise _does_not_fit(case, why)
    left = rest(refund.total_fen, of_trade(collection.refunds, refund.out_trade_no), by_hand(collection.cases))
    if refund.status in GIVEN_UP and case.amount_fen > left:
        why = f"Only {left} fen of this payment are left: the rest is back, or on its way under another number."
        raise _does_not_fit(case, why)


def _check_refund(case: Case, reference: str) -> None:
    """Raises Problem unless the reference is the out_refund_no of a refund that answers the case: of this very
    payment, arrived, and not less than the case is about. WeChat is asked about what is not stored here so."""
    elsewhere, collection = case.kind == REFUNDED_ELSEWHERE, _collection_of(case)
    refund = collection.refund(reference) if collection else None
    stored = refund if refund is not None and case.kind != "second_transaction" else None
    if stored is None or stored.status is not RefundStatus.SUCCESS:
        report = _asked(reference)
        of_another = report.out_trade_no != case.out_trade_no
        if case.kind == "second_transaction":
            of_another = of_another or report.transaction_id != case.transaction_id
        elif collection is not None and not of_another:
            recorded = record_refund_report(app.parts.store, report, app.parts.clock()) is not Recorded.CASE
            of_another = not recorded and case.kind not in NOT_OF_ITS_TRADE
        found: Refund | RefundReport = report
    else:
        of_another, found = stored.out_trade_no != case.out_trade_no, stored
    if of_another:
        raise invalid("body.reference", "this refund is of another payment")
    if found.status in GIVEN_UP or (found.status is not RefundStatus.SUCCESS and not elsewhere):
        raise invalid("body.reference", f"this refund has not arrived: WeChat calls it {found.status}")
    if found.amount_fen < case.amount_fen and not elsewhere:
        raise invalid("body.reference", f"this refund is {found.amount_fen} fen, the case is about {case.amount_fen}")


def _asked(out_refund_no: str) -> RefundReport:
    """What WeChat says of a refund now. Raises Problem."""
    if not REFUND_NO.fullmatch(out_refund_no):
        raise invalid("body.reference", "not an out_refund_no: it stands with the refund in WeChat's merchant console")
    try:
        report = app.parts.wechat_pay.query_refund(out_refund_no)
    except WechatError as error:
        logger.warning("query.failed", out_refund_no=out_refund_no, why=str(error))
        raise Problem(
            503,
            "wechat-unavailable",
            "WeChat cannot be asked about this refund now.",
            "The case stays open. Try again.",
            retry_after_s=3,
        ) from None
    if report is None:
        raise invalid("body.reference", "WeChat knows no refund of this number")
    return report


@app.post("/merchant/cases/<case_id>/refund", status_code=201)
def refund_again(case_id: CaseId) -> StaffRefund:
    """Refunds once more what of late or second money is not back, after its refund has come to nothing; twice is the
    same as once.

    409: a refund of it may still arrive or has arrived, or it is other money.
    """
    staff, case = staff_of(app.caller()), _case(case_id)
    for _ in range(TRIES):
        collection, now = _collection_of(case), app.parts.clock()
        payment = collection.payment(case.number.n) if collection and case.number else None
        if collection is None or payment is None or not _pays_nothing(collection.order, payment):
            raise Problem(409, "not-refundable", "This case is not about late or second money.")
        if held_by(collection.cases, payment.out_trade_no):
            raise on_hold(collection.order)
        own = of_trade(collection.refunds, payment.out_trade_no)
        _, _, k = case.case_id.rpartition("_R")
        earlier = collection.refund(f"{payment.out_trade_no}_R{int(k) + 1}") if k.isdecimal() else None
        if earlier is not None:
            return refund_out(earlier)
        handed = by_hand(collection.cases)
        attempt = next_attempt(payment, own, handed)
        if attempt is None:
            states = ", ".join(sorted({one.status for one in own}))
            raise Problem(
                409, "refund-state", "A refund of it may still arrive, or all of it is back.", refund_status=states
            )
        origin = RefundOrigin.LATE if collection.order.paid_by is None else RefundOrigin.SECOND
        again = automatic_refund(
            payment,
            origin,
            now,
            attempt=attempt,
            requested_by=staff.user_id,
            others=own,
            by_hand=handed,
        )
        if app.parts.store.refunds.add(collection, again, now):
            logger.info("refund.requested", out_refund_no=again.out_refund_no, amount_fen=again.amount_fen)
            return refund_out(again)
    raise try_again(title="The order keeps changing.")


@app.post("/merchant/cases/<case_id>/grant", status_code=201)
def grant(case_id: CaseId, body: Grant) -> StaffRefund:
    """Gives a guest back what he asks for, or another sum, and closes his case; all of his booking that has not begun
    becomes free. Twice is the same as once.

    409: the case is no such request or is closed, or the order cannot be refunded any more. 422: which sum.
    """
    staff, case, now = staff_of(app.caller()), _request_of_guest(case_id), app.parts.clock()
    for _ in range(TRIES):
        collection = _collection_of(case)
        payment = collection.payment(collection.order.paid_by) if collection else None
        if collection is None or payment is None:
            raise not_found()
        order = collection.order
        used = order.status is OrderStatus.USED  # its guest is there: nothing of it is free
        wanted = granted_refund(
            payment,
            f"{case.kind} {case.case_id}",
            amount_fen=body.amount_fen or min(case.amount_fen, order.refundable_fen or 0),
            reason=body.reason,
            staff=staff.user_id,
            now=now,
            others=of_trade(collection.refunds, payment.out_trade_no),
            gives_up=None if used else order.unbegun(now),
        )
        if earlier := collection.refund(wanted.out_refund_no):
            return refund_out(earlier)
        if not next(one for one in collection.cases if one.name == case.name).open:
            raise _closed_already()
        if not body.amount_fen and not case.amount_fen:
            raise invalid("body.amount_fen", "the rule gives nothing back: say how much you give")
        _check_refundable(collection, wanted)
        closing = closed(case, Resolution.GRANTED, wanted.out_refund_no, staff.user_id, "", now)
        if _requested(order, wanted, now, closing, ends=not used):
            count("CaseClosed")
            return refund_out(wanted)
    raise try_again(title="The order keeps changing.")


@app.post("/merchant/cases/<case_id>/decline")
def decline(case_id: CaseId, body: Declination) -> StaffCase:
    """Tells a guest that he does not get back what he asks for, and why; his booking stays. 409: the case is no such
    request, or is closed."""
    staff, case, attempt = staff_of(app.caller()), _request_of_guest(case_id), app.parts.attempt()
    reason = cleaned(body.reason, all_planes=True)
    if len(reason) < LEAST_DECLINATION:
        raise invalid("body.reason", f"{LEAST_DECLINATION} characters or more that the guest can read")
    if not case.open or not app.parts.store.cases.close(
        case, Resolution.DECLINED, reason, staff.user_id, attempt, app.parts.clock()
    ):
        raise _closed_already()
    logger.info("case.closed", kind=case.kind, out_trade_no=case.out_trade_no, resolution=Resolution.DECLINED)
    count("CaseClosed")
    return case_out(_case(case_id))


def _request_of_guest(case_id: str) -> Case:
    """The case that a path names, of a guest who asks for his money back."""
    case = _case(case_id)
    if case.kind != REFUND_REQUEST:
        raise _does_not_fit(case, "This is no guest who asks for his money back.")
    return case


def _pays_nothing(order: Order, payment: Payment) -> bool:
    """A paid trade of an order that was cancelled, or that another trade pays."""
    paid = payment.status is PaymentStatus.SUCCESS
    return paid and order.paid_by != payment.n and order.status is not OrderStatus.WAIT_PAY


def _collection_of(case: Case) -> Collection | None:
    """The order that a case lies beside, with all that belongs to it."""
    number = case.number
    return app.parts.store.collection(number.order_sn, consistent=True) if number else None


def _case(case_id: str) -> Case:
    """The case that a path names, if the caller may see it."""
    staff = staff_of(app.caller())
    try:
        out_trade_no, kind, name = decoded(case_id).split("\n")
    except ValueError:
        raise not_found() from None
    case = app.parts.store.cases.get(out_trade_no, kind, name)
    if case is None or not staff.sees(_order_of(case)):
        raise not_found()
    return case


def _order_of(case: Case) -> Order | None:
    number = case.number
    return app.parts.store.orders.get(number.order_sn) if number else None


# --- statements, and the days that they are of


@app.get(
    "/merchant/statements",
    responses={
        200: {
            "description": "",
            "content": {"application/json": {"model": Statements}, "text/csv": {"schema": {"type": "string"}}},
        }
    },
)
def list_statements(first: First, last: Last) -> Response[Statements | str]:
    """What is owed for each day, as WeChat's bills have it: to the caller's business, or, for the owner, to each. Both
    days are Beijing's and included, at most 31 in all. With `Accept: text/csv` as a file for a bookkeeper."""
    staff, now = staff_of(app.caller()), app.parts.clock()
    days = _days(first, last, STATEMENT_DAYS)
    today = beijing_day(now)
    known, begun = app.parts.store.bills.days(days), app.parts.store.bills.begun()
    stand = {day: standing(day, known.get(day), begun, now) for day in days}
    closed_days = [day for day in days if stand[day][0] is DayState.CLOSED]
    missing = {day: why for day, (state, why) in stand.items() if state is not DayState.CLOSED}
    lines: list[StatementLine] = []
    own = {} if staff.owner else app.parts.store.bills.statements_of(staff.business_id, closed_days)
    for day in closed_days:
        of_day = app.parts.store.bills.statements(day) if staff.owner else [own[day]] if day in own else []
        readable = [line for line in of_day if line is not None]
        if len(readable) < len(of_day) or (staff.owner and not known[day].is_sum_of(readable)):
            missing[day] = "lines"
        else:
            lines += [_line(day, line, today) for line in readable]
    found = Statements(
        due_by=today,
        lines=lines,
        total=_total(lines),
        missing=[MissingDay(date=day, why=why) for day, why in sorted(missing.items())],
    )
    if "text/csv" not in (app.current_event.headers.get("accept") or "").lower():
        return Response(200, "application/json", found)
    name = {"Content-Disposition": f'attachment; filename="statements-{first}-{last}.csv"'}
    return Response(200, "text/csv; charset=utf-8", _as_csv(found), headers=dict(name))


@app.get("/merchant/days")
def list_days(first: First, last: Last) -> BillDays:
    """How each day stands against WeChat's bill; both days are Beijing's and included, at most 92 in all. 403: for the
    owner alone."""
    _owner()
    days, now = _days(first, last, DAYS), app.parts.clock()
    known, begun = app.parts.store.bills.days(days), app.parts.store.bills.begun()
    return BillDays(days=[_day_out(day, known.get(day), begun, now) for day in reversed(days)])


@app.get("/merchant/days/<day>")
def get_day(day: Annotated[Day, Path()], after: After = None) -> BillDayDetails:
    """One day with what differs, and with the line of each business. 403: for the owner alone."""
    _owner()
    asked, now = date.fromisoformat(day), app.parts.clock()
    known, begun = app.parts.store.bills.days([asked]), app.parts.store.bills.begun()
    begin = _name(after)
    differences = [one for one in app.parts.store.bills.differences(asked) if one.name > begin]
    page = differences[:DIFFERENCES]
    return BillDayDetails(
        **dict(_day_out(asked, known.get(asked), begun, now)),
        differences=[_difference_out(one) for one in page],
        lines=[_line(asked, line, beijing_day(now)) for line in app.parts.store.bills.statements(asked)],
        next=encoded(page[-1].name) if len(differences) > len(page) else None,
    )


def _owner() -> None:
    """Raises Problem (403) unless the caller sees all businesses."""
    if not staff_of(app.caller()).owner:
        raise Problem(403, "owner-only", "This is for the owner.", "Statements of your own: /merchant/statements.")


def _days(first: str, last: str, most: int) -> list[date]:
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    if not begin <= end < begin + timedelta(days=most):
        raise invalid("query.to", f"the day of `from` or a later one, at most {most} days in all", limit=most)
    return [begin + timedelta(days=ahead) for ahead in range((end - begin).days + 1)]


def _name(after: str | None) -> str:
    try:
        return decoded(after or "")
    except ValueError:
        raise invalid("query.after", "the next of an earlier page") from None


def _day_out(day: date, found: DayOfBills | None, begun: date | None, now: datetime) -> BillDay:
    state, why = standing(day, found, begun, now)
    if found is None or not (found.closed or found.sha1):
        return BillDay(date=day, state=state, why=why, read_at=found.read_at if found else None)
    ours = {name: getattr(found, f"our_{name}") for name in SideOfDay.model_fields}
    return BillDay(
        date=day,
        state=state,
        why=why,
        read_at=found.read_at,
        closed_at=found.closed_at,
        wechat=SideOfDay.model_validate(found, from_attributes=True),
        ours=SideOfDay(**ours),
        fees_fen=found.fees,
        other_rows=found.other_rows,
        healed=found.healed,
        difference_count=found.differences,
    )


def _difference_out(one: Difference) -> BillDifference:
    number = TradeNumber.parse(one.out_trade_no)
    cases = app.parts.store.cases.beginning(one.out_trade_no, one.kind.value, one.case_id)
    case = next((case for case in cases if case.open), cases[-1] if cases else None)
    return BillDifference(
        kind=one.kind,
        means=MEANS[one.kind],
        number=one.number,
        out_trade_no=one.out_trade_no,
        order_sn=number.order_sn if number else None,
        wechat_no=one.wechat_no,
        wechat_fen=one.wechat_fen,
        ours_fen=one.ours_fen,
        case=path_of(case) if case else None,
        case_open=case is not None and case.open,
    )


def _line(day: date, line: Statement, today: date) -> StatementLine:
    now, later = line.due(today)
    of = {NOT_OURS: "not_ours", UNASSIGNED: "unassigned"}.get(line.business_id, "business")
    return StatementLine.model_validate(
        {
            **{name: getattr(line, name) for name in COUNTED},
            "date": day,
            "of": of,
            "business_id": line.business_id if of == "business" else None,
            "discounts_fen": line.discounts,
            "fees_fen": line.fees,
            "net_fen": line.net_fen,
            "due_now_fen": now,
            "due_later": [{"date": day, "fen": fen} for day, fen in later.items()],
        }
    )


COUNTED = ("sold", "sold_fen", "used", "used_fen", "refunded", "refunded_fen")
"""What a statement has under the names of its line."""


def _total(lines: Sequence[StatementLine]) -> StatementSums:
    later: Counter[date] = Counter()
    for line in lines:
        later.update({due.date: due.fen for due in line.due_later})
    names = set(StatementSums.model_fields) - {"due_later"}
    return StatementSums(
        **{name: sum(getattr(line, name) for line in lines) for name in names},
        due_later=[DueLater(date=day, fen=fen) for day, fen in sorted(later.items()) if fen],
    )


# --- a file for a bookkeeper

HEADER = (
    *("日期", "商家", "销售笔数", "销售金额(元)", "使用笔数", "使用金额(元)", "退款笔数", "退款金额(元)"),
    *("商家优惠(元)", "微信手续费(元)", "净额(元)", "已到期(元)", "未到期(元)", "未到期明细", "备注"),
)
LINES_OF_NONE = {"not_ours": "其他系统", "unassigned": "不属于任何订单"}
NOTES = {
    "not_over": "当天还没有结束",
    "not_ready": "账单要到次日10:30以后",
    "not_compared": "还没有对账",
    "before_first": "这一天还没有开始对账",
    "lines": "对账结果读不出来",
}
"""Of a day of which nothing can be said; another `why` is written down as it is."""


def _as_csv(found: Statements) -> str:
    """For Excel and WPS: a byte order mark, CRLF, sums in yuan with two decimals. No cell of text is a formula."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\r\n")
    rows.writerow(HEADER)
    for line in found.lines:
        rows.writerow(_cells(line.date.isoformat(), _text(line.business_id or LINES_OF_NONE[line.of]), line))
    for missing in found.missing:
        note = NOTES.get(missing.why, f"账单没有读全：{missing.why}")
        rows.writerow([missing.date.isoformat(), *[""] * (len(HEADER) - 2), _text(note)])
    rows.writerow(_cells("合计", "", found.total))
    return "\ufeff" + file.getvalue()


def _cells(day: str, business: str, sums: StatementSums) -> Iterable[str]:
    later = "; ".join(f"{due.date} {_yuan(due.fen)}" for due in sums.due_later)
    counted = [(sums.sold, sums.sold_fen), (sums.used, sums.used_fen), (sums.refunded, sums.refunded_fen)]
    owed = (sums.discounts_fen, sums.fees_fen, sums.net_fen, sums.due_now_fen, sum(due.fen for due in sums.due_later))
    numbers = [cell for number, fen in counted for cell in (str(number), _yuan(fen))]
    return [day, business, *numbers, *map(_yuan, owed), later, ""]


def _yuan(fen: int) -> str:
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02}"


def _text(text: str) -> str:
    """Text that Excel and WPS show as it is: a cell that begins so would be a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def handle(event: dict[str, Any], parts: Parts) -> Any:
    """Takes an HTTP API request (2.0)."""
    return app.answer(event, parts)


handler = LambdaFunction(handle, "store", "wechat_pay")
