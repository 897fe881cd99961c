"""WeChat Pay v3 for a mini-program's merchant, through wechatpayv3 in public-key mode.

What the library does not do is done here: one kept-alive connection, timeouts, several public keys at once, the clock
of a reply, and errors that say what is known. A timeout, a 5xx or a reply that does not verify is OutcomeUnknown: ask
again with the same number and the same parameters, never with a new number (R1).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import urllib3
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.core import Core
from wechatpayv3.type import RequestType
from wechatpayv3.utils import build_authorization

from payments.calls import OutOfTime, wechat_limits
from payments.domain.payment import CURRENCY, Malformed, Payment, TradeReport
from payments.domain.refund import Refund, RefundReport
from payments.domain.times import BEIJING, utc_now
from payments.wechat.codes import FINAL_IN_SPITE_OF_500
from payments.wechat.errors import OutcomeUnknown, Refused
from payments.wechat.keys import MerchantSecret, VerificationSecret
from payments.wechat.session import wechat_session
from payments.wechat.signature import Unverified, verify

TIMEOUT_S = (2.0, 4.0)
"""To connect, and for the whole reply; less where the function's own time is short."""

DOWNLOAD_TIMEOUT_S = (2.0, 240.0)
"""The same for the file of a bill."""

SHA1 = re.compile("[0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """The five fields of wx.requestPayment, under its own names."""

    timeStamp: str  # noqa: N815
    nonceStr: str  # noqa: N815
    package: str
    signType: str  # noqa: N815
    paySign: str  # noqa: N815


class _Transport(Core):  # type: ignore[misc]
    """The library's core on one session, with typed outcomes."""

    def __init__(
        self,
        merchant: MerchantSecret,
        verification: VerificationSecret,
        mchid: str,
        base_url: str,
        session: requests.Session,
    ) -> None:
        # Not the library's own constructor: it parses keys that are parsed already, takes fewer forms of them, and
        # downloads certificates when it is given no public key.
        self._mchid = mchid
        self._cert_serial_no = merchant.cert_serial_no
        self._private_key = merchant.private_key
        self._gate_way = base_url
        self._keys = verification.public_keys
        self._public_key_id = next(iter(verification.public_keys))
        self._session = session

    def request(
        self,
        path: str,
        method: RequestType = RequestType.GET,
        data: Mapping[str, Any] | None = None,
        skip_verify: bool = False,
        sign_data: Any = None,
        files: Any = None,
        cipher_data: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """Every request that the library makes. Raises OutcomeUnknown."""
        del sign_data, files, cipher_data, headers  # of calls that this project does not make
        body = json.dumps(data) if data else ""
        reply = self.send(path, method.value, body)
        if 200 <= reply.status_code < 300 and not skip_verify:
            try:
                verify(reply.headers, reply.content, self._keys, utc_now())
            except Unverified as error:
                raise OutcomeUnknown(f"WeChat Pay answered {reply.status_code}: {error}") from None
        return reply.status_code, reply.content.decode("utf-8", errors="replace")

    def send(
        self, path: str, verb: str, body: str, limits: tuple[float, float] = TIMEOUT_S, *, stream: bool = False
    ) -> requests.Response:
        """Once more with the same body after a reset: a thawed Lambda's connection may be long dead. Raises
        OutcomeUnknown."""
        for last in (False, True):
            headers = {
                "Accept": "application/json",
                "Content-Type": "application/json",
                "User-Agent": "wxpay-serverless",
                "Wechatpay-Serial": self._public_key_id,
                "Authorization": build_authorization(
                    path, verb, self._mchid, self._cert_serial_no, self._private_key, data=body
                ),
            }
            try:
                return self._session.request(
                    verb,
                    self._gate_way + path,
                    data=body.encode() or None,
                    headers=headers,
                    timeout=wechat_limits(*limits),
                    allow_redirects=False,
                    stream=stream,
                )
            # Nothing of the HTTP library's errors goes further: their texts hold addresses.
            except OutOfTime as error:
                raise OutcomeUnknown(str(error)) from None
            except requests.ConnectTimeout:
                raise OutcomeUnknown("no connection in time") from None
            except requests.ConnectionError:
                if last:
                    raise OutcomeUnknown("connection lost") from None
            except requests.RequestException as error:
                raise OutcomeUnknown(type(error).__name__) from None
        raise AssertionError("unreachable")


class _Library(WeChatPay):  # type: ignore[misc]
    """wechatpayv3's calls over our transport; its own constructor would build its own."""

    def __init__(self, core: _Transport, mchid: str) -> None:
        self._type = WeChatPayType.MINIPROG
        self._mchid = mchid
        self._appid = None
        self._notify_url = None
        self._partner_mode = False
        self._core = core

    @property
    def transport(self) -> _Transport:
        """For what the library does not do: a download as a stream."""
        core: _Transport = self._core
        return core


class WechatPay:
    """The calls of a trade's life, on one kept-alive connection. Each raises OutcomeUnknown or Refused, and
    Misconfigured when a secret cannot be had."""

    def __init__(
        self,
        merchant: Callable[[], MerchantSecret],
        verification: Callable[[], VerificationSecret],
        mchid: str,
        base_url: str,
        session: requests.Session | None = None,
    ) -> None:
        """`merchant` and `verification` give what the two secrets hold now: a rotated key is used from then on."""
        self._merchant = merchant
        self._verification = verification
        self._mchid = mchid
        self._base_url = base_url
        self._session = session or wechat_session()
        self._built: tuple[MerchantSecret, VerificationSecret, _Library] | None = None

    @property
    def _library(self) -> _Library:
        """Built again only when one of the two secrets has changed."""
        merchant, verification, built = self._merchant(), self._verification(), self._built
        if built is None or built[:2] != (merchant, verification):
            transport = _Transport(merchant, verification, self._mchid, self._base_url, self._session)
            self._built = built = merchant, verification, _Library(transport, self._mchid)
        return built[2]

    def prepay(self, payment: Payment) -> str:
        """The trade's prepay_id. The body is built from the payment alone: a repeat is the same to the byte (R2)."""
        reply = _accepted(
            *self._library.pay(
                description=payment.description,
                out_trade_no=payment.out_trade_no,
                amount={"total": payment.total_fen, "currency": payment.currency},
                payer={"openid": payment.openid},
                time_expire=payment.time_expire.astimezone(BEIJING).isoformat(timespec="seconds"),
                notify_url=payment.notify_url,
                appid=payment.appid,
                mchid=payment.mchid,
            )
        )
        prepay_id = reply.get("prepay_id")
        if not isinstance(prepay_id, str) or not prepay_id:
            raise OutcomeUnknown("a prepay reply without prepay_id")
        return prepay_id

    def query(self, payment: Payment) -> TradeReport | None:
        """What WeChat knows of the trade; None when it does not know it."""
        try:
            reply = _accepted(*self._library.query(out_trade_no=payment.out_trade_no, mchid=payment.mchid))
            return TradeReport.from_wechat(reply)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise
        except Malformed as error:
            raise OutcomeUnknown(str(error)) from error

    def close(self, payment: Payment) -> None:
        """Closes the trade; closing twice is fine."""
        _accepted(*self._library.close(out_trade_no=payment.out_trade_no, mchid=payment.mchid))

    def refund(self, refund: Refund) -> RefundReport:
        """Asks for a refund. The body is built from the refund alone and its number refunds once: repeat it freely."""
        return _refund_report(
            *self._library.refund(
                out_refund_no=refund.out_refund_no,
                out_trade_no=refund.out_trade_no,
                amount={"refund": refund.amount_fen, "total": refund.total_fen, "currency": CURRENCY},
                reason=refund.reason or None,
                notify_url=refund.notify_url,
            )
        )

    def query_refund(self, out_refund_no: str) -> RefundReport | None:
        """What WeChat knows of a refund; None when it does not know it."""
        try:
            # Signed as it goes over the wire: the HTTP library would escape a | after that.
            return _refund_report(*self._library.query_refund(out_refund_no=quote(out_refund_no, safe="*@")))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def download_trade_bill(self, day: date, to: Path) -> str:
        """Writes the file of a day's trade bill, as it comes over the wire, to this path; gives the SHA-1 that WeChat
        has signed for its plain form. Refused: NO_STATEMENT_EXIST, STATEMENT_CREATING and others."""
        library = self._library
        offer = _accepted(*library.trade_bill(bill_date=day.isoformat(), bill_type="ALL", tar_type="GZIP"))
        hash_value, url = offer.get("hash_value"), offer.get("download_url")
        if not isinstance(hash_value, str) or not SHA1.fullmatch(hash_value) or not isinstance(url, str):
            raise OutcomeUnknown("an answer about a bill without its hash or its address")
        address = urlsplit(url)  # of whatever host WeChat names: it is asked for where all else is
        reply = library.transport.send(f"{address.path}?{address.query}", "GET", "", DOWNLOAD_TIMEOUT_S, stream=True)
        with reply:
            try:
                if reply.status_code != 200:
                    _accepted(reply.status_code, reply.content.decode("utf-8", errors="replace"))
                    raise OutcomeUnknown(f"WeChat Pay answered {reply.status_code} instead of a bill")
                with to.open("wb") as file:
                    for block in reply.raw.stream(1 << 16, decode_content=False):
                        file.write(block)
            except (requests.RequestException, urllib3.exceptions.HTTPError):
                raise OutcomeUnknown("the download of a bill was cut off") from None
        return hash_value

    def payment_request(self, payment: Payment, prepay_id: str, now: datetime, nonce: str) -> PaymentRequest:
        """What the phone hands to wx.requestPayment; appid is signed but not passed."""
        timestamp, package = str(int(now.timestamp())), f"prepay_id={prepay_id}"
        signature = self._library.sign([payment.appid, timestamp, nonce, package])
        return PaymentRequest(timestamp, nonce, package, "RSA", signature)


def _refund_report(status: int, text: str) -> RefundReport:
    try:
        return RefundReport.from_wechat(_accepted(status, text))
    except Malformed as error:
        raise OutcomeUnknown(str(error)) from error


def _accepted(status: int, text: str) -> dict[str, Any]:
    """The body of a 2xx; raises for all else."""
    try:
        body = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        body = None
    if status in {200, 204} and isinstance(body, dict):
        return body
    code = str(body.get("code", "")) if isinstance(body, dict) else ""
    if (400 <= status < 500 and code) or code in FINAL_IN_SPITE_OF_500:
        raise Refused(code, status)
    raise OutcomeUnknown(f"WeChat Pay answered {status}")
