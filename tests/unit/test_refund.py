"""Refunds: what WeChat's report says, the numbers, the sums, the transitions (R6, R7)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.order import OrderStatus, read_code
from payments.domain.payment import Malformed
from payments.domain.refund import (
    ENTERED_FROM,
    GIVEN_UP,
    RefundOrigin,
    RefundReport,
    RefundStatus,
    automatic_refund,
    merchant_refund,
    sums,
)
from tests.examples import NOW, order, paid_payment

REPLY = {
    "out_trade_no": "T1",
    "out_refund_no": "R1",
    "refund_id": "50",
    "transaction_id": "42",
    "status": "PROCESSING",
    "create_time": "2026-11-23T12:00:00+08:00",
    "amount": {"total": 100, "refund": 40, "currency": "CNY"},
    "brand_new": True,
}


def test_a_reply_and_a_notice_name_their_state_differently() -> None:
    word = RefundReport.from_wechat(REPLY)
    assert (word.status, word.amount_fen, word.total_fen, word.accepted_at) == ("PROCESSING", 40, 100, NOW)
    notice = {name: value for name, value in REPLY.items() if name not in ("status", "create_time")}
    word = RefundReport.from_wechat(notice | {"refund_status": "SUCCESS"})
    assert (word.status, word.accepted_at) == (RefundStatus.SUCCESS, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "REQUESTED"},
        {"status": "REFUSED"},
        {"status": "WHATEVER"},
        {"status": None},
        {"out_refund_no": ""},
        {"amount": {"total": 100}},
        {"amount": {"total": 100, "refund": 40.5}},
        {"amount": None},
        {"transaction_id": None},
        {"mchid": ["1900000001"]},
    ],
)
def test_a_word_that_cannot_be_read_is_malformed(wrong: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        RefundReport.from_wechat(REPLY | wrong)


@pytest.mark.parametrize(
    "odd", [{"create_time": "yesterday"}, {"create_time": 7}, {"refund_id": None}, {"refund_id": []}]
)
def test_what_says_neither_which_refund_it_is_nor_its_sums_never_keeps_it_out(odd: dict[str, Any]) -> None:
    word = RefundReport.from_wechat(REPLY | odd)
    assert (word.status, word.amount_fen) == ("PROCESSING", 40)
    without = {name: value for name, value in REPLY.items() if name not in odd}
    assert RefundReport.from_wechat(without).amount_fen == 40


def test_a_time_of_acceptance_without_offset_is_beijing_time() -> None:
    assert RefundReport.from_wechat(REPLY | {"create_time": "2026-11-23T12:00:00"}).accepted_at == NOW


def test_success_wins_from_everywhere_and_nothing_leaves_it() -> None:
    assert ENTERED_FROM[RefundStatus.SUCCESS] == {*RefundStatus} - {RefundStatus.SUCCESS}
    assert all(RefundStatus.SUCCESS not in sources for sources in ENTERED_FROM.values())
    assert RefundStatus.REQUESTED not in ENTERED_FROM


def test_numbers_derive_from_what_asks_for_them() -> None:
    payment = paid_payment()
    assert automatic_refund(payment, RefundOrigin.SECOND, NOW).out_refund_no == f"{payment.out_trade_no}_R1"
    assert automatic_refund(payment, RefundOrigin.SECOND, NOW, attempt=2).out_refund_no == f"{payment.out_trade_no}_R2"

    def number(staff: str, key: str) -> str:
        made = merchant_refund(payment, amount_fen=1, reason="x", staff=staff, key=key, body_hash="h", now=NOW)
        return made.out_refund_no

    assert number("anna", "key-1") == number("anna", "key-1")
    assert len({number("anna", "key-1"), number("anna", "key-2"), number("bert", "key-1")}) == 3
    assert len(number("anna", "key-1")) <= 64


@given(
    st.lists(st.tuples(st.integers(1, 30000), st.sampled_from([*RefundStatus]), st.booleans()), max_size=8),
)
def test_sums_are_drawn_from_the_orders_own_refunds(told: list[tuple[int, RefundStatus, bool]]) -> None:
    paid = order(status=OrderStatus.WAIT_USE, paid_by=1)
    refunds = [
        replace(automatic_refund(paid_payment(1 if own else 2), RefundOrigin.LATE, NOW), amount_fen=fen, status=status)
        for fen, status, own in told
    ]
    drawn = sums(paid, refunds)
    assert drawn.refunded == sum(fen for fen, status, own in told if own and status is RefundStatus.SUCCESS)
    asked = sum(fen for fen, status, own in told if own and status not in GIVEN_UP)
    assert drawn.refundable == max(paid.total_fen - asked, 0)


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("C7HB7Z7JRK", "C7HB7Z7JRK"),
        (" c7hb7 z7jrk ", "C7HB7Z7JRK"),
        ("C7HB-7Z7J-RK", "C7HB7Z7JRK"),
        ("10IOAAAAAA", "LQLQAAAAAA"),
        ("C7HB7Z7JR", None),
        ("C7HB7Z7JRKK", None),
        ("C7HB7Z7JR码", None),
        ("", None),
    ],
)
def test_a_code_is_read_as_people_type_it(typed: str, code: str | None) -> None:
    assert read_code(typed) == code
