"""What an order holds of what was bought, as its product's own value and back."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from payments.domain.order import Order
from payments.store import keys
from payments.store.dynamodb import UnreadableItem, plain, typed


class HasPurchase(Protocol):
    """A product, as far as it is needed here."""

    @property
    def purchase(self) -> type[Any]: ...


P = TypeVar("P", bound=HasPurchase)


def kept(purchase: object) -> dict[str, Any]:
    """A product's purchase in plain values, as `Order.purchase` has it."""
    values: dict[str, Any] = plain(purchase)
    return values


def bought(order: Order, products: Mapping[str, P]) -> tuple[P, Any]:
    """The order's product, and what was bought, as that product's own value.

    Raises UnreadableItem: no such product is sold here, or it cannot read what it kept.
    """
    item = {**keys.order(order.order_sn), "version": order.version}
    item |= {"user_id": order.user_id, "business_id": order.business_id}
    product = products.get(order.service_type)
    if product is None:
        raise UnreadableItem(item, "service_type", "is none that this version knows")
    try:
        return product, typed(product.purchase, order.purchase)
    except UnreadableItem as error:
        raise UnreadableItem(item, f"purchase.{error.attribute}", error.why) from None
