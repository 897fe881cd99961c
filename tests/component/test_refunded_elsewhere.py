"""A trade that WeChat calls refunded although no refund of it is known here: the order is on hold until somebody knows
what went back (R4, R5, R6)."""

from typing import Any

import pytest

from payments.domain.case import REFUNDED_ELSEWHERE
from payments.domain.collection import Collection
from payments.domain.order import OrderStatus
from payments.domain.payment import PaymentStatus
from payments.domain.refund import RefundStatus
from payments.domain.times import utc_now
from payments.store.cases import Cases
from payments.store.store import Store
from tests.shop import Shop

TOTAL = 89600


@pytest.fixture
def elsewhere(shop: Shop) -> tuple[str, str, str]:
    """(token, order_sn, out_refund_no): paid, refunded in full in WeChat's console, and both notices are lost."""
    token, order_sn = shop.guest.paid_order()
    made = shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=TOTAL)
    return token, order_sn, str(made["out_refund_no"])


def guest(shop: Shop, token: str, order_sn: str) -> dict[str, Any]:
    return dict(shop.call("GET /orders/{order_sn}", token=token, order_sn=order_sn).json)


def desk(shop: Shop, order_sn: str) -> dict[str, Any]:
    return dict(shop.call("GET /merchant/orders/{order_sn}", token=shop.staff.token(), order_sn=order_sn).json)


def hold(shop: Shop, token: str, order_sn: str) -> dict[str, Any]:
    """The case that a poll opens, after its events have run their course."""
    shop.guest.poll(token, order_sn)
    shop.events.settle()
    (case,) = shop.staff.open_cases()
    assert (case["kind"], case["amount_fen"]) == (REFUNDED_ELSEWHERE, TOTAL)
    return case


def test_a_poll_that_finds_a_refunded_trade_puts_its_order_on_hold(shop: Shop, elsewhere: Any) -> None:
    token, order_sn, _ = elsewhere
    hold(shop, token, order_sn)
    collection = shop.items.collection(order_sn)
    assert collection.payments[0].status is PaymentStatus.SUCCESS
    assert (collection.order.status, collection.order.on_hold) == (OrderStatus.WAIT_USE, True)
    assert collection.order.redeem_code is None
    assert len(shop.wechat.world.messages) == 0
    told = shop.guest.poll(token, order_sn)
    assert (told["order_status"], told["on_hold"], told["redeem_code"]) == ("WAIT_USE", True, None)
    assert guest(shop, token, order_sn)["on_hold"] is True
    assert desk(shop, order_sn)["on_hold"] is True
    shop.check()


def test_whoever_learns_of_it_opens_one_case(shop: Shop, elsewhere: Any) -> None:
    """The poll, the janitor, the cancel, the prepay and a late notice of the payment: one case, one hold."""
    token, order_sn, _ = elsewhere
    shop.janitor.later(minutes=2)
    shop.janitor.sweep()
    assert [case["kind"] for case in shop.items.cases()] == [REFUNDED_ELSEWHERE]
    assert shop.call("POST /orders/{order_sn}/cancel", token=token, order_sn=order_sn).status == 409
    assert shop.call("POST /orders/{order_sn}/prepay", {"fresh": True}, token=token, order_sn=order_sn).status == 409
    shop.guest.poll(token, order_sn)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    assert [case["kind"] for case in shop.items.cases()] == [REFUNDED_ELSEWHERE]
    assert shop.items.collection(order_sn).order.on_hold is True
    shop.check()


@pytest.mark.parametrize("who", ["cancel", "prepay", "sweep"])
def test_each_who_asks_wechat_may_be_the_first_to_learn_of_it(shop: Shop, elsewhere: Any, who: str) -> None:
    token, order_sn, _ = elsewhere
    if who == "sweep":
        shop.janitor.later(minutes=2)
        shop.janitor.sweep()
    else:
        shop.janitor.later(seconds=6)
        body = {"fresh": True} if who == "prepay" else None
        shop.call("POST /orders/{order_sn}/" + who, body, token=token, order_sn=order_sn)
    shop.events.settle()
    order = shop.items.collection(order_sn).order
    assert (order.status, order.on_hold, order.redeem_code) == (OrderStatus.WAIT_USE, True, None)
    shop.check()


