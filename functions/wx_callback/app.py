"""wx_callback: WeChat says that a trade was paid, or what became of a refund. Verify, decrypt, one conditional write,
204.

WeChat gets a 2xx only when the fact is stored (R3); whatever else happens it sends the notice again, for a day. Ten
copies at once make one change of state: the write's condition decides, the others are acknowledged as duplicates.

The route is open to the world, so everything is checked before a byte is believed: size, headers, clock, key id,
signature. An unverified notice changes no state and causes no call; if it opens with our key all the same (a rotation,
a probe), the janitor is told to ask WeChat about that order, five times at most (R13). Neither body nor openid is
logged. This function loads neither pydantic nor wechatpayv3 nor the merchant's key: a cold start must leave WeChat's
five seconds alone.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from payments.case import Case
from payments.keys import VerificationSecret, verification_secret
from payments.observability import count, instrumented, logger
from payments.payment import Malformed, Trade, parse_out_trade_no
from payments.refund import RefundWord
from payments.settings import table
from payments.settlement import settle, settle_refund
from payments.times import utc_now

MAX_BODY = 64 * 1024
MAX_CLOCK_DIFFERENCE_S = 300
PROBE = "WECHATPAY/SIGNTEST/"
ALGORITHM = "AEAD_AES_256_GCM"


class Rejected(Exception):
    """Not WeChat's word, or not readable with our keys: 4xx, nothing is stored."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Unverified(Rejected):
    """Nothing shows that it is WeChat's word, or that it is today's."""


class Unopened(Rejected):
    """It is WeChat's word, today's, and none of our keys opens it: someone has to see to the keys at once (R13)."""


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    """Takes an HTTP API request (2.0)."""
    try:
        secret = verification_secret()
        body = _raw_body(event)
        try:
            _verify(event, body, secret)
        except Unverified:
            _hint(body, secret)
            raise
        notice, resource = _opened(body, secret)
    except Rejected as rejected:
        if isinstance(rejected, Unopened):
            logger.error("callback.not_opened", why=str(rejected))
            count("CallbackNotOpened")
        logger.warning("callback.rejected", why=str(rejected))
        count("CallbackRejected")
        return _failed(rejected.status, str(rejected))
    _store(notice, resource)
    return {"statusCode": 204}


def _hint(body: bytes, secret: VerificationSecret) -> None:
    """An unverified notice that opens with our key: never a fact, but worth a question (R13)."""
    try:
        resource = _decrypted(_object(body).get("resource"), secret)
    except Rejected:
        return
    numbers = parse_out_trade_no(str(resource.get("out_trade_no", "")))
    if numbers and table().hint(numbers[0], utc_now()):
        logger.warning("callback.hint", order_sn=numbers[0])
        count("CallbackHint")


def _opened(body: bytes, secret: VerificationSecret) -> tuple[dict[str, Any], dict[str, Any]]:
    """A verified notice and what is sealed in it. Raises Unopened."""
    try:
        notice = _object(body)
        try:
            return notice, _decrypted(notice.get("resource"), secret)
        except Rejected:
            perhaps_new = verification_secret(again=True)  # a key may have come since
            if perhaps_new is secret:
                raise
            return notice, _decrypted(notice.get("resource"), perhaps_new)
    except Rejected as rejected:
        raise Unopened(rejected.status, str(rejected)) from None


def _store(notice: Mapping[str, Any], resource: Mapping[str, Any]) -> None:
    """A verified notice ends as a booked payment or refund, a duplicate or a case; if the table fails, WeChat comes
    again."""
    now = utc_now()
    event_type = str(notice.get("event_type", ""))[:64]
    try:
        if event_type.startswith("REFUND."):
            settle_refund(table(), RefundWord.from_wechat(resource), now)
            return
        trade = Trade.from_wechat(resource)
        if not trade.paid:
            raise Malformed(f"trade_state {trade.trade_state[:32]}")
    except Malformed as error:
        out_trade_no = str(resource.get("out_trade_no", ""))[:64]
        table().put_case(
            Case(
                kind="unreadable",
                case_id=str(notice.get("id", ""))[:64],
                out_trade_no=out_trade_no or "none",
                amount_fen=0,
                currency="",
                transaction_id=str(resource.get("transaction_id", ""))[:32],
                detail=f"{event_type}: {error}",
                opened_at=now,
            )
        )
        logger.error("callback.unreadable", out_trade_no=out_trade_no, why=str(error))
        count("CaseOpened")
        return
    settle(table(), trade, now)


def _verify(event: Mapping[str, Any], body: bytes, secret: VerificationSecret) -> None:
    """Raises unless WeChat signed these bytes, now. Every check but the last is cheap; none makes a call."""
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    timestamp, nonce, signature, serial = (
        headers.get(f"wechatpay-{name}", "") for name in ("timestamp", "nonce", "signature", "serial")
    )
    if not (timestamp and nonce and signature and serial):
        raise Rejected(400, "a Wechatpay header is missing")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12):
        raise Rejected(400, "Wechatpay-Timestamp is not a time")
    if abs(utc_now().timestamp() - int(timestamp)) >= MAX_CLOCK_DIFFERENCE_S:
        raise Unverified(401, "Wechatpay-Timestamp is too far from now")
    public_key = secret.public_keys.get(serial)
    if public_key is None:
        raise Unverified(401, "Wechatpay-Serial is not one of our keys")
    if signature.startswith(PROBE):
        raise Unverified(401, "the signature is a probe")
    message = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
    try:
        public_key.verify(base64.b64decode(signature, validate=True), message, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        raise Unverified(401, "the signature does not verify") from None


def _raw_body(event: Mapping[str, Any]) -> bytes:
    """The bytes on the wire: the gateway encodes bodies whose Content-Type it does not take for text."""
    body = event.get("body") or ""
    if len(body) > MAX_BODY * 4 // 3 + 4:
        raise Rejected(413, "the body is too large")
    try:
        raw = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
    except (binascii.Error, ValueError):
        raise Rejected(400, "the body is not base64") from None
    if len(raw) > MAX_BODY:
        raise Rejected(413, "the body is too large")
    return raw


def _decrypted(resource: object, secret: VerificationSecret) -> dict[str, Any]:
    """The resource's plaintext with whichever of our APIv3 keys opens it."""
    if not isinstance(resource, dict) or resource.get("algorithm") != ALGORITHM:
        raise Rejected(400, "no resource of a known algorithm")
    nonce, ciphertext, aad = (resource.get(name, "") for name in ("nonce", "ciphertext", "associated_data"))
    if not (isinstance(nonce, str) and nonce and isinstance(ciphertext, str) and isinstance(aad or "", str)):
        raise Rejected(400, "the resource is not complete")
    for key in secret.apiv3_keys:
        try:
            sealed = base64.b64decode(ciphertext, validate=True)
            return _object(AESGCM(key).decrypt(nonce.encode(), sealed, (aad or "").encode()))
        except InvalidTag:
            continue  # sealed with another of our keys, or with none
        except ValueError:  # not base64, or a nonce of another size
            raise Rejected(400, "the resource is not readable") from None
    raise Rejected(401, "the resource does not open with our APIv3 keys")


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Rejected(400, "not a JSON object")
    return value


def _failed(status: int, why: str) -> dict[str, Any]:
    """WeChat's own shape."""
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"code": "FAIL", "message": why}),
    }
