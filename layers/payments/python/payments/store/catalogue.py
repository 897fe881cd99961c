"""The catalogues: the offers that can be bought, product by product."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from boto3.dynamodb.conditions import Attr, ConditionBase

from payments.domain.offer import Catalogue, Offer
from payments.store import keys
from payments.store.dynamodb import UnreadableItem, plain, typed, wire
from payments.store.items import Items, Mark, Put, Standing, Values, Written
from payments.store.looks import planned

O = TypeVar("O", bound=Offer)  # noqa: E741


class HasCatalogue(Protocol):
    """A product, as far as it is needed here."""

    catalogue: Catalogue[Any] | None


P = TypeVar("P", bound=HasCatalogue)


class Found(NamedTuple, Generic[P]):
    """An offer with its product and that one's catalogue."""

    product: P
    catalogue: Catalogue[Any]
    offer: Any


ON_SALE, OFF_SALE = "ON_SALE", "OFF_SALE"
"""The partitions of the index `catalogue`, after the service_type: `homestay#ON_SALE`."""


class Catalogues:
    def __init__(self, items: Items) -> None:
        self._items = items

    def put(self, catalogue: Catalogue[O], offer: O, look_at: datetime | None = None) -> None:
        """Puts an offer into the catalogue, over the one that was there. `look_at`: when the janitor looks whether more
        is held of it than there is (R15)."""
        sale = _sale(catalogue, ON_SALE if offer.on_sale else OFF_SALE)
        item = {**keys.offer(catalogue.service_type, catalogue.id_of(offer)), **plain(offer), "catalogue": sale}
        self._items.write(Put(item | planned("0", look_at), None), lambda stored: read_offer(catalogue, stored))

    def set_stock(
        self, catalogue: Catalogue[O], offer: O, value: object, look_at: datetime
    ) -> Written | Standing[None]:
        """Writes how much there is of an offer. At `look_at`, when every order is written that had read it before, the
        janitor looks whether more is held than that (R15). Standing: it has changed since it was read."""
        assert catalogue.stock is not None
        key, was = keys.offer(catalogue.service_type, catalogue.id_of(offer)), getattr(offer, catalogue.stock)
        same: ConditionBase = Attr(catalogue.stock).eq(plain(was))
        if was == _default(catalogue):
            same = same | Attr(catalogue.stock).not_exists()
        change = Mark(key, {catalogue.stock: value, **planned("0", look_at)}, Attr("pk").exists() & same)
        return self._items.write(change, lambda _: None)

    def get(self, catalogue: Catalogue[O], offer_id: str) -> O | None:
        """As it is at this moment: an order is priced by it."""
        return self._items.get(catalogue.offer, keys.offer(catalogue.service_type, offer_id), consistent=True)

    def find(self, products: Mapping[str, P], service_type: str, offer_id: str) -> Found[P] | None:
        """An offer as it is at this moment, on sale or not, with its product and that one's catalogue. None: there is
        no such product, it has no catalogue, or no such offer."""
        product = products.get(service_type)
        catalogue = product.catalogue if product else None
        offer = self.get(catalogue, offer_id) if catalogue else None
        return Found(product, catalogue, offer) if product and catalogue and offer else None

    def on_sale(self, catalogue: Catalogue[O]) -> list[O]:
        """By id. One that cannot be read is left out."""
        return self._items.readable(lambda item: read_offer(catalogue, item), self._offers(catalogue, ON_SALE))

    def readable(self, catalogue: Catalogue[O]) -> list[O]:
        """The whole catalogue, on sale or not. One that cannot be read is left out."""
        return self._items.readable(lambda item: read_offer(catalogue, item), self._whole(catalogue))

    def all(self, catalogue: Catalogue[O]) -> list[O | UnreadableItem]:
        """The whole catalogue, on sale or not, with what cannot be read."""
        offers: list[O | UnreadableItem] = []
        for item in self._whole(catalogue):
            try:
                offers.append(read_offer(catalogue, item))
            except UnreadableItem as error:
                offers.append(error)
        return offers

    def _whole(self, catalogue: Catalogue[O]) -> list[Values]:
        return [*self._offers(catalogue, ON_SALE), *self._offers(catalogue, OFF_SALE)]

    def _offers(self, catalogue: Catalogue[O], sale: str) -> list[Values]:
        return self._items.query(
            IndexName="catalogue",
            KeyConditionExpression="catalogue = :sale",
            ExpressionAttributeValues=wire({":sale": _sale(catalogue, sale)}),
        )


def read_offer(catalogue: Catalogue[O], item: Mapping[str, Any]) -> O:
    """An entry of the catalogue. Raises UnreadableItem, also where its key is not its own: it could not be ordered."""
    offer = typed(catalogue.offer, item)
    if keys.offer(catalogue.service_type, catalogue.id_of(offer)) != {"pk": item["pk"], "sk": item["sk"]}:
        own = f"OFFER#{catalogue.service_type}#<{catalogue.named_by}>"
        raise UnreadableItem(item, catalogue.named_by, f"is another than its key's, {own} and OFFER")
    return offer


def _default(catalogue: Catalogue[Any]) -> object:
    """What an offer has that says nothing of its stock."""
    return next(one.default for one in fields(catalogue.offer) if one.name == catalogue.stock)


def _sale(catalogue: Catalogue[Any], sale: str) -> str:
    return f"{catalogue.service_type}#{sale}"
