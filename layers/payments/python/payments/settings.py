"""What a function is told by its environment, and the clients that it talks to AWS with. Kept for the process."""

import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, cast

import boto3

from payments.calls import (
    AWS_CALLS,
    SECRET_CALLS,
    bounded,
)
from payments.domain.shipping import ShippingRecord
from payments.domain.times import utc_now
from payments.edge.observability import unreadable
from payments.store.store import Store

V = TypeVar("V")


class Misconfigured(Exception):
    """The deployment lacks something; the text says what to do."""


class Unavailable(Misconfigured):
    """A secret cannot be read now and no older copy is there: the same call may do in a moment."""


def setting(name: str) -> str:
    """A variable of the function (template.yaml). Raises Misconfigured when it is missing or empty."""
    value = os.environ.get(name, "")
    if not value:
        raise Misconfigured(f"{name} is not set: see the parameters of template.yaml")
    return value


def optional(name: str) -> str:
    """A variable that may be empty."""
    return os.environ.get(name, "")


def shipping_record() -> ShippingRecord:
    """When shipping is recorded; off where nothing is said. Raises Misconfigured."""
    name = "SHIPPING_RECORD"
    try:
        return ShippingRecord(optional(name) or ShippingRecord.OFF)
    except ValueError:
        raise Misconfigured(f"{name} is none of {', '.join(ShippingRecord)}: see docs/deploy-aws.md") from None


@cache
def store() -> Store:
    """The table, as the function of this process writes to it."""
    return Store(aws("dynamodb"), setting("TABLE_NAME"), utc_now, optional("POWERTOOLS_SERVICE_NAME"), unreadable)


def aws(service: str) -> Any:
    """A client of an AWS service. All of a process come from boto3's one session: a second one takes longer to make
    than most calls do."""
    config = SECRET_CALLS if service == "secretsmanager" else AWS_CALLS
    return bounded(boto3.client(service, config=config))  # type: ignore[call-overload]


# --- the fields of a secret

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
