"""Money and refunds, looked at once more: holds of several trades, refunds that change their mind, money given back
twice, replies of WeChat's that are odd (R1, R4, R5, R6, R7, R10)."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from payments.domain.case import REFUNDED_ELSEWHERE
from payments.domain.order import OrderStatus
from payments.domain.payment import PaymentStatus
from payments.domain.times import utc_now
from payments.store.dynamodb import Conflict
from payments.store.refunds import Refunds
from tests.examples import CHANGED
from tests.shop import Shop
from tests.shop.http import Answer
from tests.shop.wechat import Replying, client_of

TOTAL = 89600
ACCOUNT = "by bank transfer on the 25th, agreed by phone"


def word(shop: Shop, number: str, status: str, **changes: Any) -> None:
    """WeChat's notice of a refund, whose state there is that from now on."""
    made = shop.wechat.world.refunds.get(number)
    if made is not None:
        made.status = status
    told = {"refund_status": status, **changes}
    assert (
        shop.wechat.notify(shop.wechat.refund_notice(number, event_type=f"REFUND.{status}", plaintext=told)).status
        == 204
    )


def statuses(shop: Shop, order_sn: str) -> dict[str, str]:
    return {one.out_refund_no: str(one.status) for one in shop.items.collection(order_sn).refunds}


def kinds(shop: Shop) -> list[str]:
    return sorted(case["kind"] for case in shop.staff.open_cases())


def refund_again(shop: Shop, case: str) -> Answer:
    return shop.call("POST /merchant/cases/{case_id}/refund", {}, token=shop.staff.token(), case=case)


# --- holds


def test_a_hold_of_a_first_trade_does_not_keep_the_guest_out_who_pays_with_the_second(shop: Shop) -> None:
    """Both successes are recorded before either event arrives, and the second trade's event comes first."""
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    first = shop.guest.prepay(token, order_sn)
    shop.wechat.driver(f"trades/{order_sn}_1/close")
    shop.janitor.later(seconds=6)
    second = shop.guest.prepay(token, order_sn, fresh=True)
    shop.wechat.fault("cashier", "after_close", times=1)
    assert shop.guest.cashier(first) == "requestPayment:ok"
    shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=TOTAL)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    assert shop.guest.cashier(second) == "requestPayment:ok"
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_2")).status == 204
    paid = {e["state"]["n"]: e for e in shop.events.published() if e["type"] == "payment.succeeded"}
    assert shop.events.deliver("order_update", paid[2], paid[1]) == []
    shop.events.settle()
    order = shop.items.collection(order_sn).order
    assert (order.paid_by, order.on_hold) == (2, None)
    assert kinds(shop) == [REFUNDED_ELSEWHERE]
    assert shop.staff.redeem(shop.guest.poll(token, order_sn)["redeem_code"]).status == 200
    shop.check()


@pytest.mark.parametrize("order_of_closing", [(1, 2), (2, 1)])
def test_two_holds_end_with_the_one_of_the_trade_that_pays(shop: Shop, order_of_closing: tuple[int, int]) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    first = shop.guest.prepay(token, order_sn)
    shop.wechat.driver(f"trades/{order_sn}_1/close")
    shop.janitor.later(seconds=6)
    second = shop.guest.prepay(token, order_sn, fresh=True)
    shop.wechat.fault("cashier", "after_close", times=1)
    assert shop.guest.cashier(first) == "requestPayment:ok"
    assert shop.guest.cashier(second) == "requestPayment:ok"
    for n in (1, 2):
        shop.wechat.driver(f"trades/{order_sn}_{n}/refund", amount=TOTAL)
        assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_{n}")).status == 204
    shop.events.settle()
    paid_by = shop.items.collection(order_sn).order.paid_by
    cases = {case["out_trade_no"]: case["case"] for case in shop.staff.open_cases()}
    assert len(cases) == 2
    for n in order_of_closing:
        assert shop.items.collection(order_sn).order.on_hold is (True if f"{order_sn}_{paid_by}" in cases else None)
        assert shop.staff.close_case(cases.pop(f"{order_sn}_{n}"), "kept", "nothing in WeChat's console").status == 200
    order = shop.items.collection(order_sn).order
    assert (order.on_hold, order.status) == (None, OrderStatus.WAIT_USE)


