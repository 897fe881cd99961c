"""WeChat's trade bill against our books (R14): what heals, what differs, when a day is closed, what each business is
owed."""

from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from payments.domain.bill import NOT_OURS, UNASSIGNED, DayOfBills, DifferenceKind
from payments.domain.order import OrderStatus
from payments.domain.payment import PaymentStatus
from payments.domain.refund import RefundOrigin
from payments.domain.times import BEIJING, beijing_day, utc_now
from tests.examples import HOME
from tests.shop import Shop


@pytest.fixture
def midday(shop: Shop) -> Shop:
    """It is noon of tomorrow: no test of a day's bill runs into midnight. A function has 15 minutes."""
    shop.context.remaining_ms = 900_000
    shop.janitor.move_to(datetime.combine(beijing_day(utc_now()) + timedelta(days=1), time(12), BEIJING))
    return shop


def next_morning(shop: Shop, hour: int = 10, minute: int = 30) -> date:
    """It is 10:30 of the day after; the day whose bill there is then."""
    day = beijing_day(utc_now())
    shop.janitor.move_to(datetime.combine(day + timedelta(days=1), time(hour, minute), BEIJING))
    return day


def reconcile(shop: Shop, **event: Any) -> dict[str, Any]:
    found = shop.run("reconcile_bill", event)
    shop.events.settle()
    return dict(found)


def closed(shop: Shop, day: date) -> DayOfBills:
    """How a day stands after the morning's run: closed."""
    reconcile(shop)
    found = shop.store.bills.days([day])[day]
    assert found.closed, found
    return found


def test_a_day_of_which_both_sides_agree_is_closed(midday: Shop) -> None:
    midday.guest.settled_order()
    day = closed(midday, next_morning(midday))
    assert (day.payments, day.paid_fen, day.our_payments, day.our_paid_fen) == (1, 89600, 1, 89600)
    assert (day.differences, day.healed, day.fees) == (0, 0, 538)
    (line,) = midday.store.bills.statements(day.day)
    assert (line.business_id, line.sold, line.sold_fen, line.fees, line.net_fen) == (
        HOME.business_id,
        1,
        89600,
        538,
        89062,
    )
    assert list(line.due_fen.values()) == [89062]
    midday.check()


def test_a_payment_that_nobody_told_us_of_is_recorded_from_the_bill(midday: Shop) -> None:
    _, order_sn = midday.guest.pays()
    found = closed(midday, next_morning(midday))
    assert (found.healed, found.differences, found.our_paid_fen) == (1, 0, 89600)
    assert midday.items.status(order_sn) is OrderStatus.WAIT_USE
    midday.check()
