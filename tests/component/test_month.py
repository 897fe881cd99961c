"""Days of a shop: orders of both products and three businesses, two kinds of trouble at a time. Every day is closed
with WeChat's bill the next morning, no fen is missing, nothing is sold twice.

A run is repeated by its seed, which a failure names.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time, timedelta
from random import Random
from typing import Any

import pytest

from payments.domain.bill import NOT_OURS
from payments.domain.stock import Session
from payments.domain.times import BEIJING, beijing_day, utc_now
from tests.examples import COURSE_OFFER, HOME
from tests.shop import Shop
from tests.shop.guest import new_booking, new_order

LAKE, GARDEN = HOME.homestay_id, "garden-house"
BUSINESSES = ("b-hangzhou", "b-suzhou", "b-shanghai")

PASSES = (1, 1.1, 3, 5, 10, 11, 1, 2, 5, 10, 20, 40, 60)
"""Minutes from one visit of the janitor to the next."""

Trouble = Callable[[Shop, Random], None]


def _often(call: str, answer: str, **scope: Any) -> Trouble:
    def begin(shop: Shop, chance: Random) -> None:
        shop.wechat.fault(call, answer, times=10_000, probability=0.2, seed=chance.randrange(10**6), **scope)

    return begin


def _lost_for(consumer: str) -> Trouble:
    def begin(shop: Shop, _: Random) -> None:
        shop.events.lost_for.add(consumer)

    return begin


TROUBLES: dict[str, Trouble] = {
    "prepay does not answer": _often("prepay", "500", after_effect=True),
    "prepay is refused for its frequency": _often("prepay", "429"),
    "queries do not answer": _often("query", "500"),
    "queries are not signed": _often("query", "signtest"),
    "close: the password is being typed": _often("close", "429"),
    "paid just before it is closed": _often("close", "paid_first"),
    "refunds are taken, and the answer is lost": _often("refund", "500", after_effect=True),
    "refunds end abnormally": _often("refund_end", "CLOSED"),
    "coupons": _often("cashier", "coupon", value=1000),
    "messages are refused": _often("send", "refused"),
    "order_update hears of nothing": _lost_for("order_update"),
    "execute_refund hears of nothing": _lost_for("execute_refund"),
}


class Days:
    """One shop over some days."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop, self.chance = shop, Random(seed)  # a run must be repeatable, not secret
        self.number = 0
        shop.context.remaining_ms = 900_000
        shop.offers(replace(HOME, rooms=50, business_id=BUSINESSES[0]))
        shop.offers(replace(HOME, homestay_id=GARDEN, rooms=50, business_id=BUSINESSES[1], price_fen=25700))
        sessions = (Session(session="2027-03-06T14:00", minutes=120, seats=1000, price_fen=19801),)
        shop.offers(replace(COURSE_OFFER, business_id=BUSINESSES[2], sessions=sessions))

    def at(self, days: int, hour: int, minute: int = 0) -> None:
        day = beijing_day(utc_now()) + timedelta(days=days)
        self.shop.janitor.move_to(datetime.combine(day, time(hour, minute), BEIJING))

    def day(self, orders: int) -> None:
        """A day with so many orders, and the morning after it, up to its bill."""
        shop, today = self.shop, beijing_day(utc_now())
        for name in self.chance.sample(sorted(TROUBLES), 2):
            TROUBLES[name](shop, self.chance)
        placed = [self._order() for _ in range(orders)]
        shop.events.deliver_all()
        for token, order_sn in placed:
            self._later(token, order_sn)
        shop.wechat.world.faults.clear()
        shop.events.lost_for.clear()
        self._rest()
        self.at(1, 10, 30)
        shop.run("reconcile_bill", {})
        shop.events.settle()
        shop.wechat.refunds_end()
        shop.events.settle()
        stands = shop.store.bills.days([today])[today]
        assert stands.closed, stands
        assert stands.differences == 0, shop.store.bills.differences(today)
        lines = shop.store.bills.statements(today)
        assert {line.business_id for line in lines} <= {*BUSINESSES, NOT_OURS}
        assert sum(line.sold_fen for line in lines) == stands.paid_fen == stands.our_paid_fen
        assert sum(line.fees for line in lines) == stands.fees
        shop.check(poison=len(shop.events.dead_letters()))
        self.at(0, 12)

    def _rest(self) -> None:
        """The janitor comes when unpaid orders are due and for some hours after that: to all that is due by then."""
        for minutes in PASSES:
            self.shop.janitor.later(minutes=minutes)
            while any(self.shop.janitor.sweep().values()):
                self.shop.events.settle()
            self.shop.wechat.refunds_end()
            self.shop.events.settle()

    def _order(self) -> tuple[str, str]:
        """An order, paid as often as not, and told of now and then."""
        shop, chance = self.shop, self.chance
        self.number += 1
        token = shop.guest.login(f"guest-{self.number}")
        order_sn = shop.guest.place(token, self._body())
        happens = chance.random()
        if happens < 0.1:
            return token, order_sn  # nobody pays
        reply = shop.call("POST /orders/{order_sn}/prepay", {}, token=token, order_sn=order_sn)
        if reply.status != 200 or happens < 0.15:
            return token, order_sn
        if happens < 0.25:
            self._cancel(token, order_sn)
        if shop.guest.cashier(dict(reply.json)) == "requestPayment:ok" and chance.random() < 0.7:
            for _ in range(chance.randint(1, 3)):
                assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
        if chance.random() < 0.3:
            shop.call("GET /orders/{order_sn}/payment", token=token, order_sn=order_sn)
        return token, order_sn

    def _body(self) -> dict[str, Any]:
        first = beijing_day(utc_now()) + timedelta(days=self.chance.randint(1, 60))
        nights = self.chance.randint(1, 3)
        stay = {"start_date": first.isoformat(), "end_date": (first + timedelta(days=nights)).isoformat()}
        offers = [
            lambda: new_order(homestay_id=LAKE, **stay),
            lambda: new_order(homestay_id=GARDEN, need_food=False, **stay),
            lambda: new_booking(seats=self.chance.randint(1, 3)),
        ]
        return self.chance.choice(offers)()

    def _later(self, token: str, order_sn: str) -> None:
        """What happens to an order in the course of the day: refunds here and in the console, redemption."""
        shop, chance, order = self.shop, self.chance, self.shop.items.collection(order_sn).order
        happens = chance.random()
        if happens < 0.1:
            self._refund(order_sn, order.business_id, chance.choice([None, 1000]))
        elif happens < 0.15 and f"{order_sn}_1" in shop.wechat.world.trades:
            if shop.wechat.world.trades[f"{order_sn}_1"].paid:
                shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=chance.choice([500, 1500]))
        elif happens < 0.25 and order.redeem_code:
            code = {"code": order.redeem_code}
            shop.call("POST /merchant/redemptions", code, token=shop.staff.token(order.business_id, "staff-1"))
        elif happens < 0.3:
            self._cancel(token, order_sn)

    def _cancel(self, token: str, order_sn: str) -> None:
        """Its guest does not want it any more; it may be paid by then."""
        self.shop.call("POST /orders/{order_sn}/cancel", token=token, order_sn=order_sn)

    def _refund(self, order_sn: str, business_id: str, fen: int | None) -> None:
        body = {"reason": "客人改期"} | ({"amount_fen": fen} if fen else {})
        self.shop.call(
            "POST /merchant/orders/{order_sn}/refunds",
            body,
            token=self.shop.staff.token(business_id),
            order_sn=order_sn,
            headers={"idempotency-key": f"refund-{order_sn}"},
        )


def lived(shop: Shop, seed: int, days: int, orders: int) -> None:
    sys.stdout.write(f"seed {seed}: {days} days with {orders} orders each\n")
    life = Days(shop, seed)
    life.at(1, 12)
    for _ in range(days):
        life.day(orders)


@pytest.mark.parametrize("seed", [1])
def test_some_days_are_closed_whatever_goes_wrong(shop: Shop, seed: int) -> None:
    lived(shop, seed, 2, 8)


@pytest.mark.long
def test_a_month_of_two_hundred_orders_a_day_is_closed_day_by_day(shop: Shop) -> None:
    lived(shop, Random().randrange(10**6), 30, 200)
