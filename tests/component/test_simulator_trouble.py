"""Trouble on demand: every fault does what its line says, and fires where and as often as it was asked to."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from wechatpayv3.utils import aes_decrypt

from simulator.faults import FAULTS, BadFault
from simulator.pytest_plugin import Wechat, wechat, wechat_credentials
from simulator.signing import lines, verifies
from simulator.testing import serving
from tests.component.test_simulator import Merchant

__all__ = ["wechat", "wechat_credentials"]

REFUND = {"out_refund_no": "R1", "amount": {"refund": 1, "total": 100, "currency": "CNY"}}


class Shop:
    """A merchant whose server keeps the notices that it gets, and the phone of his guest."""

    def __init__(self, wechat: Wechat) -> None:
        self.wechat = wechat
        self.merchant = Merchant(wechat.world, wechat.base_url)
        self.notify_url = ""
        self.notices: list[tuple[dict[str, str], bytes]] = []
        self.changed = threading.Condition()

    async def receive(self, request: Request) -> Response:
        body = await request.body()
        with self.changed:
            self.notices.append((dict(request.headers), body))
            self.changed.notify_all()
        return Response(status_code=204 if self.verifies(-1) else 401)

    def prepay(self, number: str = "TEST0001", **changes: Any) -> httpx.Response:
        return self.merchant.prepay(out_trade_no=number, notify_url=self.notify_url, **changes)

    def pay(self, number: str = "TEST0001", **changes: Any) -> str:
        return self.merchant.pay(self.prepay(number, **changes).json()["prepay_id"])

    def awaits(self, count: int) -> None:
        """Waits until so many notices are there."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.notices) >= count, 10), f"{len(self.notices)} of {count}"

    def verifies(self, index: int) -> bool:
        headers, body = self.notices[index]
        message = lines(headers["wechatpay-timestamp"], headers["wechatpay-nonce"], body)
        key = self.wechat.world.credentials.platform_public_key
        return verifies(key, message, headers["wechatpay-signature"])

    def plaintext(self, index: int) -> dict[str, Any]:
        resource = json.loads(self.notices[index][1])["resource"]
        key = self.wechat.world.credentials.apiv3_key
        opened = aes_decrypt(resource["nonce"], resource["ciphertext"], resource["associated_data"], key)
        return dict(json.loads(opened))


@pytest.fixture
def shop(wechat: Wechat) -> Iterator[Shop]:
    made = Shop(wechat)
    with serving(Starlette(routes=[Route("/notify", made.receive, methods=["POST"])])) as base_url:
        made.notify_url = f"{base_url}/notify"
        yield made


# --- scope


def test_a_fault_can_be_of_one_trade_only(wechat: Wechat) -> None:
    fault = wechat.fault("prepay", "500", out_trade_no="TEST0002", times=5)
    merchant = Merchant(wechat.world, wechat.base_url)
    assert [merchant.prepay(out_trade_no=f"TEST000{n}").status_code for n in (1, 2, 3)] == [200, 500, 200]
    assert fault.fired == 1


def test_chances_are_repeatable_by_their_seed(wechat: Wechat) -> None:
    merchant = Merchant(wechat.world, wechat.base_url)
    seen = []
    for _ in range(2):
        wechat.world.faults.clear()
        fault = wechat.fault("prepay", "500", probability=0.5, seed=7, times=100)
        seen.append([merchant.prepay().status_code for _ in range(12)])
        assert fault.fired == seen[-1].count(500)
    assert seen[0] == seen[1]
    assert {200, 500} == set(seen[0])


@pytest.mark.parametrize(
    "scope",
    [{"times": 0}, {"times": True}, {"probability": 0}, {"probability": 1.1}, {"seed": 1.5}, {"value": -1}, {"on": 1}],
)
def test_a_bad_scope_is_refused_with_what_there_is(wechat: Wechat, scope: dict[str, Any]) -> None:
    with pytest.raises(BadFault, match="probability"):
        wechat.fault("prepay", "500", **scope)


