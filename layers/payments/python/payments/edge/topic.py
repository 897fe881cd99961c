"""The topic that every event goes out on: from the stream as it happens, from the janitor when it got lost."""

from typing import TYPE_CHECKING

from payments.edge.events import Event
from payments.edge.observability import count, logger

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient


class Topic:
    """The SNS topic of this ARN."""

    def __init__(self, client: "SNSClient", arn: str) -> None:
        self._client = client
        self._arn = arn

    def publish(self, event: Event) -> None:
        """Publishes an event with its type as an attribute, which the queues' filters read.

        Raises botocore's errors.
        """
        self._client.publish(
            TopicArn=self._arn,
            Message=event.model_dump_json(exclude_none=True),
            MessageAttributes={"type": {"DataType": "String", "StringValue": event.type}},
        )
        logger.info("event.published", event_id=event.id, type=event.type)
        count("EventPublished")
