"""A bill as a file, to the byte as WeChat writes it; and the files that go wrong because somebody asked for it.

UTF-8 with BOM, CRLF, every cell of the data behind a backtick, no quoting; a summary at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from simulator.faults import due
from simulator.world import Fault, World

BOM = "\ufeff"
OTHER_MERCHANT = "1900009999"
NEW_COLUMN = "新增字段"
OWN_NUMBERS = ("商户订单号", "业务凭证号")

Row = dict[str, str]
"""One line: what stands in which column."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A bill before it is written: its columns, its rows, and the names and numbers of its summary."""

    columns: tuple[str, ...]
    rows: list[Row]
    summary: dict[str, str]

    def written(self) -> bytes:
        rows = [",".join(self.columns), *(_cells([row.get(name, "") for name in self.columns]) for row in self.rows)]
        if self.summary:
            rows += [",".join(self.summary), _cells(list(self.summary.values()))]
        return (BOM + "".join(row + "\r\n" for row in rows)).encode()


def changed_rows(world: World, call: str, rows: list[Row]) -> list[Row]:
    """The rows with the trouble that was asked for, before they are summed up."""
    if due(world, call, answer="row_twice"):
        rows = [*rows[:1], *rows]
    if due(world, call, answer="other_merchant"):
        rows = [row | {"商户号": OTHER_MERCHANT} for row in rows]
    return rows


def changed_sheet(world: World, call: str, sheet: Sheet) -> Sheet:
    """The sheet with the trouble that was asked for."""
    columns, summary = sheet.columns, sheet.summary
    if fault := due(world, call, answer="missing_column"):
        own_number = next(name for name in OWN_NUMBERS if name in columns)
        columns = tuple(name for name in columns if name != _named(columns, fault, own_number))
    if due(world, call, answer="extra_column"):
        middle = len(columns) // 2
        columns = (*columns[:middle], NEW_COLUMN, *columns[middle:])
    if due(world, call, answer="other_order"):
        columns = columns[::-1]
    if fault := due(world, call, answer="wrong_summary"):
        wrong = _named(tuple(summary), fault, "")
        summary = {name: _one_higher(sum_) if wrong in (name, "") else sum_ for name, sum_ in summary.items()}
    if due(world, call, answer="no_summary"):
        summary = {}
    return replace(sheet, columns=columns, summary=summary)


def _named(names: Sequence[str], fault: Fault, otherwise: str) -> str:
    """The name that a fault's `value` counts to."""
    return names[int(fault.value) - 1] if 1 <= fault.value <= len(names) else otherwise


def _one_higher(number: str) -> str:
    """`45.0` becomes `45.1`."""
    value = Decimal(number)
    return str(value + Decimal(1).scaleb(int(value.as_tuple().exponent)))


def _cells(values: Sequence[str]) -> str:
    return ",".join(f"`{value}" for value in values)
