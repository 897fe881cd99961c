"""How long a call may take: every call to AWS or WeChat ends while the function still has time to say so.

An invocation's time is what Lambda says at its beginning. A try of an AWS call begins only if it can end within that
time, and so does a repeat with the pause before it; WeChat is given what is left, less the time to store its answer.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

ANSWER_S = 0.3
"""What a function needs to answer once its last call has ended."""

CONNECT_S, READ_S = 1.0, 1.5
TRY_S = CONNECT_S + READ_S
"""The longest that one try of an AWS call takes."""

AWS_CALLS = Config(
    connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"mode": "standard", "total_max_attempts": 3}
)
SECRET_CONNECT_S = 0.5
SECRET_TRY_S = SECRET_CONNECT_S + READ_S
SECRET_CALLS = Config(
    connect_timeout=SECRET_CONNECT_S, read_timeout=READ_S, retries={"mode": "standard", "total_max_attempts": 1}
)
"""Secrets are asked for once: an older copy serves in the meantime, and the first read repeats by itself."""

LEAST_S = 0.5
"""Less than this is no time to ask WeChat anything."""


@dataclass(frozen=True, slots=True)
class _Invocation:
    request_id: str
    ends_at: float  # of time.monotonic()


_OUTSIDE = _Invocation("", float("inf"))
_running: ContextVar[_Invocation] = ContextVar("running", default=_OUTSIDE)


class OutOfTime(Exception):
    """The call was not made: it might not have ended before the function does."""


@contextmanager
def invocation(context: LambdaContext) -> Iterator[None]:
    """All calls of the block end within the time that Lambda gives this invocation."""
    ends_at = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - ANSWER_S
    token = _running.set(_Invocation(context.aws_request_id, ends_at))
    try:
        yield
    finally:
        _running.reset(token)


def request_id() -> str:
    """Lambda's name for this invocation; empty outside of one."""
    return _running.get().request_id


def seconds_left() -> float:
    """Until the function must answer; without end outside an invocation."""
    return _running.get().ends_at - time.monotonic()


def wechat_limits(connect_s: float, read_s: float) -> tuple[float, float]:
    """Connect and read timeout of one call to WeChat: these, or what is left once a write to the table is set aside.

    Raises OutOfTime.
    """
    left = seconds_left() - TRY_S
    if left < LEAST_S:
        raise OutOfTime("no time left to ask WeChat")
    connect = min(connect_s, left / 2)
    return connect, min(read_s, left - connect)


def bounded(client: Any) -> Any:
    """The AWS client, whose tries all end within the invocation that makes them."""
    config = client.meta.config
    try_s = config.connect_timeout + config.read_timeout

    def before_send(**_: Any) -> None:
        if seconds_left() < try_s:
            raise OutOfTime("no time left for a call to AWS")

    def before_repeat(attempts: int, **_: Any) -> bool | None:
        """False: it is not repeated. botocore pauses at most 1, 2, 4 ... seconds before a repeat."""
        return False if seconds_left() < 2 ** (attempts - 1) + try_s else None

    client.meta.events.register_first("before-send", before_send, unique_id="time-left-to-send")
    client.meta.events.register_first("needs-retry", before_repeat, unique_id="time-left-to-repeat")
    return client