def test_a_hold_that_is_closed_as_kept_after_the_stay_leaves_an_expired_order(shop: Shop) -> None:
    token, order_sn = shop.guest.paid_order()
    shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=TOTAL)
    shop.guest.poll(token, order_sn)
    shop.events.settle()
    (case,) = shop.staff.open_cases()
    shop.wechat.world.refunds.clear()
    shop.wechat.world.trades[f"{order_sn}_1"].refunds.clear()
    shop.janitor.later(days=20)
    shop.janitor.sweep()
    assert shop.staff.close_case(case["case"], "kept", "nothing in WeChat's console").status == 200
    shop.janitor.come_to_rest()
    order = shop.items.collection(order_sn).order
    assert (order.status, order.on_hold, order.redeem_code) == (OrderStatus.EXPIRED, None, None)
    assert [item for item in shop.items.all() if item["sk"]["S"] == "ORDER" and "due_at" in item] == []
    assert len(shop.wechat.world.messages) == 0


def test_a_refund_of_another_transaction_does_not_end_a_hold(shop: Shop) -> None:
    """Of the same number, as WeChat reports; it is a case of its own, and the question stays."""
    token, order_sn = shop.guest.paid_order()
    number = shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=TOTAL)["out_refund_no"]
    shop.guest.poll(token, order_sn)
    (case,) = shop.staff.open_cases()
    trade = shop.wechat.world.trades[f"{order_sn}_1"]
    ours, trade.transaction_id = trade.transaction_id, "4200000000000000000000000009"
    reply = shop.staff.close_case(case["case"], "refunded", number)
    assert reply.status == 422, reply
    assert shop.items.collection(order_sn).order.on_hold is True
    assert kinds(shop) == ["refund_mismatch", REFUNDED_ELSEWHERE]
    trade.transaction_id = ours
    assert shop.staff.close_case(case["case"], "refunded", number).status == 200
    assert shop.items.collection(order_sn).order.on_hold is None


@pytest.mark.parametrize("back", [0, TOTAL + 1])
def test_a_refund_of_nothing_or_of_too_much_does_not_end_a_hold(shop: Shop, back: int) -> None:
    token, order_sn = shop.guest.paid_order()
    number = shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=TOTAL)["out_refund_no"]
    shop.guest.poll(token, order_sn)
    word(shop, number, "SUCCESS", amount={"total": TOTAL, "refund": back, "payer_total": TOTAL, "payer_refund": 0})
    assert shop.items.collection(order_sn).order.on_hold is True


# --- refunds that change their mind


def test_a_refund_that_twice_makes_too_much_is_recorded(shop: Shop, paid: str) -> None:
    """Withdrawn, its sum asked for again; then WeChat accepts it, closes it, and at last pays it after all."""
    number = shop.staff.stalled_refund(paid, TOTAL)
    first = shop.items.collection(paid).refunds[0]
    assert shop.staff.on_refund(paid, number, "withdraw").status == 202
    shop.janitor.come_to_rest(timedelta(minutes=6))
    assert statuses(shop, paid) == {number: "WITHDRAWN"}
    assert shop.staff.refund(paid, 5000, key="asked-again").status == 201
    shop.wechat.world.balance = 10**6
    assert shop.parts.wechat_pay.refund(first).amount_fen == TOTAL
    for status in ("ABNORMAL", "CLOSED", "SUCCESS"):
        word(shop, number, status)
        assert statuses(shop, paid)[number] == status


