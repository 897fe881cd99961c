"""The simulator's own rules, certified by a client that nobody here wrote (wechatpayv3), and by published vectors."""

import asyncio
import base64
import contextlib
import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import time_machine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.utils import aes_decrypt, build_authorization, load_private_key

from simulator import mini_program, notification
from simulator.clock import Clock, rfc3339
from simulator.credentials import Credentials, key_pair
from simulator.notification import RETRY_AFTER_S, Courier, build
from simulator.signing import lines, seal, verifies
from simulator.testing import serving
from simulator.world import Trade, World

VECTORS = Path("../shared/vectors/wechatpay.json")
"""Vectors that WeChat's documents and official SDKs publish, where they lie beside this checkout."""
NOTIFY = "https://shop.example.com/wxpay/notify"


@pytest.fixture
def openid(world: World) -> str:
    return world.user("guest-1").openid


@pytest.fixture
def library(world: World, wechat_url: str) -> WeChatPay:
    credentials = world.credentials
    made = WeChatPay(
        WeChatPayType.MINIPROG,
        credentials.mchid,
        credentials.merchant_private_key,
        credentials.merchant_serial_no,
        credentials.appid,
        credentials.apiv3_key,
        notify_url=NOTIFY,
        timeout=(2, 5),
        public_key=credentials.platform_public_key,
        public_key_id=credentials.platform_key_id,
    )
    made._core._gate_way = wechat_url
    return made


class Merchant:
    """Signs its own requests, right or wrong."""

    def __init__(self, world: World, base_url: str) -> None:
        self.world = world
        self.base_url = base_url

    def order(self, **changes: Any) -> dict[str, Any]:
        credentials = self.world.credentials
        body = {
            "appid": credentials.appid,
            "mchid": credentials.mchid,
            "description": "一间房",
            "out_trade_no": "TEST0001",
            "notify_url": NOTIFY,
            "amount": {"total": 100, "currency": "CNY"},
            "payer": {"openid": self.world.user("guest-1").openid},
        }
        return body | changes

    def send(
        self, method: str, path: str, body: Any = None, *, raw: str | None = None, **headers: str
    ) -> httpx.Response:
        text = raw if raw is not None else "" if body is None else json.dumps(body)
        credentials = self.world.credentials
        key = load_private_key(credentials.merchant_private_key)
        signed = build_authorization(path, method, credentials.mchid, credentials.merchant_serial_no, key, data=text)
        all_headers = {"Authorization": signed, "Content-Type": "application/json"} | headers
        with httpx.Client(trust_env=False) as client:
            return client.request(method, self.base_url + path, content=text.encode(), headers=all_headers)

    def prepay(self, **changes: Any) -> httpx.Response:
        return self.send("POST", "/v3/pay/transactions/jsapi", self.order(**changes))

    def pay(self, prepay_id: str, **changes: Any) -> str:
        credentials = self.world.credentials
        fields = {"timeStamp": str(int(time.time())), "nonceStr": "n", "package": f"prepay_id={prepay_id}"}
        from simulator.signing import sign

        message = lines(credentials.appid, fields["timeStamp"], fields["nonceStr"], fields["package"])
        fields |= {"signType": "RSA", "paySign": sign(credentials.merchant_private_key, message)}
        request = fields | {"appid": credentials.appid} | changes
        return str(httpx.post(f"{self.base_url}/_sim/cashier/pay", json=request).json()["errMsg"])


@pytest.fixture
def merchant(world: World, wechat_url: str) -> Merchant:
    return Merchant(world, wechat_url)


# --- certified by wechatpayv3 and by published vectors


def test_wechatpayv3_prepays_queries_closes_and_reads_a_notice(world: World, library: WeChatPay, openid: str) -> None:
    amount, payer = {"total": 100, "currency": "CNY"}, {"openid": openid}
    code, text = library.pay(description="一间房", out_trade_no="LIB00001", amount=amount, payer=payer)
    assert code == 200
    assert json.loads(text)["prepay_id"].startswith("wx")
    assert json.loads(library.query(out_trade_no="LIB00001")[1])["trade_state"] == "NOTPAY"
    world.pay(world.trades["LIB00001"])
    paid = json.loads(library.query(transaction_id=world.trades["LIB00001"].transaction_id)[1])
    assert (paid["trade_state"], paid["payer"]["openid"]) == ("SUCCESS", openid)
    notice = build(world, world.trades["LIB00001"])
    read = library.callback(notice.headers, notice.body)
    assert read["resource"]["transaction_id"] == paid["transaction_id"]
    library.pay(description="一间房", out_trade_no="LIB00002", amount=amount, payer=payer)
    assert library.close("LIB00002") == (204, b"")
    assert library.close("LIB00002") == (204, b"")
    assert library.close("LIB00001")[0] == 400


