"""One logger and one metrics namespace for all functions.

A log line is an event's name plus fields, one per change of state. Never in it: a key, a token, an openid, a body.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.dynamodb import UnreadableItem

logger = Logger()
NAMESPACE = "WxPay"
_metrics = Metrics(namespace=NAMESPACE)

# At INFO it tells in every cold start where it found credentials.
logging.getLogger("botocore").setLevel(logging.WARNING)

Handler = Callable[[dict[str, Any], LambdaContext], Any]


def count(name: str) -> None:
    """One more of a business fact."""
    _metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)


def gauge(name: str, value: int) -> None:
    """How many there are now."""
    _metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def unreadable(error: UnreadableItem) -> None:
    """An item cannot be read: a log line that says which and why, and one more of the metric that rings.

    Counted under service `any`: whichever function meets it, it is one alarm (UnreadableItemAlarm).
    """
    logger.error("item.unreadable", pk=error.pk, sk=error.sk, attribute=error.attribute, why=error.why)
    with single_metric("UnreadableItem", unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as metric:
        metric.add_dimension("service", "any")


def instrumented(handler: Handler) -> Handler:
    """A Lambda entry point whose log lines carry the request's id, and whose metrics are written at its end."""

    @functools.wraps(handler)
    def run(event: dict[str, Any], context: LambdaContext) -> Any:
        try:
            return handler(event, context)
        finally:
            if _metrics.metric_set:  # Powertools warns of an empty set, which is the usual case here
                _metrics.flush_metrics()

    wrapped: Handler = logger.inject_lambda_context(run, clear_state=True)
    return wrapped
