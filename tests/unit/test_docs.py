"""What the documents name exists: rules that code cites, files, functions and tests, links. Only files are read."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from local.checks import PARTS

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers/payments/python/payments"
RULES = ROOT / "docs/rules.md"
NAMING = [RULES, ROOT / "docs/glossary.md", ROOT / "CONTRIBUTING.md"]
"""The documents whose backticked paths and symbols must exist."""

LINKING = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])
FOLDERS = ("functions", "layers", "local", "simulator", "tests", "docs", "miniprogram", "events")
"""Where rules may be cited."""

CODE = ("functions", "layers")
"""Where rules.md sends who looks for a rule's code."""

PATH = re.compile(r"[\w.<>-]+(?:/[\w.<>-]+)+/?|[\w-]+\.(?:py|md|yaml|toml|json|js)")
"""A file or folder in a document; `<name>` stands for any name."""

CITED = re.compile(r"\bR(\d{1,2})\b")


def prose(document: Path) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)


def quoted(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`\n]+)`", text)


def rules() -> dict[int, str]:
    """The text of each rule by its number."""
    parts = re.split(r"^## R(\d+) .*$", prose(RULES), flags=re.MULTILINE)[1:]
    return {int(number): text for number, text in zip(parts[::2], parts[1::2], strict=True)}


def cited(*folders: str) -> dict[int, Path]:
    """Each rule number that the files of these folders cite, with one of the files."""
    files = [file for folder in folders for kind in ("py", "js", "md") for file in (ROOT / folder).rglob(f"*.{kind}")]
    own = [file for file in files if "node_modules" not in file.parts and file != RULES]
    return {int(number): file for file in own for number in CITED.findall(file.read_text())}


def places(name: str) -> list[Path]:
    """The files and folders that a path in a document means: from the root, or from the layer's package."""
    pattern = re.sub(r"<\w+>", "*", name.rstrip("/"))
    return [found for base in (ROOT, LAYER) for found in base.glob(pattern)]


@cache
def symbols(file: Path) -> frozenset[str]:
    """The functions, classes, methods and constants of a Python file; methods and fields as `Class.name`."""

    def of(body: list[ast.stmt], before: str = "") -> list[str]:
        names: list[str] = []
        for node in body:
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    names.append(before + name)
                case ast.ClassDef(name=name, body=inner):
                    names += [before + name, *of(inner, f"{before}{name}.")]
                case ast.Assign(targets=targets):
                    names += [before + target.id for target in targets if isinstance(target, ast.Name)]
                case ast.AnnAssign(target=ast.Name(id=name)):
                    names.append(before + name)
        return names

    return frozenset(of(ast.parse(file.read_text()).body))


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- rules


def test_every_rule_that_is_cited_is_there() -> None:
    assert sorted(rules()) == list(range(1, 17))
    missing = {number: file for number, file in cited(*FOLDERS).items() if number not in rules()}
    assert not missing, "cited, and no heading of docs/rules.md"


@pytest.mark.parametrize("number", rules())
def test_a_rule_says_why_where_and_what_fails_without_it_or_that_it_is_still_to_come(number: int) -> None:
    text = rules()[number]
    assert "**Why:**" in text
    code, _, tests = text.partition("**Code:**")[2].partition("**Test:**")
    if number in cited(*CODE):
        assert any("::" in name for name in quoted(code)), "the code cites it, and rules.md does not say where it is"
        assert any(name.startswith("tests/") and "::test_" in name for name in quoted(tests)), "no test is named"
        files = {file for name in quoted(code) if "::" in name for file in places(name.partition("::")[0])}
        silent = [file for file in files if str(number) not in CITED.findall(file.read_text())]
        assert not silent, "named as its code, and grep for the rule's number does not find them"
    else:
        assert "**Still to come**" in text
        assert not code, "rules.md names code that does not cite the rule's number: grep finds nothing"


# --- files and symbols


@pytest.mark.parametrize("document", NAMING, ids=lambda path: path.name)
def test_what_a_document_names_exists(document: Path) -> None:
    wrong = []
    for name in quoted(prose(document)):
        path, _, symbol = name.partition("::")
        if not PATH.fullmatch(path):
            continue
        found = places(path)
        if not found:
            wrong.append(f"{path} is not there")
        elif symbol and symbol not in symbols(found[0]):
            wrong.append(f"{path} has no {symbol}")
    assert not wrong


def test_the_scenarios_that_rules_name_in_quotes_exist() -> None:
    named = re.findall(r'`([^`:]+)::\w+` \("([^"]+)"\)', prose(RULES))
    assert named
    assert not [scenario for path, scenario in named if f'"{scenario}"' not in places(path)[0].read_text()]


# --- links


@pytest.mark.parametrize("document", LINKING, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    text = prose(document)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<(?:img|a)[^>]* (?:src|href)="([^"]+)"', text)
    wrong = []
    for target in targets:
        path, _, anchor = target.partition("#")
        file = document.parent / path if path else document
        if "://" in target:
            continue
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(target)
    assert not wrong


# --- one screen, one list


def test_the_glossary_fits_on_a_screen() -> None:
    lines = (ROOT / "docs/glossary.md").read_text().splitlines()
    assert len(lines) <= 45
    assert not [line for line in lines if len(line) > 120]


def test_contributing_names_every_part_of_the_tests() -> None:
    named = quoted((ROOT / "CONTRIBUTING.md").read_text())
    assert not [part for part in PARTS if part not in named]
