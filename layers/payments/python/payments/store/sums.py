"""An order's sums, as a write sets them."""

from payments.domain.order import Order
from payments.domain.refund import Sums
from payments.store.dynamodb import Removed


def drawn_sums(order: Order, drawn: Sums) -> dict[str, object]:
    """The order's sums as a write sets them; those that are seldom there go away when they are 0."""
    changes: dict[str, object] = {"refunded_fen": drawn.refunded, "refundable_fen": drawn.refundable}
    for name, was, now in (
        ("by_hand_fen", order.by_hand_fen, drawn.by_hand),
        ("stuck_fen", order.stuck_fen, drawn.stuck),
    ):
        if now or was:
            changes[name] = now or Removed()
    return changes
