"""Instants and days: UTC everywhere inside, Beijing time where WeChat or a guest reads it."""

from datetime import UTC, date, datetime, time, timedelta, timezone

BEIJING = timezone(timedelta(hours=8), "UTC+08:00")


def utc_now() -> datetime:
    """This instant, to the millisecond: what the table keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def iso(instant: datetime) -> str:
    """`2026-11-23T04:00:00.123Z`: one width for all, so that text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def millis(instant: datetime) -> int:
    """Milliseconds since 1970: an instant in a third of the bytes."""
    return round(instant.timestamp() * 1000)


def of_millis(milliseconds: int) -> datetime:
    """The instant of `millis`."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def end_of_day(day: date) -> datetime:
    """Midnight in Beijing after that day."""
    return datetime.combine(day + timedelta(days=1), time(), BEIJING).astimezone(UTC)


BEGINNING = datetime(2013, 1, 1, tzinfo=UTC)
"""There was no WeChat Pay before."""

AHEAD = timedelta(days=1)
"""No clock of WeChat's is so far ahead of ours."""


def plausible(instant: datetime | None, now: datetime) -> datetime:
    """The instant that WeChat names for what has happened; `now`, where it names none, or one that cannot be (R4)."""
    return instant if instant is not None and BEGINNING <= instant <= now + AHEAD else now


def wechat_time(value: object) -> datetime | None:
    """The instant that WeChat's text names, in UTC; a time without offset is Beijing time. None for what is no time: a
    time is never a reason not to record money (R4)."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
        return (instant if instant.tzinfo else instant.replace(tzinfo=BEIJING)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def beijing_day(instant: datetime) -> date:
    """The calendar day in Beijing: the day of a stay, of an order number, of a bill."""
    return instant.astimezone(BEIJING).date()
