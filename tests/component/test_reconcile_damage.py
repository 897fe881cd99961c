"""The comparison with WeChat's bill killed in the middle, raced by notices, or met by items and rows that cannot be."""

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.reconcile_bill import app
from payments.domain.payment import PaymentStatus
from payments.domain.times import BEIJING, beijing_day, utc_now
from payments.recording import record_payment, record_refund_report
from payments.store.cases import Cases
from payments.wechat.errors import OutcomeUnknown
from payments.wechat.pay import WechatPay
from simulator.bill_file import Sheet
from tests.component.test_reconcile_bill import (
    closed,
    differing,
    foreign,
    lines,
    next_morning,
    open_kinds,
    reconcile,
    stands,
)
from tests.shop import Shop


class Killed(BaseException):
    """Lambda ends the process."""


@pytest.fixture
def midday(shop: Shop) -> Shop:
    shop.context.remaining_ms = 900_000
    shop.janitor.move_to(datetime.combine(beijing_day(utc_now()) + timedelta(days=1), time(12), BEIJING))
    return shop


def with_a_payment_that_the_next_bill_has(shop: Shop) -> date:
    """A closed day on which our books have what WeChat's have on the next, whose morning it is."""
    _, order_sn = shop.guest.settled_order()
    day = next_morning(shop)
    shop.wechat.world.trades[f"{order_sn}_1"].success_time += 22 * 3600
    foreign(shop, "MALL0004").success_time -= 24 * 3600
    assert closed(shop, day).differences == 1
    next_morning(shop)
    return day


