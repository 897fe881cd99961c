"""Nothing is sold twice (R15): what is held, by whom, until when; what is free; what guests give up (R7)."""

from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from payments.domain.order import OrderStatus
from payments.domain.stock import Session
from payments.domain.times import BEIJING, beijing_day, utc_now
from payments.store.store import Store
from tests.examples import COURSE_OFFER, HOME
from tests.shop.aws import TABLE
from tests.shop.guest import new_booking, new_order

if TYPE_CHECKING:
    from tests.shop import Shop
    from tests.shop.http import Answer


@pytest.fixture
def one_room(shop: "Shop") -> "Shop":
    """A home of one room."""
    shop.offers(replace(HOME, rooms=1))
    return shop


def day(ahead: int) -> str:
    return (beijing_day(utc_now()) + timedelta(days=ahead)).isoformat()


def book(shop: "Shop", user: str = "guest-1", **changes: Any) -> "Answer":
    return shop.call("POST /orders", new_order(**changes), token=shop.guest.login(user))


def stay(first: int, end: int) -> dict[str, Any]:
    return {"start_date": day(first), "end_date": day(end)}


def at(shop: "Shop", ahead: int, hour: int) -> None:
    """It is this hour of Beijing, so many days from now."""
    shop.janitor.move_to(datetime.combine(beijing_day(utc_now()) + timedelta(days=ahead), time(hour), BEIJING))
    shop.wechat.world.clock.advance(0)


def free(shop: "Shop", first: int, last: int) -> list[int]:
    """How many rooms are free from one day to another."""
    told = shop.guest.availability(shop.guest.login(), "homestay", HOME.homestay_id, day(first), day(last))
    return [night["free"] for night in told["nights"]]


def paid(shop: "Shop", body: dict[str, Any] | None = None, **changes: Any) -> tuple[str, str]:
    """(token, order_sn) of an order that is paid, and all who listen have been told."""
    token = shop.guest.login()
    order_sn = shop.guest.place(token, body or new_order(**changes))
    assert shop.guest.cashier(shop.guest.prepay(token, order_sn)) == "requestPayment:ok"
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    return token, order_sn


# --- held from the order to its end


def test_a_night_is_sold_once_and_who_comes_second_is_told_what_is_free(one_room: "Shop") -> None:
    first = book(one_room, **stay(7, 9))
    assert first.status == 201
    second = book(one_room, "guest-2", **stay(8, 10))
    assert (second.status, second.json["type"]) == (409, "urn:wxpay:sold-out")
    assert second.json["free"] == {day(8): 0, day(9): 1}
    assert book(one_room, "guest-2", **stay(9, 10)).status == 201  # the day of departure is free
    assert free(one_room, 6, 10) == [1, 0, 0, 0, 1]
    assert len(one_room.items.sort_keys("ORDER")) == 2
    one_room.check()


def test_nights_over_a_month_and_a_year_are_held_in_one_transaction(one_room: "Shop") -> None:
    assert book(one_room, **stay(1, 91)).status == 201
    months = one_room.items.sort_keys("20")
    assert len(months) == len({day(ahead)[:7] for ahead in range(1, 91)}) >= 3
    assert all(key.endswith("#1") for key in months)
    assert book(one_room, "guest-2", **stay(90, 92)).status == 409
    one_room.check()


def test_a_cancelled_order_holds_nothing_from_the_same_write_on(one_room: "Shop") -> None:
    token = one_room.guest.login()
    order_sn = one_room.guest.order(token, **stay(7, 9))
    assert one_room.guest.cancel(token, order_sn)["status"] == "CANCELLED"
    assert one_room.items.collection(order_sn).order.holds is None
    assert book(one_room, "guest-2", **stay(7, 9)).status == 201
    one_room.check()


def test_an_order_that_nobody_pays_holds_its_nights_until_its_time_is_over(one_room: "Shop") -> None:
    assert book(one_room, **stay(7, 9)).status == 201
    one_room.janitor.later(minutes=29)
    assert book(one_room, "guest-2", **stay(7, 9)).status == 409
    one_room.janitor.later(minutes=2)
    one_room.janitor.come_to_rest()
    assert free(one_room, 7, 8) == [1, 1]
    assert book(one_room, "guest-2", **stay(7, 9)).status == 201
    one_room.check()


