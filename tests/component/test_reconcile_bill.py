"""WeChat's trade bill against our books (R14): what heals, what differs, when a day is closed, what each business is
owed."""

from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from payments.domain.bill import MEANS, NOT_OURS, UNASSIGNED, DayOfBills, DifferenceKind
from payments.domain.order import OrderStatus
from payments.domain.payment import PaymentStatus
from payments.domain.refund import RefundOrigin, RefundStatus
from payments.domain.times import BEIJING, beijing_day, utc_now
from payments.recording import Recorded, record_payment
from simulator.world import Trade
from tests.examples import HOME
from tests.shop import Shop
from tests.shop.aws import TABLE, client
from tests.shop.guest import new_booking


@pytest.fixture
def midday(shop: Shop) -> Shop:
    """It is noon of tomorrow: no test of a day's bill runs into midnight. A function has 15 minutes."""
    shop.context.remaining_ms = 900_000
    shop.janitor.move_to(datetime.combine(beijing_day(utc_now()) + timedelta(days=1), time(12), BEIJING))
    return shop


def next_morning(shop: Shop, hour: int = 10, minute: int = 30) -> date:
    """It is 10:30 of the day after; the day whose bill there is then."""
    day = beijing_day(utc_now())
    shop.janitor.move_to(datetime.combine(day + timedelta(days=1), time(hour, minute), BEIJING))
    return day


def reconcile(shop: Shop, **event: Any) -> dict[str, Any]:
    found = shop.run("reconcile_bill", event)
    shop.events.settle()
    return dict(found)


def stands(shop: Shop, day: date) -> DayOfBills:
    return shop.store.bills.days([day])[day]


def closed(shop: Shop, day: date) -> DayOfBills:
    """How a day stands after the morning's run: closed."""
    reconcile(shop)
    found = stands(shop, day)
    assert found.closed, found
    return found


def differing(shop: Shop, day: date) -> dict[str, tuple[int | None, int | None]]:
    """By kind: what WeChat's bill has, and what our books have."""
    return {one.kind.value: (one.wechat_fen, one.ours_fen) for one in shop.store.bills.differences(day)}


def lines(shop: Shop, day: date) -> dict[str, tuple[int, int, int]]:
    """By business: what it sold and gave back, and WeChat's fees on that, in fen."""
    return {
        line.business_id: (line.sold_fen, line.refunded_fen, line.fees) for line in shop.store.bills.statements(day)
    }


def open_kinds(shop: Shop) -> list[str]:
    return sorted(case.kind for case in shop.store.cases.all_open())


def foreign(shop: Shop, number: str, fen: int = 1000) -> Trade:
    """A paid trade at WeChat that has this number, of another system of the merchant."""
    world = shop.wechat.world
    request: dict[str, Any] = {
        "out_trade_no": number,
        "appid": world.credentials.appid,
        "mchid": world.credentials.mchid,
    }
    request |= {"description": "x", "amount": {"total": fen}, "payer": {"openid": world.user("guest-9").openid}}
    request |= {"notify_url": ""}
    trade = Trade(request=request, created_at=world.clock.now(), time_expire=world.clock.now() + 100)
    world.add(trade)
    world.pay(trade)
    return trade


# --- both sides agree


def test_a_day_of_which_both_sides_agree_is_closed(midday: Shop) -> None:
    midday.guest.settled_order()
    day = closed(midday, next_morning(midday))
    assert (day.payments, day.paid_fen, day.our_payments, day.our_paid_fen) == (1, 89600, 1, 89600)
    assert (day.differences, day.healed, day.fees) == (0, 0, 538)
    (line,) = midday.store.bills.statements(day.day)
    assert (line.business_id, line.sold, line.sold_fen, line.fees) == (HOME.business_id, 1, 89600, 538)
    assert list(line.due_fen.values()) == [89062]
    assert next(iter(line.due_fen)) > day.day.isoformat()  # when the stay is over
    midday.check()


