"""./dev reconcile: it compares day by day through the function itself, and says in words what differs and why."""

import contextlib
import csv
import io
import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from local import operate
from local.__main__ import app
from local.bookkeeping import WHY
from local.stack import Stack
from payments.domain.bill import MEANS, DifferenceKind
from payments.domain.times import BEIJING, beijing_day, utc_now
from tests.shop import Shop

Dev = Callable[..., Result]


class InProcess:
    """Lambda's client, with the functions of this process; `answer` is what it gives instead."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.answer = shop, dict[str, Any]()
        self.asked: list[dict[str, Any]] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "reconcile-bill"
        self.asked.append(json.loads(Payload))
        with contextlib.redirect_stdout(io.StringIO()):  # metrics are no output of the command
            told = self.answer or self.shop.run("reconcile_bill", self.asked[-1])
            self.shop.events.settle()
        failed = {"FunctionError": "Unhandled"} if self.answer else {}
        return {"Payload": io.BytesIO(json.dumps(told).encode()), **failed}


@pytest.fixture
def functions(shop: Shop) -> InProcess:
    return InProcess(shop)


@pytest.fixture
def stack(shop: Shop, functions: InProcess) -> dict[str, Any]:
    """What the running stack is; tests may change it."""
    shop.context.remaining_ms = 900_000
    shop.janitor.move_to(datetime.combine(beijing_day(utc_now()) + timedelta(days=1), time(12), BEIJING))
    clients = {"dynamodb": shop.items.client, "lambda": functions}
    return {
        "client": lambda name, *_: clients[name],
        "table_name": "table",
        "queues": {},
        "dlqs": {},
        "secrets": {},
        "sweep_function": "",
        "reconcile_function": "reconcile-bill",
    }


@pytest.fixture
def dev(stack: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Dev:
    monkeypatch.setattr(operate, "running", lambda: Stack(**stack))
    monkeypatch.setattr(operate.console, "width", 200)
    return lambda *words: CliRunner().invoke(app, list(words))


def next_day(shop: Shop, hour: int = 11, minute: int = 0) -> date:
    """It is that hour of the day after; gives the day that has just ended."""
    day = beijing_day(utc_now())
    shop.janitor.move_to(datetime.combine(day + timedelta(days=1), time(hour, minute), BEIJING))
    return day


def said(result: Result) -> str:
    """The one line with which it ended."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stderr.strip().count("\n") == 0, result.stderr
    return result.stderr


def test_days_that_agree_end_with_exit_code_0_and_a_table(shop: Shop, dev: Dev, functions: InProcess) -> None:
    shop.guest.settled_order()
    day = next_day(shop)
    done = dev("reconcile")
    assert done.exit_code == 0, done.output
    assert functions.asked == [{"plan": True}, {"date": f"{day}"}]
    assert f"1 of 1  {day}  closed" in done.stderr
    (row,) = (line for line in done.stdout.splitlines() if line.startswith(f"│ {day}"))
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == [f"{day}", "closed", "896.00", "896.00", "0.00", "0.00", "5.38", "0", "0"]
    again = dev("reconcile")
    assert again.exit_code == 0
    assert f"every day up to {day} is closed" in again.stdout


def test_a_difference_is_told_in_words_and_ends_with_exit_code_1(shop: Shop, dev: Dev) -> None:
    _, order_sn = shop.guest.settled_order()
    trade = shop.wechat.world.trades.pop(f"{order_sn}_1")
    shop.guest.pays()
    day = next_day(shop)
    done = dev("reconcile", "--date", f"{day}")
    shop.wechat.world.trades[f"{order_sn}_1"] = trade
    assert done.exit_code == 1
    assert f"{day}  closed, 1 difference" in done.stderr
    (told,) = (line for line in done.stdout.splitlines() if line.startswith(f"{day} {order_sn}_1"))
    assert MEANS[DifferenceKind.PAYMENT_NOT_IN_BILL] in told
    assert told.endswith("WeChat: nothing; ours: 896.00 yuan.")
    assert f"./dev cases show {order_sn}_1" in done.stdout
    shop.wechat.world.trades.pop(f"{order_sn}_1")
    as_json = dev("reconcile", "--date", f"{day}", "--json")
    shop.wechat.world.trades[f"{order_sn}_1"] = trade
    (one,) = json.loads(as_json.stdout)["days"]
    assert (as_json.exit_code, one["closed"], one["our_paid_fen"], one["paid_fen"]) == (1, True, 2 * 89600, 89600)
    ((kind, fen),) = ((found["kind"], found["ours_fen"]) for found in one["difference_list"])
    assert (kind, fen) == ("payment_not_in_bill", 89600)


def test_a_bill_that_is_not_there_yet_is_said_as_that(shop: Shop, dev: Dev) -> None:
    shop.guest.settled_order()
    day = next_day(shop, 9, 30)
    done = dev("reconcile")
    assert done.exit_code == 1
    assert f"{day} is open (STATEMENT_CREATING): {WHY['STATEMENT_CREATING']}." in done.stdout
    as_csv = dev("reconcile", "--csv")
    (row,) = csv.DictReader(io.StringIO(as_csv.stdout))
    assert (as_csv.exit_code, row["day"], row["closed"], row["why"]) == (1, f"{day}", "False", "STATEMENT_CREATING")


def test_a_day_that_is_not_over_is_not_compared_and_says_when_it_can_be(
    shop: Shop, dev: Dev, stack: dict[str, Any], functions: InProcess
) -> None:
    shop.janitor.stop_the_clock()
    day = beijing_day(utc_now())
    told = said(dev("reconcile", "--date", f"{day}"))
    assert f"{day} is not over. WeChat has the bill of {day} tomorrow from 10:00" in told
    assert "simulator" not in told
    stack["wechat_url"] = shop.wechat.url  # on a laptop
    told = said(dev("reconcile", "--date", f"{day}"))
    ten = datetime.combine(day + timedelta(days=1), time(10), BEIJING)
    advance = round((ten - utc_now()).total_seconds()) + 60
    assert f"-m simulator advance {advance} --url {shop.wechat.url}, then ./dev reconcile --date {day};" in told
    assert functions.asked == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--date", "20261124"), "--date is a day as in 2026-11-24"),
        (("--date", "tomorrow"), "--date is a day as in 2026-11-24"),
        (("--date", "2020-01-01"), "WeChat keeps bills for three months"),
        (("--date", "2999-01-01"), "has none of days to come"),
        (("--json", "--csv"), "say --json or --csv"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_why(dev: Dev, words: tuple[str, ...], why: str) -> None:
    assert why in said(dev("reconcile", *words))


@pytest.mark.parametrize(
    ("message", "why"),
    [("2026-11-25 Task timed out after 900.00 seconds", "it ran out of time"), ("KeyError: 'x'", "KeyError: 'x'")],
)
def test_a_comparison_that_breaks_off_is_one_line(
    shop: Shop, dev: Dev, functions: InProcess, message: str, why: str
) -> None:
    functions.answer = {"errorMessage": message}
    assert f"the comparison failed: {why}; reconcile-bill's log says more" in said(dev("reconcile"))
