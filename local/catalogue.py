"""The catalogue: what is sold, from a JSON file of homes; on the laptop cloud or on a stack on AWS."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table as Grid

from local.home import PROJECT
from local.operate import Json, Profile, Region, StackName, chosen, console, errors, fail
from payments.domain.texts import Field, for_wechat
from payments.products.homestay.offer import RULES, Homestay, wrong_fields
from payments.store.dynamodb import UnreadableItem
from payments.store.table import Table

app = typer.Typer(help="What is sold: put it from a file, look at it, check it.", no_args_is_help=True)

HOMES = PROJECT / "local/homestays.json"
"""What the laptop cloud sells."""

File = Annotated[Path, typer.Argument(help="A JSON list of homes, as local/homestays.json.")]


class BadCatalogue(Exception):
    """A file that is no catalogue; `problems` name the home, the field and what it must be."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read(path: Path) -> list[Homestay]:
    """The homes of a file. Raises BadCatalogue with everything that is wrong."""
    try:
        homes = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_object)
    except OSError as error:
        raise BadCatalogue([f"{path}: {error.strerror or error}"]) from None
    except _Twice as twice:
        raise BadCatalogue([f"{path}: the field {twice} stands twice in one home"]) from None
    except (ValueError, RecursionError) as error:
        raise BadCatalogue([f"{path} is not JSON in UTF-8: {error}"]) from None
    if not isinstance(homes, list):
        raise BadCatalogue([f"{path}: a list of homes is expected: [{{...}}, ...]"])
    problems: list[str] = []
    seen: dict[object, int] = {}
    for number, home in enumerate(homes, 1):
        if not isinstance(home, dict):
            problems.append(f"home {number}: an object with {', '.join(RULES)} is expected")
            continue
        named = home.get("homestay_id")
        name = f"home {number}" + (f" ({named})" if isinstance(named, str) and named.isprintable() else "")
        problems += [f"{name}: {field}: {why}" for field, why in wrong_fields(home)]
        if isinstance(named, str) and seen.setdefault(named, number) != number:
            problems.append(f"{name}: homestay_id: home {seen[named]} has the same")
    if problems:
        raise BadCatalogue(problems)
    return [Homestay(**home) for home in homes]


class _Twice(Exception):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise _Twice(name)
    return dict(pairs)


@dataclass(frozen=True, slots=True)
class Change:
    """What a `put` does with one home: `new`, `changed`, `mended` (what is there cannot be read) or `same`."""

    home: Homestay
    what: str
    fields: tuple[str, ...] = ()


def changes(table: Table, homes: Iterable[Homestay]) -> list[Change]:
    """What putting these homes changes."""
    return [_change(table, home) for home in homes]


def _change(table: Table, home: Homestay) -> Change:
    try:
        there = table.homestay(home.homestay_id)
    except UnreadableItem as error:
        return Change(home, "mended", (f"{error.attribute} {error.why}",))
    if there is None:
        return Change(home, "new")
    before, after = asdict(there), asdict(home)
    different = tuple(f"{name}: {before[name]} → {after[name]}" for name in RULES if before[name] != after[name])
    return Change(home, "changed", different) if different else Change(home, "same")


def seed(table: Table, path: Path) -> None:
    """Puts a file's homes. Raises BadCatalogue; then nothing is written."""
    for home in read(path):
        table.put_homestay(home)


# --- commands


