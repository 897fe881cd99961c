"""What a product says of itself: everything that is asked of it stands here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from payments.domain.message import Kind, messages_of
from payments.domain.offer import Catalogue, Priced
from payments.domain.stock import Night, Session

if TYPE_CHECKING:
    from pydantic import BaseModel

P = TypeVar("P")
"""A product's purchase: what was bought, as a frozen dataclass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """A product's models at the HTTP edge. `order` is the body of POST /orders, with the product's service_type; the
    answers read their fields from what they stand for: `guest` and `staff` from a purchase, `offer` from an offer."""

    order: "type[BaseModel]"
    guest: "type[BaseModel]"
    staff: "type[BaseModel]"
    offer: "type[BaseModel] | None" = None


class Product(Protocol[P]):
    """One thing that can be sold. What has a default here may be left out: a product needs neither a catalogue, nor a
    code to be redeemed, nor dates, nor values of its own for messages."""

    service_type: str
    """Its name in the API and the table: small letters and _."""
    letters: str
    """The three capital letters that its order numbers begin with."""
    purchase: type[P]
    """A frozen dataclass: what ORDER keeps of what was bought, and what comes back from there."""
    catalogue: Catalogue[Any] | None = None
    """None: a request alone says what is bought."""
    redeemed: bool = True
    """Whether a guest gets a code, which staff redeem."""
    kinds: Mapping[str, Kind] = {}
    """What its messages may say beyond what all messages may (`payments.domain.message`)."""

    def price(self, asked: Mapping[str, Any], offer: Any, now: datetime) -> Priced:
        """What is asked for, priced here, never by the client. `asked` are the fields of `Models.order` as JSON values;
        `offer` is the catalogue's entry that they name, None for a product without catalogue.

        Raises PurchaseRefused.
        """
        ...

    def shown_now(self, offer: Any, now: datetime) -> Any:  # noqa: ARG002
        """The offer as guests see it now: without what is over."""
        return offer

    def for_sale(self, offer: Any, first: date, last: date) -> Sequence[Night | Session]:  # noqa: ARG002
        """What the offer has from the first day to the last one, held or not: its stock. A product without stock has
        none."""
        return ()

    def refund_rule(self, purchase: P, now: datetime) -> int:  # noqa: ARG002
        """What a guest gets back who cancels now, in fen. Nothing, unless the product says otherwise: staff decide."""
        return 0

    def title(self, purchase: P) -> str:
        """What was bought, in the words of its seller."""
        ...

    def bill(self, purchase: P) -> str:
        """What the guest reads in WeChat's bill; for order management too."""
        return self.title(purchase)

    def values(self, purchase: P) -> Mapping[str, Any]:  # noqa: ARG002
        """The values of `kinds`."""
        return {}

    def messages(self) -> Mapping[str, Mapping[str, Kind]]:
        """Its messages by template, each with what it may say. Raises ValueError for a value that all products have."""
        return messages_of(self.kinds, redeemed=self.redeemed)

    def models(self) -> Models:
        """Imported here and nowhere else (`request.py`): pydantic is for the functions that answer HTTP."""
        ...