def test_what_is_too_much_is_told_once(shop: Shop, paid: str) -> None:
    number = shop.staff.stalled_refund(paid, TOTAL)
    first = shop.items.collection(paid).refunds[0]
    assert shop.staff.on_refund(paid, number, "withdraw").status == 202
    shop.janitor.come_to_rest(timedelta(minutes=6))
    shop.wechat.world.balance = 10**6
    again = shop.staff.refund(paid, 5000, key="asked-again").json["out_refund_no"]
    shop.janitor.later(minutes=3)
    shop.events.settle()
    shop.janitor.come_to_rest(timedelta(minutes=3))
    shop.wechat.world.trades[f"{paid}_1"].refunds.clear()  # WeChat does what it should not
    assert statuses(shop, paid)[again] == "SUCCESS"
    shop.janitor.later(minutes=2)
    assert shop.parts.wechat_pay.refund(first).amount_fen == TOTAL
    word(shop, number, "SUCCESS")
    shop.events.settle()
    shop.janitor.come_to_rest(timedelta(minutes=3))
    exceed = [case for case in shop.items.cases() if case["kind"] == "refunds_exceed"]
    assert [int(case["amount_fen"]) for case in exceed] == [5000]


def test_a_stuck_refund_that_wechat_gives_up_is_one_open_case(shop: Shop) -> None:
    _, order_sn = shop.guest.late_order()
    shop.wechat.fault("refund_end", "ABNORMAL", times=1)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.janitor.come_to_rest()
    assert kinds(shop) == ["refund_abnormal"]
    made = shop.wechat.world.refunds[f"{order_sn}_1_R1"]
    made.trade.refunds.remove(made)
    word(shop, f"{order_sn}_1_R1", "CLOSED")
    shop.events.settle()
    assert kinds(shop) == ["refund_closed"]
    shop.check()


def test_a_refused_refund_that_is_on_its_way_after_all_asks_nobody_any_more(shop: Shop, paid: str) -> None:
    shop.wechat.fault("refund", "no", times=9)
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.janitor.come_to_rest()
    assert kinds(shop) == ["refund_refused"]
    shop.wechat.world.faults.clear()
    assert shop.parts.wechat_pay.refund(shop.items.collection(paid).refunds[0]).amount_fen == 1000
    made = shop.wechat.world.refunds[number]
    made.due_at += 10**6
    word(shop, number, "PROCESSING")
    shop.events.settle()
    assert kinds(shop) == []
    assert statuses(shop, paid) == {number: "PROCESSING"}


def test_a_console_refund_of_late_money_that_fails_is_answered_when_all_is_back(shop: Shop) -> None:
    _, order_sn = shop.guest.late_order()
    number = shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=10000)["out_refund_no"]
    shop.wechat.world.refunds[number].due_at += 10**6
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    (case,) = shop.staff.open_cases()
    assert shop.staff.close_case(case["case"], "refunded", number).status == 200  # PROCESSING
    for _ in range(3):
        shop.janitor.later(minutes=2)
        shop.janitor.sweep()
        shop.events.settle()
    word(shop, f"{order_sn}_1_R1", "SUCCESS")
    shop.events.settle()
    assert statuses(shop, order_sn) == {number: "PROCESSING", f"{order_sn}_1_R1": "SUCCESS"}
    made = shop.wechat.world.refunds[number]
    made.trade.refunds.remove(made)
    word(shop, number, "CLOSED")
    shop.events.settle()
    (case,) = shop.staff.open_cases()
    assert (case["kind"], case["amount_fen"]) == ("refund_closed", 10000)
    shop.check()
    reply = refund_again(shop, case["case"])
    assert (reply.status, reply.json["amount_fen"]) == (201, 10000)
    shop.janitor.later(minutes=2)
    shop.janitor.come_to_rest()
    assert shop.staff.open_cases() == []
    shop.check()


# --- money given back by hand


@pytest.fixture
def abnormal(shop: Shop, paid: str) -> dict[str, Any]:
    """The case of a refund of 10000 fen that the guest's account cannot take."""

    def refunded(shop: Shop) -> dict[str, Any]:
        shop.wechat.fault("refund_end", "ABNORMAL", times=1)
        shop.staff.refund(paid, 10000)
        shop.janitor.come_to_rest()
        (case,) = shop.staff.open_cases()
        return case

    return dict(shop.restored("10000 fen ABNORMAL", refunded))


