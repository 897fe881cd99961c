"""What a merchant and WeChat know of each other: numbers, keys, secrets. Made once, kept in one private file."""

import json
import os
import secrets
import string
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

FILE = "credentials.json"
_ALPHANUMERIC = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Keys as PEM (PKCS#8, SubjectPublicKeyInfo); the merchant signs with its own, WeChat with the platform's."""

    appid: str
    app_secret: str
    mchid: str
    merchant_serial_no: str
    merchant_private_key: str
    merchant_public_key: str
    apiv3_key: str
    platform_key_id: str
    platform_private_key: str
    platform_public_key: str
    next_key_id: str  # the key that WeChat rotates to
    next_private_key: str
    next_public_key: str
    certificate_serial_no: str  # of the platform certificate that the public key has replaced
    certificate_private_key: str
    certificate: str

    @classmethod
    def generate(cls, *, appid: str = "wx5a1b2c3d4e5f6071", mchid: str = "1900000109") -> "Credentials":
        merchant_private_key, merchant_public_key = key_pair()
        platform_private_key, platform_public_key = key_pair()
        next_private_key, next_public_key = key_pair()
        certificate_private_key, _ = key_pair()
        serial = int.from_bytes(secrets.token_bytes(20)) >> 1
        return cls(
            appid=appid,
            app_secret=secrets.token_hex(16),
            mchid=mchid,
            merchant_serial_no=secrets.token_hex(20).upper(),
            merchant_private_key=merchant_private_key,
            merchant_public_key=merchant_public_key,
            apiv3_key="".join(secrets.choice(_ALPHANUMERIC) for _ in range(32)),
            platform_key_id=_key_id(mchid),
            platform_private_key=platform_private_key,
            platform_public_key=platform_public_key,
            next_key_id=_key_id(mchid),
            next_private_key=next_private_key,
            next_public_key=next_public_key,
            certificate_serial_no=f"{serial:040X}",
            certificate_private_key=certificate_private_key,
            certificate=_self_signed(certificate_private_key, serial),
        )

    @classmethod
    def load_or_create(cls, folder: Path, **numbers: str) -> "Credentials":
        """Those in the folder; made there (mode 0600) if there are none. Raises ValueError for another kind of file."""
        path = folder / FILE
        if path.exists():
            try:
                return cls(**json.loads(path.read_text()))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path} is not a credentials file; delete it to have a new one made") from error
        made = cls.generate(**numbers)
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(made), file, indent=1)
        return made


def _key_id(mchid: str) -> str:
    return f"PUB_KEY_ID_01{mchid}2026112300{secrets.randbelow(10**12):012d}"


def _self_signed(private_key: str, serial: int) -> str:
    """A platform certificate for five years."""
    key = load_pem_private_key(private_key.encode(), password=None)
    assert isinstance(key, RSAPrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay.com Root CA (simulated)")])
    start = datetime.now(UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(serial).not_valid_before(start).not_valid_after(start + timedelta(days=5 * 365))
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


def key_pair() -> tuple[str, str]:
    """A private RSA-2048 key and its public key, as PEM."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()