def test_wechatpayv3_refuses_a_notice_in_which_a_byte_or_the_key_differs(world: World, library: WeChatPay) -> None:
    trade = Trade(request={"out_trade_no": "X" * 6, "appid": "a", "mchid": "m"}, created_at=0, time_expire=0)
    notice = build(world, trade)
    assert library.callback(notice.headers, notice.body) is not None
    assert library.callback(notice.headers, notice.body + b" ") is None
    other = notification.signature_headers(world, notice.body, private_key=key_pair()[0])
    assert library.callback(other, notice.body) is None


if VECTORS.exists():

    def test_published_vectors_verify_and_open() -> None:
        vectors = json.loads(VECTORS.read_text())
        reply = vectors["verify"][0]
        message = lines(reply["timestamp"], reply["nonce"], reply["body"])
        assert verifies(reply["public_key_pem"], message, reply["signature"])
        assert not verifies(reply["public_key_pem"], message + b" ", reply["signature"])
        for vector in vectors["aes_gcm"]:
            opened = aes_decrypt(vector["nonce"], vector["ciphertext"], vector["aad"], vector["key"])
            assert opened == vector["plaintext"]


def test_what_is_sealed_opens_with_its_key_only() -> None:
    sealed = seal("k" * 32, "一".encode(), "transaction")
    opened = aes_decrypt(sealed["nonce"], sealed["ciphertext"], "transaction", "k" * 32)
    assert opened == "一"
    assert aes_decrypt(sealed["nonce"], sealed["ciphertext"], "refund", "k" * 32) is None


# --- Authorization


def test_a_signature_over_other_bytes_is_401_in_wechats_shape(merchant: Merchant) -> None:
    body = json.dumps(merchant.order())
    signed = merchant.send("POST", "/v3/pay/transactions/jsapi", raw=body)
    assert signed.status_code == 200
    path, credentials = "/v3/pay/transactions/jsapi", merchant.world.credentials
    key = load_private_key(credentials.merchant_private_key)
    for header in (
        build_authorization(path, "POST", credentials.mchid, credentials.merchant_serial_no, key, data=body + " "),
        build_authorization(path + "?", "POST", credentials.mchid, credentials.merchant_serial_no, key, data=body),
        build_authorization(path, "POST", credentials.mchid, "0" * 40, key, data=body),
        build_authorization(path, "POST", "1900000000", credentials.merchant_serial_no, key, data=body),
        build_authorization(
            path, "POST", credentials.mchid, credentials.merchant_serial_no, load_private_key(key_pair()[0]), data=body
        ),
        "",
        "Bearer x",
    ):
        reply = merchant.send("POST", path, raw=body, Authorization=header)
        assert (reply.status_code, reply.json()["code"]) == (401, "SIGN_ERROR")
        assert reply.json()["detail"]["detail"]["issue"]
        assert reply.headers["request-id"].endswith("-268443699")
        assert not any(name.startswith("wechatpay-") for name in reply.headers)


def test_a_clock_that_is_off_by_five_minutes_is_401(world: World, merchant: Merchant) -> None:
    path, body, credentials = "/v3/pay/transactions/jsapi", json.dumps(merchant.order()), world.credentials
    key = load_private_key(credentials.merchant_private_key)
    for off, status in ((-290, 200), (-310, 401), (290, 200), (310, 401)):
        with time_machine.travel(time.time() + off):
            header = build_authorization(
                path, "POST", credentials.mchid, credentials.merchant_serial_no, key, data=body
            )
        assert merchant.send("POST", path, raw=body, Authorization=header).status_code == status, off


