"""A seat in a course: the catalogue's entry with its sessions, the seats that are bought, what comes back of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from payments.domain.message import Kind
from payments.domain.offer import (
    Catalogue,
    Priced,
    PurchaseRefused,
    Rule,
    a_list_of,
    a_switch,
    a_text,
    a_whole_number,
    an_id,
    check,
    or_nothing,
)
from payments.domain.stock import MOST_SEATS, Night, Seats, Session, has_gone, session_begins
from payments.domain.texts import Field, for_wechat
from payments.domain.times import beijing_day, end_of_day
from payments.products.product import Models, Product

MAX_ID = 24
MAX_TITLE = 32
MAX_SUBTITLE = 100
MAX_PLACE = 16
MAX_REMARK = 40
MAX_SESSIONS = 36
MAX_SEATS_OF_AN_ORDER = 20
MAX_DAYS_AHEAD = 365
MAX_MINUTES = 24 * 60
MAX_PRICE_FEN = 10**9


def a_session(value: object) -> str | None:
    """A session's beginning, in Beijing."""
    try:
        good = isinstance(value, str) and f"{datetime.fromisoformat(value):%Y-%m-%dT%H:%M}" == value
    except ValueError:
        good = False
    return None if good else "when it begins in Beijing, as in 2026-12-05T19:00"


SESSION_RULES: Mapping[str, Rule] = {
    "session": a_session,
    "minutes": a_whole_number(1, MAX_MINUTES, "whole minutes"),
    "seats": a_whole_number(0, MOST_SEATS, "a whole number of seats"),
    "price_fen": a_whole_number(1, MAX_PRICE_FEN, "whole fen"),
}
"""What each field of a session must be."""

RULES: Mapping[str, Rule] = {
    "course_id": an_id(MAX_ID),
    "business_id": an_id(24),
    "title": a_text(1, MAX_TITLE),
    "subtitle": a_text(0, MAX_SUBTITLE),
    "place": a_text(0, MAX_PLACE),
    "sessions": a_list_of(Session, SESSION_RULES, MAX_SESSIONS),
    "free_cancel_hours": or_nothing(a_whole_number(0, 60 * 24, "whole hours before it begins")),
    "on_sale": a_switch,
}
"""What each field of a course must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A course in the catalogue. A session is named by its beginning in Beijing, has so many seats, and a price of one
    in fen. Until `free_cancel_hours` before it begins a guest who cancels gets all back."""

    course_id: str
    business_id: str
    title: str
    subtitle: str
    place: str
    sessions: tuple[Session, ...]
    free_cancel_hours: int = 24
    on_sale: bool

    def __post_init__(self) -> None:
        check(RULES, self, str(self.course_id))

    @property
    def from_fen(self) -> int | None:
        """What its cheapest seat costs; None: it has no session."""
        return min((one.price_fen for one in self.sessions), default=None)

    def coming(self, now: datetime) -> list[Session]:
        """The sessions that have not begun, the next one first."""
        return sorted((one for one in self.sessions if not has_gone(one, now)), key=lambda one: one.session)


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """What was bought, as it was on the day it was ordered: later changes of the catalogue do not touch it. All comes
    back until `free_until`."""

    course_id: str
    title: str
    place: str
    session: str
    minutes: int
    seats: int
    price_fen: int
    free_until: datetime
    remark: str = ""

    @property
    def total_fen(self) -> int:
        return self.price_fen * self.seats

    @property
    def begins_at(self) -> datetime:
        return session_begins(self.session)

    @property
    def ends_at(self) -> datetime:
        return self.begins_at + timedelta(minutes=self.minutes)


def book(course: Course, *, session: str, seats: int, remark: str, now: datetime) -> Booking:
    """The seats that are asked for, priced from the catalogue, never by the client.

    Raises PurchaseRefused.
    """
    if not course.on_sale:
        raise PurchaseRefused("course_id", "this course is not on sale")
    found = next((one for one in course.sessions if one.session == session), None)
    if found is None or has_gone(found, now):
        what = "there is no such session" if found is None else "this session has begun"
        coming = ", ".join(one.session for one in course.coming(now)) or "none"
        raise PurchaseRefused("session", f"{what}; to come: {coming}")
    if session_begins(session) > now + timedelta(days=MAX_DAYS_AHEAD):
        raise PurchaseRefused("session", f"at most {MAX_DAYS_AHEAD} days ahead")
    if not 1 <= seats <= MAX_SEATS_OF_AN_ORDER:
        raise PurchaseRefused("seats", f"from 1 to {MAX_SEATS_OF_AN_ORDER} seats")
    if len(remark) > MAX_REMARK:
        raise PurchaseRefused("remark", f"at most {MAX_REMARK} characters")
    return Booking(
        course_id=course.course_id,
        title=course.title,
        place=course.place,
        session=session,
        minutes=found.minutes,
        seats=seats,
        price_fen=found.price_fen,
        free_until=session_begins(session) - timedelta(hours=course.free_cancel_hours),
        remark=remark,
    )


class _Course(Product[Booking]):
    """Seats in the sessions of a course."""

    service_type = "course"
    letters = "CSO"
    purchase = Booking
    catalogue = Catalogue(service_type="course", offer=Course, named_by="course_id", rules=RULES, stock="sessions")
    kinds = {  # noqa: RUF012
        "session": Kind.MOMENT,
        "until": Kind.MOMENT,
        "seats": Kind.COUNT,
        "place": Kind.TEXT,
    }

    def price(self, asked: Mapping[str, Any], offer: Course, now: datetime) -> Priced:
        booking = book(offer, session=asked["session"], seats=asked["seats"], remark=asked["remark"], now=now)
        of = next(one.seats for one in offer.sessions if one.session == booking.session)
        return Priced(
            purchase=booking,
            business_id=offer.business_id,
            total_fen=booking.total_fen,
            usable_until=end_of_day(beijing_day(booking.ends_at)),
            wanted=Seats(offer_id=offer.course_id, session=booking.session, seats=booking.seats, of=of),
        )

    def shown_now(self, offer: Course, now: datetime) -> Course:
        return replace(offer, sessions=tuple(offer.coming(now)))

    def for_sale(self, offer: Course, first: date, last: date) -> Sequence[Night | Session]:
        return [one for one in offer.sessions if first.isoformat() <= one.session[:10] <= last.isoformat()]

    def refund_rule(self, purchase: Booking, now: datetime) -> int:
        return purchase.total_fen if now < purchase.free_until else 0

    def title(self, purchase: Booking) -> str:
        return purchase.title

    def bill(self, purchase: Booking) -> str:
        return f"{for_wechat(Field.DESCRIPTION, purchase.title)} {purchase.seats}位"

    def values(self, purchase: Booking) -> Mapping[str, Any]:
        times = {"session": purchase.begins_at, "until": purchase.ends_at}
        return {**times, "seats": purchase.seats, "place": purchase.place}

    def models(self) -> Models:
        from payments.products.course import request

        return Models(
            order=request.NewBooking, guest=request.BookingOut, staff=request.StaffBooking, offer=request.CourseOut
        )


COURSE = _Course()