def test_each_business_and_product_has_its_line_and_the_lines_are_the_bill(midday: Shop) -> None:
    midday.guest.settled_order()
    token = midday.guest.login("guest-2")
    order_sn = midday.guest.place(token, new_booking(seats=2))
    assert midday.guest.cashier(midday.guest.prepay(token, order_sn)) == "requestPayment:ok"
    assert midday.wechat.notify(midday.wechat.notice(f"{order_sn}_1")).status == 204
    midday.events.settle()
    foreign(midday, "MALL0001", 777)
    day = closed(midday, next_morning(midday))
    found = lines(midday, day.day)
    assert found[NOT_OURS] == (777, 0, 5)
    assert (day.other_rows, day.differences) == (1, 0)
    assert sum(sold for sold, _, _ in found.values()) == day.paid_fen == day.our_paid_fen + 777
    assert sum(fees for _, _, fees in found.values()) == day.fees


def test_the_same_day_compared_again_is_the_same(midday: Shop) -> None:
    midday.guest.settled_order()
    midday.guest.pays()
    foreign(midday, "HSO2026112612000099999999_1")
    day = next_morning(midday)
    first = closed(midday, day)

    def kept() -> list[dict[str, Any]]:
        items = [item for item in midday.items.all() if item["pk"]["S"].startswith("BILL#20")]
        return [{name: value for name, value in item.items() if name != "read_at"} for item in items]

    written = kept()
    assert first.healed == 1
    for _ in range(3):
        reconcile(midday, date=day.isoformat())
    assert kept() == written


def test_what_was_used_on_a_day_stands_in_its_statement(midday: Shop) -> None:
    _, order_sn = midday.guest.settled_order()
    next_morning(midday, 12)
    assert midday.staff.redeem(str(midday.items.collection(order_sn).order.redeem_code)).status == 200
    foreign(midday, "MALL0002")
    day = closed(midday, next_morning(midday))
    (line,) = (line for line in midday.store.bills.statements(day.day) if line.business_id == HOME.business_id)
    assert (line.used, line.used_fen, line.sold) == (1, 89600, 0)


@pytest.mark.parametrize(("coupon", "discounts"), [("coupon", 5000), ("cash_coupon", 0)])
def test_a_coupon_of_the_merchants_own_is_money_that_nobody_pays_out(midday: Shop, coupon: str, discounts: int) -> None:
    """5,000 fen off 89,600; a tenth goes back."""
    midday.wechat.fault("cashier", coupon, value=5000)
    _, order_sn = midday.guest.settled_order()
    midday.staff.refund(order_sn, 8960)
    midday.events.settle()
    day = closed(midday, next_morning(midday))
    (line,) = midday.store.bills.statements(day.day)
    back = round(discounts * 8960 / 89600)
    assert (line.sold_fen, line.refunded_fen, line.discounts) == (89600, 8960, discounts - back)
    assert line.net_fen == 89600 - 8960 - line.discounts - line.fees == sum(line.due_fen.values())
    assert (day.discounts, day.fees, day.differences) == (line.discounts, line.fees, 0)
    assert midday.items.collection(order_sn).payments[0].payer_total_fen == 84600


# --- what heals


def test_a_payment_that_nobody_told_us_of_is_recorded_from_the_bill(midday: Shop) -> None:
    _, order_sn = midday.guest.pays()
    found = closed(midday, next_morning(midday))
    assert (found.healed, found.differences, found.our_paid_fen) == (1, 0, 89600)
    assert midday.items.status(order_sn) is OrderStatus.WAIT_USE
    midday.check()


def test_money_of_an_order_that_had_ended_is_found_and_goes_back(midday: Shop) -> None:
    """Every notice was lost and the order had ended: only the bill shows it."""
    _, order_sn = midday.guest.late_order()
    found = closed(midday, next_morning(midday))
    assert (found.healed, found.differences) == (1, 0)
    midday.wechat.refunds_end()
    midday.events.settle()
    (refund,) = midday.items.collection(order_sn).refunds
    assert (refund.origin, refund.status, refund.amount_fen) == (RefundOrigin.LATE, RefundStatus.SUCCESS, 89600)
    midday.check()


