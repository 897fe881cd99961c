"""merchant: what staff do. Redeem a check-in code, refund, look at an order, close a case.

Staff see the orders of their own business, and nothing of others: 404. A token for `*` is the shop owner's: it sees
all, and the cases that belong to no order.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import (
    Annotated,
    Any,
    Literal,
)

from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import AfterValidator, BaseModel, Field

from payments.domain.case import (
    LEAST_ACCOUNT,
    LEAST_REASON,
    MOST_REFERENCE,
    MOST_REFERENCE_BYTES,
    REFUND_CASES,
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
from payments.domain.order import ENTERED_FROM, ORDER_SN, STATUS_CODE, Order, OrderStatus, read_code
from payments.domain.payment import Payment, PaymentStatus, parse_out_trade_no
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
    merchant_refund,
    next_attempt,
    of_trade,
    rest,
)
from payments.domain.shipping import look_after_redemption
from payments.domain.texts import Field as Texts
from payments.domain.texts import cleaned, for_wechat
from payments.domain.times import utc_now
from payments.edge.http import (
    Api,
    Body,
    IdempotencyKey,
    OrderSn,
    Problem,
    invalid,
    not_found,
    seconds,
    shown,
    try_again,
)
from payments.edge.observability import Handler, count, instrumented, logger
from payments.edge.tokens import EVERY_BUSINESS, Role
from payments.products import PRODUCTS, Products
from payments.recording import Recorded, record_refund_report
from payments.settings import shipping_record, store
from payments.store.cases import CasePlace
from payments.store.items import Standing, Written
from payments.store.purchase import bought
from payments.wechat.errors import WechatError
from payments.wechat.pay import wechat_pay

GUESSES, GUESS_PAUSE = 10, timedelta(seconds=5)
"""Wrong codes that may be tried at once, and after how long one more: of 32^10 codes nobody finds one, and a right code
waits five seconds at most."""

CASES = 50
"""Cases on a page, if no other number is asked for."""

STRETCHES = 20
"""Stretches of the index that are looked through for a page's cases."""

TRIES = 4

NOT_OF_ITS_TRADE = {"refund_mismatch", "unknown_refund", "unreadable"}
"""Cases of what cannot be recorded: a refund that answers one need not be either."""


class _Api(Api):
    products: Products
    """What is sold here."""


app = _Api()

REFUND_NO = re.compile("[0-9A-Za-z_|*@-]{1,64}")
RefundNo = Annotated[str, Path(pattern=f"^{REFUND_NO.pattern}$")]
CaseId = Annotated[str, Path(pattern=r"^[0-9A-Za-z_-]{1,800}$")]
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(pattern=r"^[0-9A-Za-z_-]{1,800}$")]


class StaffOrder(BaseModel):
    """An order as staff see it: no code, no openid; `purchase` is what was bought, in the fields of its `service_type`.
    Sums in fen. `on_hold`: WeChat says that it was refunded, and no refund is known here: its case waits, and it is
    neither redeemed nor refunded."""

    order_sn: str
    service_type: str
    status: str
    status_code: int
    total_fen: int
    refundable_fen: int
    refunded_fen: int
    by_hand_fen: int
    stuck_fen: int
    on_hold: bool
    created_at: datetime
    paid_at: datetime | None
    used_at: datetime | None
    used_by: str | None
    purchase: dict[str, Any]


class StaffPayment(BaseModel):
    out_trade_no: str
    status: str
    transaction_id: str | None
    success_time: datetime | None


class StaffRefund(BaseModel):
    """A refund and how far it is: SUCCESS, ABNORMAL, CLOSED, REFUSED and WITHDRAWN are ends. `withdrawing_at`: staff
    take it back, which is done when WeChat twice does not know it; `due_at`: when the janitor looks at it next."""

    out_refund_no: str
    out_trade_no: str
    status: str
    amount_fen: int
    reason: str
    origin: str
    requested_by: str
    created_at: datetime
    withdrawing_at: datetime | None
    due_at: datetime | None


class StaffCase(BaseModel):
    """Money, or a notice of WeChat's, that a person has to look at. `case` names it in paths."""

    case: str
    kind: str
    out_trade_no: str
    amount_fen: int
    transaction_id: str
    detail: str
    opened_at: datetime
    resolution: str | None
    reference: str | None
    closed_by: str | None
    closed_at: datetime | None