def test_a_success_that_was_recorded_before_is_put_on_hold_all_the_same(shop: Shop, elsewhere: Any) -> None:
    """A copy of the payment's notice, late, and the answer REFUND to a poll that was under way: the second to be stored
    finds the first one's write."""
    token, order_sn, _ = elsewhere
    shop.wechat.world.trades[f"{order_sn}_1"].trade_state = "SUCCESS"
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    code = shop.guest.poll(token, order_sn)["redeem_code"]
    assert code
    shop.wechat.world.trades[f"{order_sn}_1"].trade_state = "REFUND"
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    assert shop.items.collection(order_sn).order.on_hold is True
    assert shop.guest.poll(token, order_sn)["redeem_code"] is None
    reply = shop.staff.redeem(code)
    assert (reply.status, reply.json["type"]) == (409, "urn:wxpay:on-hold")
    shop.check()


def test_while_on_hold_nothing_is_given_out(shop: Shop, elsewhere: Any) -> None:
    token, order_sn, _ = elsewhere
    hold(shop, token, order_sn)
    reply = shop.staff.refund(order_sn, 100)
    assert (reply.status, reply.json["type"]) == (409, "urn:wxpay:on-hold")
    assert shop.staff.refund(order_sn, key="all-of-it").status == 409
    assert not shop.store.orders.redeem(order_sn, "staff-1", "attempt", utc_now())  # the condition of the write itself
    order = shop.items.collection(order_sn).order
    refund_of = shop.items.collection(order_sn)
    assert refund_of.refunds == []
    shop.janitor.later(days=20)  # the stay is long over: a person still has to say what became of the money
    shop.janitor.sweep()
    shop.events.settle()
    assert shop.items.collection(order_sn).order.status is OrderStatus.WAIT_USE
    assert len(shop.wechat.world.messages) == 0
    assert order.due_at is None or shop.items.collection(order_sn).order.due_at is None
    shop.check()


def test_the_refund_that_becomes_known_ends_the_hold(shop: Shop, elsewhere: Any) -> None:
    token, order_sn, number = elsewhere
    case = hold(shop, token, order_sn)
    shop.wechat.refunds_end()
    shop.events.settle()
    order = shop.items.collection(order_sn).order
    assert (order.status, order.on_hold, order.refunded_fen) == (OrderStatus.REFUNDED, None, TOTAL)
    closed = shop.call("GET /merchant/cases/{case_id}", token=shop.staff.token(), case=case["case"]).json
    assert (closed["resolution"], closed["reference"], closed["closed_by"]) == ("refunded", number, "system")
    shop.janitor.come_to_rest()
    assert len(shop.wechat.world.messages) == 0
    shop.check()


def test_a_part_that_went_back_leaves_a_code_for_the_rest(shop: Shop) -> None:
    token, order_sn = shop.guest.paid_order()
    shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=10000)
    hold(shop, token, order_sn)
    shop.wechat.refunds_end()
    shop.janitor.come_to_rest()
    order = shop.items.collection(order_sn).order
    assert (order.status, order.refunded_fen, order.refundable_fen) == (OrderStatus.WAIT_USE, 10000, 79600)
    code = shop.guest.poll(token, order_sn)["redeem_code"]
    assert code
    assert len(shop.wechat.world.messages) == 2
    assert shop.staff.redeem(code).status == 200
    shop.check()


def test_a_refund_in_progress_is_enough_and_one_that_is_closed_later_gives_its_sum_back(
    shop: Shop, elsewhere: Any
) -> None:
    token, order_sn, number = elsewhere
    case = hold(shop, token, order_sn)
    assert shop.staff.close_case(case["case"], "refunded", number).status == 200  # WeChat says PROCESSING
    order = shop.items.collection(order_sn).order
    assert (order.on_hold, order.refundable_fen) == (None, 0)
    shop.wechat.world.refunds[number].ends_as = "CLOSED"
    shop.wechat.refunds_end()
    shop.janitor.come_to_rest()
    order = shop.items.collection(order_sn).order
    assert (order.refundable_fen, order.status) == (TOTAL, OrderStatus.WAIT_USE)
    assert order.redeem_code
    assert len(shop.wechat.world.messages) == 2
    shop.check()


def test_a_person_may_say_that_there_was_no_refund(shop: Shop, elsewhere: Any) -> None:
    token, order_sn, number = elsewhere
    case = hold(shop, token, order_sn)
    del shop.wechat.world.refunds[number]
    shop.wechat.world.trades[f"{order_sn}_1"].refunds.clear()
    assert shop.staff.close_case(case["case"], "kept", "WeChat's console shows no refund").status == 200
    shop.janitor.come_to_rest()
    order = shop.items.collection(order_sn).order
    assert (order.on_hold, order.refundable_fen) == (None, TOTAL)
    assert shop.staff.redeem(shop.guest.poll(token, order_sn)["redeem_code"]).status == 200
    assert len(shop.wechat.world.messages) == 2
    shop.guest.poll(token, order_sn)
    assert (
        shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    )  # WeChat still says REFUND: it was answered
    assert shop.items.collection(order_sn).order.on_hold is None


