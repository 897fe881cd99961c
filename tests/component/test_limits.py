"""What a client may ask for as often as he likes, and what it costs: orders, trades, calls to WeChat, billed writes."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from random import SystemRandom
from typing import Any

import pytest

from functions.status_poll.app import poll_after_ms
from payments.domain.order import NEW_ORDERS, NEW_ORDERS_WINDOW, OrderStatus
from payments.domain.payment import MAX_TRADES, PaymentStatus
from payments.domain.times import utc_now
from payments.store.catalogue import Catalogues
from payments.store.dynamodb import Conflict, plain
from payments.store.orders import Orders
from payments.store.payments import Payments
from payments.store.store import Store
from payments.wechat.errors import OutcomeUnknown
from payments.wechat.pay import WechatPay
from tests.shop import Shop
from tests.shop.aws import client
from tests.shop.guest import new_order
from tests.shop.http import Answer

PREPAY = "POST /orders/{order_sn}/prepay"
CANCEL = "POST /orders/{order_sn}/cancel"
WRITES = {"PutItem", "UpdateItem", "TransactWriteItems", "DeleteItem", "BatchWriteItem"}


class Calls:
    """What the functions ask of DynamoDB and of WeChat, counted by name. `conflicts`: how many of the next calls of an
    operation meet another transaction, which moto never makes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: Counter[str] = Counter()
        self.conflicts: Counter[str] = Counter()
        client("dynamodb").meta.events.register("before-call", self._before, unique_id="counted")
        for name in ("prepay", "query", "close"):
            monkeypatch.setattr(WechatPay, name, self._counted(name, getattr(WechatPay, name)))

    def _before(self, model: Any, params: Any, **_: Any) -> None:
        self.made[model.name] += 1
        if self.conflicts[model.name] > 0:
            self.conflicts[model.name] -= 1
            raise _conflict(client("dynamodb"), model.name, json.loads(params["body"]))

    def end(self) -> None:
        client("dynamodb").meta.events.unregister("before-call", unique_id="counted")

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.made[name] += 1
            return real(*arguments)

        return call

    @property
    def writes(self) -> int:
        """Billed, whether their conditions hold or not."""
        return sum(n for name, n in self.made.items() if name in WRITES)


def _conflict(client: Any, operation: str, arguments: Any) -> Exception:
    if operation != "TransactWriteItems":
        error = {"Error": {"Code": "TransactionConflictException", "Message": ""}}
        return client.exceptions.TransactionConflictException(error, operation)  # type: ignore[no-any-return]
    reasons = [{"Code": "TransactionConflict"}, *({"Code": "None"} for _ in arguments["TransactItems"][1:])]
    error = {"Error": {"Code": "TransactionCanceledException", "Message": ""}, "CancellationReasons": reasons}  # type: ignore[dict-item]
    return client.exceptions.TransactionCanceledException(error, operation)  # type: ignore[no-any-return]


