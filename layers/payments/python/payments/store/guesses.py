"""How many redeem codes someone has guessed at: a counter per guesser, which empties with time."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from boto3.dynamodb.conditions import Attr

from payments.domain.times import millis, of_millis
from payments.store import keys
from payments.store.items import NEW, Add, Items, Put, Standing, Written


class Guesses:
    def __init__(self, items: Items) -> None:
        self._items = items

    def take(self, who: str, now: datetime, pause: timedelta, burst: int) -> Written | Standing[datetime]:
        """Counts one more guess of `who`: `burst` of them at once, then one in each `pause`. Standing: he may not guess
        now; the instant from which he may.

        `free_at` (milliseconds since 1970) is when all of them are his again; each guess takes it a pause further.
        """
        key, at, step = keys.guesses(who), millis(now), _step(pause)
        ttl = int(now.timestamp()) + burst * int(pause.total_seconds() + 1)
        latest = at + (burst - 1) * step

        def read(item: Mapping[str, Any]) -> datetime:
            return of_millis(int(item.get("free_at", at)) - (burst - 1) * step)

        first = Put({**key, "free_at": at + step, "ttl": ttl}, NEW | Attr("free_at").lt(at))
        if self._items.write(first, read):
            return Written()
        more = self._items.write(Add(key, "free_at", step, Attr("free_at").lte(latest), ttl), read)
        return more if more else Standing(lambda: more.item or read({}))

    def forgive(self, who: str, now: datetime, pause: timedelta) -> None:
        """Takes one guess of `who` back: the code was right."""
        ttl = int(now.timestamp()) + int(pause.total_seconds() + 1)
        fewer = Add(keys.guesses(who), "free_at", -_step(pause), Attr("free_at").gt(millis(now)), ttl)
        self._items.write(fewer, lambda _: None)


def _step(pause: timedelta) -> int:
    """In milliseconds."""
    return round(pause / timedelta(milliseconds=1))
