"""What is sold is its product's own affair: requests are told apart by service_type, and no money waits for it."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pytest
import time_machine
from pydantic import BaseModel

from payments.domain.order import OrderStatus
from payments.domain.payment import PaymentStatus
from payments.products import PRODUCTS, Products
from payments.products.homestay.offer import HOMESTAY
from payments.products.product import Models
from tests.examples import HOME
from tests.shop.guest import new_order
from tests.voucher.offer import VOUCHER, _Voucher

if TYPE_CHECKING:
    from tests.shop import Shop

ONE_OF = f"one of {', '.join(PRODUCTS)}"

# --- told apart by service_type


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"service_type": None}, "body.service_type", "See errors."),
        ({"service_type": 7}, "body.service_type", "See errors."),
        ({"service_type": ""}, "body.service_type", ONE_OF),
        ({"service_type": "spa"}, "body.service_type", ONE_OF),
        ({"service_type": "Homestay"}, "body.service_type", ONE_OF),
        ({"pieces": 3}, "body.pieces", "See errors."),  # another product's
        ({"total_fen": 1}, "body.total_fen", "See errors."),  # and no request carries a sum
    ],
)
def test_an_order_of_another_kind_is_refused_by_its_field(
    shop: "Shop", changes: dict[str, Any], field: str, why: str
) -> None:
    body = {name: value for name, value in new_order(**changes).items() if value is not None}
    reply = shop.call("POST /orders", body, token=shop.guest.login())
    assert (reply.status, reply.json["field"], reply.json["detail"]) == (422, field, why)
    assert shop.items.sort_keys("ORDER") == []


def test_a_product_that_is_not_sold_here_has_no_catalogue(shop: "Shop") -> None:
    token = shop.guest.login()
    for service_type, status in (("homestay", 200), ("spa", 404), ("voucher", 404), ("HOMESTAY", 404)):
        reply = shop.call("GET /catalogue/{service_type}", token=token, service_type=service_type)
        assert reply.status == status, service_type


def test_guest_and_staff_see_what_was_bought_in_the_fields_of_its_product(shop: "Shop") -> None:
    token, order_sn = shop.guest.paid_order()
    mine = shop.call("GET /orders/{order_sn}", token=token, order_sn=order_sn).json
    assert mine["service_type"] == "homestay"
    assert (mine["purchase"]["homestay_id"], mine["purchase"]["nights"]) == (HOME.homestay_id, 2)
    assert mine["purchase"]["homestay_total_fen"] + mine["purchase"]["food_total_fen"] == mine["total_fen"]
    theirs = shop.call("GET /merchant/orders/{order_sn}", token=shop.staff.token(), order_sn=order_sn).json
    assert theirs["service_type"] == "homestay"
    assert theirs["purchase"] == {
        name: mine["purchase"][name]
        for name in ("title", "start_date", "end_date", "nights", "people", "need_food", "remark")
    }
    assert shop.call("GET /orders", token=token).json["orders"] == [mine]


def test_the_catalogue_lists_one_product_by_id(shop: "Shop") -> None:
    assert HOMESTAY.catalogue is not None
    shop.items.put_raw(pk="OFFER#spa#sauna", sk="OFFER", catalogue="spa#ON_SALE", title="x")
    offers = shop.call("GET /catalogue/{service_type}", token=shop.guest.login()).json["offers"]
    assert [offer["homestay_id"] for offer in offers] == [HOME.homestay_id]
    own = {"business_id", "on_sale", "day_prices", "free_cancel_days", "free_cancel_hour", "kept_nights"}
    assert set(offers[0]) == {name for name in HOME.__slots__ if name not in own} | {"from_fen"}


# --- the money does not wait for a product

BAD = {"purchase": {"homestay_id": "lake-house"}}


def test_a_purchase_that_cannot_be_read_keeps_no_money_from_its_way(shop: "Shop") -> None:
    token, order_sn = shop.guest.paid_order()
    shop.items.change_raw(f"ORDER#{order_sn}", "ORDER", **BAD)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    assert shop.events.deliver_all() != []  # the messages wait for who mends it
    order = shop.items.collection(order_sn).order
    assert (order.status, order.paid_by) == (OrderStatus.WAIT_USE, 1)
    assert shop.staff.refund(order_sn).status == 201
    shop.events.deliver_all()
    shop.wechat.refunds_end()
    shop.events.deliver_all()
    assert shop.items.collection(order_sn).order.status is OrderStatus.REFUNDED
    shop.check()
    assert token


def test_a_purchase_that_cannot_be_read_is_shown_to_nobody_and_hides_no_other(shop: "Shop") -> None:
    token, order_sn = shop.guest.paid_order()
    other = shop.guest.order(token)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    code = shop.items.collection(order_sn).order.redeem_code
    assert code is not None
    shop.items.change_raw(f"ORDER#{order_sn}", "ORDER", **BAD)
    assert [one["order_sn"] for one in shop.call("GET /orders", token=token).json["orders"]] == [other]
    mine = shop.call("GET /orders/{order_sn}", token=token, order_sn=order_sn)
    assert (mine.status, mine.json["type"]) == (503, "urn:wxpay:unreadable")
    assert shop.call("GET /orders/{order_sn}", token=shop.guest.login("guest-2"), order_sn=order_sn).status == 404
    assert shop.staff.redeem(code).status == 503
    assert shop.items.collection(order_sn).order.status is OrderStatus.WAIT_USE


def test_an_order_whose_purchase_cannot_be_read_is_not_prepaid_and_is_cancelled_all_the_same(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.items.change_raw(f"ORDER#{order_sn}", "ORDER", service_type="spa")
    reply = shop.call("POST /orders/{order_sn}/prepay", {}, token=token, order_sn=order_sn)
    assert (reply.status, reply.json["type"]) == (503, "urn:wxpay:unreadable")
    assert shop.items.collection(order_sn).payments == []
    shop.call("POST /orders/{order_sn}/cancel", token=token, order_sn=order_sn)
    assert shop.items.collection(order_sn).order.status is OrderStatus.CANCELLED
    assert PaymentStatus.SUCCESS not in {payment.status for payment in shop.items.collection(order_sn).payments}


# --- a third product, through the public registry, from its order to the counter

FIELDS = {
    "VOUCHER_ORDER_CONFIRMED_FIELDS": "order_sn=character_string6,title=thing1,total=amount2,pieces=number3",
    "VOUCHER_CHECK_IN_CODE_FIELDS": "pieces=number2,code=character_string4,hint=thing1",
    "DONATION_ORDER_CONFIRMED_FIELDS": "order_sn=character_string6,title=thing1,total=amount2,paid_at=time3",
}
"""Mappings of their own; what is not here is the stack's."""