@pytest.mark.parametrize("fen", [89600, 10000])
@pytest.mark.parametrize("known", [True, False])
def test_a_refund_in_the_console_that_nobody_told_us_of_is_recorded_from_the_bill(
    midday: Shop, fen: int, *, known: bool
) -> None:
    """Also where the payment was never told either: then the refund is recorded first, and no code is given out for
    what is back."""
    _, order_sn = midday.guest.settled_order() if known else midday.guest.pays()
    midday.wechat.driver(f"trades/{order_sn}_1/refund", amount=fen)
    day = next_morning(midday)
    found = closed(midday, day)
    assert (found.healed, found.differences) == (1 if known else 2, 0)
    midday.janitor.come_to_rest()
    collection = midday.items.collection(order_sn)
    (refund,) = collection.refunds
    assert (refund.origin, refund.status, refund.amount_fen) == (RefundOrigin.CONSOLE, RefundStatus.SUCCESS, fen)
    assert collection.order.refundable_fen == 89600 - fen
    assert (collection.order.status is OrderStatus.REFUNDED) is (fen == 89600)
    midday.check()


def test_an_order_on_hold_is_freed_by_the_bill_that_shows_its_refund(midday: Shop) -> None:
    token, order_sn = midday.guest.pays()
    midday.wechat.driver(f"trades/{order_sn}_1/refund", amount=10000)
    midday.guest.poll(token, order_sn)
    midday.events.settle()
    assert midday.items.collection(order_sn).order.on_hold
    closed(midday, next_morning(midday))
    assert not midday.items.collection(order_sn).order.on_hold
    assert open_kinds(midday) == []
    midday.janitor.come_to_rest()
    midday.check()


def test_a_closed_day_is_read_once_more_for_an_order_that_is_on_hold_since(midday: Shop) -> None:
    """A poll finds a trade refunded, after the day of the payment was closed."""
    _, order_sn = midday.guest.pays()
    day = next_morning(midday)
    closed(midday, day)
    assert reconcile(midday, plan=True) == {"days": []}
    midday.wechat.driver(f"trades/{order_sn}_1/refund", amount=10000)
    trade = midday.parts.wechat_pay.query(midday.items.collection(order_sn).payments[0])
    assert trade is not None
    assert record_payment(midday.store, trade, utc_now()) is Recorded.DUPLICATE
    assert midday.items.collection(order_sn).order.on_hold
    assert reconcile(midday, plan=True) == {"days": [day.isoformat()]}
    closed(midday, day)
    assert reconcile(midday, plan=True) == {"days": []}


def test_where_only_the_day_differs_the_bills_day_is_written(midday: Shop) -> None:
    """WeChat says no success_time, and we learn of the payment after midnight."""
    _, order_sn = midday.guest.pays()
    day = next_morning(midday, 0, 5)
    assert midday.wechat.notify(midday.wechat.notice(f"{order_sn}_1", plaintext={"success_time": None})).status == 204
    midday.events.settle()
    midday.janitor.later(hours=10, minutes=25)
    found = closed(midday, day)
    assert (found.differences, found.healed, found.our_payments) == (0, 0, 1)
    (payment,) = (item for item in midday.items.all() if item["sk"]["S"] == "PAYMENT#1")
    assert payment["booked_on"]["S"] == f"{day}#{order_sn[-1]}"
    next_day = next_morning(midday)
    assert closed(midday, next_day).our_payments == 0
    midday.check()


def test_a_payment_that_the_next_bill_has_is_a_difference_until_then(midday: Shop) -> None:
    """Our books have a payment on a day; WeChat's have it on the next."""
    _, order_sn = midday.guest.settled_order()
    day = next_morning(midday)
    trade = midday.wechat.world.trades[f"{order_sn}_1"]
    trade.success_time += 24 * 3600 - 2 * 3600  # tomorrow at ten
    foreign(midday, "MALL0004").success_time -= 24 * 3600
    assert closed(midday, day).differences == 1
    assert differing(midday, day) == {"payment_not_in_bill": (None, 89600)}
    assert open_kinds(midday) == ["payment_not_in_bill"]
    next_day = next_morning(midday)
    assert closed(midday, next_day).differences == 0
    assert (stands(midday, day).differences, stands(midday, day).our_payments) == (0, 0)
    assert differing(midday, day) == {}
    assert open_kinds(midday) == []