def test_replies_are_signed_and_refusals_are_not(world: World, merchant: Merchant) -> None:
    good, bad = merchant.prepay(), merchant.prepay(amount={"total": 0})
    stamp, nonce = good.headers["wechatpay-timestamp"], good.headers["wechatpay-nonce"]
    message = lines(stamp, nonce, good.content)
    assert verifies(world.credentials.platform_public_key, message, good.headers["wechatpay-signature"])
    assert good.headers["wechatpay-serial"] == world.credentials.platform_key_id
    assert good.headers["request-id"].endswith("-0")
    assert "wechatpay-signature" not in bad.headers
    other_key = {"Wechatpay-Serial": "PUB_KEY_ID_OTHER"}
    refused = merchant.send("POST", "/v3/pay/transactions/jsapi", merchant.order(), **other_key)
    assert refused.status_code == 400


# --- prepay


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"appid": None}, "/appid"),
        ({"attach": None}, "/attach"),
        ({"surprise": 1}, "/surprise"),
        ({"description": ""}, "/description"),
        ({"description": "长" * 128}, "/description"),
        ({"out_trade_no": "short"}, "/out_trade_no"),
        ({"out_trade_no": "with space"}, "/out_trade_no"),
        ({"out_trade_no": "x" * 33}, "/out_trade_no"),
        ({"amount": {"total": 0}}, "/amount/total"),
        ({"amount": {"total": True}}, "/amount/total"),
        ({"amount": {"total": "100"}}, "/amount/total"),
        ({"amount": {"total": 1.5}}, "/amount/total"),
        ({"amount": {"total": 100, "currency": "USD"}}, "/amount/currency"),
        ({"payer": {"openid": "o-nobody"}}, "/payer/openid"),
        ({"payer": {}}, "/payer/openid"),
        ({"notify_url": "http://shop.example.com/notify"}, "/notify_url"),
        ({"notify_url": NOTIFY + "?order=1"}, "/notify_url"),
        ({"notify_url": "not a url"}, "/notify_url"),
        ({"time_expire": "2026-11-23 12:00:00"}, "/time_expire"),
        ({"time_expire": "soon"}, "/time_expire"),
        ({"time_expire": "2020-01-01T00:00:00+08:00"}, "/time_expire"),
        ({"description": "海边🌊"}, ""),
    ],
)
def test_a_field_outside_its_limits_is_a_param_error_that_names_it(
    merchant: Merchant, changes: dict[str, Any], field: str
) -> None:
    reply = merchant.prepay(**changes)
    assert (reply.status_code, reply.json()["code"]) == (400, "PARAM_ERROR")
    assert reply.json()["detail"]["field"] == field
    assert merchant.world.trades == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"description": "长" * 127},
        {"out_trade_no": "x_-|*A9" * 4},
        {"notify_url": "http://127.0.0.1:8080/api/wxpay/notify"},
        {"attach": "a" * 128, "goods_tag": "g", "support_fapiao": True, "settle_info": {"profit_sharing": False}},
        {"scene_info": {"payer_client_ip": "1.2.3.4", "store_info": {"id": "s"}}},
        {"detail": {"goods_detail": [{"merchant_goods_id": "1", "quantity": 1, "unit_price": 100}]}},
    ],
)
def test_fields_within_their_limits_are_taken(merchant: Merchant, changes: dict[str, Any]) -> None:
    assert merchant.prepay(**changes).status_code == 200


def test_a_body_that_is_no_json_and_foreign_numbers_are_refused(merchant: Merchant) -> None:
    path = "/v3/pay/transactions/jsapi"
    assert merchant.send("POST", path, raw="{").json()["code"] == "PARAM_ERROR"
    assert merchant.prepay(mchid="1900000000").json()["message"].startswith("http header中的mchid")
    assert merchant.prepay(appid="wxother").json()["code"] == "APPID_MCHID_NOT_MATCH"


def test_a_repeat_gives_a_fresh_prepay_id_and_other_parameters_are_refused(world: World, merchant: Merchant) -> None:
    first, again = merchant.prepay(), merchant.prepay()
    assert first.json()["prepay_id"] != again.json()["prepay_id"]
    assert merchant.prepay(description="another").json()["code"] == "INVALID_REQUEST"
    world.switches.reentry_status, world.switches.reentry_code = 403, "OUT_TRADE_NO_USED"
    other = merchant.prepay(amount={"total": 101})
    assert (other.status_code, other.json()["code"]) == (403, "OUT_TRADE_NO_USED")
    assert merchant.pay(first.json()["prepay_id"]) == "requestPayment:ok"
    assert merchant.prepay().json()["code"] == "ORDER_PAID"