class _Donation(_Voucher):
    """Is not redeemed: when it is paid, all is done."""

    service_type = "donation"
    letters = "DON"
    redeemed = False

    def models(self) -> Models:
        return replace(super().models(), order=NewDonation)


class NewDonation(BaseModel):
    service_type: Literal["donation"]
    pieces: int


@pytest.fixture
def sells(shop: "Shop") -> "Shop":
    """The shop with vouchers and donations beside its homestays."""
    shop.sells(Products(*PRODUCTS.values(), VOUCHER, _Donation()))
    shop.deploy(**FIELDS)
    return shop


def bought_and_paid(shop: "Shop", service_type: str) -> tuple[str, str]:
    """(token, order_sn) of an order of three pieces; WeChat has told that it is paid, and every event has run its
    course."""
    token = shop.guest.login()
    made = shop.call("POST /orders", {"service_type": service_type, "pieces": 3}, token=token)
    assert made.status == 201, made
    order_sn = str(made.json["order_sn"])
    assert shop.guest.cashier(shop.guest.prepay(token, order_sn)) == "requestPayment:ok"
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    return token, order_sn


def test_a_third_product_goes_from_its_order_to_the_counter(sells: "Shop") -> None:
    sells.records_shipping("on_redemption")
    token, order_sn = bought_and_paid(sells, "voucher")
    assert order_sn.startswith("VOU")
    mine = sells.call("GET /orders/{order_sn}", token=token, order_sn=order_sn).json
    assert (mine["status"], mine["service_type"], mine["total_fen"]) == ("WAIT_USE", "voucher", 30_000)
    assert mine["purchase"] == {"pieces": 3, "price_fen": 10_000}
    assert sells.items.collection(order_sn).payments[0].description == "晚餐券 3张"
    messages = [message["data"] for message in sells.wechat.world.messages]
    assert [{name: field["value"] for name, field in data.items()} for data in messages] == [
        {"character_string6": order_sn, "thing1": "晚餐券 3张", "amount2": "¥300.00", "number3": "3"},
        {
            "number2": "3",
            "character_string4": mine["redeem_code"],
            "thing1": "请不要将验证码告知商家以外人员，以防上当",
        },
    ]
    code = {"code": mine["redeem_code"]}
    theirs = sells.call("POST /merchant/lookups", code, token=sells.staff.token()).json["orders"]
    assert [(one["order_sn"], one["purchase"]) for one in theirs] == [(order_sn, mine["purchase"])]
    redeemed = sells.staff.redeem(mine["redeem_code"])
    assert (redeemed.status, redeemed.json["status"], redeemed.json["purchase"]) == (200, "USED", mine["purchase"])
    assert len(sells.events.deliver_all()) == 1  # WeChat's order management does not know the payment at once
    sells.janitor.come_to_rest()
    assert sells.items.collection(order_sn).shippings[1].item_desc == "晚餐券 3张"
    assert sells.staff.refund(order_sn, 10_000).status == 201
    sells.events.settle()
    sells.wechat.refunds_end()
    sells.events.settle()
    assert sells.wechat.world.messages[-1]["data"]["amount2"]["value"] == "¥100.00"
    sells.check()


