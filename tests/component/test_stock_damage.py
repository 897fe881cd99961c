"""Stock that is damaged, odd places in lists, and refunds at the edges: one bad item rings and hides no other."""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from payments.domain.order import OrderStatus
from payments.edge.http import encoded
from tests.component.test_stock import ask_back, at, book, day, free, one_room, over, paid, stay
from tests.examples import COURSE_OFFER, HOME
from tests.shop.aws import TABLE
from tests.shop.guest import new_booking

if TYPE_CHECKING:
    from tests.shop import Shop

__all__ = ["one_room"]

ROOMS, SEATS = f"STOCK#homestay#{HOME.homestay_id}", "STOCK#course#ink"
UNREADABLE = '"UnreadableItem"'


def damaged(shop: "Shop", pk: str, sk: str, **attributes: Any) -> None:
    shop.items.put_raw(pk=pk, sk=sk, **attributes)


def mend(shop: "Shop", pk: str, sk: str) -> None:
    shop.items.client.delete_item(TableName=TABLE, Key={"pk": {"S": pk}, "sk": {"S": sk}})


@pytest.mark.parametrize("attributes", [{"d99": "HSO1"}, {"d28": 5}, {"d28": {"a": 1}}, {"d28": None}])
def test_a_damaged_month_of_a_room_rings_and_keeps_nobody_from_ordering(
    one_room: "Shop", capsys: pytest.CaptureFixture[str], attributes: dict[str, Any]
) -> None:
    month = day(7)[:7]
    damaged(one_room, ROOMS, f"{month}#9", **attributes)
    assert free(one_room, 7, 7) == [1]
    assert UNREADABLE in capsys.readouterr().out
    assert book(one_room, **stay(7, 8)).status == 201
    one_room.staff.stock("homestay", HOME.homestay_id, month)
    assert one_room.staff.set_stock("homestay", HOME.homestay_id, {"rooms": 3}).status == 200
    one_room.janitor.later(seconds=61)
    one_room.janitor.sweep()
    assert not [item for item in one_room.items.all() if item["sk"]["S"] == "OFFER" and "due_at" in item]
    mend(one_room, ROOMS, f"{month}#9")


@pytest.mark.parametrize("attributes", [{}, {"held": "x"}, {"held": None}])
def test_a_damaged_session_is_503_and_the_others_are_sold(shop: "Shop", attributes: dict[str, Any]) -> None:
    session, other = (one.session for one in COURSE_OFFER.sessions)
    damaged(shop, SEATS, session, **attributes)
    token = shop.guest.login()
    refused = shop.call("POST /orders", new_booking(session=session), token=token)
    assert (refused.status, refused.json["type"]) == (503, "urn:wxpay:unreadable")
    assert shop.call("POST /orders", new_booking(session=other), token=token).status == 201
    mend(shop, SEATS, session)


@pytest.mark.parametrize(
    "holds",
    [
        {},
        {"nights": []},
        {"seats": {}},
        {"nights": ["9999-12-31+5#1"]},
        {"nights": ["2026-12-01+0#1"]},
        {"nights": ["2026-12-01+99999999#1"]},
        {"nights": ["x"]},
        {"seats": {"2026-12-05T19:00+08:00": 1}},
        {"seats": {"2026-12-05T19:00": 0}},
    ],
)
def test_an_order_whose_hold_is_damaged_rings_and_is_503(
    shop: "Shop", capsys: pytest.CaptureFixture[str], holds: dict[str, Any]
) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.items.change_raw(f"ORDER#{order_sn}", "ORDER", holds={"offer_id": HOME.homestay_id, **holds})
    assert shop.call("GET /orders/{order_sn}", token=token, order_sn=order_sn).status == 503
    assert shop.call("GET /orders", token=token).json["orders"] == []
    assert UNREADABLE in capsys.readouterr().out