@pytest.mark.parametrize("end", [OutcomeUnknown("away"), Killed()])
def test_a_day_that_must_be_compared_again_stays_open_until_it_is(
    midday: Shop, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    day = with_a_payment_that_the_next_bill_has(midday)
    download = WechatPay.download_trade_bill

    def fails_once(self: WechatPay, of: date, to: Path) -> str:
        if of == day:
            raise end
        return download(self, of, to)

    with monkeypatch.context() as patch:
        patch.setattr(WechatPay, "download_trade_bill", fails_once)
        if isinstance(end, Killed):
            with pytest.raises(Killed):
                midday.run("reconcile_bill", {})
        else:
            reconcile(midday)
    assert not stands(midday, day).closed
    closed(midday, day)
    assert (differing(midday, day), open_kinds(midday)) == ({}, [])


def test_a_case_is_closed_before_its_difference_is_marked_as_gone(
    midday: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    midday.guest.settled_order()
    day = next_morning(midday)
    midday.wechat.fault("tradebill", "empty")
    closed(midday, day)

    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Cases, "close", dies)
        with pytest.raises(Killed):
            reconcile(midday, date=day.isoformat())
    reconcile(midday, date=day.isoformat())
    assert (differing(midday, day), open_kinds(midday)) == ({}, [])


def test_a_difference_that_comes_back_has_its_case_again(midday: Shop) -> None:
    midday.guest.settled_order()
    day = next_morning(midday)
    for answer, kinds in (("empty", ["payment_not_in_bill"]), ("extra_column", []), ("empty", ["payment_not_in_bill"])):
        midday.wechat.fault("tradebill", answer, times=1)
        reconcile(midday, date=day.isoformat())
        assert open_kinds(midday) == kinds


def test_a_run_that_fails_beside_one_that_closes_leaves_the_day_closed(
    midday: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    midday.guest.settled_order()
    day = next_morning(midday)
    download, runs = WechatPay.download_trade_bill, list[date]()

    def slow(self: WechatPay, of: date, to: Path) -> str:
        if runs:
            return download(self, of, to)
        runs.append(of)
        midday.run("reconcile_bill", {})
        raise OutcomeUnknown("429")

    monkeypatch.setattr(WechatPay, "download_trade_bill", slow)
    midday.run("reconcile_bill", {})
    assert runs == [day]
    assert stands(midday, day).closed


def test_a_notice_that_comes_while_the_bill_is_read_leaves_the_refund_on_the_bills_day(
    midday: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notice does not say when the refund was accepted."""
    _, order_sn = midday.guest.settled_order()
    midday.wechat.driver(f"trades/{order_sn}_1/refund", amount=10000)
    (out_refund_no,) = midday.wechat.world.refunds
    day = next_morning(midday)
    midday.wechat.world.refunds[out_refund_no].status = "SUCCESS"
    notice = midday.wechat.refund_notice(out_refund_no)

    def raced(*arguments: Any) -> Any:
        assert midday.wechat.notify(notice).status == 204
        return record_refund_report(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(app, "record_refund_report", raced)
        midday.run("reconcile_bill", {})
    midday.events.settle()
    assert stands(midday, day).differences == 0
    foreign(midday, "MALL0001")
    closed(midday, next_morning(midday))
    assert open_kinds(midday) == []
    assert midday.items.collection(order_sn).refunds[0].booked_on == f"{day}#{order_sn[-1]}"


def test_what_was_used_on_a_day_without_trades_stands_in_its_statement(midday: Shop) -> None:
    _, order_sn = midday.guest.settled_order()
    next_morning(midday, 12)
    assert midday.staff.redeem(str(midday.items.collection(order_sn).order.redeem_code)).status == 200
    day = closed(midday, next_morning(midday))
    assert [(line.used, line.used_fen) for line in midday.store.bills.statements(day.day)] == [(1, 89600)]


@pytest.mark.parametrize("fen", [90000, 9900])
def test_a_refund_of_money_that_was_not_paid_as_asked_is_recorded(midday: Shop, fen: int) -> None:
    """Asked for 89,600, paid 90,000, and nobody told us of either."""
    token = midday.guest.login()
    order_sn = midday.guest.order(token)
    midday.guest.prepay(token, order_sn)
    trade = midday.wechat.world.trades[f"{order_sn}_1"]
    trade.request["amount"]["total"] = 90000
    midday.wechat.world.pay(trade)
    midday.wechat.driver(f"trades/{order_sn}_1/refund", amount=fen)
    day = next_morning(midday)
    closed(midday, day)
    assert differing(midday, day) == {"mispaid": (90000, 89600)}
    assert lines(midday, day)["~unassigned"][:2] == (90000, fen)
    assert [refund.amount_fen for refund in midday.items.collection(order_sn).refunds] == [fen]


def test_a_refund_that_wechat_has_under_another_trade_is_a_difference(midday: Shop) -> None:
    _, order_sn = midday.guest.settled_order()
    out_refund_no = midday.staff.refund(order_sn, 10000).json["out_refund_no"]
    midday.events.settle()
    midday.wechat.world.refunds[out_refund_no].trade = foreign(midday, "MALL0009", 50000)
    day = next_morning(midday)
    closed(midday, day)
    assert differing(midday, day) == {"refund_not_in_bill": (None, 10000)}


def test_an_unreadable_payment_of_an_order_on_hold_stops_no_day(midday: Shop) -> None:
    reconcile(midday, plan=True)  # from here on days are compared
    token, order_sn = midday.guest.pays()
    midday.wechat.driver(f"trades/{order_sn}_1/refund", amount=10000)
    midday.guest.poll(token, order_sn)
    midday.events.settle()
    midday.items.change_raw(f"ORDER#{order_sn}", "PAYMENT#1", total_fen="much")
    day = next_morning(midday, 12)
    foreign(midday, "MALL0001")
    other = next_morning(midday)
    midday.run("reconcile_bill", {})
    assert (stands(midday, day).why, stands(midday, other).closed) == ("item_unreadable", True)


def test_a_payment_that_was_revoked_is_not_recorded_as_paid(midday: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    _, order_sn = midday.guest.pays()
    day = next_morning(midday)
    written = Sheet.written

    def revoked(sheet: Sheet) -> bytes:
        return written(sheet).replace(b"`SUCCESS,", b"`REVOKED,")

    monkeypatch.setattr(Sheet, "written", revoked)
    closed(midday, day)
    assert midday.items.payments(order_sn) == [PaymentStatus.NOTPAY]
    assert differing(midday, day) == {"payment_differs": (89600, None)}
    assert open_kinds(midday) == ["payment_differs"]


def test_a_closed_day_that_is_wanted_again_is_never_called_open(midday: Shop) -> None:
    _, order_sn = midday.guest.pays()
    closed(midday, next_morning(midday))
    midday.janitor.later(days=80)
    reconcile(midday)
    midday.wechat.driver(f"trades/{order_sn}_1/refund", amount=10000)
    trade = midday.parts.wechat_pay.query(midday.items.collection(order_sn).payments[0])
    assert trade is not None
    record_payment(midday.store, trade, utc_now())
    midday.context.remaining_ms = 100_000
    midday.run("reconcile_bill", {})
    assert open_kinds(midday) == ["refunded_elsewhere"]
