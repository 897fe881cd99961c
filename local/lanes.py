"""How many requests one function answers at once: the emulator would start a process for each, of some 75 MB.

The others wait their turn, and who has waited too long is told to come again, as a gateway tells whose function has no
concurrency left.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping

AT_ONCE = 4
"""A cold start takes half a second of a core: this many begin together within WeChat's five seconds on two cores."""

NOTICE, NOTICE_WAIT_S = "/wxpay/notify", 4.0
"""WeChat takes a notice for lost after five seconds: an answer in time brings it back."""

WAIT_S = 25.0
"""A gateway waits no longer than 30 seconds."""

RETRY_AFTER_S = 2


class Busy(Exception):
    """All that this function may do at once is being done, and has been for the whole time that a request waits."""


class Lanes:
    """`routes`: the function behind each route key, `POST /orders/{order_sn}/cancel`."""

    def __init__(self, routes: Mapping[str, str], at_once: int = AT_ONCE, wait_s: float = WAIT_S) -> None:
        keys = (key.split(" ", 1) for key in routes)
        self._patterns = [(verb, _pattern(path), routes[f"{verb} {path}"]) for verb, path in keys]
        self._free = {function: asyncio.Semaphore(at_once) for function in {*routes.values(), ""}}
        self._wait_s = wait_s

    def function(self, method: str, path: str) -> str:
        """Who answers this request; empty for the gateway itself. A fixed path goes before one with parameters."""
        found = [
            (pattern, name) for verb, pattern, name in self._patterns if verb == method and pattern.fullmatch(path)
        ]
        return min(found, key=lambda one: one[0].groups)[1] if found else ""

    @contextlib.asynccontextmanager
    async def turn(self, method: str, path: str) -> AsyncIterator[None]:
        """Waits until the function has room. Raises Busy."""
        free = self._free[self.function(method, path)]
        try:
            wait_s = min(self._wait_s, NOTICE_WAIT_S) if path == NOTICE else self._wait_s
            await asyncio.wait_for(free.acquire(), wait_s)
        except TimeoutError:
            raise Busy from None
        try:
            yield
        finally:
            free.release()


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^}]+\})", path)
    return re.compile("".join("([^/]+)" if part.startswith("{") else re.escape(part) for part in parts))