class StaffOrderDetails(StaffOrder):
    payments: list[StaffPayment]
    refunds: list[StaffRefund]
    cases: list[StaffCase]


class OrdersFound(BaseModel):
    """Nearly always one: two orders may have the same code, then a person has to choose."""

    orders: list[StaffOrderDetails]


class Lookup(Body):
    """A check-in code as it was typed or scanned, or an order's number."""

    code: Annotated[str, Field(min_length=1, max_length=64)]


class Redemption(Body):
    """`order_sn` only where two orders have the same code."""

    code: Annotated[str, Field(min_length=1, max_length=64)]
    order_sn: str | None = None


def _reason(text: str) -> str:
    """As WeChat takes it: emoji go away."""
    if not cleaned(text):
        raise ValueError("nothing is left of it that WeChat can show to the guest: write letters, no pictures alone")
    return for_wechat(Texts.REASON, text)


class NewRefund(Body):
    """`amount_fen` left out: all that may still be refunded. `reason` is what WeChat tells the guest: emoji and what
    nobody can see are taken out of it, and it is stored and shown as it goes out."""

    amount_fen: Annotated[int, Field(ge=1)] | None = None
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON), AfterValidator(_reason)]


class CaseResolution(Body):
    """`reference`: of refunded the out_refund_no of a refund of this trade that has arrived; of booked the order_sn; of
    kept why, in ten characters or more; of settled_by_hand how it was given back, in twenty or more (owners only)."""

    resolution: Literal["refunded", "booked", "kept", "settled_by_hand"]
    reference: Annotated[str, Field(min_length=1, max_length=MOST_REFERENCE)]


class CaseList(BaseModel):
    """The oldest first; `next`, if given, is the `after` of the next page."""

    cases: list[StaffCase]
    next: str | None = None


# --- who


def _staff() -> Mapping[str, str]:
    """The caller, who is staff. 403 for everybody else."""
    caller = app.caller()
    if caller.get("role") != Role.STAFF or not caller.get("business_id"):
        raise Problem(403, "staff-only", "This is for staff.", "Sign in with a staff token.")
    return caller


def _sees(staff: Mapping[str, str], order: Order | None) -> bool:
    if staff["business_id"] == EVERY_BUSINESS:
        return True
    return order is not None and order.business_id == staff["business_id"]


def _collection(order_sn: str, staff: Mapping[str, str]) -> Collection:
    collection = store().collection(order_sn, consistent=True)
    if collection is None or not _sees(staff, collection.order):
        raise not_found()
    return collection


# --- orders


@app.get("/merchant/orders/<order_sn>")
def get_order(order_sn: OrderSn) -> StaffOrderDetails:
    """An order with its payments, refunds and cases."""
    return _details(_collection(order_sn, _staff()))


@app.post("/merchant/lookups")
def look_up(body: Lookup) -> OrdersFound:
    """The orders with a check-in code, or a number; nothing is redeemed. 404: unknown. 429: too many wrong codes."""
    staff, text = _staff(), body.code.strip()
    numbers = [text] if ORDER_SN.fullmatch(text) else [order.order_sn for order in _found(_code(text), staff)]
    if not numbers:
        raise not_found()
    return OrdersFound(orders=[_details(_collection(order_sn, staff)) for order_sn in numbers])


def _details(collection: Collection) -> StaffOrderDetails:
    return StaffOrderDetails(
        **_order_out(collection.order).model_dump(),
        payments=[StaffPayment.model_validate(payment, from_attributes=True) for payment in collection.payments],
        refunds=[StaffRefund.model_validate(refund, from_attributes=True) for refund in collection.refunds],
        cases=[_case_out(case) for case in collection.cases],
    )


# --- redemption


