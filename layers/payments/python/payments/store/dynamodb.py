"""DynamoDB as the store uses it: the wire form of the domain's values, and conditional writes.

A failed condition answers with the stored item that made it fail: botocore repeats a write whose answer got lost, and
the repeat fails its own condition (R11).
"""

import random
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from boto3.dynamodb.conditions import ConditionBase, ConditionExpressionBuilder
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from payments.domain.money import MAX_FEN, is_fen
from payments.domain.times import iso
from payments.store import keys

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")
V = TypeVar("V")
Wire = dict[str, Any]
"""An item as DynamoDB's API carries it: `{"status": {"S": "NOTPAY"}}`."""

_serializer = TypeSerializer()
_deserializer = TypeDeserializer()


def plain(value: object) -> Any:
    """A domain value as DynamoDB's plain types; what is None is left out."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(v) for f in fields(value) if (v := getattr(value, f.name)) is not None}
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def wire(values: Mapping[str, object]) -> Wire:
    return {name: _serializer.serialize(plain(value)) for name, value in values.items()}


def unwire(item: Wire) -> dict[str, Any]:
    return {name: _deserializer.deserialize(value) for name, value in item.items()}


class UnreadableItem(Exception):
    """An item that this version cannot read: an attribute is missing, is of another type, or has a value that is not
    known here. The text names the item and the attribute, and holds no value of it."""

    def __init__(self, values: Mapping[str, Any], attribute: str, why: str) -> None:
        self.pk, self.sk = (key if isinstance(key := values.get(name), str) else "" for name in ("pk", "sk"))
        try:
            self.version: int | None = _whole(values.get("version"))
        except _Wrong:
            self.version = None
        self.attribute = attribute
        self.why = why
        self.user_id, self.business_id = (
            owner if isinstance(owner := values.get(name), str) else "" for name in ("user_id", "business_id")
        )
        super().__init__(f"{self.pk}/{self.sk}: {attribute} {why}")

    @property
    def order_sn(self) -> str:
        """The order beside which the item lies; empty if it lies beside none."""
        return keys.order_sn_of(self.pk)

    def of(self, owner: Mapping[str, Any]) -> "UnreadableItem":
        """The same of an item that belongs to whoever `owner` (an order's values) belongs to."""
        return UnreadableItem({**owner, "pk": self.pk, "sk": self.sk}, self.attribute, self.why)


def each_readable(read: Callable[[V], T], values: Iterable[V], tell: Callable[[UnreadableItem], None]) -> list[T]:
    """What is read of each value; `tell` hears of each that cannot be read, and one never hides the others."""
    found: list[T] = []
    for value in values:
        try:
            found.append(read(value))
        except UnreadableItem as error:
            tell(error)
    return found


class _Wrong(Exception):
    """An attribute is not what it must be: (path, why)."""


def typed(cls: Callable[..., T], values: Mapping[str, Any]) -> T:
    """The dataclass that `values` (from `unwire`) stands for; attributes it does not know are left out.

    Nothing is cut or guessed: a number must be whole, a sum (`..._fen`) from 0 to MAX_FEN, an instant must have its
    zone, a status must be one that this version knows. Raises UnreadableItem.
    """
    try:
        return _read(cls, values)
    except _Wrong as wrong:
        raise UnreadableItem(values, *wrong.args) from None


def _read(cls: Callable[..., T], values: Any) -> T:
    found: dict[str, Any] = {}
    for name, (required, reader) in _readers(cls).items():
        if name in values:
            try:
                found[name] = reader(values[name])
            except _Wrong as wrong:
                path, why = wrong.args
                raise _Wrong(f"{name}.{path}" if path else name, why) from None
        elif required:
            raise _Wrong(name, "is missing")
    try:
        return cls(**found)
    except ValueError as error:  # a rule of the class's own
        raise _Wrong("as a whole", f"is wrong: {error}") from None


Reader = Callable[[Any], Any]


@cache
def _readers(cls: Callable[..., object]) -> dict[str, tuple[bool, Reader]]:
    """By field: whether it must be there, and what reads it."""
    hints = get_type_hints(cls)
    return {
        field.name: (
            field.default is MISSING and field.default_factory is MISSING,
            _reader(hints[field.name], field.name),
        )
        for field in fields(cls)  # type: ignore[arg-type]
    }


def _reader(hint: Any, name: str = "") -> Reader:
    """What reads a value of this type, in a field of this name."""
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
        read = _reader(inner, name)
        return lambda value: None if value is None else read(value)
    if hint is Any:
        return _anything
    if get_origin(hint) is tuple:  # tuple[X, ...]
        each_of = _reader(get_args(hint)[0])
        return lambda value: tuple(each_of(each) for each in _checked(value, list, "a list"))
    if get_origin(hint) is not None:  # Mapping[str, X]
        read = _reader(get_args(hint)[1])
        return lambda value: {key: read(each) for key, each in _checked(value, Mapping, "a map").items()}
    if hint is str:
        return lambda value: _checked(value, str, "text")
    if hint is bool:
        return lambda value: _checked(value, bool, "true or false")
    if hint is int:
        return _fen if name.endswith("_fen") else _whole
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda value: _read(hint, _checked(value, Mapping, "a map"))
    return lambda value: _named(hint, _checked(value, str, "text"))


def _named(hint: Any, value: str) -> Any:
    """An instant, a day, a status: what is written as text."""
    try:
        read = hint(value) if issubclass(hint, StrEnum) else hint.fromisoformat(value)
    except ValueError:
        raise _Wrong("", f"is no {hint.__name__} that this version knows") from None
    if isinstance(read, datetime) and read.tzinfo is None:
        raise _Wrong("", "is an instant without its zone")
    return read


def _checked(value: Any, kind: Any, what: str) -> Any:
    if not isinstance(value, kind):
        raise _Wrong("", f"must be {what}, and is of type {type(value).__name__}")
    return value


def _anything(value: Any) -> Any:
    """What a product keeps: whole numbers, texts, booleans, and lists and maps of these."""
    if isinstance(value, Mapping):
        return {name: _anything(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_anything(each) for each in value]
    return value if isinstance(value, str | bool) else _whole(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise _Wrong("", f"must be a number, and is of type {type(value).__name__}")
    if not -MAX_FEN <= value <= MAX_FEN or value != int(value):
        raise _Wrong("", "must be a whole number")
    return int(value)


def _fen(value: Any) -> int:
    if not is_fen(whole := _whole(value)):
        raise _Wrong("", "must be a sum in whole fen, 0 or more")
    return whole


# --- conditional writes

PASSING = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
"""Why a transaction is cancelled that says nothing about its items: it is tried again."""

CONFLICT_TRIES = 4
CONFLICT_PAUSE_S = 0.02
"""Before the second try; doubled for each after it, and never all writers at once."""


class Conflict(RuntimeError):
    """Others keep changing the same items. Nothing of this write is stored: come again (R11)."""


@dataclass(frozen=True, slots=True)
class Plus:
    """In an update: what the attribute has, and this."""

    by: int


@dataclass(frozen=True, slots=True)
class IfMissing:
    """In an update: this, unless the attribute has a value already."""

    value: object


@dataclass(frozen=True, slots=True)
class Removed:
    """In an update: the attribute goes away, and the item leaves the indexes that it keys."""


def put_arguments(item: Mapping[str, object], when: ConditionBase | None) -> dict[str, Any]:
    """PutItem's arguments, also good as a transaction's Put."""
    return {"Item": wire(item), **_condition(when)}


def update_arguments(
    key: Mapping[str, str], changes: Mapping[str, object], when: ConditionBase, *, at: int, versioned: bool = True
) -> dict[str, Any]:
    """UpdateItem's arguments: sets what changes (None: leaves it alone), adds one to `version` if the item has one.

    A new `status` is written down in the item: `entered` is its version, `at` holds when (the argument `at`, in
    milliseconds since 1970). So an item tells its own life.
    """
    names: dict[str, str] = {}
    values: Wire = {}
    sets: list[str] = []
    removes: list[str] = []
    if versioned:
        names, values, sets = {"#version": "version"}, {":one": {"N": "1"}}, ["#version = #version + :one"]
    for number, (name, value) in enumerate(changes.items()):
        if value is None:
            continue
        names[f"#s{number}"] = name
        match value:
            case Plus(by):
                values |= wire({f":s{number}": by})
                sets.append(f"#s{number} = #s{number} + :s{number}")
            case IfMissing(first):
                values |= wire({f":s{number}": first})
                sets.append(f"#s{number} = if_not_exists(#s{number}, :s{number})")
            case Removed():
                removes.append(f"#s{number}")
            case _:
                values |= wire({f":s{number}": value})
                sets.append(f"#s{number} = :s{number}")
    status = changes.get("status")
    if status is not None:
        names["#entered"] = "entered"
        sets.append("#entered = #version + :one")
    if status is not None or "closing" in changes:
        names |= {"#at": "at", "#entry": "closing" if status is None else plain(status)}
        values |= wire({":at": at})
        sets.append("#at.#entry = :at")
    clauses = [f"{verb} {', '.join(of)}" for verb, of in (("SET", sets), ("REMOVE", removes)) if of]
    return {
        "Key": wire(key),
        "UpdateExpression": " ".join(clauses),
        **_merged(_condition(when), names, values),
    }


def add_arguments(key: Mapping[str, str], name: str, by: int, when: ConditionBase, ttl: int) -> dict[str, Any]:
    """UpdateItem's arguments for a counter that comes into being when it is first counted, and goes away at `ttl`."""
    names, values = {"#counter": name, "#ttl": "ttl"}, wire({":by": by, ":ttl": ttl})
    return {
        "Key": wire(key),
        "UpdateExpression": "SET #ttl = :ttl ADD #counter :by",
        **_merged(_condition(when), names, values),
    }


def _merged(condition: dict[str, Any], names: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    """A condition's arguments with those of the expression beside it. An empty map of values is refused by AWS."""
    together = {**values, **condition.get("ExpressionAttributeValues", {})}
    return {
        "ConditionExpression": condition["ConditionExpression"],
        "ExpressionAttributeNames": {**names, **condition["ExpressionAttributeNames"]},
        **({"ExpressionAttributeValues": together} if together else {}),
    }


def _condition(when: ConditionBase | None) -> dict[str, Any]:
    if when is None:
        return {}
    built = ConditionExpressionBuilder().build_expression(when)
    return {
        "ConditionExpression": built.condition_expression,
        "ExpressionAttributeNames": built.attribute_name_placeholders,
        **(
            {"ExpressionAttributeValues": wire(built.attribute_value_placeholders)}
            if built.attribute_value_placeholders
            else {}
        ),
    }


def write(client: "DynamoDBClient", table: str, **arguments: Any) -> dict[str, Any] | None:
    """One conditional PutItem or UpdateItem (`arguments` tells which).

    None when it is written; else the stored item that made its condition fail, empty if there is none. A conflict
    with a running transaction is tried again; raises Conflict when it does not end.
    """
    operation = client.put_item if "Item" in arguments else client.update_item
    for number in range(CONFLICT_TRIES):
        _wait(number)
        try:
            operation(TableName=table, ReturnValuesOnConditionCheckFailure="ALL_OLD", **arguments)
            return None
        except client.exceptions.ConditionalCheckFailedException as failed:
            image: Wire = failed.response.get("Item", {})  # type: ignore[assignment]
            return unwire(image)
        except client.exceptions.TransactionConflictException:
            continue
    raise Conflict("a transaction keeps being in the way of a write")


def transact(client: "DynamoDBClient", *items: Mapping[str, Any]) -> list[dict[str, Any] | None] | None:
    """One TransactWriteItems. None when it is written. When a condition failed: for each item None if its own condition
    held, else the stored item, empty if there is none. A conflict with another transaction says nothing about the
    items: it is tried again; raises Conflict when it does not end."""
    for number in range(CONFLICT_TRIES):
        _wait(number)
        try:
            client.transact_write_items(TransactItems=[dict(item) for item in items])  # type: ignore[misc]
            return None
        except client.exceptions.TransactionCanceledException as cancelled:
            reasons: list[Any] = list(cancelled.response["CancellationReasons"])
            codes = {reason.get("Code", "None") for reason in reasons} - {"None"}
            if not codes or not codes <= {"ConditionalCheckFailed", *PASSING}:
                raise
            if "ConditionalCheckFailed" in codes:
                failed = (reason.get("Code") == "ConditionalCheckFailed" for reason in reasons)
                return [unwire(one.get("Item", {})) if no else None for one, no in zip(reasons, failed, strict=True)]
    raise Conflict("a transaction keeps being in the way of another")


def _wait(number: int) -> None:
    """Before the try of this number, the first being 0."""
    if number:
        time.sleep(random.uniform(0, CONFLICT_PAUSE_S * 2**number))  # noqa: S311  # spreads writers, guards nothing


# --- many items at once

BATCH = 100
"""Keys that one BatchGetItem takes."""

BATCH_TRIES = 6
PAUSE_S = 0.05


class Busy(Exception):
    """DynamoDB kept leaving something out: the caller may come again."""


def read_many(
    client: "DynamoDBClient", table: str, keys: Sequence[Mapping[str, str]], *, consistent: bool, only: str = ""
) -> Iterator[dict[str, Any]]:
    """The items of these keys (pk, sk), in no order; those that are not there are left out. `only`: these attributes
    (names with commas between). Raises Busy."""
    unique = list({(key["pk"], key["sk"]): {"pk": key["pk"], "sk": key["sk"]} for key in keys}.values())
    wish: dict[str, Any] = {"ConsistentRead": consistent, **({"ProjectionExpression": only} if only else {})}
    for start in range(0, len(unique), BATCH):
        left: Sequence[Any] = [wire(key) for key in unique[start : start + BATCH]]
        for tried in range(BATCH_TRIES):
            if tried:  # a quick repeat would meet the same limit
                time.sleep(random.uniform(0.5, 1) * PAUSE_S * 2**tried)  # noqa: S311
            wanted: Any = {table: {**wish, "Keys": left}}
            reply: Mapping[str, Any] = client.batch_get_item(RequestItems=wanted)
            yield from map(unwire, reply["Responses"].get(table, []))
            left = reply.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
            if not left:
                break
        else:
            raise Busy(f"{len(left)} of {len(unique)} items were not read")
