"""Secrets as functions hold them: read from Secrets Manager, checked field by field, kept for the process.

A secret is read again after five minutes, so that a rotated key arrives without a deployment. While that is not
possible, or the new one is of no use, the copy that is there serves on, and rings.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from payments.calls import OutOfTime
from payments.edge.observability import count, logger
from payments.settings import SEE, Misconfigured, SecretKind, Settings, Unavailable

T = TypeVar("T")

LIFE_S = 300
"""How long a copy is good."""

RETRY_S = 30
"""The pause between two tries to renew a copy that is older than that."""

ASK_AGAIN_S = 30
"""The least time between two reads out of turn, however often they are asked for."""


@dataclass(slots=True)
class _Copy(Generic[T]):
    text: str = field(repr=False)
    value: T = field(repr=False)
    left_out: list[str]
    read_at: float
    tried_at: float
    asked_again_at: float = 0.0


class Secret(Generic[T]):
    """One of the four, as this process holds it; `client` is of Secrets Manager."""

    def __init__(self, kind: SecretKind[T], settings: Settings, client: Any) -> None:
        self.kind = kind
        self._settings = settings
        self._client = client
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

    def _first(self, now: float) -> T:
        try:
            try:
                text = self._fetched()
            except Unavailable:
                text = self._fetched()
            value, left_out = self.kind.parse(text)
        except Misconfigured:
            count("SecretBad")
            raise
        self._copy = _Copy(text, value, left_out, read_at=now, tried_at=now)
        self._ring(left_out)
        return value

    def _renew(self, copy: _Copy[T], now: float) -> None:
        """Brings the copy up to date, or leaves it as it is and says why."""
        copy.tried_at, variable = now, self.kind.variable
        try:
            text = self._fetched()
            if text != copy.text:
                copy.value, copy.left_out = self.kind.parse(text)
                copy.text = text
                logger.info("secret.changed", secret=variable)
        except Unavailable as error:
            logger.warning("secret.stale", secret=variable, why=str(error))
            count("SecretStale")
            return
        except Misconfigured as error:
            logger.error("secret.bad", secret=variable, why=str(error), serves="the copy from before")
            count("SecretBad")
            return
        copy.read_at = now
        self._ring(copy.left_out)

    def _ring(self, left_out: list[str]) -> None:
        if left_out:
            why = f"{'; '.join(left_out)}; {SEE}"
            logger.error("secret.bad", secret=self.kind.variable, why=why, serves="the others")
            count("SecretBad")

    def _fetched(self) -> str:
        """The secret's text. Raises Misconfigured, or Unavailable when it may be there in a moment."""
        variable = self.kind.variable
        try:
            return text_of(self._client.get_secret_value(SecretId=self._settings[variable]))
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
