"""A queue of events, as every consumer reads it: each message alone; one that fails comes again, at last to the dead
letters (R9, R12)."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from payments.edge.events import Event, parse
from payments.edge.observability import count, described, logger, unreadable
from payments.store.dynamodb import UnreadableItem


def consume(batch: dict[str, Any], handle: Callable[[Event], None]) -> PartialItemFailureResponse:
    """Hands each event to `handle`; a message that cannot be handled comes again, at last to the dead-letter queue."""

    def one(record: SQSRecord) -> None:
        try:
            handle(parse(record.body))
        except Exception as error:
            logger.warning("event.failed", message_id=record.message_id, why=described(error))
            count("EventFailed")
            if isinstance(error, UnreadableItem):
                unreadable(error)
            raise

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(batch, one, processor)
