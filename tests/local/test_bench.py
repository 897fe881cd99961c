"""./dev bench capacity, as people run it: what it measures, what docs/costs.md says of it, what it leaves behind."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.bench import IDLE, LIVES, LOGIN, LOOK, MOST, PAID, SCENARIOS
from local.home import PROJECT
from tests.local.conftest import eventually

COSTS = PROJECT / "docs/costs.md"


def bench(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The command in a process group of its own, its temporary files in the folder."""
    return subprocess.Popen(
        [str(PROJECT / "dev"), "bench", "capacity", *arguments],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def measured(folder: Path, *arguments: str, within_s: float = 60) -> dict[str, Any]:
    """What it tells as JSON; its exit code says the same."""
    with bench(folder, "--json", *arguments) as process:
        output, errors = process.communicate(timeout=within_s)
    assert output, errors
    told: dict[str, Any] = json.loads(output)
    assert process.returncode == (0 if told["kept"] else 1), errors
    assert_nothing_is_left(folder, process)
    return told


def assert_nothing_is_left(folder: Path, process: "subprocess.Popen[str]") -> None:
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not list(folder.glob("wxpay-bench-*"))


def rows(document: Path) -> dict[str, tuple[float, ...]]:
    """WRU, RRU, invocations and US$ per million by what they are of, as the document's tables have them."""
    row = re.compile(r"^\| ([^|]+?) \| ([\d.]+) \| ([\d.]+) \| (\d+) \| ([\d.]+) \|", re.MULTILINE)
    return {name: tuple(map(float, numbers)) for name, *numbers in row.findall(document.read_text())}


def figures(usage: dict[str, Any]) -> tuple[float, float, int]:
    return usage["wru"], usage["rru"], usage["invocations"]


def test_an_orders_life_is_measured_phase_by_phase_and_costs_md_says_the_same(tmp_path: Path) -> None:
    told = measured(tmp_path, "--orders", "10")
    assert [(one["scenario"], one["life"]) for one in told["measured"]] == [
        (scenario.name, life) for scenario in SCENARIOS for life in LIVES
    ]
    for one in told["measured"]:
        whole = [figures(usage) for name, usage in one["phases"].items() if name not in (LOGIN, LOOK)]
        assert figures(one["totals"][one["life"]]) == tuple(map(sum, zip(*whole, strict=True)))
    lives = {one["life"]: one for one in told["measured"] if one["scenario"] == "homestay"}
    seen = {IDLE: told["janitor_with_nothing_due"], **lives[PAID]["phases"]}
    for one in lives.values():
        seen |= one["totals"]
    said = rows(COSTS)
    assert {name: numbers[:3] for name, numbers in said.items()} == {name: figures(one) for name, one in seen.items()}
    for name, (wru, rru, _, dollars) in said.items():
        assert dollars == pytest.approx(wru * 0.71 + rru * 0.1425, abs=0.006), name


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_it_early_ends_the_emulator_too(tmp_path: Path, sign: signal.Signals) -> None:
    with bench(tmp_path, "--long") as process:
        eventually(lambda: [log for log in tmp_path.glob("wxpay-bench-*/emulator.log") if log.stat().st_size])
        process.send_signal(sign)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + sign
    assert "Traceback" not in errors
    assert_nothing_is_left(tmp_path, process)


@pytest.mark.long
def test_the_figures_are_the_same_after_a_hundred_thousand_orders(tmp_path: Path) -> None:
    told = measured(tmp_path, "--orders", "10", "--orders", "1000", "--long", within_s=900)
    assert {one["order"] for one in told["measured"]} == {10, 1_000, MOST}
    assert told["grows"] == []
