"""What was sent to guests: one item for each event of an order, with all its messages."""

from collections.abc import Mapping
from typing import Any

from boto3.dynamodb.conditions import Attr

from payments.domain.guest_messages import GuestMessages
from payments.store import keys
from payments.store.dynamodb import plain, typed
from payments.store.items import NEW, Items, Put, Standing, Written


class Messages:
    def __init__(self, items: Items) -> None:
        self._items = items

    def save(self, messages: GuestMessages) -> Written | Standing[GuestMessages | None]:
        """Writes the messages of one event over their version less one. Standing: as another attempt has written them
        meanwhile; None if they are not there."""
        when = Attr("version").eq(messages.version - 1) if messages.version > 1 else NEW
        item = {**keys.guest_messages(messages.order_sn, messages.event), **plain(messages)}
        mine = {"attempt": messages.attempt, "version": messages.version}
        return self._items.write(Put(item, when), read_guest_messages, mine)


def read_guest_messages(item: Mapping[str, Any]) -> GuestMessages:
    return typed(GuestMessages, item)
