"""Commands for who keeps the books: the comparison with WeChat's bill, day by day, and what each business is owed."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import httpx
import typer
from rich.table import Table as Grid

from local.desk import DeskFailed, read, read_file
from local.operate import Json, Profile, Region, StackName, chosen, console, errors, fail
from local.stack import ReconcileFailed, Stack
from payments.domain.bill import KEPT_DAYS, MEANS, Difference
from payments.domain.offer import is_day
from payments.domain.times import BEIJING, beijing_day, utc_now
from payments.edge.tokens import EVERY_BUSINESS
from payments.settings import Misconfigured
from payments.store.dynamodb import plain

WHY = {
    "NO_STATEMENT_EXIST": "WeChat has no bill of this day, and our books have payments or refunds on it; before 10:00 "
    "in Beijing the next morning that says nothing",
    "STATEMENT_CREATING": "WeChat is making the bill; ask again after 10:00 in Beijing",
    "truncated": "the bill ends before its end; it is fetched anew with the next run",
    "hash": "the bill is not the file that WeChat has signed for; it is fetched anew with the next run",
    "columns": "the bill lacks a column that is needed: WeChat has changed its file",
    "merchant": "the bill is another merchant's: look at the merchant number of this stack",
    "day": "the bill has rows of another day",
    "sums": "the bill's rows are not what its own row of sums says",
    "twice": "the bill has one row twice",
    "unreadable": "the bill has a line that cannot be read; reconcile-bill's log says which",
    "item_unreadable": "an item of the table cannot be read; reconcile-bill's log says which",
    "no_answer": "WeChat, or the table, does not answer; ask again",
    "no_time": "the comparison ran out of time; the next run goes on",
    "moved": "a later bill has what our books had on this day; the next run compares it again",
    "interrupted": "a comparison was left in the middle of its writes; the next run does it again",
    "broken": "the comparison broke off; reconcile-bill's log says where",
    "not_over": "the day is not over: more may come",
    "not_ready": "a day is compared at 10:30 in Beijing the next morning",
    "not_compared": "nobody has compared it: ./dev reconcile",
    "before_first": "before the first comparison",
    "lines": "its lines cannot be read, or are not its bill: ./dev reconcile --date",
}
"""Why a day is not closed, in words; docs/runbook.md says what to do."""

Csv = Annotated[bool, typer.Option("--csv", help="CSV on standard output, for a spreadsheet.")]
A_DAY = "A day in Beijing, as 2026-11-24"


def yuan(fen: int) -> str:
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100:,}.{abs(fen) % 100:02}"


def _day(text: str, option: str) -> date:
    if not is_day(text):
        fail(f"{option} is a day as in 2026-11-24, not {text[:40]!r}")
    return date.fromisoformat(text)


# --- the comparison


def reconcile(
    day: Annotated[str | None, typer.Option("--date", help=f"{A_DAY}; left out: all that are not closed.")] = None,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Compare days with WeChat's bill, one after the other, and say what differs. Exit code 0 only if every day is
    closed without a difference."""
    if as_json and as_csv:
        fail("say --json or --csv")
    on, today = chosen(stack, profile, region), beijing_day(utc_now())
    try:
        if day is not None:
            wanted = [_asked(on, _day(day, "--date"), today)]
        else:
            wanted = [date.fromisoformat(one) for one in on.reconcile({"plan": True})["days"]]
        days = _compared(on, wanted)
    except ReconcileFailed as error:
        fail(f"the comparison failed: {error}; reconcile-bill's log says more")
    differ = {one: on.store.bills.differences(one) for one, told in days.items() if told["differences"]}
    if as_json:
        print(json.dumps({"days": [_as_json(told, differ.get(one, [])) for one, told in days.items()]}))
    elif as_csv:
        _write_days(days)
    else:
        _show_days(days, differ)
        if not days:
            console.print(f"Nothing to compare: every day up to {today - timedelta(days=1)} is closed.")
        if day is None:
            console.print(_of_today(on, today), highlight=False, soft_wrap=True)
    if any(not told["closed"] or told["differences"] for told in days.values()):
        raise typer.Exit(1)


