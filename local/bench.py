"""`./dev bench capacity`: what an order takes of DynamoDB, in request units, and of Lambda, in invocations.

The real handlers run in this process, over the table of template.yaml on an emulator of the command's own, with the
simulated WeChat. The emulator says what each call consumes, as DynamoDB does (ReturnConsumedCapacity); what it leaves
out is added by local/meter.py, and the output shows it in a column of its own. docs/costs.md has the figures.
"""

import asyncio
import contextlib
import importlib
import io
import itertools
import json
import logging
import math
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import httpx
import typer
from botocore.config import Config
from pydantic import BaseModel
from rich.box import SIMPLE
from rich.table import Table as Grid

from local import bench_bill, catalogue, deploy, operate
from local.emulator import StartFailed, start_emulator
from local.home import PROJECT, Home
from local.meter import ADDED, Json, Meter, Usage
from local.shopper import BODIES
from local.topology import load, read
from payments import parts
from payments.domain.offer import Priced
from payments.domain.order import LIFE, REDEEM_ALPHABET, REDEEM_LENGTH
from payments.domain.times import beijing_day, utc_now
from payments.edge.observability import Handler, instrumented, logger
from payments.products import PRODUCTS, Products
from payments.products.product import Models, Product
from payments.settings import Settings
from payments.store import keys
from payments.store.dynamodb import wire
from payments.store.store import Store
from simulator.credentials import Credentials
from simulator.world import World

app = typer.Typer(help="Measure what an order costs.", no_args_is_help=True)

NOTHING: Mapping[str, str] = MappingProxyType({})

# --- what is measured, and what it may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What guests buy. `body` gives the request of the n-th order of a run (each may need days of its own), from
    today's date in Beijing; `held` is what an order holds of the stock, as BUDGETS calls it: "" is nothing."""

    name: str
    service_type: str
    body: Callable[[date, int], Mapping[str, Any]]
    held: str = ""


def _stay(today: date, n: int) -> Mapping[str, Any]:
    """Two nights in a home, in one month: over the end of a month they would be two items of the stock."""
    start = today + timedelta(days=7 + 2 * n)
    if (start + timedelta(days=1)).month != start.month:
        start += timedelta(days=1)
    return {**BODIES["homestay"](), "start_date": f"{start}", "end_date": f"{start + timedelta(days=2)}"}


def _stay_over_a_months_end(today: date, n: int) -> Mapping[str, Any]:
    """The last night of a month and the first of the next one: two items of the stock."""
    month = today.replace(day=1)
    for _ in range(2 + n % 9):
        month = (month + timedelta(days=31)).replace(day=1)
    nights = {"start_date": f"{month - timedelta(days=1)}", "end_date": f"{month + timedelta(days=1)}"}
    return {**_stay(today, n), **nights}


