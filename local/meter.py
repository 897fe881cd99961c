"""What DynamoDB bills for calls to the emulator of it: the emulator's own word (ReturnConsumedCapacity), and by
DynamoDB's rules what that leaves out, counted apart."""

import math
from dataclasses import dataclass, fields
from typing import Any

Json = dict[str, Any]


@dataclass(slots=True)
class Usage:
    """Write and read request units with those of them that the emulator does not tell, and invocations."""

    wru: float = 0
    rru: float = 0
    added_wru: float = 0
    added_rru: float = 0
    invocations: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, one.name) - getattr(other, one.name) for one in fields(self)))


WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"}
READS = {"GetItem", "Query", "BatchGetItem"}

ADDED = (
    "The emulator tells what DynamoDB does of puts, updates, deletes and transactions (twice per item), with the "
    "writes to each index. It leaves out, and here is added: a write whose condition fails (as billed: the stored "
    "item's started KB, 1 at least; a cancelled transaction 2 per item), BatchGetItem, and what a GetItem or a Query "
    "reads beyond 4 KB."
)


class Meter:
    """Counts what the calls of a DynamoDB client consume."""

    def __init__(self, client: Any) -> None:
        self.used = Usage()
        client.meta.events.register("before-parameter-build.dynamodb", self._before)
        client.meta.events.register("after-call.dynamodb", self._after)

    def _before(self, params: Json, model: Any, context: Json, **_: Any) -> None:
        if model.name not in WRITES | READS:
            raise NotImplementedError(f"{model.name}: what it consumes is not known here")
        params["ReturnConsumedCapacity"] = "TOTAL"
        context["asked"] = params

    def _after(self, parsed: Json, model: Any, context: Json, **_: Any) -> None:
        told = parsed.get("ConsumedCapacity") or []
        metered = sum(one["CapacityUnits"] for one in (told if isinstance(told, list) else [told]))
        asked = context["asked"]
        if model.name in WRITES:
            added = _of_failure(asked, parsed)
            self.used += Usage(wru=metered + added, added_wru=added)
        elif "Error" not in parsed:
            added = max(_of_read(model.name, asked, parsed) - metered, 0)
            self.used += Usage(rru=metered + added, added_rru=added)


def _of_failure(asked: Json, reply: Json) -> float:
    """The write units of a write that a condition kept from being made; 0 if it was made."""
    match reply.get("Error", {}).get("Code"):
        case None:
            return 0
        case "ConditionalCheckFailedException":
            return max(math.ceil(size(reply.get("Item", {})) / 1024), 1)
        case "TransactionCanceledException":
            return 2 * len(asked["TransactItems"])
    return 0


def _of_read(operation: str, asked: Json, reply: Json) -> float:
    """The read units by DynamoDB's rule: one for each started 4 KB, half of it where a stale answer will do."""
    if operation == "BatchGetItem":
        units = 0.0
        for table, wish in asked["RequestItems"].items():
            found = reply["Responses"].get(table, [])
            quarters = sum(_quarters(one) for one in found) + len(wish["Keys"]) - len(found)
            units += quarters * _share(wish)
        return units
    # All items of a Query together; of an index only what it holds.
    found = reply.get("Items", [reply["Item"]] if "Item" in reply else [])
    return _quarters(*found) * _share(asked)


def _quarters(*items: Json) -> int:
    """Started 4 KB; at least one, also where nothing is found."""
    return max(math.ceil(sum(map(size, items)) / 4096), 1)


def _share(asked: Json) -> float:
    return 1.0 if asked.get("ConsistentRead") else 0.5


def size(item: Json) -> int:
    """The bytes of an item in DynamoDB's wire form, as DynamoDB counts them: names and values."""
    return sum(len(name.encode()) + _value(value) for name, value in item.items())


def _value(value: Json) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(str(content).encode())
        case "N":
            digits = len(content.lstrip("-").replace(".", ""))
            return (digits + 1) // 2 + (2 if content.startswith("-") else 1)
        case "M":
            return 3 + size(content) + len(content)
        case "L":
            return 3 + sum(map(_value, content)) + len(content)
        case "BOOL" | "NULL":
            return 1
    raise NotImplementedError(f"the size of an attribute of type {kind}")
