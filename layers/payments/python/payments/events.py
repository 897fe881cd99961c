"""Events are derived from the table's images: a change of state *is* the event, so the two cannot differ (R9).

An event's id is `<pk>/<sk>@<version>`, the same on every delivery. It carries states and sums, neither code nor openid.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from payments.dynamodb import plain

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
"""The event of entering each status; a status that is not here is entered silently."""


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


def again(sk: str, item: object, time: datetime) -> Event | None:
    """The event of the status that an item has now, with the id that it had at the first time (R10)."""
    image = plain(item)
    return derive(None, image | {"pk": f"ORDER#{image['order_sn']}", "sk": sk, "version": image["entered"]}, time)


def derive(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, time: datetime) -> Event | None:
    """The event of a change from one image to the next (plain values), or None when no status was entered."""
    if new is None or "status" not in new or (old or {}).get("status") == new["status"]:
        return None
    entity = str(new["sk"]).partition("#")[0]
    event_type = TYPES.get(entity, {}).get(new["status"])
    if event_type is None:
        return None
    return Event(
        id=f"{new['pk']}/{new['sk']}@{new['version']}",
        type=event_type,
        time=time,
        order_sn=new["order_sn"],
        state=State.model_validate(new),
    )
