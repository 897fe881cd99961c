"""Refunds that do not come to an end by themselves: what waits goes on being asked about, what WeChat refuses must be
refused twice, what staff take back must be unknown at WeChat twice, and no case is closed on hearsay (R1, R6, R7, R10).
"""

from datetime import datetime, timedelta
from typing import Any

import pytest

from payments.domain.order import OrderStatus
from payments.domain.refund import Refund, RefundReport, RefundStatus
from payments.domain.times import utc_now
from payments.store.cases import Cases
from payments.wechat.pay import WechatPay
from simulator.notification import Signed
from tests.shop import Shop

TOTAL = 89600


def only(shop: Shop, order_sn: str) -> Refund:
    (refund,) = shop.items.collection(order_sn).refunds
    return refund


def order_of(shop: Shop, order_sn: str) -> tuple[OrderStatus, int | None]:
    order = shop.items.collection(order_sn).order
    return order.status, order.refundable_fen


def janitor(shop: Shop, **later: float) -> None:
    """Time passes, the janitor comes, and what it publishes runs its course."""
    shop.janitor.later(**later)
    shop.janitor.sweep()
    shop.events.settle()


def ended(shop: Shop, number: str, **changes: Any) -> Signed:
    """WeChat's notice that a refund has arrived, with changes."""
    told = {"refund_status": "SUCCESS", **changes}
    return shop.wechat.refund_notice(number, event_type="REFUND.SUCCESS", plaintext=told)


# --- what waits is asked for as long as it waits (R10)


def test_an_empty_balance_that_is_filled_after_eight_days_lets_the_refund_through(shop: Shop, paid: str) -> None:
    number = shop.staff.stalled_refund(paid, 1000)
    for _ in range(8 * 24):
        janitor(shop, hours=1)
    assert only(shop, paid).status is RefundStatus.REQUESTED
    (case,) = shop.staff.open_cases()
    assert case["kind"] == "refund_stalled"
    shop.wechat.world.balance = 10**6
    for _ in range(25):
        janitor(shop, hours=1)
    shop.wechat.refunds_end()
    shop.events.settle()
    assert only(shop, paid).status is RefundStatus.SUCCESS
    closed = shop.call("GET /merchant/cases/{case_id}", token=shop.staff.token(), case=case["case"]).json
    assert (closed["resolution"], closed["closed_by"]) == ("answered", "system")
    assert number in closed["reference"]
    shop.check()


def test_try_now_asks_wechat_within_a_minute(shop: Shop, paid: str) -> None:
    number = shop.staff.stalled_refund(paid, 1000)
    for _ in range(3 * 24):
        janitor(shop, hours=1)
    shop.wechat.world.balance = 10**6
    reply = shop.staff.on_refund(paid, number, "try")
    assert (reply.status, reply.json["status"]) == (202, "REQUESTED")
    janitor(shop, seconds=1)
    assert only(shop, paid).status is RefundStatus.PROCESSING
    assert shop.staff.on_refund(paid, number, "try").status == 202
    shop.wechat.world.refunds[number].due_at = shop.wechat.world.clock.now()
    janitor(shop, seconds=1)  # its notice is lost: WeChat is asked
    assert only(shop, paid).status is RefundStatus.SUCCESS
    assert shop.staff.on_refund(paid, number, "try").status == 409
    shop.janitor.come_to_rest()
    shop.check()


def test_try_now_asks_about_a_refund_that_is_stuck(shop: Shop, paid: str) -> None:
    shop.wechat.fault("refund_end", "ABNORMAL")
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.janitor.come_to_rest()
    assert only(shop, paid).due_at is None
    made = shop.wechat.world.refunds[number]
    made.status, made.success_time = "SUCCESS", shop.wechat.world.clock.now()
    assert shop.staff.on_refund(paid, number, "try").status == 202
    janitor(shop, seconds=1)
    assert only(shop, paid).status is RefundStatus.SUCCESS
    shop.janitor.come_to_rest()
    assert shop.staff.open_cases() == []
    shop.check()


