"""How an unpaid order ends, by its guest's wish or because its time is over (R8)."""

from typing import Any

import pytest

from payments.domain.order import OrderStatus
from payments.domain.payment import Payment, PaymentStatus, TradeReport
from payments.store.items import Standing, Written
from payments.wechat.pay import WechatPay
from tests.shop import Shop


def test_an_unpaid_order_is_looked_at_five_times_and_then_ends(shop: Shop, waiting: Any) -> None:
    order_sn = waiting[1]
    looks = 0
    for _ in range(31):
        shop.janitor.later(minutes=1)
        looks += shop.janitor.sweep()["orders"]
    assert shop.items.status(order_sn) is OrderStatus.CANCELLED
    assert looks == 5
    assert shop.items.payments(order_sn) == [PaymentStatus.CLOSED]
    assert shop.wechat.world.trades[f"{order_sn}_1"].trade_state == "CLOSED"
    assert shop.items.collection(order_sn).order.due_at is None
    shop.check()


def test_pay_in_the_last_second_while_the_janitor_closes(shop: Shop, waiting: Any) -> None:
    _, order_sn, _ = waiting
    shop.janitor.later(minutes=30)
    shop.wechat.fault("close", "paid_first")
    shop.janitor.sweep()
    assert shop.items.payments(order_sn) == [PaymentStatus.SUCCESS]
    shop.events.settle()
    assert shop.items.status(order_sn) is OrderStatus.WAIT_USE
    shop.janitor.come_to_rest()
    shop.check()


def test_cancel_marks_closes_and_cancels(shop: Shop, waiting: Any) -> None:
    token, order_sn, fields = waiting
    told = shop.guest.cancel(token, order_sn)
    assert (told["status"], told["closing"]) == ("CANCELLED", False)
    assert shop.guest.cancel(token, order_sn)["status"] == "CANCELLED"
    assert shop.guest.cashier(fields) != "requestPayment:ok"
    reply = shop.call("POST /orders/{order_sn}/prepay", {}, token=token, order_sn=order_sn)
    assert (reply.status, reply.json["order_status"]) == (409, "CANCELLED")
    shop.janitor.come_to_rest()
    shop.check()


def test_cancel_while_someone_types_the_password_waits(shop: Shop, waiting: Any) -> None:
    token, order_sn, fields = waiting
    shop.wechat.fault("close", "429")
    told = shop.guest.cancel(token, order_sn)
    assert (told["status"], told["closing"]) == ("WAIT_PAY", True)
    assert shop.call("POST /orders/{order_sn}/prepay", {}, token=token, order_sn=order_sn).status == 409
    assert shop.guest.cashier(fields) == "requestPayment:ok"
    shop.janitor.come_to_rest()
    assert shop.items.status(order_sn) is OrderStatus.WAIT_USE
    shop.check()


@pytest.mark.parametrize("answer", ["500", "429", "drop", "signtest", "wrong_key", "502html", "stale"])
@pytest.mark.parametrize("call", ["query", "close"])
def test_a_cancel_that_cannot_reach_wechat_is_finished_by_the_janitor(
    shop: Shop, waiting: Any, call: str, answer: str
) -> None:
    token, order_sn, _ = waiting
    shop.wechat.fault(call, answer, times=2)
    assert shop.guest.cancel(token, order_sn)["closing"] is True
    assert shop.items.payments(order_sn) == [PaymentStatus.NOTPAY]
    shop.wechat.world.faults.clear()
    shop.janitor.come_to_rest()
    assert shop.items.status(order_sn) is OrderStatus.CANCELLED
    shop.check()


def test_cancel_of_an_order_that_is_paid_books_it_and_says_so(shop: Shop) -> None:
    """It is found paid by this very cancel; then the payment is known here; then the order is."""
    token, order_sn = shop.guest.paid_order()
    for known in ("WAIT_PAY", "WAIT_PAY", "WAIT_USE"):
        if known == "WAIT_USE":
            shop.events.settle()
        reply = shop.call("POST /orders/{order_sn}/cancel", token=token, order_sn=order_sn)
        assert (reply.status, reply.json["order_status"], reply.json["detail"]) == (409, known, "It is paid.")
        assert shop.items.payments(order_sn) == [PaymentStatus.SUCCESS]
    shop.check()