@app.post("/merchant/redemptions")
def redeem(body: Redemption) -> StaffOrder:
    """Redeems a check-in code, once. 404: unknown. 409: used, expired, refunded. 429: too many wrong codes."""
    staff = _staff()
    if ORDER_SN.fullmatch(body.code.strip()):
        raise _order_number(body.code.strip(), staff)
    orders = _found(_code(body.code), staff)
    if body.order_sn:
        orders = [order for order in orders if order.order_sn == body.order_sn]
    if len(orders) > 1:
        numbers = [order.order_sn for order in orders]
        raise Problem(409, "code-twice", "Two orders have this code.", "Send the order_sn with it.", orders=numbers)
    if not orders:
        raise not_found()
    order, attempt = orders[0], secrets.token_urlsafe(4)
    bought(order, app.products)  # what cannot be shown is not redeemed
    look = look_after_redemption(order, shipping_record(), utc_now())
    match store().orders.redeem(order.order_sn, staff["user_id"], attempt, look):
        case Standing(standing):
            raise _not_redeemed(standing or order)
    logger.info("order.redeemed", order_sn=order.order_sn, staff=staff["user_id"])
    count("OrderRedeemed")
    return _order_out(store().orders.get(order.order_sn) or order)


def _code(text: str) -> str:
    code = read_code(text)
    if code is None:
        raise invalid("body.code", "a code has ten letters and digits; it stands in the guest's message")
    return code


def _found(code: str, staff: Mapping[str, str]) -> list[Order]:
    """The orders of the caller's business with this code; one more wrong guess if there are none."""
    now = utc_now()
    guesser = "#".join(staff.get(part, "") for part in ("business_id", "user_id", "session"))
    match store().guesses.take(guesser, now, GUESS_PAUSE, GUESSES):
        case Standing(free_at):
            count("RedeemThrottled")
            wait = seconds(free_at - now)
            told = f"Try again in {wait} s."
            raise Problem(429, "too-many-guesses", "Too many wrong codes.", told, retry_after_s=wait)
    orders = [order for order in store().orders.by_code(code) if _sees(staff, order)]
    if orders:
        store().guesses.forgive(guesser, now, GUESS_PAUSE)
    return orders


def _order_number(order_sn: str, staff: Mapping[str, str]) -> Problem:
    """Someone typed the number of an order where its code belongs."""
    order = _collection(order_sn, staff).order
    if order.status is OrderStatus.WAIT_PAY:
        detail = "It gets its code when it is."
        return Problem(409, "order-not-paid", "This order is not paid yet.", detail, order_status=order.status)
    return invalid("body.code", "this is the order's number; the code stands in the guest's message")


def _not_redeemed(order: Order) -> Problem:
    """Why a code is not good, from the stored order that made the redemption fail."""
    told: dict[str, Any] = {"order_sn": order.order_sn, "order_status": order.status}
    match order.status:
        case OrderStatus.USED:
            detail = f"{order.entered_at(OrderStatus.USED)}, by {order.used_by}."
            return Problem(409, "code-used", "This code has been redeemed.", detail, **told)
        case OrderStatus.EXPIRED:
            return Problem(409, "code-expired", "Its time is over; the code has expired.", **told)
        case OrderStatus.REFUNDED:
            return Problem(409, "code-refunded", "The order is refunded.", **told)
    if order.on_hold:
        return _on_hold(order)
    return Problem(409, "refund-in-flight", "All of this order is being refunded.", **told)


# --- refunds


@app.post("/merchant/orders/<order_sn>/refunds", status_code=201)
def refund(order_sn: OrderSn, body: NewRefund, idempotency_key: IdempotencyKey = None) -> StaffRefund:
    """Asks for a refund, in full or in part. Idempotency-Key is required: the same key is the same refund, for ever.

    400: there is none. 409: not paid, or more than may still be refunded.
    """
    staff, now = _staff(), utc_now()
    if not idempotency_key:
        raise Problem(
            400, "idempotency-key-required", "Send an Idempotency-Key.", "One per refund, 8 to 64 characters."
        )
    body_hash = hashlib.sha256(body.model_dump_json().encode()).hexdigest()[:16]
    for _ in range(TRIES):
        collection = _collection(order_sn, staff)
        order = collection.order
        payment = next((payment for payment in collection.payments if payment.n == order.paid_by), None)
        if payment is None:
            raise Problem(409, "order-state", "This order is not paid.", order_status=order.status)
        wanted = merchant_refund(
            payment,
            amount_fen=body.amount_fen or order.refundable_fen or 0,
            reason=body.reason,
            staff=staff["user_id"],
            key=idempotency_key,
            body_hash=body_hash,
            now=now,
            others=of_trade(collection.refunds, payment.out_trade_no),
        )
        earlier = next((one for one in collection.refunds if one.out_refund_no == wanted.out_refund_no), None)
        if earlier is not None:
            if earlier.body_hash != body_hash:
                raise Problem(
                    422, "idempotency-key-reused", "This Idempotency-Key was used with another body.", "Take a new key."
                )
            return _refund_out(earlier)
        _check_refundable(collection, wanted)
        if store().refunds.request(order, wanted):
            logger.info("refund.requested", out_refund_no=wanted.out_refund_no, amount_fen=wanted.amount_fen)
            count("RefundRequested")
            return _refund_out(wanted)
    raise try_again(title="The order keeps changing.")


