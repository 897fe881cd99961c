"""DynamoDB's client in memory, for tests that write a hundred thousand times: moto needs milliseconds for each call.

It knows the operations and the expressions that `payments.store` uses, and says so when it meets another one. What
AWS refuses in an expression is moto's to show, in the other tests.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError

Item = dict[str, Any]
Key = tuple[str, str]

TOKEN = re.compile(r"\s*(<=|>=|<>|[=<>(),+-]|[#:]?[A-Za-z_0-9.#]+)")
_read = TypeDeserializer().deserialize


class Failed(ClientError):
    """A condition that did not hold."""


class Cancelled(ClientError):
    """A transaction of which a condition did not hold."""


class Conflict(ClientError):
    """Never raised: nothing runs beside."""


class Exceptions:
    ConditionalCheckFailedException = Failed
    TransactionCanceledException = Cancelled
    TransactionConflictException = Conflict


class Memory:
    """One table with its indexes. Items are replaced, never changed: what was read stays as it was."""

    exceptions = Exceptions

    def __init__(self) -> None:
        self.items: dict[Key, Item] = {}
        self._partitions: dict[tuple[str, str], dict[Key, Item]] = {}  # by index ("": the table) and its hash key
        self._keys: dict[str, list[str]] = {"": ["pk", "sk"]}

    def create_table(self, **arguments: Any) -> None:
        for index in arguments["GlobalSecondaryIndexes"]:
            self._keys[index["IndexName"]] = [part["AttributeName"] for part in index["KeySchema"]]

    def _at(self, key: Item) -> Item | None:
        return self.items.get((key["pk"]["S"], key["sk"]["S"]))

    def _set(self, item: Item) -> None:
        key = (item["pk"]["S"], item["sk"]["S"])
        before = self.items.get(key, {})
        self.items[key] = item
        for index, names in self._keys.items():
            if all(name in before for name in names):
                del self._partitions[index, str(before[names[0]])][key]
            if all(name in item for name in names):
                self._partitions.setdefault((index, str(item[names[0]])), {})[key] = item

    # --- reads

    def get_item(self, *, Key: Item, **_: Any) -> dict[str, Any]:  # noqa: N803
        found = self._at(Key)
        return {"Item": found} if found else {}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        ((name, wish),) = RequestItems.items()
        found = [item for key in wish["Keys"] if (item := self._at(key))]
        return {"Responses": {name: found}, "UnprocessedKeys": {}}

    def query(self, **arguments: Any) -> dict[str, Any]:
        expression, index = arguments["KeyConditionExpression"], arguments.get("IndexName", "")
        names, values = arguments.get("ExpressionAttributeNames", {}), arguments["ExpressionAttributeValues"]
        hash_name, *sort_names = self._keys[index]
        (hash_value,) = re.findall(rf"{hash_name} = (:\w+)", expression)
        holds = condition(expression)
        partition = self._partitions.get((index, str(values[hash_value])), {}).values()
        found = [item for item in partition if holds(item, names, values)]

        def place(item: Item) -> tuple[Any, ...]:
            return *(_read(item[name]) for name in sort_names), item["pk"]["S"], item["sk"]["S"]

        found.sort(key=place, reverse=not arguments.get("ScanIndexForward", True))
        if start := arguments.get("ExclusiveStartKey"):
            found = [item for item in found if place(item) > place(start)]
        limit = arguments.get("Limit", len(found))
        reply: dict[str, Any] = {"Items": found[:limit], "Count": len(found[:limit])}
        if limit < len(found):
            reply["LastEvaluatedKey"] = {name: found[limit - 1][name] for name in {"pk", "sk", *self._keys[index]}}
        return reply

    def scan(self, **_: Any) -> dict[str, Any]:
        return {"Items": list(self.items.values())}

    def get_paginator(self, operation: str) -> "_Pages":
        return _Pages(getattr(self, operation))

    # --- writes

    def put_item(self, *, Item: Item, **arguments: Any) -> None:  # noqa: N803
        self._check(Item, arguments, "PutItem")
        self._set(Item)

    def update_item(self, *, Key: Item, **arguments: Any) -> None:  # noqa: N803
        self._check(Key, arguments, "UpdateItem")
        self._set(updated(self._at(Key) or Key, arguments))

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> None:  # noqa: N803
        parts = [next(iter(part.items())) for part in TransactItems]
        reasons = []
        for kind, part in parts:
            if kind not in {"Put", "Update", "ConditionCheck"}:
                raise NotImplementedError(kind)
            standing = self._at(part.get("Key") or part["Item"])
            failed = {"Code": "ConditionalCheckFailed", **({"Item": standing} if standing else {})}
            reasons.append({"Code": "None"} if holds_of(standing, part) else failed)
        if any(reason["Code"] != "None" for reason in reasons):
            told: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise Cancelled(told, "TransactWriteItems")
        for kind, part in parts:
            if kind == "Put":
                self._set(part["Item"])
            elif kind == "Update":
                self._set(updated(self._at(part["Key"]) or part["Key"], part))

    def _check(self, key: Item, arguments: dict[str, Any], operation: str) -> None:
        standing = self._at(key)
        if not holds_of(standing, arguments):
            told: Any = {"Error": {"Code": "ConditionalCheckFailedException"}}
            raise Failed(told | ({"Item": standing} if standing else {}), operation)


class _Pages:
    def __init__(self, operation: Callable[..., dict[str, Any]]) -> None:
        self._operation = operation

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        reply = self._operation(**arguments)
        yield reply
        while "LastEvaluatedKey" in reply:
            reply = self._operation(**arguments, ExclusiveStartKey=reply["LastEvaluatedKey"])
            yield reply


# --- expressions

Holds = Callable[[Item, Mapping[str, str], Mapping[str, Any]], bool]


def holds_of(item: Item | None, arguments: Mapping[str, Any]) -> bool:
    if "ConditionExpression" not in arguments:
        return True
    names, values = arguments.get("ExpressionAttributeNames", {}), arguments.get("ExpressionAttributeValues", {})
    return condition(arguments["ConditionExpression"])(item or {}, names, values)


@cache
def tokens_of(expression: str) -> tuple[str, ...]:
    found, at = [], 0
    while at < len(expression.rstrip()):
        match = TOKEN.match(expression, at)
        if not match:
            raise NotImplementedError(f"{expression!r} at {at}")
        found.append(match[1])
        at = match.end()
    return tuple(found)


def value_of(operand: str, item: Item, names: Mapping[str, str], values: Mapping[str, Any]) -> Any:
    """A value in wire form; None: there is no such attribute."""
    if operand.startswith(":"):
        return values[operand]
    found: Any = {"M": item}
    for part in operand.split("."):
        found = found.get("M", {}).get(names.get(part, part)) if found else None
    return found


class _Parser:
    """Of conditions: each method gives a function of item, names and values."""

    def __init__(self, expression: str) -> None:
        self._tokens, self._at = tokens_of(expression), 0

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _sees(self, *words: str) -> bool:
        seen = self._at < len(self._tokens) and self._tokens[self._at].upper() in words
        self._at += seen
        return seen

    def whole(self) -> Holds:
        found = self._any()
        if self._at != len(self._tokens):
            raise NotImplementedError(f"{self._tokens} at {self._at}")
        return found

    def _any(self) -> Holds:
        parts = [self._all()]
        while self._sees("OR"):
            parts.append(self._all())
        return lambda *of: any(part(*of) for part in parts)

    def _all(self) -> Holds:
        parts = [self._one()]
        while self._sees("AND"):
            parts.append(self._one())
        return lambda *of: all(part(*of) for part in parts)

    def _one(self) -> Holds:
        if self._sees("NOT"):
            inner = self._one()
            return lambda *of: not inner(*of)
        if self._sees("("):
            inner = self._any()
            self._next()
            return inner
        name = self._next()
        if name in {"attribute_exists", "attribute_not_exists", "begins_with", "contains"}:
            return self._function(name)
        operator = self._next()
        if operator.upper() == "IN":
            among = self._list()
            return lambda *of: value_of(name, *of) in [value_of(one, *of) for one in among]
        if operator.upper() == "BETWEEN":
            low, _, high = self._next(), self._next(), self._next()
            return lambda *of: compares(">=", name, low, of) and compares("<=", name, high, of)
        other = self._next()
        return lambda *of: compares(operator, name, other, of)

    def _function(self, name: str) -> Holds:
        arguments = self._list()
        match name:
            case "attribute_exists":
                return lambda *of: value_of(arguments[0], *of) is not None
            case "attribute_not_exists":
                return lambda *of: value_of(arguments[0], *of) is None
        first, second = arguments

        def holds(*of: Any) -> bool:
            whole, part = value_of(first, *of), value_of(second, *of)
            if whole is None:
                return False
            text, wanted = _read(whole), _read(part)
            return bool(text.startswith(wanted) if name == "begins_with" else wanted in text)

        return holds

    def _list(self) -> list[str]:
        found, one = [], self._next()
        while (one := self._next()) != ")":
            if one != ",":
                found.append(one)
        return found


def compares(operator: str, name: str, other: str, of: Any) -> bool:
    """A comparison with what is not there, or is of another type, is false."""
    one, two = value_of(name, *of), value_of(other, *of)
    if one is None or two is None or (operator != "<>" and set(one) != set(two)):
        return operator == "<>" and one != two
    left, right = _read(one), _read(two)
    match operator:
        case "=":
            return bool(left == right)
        case "<>":
            return bool(left != right)
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
        case ">=":
            return bool(left >= right)
    raise NotImplementedError(operator)


@cache
def condition(expression: str) -> Holds:
    return _Parser(expression).whole()


def updated(before: Item, arguments: Mapping[str, Any]) -> Item:
    """The item after SET, REMOVE and ADD; every right side reads what was before."""
    names, values = arguments.get("ExpressionAttributeNames", {}), arguments.get("ExpressionAttributeValues", {})
    after = copy.deepcopy(before)
    for clause, text in clauses(arguments["UpdateExpression"]):
        for part in actions(text):
            if clause == "SET":
                target, _, source = (piece.strip() for piece in part.partition("="))
                put(after, target, names, operand(source, before, names, values))
            elif clause == "REMOVE":
                put(after, part, names, None)
            elif clause == "ADD":
                target, _, by = part.partition(" ")
                put(after, target, names, added(value_of(target, before, names, values), values[by.strip()]))
            else:
                raise NotImplementedError(clause)
    return after


@cache
def clauses(expression: str) -> list[tuple[str, str]]:
    parts = re.split(r"\b(SET|REMOVE|ADD|DELETE)\b", expression)[1:]
    return [(clause, text.strip()) for clause, text in zip(parts[::2], parts[1::2], strict=True)]


@cache
def actions(text: str) -> list[str]:
    """Split at the commas that are not within parentheses."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text)]


def operand(source: str, item: Item, names: Mapping[str, str], values: Mapping[str, Any]) -> Any:
    if match := re.fullmatch(r"(\S+) ([+-]) (\S+)", source):
        left, right = (operand(match[side], item, names, values) for side in (1, 3))
        return {"N": str(_read(left) + (_read(right) if match[2] == "+" else -_read(right)))}
    if match := re.fullmatch(r"if_not_exists\((\S+), ?(\S+)\)", source):
        found = value_of(match[1], item, names, values)
        return values[match[2]] if found is None else found
    if "(" in source:
        raise NotImplementedError(source)
    return value_of(source, item, names, values)


def added(number: Any, by: Any) -> Any:
    if "N" in by:
        return {"N": str((_read(number) if number else 0) + _read(by))}
    (kind,) = by
    return {kind: sorted({*(number[kind] if number else []), *by[kind]})}


def put(item: Item, target: str, names: Mapping[str, str], value: Any) -> None:
    *way, last = (names.get(part, part) for part in target.split("."))
    for part in way:
        item = item[part]["M"]
    if value is None:
        item.pop(last, None)
    else:
        item[last] = value
