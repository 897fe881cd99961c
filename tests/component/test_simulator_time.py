"""Signatures live in real time, business in the simulator's own: moved forward, and back to real time again."""

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import time_machine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import mini_program, refunds, shipping
from simulator.clock import Clock, rfc3339
from simulator.notification import build
from simulator.pytest_plugin import Wechat, wechat, wechat_credentials
from simulator.testing import serving
from simulator.world import World
from tests.component.test_simulator import Merchant, stable_token
from tests.component.test_simulator_certified import paid_trade
from tests.component.test_simulator_complete import ask_refund, shipment

__all__ = ["wechat", "wechat_credentials"]

HOUR, DAY = 3600, 86400
NOON = "2026-11-25T12:00:00+08:00"


@pytest.fixture
def noon() -> Iterator[None]:
    """The real clock says noon in Beijing: a day and an hour later yesterday's bill is there."""
    with time_machine.travel(NOON):
        yield


def move(url: str, **how: Any) -> httpx.Response:
    return httpx.post(f"{url}/_sim/clock", json=how, trust_env=False)


def is_real(stamp: str) -> bool:
    return abs(int(stamp) - time.time()) < 60


# --- signatures


@pytest.mark.parametrize("ahead_s", [0, 400, 25 * HOUR, 30 * DAY])
def test_what_is_signed_carries_real_time_however_far_the_clock_was_moved(wechat: Wechat, ahead_s: int) -> None:
    merchant = Merchant(wechat.world, wechat.base_url)
    assert move(wechat.base_url, advance_s=ahead_s).status_code == 200
    reply = merchant.prepay()
    assert reply.status_code == 200
    assert is_real(reply.headers["wechatpay-timestamp"])
    trade = wechat.world.trades["TEST0001"]
    wechat.world.pay(trade)
    notice = build(wechat.world, trade)
    assert is_real(notice.headers["Wechatpay-Timestamp"])
    moved = rfc3339(wechat.world.clock.now())[:16]
    assert json.loads(notice.body)["create_time"][:16] == moved == rfc3339(trade.success_time)[:16]


def test_a_notice_is_signed_in_real_time_at_every_repeat(wechat: Wechat) -> None:
    stamps: list[str] = []
    told = threading.Semaphore(0)

    async def receive(request: Request) -> Response:
        stamps.append(request.headers["wechatpay-timestamp"])
        told.release()
        return Response(status_code=500)

    merchant = Merchant(wechat.world, wechat.base_url)
    with serving(Starlette(routes=[Route("/notify", receive, methods=["POST"])])) as url:
        merchant.pay(merchant.prepay(notify_url=f"{url}/notify").json()["prepay_id"])
        for seconds in (15, 15, 30):
            assert told.acquire(timeout=10)
            _until(lambda: all("ms" in attempt for attempt in wechat.world.notices[0].attempts))
            wechat.world.clock.advance(seconds)
        assert told.acquire(timeout=10)
    assert len(stamps) == 4
    assert all(is_real(stamp) for stamp in stamps)


def _until(holds: Any) -> None:
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_a_stale_reply_is_stale_by_the_real_clock(wechat: Wechat) -> None:
    wechat.world.clock.advance(DAY)
    wechat.fault("prepay", "stale")
    stamp = Merchant(wechat.world, wechat.base_url).prepay().headers["wechatpay-timestamp"]
    assert 590 < time.time() - int(stamp) < 660


def test_the_platform_certificate_is_valid_by_the_real_clock(wechat: Wechat) -> None:
    wechat.world.switches.certificate_mode = True
    wechat.world.clock.advance(30 * DAY)
    reply = Merchant(wechat.world, wechat.base_url).send("GET", "/v3/certificates")
    certificate = reply.json()["data"][0]
    assert certificate["effective_time"] < rfc3339(time.time()) < certificate["expire_time"]


# --- there and back


def test_todays_bill_can_be_had_after_a_day_and_the_next_payment_after_a_reset(noon: None, wechat: Wechat) -> None:
    merchant, base_url = Merchant(wechat.world, wechat.base_url), wechat.base_url
    order = merchant.prepay(time_expire=rfc3339(time.time() + 600))
    assert merchant.pay(order.json()["prepay_id"]) == "requestPayment:ok"
    assert move(base_url, advance_s=25 * HOUR).status_code == 200
    today = NOON[:10]
    offer = merchant.send("GET", f"/v3/bill/tradebill?bill_date={today}&tar_type=GZIP").json()
    address = offer["download_url"].removeprefix(base_url)
    rows = gzip.decompress(merchant.send("GET", address).content).decode().split("\r\n")
    assert rows[1].split(",`")[6] == "TEST0001"
    back = move(base_url, reset=True).json()
    assert back["beijing"][:13] == NOON[:13]
    second = merchant.prepay(out_trade_no="TEST0002", time_expire=rfc3339(time.time() + 600))
    assert merchant.pay(second.json()["prepay_id"]) == "requestPayment:ok"
    assert wechat.world.trades["TEST0002"].success_time == pytest.approx(time.time(), abs=60)
    assert merchant.send("GET", f"/v3/bill/tradebill?bill_date={today}").json()["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"reset": False},
        {"reset": 1},
        {"reset": True, "advance_s": 1},
        {"advance_s": 1, "more": 1},
        {"advance_s": 1e18},
        {"advance_s": 10**400},
    ],
)
def test_the_clock_takes_one_way_to_move_it_and_stays_where_it_can_be_written(
    wechat: Wechat, wrong: dict[str, Any]
) -> None:
    refused = move(wechat.base_url, **wrong)
    assert refused.status_code == 400
    assert "reset" in refused.json()["error"]
    assert httpx.get(f"{wechat.base_url}/_sim/state").status_code == 200
    assert wechat.world.clock.now() == pytest.approx(time.time(), abs=5)


