"""Example values that tests start from; each test changes what it is about."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from payments.domain.order import Order, place
from payments.domain.payment import Payment, PaymentStatus, TradeReport, new_payment
from payments.domain.stock import MOST_ROOMS, Session
from payments.products.course.offer import MAX_PLACE, MAX_SESSIONS, Booking, Course
from payments.products.homestay.offer import (
    HOMESTAY,
    MAX_DAY_PRICES,
    MAX_ID,
    MAX_PEOPLE,
    MAX_REMARK,
    MAX_SUBTITLE,
    MAX_TITLE,
    Homestay,
    Stay,
)
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
    rooms=50,
    on_sale=True,
)
NIGHT_FEN = 38800

COURSE_OFFER = Course(
    course_id="ink",
    business_id=HOME.business_id,
    title="毛笔书法入门",
    subtitle="从握笔开始",
    place="西湖书院",
    sessions=(
        Session(session="2027-03-06T14:00", minutes=120, seats=12, price_fen=19800),
        Session(session="2027-03-13T14:00", minutes=120, seats=2, price_fen=21800),
    ),
    on_sale=True,
)

BOOKING = Booking(
    course_id="ink",
    title=COURSE_OFFER.title,
    place=COURSE_OFFER.place,
    session="2027-03-06T14:00",
    minutes=120,
    seats=2,
    price_fen=19800,
    free_until=datetime(2027, 3, 5, 6, tzinfo=UTC),
)

STAY = Stay(
    homestay_id=HOME.homestay_id,
    title=HOME.title,
    price_fen=NIGHT_FEN,
    food_price_fen=HOME.food_price_fen,
    start_date=date(2026, 12, 1),
    end_date=date(2026, 12, 3),
    people=2,
    need_food=True,
    free_until=datetime(2026, 11, 30, 10, tzinfo=UTC),
    kept_fen=NIGHT_FEN,
)

CHANGED = Standing(lambda: None)
"""What a write answers that another writer's change has made fail."""


FEN = 10**9
LARGEST: Mapping[str, tuple[Any, Any]] = {
    "homestay": (
        Stay(
            homestay_id="h" * MAX_ID,
            title="长" * MAX_TITLE,
            price_fen=FEN,
            food_price_fen=FEN,
            start_date=date(2026, 12, 1),
            end_date=date(2026, 12, 3),
            people=MAX_PEOPLE,
            need_food=True,
            remark="长" * MAX_REMARK,
            room_fen=FEN * 90,
            free_until=datetime(2026, 11, 30, 10, tzinfo=UTC),
            kept_fen=FEN * 90,
        ),
        Homestay(
            homestay_id="h" * MAX_ID,
            business_id="b" * 24,
            title="长" * MAX_TITLE,
            subtitle="长" * MAX_SUBTITLE,
            price_fen=FEN,
            weekend_price_fen=FEN,
            day_prices={(date(2026, 12, 1) + timedelta(days=n)).isoformat(): FEN for n in range(MAX_DAY_PRICES)},
            market_price_fen=FEN,
            food_price_fen=FEN,
            capacity=MAX_PEOPLE,
            rooms=MOST_ROOMS,
            free_cancel_days=60,
            free_cancel_hour=23,
            kept_nights=90,
            on_sale=True,
        ),
    ),
    "course": (
        Booking(
            course_id="c" * MAX_ID,
            title="长" * MAX_TITLE,
            place="长" * MAX_PLACE,
            session="2027-03-06T14:00",
            minutes=1440,
            seats=20,
            price_fen=FEN,
            free_until=datetime(2027, 3, 5, 6, tzinfo=UTC),
            remark="长" * MAX_REMARK,
        ),
        Course(
            course_id="c" * MAX_ID,
            business_id="b" * 24,
            title="长" * MAX_TITLE,
            subtitle="长" * MAX_SUBTITLE,
            place="长" * MAX_PLACE,
            sessions=tuple(
                Session(session=f"2027-03-06T{n // 60:02d}:{n % 60:02d}", minutes=1440, seats=1000, price_fen=FEN)
                for n in range(MAX_SESSIONS)
            ),
            free_cancel_hours=1440,
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
