"""Refunds of an order's own payment: in full, in parts, refused, stuck, made in WeChat's console (R1, R7)."""

from datetime import timedelta
from typing import Any

import pytest

from payments.domain.collection import Collection
from payments.domain.order import OrderStatus
from payments.domain.refund import RefundStatus
from payments.store.store import Store
from tests.shop import Shop


def test_a_refund_in_full(shop: Shop, paid: str) -> None:
    reply = shop.staff.refund(paid)
    assert (reply.status, reply.json["amount_fen"], reply.json["status"]) == (201, 89600, "REQUESTED")
    assert shop.items.collection(paid).order.refundable_fen == 0
    told = shop.call("GET /orders/{order_sn}", token=shop.guest.login(), order_sn=paid).json
    assert (told["refunding_fen"], told["refunded_fen"]) == (89600, 0)
    shop.janitor.come_to_rest()
    told = shop.call("GET /orders/{order_sn}", token=shop.guest.login(), order_sn=paid).json
    assert (told["refunding_fen"], told["refunded_fen"]) == (0, 89600)
    order = shop.items.collection(paid).order
    assert (order.status, order.refunded_fen, order.refundable_fen) == (OrderStatus.REFUNDED, 89600, 0)
    assert len(shop.wechat.world.messages) == 3
    shop.janitor.later(days=40)
    shop.janitor.sweep()
    assert shop.items.collection(paid).order.due_at is None
    shop.check()


def test_partial_refunds_up_to_the_exact_total_and_one_fen_beyond(shop: Shop, paid: str) -> None:
    for number, amount in enumerate((1, 40000, 49598), 1):
        assert shop.staff.refund(paid, amount, key=f"partial-{number}").status == 201
        shop.janitor.come_to_rest()
        shop.check()
    reply = shop.staff.refund(paid, 2, key="one-too-many")
    assert (reply.status, reply.json["type"], reply.json["refundable_fen"]) == (409, "urn:wxpay:refund-exceeds", 1)
    assert shop.staff.refund(paid, 1, key="the-last-one").status == 201
    shop.janitor.come_to_rest()
    assert shop.staff.refund(paid, 1, key="beyond-all").status == 409
    assert shop.items.status(paid) is OrderStatus.REFUNDED
    shop.check()


def test_the_same_idempotency_key_is_the_same_refund_for_ever(shop: Shop, paid: str) -> None:
    first = shop.staff.refund(paid, 100).json
    shop.janitor.come_to_rest()
    again = shop.staff.refund(paid, 100)
    assert (again.status, again.json["out_refund_no"]) == (201, first["out_refund_no"])
    assert again.json["status"] == "SUCCESS"
    assert shop.staff.refund(paid, 101).status == 422
    assert len(shop.wechat.world.refunds) == 1
    body = {"amount_fen": 100, "reason": "x"}
    route = "POST /merchant/orders/{order_sn}/refunds"
    assert shop.call(route, body, token=shop.staff.token(), order_sn=paid).status == 400
    shop.check()


