"""The table's items, as tests look at them and as others may have left them."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeSerializer

from payments.domain.collection import Collection
from payments.domain.order import OrderStatus
from payments.domain.payment import PaymentStatus
from payments.domain.refund import RefundStatus
from payments.store.dynamodb import plain, unwire
from tests.shop.aws import TABLE, all_items, client

if TYPE_CHECKING:
    from tests.shop.shop import Shop

to_wire = TypeSerializer().serialize


class TableItems:
    def __init__(self, shop: "Shop") -> None:
        self._shop = shop
        self.spoilt: set[str] = set()
        """Orders that a test has written into by hand: what they hold is not what it was."""

    def _spoil(self, pk: object) -> None:
        if isinstance(pk, str) and pk.startswith("ORDER#"):
            self.spoilt.add(pk.removeprefix("ORDER#"))

    @property
    def client(self) -> Any:
        return client("dynamodb") if self._shop.dynamodb is None else self._shop.dynamodb

    def all(self) -> list[dict[str, Any]]:
        """In DynamoDB's wire form."""
        return all_items() if self._shop.dynamodb is None else list(self._shop.dynamodb.scan()["Items"])

    def collection(self, order_sn: str) -> Collection:
        found = self._shop.store.collection(order_sn, consistent=True)
        assert found is not None
        return found

    def status(self, order_sn: str) -> OrderStatus:
        return self.collection(order_sn).order.status

    def payments(self, order_sn: str) -> list[PaymentStatus]:
        """The states of its trades, the first one first."""
        return [payment.status for payment in self.collection(order_sn).payments]

    def refunds(self, order_sn: str) -> dict[str, RefundStatus]:
        """The states of its refunds by out_refund_no."""
        return {refund.out_refund_no: refund.status for refund in self.collection(order_sn).refunds}

    def sort_keys(self, prefix: str) -> list[str]:
        return sorted(item["sk"]["S"] for item in self.all() if item["sk"]["S"].startswith(prefix))

    def cases(self) -> list[dict[str, Any]]:
        return [unwire(item) for item in self.all() if item["sk"]["S"].startswith("CASE#")]

    def set_order(self, order_sn: str, **attributes: Any) -> None:
        """The order as some other function left it."""
        self._put(order_sn, "ORDER", replace(self.collection(order_sn).order, **attributes))

    def set_payment(self, order_sn: str, **attributes: Any) -> None:
        """Its last payment as some other function left it."""
        payment = replace(self.collection(order_sn).payments[-1], **attributes)
        self._put(order_sn, f"PAYMENT#{payment.n}", payment)

    def _put(self, order_sn: str, sk: str, value: object) -> None:
        self.put_raw(pk=f"ORDER#{order_sn}", sk=sk, **plain(value))

    def put_raw(self, **values: Any) -> None:
        """An item that a person, another version or a bug has put: whatever it holds."""
        self._spoil(values.get("pk"))
        self.client.put_item(TableName=TABLE, Item={name: to_wire(value) for name, value in values.items()})

    def change_raw(self, pk: str, sk: str, **values: Any) -> None:
        """Other values in an item that is there; None takes the attribute away."""
        self._spoil(pk)
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        item = self.client.get_item(TableName=TABLE, Key=key, ConsistentRead=True)["Item"]
        item |= {name: to_wire(value) for name, value in values.items()}
        kept = {name: value for name, value in item.items() if values.get(name, name) is not None}
        self.client.put_item(TableName=TABLE, Item=kept)

    def restore(self, items: list[dict[str, Any]]) -> None:
        """Puts a snapshot's items, in DynamoDB's wire form."""
        for start in range(0, len(items), 25):
            batch = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
            self.client.batch_write_item(RequestItems={TABLE: batch})
