"""An order: what was bought, what it costs, where it stands. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from payments.domain.offer import Priced
from payments.domain.stock import Holds
from payments.domain.times import BEIJING, of_millis

LIFE = timedelta(minutes=30)
"""How long an unpaid order is kept; its WeChat trade cannot be paid after that either (time_expire)."""

LOOKS = tuple(timedelta(minutes=minutes) for minutes in (2, 5, 10, 20))
"""How old an unpaid order is when the janitor looks at it, before it looks at its expiry (R10)."""

NEW_ORDERS = 20
NEW_ORDERS_WINDOW = timedelta(minutes=30)
"""One user places no more than NEW_ORDERS orders in it."""

ORDER_SN = re.compile(r"[A-Z]{3}[0-9]{22}")
"""The three letters of its product (`HSO`), the Beijing time of creation as yyyyMMddHHmmss, 8 random digits."""

REDEEM_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 characters without look-alikes."""

REDEEM_LENGTH = 10

_LOOK_ALIKES = str.maketrans("01IO", "QLLQ")
"""What is not in the alphabet but looks like something that is."""


MAX_HINTS = 5


class OrderStatus(StrEnum):
    WAIT_PAY = "WAIT_PAY"
    WAIT_USE = "WAIT_USE"
    USED = "USED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REFUNDED = "REFUNDED"


STATUS_CODE = {
    OrderStatus.CANCELLED: -1,
    OrderStatus.WAIT_PAY: 0,
    OrderStatus.WAIT_USE: 1,
    OrderStatus.USED: 2,
    OrderStatus.REFUNDED: 3,
    OrderStatus.EXPIRED: 4,
}
"""go-zero-looklook's numbers, given beside the names in every API answer."""

ENTERED_FROM = {
    OrderStatus.WAIT_USE: {OrderStatus.WAIT_PAY},
    OrderStatus.CANCELLED: {OrderStatus.WAIT_PAY},
    OrderStatus.USED: {OrderStatus.WAIT_USE},
    OrderStatus.EXPIRED: {OrderStatus.WAIT_USE},
    OrderStatus.REFUNDED: {OrderStatus.WAIT_USE, OrderStatus.USED, OrderStatus.EXPIRED},
}
"""The allowed transitions: each status with those it may be entered from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order. Sums in fen, instants in UTC; `version` grows by one with every change, `entered` is the version at
    which it got its status, `at` when it got each (milliseconds since 1970).

    `purchase` is what its product keeps of what was bought, and only the product knows what it says. What the money
    needs of it stands beside it: `total_fen`, `usable_until`, `without_code`.
    """

    order_sn: str
    service_type: str
    business_id: str
    user_id: str
    openid: str
    purchase: Mapping[str, Any]
    total_fen: int
    status: OrderStatus
    version: int
    created_at: datetime
    expires_at: datetime  # until when it can be paid
    attempt: str  # which call created it: tells my own repeated write from another's (R11)
    usable_until: datetime | None = None  # when its use is over; None: it has no end
    without_code: bool | None = None  # its product is not redeemed
    closing: bool = False
    paid_by: int | None = None  # n of the PAYMENT that pays it (R5)
    paid_at: datetime | None = None
    refundable_fen: int | None = None  # what may still be asked back (R7)
    refunded_fen: int = 0  # what the guest has back
    by_hand_fen: int | None = None  # what people gave back outside of WeChat
    stuck_fen: int | None = None  # what WeChat could not give back (ABNORMAL)
    on_hold: bool | None = None  # WeChat says it was refunded, and no refund is known here (R4)
    holds: Holds | None = None  # what it holds of its offer's stock (R15)
    given_up: bool | None = None  # its guest has given up all of it (R7)
    used_by: str | None = None
    redeem_code: str | None = None
    hints: int = 0  # unverified notices that made the janitor look (R13)
    due_at: datetime | None = None
    entered: int = 1
    at: Mapping[str, int] = field(default_factory=dict)

    def entered_at(self, status: OrderStatus) -> datetime | None:
        """When it got a status; None: it never had it."""
        moment = self.at.get(status)
        return None if moment is None else of_millis(moment)

    @property
    def closing_since(self) -> datetime | None:
        """When it was marked; None: it is not, or nobody wrote down when."""
        moment = self.at.get("closing")
        return None if moment is None else of_millis(moment)

    @property
    def refunding_fen(self) -> int:
        """What is on its way back: asked for, and neither arrived nor stuck nor given back by hand."""
        if self.refundable_fen is None:
            return 0
        elsewhere = self.refunded_fen + (self.by_hand_fen or 0) + (self.stuck_fen or 0)
        return max(self.total_fen - self.refundable_fen - elsewhere, 0)

    @property
    def usable(self) -> bool:
        """It may be used: paid, not used, not all of it asked back, not given up, and nothing about it is being looked
        into."""
        return (
            self.status is OrderStatus.WAIT_USE and bool(self.refundable_fen) and not self.on_hold and not self.given_up
        )

    @property
    def lacks_code(self) -> bool:
        """It is redeemed by a code, and has none yet."""
        return self.redeem_code is None and not self.without_code

    def begun(self, now: datetime) -> bool:
        """Its use has begun: it was redeemed, or the first of what it holds has begun."""
        used = self.entered_at(OrderStatus.USED) is not None
        return used or (self.holds is not None and self.holds.begins_at <= now)

    def unbegun(self, now: datetime) -> Holds | None:
        """What it holds that has not begun: it may be given up (R7). None: nothing."""
        return self.holds.unbegun(now) if self.holds else None

    @property
    def holds_for_nothing(self) -> bool:
        """It is over and holds something all the same: it was cancelled, or refunded before its use began (R15)."""
        if self.holds is None:
            return False
        refunded = self.entered_at(OrderStatus.REFUNDED) if self.status is OrderStatus.REFUNDED else None
        return self.status is OrderStatus.CANCELLED or (refunded is not None and not self.begun(refunded))

    def over(self, now: datetime) -> bool:
        """The time in which it can be used is past."""
        return self.usable_until is not None and self.usable_until <= now

    @property
    def open_to_pay(self) -> bool:
        """Nothing has ended it and nothing is about to."""
        return self.status is OrderStatus.WAIT_PAY and not self.closing


