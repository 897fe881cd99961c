"""Signing in, the catalogue and orders, through the real handlers."""

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from payments.domain.order import OrderStatus
from payments.domain.times import beijing_day, utc_now
from payments.edge.tokens import Identity, Role, issue
from payments.products.homestay.offer import HOMESTAY, MAX_REMARK
from simulator.world import Fault
from tests.examples import HOME
from tests.shop.guest import new_order
from tests.shop.http import answer, http_event

if TYPE_CHECKING:
    from tests.shop import Shop


def test_a_login_code_becomes_a_token_and_a_user(shop: "Shop") -> None:
    reply = shop.call("POST /login", {"code": shop.wechat.world.login_code("guest-1")})
    assert reply.status == 200
    assert reply.json["expires_in"] == 7200
    user = shop.store.users.get(reply.json["user_id"])
    assert user is not None
    assert user.openid == shop.wechat.world.user("guest-1").openid
    assert user.openid not in str(reply.json)


def test_the_same_user_keeps_his_id_and_his_item(shop: "Shop") -> None:
    first = shop.call("POST /login", {"code": shop.wechat.world.login_code("guest-1")}).json["user_id"]
    created_at = shop.store.users.get(first)
    assert shop.call("POST /login", {"code": shop.wechat.world.login_code("guest-1")}).json["user_id"] == first
    assert shop.store.users.get(first) == created_at
    assert shop.call("POST /login", {"code": shop.wechat.world.login_code("guest-2")}).json["user_id"] != first


def test_an_unknown_a_used_and_an_old_code_get_401(shop: "Shop") -> None:
    code = shop.wechat.world.login_code("guest-1")
    assert shop.call("POST /login", {"code": code}).status == 200
    old = shop.wechat.world.login_code("guest-1")
    shop.wechat.world.clock.advance(301)
    for bad in ("nobody-knows-this-code", code, old):
        reply = shop.call("POST /login", {"code": bad})
        assert (reply.status, reply.json["type"]) == (401, "urn:wxpay:bad-code")


@pytest.mark.parametrize("answer", ["500", "502html", "429", "drop"])
def test_login_while_wechat_is_down_is_503_and_leaves_nothing(shop: "Shop", answer: str) -> None:
    shop.wechat.world.faults.append(Fault(call="code2session", answer=answer))
    reply = shop.call("POST /login", {"code": shop.wechat.world.login_code("guest-1")})
    assert (reply.status, reply.headers["retry-after"]) == (503, "3")
    assert shop.items.sort_keys("USER") == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("not json", "body"),
        ("[]", "body"),
        ({}, "body.code"),
        ({"code": 7}, "body.code"),
        ({"code": ""}, "body.code"),
        ({"code": "../../secret?x="}, "body.code"),
        ({"code": "abc", "openid": "mine"}, "body.openid"),
    ],
)
def test_a_login_of_another_shape_is_422_naming_the_field(shop: "Shop", body: Any, field: str) -> None:
    reply = shop.call("POST /login", body)
    assert (reply.status, reply.headers["content-type"]) == (422, "application/problem+json")
    assert reply.json["field"] == field
    assert reply.json["request_id"]


@pytest.mark.parametrize(
    "form",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=x"],
)
def test_a_form_is_415_and_is_not_echoed(shop: "Shop", form: str) -> None:
    reply = shop.call("POST /login", "code=secret-thing", headers={"content-type": form})
    assert (reply.status, reply.json["type"]) == (415, "urn:wxpay:unsupported-media-type")
    assert "secret-thing" not in str(reply.json)


@pytest.mark.parametrize("before", ["0.5", "1795461249070", "2026-12-01T08:00:00", "soon"])
def test_a_page_begins_at_a_time_with_its_zone(shop: "Shop", before: str) -> None:
    query: dict[str, Any] = {"queryStringParameters": {"before": before}, "rawQueryString": "before=x"}
    reply = shop.call("GET /orders", token=shop.guest.login(), **query)
    assert (reply.status, reply.json["field"]) == (422, "query.before")


def test_a_forged_and_an_expired_token_are_refused_by_the_authorizer(shop: "Shop") -> None:
    expired = issue(Identity("u1", Role.USER), ["k" * 40], utc_now() - timedelta(days=1))
    for token in ("", "x.y.z", expired):
        assert shop.call("GET /orders", token=token).status == 403


