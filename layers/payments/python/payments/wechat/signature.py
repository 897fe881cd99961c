"""WeChat's signature: whether WeChat sent these bytes, now. The one check of its callbacks and of its replies.

Loads cryptography alone: wx_callback's cold start waits for it.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

MAX_CLOCK_DIFFERENCE_S = 300
PROBE = "WECHATPAY/SIGNTEST/"
"""What WeChat puts in front of a signature that must not verify: so it tests whether we look."""


class Unverified(Exception):
    """Nothing shows that WeChat sent these bytes, or that it sent them now. The text holds nothing of them."""


class Unsigned(Unverified):
    """They do not even carry what a signature of WeChat's consists of: a caller's fault, 400."""


def verify(headers: Mapping[str, str], body: bytes, public_keys: Mapping[str, RSAPublicKey], now: datetime) -> None:
    """Raises Unverified unless WeChat signed this body and these headers within 300 seconds of `now`.

    `public_keys` by what stands in Wechatpay-Serial. Every check but the last is cheap; none makes a call.
    """
    named = {name.lower(): value for name, value in headers.items()}
    timestamp, nonce, signature, serial = (
        named.get(f"wechatpay-{name}", "") for name in ("timestamp", "nonce", "signature", "serial")
    )
    if not (timestamp and nonce and signature and serial):
        raise Unsigned("a Wechatpay header is missing")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12):
        raise Unsigned("Wechatpay-Timestamp is not a time")
    if abs(now.timestamp() - int(timestamp)) >= MAX_CLOCK_DIFFERENCE_S:
        raise Unverified("Wechatpay-Timestamp is too far from now")
    public_key = public_keys.get(serial)
    if public_key is None:
        raise Unverified("Wechatpay-Serial is not one of our keys")
    if signature.startswith(PROBE):
        raise Unverified("the signature is a probe")
    try:
        message = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
        public_key.verify(base64.b64decode(signature, validate=True), message, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        raise Unverified("the signature does not verify") from None