def test_a_closed_and_an_expired_trade_cannot_be_prepaid(world: World, merchant: Merchant) -> None:
    expires = rfc3339(world.clock.now() + 100)
    assert merchant.prepay(time_expire=expires).status_code == 200
    world.clock.advance(101)
    assert merchant.prepay(time_expire=rfc3339(world.clock.now() + 200)).json()["code"] == "ORDER_CLOSED"


def test_a_near_time_expire_becomes_one_minute_and_a_far_one_ninety_days(world: World, merchant: Merchant) -> None:
    now = world.clock.now()
    merchant.prepay(out_trade_no="NEAR0001", time_expire=rfc3339(now + 5))
    merchant.prepay(out_trade_no="FAR00001", time_expire=rfc3339(now + 400 * 86400))
    assert world.trades["NEAR0001"].time_expire - now == pytest.approx(60, abs=5)
    assert world.trades["FAR00001"].time_expire - now == pytest.approx(90 * 86400, abs=5)


# --- query and close


def test_queries_tell_little_of_the_unpaid_and_all_of_the_paid(merchant: Merchant) -> None:
    mchid = merchant.world.credentials.mchid
    path = f"/v3/pay/transactions/out-trade-no/TEST0001?mchid={mchid}"
    assert merchant.send("GET", path).status_code == 404
    prepay_id = merchant.prepay().json()["prepay_id"]
    unpaid = merchant.send("GET", path).json()
    assert set(unpaid) == {"appid", "mchid", "out_trade_no", "trade_state", "trade_state_desc"}
    merchant.pay(prepay_id)
    paid = merchant.send("GET", path).json()
    assert paid["amount"] == {"total": 100, "payer_total": 100, "currency": "CNY", "payer_currency": "CNY"}
    assert len(paid["transaction_id"]) == 28
    assert paid["success_time"].endswith("+08:00")
    assert merchant.send("GET", path.replace(mchid, "1900000000")).status_code == 400
    unknown = merchant.send("GET", f"/v3/pay/transactions/id/42?mchid={mchid}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "ORDER_NOT_EXIST")


def test_an_unpaid_trade_is_closed_after_seven_days(world: World, merchant: Merchant) -> None:
    merchant.prepay()
    world.clock.advance(7 * 86400 + 1)
    trade = world.trade("TEST0001")
    assert trade is not None
    assert trade.trade_state == "CLOSED"


def test_closing_is_204_twice_and_a_closed_trade_cannot_be_paid(merchant: Merchant) -> None:
    prepay_id, body = merchant.prepay().json()["prepay_id"], {"mchid": merchant.world.credentials.mchid}
    path = "/v3/pay/transactions/out-trade-no/TEST0001/close"
    for _ in range(2):
        reply = merchant.send("POST", path, body)
        assert (reply.status_code, reply.content) == (204, b"")
        message = lines(reply.headers["wechatpay-timestamp"], reply.headers["wechatpay-nonce"], b"")
        assert verifies(merchant.world.credentials.platform_public_key, message, reply.headers["wechatpay-signature"])
    assert merchant.pay(prepay_id).startswith("requestPayment:fail")
    assert merchant.prepay().json()["code"] == "ORDER_CLOSED"
    assert merchant.send("POST", path.replace("TEST0001", "NONE0001"), body).status_code == 404
    assert merchant.send("POST", path, {"mchid": "1900000000"}).status_code == 400
    assert merchant.send("POST", path, []).status_code == 400


# --- the cashier


def test_the_cashier_refuses_what_the_app_refuses(world: World, merchant: Merchant) -> None:
    prepay_id = merchant.prepay().json()["prepay_id"]
    for changes in (
        {"paySign": base64.b64encode(b"x" * 256).decode()},
        {"paySign": "not base64"},
        {"timeStamp": "1"},
        {"package": "prepay_id=wx0"},
        {"appid": "wxother"},
        {"signType": "MD5"},
        {"nonceStr": "n" * 33},
        {"nonceStr": 7},
        {"user": "guest-2"},
    ):
        assert merchant.pay(prepay_id, **changes).startswith("requestPayment:fail"), changes
    assert merchant.pay("wx-unknown").startswith("requestPayment:fail")
    assert merchant.pay(prepay_id, user="guest-1") == "requestPayment:ok"
    assert "已支付" in merchant.pay(prepay_id)
    assert world.trades["TEST0001"].trade_state == "SUCCESS"


def test_a_prepay_id_lives_two_hours_and_a_trade_until_its_time_expire(world: World, merchant: Merchant) -> None:
    old = merchant.prepay(out_trade_no="OLD00001").json()["prepay_id"]
    expiring = merchant.prepay(time_expire=rfc3339(world.clock.now() + 600)).json()["prepay_id"]
    world.clock.advance(601)
    assert "已过期" in merchant.pay(expiring)
    world.clock.advance(2 * 3600)
    assert "prepay_id已过期" in merchant.pay(old)


def test_a_user_may_close_the_cashier(merchant: Merchant) -> None:
    cancel = f"{merchant.base_url}/_sim/cashier/cancel"
    assert httpx.post(cancel, json={}).json()["errMsg"].startswith("requestPayment:fail parameter")
    prepay_id = merchant.prepay().json()["prepay_id"]
    from simulator.signing import sign

    credentials = merchant.world.credentials
    message = lines(credentials.appid, "1", "n", f"prepay_id={prepay_id}")
    fields = {"timeStamp": "1", "nonceStr": "n", "package": f"prepay_id={prepay_id}", "signType": "RSA"}
    signed = fields | {"paySign": sign(credentials.merchant_private_key, message), "appid": credentials.appid}
    shown = httpx.post(f"{merchant.base_url}/_sim/cashier/open", json=signed).json()
    asked = next(iter(merchant.world.trades.values()))
    assert shown == {
        "out_trade_no": asked.out_trade_no,
        "description": asked.request["description"],
        "total": asked.total,
    }
    assert (
        httpx.post(f"{merchant.base_url}/_sim/cashier/open", json={}).json()["errMsg"].startswith("requestPayment:fail")
    )
    assert httpx.post(cancel, json=signed).json() == {"errMsg": "requestPayment:fail cancel"}


# --- notices


class Inbox:
    """A merchant's server that keeps what it is sent and answers as it is told."""

    def __init__(self) -> None:
        self.status = 204
        self.got: list[tuple[dict[str, str], bytes]] = []

    async def receive(self, request: Request) -> Response:
        self.got.append((dict(request.headers), await request.body()))
        headers = {"Location": "/elsewhere"} if self.status == 302 else {}
        return Response(status_code=self.status, headers=headers)


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, str]]:
    made = Inbox()
    with serving(Starlette(routes=[Route("/notify", made.receive, methods=["POST"])])) as base_url:
        yield made, f"{base_url}/notify"