def test_a_third_product_stands_beside_the_others_and_takes_none_of_their_fields(sells: "Shop") -> None:
    token = sells.guest.login()
    stay = sells.guest.order(token)
    voucher = sells.call("POST /orders", {"service_type": "voucher", "pieces": 1}, token=token).json["order_sn"]
    listed = sells.call("GET /orders", token=token).json["orders"]
    assert {one["order_sn"]: one["service_type"] for one in listed} == {stay: "homestay", voucher: "voucher"}
    for body, field in (
        (new_order() | {"service_type": "voucher"}, "body.pieces"),
        (new_order(pieces=1), "body.pieces"),
        ({"service_type": "voucher", "pieces": 1, "people": 2}, "body.people"),
        ({"service_type": "voucher", "pieces": 11}, "body.pieces"),
        ({"service_type": "spa", "pieces": 1}, "body.service_type"),
        ({"pieces": 1}, "body.service_type"),
    ):
        reply = sells.call("POST /orders", body, token=token)
        assert reply.status == 422
        assert field in reply.json["field"].split(", "), reply.json
    assert f"{ONE_OF}, voucher, donation" in str(sells.call("POST /orders", {"service_type": "x"}, token=token))
    assert sells.call("GET /catalogue/{service_type}", token=token, service_type="voucher").status == 404
    assert len(sells.items.sort_keys("ORDER")) == 2


def test_an_idempotency_key_stands_for_a_third_products_order_too(sells: "Shop") -> None:
    token, headers = sells.guest.login(), {"idempotency-key": "one-voucher"}
    body = {"service_type": "voucher", "pieces": 1}
    first = sells.call("POST /orders", body, token=token, headers=headers)
    assert sells.call("POST /orders", body, token=token, headers=headers).json == first.json
    other = sells.call("POST /orders", body | {"pieces": 2}, token=token, headers=headers)
    assert (other.status, other.json["type"]) == (422, "urn:wxpay:idempotency-key-reused")


def test_what_a_product_refuses_is_refused_by_its_field(sells: "Shop") -> None:
    with time_machine.travel("2027-08-15T04:00:00Z"):
        reply = sells.call("POST /orders", {"service_type": "voucher", "pieces": 1}, token=sells.guest.login())
    assert (reply.status, reply.json["field"]) == (422, "body.service_type")
    assert reply.json["detail"] == "no vouchers are sold in August"


def test_a_product_without_a_code_is_done_when_it_is_paid_and_never_expires(sells: "Shop") -> None:
    token, order_sn = bought_and_paid(sells, "donation")
    told = sells.guest.poll(token, order_sn)
    assert (told["order_status"], told["payment_status"], told["redeem_code"]) == ("WAIT_USE", "SUCCESS", None)
    assert told["poll_after_ms"] is None
    assert len(sells.wechat.world.messages) == 1  # that it is paid; there is no code to tell of
    sells.janitor.come_to_rest()
    sells.janitor.later(days=300)
    assert sells.janitor.sweep() == {"orders": 0, "failed": 0, "left": 0}
    order = sells.items.collection(order_sn).order
    assert (order.status, order.redeem_code, order.due_at) == (OrderStatus.WAIT_USE, None, None)
    assert sells.staff.refund(order_sn).status == 201
    sells.events.settle()
    sells.wechat.refunds_end()
    sells.events.settle()
    assert sells.items.collection(order_sn).order.status is OrderStatus.REFUNDED
    sells.check()


def test_a_mapping_that_names_what_a_product_does_not_have_sends_nothing_and_says_so(
    sells: "Shop",
) -> None:
    sells.deploy(DONATION_ORDER_CONFIRMED_FIELDS="")  # then it is the stack's, which tells of days
    token = sells.guest.login()
    order_sn = sells.call("POST /orders", {"service_type": "donation", "pieces": 3}, token=token).json["order_sn"]
    assert sells.guest.cashier(sells.guest.prepay(token, order_sn)) == "requestPayment:ok"
    assert sells.wechat.notify(sells.wechat.notice(f"{order_sn}_1")).status == 204
    assert sells.events.deliver_all() == ["m0"]
    (message,) = sells.items.collection(order_sn).guest_messages["order.paid"].messages.values()
    assert message.why.startswith("ORDER_CONFIRMED_FIELDS: 'start=date4': there is no value 'start'")
    assert list(sells.wechat.world.messages) == []
