"""Example values that tests start from; each test changes what it is about."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from payments.domain.order import Order, place
from payments.domain.payment import Payment, PaymentStatus, TradeReport, new_payment
from payments.products.homestay.offer import HOMESTAY, MAX_PEOPLE, MAX_REMARK, MAX_SUBTITLE, MAX_TITLE, Homestay, Stay
from payments.store.items import Standing
from payments.store.purchase import kept

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
ORDER_SN = "HSO2026112312000012345678"
APPID = "wxabcdef0123456789"
MCHID = "1900000001"

HOME = Homestay(
    homestay_id="lake-house",
    business_id="b-hangzhou",
    title="西湖边的小屋",
    subtitle="三间房,看得到湖",
    price_fen=38800,
    market_price_fen=48800,
    food_price_fen=3000,
    capacity=4,
    on_sale=True,
)

STAY = Stay(
    homestay_id=HOME.homestay_id,
    title=HOME.title,
    price_fen=HOME.price_fen,
    food_price_fen=HOME.food_price_fen,
    start_date=date(2026, 12, 1),
    end_date=date(2026, 12, 3),
    people=2,
    need_food=True,
)

CHANGED = Standing(lambda: None)
"""What a write answers that another writer's change has made fail."""


FEN = 10**9
LARGEST: Mapping[str, tuple[Any, Any]] = {
    "homestay": (
        Stay(
            homestay_id="h" * 40,
            title="长" * MAX_TITLE,
            price_fen=FEN,
            food_price_fen=FEN,
            start_date=date(2026, 12, 1),
            end_date=date(2026, 12, 3),
            people=MAX_PEOPLE,
            need_food=True,
            remark="长" * MAX_REMARK,
        ),
        Homestay(
            homestay_id="h" * 40,
            business_id="b" * 24,
            title="长" * MAX_TITLE,
            subtitle="长" * MAX_SUBTITLE,
            price_fen=FEN,
            market_price_fen=FEN,
            food_price_fen=FEN,
            capacity=MAX_PEOPLE,
            on_sale=True,
        ),
    ),
}
"""Of every product a purchase and an offer (None: no catalogue) at the limits of their fields."""


ASKED = {
    "homestay_id": HOME.homestay_id,
    "start_date": STAY.start_date.isoformat(),
    "end_date": STAY.end_date.isoformat(),
    "people": STAY.people,
    "need_food": STAY.need_food,
    "remark": STAY.remark,
}
"""What a guest asks for who gets STAY."""


def order(**changes: Any) -> Order:
    """An order of STAY."""
    base = place(
        HOMESTAY.price(ASKED, HOME, NOW),
        kept(STAY),
        order_sn=ORDER_SN,
        service_type=HOMESTAY.service_type,
        redeemed=HOMESTAY.redeemed,
        user_id="u1",
        openid="o1",
        attempt="a1",
        now=NOW,
    )
    return replace(base, **changes)


def payment(n: int = 1, **changes: Any) -> Payment:
    base = new_payment(
        order(),
        n,
        description=HOMESTAY.bill(STAY),
        appid=APPID,
        mchid=MCHID,
        notify_url="https://pay.example.com/wxpay/notify",
        now=NOW,
    )
    return replace(base, **changes)


def paid_payment(n: int = 1, transaction_id: str = "4200000001") -> Payment:
    return payment(n, status=PaymentStatus.SUCCESS, transaction_id=transaction_id, version=3)


def trade(n: int = 1, **changes: Any) -> TradeReport:
    """WeChat's report that trade n is paid as it was asked for."""
    base = TradeReport(
        number=payment(n).number,
        trade_state="SUCCESS",
        appid=APPID,
        mchid=MCHID,
        transaction_id="4200000001",
        total_fen=order().total_fen,
        payer_total_fen=order().total_fen,
        currency="CNY",
        success_time=NOW + timedelta(seconds=20),
    )
    return replace(base, **changes)
