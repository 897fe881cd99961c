"""Time, and the janitor who comes when it has passed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import time_machine

from payments.domain.times import BEIJING, beijing_day, utc_now

if TYPE_CHECKING:
    from tests.shop.shop import Shop


BEGINS = datetime.combine(beijing_day(utc_now()), time(12), BEIJING).astimezone(UTC)
"""When every test of this session begins: what a snapshot holds is then as old as it was when it was made. It is noon
in Beijing: what takes some hours from there on is over on the same day, whenever the tests run."""


class Janitor:
    def __init__(self, shop: "Shop", traveller: time_machine.Traveller) -> None:
        self._shop = shop
        self._traveller = traveller

    def move_to(self, moment: datetime) -> None:
        """It is that moment. Scenes after it are played: a snapshot would bring its own time back."""
        self._shop.play_scenes()
        self.return_to(moment)

    def return_to(self, moment: datetime) -> None:
        """It is the moment at which a snapshot was made."""
        self._traveller.move_to(moment, tick=True)

    def stop_the_clock(self) -> None:
        """From now on no time passes by itself."""
        self._traveller.move_to(utc_now(), tick=False)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """No time passes in the block."""
        self.stop_the_clock()
        yield
        self._traveller.move_to(utc_now(), tick=True)

    def later(self, **by: float) -> None:
        """Time passes, for the functions, the table and WeChat."""
        self._traveller.shift(timedelta(**by))
        self._shop.wechat.world.clock.advance(0)

    def sweep(self) -> dict[str, int]:
        counts: dict[str, int] = self._shop.run("sweep", {})
        return counts

    def come_to_rest(self, within: timedelta = timedelta(hours=1)) -> None:
        """The janitor comes whenever something is due: lost events are published again, WeChat is asked."""
        until = utc_now() + within
        self._shop.events.settle()
        while (due := min(self.looks(), default=until)) < until:
            self.later(seconds=max((due - utc_now()).total_seconds(), 0) + 0.001)
            assert self.sweep()["failed"] == 0
            self._shop.events.settle()
            self._shop.wechat.refunds_end()
            self._shop.events.settle()

    def looks(self) -> list[datetime]:
        """When the janitor looks next at each item that is due some time."""
        return [datetime.fromisoformat(item["due_at"]["S"]) for item in self._shop.items.all() if "due_at" in item]
