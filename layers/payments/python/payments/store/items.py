"""What every entity of the table stands on: reads, conditional writes and transactions, each with one kind of answer.

Every change of state is one conditional write that checks the state it leaves and adds one to `version`; the allowed
changes stand in `payments.domain`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from boto3.dynamodb.conditions import Attr, ConditionBase

from payments.domain.order import Order, OrderStatus
from payments.domain.payment import Payment, PaymentStatus
from payments.domain.refund import Refund, RefundStatus
from payments.domain.shipping import ShippingStatus
from payments.domain.times import millis
from payments.store.dynamodb import (
    UnreadableItem,
    add_arguments,
    each_readable,
    plain,
    put_arguments,
    read_many,
    transact,
    typed,
    unwire,
    update_arguments,
    wire,
    write,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Values = dict[str, Any]
"""An item as plain values."""


# --- what a write answers


@dataclass(frozen=True, slots=True)
class Written:
    """The write is stored: now, or by an earlier try of this same call whose answer got lost (R11). True in an `if`.

    `not_in_stock`: something that was to become free was not held, as far as the stock knew; a case says so (R15).
    """

    not_in_stock: bool = False

    def __bool__(self) -> Literal[True]:
        return True


@dataclass(frozen=True, slots=True)
class Standing(Generic[T_co]):
    """Nothing is stored: the condition of the write failed. False in an `if`.

    `item` is the stored item that made it fail, as it was at that moment; what it is where there is none, each method
    says. A transaction tells no item: None, read again.
    """

    read: Callable[[], T_co]
    """Reads the item when someone asks for it. Raises UnreadableItem."""

    __match_args__ = ("item",)

    @property
    def item(self) -> T_co:
        return self.read()

    def __bool__(self) -> Literal[False]:
        return False


@dataclass(frozen=True, slots=True)
class Taken:
    """Nothing is stored: some of what the order would hold is held by others by now. False in an `if`."""

    def __bool__(self) -> Literal[False]:
        return False


# --- what is written


@dataclass(frozen=True, slots=True)
class Put:
    """A whole item, in the place of the one that is there; None as `when`: whatever is there."""

    item: Mapping[str, object]
    when: ConditionBase | None


@dataclass(frozen=True, slots=True)
class Update:
    """Attributes of an item that is there. None leaves an attribute as it is; see also Plus, IfMissing, Removed."""

    key: Mapping[str, str]
    changes: Mapping[str, object]
    when: ConditionBase


@dataclass(frozen=True, slots=True)
class Mark:
    """As Update, of an item without a version: it comes into being when it is first written."""

    key: Mapping[str, str]
    changes: Mapping[str, object]
    when: ConditionBase


@dataclass(frozen=True, slots=True)
class Add:
    """To a counter that comes into being when it is first counted, and goes away at `ttl` (seconds since 1970)."""

    key: Mapping[str, str]
    name: str
    by: int
    when: ConditionBase
    ttl: int


Change = Put | Update | Mark | Add

NOTHING: Mapping[str, object] = MappingProxyType({})

NEW = Attr("pk").not_exists()
"""No such item is there yet."""


def as_read(item: Order | Payment | Refund) -> ConditionBase:
    """It has not changed since it was read."""
    return Attr("version").eq(item.version)


def status_in(statuses: Iterable[OrderStatus | PaymentStatus | RefundStatus | ShippingStatus]) -> ConditionBase:
    return Attr("status").is_in(sorted(status.value for status in statuses))


class Items:
    """The items of one table. Any write raises `payments.store.dynamodb.Conflict` when transactions keep being in its
    way; other errors are botocore's."""

    def __init__(
        self,
        client: "DynamoDBClient",
        name: str,
        author: str,
        clock: Callable[[], datetime],
        tell: Callable[[UnreadableItem], None],
    ) -> None:
        self._client = client
        self._name = name
        self.author = author
        self._clock = clock
        self._tell = tell

    # --- writes

    def write(
        self,
        change: Change,
        read: Callable[[Values], T],
        mine: Mapping[str, object] | None = None,
    ) -> Written | Standing[T | None]:
        """One conditional write. Standing: the stored item that made its condition fail, None if there is none.

        `mine`: attributes that only this very call writes (its attempt). An item that has them all, none of them empty,
        was written by an earlier try of this call: Written (R11).
        """
        image = write(self._client, self._name, **self._arguments(change))
        if image is None or (mine and all(value and image.get(name) == plain(value) for name, value in mine.items())):
            return Written()
        return Standing(lambda: read(image) if image else None)

    def transact(self, *changes: Change) -> Written | Standing[None]:
        """One transaction, all or nothing. Standing: one of the items has changed since it was read; None."""
        return Written() if self.together(*changes) is None else Standing(lambda: None)

    def together(self, *changes: Change) -> list[Values | None] | None:
        """One transaction, all or nothing; None: it is written. Else, for each change in turn, the stored item that
        made its condition fail (empty: there is none), and None where it held."""
        told = {"TableName": self._name, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        parts = ({"Put" if isinstance(one, Put) else "Update": {**told, **self._arguments(one)}} for one in changes)
        return transact(self._client, *parts)

    def _arguments(self, change: Change) -> Values:
        match change:
            case Put(item, when):
                return put_arguments(item, when)
            case Update(key, changes, condition):
                return update_arguments(key, changes, condition, at=millis(self._clock()))
            case Mark(key, changes, condition):
                return update_arguments(key, changes, condition, at=0, versioned=False)
            case Add(key, name, by, condition, ttl):
                return add_arguments(key, name, by, condition, ttl)

    # --- reads

    def get(
        self,
        cls: type[T],
        key: Mapping[str, str],
        *,
        consistent: bool,
        also: Mapping[str, object] = NOTHING,
    ) -> T | None:
        """The item of this key; `also`: what the key alone says of it. Raises UnreadableItem."""
        reply = self._client.get_item(TableName=self._name, Key=wire(key), ConsistentRead=consistent)
        return typed(cls, {**unwire(reply["Item"]), **also}) if "Item" in reply else None

    def many(self, keys: Iterable[Mapping[str, str]], *, consistent: bool, only: str = "") -> Iterator[Values]:
        """The items of these keys, in no order, without those that are not there. `only`: these attributes. Raises
        Busy."""
        return read_many(self._client, self._name, list(keys), consistent=consistent, only=only)

    def query(self, **arguments: Any) -> list[Values]:
        """All that a Query finds, from every page."""
        pages = self._client.get_paginator("query").paginate(TableName=self._name, **arguments)
        return [unwire(item) for page in pages for item in page["Items"]]

    def page(self, **arguments: Any) -> tuple[list[Values], Values | None]:
        """What one Query finds, and the key where it stopped; None: there is no more."""
        reply = self._client.query(TableName=self._name, **arguments)
        stopped = reply.get("LastEvaluatedKey")
        return [unwire(item) for item in reply["Items"]], unwire(stopped) if stopped else None

    def count(self, **arguments: Any) -> int:
        """How many items a Query finds."""
        pages = self._client.get_paginator("query").paginate(TableName=self._name, Select="COUNT", **arguments)
        return sum(page["Count"] for page in pages)

    def readable(self, read: Callable[[Values], T], items: Iterable[Values]) -> list[T]:
        """The items of a list, without those that cannot be read: `tell` hears of each, and one never hides the
        others."""
        return each_readable(read, items, self._tell)