def test_staff_of_another_business_can_neither_try_nor_withdraw(shop: Shop, paid: str) -> None:
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    for what in ("try", "withdraw"):
        assert shop.staff.on_refund(paid, number, what, "b-elsewhere").status == 404
        assert shop.staff.on_refund(paid, "no-such-refund", what).status == 404
    assert only(shop, paid).withdrawing_at is None


# --- a final no counts when WeChat says it twice (R1)


def test_a_refund_that_wechat_took_although_it_said_no_is_not_asked_for_under_a_new_number(
    shop: Shop, paid: str
) -> None:
    """400 INVALID_REQUEST although it took it, and the query says 404 once."""
    shop.wechat.fault("refund", "no", after_effect=True)
    shop.wechat.fault("query_refund", "denied", times=1)
    number = shop.staff.refund(paid, 10000).json["out_refund_no"]
    shop.events.settle()
    assert (only(shop, paid).status, order_of(shop, paid)[1]) == (RefundStatus.REQUESTED, 79600)
    assert shop.staff.refund(paid, 79601, key="too-much").status == 409
    shop.janitor.come_to_rest()
    assert (only(shop, paid).out_refund_no, only(shop, paid).status) == (number, RefundStatus.SUCCESS)
    assert sum(refund.amount for refund in shop.wechat.world.refunds.values()) == 10000
    shop.check()


def test_two_noes_a_minute_apart_are_a_refusal(shop: Shop, paid: str) -> None:
    shop.wechat.fault("refund", "no", times=5)
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    (event,) = shop.events.published()
    for _ in range(3):  # the same letter again and again within the minute: still the first no
        assert shop.events.deliver("execute_refund", event) == []
        shop.janitor.later(seconds=15)
    assert only(shop, paid).status is RefundStatus.REQUESTED
    janitor(shop, minutes=1)
    assert (only(shop, paid).out_refund_no, only(shop, paid).status) == (number, RefundStatus.REFUSED)
    assert order_of(shop, paid) == (OrderStatus.WAIT_USE, TOTAL)
    assert [case["kind"] for case in shop.staff.open_cases()] == ["refund_refused"]
    shop.janitor.come_to_rest()
    shop.check()


@pytest.mark.parametrize("code", ["not_enough", "429", "no_auth", "no_merchant"])
def test_a_no_that_may_end_never_counts(shop: Shop, paid: str, code: str) -> None:
    shop.wechat.fault("refund", code, times=20)
    shop.staff.refund(paid, 1000)
    shop.events.settle()
    for _ in range(6):
        janitor(shop, minutes=10)
    assert only(shop, paid).status is RefundStatus.REQUESTED
    assert only(shop, paid).first_no_at is None
    shop.wechat.world.faults.clear()
    shop.janitor.come_to_rest(timedelta(hours=3))
    assert only(shop, paid).status is RefundStatus.SUCCESS
    shop.check()


def test_a_refund_that_was_called_refused_and_turns_up_takes_its_sum_again(shop: Shop, paid: str) -> None:
    shop.wechat.fault("refund", "no", times=2, after_effect=True)
    shop.wechat.fault("query_refund", "denied", times=2)
    shop.staff.refund(paid, 10000)
    shop.events.settle()
    janitor(shop, minutes=2)
    assert (only(shop, paid).status, order_of(shop, paid)[1]) == (RefundStatus.REFUSED, TOTAL)
    shop.wechat.refunds_end()  # its notice says SUCCESS
    assert (only(shop, paid).status, order_of(shop, paid)[1]) == (RefundStatus.SUCCESS, 79600)
    shop.janitor.come_to_rest()
    assert shop.staff.open_cases() == []
    shop.check()


# --- parts of one order wait for each other (R7)