def test_a_block_that_the_stock_does_not_know_is_free_again_all_the_same(one_room: "Shop") -> None:
    made = one_room.staff.block(nights=[day(7), day(40)], reason="x")
    one_room.items.change_raw(ROOMS, f"{day(7)[:7]}#1", **{f"d{day(7)[8:]}": None})
    assert one_room.staff.unblock(made.json["block_id"]).status == 200
    assert free(one_room, 40, 40) == [1]


def test_an_offer_that_cannot_be_read_rings_and_hides_no_other(
    shop: "Shop", capsys: pytest.CaptureFixture[str]
) -> None:
    shop.items.change_raw(f"OFFER#homestay#{HOME.homestay_id}", "OFFER", rooms=-1)
    told = shop.call("GET /merchant/stock", token=shop.staff.token()).json["offers"]
    assert [one["offer_id"] for one in told] == ["ink"]
    assert UNREADABLE in capsys.readouterr().out
    shop.shrunk.add(f"OFFER#homestay#{HOME.homestay_id}")


# --- who comes


def test_the_list_at_the_door_is_of_one_course_alone(shop: "Shop") -> None:
    shop.offers(replace(COURSE_OFFER, course_id="ink-2", title="Another"))
    _, mine = paid(shop, body=new_booking())
    paid(shop, body=new_booking(course_id="ink-2"))
    session = COURSE_OFFER.sessions[0].session
    found = shop.staff.arrivals(session[:10], service_type="course", offer_id="ink", session=session)
    assert [one["order_sn"] for one in found] == [mine]
    assert len(shop.staff.arrivals(session[:10])) == 2


@pytest.mark.parametrize(
    "place",
    ["x", "b-hangzhou\n\nHSO", "b-hangzhou\n2020-01-01\nHSO2026112312000012345678", "b\n2027-03-06\nHSO1", "\n\n"],
)
@pytest.mark.parametrize("who", [HOME.business_id, "*"])
def test_a_place_that_no_page_ended_at_is_refused(shop: "Shop", place: str, who: str) -> None:
    query = {"date": "2027-03-06", "after": encoded(place)}
    reply = shop.call(
        "GET /merchant/arrivals",
        token=shop.staff.token(who),
        queryStringParameters=query,
        rawQueryString="&".join(f"{name}={value}" for name, value in query.items()),
    )
    assert (reply.status, reply.json["field"]) == (422, "query.after")


# --- refunds at the edges


def test_what_was_given_up_for_a_refund_keeps_it_from_being_withdrawn(one_room: "Shop") -> None:
    _, order_sn = paid(one_room, **stay(1, 3))
    at(one_room, 1, 12)
    assert ask_back(one_room, one_room.guest.login(), order_sn).json["state"] == "asked"
    (case,) = one_room.staff.open_cases()
    one_room.wechat.world.balance = 0
    number = one_room.staff.on_case(case["case"], "grant", {}).json["out_refund_no"]
    assert one_room.staff.on_refund(order_sn, number, "withdraw").status == 409
    order = one_room.items.collection(order_sn).order
    assert (order.given_up, order.holds, order.usable) == (True, None, False)


def test_what_is_back_already_is_part_of_what_the_rule_gives(one_room: "Shop") -> None:
    _, order_sn = paid(one_room, **stay(1, 4), need_food=False)
    assert one_room.staff.refund(order_sn, 38_800, "refund-1", {"nights": [day(3)]}).status == 201
    token = one_room.guest.login()
    assert ask_back(one_room, token, order_sn, dry_run=True).json["type"] == "urn:wxpay:order-state"  # on its way
    one_room.events.settle()
    one_room.wechat.refunds_end()
    one_room.events.settle()
    at(one_room, 1, 12)
    shown = ask_back(one_room, one_room.guest.login(), order_sn, dry_run=True).json
    # 116,400 in all; the first night is kept, and 38,800 are back
    assert (shown["refund_fen"], shown["needs_staff"]) == (38_800, True)