@pytest.mark.parametrize(
    ("resolution", "reference", "status"),
    [
        ("refunded", "随便随便随便随便随便", 422),
        ("refunded", "no-such-refund", 422),
        ("kept", "short", 422),
        ("booked", "", 422),
        ("settled_by_hand", "in cash at the desk on the 24th, to the guest", 409),
    ],
)
def test_it_cannot_be_closed_otherwise(
    shop: Shop, elsewhere: Any, resolution: str, reference: str, status: int
) -> None:
    token, order_sn, _ = elsewhere
    case = hold(shop, token, order_sn)
    reply = shop.staff.close_case(case["case"], resolution, reference, "*")
    assert reply.status == status, reply
    assert shop.items.collection(order_sn).order.on_hold is True
    shop.check()


def test_while_wechat_cannot_be_asked_the_case_stays_open(shop: Shop, elsewhere: Any) -> None:
    token, order_sn, number = elsewhere
    case = hold(shop, token, order_sn)
    shop.wechat.fault("query_refund", "500", times=9)
    reply = shop.staff.close_case(case["case"], "refunded", number)
    assert (reply.status, reply.headers["retry-after"]) == (503, "3")
    assert shop.staff.open_cases()
    shop.check()


def test_a_refund_of_another_trade_does_not_answer_it(shop: Shop, elsewhere: Any) -> None:
    token, order_sn, _ = elsewhere
    case = hold(shop, token, order_sn)
    _, other = shop.guest.paid_order()
    strange = shop.wechat.driver(f"trades/{other}_1/refund", amount=TOTAL)["out_refund_no"]
    reply = shop.staff.close_case(case["case"], "refunded", strange)
    assert (reply.status, reply.json["detail"]) == (422, "this refund is of another payment")
    assert shop.items.collection(order_sn).order.on_hold is True


