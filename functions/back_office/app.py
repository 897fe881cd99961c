"""back_office: what staff do with money. Refund an order, try a refund again, take it back; look at cases, and close
them with what became of their money; grant or decline what a guest asks for.

Staff see the orders of their own business, and nothing of others: 404; the cases that belong to no order, and what was
given back by hand, are the owner's. A request for a refund that is repeated with its Idempotency-Key is one refund;
every write says whether what it was decided on has changed, and is decided anew then.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import AfterValidator, BaseModel, Field

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


NOT_OF_ITS_TRADE = {"refund_mismatch", "unknown_refund", "unreadable"}
"""Cases of what cannot be recorded: a refund that answers one need not be either."""

app: Api[Parts] = Api()

REFUND_NO = re.compile("[0-9A-Za-z_|*@-]{1,64}")
RefundNo = Annotated[str, Path(pattern=f"^{REFUND_NO.pattern}$")]
CaseId = Annotated[str, Path(pattern=r"^[0-9A-Za-z_-]{1,800}$")]
Limit = Annotated[int, Query(ge=1, le=100)]
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


def handle(event: dict[str, Any], parts: Parts) -> Any:
    """Takes an HTTP API request (2.0)."""
    return app.answer(event, parts)


handler = LambdaFunction(handle, "store", "wechat_pay")
