"""The shipping record of an order (订单发货管理): without it WeChat keeps the money of some mini-programs frozen. Pure.

WeChat lets the record of a payment be changed once. So what is sent is written down first and always sent the same:
then a repeat changes nothing there, and WeChat answers that nothing has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from payments.domain.case import Case
from payments.domain.order import Order, OrderStatus
from payments.domain.payment import CURRENCY, Payment
from payments.domain.texts import Field, for_wechat
from payments.domain.times import BEIJING

FIRST_LOOK = timedelta(minutes=5)
"""When the janitor looks at an order whose record was asked for (R10)."""

BY_TRANSACTION = 2
VIRTUAL, UNIFIED = 3, 1
"""logistics_type and delivery_mode: nothing is sent by post, and all of it at once."""


class ShippingRecord(StrEnum):
    """When shipping is recorded: the parameter of that name."""

    OFF = "off"
    ON_PAYMENT = "on_payment"
    ON_REDEMPTION = "on_redemption"


RECORDED_AFTER: Mapping[ShippingRecord, frozenset[OrderStatus]] = {
    ShippingRecord.OFF: frozenset(),
    ShippingRecord.ON_PAYMENT: frozenset({OrderStatus.WAIT_USE, OrderStatus.USED, OrderStatus.EXPIRED}),
    ShippingRecord.ON_REDEMPTION: frozenset({OrderStatus.USED}),
}
"""The states of an order that has its record, or must get it. One that is refunded needs none."""


class ShippingStatus(StrEnum):
    UPLOADING = "UPLOADING"
    UPLOADED = "UPLOADED"
    REFUSED = "REFUSED"  # WeChat will never take it: a person records it by hand


ENTERED_FROM = {
    ShippingStatus.UPLOADED: {ShippingStatus.UPLOADING},
    ShippingStatus.REFUSED: {ShippingStatus.UPLOADING},
}
"""The allowed transitions: each status with those it may be entered from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipping:
    """The shipping record of the trade that pays the order: the body of the call is rebuilt from these fields alone."""

    order_sn: str
    n: int
    transaction_id: str
    openid: str
    item_desc: str
    upload_time: datetime
    status: ShippingStatus
    version: int
    why: str | None = None  # WeChat's code, where it said anything but yes
    entered: int = 1
    at: Mapping[str, int] = field(default_factory=dict)

    @property
    def out_trade_no(self) -> str:
        return f"{self.order_sn}_{self.n}"

    @property
    def final(self) -> bool:
        return self.status is not ShippingStatus.UPLOADING

    def body(self) -> dict[str, Any]:
        """What upload_shipping_info is sent, the same at every try. `shipping_list` is an array even of one."""
        return {
            "order_key": {"order_number_type": BY_TRANSACTION, "transaction_id": self.transaction_id},
            "logistics_type": VIRTUAL,
            "delivery_mode": UNIFIED,
            "shipping_list": [{"item_desc": self.item_desc}],
            "upload_time": self.upload_time.astimezone(BEIJING).isoformat(timespec="milliseconds"),
            "payer": {"openid": self.openid},
        }


def shipping_of(payment: Payment, now: datetime) -> Shipping:
    """The record of a paid trade, as it is put before WeChat is called; it names what the guest's bill names."""
    if payment.transaction_id is None:
        raise ValueError(f"{payment.out_trade_no} is not paid")
    return Shipping(
        order_sn=payment.order_sn,
        n=payment.n,
        transaction_id=payment.transaction_id,
        openid=payment.openid,
        item_desc=for_wechat(Field.ITEM_DESC, payment.description),
        upload_time=now,
        status=ShippingStatus.UPLOADING,
        version=1,
    )


def look_after_redemption(order: Order, record: ShippingRecord, now: datetime) -> datetime | None:
    """When the janitor must look at an order that is redeemed now; None: no earlier than it will."""
    if record is not ShippingRecord.ON_REDEMPTION:
        return None
    return min(now + FIRST_LOOK, order.due_at or now + FIRST_LOOK)


def refusal_case(shipping: Shipping, why: str, now: datetime) -> Case:
    """The case of a record that WeChat will not take, with its code. No money is missing: 0 fen."""
    return Case(
        kind="shipping_refused",
        case_id=shipping.out_trade_no,
        out_trade_no=shipping.out_trade_no,
        amount_fen=0,
        currency=CURRENCY,
        transaction_id=shipping.transaction_id,
        detail=why,
        opened_at=now,
    )
