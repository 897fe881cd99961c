"""Keys and back, places among the open cases, and what a write answers."""

from dataclasses import replace

import pytest

from payments.domain.case import elsewhere_case
from payments.domain.collection import Collection, ItemRef
from payments.domain.refund import RefundOrigin, automatic_refund
from payments.store import keys
from payments.store.cases import CasePlace
from payments.store.items import Standing, Written
from tests.examples import NOW, ORDER_SN, order, paid_payment, trade

REFUND = automatic_refund(paid_payment(), RefundOrigin.LATE, NOW)
COLLECTION = Collection(order(), [paid_payment()], [REFUND])


@pytest.mark.parametrize(
    ("item", "sk"),
    [(order(), "ORDER"), (paid_payment(), "PAYMENT#1"), (REFUND, f"REFUND#{ORDER_SN}_1_R1")],
)
def test_an_item_is_found_by_its_name_and_by_the_key_of_it(item: object, sk: str) -> None:
    ref = ItemRef.of(item)  # type: ignore[arg-type]
    assert COLLECTION.item(ref) == item
    assert keys.of(ORDER_SN, ref) == {"pk": f"ORDER#{ORDER_SN}", "sk": sk}
    assert keys.item_of(sk) == ref


@pytest.mark.parametrize(
    "sk", ["", "USER", "ORDERS", "PAYMENT#", "PAYMENT#x", "PAYMENT#²", "REFUND#", "NOTICE#a", "CASE#a#b"]
)
def test_the_janitor_looks_at_no_other_item(sk: str) -> None:
    assert keys.item_of(sk) is None


def test_only_an_orders_partition_names_an_order() -> None:
    assert keys.order_sn_of(f"ORDER#{ORDER_SN}") == ORDER_SN
    assert [keys.order_sn_of(pk) for pk in ("TRADE#1", "ORDER", "", "XORDER#1")] == [""] * 4


@pytest.mark.parametrize("out_trade_no", [f"{ORDER_SN}_1", "somebody-elses"])
def test_a_place_among_the_open_cases_is_a_text_and_back(out_trade_no: str) -> None:
    place = CasePlace.of(elsewhere_case(replace(trade(), number=out_trade_no), NOW))
    assert CasePlace.parse(str(place)) == place
    assert CasePlace.parse(str(place.without_case())) == place.without_case() != place


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "2026-01-01", "2026-01-01T00:00:00.000Z\n", "2026-01-01T00:00:00.000Z\n\n"),
        *(
            f"2026-01-01T00:00:00.000Z\n{key}"
            for key in ("ORDER#1", "ORDER#1\nORDER", "USER#u\nCASE#a#b", "ORDER#\nCASE#a#b")
        ),
        *(f"2026-01-01T00:00:00.000Z\nORDER#1\n{more}" for more in ("CASE#", "CASE#a#b\nx")),
    ],
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        CasePlace.parse(text)


def test_written_is_true_and_standing_is_not_and_has_the_item() -> None:
    assert Written()
    assert not Standing(lambda: "there")
    match Standing(lambda: "there"):
        case Standing(item):
            assert item == "there"


def test_an_item_that_stands_there_is_read_only_when_someone_asks() -> None:
    standing: Standing[int] = Standing(lambda: 1 // 0)
    assert not standing
    with pytest.raises(ZeroDivisionError):
        _ = standing.item
