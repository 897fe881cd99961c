"""AWS as moto plays it: clients that all tests share, and the table as template.yaml has it."""

from functools import cache
from typing import Any

from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID

from local.topology import load
from payments import parts

REGION = "us-east-1"
TABLE = "table"

client = cache(parts.aws)
"""The client of an AWS service, as the functions have it: to make one takes longer than most calls do."""


@cache
def template() -> dict[str, Any]:
    """template.yaml, as plain values."""
    return dict(load())


def default(parameter: str) -> str:
    """What a parameter of template.yaml is when nobody says anything else."""
    return str(template()["Parameters"][parameter]["Default"])


def create_table() -> None:
    properties = template()["Resources"]["Table"]["Properties"]
    wanted = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "StreamSpecification")
    arguments = {name: properties[name] for name in wanted}
    arguments["StreamSpecification"] = arguments["StreamSpecification"] | {"StreamEnabled": True}
    client("dynamodb").create_table(TableName=TABLE, **arguments)


def all_items() -> list[dict[str, Any]]:
    """What the table holds, in DynamoDB's wire form: read where moto keeps it, because a Scan takes a hundred times as
    long and stands in every test."""
    table = get_backend("dynamodb")[DEFAULT_ACCOUNT_ID][REGION].tables[TABLE]
    return [item.to_json()["Attributes"] for items in table.items.values() for item in items.values()]
