"""AWS as moto plays it: clients that all tests share, and the table as template.yaml has it."""

from functools import cache
from typing import Any

from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID

from local.topology import load
from payments import parts

REGION = "us-east-1"
TABLE = "table"

client = cache(parts.aws)
"""The client of an AWS service, as the functions have it: to make one takes longer than most calls do."""


class SecretsManager:
    """The client of Secrets Manager, its reads counted by the secret's name; `trouble` is what it answers instead, and
    `instead` another client that is asked."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.trouble: Exception | None = None
        self.instead: Any = None

    def get_secret_value(self, *, SecretId: str) -> Any:  # noqa: N803
        self.made.append(SecretId.rpartition(":")[2].rpartition("-")[0])
        if self.trouble:
            raise self.trouble
        return (self.instead or client("secretsmanager")).get_secret_value(SecretId=SecretId)


@cache
def template() -> dict[str, Any]:
    """template.yaml, as plain values."""
    return dict(load())


def default(parameter: str) -> str:
    """What a parameter of template.yaml is when nobody says anything else."""
    return str(template()["Parameters"][parameter]["Default"])


def create_table(dynamodb: Any = None) -> None:
    """The table as template.yaml has it, at moto or with another client."""
    properties = template()["Resources"]["Table"]["Properties"]
    wanted = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "StreamSpecification")
    arguments = {name: properties[name] for name in wanted}
    arguments["StreamSpecification"] = arguments["StreamSpecification"] | {"StreamEnabled": True}
    (dynamodb or client("dynamodb")).create_table(TableName=TABLE, **arguments)


def all_items() -> list[dict[str, Any]]:
    """What the table holds, in DynamoDB's wire form: read where moto keeps it, because a Scan takes a hundred times as
    long and stands in every test."""
    table = get_backend("dynamodb")[DEFAULT_ACCOUNT_ID][REGION].tables[TABLE]
    return [item.to_json()["Attributes"] for items in table.items.values() for item in items.values()]
