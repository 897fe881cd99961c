"""One logger and one metrics namespace for all functions.

A log line is an event's name plus fields, one per change of state. Never in it, at no level: a key, a token, an openid,
a body. So what libraries say is not logged at all, for their lines hold addresses with secrets in them and whole
bodies; and of an exception that is not ours only its type is written down, and where it came from.
"""

import logging
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError

from payments.calls import invocation
from payments.store.dynamodb import UnreadableItem
from payments.store.items import Written

logger = Logger()
NAMESPACE = "WxPay"
_metrics = Metrics(namespace=NAMESPACE)

LIBRARIES = (
    *("boto3", "botocore", "s3transfer", "urllib3", "requests"),
    *("wechatpayv3", "aws_lambda_powertools", "charset_normalizer"),
)
"""Loggers of what the functions stand on, each with all below it."""


class _Silence:
    """Keeps libraries from logging, whatever level is set for them and whoever sets up logging anew.

    What is loaded later inherits the level of its library, until the next invocation finds it.
    """

    def __init__(self) -> None:
        self._known = 0
        self._loggers: list[logging.Logger] = []

    def keep(self) -> None:
        there = logging.root.manager.loggerDict
        if len(there) != self._known:
            self._loggers = [logging.getLogger(name) for name in list(there) if name.partition(".")[0] in LIBRARIES]
            self._known = len(there)
        for library in self._loggers:
            library.disabled = True


for _library in LIBRARIES:
    logging.getLogger(_library).setLevel(logging.CRITICAL + 1)
_silence = _Silence()
_silence.keep()

P = TypeVar("P")
Handler = Callable[[dict[str, Any], LambdaContext], Any]


def count(name: str) -> None:
    """One more of a business fact."""
    _metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)


def gauge(name: str, value: int) -> None:
    """How many there are now."""
    _metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def oversold(service_type: str, offer_id: str, held: Mapping[str, int]) -> None:
    """More is held of an offer than there is, because its owner has made it less: a log line that says of what, and one
    more of the metric that rings (R15). Counted under service `any`, as `unreadable`."""
    logger.error("stock.oversold", service_type=service_type, offer_id=offer_id, held=dict(held))
    with single_metric("Oversold", unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as metric:
        metric.add_dimension("service", "any")


def freed(written: Written, order_sn: str) -> None:
    """Says so where an order has ended that held what the stock did not know; its case is in the table (R15)."""
    if written.not_in_stock:
        logger.error("stock.unknown", order_sn=order_sn)
        count("StockUnknown")


def unreadable(error: UnreadableItem) -> None:
    """An item cannot be read: a log line that says which and why, and one more of the metric that rings.

    Counted under service `any`: whichever function meets it, it is one alarm (UnreadableItemAlarm).
    """
    logger.error("item.unreadable", pk=error.pk, sk=error.sk, attribute=error.attribute, why=error.why)
    with single_metric("UnreadableItem", unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as metric:
        metric.add_dimension("service", "any")


def instrumented(handle: Callable[[dict[str, Any], P], Any], parts: Callable[[], P]) -> Handler:
    """The Lambda handler of `handle`: its log lines carry the request's id, its calls end within the invocation's time,
    its metrics are written at its end. `parts` gives what `handle` works with."""

    def run(event: dict[str, Any], context: LambdaContext) -> Any:
        _silence.keep()
        try:
            with invocation(context):
                return handle(event, parts())
        finally:
            if _metrics.metric_set:  # Powertools warns of an empty set, which is the usual case here
                _metrics.flush_metrics()

    # log_event is said here, or else a variable of the function could switch it on: events hold tokens and bodies.
    wrapped: Handler = logger.inject_lambda_context(run, clear_state=True, log_event=False)
    return wrapped


def described(error: BaseException) -> str:
    """What a log line may hold of an error: its own text where we wrote that, else its type (of AWS's: their code)."""
    if isinstance(error, ClientError):
        return f"{type(error).__name__} {error.response.get('Error', {}).get('Code', '')}".strip()
    ours = type(error).__module__.partition(".")[0] in ("payments", "functions", "app")
    # Python itself raises kinds of these two, with what they are about in the text.
    if ours or type(error) in (LookupError, RuntimeError):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__


def came_from(error: BaseException) -> list[str]:
    """Where an error was raised: file:line function, from the handler inwards."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
