"""A guest's phone."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from payments.domain.times import beijing_day, utc_now
from tests.examples import COURSE_OFFER, HOME
from tests.shop.http import Answer

if TYPE_CHECKING:
    from tests.shop.shop import Shop


def new_order(**changes: Any) -> dict[str, Any]:
    """The body of POST /orders."""
    today = beijing_day(utc_now())
    order = {
        "service_type": "homestay",
        "homestay_id": HOME.homestay_id,
        "start_date": (today + timedelta(days=7)).isoformat(),
        "end_date": (today + timedelta(days=9)).isoformat(),
        "people": 2,
        "need_food": True,
    }
    return order | changes


def new_booking(**changes: Any) -> dict[str, Any]:
    """The body of POST /orders for a seat in a course."""
    booking = {"service_type": "course", "course_id": "ink", "session": COURSE_OFFER.sessions[0].session, "seats": 1}
    return {name: value for name, value in (booking | changes).items() if value is not None}


class Guest:
    def __init__(self, shop: "Shop") -> None:
        self._shop = shop

    def login(self, user: str = "guest-1") -> str:
        reply = self._shop.call("POST /login", {"code": self._shop.wechat.world.login_code(user)})
        assert reply.status == 200, reply
        return str(reply.json["token"])

    def order(self, token: str, **changes: Any) -> str:
        reply = self._shop.call("POST /orders", new_order(**changes), token=token)
        assert reply.status == 201, reply
        return str(reply.json["order_sn"])

    def place(self, token: str, body: dict[str, Any]) -> str:
        """The number of an order with this body."""
        reply = self._shop.call("POST /orders", body, token=token)
        assert reply.status == 201, reply
        return str(reply.json["order_sn"])

    def ask_availability(self, token: str, service_type: str, offer_id: str, first: str, last: str) -> Answer:
        return self._shop.call(
            "GET /catalogue/{service_type}/{offer_id}/availability",
            token=token,
            service_type=service_type,
            offer=offer_id,
            rawQueryString=f"from={first}&to={last}",
            queryStringParameters={"from": first, "to": last},
        )

    def availability(self, token: str, service_type: str, offer_id: str, first: str, last: str) -> dict[str, Any]:
        reply = self.ask_availability(token, service_type, offer_id, first, last)
        assert reply.status == 200, reply
        return dict(reply.json)

    def prepay(self, token: str, order_sn: str, **body: Any) -> dict[str, str]:
        reply = self._shop.call("POST /orders/{order_sn}/prepay", body, token=token, order_sn=order_sn)
        assert reply.status == 200, reply
        return dict(reply.json)

    def poll(self, token: str, order_sn: str) -> dict[str, Any]:
        reply = self._shop.call("GET /orders/{order_sn}/payment", token=token, order_sn=order_sn)
        assert reply.status == 200, reply
        return dict(reply.json)

    def cancel(self, token: str, order_sn: str) -> dict[str, Any]:
        reply = self._shop.call("POST /orders/{order_sn}/cancel", token=token, order_sn=order_sn)
        assert reply.status == 200, reply
        return dict(reply.json)

    def cashier(self, fields: dict[str, str]) -> str:
        """The cashier of the WeChat app. The notice that it sends goes nowhere: tests bring it themselves."""
        appid = self._shop.wechat.world.credentials.appid
        return str(self._shop.wechat.driver("cashier/pay", **fields, appid=appid)["errMsg"])

    def pays(self) -> tuple[str, str]:
        """(token, order_sn) of an order that WeChat has the money of, and nobody here knows it yet: login, order,
        prepay, cashier."""
        token = self.login()
        order_sn = self.order(token)
        assert self.cashier(self.prepay(token, order_sn)) == "requestPayment:ok"
        return token, order_sn

    def paid_order(self) -> tuple[str, str]:
        """What `pays` leaves behind; the first of a test is restored from a snapshot."""
        token, order_sn = self._shop.restored("paid at WeChat", lambda shop: shop.guest.pays())
        return token, order_sn

    def settled_order(self) -> tuple[str, str]:
        """(token, order_sn) of an order that is paid, and everybody knows it: it has its code, its messages are sent;
        the first of a test is restored from a snapshot."""

        def paid_and_told(shop: "Shop") -> tuple[str, str]:
            token, order_sn = shop.guest.pays()
            assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
            shop.events.settle()
            return token, order_sn

        token, order_sn = self._shop.restored("settled", paid_and_told)
        return token, order_sn

    def late_order(self) -> tuple[str, str]:
        """(token, order_sn) of an order that was cancelled and then paid, and nobody here knows of the money yet."""
        token = self.login()
        order_sn = self.order(token)
        fields = self.prepay(token, order_sn)
        assert self.cancel(token, order_sn)["status"] == "CANCELLED"
        self._shop.wechat.fault("cashier", "after_close", times=1)
        assert self.cashier(fields) == "requestPayment:ok"
        return token, order_sn
