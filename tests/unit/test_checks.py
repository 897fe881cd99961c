"""./dev test says what was run, what failed and what was skipped, and why."""

import io
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from rich.console import Console
from typer.testing import CliRunner

from local import checks
from local.__main__ import app
from local.checks import Outcome, Step, run, run_step

TESTS = {
    "passes": "def test_passes(): pass",
    "fails": "def test_fails(): assert False",
    "breaks": "import pytest\n@pytest.fixture\ndef broken(): raise OSError\ndef test_breaks(broken): pass",
    "no_browser": "import pytest\n@pytest.mark.parametrize('n', range(27))\ndef test_b(n): pytest.skip('no browser')",
    "no_node": "import pytest\n@pytest.mark.skipif(True, reason='needs node')\ndef test_no_node(): pass",
    "expected": "import pytest\n@pytest.mark.xfail\ndef test_expected(): assert False",
    "no_module": "import no_such_module",
    "teardown": "import pytest\n@pytest.fixture\ndef f():\n    yield\n    raise OSError\ndef test_teardown(f): pass",
}


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Step]:
    """A step of pytest over files of these names."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they are slow to import
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    def make(*names: str, workers: int = 0) -> Step:
        for name in names:
            (tmp_path / f"test_{name}.py").write_text(TESTS[name] + "\n")
        files = [str(tmp_path / f"test_{name}.py") for name in names]
        options = ["-q", "-p", "no:cacheprovider", "-c", str(tmp_path / "pytest.ini")]
        return Step(
            [
                sys.executable,
                "-m",
                "pytest",
                *options,
                *(["-p", "xdist", "-n", str(workers)] if workers else []),
                *files,
            ]
        )

    return make


@pytest.mark.parametrize(
    ("names", "passed", "failed", "skipped", "why"),
    [
        (["passes", "expected"], 2, 0, 0, {}),
        (["no_browser"], 0, 0, 27, {"skipped: no browser": 27}),
        (["passes", "no_browser", "no_node"], 1, 0, 28, {"skipped: no browser": 27, "skipped: needs node": 1}),
        (["passes", "fails", "breaks"], 1, 2, 0, {"failed: test_fails": 1, "failed: test_breaks": 1}),
    ],
)
def test_tests_are_counted_with_the_reasons(
    step: Callable[..., Step], names: list[str], passed: int, failed: int, skipped: int, why: dict[str, int]
) -> None:
    assert run_step(step(*names)) == Outcome(passed, failed, skipped, Counter(why))


@pytest.mark.parametrize("names", [["no_module"], ["passes", "no_module"], ["teardown"]])
def test_what_cannot_be_collected_or_ends_badly_is_a_failure(step: Callable[..., Step], names: list[str]) -> None:
    assert run_step(step(*names)).failed == 1


def test_tests_are_counted_over_several_workers(step: Callable[..., Step]) -> None:
    outcome = run_step(step("passes", "no_browser", "fails", workers=2))
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 1, 27)


def test_no_tests_at_all_are_a_failure(step: Callable[..., Step]) -> None:
    nothing = run_step(Step([*step("passes").command, "-k", "nothing"]))
    assert (nothing.passed, nothing.failed) == (0, 1)
    assert "ended with 5" in nothing.reasons()


def test_a_command_that_fails_after_its_tests_have_passed_is_a_failure(
    step: Callable[..., Step], tmp_path: Path
) -> None:
    (tmp_path / "conftest.py").write_text("def pytest_sessionfinish(session): session.exitstatus = 3\n")
    outcome = run_step(step("passes"))
    assert (outcome.passed, outcome.failed) == (1, 1)


def test_a_killed_pytest_is_a_failure(step: Callable[..., Step], tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import os\ndef pytest_sessionstart(session): os._exit(0)\n")
    assert run_step(step("passes")) == Outcome(0, 1, 0, Counter(["failed: pytest left no report"]))


def test_a_command_is_one_check() -> None:
    assert run_step(Step(["true"])) == Outcome(1, 0, 0)
    failed = run_step(Step(["false"]))
    assert (failed.passed, failed.failed) == (0, 1)


def test_what_needs_a_tool_that_is_not_there_is_skipped_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run_step(Step(["true"], needs="make")).passed == 1
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = run_step(Step(["true"], needs="make"))
    assert (outcome.passed, outcome.failed, outcome.skipped) == (0, 0, 1)
    assert "apt-get install make" in outcome.reasons()


def table(monkeypatch: pytest.MonkeyPatch, *outcomes: Outcome, ci: bool = False) -> tuple[int, str]:
    """The exit code and the text of a run of one part."""
    steps = [Step([str(n)]) for n in range(len(outcomes))]
    monkeypatch.setattr(checks, "PARTS", {"browser": lambda _: steps})
    monkeypatch.setattr(checks, "run_step", lambda step: outcomes[int(step.command[0])])
    monkeypatch.setenv("CI", "true")
    if not ci:
        monkeypatch.delenv("CI")
    output = io.StringIO()
    code = run(Console(file=output, width=200), ["browser"])
    return code, output.getvalue()


NO_BROWSER = Outcome(skipped=27, why=Counter({"skipped: no browser": 27}))


def test_only_skips_are_not_called_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = table(monkeypatch, NO_BROWSER)
    (row,) = [line for line in text.splitlines() if line.startswith("│ browser")]
    assert [cell.strip() for cell in row.split("│")[2:6]] == ["skipped", "0", "0", "27"]
    assert "27 × skipped: no browser" in row
    assert "0 passed, 0 failed, 27 skipped." in text
    assert code == 0


def test_reasons_are_counted_and_not_endless() -> None:
    outcome = Outcome(failed=14, skipped=27, why=Counter({f"failed: test_{n}": 1 for n in range(14)}) + NO_BROWSER.why)
    lines = outcome.reasons().splitlines()
    assert lines[:2] == ["27 × skipped: no browser", "failed: test_0"]
    assert lines[-1] == "and 5 more"
    assert len(lines) == 11


def test_in_ci_a_single_skip_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = (Outcome(passed=99), Outcome(passed=5, skipped=1, why=Counter({"skipped: needs node": 1})))
    code, text = table(monkeypatch, *outcomes)
    assert code == 0
    assert "104 passed, 0 failed, 1 skipped." in text
    code, text = table(monkeypatch, *outcomes, ci=True)
    assert code == 1
    assert "Nothing may be skipped in CI" in text
    assert table(monkeypatch, outcomes[0], ci=True)[0] == 0


def test_a_failure_among_passes_fails_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = table(monkeypatch, Outcome(failed=1), Outcome(passed=1), NO_BROWSER)
    assert code == 1
    assert "1 passed, 1 failed, 27 skipped." in text


def test_the_table_names_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"under Python {sys.version.split()[0]}" in table(monkeypatch, Outcome(passed=1))[1]
    monkeypatch.setattr("platform.python_version", lambda: "3.11.7")
    assert "Lambda's 3.13 is not on this machine" in checks._python()
    monkeypatch.setattr("platform.python_version", lambda: "3.13.2")
    assert checks._python() == "under Python 3.13.2, Lambda's"


# --- a few tests alone


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that ./dev test starts; each ends with 5."""
    commands: list[list[str]] = []

    def run_command(command: list[str], **_: object) -> CompletedProcess[bytes]:
        commands.append(command)
        return CompletedProcess(command, 5)

    monkeypatch.setattr("subprocess.run", run_command)
    return commands


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["--", "-k", "late_money"], ["-m", "not long", "tests/unit", "tests/component", "-k", "late_money"]),
        (["--", "-k", "events", "-x"], ["-m", "not long", "tests/unit", "tests/component", "-k", "events", "-x"]),
        (["--long", "--", "-k", "crash"], ["tests/unit", "tests/component", "-k", "crash"]),
        (["--", "tests/local/test_payment.py::test_x"], ["-m", "not long", "tests/local/test_payment.py::test_x"]),
    ],
)
def test_what_follows_the_dashes_goes_to_pytest_alone(
    started: list[list[str]], arguments: list[str], given: list[str]
) -> None:
    result = CliRunner().invoke(app, ["test", *arguments])
    assert result.exit_code == 5, "pytest's own: no test matched"
    assert [command[1:] for command in started] == [["-m", "pytest", "-q", *given]]


def test_a_part_and_a_few_tests_are_not_asked_for_together(started: list[list[str]]) -> None:
    result = CliRunner().invoke(app, ["test", "--only", "unit", "--", "-k", "late_money"])
    assert result.exit_code == 1
    assert "either" in result.output
    assert not started
