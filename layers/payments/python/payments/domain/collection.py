"""An order with all that belongs to it, as one Query of its partition gives it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from payments.domain.case import REFUND_REQUEST, Case, answer, by_hand, missing
from payments.domain.guest_messages import GuestMessages
from payments.domain.order import Order, OrderStatus
from payments.domain.payment import Payment
from payments.domain.refund import Refund, Sums, sums, unpaid_rest
from payments.domain.shipping import Shipping


@dataclass(frozen=True, slots=True)
class ItemRef:
    """Names one item of an order that has a status of its own: its payment `n`, its refund `out_refund_no`, or, with
    neither, the order itself."""

    n: int | None = None
    out_refund_no: str | None = None

    @classmethod
    def of(cls, item: Order | Payment | Refund) -> "ItemRef":
        match item:
            case Payment():
                return cls(n=item.n)
            case Refund():
                return cls(out_refund_no=item.out_refund_no)
            case _:
                return cls()


@dataclass(frozen=True, slots=True)
class Collection:
    """One order's partition: all that happened to it. Payments by number, refunds by age, notices by event, shipping
    records by the number of their trade."""

    order: Order
    payments: Sequence[Payment]
    refunds: Sequence[Refund] = ()
    guest_messages: Mapping[str, GuestMessages] = field(default_factory=dict)
    cases: Sequence[Case] = ()
    shippings: Mapping[int, Shipping] = field(default_factory=dict)

    def payment(self, n: int | None) -> Payment | None:
        """Its n-th trade."""
        return next((payment for payment in self.payments if payment.n == n), None)

    def refund(self, out_refund_no: str | None) -> Refund | None:
        return next((refund for refund in self.refunds if refund.out_refund_no == out_refund_no), None)

    def item(self, ref: ItemRef) -> Order | Payment | Refund | None:
        """The item that is named so."""
        if ref.n is not None:
            return self.payment(ref.n)
        return self.order if ref.out_refund_no is None else self.refund(ref.out_refund_no)

    def sums(self) -> Sums:
        """The order's sums as its refunds and its cases have them now."""
        return sums(self.order, self.refunds, by_hand(self.cases))

    def unpaid_rest(self, payment: Payment) -> int:
        """What of a trade that pays no order is neither back, nor on its way, nor given back by hand (R6), in fen."""
        return unpaid_rest(payment, self.refunds, by_hand(self.cases))

    def missing_cases(self, now: datetime) -> list[Case]:
        """The cases that its refunds call for and that are not there."""
        return missing(self.payments, self.refunds, self.cases, now)

    def answers(self) -> list[tuple[Case, str]]:
        """The open cases that have answered themselves, with what did."""
        handed = by_hand(self.cases)
        over = "given up" if self.order.given_up else "refunded" if self.order.status is OrderStatus.REFUNDED else None
        answered = (
            (case, over if case.kind == REFUND_REQUEST else answer(case, self.refunds, handed))
            for case in self.cases
            if case.open
        )
        return [(case, why) for case, why in answered if why]

    def requests(self) -> list[Case]:
        """What its guest has asked staff for, the first wish first."""
        return [case for case in self.cases if case.kind == REFUND_REQUEST]