def test_a_request_without_an_identity_is_401(shop: "Shop") -> None:
    event = http_event("GET", "/orders", None)
    event["routeKey"] = "GET /orders"
    assert answer(shop.run("orders", event)).status == 401


def test_the_catalogue_shows_what_is_on_sale(shop: "Shop") -> None:
    off_sale = type(HOME)(
        **{name: getattr(HOME, name) for name in HOME.__slots__} | {"homestay_id": "closed", "on_sale": False}
    )
    shop.store.catalogue.put(HOMESTAY.catalogue, off_sale)
    reply = shop.call("GET /catalogue/{service_type}", token=shop.guest.login())
    assert [home["homestay_id"] for home in reply.json["offers"]] == [HOME.homestay_id]
    assert reply.json["offers"][0]["price_fen"] == HOME.price_fen
    refused = shop.call("POST /orders", new_order(homestay_id="closed"), token=shop.guest.login())
    assert (refused.status, refused.json["field"]) == (422, "body.homestay_id")


def test_an_order_is_priced_by_the_server_and_kept(shop: "Shop") -> None:
    token = shop.guest.login()
    reply = shop.call("POST /orders", new_order(remark="靠窗"), token=token)
    assert reply.status == 201
    assert reply.json["total_fen"] == 2 * 38800 + 2 * 2 * 3000
    assert (reply.json["status"], reply.json["status_code"]) == ("WAIT_PAY", 0)
    assert "redeem_code" not in reply.json or reply.json["redeem_code"] is None
    read = shop.call("GET /orders/{order_sn}", token=token, order_sn=reply.json["order_sn"])
    assert (read.status, read.json) == (200, reply.json)


def test_another_users_order_and_no_order_look_the_same(shop: "Shop") -> None:
    order_sn = shop.guest.order(shop.guest.login())
    stranger = shop.guest.login("guest-2")
    answers = []
    for asked in (order_sn, "HSO0000000000000000000000", "x"):
        for route, body in (
            ("GET /orders/{order_sn}", None),
            ("GET /orders/{order_sn}/payment", None),
            ("POST /orders/{order_sn}/prepay", {}),
        ):
            reply = shop.call(route, body, token=stranger, order_sn=asked)
            answers.append((reply.status, reply.json["type"], reply.json["title"]))
    assert set(answers) == {(404, "urn:wxpay:not-found", "There is no such thing here, or it is not yours.")}


TODAY = beijing_day(utc_now())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"total_fen": 1}, "body.total_fen"),
        ({"amount": 1}, "body.amount"),
        ({"people": "2"}, "body.people"),
        ({"people": True}, "body.people"),
        ({"people": -2}, "body.people"),
        ({"people": 10**9}, "body.people"),
        ({"people": HOME.capacity + 1}, "body.people"),
        ({"need_food": 1}, "body.need_food"),
        ({"start_date": 0}, "body.start_date"),
        ({"start_date": "2026-02-30"}, "body.start_date"),
        ({"start_date": "20261201"}, "body.start_date"),
        ({"start_date": (TODAY - timedelta(days=1)).isoformat()}, "body.start_date"),
        ({"end_date": (TODAY + timedelta(days=7)).isoformat()}, "body.end_date"),
        ({"homestay_id": "nowhere"}, "body.homestay_id"),
        ({"homestay_id": "HOMESTAY#x"}, "body.homestay_id"),
        ({"remark": "长" * (MAX_REMARK + 1)}, "body.remark"),
        ({"remark": None}, "body.remark"),
    ],
)
def test_an_order_of_another_shape_is_422_naming_the_field(shop: "Shop", changes: Any, field: str) -> None:
    token = shop.guest.login()
    reply = shop.call("POST /orders", new_order() | changes, token=token)
    assert (reply.status, reply.json["field"]) == (422, field)
    assert shop.items.sort_keys("ORDER") == []


