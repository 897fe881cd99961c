"""The real handlers, the template's own table under moto, and the simulator as WeChat: all in this process.

moto refuses what AWS refuses in an expression; the simulator signs and verifies as WeChat does.
"""

import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import cfnlint.decode
import httpx
import pytest
import requests
import time_machine
from boto3.dynamodb.types import TypeSerializer
from moto import mock_aws

from functions.authorizer import app as authorizer
from functions.create_prepay import app as create_prepay
from functions.execute_refund import app as execute_refund
from functions.login import app as login
from functions.merchant import app as merchant
from functions.notify_user import app as notify_user
from functions.order_update import app as order_update
from functions.orders import app as orders
from functions.publish_events import app as publish_events
from functions.status_poll import app as status_poll
from functions.sweep import app as sweep
from functions.upload_shipping import app as upload_shipping
from functions.wx_callback import app as wx_callback
from local.deploy import secret_values
from payments import settings
from payments.domain.collection import Collection
from payments.domain.times import beijing_day, utc_now
from payments.edge import secret, topic
from payments.edge.tokens import Identity, Role, issue
from payments.products import PRODUCTS
from payments.products.homestay.offer import HOMESTAY
from payments.store.dynamodb import plain, unwire
from payments.store.store import Store
from payments.wechat import keys, mini_program
from payments.wechat import pay as wechat_pay
from simulator import notification, refunds
from simulator.credentials import Credentials
from simulator.faults import parse
from simulator.testing import running
from simulator.world import Fault, World
from tests.examples import HOME
from tests.money import assert_no_fen_missing

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SILENT = ("WAIT_PAY", "UPLOADING", "UPLOADED", "NOTPAY")
"""What the stream's filter does not let through."""

NOTIFY_BASE = "https://pay.example.com"
ROUTES = {
    "POST /login": login,
    "GET /catalogue/{service_type}": orders,
    "POST /orders": orders,
    "GET /orders": orders,
    "GET /orders/{order_sn}": orders,
    "POST /orders/{order_sn}/cancel": orders,
    "POST /orders/{order_sn}/prepay": create_prepay,
    "GET /orders/{order_sn}/payment": status_poll,
    "POST /wxpay/notify": wx_callback,
    "POST /merchant/redemptions": merchant,
    "POST /merchant/lookups": merchant,
    "GET /merchant/orders/{order_sn}": merchant,
    "POST /merchant/orders/{order_sn}/refunds": merchant,
    "POST /merchant/orders/{order_sn}/refunds/{out_refund_no}/try": merchant,
    "POST /merchant/orders/{order_sn}/refunds/{out_refund_no}/withdraw": merchant,
    "GET /merchant/cases": merchant,
    "GET /merchant/cases/{case_id}": merchant,
    "POST /merchant/cases/{case_id}/close": merchant,
    "POST /merchant/cases/{case_id}/refund": merchant,
}


@dataclass
class Context:
    """Lambda's context, as far as Powertools looks at it."""

    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id: str = "11111111-2222-3333-4444-555555555555"

    remaining_ms: int = 30_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    json: Any


