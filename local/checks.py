"""./dev test: what must hold, in the order in which it is cheapest to learn that it does not."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from local import javascript
from local.home import PROJECT

BIN = Path(os.environ.get("VIRTUAL_ENV", PROJECT / ".venv")) / "bin"
SAM = Path(os.environ.get("WXPAY_SAM_ENV", PROJECT / ".venv-sam")) / "bin/sam"
REGIONS = ("ap-southeast-1", "cn-north-1", "cn-northwest-1", "us-east-1")
CODE = ("functions", "layers", "local", "simulator", "tests")
COVERAGE_AT_LEAST = 95
TOLD = 10
LAMBDAS_PYTHON = "3.13"

UNCOVERED = ("tests/component/test_interleavings.py", "tests/component/test_crashes.py")
"""Millions of steps: counting their lines would double the time and teach nothing."""

TOOLS = {
    "make": "sam build needs make, which is not there: apt-get install make (macOS: xcode-select --install)",
    "npm": "prettier and eslint need npm, which is not there: install Node.js 20.19 or newer",
}
"""What a machine may lack, and what to do; where it is lacking the step is skipped."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a part; one of pytest counts as many as its tests. `needs`: one of TOOLS."""

    command: list[str]
    needs: str = ""

    @property
    def is_pytest(self) -> bool:
        return "pytest" in self.command


@dataclass(slots=True)
class Outcome:
    """How many passed, failed, were skipped; `why` tells the reasons of what did not pass, with their number."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    why: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Outcome") -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.why += other.why

    def result(self, *, ci: bool) -> str:
        """In CI everything is there that tests need: a test that is skipped there has not been run by anybody."""
        if self.failed or (ci and self.skipped):
            return "failed"
        return "passed" if self.passed else "skipped"

    def reasons(self) -> str:
        """One line each, the first ten; the rest stands above the table."""
        lines = [f"{count} × {reason}" if count > 1 else reason for reason, count in self.why.most_common()]
        return "\n".join(lines[:TOLD] + ([f"and {len(lines) - TOLD} more"] if lines[TOLD:] else []))


def _pytest(*folders: str, workers: int = 2, cover: bool = False, long: bool = False) -> Step:
    command = [str(BIN / "python"), "-m", "pytest", "-q", *([] if long else ["-m", "not long"]), *folders]
    if workers > 1:
        command += ["-n", str(workers), "--dist", "worksteal"]
    if cover:
        command += ["--cov", "--cov-report", "term", "--cov-fail-under", str(COVERAGE_AT_LEAST)]
    return Step(command)


def _build() -> list[Step]:
    """Built as for a deploy; without bytecode only where nobody could make it."""
    made = subprocess.run(["sh", "layers/build.sh", "python"], cwd=PROJECT, capture_output=True, check=False)
    look = [sys.executable, "-m", "local", "check-build", *(["--without-bytecode"] if made.returncode else [])]
    return [Step([str(SAM), "build"], needs="make"), Step(look, needs="make")]


PARTS: Mapping[str, Callable[[bool], list[Step]]] = {
    "lint": lambda _: [
        Step([str(BIN / "ruff"), "check", *CODE]),
        Step([str(BIN / "ruff"), "format", "--check", *CODE]),
        Step([sys.executable, "-m", "local.javascript"], needs="npm"),
        Step([*javascript.PRETTIER, "--check", *javascript.STYLED], needs="npm"),
        Step([*javascript.ESLINT, *javascript.CODE], needs="npm"),
    ],
    "types": lambda _: [Step([str(BIN / "mypy")])],
    "template": lambda _: [
        Step([str(BIN / "cfn-lint"), "--regions", *REGIONS, "--", "template.yaml"]),
        Step([str(SAM), "validate", "--lint", "--region", "cn-north-1"]),
        *_build(),
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
    """Runs the parts, stops at none; 0 when all passed. `long`: the tests too that take minutes.

    A test or step that was skipped is no failure, except in CI (the environment variable CI).
    """
    ci = "CI" in os.environ
    grid = Grid("part", "", "passed", "failed", "skipped", "s", "what did not pass", title=f"./dev test, {_python()}")
    for column in grid.columns[2:6]:
        column.justify = "right"
    whole, results = Outcome(), []
    for part in parts:
        started, outcome = time.monotonic(), Outcome()
        for step in PARTS[part](long):
            console.rule(f"{part}: {_shown(step.command)}", align="left")
            outcome.add(run_step(step))
        results.append(outcome.result(ci=ci))
        whole.add(outcome)
        counts = map(str, (outcome.passed, outcome.failed, outcome.skipped))
        grid.add_row(part, _coloured(results[-1]), *counts, f"{time.monotonic() - started:.1f}", outcome.reasons())
    console.print(grid)
    console.print(f"{whole.passed} passed, {whole.failed} failed, {whole.skipped} skipped.")
    if ci and whole.skipped:
        console.print("Nothing may be skipped in CI: install what is named above.")
    return 1 if "failed" in results else 0


def run_some(arguments: list[str], *, long: bool = False) -> int:
    """Runs pytest over the unit and component tests with these arguments (`-k name`); where one of them is a path, over
    that alone. pytest's exit code: 5 when no test matches. `long`: the tests too that take minutes."""
    named = any(argument.startswith("tests/") for argument in arguments)
    step = _pytest(*([] if named else ["tests/unit", "tests/component"]), *arguments, workers=1, long=long)
    return _run(step.command)


