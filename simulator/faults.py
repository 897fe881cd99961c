"""Trouble on demand: the next answers of one call go wrong."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from simulator.world import Fault, World

ANSWERS = ("500", "502html", "429", "timeout", "drop")
FAULTS = {
    **dict.fromkeys(("prepay", "query", "close", "code2session", "stable_token", "send"), ANSWERS),
    "callback": ("drop",),  # the notice never arrives
}
"""What can go wrong, by call."""
TIMEOUT_S = 30
"""Longer than any client waits."""


class BadFault(Exception):
    """No such trouble; the text lists what there is."""


def parse(body: Any) -> Fault:
    """The fault that a driver asks for. Raises BadFault."""
    if not isinstance(body, Mapping) or body.get("answer") not in FAULTS.get(str(body.get("call")), ()):
        raise BadFault("; ".join(f"call {call}: answer {', '.join(answers)}" for call, answers in FAULTS.items()))
    times, after_effect = body.get("times", 1), body.get("after_effect", False)
    unknown = set(body) - {"call", "answer", "times", "after_effect"}
    if unknown or not isinstance(times, int) or times < 1 or not isinstance(after_effect, bool):
        raise BadFault("besides call and answer: times (1 or more), after_effect (true or false)")
    return Fault(call=body["call"], answer=body["answer"], times=times, after_effect=after_effect)


def due(world: World, call: str, *, after_effect: bool = False) -> str | None:
    """The wrong answer that this call gets now, or None; it counts as fired."""
    for fault in world.faults:
        if fault.call == call and fault.after_effect is after_effect and fault.fired < fault.times:
            fault.fired += 1
            return fault.answer
    return None


async def trouble(world: World, call: str, *, after_effect: bool) -> Response | None:
    """The wrong answer that is due now, as a response."""
    answer = due(world, call, after_effect=after_effect)
    return await _wrong_answer(answer) if answer else None


async def _wrong_answer(answer: str) -> Response:
    match answer:
        case "500":
            return JSONResponse({"code": "SYSTEM_ERROR", "message": "系统异常，请稍后重试"}, 500)
        case "502html":
            return Response("<html><h1>502 Bad Gateway</h1></html>", 502, media_type="text/html")
        case "429":
            return JSONResponse({"code": "FREQUENCY_LIMITED", "message": "频率超限"}, 429)
        case "timeout":
            await asyncio.sleep(TIMEOUT_S)
            return Response(status_code=504)
        case _:
            return StreamingResponse(_cut_off(), headers={"Content-Length": "100"})


async def _cut_off() -> AsyncIterator[bytes]:
    """A body that ends long before its length: the server closes the connection on it."""
    yield b"{"
