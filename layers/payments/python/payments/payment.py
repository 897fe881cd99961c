"""A WeChat trade of an order: its states, what WeChat says of it, and the decisions of R2, R3 and R4. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from payments.order import ORDER_SN, Order

CURRENCY = "CNY"

PREPAY_ID_LIFE = timedelta(hours=2)
"""WeChat's life of a prepay_id, whatever time_expire says."""

LEAST_TIME_TO_PAY = timedelta(seconds=90)
"""WeChat moves a time_expire less than a minute ahead to one minute: the order would be over before its trade."""

OUT_TRADE_NO = re.compile(rf"({ORDER_SN.pattern})_([1-9][0-9]{{0,2}})")


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
    """`PAYMENT#n`: the n-th WeChat trade of an order. The prepay body is rebuilt from these fields alone (R2)."""

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
    asked_at: datetime | None = None
    transaction_id: str | None = None
    payer_total_fen: int | None = None
    success_time: datetime | None = None
    learned_by: str | None = None  # which function learned that it was paid
    due_at: datetime | None = None
    entered: int = 1
    at: Mapping[str, int] = field(default_factory=dict)

    @property
    def out_trade_no(self) -> str:
        return f"{self.order_sn}_{self.n}"


class Malformed(Exception):
    """WeChat's word on a trade or a refund lacks what each of them has, or is of another type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """What WeChat says of a trade: the plaintext of a payment notice, or the reply to a query. Sums in fen."""

    out_trade_no: str
    trade_state: str
    appid: str
    mchid: str
    transaction_id: str = ""
    total_fen: int = 0
    payer_total_fen: int = 0
    currency: str = ""
    success_time: datetime | None = None

    @property
    def paid(self) -> bool:
        """SUCCESS and REFUND both mean that it was paid: REFUND is what a paid trade becomes at its first refund."""
        return self.trade_state in {"SUCCESS", "REFUND"}

    @property
    def over(self) -> bool:
        """It can never be paid any more."""
        return self.trade_state in {"CLOSED", "REVOKED", "PAYERROR"}

    @classmethod
    def from_wechat(cls, body: Mapping[str, Any]) -> "Trade":
        """Reads WeChat's JSON; unknown fields are ignored, an unpaid trade has neither sums nor times.

        Raises Malformed.
        """
        try:
            trade = cls(
                out_trade_no=text(body["out_trade_no"]),
                trade_state=text(body["trade_state"]),
                appid=text(body["appid"]),
                mchid=text(body["mchid"]),
            )
            if not trade.paid:
                return trade
            amount = body["amount"]
            return cls(
                out_trade_no=trade.out_trade_no,
                trade_state=trade.trade_state,
                appid=trade.appid,
                mchid=trade.mchid,
                transaction_id=text(body["transaction_id"]),
                total_fen=fen(amount["total"]),
                payer_total_fen=fen(amount.get("payer_total", amount["total"])),
                currency=text(amount.get("currency", CURRENCY)),
                success_time=datetime.fromisoformat(text(body["success_time"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Malformed(f"{type(error).__name__} in WeChat's trade") from error


def text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("text expected")
    return value


def fen(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError("whole fen expected")
    return value


def parse_out_trade_no(out_trade_no: str) -> tuple[str, int] | None:
    """(order_sn, n) of a number of our form, else None: the keys follow from the number, no look-up."""
    match = OUT_TRADE_NO.fullmatch(out_trade_no)
    return (match[1], int(match[2])) if match else None


# --- create_prepay (R2)


@dataclass(frozen=True, slots=True)
class Open:
    """No trade is open: put `PAYMENT#n`, then call WeChat."""

    n: int


@dataclass(frozen=True, slots=True)
class Call:
    """The trade is open, but no phone can use it: call WeChat again with the stored parameters."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class Resign:
    """Its prepay_id still lives: sign it again, WeChat is not called."""

    payment: Payment
    prepay_id: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The order cannot be paid now; `why` is for people."""

    why: str


def decide_prepay(
    order: Order, payments: Sequence[Payment], now: datetime, *, fresh: bool
) -> Open | Call | Resign | Refuse:
    """What a prepay does. `fresh`: the cashier refused the prepay_id that the phone has."""
    if not order.open_to_pay:
        return Refuse("the order is being cancelled" if order.closing else f"the order is {order.status}")
    if order.expires_at - now < LEAST_TIME_TO_PAY:
        return Refuse("the order is about to expire")
    if not payments:
        return Open(1)
    if any(payment.status is PaymentStatus.SUCCESS for payment in payments):
        return Refuse("the order is already paid")
    last = max(payments, key=lambda payment: payment.n)
    if last.status is PaymentStatus.CLOSED:
        return Open(last.n + 1)
    if last.status is PaymentStatus.MISPAID:
        return Refuse("a payment of this order is being looked at by a person")
    live = last.prepay_id and last.prepay_expires_at and now < last.prepay_expires_at
    if last.prepay_id and live and not fresh:
        return Resign(last, last.prepay_id)
    return Call(last)


# --- settle (R3, R4)


class Verdict(StrEnum):
    """Why a success could not be written on a NOTPAY trade; the old image tells."""

    DUPLICATE = "duplicate"
    LATE = "late"  # it was closed: try once more from there, money is a fact
    UNKNOWN_TRADE = "unknown_trade"
    SECOND_TRANSACTION = "second_transaction"
    MISPAID = "mispaid"


def judge(old: Payment | None, trade: Trade) -> Verdict:
    """What a verified success means for the payment as it stands."""
    if old is None:
        return Verdict.UNKNOWN_TRADE
    if old.transaction_id is not None:
        return Verdict.DUPLICATE if old.transaction_id == trade.transaction_id else Verdict.SECOND_TRANSACTION
    if differences(old, trade):
        return Verdict.MISPAID
    return Verdict.LATE


def differences(asked: Payment, trade: Trade) -> list[str]:
    """In which of amount.total, currency, appid and mchid the paid trade is not the one we asked for.

    payer_total is not compared: a coupon lowers it.
    """
    names = ("total_fen", "currency", "appid", "mchid")
    return [name for name in names if getattr(asked, name) != getattr(trade, name)]


def prepay_description(order: Order) -> str:
    """What the guest reads in the bill: at most 127 characters, none outside the BMP (WeChat refuses those)."""
    text = f"{order.stay.title} {order.stay.nights}晚"
    return "".join(char for char in text if ord(char) <= 0xFFFF)[:127]


def open_payment(order: Order, n: int, *, appid: str, mchid: str, notify_url: str, now: datetime) -> Payment:
    """`PAYMENT#n` of an order, as it is put before WeChat is called; time_expire in whole seconds, as WeChat has it."""
    return Payment(
        order_sn=order.order_sn,
        n=n,
        total_fen=order.total_fen,
        currency=CURRENCY,
        appid=appid,
        mchid=mchid,
        openid=order.openid,
        description=prepay_description(order),
        time_expire=order.expires_at.replace(microsecond=0),
        notify_url=notify_url,
        status=PaymentStatus.NOTPAY,
        version=1,
        created_at=now,
    )
