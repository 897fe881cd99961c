"""The stream, the topic and the queues: what a change of state sets going."""

import importlib
import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from local.topology import Topology, read, whole
from payments.edge.events import Event
from tests.shop.aws import client

if TYPE_CHECKING:
    from tests.shop.shop import Shop


def module(function: str) -> Any:
    """The module of a function by its folder's name."""
    return importlib.import_module(f"functions.{function}.app")


@cache
def topology(shipping_record: str) -> Topology:
    """What template.yaml deploys with this ShippingRecord."""
    return read(parameters={"ShippingRecord": shipping_record})


def sqs_record(number: int, body: str) -> dict[str, Any]:
    with open("events/order_update/payment_succeeded.json") as file:
        record: dict[str, Any] = json.load(file)["Records"][0]
    return record | {"messageId": f"m{number}", "body": body}


class Events:
    def __init__(self, shop: "Shop") -> None:
        self._shop = shop
        self.lost_for: set[str] = set()
        """Consumers that hear of nothing: what is published gets lost on its way to them."""
        self._published: list[dict[str, Any]] = []
        self._seen: dict[str, dict[str, Any]] = {}

    def publish(self, event: Event) -> None:
        """The topic, in the place of SNS: a subscription here hears every event."""
        self._published.append(json.loads(event.model_dump_json(exclude_none=True)))

    def records(self) -> list[dict[str, Any]]:
        """What the stream holds since the last call, filtered as the mapping does."""
        changed = []
        for item in self._shop.items.all():
            key = f"{item['pk']['S']}/{item['sk']['S']}"
            old = self._seen.get(key)
            self._seen[key] = item
            if old != item and item.get("status", {}).get("S") not in (None, *whole().silent):
                stream: dict[str, Any] = {"NewImage": item, "ApproximateCreationDateTime": 1764000000}
                changed.append({"eventName": "MODIFY", "dynamodb": stream | ({"OldImage": old} if old else {})})
        return changed

    def again(self) -> None:
        """The stream's batch has failed: all of it comes again."""
        self._seen.clear()

    def published(self) -> list[dict[str, Any]]:
        """Lets publish_events read the stream, and gives what reached the topic since the last call, as messages."""
        if records := self.records():
            self._shop.run("publish_events", {"Records": records})
        messages, self._published = self._published, []
        return messages

    def deliver(self, function: str, *events: Any) -> list[str]:
        """Hands messages to a consumer; gives the ids of those that failed."""
        batch = {"Records": [sqs_record(n, e if isinstance(e, str) else json.dumps(e)) for n, e in enumerate(events)]}
        reply = self._shop.run(function, batch)
        return [failure["itemIdentifier"] for failure in reply["batchItemFailures"]]

    def deliver_all(self) -> list[str]:
        """Lets every event run its course, as the subscriptions' filters send it; gives the messages that failed."""
        failed: list[str] = []
        deployed = topology(self._shop.settings.get("SHIPPING_RECORD", "off"))
        while events := self.published():
            for event in events:
                for consumer in set(deployed.consumers_of(event["type"])) - self.lost_for:
                    failed += self.deliver(consumer, event)
        return failed

    def settle(self) -> None:
        """Every event runs its course, and none fails."""
        assert self.deliver_all() == []

    def lose(self) -> None:
        """What the stream holds now never reaches anyone."""
        self.records()

    def dead_letters(self) -> list[dict[str, Any]]:
        """The dead letters of publish_events, taken out of their queue."""
        sqs, url = client("sqs"), self._shop.settings["STREAM_DLQ_URL"]
        letters = []
        while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            letters += [json.loads(message["Body"]) for message in batch]
            for message in batch:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return letters

    def known(self) -> dict[str, dict[str, Any]]:
        """What the stream has told until now, by item: for a snapshot."""
        return dict(self._seen)

    def know(self, items: Mapping[str, dict[str, Any]]) -> None:
        """What a snapshot's stream had told."""
        self._seen.update(items)