def _on_hold(order: Order) -> Problem:
    return Problem(
        409,
        "on-hold",
        "WeChat says that this order was refunded, and no refund is known here.",
        "Close its case first: /merchant/cases.",
        order_sn=order.order_sn,
        order_status=order.status,
    )


def _check_refundable(collection: Collection, wanted: Refund) -> None:
    """The reasons in words; what decides is the condition of the write."""
    order, left = collection.order, collection.order.refundable_fen or 0
    if order.on_hold:
        raise _on_hold(order)
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
    refund, now = _refund(order_sn, out_refund_no), utc_now()
    if refund.status not in ON_ITS_WAY | {RefundStatus.ABNORMAL}:
        raise _refund_state(refund, "It has come to its end.")
    store().refunds.look_at(refund, now)
    return _refund_out(_refund(order_sn, out_refund_no))


@app.post("/merchant/orders/<order_sn>/refunds/<out_refund_no>/withdraw", status_code=202)
def withdraw(order_sn: OrderSn, out_refund_no: RefundNo) -> StaffRefund:
    """Takes back a refund that WeChat has not taken. WeChat is asked about it twice, a minute apart: when it knows the
    refund, that goes on; else it is WITHDRAWN after some minutes, and its sum may be asked for again.

    409: WeChat has it already, it has come to its end, or it is of money that pays no order: that has to go back.
    """
    refund, now = _refund(order_sn, out_refund_no), utc_now()
    if refund.origin in {RefundOrigin.LATE, RefundOrigin.SECOND}:
        raise _refund_state(refund, "This money pays no order: it has to go back.")
    if refund.status is not RefundStatus.REQUESTED:
        raise _refund_state(refund, "WeChat has it, or it has come to its end.")
    if refund.withdrawing_at is None and store().refunds.mark_withdrawing(refund, now):
        logger.info("refund.withdrawing", out_refund_no=out_refund_no)
        count("RefundWithdrawing")
    return _refund_out(_refund(order_sn, out_refund_no))


def _refund(order_sn: str, out_refund_no: str) -> Refund:
    """A refund of an order that the caller may see."""
    refund = _collection(order_sn, _staff()).refund(out_refund_no)
    if refund is None:
        raise not_found()
    return refund


def _refund_state(refund: Refund, why: str) -> Problem:
    return Problem(409, "refund-state", "That cannot be done with this refund now.", why, refund_status=refund.status)


# --- cases


@app.get("/merchant/cases")
def list_cases(after: After = None, limit: Limit = CASES) -> CaseList:
    """The open cases, the oldest first, a page at a time."""
    staff, place = _staff(), _place(after)
    shown: list[Case] = []
    for _ in range(STRETCHES):
        stretch, place = store().cases.open_page(place, max(limit, CASES))
        shown += _seen(stretch, staff)
        if place is None or len(shown) >= limit:
            break
    more = place is not None or len(shown) > limit
    shown = shown[:limit]
    if more:
        # The next page begins after a case that was shown: the keys of others' cases are not for this caller.
        place = CasePlace.of(shown[-1]) if shown or place is None else place.without_case()
    return CaseList(cases=[_case_out(case) for case in shown], next=_encoded(str(place)) if place and more else None)


def _seen(cases: Sequence[Case], staff: Mapping[str, str]) -> list[Case]:
    """Those of the caller's business; those of no order are the owner's alone."""
    if staff["business_id"] == EVERY_BUSINESS:
        return list(cases)
    numbers = {case: parse_out_trade_no(case.out_trade_no) for case in cases}
    businesses = store().orders.businesses({found[0] for found in numbers.values() if found})
    return [case for case, found in numbers.items() if found and businesses.get(found[0]) == staff["business_id"]]