def paid_trade(world: World, notify_url: str) -> Trade:
    credentials = world.credentials
    request: dict[str, Any] = {"out_trade_no": "PAID0001", "appid": credentials.appid, "mchid": credentials.mchid}
    request |= {"notify_url": notify_url, "amount": {"total": 100}, "payer": {"openid": world.user("guest-1").openid}}
    trade = Trade(request=request, created_at=0, time_expire=world.clock.now() + 100)
    world.trades[trade.out_trade_no] = trade
    world.pay(trade)
    return trade


async def delivered(world: World, trade: Trade, until: Any) -> None:
    """Lets the courier work until the condition holds."""
    courier = Courier(world)
    courier.notify(trade)
    async with asyncio.timeout(20):
        while not until():
            await asyncio.sleep(0.002)
    await courier.close()


@pytest.mark.parametrize("status", [200, 204])
def test_a_notice_that_is_acknowledged_is_sent_once(world: World, inbox: tuple[Inbox, str], status: int) -> None:
    box, url = inbox
    box.status = status
    asyncio.run(delivered(world, paid_trade(world, url), lambda: world.notices[0].state == "delivered"))
    ((headers, body),) = box.got
    message = lines(headers["wechatpay-timestamp"], headers["wechatpay-nonce"], body)
    assert verifies(world.credentials.platform_public_key, message, headers["wechatpay-signature"])
    assert uuid.UUID(json.loads(body)["id"])
    assert json.loads(body)["resource"]["associated_data"] == "transaction"