def run_step(step: Step) -> Outcome:
    """Runs one command, its output to the terminal."""
    if step.needs and not shutil.which(step.needs):
        print(TOOLS[step.needs])
        return Outcome(skipped=1, why=Counter([TOOLS[step.needs]]))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        code = _run([*step.command, f"--junit-xml={report}"] if step.is_pytest else step.command)
        if not step.is_pytest:
            outcome = Outcome(passed=int(code == 0))
        elif report.exists():
            outcome = read_junit(report)
        else:
            outcome = Outcome(failed=1, why=Counter(["failed: pytest left no report"]))
    if code and not outcome.failed:
        outcome.failed = 1
        outcome.why[f"{_shown(step.command[:3])} ended with {code}: see above"] += 1
    return outcome


def read_junit(report: Path) -> Outcome:
    """What pytest's report tells. A test that fails as it is expected to has passed."""
    outcome = Outcome()
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  # pytest's own
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failed += 1
            outcome.why[f"failed: {case.get('name')}"] += 1
        elif skipped is not None and skipped.get("type") != "pytest.xfail":
            outcome.skipped += 1
            outcome.why[f"skipped: {skipped.get('message', '').removeprefix('Skipped: ')}"] += 1
        else:
            outcome.passed += 1
    return outcome


def fix() -> bool:
    """What ruff, eslint and prettier can put right by themselves; whether nothing is left for a person."""
    steps = [
        Step([str(BIN / "ruff"), "check", "--fix", *CODE]),
        Step([str(BIN / "ruff"), "format", *CODE]),
        Step([sys.executable, "-m", "local.javascript"], needs="npm"),
        Step([*javascript.ESLINT, "--fix", *javascript.CODE], needs="npm"),
        Step([*javascript.PRETTIER, "--write", *javascript.STYLED], needs="npm"),
    ]
    return not any(run_step(step).failed for step in steps)


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


def _python() -> str:
    version = platform.python_version()
    if version.startswith(f"{LAMBDAS_PYTHON}."):
        return f"under Python {version}, Lambda's"
    return f"under Python {version}: Lambda's {LAMBDAS_PYTHON} is not on this machine"


def _coloured(result: str) -> str:
    return f"[{ {'failed': 'red', 'skipped': 'yellow', 'passed': 'green'}[result] }]{result}[/]"


def _shown(command: list[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:]])