# --- what differs


def test_money_for_an_order_that_nobody_knows_is_a_difference_and_a_case(midday: Shop) -> None:
    foreign(midday, "HSO2026112612000099999999_1", 500)
    day = next_morning(midday)
    found = closed(midday, day)
    assert (found.differences, found.paid_fen, found.our_paid_fen) == (1, 500, 0)
    assert differing(midday, day) == {"unknown_trade": (500, None)}
    assert open_kinds(midday) == ["unknown_trade"]
    assert lines(midday, day) == {UNASSIGNED: (500, 0, 3)}


def test_a_second_transaction_and_another_sum_are_of_no_business(midday: Shop) -> None:
    _, order_sn = midday.guest.settled_order()
    token = midday.guest.login("guest-2")
    other = midday.guest.order(token)
    midday.guest.prepay(token, other)
    world = midday.wechat.world
    twice = foreign(midday, "TWICE", 89600)
    twice.request["out_trade_no"] = f"{order_sn}_1"
    wrong = world.trades[f"{other}_1"]
    wrong.request["amount"]["total"] = 89500
    world.pay(wrong)
    day = next_morning(midday)
    closed(midday, day)
    assert differing(midday, day) == {"second_transaction": (89600, 89600), "mispaid": (89500, 89600)}
    assert open_kinds(midday) == ["mispaid", "second_transaction"]
    found = lines(midday, day)
    assert found[UNASSIGNED][:2] == (179100, 0)
    assert found[HOME.business_id][:2] == (89600, 0)
    reconcile(midday, date=day.isoformat())
    assert len(differing(midday, day)) == 2


def test_a_refund_of_another_sum_than_ours_is_a_difference(midday: Shop) -> None:
    _, order_sn = midday.guest.settled_order()
    out_refund_no = midday.staff.refund(order_sn, 10000).json["out_refund_no"]
    midday.events.settle()
    midday.wechat.world.refunds[out_refund_no].request["amount"]["refund"] = 9900
    day = next_morning(midday)
    closed(midday, day)
    assert differing(midday, day) == {"refund_differs": (9900, 10000)}
    assert open_kinds(midday) == ["refund_differs"]


def test_a_refund_that_is_only_in_our_books_is_a_difference(midday: Shop) -> None:
    _, order_sn = midday.guest.settled_order()
    out_refund_no = midday.staff.refund(order_sn, 10000).json["out_refund_no"]
    midday.events.settle()
    del midday.wechat.world.refunds[out_refund_no]
    day = next_morning(midday)
    closed(midday, day)
    assert differing(midday, day) == {"refund_not_in_bill": (None, 10000)}


def test_a_refund_of_nothing_of_ours_is_a_difference(midday: Shop) -> None:
    foreign(midday, "HSO2026112612000099999999_1", 500)
    midday.wechat.driver("trades/HSO2026112612000099999999_1/refund", amount=200)
    day = next_morning(midday)
    closed(midday, day)
    assert differing(midday, day) == {"unknown_trade": (500, None), "unknown_refund": (200, None)}
    assert lines(midday, day)[UNASSIGNED][:2] == (500, 200)
    assert open_kinds(midday) == ["unknown_refund", "unknown_trade"]


# --- when a day is closed


def test_a_day_without_trade_is_closed_only_once_there_could_be_a_bill(midday: Shop) -> None:
    day = next_morning(midday, 8, 0)
    reconcile(midday)
    assert (stands(midday, day).closed, stands(midday, day).why) == (False, "NO_STATEMENT_EXIST")
    midday.janitor.later(hours=1, minutes=30)
    reconcile(midday)
    assert stands(midday, day).why == "STATEMENT_CREATING"
    midday.janitor.later(hours=1)
    assert (closed(midday, day).payments, closed(midday, day).sha1) == (0, "")


