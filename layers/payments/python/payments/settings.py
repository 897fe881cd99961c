"""The variables of a function's environment (template.yaml), and how the fields of its secrets are read.

There are four secrets, so that each function holds what it needs and no more: the merchant's private key, what verifies
WeChat's signatures, the mini-program's AppSecret (`payments.wechat.keys`), and the keys of our own tokens
(`payments.edge.tokens`). No complaint about one holds a value.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from payments.domain.shipping import ShippingRecord

T = TypeVar("T")
V = TypeVar("V")


class Misconfigured(Exception):
    """The deployment lacks something; the text says what to do."""


class Unavailable(Misconfigured):
    """A secret cannot be read now and no older copy is there: the same call may do in a moment."""


class Settings:
    """The variables of a function's environment."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def __getitem__(self, name: str) -> str:
        """A variable that must be there. Raises Misconfigured when it is missing or empty."""
        value = self._variables.get(name, "")
        if not value:
            raise Misconfigured(f"{name} is not set: see the parameters of template.yaml")
        return value

    def optional(self, name: str) -> str:
        """A variable that may be empty or missing: empty then."""
        return self._variables.get(name, "")

    @property
    def shipping_record(self) -> ShippingRecord:
        """When shipping is recorded; off where nothing is said. Raises Misconfigured."""
        name = "SHIPPING_RECORD"
        try:
            return ShippingRecord(self.optional(name) or ShippingRecord.OFF)
        except ValueError:
            raise Misconfigured(f"{name} is none of {', '.join(ShippingRecord)}: see docs/deploy-aws.md") from None


# --- the fields of a secret

SEE = "see docs/deploy-aws.md, Secrets"
INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060"))
"""What editors and consoles put into a text unseen: the mark of UTF-8, spaces of no width."""

FIELDS = {
    *("private_key", "cert_serial_no"),
    *("apiv3_keys", "public_keys"),
    "app_secret",
    "token_keys",
}
"""Of all four secrets: a field that stands in another secret is complained about."""


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


@dataclass(frozen=True, slots=True)
class SecretKind(Generic[T]):
    """One of the four secrets: the variable that holds its ARN, and what makes its value of its fields."""

    variable: str
    read: Callable[[Fields], T]

    def parse(self, content: str) -> tuple[T, list[str]]:
        """The value of a secret's text, and what had to be left out. Raises Misconfigured with all that is wrong."""
        try:
            values = json.loads(content.lstrip("\ufeff"))
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise Misconfigured(f"the secret of {self.variable} is not a JSON object; {SEE}")
        fields = Fields(values)
        value = self.read(fields)
        if fields.wrong:
            raise Misconfigured(f"the secret of {self.variable}: {'; '.join(fields.wrong)}; {SEE}")
        strays = [f"{name} does not belong here: take it out" for name in fields.others()]
        return value, fields.left_out + strays
