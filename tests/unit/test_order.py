"""What an order costs, which stays are refused, which states follow which."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain import order as orders
from payments.domain import payment as payments
from payments.domain.offer import PurchaseRefused
from payments.domain.order import (
    NEW_ORDERS,
    NEW_ORDERS_WINDOW,
    ORDER_SN,
    STATUS_CODE,
    OrderStatus,
    new_order_sn,
    wait_for_next_order,
)
from payments.domain.stock import MOST_NIGHTS
from payments.domain.times import beijing_day, iso
from payments.products.homestay.offer import MAX_DAYS_AHEAD, MAX_REMARK, Homestay, book
from tests.examples import HOME, NIGHT_FEN, NOW, STAY, order

TODAY = date(2026, 11, 23)


def ask(**changes: Any) -> Any:
    request: dict[str, Any] = {
        "start_date": TODAY,
        "end_date": TODAY + timedelta(days=2),
        "people": 2,
        "need_food": False,
        "remark": "",
        "today": TODAY,
    }
    return book(changes.pop("home", HOME), **(request | changes))


def test_a_stay_costs_nights_times_price_and_food_per_person_and_night() -> None:
    assert ask(need_food=True).total_fen == 2 * 38800 + 3000 * 2 * 2
    assert ask(need_food=False).total_fen == 2 * 38800


@given(nights=st.integers(1, MOST_NIGHTS), people=st.integers(1, 4), need_food=st.booleans(), ahead=st.integers(0, 300))
def test_every_stay_that_is_sold_costs_at_least_its_nights(
    nights: int, people: int, need_food: bool, ahead: int
) -> None:
    start = TODAY + timedelta(days=ahead)
    stay = ask(start_date=start, end_date=start + timedelta(days=nights), people=people, need_food=need_food)
    assert stay.nights == nights
    assert stay.total_fen >= nights * NIGHT_FEN > 0


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("end_date", {"end_date": TODAY}),
        ("end_date", {"end_date": TODAY - timedelta(days=1)}),
        ("end_date", {"end_date": TODAY + timedelta(days=MOST_NIGHTS + 1)}),
        ("start_date", {"start_date": TODAY - timedelta(days=1)}),
        ("start_date", {"start_date": TODAY + timedelta(days=MAX_DAYS_AHEAD + 1), "end_date": date(2028, 12, 1)}),
        ("people", {"people": 0}),
        ("people", {"people": -3, "need_food": True}),
        ("people", {"people": HOME.capacity + 1}),
        ("remark", {"remark": "长" * (MAX_REMARK + 1)}),
    ],
)
def test_a_stay_that_cannot_be_sold_is_refused_by_field(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(PurchaseRefused) as refused:
        ask(**changes)
    assert refused.value.field == field


def test_a_home_that_is_off_sale_is_refused() -> None:
    off_sale = Homestay(**{name: getattr(HOME, name) for name in Homestay.__slots__} | {"on_sale": False})
    with pytest.raises(PurchaseRefused, match="not on sale"):
        ask(home=off_sale)


@pytest.mark.parametrize("wrong", [{"title": ""}, {"title": "长" * 33}, {"price_fen": 0}, {"capacity": 0}])
def test_a_catalogue_entry_that_cannot_be_sold_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="lake-house"):
        Homestay(**{name: getattr(HOME, name) for name in Homestay.__slots__} | wrong)


def test_the_order_number_tells_beijing_time_and_has_eight_random_digits() -> None:
    assert new_order_sn("HSO", datetime(2026, 11, 23, 16, 30, 5, tzinfo=UTC), "00000042") == "HSO2026112400300500000042"
    assert ORDER_SN.fullmatch(new_order_sn("ABC", NOW, "12345678"))


def test_a_new_order_waits_to_be_paid_for_thirty_minutes_and_is_looked_at_after_two() -> None:
    placed = order()
    assert placed.status is OrderStatus.WAIT_PAY
    assert placed.total_fen == STAY.total_fen == 2 * 38800 + 3000 * 2 * 2
    assert placed.expires_at - NOW == timedelta(minutes=30)
    assert placed.due_at == NOW + timedelta(minutes=2)


@given(st.lists(st.integers(0, 3600), max_size=60))
def test_who_waits_as_long_as_he_is_told_may_order_and_not_a_moment_earlier(ages_s: list[int]) -> None:
    placed = [NOW - timedelta(seconds=age) for age in ages_s]
    recent = [moment for moment in placed if NOW - moment < NEW_ORDERS_WINDOW]
    wait = wait_for_next_order(placed, NOW)
    assert (wait is None) is (len(recent) < NEW_ORDERS)
    if wait is not None:
        assert timedelta(0) < wait <= NEW_ORDERS_WINDOW
        assert wait_for_next_order(placed, NOW + wait) is None
        assert wait_for_next_order(placed, NOW + wait - timedelta(milliseconds=1)) == timedelta(milliseconds=1)


def test_an_order_that_is_being_closed_is_not_open_to_pay() -> None:
    assert order().open_to_pay
    assert not order(closing=True).open_to_pay
    assert not order(status=OrderStatus.CANCELLED).open_to_pay


def test_every_status_has_go_zero_looklooks_number_and_a_way_in() -> None:
    assert STATUS_CODE == {"CANCELLED": -1, "WAIT_PAY": 0, "WAIT_USE": 1, "USED": 2, "REFUNDED": 3, "EXPIRED": 4}
    assert set(orders.ENTERED_FROM) == set(OrderStatus) - {OrderStatus.WAIT_PAY}
    assert set(payments.ENTERED_FROM) == set(payments.PaymentStatus) - {payments.PaymentStatus.NOTPAY}


def test_nothing_leaves_cancelled_or_refunded() -> None:
    left = set().union(*orders.ENTERED_FROM.values())
    assert left == {OrderStatus.WAIT_PAY, OrderStatus.WAIT_USE, OrderStatus.USED, OrderStatus.EXPIRED}


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_iso_text_sorts_as_time_does(one: datetime, other: datetime) -> None:
    milliseconds = [t.replace(microsecond=t.microsecond // 1000 * 1000) for t in (one, other)]
    assert (iso(one) < iso(other)) == (milliseconds[0] < milliseconds[1])


def test_beijing_is_a_day_ahead_in_the_evening() -> None:
    assert beijing_day(datetime(2026, 11, 23, 15, 59, tzinfo=UTC)) == date(2026, 11, 23)
    assert beijing_day(datetime(2026, 11, 23, 16, 0, tzinfo=UTC)) == date(2026, 11, 24)