def test_parts_of_one_order_are_asked_for_a_minute_apart_by_ourselves(shop: Shop, paid: str) -> None:
    for number in range(1, 4):
        assert shop.staff.refund(paid, 1000, key=f"part-no-{number}").status == 201
    shop.events.settle()
    assert len(shop.wechat.world.refunds) == 1
    seen = set()
    for _ in range(5):
        janitor(shop, seconds=61)
        seen.add(len(shop.wechat.world.refunds))
    assert seen == {2, 3}
    calls = [call for known in shop.wechat.world.calls.values() for call in known if call.call == "refund"]
    assert [call.status for call in calls] == [200, 200, 200]  # WeChat never had to say: too soon
    shop.janitor.come_to_rest()
    assert order_of(shop, paid) == (OrderStatus.WAIT_USE, TOTAL - 3000)
    shop.check()


def test_a_part_waits_although_nobody_knows_yet_whether_the_first_one_was_taken(shop: Shop, paid: str) -> None:
    """The first one's answers are lost, so no time of acceptance is known: the time of asking counts."""
    shop.wechat.fault("refund", "drop", after_effect=True, times=2)
    shop.wechat.fault("query_refund", "500", times=9)
    shop.staff.refund(paid, 1000, key="part-no-1")
    shop.events.deliver_all()
    shop.staff.refund(paid, 1000, key="part-no-2")
    shop.events.deliver_all()
    calls = [call for known in shop.wechat.world.calls.values() for call in known if call.call == "refund"]
    assert 429 not in [call.status for call in calls]  # WeChat never had to say: too soon
    assert [refund.status for refund in shop.items.collection(paid).refunds] == [RefundStatus.REQUESTED] * 2
    shop.wechat.world.faults.clear()
    shop.janitor.come_to_rest()
    assert order_of(shop, paid) == (OrderStatus.WAIT_USE, TOTAL - 2000)
    shop.check()


def test_a_part_that_waited_for_the_balance_does_not_meet_the_next_one(shop: Shop, paid: str) -> None:
    shop.wechat.world.balance = 0
    for number in (1, 2):
        assert shop.staff.refund(paid, 1000, key=f"part-no-{number}").status == 201
    shop.events.settle()
    janitor(shop, hours=3)
    shop.wechat.world.balance = 10**6
    for refund in shop.items.collection(paid).refunds:
        assert shop.staff.on_refund(paid, refund.out_refund_no, "try").status == 202
    janitor(shop, seconds=1)
    assert len(shop.wechat.world.refunds) == 1
    shop.janitor.come_to_rest()
    assert len(shop.wechat.world.refunds) == 2
    shop.check()


