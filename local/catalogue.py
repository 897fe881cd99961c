"""The catalogue: what is sold, from a JSON file of one product's offers; on the laptop cloud or on a stack on AWS."""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table as Grid

from local.home import PROJECT
from local.operate import Json, Profile, Region, StackName, chosen, console, errors, fail
from payments.domain.offer import Catalogue, wrong_fields
from payments.domain.texts import Field, for_wechat
from payments.domain.times import beijing_day, utc_now
from payments.products import PRODUCTS
from payments.store.dynamodb import UnreadableItem, typed
from payments.store.store import Store

app = typer.Typer(help="What is sold: put it from a file, look at it, check it.", no_args_is_help=True)

CATALOGUES: dict[str, Catalogue[Any]] = {
    product.service_type: product.catalogue for product in PRODUCTS.values() if product.catalogue is not None
}

OFFERS = PROJECT / "local/offers"
"""What the laptop cloud sells: a file for each product that has a catalogue."""

File = Annotated[Path, typer.Argument(help="A JSON list of offers, as local/offers/homestay.json.")]
Of = Annotated[str, typer.Option("--product", help=f"Whose offers: {', '.join(CATALOGUES)}.")]
OF = next(iter(CATALOGUES))


DAY = re.compile(r"\{today\+([0-9]{1,3})\}")


