"""Seats in a course at the HTTP edge: what is asked for, and what guests and staff are told."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from payments.products.course.offer import MAX_REMARK, MAX_SEATS_OF_AN_ORDER


class NewBooking(BaseModel):
    """Seats in a session, which is named by its beginning in Beijing: 2026-12-05T19:00."""

    service_type: Literal["course"]
    course_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,40}$")]
    session: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}$")]
    seats: Annotated[int, Field(ge=1, le=MAX_SEATS_OF_AN_ORDER)]
    remark: Annotated[str, Field(max_length=MAX_REMARK)] = ""


class SessionOut(BaseModel):
    """A session of a course. `price_fen`: of one seat."""

    session: str
    minutes: int
    seats: int
    price_fen: int


class CourseOut(BaseModel):
    """A course with its sessions; GET .../availability says which seats are free. `from_fen`: the cheapest seat."""

    course_id: str
    title: str
    subtitle: str
    place: str
    from_fen: int | None
    sessions: list[SessionOut]


class StaffBooking(BaseModel):
    """Seats as staff see them."""

    title: str
    place: str
    session: str
    minutes: int
    seats: int
    remark: str


class BookingOut(StaffBooking):
    """Seats as their guest sees them. `price_fen`: of one. All comes back until `free_until`."""

    course_id: str
    price_fen: int
    free_until: datetime
