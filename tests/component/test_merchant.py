"""Staff: redemption, refunds, cases; who may see what."""

from typing import Any

import pytest

from functions.front_desk.app import GUESSES
from payments.domain.order import OrderStatus
from payments.edge.tokens import EVERY_BUSINESS
from tests.shop import Shop


@pytest.fixture
def paid(shop: Shop) -> tuple[str, str]:
    """(order_sn, redeem code) of a paid order."""
    _, order_sn = shop.guest.settled_order()
    code = shop.items.collection(order_sn).order.redeem_code
    assert code
    return order_sn, code


def kind(reply: Any) -> str:
    return str(reply.json["type"]).removeprefix("urn:wxpay:")


# --- redemption


def test_a_code_is_redeemed_once_with_who_and_when(shop: Shop, paid: tuple[str, str]) -> None:
    order_sn, code = paid
    reply = shop.staff.redeem(code)
    assert (reply.status, reply.json["status"], reply.json["used_by"]) == (200, "USED", "staff-1")
    assert reply.json["used_at"]
    assert "redeem_code" not in reply.json
    again = shop.staff.redeem(code)
    assert (again.status, kind(again), again.json["order_sn"]) == (409, "code-used", order_sn)
    assert "staff-1" in again.json["detail"]
    shop.events.settle()
    shop.check()


@pytest.mark.parametrize("change", [str.lower, lambda c: f" {c[:5]} {c[5:]} ", lambda c: f"{c[:4]}-{c[4:]}"])
def test_a_code_is_understood_as_people_type_it(shop: Shop, paid: tuple[str, str], change: Any) -> None:
    assert shop.staff.redeem(change(paid[1])).status == 200


def test_look_alike_letters_are_understood(shop: Shop, paid: tuple[str, str]) -> None:
    shop.items.client.update_item(
        TableName="table",
        Key={"pk": {"S": f"ORDER#{paid[0]}"}, "sk": {"S": "ORDER"}},
        UpdateExpression="SET redeem_code = :code",
        ExpressionAttributeValues={":code": {"S": "QL23456789"}},
    )
    assert shop.staff.redeem("0i23456789").status == 200


def test_each_code_that_is_not_good_has_its_own_answer(shop: Shop, paid: tuple[str, str]) -> None:
    order_sn, code = paid
    unknown = shop.staff.redeem("22222222ZZ")
    assert (unknown.status, kind(unknown)) == (404, "not-found")
    assert shop.staff.redeem("too short").status == 422
    number = shop.staff.redeem(order_sn)
    assert (number.status, number.json["field"]) == (422, "body.code")
    for status, answer in (
        (OrderStatus.EXPIRED, "code-expired"),
        (OrderStatus.REFUNDED, "code-refunded"),
        (OrderStatus.USED, "code-used"),
    ):
        shop.items.set_order(order_sn, status=status)
        reply = shop.staff.redeem(code)
        assert (reply.status, kind(reply)) == (409, answer)
    token = shop.guest.login()
    waiting = shop.guest.order(token)
    reply = shop.staff.redeem(waiting)
    assert (reply.status, kind(reply)) == (409, "order-not-paid")


def test_redeem_while_all_of_it_is_being_refunded(shop: Shop, paid: tuple[str, str]) -> None:
    assert shop.staff.refund(paid[0]).status == 201
    reply = shop.staff.redeem(paid[1])
    assert (reply.status, kind(reply)) == (409, "refund-in-flight")
    assert shop.items.collection(paid[0]).order.status is OrderStatus.WAIT_USE
    shop.events.settle()
    shop.wechat.refunds_end()
    shop.events.settle()
    shop.check()


def test_redeem_while_a_part_of_it_is_being_refunded(shop: Shop, paid: tuple[str, str]) -> None:
    assert shop.staff.refund(paid[0], 1000).status == 201
    assert shop.staff.redeem(paid[1]).status == 200
    shop.events.settle()
    shop.wechat.refunds_end()
    shop.events.settle()
    assert shop.items.collection(paid[0]).order.status is OrderStatus.USED
    shop.check()


def test_refund_after_redeeming(shop: Shop, paid: tuple[str, str]) -> None:
    assert shop.staff.redeem(paid[1]).status == 200
    assert shop.staff.refund(paid[0]).status == 201
    shop.events.settle()
    shop.wechat.refunds_end()
    shop.events.settle()
    assert shop.items.collection(paid[0]).order.status is OrderStatus.REFUNDED
    shop.check()


