"""create_prepay and status_poll: one open trade per order (R2), unknown is not failed (R1), and WeChat is asked."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from wechatpayv3 import WeChatPay, WeChatPayType

from functions.create_prepay import app as create_prepay
from payments.domain.order import OrderStatus
from payments.domain.payment import PaymentStatus
from payments.domain.times import utc_now
from payments.store.payments import Payments
from payments.wechat.errors import OutcomeUnknown
from payments.wechat.pay import WechatPay
from simulator.app import create_app
from simulator.testing import serving
from simulator.world import Fault, Trade, World
from tests.examples import CHANGED, payment
from tests.shop.wechat import client_of

if TYPE_CHECKING:
    from tests.shop import Shop

PREPAY = "POST /orders/{order_sn}/prepay"


def test_the_five_fields_open_the_cashier(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    fields = shop.guest.prepay(token, order_sn)
    assert set(fields) == {"timeStamp", "nonceStr", "package", "signType", "paySign", "out_trade_no"}
    assert shop.guest.cashier(fields) == "requestPayment:ok"
    assert shop.guest.cashier(fields | {"package": "prepay_id=wx0"}) != "requestPayment:ok"


def test_the_trade_at_wechat_is_the_stored_payment(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.guest.prepay(token, order_sn)
    stored = shop.items.collection(order_sn).payments[0]
    request = shop.wechat.world.trades[stored.out_trade_no].request
    assert request["amount"] == {"total": stored.total_fen, "currency": "CNY"}
    assert request["notify_url"] == stored.notify_url == "https://pay.example.com/wxpay/notify"
    assert request["payer"]["openid"] == stored.openid
    assert stored.prepay_id in shop.wechat.world.trades[stored.out_trade_no].prepay_ids


def test_without_a_public_address_wechat_reports_where_the_request_came_in(
    shop: "Shop", monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.deploy(PUBLIC_BASE_URL="")
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.guest.prepay(token, order_sn)
    notify_url = shop.items.collection(order_sn).payments[0].notify_url
    assert notify_url == "https://a1b2c3d4e5.execute-api.ap-southeast-1.amazonaws.com/wxpay/notify"


def test_a_repeat_signs_the_live_prepay_id_without_asking_wechat(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    first = shop.guest.prepay(token, order_sn)
    shop.wechat.world.faults.append(Fault(call="prepay", answer="500", times=99))
    again = shop.guest.prepay(token, order_sn)
    assert again["package"] == first["package"]
    assert again["paySign"] != first["paySign"]
    assert shop.items.sort_keys("PAYMENT#") == ["PAYMENT#1"]


def test_fresh_asks_wechat_for_a_new_prepay_id_of_the_same_trade(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    first = shop.guest.prepay(token, order_sn)
    shop.janitor.later(seconds=5)
    fresh = shop.guest.prepay(token, order_sn, fresh=True)
    assert fresh["package"] != first["package"]
    assert fresh["out_trade_no"] == first["out_trade_no"]
    assert shop.guest.cashier(fresh) == "requestPayment:ok"


def test_the_body_may_be_left_out(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    assert shop.call(PREPAY, None, token=token, order_sn=order_sn).status == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{", "body"),
        ({"fresh": 1}, "body.fresh"),
        ({"total_fen": 1}, "body.total_fen"),
        ({"openid": "o"}, "body.openid"),
    ],
)
def test_a_body_of_another_shape_is_422(shop: "Shop", body: Any, field: str) -> None:
    token = shop.guest.login()
    reply = shop.call(PREPAY, body, token=token, order_sn=shop.guest.order(token))
    assert (reply.status, reply.json["field"]) == (422, field)


@pytest.mark.parametrize("status", [status for status in OrderStatus if status is not OrderStatus.WAIT_PAY])
def test_an_order_that_is_not_waiting_is_409_with_its_state(shop: "Shop", status: OrderStatus) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.items.set_order(order_sn, status=status)
    reply = shop.call(PREPAY, {}, token=token, order_sn=order_sn)
    assert (reply.status, reply.json["type"], reply.json["order_status"]) == (409, "urn:wxpay:order-state", status)
    assert shop.items.sort_keys("PAYMENT#") == []


def test_an_order_that_expires_within_ninety_seconds_is_409(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.items.set_order(order_sn, expires_at=utc_now() + timedelta(seconds=80))
    assert shop.call(PREPAY, {}, token=token, order_sn=order_sn).status == 409
    assert shop.wechat.world.trades == {}


@pytest.mark.parametrize("answer", ["500", "502html", "429", "drop"])
@pytest.mark.parametrize("after_effect", [False, True])
def test_wechat_down_is_503_and_the_repeat_is_the_same_trade(shop: "Shop", answer: str, after_effect: bool) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.wechat.world.faults.append(Fault(call="prepay", answer=answer, times=2, after_effect=after_effect))
    reply = shop.call(PREPAY, {}, token=token, order_sn=order_sn)
    assert (reply.status, 1 <= int(reply.headers["retry-after"]) <= 5) == (503, True)
    stored = shop.items.collection(order_sn).payments[0]
    assert (stored.status, stored.prepay_id) == (PaymentStatus.NOTPAY, None)
    shop.wechat.world.faults.clear()
    shop.janitor.later(seconds=5)
    fields = shop.guest.prepay(token, order_sn)
    assert fields["out_trade_no"] == stored.out_trade_no
    assert shop.guest.cashier(fields) == "requestPayment:ok"
    assert shop.items.sort_keys("PAYMENT#") == ["PAYMENT#1"]


def test_a_slow_wechat_is_503_in_time(shop: "Shop", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments.wechat.pay.TIMEOUT_S", (0.5, 0.2))
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.wechat.world.faults.append(Fault(call="prepay", answer="timeout"))
    assert shop.call(PREPAY, {}, token=token, order_sn=order_sn).status == 503
    assert shop.items.collection(order_sn).payments[0].status is PaymentStatus.NOTPAY


def test_a_final_refusal_closes_the_unused_trade_and_the_next_prepay_starts_clean(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    openid = shop.items.collection(order_sn).order.openid
    user = shop.wechat.world.users.pop(openid)  # WeChat does not know the openid: PARAM_ERROR
    reply = shop.call(PREPAY, {}, token=token, order_sn=order_sn)
    assert (reply.status, reply.json["code"]) == (502, "PARAM_ERROR")
    assert shop.items.collection(order_sn).payments[0].status is PaymentStatus.CLOSED
    shop.wechat.world.users[openid] = user
    assert shop.guest.prepay(token, order_sn)["out_trade_no"] == f"{order_sn}_2"


def test_a_wrong_key_of_ours_says_nothing_about_the_trade(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    serial = shop.wechat.world.credentials.merchant_serial_no
    object.__setattr__(shop.wechat.world.credentials, "merchant_serial_no", "0" * 40)
    try:
        reply = shop.call(PREPAY, {}, token=token, order_sn=order_sn)
    finally:
        object.__setattr__(shop.wechat.world.credentials, "merchant_serial_no", serial)
    assert reply.status == 503
    assert shop.items.collection(order_sn).payments[0].status is PaymentStatus.NOTPAY


def test_a_trade_closed_at_wechat_is_followed_by_the_second(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    first = shop.guest.prepay(token, order_sn)
    shop.wechat.world.trades[first["out_trade_no"]].trade_state = "CLOSED"  # by hand, in the merchant console
    shop.janitor.later(seconds=5)
    second = shop.guest.prepay(token, order_sn, fresh=True)
    assert second["out_trade_no"] == f"{order_sn}_2"
    assert [p.status for p in shop.items.collection(order_sn).payments] == [PaymentStatus.CLOSED, PaymentStatus.NOTPAY]


@pytest.mark.parametrize("code", [(400, "ORDER_PAID"), (403, "OUT_TRADE_NO_USED"), (400, "INVALID_REQUEST")])
def test_a_trade_paid_unknown_to_us_is_booked_by_the_prepay_that_meets_it(shop: "Shop", code: tuple[int, str]) -> None:
    shop.wechat.world.switches.paid_status, shop.wechat.world.switches.paid_code = code
    token, order_sn = shop.guest.paid_order()
    shop.janitor.later(seconds=5)
    reply = shop.call(PREPAY, {"fresh": True}, token=token, order_sn=order_sn)
    assert (reply.status, reply.json["detail"]) == (409, "the order is already paid")
    assert shop.items.collection(order_sn).payments[0].status is PaymentStatus.SUCCESS


def test_a_trade_that_wechat_has_with_other_parameters_is_closed_there_first(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    first = shop.guest.prepay(token, order_sn)
    shop.items.set_payment(order_sn, description="changed by a bug", prepay_id=None, called_at=None)
    second = shop.guest.prepay(token, order_sn)
    assert second["out_trade_no"] == f"{order_sn}_2"
    assert shop.wechat.world.trades[first["out_trade_no"]].trade_state == "CLOSED"


def test_when_wechat_cannot_be_asked_what_it_means_the_answer_is_503(shop: "Shop") -> None:
    token, order_sn = shop.guest.paid_order()
    shop.wechat.world.faults.append(Fault(call="query", answer="500", times=9))
    shop.janitor.later(seconds=5)
    assert shop.call(PREPAY, {"fresh": True}, token=token, order_sn=order_sn).status == 503
    assert shop.items.collection(order_sn).payments[0].status is PaymentStatus.NOTPAY


def test_a_prepay_id_of_a_trade_that_was_closed_meanwhile_reaches_no_phone(
    shop: "Shop", monkeypatch: pytest.MonkeyPatch
) -> None:
    """R2, step 5: between WeChat's answer and our write, a cancel closes the payment."""
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    prepay = WechatPay.prepay

    def cancelled_meanwhile(self: WechatPay, payment: Any) -> str:
        prepay_id = prepay(self, payment)
        shop.items.set_order(order_sn, closing=True)
        assert shop.store.payments.close(payment, unused=True)
        return prepay_id

    monkeypatch.setattr(WechatPay, "prepay", cancelled_meanwhile)
    reply = shop.call(PREPAY, {}, token=token, order_sn=order_sn)
    assert (reply.status, reply.json["detail"]) == (409, "the order is being cancelled")
    assert shop.items.collection(order_sn).payments[0].prepay_id is None


