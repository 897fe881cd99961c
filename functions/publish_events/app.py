"""publish_events: the table's stream becomes events on the topic (R9).

Records come in order per item. At the first event that cannot be published the function raises, so the whole batch
comes again, in order: what was published before is published twice with the same id, and consumers absorb that.
Failures are never reported one by one (batchItemFailures): where that is not understood, a record would be lost.

A record that can never be read, however often it comes, must not keep the others waiting for hours: it goes to the
dead letters at once, with what identifies it, and sets off an alarm (R12).
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.edge.events import Event, derive
from payments.edge.observability import instrumented, unreadable
from payments.edge.topic import publish
from payments.settings import aws, setting
from payments.store.dynamodb import UnreadableItem
from payments.store.images import read_change

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    """Takes a batch of stream records with old and new images. Raises what publishing or setting aside raises."""
    for record in event["Records"]:
        try:
            change = _change(record)
        except UnreadableItem as error:
            _set_aside(record, error)
        else:
            if change is not None:
                publish(change)


def _change(record: Mapping[str, Any]) -> Event | None:
    """The event of a record, if it has one. No call is made here: what fails once fails always. Raises
    UnreadableItem."""
    change = read_change(record)
    if change is None:
        return None  # it was removed
    try:
        return derive(change.old, change.new, change.time)
    except UnreadableItem:
        raise
    except Exception as error:
        raise UnreadableItem(change.new, "record", f"cannot be read: {type(error).__name__}") from error


def _set_aside(record: Mapping[str, Any], error: UnreadableItem) -> None:
    """A dead letter with what identifies the record: nothing of what the item holds."""
    unreadable(error)
    letter = {
        "type": "unreadable",
        "order_sn": error.order_sn,
        "pk": error.pk,
        "sk": error.sk,
        "version": error.version,
        "error": f"{error.attribute} {error.why}",
        "record": str(record.get("eventID", "")) if isinstance(record, Mapping) else "",
    }
    _sqs().send_message(QueueUrl=setting("STREAM_DLQ_URL"), MessageBody=json.dumps(letter))


@cache
def _sqs() -> "SQSClient":
    client: SQSClient = aws("sqs")
    return client
