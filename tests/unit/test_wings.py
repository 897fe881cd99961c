"""Which room of the layer may import which: arrows run one way, and never up."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LAYER = Path("layers/payments/python")
FUNCTIONS = Path("functions")

MAY_IMPORT: dict[str, set[str]] = {
    "domain": set(),
    "products": {"domain"},
    "calls": set(),
    "settings": {"domain"},
    "store": {"domain"},
    "wechat": {"domain", "settings", "calls"},
    "edge": {"domain", "settings", "calls", "store"},
    "recording": {"domain", "store", "edge"},
    "cancellation": {"domain", "store", "wechat", "edge", "recording"},
    "parts": {"domain", "products", "settings", "calls", "store", "wechat", "edge"},
}
"""By room: the other rooms that its files may import."""

MONEY = (
    *("domain", "store", "wechat", "recording", "cancellation"),
    *("functions/wx_callback", "functions/order_update", "functions/create_prepay", "functions/status_poll"),
)
"""What handles money and imports no product: what was bought is opaque to it."""


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports when it runs; those for type checkers alone are left out."""
    for node in ast.walk(_running(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class _WithoutTypeChecking(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node


def _running(tree: ast.Module) -> ast.AST:
    without: ast.AST = _WithoutTypeChecking().visit(tree)
    return without


def room(module: str) -> str | None:
    """The room of a module of the layer; None: it is no module of ours."""
    top, _, rest = module.partition(".")
    return rest.partition(".")[0] or None if top == "payments" else None


def wrong_arrows(layer: Path) -> list[str]:
    """Each import that runs against the arrows, as `file imports module`."""
    wrong = []
    for path in sorted((layer / "payments").rglob("*.py")):
        own = room(".".join(path.relative_to(layer).with_suffix("").parts))
        if own is None or own == "__init__":
            continue
        for module in imports(path):
            other = room(module)
            if other and other != own and other not in MAY_IMPORT[own]:
                wrong.append(f"{path.relative_to(layer)} imports {module}")
            if module.partition(".")[0] in ("functions", "app"):
                wrong.append(f"{path.relative_to(layer)} imports {module}, a function")
            if own == "domain" and not other and module.partition(".")[0] not in {*sys.stdlib_module_names, "payments"}:
                wrong.append(f"{path.relative_to(layer)} imports {module}, which is not the standard library")
    return wrong


def test_arrows_run_one_way() -> None:
    assert wrong_arrows(LAYER) == []


def test_every_room_is_known_here() -> None:
    rooms = {path.stem for path in (LAYER / "payments").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__pycache__", "__init__", "py"} == set(MAY_IMPORT)


def test_no_room_can_be_reached_from_itself_by_way_of_others() -> None:
    reached: dict[str, set[str]] = {name: set(others) for name, others in MAY_IMPORT.items()}
    for _ in MAY_IMPORT:
        reached = {name: others.union(*(reached[one] for one in others)) for name, others in reached.items()}
    assert not [name for name, others in reached.items() if name in others]


def test_the_money_imports_no_product() -> None:
    files = [
        path
        for place in MONEY
        for base in [Path(place) if place.startswith("functions") else LAYER / "payments" / place]
        for path in (base.rglob("*.py") if base.is_dir() else [base.with_suffix(".py")])
    ]
    assert len(files) > len(MONEY)
    assert [f"{path} imports {one}" for path in files for one in imports(path) if room(one) == "products"] == []


@pytest.mark.parametrize(
    ("file", "line", "why"),
    [
        ("domain/new.py", "from payments.store import Store", "domain/new.py imports payments.store"),
        ("domain/new.py", "import boto3", "domain/new.py imports boto3, which is not the standard library"),
        ("store/new.py", "import payments.wechat.pay", "store/new.py imports payments.wechat.pay"),
        ("edge/new.py", "def f():\n    from payments.parts import Parts", "edge/new.py imports payments.parts"),
        ("recording.py", "from functions.orders import app", "recording.py imports functions.orders, a function"),
    ],
)
def test_an_arrow_that_runs_up_is_named(tmp_path: Path, file: str, line: str, why: str) -> None:
    path = tmp_path / "payments" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line)
    assert f"payments/{why}" in wrong_arrows(tmp_path)


PRIVATE = re.compile(r"""setattr\(\s*(?:[^,()]+,\s*["']_(?!_)|["'][^"']*\._)""")


def test_no_test_patches_a_private_name() -> None:
    """A test that does knows how a thing is built, and not what it does: hand a part in instead."""
    files = [path for path in Path("tests").rglob("*.py") if path != Path(__file__).relative_to(Path.cwd())]
    assert len(files) > 50
    assert [str(path) for path in files if PRIVATE.search(path.read_text())] == []
    assert PRIVATE.search('monkeypatch.setattr(client, "_make_api_call", call)')
    assert PRIVATE.search("broken.setattr('payments.wechat.pay._built', None)")
