"""Whatever bytes come in, the answer is 4xx, never 5xx, on every route of the template; and no fen goes missing."""

import contextlib
import json
import os
import secrets
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any

import pytest
import time_machine

from local import openapi
from payments.domain.order import OrderStatus
from payments.domain.times import beijing_day, utc_now
from payments.edge.tokens import EVERY_BUSINESS, Identity, Role, issue
from simulator.notification import Signed, signature_headers
from simulator.world import World
from tests.examples import HOME
from tests.fuzz import TEXTS, VALUES, Event, Maker, Route, change, routes, table_of
from tests.memory import Memory
from tests.shop import Shop
from tests.shop.aws import create_table, template
from tests.shop.http import http_event
from tests.shop.janitor import BEGINS

DESCRIPTION = openapi.document()
ROUTES = routes(template(), DESCRIPTION)
GUESTS, PAID = 8, 20
NO_NOTICES = [
    b"[" * 60_000,
    b"{}",
    b'{"id": "\\ud800"}',
    b'{"resource": NaN}',
    b"\xff",
    b'{"event_type": 1e999}',
    b'{"resource": {"algorithm": []}}',
]
NOT_VALID = {400, 401, 403, 405, 413, 415, 422}


@pytest.fixture
def shop(world: World, wechat_url: str, secrets: dict[str, dict[str, Any]], aws: None) -> Iterator[Shop]:
    """With the table in memory: it is the requests that are many here."""
    memory = Memory()
    create_table(memory)
    with time_machine.travel(BEGINS) as traveller:
        yield Shop(world, wechat_url, secrets, traveller, memory)


class Town:
    """Guests, staff and orders in every state, and requests about them."""

    def __init__(self, shop: Shop, random: Random) -> None:
        self.shop, self.random = shop, random
        self.guests = [shop.guest.login(f"guest-{n}") for n in range(GUESTS)]
        self.staff = [
            shop.staff.token(),
            shop.staff.token(user_id="staff-2"),
            shop.staff.token("b-elsewhere", "staff-3"),
            shop.staff.token(EVERY_BUSINESS, "owner"),
        ]
        self.strange = [
            issue(Identity("u-gone", Role.USER), shop.parts.token_keys.value(), utc_now()),
            issue(Identity("no-business", Role.STAFF), shop.parts.token_keys.value(), utc_now()),
        ]
        self._told = {token: self._identity(token) for token in (*self.guests, *self.staff, *self.strange)}
        self.orders: list[tuple[str, str]] = []  # (token of its guest, order_sn)
        self.codes: list[str] = []
        self.cases: list[str] = ["YQ"]
        self.refunds: list[tuple[str, str]] = [("HSO0", "none")]  # (order_sn, out_refund_no)
        self.after: list[str] = []
        self.notices: list[Signed] = []
        self.paid: list[str] = []
        self._caller, self._refund = self.guests[0], self.refunds[0]
        for n in range(PAID):
            self._paid(self.guests[n % GUESTS], n)
        for n, guest in enumerate(self.guests):
            order_sn = shop.guest.order(guest)
            self.orders.append((guest, order_sn))
            if n % 2:
                shop.guest.prepay(guest, order_sn)
        shop.events.settle()
        self._look()

    def _identity(self, token: str) -> Any:
        verdict = self.shop.run("authorizer", {"headers": {"authorization": f"Bearer {token}"}})
        assert verdict["isAuthorized"]
        return verdict["context"]

    def _paid(self, token: str, n: int) -> None:
        shop, order_sn = self.shop, self.shop.guest.order(token)
        self.orders.append((token, order_sn))
        assert shop.guest.cashier(shop.guest.prepay(token, order_sn)) == "requestPayment:ok"
        self.paid.append(f"{order_sn}_1")
        notice = shop.wechat.notice(self.paid[-1])
        self.notices.append(notice)
        if n % 4:  # the notices of the rest come during the test
            assert shop.wechat.notify(notice).status == 204
        if n % 4 == 2:
            shop.items.set_order(order_sn)
        if n % 4 == 3:
            odd = shop.wechat.notice(f"{order_sn}_1", plaintext={"out_trade_no": f"OTHER-{n}"})
            assert shop.wechat.notify(odd).status == 204

    def _look(self) -> None:
        for _, order_sn in self.orders:
            order = self.shop.items.collection(order_sn).order
            if order.redeem_code:
                self.codes.append(order.redeem_code)
        told = self.shop.call("GET /merchant/cases", token=self.staff[3]).json
        self.cases += [case["case"] for case in told["cases"]]

    def take(self, route: Route, reply: dict[str, Any]) -> None:
        """What an answer makes known."""
        if reply["statusCode"] == 201 and str(route) == "POST /orders":
            self.orders.append((self._caller, json.loads(reply["body"])["order_sn"]))
        if reply["statusCode"] == 201 and route.path.endswith("/refunds"):
            number = json.loads(reply["body"])["out_refund_no"]
            self.refunds.append((number[: number.index("_")], number))
        if reply["statusCode"] == 200 and str(route) == "GET /merchant/cases":
            self.after += [told for told in [json.loads(reply["body"])["next"]] if told]

    def identity(self, route: Route) -> Any:
        staff = route.path.startswith("/merchant")
        roll = self.random.random()
        if "/cases" in route.path and roll < 0.6:
            token = self.staff[3]  # cases of no order are the owner's alone
        elif roll < 0.85:
            token = self.random.choice(self.staff) if staff else self._caller
        else:
            token = self.random.choice([*self.guests, *self.staff, *self.strange])
        return self._told[token]

    def order_sn(self) -> str:
        self._caller, order_sn = self.random.choice(self.orders)
        return order_sn

    def refunded(self) -> str:
        """An order's number; of `refund`, if that is asked for next."""
        self._refund = self.random.choice(self.refunds)
        return self._refund[0]

    def refund(self) -> str:
        return self._refund[1]

    def code(self) -> str:
        wrong = "".join(self.random.choices("23456789ABCDEF", k=10))
        return self.random.choice(
            [*self.codes[:1], self.random.choice(self.codes), self.order_sn(), self.order_sn(), wrong]
        )

    def notice(self) -> Event:
        """A notice of WeChat's on the wire. Untrue are only those of trades that nobody here has asked for."""
        signed = self.random.choice(self.notices)
        if self.random.random() < 0.3:
            names = ["amount", "appid", "trade_state", "success_time", "transaction_id", "mchid", "x"]
            told = {name: self.random.choice(VALUES + TEXTS) for name in self.random.sample(names, 2)}
            number, event_type = self.random.choice(self.paid), self.random.choice(["", "X", "REFUND.SUCCESS"])
            with contextlib.suppress(UnicodeEncodeError):  # half a character cannot be signed
                told |= {"out_trade_no": f"OTHER-{secrets.token_hex(4)}"}
                signed = self.shop.wechat.notice(number, plaintext=told, event_type=event_type)
        if self.random.random() < 0.2:
            body = self.random.choice(NO_NOTICES)
            signed = Signed(signature_headers(self.shop.wechat.world, body), body)
        headers = {name.lower(): value for name, value in signed.headers.items()}
        return {"headers": headers, "body": signed.body.decode(errors="surrogateescape")}


