"""Server-sent events, as a browser reads them."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx

Events = Iterator[tuple[str, dict[str, Any]]]


@contextlib.contextmanager
def listening(url: str) -> Iterator[Events]:
    """(event, data), one after the other, until the block ends or the server ends the stream."""
    with httpx.Client(trust_env=False, timeout=20) as client, client.stream("GET", url) as reply:
        assert reply.status_code == 200, reply.read()
        assert reply.headers["content-type"].startswith("text/event-stream")
        yield _events(reply.iter_lines())


def _events(lines: Iterator[str]) -> Events:
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def until(events: Events, **wanted: Any) -> list[dict[str, Any]]:
    """The newest of each step, by time, at the first `state` event that says what is wanted."""
    steps: dict[str, dict[str, Any]] = {}
    for name, data in events:
        if name == "step" and data.get("gone"):
            steps.pop(data["id"], None)
        elif name == "step":
            steps[data["id"]] = data
        elif name == "state" and all(data[key] == value for key, value in wanted.items()):
            return sorted(steps.values(), key=lambda step: str(step["at"]))
    raise AssertionError(f"the stream has ended before {wanted}")