def test_money_given_back_by_hand_that_wechat_gives_back_too_is_a_case(
    shop: Shop, paid: str, abnormal: dict[str, Any]
) -> None:
    assert shop.staff.close_case(abnormal["case"], "settled_by_hand", ACCOUNT, "*").status == 200
    (number,) = statuses(shop, paid)
    word(shop, number, "SUCCESS")
    shop.events.settle()
    order = shop.items.collection(paid).order
    assert (order.refunded_fen, order.refundable_fen, order.by_hand_fen) == (10000, TOTAL - 10000, None)
    (case,) = shop.staff.open_cases()
    assert (case["kind"], case["amount_fen"]) == ("refund_after_settlement", 10000)
    shop.check()


def test_the_case_of_money_given_back_twice_is_opened_although_its_event_gets_lost(
    shop: Shop, paid: str, abnormal: dict[str, Any]
) -> None:
    assert shop.staff.close_case(abnormal["case"], "settled_by_hand", ACCOUNT, "*").status == 200
    (number,) = statuses(shop, paid)
    word(shop, number, "SUCCESS")
    shop.events.lose()
    shop.janitor.come_to_rest()
    assert kinds(shop) == ["refund_after_settlement"]


def test_money_given_back_by_hand_is_asked_about_once(shop: Shop, paid: str, abnormal: dict[str, Any]) -> None:
    """ABNORMAL, settled, and then WeChat gives it up: no second case asks for the same money."""
    assert shop.staff.close_case(abnormal["case"], "settled_by_hand", ACCOUNT, "*").status == 200
    (number,) = statuses(shop, paid)
    made = shop.wechat.world.refunds[number]
    made.trade.refunds.remove(made)
    word(shop, number, "CLOSED")
    shop.events.settle()
    shop.janitor.come_to_rest()
    assert shop.staff.open_cases() == []
    order = shop.items.collection(paid).order
    assert (order.refundable_fen, order.by_hand_fen) == (TOTAL - 10000, 10000)
    assert [item for item in shop.items.all() if item["sk"]["S"].startswith("REFUND#") and "due_at" in item] == []
    shop.check()


@pytest.mark.parametrize("end", ["CLOSED", "ABNORMAL"])
def test_a_console_refund_of_what_was_given_back_by_hand_is_told(shop: Shop, paid: str, end: str) -> None:
    shop.wechat.fault("refund_end", end, times=1)
    number = shop.staff.refund(paid).json["out_refund_no"]
    shop.janitor.come_to_rest()
    (case,) = shop.staff.open_cases()
    assert shop.staff.close_case(case["case"], "settled_by_hand", ACCOUNT, "*").status == 200
    trade = shop.wechat.world.trades[f"{paid}_1"]
    trade.refunds.clear()  # WeChat knows that the first one is not back
    shop.janitor.later(minutes=2)
    again = shop.wechat.driver(f"trades/{paid}_1/refund", amount=1000)["out_refund_no"]
    word(shop, again, "SUCCESS")
    shop.events.lose()
    shop.janitor.come_to_rest()
    exceed = [(one["kind"], one["amount_fen"]) for one in shop.staff.open_cases()]
    assert exceed == [("refunds_exceed", 1000)]
    assert number != again
    assert shop.items.collection(paid).order.refundable_fen == 0