@pytest.mark.parametrize("status", [500, 401, 302])
def test_a_notice_is_repeated_along_wechats_plan_and_then_given_up(
    world: World, inbox: tuple[Inbox, str], status: int
) -> None:
    box, url = inbox
    box.status = status
    assert sum(RETRY_AFTER_S) == 24 * 3600 + 4 * 60
    seen = 0

    def finished() -> int:
        return sum("ms" in attempt for notice in world.notices for attempt in notice.attempts)

    def given_up() -> bool:
        nonlocal seen
        if finished() > seen:  # one attempt was answered: time passes to the next
            seen = finished()
            world.clock.advance(RETRY_AFTER_S[min(seen, len(RETRY_AFTER_S)) - 1])
        return world.notices != [] and world.notices[0].state == "given_up"

    asyncio.run(delivered(world, paid_trade(world, url), given_up))
    assert len(box.got) == 16 == len(world.notices[0].attempts)
    assert len({json.loads(body)["id"] for _, body in box.got}) == 1
    assert len({headers["wechatpay-signature"] for headers, _ in box.got}) == 16
    first, last = (datetime.fromisoformat(world.notices[0].attempts[n]["at"]) for n in (0, -1))
    assert (last - first).total_seconds() == pytest.approx(sum(RETRY_AFTER_S), abs=30)


def test_nobody_there_and_no_answer_in_time_count_as_no_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification, "ANSWER_WITHIN_S", 0.1)

    def attempts() -> list[dict[str, Any]]:
        return [attempt for notice in world.notices for attempt in notice.attempts if "ms" in attempt]

    async def never(_: Request) -> Response:
        await asyncio.sleep(2)
        return Response(status_code=204)

    with serving(Starlette(routes=[Route("/notify", never, methods=["POST"])])) as base_url:
        trade = paid_trade(world, f"{base_url}/notify")
        asyncio.run(delivered(world, trade, attempts))
    assert (attempts()[0]["status"], attempts()[0]["error"]) == (0, "TimeoutError")
    asyncio.run(delivered(world, trade, lambda: len(attempts()) == 2))
    assert (attempts()[1]["status"], attempts()[1]["error"]) == (0, "ClientConnectorError")


def test_a_server_for_tests_leaves_no_connection_open_when_it_ends() -> None:
    for _ in range(3):
        with serving(Starlette()) as base_url:
            port = int(base_url.rpartition(":")[2])
            accepted = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
        for connection in accepted:
            connection.settimeout(1)
            with connection, contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""


# --- the mini-program server API


def test_a_login_code_is_good_once_and_for_five_minutes(world: World) -> None:
    credentials = world.credentials

    def ask(code: str, **changes: str) -> dict[str, Any]:
        query = {"appid": credentials.appid, "secret": credentials.app_secret, "js_code": code}
        return mini_program.code2session(world, query | changes)

    code = world.login_code("guest-1")
    assert ask(code, appid="wxother")["errcode"] == 40013
    assert ask(code, secret="wrong")["errcode"] == 40125
    assert ask(code)["openid"] == world.user("guest-1").openid
    assert ask(code)["errcode"] == 40163
    assert ask("unknown")["errcode"] == 40029
    old = world.login_code("guest-1")
    world.clock.advance(301)
    assert ask(old)["errcode"] == 40029


def stable_token(world: World, **changes: Any) -> dict[str, Any]:
    credentials = world.credentials
    body = {"grant_type": "client_credential", "appid": credentials.appid, "secret": credentials.app_secret}
    return mini_program.stable_token(world, body | changes)


def test_a_token_stays_until_its_last_five_minutes_and_then_two_are_good(world: World) -> None:
    first = stable_token(world)
    assert first["expires_in"] == 7200
    assert stable_token(world)["access_token"] == first["access_token"]
    world.clock.advance(7200 - 299)
    second = stable_token(world)["access_token"]
    assert second != first["access_token"]
    for token in (first["access_token"], second):
        assert mini_program.send_message(world, token, {"touser": "nobody"})["errcode"] == 40003
    world.clock.advance(300)
    assert mini_program.send_message(world, first["access_token"], {})["errcode"] == 42001
    forced = stable_token(world, force_refresh=True)["access_token"]
    assert mini_program.send_message(world, second, {})["errcode"] == 40001
    assert mini_program.send_message(world, forced, {"touser": "nobody"})["errcode"] == 40003
    assert stable_token(world, appid="x")["errcode"] == 40013
    assert stable_token(world, secret="x")["errcode"] == 40125
    assert stable_token(world, grant_type="x")["errcode"] == 40002