def test_the_fifty_first_part_is_refused_here(shop: Shop, paid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from functions.back_office import app as back_office

    monkeypatch.setattr(back_office, "MOST_PARTS", 2)
    assert [shop.staff.refund(paid, 1, key=f"part-no-{n}").status for n in range(3)] == [201, 201, 409]
    assert shop.staff.refund(paid, 1, key="part-no-3").json["type"] == "urn:wxpay:too-many-refunds"


# --- withdrawing (R7)


def test_a_refund_that_wechat_never_took_can_be_withdrawn(shop: Shop, paid: str) -> None:
    number = shop.staff.stalled_refund(paid, 10000)
    reply = shop.staff.on_refund(paid, number, "withdraw")
    assert (reply.status, reply.json["status"], reply.json["withdrawing_at"] is None) == (202, "REQUESTED", False)
    shop.wechat.world.balance = 10**6  # too late: it is not asked for any more
    assert order_of(shop, paid)[1] == 79600
    shop.janitor.come_to_rest(timedelta(minutes=6))
    assert only(shop, paid).status is RefundStatus.WITHDRAWN
    assert order_of(shop, paid) == (OrderStatus.WAIT_USE, TOTAL)
    assert (len(shop.wechat.world.refunds), shop.staff.open_cases()) == (0, [])
    shop.janitor.come_to_rest(timedelta(days=2))
    assert only(shop, paid).due_at is None
    assert shop.staff.refund(paid, key="the-rest").status == 201
    shop.janitor.come_to_rest()
    shop.check()


def test_wechat_is_asked_twice_a_minute_apart_and_not_before_a_running_call_is_over(
    shop: Shop, paid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = shop.staff.stalled_refund(paid, 10000)
    assert shop.staff.on_refund(paid, number, "withdraw").status == 202
    marked, query = only(shop, paid).withdrawing_at, WechatPay.query_refund
    asked: list[datetime] = []

    def noted(self: WechatPay, out_refund_no: str) -> RefundReport | None:
        asked.append(utc_now())
        return query(self, out_refund_no)

    monkeypatch.setattr(WechatPay, "query_refund", noted)
    for _ in range(20):
        janitor(shop, seconds=20)
        if only(shop, paid).status is RefundStatus.WITHDRAWN:
            break
    assert marked is not None
    assert len(asked) == 2
    assert asked[0] - marked >= timedelta(minutes=1)
    assert asked[1] - asked[0] >= timedelta(minutes=1)


def test_a_withdrawal_that_meets_a_late_acceptance_goes_on_as_a_refund(shop: Shop, paid: str) -> None:
    """execute_refund had read the refund before it was marked, and WeChat accepts it now."""
    number = shop.staff.stalled_refund(paid, 10000)
    shop.wechat.world.balance = 10**6
    before = only(shop, paid)
    assert shop.staff.on_refund(paid, number, "withdraw").status == 202
    assert shop.parts.wechat_pay.refund(before).amount_fen == 10000
    shop.janitor.come_to_rest()
    assert only(shop, paid).status is RefundStatus.SUCCESS
    assert order_of(shop, paid)[1] == 79600
    shop.check()


def test_execute_refund_leaves_a_refund_alone_that_is_being_withdrawn(shop: Shop, paid: str) -> None:
    shop.staff.refund(paid, 1000)
    (event,) = shop.events.published()
    number = only(shop, paid).out_refund_no
    assert shop.staff.on_refund(paid, number, "withdraw").status == 202
    assert shop.events.deliver("execute_refund", event) == []
    assert len(shop.wechat.world.refunds) == 0


def test_while_wechat_cannot_be_asked_nothing_is_withdrawn(shop: Shop, paid: str) -> None:
    number = shop.staff.stalled_refund(paid, 10000)
    shop.staff.on_refund(paid, number, "withdraw")
    shop.wechat.fault("query_refund", "500", times=999)
    for _ in range(20):
        janitor(shop, minutes=1)
    assert only(shop, paid).status is RefundStatus.REQUESTED
    shop.wechat.world.faults.clear()
    shop.janitor.come_to_rest()
    assert only(shop, paid).status is RefundStatus.WITHDRAWN


@pytest.mark.parametrize("when", [timedelta(minutes=11), timedelta(days=1, hours=1)])
def test_a_refund_that_turns_up_after_it_was_withdrawn_is_recorded_with_a_case(
    shop: Shop, paid: str, when: timedelta
) -> None:
    """No notice comes: WeChat is asked again after ten minutes, and after a day."""
    number = shop.staff.stalled_refund(paid, 10000)
    shop.staff.on_refund(paid, number, "withdraw")
    shop.janitor.come_to_rest(timedelta(minutes=6))
    assert only(shop, paid).status is RefundStatus.WITHDRAWN
    if when > timedelta(hours=1):
        shop.janitor.come_to_rest(timedelta(hours=1))
    shop.wechat.world.balance = 10**6
    assert shop.parts.wechat_pay.refund(only(shop, paid)).amount_fen == 10000
    shop.janitor.come_to_rest(when)
    assert only(shop, paid).status is RefundStatus.SUCCESS
    assert order_of(shop, paid)[1] == 79600
    (case,) = shop.staff.open_cases()
    assert (case["kind"], case["amount_fen"]) == ("refund_after_withdrawal", 10000)
    assert number in only(shop, paid).out_refund_no
    shop.check()


def test_refunds_that_together_are_more_than_the_payment_are_a_case(shop: Shop, paid: str) -> None:
    """Withdrawn, asked for again under a new number, and then the first one turns up."""
    shop.staff.stalled_refund(paid, TOTAL)
    first = only(shop, paid)
    shop.staff.on_refund(paid, first.out_refund_no, "withdraw")
    shop.janitor.come_to_rest(timedelta(minutes=6))
    assert shop.staff.refund(paid, 5000, key="asked-again").status == 201
    shop.wechat.world.balance = 10**6
    assert shop.parts.wechat_pay.refund(first).amount_fen == TOTAL
    assert shop.wechat.notify(ended(shop, first.out_refund_no)).status == 204
    shop.wechat.world.refunds[first.out_refund_no].status = "SUCCESS"
    kinds = {case["kind"]: case["amount_fen"] for case in shop.staff.open_cases()}
    assert kinds == {"refund_after_withdrawal": TOTAL, "refunds_exceed": 5000}
    assert order_of(shop, paid)[1] == 0


@pytest.mark.parametrize("state", ["PROCESSING", "SUCCESS", "REFUSED"])
def test_what_wechat_has_or_what_has_ended_cannot_be_withdrawn(shop: Shop, paid: str, state: str) -> None:
    if state == "REFUSED":
        shop.wechat.fault("refund", "no", times=5)
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.events.settle()
    if state != "PROCESSING":
        shop.janitor.come_to_rest(timedelta(minutes=5))
    assert only(shop, paid).status == state
    reply = shop.staff.on_refund(paid, number, "withdraw")
    assert (reply.status, reply.json["refund_status"]) == (409, state)


def test_money_that_pays_no_order_cannot_be_kept_by_withdrawing_its_refund(shop: Shop) -> None:
    _, order_sn = shop.guest.late_order()
    shop.wechat.world.balance = 0
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    reply = shop.staff.on_refund(order_sn, f"{order_sn}_1_R1", "withdraw")
    assert (reply.status, reply.json["type"]) == (409, "urn:wxpay:refund-state")
    shop.wechat.world.balance = 10**6
    shop.janitor.come_to_rest()
    shop.check()


def test_withdrawing_twice_is_withdrawing_once(shop: Shop, paid: str) -> None:
    number = shop.staff.stalled_refund(paid, 10000)
    first = shop.staff.on_refund(paid, number, "withdraw").json
    shop.janitor.later(seconds=30)
    assert shop.staff.on_refund(paid, number, "withdraw").json["withdrawing_at"] == first["withdrawing_at"]


# --- the refund's identity and sums are compared (R4)


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ({"mchid": "1900009999"}, "mchid"),
        ({"transaction_id": "4200000000000000000000000009"}, "transaction_id"),
        ({"amount": {"total": 100, "refund": 1000, "payer_total": 100, "payer_refund": 1000}}, "total_fen"),
        ({"amount": {"total": TOTAL, "refund": 999, "payer_total": TOTAL, "payer_refund": 999}}, "amount_fen"),
    ],
)
@pytest.mark.parametrize("ours", [True, False])
def test_a_refund_of_another_merchant_transaction_or_sum_is_a_case(
    shop: Shop, paid: str, told: dict[str, Any], wrong: str, ours: bool
) -> None:
    """Of a refund that was asked for here, and of one that would be new."""
    if ours:
        number = shop.staff.refund(paid, 1000).json["out_refund_no"]
        shop.events.settle()
    else:
        number = shop.wechat.driver(f"trades/{paid}_1/refund", amount=1000)["out_refund_no"]
    before = shop.items.collection(paid)
    for _ in range(2):
        assert shop.wechat.notify(ended(shop, number, **told)).status == 204
    shop.events.settle()
    if not ours and wrong == "amount_fen":
        return  # nothing here says what the sum of a console refund should be
    (case,) = shop.items.cases()
    assert (case["kind"], case["detail"]) == ("refund_mismatch", wrong)
    assert shop.items.collection(paid).refunds == before.refunds
    assert shop.items.collection(paid).order == before.order