def test_a_cancelled_order_that_is_paid_late_is_refunded_and_gets_nothing_back(one_room: "Shop") -> None:
    _, order_sn = one_room.guest.late_order()
    other = book(one_room, "guest-2")
    assert other.status == 201
    assert one_room.wechat.notify(one_room.wechat.notice(f"{order_sn}_1")).status == 204
    one_room.events.settle()
    assert one_room.items.collection(order_sn).order.holds is None
    assert one_room.items.collection(other.json["order_sn"]).order.holds is not None
    one_room.janitor.come_to_rest()
    one_room.check()


@pytest.mark.parametrize(("hour", "freed"), [(17, True), (19, False)])
def test_all_back_before_the_use_begins_frees_the_nights_and_later_does_not(
    one_room: "Shop", hour: int, *, freed: bool
) -> None:
    _, order_sn = paid(one_room, **stay(3, 4))
    at(one_room, 3, hour)
    assert one_room.staff.refund(order_sn).status == 201
    one_room.events.settle()
    one_room.wechat.refunds_end()
    one_room.events.settle()
    assert one_room.items.status(order_sn) is OrderStatus.REFUNDED
    assert (one_room.items.collection(order_sn).order.holds is None) is freed
    one_room.check()


def test_a_hold_that_the_stock_does_not_know_keeps_no_order_from_ending(one_room: "Shop") -> None:
    token = one_room.guest.login()
    order_sn = one_room.guest.order(token, **stay(7, 9))
    key = one_room.items.sort_keys("20")[0]
    one_room.items.change_raw(f"STOCK#homestay#{HOME.homestay_id}", key, **{f"d{day(7)[8:]}": None})
    assert one_room.guest.cancel(token, order_sn)["status"] == "CANCELLED"
    (case,) = one_room.items.cases()
    assert (case["kind"], int(case["amount_fen"])) == ("stock", 0)
    assert f"{day(7)}+2" in case["detail"]
    assert free(one_room, 7, 8) == [1, 1]
    one_room.check()


# --- prices by date


def test_each_night_has_the_price_of_its_day_and_the_order_is_their_sum(shop: "Shop") -> None:
    named = day(8)
    shop.offers(replace(HOME, price_fen=10_000, weekend_price_fen=20_000, day_prices={named: 50_000}))
    told = shop.guest.availability(shop.guest.login(), "homestay", HOME.homestay_id, day(0), day(30))
    prices = {night["date"]: night["price_fen"] for night in told["nights"]}
    assert prices[named] == 50_000
    assert set(prices.values()) == {10_000, 20_000, 50_000}
    made = book(shop, **stay(7, 11), need_food=False)
    assert made.json["total_fen"] == sum(prices[day(n)] for n in range(7, 11))
    assert made.json["purchase"]["homestay_total_fen"] == made.json["total_fen"]


def test_a_night_without_a_price_is_not_sold_and_its_field_is_named(shop: "Shop") -> None:
    shop.offers(replace(HOME, price_fen=None, weekend_price_fen=None, day_prices={day(7): 50_000}))
    refused = book(shop, **stay(7, 9))
    assert (refused.status, refused.json["field"]) == (422, "body.end_date")
    assert day(8) in refused.json["detail"]
    assert book(shop, **stay(6, 8)).json["field"] == "body.start_date"
    assert book(shop, **stay(7, 8), need_food=False).json["total_fen"] == 50_000


def test_who_was_shown_another_sum_orders_nothing(shop: "Shop") -> None:
    token = shop.guest.login()
    total = book(shop, **stay(7, 8)).json["total_fen"]
    shop.offers(replace(HOME, price_fen=HOME.price_fen and HOME.price_fen + 100))
    refused = shop.call("POST /orders", new_order(**stay(7, 8), expected_total_fen=total), token=token)
    assert (refused.status, refused.json["type"]) == (409, "urn:wxpay:price-changed")
    assert (refused.json["expected_total_fen"], refused.json["total_fen"]) == (total, total + 100)
    assert shop.call("POST /orders", new_order(**stay(7, 8), expected_total_fen=total + 100), token=token).status == 201
    assert len(shop.items.sort_keys("ORDER")) == 2


# --- seats