def test_an_idempotency_key_makes_one_order_of_many_repeats(shop: "Shop") -> None:
    token, headers = shop.guest.login(), {"idempotency-key": "0f8fad5b-d9cb-469f"}
    replies = [shop.call("POST /orders", new_order(), token=token, headers=headers) for _ in range(3)]
    assert {reply.status for reply in replies} == {201}
    assert len({reply.json["order_sn"] for reply in replies}) == 1
    other = shop.call("POST /orders", new_order(people=1), token=token, headers=headers)
    assert (other.status, other.json["type"]) == (422, "urn:wxpay:idempotency-key-reused")
    stranger = shop.call("POST /orders", new_order(people=1), token=shop.guest.login("guest-2"), headers=headers)
    assert stranger.status == 201
    assert shop.call("POST /orders", new_order(), token=token, headers={"idempotency-key": "!"}).status == 422


def test_a_crash_between_key_and_order_is_healed_by_the_repeat(shop: "Shop") -> None:
    token, headers = shop.guest.login(), {"idempotency-key": "0f8fad5b-d9cb-469f"}
    first = shop.call("POST /orders", new_order(), token=token, headers=headers).json["order_sn"]
    shop.items.client.delete_item(TableName="table", Key={"pk": {"S": f"ORDER#{first}"}, "sk": {"S": "ORDER"}})
    shop.items.spoilt.add(first)  # nobody but a test takes an order away and leaves what it holds
    again = shop.call("POST /orders", new_order(), token=token, headers=headers)
    assert (again.status, again.json["order_sn"]) == (201, first)


def test_an_order_number_that_is_taken_is_not_overwritten(shop: "Shop", monkeypatch: pytest.MonkeyPatch) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    monkeypatch.setattr("functions.orders.app.new_order_sn", lambda *_: order_sn)
    reply = shop.call("POST /orders", new_order(people=1), token=token)
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert shop.items.collection(order_sn).order.purchase["people"] == 2


def test_orders_are_listed_newest_first_page_by_page(shop: "Shop", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.orders.app.PAGE", 2)
    token = shop.guest.login()
    placed = [shop.guest.order(token) for _ in range(3)]
    shop.guest.order(shop.guest.login("guest-2"))
    first = shop.call("GET /orders", token=token)
    before: dict[str, Any] = {"queryStringParameters": {"before": first.json["next"]}, "rawQueryString": "before=x"}
    second = shop.call("GET /orders", token=token, **before)
    listed = [order["order_sn"] for page in (first, second) for order in page.json["orders"]]
    assert listed == placed[::-1]
    assert second.json["next"] is None


def test_a_user_who_is_not_known_any_more_signs_in_again(shop: "Shop") -> None:
    token = shop.guest.login()
    user_id = shop.call("POST /login", {"code": shop.wechat.world.login_code("guest-1")}).json["user_id"]
    shop.items.client.delete_item(TableName="table", Key={"pk": {"S": f"USER#{user_id}"}, "sk": {"S": "USER"}})
    assert shop.call("POST /orders", new_order(), token=token).status == 401


def test_a_route_that_is_not_there_is_404_and_a_bug_is_500_without_insides(
    shop: "Shop",
) -> None:
    assert answer(shop.run("orders", http_event("GET", "/nowhere", None))).status == 404
    token = shop.guest.login()
    shop.deploy(TABLE_NAME="no-such-table")
    reply = shop.call("GET /orders", token=token)
    assert (reply.status, reply.json["type"]) == (500, "urn:wxpay:internal")
    assert "no-such-table" not in str(reply.json)


def test_a_paid_order_shows_its_code_to_its_owner_only(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    paid = {"status": OrderStatus.WAIT_USE, "paid_by": 1, "paid_at": utc_now(), "refundable_fen": 89600}
    shop.items.set_order(order_sn, redeem_code="ABCDEFGH23", **paid)
    read = shop.call("GET /orders/{order_sn}", token=token, order_sn=order_sn)
    assert (read.json["status_code"], read.json["redeem_code"]) == (1, "ABCDEFGH23")
    assert date.fromisoformat(read.json["paid_at"][:10])


def test_the_authorizer_takes_the_header_in_any_case_and_no_other_scheme(shop: "Shop") -> None:
    token = shop.guest.login()
    for headers, allowed in (
        ({"Authorization": f"Bearer {token}"}, True),
        ({"authorization": f"bearer {token}"}, True),
        ({"authorization": f"Basic {token}"}, False),
        ({"authorization": token}, False),
        ({}, False),
    ):
        assert shop.run("authorizer", {"headers": headers})["isAuthorized"] is allowed