def _place(after: str | None) -> CasePlace | None:
    if after is None:
        return None
    try:
        return CasePlace.parse(_decoded(after))
    except ValueError:
        raise invalid("query.after", "the next of an earlier page") from None


@app.get("/merchant/cases/<case_id>")
def get_case(case_id: CaseId) -> StaffCase:
    """One case, open or closed."""
    return _case_out(_case(case_id))


@app.post("/merchant/cases/<case_id>/close")
def close_case(case_id: CaseId, body: CaseResolution) -> StaffCase:
    """Closes a case with what became of its money; the reference is checked, a refund's at WeChat.

    403: settled_by_hand is the owner's. 409: it is closed, or that resolution does not fit it. 422: the reference does
    not hold, and why. 503: WeChat cannot be asked now.
    """
    staff, case = _staff(), _case(case_id)
    resolution, reference = Resolution(body.resolution), cleaned(body.reference, all_planes=True)
    attempt, now = secrets.token_urlsafe(9), utc_now()
    if not case.open:
        raise Problem(409, "case-closed", "This case is closed.")
    _check_resolution(case, resolution, reference, staff)
    for _ in range(TRIES):
        match _closed(case, resolution, reference, staff["user_id"], attempt, now):
            case Written():
                break
            case Standing(Case(closed_by=by)) if by == SYSTEM and resolution is Resolution.REFUNDED:
                break  # by what WeChat has just said of the refund
            case Standing(Case(open=False)):
                raise Problem(409, "case-closed", "This case is closed.")
    else:
        raise try_again(title="The order keeps changing.")
    logger.info("case.closed", kind=case.kind, out_trade_no=case.out_trade_no, resolution=resolution)
    count("CaseClosed")
    return _case_out(_case(case_id))


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
        return store().cases.close(case, resolution, reference, by, attempt, now)
    if not elsewhere:
        _check_sum_by_hand(case, collection)
    released = elsewhere and not holds(collection.cases, collection.order, but=case)
    return store().cases.close_with_order(collection, case, resolution, reference, by, attempt, now, released=released)


def _check_resolution(case: Case, resolution: Resolution, reference: str, staff: Mapping[str, str]) -> None:
    """Raises Problem unless the resolution fits the case and its reference holds."""
    if len(reference.encode()) > MOST_REFERENCE_BYTES:
        most = f"at most {MOST_REFERENCE_BYTES} bytes: {MOST_REFERENCE_BYTES // 3} Chinese characters"
        raise invalid("body.reference", most)
    if case.kind == REFUNDED_ELSEWHERE and resolution not in {Resolution.REFUNDED, Resolution.KEPT}:
        why = "WeChat calls this payment refunded: say refunded with that refund's number, or kept if there was none."
        raise Problem(409, "resolution", "This case cannot be closed so.", why, kind=case.kind)
    match resolution:
        case Resolution.REFUNDED:
            _check_refund(case, reference)
        case Resolution.BOOKED:
            order = store().orders.get(reference) if ORDER_SN.fullmatch(reference) else None
            if order is None or not _sees(staff, order):
                raise invalid("body.reference", "there is no such order: name the order_sn that it is booked on")
        case Resolution.SETTLED_BY_HAND:
            if staff["business_id"] != EVERY_BUSINESS:
                raise Problem(403, "owner-only", "This is for the owner.", "Money given back by hand is his to say.")
            if len(reference) < LEAST_ACCOUNT:
                raise invalid("body.reference", f"how, when and to whom: {LEAST_ACCOUNT} characters or more")
        case _:
            if len(reference) < LEAST_REASON:
                raise invalid("body.reference", f"why the money is kept: {LEAST_REASON} characters or more")


