"""Vouchers for a dinner: no catalogue, no dates; a code, which staff redeem."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from payments.domain.message import Kind
from payments.domain.offer import Priced, PurchaseRefused
from payments.products.product import Models, Product

PRICE_FEN = 10_000
CLOSED_IN = 8
"""August: the kitchen is closed, nothing is sold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouchers:
    """What was bought."""

    pieces: int
    price_fen: int

    @property
    def total_fen(self) -> int:
        return self.pieces * self.price_fen


class _Voucher(Product[Vouchers]):
    service_type = "voucher"
    letters = "VOU"
    purchase = Vouchers
    kinds = {"pieces": Kind.COUNT}  # noqa: RUF012

    def price(self, asked: Mapping[str, Any], offer: None, now: datetime) -> Priced:  # noqa: ARG002
        if now.month == CLOSED_IN:
            raise PurchaseRefused("service_type", "no vouchers are sold in August")
        vouchers = Vouchers(pieces=asked["pieces"], price_fen=PRICE_FEN)
        return Priced(purchase=vouchers, business_id="b-hangzhou", total_fen=vouchers.total_fen)

    def title(self, purchase: Vouchers) -> str:
        return f"晚餐券 {purchase.pieces}张"

    def values(self, purchase: Vouchers) -> Mapping[str, Any]:
        return {"pieces": purchase.pieces}

    def models(self) -> Models:
        from tests.voucher import request

        return Models(order=request.NewVouchers, guest=request.VouchersOut, staff=request.VouchersOut)


VOUCHER = _Voucher()