def test_every_word_that_differs_is_a_case_of_its_own(shop: Shop, paid: str) -> None:
    number = shop.staff.refund(paid, 1000).json["out_refund_no"]
    shop.events.settle()
    for transaction_id in ("42-another", "42-a-third"):
        changed = {"transaction_id": transaction_id}
        assert shop.wechat.notify(ended(shop, number, **changed)).status == 204
    assert len(shop.items.cases()) == 2


def test_a_refund_of_another_trade_under_the_same_number_is_a_case(shop: Shop) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.guest.prepay(token, order_sn)
    shop.wechat.driver(f"trades/{order_sn}_1/close")
    shop.janitor.later(seconds=6)
    assert shop.guest.cashier(shop.guest.prepay(token, order_sn, fresh=True)) == "requestPayment:ok"
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_2")).status == 204
    shop.events.settle()
    number = shop.staff.refund(order_sn, 1000).json["out_refund_no"]
    shop.events.settle()
    changed = {"out_trade_no": f"{order_sn}_1"}
    assert shop.wechat.notify(ended(shop, number, **changed)).status == 204
    assert [(case["kind"], case["detail"]) for case in shop.items.cases()] == [("refund_mismatch", "out_trade_no")]


# --- a case is closed on what is known, not on hearsay


@pytest.fixture
def abnormal(shop: Shop, paid: str) -> dict[str, Any]:
    """The case of a refund of everything that the guest's account cannot take."""

    def refunded(shop: Shop) -> dict[str, Any]:
        shop.wechat.fault("refund_end", "ABNORMAL")
        shop.staff.refund(paid)
        shop.janitor.come_to_rest()
        (case,) = shop.staff.open_cases()
        assert (case["kind"], case["amount_fen"]) == ("refund_abnormal", TOTAL)
        return case

    return dict(shop.restored("all of it ABNORMAL", refunded))


