"""Who works in the shop."""

from typing import TYPE_CHECKING, Any

from payments.domain.times import utc_now
from payments.edge.tokens import EVERY_BUSINESS, Identity, Role, issue
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

    def refund(
        self,
        order_sn: str,
        amount_fen: int | None = None,
        key: str = "refund-1",
        gives_up: dict[str, Any] | None = None,
    ) -> Answer:
        """Staff ask for a refund."""
        body: dict[str, Any] = {"reason": "客人改期"} | ({"amount_fen": amount_fen} if amount_fen else {})
        body |= {"gives_up": gives_up} if gives_up else {}
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

    def on_case(self, case: str, what: str, body: dict[str, Any]) -> Answer:
        """Staff `grant` or `decline` what a guest asks for."""
        route = "POST /merchant/cases/{case_id}/" + what
        return self._shop.call(route, body, token=self.token(), case=case)

    def statements(
        self, first: object, last: object, token_of: str = HOME.business_id, accept: str = "application/json"
    ) -> Answer:
        query = {"from": str(first), "to": str(last)}
        return self._shop.call(
            "GET /merchant/statements",
            token=self.token(token_of),
            headers={"accept": accept},
            rawQueryString="&".join(f"{name}={value}" for name, value in query.items()),
            queryStringParameters=query,
        )

    def days(self, first: object, last: object, token_of: str = EVERY_BUSINESS) -> Answer:
        query = {"from": str(first), "to": str(last)}
        raw = "&".join(f"{name}={value}" for name, value in query.items())
        token = self.token(token_of)
        return self._shop.call("GET /merchant/days", token=token, rawQueryString=raw, queryStringParameters=query)

    def day(self, day: object, token_of: str = EVERY_BUSINESS, **query: str) -> Answer:
        raw = "&".join(f"{name}={value}" for name, value in query.items())
        asked: dict[str, Any] = {"rawQueryString": raw, "queryStringParameters": query} if query else {}
        return self._shop.call("GET /merchant/days/{day}", token=self.token(token_of), day=str(day), **asked)

    def arrivals(self, day: str, token_of: str = HOME.business_id, **names: str) -> list[dict[str, Any]]:
        asked = {"date": day, **names}
        query = {"rawQueryString": "&".join(f"{name}={value}" for name, value in asked.items())}
        reply = self._shop.call(
            "GET /merchant/arrivals", token=self.token(token_of), queryStringParameters=asked, **query
        )
        assert reply.status == 200, reply
        return list(reply.json["arrivals"])

    def stock(self, service_type: str, offer_id: str, month: str) -> dict[str, Any]:
        reply = self._shop.call(
            "GET /merchant/stock/{service_type}/{offer_id}",
            token=self.token(),
            service_type=service_type,
            offer=offer_id,
            rawQueryString=f"month={month}",
            queryStringParameters={"month": month},
        )
        assert reply.status == 200, reply
        return dict(reply.json)

    def block(self, **body: Any) -> Answer:
        """Staff hold some of the example's home back."""
        route = "POST /merchant/stock/{service_type}/{offer_id}/blocks"
        return self._shop.call(route, body, token=self.token(), offer=HOME.homestay_id)

    def unblock(self, block_id: str) -> Answer:
        route = "DELETE /merchant/stock/{service_type}/{offer_id}/blocks/{block_id}"
        return self._shop.call(route, token=self.token(), offer=HOME.homestay_id, block=block_id)

    def set_stock(
        self, service_type: str, offer_id: str, body: dict[str, Any], business_id: str = HOME.business_id
    ) -> Answer:
        route = "PUT /merchant/stock/{service_type}/{offer_id}"
        token = self.token(business_id)
        return self._shop.call(route, body, token=token, service_type=service_type, offer=offer_id)

    def open_cases(self) -> list[dict[str, Any]]:
        """As staff of the business see them."""
        return list(self._shop.call("GET /merchant/cases", token=self.token()).json["cases"])

    def redeem(self, code: str, **body: str) -> Answer:
        return self._shop.call("POST /merchant/redemptions", {"code": code, **body}, token=self.token())