def test_guessing_is_throttled_per_member_of_staff(shop: Shop, paid: tuple[str, str], still: None) -> None:
    token = shop.staff.token(user_id="guesser")
    for _ in range(10):
        assert shop.call("POST /merchant/redemptions", {"code": "22222222ZZ"}, token=token).status == 404
    reply = shop.call("POST /merchant/redemptions", {"code": paid[1]}, token=token)
    assert (reply.status, kind(reply)) == (429, "too-many-guesses")
    assert 0 < int(reply.headers["retry-after"]) <= 5
    assert shop.staff.redeem(paid[1]).status == 200  # the others work on


def test_right_codes_are_no_guesses(shop: Shop, paid: tuple[str, str]) -> None:
    for _ in range(15):
        assert shop.staff.redeem(paid[1]).status in {200, 409}


def test_two_orders_with_one_code_are_both_shown_and_none_is_redeemed_unasked(
    shop: Shop, paid: tuple[str, str]
) -> None:
    _, other = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{other}_1")).status == 204
    shop.events.settle()
    shop.items.set_order(other, redeem_code=paid[1])
    reply = shop.staff.redeem(paid[1])
    assert (reply.status, kind(reply), sorted(reply.json["orders"])) == (409, "code-twice", sorted([paid[0], other]))
    assert shop.staff.redeem(paid[1], order_sn=other).json["order_sn"] == other
    assert shop.items.collection(paid[0]).order.status is OrderStatus.WAIT_USE


# --- who may see what


ROUTES = [
    ("GET /merchant/orders/{order_sn}", None),
    ("POST /merchant/orders/{order_sn}/refunds", {"reason": "x"}),
    ("POST /merchant/redemptions", {"code": "22222222ZZ"}),
    ("POST /merchant/lookups", {"code": "22222222ZZ"}),
    ("GET /merchant/cases", None),
    ("GET /merchant/cases/{case_id}", None),
    ("POST /merchant/cases/{case_id}/close", {"resolution": "kept", "reference": "x"}),
    ("POST /merchant/cases/{case_id}/refund", {}),
]


@pytest.mark.parametrize(("route", "body"), ROUTES)
def test_a_guest_is_not_staff(shop: Shop, paid: tuple[str, str], route: str, body: Any) -> None:
    headers = {"idempotency-key": "key-of-a-guest"}
    reply = shop.call(route, body, token=shop.guest.login(), order_sn=paid[0], case="YQ", headers=headers)
    assert (reply.status, kind(reply)) == (403, "staff-only")


def test_staff_of_another_business_see_nothing(shop: Shop, paid: tuple[str, str]) -> None:
    stranger = shop.staff.token("b-elsewhere", "staff-2")
    headers = {"idempotency-key": "key-of-a-stranger"}
    assert shop.call("GET /merchant/orders/{order_sn}", token=stranger, order_sn=paid[0]).status == 404
    route = "POST /merchant/orders/{order_sn}/refunds"
    assert shop.call(route, {"reason": "x"}, token=stranger, order_sn=paid[0], headers=headers).status == 404
    assert shop.call("POST /merchant/redemptions", {"code": paid[1]}, token=stranger).status == 404
    assert shop.call("POST /merchant/redemptions", {"code": paid[0]}, token=stranger).status == 404
    for text in paid:
        assert shop.call("POST /merchant/lookups", {"code": text}, token=stranger).status == 404
    assert shop.items.collection(paid[0]).order.status is OrderStatus.WAIT_USE


def test_staff_see_an_order_without_its_code_and_openid(shop: Shop, paid: tuple[str, str]) -> None:
    shop.staff.refund(paid[0], 100)
    reply = shop.call("GET /merchant/orders/{order_sn}", token=shop.staff.token(), order_sn=paid[0])
    assert (reply.status, reply.json["refundable_fen"]) == (200, 89500)
    assert [one["status"] for one in reply.json["payments"]] == ["SUCCESS"]
    assert [one["amount_fen"] for one in reply.json["refunds"]] == [100]
    text = str(reply.json)
    assert paid[1] not in text
    assert shop.items.collection(paid[0]).order.openid not in text


def test_a_code_is_looked_up_and_not_redeemed(shop: Shop, paid: tuple[str, str]) -> None:
    order_sn, code = paid
    typed = f" {code[:4].lower()} {code[4:7]}-{code[7:]}"
    for text in (code, typed, order_sn, f" {order_sn} "):
        reply = shop.call("POST /merchant/lookups", {"code": text}, token=shop.staff.token())
        (found,) = reply.json["orders"]
        assert (reply.status, found["order_sn"], found["status"]) == (200, order_sn, "WAIT_USE")
        assert code not in str(reply.json)
    assert shop.staff.redeem(code).status == 200
    (found,) = shop.call("POST /merchant/lookups", {"code": code}, token=shop.staff.token()).json["orders"]
    assert (found["status"], found["used_by"]) == ("USED", "staff-1")