@pytest.fixture
def calls(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    made = Calls(monkeypatch)
    yield made
    made.end()


@pytest.fixture(autouse=True)
def still(shop: Shop) -> None:
    """All happens in one instant, until `shop.janitor.later` moves the clock: what is counted is counted in time."""
    shop.janitor.stop_the_clock()


class Drawn(SystemRandom):
    """Draws these numbers, the last of them for ever."""

    def __init__(self, *digits: int) -> None:
        self.digits = list(digits)

    def randrange(self, *_: Any, **__: Any) -> int:
        return self.digits.pop(0) if len(self.digits) > 1 else self.digits[0]


def draws(shop: Shop, *digits: int) -> None:
    """The digits that the next order numbers get."""
    shop.parts = replace(shop.parts, random=Drawn(*digits))


def order(shop: Shop, token: str, key: str = "", **changes: Any) -> Answer:
    return shop.call("POST /orders", new_order(**changes), token=token, headers={"idempotency-key": key} if key else {})


# --- an order that is found by its key is the caller's, and the key's


@pytest.mark.parametrize("keys", [("key-of-one", "key-of-two"), ("one-key-both", "one-key-both"), ("", "")])
def test_two_guests_who_draw_the_same_number_get_two_orders(shop: Shop, keys: tuple[str, str]) -> None:
    one, two = shop.guest.login("guest-1"), shop.guest.login("guest-2")
    draws(shop, 7, 7, 8)
    first = order(shop, one, keys[0], remark="of the first guest")
    second = order(shop, two, keys[1], remark="of the second guest")
    assert (first.status, second.status) == (201, 201)
    assert second.json["purchase"]["remark"] == "of the second guest"
    assert (first.json["order_sn"][-8:], second.json["order_sn"][-8:]) == ("00000007", "00000008")
    if keys[1]:
        again = order(shop, two, keys[1], remark="of the second guest")
        assert again.json == second.json
        assert order(shop, one, keys[0], remark="of the first guest").json == first.json


@pytest.mark.parametrize("keys", [("key-of-one", "key-of-two"), ("", "key-of-two"), ("key-of-one", ""), ("", "")])
def test_one_guest_who_draws_the_same_number_twice_gets_two_orders(shop: Shop, keys: tuple[str, str]) -> None:
    token = shop.guest.login()
    draws(shop, 7, 7, 8)
    first, second = order(shop, token, keys[0], people=1), order(shop, token, keys[1], people=2)
    assert first.json["order_sn"] != second.json["order_sn"]
    assert (first.json["purchase"]["people"], second.json["purchase"]["people"]) == (1, 2)


def test_a_number_that_is_always_taken_is_503_and_no_ones_order(shop: Shop) -> None:
    draws(shop, 7)
    order(shop, shop.guest.login("guest-1"))
    reply = order(shop, shop.guest.login("guest-2"), "key-of-two")
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert shop.items.sort_keys("IDEMPOTENCY") == []


def test_a_key_that_an_older_version_left_at_another_guests_order_gets_its_own(shop: Shop) -> None:
    theirs = shop.guest.order(shop.guest.login("guest-1"))
    token, key = shop.guest.login("guest-2"), "key-of-two"
    own = order(shop, token, key).json["order_sn"]
    (item,) = [item for item in shop.items.all() if item["sk"]["S"] == "IDEMPOTENCY"]
    shop.items.client.put_item(TableName="table", Item=item | {"order_sn": {"S": theirs}})
    replies = [order(shop, token, key).json["order_sn"] for _ in range(2)]
    assert replies[0] == replies[1]
    assert replies[0] not in (theirs, own)
    assert shop.items.collection(replies[0]).order.user_id != shop.items.collection(theirs).order.user_id


def test_one_key_twice_at_once_is_one_order(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    token, put, told = shop.guest.login(), Orders.put_for_key, []

    def other_phone_first(*arguments: Any) -> Any:
        monkeypatch.setattr(Orders, "put_for_key", put)
        told.append(order(shop, token, "one-key-both"))
        return put(*arguments)

    monkeypatch.setattr(Orders, "put_for_key", other_phone_first)
    told.append(order(shop, token, "one-key-both"))
    assert told[0].json == told[1].json
    assert {reply.json["status"] for reply in told} == {"WAIT_PAY"}
    assert shop.items.sort_keys("ORDER") == ["ORDER"]


def test_a_key_used_for_another_body_is_422_whoever_was_quicker(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    token, put = shop.guest.login(), Orders.put_for_key

    def other_phone_first(*arguments: Any) -> Any:
        monkeypatch.setattr(Orders, "put_for_key", put)
        assert order(shop, token, "one-key-both", people=1).status == 201
        return put(*arguments)

    monkeypatch.setattr(Orders, "put_for_key", other_phone_first)
    reply = order(shop, token, "one-key-both", people=2)
    assert (reply.status, reply.json["type"]) == (422, "urn:wxpay:idempotency-key-reused")
    assert shop.items.sort_keys("ORDER") == ["ORDER"]


def test_a_repeat_and_a_request_that_is_refused_cost_no_write(shop: Shop, calls: Calls) -> None:
    token = shop.guest.login()
    order(shop, token, "key-of-one")
    before = calls.writes
    for _ in range(5):
        assert order(shop, token, "key-of-one").status == 201
    for n in range(5):
        assert order(shop, token, f"key-number-{n}", homestay_id="nowhere").status == 422
        assert order(shop, token, "key-of-one", people=1).status == 422
    assert calls.writes == before


def test_two_members_of_staff_with_one_key_ask_for_two_refunds(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    route, body = "POST /merchant/orders/{order_sn}/refunds", {"reason": "x", "amount_fen": 100}
    headers = {"idempotency-key": "key-of-both"}
    replies = [
        shop.call(route, body, token=shop.staff.token(user_id=name), order_sn=order_sn, headers=headers)
        for name in ("staff-1", "staff-2", "staff-1")
    ]
    numbers = [reply.json["out_refund_no"] for reply in replies]
    assert numbers[0] == numbers[2] != numbers[1]
    assert shop.items.collection(order_sn).order.refundable_fen == 89600 - 200


# --- twenty new orders in thirty minutes


def test_twenty_new_orders_in_thirty_minutes_are_enough(shop: Shop, calls: Calls) -> None:
    token = shop.guest.login()
    started = utc_now()
    for n in range(NEW_ORDERS):
        assert order(shop, token, f"key-number-{n}").status == 201
        shop.janitor.later(seconds=10)
    before = calls.writes
    refused = order(shop, token, "one-key-more")
    assert (refused.status, refused.json["type"]) == (429, "urn:wxpay:too-many-orders")
    assert order(shop, token).status == 429
    assert [order(shop, token, f"key-number-{n}").status for n in (0, NEW_ORDERS - 1)] == [201, 201]  # repeats
    assert calls.writes == before
    assert order(shop, shop.guest.login("guest-2")).status == 201
    wait = int(refused.headers["retry-after"])
    free = utc_now() + timedelta(seconds=wait)  # when the first of the twenty leaves the window
    assert free == started + NEW_ORDERS_WINDOW


def test_who_waits_as_he_is_told_may_order_again(shop: Shop) -> None:
    token = shop.guest.login()
    for _ in range(NEW_ORDERS):
        shop.guest.order(token)
    told = int(order(shop, token).headers["retry-after"])
    assert told == NEW_ORDERS_WINDOW.total_seconds()
    shop.janitor.later(seconds=told - 1)
    assert order(shop, shop.guest.login()).headers["retry-after"] == "1"
    shop.janitor.later(seconds=1)
    assert order(shop, shop.guest.login()).status == 201


# --- twenty trades of an order


def test_refused_prepays_end_after_twenty_trades(shop: Shop, calls: Calls) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    openid = shop.items.collection(order_sn).order.openid
    shop.wechat.world.users.pop(openid)  # WeChat does not know it: PARAM_ERROR
    replies = [shop.call(PREPAY, {}, token=token, order_sn=order_sn) for _ in range(MAX_TRADES + 5)]
    assert [reply.status for reply in replies] == [502] * MAX_TRADES + [409] * 5
    assert (replies[-1].json["type"], replies[-1].json["order_status"]) == ("urn:wxpay:trades-used-up", "WAIT_PAY")
    assert len(shop.items.sort_keys("PAYMENT#")) == calls.made["prepay"] == MAX_TRADES
    assert {payment.status for payment in shop.items.collection(order_sn).payments} == {PaymentStatus.CLOSED}
    before = calls.writes
    assert shop.call(PREPAY, {"fresh": True}, token=token, order_sn=order_sn).status == 409
    assert calls.writes == before


def test_mispaid_money_forbids_another_trade_wherever_it_stands(shop: Shop) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.guest.prepay(token, order_sn)
    shop.items.set_payment(order_sn, status=PaymentStatus.MISPAID)
    second = replace(shop.items.collection(order_sn).payments[0], n=2, status=PaymentStatus.CLOSED)
    shop.items.put_raw(pk=f"ORDER#{order_sn}", sk="PAYMENT#2", **plain(second))
    reply = shop.call(PREPAY, {}, token=token, order_sn=order_sn)
    assert (reply.status, reply.json["detail"]) == (409, "a payment of this order is being looked at by a person")
    assert shop.items.sort_keys("PAYMENT#") == ["PAYMENT#1", "PAYMENT#2"]


# --- one call to WeChat per trade and five seconds


def test_thirty_fresh_prepays_are_one_call_in_five_seconds(shop: Shop, calls: Calls) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    told = {shop.guest.prepay(token, order_sn, fresh=True)["package"] for _ in range(30)}
    assert (len(told), calls.made["prepay"]) == (1, 1)
    shop.janitor.later(seconds=5)
    told |= {shop.guest.prepay(token, order_sn, fresh=True)["package"] for _ in range(30)}
    assert (len(told), calls.made["prepay"]) == (2, 2)


def test_after_an_unknown_answer_the_next_call_waits_as_it_is_told(shop: Shop, calls: Calls) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.wechat.fault("prepay", "500", times=1)
    down = shop.call(PREPAY, {}, token=token, order_sn=order_sn)
    assert (down.status, 1 <= int(down.headers["retry-after"]) <= 5) == (503, True)
    before = calls.writes
    for fresh in (True, False, True):
        soon = shop.call(PREPAY, {"fresh": fresh}, token=token, order_sn=order_sn)
        assert (soon.status, soon.json["type"]) == (429, "urn:wxpay:prepay-too-soon")
    assert (calls.made["prepay"], calls.writes) == (1, before)
    shop.janitor.later(seconds=int(soon.headers["retry-after"]))
    assert shop.guest.prepay(token, order_sn)["out_trade_no"] == f"{order_sn}_1"
    assert calls.made["prepay"] == 2


@pytest.mark.parametrize("moment", ["before", "after"])
def test_two_phones_at_once_are_one_call(
    shop: Shop, calls: Calls, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The second phone asks just before WeChat has the first one's call, or just after."""
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    prepay, told = WechatPay.prepay, []

    def second_phone(self: WechatPay, payment: Any) -> str:
        monkeypatch.setattr(WechatPay, "prepay", prepay)
        prepay_id = "" if moment == "before" else prepay(self, payment)
        told.append(shop.call(PREPAY, {}, token=token, order_sn=order_sn))
        told.append(shop.call(PREPAY, {"fresh": True}, token=token, order_sn=order_sn))
        return prepay_id or prepay(self, payment)

    monkeypatch.setattr(WechatPay, "prepay", second_phone)
    first = shop.guest.prepay(token, order_sn)
    assert [reply.status for reply in told] == [429, 429]
    assert shop.guest.prepay(token, order_sn)["package"] == first["package"]
    assert calls.made["prepay"] == 1


def test_two_phones_after_the_pause_are_one_call(shop: Shop, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have read that WeChat may be called; one claims it."""
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.guest.prepay(token, order_sn)
    shop.janitor.later(seconds=6)
    claim, told = Payments.claim_prepay, []

    def other_phone_first(*arguments: Any) -> Any:
        monkeypatch.setattr(Payments, "claim_prepay", claim)
        told.append(shop.guest.prepay(token, order_sn, fresh=True)["package"])
        return claim(*arguments)

    monkeypatch.setattr(Payments, "claim_prepay", other_phone_first)
    told.append(shop.guest.prepay(token, order_sn, fresh=True)["package"])
    assert (calls.made["prepay"], len(set(told))) == (2, 1)


def test_twenty_polls_in_four_seconds_are_one_write_and_one_question(shop: Shop, calls: Calls) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.guest.prepay(token, order_sn)
    before = calls.writes
    for _ in range(20):
        assert shop.guest.poll(token, order_sn)["payment_status"] == "NOTPAY"
        shop.janitor.later(seconds=0.2)
    assert (calls.writes - before, calls.made["query"]) == (1, 1)
    shop.janitor.later(seconds=1)
    shop.guest.poll(token, order_sn)
    assert (calls.writes - before, calls.made["query"]) == (2, 2)


def test_twenty_cancels_while_wechat_is_away_ask_it_once_in_five_seconds(shop: Shop, calls: Calls) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.guest.prepay(token, order_sn)
    fault = shop.wechat.fault("query", "500", times=99)
    before = calls.writes
    for _ in range(20):
        assert shop.guest.cancel(token, order_sn)["closing"] is True
        shop.janitor.later(seconds=0.2)
    assert (calls.writes - before, calls.made["query"]) == (1, 1)
    shop.janitor.later(seconds=1)
    for _ in range(20):
        assert shop.guest.cancel(token, order_sn)["closing"] is True
    assert (calls.writes - before, calls.made["query"]) == (2, 2)
    shop.wechat.world.faults.remove(fault)
    shop.janitor.later(seconds=5)
    assert shop.guest.cancel(token, order_sn)["status"] == "CANCELLED"


def test_a_cancel_that_comes_twice_at_once_closes_once(
    shop: Shop, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.guest.prepay(token, order_sn)
    mark, told = Orders.mark_closing, []

    def other_phone_first(*arguments: Any) -> Any:
        monkeypatch.setattr(Orders, "mark_closing", mark)
        shop.wechat.fault("query", "500", times=1)
        told.append(shop.guest.cancel(token, order_sn))
        return mark(*arguments)

    monkeypatch.setattr(Orders, "mark_closing", other_phone_first)
    told.append(shop.guest.cancel(token, order_sn))
    assert [(one["status"], one["closing"]) for one in told] == [("WAIT_PAY", True)] * 2
    assert calls.made["query"] == 1
    shop.janitor.come_to_rest()
    assert shop.items.collection(order_sn).order.status is OrderStatus.CANCELLED


def test_a_guest_who_signs_in_again_costs_no_write(shop: Shop, calls: Calls) -> None:
    shop.guest.login()
    before = calls.writes
    for _ in range(3):
        shop.guest.login()
    assert calls.writes == before


# --- how often to poll


def paces(shop: Shop, token: str, order_sn: str, polls: int) -> list[int]:
    """What a client is told who polls as he is told."""
    told = []
    for _ in range(polls):
        told.append(shop.guest.poll(token, order_sn)["poll_after_ms"])
        shop.janitor.later(milliseconds=told[-1])
    return told


def test_polls_grow_rarer_from_the_prepay_on(shop: Shop) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    assert paces(shop, token, order_sn, 3) == [300, 600, 1200]  # before there is a trade: since the order was placed
    shop.guest.prepay(token, order_sn)
    told = paces(shop, token, order_sn, 30)
    assert told[:5] == [300, 600, 1200, 2000, 2000]
    assert told == sorted(told)
    shop.janitor.later(minutes=5)
    assert paces(shop, token, order_sn, 2) == [5000, 5000]


def test_polls_are_quick_again_when_the_money_is_there_and_grow_rarer_from_then_on(shop: Shop) -> None:
    token, order_sn = shop.guest.paid_order()
    shop.janitor.later(minutes=1)
    assert paces(shop, token, order_sn, 5) == [300, 600, 1200, 2000, 2000]
    assert shop.guest.poll(token, order_sn)["payment_status"] == "SUCCESS"
    shop.events.settle()
    assert shop.guest.poll(token, order_sn)["poll_after_ms"] is None


def test_the_pace_of_polls() -> None:
    told = [poll_after_ms(timedelta(milliseconds=age)) for age in (-5, 0, 299, 300, 899, 900, 2099, 2100, 299_999)]
    assert told == [300, 300, 300, 600, 600, 1200, 1200, 2000, 2000]
    assert poll_after_ms(timedelta(minutes=5)) == 5000


# --- what is told when it does not work


def test_nothing_was_charged_is_told_only_where_no_cashier_can_have_opened(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.wechat.fault("prepay", "500", times=1)
    first = shop.call(PREPAY, {}, token=token, order_sn=order_sn)
    assert (first.status, first.json["detail"].startswith("Nothing was charged.")) == (503, True)
    shop.janitor.later(seconds=5)
    shop.guest.prepay(token, order_sn)
    for answer in ("500", "429"):
        shop.janitor.later(seconds=5)
        shop.wechat.fault("prepay", answer, times=1)
        reply = shop.call(PREPAY, {"fresh": True}, token=token, order_sn=order_sn)
        assert reply.status == 503
        assert "charged" not in str(reply.json)
        assert f"/orders/{order_sn}/payment" in reply.json["detail"]
    shop.janitor.later(seconds=5)
    openid = shop.items.collection(order_sn).order.openid
    shop.wechat.world.users.pop(openid)
    refused = shop.call(PREPAY, {"fresh": True}, token=token, order_sn=order_sn)
    assert (refused.status, "charged" in str(refused.json)) == (502, False)
    shop.wechat.driver(f"trades/{order_sn}_1/close")
    shop.items.set_payment(order_sn, status=PaymentStatus.CLOSED)
    later = shop.call(PREPAY, {}, token=token, order_sn=order_sn)  # the second trade; the first may have been paid
    assert (later.status, "charged" in str(later.json)) == (502, False)


def test_a_cashier_that_another_phone_opened_meanwhile_counts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)

    def hangs(_: WechatPay, payment: Any) -> str:
        assert shop.store.payments.store_prepay_id(payment, "wx-of-the-other-phone", utc_now() + timedelta(hours=2))
        raise OutcomeUnknown("no answer in time")

    monkeypatch.setattr(WechatPay, "prepay", hangs)
    reply = shop.call(PREPAY, {}, token=token, order_sn=order_sn)
    assert (reply.status, "charged" in str(reply.json)) == (503, False)


def test_no_error_of_another_kind_says_anything_about_money(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.wechat.fault("code2session", "500", times=1)
    replies = [shop.call("POST /login", {"code": shop.wechat.world.login_code("guest-2")})]
    for owner, name in ((Orders, "get"), (Store, "collection"), (Orders, "of_user"), (Catalogues, "on_sale")):
        monkeypatch.setattr(owner, name, lambda *_, **__: 1 / 0)
    payment, on_sale = "GET /orders/{order_sn}/payment", "GET /catalogue/{service_type}"
    routes = ("GET /orders/{order_sn}", CANCEL, PREPAY, payment, on_sale)
    replies += [shop.call(route, {} if "POST" in route else None, token=token, order_sn=order_sn) for route in routes]
    assert [reply.status for reply in replies] == [503, 500, 500, 500, 500, 500]
    for reply in replies:
        assert "charged" not in str(reply.json)


# --- other transactions in the way (R11)


Act = Callable[[], Answer]
Scene = Callable[[Shop], Act]


def places(shop: Shop) -> Act:
    token = shop.guest.login()
    return lambda: order(shop, token)


def places_with_a_key(shop: Shop) -> Act:
    token = shop.guest.login()
    return lambda: order(shop, token, "key-of-one")


def prepays(shop: Shop) -> Act:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    return lambda: shop.call(PREPAY, {}, token=token, order_sn=order_sn)


def prepays_fresh(shop: Shop) -> Act:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.guest.prepay(token, order_sn)
    shop.janitor.later(seconds=6)
    return lambda: shop.call(PREPAY, {"fresh": True}, token=token, order_sn=order_sn)


def cancels(shop: Shop) -> Act:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    return lambda: shop.call(CANCEL, token=token, order_sn=order_sn)


def polls(shop: Shop) -> Act:
    token, order_sn = shop.guest.paid_order()
    return lambda: shop.call("GET /orders/{order_sn}/payment", token=token, order_sn=order_sn)


def redeems(shop: Shop) -> Act:
    code = paid(shop)
    return lambda: shop.staff.redeem(code)


def refunds(shop: Shop) -> Act:
    paid(shop)
    (order_sn,) = {item["order_sn"]["S"] for item in shop.items.all() if item["sk"]["S"] == "ORDER"}
    return lambda: shop.staff.refund(order_sn)


def paid(shop: Shop) -> str:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    return str(shop.items.collection(order_sn).order.redeem_code)


SCENES: list[tuple[Scene, str]] = [
    (places, "TransactWriteItems"),
    (places_with_a_key, "TransactWriteItems"),
    (prepays, "PutItem"),
    (prepays, "UpdateItem"),
    (prepays_fresh, "UpdateItem"),
    (cancels, "UpdateItem"),
    (polls, "UpdateItem"),
    (redeems, "UpdateItem"),
    (refunds, "TransactWriteItems"),
]


@pytest.mark.parametrize(("scene", "operation"), SCENES, ids=lambda part: getattr(part, "__name__", part))
def test_a_conflict_with_a_transaction_is_tried_again_and_at_last_503(
    shop: Shop, calls: Calls, scene: Scene, operation: str
) -> None:
    act = scene(shop)
    calls.conflicts[operation] = 99
    reply = act()
    assert (reply.status, reply.json["type"], reply.headers["retry-after"]) == (503, "urn:wxpay:try-again", "1")
    assert reply.json["title"] == "Others are changing this at the same moment."
    assert reply.json["detail"] == "Send it again."  # no word about the order's state or its number
    calls.conflicts[operation] = 3
    shop.janitor.later(seconds=5)
    reply = act()
    assert reply.status in (200, 201), reply
    assert calls.conflicts[operation] == 0


def test_a_callback_or_an_event_in_conflict_comes_again(shop: Shop, calls: Calls) -> None:
    _, order_sn = shop.guest.paid_order()
    calls.conflicts["UpdateItem"] = 99
    with pytest.raises(Conflict):
        shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1"))
    calls.conflicts["UpdateItem"] = 3
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    (event,) = shop.events.published()
    calls.conflicts["UpdateItem"] = 99
    assert shop.events.deliver("order_update", event) == ["m0"]
    calls.conflicts["UpdateItem"] = 3
    assert shop.events.deliver("order_update", event) == []
    assert shop.items.collection(order_sn).order.status is OrderStatus.WAIT_USE


def test_mispaid_money_in_conflict_is_recorded_when_it_comes_again(shop: Shop, calls: Calls) -> None:
    _, order_sn = shop.guest.paid_order()
    shop.items.set_payment(order_sn, total_fen=1)
    calls.conflicts["TransactWriteItems"] = 99
    with pytest.raises(Conflict):
        shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1"))
    assert shop.items.cases() == []
    calls.conflicts["TransactWriteItems"] = 3
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    assert [case["kind"] for case in shop.items.cases()] == ["mispaid"]


def test_the_tries_of_a_conflict_are_spread(calls: Calls, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("payments.store.dynamodb.time.sleep", pauses.append)
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    for _ in range(2):
        calls.conflicts["UpdateItem"] = 99
        assert shop.call(CANCEL, token=token, order_sn=order_sn).status == 503
    assert len(set(pauses)) == len(pauses) == 6
    assert 0 < min(pauses) < max(pauses) < 0.2
