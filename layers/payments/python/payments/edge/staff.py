"""Who works in a shop, what they may see, and the answers that front_desk and back_office both give.

Staff see the orders of their own business, and nothing of others: 404. A token for `*` is the shop owner's: it sees
all, and the cases that belong to no order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel

from payments.domain.case import Case, path_of
from payments.domain.collection import Collection
from payments.domain.order import Order
from payments.domain.refund import Refund
from payments.edge.http import Problem, not_found
from payments.edge.tokens import EVERY_BUSINESS, Role
from payments.store.store import Store


@dataclass(frozen=True, slots=True)
class Staff:
    """A caller who is staff."""

    user_id: str
    business_id: str
    session: str

    @property
    def owner(self) -> bool:
        """Whether he sees all businesses."""
        return self.business_id == EVERY_BUSINESS

    def sees(self, order: Order | None) -> bool:
        return self.owner or (order is not None and order.business_id == self.business_id)

    def collection(self, store: Store, order_sn: str) -> Collection:
        """An order with all that belongs to it. Raises Problem (404) for one of another business."""
        collection = store.collection(order_sn, consistent=True)
        if collection is None or not self.sees(collection.order):
            raise not_found()
        return collection


def staff_of(caller: Mapping[str, str]) -> Staff:
    """The caller (`Api.caller`), who is staff. Raises Problem (403) for everybody else."""
    if caller.get("role") != Role.STAFF or not caller.get("business_id"):
        raise Problem(403, "staff-only", "This is for staff.", "Sign in with a staff token.")
    return Staff(caller["user_id"], caller["business_id"], caller.get("session", ""))


class StaffRefund(BaseModel):
    """A refund and how far it is: SUCCESS, ABNORMAL, CLOSED, REFUSED and WITHDRAWN are ends. `withdrawing_at`: staff
    take it back, which is done when WeChat twice does not know it; `due_at`: when the janitor looks at it next."""

    out_refund_no: str
    out_trade_no: str
    status: str
    amount_fen: int
    reason: str
    origin: str
    requested_by: str
    created_at: datetime
    withdrawing_at: datetime | None
    due_at: datetime | None


class StaffCase(BaseModel):
    """Money, or a notice of WeChat's, that a person has to look at. `case` names it in paths."""

    case: str
    kind: str
    out_trade_no: str
    amount_fen: int
    transaction_id: str
    detail: str
    opened_at: datetime
    resolution: str | None
    reference: str | None
    closed_by: str | None
    closed_at: datetime | None


def refund_out(refund: Refund) -> StaffRefund:
    return StaffRefund.model_validate(refund, from_attributes=True)


def case_out(case: Case) -> StaffCase:
    shown = {field: getattr(case, field) for field in StaffCase.model_fields if field != "case"}
    return StaffCase(case=path_of(case), **shown)


def on_hold(order: Order) -> Problem:
    """409: its case has to be closed first."""
    return Problem(
        409,
        "on-hold",
        "WeChat says that this order was refunded, and no refund is known here.",
        "Close its case first: /merchant/cases.",
        order_sn=order.order_sn,
        order_status=order.status,
    )
