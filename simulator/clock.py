"""One clock for the whole simulator: real, plus what it has been advanced by."""

import asyncio
import time
from datetime import datetime, timedelta, timezone

BEIJING = timezone(timedelta(hours=8))


class Clock:
    """Seconds since 1970. May be advanced from any thread; whoever waits for a moment wakes when it has come."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def now(self) -> float:
        return time.time() + self._ahead_s

    def advance(self, seconds: float) -> None:
        self._ahead_s += seconds
        for loop, changed in list(self._waiting):
            loop.call_soon_threadsafe(changed.set)

    async def wait_until(self, moment: float) -> None:
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        self._waiting.add(waiter)
        try:
            while (left := moment - self.now()) > 0:
                try:
                    await asyncio.wait_for(waiter[1].wait(), left)
                except TimeoutError:
                    continue
                waiter[1].clear()
        finally:
            self._waiting.discard(waiter)


def beijing(moment: float) -> datetime:
    """The moment on a Beijing clock."""
    return datetime.fromtimestamp(moment, BEIJING)


def rfc3339(moment: float) -> str:
    """Beijing time to the second, as WeChat writes it."""
    return beijing(moment).isoformat(timespec="seconds")
