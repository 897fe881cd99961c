"""wx_callback: WeChat says that a trade was paid, or what became of a refund. Verify, decrypt, one conditional write,
204.

WeChat gets a 2xx only when the fact is stored (R3); whatever else happens it sends the notice again, for a day. Ten
copies at once make one change of state: the write's condition decides, the others are acknowledged as duplicates.

The route is open to the world, so everything is checked before a byte is believed: size, headers, clock, key id,
signature. An unverified notice changes no state and causes no call; if it opens with our key all the same (a rotation,
a probe), that order becomes due, and the janitor asks WeChat about it, five times at most (R13). Neither body nor
openid is logged. This function loads neither pydantic nor wechatpayv3 nor the merchant's key: a cold start must leave
WeChat's five seconds alone.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from payments.domain.case import Case
from payments.domain.money import is_fen
from payments.domain.payment import CURRENCY, Malformed, TradeReport
from payments.domain.refund import RefundReport
from payments.domain.trade_number import TradeNumber
from payments.edge.observability import count, logger, unreadable
from payments.edge.untrusted import TooLarge, Unreadable, body_bytes, read_notice
from payments.parts import LambdaFunction, Parts
from payments.recording import record_payment, record_refund_report
from payments.store.dynamodb import UnreadableItem
from payments.wechat.keys import VerificationSecret
from payments.wechat.signature import Unsigned, Unverified, verify

ALGORITHM = "AEAD_AES_256_GCM"


class Rejected(Exception):
    """WeChat did not sign it, or our keys do not open it: 4xx, nothing is stored."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Unopened(Rejected):
    """WeChat signed it, just now, and none of our keys opens it: someone has to see to the keys at once (R13)."""


def handle(event: dict[str, Any], parts: Parts) -> dict[str, Any]:
    """Takes an HTTP API request (2.0)."""
    try:
        secret = parts.verification.value()
        body = _raw_body(event)
        _verify(parts, event, body, secret)
        notice, resource = _opened(parts, body, secret)
    except Rejected as rejected:
        if isinstance(rejected, Unopened):
            logger.error("callback.not_opened", why=str(rejected))
            count("CallbackNotOpened")
        logger.warning("callback.rejected", why=str(rejected))
        count("CallbackRejected")
        return _failed(rejected.status, str(rejected))
    _store(parts, notice, resource)
    return {"statusCode": 204}


def _hint(parts: Parts, body: bytes, secret: VerificationSecret) -> None:
    """An unverified notice that opens with our key: never a fact, but worth a question (R13)."""
    try:
        resource = _decrypted(_object(body).get("resource"), secret)
    except Rejected:
        return
    number = TradeNumber.parse(str(resource.get("out_trade_no", "")))
    if number and parts.store.orders.hint(number.order_sn, parts.clock()):
        logger.warning("callback.hint", order_sn=number.order_sn)
        count("CallbackHint")


def _opened(parts: Parts, body: bytes, secret: VerificationSecret) -> tuple[dict[str, Any], dict[str, Any]]:
    """A verified notice and what is sealed in it. Raises Unopened."""
    try:
        notice = _object(body)
        try:
            return notice, _decrypted(notice.get("resource"), secret)
        except Rejected:
            perhaps_new = parts.verification.value(again=True)  # a key may have come since
            if perhaps_new is secret:
                raise
            return notice, _decrypted(notice.get("resource"), perhaps_new)
    except Rejected as rejected:
        raise Unopened(rejected.status, str(rejected)) from None


def _store(parts: Parts, notice: Mapping[str, Any], resource: Mapping[str, Any]) -> None:
    """A verified notice ends as a booked payment or refund, a duplicate or a case; if the table fails, WeChat comes
    again."""
    now = parts.clock()
    try:
        if str(notice.get("event_type", "")).startswith("REFUND."):
            record_refund_report(parts.store, RefundReport.from_wechat(resource), now)
            return
        trade = TradeReport.from_wechat(resource)
        if not trade.paid:
            raise Malformed(f"trade_state {trade.trade_state}")
        record_payment(parts.store, trade, now)
    except (Malformed, UnreadableItem) as error:  # neither gets better by coming again, and WeChat comes for a day only
        if isinstance(error, UnreadableItem):
            unreadable(error)
        case = unreadable_case(notice, resource, str(error), now)
        parts.store.cases.open(case)
        logger.error("callback.unreadable", out_trade_no=case.out_trade_no, why=str(error))
        count("CaseOpened")


def unreadable_case(notice: Mapping[str, Any], resource: Mapping[str, Any], why: str, now: datetime) -> Case:
    """The case of a verified notice that cannot be recorded (R12): with the sum where one can be read, and kept apart
    from every other by the notice's id, or where that is none by a hash of what it says."""
    event_type, currency = _plain(notice.get("event_type")), ""
    amount_fen = _sum(resource.get("amount"), "refund" if event_type.startswith("REFUND.") else "total")
    if amount_fen:
        currency = _plain(resource["amount"].get("currency")) or CURRENCY
    said = json.dumps([notice.get("id"), notice.get("event_type"), resource], sort_keys=True)
    return Case(
        kind="unreadable",
        case_id=_plain(notice.get("id")) or hashlib.sha256(said.encode()).hexdigest()[:32],
        out_trade_no=_plain(resource.get("out_trade_no")) or "none",
        amount_fen=amount_fen,
        currency=currency[:16],
        transaction_id=_plain(resource.get("transaction_id"))[:32],
        detail=f"{event_type or 'no event_type'}: {why}"[:160],
        opened_at=now,
    )


def _plain(value: object) -> str:
    """A number or a name of WeChat's that may stand in a key and in a path; empty where it may not."""
    return value if isinstance(value, str) and re.fullmatch(r"[0-9A-Za-z_.|*@-]{1,64}", value, re.ASCII) else ""


def _sum(amount: object, first: str) -> int:
    """The sum in fen that an amount names, `first` rather than the other; 0 where none can be read."""
    named = [amount.get(name) for name in (first, "total", "refund")] if isinstance(amount, dict) else []
    return next((value for value in named if isinstance(value, int) and is_fen(value)), 0)


def _verify(parts: Parts, event: Mapping[str, Any], body: bytes, secret: VerificationSecret) -> None:
    """Raises Rejected unless WeChat signed these bytes, now."""
    try:
        verify(event.get("headers") or {}, body, secret.public_keys, parts.clock())
    except Unsigned as error:
        raise Rejected(400, str(error)) from None
    except Unverified as error:
        _hint(parts, body, secret)
        raise Rejected(401, str(error)) from None


def _raw_body(event: Mapping[str, Any]) -> bytes:
    """The bytes on the wire."""
    try:
        return body_bytes(event)
    except TooLarge as error:
        raise Rejected(413, str(error)) from None
    except Unreadable as error:
        raise Rejected(400, str(error)) from None


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
        return read_notice(text)
    except Unreadable as error:
        raise Rejected(400, str(error)) from None


def _failed(status: int, why: str) -> dict[str, Any]:
    """WeChat's own shape."""
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"code": "FAIL", "message": why}),
    }


handler = LambdaFunction(handle, "store", "verification")
