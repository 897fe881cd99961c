"""The table's stream: images of items, before and after a change, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from payments.domain.collection import ItemRef
from payments.domain.order import Order
from payments.domain.payment import Payment
from payments.domain.refund import Refund
from payments.store import keys
from payments.store.dynamodb import UnreadableItem, plain, typed, unwire

WITH_EVENTS = {keys.ORDER, keys.PAYMENT, keys.REFUND}
"""The entities whose changes of status are events."""

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Image:
    """What an event needs of an item."""

    pk: str
    sk: str
    order_sn: str
    status: str
    version: int
    n: int | None = None
    total_fen: int | None = None
    success_time: datetime | None = None
    paid_by: int | None = None
    out_refund_no: str | None = None
    amount_fen: int | None = None

    @property
    def entity(self) -> str:
        """ORDER, PAYMENT or REFUND."""
        return keys.entity(self.sk)

    @property
    def event_id(self) -> str:
        """`<pk>/<sk>@<version>`: the same on every delivery (R9)."""
        return f"{self.pk}/{self.sk}@{self.version}"

    @property
    def beside_its_order(self) -> bool:
        """It lies in the partition of the order that it names."""
        return self.pk == keys.order(self.order_sn)["pk"]


@dataclass(frozen=True, slots=True)
class Change:
    """One record of the stream: an item's plain values before the change (None: it is new, or they cannot be read) and
    after, and when."""

    old: Values | None
    new: Values
    time: datetime


def read_change(record: Mapping[str, Any]) -> Change | None:
    """A record of the stream; None: the item was removed. Raises UnreadableItem."""
    key: dict[str, Any] = {}
    try:
        stream = record["dynamodb"]
        if "NewImage" not in stream:
            return None
        new = unwire(stream.get("Keys") or {}) | unwire(stream["NewImage"])
        key = {name: new[name] for name in ("pk", "sk")}
        return Change(_old(stream), new, datetime.fromtimestamp(stream["ApproximateCreationDateTime"], UTC))
    except Exception as error:
        raise UnreadableItem(key, "record", f"cannot be read: {type(error).__name__}") from error


def _old(stream: Mapping[str, Any]) -> Values | None:
    """The old image only tells a status that was entered before: where it cannot be read the event goes out once more
    than it must."""
    try:
        return unwire(stream["OldImage"])
    except Exception:  # noqa: BLE001
        return None


def read_image(values: Values) -> Image | None:
    """An order, a payment or a refund; None: another item, which has no events. Raises UnreadableItem."""
    sk = values.get("sk", "")
    return typed(Image, values) if isinstance(sk, str) and keys.entity(sk) in WITH_EVENTS else None


def image_of(item: Order | Payment | Refund) -> dict[str, Any]:
    """The image of when the item entered the status that it has now."""
    return {**plain(item), **keys.of(item.order_sn, ItemRef.of(item)), "version": item.entered}
