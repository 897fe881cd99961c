"""An order: what was bought, what it costs, where it stands. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from payments.business.homestay import Stay
from payments.times import BEIJING

LIFE = timedelta(minutes=30)
"""How long an unpaid order is kept; its WeChat trade cannot be paid after that either (time_expire)."""

FIRST_LOOK = timedelta(minutes=2)
"""When the janitor looks first at an order that has not been paid (R10)."""

ORDER_SN = re.compile(r"HSO\d{22}")
"""`HSO`, the Beijing time of creation as yyyyMMddHHmmss, 8 random digits."""


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
    """One order. Sums in fen, instants in UTC; `version` grows by one with every change of state."""

    order_sn: str
    service_type: str
    business_id: str
    user_id: str
    openid: str
    stay: Stay
    total_fen: int
    status: OrderStatus
    version: int
    created_at: datetime
    expires_at: datetime
    attempt: str  # which call created it: tells my own repeated write from another's (R11)
    closing: bool = False
    paid_by: int | None = None  # n of the PAYMENT that pays it (R5)
    paid_at: datetime | None = None
    refundable_fen: int | None = None
    redeem_code: str | None = None
    due_at: datetime | None = None

    @property
    def open_to_pay(self) -> bool:
        """Nothing has ended it and nothing is about to."""
        return self.status is OrderStatus.WAIT_PAY and not self.closing


def new_order_sn(now: datetime, random_digits: str) -> str:
    """The order number for this instant; `random_digits` are 8 from `secrets`."""
    return f"HSO{now.astimezone(BEIJING):%Y%m%d%H%M%S}{random_digits}"


def place(
    stay: Stay, *, order_sn: str, business_id: str, user_id: str, openid: str, attempt: str, now: datetime
) -> Order:
    """A new order for a stay, priced from the catalogue's snapshot alone."""
    return Order(
        order_sn=order_sn,
        service_type=Stay.SERVICE_TYPE,
        business_id=business_id,
        user_id=user_id,
        openid=openid,
        stay=stay,
        total_fen=stay.total_fen,
        status=OrderStatus.WAIT_PAY,
        version=1,
        created_at=now,
        expires_at=now + LIFE,
        attempt=attempt,
        due_at=now + FIRST_LOOK,
    )