@pytest.mark.parametrize("end", ["CLOSED", "ABNORMAL"])
def test_late_money_given_back_by_hand_is_not_refunded_a_second_time(shop: Shop, end: str) -> None:
    _, order_sn = shop.guest.late_order()
    shop.wechat.fault("refund_end", end, times=1)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.janitor.come_to_rest()
    (case,) = shop.staff.open_cases()
    assert shop.staff.close_case(case["case"], "settled_by_hand", ACCOUNT, "*").status == 200
    shop.janitor.come_to_rest()
    reply = refund_again(shop, case["case"])
    assert reply.status == 409, reply
    if end == "ABNORMAL":
        made = shop.wechat.world.refunds[f"{order_sn}_1_R1"]
        made.trade.refunds.remove(made)
        word(shop, f"{order_sn}_1_R1", "CLOSED")
        shop.janitor.come_to_rest()
        assert refund_again(shop, case["case"]).status == 409
    assert statuses(shop, order_sn) == {f"{order_sn}_1_R1": "CLOSED"}
    assert shop.staff.open_cases() == []


def test_more_than_is_left_cannot_be_given_back_by_hand(shop: Shop, paid: str) -> None:
    """The refused refund's sum was free again, and was refunded under another number."""
    shop.wechat.fault("refund", "no", times=9)
    shop.staff.refund(paid, 60000)
    shop.janitor.come_to_rest()
    shop.wechat.world.faults.clear()
    (case,) = shop.staff.open_cases()
    assert shop.staff.refund(paid, 50000, key="asked-again").status == 201
    shop.janitor.come_to_rest()
    reply = shop.staff.close_case(case["case"], "settled_by_hand", ACCOUNT, "*")
    assert (reply.status, reply.json["type"], "39600" in reply.json["detail"]) == (409, "urn:wxpay:resolution", True)
    assert shop.staff.close_case(case["case"], "kept", "it was refunded under another number").status == 200
    shop.check()


def test_a_refund_that_may_still_arrive_is_not_settled_by_hand(shop: Shop, paid: str) -> None:
    shop.wechat.world.balance = 0
    shop.staff.refund(paid, 1000)
    shop.events.settle()
    for _ in range(8):
        shop.janitor.later(days=1)
        shop.janitor.sweep()
        shop.events.settle()
    (case,) = shop.staff.open_cases()
    assert case["kind"] == "refund_stalled"
    reply = shop.staff.close_case(case["case"], "settled_by_hand", ACCOUNT, "*")
    assert (reply.status, reply.json["type"]) == (409, "urn:wxpay:resolution")
    assert kinds(shop) == ["refund_stalled"]


def test_a_refund_that_has_arrived_meanwhile_is_not_settled_by_hand(
    shop: Shop, paid: str, abnormal: dict[str, Any]
) -> None:
    (number,) = statuses(shop, paid)
    word(shop, number, "SUCCESS")
    shop.events.lose()
    reply = shop.staff.close_case(abnormal["case"], "settled_by_hand", ACCOUNT, "*")
    assert (reply.status, reply.json["type"]) == (409, "urn:wxpay:resolution")
    shop.janitor.come_to_rest()
    assert shop.staff.open_cases() == []


# --- odd words


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+00:00", "2999-01-01T00:00:00Z"])
def test_an_impossible_time_keeps_no_payment_from_being_recorded(shop: Shop, moment: str) -> None:
    token, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1", plaintext={"success_time": moment})).status == 204
    shop.events.settle()
    collection = shop.items.collection(order_sn)
    assert collection.payments[0].status is PaymentStatus.SUCCESS
    assert collection.payments[0].success_time is not None
    assert abs(collection.payments[0].success_time - utc_now()) < timedelta(minutes=5)
    assert shop.guest.poll(token, order_sn)["redeem_code"]
    shop.check()


