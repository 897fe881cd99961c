"""wx_callback: what WeChat did not sign changes nothing; what is ends as a payment, a duplicate or a case (R3, R4)."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from payments.domain.payment import PaymentStatus
from payments.domain.times import utc_now
from payments.store.payments import Payments
from payments.wechat.errors import OutcomeUnknown
from simulator import credentials as simulator_credentials
from simulator.notification import Signed, signature_headers
from simulator.world import World
from tests.examples import CHANGED
from tests.shop.wechat import Replying, client_of

if TYPE_CHECKING:
    from tests.shop import Shop
    from tests.shop.http import Answer


@pytest.fixture
def paid(shop: "Shop") -> str:
    """The out_trade_no of a trade that WeChat has the money of."""
    _, order_sn = shop.guest.paid_order()
    return f"{order_sn}_1"


def payment_of(shop: "Shop", out_trade_no: str) -> Any:
    return shop.items.collection(out_trade_no.rpartition("_")[0]).payments[-1]


def test_a_notice_books_the_payment_and_is_acknowledged(shop: "Shop", paid: str) -> None:
    reply = shop.wechat.notify(shop.wechat.notice(paid))
    assert (reply.status, reply.json) == (204, None)
    payment = payment_of(shop, paid)
    assert (payment.status, payment.version) == (PaymentStatus.SUCCESS, 3)
    assert payment.transaction_id == shop.wechat.world.trades[paid].transaction_id
    assert payment.success_time is not None
    assert payment.due_at is None


def test_the_same_notice_ten_times_is_one_change_and_ten_acknowledgements(shop: "Shop", paid: str) -> None:
    signed = shop.wechat.notice(paid)
    assert [shop.wechat.notify(signed).status for _ in range(10)] == [204] * 10
    assert payment_of(shop, paid).version == 3
    assert shop.items.cases() == []


def test_a_body_that_the_gateway_encoded_is_decoded_first(shop: "Shop", paid: str) -> None:
    signed = shop.wechat.notice(paid)
    body = base64.b64encode(signed.body).decode()
    assert shop.wechat.notify(signed, body=body, isBase64Encoded=True).status == 204


def test_the_signature_type_header_may_be_missing(shop: "Shop", paid: str) -> None:
    signed = shop.wechat.notice(paid)
    del signed.headers["Wechatpay-Signature-Type"]
    assert shop.wechat.notify(signed).status == 204


def test_fields_that_nobody_knows_are_ignored(shop: "Shop", paid: str) -> None:
    assert shop.wechat.notify(shop.wechat.notice(paid, plaintext={"brand_new": {"x": [1]}})).status == 204


def test_a_coupon_lowers_payer_total_and_the_payment_is_booked(shop: "Shop", paid: str) -> None:
    total = shop.wechat.world.trades[paid].request["amount"]["total"]
    amount = {"total": total, "payer_total": total - 100, "currency": "CNY", "payer_currency": "CNY"}
    assert shop.wechat.notify(shop.wechat.notice(paid, plaintext={"amount": amount})).status == 204
    payment = payment_of(shop, paid)
    assert (payment.status, payment.payer_total_fen) == (PaymentStatus.SUCCESS, total - 100)


# --- what is refused: 4xx in WeChat's shape, no write, no outbound call, no body in the log


def altered(signed: Signed, **headers: str) -> Signed:
    named = {f"Wechatpay-{name.title()}": value for name, value in headers.items()}
    return replace(signed, headers=signed.headers | named)


def resigned(world: World, body: bytes) -> Signed:
    return Signed(signature_headers(world, body), body)


def forgeries(world: World, signed: Signed) -> dict[str, tuple[Signed, int]]:
    now = int(world.clock.now())
    envelope = json.loads(signed.body)

    def resource(**changes: Any) -> Signed:
        body = json.dumps(envelope | {"resource": envelope["resource"] | changes}).encode()
        return resigned(world, body)

    other_key = simulator_credentials.key_pair()[0]
    stranger = replace(world.credentials, apiv3_key="0" * 32)
    foreign = World(stranger)
    foreign.trades = world.trades
    from simulator.notification import build

    sealed_with_another_key = build(foreign, next(iter(world.trades.values())))
    return {
        **{
            f"no {name}": (Signed({k: v for k, v in signed.headers.items() if k != name}, signed.body), 400)
            for name in ("Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial")
        },
        "stale": (Signed(signature_headers(world, signed.body, timestamp=now - 300), signed.body), 401),
        "from the future": (Signed(signature_headers(world, signed.body, timestamp=now + 310), signed.body), 401),
        "no time": (altered(signed, timestamp="yesterday"), 400),
        "time of a kind": (altered(signed, timestamp="１７９５４０６４２０"), 400),
        "endless time": (altered(signed, timestamp="9" * 5000), 400),
        "unknown serial": (altered(signed, serial="PUB_KEY_ID_0000"), 401),
        "bad base64": (altered(signed, signature="not base64!"), 401),
        "probe": (altered(signed, signature="WECHATPAY/SIGNTEST/" + signed.headers["Wechatpay-Signature"][19:]), 401),
        "wrong signature": (altered(signed, signature=base64.b64encode(b"x" * 256).decode()), 401),
        "another key": (Signed(signature_headers(world, signed.body, private_key=other_key), signed.body), 401),
        "one byte": (replace(signed, body=signed.body + b" "), 401),
        "not JSON": (resigned(world, b"hello"), 400),
        "not an object": (resigned(world, b"[1]"), 400),
        "no resource": (resigned(world, b"{}"), 400),
        "another algorithm": (resource(algorithm="AES"), 400),
        "no nonce": (resource(nonce=""), 400),
        "short nonce": (resource(nonce="x"), 400),
        "cipher of a kind": (resource(ciphertext=7), 400),
        "cipher not base64": (resource(ciphertext="%%%"), 400),
        "aad of a kind": (resource(associated_data=7), 400),
        "aad of another": (resource(associated_data="refund"), 401),
        "wrong APIv3 key": (sealed_with_another_key, 401),
        "over 64 KB": (resigned(world, b'{"x":"' + b"x" * 70_000 + b'"}'), 413),
    }


def refused(shop: "Shop", paid: str, reply: "Answer", status: int) -> None:
    assert (reply.status, reply.json["code"]) == (status, "FAIL")
    assert reply.json["message"]
    assert payment_of(shop, paid).version == 2
    assert shop.items.cases() == []


def test_what_is_not_wechats_word_is_refused_and_changes_nothing(
    shop: "Shop", paid: str, caplog: pytest.LogCaptureFixture
) -> None:
    shop.wechat.world.faults.clear()
    for name, (forged, status) in forgeries(shop.wechat.world, shop.wechat.notice(paid)).items():
        caplog.clear()
        reply = shop.wechat.notify(forged)
        refused(shop, paid, reply, status)
        lines = [record for record in caplog.records if record.msg == "callback.rejected"]
        others = {record.msg for record in caplog.records} - {"callback.rejected"}
        assert (len(lines), others <= {"callback.hint", "callback.not_opened"}) == (1, True), name
        assert forged.body.decode()[:40] not in str(vars(lines[0])), name


SIGNED_BY_WECHAT = {
    *("not JSON", "not an object", "no resource", "another algorithm", "no nonce", "short nonce", "cipher of a kind"),
    *("cipher not base64", "aad of a kind", "aad of another", "wrong APIv3 key", "over 64 KB"),
}
"""The forgeries whose signature is in order: what is wrong is in the body."""


def test_a_reply_is_refused_for_the_same_reason_as_a_callback(shop: "Shop", paid: str) -> None:
    """What does not verify as a callback does not verify as a reply: the outcome of that call is unknown (R1)."""
    trade, forged = payment_of(shop, paid), forgeries(shop.wechat.world, shop.wechat.notice(paid))
    assert forged.keys() > SIGNED_BY_WECHAT
    for name in forged.keys() - SIGNED_BY_WECHAT:
        signed, _ = forged[name]
        why = shop.wechat.notify(signed).json["message"]
        client = client_of(
            shop.wechat.world, shop.wechat.url, Replying(shop.wechat.world, 200, signed.body, signed.headers)
        )
        with pytest.raises(OutcomeUnknown, match=f"^WeChat Pay answered 200: {why}$"):
            client.query(trade)


def test_a_refusal_makes_no_outbound_call(shop: "Shop", paid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    signed = altered(shop.wechat.notice(paid), serial="PUB_KEY_ID_0000")
    calls: list[Any] = []
    monkeypatch.setattr(requests.Session, "request", lambda *arguments, **_: calls.append(arguments))
    refused(shop, paid, shop.wechat.notify(signed), 401)
    assert calls == []


def test_bodies_that_are_no_base64_or_no_text_are_refused(shop: "Shop", paid: str) -> None:
    signed = shop.wechat.notice(paid)
    refused(shop, paid, shop.wechat.notify(signed, body="%%%", isBase64Encoded=True), 400)
    binary = base64.b64encode(b"\xff\xfe").decode()
    refused(
        shop, paid, shop.wechat.notify(resigned(shop.wechat.world, b"\xff\xfe"), body=binary, isBase64Encoded=True), 400
    )
    refused(shop, paid, shop.wechat.notify(signed, body=None), 401)
    refused(shop, paid, shop.wechat.notify(signed, body="x" * 100_000), 413)


def test_the_boundary_of_the_clock_is_three_hundred_seconds(shop: "Shop", paid: str) -> None:
    signed = shop.wechat.notice(paid)
    late = signature_headers(shop.wechat.world, signed.body, timestamp=int(shop.wechat.world.clock.now()) - 298)
    assert shop.wechat.notify(Signed(late, signed.body)).status == 204


def test_any_live_key_verifies_and_any_live_apiv3_key_opens(
    shop: "Shop", paid: str, secrets: dict[str, dict[str, Any]]
) -> None:
    next_private, next_public = simulator_credentials.key_pair()
    was = secrets["verification"]
    shop.put_secret(
        "verification",
        apiv3_keys=["n" * 32, *was["apiv3_keys"]],
        public_keys={"PUB_KEY_ID_NEXT": next_public, **was["public_keys"]},
    )
    body = shop.wechat.notice(paid).body
    headers = signature_headers(shop.wechat.world, body, serial="PUB_KEY_ID_NEXT", private_key=next_private)
    assert shop.wechat.notify(Signed(headers, body)).status == 204
    assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204


# --- what is verified and fits nowhere: an open case, then acknowledged


@pytest.mark.parametrize(
    ("wrong", "detail"),
    [
        ({"amount": {"total": 1, "payer_total": 1, "currency": "CNY"}}, "total_fen"),
        ({"amount": {"total": 89600, "payer_total": 89600, "currency": "USD"}}, "currency"),
        ({"appid": "wxsomeoneelse"}, "appid"),
        ({"mchid": "1900000000"}, "mchid"),
    ],
)
@pytest.mark.parametrize("status", [PaymentStatus.NOTPAY, PaymentStatus.CLOSED])
def test_other_money_than_asked_for_is_a_case_and_mispaid(
    shop: "Shop", paid: str, wrong: dict[str, Any], detail: str, status: PaymentStatus
) -> None:
    shop.items.set_payment(paid.rpartition("_")[0], status=status)
    for _ in range(2):
        assert shop.wechat.notify(shop.wechat.notice(paid, plaintext=wrong)).status == 204
    (case,) = shop.items.cases()
    assert (case["kind"], case["detail"], case["case_open"]) == ("mispaid", detail, "OPEN")
    assert case["amount_fen"] == wrong.get("amount", {}).get("total", 89600)
    assert payment_of(shop, paid).status is PaymentStatus.MISPAID
    assert shop.events.deliver_all() == []


def test_a_trade_of_another_system_is_a_case_under_its_own_number(shop: "Shop", paid: str) -> None:
    assert shop.wechat.notify(shop.wechat.notice(paid, plaintext={"out_trade_no": "CRM-2026-000042"})).status == 204
    (case,) = shop.items.cases()
    assert (case["pk"], case["kind"]) == ("TRADE#CRM-2026-000042", "unknown_trade")


def test_a_number_of_our_form_without_a_payment_is_a_case_beside_its_order(shop: "Shop", paid: str) -> None:
    order_sn = paid.rpartition("_")[0]
    for _ in range(2):
        assert shop.wechat.notify(shop.wechat.notice(paid, plaintext={"out_trade_no": f"{order_sn}_7"})).status == 204
    (case,) = shop.items.cases()
    assert (case["pk"], case["kind"], case["out_trade_no"]) == (f"ORDER#{order_sn}", "unknown_trade", f"{order_sn}_7")


def test_a_second_transaction_of_one_trade_is_a_case(shop: "Shop", paid: str) -> None:
    assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204
    assert shop.wechat.notify(shop.wechat.notice(paid, plaintext={"transaction_id": "4200009999"})).status == 204
    (case,) = shop.items.cases()
    assert (case["kind"], case["transaction_id"]) == ("second_transaction", "4200009999")


@pytest.mark.parametrize(
    "plaintext", [{"trade_state": "NOTPAY"}, {"amount": None}, {"transaction_id": ""}, {"out_trade_no": ""}]
)
def test_a_verified_word_that_cannot_be_read_is_a_case(shop: "Shop", paid: str, plaintext: dict[str, Any]) -> None:
    assert shop.wechat.notify(shop.wechat.notice(paid, notice_id="notice-1", plaintext=plaintext)).status == 204
    (case,) = shop.items.cases()
    assert (case["kind"], case["case_id"]) == ("unreadable", "notice-1")
    assert payment_of(shop, paid).status is PaymentStatus.NOTPAY


def test_money_on_a_closed_trade_is_booked_and_due_now(shop: "Shop", paid: str) -> None:
    shop.items.set_payment(paid.rpartition("_")[0], status=PaymentStatus.CLOSED)
    assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204
    payment = payment_of(shop, paid)
    assert payment.status is PaymentStatus.SUCCESS
    assert payment.due_at is not None
    assert abs(utc_now() - payment.due_at) < timedelta(seconds=5)


# --- the write fails


def test_wechat_is_not_acknowledged_when_the_table_fails(
    shop: "Shop", paid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise ConnectionError("the table is away")

    monkeypatch.setattr(Payments, "record_success", down)
    with pytest.raises(ConnectionError):
        shop.wechat.notify(shop.wechat.notice(paid))  # the gateway answers 5xx, WeChat comes again


def test_a_payment_that_keeps_changing_is_not_acknowledged(
    shop: "Shop", paid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Payments, "record_mispaid", lambda *_: CHANGED)
    wrong = shop.wechat.notice(paid, plaintext={"mchid": "1900000000"})
    with pytest.raises(RuntimeError, match="keeps changing"):
        shop.wechat.notify(wrong)


def test_a_cold_callback_loads_neither_pydantic_nor_requests() -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.path[:0] = ['functions/wx_callback', 'layers/payments/python']; import app; "
        "print(sorted({'pydantic', 'requests', 'wechatpayv3', 'jwt'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
