"""What can be sold: a folder for each product, and the registry of all."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from payments.products.course.offer import COURSE
from payments.products.homestay.offer import HOMESTAY
from payments.products.product import Product

SERVICE_TYPE = re.compile(r"[a-z][a-z_]{0,15}")
LETTERS = re.compile(r"[A-Z]{3}")


class Products(Mapping[str, Product[Any]]):
    """The products that are sold here, by service_type. Handed to whoever needs them: another shop, or a test, makes
    its own. Raises ValueError for a product that cannot be told from another or cannot be kept."""

    def __init__(self, *products: Product[Any]) -> None:
        for product in products:
            if not SERVICE_TYPE.fullmatch(product.service_type):
                raise ValueError(f"{product.service_type!r}: a service_type is 1 to 16 small letters and _")
            if not LETTERS.fullmatch(product.letters):
                raise ValueError(f"{product.service_type}: letters are three capital letters, not {product.letters!r}")
            if not is_dataclass(product.purchase):
                raise ValueError(f"{product.service_type}: purchase must be a frozen dataclass")
            product.messages()
            if product.catalogue is not None and product.catalogue.service_type != product.service_type:
                raise ValueError(f"{product.service_type}: its catalogue is {product.catalogue.service_type}'s")
        for name in ("service_type", "letters"):
            values = [getattr(product, name) for product in products]
            if twice := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"two products have the {name} {', '.join(twice)}")
        self._products = {product.service_type: product for product in products}

    def __getitem__(self, service_type: str) -> Product[Any]:
        return self._products[service_type]

    def __iter__(self) -> Iterator[str]:
        return iter(self._products)

    def __len__(self) -> int:
        return len(self._products)


PRODUCTS = Products(HOMESTAY, COURSE)
"""What this shop sells. A new product is added here."""
