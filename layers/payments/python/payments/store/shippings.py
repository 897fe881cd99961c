"""The shipping records: what WeChat was told to have been shipped."""

from collections.abc import Mapping
from typing import Any

from payments.domain.case import Case
from payments.domain.shipping import ENTERED_FROM, Shipping, ShippingStatus
from payments.store import keys
from payments.store.cases import opened
from payments.store.dynamodb import plain, typed
from payments.store.items import NEW, Items, Put, Standing, Update, Written, status_in


class Shippings:
    def __init__(self, items: Items) -> None:
        self._items = items

    def put(self, shipping: Shipping) -> Written | Standing[Shipping | None]:
        """Puts the record before WeChat is called. Standing: the record that is stored for this trade; it may also be
        this very one, put by a try whose answer got lost."""
        return self._items.write(Put({**_key(shipping), **plain(shipping)}, NEW), read_shipping)

    def finish(self, shipping: Shipping, why: str | None) -> Written | Standing[Shipping | None]:
        """UPLOADING → UPLOADED. Standing: the record, which came to its end before."""
        changes = {"status": ShippingStatus.UPLOADED, "why": why}
        when = status_in(ENTERED_FROM[ShippingStatus.UPLOADED])
        return self._items.write(Update(_key(shipping), changes, when), read_shipping)

    def refuse(self, shipping: Shipping, case: Case) -> Written | Standing[None]:
        """UPLOADING → REFUSED with its case, both or neither. Standing: it came to its end before."""
        changes = {"status": ShippingStatus.REFUSED, "why": case.detail}
        return self._items.transact(
            Update(_key(shipping), changes, status_in(ENTERED_FROM[ShippingStatus.REFUSED])), opened(case, None)
        )


def read_shipping(item: Mapping[str, Any]) -> Shipping:
    return typed(Shipping, item)


def _key(shipping: Shipping) -> keys.Key:
    return keys.shipping(shipping.order_sn, shipping.n)
