"""The file of WeChat's trade bill, and how a day's fees and sums are shared out."""

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.bill import (
    E5_A_FEN,
    NOT_OURS,
    RowKind,
    Share,
    due_on,
    fee_in_fen,
    shared_out,
    statements,
)
from payments.domain.refund import RefundStatus
from payments.domain.times import BEIJING
from payments.domain.trade_number import TradeNumber
from payments.wechat.bill import BillUnusable, rows
from tests.bills import COLUMNS, DAY, MCHID, PAYMENT, REFUND, bill, file_of, sha1

THE_DAY = date.fromisoformat(DAY)


def read(folder: Path, plain: bytes, hash_value: str = "", *, zipped: bool = True) -> list[object]:
    return list(rows(file_of(folder, plain, zipped=zipped), hash_value or sha1(plain), THE_DAY, MCHID))


def why(folder: Path, plain: bytes, hash_value: str = "") -> str:
    with pytest.raises(BillUnusable) as error:
        read(folder, plain, hash_value)
    return error.value.why


@pytest.mark.parametrize("zipped", [True, False])
def test_rows_are_read_by_the_names_of_their_columns(tmp_path: Path, *, zipped: bool) -> None:
    payment, refund = rows(
        file_of(tmp_path, plain := bill([PAYMENT, REFUND]), zipped=zipped), sha1(plain).upper(), THE_DAY, MCHID
    )
    assert (payment.kind, payment.fen, payment.fee_e5, payment.wechat_no) == ("payment", 89600, 537600, "4200001")
    assert payment.trade == TradeNumber("HSO2026112409300012345678", 1)
    assert payment.at == datetime(2026, 11, 24, 9, 30, tzinfo=BEIJING)
    assert (refund.kind, refund.fen, refund.fee_e5, refund.wechat_no) == ("refund", 10000, -60000, "5030001")
    assert refund.refund_report(89600).status is RefundStatus.PROCESSING
    assert payment.trade_report().total_fen == payment.trade_report().payer_total_fen == 89600


@pytest.mark.parametrize("name", ["a,`b", "`", "``,`", ",", "商品,`SUCCESS,`0", ""])
def test_what_a_merchant_has_written_moves_no_cell(tmp_path: Path, name: str) -> None:
    (row,) = rows(file_of(tmp_path, plain := bill([PAYMENT | {"商品名称": name}])), sha1(plain), THE_DAY, MCHID)
    assert (row.fen, row.fee_e5, row.out_trade_no) == (89600, 537600, PAYMENT["商户订单号"])


@pytest.mark.parametrize(
    "columns", [COLUMNS[::-1], [*COLUMNS, "新列"], ["新列", *COLUMNS], [name for name in COLUMNS if name != "设备号"]]
)
def test_columns_may_come_in_any_order_and_new_ones_with_them(tmp_path: Path, columns: list[str]) -> None:
    assert len(read(tmp_path, bill([PAYMENT, REFUND], columns))) == 2


@pytest.mark.parametrize(
    "name",
    [
        "交易时间",
        "商户号",
        "微信订单号",
        "订单金额",
        "应结订单金额",
        "代金券金额",
        "退款金额",
        "手续费",
        "申请退款金额",
        "退款状态",
    ],
)
def test_a_bill_without_a_column_that_is_needed_is_not_used(tmp_path: Path, name: str) -> None:
    assert why(tmp_path, bill([PAYMENT], [one for one in COLUMNS if one != name])) == "columns"
    assert why(tmp_path, bill([PAYMENT], [*COLUMNS, name])) == "columns"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"商户号": "1900009999"}, "merchant"),
        ({"交易时间": "2026-11-25 00:00:00"}, "day"),
        ({"交易时间": "2026-11-23 23:59:59"}, "day"),
        ({"交易时间": "昨天"}, "unreadable"),
        ({"订单金额": "896.005"}, "unreadable"),
        ({"订单金额": "-896.00"}, "unreadable"),
        ({"微信订单号": ""}, "unreadable"),
        ({"公众账号ID": ""}, "unreadable"),
        ({"微信退款单号": "5030001", "商户退款单号": "号"}, "unreadable"),
    ],
)
def test_a_row_that_cannot_be_of_this_bill_makes_all_of_it_unusable(
    tmp_path: Path, changes: dict[str, str], expected: str
) -> None:
    assert why(tmp_path, bill([PAYMENT, PAYMENT | changes])) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"商户订单号": "号" * 5},
        {"商户订单号": "x" * 65},
        {"商户订单号": "till-1", "微信订单号": ""},
        {"商户订单号": "till-1", "公众账号ID": ""},
        {"商户订单号": "till-1", "交易状态": "REVOKED"},
        {"商户订单号": "till-1", "商品名称": "两\r\n行", "商户数据包": "\n"},
        {"商品名称": "两\n\n行,`x", "商户数据包": "\n"},
    ],
)
def test_what_another_system_has_written_makes_no_bill_unusable(tmp_path: Path, changes: dict[str, str]) -> None:
    first, second, third = rows(
        file_of(tmp_path, plain := bill([PAYMENT, PAYMENT | changes, REFUND])), sha1(plain), THE_DAY, MCHID
    )
    assert (first.fen, second.fen, third.fen) == (89600, 89600, 10000)
    assert (second.trade is None) is ("商户订单号" in changes)


