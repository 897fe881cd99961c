"""The live trace behind the front door: one poller for all who watch an order, and the switchboard."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local import live as live_module
from local.front_door import create_app
from local.live import Live
from local.stack import Stack
from payments.domain.order import OrderStatus
from payments.store.store import Store
from simulator.testing import serving
from simulator.world import World
from tests.examples import NOW, ORDER_SN, STAY, order, payment
from tests.sse import listening

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

OTHER_SN = ORDER_SN[:-1] + "9"
WITHIN_S = 10


@dataclass
class Door:
    """The front door, and what a test wants to know of it."""

    url: str
    live: Live
    api: httpx.Client

    def order(self, order_sn: str = ORDER_SN) -> str:
        return f"{self.url}/live/orders/{order_sn}"

    def switch(self, name: str, mode: str) -> httpx.Response:
        return self.api.post("/live/faults", json={"name": name, "mode": mode})

    def fired(self, name: str) -> tuple[str, int]:
        (one,) = [switch for switch in self.api.get("/live/faults").json() if switch["name"] == name]
        return one["mode"], one["fired"]


async def _api(request: Request) -> Response:
    """An API that answers every order with the one that is in the table."""
    if request.method == "POST":
        return JSONResponse({"order_sn": ORDER_SN, "status": "WAIT_PAY"}, 201)
    return JSONResponse({"order_status": "WAIT_PAY", "payment_status": None, "redeem_code": "SECRETCODE"})


@pytest.fixture
def door(dynamodb: "DynamoDBClient", store: Store, wechat_url: str) -> Iterator[Door]:
    store.orders.put(order())
    stack = Stack(client=lambda _: dynamodb, table_name="table", queues={}, dlqs={}, secrets={}, sweep_function="none")
    live = Live(stack, wechat_url)
    api = Starlette(routes=[Route("/{path:path}", _api, methods=["GET", "POST"])])
    with serving(api) as upstream, serving(create_app(upstream, live)) as url:
        with httpx.Client(base_url=url, trust_env=False, timeout=10) as client:
            yield Door(url, live, client)
        live.close()


def eventually(look: Callable[[], Any]) -> None:
    end = time.monotonic() + WITHIN_S
    while not look():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_life_so_far_and_then_each_change(door: Door, store: Store) -> None:
    with listening(door.order()) as events:
        (made,) = events.until(order="WAIT_PAY")
        assert (made["happened"], made["part"], made["ms"]) == ("order.created", "orders", 0.0)
        store.payments.put(payment())
        steps = events.until(payment="NOTPAY")
        assert [step["happened"] for step in steps] == ["order.created", "payment.created"]
        store.orders.mark_closing(ORDER_SN)
        assert events.until(closing=True)[-1]["happened"] == "order.closing"
        store.payments.close(payment(), unused=True)
        closing = store.orders.get(ORDER_SN)
        assert closing is not None
        store.orders.cancel(closing, NOW)
        assert events.until(order="CANCELLED")[-1]["event"] == "order.cancelled"


def test_what_passes_the_front_door_is_a_step_and_holds_no_code(door: Door) -> None:
    with listening(f"{door.url}/live/orders") as newest, listening(door.order()) as events:
        events.until(order="WAIT_PAY")
        door.api.post("/api/orders", json={"stay": STAY.title})
        assert next(newest) == ("newest", {"order_sn": ORDER_SN})
        for _ in range(3):
            door.api.get(f"/api/orders/{ORDER_SN}/payment")
        seen: dict[str, Any] = {}
        while seen.get("facts", {}).get("times") != 3:
            name, seen = next(events)
            assert "SECRETCODE" not in str(seen)
            assert name in ("step", "state")
        assert (seen["happened"], seen["part"], seen["facts"]["answer"]) == ("api.poll", "status_poll", "WAIT_PAY")


def test_who_watches_the_same_order_shares_its_poller_and_the_last_one_ends_it(door: Door) -> None:
    with listening(door.order()) as one:
        one.until(order="WAIT_PAY")
        with listening(door.order()) as two:
            two.until(order="WAIT_PAY")
            assert len(door.live._watches) == 1
            poller = door.live._watches[ORDER_SN]._task
        eventually(lambda: door.live._streams == 1)
        assert poller is not None
        assert not poller.done()
    eventually(lambda: door.live._streams == 0)
    assert door.live._watches == {}
    eventually(poller.done)


def test_a_poller_rests_while_nothing_happens(
    door: Door, dynamodb: "DynamoDBClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    query = dynamodb.query

    def counted(**arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return query(**arguments)

    monkeypatch.setattr(live_module, "LIVELY_S", 0.1)
    monkeypatch.setattr(live_module, "LOOK_SELDOM_S", 60)
    monkeypatch.setattr(dynamodb, "query", counted)
    with listening(door.order()) as events:
        events.until(order="WAIT_PAY")
        watch = door.live._watches[ORDER_SN]
        eventually(lambda: time.monotonic() > watch._lively_until and not watch._woken.is_set())
        before = looks
        time.sleep(0.3)  # that it does not look is seen only by waiting
        assert looks == before
        door.api.get(f"/api/orders/{ORDER_SN}/payment")  # the front door wakes it
        eventually(lambda: looks > before + 1)


def test_an_unknown_order_is_a_problem(door: Door) -> None:
    for number in (OTHER_SN, "HSO1", "x" * 3000):
        reply = door.api.get(f"/live/orders/{number}")
        assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")
        assert reply.json()["type"] == "urn:wxpay:not-found"
    assert door.live._watches == {}


def test_streams_are_bounded(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "AT_ONCE", 1)
    with listening(door.order()) as events:
        events.until(order="WAIT_PAY")
        for path in ("/live/orders", f"/live/orders/{ORDER_SN}"):
            assert door.api.get(path).json()["type"] == "urn:wxpay:too-many-streams"


def test_an_open_stream_ends_with_the_server(door: Door) -> None:
    with listening(door.order()) as events, listening(f"{door.url}/live/orders") as newest:
        events.until(order="WAIT_PAY")
        door.live.close()
        assert list(events) == []
        assert list(newest) == []


def test_trouble_is_told_and_passes(door: Door, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """WeChat's calls cannot be had for a while: the page says so, and nothing that it showed is lost."""
    request = aiohttp.ClientSession.request
    store.payments.put(payment())

    def broken(*_: Any, **__: Any) -> Any:
        raise aiohttp.ClientConnectionError

    with listening(door.order()) as events:
        events.until(payment="NOTPAY")
        monkeypatch.setattr(aiohttp.ClientSession, "request", broken)
        for name, data in events:
            assert name == "state"
            if "trouble" in data:
                break
        assert data["order"] == OrderStatus.WAIT_PAY
        monkeypatch.setattr(aiohttp.ClientSession, "request", request)
        name, data = next(events)
        assert (name, data.get("trouble")) == ("state", None)


