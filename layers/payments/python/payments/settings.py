"""What a function is told by its environment, and the clients that it talks to AWS with. Kept for the process."""

import os
from functools import cache
from typing import Any

import boto3

from payments.calls import (
    AWS_CALLS,
    SECRET_CALLS,
    bounded,
)
from payments.observability import unreadable
from payments.shipping import ShippingRecord
from payments.table import Table


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
def table() -> Table:
    name = setting("TABLE_NAME")
    return Table(aws("dynamodb"), name, optional("POWERTOOLS_SERVICE_NAME"), unreadable)


def aws(service: str) -> Any:
    """A client of an AWS service. All of a process come from boto3's one session: a second one takes longer to make
    than most calls do."""
    config = SECRET_CALLS if service == "secretsmanager" else AWS_CALLS
    return bounded(boto3.client(service, config=config))  # type: ignore[call-overload]
