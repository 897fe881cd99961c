"""The file of WeChat's trade bill (type ALL): its rows, and whether it is whole (R14).

Source: WeChat Pay's merchant documents on the trade bill. UTF-8 with BOM, CRLF; a header line without backticks; rows
whose cells each begin with a backtick and are not quoted, so that a product's name may hold commas; then a header and a
row of sums. Sums are yuan, fees have five decimals. The hash is that of the plain file; the download itself is not
signed. Columns are found by their names.
"""

import csv
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from io import BufferedReader, RawIOBase, TextIOWrapper
from pathlib import Path
from typing import IO, Any

from payments.domain.bill import BillRow, RowKind
from payments.domain.money import MAX_FEN
from payments.domain.payment import MAX_WORD
from payments.domain.times import BEIJING
from payments.domain.trade_number import TradeNumber

GZIP = b"\x1f\x8b"

AT, APPID, MCHID, TRANSACTION, TRADE, STATE = "交易时间", "公众账号ID", "商户号", "微信订单号", "商户订单号", "交易状态"
CURRENCY, SETTLED, COUPON, REFUND_ID, TAKEN = "货币种类", "应结订单金额", "代金券金额", "微信退款单号", "退款金额"
REFUND, REFUND_STATUS, FEE, ORDER, ASKED = "商户退款单号", "退款状态", "手续费", "订单金额", "申请退款金额"
NEEDED = (
    AT,
    APPID,
    MCHID,
    TRANSACTION,
    TRADE,
    STATE,
    CURRENCY,
    SETTLED,
    COUPON,
    TAKEN,
    REFUND_ID,
    REFUND,
    REFUND_STATUS,
    FEE,
    ORDER,
    ASKED,
)
"""The columns that are read, by their names."""

FREE_TEXT = ("商品名称", "商户数据包")
"""Columns that hold what a merchant wrote, which may have a backtick in it."""

COUNT, TOTAL_FEE, TOTAL_ORDER, TOTAL_ASKED = "总交易单数", "手续费总金额", "订单总金额", "申请退款总金额"
SUMMARY = (COUNT, TOTAL_FEE, TOTAL_ORDER, TOTAL_ASKED)

AMOUNT = re.compile(r"-?[0-9]{1,13}(\.[0-9]{1,10})?")

LONGEST_LINE = 100_000
"""Characters. csv would read on for ever where a line does not end."""


class BillUnusable(Exception):
    """The file is not the whole bill of that day and merchant: nothing of it may be used. `why` is one word of those
    that docs/runbook.md explains; the text says what is wrong, and holds nothing of the file but numbers of lines."""

    def __init__(self, why: str, detail: str) -> None:
        super().__init__(f"{why}: {detail}")
        self.why = why


@dataclass(slots=True, kw_only=True)
class _Sums:
    rows: int = 0
    order_fen: int = 0
    asked_fen: int = 0
    fee_e5: int = 0


def rows(path: Path, hash_value: str, day: date, mchid: str) -> Iterator[BillRow]:
    """The rows of a downloaded bill, one after the other. `hash_value`: the SHA-1 of the plain file, in hex.

    Raises BillUnusable, for most of what may be wrong only after the last row: do nothing with a row before that.
    """
    with path.open("rb") as packed:
        zipped = packed.read(2) == GZIP
    with gzip.open(path) if zipped else path.open("rb") as plain:
        hashed = _Hashed(plain)
        sums = _Sums()
        try:
            yield from _read(TextIOWrapper(BufferedReader(hashed), "utf-8-sig", newline=""), sums, day, mchid)
            while hashed.read(1 << 16):
                pass
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise BillUnusable("truncated", "the compressed file ends before its end") from None
        except UnicodeDecodeError:
            raise BillUnusable("unreadable", "it is not UTF-8") from None
        except csv.Error:
            raise BillUnusable("unreadable", "a line is too long") from None
        if hashed.hexdigest != hash_value.lower():
            raise BillUnusable("hash", "the file is not the one that WeChat has signed for")


