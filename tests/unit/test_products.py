"""The registry, and what it holds every product to; a product needs neither a catalogue, nor dates, nor a code."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from pydantic import BaseModel

from local import openapi
from payments.domain.collection import Collection, ItemRef
from payments.domain.guest_messages import ORDER_PAID, Delivery, GuestMessages, Message
from payments.domain.janitor import Announce, next_look, next_step
from payments.domain.message import Kind, messages_of
from payments.domain.offer import Catalogue, Priced, PurchaseRefused
from payments.domain.order import Order, OrderStatus, new_order_sn, place
from payments.edge.http import read_body, shown
from payments.products import PRODUCTS, Products
from payments.products.homestay.offer import HOMESTAY
from payments.products.product import Models, Product
from payments.store.dynamodb import UnreadableItem, typed, unwire, wire
from payments.store.purchase import bought, kept
from tests.examples import ASKED, HOME, NOW, ORDER_SN, STAY, order, paid_payment
from tests.voucher.offer import VOUCHER, Vouchers


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """A purchase without fields."""


class Least(Product[Nothing]):
    """The least that a product is."""

    service_type = "least"
    letters = "LST"
    purchase = Nothing

    def price(self, asked: Any, offer: Any, now: datetime) -> Priced:  # noqa: ARG002
        return Priced(purchase=Nothing(), business_id="b-hangzhou", total_fen=1)

    def title(self, purchase: Nothing) -> str:  # noqa: ARG002
        return "x"

    def models(self) -> Models:
        return Models(order=BaseModel, guest=BaseModel, staff=BaseModel)


def changed(**changes: Any) -> Product[Any]:
    product = Least()
    for name, value in changes.items():
        setattr(product, name, value)
    return product


def order_of(product: Product[Any], asked: dict[str, Any], offer: Any = None, **changes: Any) -> Order:
    priced = product.price(asked, offer, NOW)
    made = place(
        priced,
        kept(priced.purchase),
        order_sn=new_order_sn(product.letters, NOW, "12345678"),
        service_type=product.service_type,
        redeemed=product.redeemed,
        user_id="u1",
        openid="o1",
        attempt="a1",
        now=NOW,
    )
    return replace(made, **changes)


# --- the registry


def test_products_are_found_by_their_service_type() -> None:
    products = Products(*PRODUCTS.values(), VOUCHER)
    assert dict(products) == {**PRODUCTS, "voucher": VOUCHER}
    assert products["homestay"] is HOMESTAY
    assert products.get("spa") is None
    assert "voucher" not in PRODUCTS


@pytest.mark.parametrize(
    ("products", "why"),
    [
        ((VOUCHER, changed(service_type="voucher")), "two products have the service_type voucher"),
        ((VOUCHER, changed(letters="VOU")), "two products have the letters VOU"),
        ((changed(service_type="Spa#1"),), "a service_type is 1 to 16 small letters and _"),
        ((changed(service_type=""),), "a service_type is 1 to 16 small letters and _"),
        ((changed(service_type="a" * 17),), "a service_type is 1 to 16 small letters and _"),
        ((changed(letters="SPAS"),), "letters are three capital letters"),
        ((changed(letters="spa"),), "letters are three capital letters"),
        ((changed(purchase=dict),), "purchase must be a frozen dataclass"),
        ((changed(catalogue=HOMESTAY.catalogue),), "its catalogue is homestay's"),
        ((changed(kinds={"total": Kind.COUNT}),), "messages of every product have the value total already"),
    ],
)
def test_products_that_cannot_be_told_apart_or_kept_are_refused(products: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Products(*products)


# --- what a product may leave out


def test_a_product_needs_no_catalogue_no_dates_no_code_and_no_values() -> None:
    least = Products(changed(redeemed=False))["least"]
    made = order_of(least, {}, status=OrderStatus.WAIT_USE, paid_by=1, refundable_fen=1, paid_at=NOW)
    assert bought(made, {"least": least}) == (least, Nothing())
    assert (made.usable_until, made.over(datetime.max.replace(tzinfo=NOW.tzinfo))) == (None, False)
    assert (made.lacks_code, made.usable) == (False, True)
    assert set(least.messages()) == {"order_confirmed", "refund"}
    assert least.bill(Nothing()) == least.title(Nothing()) == "x"
    assert least.values(Nothing()) == {}


def test_the_janitor_neither_waits_for_a_code_nor_ends_a_use_without_end() -> None:
    told = messages_of({}, redeemed=False)
    made = order_of(changed(redeemed=False), {}, status=OrderStatus.WAIT_USE, paid_by=1, refundable_fen=1, paid_at=NOW)
    collection = Collection(made, [paid_payment()])
    assert next_step(collection, NOW) == Announce(ItemRef())  # its message; no code is missing
    assert next_step(collection, NOW, tried=[Announce(ItemRef())]) is None
    assert "check_in_code" not in told
    redeemed = order_of(Least(), {}, status=OrderStatus.WAIT_USE, paid_by=1, refundable_fen=1, paid_at=NOW)
    assert next_step(Collection(redeemed, [paid_payment()]), NOW) == Announce(ItemRef(n=1))


def test_an_order_without_an_end_is_looked_at_no_more_once_its_guest_is_told() -> None:
    made = order_of(changed(redeemed=False), {}, status=OrderStatus.WAIT_USE, paid_by=1, refundable_fen=1, paid_at=NOW)
    sent = {"order_confirmed": Message(state=Delivery.SENT)}
    notice = GuestMessages(order_sn=made.order_sn, event=ORDER_PAID, version=1, attempt="a", at=NOW, messages=sent)
    collection = Collection(made, [paid_payment()], guest_messages={ORDER_PAID: notice})
    long_after = NOW + timedelta(days=9999)
    assert next_step(collection, long_after, due={ItemRef(), ItemRef(n=1)}) is None
    assert next_look(collection, ItemRef(), long_after) is None


# --- what is kept


@pytest.mark.parametrize(
    ("product", "asked", "offer", "purchase"),
    [
        (HOMESTAY, ASKED, HOME, STAY),
        (VOUCHER, {"pieces": 3}, None, Vouchers(pieces=3, price_fen=10_000)),
    ],
)
def test_what_was_bought_comes_back_from_the_wire_as_it_was(
    product: Product[Any], asked: Any, offer: Any, purchase: Any
) -> None:
    made = order_of(product, asked, offer)
    (read,) = [typed(Order, unwire(wire({"v": made}))["v"])]
    assert read == made
    assert not [value for value in read.purchase.values() if isinstance(value, Decimal)]
    assert bought(read, Products(HOMESTAY, VOUCHER)) == (product, purchase)


def test_lists_maps_and_switches_come_back_as_plain_values() -> None:
    purchase = {"seats": ["A1", "A2"], "counts": {"adults": 2}, "meal": True, "days": [1, 2], "none": []}
    read = typed(Order, unwire(wire({"v": order(purchase=purchase)}))["v"])
    assert read.purchase == purchase
    assert [type(value) for value in read.purchase["days"]] == [int, int]
    assert type(read.purchase["counts"]["adults"]) is int


def test_a_list_of_a_purchase_is_a_tuple_of_its_own_type() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Seats:
        days: tuple[date, ...]
        seats: tuple[str, ...] = ()

    seats = Seats(days=(date(2026, 12, 1), date(2026, 12, 2)), seats=("A1",))
    assert typed(Seats, kept(seats)) == seats
    with pytest.raises(UnreadableItem, match="seats must be a list"):
        typed(Seats, kept(seats) | {"seats": "A1"})


@pytest.mark.parametrize(
    ("changes", "attribute"),
    [
        ({"purchase": {}}, "purchase.homestay_id"),
        ({"purchase": kept(STAY) | {"price_fen": "1"}}, "purchase.price_fen"),
        ({"purchase": kept(STAY) | {"price_fen": -1}}, "purchase.price_fen"),
        ({"purchase": kept(STAY) | {"start_date": "soon"}}, "purchase.start_date"),
        ({"service_type": "spa"}, "service_type"),
    ],
)
def test_a_purchase_that_cannot_be_read_is_named_with_its_order_and_without_its_value(
    changes: dict[str, Any], attribute: str
) -> None:
    with pytest.raises(UnreadableItem) as refused:
        bought(order(**changes), PRODUCTS)
    error = refused.value
    assert (error.pk, error.sk, error.attribute) == (f"ORDER#{ORDER_SN}", "ORDER", attribute)
    assert (error.user_id, error.business_id) == ("u1", "b-hangzhou")
    assert "soon" not in str(error)


def test_an_order_of_what_was_asked_for_is_what_the_product_made_of_it() -> None:
    assert HOMESTAY.price(ASKED, HOME, NOW).purchase == STAY
    assert order_of(VOUCHER, {"pieces": 3}).total_fen == 30_000
    assert order_of(VOUCHER, {"pieces": 3}).order_sn == "VOU2026112312000012345678"
    with pytest.raises(PurchaseRefused):
        VOUCHER.price({"pieces": 1}, None, datetime(2027, 8, 1, tzinfo=NOW.tzinfo))


# --- at the HTTP edge


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"pieces": "3"}, "pieces"),  # no value of another type, whatever the model says of itself
        ({"pieces": 3.0}, "pieces"),
        ({"pieces": 11}, "pieces"),
        ({"pieces": None}, "pieces"),
        ({"people": 2}, "people"),  # no field of another product
        ({"service_type": "homestay"}, "service_type"),
    ],
)
def test_a_products_body_is_read_as_strictly_as_any(changes: dict[str, Any], field: str) -> None:
    body = {"service_type": "voucher", "pieces": 3}
    assert read_body(VOUCHER.models().order, body) == body
    with pytest.raises(RequestValidationError) as refused:
        read_body(VOUCHER.models().order, body | changes)
    assert [error["loc"] for error in refused.value.errors()] == [("body", field)]


def test_answers_are_json_in_the_products_fields() -> None:
    assert shown(VOUCHER.models().guest, Vouchers(pieces=3, price_fen=10_000)) == {"pieces": 3, "price_fen": 10_000}
    told = shown(HOMESTAY.models().guest, STAY)
    assert (told["start_date"], told["nights"], told["food_total_fen"]) == ("2026-12-01", 2, 12_000)
    assert set(told) - set(shown(HOMESTAY.models().staff, STAY)) == {
        "homestay_id",
        "homestay_total_fen",
        "food_total_fen",
        "free_until",
    }


def test_the_api_description_tells_products_apart_by_service_type() -> None:
    schemas = openapi.document(products=Products(HOMESTAY, VOUCHER))["components"]["schemas"]
    for name, part in (
        ("NewOrder", "NewVouchers"),
        ("OrderOut", "VoucherOrderOut"),
        ("StaffOrder", "VoucherStaffOrder"),
    ):
        discriminator = schemas[name]["discriminator"]
        assert discriminator["propertyName"] == "service_type"
        assert discriminator["mapping"]["voucher"] == f"#/components/schemas/{part}"
        assert set(discriminator["mapping"]) == {"homestay", "voucher"}
    assert schemas["NewVouchers"]["properties"]["service_type"]["const"] == "voucher"
    assert schemas["NewVouchers"]["additionalProperties"] is False
    assert "service_type" in schemas["NewVouchers"]["required"]
    assert schemas["VoucherOrderOut"]["properties"]["purchase"] == {"$ref": "#/components/schemas/VouchersOut"}
    assert schemas["HomestayStaffOrder"]["properties"]["purchase"] == {"$ref": "#/components/schemas/StaffStay"}


# --- who may know a product


@pytest.mark.parametrize("name", ["offer", "request"])
def test_the_page_on_adding_a_product_shows_the_example_that_tests_sell(name: str) -> None:
    code = Path(f"tests/voucher/{name}.py").read_text().replace("tests.voucher", "payments.products.voucher").strip()
    assert f"```python\n{code}\n```" in Path("docs/adding-a-product.md").read_text()


def test_a_catalogue_knows_the_id_of_its_offers() -> None:
    assert isinstance(HOMESTAY.catalogue, Catalogue)
    assert HOMESTAY.catalogue.id_of(HOME) == "lake-house"
