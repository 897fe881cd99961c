"""What is sold is its product's own affair: requests are told apart by service_type, and no money waits for it."""

from typing import TYPE_CHECKING, Any

import pytest

from payments.domain.order import OrderStatus
from payments.domain.payment import PaymentStatus
from payments.products.homestay.offer import HOMESTAY
from tests.component.conftest import new_order
from tests.examples import HOME

if TYPE_CHECKING:
    from tests.component.conftest import Shop

# --- told apart by service_type


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"service_type": None}, "body.service_type", "See errors."),
        ({"service_type": 7}, "body.service_type", "See errors."),
        ({"service_type": ""}, "body.service_type", "one of homestay"),
        ({"service_type": "spa"}, "body.service_type", "one of homestay"),
        ({"service_type": "Homestay"}, "body.service_type", "one of homestay"),
        ({"pieces": 3}, "body.pieces", "See errors."),  # another product's
        ({"total_fen": 1}, "body.total_fen", "See errors."),  # and no request carries a sum
    ],
)
def test_an_order_of_another_kind_is_refused_by_its_field(
    shop: "Shop", changes: dict[str, Any], field: str, why: str
) -> None:
    body = {name: value for name, value in new_order(**changes).items() if value is not None}
    reply = shop.call("POST /orders", body, token=shop.login())
    assert (reply.status, reply.json["field"], reply.json["detail"]) == (422, field, why)
    assert shop.sort_keys("ORDER") == []


def test_a_product_that_is_not_sold_here_has_no_catalogue(shop: "Shop") -> None:
    token = shop.login()
    for service_type, status in (("homestay", 200), ("spa", 404), ("voucher", 404), ("HOMESTAY", 404)):
        reply = shop.call("GET /catalogue/{service_type}", token=token, service_type=service_type)
        assert reply.status == status, service_type


def test_guest_and_staff_see_what_was_bought_in_the_fields_of_its_product(shop: "Shop") -> None:
    token, order_sn = shop.paid_order()
    mine = shop.call("GET /orders/{order_sn}", token=token, order_sn=order_sn).json
    assert mine["service_type"] == "homestay"
    assert (mine["purchase"]["homestay_id"], mine["purchase"]["nights"]) == (HOME.homestay_id, 2)
    assert mine["purchase"]["homestay_total_fen"] + mine["purchase"]["food_total_fen"] == mine["total_fen"]
    theirs = shop.call("GET /merchant/orders/{order_sn}", token=shop.staff(), order_sn=order_sn).json
    assert theirs["service_type"] == "homestay"
    assert theirs["purchase"] == {
        name: mine["purchase"][name]
        for name in ("title", "start_date", "end_date", "nights", "people", "need_food", "remark")
    }
    assert shop.call("GET /orders", token=token).json["orders"] == [mine]


def test_the_catalogue_lists_one_product_by_id(shop: "Shop") -> None:
    assert HOMESTAY.catalogue is not None
    shop.put_raw(pk="OFFER#spa#sauna", sk="OFFER", catalogue="spa#ON_SALE", title="x")
    offers = shop.call("GET /catalogue/{service_type}", token=shop.login()).json["offers"]
    assert [offer["homestay_id"] for offer in offers] == [HOME.homestay_id]
    assert set(offers[0]) == {name for name in HOME.__slots__ if name not in ("business_id", "on_sale")}


# --- the money does not wait for a product

BAD = {"purchase": {"homestay_id": "lake-house"}}


def test_a_purchase_that_cannot_be_read_keeps_no_money_from_its_way(shop: "Shop") -> None:
    token, order_sn = shop.paid_order()
    shop.change_raw(f"ORDER#{order_sn}", "ORDER", **BAD)
    assert shop.notify(shop.notice(f"{order_sn}_1")).status == 204
    assert shop.deliver_all() != []  # the messages wait for who mends it
    order = shop.collection(order_sn).order
    assert (order.status, order.paid_by) == (OrderStatus.WAIT_USE, 1)
    assert shop.refund(order_sn).status == 201
    shop.deliver_all()
    shop.refunds_end()
    shop.deliver_all()
    assert shop.collection(order_sn).order.status is OrderStatus.REFUNDED
    shop.check()
    assert token


def test_a_purchase_that_cannot_be_read_is_shown_to_nobody_and_hides_no_other(shop: "Shop") -> None:
    token, order_sn = shop.paid_order()
    other = shop.order(token)
    assert shop.notify(shop.notice(f"{order_sn}_1")).status == 204
    shop.settle_events()
    code = shop.collection(order_sn).order.redeem_code
    assert code is not None
    shop.change_raw(f"ORDER#{order_sn}", "ORDER", **BAD)
    assert [one["order_sn"] for one in shop.call("GET /orders", token=token).json["orders"]] == [other]
    mine = shop.call("GET /orders/{order_sn}", token=token, order_sn=order_sn)
    assert (mine.status, mine.json["type"]) == (503, "urn:wxpay:unreadable")
    assert shop.call("GET /orders/{order_sn}", token=shop.login("guest-2"), order_sn=order_sn).status == 404
    assert shop.redeem(code).status == 503
    assert shop.collection(order_sn).order.status is OrderStatus.WAIT_USE


def test_an_order_whose_purchase_cannot_be_read_is_not_prepaid_and_is_cancelled_all_the_same(shop: "Shop") -> None:
    token = shop.login()
    order_sn = shop.order(token)
    shop.change_raw(f"ORDER#{order_sn}", "ORDER", service_type="spa")
    reply = shop.call("POST /orders/{order_sn}/prepay", {}, token=token, order_sn=order_sn)
    assert (reply.status, reply.json["type"]) == (503, "urn:wxpay:unreadable")
    assert shop.collection(order_sn).payments == []
    shop.call("POST /orders/{order_sn}/cancel", token=token, order_sn=order_sn)
    assert shop.collection(order_sn).order.status is OrderStatus.CANCELLED
    assert PaymentStatus.SUCCESS not in {payment.status for payment in shop.collection(order_sn).payments}