def test_seats_are_sold_until_none_is_left(shop: "Shop") -> None:
    token = shop.guest.login()
    one = COURSE_OFFER.sessions[1].session  # of two seats
    assert shop.call("POST /orders", new_booking(session=one, seats=1), token=token).status == 201
    for seats, left in ((2, 1), (20, 1)):
        refused = shop.call("POST /orders", new_booking(session=one, seats=seats), token=token)
        assert (refused.status, refused.json["free"]) == (409, {one: left})
    last = shop.call("POST /orders", new_booking(session=one, seats=1), token=token)
    assert last.status == 201
    assert shop.call("POST /orders", new_booking(session=one, seats=1), token=token).json["free"] == {one: 0}
    assert shop.guest.cancel(token, last.json["order_sn"])["status"] == "CANCELLED"
    assert shop.call("POST /orders", new_booking(session=one, seats=1), token=token).status == 201
    shop.check()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *(({"seats": seats}, "body.seats") for seats in (0, -1, 21, 1.5, "1", None, True)),
        *(
            ({"session": session}, "body.session")
            for session in ("", "2027-03-06", "2027-03-06T14:01", "2027-02-30T14:00", "2020-01-01T10:00", 5, None)
        ),
        ({"course_id": "lake-house"}, "body.course_id"),
        ({"course_id": "x" * 41}, "body.course_id"),
        ({"homestay_id": "lake-house"}, "body.homestay_id"),
        ({"service_type": "homestay"}, "body.homestay_id"),
        ({"expected_total_fen": 0}, "body.expected_total_fen"),
        ({"expected_total_fen": "1"}, "body.expected_total_fen"),
    ],
)
def test_what_cannot_be_booked_is_refused_by_its_field(shop: "Shop", changes: dict[str, Any], field: str) -> None:
    refused = shop.call("POST /orders", new_booking(**changes), token=shop.guest.login())
    assert refused.status == 422, refused.json
    assert field in refused.json["field"].split(", ")
    assert shop.items.sort_keys("ORDER") == []


def test_a_session_that_has_begun_is_refused_with_those_to_come(shop: "Shop") -> None:
    begun = Session(session="2026-01-01T10:00", minutes=60, seats=5, price_fen=100)
    shop.offers(replace(COURSE_OFFER, sessions=(begun, *COURSE_OFFER.sessions)))
    far = replace(begun, session="2030-01-01T10:00")
    shop.offers(replace(COURSE_OFFER, sessions=(begun, far, *COURSE_OFFER.sessions)))
    ahead = shop.call("POST /orders", new_booking(session=far.session), token=shop.guest.login())
    assert (ahead.status, ahead.json["detail"]) == (422, "at most 365 days ahead")
    shop.offers(replace(COURSE_OFFER, sessions=(begun, *COURSE_OFFER.sessions)))
    refused = shop.call("POST /orders", new_booking(session=begun.session), token=shop.guest.login())
    assert (refused.status, refused.json["field"]) == (422, "body.session")
    assert "has begun" in refused.json["detail"]
    assert all(one.session in refused.json["detail"] for one in COURSE_OFFER.sessions)
    told = shop.guest.availability(shop.guest.login(), "course", "ink", "2026-01-01", "2026-01-31")
    assert told["sessions"] == []
    (course,) = shop.call("GET /catalogue/{service_type}", token=shop.guest.login(), service_type="course").json[
        "offers"
    ]
    assert [one["session"] for one in course["sessions"]] == [one.session for one in COURSE_OFFER.sessions]


def test_a_course_goes_from_its_order_to_the_door(shop: "Shop") -> None:
    token, order_sn = paid(shop, body=new_booking(seats=2))
    mine = shop.call("GET /orders/{order_sn}", token=token, order_sn=order_sn).json
    assert (mine["status"], mine["total_fen"], mine["purchase"]["seats"]) == ("WAIT_USE", 39_600, 2)
    assert shop.items.collection(order_sn).payments[0].description == "毛笔书法入门 2位"
    first, second = ({k: v["value"] for k, v in m["data"].items()} for m in shop.wechat.world.messages)
    assert (first["date4"], first["date5"]) == ("2027年3月6日 14:00", "2027年3月6日 16:00")
    assert (second["date2"], second["character_string4"]) == ("2027年3月6日 14:00", mine["redeem_code"])
    session = COURSE_OFFER.sessions[0].session
    (guest,) = shop.staff.arrivals("2027-03-06", service_type="course", offer_id="ink", session=session)
    assert (guest["order_sn"], guest["purchase"]["seats"], guest["holds"]["seats"]) == (order_sn, 2, 2)
    assert shop.staff.arrivals("2027-03-07") == []
    assert shop.staff.arrivals("2027-03-06", token_of="b-lijiang") == []
    assert shop.staff.arrivals("2027-03-06", token_of="*") == [guest]
    assert shop.staff.redeem(mine["redeem_code"]).json["status"] == "USED"
    shop.check()