@pytest.mark.parametrize(("seconds", "whole"), [(-1, True), (0, False)])
def test_all_comes_back_until_the_hour_and_not_at_it(shop: "Shop", seconds: int, *, whole: bool) -> None:
    _, order_sn = paid(shop, **stay(5, 6))
    at(shop, 4, 18)
    shop.janitor.stop_the_clock()
    shop.janitor.later(seconds=seconds)
    shown = ask_back(shop, shop.guest.login(), order_sn, dry_run=True).json
    assert shown["needs_staff"] is not whole


def test_a_wish_is_answered_when_all_is_refunded_otherwise(one_room: "Shop") -> None:
    _, order_sn = paid(one_room, **stay(1, 3))
    at(one_room, 1, 12)
    assert ask_back(one_room, one_room.guest.login(), order_sn).json["state"] == "asked"
    assert one_room.staff.refund(order_sn).status == 201
    one_room.events.settle()
    one_room.wechat.refunds_end()
    one_room.events.settle()
    one_room.janitor.come_to_rest(timedelta(hours=1))
    assert one_room.items.status(order_sn) is OrderStatus.REFUNDED
    assert one_room.staff.open_cases() == []


def test_the_janitor_frees_what_an_order_holds_that_is_over(one_room: "Shop") -> None:
    """As another version, or a person, may have left it."""
    order_sn = book(one_room, **stay(7, 9)).json["order_sn"]
    one_room.items.change_raw(f"ORDER#{order_sn}", "ORDER", status="CANCELLED")
    one_room.items.spoilt.clear()
    one_room.janitor.later(minutes=3)
    one_room.janitor.come_to_rest()
    assert one_room.items.collection(order_sn).order.holds is None
    assert free(one_room, 7, 8) == [1, 1]


def test_a_session_of_which_too_few_seats_are_held_frees_those_that_are(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.place(token, new_booking(seats=3))
    session = COURSE_OFFER.sessions[0].session
    shop.items.change_raw(SEATS, session, held=2)
    assert shop.guest.cancel(token, order_sn)["status"] == "CANCELLED"
    (case,) = shop.items.cases()
    assert case["kind"] == "stock"
    told = shop.guest.availability(token, "course", "ink", session[:10], session[:10])
    assert [one["free"] for one in told["sessions"]] == [12]
    shop.check()


class Throttled:
    """The real client, whose transactions are throttled for a while."""

    def __init__(self, client: Any, times: int) -> None:
        self._client = client
        self.left = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def transact_write_items(self, **arguments: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            return self._client.transact_write_items(**arguments)
        reasons = [{"Code": "None"}, {"Code": "ThrottlingError"}]
        told: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
        raise self._client.exceptions.TransactionCanceledException(told, "TransactWriteItems")


@pytest.mark.parametrize(("times", "status"), [(3, 201), (24, 503)])
def test_a_throttled_transaction_is_tried_again_and_at_last_503(one_room: "Shop", times: int, status: int) -> None:
    over(one_room, Throttled(one_room.items.client, times))
    assert book(one_room).status == status


def test_a_wish_that_is_granted_after_the_guest_came_frees_nothing(one_room: "Shop") -> None:
    _, order_sn = paid(one_room, **stay(1, 4))
    at(one_room, 1, 12)
    assert ask_back(one_room, one_room.guest.login(), order_sn, reason="\u202e孩子 病了").json["state"] == "asked"
    (case,) = one_room.staff.open_cases()
    assert case["detail"].endswith("; 孩子 病了")
    code = one_room.items.collection(order_sn).order.redeem_code
    assert code is not None
    assert one_room.staff.redeem(code).status == 200
    assert one_room.staff.on_case(case["case"], "grant", {}).status == 201
    order = one_room.items.collection(order_sn).order
    assert (order.status, order.given_up, order.holds is not None) == (OrderStatus.USED, None, True)


@pytest.mark.parametrize("session", ["9999-12-31", "9999-12-31T10:00", "0001-01-01T10:00", "x", ""])
def test_no_odd_session_breaks_what_staff_do_with_stock(shop: "Shop", session: str) -> None:
    body = {"session": session, "seats": 1}
    assert shop.staff.set_stock("homestay", HOME.homestay_id, body).status == 422
    assert shop.staff.block(**body, reason="x").status == 422
