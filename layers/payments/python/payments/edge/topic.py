"""The topic that every event goes out on: from the stream as it happens, from the janitor when it got lost."""

from functools import cache
from typing import TYPE_CHECKING

from payments.edge.events import Event
from payments.edge.observability import count, logger
from payments.settings import aws, setting

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient


def publish(event: Event) -> None:
    """Publishes an event with its type as an attribute, which the queues' filters read. Raises botocore's errors."""
    topic().publish(
        TopicArn=setting("TOPIC_ARN"),
        Message=event.model_dump_json(exclude_none=True),
        MessageAttributes={"type": {"DataType": "String", "StringValue": event.type}},
    )
    logger.info("event.published", event_id=event.id, type=event.type)
    count("EventPublished")


@cache
def topic() -> "SNSClient":
    """The process's client."""
    client: SNSClient = aws("sns")
    return client
