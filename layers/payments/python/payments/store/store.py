"""The table, by entity: `store.orders.mark_paid(...)`, `store.refunds.withdraw(...)`."""

from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from payments.domain.collection import Collection
from payments.store import keys
from payments.store.access_tokens import AccessTokens
from payments.store.cases import Cases, read_case
from payments.store.catalogue import Catalogues
from payments.store.dynamodb import UnreadableItem, wire
from payments.store.guesses import Guesses
from payments.store.guest_messages import Messages, read_guest_messages
from payments.store.items import Items
from payments.store.looks import Looks
from payments.store.orders import Orders, read_order
from payments.store.payments import Payments, read_payment
from payments.store.refunds import Refunds, read_refund
from payments.store.shippings import Shippings, read_shipping
from payments.store.stocks import Stocks
from payments.store.users import Users

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from payments.store.bills import Bills


class Store:
    """All entities of one table. A write that can lose a race answers `Written` or `Standing(item)`."""

    def __init__(
        self,
        client: "DynamoDBClient",
        name: str,
        clock: Callable[[], datetime],
        author: str = "",
        tell: Callable[[UnreadableItem], None] = lambda _: None,
    ) -> None:
        """`name`: the table's. `author`: the function that writes; an item keeps who learned that it was paid. `tell`
        hears of every item that a list left out because it cannot be read; what is asked for by its key raises
        UnreadableItem instead."""
        self._items = items = Items(client, name, author, clock, tell)
        self.orders = Orders(items)
        self.payments = Payments(items)
        self.refunds = Refunds(items)
        self.cases = Cases(items)
        self.shippings = Shippings(items)
        self.guest_messages = Messages(items)
        self.looks = Looks(items)
        self.guesses = Guesses(items)
        self.catalogue = Catalogues(items)
        self.stocks = Stocks(items)
        self.users = Users(items)
        self.access_tokens = AccessTokens(items)

    @cached_property
    def bills(self) -> "Bills":
        """Loaded where it is used: two functions use it, and the others need not start later for it."""
        from payments.store.bills import Bills

        return Bills(self._items)

    def collection(self, order_sn: str, *, consistent: bool) -> Collection | None:
        """The order with all that belongs to it, from one Query.

        Raises UnreadableItem when the order, a payment or a refund cannot be read: no decision about money is taken
        past one. Guest messages, a case or a shipping record that cannot be read count as none: whoever writes one
        meets the stored item itself.
        """
        items = self.items(order_sn, consistent=consistent)

        def of(entity: str) -> list[dict[str, Any]]:
            return [item for item in items if keys.entity(item["sk"]) == entity]

        found = next(iter(of(keys.ORDER)), None)
        if found is None:
            return None
        try:
            order = read_order(found)
            payments = [read_payment(item) for item in of(keys.PAYMENT)]
            refunds = [read_refund(item) for item in of(keys.REFUND)]
        except UnreadableItem as error:
            raise error.of(found) from None
        readable = self._items.readable
        return Collection(
            order,
            sorted(payments, key=lambda payment: payment.n),
            sorted(refunds, key=lambda refund: refund.created_at),
            {notice.event: notice for notice in readable(read_guest_messages, of(keys.GUEST_MESSAGES))},
            sorted(readable(read_case, of(keys.CASE)), key=lambda case: case.opened_at),
            {shipping.n: shipping for shipping in readable(read_shipping, of(keys.SHIPPING))},
        )

    def items(self, order_sn: str, *, consistent: bool = True) -> list[dict[str, Any]]:
        """An order's items as plain values with their keys, for those who show what is stored; empty if there is no
        such order."""
        return self._items.query(
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=wire({":pk": keys.order(order_sn)["pk"]}),
            ConsistentRead=consistent,
        )