@pytest.mark.parametrize(
    ("resolution", "reference", "business_id", "status"),
    [
        ("refunded", "随便", "*", 422),
        ("refunded", "0123456789abcdef", "*", 422),
        ("refunded", "../../certificates", "*", 422),
        ("booked", "随便", "*", 422),
        ("booked", "HSO2026112312000012345678", "*", 422),
        ("kept", "because", "*", 422),
        ("kept", "          x", "*", 422),
        ("settled_by_hand", "in cash", "*", 422),
        ("settled_by_hand", "in cash at the desk on the 24th, to the guest", "b-hangzhou", 403),
        ("answered", "by me, just now, really", "*", 422),
    ],
)
def test_a_reference_that_says_nothing_closes_no_case(
    shop: Shop, abnormal: dict[str, Any], resolution: str, reference: str, business_id: str, status: int
) -> None:
    reply = shop.staff.close_case(abnormal["case"], resolution, reference, business_id)
    assert reply.status == status, reply
    assert [case["case"] for case in shop.staff.open_cases()] == [abnormal["case"]]
    shop.check()


def test_refunded_names_a_refund_of_this_payment_that_has_arrived(
    shop: Shop, paid: str, abnormal: dict[str, Any]
) -> None:
    number = only(shop, paid).out_refund_no
    reply = shop.staff.close_case(abnormal["case"], "refunded", number)
    assert (reply.status, "ABNORMAL" in reply.json["detail"]) == (422, True)
    made = shop.wechat.world.refunds[number]
    made.status, made.success_time = (
        "SUCCESS",
        shop.wechat.world.clock.now(),
    )  # sent to another card; its notice is lost
    assert shop.staff.close_case(abnormal["case"], "refunded", number).status == 200
    shop.events.settle()
    assert order_of(shop, paid) == (OrderStatus.REFUNDED, 0)
    shop.janitor.come_to_rest()
    shop.check()


def test_a_refund_of_less_than_the_case_is_about_does_not_close_it(shop: Shop, paid: str) -> None:
    assert shop.staff.refund(paid, 100, key="a-small-one").status == 201
    shop.janitor.come_to_rest()
    small = only(shop, paid).out_refund_no
    shop.wechat.fault("refund_end", "ABNORMAL")
    assert shop.staff.refund(paid, 50000, key="a-large-one").status == 201
    shop.janitor.come_to_rest()
    (case,) = shop.staff.open_cases()
    reply = shop.staff.close_case(case["case"], "refunded", small)
    assert (reply.status, "50000" in reply.json["detail"]) == (422, True)