@pytest.mark.parametrize("year", [9999, 2999, 1])
def test_an_impossible_time_of_a_refund_does_not_keep_the_next_part_waiting(
    shop: Shop, paid: str, year: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = f"{year:04d}-12-31T23:59:59Z"
    monkeypatch.setattr("simulator.refunds.rfc3339", lambda _: told)
    shop.staff.refund(paid, 1000, key="first-part")
    shop.events.settle()
    shop.janitor.later(minutes=2)
    assert (
        shop.staff.refund(paid, 1000, key="second-part").json["due_at"] < (utc_now() + timedelta(minutes=5)).isoformat()
    )
    shop.janitor.come_to_rest(timedelta(minutes=10))
    assert set(statuses(shop, paid).values()) == {"SUCCESS"}
    shop.check()


def test_a_second_transaction_that_is_refunded_before_any_payment_is_known_does_not_spoil_the_first(
    shop: Shop,
) -> None:
    token, order_sn = shop.guest.paid_order()
    number = shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=10000)["out_refund_no"]
    word(shop, number, "SUCCESS")
    other = {"out_refund_no": "another", "transaction_id": "4200000000000000000000000009"}
    word(shop, number, "SUCCESS", **other)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    assert shop.items.collection(order_sn).payments[0].status is PaymentStatus.SUCCESS
    assert kinds(shop) == ["refund_mismatch"]
    assert shop.guest.poll(token, order_sn)["redeem_code"]


def test_try_now_while_wechat_is_away_is_kept(shop: Shop, paid: str, abnormal: dict[str, Any]) -> None:
    (number,) = statuses(shop, paid)
    route = "POST /merchant/orders/{order_sn}/refunds/{out_refund_no}/try"
    assert shop.call(route, token=shop.staff.token(), order_sn=paid, refund=number).status == 202
    shop.wechat.fault("query_refund", "500", times=2)
    made = shop.wechat.world.refunds[number]
    made.status, made.success_time = "SUCCESS", shop.wechat.world.clock.now()
    shop.janitor.later(seconds=1)
    shop.janitor.sweep()
    shop.janitor.come_to_rest()
    assert statuses(shop, paid) == {number: "SUCCESS"}
    shop.check()


# --- references


@pytest.mark.parametrize("character", ["账", "😢", "\u0000", "\u202e", "\ud83d"])
def test_any_reference_of_a_case_is_4xx_or_kept_in_less_than_a_kilobyte(shop: Shop, paid: str, character: str) -> None:
    """Of the largest case that there is, and sent as JSON may send it."""
    notice = {
        "plaintext": {"out_trade_no": "H" * 60, "transaction_id": "4" * 64, "out_refund_no": "R" * 64},
        "event_type": "REFUND.SUCCESS",
    }
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.events.settle()
    assert shop.wechat.notify(shop.wechat.refund_notice(number, **notice)).status == 204
    (case,) = (
        case
        for case in shop.call("GET /merchant/cases", token=shop.staff.token("*")).json["cases"]
        if case["kind"] == "unknown_refund"
    )
    body = json.dumps({"resolution": "kept", "reference": character * 128})
    reply = shop.call(
        "POST /merchant/cases/{case_id}/close", body, token=shop.staff.token("*", "u" * 32), case=case["case"]
    )
    assert reply.status in (200, 422), reply
    (item,) = (item for item in shop.items.all() if item["sk"]["S"].startswith("CASE#unknown_refund"))
    assert size(item) <= 1024, size(item)


@pytest.mark.parametrize("blank", ["\u200b", "\u3000", "\u2800", "\u0000", "\u202e"])
def test_what_nobody_can_see_is_no_reason(shop: Shop, abnormal: dict[str, Any], blank: str) -> None:
    reply = shop.staff.close_case(abnormal["case"], "kept", "x" + blank * 30 + "y")
    assert (reply.status, kinds(shop)) == (422, ["refund_abnormal"])


def test_a_refund_number_with_every_sign_that_wechat_takes_can_be_named(shop: Shop) -> None:
    token, order_sn = shop.guest.paid_order()
    number = shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=TOTAL)["out_refund_no"]
    made = shop.wechat.world.refunds.pop(number)
    made.request["out_refund_no"] = odd = "A_b-c|d*e@f"
    shop.wechat.world.refunds[odd] = made
    shop.guest.poll(token, order_sn)
    (case,) = shop.staff.open_cases()
    assert shop.staff.close_case(case["case"], "refunded", odd).status == 200
    assert shop.items.collection(order_sn).order.on_hold is None
    assert list(statuses(shop, order_sn)) == [odd]