# --- what is free


@pytest.mark.parametrize(
    ("first", "last", "status"),
    [
        ("2026-12-01", "2026-12-01", 200),
        ("2026-12-01", "2027-03-02", 200),
        ("2026-12-01", "2027-03-03", 422),
        ("2026-12-02", "2026-12-01", 422),
        ("2026-12-00", "2026-12-01", 422),
        ("20261201", "20261202", 422),
        ("2999-12-30", "2999-12-31", 200),
        ("9999-12-31", "9999-12-31", 422),
        ("0001-01-01", "0001-01-02", 422),
        ("", "", 422),
    ],
)
def test_the_availability_covers_three_months_and_refuses_other_spans(
    shop: "Shop", first: str, last: str, status: int
) -> None:
    reply = shop.guest.ask_availability(shop.guest.login(), "homestay", HOME.homestay_id, first, last)
    assert reply.status == status, reply.json


@pytest.mark.parametrize(
    ("service_type", "offer"), [("homestay", "ink"), ("course", HOME.homestay_id), ("voucher", "x"), ("x", "y")]
)
def test_there_is_no_availability_of_what_is_not_sold(shop: "Shop", service_type: str, offer: str) -> None:
    reply = shop.guest.ask_availability(shop.guest.login(), service_type, offer, day(1), day(2))
    assert reply.status == 404


def test_days_gone_by_and_offers_off_sale_are_not_free(shop: "Shop") -> None:
    assert free(shop, -2, 0) == [0, 0, HOME.rooms]
    shop.offers(replace(HOME, on_sale=False))
    reply = shop.guest.ask_availability(shop.guest.login(), "homestay", HOME.homestay_id, day(1), day(2))
    assert reply.status == 404


# --- conflicts and lost answers


class Conflicts:
    """The real client, of which transactions meet others for a while, and other writes do not."""

    def __init__(self, client: Any, conflicts: int) -> None:
        self._client = client
        self.left = conflicts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def transact_write_items(self, **arguments: Any) -> Any:
        if self.left > 0:
            self.left -= 1
            reasons = [{"Code": "TransactionConflict"}, *[{"Code": "None"}] * (len(arguments["TransactItems"]) - 1)]
            told: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise self._client.exceptions.TransactionCanceledException(told, "TransactWriteItems")
        return self._client.transact_write_items(**arguments)


