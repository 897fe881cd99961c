"""Events are derived from the table's images: a change of state *is* the event, so the two cannot differ (R9).

An event's id is `<pk>/<sk>@<version>`, the same on every delivery. It carries states and sums, neither code nor openid.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from payments.domain.order import Order
from payments.domain.payment import Payment
from payments.domain.refund import Refund
from payments.store.dynamodb import UnreadableItem
from payments.store.images import image_of, read_image

TYPES = {
    "ORDER": {
        "WAIT_USE": "order.paid",
        "USED": "order.used",
        "CANCELLED": "order.cancelled",
        "EXPIRED": "order.expired",
        "REFUNDED": "order.refunded",
    },
    "PAYMENT": {
        "SUCCESS": "payment.succeeded",
        "CLOSED": "payment.closed",
        "MISPAID": "payment.mispaid",
    },
    "REFUND": {
        "REQUESTED": "refund.requested",
        "PROCESSING": "refund.processing",
        "SUCCESS": "refund.succeeded",
        "ABNORMAL": "refund.abnormal",
        "CLOSED": "refund.closed",
        "REFUSED": "refund.refused",
        "WITHDRAWN": "refund.withdrawn",
    },
}
"""The event of entering each status."""

SILENT = {"ORDER": {"WAIT_PAY"}, "PAYMENT": {"NOTPAY"}, "REFUND": set[str]()}
"""The statuses that are entered without an event. Any other is one that this version does not know."""


class State(BaseModel):
    """What an event says of its item. Sums in fen."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: str
    n: int | None = None
    total_fen: int | None = None
    success_time: datetime | None = None
    paid_by: int | None = None
    out_refund_no: str | None = None
    amount_fen: int | None = None


class Event(BaseModel):
    """One message on the topic and its queues. Fields that a consumer does not know are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    type: str
    time: datetime
    order_sn: str
    state: State


class UnreadableEvent(Exception):
    """A message that is no event of ours: it belongs into the dead-letter queue. The text holds none of it."""


def parse(body: str) -> Event:
    """The event of a queue's message (raw delivery: its body is our JSON). Raises UnreadableEvent."""
    try:
        return Event.model_validate_json(body)
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, item["loc"])) for item in error.errors()}))
        raise UnreadableEvent(f"not an event: {fields or 'JSON'}") from None


def again(item: Order | Payment | Refund, time: datetime) -> Event | None:
    """The event of the status that an item has now, with the id that it had at the first time (R10)."""
    return derive(None, image_of(item), time)


def derive(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, time: datetime) -> Event | None:
    """The event of a change from one image to the next (plain values), or None when no status was entered.

    Raises UnreadableItem for an image that no event can ever be made of: an attribute is missing or of another type,
    or the status is one that this version does not know. Items that have no events are not looked at.
    """
    image = read_image(new or {})
    if new is None or image is None or (old or {}).get("status") == image.status:
        return None
    event_type = TYPES[image.entity].get(image.status)
    if event_type is None and image.status not in SILENT[image.entity]:
        raise UnreadableItem(new, "status", "is none that this version knows")
    if not image.beside_its_order:
        raise UnreadableItem(new, "order_sn", "is another than its key's")
    if event_type is None:
        return None
    state = {name: value for name in State.model_fields if (value := getattr(image, name)) is not None}
    return Event(id=image.event_id, type=event_type, time=time, order_sn=image.order_sn, state=State(**state))