def size(item: dict[str, Any]) -> int:
    """An item's size as DynamoDB counts it, near enough: names, texts, and a few bytes for all else."""
    return sum(len(name.encode()) + len(str(next(iter(value.values()))).encode()) for name, value in item.items())


# --- held at the first try: kept so


@pytest.mark.parametrize(
    "answer",
    [
        (401, '{"code":"SIGN_ERROR","message":"x"}'),
        (429, '{"code":"FREQUENCY_LIMITED","message":"x"}'),
        (500, '{"code":"SYSTEM_ERROR"}'),
        (502, "<html>"),
        (404, ""),
        (404, "[]"),
        (200, "null"),
        (200, "[]"),
        (200, "not json"),
        (200, "[" * 100_000),
        (200, '{"status":"SUCCESS"}'),
        (200, '{"status":"ODD","amount":{"total":1,"refund":1}}'),
        (200, '{"out_refund_no":1,"amount":[]}'),
        (302, ""),
    ],
)
def test_whatever_wechat_answers_about_a_reference_the_hold_stays(shop: Shop, answer: tuple[int, str]) -> None:
    token, order_sn = shop.guest.paid_order()
    number = shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=TOTAL)["out_refund_no"]
    shop.guest.poll(token, order_sn)
    (case,) = shop.staff.open_cases()
    status, body = answer
    client = client_of(shop.wechat.world, shop.wechat.url, Replying(shop.wechat.world, status, body.encode()))
    shop.parts = replace(shop.parts, wechat_pay=client)
    reply = shop.staff.close_case(case["case"], "refunded", number)
    assert (reply.status, reply.headers["retry-after"]) == (503, "3")
    assert shop.items.collection(order_sn).order.on_hold is True
    assert len(shop.staff.open_cases()) == 1