def test_an_unknown_fault_is_refused_with_the_list(wechat: Wechat) -> None:
    for call, answer in (("prepay", "explode"), ("cashier", "500"), ("nothing", "500")):
        with pytest.raises(BadFault) as refused:
            wechat.fault(call, answer)
        assert all(known in str(refused.value) for known in FAULTS)


# --- replies


@pytest.mark.parametrize("answer", ["signtest", "wrong_key", "stale"])
def test_a_reply_can_be_signed_wrongly_and_has_taken_effect(wechat: Wechat, answer: str) -> None:
    wechat.fault("prepay", answer)
    reply = Merchant(wechat.world, wechat.base_url).prepay()
    headers = reply.headers
    message = lines(headers["wechatpay-timestamp"], headers["wechatpay-nonce"], reply.content)
    genuine = verifies(wechat.world.credentials.platform_public_key, message, headers["wechatpay-signature"])
    fresh = abs(int(headers["wechatpay-timestamp"]) - time.time()) < 300
    assert (genuine, fresh) == ((True, False) if answer == "stale" else (False, True))
    assert headers["wechatpay-signature"].startswith("WECHATPAY/SIGNTEST/") is (answer == "signtest")
    assert "TEST0001" in wechat.world.trades


def test_a_reply_can_be_late(wechat: Wechat) -> None:
    wechat.fault("prepay", "delay", value=0.3)
    started = time.monotonic()
    assert Merchant(wechat.world, wechat.base_url).prepay().status_code == 200
    assert time.monotonic() - started >= 0.3


def test_while_the_user_types_the_password_close_is_429(wechat: Wechat) -> None:
    merchant = Merchant(wechat.world, wechat.base_url)
    merchant.prepay()
    wechat.fault("close", "429", out_trade_no="TEST0001")
    path, body = "/v3/pay/transactions/out-trade-no/TEST0001/close", {"mchid": wechat.world.credentials.mchid}
    assert [merchant.send("POST", path, body).status_code for _ in range(2)] == [429, 204]


def test_a_reply_can_be_lost_after_the_refund_was_accepted(wechat: Wechat, shop: Shop) -> None:
    shop.pay()
    wechat.fault("refund", "drop", after_effect=True)
    with pytest.raises(httpx.RemoteProtocolError):
        shop.merchant.send("POST", "/v3/refund/domestic/refunds", REFUND | {"out_trade_no": "TEST0001"})
    assert "R1" in wechat.world.refunds


def test_every_call_of_a_trade_is_remembered(wechat: Wechat, shop: Shop) -> None:
    """What came and what went out, with its fault; nothing of another trade, and no openid."""
    wechat.fault("callback", "drop")
    wechat.fault("query", "500")
    shop.pay()
    wait_for(lambda: wechat.world.notices[0].attempts)
    wechat.world.clock.advance(15)
    shop.awaits(1)
    path = f"/v3/pay/transactions/out-trade-no/TEST0001?mchid={wechat.world.credentials.mchid}"
    assert [shop.merchant.send("GET", path).status_code for _ in range(2)] == [500, 200]
    refund = REFUND | {"out_trade_no": "TEST0001"}
    assert shop.merchant.send("POST", "/v3/refund/domestic/refunds", refund).status_code == 200
    assert shop.merchant.send("POST", "/v3/refund/domestic/refunds", refund | {"reason": "x"}).status_code == 400
    assert shop.merchant.send("GET", "/v3/refund/domestic/refunds/R1").status_code == 200
    shop.pay("TEST0002")
    told = httpx.get(f"{wechat.base_url}/_sim/trades/TEST0001/calls").json()
    assert [(call["call"], call["fault"], call["status"], call["code"]) for call in told] == [
        ("prepay", "", 200, ""),
        ("cashier", "", 200, ""),
        ("callback", "drop", 0, ""),
        ("callback", "", 204, ""),
        ("query", "500", 500, ""),
        ("query", "", 200, ""),
        ("refund", "", 200, ""),
        ("refund", "", 400, "INVALID_REQUEST"),
        ("query_refund", "", 200, ""),
    ]
    assert all(call["ms"] >= 0 for call in told)
    assert httpx.get(f"{wechat.base_url}/_sim/trades/NOBODY/calls").json() == []


