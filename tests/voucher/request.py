"""Vouchers at the HTTP edge: what is asked for, and what guests and staff are told."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class NewVouchers(BaseModel):
    """Vouchers, one price for each."""

    service_type: Literal["voucher"]
    pieces: Annotated[int, Field(ge=1, le=10)]


class VouchersOut(BaseModel):
    """Vouchers that were bought. Sums in fen."""

    pieces: int
    price_fen: int