class Replying(requests.Session):
    """A connection to a WeChat that answers every request alike; None for headers: signed as WeChat signs."""

    def __init__(self, world: World, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self.world, self.status, self.body, self.signed_with = world, status, body, headers

    def request(self, *_: Any, **__: Any) -> requests.Response:
        reply = requests.Response()
        reply.status_code, reply.raw = self.status, io.BytesIO(self.body)
        signed = notification.signature_headers(self.world, self.body)
        reply.headers.update(signed if self.signed_with is None else self.signed_with)
        return reply


def client_of(world: World, base_url: str, session: requests.Session | None = None) -> wechat_pay.WechatPay:
    """WeChat Pay's client of the world's merchant, over that connection."""
    credentials = world.credentials
    merchant = keys.MerchantSecret(keys.private_key(credentials.merchant_private_key), credentials.merchant_serial_no)
    key_id, key = keys.public_key(credentials.platform_key_id, credentials.platform_public_key)
    verification = keys.VerificationSecret(apiv3_keys=(), public_keys={key_id: key})
    return wechat_pay.WechatPay(merchant, verification, credentials.mchid, base_url, session)


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
    for cached in (settings.store, secret.client, wechat_pay._built, mini_program._built, topic.topic):
        cached.cache_clear()
    forget_secrets()
    monkeypatch.setattr(boto3, "client", one_client)
    with mock_aws():
        yield


to_wire = TypeSerializer().serialize


def forget_secrets() -> None:
    """As in processes that have just begun."""
    for held in (keys.MERCHANT, keys.VERIFICATION, secret.APP, secret.TOKEN):
        held.forget()


_MAKE_CLIENT = boto3.client
_CLIENTS: dict[tuple[str, int], Any] = {}


def one_client(name: str, **arguments: Any) -> Any:
    """The same client for all tests: to make one takes longer than most calls do."""
    key = (name, id(arguments.get("config")))
    if key not in _CLIENTS:
        _CLIENTS[key] = _MAKE_CLIENT(name, **arguments)  # type: ignore[call-overload]
    return _CLIENTS[key]


@pytest.fixture
def dynamodb(aws: None) -> "DynamoDBClient":
    return boto3.client("dynamodb")


@cache
def template() -> dict[str, Any]:
    """template.yaml, as plain values."""
    return dict(json.loads(json.dumps(cfnlint.decode.decode("template.yaml")[0])))


def default(parameter: str) -> str:
    return str(template()["Parameters"][parameter]["Default"])


@pytest.fixture
def store(dynamodb: "DynamoDBClient") -> Store:
    """The table as template.yaml has it."""
    properties = template()["Resources"]["Table"]["Properties"]
    wanted = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "StreamSpecification")
    arguments = {name: properties[name] for name in wanted}
    arguments["StreamSpecification"] = arguments["StreamSpecification"] | {"StreamEnabled": True}
    dynamodb.create_table(TableName="table", **arguments)
    return Store(dynamodb, "table", utc_now)


@pytest.fixture
def secrets(aws: None, credentials: Credentials) -> dict[str, dict[str, Any]]:
    """What the four secrets hold, by their names; tests may change it before the first call."""
    return secret_values(credentials)