@pytest.mark.parametrize("text", ["1e3", "NaN", "Infinity", "٣.00", "0x10", "1,000.00", " 1.00", "", "1.", ".5"])
def test_a_sum_is_digits_with_a_point_and_nothing_else(tmp_path: Path, text: str) -> None:
    plain = bill([PAYMENT]).replace(b"`896.00,`0.00,`", f"`{text},`0.00,`".encode())
    assert why(tmp_path, plain) == "unreadable"


def test_a_truncated_file_is_never_taken_for_a_whole_one(tmp_path: Path) -> None:
    plain = bill([PAYMENT, REFUND] * 3)
    whole = file_of(tmp_path, plain).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "bill").write_bytes(whole[:length])
        with pytest.raises(BillUnusable):
            list(rows(tmp_path / "bill", sha1(plain), THE_DAY, MCHID))
    for length in range(0, len(plain), 7):
        with pytest.raises(BillUnusable):
            read(tmp_path, plain[:length])


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"\x00", b"`" * 200_000])
def test_odd_bytes_are_no_bill(tmp_path: Path, damage: bytes) -> None:
    plain = bill([PAYMENT])
    for at in (0, 4):
        with pytest.raises(BillUnusable):
            read(tmp_path, plain[:at] + damage + plain[at:])


def test_the_hash_is_that_of_the_plain_file(tmp_path: Path) -> None:
    plain = bill([PAYMENT])
    assert why(tmp_path, plain, sha1(plain + b"\n")) == "hash"
    assert why(tmp_path, plain, sha1(file_of(tmp_path, plain).read_bytes())) == "hash"


@pytest.mark.parametrize("name", ["总交易单数", "手续费总金额", "订单总金额", "申请退款总金额"])
@pytest.mark.parametrize("text", ["7.0", "nothing", ""])
def test_a_bill_whose_rows_are_not_what_it_sums_up_is_not_used(tmp_path: Path, name: str, text: str) -> None:
    assert why(tmp_path, bill([PAYMENT, REFUND], sums={name: text})) == "sums"


def test_a_bill_ends_with_its_row_of_sums(tmp_path: Path) -> None:
    assert why(tmp_path, bill([PAYMENT], summary=False)) == "truncated"
    assert why(tmp_path, bill([PAYMENT]) + bill([PAYMENT])) == "unreadable"
    assert why(tmp_path, b"") == "columns"
    assert read(tmp_path, bill([])) == []


@pytest.mark.parametrize("told", ["4.77600", "4.776", "4.78"])
def test_fees_may_be_summed_up_with_fewer_decimals(tmp_path: Path, told: str) -> None:
    assert len(read(tmp_path, bill([PAYMENT, REFUND], sums={"手续费总金额": told}))) == 2
    assert why(tmp_path, bill([PAYMENT, REFUND], sums={"手续费总金额": "4.79"})) == "sums"


# --- shared out


NAMES = st.tuples(st.sampled_from(["a", "b", "c", NOT_OURS]), st.sampled_from(["2026-11-24", "2026-12-01"]))


@given(st.dictionaries(NAMES, st.integers(-(10**9), 10**9), min_size=1))
def test_the_parts_of_a_fee_are_the_fee_and_each_is_within_a_fen_of_what_it_is_of(
    exact: Mapping[tuple[str, str], int],
) -> None:
    total = fee_in_fen(sum(exact.values()))
    parts = shared_out(total, exact)
    assert sum(parts.values()) == total
    assert all(abs(parts[name] * E5_A_FEN - part) <= E5_A_FEN for name, part in exact.items())
    assert parts == shared_out(total, dict(sorted(exact.items(), reverse=True)))


SHARES = st.builds(
    Share,
    st.sampled_from(["a", "b", NOT_OURS]),
    st.sampled_from(["2026-11-24", "2026-12-01", "2027-01-01"]),
    st.sampled_from(RowKind),
    st.integers(1, 100),
    st.integers(1, 10**9),
    st.integers(1, 10**9),
    st.integers(-(10**8), 10**8),
)


@given(st.lists(SHARES, unique_by=lambda one: (one.business_id, one.due_on, one.kind)))
def test_the_lines_of_a_day_sum_up_to_its_rows_to_the_fen(shares: list[Share]) -> None:
    lines = statements(shares, {"a": (2, 500)})
    sums: Counter[RowKind] = Counter()
    for share in shares:
        sums[share.kind] += share.fen
    assert sum(line.sold_fen for line in lines.values()) == sums[RowKind.PAYMENT]
    assert sum(line.refunded_fen for line in lines.values()) == sums[RowKind.REFUND]
    assert sum(line.fees for line in lines.values()) == fee_in_fen(sum(share.fee_e5 for share in shares))
    assert all(sum(line.due_fen.values()) == line.net_fen for line in lines.values())
    assert (lines["a"].used, lines["a"].used_fen) == (2, 500)


@pytest.mark.parametrize(
    ("usable_until", "expected"), [(None, DAY), (date(2026, 11, 20), DAY), (date(2026, 12, 5), "2026-12-05")]
)
def test_money_is_due_when_the_use_is_over(usable_until: date | None, expected: str) -> None:
    assert due_on(THE_DAY, usable_until) == expected
