"""The shop as a whole: its deployment, and everybody who meets it."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import time_machine

from local.topology import whole
from payments.domain.times import utc_now
from payments.edge.observability import Handler, instrumented
from payments.parts import Parts, build
from payments.products import PRODUCTS, Products
from payments.settings import Settings
from payments.store.dynamodb import unwire
from payments.store.store import Store
from simulator.world import World
from tests.examples import COURSE_OFFER, HOME
from tests.money import assert_no_fen_missing
from tests.shop.aws import TABLE, SecretsManager, client, default
from tests.shop.events import Events, module
from tests.shop.guest import Guest
from tests.shop.http import Answer, Context, answer, http_event
from tests.shop.items import TableItems
from tests.shop.janitor import Janitor
from tests.shop.staff import Staff
from tests.shop.wechat import Wechat
from tests.stock import assert_nothing_sold_twice

NOTIFY_BASE = "https://pay.example.com"
PARTS = tuple(one.name for one in fields(Parts) if one.name not in ("settings", "clock", "random"))


NOT_KEPT = ("credentials", "clock", "keep", "_calls")
"""What of the simulator's world is not its state."""


@dataclass
class Snapshot:
    """What a scene has given and left behind: when it ended, the table's items, what the stream has told of them, what
    WeChat knows and has told."""

    gave: Any
    ended: datetime
    items: list[dict[str, Any]]
    published: Mapping[str, dict[str, Any]]
    wechat: dict[str, Any]
    told: set[tuple[str, str]]


SNAPSHOTS: dict[tuple[str, ...], Snapshot] = {}
"""By the scenes that were played one after the other."""


def handler_of(function: str, parts: Parts) -> Handler:
    """What Lambda would call of a function, with the parts that it names and no others."""
    app = module(function)
    named = parts.only(app.handler.names)
    return instrumented(app.handle, lambda: named)


