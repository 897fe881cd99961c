"""Our own bearer tokens: JWT, HS256. `login` issues them, `authorizer` verifies them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import jwt

LIFE = timedelta(hours=2)
ISSUER = "wxpay-serverless"
ALGORITHM = "HS256"

EVERY_BUSINESS = "*"
"""The business_id of those who see all of them."""


class Role(StrEnum):
    USER = "user"
    STAFF = "staff"


class BadToken(Exception):
    """Forged, expired, or not one of ours."""


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
    """Who the token stands for, whichever of the live keys signed it. Raises BadToken."""
    for key in keys:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={"require": ["exp", "sub", "iss", "role"]},
            )
            return Identity(claims["sub"], Role(claims["role"]), claims.get("business_id", ""))
        except jwt.InvalidSignatureError:
            continue
        except (jwt.InvalidTokenError, ValueError) as error:
            raise BadToken(type(error).__name__) from None
    raise BadToken("signed by none of our keys")


def session_of(token: str) -> str:
    """Tells a verified token from others of the same person, by what is signed: a signature has several spellings."""
    return hashlib.sha256(token.strip().rpartition(".")[0].encode()).hexdigest()[:16]
