"""./dev test: what must hold, in the order in which it is cheapest to learn that it does not."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from local.home import PROJECT

BIN = Path(os.environ.get("VIRTUAL_ENV", PROJECT / ".venv")) / "bin"
SAM = Path(os.environ.get("WXPAY_SAM_ENV", PROJECT / ".venv-sam")) / "bin/sam"
REGIONS = ("ap-southeast-1", "cn-north-1", "cn-northwest-1", "us-east-1")
CODE = ("functions", "layers", "local", "simulator", "tests")
COVERAGE_AT_LEAST = 95

UNCOVERED = ("tests/component/test_interleavings.py", "tests/component/test_crashes.py")
"""Millions of steps: counting their lines would double the time and teach nothing."""

Commands = list[list[str]]


def _pytest(*folders: str, workers: int = 2, cover: bool = False, long: bool = False) -> list[str]:
    command = [str(BIN / "python"), "-m", "pytest", "-q", *([] if long else ["-m", "not long"]), *folders]
    if workers > 1:
        command += ["-n", str(workers), "--dist", "worksteal"]
    if cover:
        command += ["--cov", "--cov-report", "term", "--cov-fail-under", str(COVERAGE_AT_LEAST)]
    return command


PARTS: Mapping[str, Callable[[bool], Commands]] = {
    "lint": lambda _: [[str(BIN / "ruff"), "check", *CODE], [str(BIN / "ruff"), "format", "--check", *CODE]],
    "types": lambda _: [[str(BIN / "mypy")]],
    "template": lambda _: [
        [str(BIN / "cfn-lint"), "--regions", *REGIONS, "--", "template.yaml"],
        [str(SAM), "validate", "--lint", "--region", "cn-north-1"],
        [str(SAM), "build"],
    ],
    "unit": lambda long: [
        _pytest("tests/unit", "tests/component", *(f"--ignore={file}" for file in UNCOVERED), cover=True, long=long)
    ],
    "trouble": lambda long: [_pytest(*UNCOVERED, long=long)],
    "local": lambda long: [_pytest("tests/local", workers=1, long=long)],
    "browser": lambda long: [_pytest("tests/browser", workers=1, long=long)],
}
"""The parts by name; `unit` holds the component tests too, because the coverage is theirs together."""


def run(console: Console, parts: list[str], *, long: bool = False) -> int:
    """Runs the parts, stops at none; 0 when all passed. `long`: the tests too that take minutes."""
    grid = Grid("part", "", "s", title="./dev test")
    grid.columns[2].justify = "right"
    failed = 0
    for part in parts:
        started, codes = time.monotonic(), []
        for command in PARTS[part](long):
            console.rule(f"{part}: {_shown(command)}", align="left")
            codes.append(_run(command))
        failed += any(codes)
        grid.add_row(part, "[red]failed[/]" if any(codes) else "passed", f"{time.monotonic() - started:.1f}")
    console.print(grid)
    return 1 if failed else 0


def lock() -> None:
    """uv.lock anew, and the layer's requirements from it."""
    uv = os.environ.get("UV", "uv")
    export = ["export", "--frozen", "--quiet", "--no-emit-project", "--only-group", "runtime", "--no-header"]
    for command in (
        [uv, "lock", "--upgrade"],
        [uv, *export, "--output-file", "layers/dependencies/requirements.txt"],
    ):
        subprocess.run(command, cwd=PROJECT, check=True)


def _run(command: list[str]) -> int:
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    try:
        return subprocess.run(command, cwd=PROJECT, env=environment, check=False).returncode
    except FileNotFoundError:
        print(f"{command[0]} is not there: run it as ./dev test, which installs it")
        return 127


def _shown(command: list[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:]])