class Repeats:
    """The real client; the answer of every transaction gets lost, and botocore sends it again (R11)."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def transact_write_items(self, **arguments: Any) -> Any:
        self._client.transact_write_items(**arguments)
        return self._client.transact_write_items(**arguments)


def over(shop: "Shop", client: Any) -> None:
    shop.parts = replace(shop.parts, store=Store(client, TABLE, utc_now))


@pytest.mark.parametrize(("conflicts", "status"), [(3, 201), (20, 201), (24, 503)])
def test_a_conflict_is_never_told_as_sold_out(one_room: "Shop", conflicts: int, status: int) -> None:
    over(one_room, Conflicts(one_room.items.client, conflicts))
    reply = book(one_room)
    assert reply.status == status
    if status == 503:
        assert (reply.json["type"], reply.headers["retry-after"]) == ("urn:wxpay:try-again", "1")
        assert book(one_room).status == 201


@pytest.mark.parametrize("conflicts", [3, 4])
def test_a_conflict_at_a_cancel_is_tried_again_and_never_told_as_a_state(one_room: "Shop", conflicts: int) -> None:
    token = one_room.guest.login()
    order_sn = one_room.guest.order(token)
    over(one_room, Conflicts(one_room.items.client, conflicts))
    reply = one_room.call("POST /orders/{order_sn}/cancel", token=token, order_sn=order_sn)
    assert reply.status == (200 if conflicts == 3 else 503)
    one_room.janitor.later(minutes=3)
    one_room.janitor.come_to_rest()
    assert one_room.items.status(order_sn) is OrderStatus.CANCELLED
    one_room.check()


def test_a_conflict_at_refunded_makes_the_event_come_again(one_room: "Shop") -> None:
    _, order_sn = paid(one_room)
    assert one_room.staff.refund(order_sn).status == 201
    one_room.events.settle()
    one_room.wechat.refunds_end()
    over(one_room, Conflicts(one_room.items.client, 4))
    assert one_room.events.deliver_all() != []
    one_room.janitor.come_to_rest()
    assert one_room.items.status(order_sn) is OrderStatus.REFUNDED
    one_room.check()


def test_a_write_whose_answer_got_lost_is_this_orders_own(one_room: "Shop") -> None:
    token = one_room.guest.login()
    over(one_room, Repeats(one_room.items.client))
    made = one_room.call("POST /orders", new_order(), token=token, headers={"idempotency-key": "key-of-one"})
    assert made.status == 201
    again = one_room.call("POST /orders", new_order(), token=token, headers={"idempotency-key": "key-of-one"})
    assert again.json["order_sn"] == made.json["order_sn"]
    assert one_room.guest.cancel(token, made.json["order_sn"])["status"] == "CANCELLED"
    blocked = one_room.staff.block(nights=[day(3)], reason="维修")
    assert blocked.status == 201
    assert one_room.staff.unblock(blocked.json["block_id"]).status == 200
    one_room.check()


class Twice:
    """The real client; while the first request of two reads what is free, the second one places the order."""

    def __init__(self, client: Any, other: Any) -> None:
        self._client = client
        self._other: Any = other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_paginator(self, operation: str) -> Any:
        other, self._other = self._other, None
        if other is not None:
            other()
        return self._client.get_paginator(operation)


def test_who_repeats_the_order_that_took_the_last_room_gets_that_order(one_room: "Shop") -> None:
    token, headers, parts = one_room.guest.login(), {"idempotency-key": "key-of-one"}, one_room.parts
    made: list[Answer] = []

    def other() -> None:
        theirs, one_room.parts = one_room.parts, parts
        made.append(one_room.call("POST /orders", new_order(), token=token, headers=headers))
        one_room.parts = theirs

    over(one_room, Twice(one_room.items.client, other))
    again = one_room.call("POST /orders", new_order(), token=token, headers=headers)
    assert again.json == made[0].json
    assert len(one_room.items.sort_keys("ORDER")) == 1
    one_room.check()


def test_two_guests_with_one_idempotency_key_each_hold_their_own(shop: "Shop") -> None:
    headers = {"idempotency-key": "the-same-key"}
    first, second = (
        shop.call("POST /orders", new_order(), token=shop.guest.login(user), headers=headers)
        for user in ("guest-1", "guest-2")
    )
    assert first.json["order_sn"] != second.json["order_sn"]
    shop.check()


# --- giving up


def test_nights_that_are_given_up_are_free_with_the_request_for_good(one_room: "Shop") -> None:
    _, order_sn = paid(one_room, **stay(7, 10))
    made = one_room.staff.refund(order_sn, 38_800, "refund-1", {"nights": [day(9)]})
    assert made.status == 201, made.json
    order = one_room.items.collection(order_sn).order
    assert (order.given_up, order.holds and order.holds.nights) == (None, (f"{day(7)}+2#1",))
    first = one_room.staff.refund(order_sn, 100, "refund-0", {"nights": [day(7)]})
    assert first.status == 201
    assert [one["order_sn"] for one in one_room.staff.arrivals(day(8))] == [order_sn]
    assert one_room.staff.arrivals(day(7)) == []
    assert book(one_room, "guest-2", **stay(9, 10)).status == 201
    again = one_room.staff.refund(order_sn, 38_800, "refund-1", {"nights": [day(9)]})
    assert again.json["out_refund_no"] == made.json["out_refund_no"]
    one_room.events.settle()
    one_room.wechat.refunds_end()
    one_room.events.settle()
    code = one_room.items.collection(order_sn).order.redeem_code
    assert code is not None
    assert one_room.staff.redeem(code).json["status"] == "USED"
    one_room.check()


@pytest.mark.parametrize("gives_up", [{"nights": [7, 30]}, {"nights": [30]}, {"seats": 1}])
def test_what_an_order_does_not_hold_it_cannot_give_up(one_room: "Shop", gives_up: dict[str, Any]) -> None:
    _, order_sn = paid(one_room, **stay(7, 9))
    named = {name: [day(n) for n in value] if name == "nights" else value for name, value in gives_up.items()}
    refused = one_room.staff.refund(order_sn, 100, "refund-1", named)
    assert (refused.status, refused.json["type"]) == (409, "urn:wxpay:cannot-give-up")
    assert f"{day(7)}+2" in refused.json["detail"]
    assert one_room.items.refunds(order_sn) == {}


def test_a_night_that_has_begun_cannot_be_given_up(one_room: "Shop") -> None:
    _, order_sn = paid(one_room, **stay(1, 3))
    at(one_room, 1, 19)
    assert one_room.staff.refund(order_sn, 100, "refund-1", {"nights": [day(0)]}).status == 409
    assert one_room.staff.refund(order_sn, 100, "refund-2", {"nights": [day(1)]}).status == 201


def test_seats_are_given_up_one_by_one_and_with_the_last_one_the_code_is_gone(shop: "Shop") -> None:
    token, order_sn = paid(shop, body=new_booking(seats=3))
    assert shop.staff.refund(order_sn, 19_800, "refund-1", {"seats": 1}).status == 201
    order = shop.items.collection(order_sn).order
    assert order.holds is not None
    assert order.holds.seats == {COURSE_OFFER.sessions[0].session: 2}
    assert order.redeem_code is not None
    assert shop.staff.refund(order_sn, 100, "refund-2", {"seats": 3}).status == 409
    assert shop.staff.refund(order_sn, 100, "refund-3", {"seats": 2}).status == 201
    mine = shop.call("GET /orders/{order_sn}", token=token, order_sn=order_sn).json
    assert (mine["given_up"], mine["redeem_code"], mine["status"]) == (True, None, "WAIT_USE")
    refused = shop.staff.redeem(order.redeem_code)
    assert (refused.status, refused.json["type"]) == (409, "urn:wxpay:given-up")
    shop.check()


def ask_back(shop: "Shop", token: str, order_sn: str, **body: Any) -> "Answer":
    return shop.call("POST /orders/{order_sn}/refund-request", body, token=token, order_sn=order_sn)


def test_a_guest_who_cancels_in_time_gets_all_of_it_at_once(one_room: "Shop") -> None:
    token, order_sn = paid(one_room, **stay(7, 9))
    shown = ask_back(one_room, token, order_sn, dry_run=True).json
    total = shown["total_fen"]
    assert shown == {
        "order_sn": order_sn,
        "total_fen": total,
        "refund_fen": total,
        "needs_staff": False,
        "state": "shown",
    }
    assert one_room.items.refunds(order_sn) == {}
    other = ask_back(one_room, token, order_sn, expected_refund_fen=total - 1)
    assert (other.status, other.json["type"], other.json["refund_fen"]) == (409, "urn:wxpay:price-changed", total)
    done = ask_back(one_room, token, order_sn, expected_refund_fen=total)
    assert (done.status, done.json["state"]) == (200, "refunding")
    assert book(one_room, "guest-2", **stay(7, 9)).status == 201  # free with the request
    assert ask_back(one_room, token, order_sn).json == done.json
    (refund_no,) = one_room.items.refunds(order_sn)
    assert one_room.staff.on_refund(order_sn, refund_no, "withdraw").status == 409
    assert one_room.items.collection(order_sn).refunds[0].origin == "guest"
    one_room.events.settle()
    one_room.wechat.refunds_end()
    one_room.events.settle()
    mine = one_room.call("GET /orders/{order_sn}", token=token, order_sn=order_sn).json
    assert (mine["status"], mine["given_up"], mine["refunded_fen"]) == ("REFUNDED", True, total)
    assert refund_no == f"{order_sn}_1_G"
    assert one_room.wechat.world.messages[-1]["data"]["thing3"]["value"] == "客人取消"
    one_room.check()


def test_a_guest_who_cancels_late_asks_staff_and_nothing_is_freed_until_they_grant_it(one_room: "Shop") -> None:
    _, order_sn = paid(one_room, **stay(1, 3))
    at(one_room, 1, 12)
    token = one_room.guest.login()
    asked = ask_back(one_room, token, order_sn, reason="孩子病了").json
    assert (asked["state"], asked["needs_staff"], asked["total_fen"] - asked["refund_fen"]) == ("asked", True, 38_800)
    assert ask_back(one_room, token, order_sn).json == asked
    assert one_room.items.refunds(order_sn) == {}
    assert book(one_room, "guest-2", **stay(0, 2)).status == 409
    (case,) = one_room.staff.open_cases()
    assert (case["kind"], case["amount_fen"]) == ("refund_request", asked["refund_fen"])
    assert "孩子病了" in case["detail"]
    wish = one_room.call("GET /orders/{order_sn}", token=token, order_sn=order_sn).json["refund_request"]
    assert (wish["state"], wish["refund_fen"]) == ("asked", asked["refund_fen"])
    assert one_room.staff.close_case(case["case"], "kept", "because we want to keep it").status == 409
    granted = one_room.staff.on_case(case["case"], "grant", {})
    assert (granted.status, granted.json["amount_fen"]) == (201, asked["refund_fen"])
    assert one_room.staff.on_case(case["case"], "grant", {}).json["out_refund_no"] == granted.json["out_refund_no"]
    assert one_room.staff.on_case(case["case"], "decline", {"reason": "不行"}).status == 409
    assert book(one_room, "guest-2", **stay(0, 2)).status == 201
    mine = one_room.call("GET /orders/{order_sn}", token=token, order_sn=order_sn).json
    assert (mine["refund_request"]["state"], mine["given_up"], mine["redeem_code"]) == ("granted", True, None)
    one_room.events.settle()
    one_room.wechat.refunds_end()
    one_room.events.settle()
    one_room.check()


def test_what_staff_decline_the_guest_reads_and_may_ask_twice_more(shop: "Shop") -> None:
    token, order_sn = paid(shop, body=new_booking())
    shop.janitor.move_to(shop.items.collection(order_sn).order.created_at)
    shop.offers(COURSE_OFFER)
    with_rule_gone = {
        "purchase": {**shop.items.collection(order_sn).order.purchase, "free_until": "2026-01-01T00:00:00.000Z"}
    }
    shop.items.change_raw(f"ORDER#{order_sn}", "ORDER", **with_rule_gone)
    for n in range(3):
        assert ask_back(shop, token, order_sn).json["refund_fen"] == 0
        (case,) = shop.staff.open_cases()
        assert shop.staff.on_case(case["case"], "grant", {}).json["field"] == "body.amount_fen"
        assert shop.staff.on_case(case["case"], "decline", {"reason": " "}).status == 422
        declined = shop.staff.on_case(case["case"], "decline", {"reason": f"开课前 24 小时内不退 {n}"})
        assert (declined.status, declined.json["resolution"]) == (200, "declined")
        mine = shop.call("GET /orders/{order_sn}", token=token, order_sn=order_sn).json
        assert mine["refund_request"]["reason"] == f"开课前 24 小时内不退 {n}"
        assert mine["redeem_code"]
    assert ask_back(shop, token, order_sn).json["type"] == "urn:wxpay:too-many-requests"


def test_only_a_paid_order_of_ones_own_is_asked_back(shop: "Shop") -> None:
    token = shop.guest.login()
    unpaid = shop.guest.order(token)
    assert ask_back(shop, token, unpaid).json["type"] == "urn:wxpay:order-state"
    _, order_sn = paid(shop)
    assert ask_back(shop, shop.guest.login("guest-9"), order_sn).status == 404
    assert ask_back(shop, token, order_sn, dry_run="yes").status == 422
    code = shop.items.collection(order_sn).order.redeem_code
    assert code is not None
    assert shop.staff.redeem(code).status == 200
    assert ask_back(shop, token, order_sn).status == 409


# --- staff


def test_a_block_holds_like_an_order_and_is_free_again(one_room: "Shop") -> None:
    saturdays = [day(7 * n) for n in range(20, 30)]
    blocked = one_room.staff.block(nights=[day(7), day(8), day(12), *saturdays], reason="在别处卖了")
    assert blocked.status == 201, blocked.json
    assert book(one_room, **stay(8, 9)).status == 409
    assert one_room.staff.block(nights=[day(8)], reason="维修").json["free"] == {day(8): 0}
    month = one_room.staff.stock("homestay", HOME.homestay_id, day(7)[:7])
    (held,) = next(one for one in month["nights"] if one["date"] == day(7))["held"]
    assert (held["block_id"], held["order_sn"]) == (blocked.json["block_id"], None)
    assert [one["reason"] for one in month["blocks"]] == ["在别处卖了"]
    one_room.check()
    assert one_room.staff.unblock(blocked.json["block_id"]).status == 200
    assert one_room.staff.unblock(blocked.json["block_id"]).status == 404
    assert book(one_room, **stay(8, 9)).status == 201
    one_room.check()


def test_staff_see_who_holds_which_night_of_their_own_offers_alone(one_room: "Shop") -> None:
    order_sn = book(one_room, **stay(7, 8)).json["order_sn"]
    month = one_room.staff.stock("homestay", HOME.homestay_id, day(7)[:7])
    (held,) = next(one for one in month["nights"] if one["date"] == day(7))["held"]
    assert (held["unit"], held["order_sn"]) == (1, order_sn)
    offers = one_room.call("GET /merchant/stock", token=one_room.staff.token()).json["offers"]
    assert {(one["offer_id"], one["rooms"]) for one in offers} == {(HOME.homestay_id, 1), ("ink", None)}
    stranger = one_room.staff.token("b-lijiang")
    assert one_room.call("GET /merchant/stock", token=stranger).json["offers"] == []
    for route in ("GET /merchant/stock/{service_type}/{offer_id}", "PUT /merchant/stock/{service_type}/{offer_id}"):
        reply = one_room.call(
            route,
            {"rooms": 2} if route.startswith("PUT") else None,
            token=stranger,
            offer=HOME.homestay_id,
            rawQueryString="month=2026-12",
            queryStringParameters={"month": "2026-12"},
        )
        assert reply.status == 404
    assert one_room.call("GET /merchant/stock", token=one_room.guest.login()).status == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": "x"}, "body.nights"),
        ({"nights": [], "reason": "x"}, "body.nights"),
        ({"nights": ["2026-12-32"], "reason": "x"}, "body.nights"),
        ({"nights": ["2029-12-01"], "reason": "x"}, "body.nights"),
        ({"nights": ["2020-12-01"], "reason": "x"}, "body.nights"),
        ({"nights": ["2026-12-01"]}, "body.reason"),
        ({"nights": ["2026-12-01"], "reason": "x" * 41}, "body.reason"),
        ({"session": "2026-12-01T10:00", "seats": 1, "reason": "x"}, "body.session"),
        ({"session": "soon", "seats": 1, "reason": "x"}, "body.session"),
    ],
)
def test_a_block_of_nothing_is_refused_by_its_field(shop: "Shop", body: dict[str, Any], field: str) -> None:
    reply = shop.staff.block(**body)
    assert (reply.status, reply.json["field"]) == (422, field)


def test_fewer_seats_than_are_held_is_the_owners_to_say_and_rings_at_once_and_a_minute_later(
    shop: "Shop", capsys: pytest.CaptureFixture[str]
) -> None:
    session = COURSE_OFFER.sessions[0].session
    paid(shop, body=new_booking(seats=3))
    refused = shop.staff.set_stock("course", "ink", {"session": session, "seats": 2})
    assert (refused.status, refused.json["held"]) == (409, {session: 3})
    assert shop.staff.set_stock("course", "ink", {"session": session, "seats": 4}).json["over"] == {}
    capsys.readouterr()
    done = shop.staff.set_stock("course", "ink", {"session": session, "seats": 2}, business_id="*")
    assert (done.status, done.json["over"]) == (200, {session: 3})
    shop.shrunk.add("OFFER#course#ink")
    assert '"Oversold"' in capsys.readouterr().out
    shop.janitor.later(seconds=61)
    shop.janitor.sweep()
    assert '"Oversold"' in capsys.readouterr().out
    shop.janitor.later(seconds=61)
    shop.janitor.sweep()
    assert '"Oversold"' not in capsys.readouterr().out
    token = shop.guest.login("guest-2")
    assert shop.call("POST /orders", new_booking(seats=1), token=token).json["free"] == {session: 0}


def test_more_rooms_are_for_sale_at_once(one_room: "Shop") -> None:
    assert book(one_room, **stay(7, 8)).status == 201
    assert book(one_room, "guest-2", **stay(7, 8)).status == 409
    assert one_room.staff.set_stock("homestay", HOME.homestay_id, {"rooms": 2}).status == 200
    assert book(one_room, "guest-2", **stay(7, 8)).status == 201
    one_room.check()
