"""No fen goes missing: answers, notices and events get lost, people pay late and twice, the janitor heals it all."""

from datetime import timedelta
from typing import Any

import pytest

from payments.domain.collection import Collection
from payments.domain.order import OrderStatus
from payments.domain.payment import Payment, PaymentStatus, TradeReport
from payments.domain.refund import RefundStatus
from payments.domain.times import utc_now
from payments.store.items import Standing, Written
from payments.store.store import Store
from payments.wechat.pay import WechatPay
from tests.shop import Shop


def status(shop: Shop, order_sn: str) -> OrderStatus:
    return shop.items.collection(order_sn).order.status


def payments(shop: Shop, order_sn: str) -> list[PaymentStatus]:
    return [payment.status for payment in shop.items.collection(order_sn).payments]


def refunds(shop: Shop, order_sn: str) -> dict[str, RefundStatus]:
    return {r.out_refund_no: r.status for r in shop.items.collection(order_sn).refunds}


@pytest.fixture
def waiting(shop: Shop) -> tuple[str, str, dict[str, str]]:
    """(token, order_sn, the five fields) of an order whose cashier is open."""
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    return token, order_sn, shop.guest.prepay(token, order_sn)


@pytest.fixture
def paid(shop: Shop) -> str:
    """order_sn of an order that is paid and told."""
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    assert status(shop, order_sn) is OrderStatus.WAIT_USE
    return order_sn


# --- answers and notices that get lost


def test_the_reply_of_prepay_lost(shop: Shop) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.wechat.fault("prepay", "drop", after_effect=True)
    assert shop.call("POST /orders/{order_sn}/prepay", {}, token=token, order_sn=order_sn).status == 503
    shop.janitor.later(seconds=5)
    fields = shop.guest.prepay(token, order_sn)
    assert fields["out_trade_no"] == f"{order_sn}_1"
    assert shop.guest.cashier(fields) == "requestPayment:ok"
    shop.janitor.come_to_rest()
    assert status(shop, order_sn) is OrderStatus.WAIT_USE
    shop.check()


