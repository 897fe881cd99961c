"""A WeChat trade of an order: its states, what WeChat says of it, and the decisions of R2, R3 and R4. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from payments.domain.money import is_fen
from payments.domain.order import Order
from payments.domain.texts import Field, for_wechat
from payments.domain.times import wechat_time
from payments.domain.trade_number import TradeNumber

CURRENCY = "CNY"

PREPAY_ID_LIFE = timedelta(hours=2)
"""WeChat's life of a prepay_id, whatever time_expire says."""

LEAST_TIME_TO_PAY = timedelta(seconds=90)
"""WeChat moves a time_expire less than a minute ahead to one minute: the order would be over before its trade."""

MAX_TRADES = 20
"""How many trades an order may have, one after the other (R2)."""

CALL_PAUSE = timedelta(seconds=5)
"""However often a client asks, WeChat is called for one trade at most once in it: once by prepay, once by a query."""

MAX_WORD = 64
"""The longest of WeChat's numbers and names that we read, in characters."""


class PaymentStatus(StrEnum):
    NOTPAY = "NOTPAY"
    SUCCESS = "SUCCESS"
    CLOSED = "CLOSED"
    MISPAID = "MISPAID"  # paid, but not what we asked for: a CASE holds the money


ENTERED_FROM = {
    PaymentStatus.SUCCESS: {PaymentStatus.NOTPAY, PaymentStatus.CLOSED},  # a verified success always wins
    PaymentStatus.CLOSED: {PaymentStatus.NOTPAY},
    PaymentStatus.MISPAID: {PaymentStatus.NOTPAY, PaymentStatus.CLOSED},
}
"""The allowed transitions: each status with those it may be entered from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """The n-th WeChat trade of an order. The prepay body is rebuilt from these fields alone (R2)."""

    order_sn: str
    n: int
    total_fen: int
    currency: str
    appid: str
    mchid: str
    openid: str
    description: str
    time_expire: datetime
    notify_url: str
    status: PaymentStatus
    version: int
    created_at: datetime
    prepay_id: str | None = None
    prepay_expires_at: datetime | None = None
    attempt: str = ""  # which call made or claimed it last: tells my own repeated write from another's (R11)
    called_at: datetime | None = None  # when WeChat was last called for a prepay_id
    asked_at: datetime | None = None  # when WeChat was last asked because a client wanted to know
    transaction_id: str | None = None
    payer_total_fen: int | None = None
    success_time: datetime | None = None
    booked_on: str | None = None  # the day of WeChat's bill that shows it, with its shard of the index `settled` (R14)
    learned_by: str | None = None  # which function learned that it was paid
    refunded_transaction_id: str | None = (
        None  # of a refund that was known before the payment: the payment's must match
    )
    due_at: datetime | None = None
    entered: int = 1
    at: Mapping[str, int] = field(default_factory=dict)

    @property
    def number(self) -> TradeNumber:
        return TradeNumber(self.order_sn, self.n)

    @property
    def out_trade_no(self) -> str:
        return str(self.number)


class Malformed(Exception):
    """WeChat's report on a trade or a refund lacks what each of them has, or is of another type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeReport:
    """What WeChat says of a trade: the plaintext of a payment notice, or the reply to a query. Sums in fen. `number` is
    a text where it is not of our form."""

    number: TradeNumber | str
    trade_state: str
    appid: str
    mchid: str
    transaction_id: str = ""
    total_fen: int = 0
    payer_total_fen: int = 0
    currency: str = ""
    success_time: datetime | None = None

    @property
    def out_trade_no(self) -> str:
        return str(self.number)

    @property
    def paid(self) -> bool:
        """SUCCESS and REFUND both mean that it was paid: REFUND is what a paid trade becomes at its first refund."""
        return self.trade_state in {"SUCCESS", "REFUND"}

    @property
    def refunded(self) -> bool:
        """It was paid, and a part of it or all of it was refunded."""
        return self.trade_state == "REFUND"

    @property
    def over(self) -> bool:
        """It can never be paid any more."""
        return self.trade_state in {"CLOSED", "REVOKED", "PAYERROR"}

    @classmethod
    def from_wechat(cls, body: Mapping[str, Any]) -> "TradeReport":
        """Reads WeChat's JSON; unknown fields are ignored, an unpaid trade has neither sums nor times. What says
        neither which trade it is nor its sum may be missing or unreadable: success_time is None then, payer_total the
        total (R4).

        Raises Malformed.
        """
        try:
            trade = cls(
                number=trade_number(body["out_trade_no"]),
                trade_state=text(body["trade_state"]),
                appid=text(body["appid"]),
                mchid=text(body["mchid"]),
            )
            if not trade.paid:
                return trade
            amount = body["amount"]
            return cls(
                number=trade.number,
                trade_state=trade.trade_state,
                appid=trade.appid,
                mchid=trade.mchid,
                transaction_id=text(body["transaction_id"]),
                total_fen=fen(amount["total"]),
                payer_total_fen=_fen_or(amount.get("payer_total"), amount["total"]),
                currency=text(amount.get("currency", CURRENCY)),
                success_time=wechat_time(body.get("success_time")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Malformed(f"{type(error).__name__} in WeChat's trade") from error


def text(value: object) -> str:
    """A number, a state, a time of WeChat's: 1 to 64 plain characters, so that it may stand in a key."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_WORD or not (value.isascii() and value.isprintable()):
        raise TypeError("text expected")
    return value


def trade_number(value: object) -> TradeNumber | str:
    """The out_trade_no of a report of WeChat's: parsed, or as it stands where it is not of our form."""
    number = text(value)
    return TradeNumber.parse(number) or number


def fen(value: object) -> int:
    if not isinstance(value, int) or not is_fen(value):
        raise TypeError("whole fen expected")
    return value


def _fen_or(value: object, instead: int) -> int:
    try:
        return fen(value)
    except TypeError:
        return instead


# --- create_prepay (R2)


@dataclass(frozen=True, slots=True)
class CreatePayment:
    """No trade is open: put the n-th payment, then call WeChat."""

    n: int


@dataclass(frozen=True, slots=True)
class CallAgain:
    """The trade is open, but no phone can use it: call WeChat again with the stored parameters."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class Wait:
    """WeChat was called for the trade a moment ago, and there is no prepay_id to give: not before `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class SignAgain:
    """Its prepay_id still lives: sign it again, WeChat is not called."""

    payment: Payment
    prepay_id: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The order cannot be paid now; `why` is for people."""

    why: str


@dataclass(frozen=True, slots=True)
class UsedUp:
    """The order has had MAX_TRADES trades, and none of them is open: it takes no more."""


def quiet(last: datetime | None, now: datetime) -> bool:
    """Whether WeChat may be called again for a trade, that was called `last` then."""
    return last is None or now - last >= CALL_PAUSE


def decide_prepay(
    order: Order, payments: Sequence[Payment], now: datetime, *, fresh: bool
) -> CreatePayment | CallAgain | Wait | SignAgain | Refuse | UsedUp:
    """What a prepay does. `fresh`: the cashier refused the prepay_id that the phone has. One that is younger than
    CALL_PAUSE is not too old for a cashier: it is signed again all the same."""
    if not order.open_to_pay:
        return Refuse("the order is being cancelled" if order.closing else f"the order is {order.status}")
    statuses = {payment.status for payment in payments}
    if PaymentStatus.SUCCESS in statuses:
        return Refuse("the order is already paid")
    if PaymentStatus.MISPAID in statuses:
        return Refuse("a payment of this order is being looked at by a person")
    if order.expires_at - now < LEAST_TIME_TO_PAY:
        return Refuse("the order is about to expire")
    standing = [payment for payment in payments if payment.status is PaymentStatus.NOTPAY]
    if not standing:
        had = max((payment.n for payment in payments), default=0)
        return CreatePayment(had + 1) if had < MAX_TRADES else UsedUp()
    trade = max(standing, key=lambda payment: payment.n)
    live = trade.prepay_expires_at is not None and now < trade.prepay_expires_at
    free = quiet(trade.called_at, now)
    if trade.prepay_id and live and not (fresh and free):
        return SignAgain(trade, trade.prepay_id)
    return CallAgain(trade) if trade.called_at is None or free else Wait(trade.called_at + CALL_PAUSE)


# --- settle (R3, R4)


class Verdict(StrEnum):
    """Why a success could not be written on a NOTPAY trade; the old image tells."""

    DUPLICATE = "duplicate"
    LATE = "late"  # the payment was CLOSED here: retry, expecting CLOSED
    UNKNOWN_TRADE = "unknown_trade"
    SECOND_TRANSACTION = "second_transaction"
    MISPAID = "mispaid"


def judge(old: Payment | None, trade: TradeReport) -> Verdict:
    """What a verified success means for the payment as it stands."""
    if old is None:
        return Verdict.UNKNOWN_TRADE
    if old.transaction_id is not None:
        return Verdict.DUPLICATE if old.transaction_id == trade.transaction_id else Verdict.SECOND_TRANSACTION
    if differences(old, trade):
        return Verdict.MISPAID
    return Verdict.LATE


def differences(asked: Payment, trade: TradeReport) -> list[str]:
    """In which of amount.total, currency, appid and mchid the paid trade is not the one we asked for, or that its
    transaction is not the one that a refund known before it named.

    payer_total is not compared: a coupon lowers it.
    """
    names = ("total_fen", "currency", "appid", "mchid")
    found = [name for name in names if getattr(asked, name) != getattr(trade, name)]
    if asked.refunded_transaction_id not in (None, trade.transaction_id):
        found.append("transaction_id")
    return found


def new_payment(
    order: Order,
    n: int,
    *,
    description: str,
    appid: str,
    mchid: str,
    notify_url: str,
    now: datetime,
    attempt: str = "",
) -> Payment:
    """The n-th payment of an order, put before WeChat is called; time_expire in whole seconds, as WeChat has it.
    `description`: what the guest reads in the bill, in the product's words; kept as WeChat takes it.

    Raises ValueError for an n that is not from 1 to MAX_TRADES: its number would be none of ours.
    """
    if not 1 <= n <= MAX_TRADES:
        raise ValueError(f"trade {n} of an order: from 1 to {MAX_TRADES}")
    return Payment(
        order_sn=order.order_sn,
        n=n,
        total_fen=order.total_fen,
        currency=CURRENCY,
        appid=appid,
        mchid=mchid,
        openid=order.openid,
        description=for_wechat(Field.DESCRIPTION, description),
        time_expire=order.expires_at.replace(microsecond=0),
        notify_url=notify_url,
        status=PaymentStatus.NOTPAY,
        version=1,
        created_at=now,
        attempt=attempt,
        called_at=now,
    )
