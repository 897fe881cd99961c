"""Nights in a homestay at the HTTP edge: what is asked for, and what guests and staff are told."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from payments.products.homestay.offer import MAX_PEOPLE, MAX_REMARK


def _is_day(text: str) -> str:
    date.fromisoformat(text)
    return text


# Pydantic's lax mode takes 0 and "1" as days, its strict mode refuses text: a day is text of one form here.
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_is_day)]
"""A calendar day: 2026-12-01."""


class NewStay(BaseModel):
    """Nights in a home, from start_date to end_date."""

    service_type: Literal["homestay"]
    homestay_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,40}$")]
    start_date: Day
    end_date: Day
    people: Annotated[int, Field(ge=1, le=MAX_PEOPLE)]
    need_food: bool
    remark: Annotated[str, Field(max_length=MAX_REMARK)] = ""


class HomestayOut(BaseModel):
    """A home that can be booked. Sums in fen: the home per night, food per person and night; `from_fen`: the cheapest
    night. GET .../availability says what each night costs, and which are free."""

    homestay_id: str
    title: str
    subtitle: str
    from_fen: int
    price_fen: int | None
    weekend_price_fen: int | None
    market_price_fen: int
    food_price_fen: int
    capacity: int
    rooms: int


class StaffStay(BaseModel):
    """A stay as staff see it."""

    title: str
    start_date: date
    end_date: date
    nights: int
    people: int
    need_food: bool
    remark: str


class StayOut(StaffStay):
    """A stay as its guest sees it. Sums in fen. All comes back until `free_until`."""

    homestay_id: str
    homestay_total_fen: int
    food_total_fen: int
    free_until: datetime | None = None