def fuzz(shop: Shop, requests: int, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("FUZZ_SEED", "0")) or secrets.randbelow(10**9)
    random = Random(seed)
    town = Town(shop, random)
    today = beijing_day(utc_now())
    route = ROUTES[0]
    known = {
        "/login code": lambda: shop.wechat.world.login_code(f"guest-{random.randrange(GUESTS)}"),
        "order_sn": town.order_sn,
        "code": town.code,
        "case_id": lambda: random.choice(town.cases),
        "service_type": lambda: "homestay",
        "homestay_id": lambda: HOME.homestay_id,
        "start_date": lambda: (today + timedelta(days=random.randint(0, 9))).isoformat(),
        "end_date": lambda: (today + timedelta(days=random.randint(10, 20))).isoformat(),
        "people": lambda: random.randint(1, HOME.capacity),
        "day": lambda: (today - timedelta(days=random.randint(0, 9))).isoformat(),
        "from": lambda: (today + timedelta(days=random.randint(-9, 0))).isoformat(),
        "to": lambda: (today + timedelta(days=random.randint(0, 9))).isoformat(),
        "before": lambda: utc_now().isoformat(),
        "after": lambda: random.choice(town.after) if town.after else None,
        "idempotency-key": lambda: f"key-{random.randrange(200):08d}",
        "amount_fen": lambda: random.randint(1, 3),
        "out_refund_no": town.refund,
    }
    known |= {f"{one.path} order_sn": town.refunded for one in ROUTES if "{out_refund_no}" in one.path}
    base = http_event("GET", "/", None)
    maker = Maker(random, base, DESCRIPTION["components"]["schemas"], known, lambda: town.identity(route))
    statuses: dict[str, Counter[int]] = defaultdict(Counter)
    for n in range(requests):
        route = random.choice(ROUTES)
        town._caller = random.choice(town.guests)
        if route.function == "wx_callback":
            event = json.loads(json.dumps(maker.event(route, route.path, {}, {}, None) | town.notice()))
            if random.random() < 0.4:
                change(random, event)
            event = json.loads(json.dumps(event))
        else:
            event = maker.request(route)
        again = f"FUZZ_SEED={seed}, request {n}, {route}: {json.dumps(event)[:3000]}"
        try:
            reply = shop.run(route.function, event)
            json.dumps(reply, ensure_ascii=False).encode()  # as the runtime of Lambda does
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {again}") from error
        statuses[str(route)][reply["statusCode"]] += 1
        assert reply["statusCode"] < 500, f"{reply} to {again}"
        if reply["statusCode"] >= 400 and route.function != "wx_callback":
            assert json.loads(reply["body"])["type"].startswith("urn:wxpay:"), again
        town.take(route, reply)
    with capsys.disabled():
        sys.stdout.write("\n".join(["", f"FUZZ_SEED={seed}, {requests} requests", *table_of(statuses), ""]))
    assert set(statuses) == {str(route) for route in ROUTES}
    through = sum(
        times for counted in statuses.values() for status, times in counted.items() if status not in NOT_VALID
    )
    assert through >= requests / 2, f"only {through} of {requests} pass validation"
    for number in town.paid:
        assert shop.wechat.notify(shop.wechat.notice(number)).status == 204
    shop.events.settle()
    shop.wechat.refunds_end()
    shop.events.settle()
    statuses_now = {shop.items.collection(order_sn).order.status for _, order_sn in town.orders}
    assert {OrderStatus.WAIT_USE, OrderStatus.WAIT_PAY, OrderStatus.CANCELLED} <= statuses_now
    shop.check()


def test_five_thousand_requests(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz(shop, 5_000, capsys)


@pytest.mark.long
def test_a_hundred_thousand_requests(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz(shop, 100_000, capsys)