class BadCatalogue(Exception):
    """A file that is no catalogue; `problems` name the offer, the field and what it must be."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read(path: Path, catalogue: Catalogue[Any]) -> list[Any]:
    """The offers of a file; `{today+3}` in it is the day three days from now (Beijing's). Raises BadCatalogue with
    everything that is wrong."""
    try:
        text = DAY.sub(_day, path.read_text(encoding="utf-8-sig"))
        offers = json.loads(text, object_pairs_hook=_object)
    except OSError as error:
        raise BadCatalogue([f"{path}: {error.strerror or error}"]) from None
    except _Twice as twice:
        raise BadCatalogue([f"{path}: the field {twice} stands twice in one offer"]) from None
    except (ValueError, RecursionError) as error:
        raise BadCatalogue([f"{path} is not JSON in UTF-8: {error}"]) from None
    if not isinstance(offers, list):
        raise BadCatalogue([f"{path}: a list of offers is expected: [{{...}}, ...]"])
    rules, named_by = catalogue.rules, catalogue.named_by
    problems: list[str] = []
    seen: dict[object, int] = {}
    for number, offer in enumerate(offers, 1):
        if not isinstance(offer, dict):
            problems.append(f"offer {number}: an object with {', '.join(rules)} is expected")
            continue
        named = offer.get(named_by)
        name = f"offer {number}" + (f" ({named})" if isinstance(named, str) and named.isprintable() else "")
        problems += [f"{name}: {field}: {why}" for field, why in wrong_fields(rules, offer)]
        if isinstance(named, str) and seen.setdefault(named, number) != number:
            problems.append(f"{name}: {named_by}: offer {seen[named]} has the same")
    made = []
    for number, offer in enumerate(offers if not problems else [], 1):
        try:
            made.append(typed(catalogue.offer, offer))
        except UnreadableItem as error:  # a rule of several fields together
            problems.append(f"offer {number}: {error.why}")
    if problems:
        raise BadCatalogue(problems)
    return made


def _day(found: re.Match[str]) -> str:
    return (beijing_day(utc_now()) + timedelta(days=int(found[1]))).isoformat()


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
    """What a `put` does with one offer: `new`, `changed`, `mended` (what is there cannot be read) or `same`."""

    offer: Any
    offer_id: str
    what: str
    fields: tuple[str, ...] = ()


def changes(store: Store, catalogue: Catalogue[Any], offers: Iterable[Any]) -> list[Change]:
    """What putting these offers changes."""
    return [_change(store, catalogue, offer) for offer in offers]


def _change(store: Store, catalogue: Catalogue[Any], offer: Any) -> Change:
    offer_id = catalogue.id_of(offer)
    try:
        there = store.catalogue.get(catalogue, offer_id)
    except UnreadableItem as error:
        return Change(offer, offer_id, "mended", (f"{error.attribute} {error.why}",))
    if there is None:
        return Change(offer, offer_id, "new")
    before, after = asdict(there), asdict(offer)
    different = tuple(f"{name}: {before[name]} → {after[name]}" for name in after if before[name] != after[name])
    return Change(offer, offer_id, "changed" if different else "same", different)


def seed(store: Store) -> None:
    """Puts what the laptop cloud sells. Raises BadCatalogue for a file that is wrong; then nothing of it is written."""
    for service_type, catalogue in CATALOGUES.items():
        for offer in read(OFFERS / f"{service_type}.json", catalogue):
            store.catalogue.put(catalogue, offer)


# --- commands


@app.command("put")
def put(
    file: File,
    product: Of = OF,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """Put the offers of a file into the catalogue: all of them, or none if one is wrong. Those that are not in the file
    stay as they are; one with "on_sale": false is taken off sale."""
    catalogue = _catalogue(product)
    offers = _read(file, catalogue, as_json=as_json)
    on = chosen(stack, profile, region).store
    with _answers():
        planned = changes(on, catalogue, offers)
        for change in planned:
            if change.what != "same" and not dry_run:
                on.catalogue.put(catalogue, change.offer, utc_now() + timedelta(minutes=1))
    if as_json:
        print(json.dumps({"written": not dry_run, "offers": _as_json(catalogue, planned)}, ensure_ascii=False))
        return
    grid = Grid(product, "", "what changes", box=SIMPLE)
    for one in planned:
        grid.add_row(one.offer_id, one.what, escape("\n".join(one.fields)))
    console.print(grid)
    for one in planned:
        title = getattr(one.offer, "title", "")
        if title and (shown := for_wechat(Field.DESCRIPTION, title)) != title:
            said = f"{one.offer_id}: WeChat does not take all its characters; the guest's bill says {shown}"
            console.print(said, highlight=False, markup=False, soft_wrap=True)
    if not dry_run:
        _show_oversold(on, product, planned)
    written = sum(change.what != "same" for change in planned)
    console.print(f"{written} {'would be written' if dry_run else 'written'}, {len(planned) - written} as they were.")


def _show_oversold(on: Store, service_type: str, planned: Sequence[Change]) -> None:
    """Of which nights or sessions more is held than there is now."""
    for change in planned:
        if change.what == "same":
            continue
        over = on.stocks.over(PRODUCTS[service_type], change.offer_id, change.offer, utc_now())
        for name, held in over.items():
            said = f"{change.offer_id}: {held} are held for {name}, more than there are now"
            errors.print(said, style="red", highlight=False, markup=False, soft_wrap=True)


@app.command("list")
def list_offers(
    product: Of = OF, stack: StackName = None, profile: Profile = None, region: Region = None, as_json: Json = False
) -> None:
    """What is in the catalogue, on sale or not, also what cannot be read."""
    catalogue = _catalogue(product)
    on = chosen(stack, profile, region).store
    with _answers():
        offers = on.catalogue.all(catalogue)
    _show(catalogue, offers, as_json=as_json)


@app.command("check")
def check(
    file: Annotated[Path | None, typer.Argument(help="Also check this file, and that its offers are there.")] = None,
    product: Of = OF,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """Read every offer of the catalogue again. Exit code 1 if one cannot be read, or is not as the file has it."""
    catalogue = _catalogue(product)
    wanted = _read(file, catalogue, as_json=as_json) if file else []
    on = chosen(stack, profile, region).store
    with _answers():
        offers = on.catalogue.all(catalogue)
        differ = [change for change in changes(on, catalogue, wanted) if change.what != "same"]
    _show(catalogue, offers, as_json=as_json, differ=differ)
    if differ or any(isinstance(one, UnreadableItem) for one in offers):
        raise typer.Exit(1)


@contextlib.contextmanager
def _answers() -> Iterator[None]:
    """Ends the command in one line when the table does not answer: the same command again goes on where it was."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        fail(f"the table does not answer as it should: {error}")


def _catalogue(product: str) -> Catalogue[Any]:
    if product not in CATALOGUES:
        fail(f"{product!r} has no catalogue here; there are {', '.join(CATALOGUES)}")
    return CATALOGUES[product]


def _as_json(catalogue: Catalogue[Any], planned: Sequence[Change]) -> list[dict[str, Any]]:
    return [{catalogue.named_by: one.offer_id, "what": one.what, "fields": one.fields} for one in planned]


def _read(file: Path, catalogue: Catalogue[Any], *, as_json: bool) -> list[Any]:
    try:
        return read(file, catalogue)
    except BadCatalogue as bad:
        if as_json:
            print(json.dumps({"written": False, "problems": bad.problems}, ensure_ascii=False))
            raise typer.Exit(1) from None
        for problem in bad.problems:
            errors.print(problem, style="red", highlight=False, markup=False, soft_wrap=True)
        fail("Nothing is written.")


def _show(catalogue: Catalogue[Any], offers: Sequence[Any], *, as_json: bool, differ: Sequence[Change] = ()) -> None:
    bad = [one for one in offers if isinstance(one, UnreadableItem)]
    good = [asdict(one) for one in offers if not isinstance(one, UnreadableItem)]
    if as_json:
        told = {
            "offers": good,
            "unreadable": [{"pk": one.pk, "sk": one.sk, "why": f"{one.attribute} {one.why}"} for one in bad],
            "differ": _as_json(catalogue, differ),
        }
        print(json.dumps(told, ensure_ascii=False))
        return
    grid = Grid(*catalogue.rules, box=SIMPLE)
    for column in grid.columns:
        column.overflow = "fold"
    grid.columns[list(catalogue.rules).index(catalogue.named_by)].no_wrap = True
    for offer in good:
        grid.add_row(*(escape(str(offer[name])) for name in catalogue.rules))
    console.print(grid)
    for one in bad:
        errors.print(f"{one.pk}: {one.attribute} {one.why}", style="red", highlight=False, markup=False, soft_wrap=True)
    for change in differ:
        text = f"{change.offer_id} is not as the file has it: {change.what} {'; '.join(change.fields)}"
        errors.print(text, style="red", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{len(good)} offers, {len(bad)} that cannot be read: guests do not see those.")