def test_no_bill_of_a_day_on_which_we_have_something_is_no_reason_to_close_it(midday: Shop) -> None:
    midday.guest.settled_order()
    midday.wechat.world.trades.clear()
    day = next_morning(midday)
    reconcile(midday)
    assert (stands(midday, day).closed, stands(midday, day).why) == (False, "NO_STATEMENT_EXIST")
    assert reconcile(midday, plan=True)["days"] == [day.isoformat()]


def test_a_day_that_fails_between_two_that_close_is_closed_later(midday: Shop) -> None:
    days = []
    for number in range(3):
        foreign(midday, f"MALL000{number}")
        days.append(next_morning(midday, 12))
        if number == 0:
            reconcile(midday, plan=True)  # the first run: from here on days count
    midday.wechat.world.trades["MALL0001"].request["mchid"] = "1900009999"
    found = reconcile(midday)
    assert [(one["closed"], one["why"]) for one in found["days"]] == [(True, ""), (False, "merchant"), (True, "")]
    assert found["left"] == [days[1].isoformat()]
    midday.wechat.world.trades["MALL0001"].request["mchid"] = midday.wechat.world.credentials.mchid
    assert [one["closed"] for one in reconcile(midday)["days"]] == [True]


@pytest.mark.parametrize(
    ("call", "answer", "why"),
    [
        ("tradebill", "no_statement", "NO_STATEMENT_EXIST"),
        ("tradebill", "creating", "STATEMENT_CREATING"),
        ("tradebill", "two_days", "day"),
        ("tradebill", "row_twice", "twice"),
        ("tradebill", "missing_column", "columns"),
        ("tradebill", "wrong_summary", "sums"),
        ("tradebill", "no_summary", "truncated"),
        ("tradebill", "wrong_hash", "hash"),
        ("tradebill", "other_merchant", "merchant"),
        ("download", "truncated", "truncated"),
        ("download", "expired", "INVALID_REQUEST"),
    ],
)
def test_a_bill_that_is_not_whole_changes_nothing_and_is_asked_for_again(
    midday: Shop, call: str, answer: str, why: str
) -> None:
    _, known = midday.guest.settled_order()
    token = midday.guest.login("guest-2")
    unknown = midday.guest.order(token)
    assert midday.guest.cashier(midday.guest.prepay(token, unknown)) == "requestPayment:ok"
    day = next_morning(midday)
    midday.wechat.fault(call, answer)
    before = [item for item in midday.items.all() if item["pk"]["S"].startswith("ORDER#")]
    reconcile(midday)
    assert (stands(midday, day).closed, stands(midday, day).why) == (False, why)
    assert [item for item in midday.items.all() if item["pk"]["S"].startswith("ORDER#")] == before
    assert (midday.store.bills.statements(day), midday.store.bills.differences(day)) == ([], [])
    assert midday.items.collection(unknown).payments[0].status is PaymentStatus.NOTPAY
    found = closed(midday, day)
    assert (found.healed, found.differences, found.our_payments) == (1, 0, 2)
    assert known
    midday.check()


@pytest.mark.parametrize("answer", ["extra_column", "other_order", "others_rows"])
def test_a_bill_may_have_more_than_we_read_of_it(midday: Shop, answer: str) -> None:
    midday.guest.pays()
    day = next_morning(midday)
    midday.wechat.fault("tradebill", answer, value=7)
    found = closed(midday, day)
    assert (found.healed, found.differences, found.other_rows) == (1, 0, 7 if answer == "others_rows" else 0)


def test_a_bill_without_a_row_says_that_what_we_have_is_not_there(midday: Shop) -> None:
    midday.guest.settled_order()
    day = next_morning(midday)
    midday.wechat.fault("tradebill", "empty")
    assert closed(midday, day).differences == 1
    assert differing(midday, day) == {"payment_not_in_bill": (None, 89600)}
    reconcile(midday, date=day.isoformat())
    assert (differing(midday, day), open_kinds(midday), stands(midday, day).differences) == ({}, [], 0)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        *(("tradebill", answer) for answer in ("500", "502html", "429", "drop", "signtest", "wrong_key", "stale")),
        *(("download", answer) for answer in ("500", "502html", "429", "drop")),
    ],
)
def test_a_wechat_that_does_not_answer_leaves_the_day_as_it_was(midday: Shop, call: str, answer: str) -> None:
    midday.guest.pays()
    day = next_morning(midday)
    midday.wechat.fault(call, answer, times=5)
    reconcile(midday)
    assert not stands(midday, day).closed
    assert midday.store.bills.statements(day) == []
    midday.wechat.world.faults.clear()
    assert closed(midday, day).healed == 1


