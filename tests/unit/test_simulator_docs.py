"""docs/simulator.md lists every fault and path, and the tests it names exist."""

import re
from pathlib import Path

from simulator.app import create_app
from simulator.credentials import Credentials
from simulator.faults import ANY, FAULTS, SIGNED
from simulator.world import World

TEXT = Path("docs/simulator.md").read_text()


def test_every_test_that_the_page_names_exists() -> None:
    code = "".join(path.read_text() for path in Path("tests/component").glob("test_simulator*.py"))
    named = set(re.findall(r"\btest_[a-z0-9_]+(?=[,;|\s])", TEXT)) - {"test_simulator_complete"}
    assert len(named) > 40
    missing = [name for name in named if f"def {name}(" not in code]
    assert missing == []


def test_every_fault_and_every_path_stands_on_the_page() -> None:
    for answers in FAULTS.values():
        for answer in answers:
            assert f"`{answer}`" in TEXT, answer
    for answer, meaning in (FAULTS["tradebill"] | FAULTS["download"]).items():
        if answer not in ANY | SIGNED:
            assert f"| `{answer}` | {meaning} |" in TEXT, answer
    for route in create_app(World(Credentials.generate())).routes:
        last = re.sub(r"\{\w+\}", "{}", route.path).rstrip("/").rpartition("/")[2]  # type: ignore[attr-defined]
        assert last in TEXT, route