@app.command("put")
def put(
    file: File,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """Put the homes of a file into the catalogue: all of them, or none if one is wrong. Homes that are not in the file
    stay as they are; one with "on_sale": false is taken off sale."""
    homes = _read(file, as_json=as_json)
    on = chosen(stack, profile, region).table
    with _answers():
        planned = changes(on, homes)
        for change in planned:
            if change.what != "same" and not dry_run:
                on.put_homestay(change.home)
    if as_json:
        told = [{"homestay_id": one.home.homestay_id, "what": one.what, "fields": one.fields} for one in planned]
        print(json.dumps({"written": not dry_run, "homes": told}, ensure_ascii=False))
        return
    grid = Grid("home", "", "what changes", box=SIMPLE)
    for one in planned:
        grid.add_row(one.home.homestay_id, one.what, escape("\n".join(one.fields)))
    console.print(grid)
    for home in homes:
        if (shown := for_wechat(Field.DESCRIPTION, home.title)) != home.title:
            said = f"{home.homestay_id}: WeChat does not take all its characters; the guest's bill says {shown}"
            console.print(said, highlight=False, markup=False, soft_wrap=True)
    written = sum(change.what != "same" for change in planned)
    console.print(f"{written} {'would be written' if dry_run else 'written'}, {len(planned) - written} as they were.")


@app.command("list")
def list_offers(stack: StackName = None, profile: Profile = None, region: Region = None, as_json: Json = False) -> None:
    """What is in the catalogue, on sale or not, also what cannot be read."""
    on = chosen(stack, profile, region).table
    with _answers():
        offers = on.offers()
    _show(offers, as_json=as_json)


@app.command("check")
def check(
    file: Annotated[Path | None, typer.Argument(help="Also check this file, and that its homes are there.")] = None,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """Read every home of the catalogue again. Exit code 1 if one cannot be read, or is not as the file has it."""
    homes = _read(file, as_json=as_json) if file else []
    on = chosen(stack, profile, region).table
    with _answers():
        offers = on.offers()
        differ = [change for change in changes(on, homes) if change.what != "same"]
    _show(offers, as_json=as_json, differ=differ)
    if differ or any(isinstance(one, UnreadableItem) for one in offers):
        raise typer.Exit(1)


@contextlib.contextmanager
def _answers() -> Iterator[None]:
    """Ends the command in one line when the table does not answer: the same command again goes on where it was."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        fail(f"the table does not answer as it should: {error}")


def _read(file: Path, *, as_json: bool) -> list[Homestay]:
    try:
        return read(file)
    except BadCatalogue as bad:
        if as_json:
            print(json.dumps({"written": False, "problems": bad.problems}, ensure_ascii=False))
            raise typer.Exit(1) from None
        for problem in bad.problems:
            errors.print(problem, style="red", highlight=False, markup=False, soft_wrap=True)
        fail("Nothing is written.")


def _show(offers: Sequence[Homestay | UnreadableItem], *, as_json: bool, differ: Sequence[Change] = ()) -> None:
    bad = [one for one in offers if isinstance(one, UnreadableItem)]
    good = [one for one in offers if isinstance(one, Homestay)]
    if as_json:
        told = {
            "homes": [asdict(home) for home in good],
            "unreadable": [{"pk": one.pk, "sk": one.sk, "why": f"{one.attribute} {one.why}"} for one in bad],
            "differ": [{"homestay_id": one.home.homestay_id, "what": one.what, "fields": one.fields} for one in differ],
        }
        print(json.dumps(told, ensure_ascii=False))
        return
    grid = Grid("home", "business", "title", "fen a night", "food", "people", "on sale", box=SIMPLE)
    grid.columns[0].no_wrap = True
    grid.columns[1].overflow = grid.columns[2].overflow = "fold"
    for home in good:
        sums = (str(home.price_fen), str(home.food_price_fen), str(home.capacity))
        grid.add_row(home.homestay_id, home.business_id, escape(home.title), *sums, "yes" if home.on_sale else "no")
    console.print(grid)
    for one in bad:
        errors.print(f"{one.pk}: {one.attribute} {one.why}", style="red", highlight=False, markup=False, soft_wrap=True)
    for change in differ:
        text = f"{change.home.homestay_id} is not as the file has it: {change.what} {'; '.join(change.fields)}"
        errors.print(text, style="red", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{len(good)} homes, {len(bad)} that cannot be read: guests do not see those.")
