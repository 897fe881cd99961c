"""The messages that a guest gets for one event: which to send next, and what is known of those before. Pure.

WeChat's send has no idempotency: what may have been sent is never sent again, what is known not to be sent may be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

LEASE = timedelta(seconds=60)
"""After this an attempt that was `sending` is dead: longer than the function's timeout."""


ORDER_PAID = "order.paid"


def messages_of_refund(out_refund_no: str) -> str:
    """The name of the notice of one refund: an order may have several."""
    return f"refund.succeeded#{out_refund_no}"


class Delivery(StrEnum):
    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"  # the guest does not want it, or has no subscription left (43101)
    FAILED = "failed"  # WeChat will never take it as it is
    UNKNOWN = "unknown"  # perhaps sent: never sent again
    WAITING = "waiting"  # known not to be sent: may be tried again

    @property
    def final(self) -> bool:
        return self not in {Delivery.SENDING, Delivery.WAITING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    state: Delivery
    why: str = ""
    at: int | None = None  # when it got there, in milliseconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestMessages:
    """The messages of one event of an order, by template name; written whole under its version."""

    order_sn: str
    event: str
    version: int
    attempt: str  # which invocation wrote it last
    at: datetime
    messages: Mapping[str, Message] = field(default_factory=dict)


class StillSending(Exception):
    """Another attempt holds the lease: come again later."""


def claim_next(
    notice: GuestMessages, templates: Sequence[str], *, attempt: str, now: datetime
) -> tuple[Mapping[str, Message], str | None]:
    """The messages as they must stand before the next one is sent, and that one's template; None: nothing to send.

    Raises StillSending while another attempt's lease runs.
    """
    messages = dict(notice.messages)
    for name, message in notice.messages.items():
        if message.state is Delivery.SENDING and notice.attempt != attempt:
            if now - notice.at < LEASE:
                raise StillSending(f"{notice.order_sn}: {notice.event} is being sent by another attempt")
            messages[name] = Message(state=Delivery.UNKNOWN, why="the attempt that sent it ended")
    for template in templates:
        if template not in messages or not messages[template].state.final:
            messages[template] = Message(state=Delivery.SENDING)
            return messages, template
    return messages, None