FIELDS = [
    ("thing1", ["一" * 20, "x"], ["", " ", "一" * 21, "两\n行"]),
    ("number2", ["12", "-1.5"], ["one", "1" * 33]),
    ("letter3", ["abc"], ["a1", "x" * 33]),
    ("symbol4", ["+-*"], ["a", "!!!!!!"]),
    ("character_string5", ["HSO-2026 #1"], ["订单", "x" * 33]),
    ("time6", ["15:01", "2019年10月1日 15:01"], ["2019年10月1日", "now"]),
    ("date7", ["2019年10月1日", "2019年10月1日 15:01"], ["tomorrow"]),
    ("amount8", ["¥29.90", "29元"], ["free", "¥12345678901"]),
    ("phone_number9", ["+86-0766-66888866"], ["x", "1" * 18]),
    ("car_number10", ["粤A8Z888挂"], ["粤A8Z888挂挂"]),
    ("name11", ["张三", "Ada L."], ["张" * 11, "x" * 21]),
    ("phrase12", ["配送中"], ["配送中中中中", "abc"]),
]


@pytest.mark.parametrize(("field", "good", "bad"), FIELDS)
def test_message_data_is_checked_by_the_type_of_its_field(
    world: World, openid: str, field: str, good: list[str], bad: list[str]
) -> None:
    token = stable_token(world)["access_token"]

    def send(value: Any) -> dict[str, Any]:
        body = {"touser": openid, "template_id": "t", "data": {field: {"value": value}}}
        return mini_program.send_message(world, token, body)

    for value in good:
        assert send(value)["errcode"] == 0, value
    wrong: list[Any] = [*bad, None, 7]
    for value in wrong:
        reply = send(value)
        assert reply["errcode"] == 47003, value
        assert f"data.{field}" in reply["errmsg"]
    assert len(world.messages) == len(good)


def test_a_message_needs_a_template_data_and_a_user_who_wants_it(world: World, openid: str) -> None:
    token = stable_token(world)["access_token"]
    good = {"touser": openid, "template_id": "t", "data": {"thing1": {"value": "x"}}}
    refusals: list[tuple[dict[str, Any], int]] = [
        ({"template_id": ""}, 40037),
        ({"data": {}}, 47003),
        ({"data": {"unknown1": {"value": "x"}}}, 47003),
        ({"miniprogram_state": "beta"}, 47001),
    ]
    for changes, errcode in refusals:
        assert mini_program.send_message(world, token, good | changes)["errcode"] == errcode
    assert mini_program.send_message(world, token, "text")["errcode"] == 47001
    world.users[openid].refuses_messages = True
    assert mini_program.send_message(world, token, good)["errcode"] == 43101


@pytest.mark.parametrize(
    ("page", "errcode"),
    [
        ("pages/order/order", 0),
        ("pages/order/order?order_sn=HSO1&from=message", 0),
        ("", 0),
        ("/pages/order/order", 41030),
        ("https://example.com/", 41030),
        ("pages/order/order?a?b", 41030),
        ("pages/我的", 41030),
        (7, 47001),
    ],
)
def test_a_page_is_a_path_of_the_mini_program(world: World, openid: str, page: Any, errcode: int) -> None:
    token = stable_token(world)["access_token"]
    body = {"touser": openid, "template_id": "t", "data": {"thing1": {"value": "x"}}, "page": page}
    assert mini_program.send_message(world, token, body)["errcode"] == errcode
    assert [message["page"] for message in world.messages] == ([page] if errcode == 0 else [])


# --- for drivers


