"""WeChat's trade bill of a day against our books: what its rows say, what differs, what each business is owed (R14).

Pure. Sums in fen. WeChat counts its fees in hundred-thousandths of a yuan: `fee_e5`, 1,000 of them are one fen.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from payments.domain.case import Case
from payments.domain.payment import CURRENCY, TradeReport
from payments.domain.refund import RefundReport, RefundStatus
from payments.domain.times import BEIJING
from payments.domain.trade_number import TradeNumber

KEPT_DAYS = 88
"""So many days back a bill is asked for: WeChat keeps three months."""

OPEN_AT_MOST = timedelta(days=80)
"""A day that is not closed after it is a case: soon its bill is gone."""

E5_A_FEN = 1000
"""Hundred-thousandths of a yuan in one fen."""


class RowKind(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRow:
    """One row of the bill. `order_fen`: what the order cost, of a payment; `refund_fen`: what was asked back, of a
    refund; the other of the two is 0. `payer_fen`: what the guest gave, without coupons. `settled_fen`: what WeChat
    pays out for a payment, or takes for a refund: without a coupon of the merchant's own. `fee_e5` is negative where
    WeChat gives a fee back."""

    kind: RowKind
    at: datetime
    appid: str
    mchid: str
    transaction_id: str
    out_trade_no: str
    trade_state: str
    currency: str
    order_fen: int
    payer_fen: int
    settled_fen: int
    refund_id: str = ""
    out_refund_no: str = ""
    refund_status: str = ""
    refund_fen: int = 0
    fee_e5: int = 0

    @property
    def wechat_no(self) -> str:
        """WeChat's own number: it makes the row exist once."""
        return self.refund_id if self.kind is RowKind.REFUND else self.transaction_id

    @property
    def number(self) -> str:
        """The merchant's number of what the row is about: out_refund_no, or out_trade_no."""
        return self.out_refund_no if self.kind is RowKind.REFUND else self.out_trade_no

    @property
    def fen(self) -> int:
        """What it is about, above 0 in both kinds."""
        return self.refund_fen if self.kind is RowKind.REFUND else self.order_fen

    @property
    def trade(self) -> TradeNumber | None:
        """None: the number is not of our form, another system's."""
        return TradeNumber.parse(self.out_trade_no)

    def trade_report(self) -> TradeReport:
        """What the row of a payment says, as a callback or a query would (R4)."""
        return TradeReport(
            number=self.trade or self.out_trade_no,
            trade_state=self.trade_state,
            appid=self.appid,
            mchid=self.mchid,
            transaction_id=self.transaction_id,
            total_fen=self.order_fen,
            payer_total_fen=self.payer_fen,
            currency=self.currency,
            success_time=self.at,
        )

    def refund_report(self, total_fen: int) -> RefundReport:
        """What the row of a refund says; `total_fen`: of its trade, which a bill does not repeat. Its state is that of
        the day of the bill: what is not SUCCESS yet, WeChat is asked about."""
        return RefundReport(
            out_refund_no=self.out_refund_no,
            number=self.trade or self.out_trade_no,
            transaction_id=self.transaction_id,
            refund_id=self.refund_id,
            status=RefundStatus.SUCCESS if self.refund_status == "SUCCESS" else RefundStatus.PROCESSING,
            total_fen=total_fen,
            amount_fen=self.refund_fen,
            mchid=self.mchid,
            accepted_at=self.at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """An item of ours that is booked on a day: a payment that WeChat has, a refund that WeChat has accepted."""

    kind: RowKind
    order_sn: str
    out_trade_no: str
    number: str  # out_trade_no of a payment, out_refund_no of a refund
    fen: int
    wechat_no: str  # transaction_id or refund_id; empty where we were not told it
    assigned: bool = True  # False: a payment that is not what we asked for (MISPAID); it pays no order


# --- what differs


class DifferenceKind(StrEnum):
    """In which way WeChat's bill and our books differ; `MEANS` says it in words."""

    UNKNOWN_TRADE = "unknown_trade"
    SECOND_TRANSACTION = "second_transaction"
    MISPAID = "mispaid"
    UNKNOWN_REFUND = "unknown_refund"
    REFUND_MISMATCH = "refund_mismatch"
    PAYMENT_NOT_IN_BILL = "payment_not_in_bill"
    REFUND_NOT_IN_BILL = "refund_not_in_bill"
    PAYMENT_DIFFERS = "payment_differs"
    REFUND_DIFFERS = "refund_differs"


MEANS = {
    DifferenceKind.UNKNOWN_TRADE: "WeChat was paid for an order that is not in our books.",
    DifferenceKind.SECOND_TRANSACTION: "WeChat was paid twice under one number; our books have one of the two.",
    DifferenceKind.MISPAID: "WeChat was paid another sum, or for another account, than we asked for.",
    DifferenceKind.UNKNOWN_REFUND: "WeChat gave back money of a payment that is not in our books.",
    DifferenceKind.REFUND_MISMATCH: "WeChat gave back another sum, or of another payment, than our books say.",
    DifferenceKind.PAYMENT_NOT_IN_BILL: "Our books have a payment of this day that WeChat's bill has not.",
    DifferenceKind.REFUND_NOT_IN_BILL: "Our books have a refund of this day that WeChat's bill has not.",
    DifferenceKind.PAYMENT_DIFFERS: "A payment has another sum, or another transaction number, in WeChat's bill.",
    DifferenceKind.REFUND_DIFFERS: "A refund has another sum, or another refund number, in WeChat's bill.",
}

_OF_OURS = {
    RowKind.PAYMENT: (DifferenceKind.PAYMENT_NOT_IN_BILL, DifferenceKind.PAYMENT_DIFFERS),
    RowKind.REFUND: (DifferenceKind.REFUND_NOT_IN_BILL, DifferenceKind.REFUND_DIFFERS),
}

OF_REFUNDS = frozenset(
    {
        DifferenceKind.UNKNOWN_REFUND,
        DifferenceKind.REFUND_MISMATCH,
        DifferenceKind.REFUND_NOT_IN_BILL,
        DifferenceKind.REFUND_DIFFERS,
    }
)
"""The kinds that are about a refund; the others are about a payment."""

COMPARED = frozenset(kind for kinds in _OF_OURS.values() for kind in kinds)
"""The kinds whose case is opened by the comparison; that of any other kind by the code that records money (R4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference of a day, to the fen. `wechat_fen` or `ours_fen` None: that side has nothing of it."""

    kind: DifferenceKind
    number: str
    out_trade_no: str
    wechat_no: str
    wechat_fen: int | None = None
    ours_fen: int | None = None

    @property
    def name(self) -> str:
        """What makes it exist once on its day."""
        return f"{self.kind}#{self.wechat_no or self.number}"

    @property
    def case_id(self) -> str:
        """How the id of its case begins; it is the whole id, unless it ends in @: of a refund that cannot be recorded
        there is a case of each report."""
        if self.kind in COMPARED:
            return self.number
        return f"{self.number}@" if self.kind in OF_REFUNDS else self.wechat_no

    def case(self, day: date, now: datetime) -> Case:
        """The case of a difference that the comparison found: over what it is about on either side."""
        return Case(
            kind=self.kind.value,
            case_id=self.case_id,
            out_trade_no=self.out_trade_no,
            amount_fen=abs((self.wechat_fen or 0) - (self.ours_fen or 0)),
            currency=CURRENCY,
            transaction_id="",
            detail=f"bill of {day}: {_sum(self.wechat_fen)} at WeChat, {_sum(self.ours_fen)} in our books",
            opened_at=now,
        )


def _sum(fen: int | None) -> str:
    return "nothing" if fen is None else f"{fen} fen"


def in_row(kind: DifferenceKind, row: BillRow, ours_fen: int | None) -> Difference:
    """The difference of a row of the bill from what our books say."""
    return Difference(
        kind=kind,
        number=row.number,
        out_trade_no=row.out_trade_no,
        wechat_no=row.wechat_no,
        wechat_fen=row.fen,
        ours_fen=ours_fen,
    )


def compared(row: BillRow | None, ours: Booked) -> Difference | None:
    """How an item of ours differs from its row (None: the bill has none); None: not at all."""
    missing, differs = _OF_OURS[ours.kind]
    if row is None:
        return Difference(
            kind=missing,
            number=ours.number,
            out_trade_no=ours.out_trade_no,
            wechat_no=ours.wechat_no,
            wechat_fen=None,
            ours_fen=ours.fen,
        )
    return None if row.fen == ours.fen else in_row(differs, row, ours.fen)


def open_case(day: date, why: str, now: datetime) -> Case:
    """The case of a day that cannot be closed for long: its bill is gone soon."""
    return Case(
        kind="bill_open",
        case_id=day.isoformat(),
        out_trade_no=f"bill-{day}",
        amount_fen=0,
        currency=CURRENCY,
        transaction_id="",
        detail=f"the bill of {day} was never read as a whole: {why}",
        opened_at=now,
    )


# --- sums, fees, statements


NOT_OURS, UNASSIGNED = "~not-ours", "~unassigned"
"""The two lines of a day that belong to no business (no business_id has a ~): rows of other systems; ours, but of no
order."""


@dataclass(slots=True, kw_only=True)
class Statement:
    """What one business sold, gave back and is owed of one day's bill; NOT_OURS and UNASSIGNED are such lines too.

    `discounts`: what coupons of the merchant's own took off, in fen; below 0 where a refund gives some back. `fees`:
    WeChat's, in fen, shared out to the last one; below 0 where WeChat gives more back. `due_fen`: what is due on which
    day, sold less refunded, discounts and fees: on the last day on which what was sold can be used, and on the day of
    the bill where that is over by then or has no end.
    """

    business_id: str
    sold: int = 0
    sold_fen: int = 0
    refunded: int = 0
    refunded_fen: int = 0
    used: int = 0
    used_fen: int = 0
    discounts: int = 0
    fees: int = 0
    due_fen: dict[str, int] = field(default_factory=dict)

    @property
    def net_fen(self) -> int:
        """What the business is owed of this day, now or later."""
        return self.sold_fen - self.refunded_fen - self.discounts - self.fees

    def due(self, by: date) -> tuple[int, dict[str, int]]:
        """What of it is due on or before this day, and by day what is due after it."""
        later = {day: fen for day, fen in sorted(self.due_fen.items()) if day > by.isoformat() and fen}
        return self.net_fen - sum(later.values()), later

    @property
    def empty(self) -> bool:
        """Whether it says nothing: an earlier comparison of its day had something to say."""
        return self == Statement(business_id=self.business_id)


@dataclass(frozen=True, slots=True)
class Share:
    """Some rows of one business whose money is due on the same day, summed up."""

    business_id: str
    due_on: str
    kind: RowKind
    count: int
    fen: int
    settled_fen: int
    fee_e5: int


def due_on(day: date, usable_until: date | None) -> str:
    """The day on which the money of a row is due: that of its bill, or the last day of use, if that is later."""
    return max(day, usable_until or day).isoformat()


def shared_out(total: int, exact: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """`total` fen in whole fen over these names, each as near to its exact part (in hundred-thousandths of a yuan) as
    can be, so that the parts are the total: the largest rests get what is left. The same names get the same."""
    parts = {name: part // E5_A_FEN for name, part in exact.items()}
    left = total - sum(parts.values())
    by_rest = sorted(exact, key=lambda name: (-(exact[name] % E5_A_FEN), name))
    for number in range(abs(left)):
        parts[by_rest[number % len(by_rest)]] += 1 if left > 0 else -1
    return parts


def fee_in_fen(fee_e5: int) -> int:
    """A sum of fees in whole fen; half a fen counts as one."""
    return (fee_e5 + E5_A_FEN // 2) // E5_A_FEN


def statements(shares: Iterable[Share], used: Mapping[str, tuple[int, int]]) -> dict[str, Statement]:
    """The statements of a day from the sums of its rows; `used`: by business, how many orders were used on this day
    and what they had cost."""
    rows = list(shares)
    exact: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        exact[row.business_id, row.due_on] += row.fee_e5
    fees = shared_out(fee_in_fen(sum(exact.values())), exact)
    found: dict[str, Statement] = {}
    for row in rows:
        line = found.setdefault(row.business_id, Statement(business_id=row.business_id))
        sign = 1 if row.kind is RowKind.PAYMENT else -1
        line.discounts += sign * (row.fen - row.settled_fen)
        line.due_fen[row.due_on] = line.due_fen.get(row.due_on, 0) + sign * row.settled_fen
        if row.kind is RowKind.PAYMENT:
            line.sold, line.sold_fen = line.sold + row.count, line.sold_fen + row.fen
        else:
            line.refunded, line.refunded_fen = line.refunded + row.count, line.refunded_fen + row.fen
    for (business_id, due), fen in fees.items():
        found[business_id].fees += fen
        found[business_id].due_fen[due] -= fen
    for business_id, (orders, fen) in used.items():
        line = found.setdefault(business_id, Statement(business_id=business_id))
        line.used, line.used_fen = orders, fen
    return dict(sorted(found.items()))


# --- a day


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOfBills:
    """What came of one day: `closed`, or why not. Sums of both sides; `discounts` and `fees` in fen, as the bill has
    them.

    A day is closed when its bill was read as a whole and every row of it, and every item of ours, is matched or a
    difference (R14).
    """

    day: date
    closed: bool
    read_at: datetime
    why: str = ""  # of a day that is not closed: one of the names that the runbook explains
    sha1: str = ""  # of the bill's plain file
    payments: int = 0
    paid_fen: int = 0
    refunds: int = 0
    refunded_fen: int = 0
    discounts: int = 0
    fees: int = 0
    fee_e5: int = 0
    our_payments: int = 0
    our_paid_fen: int = 0
    our_refunds: int = 0
    our_refunded_fen: int = 0
    other_rows: int = 0
    differences: int = 0
    healed: int = 0  # what this run wrote into our books
    closed_at: datetime | None = None

    def is_sum_of(self, lines: Iterable[Statement]) -> bool:
        """Whether these lines sum up to the bill, to the fen, fees included."""
        there = list(lines)
        return (
            sum(line.sold_fen for line in there) == self.paid_fen
            and sum(line.refunded_fen for line in there) == self.refunded_fen
            and sum(line.discounts for line in there) == self.discounts
            and sum(line.fees for line in there) == self.fees
        )


class DayState(StrEnum):
    """Whether a day is compared with WeChat's bill, and all of it is explained."""

    CLOSED = "closed"
    OPEN = "open"
    NOT_YET = "not_yet"


COMPARED_AT = time(10, 30)
"""In Beijing: when the day before is compared for the first time."""


def standing(day: date, found: DayOfBills | None, first: date | None, now: datetime) -> tuple[DayState, str]:
    """How a day stands, and why where it is not closed: of one that was not compared `not_over`, `not_ready` (before
    10:30 of the next morning), `before_first` (of the first day that was ever compared), `not_compared`. `found`: what
    came of it; `first`: the first day that was ever compared, None: none was."""
    here = now.astimezone(BEIJING)
    if found is not None:
        return (DayState.CLOSED, "") if found.closed else (DayState.OPEN, found.why)
    if day >= here.date():
        return DayState.NOT_YET, "not_over"
    if first is not None and day < first:
        return DayState.NOT_YET, "before_first"
    if day == here.date() - timedelta(days=1) and here.time() < COMPARED_AT:
        return DayState.NOT_YET, "not_ready"
    return DayState.NOT_YET, "not_compared"