# --- notices


def test_a_notice_can_get_lost_and_comes_again(wechat: Wechat, shop: Shop) -> None:
    wechat.fault("callback", "drop")
    shop.pay()
    wait_for(lambda: wechat.world.notices and wechat.world.notices[0].attempts)
    wechat.world.clock.advance(15)
    shop.awaits(1)
    assert wechat.world.notices[0].attempts[0]["status"] == 0


def wait_for(look: Any) -> None:
    until = time.monotonic() + 10
    while not look():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_notice_can_be_late(wechat: Wechat, shop: Shop) -> None:
    fault = wechat.fault("callback", "late", value=60)
    shop.pay()
    wait_for(lambda: fault.fired)
    assert shop.notices == []
    wechat.world.clock.advance(61)
    shop.awaits(1)


@pytest.mark.parametrize("answer", ["duplicate", "at_once"])
def test_a_notice_can_come_several_times(wechat: Wechat, shop: Shop, answer: str) -> None:
    wechat.fault("callback", answer, value=4)
    shop.pay()
    shop.awaits(4)
    assert len({json.loads(body)["id"] for _, body in shop.notices}) == 1
    assert shop.plaintext(0) == shop.plaintext(3)


def test_notices_can_come_out_of_order(wechat: Wechat, shop: Shop) -> None:
    fault = wechat.fault("callback", "out_of_order", out_trade_no="FIRST001")
    shop.pay("FIRST001")
    wait_for(lambda: fault.fired)
    shop.pay("SECOND01")
    shop.awaits(2)
    assert [shop.plaintext(n)["out_trade_no"] for n in (0, 1)] == ["SECOND01", "FIRST001"]


def test_a_notice_can_come_before_the_prepay_reply(wechat: Wechat, shop: Shop) -> None:
    wechat.fault("prepay", "paid_first")
    reply = shop.prepay()
    assert len(shop.notices) == 1  # it was there when the reply came
    assert reply.json()["prepay_id"]
    assert shop.plaintext(0)["trade_state"] == "SUCCESS"


def test_a_probe_can_come_first(wechat: Wechat, shop: Shop) -> None:
    wechat.fault("callback", "signtest")
    shop.pay()
    shop.awaits(2)
    assert [shop.verifies(n) for n in (0, 1)] == [False, True]
    assert shop.notices[0][0]["wechatpay-signature"].startswith("WECHATPAY/SIGNTEST/")
    wait_for(lambda: wechat.world.notices[0].state == "delivered")


@pytest.mark.parametrize("answer", ["old_certificate", "next_key"])
def test_a_notice_can_be_signed_by_another_of_wechats_keys(wechat: Wechat, shop: Shop, answer: str) -> None:
    wechat.fault("callback", answer)
    shop.pay()
    shop.awaits(1)
    credentials = wechat.world.credentials
    serials = {"old_certificate": credentials.certificate_serial_no, "next_key": credentials.next_key_id}
    headers, body = shop.notices[0]
    assert headers["wechatpay-serial"] == serials[answer]
    assert not shop.verifies(0)
    if answer == "next_key":
        message = lines(headers["wechatpay-timestamp"], headers["wechatpay-nonce"], body)
        assert verifies(credentials.next_public_key, message, headers["wechatpay-signature"])


