"""One guest who orders, pays and waits for his messages: through the public API and the WeChat app only."""

import itertools
import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Any

import httpx

from payments.domain.message import REFUND
from payments.domain.times import beijing_day, utc_now
from payments.products import PRODUCTS

PATIENCE_S = 30
TRIES = 8
LOOK_EVERY_S = 0.01


class ShopFailed(Exception):
    """The order did not get through; the text says at which step and what was answered."""


@dataclass(slots=True, kw_only=True)
class Purchase:
    """One order from login to messages; times in milliseconds since the start of each step."""

    service_type: str
    order_sn: str = ""
    out_trade_no: str = ""
    transaction_id: str = ""
    order_status: str = ""
    payment_status: str = ""
    redeem_code: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """All of it happened."""
        paid = self.payment_status == "SUCCESS" and bool(self.transaction_id)
        return paid and self.confirmed and len(self.messages) == self.messages_due

    @property
    def confirmed(self) -> bool:
        """It can be used: its code is there, if its product has one."""
        has_its_code = bool(self.redeem_code) or not PRODUCTS[self.service_type].redeemed
        return self.order_status == "WAIT_USE" and has_its_code

    @property
    def messages_due(self) -> int:
        """How many messages its guest gets once it is paid."""
        return sum(template != REFUND for template in PRODUCTS[self.service_type].messages())

    def report(self) -> dict[str, Any]:
        return asdict(self)


class Shopper:
    """A phone with WeChat on it."""

    def __init__(self, api_url: str, wechat_url: str, appid: str, user: str) -> None:
        self._api = httpx.Client(base_url=api_url, timeout=PATIENCE_S, trust_env=False)
        self._wechat = httpx.Client(base_url=wechat_url, timeout=PATIENCE_S, trust_env=False)
        self._appid = appid
        self.user, self.token = user, ""

    def __enter__(self) -> "Shopper":
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()
        self._wechat.close()

    def buy(self, offer: str = "", service_type: str = "homestay") -> Purchase:
        """One order, from login to its messages; `offer`: its id, else the product's first. Raises ShopFailed."""
        purchase, started = Purchase(service_type=service_type), time.monotonic()
        try:
            self.login()
            self._lap(purchase, "login", started)
            step = time.monotonic()
            purchase.order_sn = self.order(offer, service_type)["order_sn"]
            self._lap(purchase, "order", step)
            step = time.monotonic()
            fields = self.prepay(purchase.order_sn)
            purchase.out_trade_no = fields.pop("out_trade_no")
            self._lap(purchase, "prepay", step)
            step = time.monotonic()
            self.pay(fields)
            self._lap(purchase, "pay", step)
            self._await_the_end(purchase, time.monotonic())
        except httpx.HTTPError as error:
            raise ShopFailed(f"no answer: {type(error).__name__} {error}") from error
        self._lap(purchase, "total", started)
        return purchase

    def login(self) -> None:
        code = _ok("wx.login", self._wechat.post("/_sim/login", json={"user": self.user}))["code"]
        self.token = _ok("login", self._api.post("/login", json={"code": code}))["token"]
        self._api.headers["Authorization"] = f"Bearer {self.token}"

    def order(self, offer: str = "", service_type: str = "homestay") -> dict[str, Any]:
        """An order of what is free. Others may be quicker: then of what is free by then."""
        for tries_left in reversed(range(TRIES)):
            reply = self._api.post("/orders", json=self.body(offer, service_type))
            if reply.status_code != 409 or not tries_left:
                break
        told: dict[str, Any] = _ok("order", reply, 201)
        return told

    def body(self, offer: str = "", service_type: str = "homestay") -> dict[str, Any]:
        """The body of an order of what is free now; of what is not on sale the server says that itself."""
        body = order_body(offer, service_type)
        if service_type not in FREE:
            return body
        reply = self._ask_free(service_type, body)
        return body if reply.status_code == 404 else body | FREE[service_type](_ok("availability", reply))

    def _ask_free(self, service_type: str, body: dict[str, Any]) -> httpx.Response:
        """What is free of an offer from tomorrow on, in the next 90 days."""
        catalogue, today = PRODUCTS[service_type].catalogue, beijing_day(utc_now())
        path = f"/catalogue/{service_type}/{body[catalogue.named_by] if catalogue else ''}/availability"
        days = {"from": (today + timedelta(days=1)).isoformat(), "to": (today + timedelta(days=90)).isoformat()}
        return self._api.get(path, params=days)

    def prepay(self, order_sn: str) -> dict[str, str]:
        fields: dict[str, str] = _ok("prepay", self._api.post(f"/orders/{order_sn}/prepay", json={}))
        return fields

    def pay(self, fields: dict[str, str]) -> None:
        """wx.requestPayment, and a user who types the right password."""
        request = fields | {"appid": self._appid, "user": self.user}
        answer = _ok("cashier", self._wechat.post("/_sim/cashier/pay", json=request))["errMsg"]
        if answer != "requestPayment:ok":
            raise ShopFailed(f"cashier: {answer}")

    def poll(self, order_sn: str) -> dict[str, Any]:
        told: dict[str, Any] = _ok("poll", self._api.get(f"/orders/{order_sn}/payment"))
        return told

    def _await_the_end(self, purchase: Purchase, paid: float) -> None:
        """Polls as the server says, and looks for the messages, until all is there or patience ends."""
        poll_at = paid + 1.0
        while not purchase.complete and time.monotonic() < paid + PATIENCE_S:
            if len(purchase.messages) < purchase.messages_due:
                purchase.messages = self._messages(purchase)
                if len(purchase.messages) == purchase.messages_due:
                    self._lap(purchase, "messages", paid)
                    poll_at = time.monotonic()
            if time.monotonic() >= poll_at and not purchase.confirmed:
                told = self.poll(purchase.order_sn)
                purchase.order_status, purchase.payment_status = told["order_status"], told["payment_status"]
                purchase.redeem_code = told["redeem_code"] or ""
                poll_at = time.monotonic() + (told["poll_after_ms"] or 0) / 1000
                if purchase.confirmed:
                    self._lap(purchase, "confirmed", paid)
            if not purchase.transaction_id:
                trade = _ok("trade", self._wechat.get(f"/_sim/trades/{purchase.out_trade_no}"))
                purchase.transaction_id = trade.get("transaction_id", "")
            time.sleep(LOOK_EVERY_S)

    def _messages(self, purchase: Purchase) -> list[dict[str, Any]]:
        """Those of this order: one names it, the other follows to the same user."""
        sent = [m for m in _ok("messages", self._wechat.get("/_sim/messages")) if m["user"] == self.user]
        names = [n for n, m in enumerate(sent) if {"value": purchase.order_sn} in m["data"].values()]
        return sent[names[0] : names[0] + purchase.messages_due] if names else []

    def _lap(self, purchase: Purchase, step: str, since: float) -> None:
        purchase.timings_ms[step] = round((time.monotonic() - since) * 1000, 1)