def _seat(today: date, _: int) -> Mapping[str, Any]:
    return {**BODIES["course"](), "session": f"{today + timedelta(days=30)}T14:00"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Voucher:
    """A purchase that holds no stock."""

    price_fen: int = 10_000


class _NewVoucher(BaseModel):
    service_type: str


class _VoucherOut(BaseModel):
    price_fen: int


class _Vouchers(Product[_Voucher]):
    """What the shop has none of: a product without stock."""

    service_type = "voucher"
    letters = "VOU"
    purchase = _Voucher

    def price(self, asked: Mapping[str, Any], offer: None, now: datetime) -> Priced:  # noqa: ARG002
        return Priced(purchase=_Voucher(), business_id="b-hangzhou", total_fen=10_000)

    def title(self, purchase: _Voucher) -> str:  # noqa: ARG002
        return "晚餐券"

    def models(self) -> Models:
        return Models(order=_NewVoucher, guest=_VoucherOut, staff=_VoucherOut)


VOUCHER_FIELDS = {
    "VOUCHER_ORDER_CONFIRMED_FIELDS": "order_sn=character_string6,title=thing1,total=amount2,paid_at=date4",
    "VOUCHER_CHECK_IN_CODE_FIELDS": "paid_at=date2,code=character_string4,hint=thing1",
}

SOLD = Products(*PRODUCTS.values(), _Vouchers())
"""The shop's products, and those of the bench's own where the shop has none of a kind."""

SCENARIOS = (
    Scenario(name="homestay", service_type="homestay", body=_stay, held="one month"),
    Scenario(name="homestay over two months", service_type="homestay", body=_stay_over_a_months_end, held="two months"),
    Scenario(name="course", service_type="course", body=_seat, held="one month"),
    Scenario(name="without stock", service_type="voucher", body=lambda *_: {}),
)
"""The offers are those of local/offers."""

PAID, LEARNED, TOLD = "paid", "paid, the poll learns it", "paid, the callback comes first"
LOOK, UNASKED, UNPAID = "first look", "never prepaid", "prepaid, never paid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that something may take; None: no bound."""

    wru: float
    rru: float | None = None
    invocations: int | None = None

    def holds(self, usage: Usage) -> bool:
        return all(bound is None or getattr(usage, name) <= bound for name, bound in asdict(self).items())


BUDGETS: Mapping[str, Mapping[str, Budget]] = {
    "": {
        PAID: Budget(wru=14, rru=6, invocations=9),
        LOOK: Budget(wru=5),
        UNASKED: Budget(wru=8),
        UNPAID: Budget(wru=22),
    },
    "one month": {
        PAID: Budget(wru=17, rru=8, invocations=9),
        LOOK: Budget(wru=5),
        UNASKED: Budget(wru=14),
        UNPAID: Budget(wru=28),
    },
    "two months": {
        PAID: Budget(wru=19, rru=8, invocations=9),
        LOOK: Budget(wru=5),
        UNASKED: Budget(wru=14),
        UNPAID: Budget(wru=28),
    },
}
"""By what an order holds, and by what is done with it. A hold reads OFFER and STOCK consistently: 2 RRU more."""

LOGIN, IDLE = "login", "the janitor with nothing due"


# --- the shop


class BenchFailed(Exception):
    """A function did not do what it should have; the text says which and what."""


@dataclass
class _Context:
    """Lambda's context. The janitor takes long over a hundred thousand orders here."""

    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id: str = "11111111-2222-3333-4444-555555555555"

    def get_remaining_time_in_millis(self) -> int:
        return 600_000


MESSAGES = {
    "ORDER_CONFIRMED": "OrderConfirmed",
    "CHECK_IN_CODE": "CheckInCode",
    "REFUND": "Refund",
    "COURSE_ORDER_CONFIRMED": "CourseOrderConfirmed",
    "COURSE_CHECK_IN_CODE": "CourseCheckInCode",
}
"""How variables of functions and parameters of template.yaml call the messages."""

TABLE = "wxpay-bench"
NOWHERE = "https://shop.invalid"
"""Where the simulated WeChat sends its notices: the bench brings them itself."""

PATIENT = Config(connect_timeout=2, read_timeout=120, retries={"total_max_attempts": 1})
BATCH, MOST = 25, 100_000
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
COMES = timedelta(seconds=30)
"""When in each minute of an order's life the janitor comes."""


class _Secrets:
    """Secrets Manager: the four secrets by their names."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def get_secret_value(self, *, SecretId: str) -> Json:  # noqa: N803
        return {"SecretString": json.dumps(self._values[SecretId])}


class _Topic:
    """SNS: keeps what is published."""

    def __init__(self) -> None:
        self.messages: list[Json] = []

    def publish(self, *, Message: str, **_: Any) -> None:  # noqa: N803
        self.messages.append(json.loads(Message))


class _Shop:
    """What template.yaml deploys, in this process: each function with parts of its own, as Lambda would build them."""

    def __init__(self, aws_url: str, world: World, wechat_url: str) -> None:
        self.ahead = timedelta()  # of the functions' clock; WeChat's, and that of signatures, is the real one
        self.used = Usage()
        self.phases: dict[str, Usage] = {}
        self.idle = Usage()
        self.world = world
        self._wechat_url = wechat_url
        self._topology = read(parameters={})
        self._table = deploy.client("dynamodb", aws_url, PATIENT)  # not metered
        self._streams = deploy.client("dynamodbstreams", aws_url, PATIENT)
        stream = self._create_table()
        self._stream = {"StreamArn": stream, "ShardId": self._shard(stream), "ShardIteratorType": "LATEST"}
        self._at = ""
        metered = deploy.client("dynamodb", aws_url, PATIENT)
        self._meter = Meter(metered)
        self._topic = _Topic()
        secrets = deploy.secret_values(world.credentials)
        self._clients = {"dynamodb": metered, "sns": self._topic, "sqs": None, "secretsmanager": _Secrets(secrets)}
        defaults = {name: str(one.get("Default", "")) for name, one in load()["Parameters"].items()}
        given = deploy.parameters(world.credentials, aws_url=aws_url, wechat_url=wechat_url, public_url=NOWHERE)
        self._settings = {
            "TABLE_NAME": TABLE,
            "TOPIC_ARN": "topic",
            "STREAM_DLQ_URL": "queue",
            "APPID": world.credentials.appid,
            "MCHID": world.credentials.mchid,
            "PUBLIC_BASE_URL": NOWHERE,
            "WECHAT_PAY_BASE_URL": wechat_url,
            "MINI_PROGRAM_BASE_URL": wechat_url,
            "MINIPROGRAM_STATE": given["MiniprogramState"],
            "MESSAGE_PAGE": defaults["MessagePage"],
            **{f"{name}_TEMPLATE_ID": given.get(f"{stem}TemplateId", "") for name, stem in MESSAGES.items()},
            **{f"{name}_FIELDS": defaults[f"{stem}Fields"] for name, stem in MESSAGES.items()},
            **VOUCHER_FIELDS,
            **{f"{name.upper()}_SECRET_ARN": name for name in secrets},
        }
        self._handlers: dict[str, Handler] = {}
        self._verdicts: dict[str, Json] = {}  # of the authorizer, by token
        catalogue.seed(Store(self._table, TABLE, utc_now))

    def _create_table(self) -> str:
        """The table as template.yaml has it; gives its stream."""
        properties = load()["Resources"]["Table"]["Properties"]
        wanted = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "StreamSpecification")
        arguments = {name: properties[name] for name in wanted}
        arguments["StreamSpecification"] = arguments["StreamSpecification"] | {"StreamEnabled": True}
        return str(self._table.create_table(TableName=TABLE, **arguments)["TableDescription"]["LatestStreamArn"])

    def _shard(self, stream: str) -> str:
        return str(self._streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"][0]["ShardId"])

    # --- measuring

    def begin(self) -> None:
        """A new order begins now; what the stream holds until now is nobody's."""
        self.ahead, self.phases, self.began = timedelta(), {}, utc_now()
        self._at = self._streams.get_shard_iterator(**self._stream)["ShardIterator"]

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What the block takes counts as this phase of the order."""
        before = self._taken()
        yield
        self.phases[name] = self.phases.get(name, Usage()) + self._taken() - before

    def _taken(self) -> Usage:
        return self.used + self._meter.used

    # --- calls

    def run(self, function: str, event: Json) -> Any:
        """One invocation."""
        self.used += Usage(invocations=1)
        if function not in self._handlers:
            module = importlib.import_module(f"functions.{function}.app")
            variables = self._settings | {"POWERTOOLS_SERVICE_NAME": self._topology.functions[function].service}
            own = parts.build(
                Settings(variables),
                module.handler.names,
                client=lambda service: self._clients[service],
                clock=lambda: utc_now() + self.ahead,
            )
            if "products" in module.handler.names:
                own = replace(own, products=SOLD)
            self._handlers[function] = instrumented(module.handle, lambda: own)
        with contextlib.redirect_stdout(io.StringIO()):  # metrics
            return self._handlers[function](event, _Context())  # type: ignore[arg-type]

    def call(
        self,
        route: str,
        body: Mapping[str, Any] | str | None = None,
        token: str = "",
        order_sn: str = "",
        headers: Mapping[str, str] = NOTHING,
    ) -> Json:
        """One request through the authorizer; the gateway keeps its answer, so a token is looked at once."""
        method, path = route.format(order_sn=order_sn).split(" ")
        event = _example("orders/create")
        event["rawPath"] = event["requestContext"]["http"]["path"] = path
        event["requestContext"]["http"]["method"] = method
        event["routeKey"] = route
        event["body"] = body if isinstance(body, str) or body is None else json.dumps(body)
        event["headers"] = {"content-type": "application/json", **headers}
        del event["requestContext"]["authorizer"]
        if token:
            if token not in self._verdicts:
                self._verdicts[token] = self.run("authorizer", {"headers": {"authorization": f"Bearer {token}"}})
            event["requestContext"]["authorizer"] = {"lambda": self._verdicts[token]["context"]}
        reply = self.run(self._topology.routes[route], event)
        if reply["statusCode"] >= 300:
            raise BenchFailed(f"{route} answered {reply['statusCode']}: {reply.get('body')}")
        return dict(json.loads(reply.get("body") or "{}"))

    def wechat(self, path: str, **body: Any) -> Json:
        """Something that happens at WeChat."""
        reply = httpx.post(f"{self._wechat_url}/_sim/{path}", json=body, trust_env=False)
        return dict(reply.raise_for_status().json())

    def notify(self, out_trade_no: str) -> None:
        """WeChat's notice that a trade was paid."""
        from simulator import notification

        signed = notification.build(self.world, self.world.trades[out_trade_no])
        headers = {name.lower(): value for name, value in signed.headers.items()}
        self.call("POST /wxpay/notify", signed.body.decode(), headers=headers)

    def follow(self) -> bool:
        """What the stream tells now goes to the topic, and from there to the consumers; False: it tells nothing."""
        reply = self._streams.get_records(ShardIterator=self._at)
        self._at = reply["NextShardIterator"]
        if not (records := [one for one in map(_as_lambda_has_it, reply["Records"]) if self._passes(one)]):
            return False
        self.run("publish_events", {"Records": records})
        messages, self._topic.messages = self._topic.messages, []
        for message in messages:
            for consumer in self._topology.consumers_of(message["type"]):
                (record,) = _example("order_update/payment_succeeded")["Records"]
                failed = self.run(consumer, {"Records": [record | {"body": json.dumps(message)}]})["batchItemFailures"]
                if failed:
                    raise BenchFailed(f"{consumer} could not handle {message['type']}")
        return True

    def _passes(self, record: Json) -> bool:
        """The filter of publish_events."""
        status = record["dynamodb"].get("NewImage", {}).get("status", {}).get("S")
        return status not in (None, *self._topology.silent)

    def items(self, order_sn: str) -> list[Json]:
        """An order's items, in DynamoDB's wire form; not metered."""
        found = self._table.query(
            TableName=TABLE,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=wire({":pk": keys.order(order_sn)["pk"]}),
            ConsistentRead=True,
        )
        return list(found["Items"])

    def settle(self) -> None:
        while self.follow():
            pass

    # --- the janitor

    def next_look(self, order_sn: str) -> timedelta | None:
        """How old the order is when the janitor next finds something of it due; None: nothing is within a day."""
        due = [datetime.fromisoformat(one["due_at"]["S"]) for one in self.items(order_sn) if "due_at" in one]
        late = min(due, default=self.began + 2 * DAY) - self.began
        return None if late > DAY else COMES + MINUTE * math.ceil((late - COMES) / MINUTE)

    def look(self, age: timedelta) -> None:
        """The janitor's run when the order is so old, less what a run with nothing due takes."""
        self.ahead = self.began + age - utc_now()
        self.sweep()
        self.used -= self.idle
        self.settle()

    def sweep(self) -> None:
        counts = self.run("sweep", _example("sweep/every_minute"))
        if counts["failed"] or counts["left"]:
            raise BenchFailed(f"the janitor could not bring all to rest: {counts}")

    # --- filling

    def copy(self, order_sn: str, numbers: range) -> None:
        """Copies of an order at rest with all that belongs to it, its user among them, under other numbers."""
        items = self.items(order_sn)
        (order,) = (one for one in items if one["sk"]["S"] == keys.ORDER)
        user = self._table.get_item(TableName=TABLE, Key=wire(keys.user(order["user_id"]["S"])))["Item"]
        text = json.dumps([*items, user])
        own = [order[name]["S"] for name in ("order_sn", "user_id", "openid", "redeem_code") if name in order]
        own += [one["transaction_id"]["S"] for one in items if "transaction_id" in one]
        puts: list[Json] = []
        for n in numbers:
            copied = text
            for value in own:
                copied = copied.replace(value, _other(value, n))
            for item in json.loads(copied):
                if "due_shard" in item:
                    item["due_shard"] = {"S": f"{n % 10}"}
                puts.append({"PutRequest": {"Item": item}})
            while len(puts) >= BATCH:
                self._table.batch_write_item(RequestItems={TABLE: puts[:BATCH]})
                del puts[:BATCH]
        if puts:
            self._table.batch_write_item(RequestItems={TABLE: puts})


def _other(value: str, n: int) -> str:
    """Another value of the same form and length, the same for the same n."""
    digits = f"{n:08d}"
    if len(value) == REDEEM_LENGTH and set(value) <= set(REDEEM_ALPHABET):
        return "".join(REDEEM_ALPHABET[int(one)] for one in f"{n:0{REDEEM_LENGTH}d}")
    return value[: -len(digits)] + digits


def _as_lambda_has_it(record: Json) -> Json:
    """A record of the stream's API with its time in seconds since 1970."""
    at = record["dynamodb"]["ApproximateCreationDateTime"].timestamp()
    return record | {"dynamodb": record["dynamodb"] | {"ApproximateCreationDateTime": at}}


def _example(name: str) -> Json:
    """A new copy of an event's shape."""
    return dict(json.loads(_event(name)))


@cache
def _event(name: str) -> str:
    return (PROJECT / f"events/{name}.json").read_text()


# --- an order's life


class _Guest:
    """A new user with one order."""

    def __init__(self, shop: _Shop, scenario: Scenario, n: int) -> None:
        shop.begin()
        self._shop, self._scenario, self._n = shop, scenario, n

    def orders(self) -> None:
        with self._shop.phase(LOGIN):
            code = self._shop.world.login_code(f"bench-{self._n}")
            self._token = self._shop.call("POST /login", {"code": code})["token"]
        with self._shop.phase("order"):
            today = beijing_day(utc_now())
            body = {"service_type": self._scenario.service_type, **self._scenario.body(today, self._n)}
            self.order_sn = self._shop.call("POST /orders", body, self._token)["order_sn"]

    def prepays(self) -> None:
        with self._shop.phase("prepay"):
            self._fields = self._call("POST /orders/{order_sn}/prepay", {})

    def pays(self) -> None:
        five = {name: value for name, value in self._fields.items() if name != "out_trade_no"}
        said = self._shop.wechat("cashier/pay", **five, appid=self._shop.world.credentials.appid)["errMsg"]
        if said != "requestPayment:ok":
            raise BenchFailed(f"the cashier says {said}")

    def polls(self, phase: str) -> None:
        with self._shop.phase(phase):
            self._call("GET /orders/{order_sn}/payment")

    def is_told_of(self) -> None:
        with self._shop.phase("callback"):
            self._shop.notify(self._fields["out_trade_no"])

    def is_served(self) -> None:
        """The order is paid, and its messages are sent."""
        before = len(self._shop.world.messages)
        with self._shop.phase("order_update"):
            self._shop.follow()
        with self._shop.phase("messages"):
            self._shop.settle()
        wanted = len(SOLD[self._scenario.service_type].messages()) - 1  # without that of a refund
        self._check("WAIT_USE")
        if (sent := len(self._shop.world.messages) - before) != wanted:
            raise BenchFailed(f"{sent} of {wanted} messages were sent")

    def is_looked_at(self) -> None:
        """Once, after it was paid."""
        if not (age := self._shop.next_look(self.order_sn)):
            raise BenchFailed("the janitor is not to look at a paid order")
        with self._shop.phase(LOOK):
            self._shop.look(age)

    def is_left(self) -> None:
        """Nobody pays: the janitor looks until it has nothing to do any more."""
        while age := self._shop.next_look(self.order_sn):
            with self._shop.phase("looks" if age < LIFE else "the end"):
                self._shop.look(age)
        self._check("CANCELLED")

    def _check(self, status: str) -> None:
        (found,) = (one["status"]["S"] for one in self._shop.items(self.order_sn) if one["sk"]["S"] == keys.ORDER)
        if found != status:
            raise BenchFailed(f"the order is {found}, and not {status}")

    def _call(self, route: str, body: Mapping[str, Any] | None = None) -> Json:
        return self._shop.call(route, body, self._token, order_sn=self.order_sn)


def _paid(guest: _Guest) -> None:
    """The poll asks WeChat while the guest still types his password."""
    guest.orders()
    guest.prepays()
    guest.polls("poll, asks WeChat: not paid yet")
    guest.pays()
    guest.is_told_of()
    guest.is_served()
    guest.is_looked_at()


def _learned(guest: _Guest) -> None:
    """The poll asks WeChat when the guest has paid; the callback comes later and finds it recorded."""
    guest.orders()
    guest.prepays()
    guest.pays()
    guest.polls("poll, asks WeChat: paid")
    guest.is_told_of()
    guest.is_served()
    guest.is_looked_at()


def _told(guest: _Guest) -> None:
    """The callback comes before the poll, which asks nobody."""
    guest.orders()
    guest.prepays()
    guest.pays()
    guest.is_told_of()
    guest.polls("poll, asks nobody")
    guest.is_served()
    guest.is_looked_at()


def _unasked(guest: _Guest) -> None:
    guest.orders()
    guest.is_left()


def _unpaid(guest: _Guest) -> None:
    guest.orders()
    guest.prepays()
    guest.is_left()


LIVES: Mapping[str, Callable[[_Guest], None]] = {
    PAID: _paid,
    LEARNED: _learned,
    TOLD: _told,
    UNASKED: _unasked,
    UNPAID: _unpaid,
}
"""What becomes of an order."""

SAME_BUDGET = {LEARNED: PAID, TOLD: PAID}


@dataclass(frozen=True, slots=True)
class Measured:
    """One life of an order, phase by phase; `at`: as which order it came."""

    scenario: Scenario
    life: str
    at: int
    phases: Mapping[str, Usage]

    def totals(self) -> list[tuple[str, Usage, Budget]]:
        """What has a budget: the life without its sign-in, and a first look by itself."""
        budgets = BUDGETS[self.scenario.held]
        whole = sum((usage for name, usage in self.phases.items() if name not in (LOGIN, LOOK)), Usage())
        totals = [(self.life, whole, budgets[SAME_BUDGET.get(self.life, self.life)])]
        if LOOK in self.phases:
            totals.append((LOOK, self.phases[LOOK], budgets[LOOK]))
        return totals


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured; `idle` is a run of the janitor with nothing due."""

    measured: Sequence[Measured]
    idle: Usage

    @property
    def grows(self) -> list[str]:
        """The totals that are not the same at every position."""
        seen: dict[str, set[str]] = {}
        for one in self.measured:
            for name, usage, _ in one.totals():
                where = f"{one.scenario.name}, {one.life}" + (f", {name}" if name != one.life else "")
                seen.setdefault(where, set()).add(repr(usage))
        return [name for name, values in seen.items() if len(values) > 1]

    @property
    def kept(self) -> bool:
        """Every budget holds, and nothing grows with the table."""
        return not self.grows and all(budget.holds(usage) for one in self.measured for _, usage, budget in one.totals())


def measure(scenarios: Sequence[Scenario], positions: Sequence[int], say: Callable[[str], None]) -> Result:
    """Every life of every scenario at each position. Raises BenchFailed and StartFailed."""
    from simulator.testing import running  # a server: time that other commands need not wait

    say("starting the emulator")
    world, log = World(Credentials.generate()), io.StringIO()
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(log)  # the functions' lines; standard output is the command's
    with _emulator() as aws_url, running(world) as wechat_url:
        shop = _Shop(aws_url, world, wechat_url)
        try:
            return _measured(shop, scenarios, sorted(set(positions)), say)
        except BenchFailed as failed:
            last = "\n".join(log.getvalue().splitlines()[-3:])
            raise BenchFailed(f"{failed}; the functions' last lines:\n{last}") from None


def _measured(
    shop: _Shop, scenarios: Sequence[Scenario], positions: Sequence[int], say: Callable[[str], None]
) -> Result:
    shop.begin()
    with shop.phase(IDLE):
        shop.sweep()
    shop.idle = shop.phases[IDLE]
    number, measured = itertools.count(1), list[Measured]()
    # What a process does once, like reading a secret and WeChat's access token, is done for the first order.
    _paid(first := _Guest(shop, scenarios[0], next(number)))
    there = 1
    for position in positions:
        say(f"putting the orders before number {position}")
        shop.copy(first.order_sn, range(there + 1, position))
        there = max(there, position - 1)
        for scenario in scenarios:
            for life, live in LIVES.items():
                say(f"order {there + 1}: {scenario.name}, {life}")
                live(_Guest(shop, scenario, next(number)))
                measured.append(Measured(scenario, life, position, shop.phases))
                there += 1
    return Result(measured, shop.idle)


@contextlib.contextmanager
def _emulator() -> Iterator[str]:
    """An emulator in a folder and on a port of its own, until the block ends; gives its URL."""
    with tempfile.TemporaryDirectory(prefix="wxpay-bench-") as folder, asyncio.Runner() as loop:
        home = Home(Path(folder))
        with home.held() as lock, socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            probe.close()
            child = loop.run(start_emulator(home, port, lock))
            try:
                loop.run(child.ready())
                yield f"http://127.0.0.1:{port}"
            finally:
                ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
                kept = {sign: signal.signal(sign, signal.SIG_IGN) for sign in ending}  # it is ending already
                loop.run(child.stop())
                for sign, before in kept.items():
                    signal.signal(sign, before)


# --- the command


@app.callback()
def _bench() -> None:
    """Measure what an order costs."""


app.command()(bench_bill.bill)


@app.command()
def capacity(
    orders: Annotated[
        list[int] | None,
        typer.Option(
            "--orders", min=2, max=MOST, help="As which order they come; may repeat. 10 and 1000 if not said."
        ),
    ] = None,
    long: Annotated[bool, typer.Option("--long", help=f"Also as order {MOST}: four minutes, 3 GB of memory.")] = False,
    as_json: operate.Json = False,
) -> None:
    """Count the request units of DynamoDB and the invocations of an order's life, beside their budgets.

    The orders before are one that was really paid, and copies of its items with other numbers and users. Exit code 1
    when a budget does not hold, or when a figure grows with the table."""
    positions = [*(orders or (10, 1_000)), *([MOST] if long else [])]
    started = time.monotonic()
    try:
        with operate.ended_by_signals(), operate.errors.status("") as line:
            result = measure(SCENARIOS, positions, line.update)
    except (BenchFailed, StartFailed) as failed:
        operate.fail(str(failed))
    except KeyboardInterrupt:
        raise typer.Exit(operate.INTERRUPTED) from None
    if as_json:
        print(json.dumps(_as_json(result)))
    else:
        for table in _tables(result):
            operate.console.print(table)
        operate.console.print(_summary(result), highlight=False, soft_wrap=True)
        operate.errors.print(f"{time.monotonic() - started:.0f} s", style="dim")
    if not result.kept:
        raise typer.Exit(1)


def _as_json(result: Result) -> Json:
    return {
        "kept": result.kept,
        "grows": result.grows,
        "janitor_with_nothing_due": asdict(result.idle),
        "added": ADDED,
        "measured": [
            {
                "scenario": one.scenario.name,
                "life": one.life,
                "order": one.at,
                "phases": {name: asdict(usage) for name, usage in one.phases.items()},
                "totals": {
                    name: {**asdict(usage), "budget": asdict(budget), "holds": budget.holds(usage)}
                    for name, usage, budget in one.totals()
                },
            }
            for one in result.measured
        ],
    }


def _tables(result: Result) -> Iterator[Grid]:
    """One table for each life; where positions differ, one for each of them."""
    alike: dict[tuple[str, str, str], list[Measured]] = {}
    for one in result.measured:
        alike.setdefault((one.scenario.name, one.life, repr(one.phases)), []).append(one)
    for several in alike.values():
        yield _table(several[0], [one.at for one in several])


def _table(one: Measured, positions: Sequence[int]) -> Grid:
    title = f"{one.scenario.name}, {one.life}; as order {_listed(positions)}"
    grid = Grid(box=SIMPLE, title=title, title_justify="left")
    grid.add_column("phase")
    for name in ("WRU", "RRU", "invocations"):
        grid.add_column(name, justify="right")
    for name in ("of it added", "budget", ""):
        grid.add_column(name)
    for name, usage in one.phases.items():
        grid.add_row(name, *_row(usage))
    grid.add_section()
    for name, usage, budget in one.totals():
        holds = "holds" if budget.holds(usage) else "[red]EXCEEDED[/]"
        grid.add_row(f"total: {name}", *_row(usage), _bounds(budget), holds, style="bold")
    return grid


def _row(usage: Usage) -> list[str]:
    added = {"WRU": usage.added_wru, "RRU": usage.added_rru}
    told = ", ".join(f"{value:g} {of}" for of, value in added.items() if value)
    return [f"{usage.wru:g}", f"{usage.rru:g}", f"{usage.invocations}", told]


def _bounds(budget: Budget) -> str:
    bounds = ((budget.wru, "WRU"), (budget.rru, "RRU"), (budget.invocations, "invocations"))
    return ", ".join(f"{bound:g} {of}" for bound, of in bounds if bound is not None)


def _summary(result: Result) -> str:
    idle, positions = result.idle, sorted({one.at for one in result.measured})
    lines = [
        "The orders before are one that was really paid, and copies of its items with other numbers and users.",
        f"A total is without {LOGIN} and {LOOK}. Looks are what they add to the janitor's run, which comes once a "
        f"minute and takes {idle.wru:g} WRU, {idle.rru:g} RRU, {idle.invocations} invocation with nothing due.",
        ADDED,
    ]
    if result.grows:
        lines.append(f"Not the same as order {_listed(positions)}: {'; '.join(result.grows)}.")
    return "\n".join(lines)


def _listed(positions: Sequence[int]) -> str:
    return " and ".join(f"{at:,}" for at in positions)