def _check_sum_by_hand(case: Case, collection: Collection) -> None:
    """Raises Problem where a case's money cannot have been given back by hand: its refund has arrived or may still, or
    not so much is left, because it was asked for again."""
    refund = collection.refund(case.case_id)
    if refund is None:
        return
    if refund.status not in FAILED:
        why = f"This refund is {refund.status}: it has arrived, or may still."
        raise Problem(409, "resolution", "This case cannot be closed so.", why, kind=case.kind)
    left = rest(refund.total_fen, of_trade(collection.refunds, refund.out_trade_no), by_hand(collection.cases))
    if refund.status in GIVEN_UP and case.amount_fen > left:
        why = f"Only {left} fen of this payment are left: the rest is back, or on its way under another number."
        raise Problem(409, "resolution", "This case cannot be closed so.", why, kind=case.kind)


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
            recorded = record_refund_report(store(), report, utc_now()) is not Recorded.CASE
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
        report = wechat_pay().query_refund(out_refund_no)
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
    staff, case = _staff(), _case(case_id)
    for _ in range(TRIES):
        collection, now = _collection_of(case), utc_now()
        numbers = parse_out_trade_no(case.out_trade_no)
        payment = collection.payment(numbers[1]) if collection and numbers else None
        if collection is None or payment is None or not _pays_nothing(collection.order, payment):
            raise Problem(409, "not-refundable", "This case is not about late or second money.")
        if held_by(collection.cases, payment.out_trade_no):
            raise _on_hold(collection.order)
        own = of_trade(collection.refunds, payment.out_trade_no)
        _, _, k = case.case_id.rpartition("_R")
        earlier = collection.refund(f"{payment.out_trade_no}_R{int(k) + 1}") if k.isdecimal() else None
        if earlier is not None:
            return _refund_out(earlier)
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
            requested_by=staff["user_id"],
            others=own,
            by_hand=handed,
        )
        if store().refunds.add(collection, again, now):
            logger.info("refund.requested", out_refund_no=again.out_refund_no, amount_fen=again.amount_fen)
            return _refund_out(again)
    raise try_again(title="The order keeps changing.")


def _pays_nothing(order: Order, payment: Payment) -> bool:
    """A paid trade of an order that was cancelled, or that another trade pays."""
    paid = payment.status is PaymentStatus.SUCCESS
    return paid and order.paid_by != payment.n and order.status is not OrderStatus.WAIT_PAY


def _collection_of(case: Case) -> Collection | None:
    """The order that a case lies beside, with all that belongs to it."""
    numbers = parse_out_trade_no(case.out_trade_no)
    return store().collection(numbers[0], consistent=True) if numbers else None


def _case(case_id: str) -> Case:
    """The case that a path names, if the caller may see it."""
    staff = _staff()
    try:
        out_trade_no, kind, name = _decoded(case_id).split("\n")
    except ValueError:
        raise not_found() from None
    case = store().cases.get(out_trade_no, kind, name)
    if case is None or not _sees(staff, _order_of(case)):
        raise not_found()
    return case


def _order_of(case: Case) -> Order | None:
    numbers = parse_out_trade_no(case.out_trade_no)
    return store().orders.get(numbers[0]) if numbers else None


# --- answers


def _order_out(order: Order) -> StaffOrder:
    product, purchase = bought(order, app.products)
    return StaffOrder(
        service_type=order.service_type,
        order_sn=order.order_sn,
        status=order.status,
        status_code=STATUS_CODE[order.status],
        total_fen=order.total_fen,
        refundable_fen=order.refundable_fen or 0,
        refunded_fen=order.refunded_fen,
        by_hand_fen=order.by_hand_fen or 0,
        stuck_fen=order.stuck_fen or 0,
        on_hold=bool(order.on_hold),
        created_at=order.created_at,
        paid_at=order.paid_at,
        used_at=order.entered_at(OrderStatus.USED),
        used_by=order.used_by,
        purchase=shown(product.models().staff, purchase),
    )


def _refund_out(one: Refund) -> StaffRefund:
    return StaffRefund.model_validate(one, from_attributes=True)


def _case_out(case: Case) -> StaffCase:
    return StaffCase(
        case=path_of(case),
        **{field: getattr(case, field) for field in StaffCase.model_fields if field != "case"},
    )


def _encoded(text: str) -> str:
    """As it can stand in a path or a query."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(text: str) -> str:
    """Raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


def handler_for(products: Products) -> Handler:
    """The function as it sells these products."""

    @instrumented
    def handle(event: dict[str, Any], context: LambdaContext) -> Any:
        app.products = products
        return app.resolve(event, context)

    return handle


handler = handler_for(PRODUCTS)
