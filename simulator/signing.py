"""WeChat Pay's cryptography: SHA256-RSA2048 signatures and AEAD_AES_256_GCM."""

import base64
import binascii
import secrets
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key


def lines(*parts: str | bytes) -> bytes:
    """The text that is signed: every part on a line of its own, the last one too."""
    return b"".join((part.encode() if isinstance(part, str) else part) + b"\n" for part in parts)


def sign(private_key_pem: str, message: bytes) -> str:
    return base64.b64encode(_private(private_key_pem).sign(message, PKCS1v15(), SHA256())).decode()


def verifies(public_key_pem: str, message: bytes, signature: str) -> bool:
    try:
        _public(public_key_pem).verify(base64.b64decode(signature, validate=True), message, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def seal(apiv3_key: str, plaintext: bytes, associated_data: str) -> dict[str, str]:
    """The ciphertext with its tag, and the nonce of 12 characters, as a `resource` holds them."""
    nonce = secrets.token_hex(6)
    sealed = AESGCM(apiv3_key.encode()).encrypt(nonce.encode(), plaintext, associated_data.encode())
    return {"ciphertext": base64.b64encode(sealed).decode(), "nonce": nonce, "associated_data": associated_data}


@lru_cache(maxsize=16)
def _private(pem: str) -> RSAPrivateKey:
    key = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, RSAPrivateKey)
    return key


@lru_cache(maxsize=16)
def _public(pem: str) -> RSAPublicKey:
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, RSAPublicKey)
    return key