def test_sums_drawn_from_an_old_read_are_not_written(shop: Shop, paid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is asked back between order_update's read and its write: its money must not be free once more."""
    total_fen = shop.items.collection(paid).order.total_fen
    assert shop.staff.refund(paid, 1_00, key="refund-of-1").status == 201
    shop.events.settle()
    shop.wechat.refunds_end()
    event = next(event for event in shop.events.published() if event["type"] == "refund.succeeded")
    read = Store.collection

    def then_refund_the_rest(self: Store, order_sn: str, *, consistent: bool = False) -> Collection | None:
        seen = read(self, order_sn, consistent=consistent)
        monkeypatch.setattr(Store, "collection", read)
        assert shop.staff.refund(paid, total_fen - 1_00, key="refund-of-the-rest").status == 201
        return seen

    monkeypatch.setattr(Store, "collection", then_refund_the_rest)
    shop.events.deliver("order_update", event)
    assert Store.collection is read
    assert shop.items.collection(paid).order.refundable_fen == 0
    assert shop.staff.refund(paid, 1, key="refund-beyond").status == 409
    shop.janitor.come_to_rest()
    shop.check()


def test_two_refunds_that_together_are_too_much(shop: Shop, paid: str) -> None:
    assert shop.staff.refund(paid, 60000, key="staff-a-1").status == 201
    assert shop.staff.refund(paid, 60000, key="staff-b-1").status == 409
    shop.janitor.come_to_rest()
    shop.check()


@pytest.mark.parametrize("answer", ["drop", "500", "502html", "signtest", "wrong_key", "stale"])
def test_the_reply_of_a_refund_lost(shop: Shop, paid: str, answer: str) -> None:
    shop.wechat.fault("refund", answer, times=2, after_effect=answer == "drop")
    shop.staff.refund(paid, 1000)
    (event,) = shop.events.published()
    shop.events.deliver("execute_refund", event)
    shop.wechat.world.faults.clear()
    shop.janitor.come_to_rest()
    assert len(shop.wechat.world.refunds) == 1
    assert list(shop.items.refunds(paid).values()) == [RefundStatus.SUCCESS]
    shop.check()


def test_a_refund_that_meets_429_is_asked_for_again_under_its_number(shop: Shop, paid: str) -> None:
    shop.wechat.fault("refund", "429", times=2)
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.events.settle()
    assert shop.items.refunds(paid) == {number: RefundStatus.REQUESTED}
    shop.janitor.come_to_rest()
    assert shop.items.refunds(paid) == {number: RefundStatus.SUCCESS}
    shop.check()


def test_a_refund_that_met_429_although_it_was_taken_is_found(shop: Shop, paid: str) -> None:
    shop.wechat.fault("refund", "429", after_effect=True)
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.events.settle()
    assert shop.items.refunds(paid) == {number: RefundStatus.PROCESSING}
    shop.janitor.come_to_rest()
    shop.check()


def test_an_empty_balance_is_waited_for_with_an_alarm(shop: Shop, paid: str, capsys: Any) -> None:
    shop.wechat.world.balance = 0
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.events.settle()
    assert "RefundNotEnough" in capsys.readouterr().out
    shop.janitor.come_to_rest()
    assert shop.items.refunds(paid) == {number: RefundStatus.REQUESTED}
    shop.wechat.world.balance = 10**6
    shop.janitor.later(minutes=16)
    shop.janitor.come_to_rest()
    assert shop.items.refunds(paid) == {number: RefundStatus.SUCCESS}
    shop.check()


def test_a_refund_callback_before_our_write_and_twice(shop: Shop, paid: str) -> None:
    shop.wechat.fault("refund", "drop", after_effect=True, times=2)
    shop.wechat.fault("query_refund", "500", times=3)
    number = shop.staff.refund(paid).json["out_refund_no"]
    (event,) = shop.events.published()
    assert shop.events.deliver("execute_refund", event) == ["m0"]
    assert shop.items.refunds(paid) == {number: RefundStatus.REQUESTED}
    shop.wechat.refunds_end()
    assert shop.items.refunds(paid) == {number: RefundStatus.SUCCESS}
    assert shop.wechat.notify(shop.wechat.refund_notice(number)).status == 204
    shop.wechat.world.faults.clear()
    assert shop.events.deliver("execute_refund", event) == []
    shop.janitor.come_to_rest()
    assert len(shop.wechat.world.refunds) == 1
    assert shop.items.status(paid) is OrderStatus.REFUNDED
    shop.check()


def test_a_final_no_is_a_case_and_the_sum_may_be_asked_for_again(shop: Shop, paid: str) -> None:
    shop.wechat.driver(f"trades/{paid}_1/refund", amount=89600)  # in the console, and its notice is late
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.janitor.later(minutes=2)
    shop.events.settle()
    assert shop.items.refunds(paid)[number] is RefundStatus.REQUESTED  # one no is not enough
    shop.janitor.later(minutes=2)
    shop.janitor.sweep()
    shop.events.settle()
    assert shop.items.refunds(paid)[number] is RefundStatus.REFUSED
    assert [case["kind"] for case in shop.items.cases()] == ["refund_refused"]
    shop.janitor.come_to_rest()
    assert shop.items.status(paid) is OrderStatus.REFUNDED
    shop.check()


def test_a_refund_in_the_merchant_console_is_taken_over(shop: Shop, paid: str) -> None:
    told = shop.wechat.driver(f"trades/{paid}_1/refund", amount=30000)
    shop.janitor.come_to_rest()
    order = shop.items.collection(paid).order
    assert (order.refunded_fen, order.refundable_fen, order.status) == (30000, 59600, OrderStatus.WAIT_USE)
    assert shop.items.refunds(paid) == {told["out_refund_no"]: RefundStatus.SUCCESS}
    assert shop.items.collection(paid).refunds[0].origin == "console"
    assert len(shop.wechat.world.messages) == 2
    shop.check()


@pytest.mark.parametrize("end", ["ABNORMAL", "CLOSED"])
def test_a_refund_that_ends_badly_is_a_case(shop: Shop, paid: str, end: str) -> None:
    shop.wechat.fault("refund_end", end)
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.janitor.come_to_rest()
    assert shop.items.refunds(paid) == {number: RefundStatus(end)}
    (case,) = shop.items.cases()
    assert (case["kind"], int(case["amount_fen"])) == (f"refund_{end.lower()}", 1000)
    assert shop.items.collection(paid).order.refundable_fen == (88600 if end == "ABNORMAL" else 89600)
    shop.check()


def test_an_abnormal_refund_that_a_person_has_sent_elsewhere_counts(shop: Shop, paid: str) -> None:
    shop.wechat.fault("refund_end", "ABNORMAL")
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.janitor.come_to_rest()
    made = shop.wechat.world.refunds[number]
    made.status, made.success_time = "SUCCESS", shop.wechat.world.clock.now()
    assert shop.wechat.notify(shop.wechat.refund_notice(number)).status == 204
    shop.events.lose()
    shop.janitor.come_to_rest()
    assert shop.items.refunds(paid) == {number: RefundStatus.SUCCESS}
    assert shop.items.collection(paid).order.refunded_fen == 1000
    shop.check()


def test_a_refund_that_does_not_end_for_seven_days_is_a_case(shop: Shop, paid: str) -> None:
    shop.staff.refund(paid, 1000)
    shop.events.settle()
    (made,) = shop.wechat.world.refunds.values()
    made.due_at = shop.wechat.world.clock.now() + 10**7
    asked = 0
    for _ in range(8 * 24):
        shop.janitor.later(hours=1)
        asked += shop.janitor.sweep()["orders"]
    assert [case["kind"] for case in shop.items.cases()] == ["refund_stalled"]
    assert 10 < asked < 25
    shop.check()
    made.due_at = shop.wechat.world.clock.now()  # it goes on being asked about, daily: it ends, and its notice is lost
    shop.wechat.world.clock.advance(0)
    shop.janitor.come_to_rest(timedelta(days=2))
    assert list(shop.items.refunds(paid).values()) == [RefundStatus.SUCCESS]
    (case,) = shop.items.cases()
    assert (case["resolution"], case["closed_by"], "case_open" in case) == ("answered", "system", False)
    shop.check()


@pytest.mark.parametrize("lost", ["refund.requested", "refund.succeeded"])
def test_a_refund_event_that_gets_lost_is_published_again(shop: Shop, paid: str, lost: str) -> None:
    shop.staff.refund(paid)
    if lost == "refund.succeeded":
        shop.events.settle()
        shop.wechat.refunds_end()
    shop.events.lose()
    shop.janitor.come_to_rest()
    assert shop.items.status(paid) is OrderStatus.REFUNDED
    assert len(shop.wechat.world.messages) == 3
    shop.check()


def test_a_refund_notice_about_nothing_of_ours_is_a_case(shop: Shop, paid: str) -> None:
    shop.staff.refund(paid, 1000)
    shop.events.settle()
    (number,) = shop.wechat.world.refunds
    shop.wechat.world.refunds[number].status = "SUCCESS"
    strange = {"out_trade_no": "OTHER0001"}
    assert shop.wechat.notify(shop.wechat.refund_notice(number, plaintext=strange)).status == 204
    amount = {"total": 89600, "refund": 999, "payer_total": 89600, "payer_refund": 999}
    assert shop.wechat.notify(shop.wechat.refund_notice(number, plaintext={"amount": amount})).status == 204
    assert sorted(case["kind"] for case in shop.items.cases()) == ["refund_mismatch", "unknown_refund"]
    assert list(shop.items.refunds(paid).values()) == [RefundStatus.PROCESSING]