class _Hashed(RawIOBase):
    """Hashes what is read through it."""

    def __init__(self, file: IO[bytes] | Any) -> None:
        super().__init__()
        self._file = file
        self._sha1 = hashlib.sha1(usedforsecurity=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        self._sha1.update(block)
        return len(block)

    @property
    def hexdigest(self) -> str:
        return self._sha1.hexdigest()


def _read(text: TextIOWrapper, sums: _Sums, day: date, mchid: str) -> Iterator[BillRow]:
    csv.field_size_limit(LONGEST_LINE)
    # A backtick in the place of the comma: each cell then ends with the comma before the next one's backtick.
    lines = csv.reader(text, delimiter="`", quoting=csv.QUOTE_NONE)
    columns = _columns(next(lines, []))
    for number, cells in enumerate(_whole_lines(lines), 2):
        if len(cells) == 1:  # a header has no backtick: that of the sums
            _check_sums(cells, next(lines, []), sums)
            if any(any(cell.strip() for cell in more) for more in lines):
                raise BillUnusable("unreadable", "there is more after the row of sums")
            return
        row = _row(_cells(cells, columns, number), number)
        if row.mchid != mchid:
            raise BillUnusable("merchant", f"line {number} is another merchant's")
        if row.at.date() != day:
            raise BillUnusable("day", f"line {number} is of another day")
        sums.rows += 1
        sums.order_fen += row.order_fen
        sums.asked_fen += row.refund_fen
        sums.fee_e5 += row.fee_e5
        yield row
    raise BillUnusable("truncated", "there is no row of sums at its end")


def _whole_lines(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    """Each row, also where what a merchant wrote has line breaks in it: a row begins with a backtick, the header of the
    sums says so; all else goes on with the row before."""
    row: list[str] = []
    for cells in lines:
        first, *others = cells or ["\n"]
        if row and first and COUNT not in first.split(","):
            row = [*row[:-1], f"{row[-1]}\n{first}", *others]
            continue
        if row:
            yield row
        if first:
            yield cells
            return  # what follows is the row of sums
        row = cells
    if row:
        yield row


def _columns(header: list[str]) -> list[str]:
    names = header[0].split(",") if len(header) == 1 else []
    lacks = [name for name in NEEDED if names.count(name) != 1]
    if lacks:
        raise BillUnusable("columns", f"{len(lacks)} of the columns that are needed are not there once")
    return names


def _cells(cells: list[str], columns: list[str], number: int) -> dict[str, str]:
    """A row's cells by the names of their columns. Where free text holds a backtick there are more cells than columns:
    then those before it are counted from the left, those behind it from the right."""
    values = [cell.removesuffix(",") for cell in cells[1:-1]] + cells[-1:]
    surplus = len(values) - len(columns)
    free = [columns.index(name) for name in FREE_TEXT if name in columns]
    if surplus < 0 or (surplus and not free):
        raise BillUnusable("unreadable", f"line {number} has {len(values)} cells for {len(columns)} columns")
    last = max(free) if surplus else len(columns)
    return {name: values[at if at <= last else at + surplus] for at, name in enumerate(columns)}


def _row(cells: Mapping[str, str], number: int) -> BillRow:
    """A row; of one whose number is not of our form only what is summed up must be in order."""
    refund = cells[REFUND_ID] not in ("", "0")
    ours = TradeNumber.parse(cells[TRADE]) is not None
    word = _word if ours else _any_word
    try:
        return BillRow(
            kind=RowKind.REFUND if refund else RowKind.PAYMENT,
            at=_moment(cells[AT]),
            appid=word(cells[APPID]),
            mchid=word(cells[MCHID]),
            transaction_id=word(cells[TRANSACTION]) if ours or cells[TRANSACTION] else f"line {number}",
            out_trade_no=word(cells[TRADE]),
            trade_state=word(cells[STATE]),
            currency=word(cells[CURRENCY]),
            order_fen=_fen(cells[ORDER]),
            payer_fen=max(_fen(cells[ORDER]) - _fen(cells[COUPON]), 0),
            settled_fen=_fen(cells[TAKEN if refund else SETTLED]),
            refund_id=word(cells[REFUND_ID]) if refund else "",
            out_refund_no=word(cells[REFUND]) if refund else "",
            refund_status=cells[REFUND_STATUS],
            refund_fen=_fen(cells[ASKED]),
            fee_e5=_whole(cells[FEE], 5),
        )
    except ValueError as error:
        raise BillUnusable("unreadable", f"line {number}: {error}") from None


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
    except ValueError:
        raise ValueError("a time is none") from None


def _check_sums(header: list[str], cells: list[str], sums: _Sums) -> None:
    names = header[0].split(",")
    if any(names.count(name) != 1 for name in SUMMARY) or len(cells) != len(names) + 1:
        raise BillUnusable("truncated", "there is no row of sums at its end")
    values = dict(zip(names, [*(cell.removesuffix(",") for cell in cells[1:-1]), cells[-1]], strict=True))
    if not all(AMOUNT.fullmatch(values[name]) for name in SUMMARY):
        raise BillUnusable("sums", "a sum of the bill is no number")
    told = {name: Decimal(values[name]) for name in SUMMARY}
    fees = Decimal(sums.fee_e5).scaleb(-5)
    last_digit = Decimal((0, (1,), int(told[TOTAL_FEE].as_tuple().exponent)))
    # The fees may be summed up with fewer decimals than each of them has, rounded or cut.
    if (
        told[COUNT] != sums.rows
        or told[TOTAL_ORDER].scaleb(2) != sums.order_fen
        or told[TOTAL_ASKED].scaleb(2) != sums.asked_fen
        or abs(told[TOTAL_FEE] - fees) >= last_digit
    ):
        raise BillUnusable("sums", "its rows are not what its own row of sums says")


def _word(text: str) -> str:
    """A number or a state of WeChat's: 1 to 64 plain characters, so that it may stand in a key."""
    if not 0 < len(text) <= MAX_WORD or not (text.isascii() and text.isprintable()):
        raise ValueError("a number or a state is none")
    return text


def _any_word(text: str) -> str:
    """What another system's row has there."""
    return text[:MAX_WORD]


def _fen(text: str) -> int:
    found = _whole(text, 2)
    if not 0 <= found <= MAX_FEN:
        raise ValueError("a sum is below 0")
    return found


def _whole(text: str, decimals: int) -> int:
    """Yuan as whole fen (2 decimals), or as whole hundred-thousandths (5); never through a float, never cut."""
    if not AMOUNT.fullmatch(text):
        raise ValueError("a sum is no number")
    scaled = Decimal(text).scaleb(decimals)
    if scaled != int(scaled):
        raise ValueError(f"a sum has more than {decimals} decimals")
    return int(scaled)