def test_what_waits_waits_as_long_as_was_left_when_the_clock_goes_back() -> None:
    async def waits(clock: Clock) -> None:
        clock.advance(25 * HOUR)
        waiting = asyncio.create_task(clock.wait_until(clock.now() + 60))
        await asyncio.sleep(0)
        assert clock.reset() == 25 * HOUR
        clock.advance(50)
        await asyncio.sleep(0.01)
        assert not waiting.done()
        clock.advance(11)
        await asyncio.wait_for(waiting, 5)

    asyncio.run(waits(Clock()))


def test_a_refund_under_way_ends_soon_after_the_clock_went_back(wechat: Wechat) -> None:
    world, merchant = wechat.world, Merchant(wechat.world, wechat.base_url)
    world.clock.advance(25 * HOUR)
    merchant.pay(merchant.prepay().json()["prepay_id"])
    body = {"out_trade_no": "TEST0001", "out_refund_no": "R1"}
    amount = {"refund": 40, "total": 100, "currency": "CNY"}
    assert merchant.send("POST", "/v3/refund/domestic/refunds", body | {"amount": amount}).status_code == 200
    move(wechat.base_url, reset=True)
    world.clock.advance(refunds.TAKES_S)
    assert merchant.send("GET", "/v3/refund/domestic/refunds/R1").json()["status"] == "SUCCESS"


def test_codes_tokens_and_addresses_keep_the_life_that_they_have_left(world: World) -> None:
    credentials = world.credentials
    query = {"appid": credentials.appid, "secret": credentials.app_secret}

    def login(code: str) -> dict[str, Any]:
        return mini_program.code2session(world, query | {"js_code": code})

    died = world.login_code("guest-1")
    world.clock.advance(25 * HOUR)
    code, soon_old = world.login_code("guest-1"), world.login_code("guest-1")
    token = stable_token(world, force_refresh=True)["access_token"]
    trade = paid_trade(world, days_ago=0)
    prepay_id = world.new_prepay_id(trade)
    world.reset_clock()
    assert login(died)["errcode"] == 40029
    assert "openid" in login(code)
    again = stable_token(world)
    assert (again["access_token"], again["expires_in"] <= 7200) == (token, True)
    world.clock.advance(301)
    assert login(soon_old)["errcode"] == 40029
    assert trade.prepay_ids[prepay_id] == pytest.approx(world.clock.now() - 301, abs=5)
    assert "access_token" in stable_token(world, force_refresh=True)  # the last forced one was 301 seconds ago
    world.clock.advance(7200)
    assert mini_program.token_error(world, token) is not None


def test_what_was_paid_and_refunded_ahead_does_not_stand_in_the_way_after_a_reset(world: World) -> None:
    world.clock.advance(25 * HOUR)
    trade = paid_trade(world, days_ago=0)
    ask_refund(world, "R1", amount={"refund": 10, "total": 100, "currency": "CNY"})
    world.reset_clock()
    world.tokens["token"] = world.clock.now() + 60
    assert trade.success_time > world.clock.now() + DAY
    assert ask_refund(world, "R2").amount == 40
    assert shipping.upload_shipping_info(world, "token", shipment(trade, world))["errcode"] == 0


def test_a_reset_of_the_state_leaves_nothing_that_waits(wechat: Wechat) -> None:
    """No bill, no notice of before: the next test gets none of them."""
    world, merchant, got = wechat.world, Merchant(wechat.world, wechat.base_url), []
    first = threading.Event()

    async def receive(request: Request) -> Response:
        got.append(await request.body())
        first.set()
        return Response(status_code=500)

    with serving(Starlette(routes=[Route("/notify", receive, methods=["POST"])])) as url:
        merchant.pay(merchant.prepay(notify_url=f"{url}/notify").json()["prepay_id"])
        assert first.wait(10)
        world.trades["TEST0001"].success_time -= 2 * DAY
        day = rfc3339(world.trades["TEST0001"].success_time)[:10]
        address = merchant.send("GET", f"/v3/bill/tradebill?bill_date={day}").json()["download_url"]
        assert httpx.delete(f"{wechat.base_url}/_sim/state").status_code == 200
        world.clock.advance(DAY)
        gone = merchant.send("GET", address.removeprefix(wechat.base_url))
        assert (gone.status_code, gone.json()["code"]) == (400, "INVALID_REQUEST")
        empty = merchant.send("GET", f"/v3/bill/tradebill?bill_date={day}").json()
        assert empty["code"] == "NO_STATEMENT_EXIST"
    assert len(got) == 1
    assert (world.bills, world.trades, list(world.notices)) == ({}, {}, [])