def test_switches_turn_on_count_and_turn_off(door: Door, world: World) -> None:
    assert {switch["mode"] for switch in door.api.get("/live/faults").json()} == {"off"}
    assert door.switch("prepay_reply_lost", "once").status_code == 200
    (fault,) = world.faults
    assert (fault.call, fault.answer, fault.after_effect, fault.times) == ("prepay", "drop", True, 1)
    fault.fired = 1
    assert door.fired("prepay_reply_lost") == ("off", 1)
    door.switch("prepay_reply_lost", "always")
    assert door.fired("prepay_reply_lost") == ("always", 1)
    door.switch("callback_lost", "always")
    door.switch("callback_lost", "once")
    assert door.fired("callback_lost") == ("once", 0)
    door.switch("prepay_reply_lost", "off")
    assert door.fired("prepay_reply_lost") == ("off", 1)
    assert door.fired("callback_lost") == ("once", 0)
    door.api.delete("/live/faults")
    assert world.faults == []


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"name": "nothing", "mode": "once"}, "callback_lost"),
        ({"name": "callback_lost", "mode": "twice"}, "once"),
        ({"name": "callback_lost", "mode": ["once"]}, "always"),
        ({"name": "callback_lost"}, "off"),
        (["callback_lost"], "mode"),
        ({"call": "query", "answer": "500"}, "callback_lost"),
    ],
)
def test_a_wrong_switch_is_422_and_reaches_nobody(door: Door, world: World, body: Any, names: str) -> None:
    reply = door.api.post("/live/faults", json=body)
    assert (reply.status_code, reply.json()["type"]) == (422, "urn:wxpay:invalid")
    assert names in reply.json()["title"]
    assert world.faults == []


def test_a_page_of_another_site_cannot_switch(door: Door, world: World) -> None:
    """What a browser sends across sites without asking first is not JSON."""
    reply = door.api.post(
        "/live/faults", content='{"name": "callback_lost", "mode": "once"}', headers={"Content-Type": "text/plain"}
    )
    assert reply.status_code == 415
    assert world.faults == []


def test_a_simulator_that_is_gone_is_503(dynamodb: "DynamoDBClient", store: Store) -> None:
    stack = Stack(client=lambda _: dynamodb, table_name="table", queues={}, dlqs={}, secrets={}, sweep_function="x")
    with serving(create_app("http://127.0.0.1:9", Live(stack, "http://127.0.0.1:9"))) as url:
        reply = httpx.get(f"{url}/live/faults", trust_env=False)
    assert (reply.status_code, reply.json()["type"]) == (503, "urn:wxpay:unavailable")