def test_while_the_order_keeps_changing_nothing_is_lost(shop: Shop, paid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callback, execute_refund and the janitor come again; who closes a case is told to."""
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    (asked,) = (event for event in shop.events.published() if event["type"] == "refund.requested")
    with monkeypatch.context() as busy:
        busy.setattr(Refunds, "record", lambda *_, **__: CHANGED)
        assert shop.events.deliver("execute_refund", asked) == ["m0"]
        with pytest.raises(Conflict):
            shop.wechat.notify(
                shop.wechat.refund_notice(number, plaintext={"refund_status": "SUCCESS"}, event_type="REFUND.SUCCESS")
            )
        shop.janitor.later(minutes=2)
        shop.janitor.sweep()
    shop.janitor.come_to_rest()
    assert statuses(shop, paid) == {number: "SUCCESS"}
    shop.check()


def test_a_console_refund_of_an_order_that_is_then_cancelled(shop: Shop) -> None:
    """The refund's notice comes first, WeChat's query still says NOTPAY, so the order ends; then the money is known."""
    token, order_sn = shop.guest.paid_order()
    number = shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=10000)["out_refund_no"]
    word(shop, number, "SUCCESS")
    trade = shop.wechat.world.trades[f"{order_sn}_1"]
    trade.trade_state = "CLOSED"
    assert shop.guest.cancel(token, order_sn)["status"] == "CANCELLED"
    shop.events.settle()
    trade.trade_state = "REFUND"
    shop.janitor.later(minutes=3)
    shop.janitor.come_to_rest()
    sums = {one.out_refund_no: (one.amount_fen, str(one.status)) for one in shop.items.collection(order_sn).refunds}
    assert sums == {number: (10000, "SUCCESS"), f"{order_sn}_1_R1": (79600, "SUCCESS")}
    assert shop.staff.open_cases() == []
    shop.check()


def test_a_mispaid_trade_that_was_refunded_elsewhere_is_one_case_that_answers_itself(shop: Shop) -> None:
    token, order_sn = shop.guest.paid_order()
    shop.items.set_payment(order_sn, total_fen=TOTAL - 1)
    numbers = []
    for amount in (10000, TOTAL - 10000):
        numbers.append(shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=amount)["out_refund_no"])
        shop.janitor.later(minutes=2)
    shop.guest.poll(token, order_sn)
    shop.events.settle()
    assert kinds(shop) == ["mispaid"]
    assert shop.items.collection(order_sn).order.on_hold is None
    for number in numbers:
        assert kinds(shop) == ["mispaid"]
        word(shop, number, "SUCCESS")
        shop.events.settle()
    assert shop.items.cases()[0]["resolution"] == "answered"
    shop.janitor.come_to_rest()
    assert shop.staff.open_cases() == []


def test_a_withdrawal_that_meets_a_closed_refund_frees_its_sum(shop: Shop, paid: str) -> None:
    number = shop.staff.stalled_refund(paid, TOTAL)
    refund = shop.items.collection(paid).refunds[0]
    assert shop.staff.on_refund(paid, number, "withdraw").status == 202
    shop.wechat.world.balance = 10**6
    shop.parts.wechat_pay.refund(refund)
    made = shop.wechat.world.refunds[number]
    made.trade.refunds.remove(made)
    word(shop, number, "CLOSED")
    shop.janitor.come_to_rest(timedelta(days=3))
    assert statuses(shop, paid) == {number: "CLOSED"}
    assert (shop.items.collection(paid).order.refundable_fen, kinds(shop)) == (TOTAL, ["refund_closed"])
    assert [item for item in shop.items.all() if item["sk"]["S"].startswith("REFUND#") and "due_at" in item] == []
    shop.check()


def test_a_second_transaction_is_closed_by_the_refund_of_that_very_transaction(shop: Shop, paid: str) -> None:
    trade = shop.wechat.world.trades[f"{paid}_1"]
    first, second = trade.transaction_id, "4200000000000000000000000009"
    changed = {"transaction_id": second}
    assert shop.wechat.notify(shop.wechat.notice(f"{paid}_1", plaintext=changed)).status == 204
    (case,) = shop.staff.open_cases()
    assert case["kind"] == "second_transaction"
    number = shop.wechat.driver(f"trades/{paid}_1/refund", amount=TOTAL)["out_refund_no"]
    made = shop.wechat.world.refunds[number]
    made.status, made.success_time = "SUCCESS", shop.wechat.world.clock.now()
    assert shop.staff.close_case(case["case"], "refunded", number).status == 422
    trade.transaction_id = second
    assert shop.staff.close_case(case["case"], "refunded", number).status == 200
    trade.transaction_id = first
    assert shop.items.collection(paid).refunds == []
    assert refund_again(shop, case["case"]).status == 409


def test_staff_of_another_business_see_no_case_and_close_none(shop: Shop, abnormal: dict[str, Any]) -> None:
    for business_id in ("b-shanghai", ""):
        reply = shop.staff.close_case(abnormal["case"], "kept", "agreed with the guest by phone", business_id)
        assert reply.status in (403, 404)
    assert kinds(shop) == ["refund_abnormal"]


def test_an_unknown_trade_is_closed_by_its_own_refund_alone(shop: Shop, paid: str) -> None:
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.janitor.come_to_rest()
    strange = {"out_trade_no": "another-system-1", "transaction_id": "42-another"}
    assert shop.wechat.notify(shop.wechat.notice(f"{paid}_1", plaintext=strange)).status == 204
    (case,) = shop.call("GET /merchant/cases", token=shop.staff.token("*")).json["cases"]
    assert case["kind"] == "unknown_trade"
    assert shop.staff.close_case(case["case"], "refunded", number, "*").status == 422
    assert shop.staff.close_case(case["case"], "refunded", number).status == 404
    trade = shop.wechat.world.trades[f"{paid}_1"]
    trade.request["out_trade_no"] = "another-system-1"
    shop.wechat.world.refunds[number].request["amount"]["refund"] = TOTAL
    reply = shop.staff.close_case(case["case"], "refunded", number, "*")
    trade.request["out_trade_no"] = f"{paid}_1"
    assert reply.status == 200, reply
