"""Money that comes too late, twice, or in another sum than was asked for (R4, R5, R6)."""

from typing import Any

import pytest

from payments.domain.order import OrderStatus
from payments.domain.payment import PaymentStatus
from payments.domain.refund import RefundStatus
from tests.shop import Shop


def test_pay_after_cancel_is_refunded_by_itself_and_the_guest_is_told(shop: Shop) -> None:
    _, order_sn = shop.guest.late_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    assert shop.items.payments(order_sn) == [PaymentStatus.SUCCESS]
    shop.events.settle()
    assert shop.items.refunds(order_sn) == {f"{order_sn}_1_R1": RefundStatus.PROCESSING}
    shop.wechat.refunds_end()
    shop.events.settle()
    assert shop.items.refunds(order_sn) == {f"{order_sn}_1_R1": RefundStatus.SUCCESS}
    (message,) = shop.wechat.world.messages
    assert message["data"]["amount2"]["value"] == "¥896.00"
    assert shop.items.status(order_sn) is OrderStatus.CANCELLED
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
    assert shop.items.refunds(order_sn) == {f"{order_sn}_1_R1": RefundStatus.SUCCESS}
    assert shop.items.collection(order_sn).payments[0].due_at is None
    shop.check()


def test_two_trades_of_one_order_both_paid(shop: Shop, waiting: Any) -> None:
    token, order_sn, first = waiting
    shop.wechat.driver(f"trades/{order_sn}_1/close")
    shop.janitor.later(seconds=5)
    second = shop.guest.prepay(token, order_sn, fresh=True)
    assert second["out_trade_no"] == f"{order_sn}_2"
    assert shop.items.payments(order_sn) == [PaymentStatus.CLOSED, PaymentStatus.NOTPAY]
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
    assert shop.items.refunds(order_sn) == {f"{order_sn}_1_R1": RefundStatus.SUCCESS}
    shop.check()


def test_late_money_that_cannot_go_back_is_a_case_and_a_person_may_try_again(shop: Shop) -> None:
    _, order_sn = shop.guest.late_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.wechat.fault("refund_end", "CLOSED")
    shop.janitor.come_to_rest()
    assert shop.items.refunds(order_sn) == {f"{order_sn}_1_R1": RefundStatus.CLOSED}
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
    assert shop.items.refunds(order_sn)[f"{order_sn}_1_R2"] is RefundStatus.SUCCESS
    closed = shop.call("GET /merchant/cases/{case_id}", token=shop.staff.token(), case=case["case"]).json
    assert (closed["resolution"], closed["closed_by"]) == ("answered", "system")
    shop.check()


def test_late_money_whose_refund_may_still_arrive_is_not_refunded_a_second_time(shop: Shop) -> None:
    _, order_sn = shop.guest.late_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.wechat.fault("refund_end", "ABNORMAL")
    shop.janitor.come_to_rest()
    (case,) = shop.call("GET /merchant/cases", token=shop.staff.token()).json["cases"]
    reply = shop.call("POST /merchant/cases/{case_id}/refund", {}, token=shop.staff.token(), case=case["case"])
    assert (reply.status, reply.json["type"]) == (409, "urn:wxpay:refund-state")
    assert shop.items.refunds(order_sn) == {f"{order_sn}_1_R1": RefundStatus.ABNORMAL}
    shop.check()


@pytest.mark.parametrize("asked", [{"total_fen": 1}, {"mchid": "1900009999"}, {"appid": "wx0"}, {"currency": "USD"}])
def test_money_that_is_not_what_we_asked_for_is_a_case(shop: Shop, waiting: Any, asked: dict[str, Any]) -> None:
    _, order_sn, fields = waiting
    shop.items.set_payment(order_sn, **asked)
    shop.guest.cashier(fields)
    for _ in range(2):
        assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    assert shop.items.payments(order_sn) == [PaymentStatus.MISPAID]
    (case,) = shop.items.cases()
    assert (case["kind"], case["detail"], int(case["amount_fen"])) == ("mispaid", *asked, 89600)
    shop.janitor.come_to_rest()
    assert shop.items.status(order_sn) is OrderStatus.CANCELLED
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