def new_order_sn(letters: str, now: datetime, random_digits: str) -> str:
    """The order number for this instant; `letters` are the product's three, `random_digits` are 8 from `secrets`."""
    return f"{letters}{now.astimezone(BEIJING):%Y%m%d%H%M%S}{random_digits}"


def wait_for_next_order(placed: Sequence[datetime], now: datetime) -> timedelta | None:
    """How long a user has to wait before he may place another order, whose orders of NEW_ORDERS_WINDOW were `placed`
    then; None: not at all."""
    recent = sorted(moment for moment in placed if now - moment < NEW_ORDERS_WINDOW)
    return recent[-NEW_ORDERS] + NEW_ORDERS_WINDOW - now if len(recent) >= NEW_ORDERS else None


def read_code(text: str) -> str | None:
    """The redeem code that a person typed or scanned: spaces, dashes, small letters and look-alikes do not matter."""
    code = re.sub(r"[\s-]", "", text).upper().translate(_LOOK_ALIKES)
    return code if len(code) == REDEEM_LENGTH and set(code) <= set(REDEEM_ALPHABET) else None


def place(
    priced: Priced,
    purchase: Mapping[str, Any],
    *,
    order_sn: str,
    service_type: str,
    redeemed: bool,
    user_id: str,
    openid: str,
    attempt: str,
    now: datetime,
) -> Order:
    """A new order of what was priced; `purchase` is `priced.purchase` in plain values, as ORDER keeps it."""
    return Order(
        order_sn=order_sn,
        service_type=service_type,
        business_id=priced.business_id,
        user_id=user_id,
        openid=openid,
        purchase=purchase,
        total_fen=priced.total_fen,
        status=OrderStatus.WAIT_PAY,
        version=1,
        created_at=now,
        expires_at=now + LIFE,
        usable_until=priced.usable_until,
        without_code=None if redeemed else True,
        attempt=attempt,
        due_at=now + LOOKS[0],
    )