@pytest.mark.parametrize(
    ("answer", "field", "value"),
    [
        ("wrong_amount", "amount", {"total": 7, "payer_total": 7, "currency": "CNY", "payer_currency": "CNY"}),
        ("wrong_mchid", "mchid", "1900009999"),
        ("unknown_fields", "brand_new", {"x": [1]}),
    ],
)
def test_a_notice_can_say_something_else(wechat: Wechat, shop: Shop, answer: str, field: str, value: Any) -> None:
    wechat.fault("callback", answer, value=7)
    shop.pay()
    shop.awaits(1)
    assert shop.verifies(0)
    assert shop.plaintext(0)[field] == value


def test_a_notice_can_be_of_a_trade_that_nobody_asked_for(wechat: Wechat, shop: Shop) -> None:
    wechat.fault("callback", "unknown_trade")
    shop.pay()
    shop.awaits(1)
    assert shop.plaintext(0)["out_trade_no"].startswith("NOBODY")


# --- the cashier


def test_a_coupon_lowers_what_the_payer_gives(wechat: Wechat, shop: Shop) -> None:
    wechat.fault("cashier", "coupon", value=30)
    shop.pay()
    shop.awaits(1)
    amount = shop.plaintext(0)["amount"]
    assert (amount["total"], amount["payer_total"]) == (100, 70)


def test_a_payment_can_go_through_after_the_last_second(wechat: Wechat, shop: Shop) -> None:
    from simulator.clock import rfc3339

    expires = rfc3339(wechat.world.clock.now() + 100)
    prepay_id = shop.prepay(time_expire=expires).json()["prepay_id"]
    wechat.world.clock.advance(101)
    assert shop.merchant.pay(prepay_id).startswith("requestPayment:fail")
    wechat.fault("cashier", "after_expiry")
    assert shop.merchant.pay(prepay_id) == "requestPayment:ok"


def test_a_payment_can_go_through_although_the_trade_is_closed(wechat: Wechat, shop: Shop) -> None:
    prepay_id = shop.prepay().json()["prepay_id"]
    assert httpx.post(f"{wechat.base_url}/_sim/trades/TEST0001/close").json()["trade_state"] == "CLOSED"
    assert shop.merchant.pay(prepay_id).startswith("requestPayment:fail")
    wechat.fault("cashier", "after_close")
    assert shop.merchant.pay(prepay_id) == "requestPayment:ok"
    shop.awaits(1)
    assert httpx.post(f"{wechat.base_url}/_sim/trades/TEST0001/close").status_code == 400


def test_a_trade_can_be_paid_just_before_it_is_closed(wechat: Wechat, shop: Shop) -> None:
    shop.prepay()
    wechat.fault("close", "paid_first")
    path, body = "/v3/pay/transactions/out-trade-no/TEST0001/close", {"mchid": wechat.world.credentials.mchid}
    reply = shop.merchant.send("POST", path, body)
    assert (reply.status_code, reply.json()["code"]) == (400, "ORDER_PAID")
    shop.awaits(1)


# --- refunds and their notices


def test_an_abnormal_refund_can_be_sent_elsewhere(wechat: Wechat, shop: Shop) -> None:
    shop.pay()
    wechat.fault("refund_end", "ABNORMAL")
    made = httpx.post(f"{wechat.base_url}/_sim/trades/TEST0001/refund", json={"amount": 40}).json()
    path = f"{wechat.base_url}/_sim/refunds/{made['refund_id']}/elsewhere"
    body = {"out_refund_no": made["out_refund_no"], "type": "MERCHANT_BANK_CARD"}
    assert httpx.post(path, json=body).status_code == 400  # not abnormal yet
    refund = wechat.world.refunds[made["out_refund_no"]]
    refund.ends_as = "ABNORMAL"
    wechat.world.clock.advance(5)
    shop.awaits(2)
    assert httpx.post(path, json=body).json()["status"] == "PROCESSING"
    shop.awaits(3)
    assert shop.plaintext(2)["refund_status"] == "SUCCESS"


