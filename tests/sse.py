"""Server-sent events, as a browser reads them."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

WITHIN_S = 20


@contextlib.contextmanager
def listening(url: str) -> Iterator["Events"]:
    """What the stream says, until the block or the stream ends."""
    with httpx.Client(trust_env=False, timeout=20) as client, client.stream("GET", url) as reply:
        assert reply.status_code == 200, reply.read()
        assert reply.headers["content-type"].startswith("text/event-stream")
        yield Events(reply.iter_lines())


class Events:
    """(event, data), one after the other; keeps the newest of each step, as the page does."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._steps: dict[str, dict[str, Any]] = {}

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return self

    def __next__(self) -> tuple[str, dict[str, Any]]:
        name = ""
        end = time.monotonic() + WITHIN_S
        for line in self._lines:
            assert time.monotonic() < end, f"no event within {WITHIN_S} s"
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data = json.loads(value)
                if name == "step":
                    self._steps[data["id"]] = data
                return name, data
        raise StopIteration

    @property
    def steps(self) -> list[dict[str, Any]]:
        """By time."""
        there = (step for step in self._steps.values() if "gone" not in step)
        return sorted(there, key=lambda step: float(step["ms"]))

    def until(self, look: Callable[[], bool] = lambda: True, **wanted: Any) -> list[dict[str, Any]]:
        """The steps at the first `state` event that says what is wanted, when `look` is true too."""
        end = time.monotonic() + WITHIN_S
        for name, data in self:
            assert time.monotonic() < end, f"not {wanted} within {WITHIN_S} s: {data}"
            if name == "state" and all(data[key] == value for key, value in wanted.items()) and look():
                return self.steps
        raise AssertionError(f"the stream has ended before {wanted}")
