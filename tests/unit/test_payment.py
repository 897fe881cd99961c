"""The decisions of R2, R3 and R4, and how WeChat's reports are read."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.order import ORDER_SN as ORDER_NUMBER
from payments.domain.order import OrderStatus, new_order_sn
from payments.domain.payment import (
    CALL_PAUSE,
    MAX_TRADES,
    CallAgain,
    CreatePayment,
    Malformed,
    Payment,
    PaymentStatus,
    Refuse,
    SignAgain,
    TradeReport,
    UsedUp,
    Verdict,
    Wait,
    decide_prepay,
    judge,
    new_payment,
)
from payments.domain.refund import RefundOrigin, automatic_refund, merchant_refund
from payments.domain.trade_number import TradeNumber
from payments.products.homestay.offer import HOMESTAY
from payments.store import keys
from tests.examples import APPID, MCHID, NOW, ORDER_SN, STAY, order, paid_payment, payment, trade

CLOSED: dict[str, Any] = {"status": PaymentStatus.CLOSED}
LIVE: dict[str, Any] = {"prepay_id": "wx1", "prepay_expires_at": NOW + timedelta(hours=2)}


def test_the_first_prepay_opens_trade_one() -> None:
    assert decide_prepay(order(), [], NOW, fresh=False) == CreatePayment(1)


def test_the_next_trade_opens_only_after_the_last_is_closed() -> None:
    assert decide_prepay(order(), [payment(1, **CLOSED)], NOW, fresh=False) == CreatePayment(2)
    unknown = payment(2, called_at=NOW - CALL_PAUSE)
    assert decide_prepay(order(), [payment(1, **CLOSED), unknown], NOW, fresh=False) == CallAgain(unknown)


def test_trades_are_counted_and_not_sorted_as_text() -> None:
    many = [payment(n, **CLOSED) for n in (1, 10, 2, 9)]
    assert decide_prepay(order(), many, NOW, fresh=False) == CreatePayment(11)


def test_a_live_prepay_id_is_signed_again_unless_the_cashier_refused_it() -> None:
    live = payment(1, called_at=NOW - CALL_PAUSE, **LIVE)
    assert decide_prepay(order(), [live], NOW, fresh=False) == SignAgain(live, "wx1")
    assert decide_prepay(order(), [live], NOW, fresh=True) == CallAgain(live)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_trade_that_wechat_was_called_for_a_moment_ago_is_not_called_again(fresh: bool) -> None:
    now = NOW + CALL_PAUSE - timedelta(milliseconds=1)
    dead = {"prepay_id": "wx1", "prepay_expires_at": NOW}
    assert decide_prepay(order(), [payment(1, **LIVE)], now, fresh=fresh) == SignAgain(payment(1, **LIVE), "wx1")
    for without in (payment(1), payment(1, **dead)):
        assert decide_prepay(order(), [without], now, fresh=fresh) == Wait(NOW + CALL_PAUSE)
        assert decide_prepay(order(), [without], NOW + CALL_PAUSE, fresh=fresh) == CallAgain(without)
    assert decide_prepay(order(), [payment(1, called_at=None)], now, fresh=fresh) == CallAgain(
        payment(1, called_at=None)
    )


def test_an_order_has_at_most_twenty_trades() -> None:
    def closed(n: int) -> list[Payment]:
        return [payment(one, **CLOSED) for one in range(1, n + 1)]

    assert decide_prepay(order(), closed(19), NOW, fresh=False) == CreatePayment(20)
    assert decide_prepay(order(), closed(20), NOW, fresh=False) == UsedUp()
    sixty = [replace(payment(1, **CLOSED), n=n) for n in range(1, 61)]  # as an older version left them
    assert decide_prepay(order(), sixty, NOW, fresh=True) == UsedUp()
    last = payment(20, called_at=NOW - CALL_PAUSE)
    assert decide_prepay(order(), [*closed(19), last], NOW, fresh=False) == CallAgain(last)
    with pytest.raises(ValueError, match="from 1 to 20"):
        payment(21)


@given(st.lists(st.sampled_from(PaymentStatus), max_size=MAX_TRADES), st.booleans(), st.integers(0, 1800))
def test_no_second_trade_is_opened_beside_an_open_one_and_none_after_money_came(
    statuses: list[PaymentStatus], fresh: bool, age_s: int
) -> None:
    """Wherever among its trades one is open, paid or mispaid, not only at the end (R2)."""
    payments = [payment(n, status=status) for n, status in enumerate(statuses, 1)]
    match decide_prepay(order(), payments, NOW + timedelta(seconds=age_s), fresh=fresh):
        case CreatePayment(n):
            assert set(statuses) <= {PaymentStatus.CLOSED}
            assert n == len(statuses) + 1 <= MAX_TRADES
        case CallAgain(one):
            assert one.status is PaymentStatus.NOTPAY
            assert not {PaymentStatus.SUCCESS, PaymentStatus.MISPAID} & set(statuses)


def test_a_dead_prepay_id_is_asked_for_again() -> None:
    dead = payment(1, prepay_id="wx1", prepay_expires_at=NOW, called_at=NOW - CALL_PAUSE)
    assert decide_prepay(order(), [dead], NOW, fresh=False) == CallAgain(dead)


@pytest.mark.parametrize(
    "changes",
    [
        *({"status": status} for status in OrderStatus if status is not OrderStatus.WAIT_PAY),
        {"closing": True},
        {"expires_at": NOW + timedelta(seconds=89)},
    ],
)
@pytest.mark.parametrize("payments", [[], [payment(1, **LIVE)], [payment(1, **CLOSED)]])
def test_an_order_that_is_not_open_is_refused(changes: dict[str, Any], payments: Any) -> None:
    assert isinstance(decide_prepay(order(**changes), payments, NOW, fresh=False), Refuse)


def test_ninety_seconds_are_enough() -> None:
    assert decide_prepay(order(expires_at=NOW + timedelta(seconds=90)), [], NOW, fresh=False) == CreatePayment(1)


@pytest.mark.parametrize("status", [PaymentStatus.SUCCESS, PaymentStatus.MISPAID])
def test_money_that_came_forbids_another_trade(status: PaymentStatus) -> None:
    assert isinstance(decide_prepay(order(), [payment(1, status=status)], NOW, fresh=True), Refuse)


def test_an_old_image_tells_a_duplicate_from_second_money() -> None:
    assert judge(paid_payment(), trade()) is Verdict.DUPLICATE
    assert judge(paid_payment(), trade(transaction_id="4200000002")) is Verdict.SECOND_TRANSACTION
    assert judge(None, trade()) is Verdict.UNKNOWN_TRADE


def test_money_on_a_closed_trade_is_late_not_lost() -> None:
    assert judge(payment(**CLOSED), trade()) is Verdict.LATE


@pytest.mark.parametrize(
    "wrong", [{"total_fen": 1}, {"currency": "USD"}, {"appid": "wxother"}, {"mchid": "1900000009"}]
)
@pytest.mark.parametrize("status", [PaymentStatus.NOTPAY, PaymentStatus.CLOSED])
def test_other_money_than_asked_for_is_mispaid(wrong: dict[str, Any], status: PaymentStatus) -> None:
    assert judge(payment(status=status), trade(**wrong)) is Verdict.MISPAID


def test_a_coupon_lowers_payer_total_and_that_is_fine() -> None:
    assert judge(payment(**CLOSED), trade(payer_total_fen=1)) is Verdict.LATE


def test_keys_follow_from_the_number() -> None:
    assert TradeNumber.parse(payment(3).out_trade_no) == TradeNumber(ORDER_SN, 3) == payment(3).number
    assert keys.payment(ORDER_SN, 3) == {"pk": f"ORDER#{ORDER_SN}", "sk": "PAYMENT#3"}
    for foreign in ("", "PMT1", ORDER_SN, f"{ORDER_SN}_0", f"{ORDER_SN}_1_R1", f"x{ORDER_SN}_1", f"{ORDER_SN}_1\n"):
        assert TradeNumber.parse(foreign) is None


WECHATS_NUMBER = re.compile(r"[0-9A-Za-z_|*@-]+")

instants = st.datetimes(datetime(2020, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


letters_of_products = st.from_regex(r"[A-Z]{3}", fullmatch=True)


@given(
    letters_of_products,
    instants,
    st.integers(0, 10**8 - 1),
    st.integers(1, MAX_TRADES),
    st.integers(1, 99),
    st.text(),
    st.text(),
)
def test_whatever_number_is_made_is_read_and_good_for_wechat(
    letters: str, now: datetime, digits: int, n: int, attempt: int, staff: str, key: str
) -> None:
    order_sn = new_order_sn(letters, now, f"{digits:08d}")
    assert ORDER_NUMBER.fullmatch(order_sn)
    told = {"appid": APPID, "mchid": MCHID, "notify_url": "https://x", "description": "x"}
    trade = new_payment(order(order_sn=order_sn), n, now=now, **told)
    assert TradeNumber.parse(trade.out_trade_no) == TradeNumber(order_sn, n)
    again = automatic_refund(trade, RefundOrigin.LATE, now, attempt=attempt)
    assert int(again.out_refund_no.rpartition("_R")[2]) == attempt
    asked = {"amount_fen": 1, "reason": "x", "body_hash": "h", "now": now}
    wanted = merchant_refund(trade, staff=staff, key=key, **asked)  # type: ignore[arg-type]
    for number, limit in ((trade.out_trade_no, 32), (again.out_refund_no, 64), (wanted.out_refund_no, 64)):
        assert 6 <= len(number) <= limit
        assert WECHATS_NUMBER.fullmatch(number)
    for refund in (again, wanted):
        assert TradeNumber.parse(refund.out_refund_no) is None  # never taken for a trade
        assert refund.out_refund_no.startswith(f"{trade.out_trade_no}_")


def test_a_number_of_other_digits_than_ours_is_not_ours() -> None:
    assert TradeNumber.parse(f"{ORDER_SN[:-1]}８_1") is None
    assert TradeNumber.parse(f"{ORDER_SN}_１") is None
    assert ORDER_NUMBER.fullmatch(ORDER_SN[:-1] + "٣") is None


def test_the_description_holds_no_character_that_wechat_refuses() -> None:
    text = payment().description
    assert text == f"{STAY.title} 2晚"
    assert HOMESTAY.bill(replace(STAY, title="海边🌊")) == "海边 2晚"
    made = new_payment(order(), 1, description="海边🌊", appid=APPID, mchid=MCHID, notify_url="https://x", now=NOW)
    assert made.description == "海边"


PAID = {
    "out_trade_no": f"{ORDER_SN}_1",
    "trade_state": "SUCCESS",
    "appid": APPID,
    "mchid": MCHID,
    "transaction_id": "4200000001",
    "success_time": "2026-11-23T12:00:20+08:00",
    "amount": {"total": 89600, "payer_total": 89500, "currency": "CNY", "payer_currency": "CNY"},
}


def test_wechats_word_is_read_and_what_is_new_in_it_ignored() -> None:
    read = TradeReport.from_wechat({**PAID, "brand_new_field": [1, {"x": None}]})
    assert read == trade(payer_total_fen=89500)
    assert read.paid
    assert not read.over


def test_an_unpaid_trade_has_neither_sums_nor_times() -> None:
    unpaid = TradeReport.from_wechat(
        {k: PAID[k] for k in ("out_trade_no", "appid", "mchid")} | {"trade_state": "CLOSED"}
    )
    assert unpaid.over
    assert not unpaid.paid


@pytest.mark.parametrize(
    "broken",
    [
        {"amount": None},
        {"amount": {"total": "89600"}},
        {"amount": {"total": True}},
        {"amount": {"total": -1}},
        {"amount": {"total": 1.5}},
        {"transaction_id": ""},
        {"transaction_id": 42},
        {"trade_state": None},
        {"out_trade_no": ["x"]},
    ],
)
def test_a_malformed_word_is_refused_and_not_guessed_at(broken: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        TradeReport.from_wechat(PAID | broken)


ODD_TIMES: list[object] = [None, "yesterday", "", 0, [], "0001-01-01T00:00:00+14:00"]
ODD_SUMS: list[object] = [None, "1", -1, 1.5, True]


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in PAID.items() if name != field}


@pytest.mark.parametrize(
    "told",
    [
        without("success_time"),
        *(PAID | {"success_time": odd} for odd in ODD_TIMES),
        *(PAID | {"amount": {"total": 89600, "payer_total": odd}} for odd in ODD_SUMS),
        without("bank_type"),
        without("payer"),
    ],
)
def test_what_says_neither_which_trade_it_is_nor_its_sum_never_keeps_money_out(told: dict[str, Any]) -> None:
    read = TradeReport.from_wechat(told)
    assert (read.paid, read.total_fen, read.transaction_id) == (True, 89600, PAID["transaction_id"])
    assert read.payer_total_fen in (89600, TradeReport.from_wechat(PAID).payer_total_fen)


@pytest.mark.parametrize(
    ("told", "utc"),
    [
        ("2026-11-25T20:11:12", datetime(2026, 11, 25, 12, 11, 12, tzinfo=UTC)),
        ("2026-11-26 01:00:00", datetime(2026, 11, 25, 17, 0, tzinfo=UTC)),
        ("2026-11-25T20:11:12+08:00", datetime(2026, 11, 25, 12, 11, 12, tzinfo=UTC)),
        ("2026-11-25T12:11:12Z", datetime(2026, 11, 25, 12, 11, 12, tzinfo=UTC)),
        ("2026-11-25", datetime(2026, 11, 24, 16, 0, tzinfo=UTC)),
        ("9999-12-31T23:59:59-14:00", None),
    ],
)
def test_a_time_of_wechats_without_offset_is_beijing_time(told: str, utc: datetime | None) -> None:
    assert TradeReport.from_wechat(PAID | {"success_time": told}).success_time == utc


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


@given(st.sampled_from([*PAID, "amount"]), json_values)
def test_whatever_wechat_sends_it_is_read_or_malformed(field: str, value: Any) -> None:
    try:
        read = TradeReport.from_wechat(PAID | {field: value})
    except Malformed:
        return
    assert read.total_fen >= 0


def test_late_money_goes_back_whole_under_one_derived_number() -> None:
    refund = automatic_refund(paid_payment(2), RefundOrigin.SECOND, NOW)
    assert refund.out_refund_no == f"{ORDER_SN}_2_R1"
    assert refund.amount_fen == refund.total_fen == paid_payment(2).total_fen
    assert len(refund.reason) <= 80
