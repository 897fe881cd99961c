"""`./dev bench bill`: how long a day's comparison with WeChat's bill takes, and how much memory.

A bill from a generator, as a compressed file, is read, checked and compared with a generated stream of our items by the
code of reconcile_bill. Neither the table nor WeChat is asked: what they take is in docs/costs.md by arithmetic.
"""

import gzip
import hashlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table as Grid

from functions.reconcile_bill.app import Book
from payments.domain.bill import Booked, RowKind
from payments.store.bills import Owner
from payments.wechat.bill import rows as read_rows
from simulator.bills import TRADE_COLUMNS, TRADE_SUMS

DAY, MCHID, FEN, FEE_E5 = date(2026, 11, 24), "1900001234", 89_600, 537_600
MOST_MEMORY_MB, MOST_SECONDS = 512, 900
"""What reconcile_bill may take: memory by its budget, seconds by its timeout in template.yaml."""

BUSINESSES = 100

T = TypeVar("T")


def bill(
    rows: Annotated[int, typer.Option(help="Rows of the bill.", min=1)] = 100_000,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Time and memory of comparing one day: a bill of so many rows against as many items of ours. Ends with 1 if it
    takes more than reconcile_bill has."""
    took: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bill"
        sha1 = _timed(took, "the bill is made", lambda: _write(file, rows))
        with closing(Book(Path(folder) / "book")) as book:
            _timed(took, "the bill is read", lambda: book.take_bill(read_rows(file, sha1, DAY, MCHID)))
            _timed(took, "our items are read", lambda: book.take_ours(map(_booked, range(rows))))
            differences = _timed(took, "compared", lambda: (list(book.unmatched()), book.differences()))
            _timed(took, "orders' businesses", lambda: book.take_owners(_owners))
            now = datetime.now(UTC)
            day, lines = _timed(took, "summed up", lambda: book.summed_up(DAY, now, sha1, [], 0))
        size = file.stat().st_size
    if differences != ([], []) or day.payments != rows or len(lines) != min(rows, BUSINESSES):
        raise AssertionError("the comparison is wrong")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 * 1024 if sys.platform == "darwin" else 1024)
    seconds = sum(took.values()) - took["the bill is made"]
    kept = memory <= MOST_MEMORY_MB and seconds <= MOST_SECONDS
    if as_json:
        found = {"rows": rows, "seconds": round(seconds, 1), "peak_mb": memory, "file_mb": size // 2**20, "kept": kept}
        print(json.dumps(found | {"steps": {name: round(one, 1) for name, one in took.items()}}))
    else:
        grid = Grid("step", "s", box=SIMPLE)
        for name, one in took.items():
            grid.add_row(name, f"{one:.1f}")
        Console().print(grid)
        print(f"{rows:,} rows, {size / 2**20:.1f} MB compressed")
        print(f"{seconds:.1f} s besides making the bill (of {MOST_SECONDS}), peak {memory} MB (of {MOST_MEMORY_MB})")
    raise typer.Exit(0 if kept else 1)


def _timed(took: dict[str, float], name: str, does: Callable[[], T]) -> T:
    began = time.monotonic()
    found = does()
    took[name] = time.monotonic() - began
    return found


def _order_sn(n: int) -> str:
    return f"HSO20261124{n // 3600 % 24:02d}{n // 60 % 60:02d}{n % 60:02d}{n:08d}"


def _write(file: Path, rows: int) -> str:
    """Writes the bill; gives the SHA-1 of its plain form."""
    sha1 = hashlib.sha1(usedforsecurity=False)
    with gzip.open(file, "wb", compresslevel=6) as packed:
        for line in _lines(rows):
            plain = f"{line}\r\n".encode()
            sha1.update(plain)
            packed.write(plain)
    return sha1.hexdigest()


def _lines(rows: int) -> Iterator[str]:
    yield f"\ufeff{TRADE_COLUMNS['ALL']}"
    for n in range(rows):
        yield _cells(
            [
                f"2026-11-24 {n // 3600 % 24:02d}:{n // 60 % 60:02d}:{n % 60:02d}",
                *("wx5a1b2c3d4e5f6071", MCHID, "0", "", f"42000{n:023d}", f"{_order_sn(n)}_1", f"o{n:027d}"),
                *("JSAPI", "SUCCESS", "OTHERS", "CNY", "896.00", "0.00", "0", "0", "0.00", "0.00", "", ""),
                *("西湖边的小屋, 2 晚", "", "5.37600", "0.60%", "896.00", "0.00", ""),
            ]
        )
    yield ",".join(["总交易单数", *TRADE_SUMS])
    paid = f"{rows * FEN / 100:.2f}"
    yield _cells(
        [f"{rows}.0", paid, "0.00", "0.00", f"{rows * FEE_E5 // 100_000}.{rows * FEE_E5 % 100_000:05d}", paid, "0.00"]
    )


def _cells(values: Iterable[str]) -> str:
    return ",".join(f"`{value}" for value in values)


def _booked(n: int) -> Booked:
    number = f"{_order_sn(n)}_1"
    return Booked(
        kind=RowKind.PAYMENT,
        order_sn=_order_sn(n),
        out_trade_no=number,
        number=number,
        fen=FEN,
        wechat_no=f"42000{n:023d}",
    )


def _owners(order_sns: Iterable[str]) -> dict[str, Owner]:
    """A hundred businesses, and stays that are over on one of sixty days."""
    return {
        order_sn: Owner(f"b-{int(order_sn[-8:]) % BUSINESSES}", DAY + timedelta(days=int(order_sn[-8:]) % 60))
        for order_sn in order_sns
    }