def test_the_merchant_can_refund_in_the_console(wechat: Wechat, shop: Shop) -> None:
    shop.pay()
    shop.awaits(1)
    path = f"{wechat.base_url}/_sim/trades/TEST0001/refund"
    assert httpx.post(path, json={"amount": 101}).status_code == 400
    made = httpx.post(path, json={"amount": 40}).json()
    assert (made["status"], made["amount"]["refund"]) == ("PROCESSING", 40)
    wechat.world.clock.advance(5)
    shop.awaits(2)
    assert shop.plaintext(1)["out_refund_no"] == made["out_refund_no"]


@pytest.mark.parametrize("ends", ["SUCCESS", "ABNORMAL", "CLOSED"])
def test_a_refund_ends_and_tells_of_it(wechat: Wechat, shop: Shop, ends: str) -> None:
    shop.pay()
    shop.awaits(1)
    if ends != "SUCCESS":
        wechat.fault("refund_end", ends)
    body = REFUND | {"out_trade_no": "TEST0001", "notify_url": shop.notify_url}
    reply = shop.merchant.send("POST", "/v3/refund/domestic/refunds", body)
    assert reply.json()["status"] == "PROCESSING"
    wechat.world.clock.advance(6)
    shop.awaits(2)
    assert json.loads(shop.notices[1][1])["event_type"] == f"REFUND.{ends}"
    assert json.loads(shop.notices[1][1])["resource"]["associated_data"] == "refund"
    assert shop.plaintext(1)["refund_status"] == ends
    told = shop.merchant.send("GET", "/v3/refund/domestic/refunds/R1").json()
    assert told["status"] == ends
    if ends == "ABNORMAL":
        path = f"/v3/refund/domestic/refunds/{told['refund_id']}/apply-abnormal-refund"
        again = shop.merchant.send("POST", path, {"out_refund_no": "R1", "type": "MERCHANT_BANK_CARD"})
        assert again.json()["status"] == "PROCESSING"


def test_a_refund_can_meet_an_empty_balance(wechat: Wechat, shop: Shop) -> None:
    shop.pay()
    wechat.fault("refund", "not_enough")
    body = REFUND | {"transaction_id": wechat.world.trades["TEST0001"].transaction_id}
    statuses = [shop.merchant.send("POST", "/v3/refund/domestic/refunds", body).status_code for _ in range(2)]
    assert statuses == [403, 200]


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [("no", 400, "INVALID_REQUEST"), ("no_auth", 403, "NO_AUTH"), ("no_merchant", 400, "MCH_NOT_EXISTS")],
)
def test_a_refund_can_be_refused_and_a_number_denied(
    wechat: Wechat, shop: Shop, answer: str, status: int, code: str
) -> None:
    shop.pay()
    wechat.fault("refund", answer, after_effect=True)
    body = REFUND | {"transaction_id": wechat.world.trades["TEST0001"].transaction_id}
    reply = shop.merchant.send("POST", "/v3/refund/domestic/refunds", body)
    assert (reply.status_code, reply.json()["code"], len(wechat.world.refunds)) == (status, code, 1)
    for call, path in (
        ("query_refund", f"/v3/refund/domestic/refunds/{REFUND['out_refund_no']}"),
        ("query", f"/v3/pay/transactions/out-trade-no/TEST0001?mchid={wechat.world.credentials.mchid}"),
    ):
        wechat.fault(call, "denied")
        assert [shop.merchant.send("GET", path).status_code for _ in range(2)] == [404, 200]


def test_bills_and_their_download_can_fail(wechat: Wechat, shop: Shop) -> None:
    for call, path in (("tradebill", "/v3/bill/tradebill"), ("fundflowbill", "/v3/bill/fundflowbill")):
        wechat.fault(call, "502html")
        assert shop.merchant.send("GET", f"{path}?bill_date=2020-01-01").status_code == 502
        assert shop.merchant.send("GET", f"{path}?bill_date=2020-01-01").status_code == 400
    wechat.fault("download", "500")
    path = "/v3/billdownload/file?token=unknown"
    assert [shop.merchant.send("GET", path).status_code for _ in range(2)] == [500, 400]