def test_a_cancel_between_the_first_read_and_the_put_closes_the_unused_payment(
    shop: "Shop", monkeypatch: pytest.MonkeyPatch
) -> None:
    """R2, step 3: the order is read once more after the put."""
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    put_payment = Payments.put

    def cancelled_meanwhile(self: Any, payment: Any) -> Any:
        shop.items.set_order(order_sn, closing=True)
        return put_payment(self, payment)

    monkeypatch.setattr(Payments, "put", cancelled_meanwhile)
    assert shop.call(PREPAY, {}, token=token, order_sn=order_sn).status == 409
    assert shop.items.collection(order_sn).payments[0].status is PaymentStatus.CLOSED
    assert shop.wechat.world.trades == {}


def test_two_phones_at_once_share_one_trade(shop: "Shop", monkeypatch: pytest.MonkeyPatch) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    put_payment = Payments.put
    answers: list[dict[str, str]] = []

    def other_phone_first(self: Any, payment: Any) -> Any:
        monkeypatch.setattr(Payments, "put", put_payment)
        answers.append(shop.guest.prepay(token, order_sn))
        return put_payment(self, payment)

    monkeypatch.setattr(Payments, "put", other_phone_first)
    answers.append(shop.guest.prepay(token, order_sn))
    assert {fields["out_trade_no"] for fields in answers} == {f"{order_sn}_1"}
    assert len(shop.wechat.world.trades) == 1


