"""The merchant's keys and WeChat's, in whatever form they were pasted: the one piece that reads them, once per process.

PEM with any line ends (also written as \\n), with or without its first and last line, PKCS#8 or PKCS#1; what is of
another kind says so by the field's name.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from payments.edge.secret import Secret
from payments.settings import Fields, Unusable, text

LEAST_BITS = 2048
APIV3_KEY = 32
"""Bytes of an APIv3 key: it is an AES-256 key."""

_BLOCK = re.compile(r"-----\s*BEGIN ([A-Z0-9 ]+?)\s*-----(.*?)-----\s*END \1\s*-----", re.DOTALL)
_KEY_ID = re.compile(r"PUB_KEY_ID_[0-9A-Z_]+")
_SERIAL = re.compile(r"[0-9A-F]{32,40}")


@dataclass(frozen=True, slots=True, eq=False)
class MerchantSecret:
    """What signs in the merchant's name."""

    private_key: RSAPrivateKey = field(repr=False)
    cert_serial_no: str


@dataclass(frozen=True, slots=True, eq=False)
class VerificationSecret:
    """What verifies WeChat's signatures, and opens its notices. Several of each may live at once, for rotation.

    `public_keys` by what stands in Wechatpay-Serial: PUB_KEY_ID_..., or a platform certificate's serial number.
    """

    apiv3_keys: tuple[bytes, ...] = field(repr=False)
    public_keys: Mapping[str, RSAPublicKey]


def merchant_secret() -> MerchantSecret:
    """Raises Misconfigured."""
    return MERCHANT.value()


def verification_secret(*, again: bool = False) -> VerificationSecret:
    """`again`: as in Secret.value. Raises Misconfigured."""
    return VERIFICATION.value(again=again)


def _merchant(fields: Fields) -> MerchantSecret:
    return MerchantSecret(fields.one("private_key", private_key), fields.one("cert_serial_no", serial_no))


def _verification(fields: Fields) -> VerificationSecret:
    return VerificationSecret(fields.several("apiv3_keys", apiv3_key), fields.by_name("public_keys", public_key))


MERCHANT = Secret("MERCHANT_SECRET_ARN", _merchant)
VERIFICATION = Secret("VERIFICATION_SECRET_ARN", _verification)


def apiv3_key(value: object) -> bytes:
    """An APIv3 key. Raises Unusable."""
    key = text(value).encode(errors="replace")
    if len(key) != APIV3_KEY:
        raise Unusable(f"has {len(key)} bytes; an APIv3 key has {APIV3_KEY}")
    return key


def serial_no(value: object) -> str:
    """A certificate's serial number as WeChat writes it, of what openssl and consoles print. Raises Unusable."""
    serial = re.sub(r"[\s:]", "", text(value)).upper().removeprefix("SERIAL=").removeprefix("0X")
    if not _SERIAL.fullmatch(serial):
        raise Unusable(f"has {len(serial)} characters; a certificate's serial number has 40, 0 to 9 and A to F")
    return serial


def private_key(value: object) -> RSAPrivateKey:
    """The merchant's key, of apiclient_key.pem. Raises Unusable."""
    hint = "paste apiclient_key.pem"
    blocks = _blocks(value, hint)
    der = next((der for label, der in blocks.items() if label == "" or label.endswith("PRIVATE KEY")), None)
    if der is None:
        raise Unusable(f"is a {next(iter(blocks)).lower()}; {hint}")
    if "ENCRYPTED PRIVATE KEY" in blocks:
        raise Unusable("is encrypted; decrypt it (openssl pkey) and paste the result")
    try:
        key = load_der_private_key(der, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unusable(f"cannot be read as a private key; {hint}") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < LEAST_BITS:
        raise Unusable(f"is no RSA key of {LEAST_BITS} bits; {hint}")
    return key


def public_key(key_id: str, value: object) -> tuple[str, RSAPublicKey]:
    """A key of WeChat's with its id; a platform certificate stands under its serial number. Raises Unusable."""
    hint = "paste pub_key.pem, which the merchant platform gives with its PUB_KEY_ID"
    name = re.sub(r"\s", "", text(key_id)).upper()
    if not _KEY_ID.fullmatch(name):
        if not _SERIAL.fullmatch(re.sub(":", "", name)):
            raise Unusable("has no id in front of its key: PUB_KEY_ID_... as the merchant platform shows it")
        name = serial_no(name)
    blocks = _blocks(value, hint)
    label, der = next(((label, der) for label, der in blocks.items() if "PRIVATE" not in label), ("", b""))
    if not der:
        raise Unusable(f"is a private key, which nobody else may have; {hint}")
    try:
        key = _certified(name, der) if label == "CERTIFICATE" else load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unusable(f"cannot be read as a public key; {hint}") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < LEAST_BITS:
        raise Unusable(f"is no RSA key of {LEAST_BITS} bits; {hint}")
    return name, key


def _certified(serial: str, der: bytes) -> Any:
    """The key of a platform certificate, which verifies what WeChat signs under the certificate's number."""
    from cryptography.x509 import load_der_x509_certificate  # only where there is one: it takes time to load

    certificate = load_der_x509_certificate(der)
    if not _SERIAL.fullmatch(serial) or certificate.serial_number != int(serial, 16):
        raise Unusable(
            "is a certificate under another's id; the merchant's own (apiclient_cert.pem) does not belong here"
        )
    return certificate.public_key()


def _blocks(value: object, hint: str) -> dict[str, bytes]:
    """The DER of each part of a PEM file by its label, `PRIVATE KEY`; what is base64 alone has an empty label.

    Raises Unusable.
    """
    # Escaped twice it holds \\n for line ends, and PHP writes \\/ for a slash: no PEM has a backslash of its own.
    pem = text(value).replace("\\r", "").replace("\\n", "\n").replace("\\", "").strip("\"'")
    found = _BLOCK.findall(pem)
    if not found and "-----" in pem:
        raise Unusable(f"does not hold the whole file; {hint}")
    blocks: dict[str, bytes] = {}
    for label, body in found or [("", pem)]:
        if "ENCRYPTED" in body:
            raise Unusable("is encrypted; decrypt it (openssl pkey) and paste the result")
        packed = re.sub(r"\s", "", body).rstrip("=")
        try:
            der = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
        except (binascii.Error, ValueError):
            der = b""
        if not der:
            raise Unusable(f"is no PEM; {hint}")
        blocks.setdefault(label, der)
    return blocks
