"""The decisions of R2, R3 and R4, and how WeChat's word is read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.order import OrderStatus
from payments.payment import (
    Call,
    Malformed,
    Open,
    PaymentStatus,
    Refuse,
    Resign,
    Trade,
    Verdict,
    decide_prepay,
    judge,
    parse_out_trade_no,
    prepay_description,
)
from payments.refund import RefundOrigin, automatic_refund
from payments.table import payment_key
from tests.examples import APPID, MCHID, NOW, ORDER_SN, STAY, order, paid_payment, payment, trade

CLOSED: dict[str, Any] = {"status": PaymentStatus.CLOSED}
LIVE: dict[str, Any] = {"prepay_id": "wx1", "prepay_expires_at": NOW + timedelta(hours=2)}


def test_the_first_prepay_opens_trade_one() -> None:
    assert decide_prepay(order(), [], NOW, fresh=False) == Open(1)


def test_the_next_trade_opens_only_after_the_last_is_closed() -> None:
    assert decide_prepay(order(), [payment(1, **CLOSED)], NOW, fresh=False) == Open(2)
    assert decide_prepay(order(), [payment(1, **CLOSED), payment(2)], NOW, fresh=False) == Call(payment(2))


def test_trades_are_counted_and_not_sorted_as_text() -> None:
    many = [payment(n, **CLOSED) for n in (1, 10, 2, 9)]
    assert decide_prepay(order(), many, NOW, fresh=False) == Open(11)


def test_a_live_prepay_id_is_signed_again_unless_the_cashier_refused_it() -> None:
    live = payment(1, **LIVE)
    assert decide_prepay(order(), [live], NOW, fresh=False) == Resign(live, "wx1")
    assert decide_prepay(order(), [live], NOW, fresh=True) == Call(live)


def test_a_dead_prepay_id_is_asked_for_again() -> None:
    dead = payment(1, prepay_id="wx1", prepay_expires_at=NOW)
    assert decide_prepay(order(), [dead], NOW, fresh=False) == Call(dead)


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
    assert decide_prepay(order(expires_at=NOW + timedelta(seconds=90)), [], NOW, fresh=False) == Open(1)


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
    assert parse_out_trade_no(payment(3).out_trade_no) == (ORDER_SN, 3)
    assert payment_key(ORDER_SN, 3) == {"pk": f"ORDER#{ORDER_SN}", "sk": "PAYMENT#3"}
    for foreign in ("", "PMT1", ORDER_SN, f"{ORDER_SN}_0", f"{ORDER_SN}_1_R1", f"x{ORDER_SN}_1", f"{ORDER_SN}_1\n"):
        assert parse_out_trade_no(foreign) is None


def test_the_number_stays_within_wechats_32_characters() -> None:
    assert len(payment(999).out_trade_no) <= 32


def test_the_description_holds_no_character_that_wechat_refuses() -> None:
    text = prepay_description(order())
    assert text == f"{STAY.title} 2晚"
    emoji = order(stay=type(STAY)(**{**{name: getattr(STAY, name) for name in STAY.__slots__}, "title": "海边🌊"}))
    assert prepay_description(emoji) == "海边 2晚"


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
    read = Trade.from_wechat({**PAID, "brand_new_field": [1, {"x": None}]})
    assert read == trade(payer_total_fen=89500)
    assert read.paid
    assert not read.over


def test_an_unpaid_trade_has_neither_sums_nor_times() -> None:
    unpaid = Trade.from_wechat({k: PAID[k] for k in ("out_trade_no", "appid", "mchid")} | {"trade_state": "CLOSED"})
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
        Trade.from_wechat(PAID | broken)


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
    read = Trade.from_wechat(told)
    assert (read.paid, read.total_fen, read.transaction_id) == (True, 89600, PAID["transaction_id"])
    assert read.payer_total_fen in (89600, Trade.from_wechat(PAID).payer_total_fen)


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
    assert Trade.from_wechat(PAID | {"success_time": told}).success_time == utc


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


@given(st.sampled_from([*PAID, "amount"]), json_values)
def test_whatever_wechat_sends_it_is_read_or_malformed(field: str, value: Any) -> None:
    try:
        read = Trade.from_wechat(PAID | {field: value})
    except Malformed:
        return
    assert read.total_fen >= 0


def test_late_money_goes_back_whole_under_one_derived_number() -> None:
    refund = automatic_refund(paid_payment(2), RefundOrigin.SECOND, NOW)
    assert refund.out_refund_no == f"{ORDER_SN}_2_R1"
    assert refund.amount_fen == refund.total_fen == paid_payment(2).total_fen
    assert len(refund.reason) <= 80
