"""The number of a WeChat trade, out_trade_no: of our form it is an order's number and which trade of it."""

import re
from dataclasses import dataclass

from payments.domain.order import ORDER_SN

FORM = re.compile(rf"({ORDER_SN.pattern})_([1-9][0-9]{{0,2}})")


@dataclass(frozen=True, slots=True)
class TradeNumber:
    """An out_trade_no of our form. It is parsed once, where it comes in; keys and items follow from it."""

    order_sn: str
    n: int

    def __str__(self) -> str:
        return f"{self.order_sn}_{self.n}"

    @classmethod
    def parse(cls, out_trade_no: str) -> "TradeNumber | None":
        """None for a number that is not of our form."""
        match = FORM.fullmatch(out_trade_no)
        return cls(match[1], int(match[2])) if match else None
