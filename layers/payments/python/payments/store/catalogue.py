"""The catalogues: the offers that can be bought, product by product."""

from collections.abc import Mapping
from typing import Any, TypeVar

from payments.domain.offer import Catalogue, Offer
from payments.store import keys
from payments.store.dynamodb import UnreadableItem, plain, typed, wire
from payments.store.items import Items, Put, Values

O = TypeVar("O", bound=Offer)  # noqa: E741

ON_SALE, OFF_SALE = "ON_SALE", "OFF_SALE"
"""The partitions of the index `catalogue`, after the service_type: `homestay#ON_SALE`."""


class Catalogues:
    def __init__(self, items: Items) -> None:
        self._items = items

    def put(self, catalogue: Catalogue[O], offer: O) -> None:
        """Puts an offer into the catalogue, over the one that was there."""
        sale = _sale(catalogue, ON_SALE if offer.on_sale else OFF_SALE)
        item = {**keys.offer(catalogue.service_type, catalogue.id_of(offer)), **plain(offer), "catalogue": sale}
        self._items.write(Put(item, None), lambda stored: read_offer(catalogue, stored))

    def get(self, catalogue: Catalogue[O], offer_id: str) -> O | None:
        return self._items.get(catalogue.offer, keys.offer(catalogue.service_type, offer_id), consistent=False)

    def on_sale(self, catalogue: Catalogue[O]) -> list[O]:
        """By id. One that cannot be read is left out."""
        return self._items.readable(lambda item: read_offer(catalogue, item), self._offers(catalogue, ON_SALE))

    def all(self, catalogue: Catalogue[O]) -> list[O | UnreadableItem]:
        """The whole catalogue, on sale or not, with what cannot be read."""
        offers: list[O | UnreadableItem] = []
        for item in [*self._offers(catalogue, ON_SALE), *self._offers(catalogue, OFF_SALE)]:
            try:
                offers.append(read_offer(catalogue, item))
            except UnreadableItem as error:
                offers.append(error)
        return offers

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


def _sale(catalogue: Catalogue[Any], sale: str) -> str:
    return f"{catalogue.service_type}#{sale}"
