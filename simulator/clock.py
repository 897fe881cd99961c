"""One clock for the whole simulator: real, plus what it has been advanced by.

Business lives in its time: payments, expiry, refunds, bills, repeats of notices. Signatures live in real time, because
whoever made or checks them has a clock that nobody advanced.
"""

import asyncio
import time
from datetime import datetime, timedelta, timezone

BEIJING = timezone(timedelta(hours=8))


class Clock:
    """Seconds since 1970. May be moved from any thread; whoever waits for a moment wakes when it has come."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._turned_back_s = 0.0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def now(self) -> float:
        return self.real() + self._ahead_s

    def real(self) -> float:
        """The moment by the clock that is never advanced: for signatures."""
        return time.time()

    def advance(self, seconds: float) -> None:
        self._ahead_s += seconds
        self._wake()

    def reset(self) -> float:
        """Real again. Who waits for a moment waits as long as was left until it. Gives the seconds it went back."""
        back, self._ahead_s = self._ahead_s, 0.0
        self._turned_back_s += back
        self._wake()
        return back

    async def wait_until(self, moment: float) -> None:
        waiter, turned_back_s = (asyncio.get_running_loop(), asyncio.Event()), self._turned_back_s
        self._waiting.add(waiter)
        try:
            while (left := moment - (self._turned_back_s - turned_back_s) - self.now()) > 0:
                try:
                    await asyncio.wait_for(waiter[1].wait(), left)
                except TimeoutError:
                    continue
                waiter[1].clear()
        finally:
            self._waiting.discard(waiter)

    def _wake(self) -> None:
        for loop, changed in list(self._waiting):
            loop.call_soon_threadsafe(changed.set)


def beijing(moment: float) -> datetime:
    """The moment on a Beijing clock."""
    return datetime.fromtimestamp(moment, BEIJING)


def rfc3339(moment: float) -> str:
    """Beijing time to the second, as WeChat writes it."""
    return beijing(moment).isoformat(timespec="seconds")