def test_a_close_whose_answer_got_lost_is_repeated_and_holds(
    shop: Shop, elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore repeats the write, and the repeat fails the condition of the first one (R11)."""
    token, order_sn, _ = elsewhere
    case = hold(shop, token, order_sn)
    once = Cases.close_with_order

    def twice(self: Cases, *args: Any, **kwargs: Any) -> Any:
        assert once(self, *args, **kwargs)
        return once(self, *args, **kwargs)

    monkeypatch.setattr(Cases, "close_with_order", twice)
    assert shop.staff.close_case(case["case"], "kept", "no refund in the console").status == 200
    assert shop.items.collection(order_sn).order.on_hold is None


# --- money that pays no order


def late_and_refunded(shop: Shop, amount: int) -> tuple[str, str, str]:
    """(token, order_sn, out_refund_no): cancelled, then paid, then refunded in the console; nothing is known here."""
    token, order_sn = shop.guest.late_order()
    made = shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=amount)
    return token, order_sn, str(made["out_refund_no"])


def test_late_money_that_was_refunded_elsewhere_is_not_refunded_again(shop: Shop) -> None:
    _, order_sn, number = late_and_refunded(shop, TOTAL)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    assert shop.items.collection(order_sn).refunds == []
    shop.janitor.come_to_rest()
    (known,) = shop.items.collection(order_sn).refunds  # its own notice came
    assert (known.out_refund_no, known.status, known.origin) == (number, RefundStatus.SUCCESS, "console")
    assert shop.staff.open_cases() == []
    shop.check()


def test_of_late_money_only_the_rest_goes_back_by_itself(shop: Shop) -> None:
    _, order_sn, number = late_and_refunded(shop, 10000)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    shop.janitor.come_to_rest()
    sums = {refund.out_refund_no: refund.amount_fen for refund in shop.items.collection(order_sn).refunds}
    assert sums == {number: 10000, f"{order_sn}_1_R1": 79600}
    assert sum(refund.amount for refund in shop.wechat.world.refunds.values()) == TOTAL
    shop.check()


def test_when_there_was_no_refund_late_money_goes_back_after_the_case(shop: Shop) -> None:
    _, order_sn, number = late_and_refunded(shop, TOTAL)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    (case,) = shop.staff.open_cases()
    del shop.wechat.world.refunds[number]
    trade = shop.wechat.world.trades[f"{order_sn}_1"]
    trade.refunds.clear()
    trade.trade_state = "SUCCESS"
    assert shop.staff.close_case(case["case"], "kept", "nothing in WeChat's console").status == 200
    shop.janitor.come_to_rest()
    (made,) = shop.items.collection(order_sn).refunds
    assert (made.out_refund_no, made.status) == (f"{order_sn}_1_R1", RefundStatus.SUCCESS)
    shop.check()


def test_a_hold_of_a_second_trade_does_not_keep_a_guest_from_his_room(shop: Shop) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    first = shop.guest.prepay(token, order_sn)
    shop.wechat.driver(f"trades/{order_sn}_1/close")
    shop.janitor.later(seconds=6)
    second = shop.guest.prepay(token, order_sn, fresh=True)
    assert shop.guest.cashier(second) == "requestPayment:ok"
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_2")).status == 204
    shop.events.settle()
    shop.wechat.fault("cashier", "after_close")
    assert shop.guest.cashier(first) == "requestPayment:ok"
    shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=TOTAL)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    assert [case["kind"] for case in shop.staff.open_cases()] == [REFUNDED_ELSEWHERE]
    assert shop.items.collection(order_sn).order.on_hold is None
    assert shop.staff.redeem(shop.guest.poll(token, order_sn)["redeem_code"]).status == 200
    shop.janitor.come_to_rest()
    assert shop.staff.open_cases() == []
    shop.check()


# --- a refund that is known before its payment (R5)


def test_a_console_refund_whose_notice_comes_before_the_payments_leaves_nothing_to_redeem(
    shop: Shop, elsewhere: Any
) -> None:
    token, order_sn, number = elsewhere
    shop.wechat.refunds_end()
    (known,) = shop.items.collection(order_sn).refunds
    assert (known.out_refund_no, known.transaction_id) == (
        number,
        shop.wechat.world.trades[f"{order_sn}_1"].transaction_id,
    )
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    (paid,) = (event for event in shop.events.published() if event["type"] == "payment.succeeded")
    assert shop.events.deliver("order_update", paid) == []
    order = shop.items.collection(order_sn).order
    assert (order.status, order.refunded_fen, order.refundable_fen) == (OrderStatus.REFUNDED, TOTAL, 0)
    assert order.redeem_code is None
    shop.events.settle()
    shop.janitor.come_to_rest()
    assert len(shop.wechat.world.messages) == 0
    assert shop.guest.poll(token, order_sn)["redeem_code"] is None
    shop.check()


def test_a_refund_that_is_known_before_its_payment_makes_the_janitor_ask_about_the_payment(
    shop: Shop, elsewhere: Any
) -> None:
    _, order_sn, _ = elsewhere
    shop.wechat.refunds_end()
    assert shop.items.collection(order_sn).payments[0].status is PaymentStatus.NOTPAY
    shop.janitor.later(seconds=1)
    shop.janitor.sweep()
    assert shop.items.collection(order_sn).payments[0].status is PaymentStatus.SUCCESS
    shop.janitor.come_to_rest()
    assert shop.items.collection(order_sn).order.status is OrderStatus.REFUNDED
    assert shop.staff.open_cases() == []
    shop.check()


@pytest.mark.parametrize("trade_state", ["SUCCESS", "REFUND"])
def test_a_payment_that_is_not_the_one_its_refund_named_is_a_case(shop: Shop, elsewhere: Any, trade_state: str) -> None:
    _, order_sn, _ = elsewhere
    shop.wechat.refunds_end()
    other = {"transaction_id": "4200009999202611250000000001", "trade_state": trade_state}
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1", plaintext=other)).status == 204
    payment = shop.items.collection(order_sn).payments[0]
    assert payment.status is PaymentStatus.MISPAID
    (case,) = shop.items.cases()
    assert (case["kind"], case["detail"], int(case["amount_fen"])) == ("mispaid", "transaction_id", TOTAL)


def test_sums_that_were_read_before_a_refund_became_known_are_not_written(
    shop: Shop, elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refund's notice comes between order_update's read and its write of WAIT_USE."""
    token, order_sn, _ = elsewhere
    shop.wechat.world.trades[f"{order_sn}_1"].trade_state = "SUCCESS"
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    (event,) = shop.events.published()
    read = Store.collection

    def then_the_refund(self: Store, number: str, *, consistent: bool = False) -> Collection | None:
        seen = read(self, number, consistent=consistent)
        monkeypatch.setattr(Store, "collection", read)
        shop.wechat.refunds_end()
        return seen

    monkeypatch.setattr(Store, "collection", then_the_refund)
    assert shop.events.deliver("order_update", event) == []
    order = shop.items.collection(order_sn).order
    assert (order.refundable_fen, order.redeem_code) == (0, None)
    shop.janitor.come_to_rest()
    assert shop.guest.poll(token, order_sn)["redeem_code"] is None
    shop.check()