@pytest.fixture
def shop(
    store: Store,
    world: World,
    wechat_url: str,
    secrets: dict[str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> "Shop":
    client = boto3.client("secretsmanager")
    for name, value in {
        "TABLE_NAME": "table",
        "TOPIC_ARN": boto3.client("sns").create_topic(Name="topic")["TopicArn"],
        "STREAM_DLQ_URL": boto3.client("sqs").create_queue(QueueName="stream-dlq")["QueueUrl"],
        "APPID": world.credentials.appid,
        "MCHID": world.credentials.mchid,
        "PUBLIC_BASE_URL": NOTIFY_BASE,
        "WECHAT_PAY_BASE_URL": wechat_url,
        "MINI_PROGRAM_BASE_URL": wechat_url,
        "MINIPROGRAM_STATE": "formal",
        "ORDER_CONFIRMED_TEMPLATE_ID": "template-confirmed",
        "CHECK_IN_CODE_TEMPLATE_ID": "template-code",
        "REFUND_TEMPLATE_ID": "template-refund",
        "ORDER_CONFIRMED_FIELDS": default("OrderConfirmedFields"),
        "CHECK_IN_CODE_FIELDS": default("CheckInCodeFields"),
        "REFUND_FIELDS": default("RefundFields"),
        "MESSAGE_PAGE": default("MessagePage"),
        **{
            f"{name.upper()}_SECRET_ARN": client.create_secret(Name=name, SecretString=json.dumps(value))["ARN"]
            for name, value in secrets.items()
        },
    }.items():
        monkeypatch.setenv(name, value)
    store.catalogue.put(HOMESTAY.catalogue, HOME)
    return Shop(store, world, wechat_url, monkeypatch)


@pytest.fixture
def clock(shop: "Shop") -> Iterator[None]:
    """`shop.later(minutes=2)` moves the one clock of functions, table and WeChat."""
    with time_machine.travel(utc_now()) as shop.clock:
        yield
    shop.clock = None


@pytest.fixture
def still(shop: "Shop") -> Iterator[None]:
    """As `clock`, and no time passes by itself."""
    with time_machine.travel(utc_now(), tick=False) as shop.clock:
        yield
    shop.clock = None


class Shop:
    """The deployed bundle, as a phone, WeChat and the queues meet it."""

    def __init__(self, store: Store, world: World, wechat_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.shipped_by: list[str] = []
        self.store = store
        self.world = world
        self.wechat_url = wechat_url
        self.context: Any = Context()
        self.products = PRODUCTS
        self.clock: time_machine.Traveller | None = None
        self._seen: dict[str, dict[str, Any]] = {}
        self._told: set[tuple[str, str]] = set()
        self._queue = all_events()

    def handler(self, function: Any) -> Any:
        """The function's handler, of one that asks products as it sells `products`."""
        return function.handler_for(self.products) if hasattr(function, "handler_for") else function.handler

    def put_secret(self, name: str, *, known: bool = True, **values: Any) -> None:
        """An operator puts a secret anew; not `known`: the processes that run have the old one for a while."""
        boto3.client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(values))
        if known:
            forget_secrets()

    def records_shipping(self, when: str) -> None:
        """The stack is deployed with ShippingRecord=on_payment or on_redemption."""
        self.monkeypatch.setenv("SHIPPING_RECORD", when)
        rules = template()["Resources"]["UploadShippingSubscription"]["Properties"]["FilterPolicy"]["type"]["Fn::If"]
        self.shipped_by = rules[1] if when == "on_payment" else rules[2]

    # --- the phone

    def call(self, route: str, body: Any = None, *, token: str = "", order_sn: str = "", **changes: Any) -> Answer:
        """One request through the authorizer, as the gateway makes it."""
        method, path = route.split(" ")
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        path = path.replace("{order_sn}", order_sn).replace("{service_type}", changes.pop("service_type", "homestay"))
        event = http_event(method, path, text)
        event["routeKey"] = route
        event["headers"] |= changes.pop("headers", {})
        for name, placeholder in (("case", "{case_id}"), ("refund", "{out_refund_no}")):
            if name in changes:
                event["rawPath"] = event["rawPath"].replace(placeholder, changes.pop(name))
                event["requestContext"]["http"]["path"] = event["rawPath"]
        if route not in ("POST /login", "POST /wxpay/notify"):
            verdict = authorizer.handler({"headers": {"authorization": f"Bearer {token}"}}, self.context)
            if not verdict["isAuthorized"]:
                return Answer(403, {}, {"message": "Forbidden"})
            event["requestContext"]["authorizer"] = {"lambda": verdict["context"]}
        event |= changes
        return answer(self.handler(ROUTES[route])(event, self.context))

    def login(self, user: str = "guest-1") -> str:
        reply = self.call("POST /login", {"code": self.world.login_code(user)})
        assert reply.status == 200, reply
        return str(reply.json["token"])

    def order(self, token: str, **changes: Any) -> str:
        reply = self.call("POST /orders", new_order(**changes), token=token)
        assert reply.status == 201, reply
        return str(reply.json["order_sn"])

    def prepay(self, token: str, order_sn: str, **body: Any) -> dict[str, str]:
        reply = self.call("POST /orders/{order_sn}/prepay", body, token=token, order_sn=order_sn)
        assert reply.status == 200, reply
        return dict(reply.json)

    def poll(self, token: str, order_sn: str) -> dict[str, Any]:
        reply = self.call("GET /orders/{order_sn}/payment", token=token, order_sn=order_sn)
        assert reply.status == 200, reply
        return dict(reply.json)

    def cashier(self, fields: dict[str, str]) -> str:
        """The cashier of the WeChat app. The notice that it sends goes nowhere: tests bring it themselves."""
        reply = httpx.post(f"{self.wechat_url}/_sim/cashier/pay", json=fields | {"appid": self.world.credentials.appid})
        return str(reply.json()["errMsg"])

    def paid_order(self) -> tuple[str, str]:
        """(token, order_sn) of an order that WeChat has the money of, and nobody here knows it yet."""
        token = self.login()
        order_sn = self.order(token)
        assert self.cashier(self.prepay(token, order_sn)) == "requestPayment:ok"
        return token, order_sn

    def late_order(self) -> tuple[str, str]:
        """(token, order_sn) of an order that was cancelled and then paid, and nobody here knows of the money yet."""
        token = self.login()
        order_sn = self.order(token)
        fields = self.prepay(token, order_sn)
        assert self.cancel(token, order_sn)["status"] == "CANCELLED"
        self.fault("cashier", "after_close", times=1)
        assert self.cashier(fields) == "requestPayment:ok"
        return token, order_sn

    def staff(self, business_id: str = HOME.business_id, user_id: str = "staff-1") -> str:
        """A token of a member of staff."""
        return issue(Identity(user_id, Role.STAFF, business_id), secret.token_keys(), utc_now())

    def cancel(self, token: str, order_sn: str) -> dict[str, Any]:
        reply = self.call("POST /orders/{order_sn}/cancel", token=token, order_sn=order_sn)
        assert reply.status == 200, reply
        return dict(reply.json)

    def refund(self, order_sn: str, amount_fen: int | None = None, key: str = "refund-1") -> Answer:
        """Staff ask for a refund."""
        body = {"reason": "客人改期"} | ({"amount_fen": amount_fen} if amount_fen else {})
        headers = {"idempotency-key": key}
        route = "POST /merchant/orders/{order_sn}/refunds"
        return self.call(route, body, token=self.staff(), order_sn=order_sn, headers=headers)

    def stalled_refund(self, order_sn: str, amount_fen: int) -> str:
        """The number of a refund that WeChat does not take while the merchant's balance is empty."""
        self.world.balance = 0
        number = str(self.refund(order_sn, amount_fen).json["out_refund_no"])
        self.settle_events()
        return number

    def on_refund(self, order_sn: str, out_refund_no: str, what: str, business_id: str = HOME.business_id) -> Answer:
        """Staff `try` a refund again, or `withdraw` it."""
        route = "POST /merchant/orders/{order_sn}/refunds/{out_refund_no}/" + what
        return self.call(route, token=self.staff(business_id), order_sn=order_sn, refund=out_refund_no)

    def close_case(
        self, case: str, resolution: str, reference: str, business_id: str = HOME.business_id, user_id: str = "staff-1"
    ) -> Answer:
        body = {"resolution": resolution, "reference": reference}
        token = self.staff(business_id, user_id)
        return self.call("POST /merchant/cases/{case_id}/close", body, token=token, case=case)

    def open_cases(self) -> list[dict[str, Any]]:
        """As staff of the business see them."""
        return list(self.call("GET /merchant/cases", token=self.staff()).json["cases"])

    def redeem(self, code: str, **body: str) -> Answer:
        return self.call("POST /merchant/redemptions", {"code": code, **body}, token=self.staff())

    # --- WeChat

    def fault(self, call: str, answer: str, **scope: Any) -> Fault:
        fault = parse({"call": call, "answer": answer, **scope})
        self.world.faults.append(fault)
        return fault

    def driver(self, path: str, **body: Any) -> Any:
        reply = httpx.post(f"{self.wechat_url}/_sim/{path}", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def refund_notice(self, out_refund_no: str, **changes: Any) -> notification.Signed:
        return notification.build(self.world, self.world.refunds[out_refund_no], **changes)

    def refunds_end(self) -> None:
        """WeChat brings what it has accepted to its end, and tells of it."""
        for made in list(self.world.refunds.values()):
            made.due_at = min(made.due_at, self.world.clock.now())
            refunds.progress(self.world, made)
            told = (made.out_refund_no, made.status)
            if made.status != "PROCESSING" and told not in self._told:
                assert self.notify(self.refund_notice(made.out_refund_no)).status == 204
                self._told.add(told)

    def notice(self, out_trade_no: str, **changes: Any) -> notification.Signed:
        return notification.build(self.world, self.world.trades[out_trade_no], **changes)

    def notify(self, signed: notification.Signed, **changes: Any) -> Answer:
        headers = {name.lower(): value for name, value in signed.headers.items()} | changes.pop("headers", {})
        body = changes.pop("body", signed.body.decode(errors="replace"))
        return self.call("POST /wxpay/notify", body, headers=headers, **changes)

    # --- the stream and the queues

    def records(self) -> list[dict[str, Any]]:
        """What the stream holds since the last call, filtered as the mapping does."""
        changed = []
        for item in self.items():
            key = f"{item['pk']['S']}/{item['sk']['S']}"
            old = self._seen.get(key)
            self._seen[key] = item
            if old != item and item.get("status", {}).get("S") not in (None, *SILENT):
                stream: dict[str, Any] = {"NewImage": item, "ApproximateCreationDateTime": 1764000000}
                changed.append({"eventName": "MODIFY", "dynamodb": stream | ({"OldImage": old} if old else {})})
        return changed

    def items(self) -> list[dict[str, Any]]:
        return [
            item for page in self.client.get_paginator("scan").paginate(TableName="table") for item in page["Items"]
        ]

    @property
    def client(self) -> Any:
        return boto3.client("dynamodb")

    def events(self) -> list[dict[str, Any]]:
        """Publishes what the stream holds, and gives what reached the topic, as a queue's messages."""
        sqs = boto3.client("sqs")
        records = self.records()
        if records:
            publish_events.handler({"Records": records}, self.context)
        messages = []
        while batch := sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages", []):
            messages += [json.loads(message["Body"]) for message in batch]
            for message in batch:
                sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return messages

    def deliver(self, consumer: Any, *events: Any) -> list[str]:
        """Hands messages to a consumer; gives the ids of those that failed."""
        batch = {"Records": [sqs_record(n, e if isinstance(e, str) else json.dumps(e)) for n, e in enumerate(events)]}
        reply = self.handler(consumer)(batch, self.context)
        return [failure["itemIdentifier"] for failure in reply["batchItemFailures"]]

    def deliver_all(self) -> list[str]:
        """Lets every event run its course, as the topic's filters send it; gives the messages that failed."""
        failed: list[str] = []
        while events := self.events():
            for event in events:
                if event["type"].startswith(("payment.", "refund.")):
                    failed += self.deliver(order_update, event)
                if event["type"] == "refund.requested":
                    failed += self.deliver(execute_refund, event)
                if event["type"] in ("order.paid", "refund.succeeded"):
                    failed += self.deliver(notify_user, event)
                if event["type"] in self.shipped_by:
                    failed += self.deliver(upload_shipping, event)
        return failed

    def settle_events(self) -> None:
        assert self.deliver_all() == []

    def set_aside(self) -> list[dict[str, Any]]:
        """The dead letters of publish_events, taken out of their queue."""
        sqs, url = boto3.client("sqs"), os.environ["STREAM_DLQ_URL"]
        letters = []
        while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            letters += [json.loads(message["Body"]) for message in batch]
            for message in batch:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return letters

    def put_raw(self, **values: Any) -> None:
        """An item that a person, another version or a bug has put: whatever it holds."""
        self.client.put_item(TableName="table", Item={name: to_wire(value) for name, value in values.items()})

    def change_raw(self, pk: str, sk: str, **values: Any) -> None:
        """Other values in an item that is there; None takes the attribute away."""
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        item = self.client.get_item(TableName="table", Key=key, ConsistentRead=True)["Item"]
        item |= {name: to_wire(value) for name, value in values.items()}
        kept = {name: value for name, value in item.items() if values.get(name, name) is not None}
        self.client.put_item(TableName="table", Item=kept)

    def lose_events(self) -> None:
        """What the stream holds now never reaches anyone."""
        self.records()

    # --- the janitor

    def sweep(self) -> dict[str, int]:
        told: dict[str, int] = sweep.handler({}, self.context)
        return told

    def later(self, **by: float) -> None:
        """Time passes, for the functions and for WeChat."""
        assert self.clock is not None, "take the fixture `clock`"
        self.clock.shift(timedelta(**by))
        self.world.clock.advance(0)

    def come_to_rest(self, within: timedelta = timedelta(hours=1)) -> None:
        """The janitor comes whenever something is due: lost events are published again, WeChat is asked."""
        until = utc_now() + within
        self.settle_events()
        while (due := min(self.promises(), default=until)) < until:
            self.later(seconds=max((due - utc_now()).total_seconds(), 0) + 0.001)
            assert self.sweep()["failed"] == 0
            self.settle_events()
            self.refunds_end()
            self.settle_events()

    def promises(self) -> list[datetime]:
        """When the janitor has promised to look."""
        return [datetime.fromisoformat(item["due_at"]["S"]) for item in self.items() if "due_at" in item]

    def check(self, poison: int = 0) -> None:
        """No fen goes missing."""
        state = httpx.get(f"{self.wechat_url}/_sim/state").json()
        assert_no_fen_missing(state, map(unwire, self.items()), dead=poison, poison=poison)

    # --- the table

    def collection(self, order_sn: str) -> Collection:
        found = self.store.collection(order_sn, consistent=True)
        assert found is not None
        return found

    def sort_keys(self, prefix: str) -> list[str]:
        return sorted(item["sk"]["S"] for item in self.items() if item["sk"]["S"].startswith(prefix))

    def cases(self) -> list[dict[str, Any]]:
        return [unwire(item) for item in self.items() if item["sk"]["S"].startswith("CASE#")]

    def set_order(self, order_sn: str, **attributes: Any) -> None:
        """The order as some other function left it."""
        order = replace(self.collection(order_sn).order, **attributes)
        self.put_raw(pk=f"ORDER#{order_sn}", sk="ORDER", **plain(order))

    def set_payment(self, order_sn: str, **attributes: Any) -> None:
        """Its last payment as some other function left it."""
        payment = replace(self.collection(order_sn).payments[-1], **attributes)
        self.put_raw(pk=f"ORDER#{order_sn}", sk=f"PAYMENT#{payment.n}", **plain(payment))


def all_events() -> str:
    """A queue that hears every event."""
    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    queue = sqs.create_queue(QueueName="all-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic_arn = sns.list_topics()["Topics"][0]["TopicArn"]
    sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    return queue


def new_order(**changes: Any) -> dict[str, Any]:
    today = beijing_day(utc_now())
    order = {
        "service_type": "homestay",
        "homestay_id": HOME.homestay_id,
        "start_date": (today + timedelta(days=7)).isoformat(),
        "end_date": (today + timedelta(days=9)).isoformat(),
        "people": 2,
        "need_food": True,
    }
    return order | changes


def http_event(method: str, path: str, body: str | None) -> dict[str, Any]:
    """An HTTP API event (2.0), from the shape that events/ holds."""
    with open("events/orders/create.json") as file:
        event: dict[str, Any] = json.load(file)
    del event["requestContext"]["authorizer"]
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    event["requestContext"]["http"]["method"] = method
    event["body"] = body
    event["headers"] = {"content-type": "application/json", "host": "pay.example.com"}
    return event


def sqs_record(number: int, body: str) -> dict[str, Any]:
    with open("events/order_update/payment_succeeded.json") as file:
        record: dict[str, Any] = json.load(file)["Records"][0]
    return record | {"messageId": f"m{number}", "body": body}


def answer(reply: dict[str, Any]) -> Answer:
    body = reply.get("body")
    headers = {name.lower(): value for name, value in reply.get("headers", {}).items()}
    return Answer(reply["statusCode"], headers, json.loads(body) if body else None)