def test_a_callback_that_never_comes_is_made_good_by_the_janitor(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    shop.janitor.later(minutes=1, seconds=59)
    assert shop.janitor.sweep() == {"orders": 0, "failed": 0, "left": 0}
    shop.janitor.later(seconds=1)
    assert shop.janitor.sweep()["orders"] == 1
    shop.events.settle()
    assert status(shop, order_sn) is OrderStatus.WAIT_USE
    shop.check()


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_an_event_that_gets_lost_is_published_again(shop: Shop, lost: int) -> None:
    """1: payment.succeeded, 2: order.paid, 3: both."""
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    if lost != 2:
        shop.events.lose()
    else:
        (event,) = shop.events.published()
        assert shop.events.deliver("order_update", event) == []
        shop.events.lose()
    shop.janitor.later(minutes=2)
    shop.janitor.sweep()
    if lost == 3:
        assert [event["type"] for event in shop.events.published()] == ["payment.succeeded"]
        shop.janitor.later(minutes=3)
        shop.janitor.sweep()
    shop.events.settle()
    assert status(shop, order_sn) is OrderStatus.WAIT_USE
    assert len(shop.wechat.world.messages) == 2
    shop.check()


def test_the_stream_is_down_for_a_while_and_then_comes_with_everything(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.janitor.later(minutes=2)
    shop.janitor.sweep()  # publishes what the stream has not yet
    late = shop.events.records()
    shop.events.settle()
    shop.events.again()
    assert late
    shop.events.settle()  # and now the stream tells all of it again
    assert len(shop.wechat.world.messages) == 2
    shop.check()


def test_the_janitor_leaves_alone_what_is_at_rest(shop: Shop, paid: str) -> None:
    shop.janitor.later(minutes=2)
    before = shop.items.collection(paid)
    assert shop.janitor.sweep()["orders"] == 1
    after = shop.items.collection(paid)
    assert after.order.due_at == after.order.usable_until
    assert after.order.version == before.order.version + 1  # one write, for the next look
    assert shop.events.published() == []
    shop.janitor.later(days=1)
    assert shop.janitor.sweep()["orders"] == 0
    shop.check()


@pytest.mark.parametrize("odd", [None, "yesterday", "0001-01-01T00:00:00+14:00", 7])
def test_a_payment_whose_time_wechat_does_not_say_is_paid_when_it_is_learned(shop: Shop, odd: object) -> None:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1", plaintext={"success_time": odd})).status == 204
    shop.events.settle()
    order, (payment,) = shop.items.collection(order_sn).order, shop.items.collection(order_sn).payments
    assert (order.status, payment.success_time, shop.items.cases()) == (OrderStatus.WAIT_USE, order.paid_at, [])
    assert payment.success_time is not None
    assert abs(payment.success_time - utc_now()) < timedelta(minutes=1)
    shop.check()


# --- expiry and cancel (R8)


def test_an_unpaid_order_is_looked_at_five_times_and_then_ends(shop: Shop, waiting: Any) -> None:
    order_sn = waiting[1]
    looks = 0
    for _ in range(31):
        shop.janitor.later(minutes=1)
        looks += shop.janitor.sweep()["orders"]
    assert status(shop, order_sn) is OrderStatus.CANCELLED
    assert looks == 5
    assert payments(shop, order_sn) == [PaymentStatus.CLOSED]
    assert shop.wechat.world.trades[f"{order_sn}_1"].trade_state == "CLOSED"
    assert shop.items.collection(order_sn).order.due_at is None
    shop.check()


def test_pay_in_the_last_second_while_the_janitor_closes(shop: Shop, waiting: Any) -> None:
    _, order_sn, _ = waiting
    shop.janitor.later(minutes=30)
    shop.wechat.fault("close", "paid_first")
    shop.janitor.sweep()
    assert payments(shop, order_sn) == [PaymentStatus.SUCCESS]
    shop.events.settle()
    assert status(shop, order_sn) is OrderStatus.WAIT_USE
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
    assert status(shop, order_sn) is OrderStatus.WAIT_USE
    shop.check()


@pytest.mark.parametrize("answer", ["500", "429", "drop", "signtest", "wrong_key", "502html", "stale"])
@pytest.mark.parametrize("call", ["query", "close"])
def test_a_cancel_that_cannot_reach_wechat_is_finished_by_the_janitor(
    shop: Shop, waiting: Any, call: str, answer: str
) -> None:
    token, order_sn, _ = waiting
    shop.wechat.fault(call, answer, times=2)
    assert shop.guest.cancel(token, order_sn)["closing"] is True
    assert payments(shop, order_sn) == [PaymentStatus.NOTPAY]
    shop.wechat.world.faults.clear()
    shop.janitor.come_to_rest()
    assert status(shop, order_sn) is OrderStatus.CANCELLED
    shop.check()


def test_cancel_of_an_order_that_is_paid_books_it_and_says_so(shop: Shop) -> None:
    """It is found paid by this very cancel; then the payment is known here; then the order is."""
    token, order_sn = shop.guest.paid_order()
    for known in ("WAIT_PAY", "WAIT_PAY", "WAIT_USE"):
        if known == "WAIT_USE":
            shop.events.settle()
        reply = shop.call("POST /orders/{order_sn}/cancel", token=token, order_sn=order_sn)
        assert (reply.status, reply.json["order_status"], reply.json["detail"]) == (409, known, "It is paid.")
        assert payments(shop, order_sn) == [PaymentStatus.SUCCESS]
    shop.check()


def test_cancel_of_an_order_whose_payment_is_recorded_and_whose_event_is_late_says_so(shop: Shop) -> None:
    token, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    reply = shop.call("POST /orders/{order_sn}/cancel", token=token, order_sn=order_sn)
    assert (reply.status, reply.json["detail"]) == (409, "It is paid.")
    shop.events.settle()
    assert status(shop, order_sn) is OrderStatus.WAIT_USE
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
    assert status(shop, order_sn) is OrderStatus.WAIT_USE
    shop.check()


def test_a_payment_that_is_not_what_we_asked_for_does_not_keep_its_order_from_being_cancelled(
    shop: Shop, waiting: Any
) -> None:
    token, order_sn, fields = waiting
    shop.items.set_payment(order_sn, total_fen=1)
    shop.guest.cashier(fields)
    assert shop.guest.cancel(token, order_sn)["status"] == "CANCELLED"
    assert payments(shop, order_sn) == [PaymentStatus.MISPAID]
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
    assert payments(shop, order_sn) == [PaymentStatus.NOTPAY]
    shop.janitor.later(minutes=30)
    shop.janitor.sweep()
    assert (status(shop, order_sn), payments(shop, order_sn)) == (OrderStatus.CANCELLED, [PaymentStatus.CLOSED])
    shop.check()


def test_a_trade_that_wechat_denies_is_not_closed_while_a_phone_may_hold_it(shop: Shop, waiting: Any) -> None:
    token, order_sn, fields = waiting
    trade = shop.wechat.world.trades.pop(f"{order_sn}_1")
    assert shop.guest.cancel(token, order_sn)["closing"] is True
    assert payments(shop, order_sn) == [PaymentStatus.NOTPAY]
    shop.wechat.world.trades[f"{order_sn}_1"] = trade
    assert shop.guest.cashier(fields) == "requestPayment:ok"
    shop.janitor.come_to_rest()
    assert status(shop, order_sn) is OrderStatus.WAIT_USE
    shop.check()


# --- late and second money (R5, R6)


def test_pay_after_cancel_is_refunded_by_itself_and_the_guest_is_told(shop: Shop, waiting: Any) -> None:
    token, order_sn, fields = waiting
    shop.guest.cancel(token, order_sn)
    shop.wechat.fault("cashier", "after_close")
    assert shop.guest.cashier(fields) == "requestPayment:ok"
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    assert payments(shop, order_sn) == [PaymentStatus.SUCCESS]
    shop.events.settle()
    assert refunds(shop, order_sn) == {f"{order_sn}_1_R1": RefundStatus.PROCESSING}
    shop.wechat.refunds_end()
    shop.events.settle()
    assert refunds(shop, order_sn) == {f"{order_sn}_1_R1": RefundStatus.SUCCESS}
    (message,) = shop.wechat.world.messages
    assert message["data"]["amount2"]["value"] == "¥896.00"
    assert status(shop, order_sn) is OrderStatus.CANCELLED
    shop.janitor.come_to_rest()
    shop.check()


def test_late_money_whose_event_gets_lost_is_found_by_its_own_due_date(shop: Shop, waiting: Any) -> None:
    token, order_sn, fields = waiting
    shop.guest.cancel(token, order_sn)
    shop.janitor.come_to_rest()
    assert shop.items.collection(order_sn).order.due_at is None
    shop.wechat.fault("cashier", "after_close")
    assert shop.guest.cashier(fields) == "requestPayment:ok"
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.lose()
    shop.janitor.come_to_rest()
    assert refunds(shop, order_sn) == {f"{order_sn}_1_R1": RefundStatus.SUCCESS}
    assert shop.items.collection(order_sn).payments[0].due_at is None
    shop.check()


def test_two_trades_of_one_order_both_paid(shop: Shop, waiting: Any) -> None:
    token, order_sn, first = waiting
    shop.wechat.driver(f"trades/{order_sn}_1/close")
    shop.janitor.later(seconds=5)
    second = shop.guest.prepay(token, order_sn, fresh=True)
    assert second["out_trade_no"] == f"{order_sn}_2"
    assert payments(shop, order_sn) == [PaymentStatus.CLOSED, PaymentStatus.NOTPAY]
    assert shop.guest.cashier(second) == "requestPayment:ok"
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_2")).status == 204
    shop.events.settle()
    shop.wechat.fault("cashier", "after_close")
    assert shop.guest.cashier(first) == "requestPayment:ok"
    for _ in range(3):
        assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
        shop.events.settle()
    shop.janitor.come_to_rest()
    order = shop.items.collection(order_sn).order
    assert (order.status, order.paid_by, order.refunded_fen) == (OrderStatus.WAIT_USE, 2, 0)
    assert refunds(shop, order_sn) == {f"{order_sn}_1_R1": RefundStatus.SUCCESS}
    shop.check()


def test_late_money_that_cannot_go_back_is_a_case_and_a_person_may_try_again(shop: Shop, waiting: Any) -> None:
    token, order_sn, fields = waiting
    shop.guest.cancel(token, order_sn)
    shop.wechat.fault("cashier", "after_close")
    shop.guest.cashier(fields)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.wechat.fault("refund_end", "CLOSED")
    shop.janitor.come_to_rest()
    assert refunds(shop, order_sn) == {f"{order_sn}_1_R1": RefundStatus.CLOSED}
    (case,) = shop.call("GET /merchant/cases", token=shop.staff.token()).json["cases"]
    assert (case["kind"], case["amount_fen"]) == ("refund_closed", 89600)
    shop.check()
    for _ in range(2):
        anna = shop.staff.token(user_id="anna")
        reply = shop.call("POST /merchant/cases/{case_id}/refund", {}, token=anna, case=case["case"])
        assert (reply.status, reply.json["out_refund_no"]) == (201, f"{order_sn}_1_R2")
        assert (reply.json["requested_by"], reply.json["amount_fen"]) == ("anna", 89600)
    body = {"resolution": "refunded", "reference": f"{order_sn}_1_R2"}
    reply = shop.call("POST /merchant/cases/{case_id}/close", body, token=shop.staff.token(), case=case["case"])
    assert (reply.status, reply.json["field"]) == (422, "body.reference")  # it has not arrived
    shop.janitor.later(minutes=2)
    shop.janitor.come_to_rest()
    assert refunds(shop, order_sn)[f"{order_sn}_1_R2"] is RefundStatus.SUCCESS
    closed = shop.call("GET /merchant/cases/{case_id}", token=shop.staff.token(), case=case["case"]).json
    assert (closed["resolution"], closed["closed_by"]) == ("answered", "system")
    shop.check()


def test_late_money_whose_refund_may_still_arrive_is_not_refunded_a_second_time(shop: Shop, waiting: Any) -> None:
    token, order_sn, fields = waiting
    shop.guest.cancel(token, order_sn)
    shop.wechat.fault("cashier", "after_close")
    shop.guest.cashier(fields)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.wechat.fault("refund_end", "ABNORMAL")
    shop.janitor.come_to_rest()
    (case,) = shop.call("GET /merchant/cases", token=shop.staff.token()).json["cases"]
    reply = shop.call("POST /merchant/cases/{case_id}/refund", {}, token=shop.staff.token(), case=case["case"])
    assert (reply.status, reply.json["type"]) == (409, "urn:wxpay:refund-state")
    assert refunds(shop, order_sn) == {f"{order_sn}_1_R1": RefundStatus.ABNORMAL}
    shop.check()


@pytest.mark.parametrize("asked", [{"total_fen": 1}, {"mchid": "1900009999"}, {"appid": "wx0"}, {"currency": "USD"}])
def test_money_that_is_not_what_we_asked_for_is_a_case(shop: Shop, waiting: Any, asked: dict[str, Any]) -> None:
    _, order_sn, fields = waiting
    shop.items.set_payment(order_sn, **asked)
    shop.guest.cashier(fields)
    for _ in range(2):
        assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    assert payments(shop, order_sn) == [PaymentStatus.MISPAID]
    (case,) = shop.items.cases()
    assert (case["kind"], case["detail"], int(case["amount_fen"])) == ("mispaid", *asked, 89600)
    shop.janitor.come_to_rest()
    assert status(shop, order_sn) is OrderStatus.CANCELLED
    shop.check()
    made = shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=89600)["out_refund_no"]
    told = shop.call("GET /merchant/cases", token=shop.staff.token()).json["cases"][0]
    for reference, why in (("console", "WeChat knows no refund"), (made, "has not arrived")):
        reply = shop.staff.close_case(told["case"], "refunded", reference)
        assert (reply.status, why in reply.json["detail"]) == (422, True), reply
    shop.janitor.later(minutes=1)
    assert shop.staff.close_case(told["case"], "refunded", made).status == 200
    shop.wechat.refunds_end()
    shop.events.settle()
    shop.check()


# --- refunds (R7)


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
    assert status(shop, paid) is OrderStatus.REFUNDED
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
    assert list(refunds(shop, paid).values()) == [RefundStatus.SUCCESS]
    shop.check()


def test_a_refund_that_meets_429_is_asked_for_again_under_its_number(shop: Shop, paid: str) -> None:
    shop.wechat.fault("refund", "429", times=2)
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.events.settle()
    assert refunds(shop, paid) == {number: RefundStatus.REQUESTED}
    shop.janitor.come_to_rest()
    assert refunds(shop, paid) == {number: RefundStatus.SUCCESS}
    shop.check()


def test_a_refund_that_met_429_although_it_was_taken_is_found(shop: Shop, paid: str) -> None:
    shop.wechat.fault("refund", "429", after_effect=True)
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.events.settle()
    assert refunds(shop, paid) == {number: RefundStatus.PROCESSING}
    shop.janitor.come_to_rest()
    shop.check()


def test_an_empty_balance_is_waited_for_with_an_alarm(shop: Shop, paid: str, capsys: Any) -> None:
    shop.wechat.world.balance = 0
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.events.settle()
    assert "RefundNotEnough" in capsys.readouterr().out
    shop.janitor.come_to_rest()
    assert refunds(shop, paid) == {number: RefundStatus.REQUESTED}
    shop.wechat.world.balance = 10**6
    shop.janitor.later(minutes=16)
    shop.janitor.come_to_rest()
    assert refunds(shop, paid) == {number: RefundStatus.SUCCESS}
    shop.check()


def test_a_refund_callback_before_our_write_and_twice(shop: Shop, paid: str) -> None:
    shop.wechat.fault("refund", "drop", after_effect=True, times=2)
    shop.wechat.fault("query_refund", "500", times=3)
    number = shop.staff.refund(paid).json["out_refund_no"]
    (event,) = shop.events.published()
    assert shop.events.deliver("execute_refund", event) == ["m0"]
    assert refunds(shop, paid) == {number: RefundStatus.REQUESTED}
    shop.wechat.refunds_end()
    assert refunds(shop, paid) == {number: RefundStatus.SUCCESS}
    assert shop.wechat.notify(shop.wechat.refund_notice(number)).status == 204
    shop.wechat.world.faults.clear()
    assert shop.events.deliver("execute_refund", event) == []
    shop.janitor.come_to_rest()
    assert len(shop.wechat.world.refunds) == 1
    assert status(shop, paid) is OrderStatus.REFUNDED
    shop.check()


def test_a_final_no_is_a_case_and_the_sum_may_be_asked_for_again(shop: Shop, paid: str) -> None:
    shop.wechat.driver(f"trades/{paid}_1/refund", amount=89600)  # in the console, and its notice is late
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.janitor.later(minutes=2)
    shop.events.settle()
    assert refunds(shop, paid)[number] is RefundStatus.REQUESTED  # one no is not enough
    shop.janitor.later(minutes=2)
    shop.janitor.sweep()
    shop.events.settle()
    assert refunds(shop, paid)[number] is RefundStatus.REFUSED
    assert [case["kind"] for case in shop.items.cases()] == ["refund_refused"]
    shop.janitor.come_to_rest()
    assert status(shop, paid) is OrderStatus.REFUNDED
    shop.check()


def test_a_refund_in_the_merchant_console_is_taken_over(shop: Shop, paid: str) -> None:
    told = shop.wechat.driver(f"trades/{paid}_1/refund", amount=30000)
    shop.janitor.come_to_rest()
    order = shop.items.collection(paid).order
    assert (order.refunded_fen, order.refundable_fen, order.status) == (30000, 59600, OrderStatus.WAIT_USE)
    assert refunds(shop, paid) == {told["out_refund_no"]: RefundStatus.SUCCESS}
    assert shop.items.collection(paid).refunds[0].origin == "console"
    assert len(shop.wechat.world.messages) == 2
    shop.check()


@pytest.mark.parametrize("end", ["ABNORMAL", "CLOSED"])
def test_a_refund_that_ends_badly_is_a_case(shop: Shop, paid: str, end: str) -> None:
    shop.wechat.fault("refund_end", end)
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.janitor.come_to_rest()
    assert refunds(shop, paid) == {number: RefundStatus(end)}
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
    assert refunds(shop, paid) == {number: RefundStatus.SUCCESS}
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
    assert list(refunds(shop, paid).values()) == [RefundStatus.SUCCESS]
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
    assert status(shop, paid) is OrderStatus.REFUNDED
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
    assert list(refunds(shop, paid).values()) == [RefundStatus.PROCESSING]


# --- consumers in trouble


def test_order_update_fails_three_times_and_then_works(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    (event,) = shop.events.published()
    shop.deploy(TABLE_NAME="gone")
    for _ in range(3):
        assert shop.events.deliver("order_update", event) == ["m0"]
    shop.deploy(TABLE_NAME="table")
    assert shop.events.deliver("order_update", "{poison", event, "[]") == ["m0", "m2"]
    shop.events.settle()
    assert status(shop, order_sn) is OrderStatus.WAIT_USE
    shop.check(poison=2)


def test_the_access_token_is_taken_back_between_two_messages(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.wechat.fault("send", "token_invalidated", after_effect=True)
    shop.events.settle()
    shop.janitor.come_to_rest()
    assert len(shop.wechat.world.messages) == 2
    shop.check()


# --- an unverified notice is a hint (R13)


def test_an_unverified_notice_that_opens_makes_the_janitor_look_five_times_at_most(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    shop.wechat.world.trades[f"{order_sn}_1"].trade_state = "NOTPAY"
    signed = None
    shop.wechat.world.trades[f"{order_sn}_1"].trade_state = "SUCCESS"
    for hint in range(1, 7):
        signed = shop.wechat.notice(f"{order_sn}_1", private_key=shop.wechat.world.credentials.next_private_key)
        assert shop.wechat.notify(signed).status == 401
        order = shop.items.collection(order_sn).order
        assert order.hints == min(hint, 5)
        assert payments(shop, order_sn) == [PaymentStatus.NOTPAY]
        shop.wechat.world.trades[f"{order_sn}_1"].trade_state = "NOTPAY"
        assert shop.janitor.sweep()["orders"] == (1 if hint <= 5 else 0)
        shop.wechat.world.trades[f"{order_sn}_1"].trade_state = "SUCCESS"
    shop.janitor.later(minutes=2)
    shop.janitor.come_to_rest()
    assert status(shop, order_sn) is OrderStatus.WAIT_USE
    assert signed is not None
    assert shop.wechat.notify(signed).status == 401
    assert shop.items.collection(order_sn).order.hints == 5
    shop.check()


def test_a_notice_that_does_not_open_is_no_hint(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    signed = shop.wechat.notice(f"{order_sn}_1", private_key=shop.wechat.world.credentials.next_private_key)
    body = signed.body.replace(b'"nonce":"', b'"nonce":"x')
    assert shop.wechat.notify(signed, body=body.decode()).status == 401
    assert shop.items.collection(order_sn).order.hints == 0


# --- the janitor itself


def test_one_order_that_fails_does_not_stop_the_others(shop: Shop) -> None:
    numbers = [shop.guest.paid_order()[1] for _ in range(2)]
    broken = shop.items.collection(numbers[0]).payments[0]
    key = {"pk": {"S": f"ORDER#{numbers[0]}"}, "sk": {"S": "PAYMENT#1"}}
    update = {"UpdateExpression": "SET created_at = :x", "ExpressionAttributeValues": {":x": {"S": "nonsense"}}}
    shop.items.client.update_item(TableName="table", Key=key, **update)
    shop.janitor.later(minutes=2)
    assert shop.janitor.sweep() == {"orders": 1, "failed": 1, "left": 0}
    assert payments(shop, numbers[1]) == [PaymentStatus.SUCCESS]
    assert shop.janitor.sweep() == {"orders": 0, "failed": 0, "left": 0}  # it comes again when its lease is over
    update["ExpressionAttributeValues"] = {":x": {"S": broken.created_at.isoformat()}}
    shop.items.client.update_item(TableName="table", Key=key, **update)
    shop.janitor.come_to_rest()
    shop.check()


def test_the_janitor_stops_before_its_time_is_over(shop: Shop) -> None:
    shop.guest.paid_order()
    shop.janitor.later(minutes=2)
    shop.context.remaining_ms = 14_000
    assert shop.janitor.sweep() == {"orders": 0, "failed": 0, "left": 1}
    shop.context.remaining_ms = 30_000
    shop.janitor.come_to_rest()
    shop.check()


def test_two_janitors_never_work_on_one_order(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    shop.janitor.later(minutes=2)
    looks, expires_at = shop.store.looks, shop.items.collection(order_sn).order.expires_at
    (due,) = (one for shard in "0123456789" for one in looks.due(shard, expires_at, 9))
    assert looks.move(due, expires_at)
    assert not looks.move(due, None)
    assert shop.items.collection(order_sn).order.due_at == shop.items.collection(order_sn).order.expires_at


def test_a_second_janitor_leaves_alone_what_the_first_one_has_begun(
    shop: Shop, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, order_sn, _ = waiting
    shop.janitor.later(minutes=2)
    asked: list[str] = []
    query = WechatPay.query

    def meanwhile_another_sweeps(self: WechatPay, payment: Payment) -> TradeReport | None:
        asked.append(payment.out_trade_no)
        if len(asked) == 1:
            assert shop.janitor.sweep() == {"orders": 0, "failed": 0, "left": 0}
        return query(self, payment)

    monkeypatch.setattr(WechatPay, "query", meanwhile_another_sweeps)
    assert shop.janitor.sweep()["orders"] == 1
    assert asked == [f"{order_sn}_1"]
    shop.check()


def test_a_stay_that_is_over_expires(shop: Shop, paid: str) -> None:
    shop.janitor.come_to_rest()
    shop.janitor.later(days=9)
    shop.janitor.sweep()
    assert status(shop, paid) is OrderStatus.WAIT_USE
    shop.janitor.later(days=2)
    shop.janitor.sweep()
    order = shop.items.collection(paid).order
    assert (order.status, order.due_at) == (OrderStatus.EXPIRED, None)
    assert shop.staff.refund(paid).status == 201
    shop.janitor.come_to_rest()
    assert status(shop, paid) is OrderStatus.REFUNDED
    shop.check()
