"""What a function is told by its environment, and its secrets. Read when first used, kept for the process.

Secrets are fetched again after five minutes, so that a rotated key arrives without a deployment.
"""

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError, TransformParameterError
from botocore.config import Config

from payments.observability import unreadable
from payments.shipping import ShippingRecord
from payments.table import Table

SECRET_LIFE_S = 300

AWS_CALLS = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})
"""Every AWS call ends within a function's own timeout."""


class Misconfigured(Exception):
    """The deployment lacks something; the text says what to do."""


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
    client, name = boto3.client("dynamodb", config=AWS_CALLS), setting("TABLE_NAME")
    return Table(client, name, optional("POWERTOOLS_SERVICE_NAME"), unreadable)


@dataclass(frozen=True, slots=True)
class MerchantSecret:
    """WeChat Pay's keys. Several APIv3 keys and public keys may live at once, for rotation."""

    private_key: str
    cert_serial_no: str
    apiv3_keys: tuple[str, ...]
    public_keys: tuple[tuple[str, str], ...]  # (PUB_KEY_ID_..., PEM)


@dataclass(frozen=True, slots=True)
class AppSecret:
    """The mini-program's secret and the keys of our own tokens: the first one signs, all verify."""

    app_secret: str
    token_keys: tuple[str, ...]


def merchant_secret() -> MerchantSecret:
    """Raises Misconfigured."""
    name = "WECHAT_PAY_SECRET_ARN"
    values = _secret(setting(name))
    try:
        secret = MerchantSecret(
            private_key=values["private_key"],
            cert_serial_no=values["cert_serial_no"],
            apiv3_keys=tuple(values["apiv3_keys"]),
            public_keys=tuple(values["public_keys"].items()),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Misconfigured(f"the secret of {name} lacks {error}: see docs/deploy-aws.md") from error
    # The library falls back to downloading certificates when a public key is empty (docs/decisions.md).
    if not secret.public_keys or not all(all(pair) for pair in secret.public_keys) or not secret.apiv3_keys:
        raise Misconfigured(f"the secret of {name} needs apiv3_keys and public_keys: see docs/deploy-aws.md")
    return secret


def app_secret() -> AppSecret:
    """Raises Misconfigured."""
    name = "MINI_PROGRAM_SECRET_ARN"
    values = _secret(setting(name))
    try:
        secret = AppSecret(app_secret=values["app_secret"], token_keys=tuple(values["token_keys"]))
    except (KeyError, TypeError) as error:
        raise Misconfigured(f"the secret of {name} lacks {error}: see docs/deploy-aws.md") from error
    if not secret.token_keys:
        raise Misconfigured(f"the secret of {name} has no token_keys: see docs/deploy-aws.md")
    return secret


@cache
def _provider() -> SecretsProvider:
    return SecretsProvider(boto_config=AWS_CALLS)


def _secret(arn: str) -> dict[str, Any]:
    try:
        values = _provider().get(arn, max_age=SECRET_LIFE_S, transform="json")
    except (GetParameterError, TransformParameterError) as error:
        raise Misconfigured(f"the secret {arn} cannot be read ({error}): see docs/deploy-aws.md") from None
    if not isinstance(values, dict):
        raise Misconfigured("the secret is not a JSON object: see docs/deploy-aws.md")
    return values
