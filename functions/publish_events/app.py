"""publish_events: the table's stream becomes events on the topic (R9).

Records come in order per item. At the first failure the function raises, so the whole batch comes again, in order: what
was published before is published twice with the same id, and consumers absorb that. Failures are never reported one by
one (batchItemFailures): where that is not understood, a record would be lost.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.dynamodb import unwire
from payments.events import Event, derive
from payments.observability import instrumented
from payments.topic import publish


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    """Takes a batch of stream records with old and new images."""
    for change in _events(event):
        publish(change)


def _events(batch: dict[str, Any]) -> Iterator[Event]:
    for record in batch["Records"]:
        stream = record["dynamodb"]
        old, new = (unwire(stream[name]) if name in stream else None for name in ("OldImage", "NewImage"))
        change = derive(old, new, datetime.fromtimestamp(stream["ApproximateCreationDateTime"], UTC))
        if change is not None:
            yield change
