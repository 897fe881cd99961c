"""Who works in the shop."""

from typing import TYPE_CHECKING, Any

from payments.domain.times import utc_now
from payments.edge.tokens import Identity, Role, issue
from tests.examples import HOME
from tests.shop.http import Answer

if TYPE_CHECKING:
    from tests.shop.shop import Shop


class Staff:
    def __init__(self, shop: "Shop") -> None:
        self._shop = shop

    def token(self, business_id: str = HOME.business_id, user_id: str = "staff-1") -> str:
        """A token of a member of staff."""
        return issue(Identity(user_id, Role.STAFF, business_id), self._shop.parts.token_keys.value(), utc_now())

    def refund(self, order_sn: str, amount_fen: int | None = None, key: str = "refund-1") -> Answer:
        """Staff ask for a refund."""
        body = {"reason": "客人改期"} | ({"amount_fen": amount_fen} if amount_fen else {})
        route, headers = "POST /merchant/orders/{order_sn}/refunds", {"idempotency-key": key}
        return self._shop.call(route, body, token=self.token(), order_sn=order_sn, headers=headers)

    def stalled_refund(self, order_sn: str, amount_fen: int) -> str:
        """The number of a refund that WeChat does not take while the merchant's balance is empty."""
        self._shop.wechat.world.balance = 0
        number = str(self.refund(order_sn, amount_fen).json["out_refund_no"])
        self._shop.events.settle()
        return number

    def on_refund(self, order_sn: str, out_refund_no: str, what: str, business_id: str = HOME.business_id) -> Answer:
        """Staff `try` a refund again, or `withdraw` it."""
        route = "POST /merchant/orders/{order_sn}/refunds/{out_refund_no}/" + what
        return self._shop.call(route, token=self.token(business_id), order_sn=order_sn, refund=out_refund_no)

    def close_case(
        self, case: str, resolution: str, reference: str, business_id: str = HOME.business_id, user_id: str = "staff-1"
    ) -> Answer:
        body, token = {"resolution": resolution, "reference": reference}, self.token(business_id, user_id)
        return self._shop.call("POST /merchant/cases/{case_id}/close", body, token=token, case=case)

    def open_cases(self) -> list[dict[str, Any]]:
        """As staff of the business see them."""
        return list(self._shop.call("GET /merchant/cases", token=self.token()).json["cases"])

    def redeem(self, code: str, **body: str) -> Answer:
        return self._shop.call("POST /merchant/redemptions", {"code": code, **body}, token=self.token())
