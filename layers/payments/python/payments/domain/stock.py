"""What an order holds of an offer, and what is free of it (R15). Pure.

There are two kinds of stock. Nights: an offer has so many equal rooms, numbered from 1, and each night of each room is
held by one order or block, or by none. Seats: a session of an offer has so many seats, and so many of them are held. A
session is named by its beginning in Beijing time, as in `2026-12-05T19:00`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from payments.domain.times import BEIJING, beijing_day

NIGHT_BEGINS = time(18)
"""In Beijing, on the night's own day: from then on a night has begun, and cannot be given up any more."""

SOLD_AHEAD = timedelta(days=460)
"""No night or seat is sold later than that."""

MOST_ROOMS, MOST_SEATS = 50, 1000
"""How many equal rooms an offer may have, and how many seats a session."""

MOST_NIGHTS = 90
"""How many nights one order or block may hold."""

MOST_RUNS = 4
"""Runs of nights in one room that one order may hold: it stays within 1 KB."""


# --- what is for sale


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """A night as an offer has it: how many rooms there are, and the price of one in fen; None: it is not sold."""

    day: date
    rooms: int
    price_fen: int | None

    @property
    def name(self) -> str:
        return self.day.isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session as an offer has it. `price_fen`: of one seat."""

    session: str
    minutes: int
    seats: int
    price_fen: int

    @property
    def name(self) -> str:
        return self.session


@dataclass(frozen=True, slots=True, kw_only=True)
class Nights:
    """What is asked for: one room in each of these nights, of an offer with so many `rooms`."""

    offer_id: str
    days: Sequence[date]
    rooms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seats:
    """What is asked for: so many `seats` of a session that has `of`."""

    offer_id: str
    session: str
    seats: int
    of: int


# --- what is held


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """What one order or block holds of an offer. `nights`: runs of nights in one room, `2026-12-30+3#1` for three from
    that day on in room 1; `seats`: by session how many, as in `{"2026-12-05T19:00": 2}`."""

    offer_id: str
    nights: tuple[str, ...] | None = None
    seats: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        if not (self.rooms() or self.seats):
            raise ValueError("it holds nothing")
        for session, number in (self.seats or {}).items():
            if len(session) != len("2026-12-05T19:00") or session_begins(session).tzinfo is None or number < 1:
                raise ValueError(f"no seats of a session: {session}")

    @classmethod
    def of_nights(cls, offer_id: str, rooms: Mapping[date, int]) -> "Holds":
        """Of the room in which each night is held."""
        return cls(offer_id=offer_id, nights=_runs(rooms))

    def rooms(self) -> dict[date, int]:
        """By night the room in which it is held."""
        return {day: room for run in self.nights or () for day, room in _of_run(run)}

    @property
    def session(self) -> tuple[str, int] | tuple[None, int]:
        """The session of it and how many of its seats; (None, 0): it holds nights."""
        return next(iter((self.seats or {}).items()), (None, 0))

    @property
    def begins_at(self) -> datetime:
        """When the use of the first of it begins (UTC)."""
        return min([*map(night_begins, self.rooms()), *map(session_begins, self.seats or ())])

    @property
    def arrival(self) -> str:
        """The first day of its use, or the session: what a list of arrivals is sorted by."""
        return self._names[0]

    @property
    def _names(self) -> list[str]:
        return sorted([*(day.isoformat() for day in self.rooms()), *(self.seats or ())])

    @property
    def last(self) -> str:
        """The last night of it, or the last session."""
        return self._names[-1]

    def unbegun(self, now: datetime) -> "Holds | None":
        """What of it has not begun: it may be given up (R7). None: nothing."""
        return self.part(
            [day for day in self.rooms() if night_begins(day) > now],
            {session: seats for session, seats in (self.seats or {}).items() if session_begins(session) > now},
        )

    def part(self, days: Iterable[date], seats: Mapping[str, int]) -> "Holds | None":
        """These nights of it and so many seats, as far as it holds them; None: it holds none of that."""
        rooms, wanted = self.rooms(), set(days)
        nights = _runs({day: room for day, room in rooms.items() if day in wanted})
        held = {one: min(number, seats.get(one, 0)) for one, number in (self.seats or {}).items()}
        return _unless_empty(self.offer_id, nights, {one: number for one, number in held.items() if number})

    def without(self, freed: "Holds") -> "Holds | None":
        """What is left of it when these are free; None: nothing."""
        gone, rooms = freed.rooms(), self.rooms()
        left = {day: room for day, room in rooms.items() if gone.get(day) != room}
        seats = {one: number - (freed.seats or {}).get(one, 0) for one, number in (self.seats or {}).items()}
        nights = _runs(left)
        return _unless_empty(self.offer_id, nights, {one: number for one, number in seats.items() if number > 0})

    def told(self) -> str:
        """In words: which nights (`2026-12-30+3`, three from that day on), how many seats of which session."""
        seats = [f"{number} of {session}" for session, number in (self.seats or {}).items()]
        return ", ".join([*(run.partition("#")[0] for run in self.nights or ()), *seats])


@dataclass(frozen=True, slots=True)
class Stock:
    """What is held of one offer, as the table has it: by night and room who holds it, by session how many seats."""

    nights: Mapping[date, Mapping[int, str]] = field(default_factory=dict)
    seats: Mapping[str, int] = field(default_factory=dict)

    def held(self, one: Night | Session) -> int:
        """How many rooms of a night, or seats of a session, are held."""
        return len(self.nights.get(one.day, ())) if isinstance(one, Night) else self.seats.get(one.session, 0)

    def free(self, one: Night | Session) -> int:
        """How many nobody holds; below 0 where more is held than there is."""
        return (one.rooms if isinstance(one, Night) else one.seats) - self.held(one)


@dataclass(frozen=True, slots=True)
class SoldOut:
    """It cannot be held. `free`: what is free of what was asked for, by night or session. `in_pieces`: each night is
    free, but in so many rooms by turns that one order cannot hold them."""

    free: Mapping[str, int]
    in_pieces: bool = False


def plan(wanted: Nights | Seats, stock: Stock, most_runs: int = MOST_RUNS) -> Holds | SoldOut:
    """What has to be held of what is asked for, in as few rooms as can be, and in no more than so many runs."""
    if isinstance(wanted, Seats):
        free = wanted.of - stock.seats.get(wanted.session, 0)
        if wanted.seats > free:
            return SoldOut({wanted.session: max(free, 0)})
        return Holds(offer_id=wanted.offer_id, seats={wanted.session: wanted.seats})
    rooms = {day: _rooms(stock.nights.get(day, {}), wanted.rooms) for day in wanted.days}
    chosen = _as_few_as_can_be(rooms) if all(rooms.values()) else None
    holds = Holds.of_nights(wanted.offer_id, chosen) if chosen else None
    if holds is None or len(holds.nights or ()) > most_runs:
        free_rooms = {day.isoformat(): len(of) for day, of in rooms.items()}
        return SoldOut(free_rooms, in_pieces=holds is not None)
    return holds


def span(wanted: Nights | Seats) -> tuple[date, date]:
    """The first and the last day of it."""
    if isinstance(wanted, Nights):
        return min(wanted.days), max(wanted.days)
    day = date.fromisoformat(wanted.session[:10])
    return day, day


def seats_there(wanted: Nights | Seats | None) -> int:
    """How many seats the session has that is asked for; 0: none is."""
    return wanted.of if isinstance(wanted, Seats) else 0


def over(for_sale: Iterable[Night | Session], stock: Stock, since: date) -> dict[str, int]:
    """By night or session how much is held, where that is more than there is, from a day on. A session that the offer
    has no more has no seats."""
    for_sale = list(for_sale)
    known = {one.name for one in for_sale}
    gone = (session_gone(name) for name in stock.seats if name not in known and name >= since.isoformat())
    return {one.name: stock.held(one) for one in (*for_sale, *gone) if stock.free(one) < 0}


def session_gone(name: str) -> Session:
    """A session that its offer has no more: without seats."""
    return Session(session=name, minutes=0, seats=0, price_fen=0)


def night_begins(day: date) -> datetime:
    return datetime.combine(day, NIGHT_BEGINS, BEIJING)


def session_begins(session: str) -> datetime:
    return datetime.fromisoformat(session).replace(tzinfo=BEIJING)


def days_between(first: date, end: date) -> list[date]:
    """From the first day to the one before the end."""
    return [first + timedelta(days=n) for n in range((end - first).days)]


def has_gone(one: Night | Session, now: datetime) -> bool:
    """It is not sold any more: the day of the night is over, the session has begun."""
    return one.day < beijing_day(now) if isinstance(one, Night) else session_begins(one.session) <= now


def _rooms(held: Mapping[int, str], rooms: int) -> list[int]:
    """The rooms in which a night may be held: of those that are free the lowest, so many as are left. More are free
    while a room is held that the offer has no more: that night counts in the place of another."""
    free = [room for room in range(1, rooms + 1) if room not in held]
    return free[: max(rooms - len(held), 0)]


def _as_few_as_can_be(rooms: Mapping[date, Sequence[int]]) -> dict[date, int]:
    """For each night a room: always the one that is free for the longest time from there on, so that a guest's nights
    lie in as few rooms as can be."""
    chosen: dict[date, int] = {}
    days = sorted(rooms)
    while len(chosen) < len(days):
        left = days[len(chosen) :]
        runs = {room: _run(left, room, rooms) for room in rooms[left[0]]}
        room = max(runs, key=lambda one: (runs[one], -one))
        chosen |= dict.fromkeys(left[: runs[room]], room)
    return chosen


def _run(days: Sequence[date], room: int, rooms: Mapping[date, Sequence[int]]) -> int:
    """For how many of these days the room is free, from the first one on."""
    return next((n for n, day in enumerate(days) if room not in rooms[day]), len(days))


def _unless_empty(offer_id: str, nights: tuple[str, ...], seats: Mapping[str, int]) -> Holds | None:
    return Holds(offer_id=offer_id, nights=nights or None, seats=seats or None) if nights or seats else None


def _runs(rooms: Mapping[date, int]) -> tuple[str, ...]:
    """Nights, each with its room, as runs."""
    runs: list[tuple[date, int, int]] = []
    for day, room in sorted(rooms.items()):
        first, number, same = runs[-1] if runs else (day, 0, -1)
        if room == same and day == first + timedelta(days=number):
            runs[-1] = (first, number + 1, room)
        else:
            runs.append((day, 1, room))
    return tuple(f"{day}+{number}#{room}" for day, number, room in runs)


def _of_run(run: str) -> Iterator[tuple[date, int]]:
    """(night, room) of each night of a run. Raises ValueError."""
    first, _, rest = run.partition("+")
    number, _, room = rest.partition("#")
    if not 1 <= int(number) <= SOLD_AHEAD.days or not first.startswith("2"):
        raise ValueError(f"no run of nights: {run}")
    for n in range(int(number)):
        yield date.fromisoformat(first) + timedelta(days=n), int(room)