def test_money_given_back_by_hand_is_the_owners_to_say_and_the_guest_reads_it(
    shop: Shop, paid: str, abnormal: dict[str, Any]
) -> None:
    told = shop.call("GET /orders/{order_sn}", token=shop.guest.login(), order_sn=paid).json
    assert (told["refunding_fen"], told["stuck_fen"], told["redeem_code"]) == (0, TOTAL, None)
    account = "by bank transfer on the 25th, agreed by phone"
    assert shop.staff.close_case(abnormal["case"], "settled_by_hand", account, "*").status == 200
    told = shop.call("GET /orders/{order_sn}", token=shop.guest.login(), order_sn=paid).json
    assert (told["refunding_fen"], told["stuck_fen"], told["by_hand_fen"]) == (0, 0, TOTAL)
    assert (told["refunded_fen"], told["redeem_code"]) == (0, None)
    assert shop.staff.refund(paid, 1, key="once-more").status == 409
    shop.janitor.come_to_rest()
    assert shop.items.collection(paid).order.by_hand_fen == TOTAL
    shop.check()


def test_after_a_refusal_money_given_back_by_hand_cannot_be_refunded_again(shop: Shop, paid: str) -> None:
    shop.wechat.fault("refund", "no", times=9)
    shop.staff.refund(paid, 60000)
    shop.janitor.come_to_rest()
    shop.wechat.world.faults.clear()
    assert order_of(shop, paid)[1] == TOTAL
    (case,) = shop.staff.open_cases()
    account = "in cash at the desk on the 25th, receipt 17"
    assert shop.staff.close_case(case["case"], "settled_by_hand", account, "*").status == 200
    assert order_of(shop, paid)[1] == 29600
    assert shop.staff.refund(paid, 29601, key="too-much").status == 409
    shop.janitor.come_to_rest()
    shop.check()


def test_booked_names_an_order_that_exists(shop: Shop, paid: str, abnormal: dict[str, Any]) -> None:
    other = shop.guest.order(shop.guest.login())
    assert shop.staff.close_case(abnormal["case"], "booked", f" {other} ").status == 200
    assert shop.staff.open_cases() == []


def test_a_case_is_closed_once(shop: Shop, abnormal: dict[str, Any]) -> None:
    assert shop.staff.close_case(abnormal["case"], "kept", "agreed with the guest by phone").status == 200
    reply = shop.staff.close_case(abnormal["case"], "kept", "agreed with the guest by phone", user_id="staff-2")
    assert (reply.status, reply.json["type"]) == (409, "urn:wxpay:case-closed")


def test_a_close_whose_answer_got_lost_is_no_conflict(
    shop: Shop, abnormal: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore repeats the write, and the repeat fails the condition of the first one (R11)."""
    once = Cases.close

    def twice(self: Cases, *args: Any) -> Any:
        assert once(self, *args)
        return once(self, *args)

    monkeypatch.setattr(Cases, "close", twice)
    assert shop.staff.close_case(abnormal["case"], "kept", "agreed with the guest by phone").status == 200


def test_of_late_money_a_person_refunds_what_is_left_and_is_named(shop: Shop) -> None:
    """A part went back in the console, and _R1 over the rest was given up."""
    _, order_sn = shop.guest.late_order()
    shop.wechat.driver(f"trades/{order_sn}_1/refund", amount=10000)
    shop.wechat.refunds_end()
    shop.janitor.later(minutes=1)
    shop.wechat.fault("refund_end", "CLOSED", times=1)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.janitor.come_to_rest()
    (case,) = shop.staff.open_cases()
    assert (case["kind"], case["amount_fen"]) == ("refund_closed", 79600)
    reply = shop.call(
        "POST /merchant/cases/{case_id}/refund", {}, token=shop.staff.token(user_id="anna"), case=case["case"]
    )
    assert (reply.json["out_refund_no"], reply.json["amount_fen"]) == (f"{order_sn}_1_R2", 79600)
    assert reply.json["requested_by"] == "anna"
    shop.janitor.later(minutes=2)
    shop.janitor.come_to_rest()
    assert shop.staff.open_cases() == []
    assert sum(one.amount for one in shop.wechat.world.refunds.values() if one.status == "SUCCESS") == TOTAL
    shop.check()
