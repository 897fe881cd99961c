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
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from payments.case import Case
from payments.observability import count, instrumented, logger
from payments.payment import Malformed, Trade, parse_out_trade_no
from payments.refund import RefundWord
from payments.settings import MerchantSecret, Misconfigured, merchant_secret, table
from payments.settlement import settle, settle_refund
from payments.times import utc_now
from payments.untrusted import TooLarge, Unreadable, body_bytes, read_word

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


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    """Takes an HTTP API request (2.0)."""
    try:
        secret = merchant_secret()
        body = _raw_body(event)
        try:
            _verify(event, body, secret)
        except Unverified:
            _hint(body, secret)
            raise
        notice = _object(body)
        resource = _decrypted(notice.get("resource"), secret)
    except Rejected as rejected:
        logger.warning("callback.rejected", why=str(rejected))
        count("CallbackRejected")
        return _failed(rejected.status, str(rejected))
    _store(notice, resource)
    return {"statusCode": 204}


def _hint(body: bytes, secret: MerchantSecret) -> None:
    """An unverified notice that opens with our key: never a fact, but worth a question (R13)."""
    try:
        resource = _decrypted(_object(body).get("resource"), secret)
    except Rejected:
        return
    numbers = parse_out_trade_no(str(resource.get("out_trade_no", "")))
    if numbers and table().hint(numbers[0], utc_now()):
        logger.warning("callback.hint", order_sn=numbers[0])
        count("CallbackHint")


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


def _verify(event: Mapping[str, Any], body: bytes, secret: MerchantSecret) -> None:
    """Raises unless WeChat signed these bytes, now. Every check but the last is cheap; none makes a call."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    timestamp, nonce, signature, serial = (
        headers.get(f"wechatpay-{name}", "") for name in ("timestamp", "nonce", "signature", "serial")
    )
    if not (timestamp and nonce and signature and serial):
        raise Rejected(400, "a Wechatpay header is missing")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12):
        raise Rejected(400, "Wechatpay-Timestamp is not a time")
    if abs(utc_now().timestamp() - int(timestamp)) >= MAX_CLOCK_DIFFERENCE_S:
        raise Unverified(401, "Wechatpay-Timestamp is too far from now")
    pem = dict(secret.public_keys).get(serial)
    if pem is None:
        raise Unverified(401, "Wechatpay-Serial is not one of our keys")
    if signature.startswith(PROBE):
        raise Unverified(401, "the signature is a probe")
    public_key = load_pem_public_key(pem.encode())
    if not isinstance(public_key, RSAPublicKey):
        raise Misconfigured(f"{serial} is not an RSA public key: see docs/deploy-aws.md")
    try:
        message = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
        public_key.verify(base64.b64decode(signature, validate=True), message, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        raise Unverified(401, "the signature does not verify") from None


def _raw_body(event: Mapping[str, Any]) -> bytes:
    """The bytes on the wire."""
    try:
        return body_bytes(event)
    except TooLarge as error:
        raise Rejected(413, str(error)) from None
    except Unreadable as error:
        raise Rejected(400, str(error)) from None


def _decrypted(resource: object, secret: MerchantSecret) -> dict[str, Any]:
    """The resource's plaintext with whichever of our APIv3 keys opens it."""
    if not isinstance(resource, dict) or resource.get("algorithm") != ALGORITHM:
        raise Rejected(400, "no resource of a known algorithm")
    nonce, ciphertext, aad = (resource.get(name, "") for name in ("nonce", "ciphertext", "associated_data"))
    if not (isinstance(nonce, str) and nonce and isinstance(ciphertext, str) and isinstance(aad or "", str)):
        raise Rejected(400, "the resource is not complete")
    for key in secret.apiv3_keys:
        try:
            sealed = base64.b64decode(ciphertext, validate=True)
            return _object(AESGCM(key.encode()).decrypt(nonce.encode(), sealed, (aad or "").encode()))
        except InvalidTag:
            continue  # sealed with another of our keys, or with none
        except ValueError:  # not base64, or a nonce of another size
            raise Rejected(400, "the resource is not readable") from None
    raise Rejected(401, "the resource does not open with our APIv3 keys")


def _object(text: bytes) -> dict[str, Any]:
    try:
        return read_word(text)
    except Unreadable as error:
        raise Rejected(400, str(error)) from None


def _failed(status: int, why: str) -> dict[str, Any]:
    """WeChat's own shape."""
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"code": "FAIL", "message": why}),
    }
