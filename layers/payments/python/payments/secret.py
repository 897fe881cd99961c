"""Secrets as functions hold them: read from Secrets Manager, put right, checked field by field, kept for the process.

There are four, so that each function holds what it needs and no more: the merchant's private key and what verifies
WeChat's word (`payments.keys`), the mini-program's secret and the keys of our own tokens (here).

A secret is read again after five minutes, so that a rotated key arrives without a deployment. While that is not
possible, or the new one is of no use, the copy that is there serves on, and rings. No complaint holds a value.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar, cast

from botocore.exceptions import BotoCoreError, ClientError

from payments.calls import OutOfTime
from payments.observability import count, logger
from payments.settings import Misconfigured, Unavailable, aws, setting

T = TypeVar("T")
V = TypeVar("V")

LIFE_S = 300
"""How long a copy is good."""

RETRY_S = 30
"""The pause between two tries to renew a copy that is older than that."""

ASK_AGAIN_S = 30
"""The least time between two reads out of turn, however often they are asked for."""

SEE = "see docs/deploy-aws.md, Secrets"
INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060"))
"""What editors and consoles put into a text unseen: the mark of UTF-8, spaces of no width."""

FIELDS = {
    *("private_key", "cert_serial_no"),
    *("apiv3_keys", "public_keys"),
    "app_secret",
    "token_keys",
}
"""Of all four secrets: one that is found in another's place is told."""


class Unusable(Exception):
    """A value that no rule puts right; the text says what it has and what to do, never the value."""


def text(value: object) -> str:
    """A text without what copying leaves around it. Raises Unusable."""
    if not isinstance(value, str):
        raise Unusable(f"is {_kind(value)}; write it as a text, in quotes")
    value = value.translate(INVISIBLE).strip()
    if not value:
        raise Unusable("is empty")
    return value


def _kind(value: object) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")


class Fields:
    """The fields of one secret, taken out one by one. `wrong` is what the secret cannot do without, `left_out` what it
    can; each names its field."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._taken: set[str] = set()
        self.wrong: list[str] = []
        self.left_out: list[str] = []

    def one(self, name: str, read: Callable[[object], V]) -> V:
        """A field of one value."""
        try:
            return read(self._value(name))
        except Unusable as why:
            self.wrong.append(f"{name} {why}")
            return cast(V, None)  # never seen: a secret with something wrong is not handed out

    def several(self, name: str, read: Callable[[object], V]) -> tuple[V, ...]:
        """A field with a list of values; one alone may stand there without its list."""
        try:
            values = self._value(name)
        except Unusable as why:
            self.wrong.append(f"{name} {why}")
            return ()
        entries = values if isinstance(values, list) else [values]
        named = {f"{name}[{n}]" if values is entries else name: value for n, value in enumerate(entries)}
        return tuple(dict.fromkeys(self._good(name, named, read).values()))

    def by_name(self, name: str, read: Callable[[str, object], tuple[str, V]]) -> dict[str, V]:
        """A field with an object of values by their names."""
        try:
            values = self._value(name)
            if not isinstance(values, dict):
                raise Unusable(f'is {"a text" if isinstance(values, str) else _kind(values)}; write {{"id": "key"}}')
        except Unusable as why:
            self.wrong.append(f"{name} {why}")
            return {}
        named = {f"{name}[{n}]": pair for n, pair in enumerate(values.items())}
        return dict(self._good(name, named, lambda pair: read(*pair)).values())

    def others(self) -> list[str]:
        """The fields of other secrets that have no business in this one."""
        return sorted((FIELDS - self._taken) & set(self._values))

    def _value(self, name: str) -> object:
        self._taken.add(name)
        if name not in self._values:
            raise Unusable("is missing")
        return self._values[name]

    def _good(self, name: str, values: Mapping[str, Any], read: Callable[[Any], V]) -> dict[str, V]:
        """Those that can be used; the others are left out as long as there is one."""
        good, bad = {}, []
        for entry, value in values.items():
            try:
                good[entry] = read(value)
            except Unusable as why:
                bad.append(f"{entry} {why}")
        (self.left_out if good else self.wrong).extend(bad or ([] if good else [f"{name} is empty"]))
        return good


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