def test_cancel_of_an_order_whose_payment_is_recorded_and_whose_event_is_late_says_so(shop: Shop) -> None:
    token, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    reply = shop.call("POST /orders/{order_sn}/cancel", token=token, order_sn=order_sn)
    assert (reply.status, reply.json["detail"]) == (409, "It is paid.")
    shop.events.settle()
    assert shop.items.status(order_sn) is OrderStatus.WAIT_USE
    shop.check()


@pytest.mark.parametrize("between", ["paid_first", "callback"])
def test_cancel_of_an_order_that_is_paid_while_its_trade_is_closed_says_so(
    shop: Shop, waiting: Any, between: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, order_sn, fields = waiting
    if between == "paid_first":
        shop.wechat.fault("close", "paid_first")
    else:  # its notice is stored between our question and our write
        query = WechatPay.query

        def then_the_notice(self: WechatPay, payment: Payment) -> TradeReport | None:
            told = query(self, payment)
            monkeypatch.setattr(WechatPay, "query", query)
            assert shop.guest.cashier(fields) == "requestPayment:ok"
            assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
            return told

        monkeypatch.setattr(WechatPay, "query", then_the_notice)
    reply = shop.call("POST /orders/{order_sn}/cancel", token=token, order_sn=order_sn)
    assert (reply.status, reply.json["detail"]) == (409, "It is paid.")
    shop.janitor.come_to_rest()
    assert shop.items.status(order_sn) is OrderStatus.WAIT_USE
    shop.check()


def test_a_payment_that_is_not_what_we_asked_for_does_not_keep_its_order_from_being_cancelled(
    shop: Shop, waiting: Any
) -> None:
    token, order_sn, fields = waiting
    shop.items.set_payment(order_sn, total_fen=1)
    shop.guest.cashier(fields)
    assert shop.guest.cancel(token, order_sn)["status"] == "CANCELLED"
    assert shop.items.payments(order_sn) == [PaymentStatus.MISPAID]
    shop.check()


def test_an_order_that_was_paid_a_moment_ago_is_not_marked(shop: Shop, paid: str) -> None:
    before = shop.items.collection(paid).order
    match shop.store.orders.mark_closing(paid):
        case Standing(standing):
            assert standing == before
        case Written():
            pytest.fail("it is marked")
    assert shop.items.collection(paid).order == before


def test_a_stranger_cannot_cancel(shop: Shop, waiting: Any) -> None:
    other = shop.guest.login("guest-2")
    assert shop.call("POST /orders/{order_sn}/cancel", token=other, order_sn=waiting[1]).status == 404
    assert shop.items.collection(waiting[1]).order.closing is False


def test_an_order_without_a_trade_is_cancelled_without_wechat(shop: Shop) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    assert shop.guest.cancel(token, order_sn)["status"] == "CANCELLED"


def test_a_prepay_whose_call_never_arrived_is_closed_at_expiry(shop: Shop) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.wechat.fault("prepay", "500", times=1)
    assert shop.call("POST /orders/{order_sn}/prepay", {}, token=token, order_sn=order_sn).status == 503
    assert shop.items.payments(order_sn) == [PaymentStatus.NOTPAY]
    shop.janitor.later(minutes=30)
    shop.janitor.sweep()
    assert (shop.items.status(order_sn), shop.items.payments(order_sn)) == (
        OrderStatus.CANCELLED,
        [PaymentStatus.CLOSED],
    )
    shop.check()


def test_a_trade_that_wechat_denies_is_not_closed_while_a_phone_may_hold_it(shop: Shop, waiting: Any) -> None:
    token, order_sn, fields = waiting
    trade = shop.wechat.world.trades.pop(f"{order_sn}_1")
    assert shop.guest.cancel(token, order_sn)["closing"] is True
    assert shop.items.payments(order_sn) == [PaymentStatus.NOTPAY]
    shop.wechat.world.trades[f"{order_sn}_1"] = trade
    assert shop.guest.cashier(fields) == "requestPayment:ok"
    shop.janitor.come_to_rest()
    assert shop.items.status(order_sn) is OrderStatus.WAIT_USE
    shop.check()