class Shop:
    def __init__(
        self,
        world: World,
        wechat_url: str,
        secrets: Mapping[str, Any],
        traveller: time_machine.Traveller,
        dynamodb: Any = None,
    ) -> None:
        """`dynamodb`: a client of another table than moto's."""
        self.dynamodb = dynamodb
        self.context: Any = Context()
        self.products: Products = PRODUCTS
        self.settings: dict[str, str] = {}
        self.shrunk: set[str] = set()
        """The offers (OFFER#...) that an owner has made less than what is held of them."""
        self.secrets_manager = SecretsManager()
        self.wechat = Wechat(self, world, wechat_url)
        self.events = Events(self)
        self.janitor = Janitor(self, traveller)
        self.guest = Guest(self)
        self.staff = Staff(self)
        self.items = TableItems(self)
        self._scenes: tuple[str, ...] | None = None  # those that have been played, while nothing else has happened
        self._deploy(secrets)
        self._scenes, self._set = (), self._wechat_is_set()

    def _deploy(self, secrets: Mapping[str, Any]) -> None:
        manager, world = client("secretsmanager"), self.wechat.world
        self.deploy(
            TABLE_NAME=TABLE,
            TOPIC_ARN="arn:aws:sns:us-east-1:123456789012:topic",
            STREAM_DLQ_URL=client("sqs").create_queue(QueueName="stream-dlq")["QueueUrl"],
            APPID=world.credentials.appid,
            MCHID=world.credentials.mchid,
            PUBLIC_BASE_URL=NOTIFY_BASE,
            WECHAT_PAY_BASE_URL=self.wechat.url,
            MINI_PROGRAM_BASE_URL=self.wechat.url,
            MINIPROGRAM_STATE="formal",
            ORDER_CONFIRMED_TEMPLATE_ID="template-confirmed",
            CHECK_IN_CODE_TEMPLATE_ID="template-code",
            REFUND_TEMPLATE_ID="template-refund",
            ORDER_CONFIRMED_FIELDS=default("OrderConfirmedFields"),
            CHECK_IN_CODE_FIELDS=default("CheckInCodeFields"),
            REFUND_FIELDS=default("RefundFields"),
            COURSE_ORDER_CONFIRMED_FIELDS=default("CourseOrderConfirmedFields"),
            COURSE_CHECK_IN_CODE_FIELDS=default("CourseCheckInCodeFields"),
            MESSAGE_PAGE=default("MessagePage"),
            **{
                f"{name.upper()}_SECRET_ARN": manager.create_secret(Name=name, SecretString=json.dumps(value))["ARN"]
                for name, value in secrets.items()
            },
        )
        for service_type, offer in (("homestay", HOME), ("course", COURSE_OFFER)):
            catalogue = PRODUCTS[service_type].catalogue
            assert catalogue is not None
            self.store.catalogue.put(catalogue, offer)

    def offers(self, offer: Any) -> None:
        """The catalogue has this homestay or course, over the one that was there."""
        self._scenes = None
        product = next(one for one in PRODUCTS.values() if one.catalogue and isinstance(offer, one.catalogue.offer))
        assert product.catalogue is not None
        self.store.catalogue.put(product.catalogue, offer)

    # --- what is deployed

    def deploy(self, **variables: str) -> None:
        """The stack is deployed anew with these variables: its processes begin anew."""
        self._scenes = None
        self.settings |= variables
        parts = build(Settings(self.settings), (name for name in PARTS if name != "publish"), client=self._client)
        self.parts = Parts(
            settings=parts.settings,
            publish=self.events.publish,
            **{name: getattr(parts, name) for name in PARTS if name not in ("publish", "products")},
            products=self.products,
        )

    def _client(self, service: str) -> Any:
        if service == "dynamodb" and self.dynamodb is not None:
            return self.dynamodb
        return self.secrets_manager if service == "secretsmanager" else client(service)

    def sells(self, products: Products) -> None:
        """The stack is deployed with these products."""
        self.products = products
        self.deploy()

    def records_shipping(self, when: str) -> None:
        """The stack is deployed with ShippingRecord=on_payment or on_redemption."""
        self.deploy(SHIPPING_RECORD=when)

    def put_secret(self, name: str, *, known: bool = True, **values: Any) -> None:
        """An operator puts a secret anew; not `known`: the processes that run have the old one for a while."""
        client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(values))
        if known:
            self.deploy()

    @property
    def store(self) -> Store:
        return self.parts.store

    # --- calls

    def run(self, function: str, event: Any, parts: Parts | None = None) -> Any:
        """One invocation of a function, with the parts that it names."""
        self._scenes = None
        return handler_of(function, parts or self.parts)(event, self.context)

    def call(
        self,
        route: str,
        body: Any = None,
        *,
        token: str = "",
        order_sn: str = "",
        service_type: str = "homestay",
        **changes: Any,
    ) -> Answer:
        """One request through the authorizer, as the gateway makes it."""
        method, path = route.split(" ")
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        names = {"order_sn": order_sn, "service_type": service_type}
        names |= {"case_id": changes.pop("case", ""), "out_refund_no": changes.pop("refund", "")}
        names |= {"offer_id": changes.pop("offer", ""), "block_id": changes.pop("block", "")}
        names |= {"day": changes.pop("day", "")}
        for name, value in names.items():
            path = path.replace(f"{{{name}}}", value)
        event = http_event(method, path, text)
        event["routeKey"] = route
        event["headers"] |= changes.pop("headers", {})
        if route not in whole().open_routes:
            verdict = self.run("authorizer", {"headers": {"authorization": f"Bearer {token}"}})
            if not verdict["isAuthorized"]:
                return Answer(403, {}, {"message": "Forbidden"})
            event["requestContext"]["authorizer"] = {"lambda": verdict["context"]}
        event |= changes
        return answer(self.run(whole().routes[route], event))

    # --- what holds

    def check(self, poison: int = 0) -> None:
        """No fen goes missing, and nothing is sold twice."""
        assert_no_fen_missing(self.wechat.state(), map(unwire, self.items.all()), dead=poison, poison=poison)
        self.check_stock()

    def check_stock(self) -> None:
        """Nothing is sold twice: after every test."""
        assert_nothing_sold_twice(map(unwire, self.items.all()), shrunk=self.shrunk, unreadable=self.items.spoilt)

    # --- snapshots

    def restored(self, name: str, scene: Callable[["Shop"], Any]) -> Any:
        """What a scene leaves behind and gives. A scene that stands at a test's beginning, or right after another such
        scene, is played once per session and restored from then on; any other is played."""
        if self._scenes is None or self._wechat_is_set() != self._set:
            return scene(self)
        place = (*self._scenes, name)
        if place not in SNAPSHOTS:
            with self.janitor.stopped():
                gave = scene(self)
                SNAPSHOTS[place] = self._snapshot(gave)
        else:
            self._restore(SNAPSHOTS[place])
        self._scenes, self._set = place, self._wechat_is_set()
        return copy.deepcopy(SNAPSHOTS[place].gave)

    def play_scenes(self) -> None:
        """No scene is restored any more in this test."""
        self._scenes = None

    def _snapshot(self, gave: Any) -> Snapshot:
        world = self.wechat.world
        wechat = copy.deepcopy({part: value for part, value in vars(world).items() if part not in NOT_KEPT})
        return Snapshot(gave, utc_now(), self.items.all(), self.events.known(), wechat, self.wechat.told())

    def _restore(self, snapshot: Snapshot) -> None:
        self.janitor.return_to(snapshot.ended)
        self.items.restore(snapshot.items)
        self.events.know(snapshot.published)
        self.wechat.tell(snapshot.told)
        for part, value in copy.deepcopy(snapshot.wechat).items():
            setattr(self.wechat.world, part, value)

    def _wechat_is_set(self) -> Any:
        """How tests have set WeChat up: what was set before a scene is part of it."""
        world = self.wechat.world
        return len(world.faults), world.balance, copy.copy(world.switches)