def order_body(offer: str = "", service_type: str = "homestay") -> dict[str, Any]:
    """The body of an order of this product; `offer`: the id of what is bought, else the product's own. Raises
    ShopFailed."""
    if service_type not in BODIES:
        raise ShopFailed(f"order: nobody here orders {service_type!r}; there are {', '.join(BODIES)}")
    body = {"service_type": service_type, **BODIES[service_type]()}
    catalogue = PRODUCTS[service_type].catalogue
    return body | ({catalogue.named_by: offer} if catalogue is not None and offer else {})


def _stay() -> dict[str, Any]:
    """Two nights, a week from now in Beijing."""
    start = beijing_day(utc_now()) + timedelta(days=7)
    return {
        "homestay_id": "lake-house",
        "start_date": start.isoformat(),
        "end_date": (start + timedelta(days=2)).isoformat(),
        "people": 2,
        "need_food": True,
    }


def _free_nights(told: dict[str, Any]) -> dict[str, Any]:
    """Two nights that are free, one after the other, of the cheapest: so they cost the same whatever the day. Any of
    these, so that guests who come at once do not meet."""
    good = [
        (one["price_fen"] + after["price_fen"], one["date"])
        for one, after in itertools.pairwise(told["nights"])
        if min(one["free"], after["free"]) > 0 and None not in (one["price_fen"], after["price_fen"])
    ]
    if not good:
        raise ShopFailed("order: no two nights are free in the next 90 days")
    cheapest, _ = min(good)
    start = date.fromisoformat(random.choice([day for fen, day in good if fen == cheapest]))  # noqa: S311
    return {"start_date": start.isoformat(), "end_date": (start + timedelta(days=2)).isoformat()}


def _seat() -> dict[str, Any]:
    """One seat, a week from now in Beijing."""
    return {"course_id": "ink", "session": f"{beijing_day(utc_now()) + timedelta(days=7)}T19:00", "seats": 1}


def _free_session(told: dict[str, Any]) -> dict[str, Any]:
    good = [one["session"] for one in told["sessions"] if one["free"] > 0]
    if not good:
        raise ShopFailed("order: no seat is free in the next 90 days")
    return {"session": random.choice(good)}  # noqa: S311


BODIES: dict[str, Callable[[], dict[str, Any]]] = {"homestay": _stay, "course": _seat}
"""What the laptop's guest orders of each product."""

FREE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"homestay": _free_nights, "course": _free_session}
"""Of a product that runs out, what he takes of what is free."""


def _ok(step: str, reply: httpx.Response, status: int = 200) -> Any:
    try:
        body = reply.json()
    except ValueError:
        body = None
    if reply.status_code != status or body is None:
        raise ShopFailed(f"{step}: HTTP {reply.status_code} {_why(body) or reply.text[:300]}".rstrip())
    return body


def _why(body: Any) -> str:
    """What a problem says of itself, in a line."""
    if not isinstance(body, dict) or "title" not in body:
        return ""
    said = [str(body["title"]), str(body.get("detail") or "")]
    rest = {name: value for name, value in body.items() if name not in ("type", "title", "status", "detail")}
    return " ".join([*filter(None, said), *(json.dumps(rest, ensure_ascii=False),) * bool(rest)])
