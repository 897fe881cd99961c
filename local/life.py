"""The life of an order as it happens: watches its partition and says what changed, by which function, and when."""

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.shopper import Onlooker
from payments.dynamodb import unwire, wire

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LOOK_EVERY_S = 0.004


@dataclass(frozen=True, slots=True)
class Step:
    at_ms: float
    step: str
    function: str
    change: str


class Watcher(Onlooker):
    """Looks at the newest order of a table's partition in the background, from the start of the block to its end."""

    def __init__(self, client: "DynamoDBClient", table: str, started: float) -> None:
        self._client, self._table, self._started = client, table, started
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._order_sn = threading.Event()
        self._end = threading.Event()
        self._partition = ""
        self._items: dict[str, dict[str, Any]] = {}
        self.steps: list[Step] = []

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._order_sn.set()
        self._thread.join()

    def follow(self, order_sn: str) -> None:
        self._partition = f"ORDER#{order_sn}"
        self._order_sn.set()

    def note(self, step: str, function: str, change: str) -> None:
        self.steps.append(Step(self._now(), step, function, change))

    def _watch(self) -> None:
        self._order_sn.wait()
        while not self._end.is_set():
            self._look()
            self._end.wait(LOOK_EVERY_S)
        if self._partition:
            self._look()

    def _look(self) -> None:
        reply = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=wire({":pk": self._partition}),
            ConsistentRead=True,
        )
        for item in map(unwire, reply["Items"]):
            before = self._items.get(item["sk"], {})
            if item != before:
                self._items[item["sk"]] = item
                self.steps += [Step(self._now(), *told) for told in _told(before, item)]

    def _now(self) -> float:
        return round((time.monotonic() - self._started) * 1000, 1)


def _told(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(step, function, change) of one item's change."""
    name, status = new["sk"], new.get("status")
    if name == "ORDER":
        if not old:
            return [("order", "orders", f"ORDER {status}, {new['total_fen']} fen")]
        if status == "WAIT_USE" and old["status"] != status:
            return [("order paid", "order_update", f"ORDER {status}, paid_by {new['paid_by']}, redeem code")]
    elif name.startswith("PAYMENT#"):
        if not old:
            return [("prepay", "create_prepay", f"{name} {status}")]
        if status != old["status"]:
            by = "status_poll" if new.get("asked_at") else "wx_callback"
            return [("payment", by, f"{name} {status}")]
        if "prepay_id" in new and "prepay_id" not in old:
            return [("prepay", "create_prepay", f"{name} prepay_id stored")]
    elif name.startswith("SHIPPING#"):
        if status != old.get("status"):
            return [("shipping", "upload_shipping", f"{name} {status}")]
    elif name.startswith("NOTICE#"):
        before = old.get("messages", {})
        return [
            ("message", "notify_user", f"{name} {template} {message['state']}")
            for template, message in new["messages"].items()
            if message != before.get(template)
        ]
    return []