def _asked(on: Stack, day: date, today: date) -> date:
    """The day, if there can be a bill of it; ends the command else."""
    oldest = today - timedelta(days=KEPT_DAYS)
    if not oldest <= day <= today:
        fail(f"--date is from {oldest} to {today}: WeChat keeps bills for three months, and has none of days to come")
    if day == today and not (on.wechat_url and _ready(on, today)):
        fail(f"{day} is not over. {_of_today(on, today)}")
    return day


def _ready(on: Stack, today: date) -> bool:
    """Whether the simulator's clock is so far ahead that it has the bill of today."""
    return _to_its_bill(on, today) <= 0


def _to_its_bill(on: Stack, today: date) -> int:
    """The seconds until the simulator has the bill of today, by its own clock."""
    now = float(httpx.get(f"{on.wechat_url}/_sim/clock", timeout=10, trust_env=False).json()["now"])
    return round(datetime.combine(today + timedelta(days=1), time(10), BEIJING).timestamp() - now)


def _of_today(on: Stack, today: date) -> str:
    """When there is a bill of today, and how it is had on a laptop at once."""
    told = f"WeChat has the bill of {today} tomorrow from 10:00 in Beijing."
    if not on.wechat_url:
        return told
    simulator = ".venv/bin/python -m simulator"
    back = f"{simulator} reset-clock --url {on.wechat_url} makes its clock real again"
    compare = f"./dev reconcile --date {today}"
    ahead = _to_its_bill(on, today)
    if ahead <= 0:
        return f"The simulated WeChat's clock is ahead and it has the bill of {today}: {compare}; {back}."
    return (
        f"{told} The simulated WeChat's clock can be moved: {simulator} advance {ahead + 60} --url {on.wechat_url}, "
        f"then {compare}; {back}."
    )


def _compared(on: Stack, wanted: Sequence[date]) -> dict[date, dict[str, Any]]:
    """How each day stands after its comparison; on the way each is told on standard error."""
    found = {}
    for number, one in enumerate(wanted, 1):
        with errors.status(f"{one}: reading WeChat's bill ({number} of {len(wanted)}) ..."):
            (told,) = on.reconcile({"date": one.isoformat()})["days"]
        found[one] = told
        errors.print(f"{number} of {len(wanted)}  {one}  {_state(told)}", highlight=False)
    return found


def _state(told: Mapping[str, Any]) -> str:
    if not told["closed"]:
        return f"open: {told['why']}"
    if not told["differences"]:
        return "closed"
    return "closed, 1 difference" if told["differences"] == 1 else f"closed, {told['differences']} differences"


def _show_days(days: Mapping[date, Mapping[str, Any]], differ: Mapping[date, Sequence[Difference]]) -> None:
    """A table of the days in yuan; below it, in words, what differs and why a day is open."""
    heads = ("date", "state", "paid: WeChat", "ours", "refunded: WeChat", "ours", "fees", "other rows", "differences")
    grid = Grid(*heads, title="WeChat's bill and our books, in yuan")
    for column in grid.columns[2:]:
        column.justify = "right"
    for one, told in days.items():
        sums = ("paid_fen", "our_paid_fen", "refunded_fen", "our_refunded_fen", "fees")
        read = told["closed"] or told["sha1"]
        cells = [*(yuan(told[name]) for name in sums), *(str(told[name]) for name in ("other_rows", "differences"))]
        grid.add_row(f"{one}", "closed" if told["closed"] else "open", *(cells if read else [""] * len(cells)))
    if days:
        console.print(grid)
    for one, told in days.items():
        if not told["closed"]:
            _say(f"{one} is open ({told['why']}): {WHY.get(told['why'], 'WeChat said so; docs/runbook.md')}.")
        for difference in differ.get(one, ()):
            _say(f"{one} {difference.number}: {MEANS[difference.kind]} {_both(difference)}")
            _say(f"    ./dev trace {difference.out_trade_no}, ./dev cases show {difference.out_trade_no}")


