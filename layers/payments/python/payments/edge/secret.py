"""Secrets as functions hold them: read from Secrets Manager, put right, checked field by field, kept for the process.

There are four, so that each function holds what it needs and no more: the merchant's private key and what verifies
WeChat's signatures (`payments.wechat.keys`), the mini-program's secret and the keys of our own tokens (here).

A secret is read again after five minutes, so that a rotated key arrives without a deployment. While that is not
possible, or the new one is of no use, the copy that is there serves on, and rings. No complaint holds a value.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from payments.calls import OutOfTime
from payments.edge.observability import count, logger
from payments.settings import Fields, Misconfigured, Unavailable, Unusable, aws, setting, text

T = TypeVar("T")
V = TypeVar("V")

LIFE_S = 300
"""How long a copy is good."""

RETRY_S = 30
"""The pause between two tries to renew a copy that is older than that."""

ASK_AGAIN_S = 30
"""The least time between two reads out of turn, however often they are asked for."""

SEE = "see docs/deploy-aws.md, Secrets"


@dataclass(slots=True)
class _Copy(Generic[T]):
    text: str = field(repr=False)
    value: T = field(repr=False)
    left_out: list[str]
    read_at: float
    tried_at: float
    asked_again_at: float = 0.0


class Secret(Generic[T]):
    """One of the four, by the variable that holds its ARN; `read` makes its value of the fields."""

    def __init__(self, variable: str, read: Callable[[Fields], T]) -> None:
        self.variable = variable
        self._read = read
        self._copy: _Copy[T] | None = None

    def value(self, *, again: bool = False) -> T:
        """What the secret holds. `again`: what is there does not do, perhaps it has changed; asked for any number of
        times, it is read again at most every 30 s.

        Raises Misconfigured, Unavailable among them, when there is no copy that could serve.
        """
        now, copy = time.time(), self._copy
        if copy is None:
            return self._first(now)
        if again and abs(now - copy.asked_again_at) >= ASK_AGAIN_S:
            copy.asked_again_at = now
            self._renew(copy, now)
        elif not 0 <= now - copy.read_at < LIFE_S and not 0 <= now - copy.tried_at < RETRY_S:
            self._renew(copy, now)
        return copy.value

    def forget(self) -> None:
        """The next value is read anew, as by a process that has just begun."""
        self._copy = None

    def parse(self, text: str) -> tuple[T, list[str]]:
        """The value of a secret's text, and what had to be left out. Raises Misconfigured with all that is wrong."""
        try:
            values = json.loads(text.lstrip("\ufeff"))
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise Misconfigured(f"the secret of {self.variable} is not a JSON object; {SEE}")
        fields = Fields(values)
        value = self._read(fields)
        if fields.wrong:
            raise Misconfigured(f"the secret of {self.variable}: {'; '.join(fields.wrong)}; {SEE}")
        strays = [f"{name} does not belong here: take it out" for name in fields.others()]
        return value, fields.left_out + strays

    def _first(self, now: float) -> T:
        try:
            try:
                text = _fetched(self.variable)
            except Unavailable:
                text = _fetched(self.variable)
            value, left_out = self.parse(text)
        except Misconfigured:
            count("SecretBad")
            raise
        self._copy = _Copy(text, value, left_out, read_at=now, tried_at=now)
        self._ring(left_out)
        return value

    def _renew(self, copy: _Copy[T], now: float) -> None:
        """Brings the copy up to date, or leaves it as it is and says why."""
        copy.tried_at = now
        try:
            text = _fetched(self.variable)
            if text != copy.text:
                copy.value, copy.left_out = self.parse(text)
                copy.text = text
                logger.info("secret.changed", secret=self.variable)
        except Unavailable as error:
            logger.warning("secret.stale", secret=self.variable, why=str(error))
            count("SecretStale")
            return
        except Misconfigured as error:
            logger.error("secret.bad", secret=self.variable, why=str(error), serves="the copy from before")
            count("SecretBad")
            return
        copy.read_at = now
        self._ring(copy.left_out)

    def _ring(self, left_out: list[str]) -> None:
        if left_out:
            logger.error("secret.bad", secret=self.variable, why=f"{'; '.join(left_out)}; {SEE}", serves="the others")
            count("SecretBad")


@cache
def client() -> Any:
    """The process's client of Secrets Manager."""
    return aws("secretsmanager")


def _fetched(variable: str) -> str:
    """The text of a secret. Raises Misconfigured, or Unavailable when it may be there in a moment."""
    try:
        return text_of(client().get_secret_value(SecretId=setting(variable)))
    except ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        why = f"the secret of {variable} cannot be read ({code})"
        if status >= 500 or "Throttl" in code or "TooManyRequests" in code:
            raise Unavailable(why) from None
        raise Misconfigured(f"{why}: is it there, has it a value, may this role read it? {SEE}") from None
    except (BotoCoreError, OutOfTime) as error:
        raise Unavailable(f"the secret of {variable} cannot be read ({type(error).__name__})") from None


def text_of(reply: Mapping[str, Any]) -> str:
    """The text of GetSecretValue's reply, also of a secret that was put as bytes."""
    return str(reply["SecretString"]) if "SecretString" in reply else reply["SecretBinary"].decode(errors="replace")


# --- the mini-program's, and our own


def _app_secret(value: object) -> str:
    secret = text(value)
    if len(secret) != 32 or not (secret.isascii() and secret.isalnum()):
        raise Unusable(f"has {len(secret)} characters; an AppSecret has 32 letters and digits")
    return secret


LEAST_TOKEN_KEY = 32
"""Bytes: a shorter key of HS256 can be guessed."""


def _token_key(value: object) -> str:
    key = text(value)
    if (size := len(key.encode(errors="replace"))) < LEAST_TOKEN_KEY:
        raise Unusable(f"has {size} bytes; a key has at least {LEAST_TOKEN_KEY}: secrets.token_urlsafe(48) makes one")
    return key


APP = Secret("APP_SECRET_ARN", lambda fields: fields.one("app_secret", _app_secret))
TOKEN = Secret("TOKEN_SECRET_ARN", lambda fields: fields.several("token_keys", _token_key))


def app_secret() -> str:
    """The mini-program's AppSecret. Raises Misconfigured."""
    return APP.value()


def token_keys(*, again: bool = False) -> tuple[str, ...]:
    """The keys of our own tokens: the first one signs, all verify. `again`: as in Secret.value.

    Raises Misconfigured.
    """
    return TOKEN.value(again=again)