# --- the mini-program API


def test_a_token_can_be_taken_back_and_a_message_refused(wechat: Wechat) -> None:
    credentials = wechat.world.credentials
    with httpx.Client(base_url=wechat.base_url) as client:
        body = {"grant_type": "client_credential", "appid": credentials.appid, "secret": credentials.app_secret}

        def send() -> int:
            token = client.post("/cgi-bin/stable_token", json=body).json()["access_token"]
            message = {"touser": openid, "template_id": "t", "data": {"thing1": {"value": "x"}}}
            path = f"/cgi-bin/message/subscribe/send?access_token={token}"
            return int(client.post(path, json=message).json()["errcode"])

        openid = wechat.world.user("guest-1").openid
        wechat.fault("send", "token_invalidated")
        wechat.fault("send", "refused")
        wechat.fault("send", "busy")
        assert [send() for _ in range(4)] == [40001, 43101, -1, 0]
        assert len(wechat.world.messages) == 1


def test_a_message_can_be_refused_because_of_the_app(wechat: Wechat) -> None:
    answers = {"wrong_field": 47003, "wrong_template": 40037, "no_right": 48001, "no_quota": 45009}
    with httpx.Client(base_url=wechat.base_url) as client:
        for answer, errcode in answers.items():
            wechat.fault("send", answer)
            assert client.post("/cgi-bin/message/subscribe/send", json={}).json()["errcode"] == errcode
    assert len(wechat.world.messages) == 0


def test_a_page_may_be_missing_in_the_released_version(wechat: Wechat) -> None:
    credentials = wechat.world.credentials
    openid = wechat.world.user("guest-1").openid
    fault = wechat.fault("send", "no_page")
    with httpx.Client(base_url=wechat.base_url) as client:
        body = {"grant_type": "client_credential", "appid": credentials.appid, "secret": credentials.app_secret}
        token = client.post("/cgi-bin/stable_token", json=body).json()["access_token"]

        def send(**page: str) -> int:
            message = {"touser": openid, "template_id": "t", "data": {"thing1": {"value": "x"}}, **page}
            path = f"/cgi-bin/message/subscribe/send?access_token={token}"
            return int(client.post(path, json=message).json()["errcode"])

        assert (send(), fault.fired) == (0, 0)
        assert (send(page="pages/order/order"), fault.fired) == (41030, 1)
        assert send(page="pages/order/order") == 0
    assert len(wechat.world.messages) == 2


def test_every_call_that_can_fail_is_known_by_its_path(wechat: Wechat) -> None:
    """A fault for a call that no path asks about would never fire."""
    paths = {
        "code2session": ("GET", "/sns/jscode2session"),
        "stable_token": ("POST", "/cgi-bin/stable_token"),
        "send": ("POST", "/cgi-bin/message/subscribe/send"),
        "upload_shipping_info": ("POST", "/wxa/sec/order/upload_shipping_info"),
        "get_order": ("POST", "/wxa/sec/order/get_order"),
        "prepay": ("POST", "/v3/pay/transactions/jsapi"),
        "query": ("GET", "/v3/pay/transactions/id/42"),
        "close": ("POST", "/v3/pay/transactions/out-trade-no/TEST0001/close"),
        "refund": ("POST", "/v3/refund/domestic/refunds"),
        "query_refund": ("GET", "/v3/refund/domestic/refunds/R1"),
        "tradebill": ("GET", "/v3/bill/tradebill"),
        "fundflowbill": ("GET", "/v3/bill/fundflowbill"),
        "download": ("GET", "/v3/billdownload/file"),
        "certificates": ("GET", "/v3/certificates"),
    }
    assert set(FAULTS) - set(paths) == {"callback", "cashier", "refund_end"}
    for call, (method, path) in paths.items():
        fault = wechat.fault(call, "502html")
        assert httpx.request(method, wechat.base_url + path).status_code == 502, call
        assert fault.fired == 1