def test_an_item_that_cannot_be_read_keeps_its_day_open_and_no_other(midday: Shop) -> None:
    _, order_sn = midday.guest.settled_order()
    day = next_morning(midday)
    key = {"pk": {"S": f"ORDER#{order_sn}"}, "sk": {"S": "PAYMENT#1"}}
    broken = {"Key": key, "TableName": TABLE, "UpdateExpression": "SET total_fen = :text"}
    client("dynamodb").update_item(**broken, ExpressionAttributeValues={":text": {"S": "much"}})
    reconcile(midday)
    assert stands(midday, day).why == "item_unreadable"
    client("dynamodb").update_item(**broken, ExpressionAttributeValues={":text": {"N": "89600"}})
    assert closed(midday, day).our_paid_fen == 89600


@pytest.mark.parametrize("sk", ["ORDER", "PAYMENT#1"])
def test_an_item_that_cannot_be_read_keeps_no_other_from_being_recorded(midday: Shop, sk: str) -> None:
    found = []
    for number in range(3):
        token = midday.guest.login(f"guest-{number}")
        order_sn = midday.guest.order(token)
        assert midday.guest.cashier(midday.guest.prepay(token, order_sn)) == "requestPayment:ok"
        found.append(order_sn)
    day = next_morning(midday)
    midday.items.change_raw(f"ORDER#{found[1]}", sk, total_fen="much")
    midday.run("reconcile_bill", {})
    midday.events.deliver_all()  # that of the one that cannot be read fails
    assert stands(midday, day).why == "item_unreadable"
    assert [midday.items.status(found[one]) for one in (0, 2)] == [OrderStatus.WAIT_USE] * 2


def test_a_day_for_which_time_does_not_suffice_goes_on_in_the_next_run(midday: Shop) -> None:
    _, order_sn = midday.guest.pays()
    day = next_morning(midday)
    midday.context.remaining_ms = 10_000
    reconcile(midday, date=day.isoformat())
    assert stands(midday, day).why == "no_time"
    assert midday.items.status(order_sn) is OrderStatus.WAIT_PAY
    midday.context.remaining_ms = 900_000
    assert closed(midday, day).healed == 1


def test_a_day_that_was_closed_stays_so_whatever_is_read_later(midday: Shop) -> None:
    midday.guest.settled_order()
    day = next_morning(midday)
    first = closed(midday, day)
    midday.wechat.fault("tradebill", "500", times=5)
    assert reconcile(midday, date=day.isoformat())["days"][0]["closed"]
    assert stands(midday, day) == first


def test_a_day_that_is_not_closed_for_eighty_days_is_a_case(midday: Shop) -> None:
    _, order_sn = midday.guest.settled_order()
    lost = midday.wechat.world.trades.pop(f"{order_sn}_1")
    first = next_morning(midday)
    reconcile(midday)
    midday.janitor.later(days=79)
    reconcile(midday)
    assert open_kinds(midday) == ["bill_open"]
    assert len(reconcile(midday, plan=True)["days"]) == 1
    midday.wechat.world.trades[lost.out_trade_no] = lost
    closed(midday, first)
    assert open_kinds(midday) == []
    midday.janitor.later(days=10)
    assert len(reconcile(midday, plan=True)["days"]) == 10  # the bill of the first is gone at WeChat


@pytest.mark.parametrize("asked", ["yesterday", "2020-01-01", "", "2999-01-01", 7, None])
def test_a_day_without_a_bill_is_refused(midday: Shop, asked: object) -> None:
    with pytest.raises(ValueError, match="date:"):
        midday.run("reconcile_bill", {"date": asked})


def test_every_kind_of_difference_is_explained() -> None:
    assert set(MEANS) == set(DifferenceKind)