def test_looking_up_codes_is_guessing_too(shop: Shop, paid: tuple[str, str], still: None) -> None:
    look_up = "POST /merchant/lookups"
    assert shop.call(look_up, {"code": "no code"}, token=shop.staff.token()).status == 422
    for _ in range(GUESSES):
        assert shop.call(look_up, {"code": "22222222ZZ"}, token=shop.staff.token()).status == 404
    reply = shop.call(look_up, {"code": paid[1]}, token=shop.staff.token())
    assert (reply.status, kind(reply)) == (429, "too-many-guesses")
    assert shop.staff.redeem(paid[1]).status == 429
    assert shop.call(look_up, {"code": paid[0]}, token=shop.staff.token()).status == 200


# --- refunds


@pytest.mark.parametrize(
    "body", [{"amount_fen": 0, "reason": "x"}, {"amount_fen": 1.5, "reason": "x"}, {}, {"reason": ""}]
)
def test_a_refund_that_is_not_one_is_422(shop: Shop, paid: tuple[str, str], body: Any) -> None:
    route, headers = "POST /merchant/orders/{order_sn}/refunds", {"idempotency-key": "key-12345"}
    assert shop.call(route, body, token=shop.staff.token(), order_sn=paid[0], headers=headers).status == 422


def test_an_unpaid_order_has_nothing_to_refund(shop: Shop) -> None:
    order_sn = shop.guest.order(shop.guest.login())
    reply = shop.staff.refund(order_sn)
    assert (reply.status, kind(reply), reply.json["order_status"]) == (409, "order-state", "WAIT_PAY")


# --- cases


@pytest.fixture
def case(shop: Shop) -> str:
    """An open case of a trade that nobody here asked for."""
    _, order_sn = shop.guest.paid_order()
    assert (
        shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1", plaintext={"out_trade_no": "OTHER_0001"})).status == 204
    )
    (told,) = shop.call("GET /merchant/cases", token=shop.staff.token(EVERY_BUSINESS)).json["cases"]
    assert (told["kind"], told["out_trade_no"], told["amount_fen"]) == ("unknown_trade", "OTHER_0001", 89600)
    return str(told["case"])


def test_a_case_of_no_order_is_the_owners_alone(shop: Shop, case: str) -> None:
    assert shop.call("GET /merchant/cases", token=shop.staff.token()).json["cases"] == []
    assert shop.call("GET /merchant/cases/{case_id}", token=shop.staff.token(), case=case).status == 404
    assert shop.call("GET /merchant/cases/{case_id}", token=shop.staff.token(EVERY_BUSINESS), case=case).status == 200


def test_a_case_is_closed_once_with_a_resolution(shop: Shop, case: str) -> None:
    owner, route = shop.staff.token(EVERY_BUSINESS, "owner"), "POST /merchant/cases/{case_id}/close"
    for wrong in (
        {"resolution": "lost", "reference": "x"},
        {"resolution": "kept"},
        {"resolution": "kept", "reference": ""},
    ):
        assert shop.call(route, wrong, token=owner, case=case).status == 422
    reply = shop.call(route, {"resolution": "kept", "reference": "tip of a guest"}, token=owner, case=case)
    assert (reply.status, reply.json["resolution"], reply.json["closed_by"]) == (200, "kept", "owner")
    again = shop.call(route, {"resolution": "booked", "reference": "x"}, token=owner, case=case)
    assert (again.status, kind(again)) == (409, "case-closed")
    assert shop.call("GET /merchant/cases", token=owner).json["cases"] == []
    assert shop.call("GET /merchant/cases/{case_id}", token=owner, case=case).json["reference"] == "tip of a guest"
    assert shop.store.cases.count_open() == 0


def test_a_case_that_is_not_there_or_not_about_late_money(shop: Shop, case: str) -> None:
    owner = shop.staff.token(EVERY_BUSINESS)
    for wrong in ("YQ", "____", "a" * 200):
        assert shop.call("GET /merchant/cases/{case_id}", token=owner, case=wrong).status == 404
    reply = shop.call("POST /merchant/cases/{case_id}/refund", {}, token=owner, case=case)
    assert (reply.status, kind(reply)) == (409, "not-refundable")


def test_open_cases_ring_a_bell(shop: Shop, case: str, capsys: Any) -> None:
    shop.janitor.sweep()
    assert '"OpenCases":[1.0]' in capsys.readouterr().out
