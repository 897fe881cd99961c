"""A request as the HTTP API hands it to a function, and the function's answer."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass
class Context:
    """Lambda's context, as far as Powertools and the functions look at it."""

    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id: str = "11111111-2222-3333-4444-555555555555"

    remaining_ms: int = 30_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    json: Any
    text: str = ""


def http_event(method: str, path: str, body: str | None) -> dict[str, Any]:
    """An HTTP API event (2.0), from the shape that events/ holds."""
    with open("events/orders/create.json") as file:
        event: dict[str, Any] = json.load(file)
    del event["requestContext"]["authorizer"]
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    event["requestContext"]["http"]["method"] = method
    event["body"] = body
    event["headers"] = {"content-type": "application/json", "host": "pay.example.com"}
    return event


def answer(reply: dict[str, Any]) -> Answer:
    body = reply.get("body") or ""
    headers = {name.lower(): value for name, value in reply.get("headers", {}).items()}
    is_json = "json" in headers.get("content-type", "json")
    return Answer(reply["statusCode"], headers, json.loads(body) if body and is_json else None, body)