def test_a_prepay_that_never_settles_gives_up_with_503(shop: "Shop", monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trade is closed before its prepay_id is stored, again and again."""

    def closed_first(self: Any, payment: Any, *_: Any) -> Any:
        assert self.close(payment, unused=True)
        return CHANGED

    monkeypatch.setattr(Payments, "store_prepay_id", closed_first)
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    assert shop.call(PREPAY, {}, token=token, order_sn=order_sn).status == 503
    assert len(shop.wechat.world.trades) == create_prepay.ROUNDS == 4


# --- status_poll


def test_before_the_first_prepay_there_is_no_payment_status(shop: "Shop") -> None:
    token = shop.guest.login()
    told = shop.guest.poll(token, shop.guest.order(token))
    assert (told["order_status"], told["payment_status"], told["poll_after_ms"]) == ("WAIT_PAY", None, 300)
    assert told["redeem_code"] is None


def test_the_poll_asks_wechat_and_books_a_payment_whose_callback_got_lost(shop: "Shop") -> None:
    token, order_sn = shop.guest.paid_order()
    told = shop.guest.poll(token, order_sn)
    assert (told["payment_status"], told["order_status"], told["poll_after_ms"]) == ("SUCCESS", "WAIT_PAY", 300)
    shop.events.settle()
    told = shop.guest.poll(token, order_sn)
    assert (told["order_status"], told["poll_after_ms"]) == ("WAIT_USE", None)
    assert len(told["redeem_code"]) == 10
    assert told["paid_at"]


def test_wechat_is_asked_at_most_every_five_seconds(shop: "Shop") -> None:
    token, order_sn = shop.guest.paid_order()
    shop.wechat.world.faults.append(Fault(call="query", answer="500", times=9))
    assert shop.guest.poll(token, order_sn)["payment_status"] == "NOTPAY"
    asked = shop.wechat.world.faults[0].fired
    assert shop.guest.poll(token, order_sn)["payment_status"] == "NOTPAY"
    assert shop.wechat.world.faults[0].fired == asked
    shop.wechat.world.faults.clear()
    assert shop.guest.poll(token, order_sn)["payment_status"] == "NOTPAY"
    shop.janitor.later(seconds=5)
    assert shop.guest.poll(token, order_sn)["payment_status"] == "SUCCESS"


def test_the_poll_learns_that_a_trade_was_closed(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    fields = shop.guest.prepay(token, order_sn)
    shop.wechat.world.trades[fields["out_trade_no"]].trade_state = "CLOSED"
    assert shop.guest.poll(token, order_sn)["payment_status"] == "CLOSED"


def test_a_trade_that_wechat_does_not_know_stays_open(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.guest.prepay(token, order_sn)
    shop.wechat.world.trades.clear()
    assert shop.guest.poll(token, order_sn)["payment_status"] == "NOTPAY"


def test_a_refunded_trade_was_paid(shop: "Shop") -> None:
    token, order_sn = shop.guest.paid_order()
    shop.wechat.world.trades[f"{order_sn}_1"].trade_state = "REFUND"
    assert shop.guest.poll(token, order_sn)["payment_status"] == "SUCCESS"


def test_a_reply_that_tells_nothing_readable_is_unknown(shop: "Shop") -> None:
    token, order_sn = shop.guest.paid_order()
    shop.wechat.world.trades[f"{order_sn}_1"].transaction_id = ""
    assert shop.guest.poll(token, order_sn)["payment_status"] == "NOTPAY"


def test_an_old_unpaid_order_is_polled_seldom(shop: "Shop") -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.items.set_order(order_sn, created_at=utc_now() - timedelta(minutes=6))
    assert shop.guest.poll(token, order_sn)["poll_after_ms"] == 5000


# --- the transport


def test_twenty_calls_open_one_connection(world: World) -> None:
    connections = set()
    app = create_app(world)

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            connections.add(scope["client"])
        await app(scope, receive, send)

    with serving(counting) as base_url:
        client = client_of(world, base_url)
        for _ in range(20):
            assert client.query(payment(mchid=world.credentials.mchid)) is None
    assert len(connections) == 1


@pytest.mark.parametrize(
    ("forgery", "why"),
    [
        ("probe", "the signature is a probe"),
        ("other key", "the signature does not verify"),
        ("old", "Wechatpay-Timestamp is too far from now"),
        ("unknown serial", "Wechatpay-Serial is not one of our keys"),
        ("other body", "the signature does not verify"),
        ("no timestamp", "Wechatpay-Timestamp is not a time"),
    ],
)
def test_a_reply_that_does_not_verify_is_unknown_and_not_failed(
    shop: "Shop", forgery: str, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from simulator import app as simulator_app
    from simulator import credentials as simulator_credentials
    from simulator.notification import signature_headers

    token = shop.guest.login()
    order_sn = shop.guest.order(token)

    def forged(world: Any, body: bytes, **_: Any) -> dict[str, str]:
        now = int(world.clock.now())
        match forgery:
            case "probe":
                headers = signature_headers(world, body)
                return headers | {"Wechatpay-Signature": "WECHATPAY/SIGNTEST/" + headers["Wechatpay-Signature"][19:]}
            case "other key":
                return signature_headers(world, body, private_key=simulator_credentials.key_pair()[0])
            case "old":
                return signature_headers(world, body, timestamp=now - 300)
            case "unknown serial":
                return signature_headers(world, body, serial="PUB_KEY_ID_OTHER")
            case "other body":
                return signature_headers(world, body + b" ")
            case _:
                return signature_headers(world, body) | {"Wechatpay-Timestamp": "soon"}

    monkeypatch.setattr(simulator_app, "signature_headers", forged)
    assert shop.call(PREPAY, {}, token=token, order_sn=order_sn).status == 503
    unknown = [record for record in caplog.records if record.message == "prepay.unknown"]
    assert [vars(record)["why"] for record in unknown] == [f"WeChat Pay answered 200: {why}"]
    assert isinstance(shop.wechat.world.trades[f"{order_sn}_1"], Trade)  # it did take effect
    stored = shop.items.collection(order_sn).payments[0]
    assert (stored.status, stored.prepay_id) == (PaymentStatus.NOTPAY, None)


class Failing(requests.Session):
    """A connection that fails the first `times` requests; the rest go out."""

    def __init__(self, error: Exception, times: int) -> None:
        super().__init__()
        self.error, self.times = error, times
        self.bodies: list[Any] = []

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        self.bodies.append(options["data"])
        if len(self.bodies) <= self.times:
            raise self.error
        return super().request(*arguments, **options)


def test_a_reset_connection_is_tried_once_more_with_the_same_body(shop: "Shop") -> None:
    _token, order_sn = shop.guest.paid_order()
    stored = shop.items.collection(order_sn).payments[0]
    always = Failing(requests.ConnectionError("reset"), times=99)
    with pytest.raises(OutcomeUnknown):
        client_of(shop.wechat.world, shop.wechat.url, always).query(stored)
    assert len(always.bodies) == 2
    once = Failing(requests.ConnectionError("reset by peer"), times=1)
    assert client_of(shop.wechat.world, shop.wechat.url, once).query(stored) is not None
    assert len(once.bodies) == 2
    assert once.bodies[0] == once.bodies[1]


@pytest.mark.parametrize("error", ["ConnectTimeout", "ReadTimeout", "ChunkedEncodingError"])
def test_no_answer_is_unknown(shop: "Shop", error: str) -> None:
    _token, order_sn = shop.guest.paid_order()
    stored = shop.items.collection(order_sn).payments[0]
    failing = Failing(getattr(requests.exceptions, error)("text"), times=99)
    with pytest.raises(OutcomeUnknown):
        client_of(shop.wechat.world, shop.wechat.url, failing).query(stored)


def test_what_the_library_keeps_private_is_where_we_expect_it(shop: "Shop") -> None:
    """WechatPay is built past the library's own constructors, which set these names."""
    credentials = shop.wechat.world.credentials
    of_the_library = WeChatPay(
        WeChatPayType.MINIPROG,
        mchid=credentials.mchid,
        private_key=credentials.merchant_private_key,
        cert_serial_no=credentials.merchant_serial_no,
        apiv3_key=credentials.apiv3_key,
        appid=credentials.appid,
        notify_url="",
        public_key=credentials.platform_public_key,
        public_key_id=credentials.platform_key_id,
    )
    ours = client_of(shop.wechat.world, shop.wechat.url)._library
    assert set(vars(ours)) <= set(vars(of_the_library))
    core = vars(ours._core)
    expected = {"_gate_way", "_mchid", "_cert_serial_no", "_private_key", "_public_key_id"}
    assert expected <= set(core)
    assert expected <= set(vars(of_the_library._core))
    assert core["_gate_way"] == shop.wechat.url


def test_nothing_secret_is_logged_on_the_way(shop: "Shop", caplog: pytest.LogCaptureFixture) -> None:
    token, order_sn = shop.guest.pays()
    shop.guest.poll(token, order_sn)
    shop.events.settle()
    logged = str([vars(record) for record in caplog.records])
    credentials = shop.wechat.world.credentials
    secrets = [credentials.app_secret, credentials.apiv3_key, shop.wechat.world.current_token, token, "PRIVATE KEY"]
    order = shop.items.collection(order_sn).order
    for secret in [*secrets, order.openid, order.redeem_code]:
        assert secret
        assert secret not in logged
    assert order_sn in logged
