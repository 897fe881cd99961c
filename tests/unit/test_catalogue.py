"""The catalogue's file: every field is checked, every problem is named, nothing is written unless all is good."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.catalogue import CATALOGUES, OFFERS, BadCatalogue, read
from local.shopper import order_body
from payments.domain.money import MAX_FEN
from payments.domain.stock import MOST_NIGHTS
from payments.edge.http import read_body
from payments.products import PRODUCTS
from payments.products.homestay.offer import (
    MAX_DAYS_AHEAD,
    MAX_PEOPLE,
    MAX_PRICE_FEN,
    MAX_TITLE,
    RULES,
    Homestay,
    Stay,
)
from tests.examples import HOME, STAY

HOMES = CATALOGUES["homestay"]
GOOD = {name: getattr(HOME, name) for name in RULES}


def problems(folder: Path, *homes: Any, text: str = "") -> list[str]:
    file = folder / "homes.json"
    file.write_text(text or json.dumps(homes))
    with pytest.raises(BadCatalogue) as bad:
        read(file, HOMES)
    return list(bad.value.problems)


def test_the_laptops_catalogue_is_good() -> None:
    homes = read(OFFERS / "homestay.json", HOMES)
    assert len(homes) == 6
    assert len({home.homestay_id for home in homes}) == 6


def test_the_laptop_sells_something_of_every_product() -> None:
    assert {path.stem for path in OFFERS.glob("*.json")} == set(CATALOGUES)
    for service_type, catalogue in CATALOGUES.items():
        assert any(offer.on_sale for offer in read(OFFERS / f"{service_type}.json", catalogue))
    for service_type, product in PRODUCTS.items():
        read_body(product.models().order, order_body(service_type=service_type))


@pytest.mark.parametrize(
    ("field", "value", "limit"),
    [
        *[("price_fen", price, "whole fen, from 1 to 1000000000") for price in (388.5, 388.0, "38800", True, 0, -1)],
        *[("price_fen", price, "whole fen") for price in (MAX_PRICE_FEN + 1, 10**400, float("inf"), [38800])],
        ("market_price_fen", 488.5, "whole fen, from 0"),
        ("food_price_fen", -1, "whole fen, from 0"),
        ("food_price_fen", "3000", "whole fen, from 0"),
        *[("title", title, f"1 to {MAX_TITLE} characters") for title in ("", "长" * 33, 7, None, ["湖"])],
        *[("title", title, "one line of text") for title in ("两\n行", "a\x00b", "a\ud83d", "\u202e反", "\ue000x")],
        *[("title", title, "something that can be read") for title in (" ", "\u200b\u3164", "\u0301")],
        ("subtitle", "长" * 101, "0 to 100 characters"),
        ("subtitle", "两\r行", "one line of text"),
        *[("capacity", most, "a whole number of people, from 1 to 100") for most in (0, 101, 2.0, "4", True)],
        *[("homestay_id", name, "1 to 24 letters") for name in ("", "湖", "a b", "a#b", "a\n", "x" * 41, 7, "../x")],
        *[("business_id", name, "1 to 24 letters") for name in ("", "*", "b" * 25, None)],
        *[("on_sale", value, "true or false") for value in (1, "true", None)],
    ],
)
def test_a_field_that_is_wrong_is_named_with_its_limit(tmp_path: Path, field: str, value: Any, limit: str) -> None:
    told = problems(tmp_path, GOOD, GOOD | {"homestay_id": "second", field: value})
    assert len([one for one in told if "has the same" not in one]) == 1
    assert told[0].startswith("offer 2")
    assert f"{field}: {limit}" in told[0]


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    told = problems(
        tmp_path,
        GOOD | {"price_fen": 388.5, "title": "长" * 33},
        {name: value for name, value in GOOD.items() if name != "capacity"} | {"homestay_id": "second"},
        GOOD | {"homestay_id": "third", "price": 1},
        GOOD,
        "a home",
    )
    assert told == [
        "offer 1 (lake-house): title: 1 to 32 characters",
        "offer 1 (lake-house): price_fen: whole fen, from 1 to 1000000000",
        "offer 2 (second): capacity: is missing",
        f"offer 3 (third): price: is not known; there are {', '.join(RULES)}",
        "offer 4 (lake-house): homestay_id: offer 1 has the same",
        f"offer 5: an object with {', '.join(RULES)} is expected",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "a list of offers is expected"),
        ("[", "is not JSON"),
        ("\u0000", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('[{"title": "a", "title": "b"}]', "the field title stands twice"),
    ],
)
def test_a_file_that_is_no_catalogue_says_what_is_expected(tmp_path: Path, text: str, why: str) -> None:
    (told,) = problems(tmp_path, text=text)
    assert why in told


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.json", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(BadCatalogue, match=why):
            read(path, HOMES)
    (tmp_path / "gbk.json").write_bytes("湖".encode("gbk"))
    with pytest.raises(BadCatalogue, match="not JSON in UTF-8"):
        read(tmp_path / "gbk.json", HOMES)


def test_a_file_of_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / "bom.json").write_text(json.dumps([GOOD]), encoding="utf-8-sig")
    assert read(tmp_path / "bom.json", HOMES) == [HOME]


def test_the_dearest_stay_is_still_a_sum() -> None:
    dearest = Stay(
        homestay_id="x",
        title="x",
        price_fen=MAX_PRICE_FEN,
        food_price_fen=MAX_PRICE_FEN,
        start_date=STAY.start_date,
        end_date=STAY.start_date.fromordinal(STAY.start_date.toordinal() + MOST_NIGHTS),
        people=MAX_PEOPLE,
        need_food=True,
    )
    assert dearest.total_fen <= MAX_FEN
    assert MAX_DAYS_AHEAD


def test_a_home_keeps_its_own_rules() -> None:
    with pytest.raises(ValueError, match="title: 1 to 32 characters; price_fen: whole fen"):
        Homestay(**GOOD | {"price_fen": 388.5, "title": ""})