def test_drivers_are_told_what_is_wrong(wechat_url: str, merchant: Merchant) -> None:
    with httpx.Client(base_url=f"{wechat_url}/_sim") as client:
        for path, content in (
            ("/login", "{"),
            ("/login", "{}"),
            ("/users/guest-1", "{}"),
            ("/faults", '{"call": "nothing", "answer": "500"}'),
            ("/faults", '{"call": "prepay", "answer": "500", "times": 0}'),
            ("/faults", '{"call": "prepay", "answer": "500", "sometimes": 1}'),
            ("/notifications/UNKNOWN1/send", "{}"),
        ):
            reply = client.post(path, content=content)
            assert reply.status_code == 400, path
            assert reply.json()["error"]
        listed = client.post("/faults", json={"call": "nothing", "answer": "500"}).json()["error"]
        assert all(call in listed for call in ("prepay", "query", "close", "502html", "callback"))
        assert client.get("/trades/UNKNOWN1").status_code == 400
        merchant.prepay()
        assert client.get("/trades/TEST0001").json()["trade_state"] == "NOTPAY"
        assert [trade["out_trade_no"] for trade in client.get("/trades").json()] == ["TEST0001"]
        assert client.post("/notifications/TEST0001/send", json={"times": 1}).status_code == 400
        assert client.get("/notifications").json() == []


def test_a_notice_can_be_had_signed_without_being_sent(
    world: World, wechat_url: str, merchant: Merchant, library: WeChatPay
) -> None:
    with httpx.Client(base_url=f"{wechat_url}/_sim/notifications") as client:
        assert client.get("/UNKNOWN1/signed").status_code == 400
        merchant.prepay()
        assert client.get("/TEST0001/signed").status_code == 400  # not paid
        world.pay(world.trades["TEST0001"])
        notice = client.get("/TEST0001/signed").json()
        assert library.callback(notice["headers"], notice["body"])["resource"]["out_trade_no"] == "TEST0001"
        assert client.get("/TEST0001/signed", params={"out_refund_no": "NOBODYS"}).status_code == 400
        assert not world.notices


@pytest.mark.parametrize(("answer", "status"), [("500", 500), ("502html", 502), ("429", 429)])
@pytest.mark.parametrize("after_effect", [False, True])
def test_a_fault_fires_as_often_as_it_was_asked_for(
    wechat_url: str, merchant: Merchant, answer: str, status: int, after_effect: bool
) -> None:
    fault = {"call": "prepay", "answer": answer, "times": 2, "after_effect": after_effect}
    httpx.post(f"{wechat_url}/_sim/faults", json=fault)
    statuses = [merchant.prepay(out_trade_no=f"FAULT{n:03d}").status_code for n in range(3)]
    assert statuses == [status, status, 200]
    assert len(merchant.world.trades) == (3 if after_effect else 1)
    assert httpx.get(f"{wechat_url}/_sim/faults").json()[0]["fired"] == 2
    assert httpx.delete(f"{wechat_url}/_sim/faults").json() == []


def test_a_dropped_answer_is_cut_off_in_the_middle(wechat_url: str, merchant: Merchant) -> None:
    httpx.post(f"{wechat_url}/_sim/faults", json={"call": "prepay", "answer": "drop", "after_effect": True})
    with pytest.raises(httpx.RemoteProtocolError):
        merchant.prepay()
    assert "TEST0001" in merchant.world.trades


def test_waiting_for_a_moment_ends_when_the_clock_is_advanced() -> None:
    async def waits(clock: Clock) -> None:
        waiting = asyncio.create_task(clock.wait_until(clock.now() + 3600))
        await asyncio.sleep(0)
        clock.advance(1800)
        await asyncio.sleep(0.01)
        assert not waiting.done()
        clock.advance(1801)
        await asyncio.wait_for(waiting, 5)

    asyncio.run(waits(Clock()))


# --- alone


def test_it_stands_alone_and_keeps_its_keys(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "simulator", "--port", str(port), "--state", str(tmp_path)]
    kept = []
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert f"http://127.0.0.1:{port}" in process.stdout.readline()
            until = time.monotonic() + 20
            while time.monotonic() < until:
                with contextlib.suppress(httpx.TransportError):
                    assert httpx.get(f"http://127.0.0.1:{port}/_sim/trades").json() == []
                    break
            kept.append((tmp_path / "credentials.json").read_text())
        finally:
            process.terminate()
            process.communicate()
    assert kept[0] == kept[1]
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert Credentials.load_or_create(tmp_path).mchid == "1900000109"


def test_a_broken_credentials_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text("{}")
    command = [sys.executable, "-m", "simulator", "--port", "1", "--state", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "delete it" in done.stderr
