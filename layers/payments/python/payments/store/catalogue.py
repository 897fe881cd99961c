"""The catalogue: the homes that can be booked."""

from collections.abc import Mapping
from typing import Any

from payments.products.homestay.offer import Homestay
from payments.store import keys
from payments.store.dynamodb import UnreadableItem, plain, typed, wire
from payments.store.items import Items, Put, Values

ON_SALE, OFF_SALE = "ON_SALE", "OFF_SALE"
"""The partitions of the index `catalogue`."""


class Catalogue:
    def __init__(self, items: Items) -> None:
        self._items = items

    def put(self, home: Homestay) -> None:
        """Puts a home into the catalogue, over the one that was there."""
        sale = ON_SALE if home.on_sale else OFF_SALE
        self._items.write(Put({**keys.offer(home.homestay_id), **plain(home), "catalogue": sale}, None), read_offer)

    def get(self, homestay_id: str) -> Homestay | None:
        return self._items.get(Homestay, keys.offer(homestay_id), consistent=False)

    def on_sale(self) -> list[Homestay]:
        """By id. One that cannot be read is left out."""
        return self._items.readable(read_offer, self._offers(ON_SALE))

    def all(self) -> list[Homestay | UnreadableItem]:
        """The whole catalogue, on sale or not, with what cannot be read."""
        homes: list[Homestay | UnreadableItem] = []
        for item in [*self._offers(ON_SALE), *self._offers(OFF_SALE)]:
            try:
                homes.append(read_offer(item))
            except UnreadableItem as error:
                homes.append(error)
        return homes

    def _offers(self, sale: str) -> list[Values]:
        return self._items.query(
            IndexName="catalogue",
            KeyConditionExpression="catalogue = :sale",
            ExpressionAttributeValues=wire({":sale": sale}),
        )


def read_offer(item: Mapping[str, Any]) -> Homestay:
    """A home of the catalogue. Raises UnreadableItem, also where its key is not its own: it could not be ordered."""
    home = typed(Homestay, item)
    if keys.offer(home.homestay_id) != {"pk": item["pk"], "sk": item["sk"]}:
        pk, sk = keys.offer("<homestay_id>").values()
        raise UnreadableItem(item, "homestay_id", f"is another than its key's, {pk} and {sk}")
    return home
