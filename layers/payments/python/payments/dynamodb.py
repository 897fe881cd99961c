"""DynamoDB as the table uses it: the wire form of the domain's values, and conditional writes. Knows no keys.

A failed condition is told by the image that stood in the way: botocore repeats a write whose answer got lost, and the
repeat fails its own condition (R11).
"""

import random
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from boto3.dynamodb.conditions import ConditionBase, ConditionExpressionBuilder
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from payments.times import iso

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")
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
    return value


def wire(values: Mapping[str, object]) -> Wire:
    return {name: _serializer.serialize(plain(value)) for name, value in values.items()}


def unwire(item: Wire) -> dict[str, Any]:
    return {name: _deserializer.deserialize(value) for name, value in item.items()}


def typed(cls: Callable[..., T], values: Mapping[str, Any]) -> T:
    """The dataclass that `values` (from `unwire`) stands for; attributes it does not know are left out."""
    return cls(**{name: _typed(hint, values[name]) for name, hint in _hints(cls).items() if name in values})


@cache
def _hints(cls: Callable[..., object]) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls)}  # type: ignore[arg-type]


def _typed(hint: Any, value: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(arg for arg in get_args(hint) if arg is not type(None))
    if get_origin(hint) is not None:  # Mapping[str, X]
        return {k: _typed(get_args(hint)[1], v) for k, v in value.items()}
    if issubclass(hint, (datetime, date)):
        return hint.fromisoformat(value)
    if issubclass(hint, StrEnum):
        return hint(value)
    if is_dataclass(hint) and isinstance(hint, type):
        return typed(hint, value)
    return int(value) if isinstance(value, Decimal) else value


# --- conditional writes

CONFLICT_TRIES = 4


class Attribute(str):
    """In an update: not this text, but the value that the item's attribute of this name has."""

    __slots__ = ()


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
    key: Mapping[str, str], changes: Mapping[str, object], when: ConditionBase, *, at: int
) -> dict[str, Any]:
    """UpdateItem's arguments: sets what changes (None: leaves it alone), adds one to `version`.

    A new `status` is written down in the item: `entered` is its version, `at` holds when (the argument `at`, in
    milliseconds since 1970). So an item tells its own life.
    """
    names, values, sets = {"#version": "version"}, {":one": {"N": "1"}}, ["#version = #version + :one"]
    removes: list[str] = []
    for number, (name, value) in enumerate(changes.items()):
        if value is None:
            continue
        names[f"#s{number}"] = name
        match value:
            case Attribute():
                names[f"#a{number}"] = str(value)
                sets.append(f"#s{number} = #a{number}")
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
    return {
        "Key": wire(key),
        "UpdateExpression": "SET " + ", ".join(sets) + (" REMOVE " + ", ".join(removes) if removes else ""),
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
    """A condition's arguments with those of the expression beside it."""
    return {
        "ConditionExpression": condition["ConditionExpression"],
        "ExpressionAttributeNames": {**names, **condition["ExpressionAttributeNames"]},
        "ExpressionAttributeValues": {**values, **condition.get("ExpressionAttributeValues", {})},
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

    None when it is written; else the image that stood in the way, empty if there is no item. A conflict with a running
    transaction is tried again.
    """
    operation = client.put_item if "Item" in arguments else client.update_item
    for tries_left in reversed(range(CONFLICT_TRIES)):
        try:
            operation(TableName=table, ReturnValuesOnConditionCheckFailure="ALL_OLD", **arguments)
            return None
        except client.exceptions.ConditionalCheckFailedException as failed:
            image: Wire = failed.response.get("Item", {})  # type: ignore[assignment]
            return unwire(image)
        except client.exceptions.TransactionConflictException:
            if not tries_left:
                raise
    raise AssertionError("unreachable")


def transact(client: "DynamoDBClient", *items: Mapping[str, Any]) -> bool:
    """One TransactWriteItems. False when a condition failed or another transaction was in the way: read again."""
    try:
        client.transact_write_items(TransactItems=[dict(item) for item in items])  # type: ignore[misc]
    except client.exceptions.TransactionCanceledException as cancelled:
        codes = {reason.get("Code", "None") for reason in cancelled.response["CancellationReasons"]}
        if codes <= {"None", "ConditionalCheckFailed", "TransactionConflict"}:
            return False
        raise
    return True


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
