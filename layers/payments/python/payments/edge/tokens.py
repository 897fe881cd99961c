"""Our own bearer tokens: JWT, HS256. `login` issues them, `authorizer` verifies them."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import jwt

from payments.domain.times import utc_now
from payments.settings import SecretKind, Unusable, text

LIFE = timedelta(hours=2)
ISSUER = "wxpay-serverless"
ALGORITHM = "HS256"

LEEWAY_S = 30
"""By how much another machine's clock may be ahead: of iat and nbf. A token ends when it says so."""

MAX_TOKEN = 2048
"""Characters; ours have about 250."""

MAX_NAME = 128
"""Characters of a user_id and of a business_id."""

EVERY_BUSINESS = "*"
"""The business_id of those who see all of them."""


LEAST_TOKEN_KEY = 32
"""Bytes: a shorter key of HS256 can be guessed."""


def _token_key(value: object) -> str:
    key = text(value)
    if (size := len(key.encode(errors="replace"))) < LEAST_TOKEN_KEY:
        raise Unusable(f"has {size} bytes; a key has at least {LEAST_TOKEN_KEY}: secrets.token_urlsafe(48) makes one")
    return key


TOKEN = SecretKind("TOKEN_SECRET_ARN", lambda fields: fields.several("token_keys", _token_key))
"""The keys of our own tokens: the first one signs, all verify."""


class Role(StrEnum):
    USER = "user"
    STAFF = "staff"


class BadToken(Exception):
    """Forged, expired, or not one of ours."""


class UnknownKey(BadToken):
    """Signed by none of the keys at hand: forged, or by a key that has come since."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token stands for; staff belong to one business."""

    user_id: str
    role: Role
    business_id: str = ""


def issue(identity: Identity, keys: Sequence[str], now: datetime, life: timedelta = LIFE) -> str:
    """A token signed with the newest key."""
    claims = {"iss": ISSUER, "sub": identity.user_id, "role": identity.role.value, "iat": now, "exp": now + life}
    if identity.business_id:
        claims["business_id"] = identity.business_id
    return jwt.encode(claims, keys[0], algorithm=ALGORITHM)


def verify(token: str, keys: Sequence[str]) -> Identity:
    """Who the token stands for, whichever of the live keys signed it. Raises BadToken, UnknownKey among them."""
    if len(token) > MAX_TOKEN:
        raise BadToken("longer than any of ours")
    for key in keys:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                # The times are checked below: PyJWT takes a text for a time, and one leeway for all three.
                options={"require": ["iss"], "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.InvalidSignatureError:
            continue
        except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError) as error:
            raise BadToken(type(error).__name__) from None
        return _identity(claims, utc_now().timestamp())
    raise UnknownKey("signed by none of our keys")


def session_of(token: str) -> str:
    """Tells a verified token from others of the same person, by what is signed: a signature has several spellings."""
    return hashlib.sha256(token.strip().rpartition(".")[0].encode()).hexdigest()[:16]


def _identity(claims: Mapping[str, Any], now: float) -> Identity:
    """Who the claims are about, if they hold at this time (seconds since 1970). Raises BadToken."""
    if _time(claims, "exp", math.nan) <= now:
        raise BadToken("expired")
    for name in ("iat", "nbf"):
        if _time(claims, name, 0) > now + LEEWAY_S:
            raise BadToken(f"{name} lies ahead")
    try:
        role = Role(claims.get("role", ""))
    except ValueError:
        raise BadToken("of no role") from None
    return Identity(_name(claims, "sub", None), role, _name(claims, "business_id", ""))


def _time(claims: Mapping[str, Any], name: str, default: float) -> float:
    """A claim in seconds since 1970, whole or not. Raises BadToken."""
    value = claims.get(name, default)
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))):
        raise BadToken(f"{name} is no time")
    return value


def _name(claims: Mapping[str, Any], name: str, default: str | None) -> str:
    value = claims.get(name, default)
    if not isinstance(value, str) or len(value) > MAX_NAME or not (value or value == default):
        raise BadToken(f"{name} is no name")
    return value