def _both(difference: Difference) -> str:
    sides = (("WeChat", difference.wechat_fen), ("ours", difference.ours_fen))
    return "; ".join(f"{side}: {'nothing' if fen is None else f'{yuan(fen)} yuan'}" for side, fen in sides) + "."


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _as_json(told: Mapping[str, Any], differences: Sequence[Difference]) -> dict[str, Any]:
    listed = [{**plain(one), "means": MEANS[one.kind]} for one in differences]
    return {**told, "difference_list": listed}


COLUMNS = (
    *("day", "closed", "why", "payments", "paid_fen", "our_payments", "our_paid_fen", "refunds", "refunded_fen"),
    *("our_refunds", "our_refunded_fen", "fees", "other_rows", "differences", "healed"),
)


def _write_days(days: Mapping[date, Mapping[str, Any]]) -> None:
    file = io.StringIO()
    rows = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
    rows.writeheader()
    rows.writerows(days.values())
    print(file.getvalue(), end="")


# --- statements


def statements(
    first: Annotated[str | None, typer.Option("--from", help=f"{A_DAY}; left out: the month's first.")] = None,
    last: Annotated[str | None, typer.Option("--to", help=f"{A_DAY}, at most 31 in all; left out: yesterday.")] = None,
    business: Annotated[str | None, typer.Option(help="One business, as it reads it itself; left out: all.")] = None,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """What each business sold, gave back and is owed, day by day, as WeChat's bills have it."""
    if as_json and as_csv:
        fail("say --json or --csv")
    on = chosen(stack, profile, region)
    end = _day(last, "--to") if last is not None else beijing_day(utc_now()) - timedelta(days=1)
    begin = _day(first, "--from") if first is not None else end.replace(day=1)
    path, who = (
        f"statements?{urlencode({'from': f'{begin}', 'to': f'{end}'}, quote_via=quote)}",
        business or EVERY_BUSINESS,
    )
    try:
        if as_csv:
            sys.stdout.flush()
            sys.stdout.buffer.write(read_file(on, path, who))
            return
        found = read(on, path, who)
    except (DeskFailed, Misconfigured) as error:
        fail(str(error))
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    _show_statements(found, f"{begin} to {end}")


LINES_OF_NONE = {"not_ours": "(other systems)", "unassigned": "(of no order)"}


def _show_statements(found: Mapping[str, Any], of: str) -> None:
    heads = (
        "date",
        "business",
        "sold",
        "",
        "used",
        "",
        "refunded",
        "",
        "discounts",
        "fees",
        "net",
        "due now",
        "due later",
    )
    grid = Grid(*heads, title=f"Statements of {of}, in yuan")
    for column in grid.columns[2:]:
        column.justify = "right"
    for line in found["lines"]:
        grid.add_row(line["date"], line["business_id"] or LINES_OF_NONE[line["of"]], *_cells(line))
    grid.add_section()
    grid.add_row("total", "", *_cells(found["total"]))
    if found["lines"]:
        console.print(grid)
        _say(f"Due now: by {found['due_by']}.")
    else:
        _say(f"Nothing was sold, used or refunded in what is closed of {of}.")
    for first, last, why in _runs(found["missing"]):
        days = f"{first} is" if first == last else f"{first} to {last} are"
        _say(f"{days} missing: {WHY.get(why, why)}.")


def _runs(missing: Sequence[Mapping[str, str]]) -> list[tuple[date, date, str]]:
    """Days in a row that are missing for the same reason, as the first and the last of them, with why."""
    found: list[tuple[date, date, str]] = []
    for one in missing:
        day = date.fromisoformat(one["date"])
        if found and found[-1][1:] == (day - timedelta(days=1), one["why"]):
            found[-1] = (found[-1][0], day, one["why"])
        else:
            found.append((day, day, one["why"]))
    return found


def _cells(sums: Mapping[str, Any]) -> list[str]:
    counted = [cell for name in ("sold", "used", "refunded") for cell in (str(sums[name]), yuan(sums[f"{name}_fen"]))]
    owed = [yuan(sums[f"{name}_fen"]) for name in ("discounts", "fees", "net", "due_now")]
    return [*counted, *owed, yuan(sum(due["fen"] for due in sums["due_later"]))]
