"""The real handlers, the template's own table under moto, and the simulator as WeChat: all in this process.

moto refuses what AWS refuses in an expression; the simulator signs and verifies as WeChat does.
"""

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from moto import mock_aws

from local.deploy import secret_values
from payments.domain.times import utc_now
from payments.store.store import Store
from simulator.credentials import Credentials
from simulator.testing import running
from simulator.world import World
from tests.shop import Shop
from tests.shop.aws import TABLE, client, create_table
from tests.shop.janitor import BEGINS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="session")
def credentials() -> Credentials:
    return Credentials.generate()


@pytest.fixture
def world(credentials: Credentials) -> World:
    return World(credentials)


@pytest.fixture
def wechat_url(world: World) -> Iterator[str]:
    with running(world) as base_url:
        yield base_url


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": "",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield


@pytest.fixture
def dynamodb(aws: None) -> "DynamoDBClient":
    made: DynamoDBClient = client("dynamodb")
    return made


@pytest.fixture
def store(dynamodb: "DynamoDBClient") -> Store:
    """The table as template.yaml has it."""
    create_table()
    return Store(dynamodb, TABLE, utc_now)


@pytest.fixture(scope="session")
def first_secrets(credentials: Credentials) -> dict[str, dict[str, Any]]:
    """The same in all tests of a session, so that a token of a snapshot is good in each of them."""
    return secret_values(credentials)


@pytest.fixture
def secrets(first_secrets: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the four secrets hold, by their names; tests may change it before the first call."""
    return copy.deepcopy(first_secrets)


@pytest.fixture
def shop(store: Store, world: World, wechat_url: str, secrets: dict[str, dict[str, Any]]) -> Iterator[Shop]:
    """It is always the same moment when a test begins; `shop.janitor.later(minutes=2)` moves the one clock of
    functions, table and WeChat."""
    with time_machine.travel(BEGINS) as traveller:
        shop = Shop(world, wechat_url, secrets, traveller)
        yield shop
        shop.check_stock()


@pytest.fixture
def still(shop: Shop) -> None:
    """No time passes by itself."""
    shop.janitor.stop_the_clock()


@pytest.fixture
def paid(shop: Shop) -> str:
    """order_sn of an order that is paid, and everybody knows it."""
    _, order_sn = shop.guest.settled_order()
    return order_sn


@pytest.fixture
def waiting(shop: Shop) -> tuple[str, str, dict[str, str]]:
    """(token, order_sn, the five fields) of an order whose cashier is open."""
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    return token, order_sn, shop.guest.prepay(token, order_sn)
