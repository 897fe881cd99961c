"""A function is killed before its first external call, and after each of them, which is before the next. Who called it
calls again, as clients, WeChat and queues do; the janitor does the rest. No fen goes missing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import requests

from payments.domain.order import OrderStatus
from payments.domain.shipping import ShippingStatus
from tests.shop import Shop
from tests.shop.aws import client

AWS = ("dynamodb", "sns", "sqs", "secretsmanager")


class Killed(BaseException):
    """The process is gone: nothing of it runs on."""


class Gun:
    """Kills after the n-th external call, or (0) before the first: a call to AWS, to WeChat, or to the topic."""

    def __init__(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        self._aim, self._calls = -1, 0
        for service in AWS:
            events = client(service).meta.events
            events.register("before-call", self._before, unique_id="gun-before")
            events.register("after-call", self._after_aws, unique_id="gun-after")
        monkeypatch.setattr(requests.Session, "request", self._counted(requests.Session.request))
        monkeypatch.setattr(shop.events, "publish", self._counted(shop.events.publish))
        shop.parts = replace(shop.parts, publish=shop.events.publish)

    def put_away(self) -> None:
        for service in AWS:
            events = client(service).meta.events
            events.unregister("before-call", unique_id="gun-before")
            events.unregister("after-call", unique_id="gun-after")

    def _before(self, **_: Any) -> None:
        if self._aim == 0:
            raise Killed

    def _after_aws(self, http_response: Any, **_: Any) -> None:
        if http_response.status_code < 300:
            self._after()

    def _after(self) -> None:
        self._calls += 1
        if self._calls == self._aim:
            raise Killed

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self._before()
            gave = real(*arguments, **named)
            self._after()
            return gave

        return call

    @contextmanager
    def aimed(self, after: int) -> Iterator[list[bool]]:
        """Whether it has killed, known after the block."""
        hit: list[bool] = []
        self._aim, self._calls = after, 0
        try:
            yield hit
        except Killed:
            hit.append(True)
        finally:
            self._aim = -1


@pytest.fixture
def gun(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gun]:
    made = Gun(shop, monkeypatch)
    yield made
    made.put_away()


Scene = Callable[[Shop], tuple[Callable[[], Any], Callable[[], None]]]
"""Makes (what is killed, what those who called it do then)."""


def prepay(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    route = "POST /orders/{order_sn}/prepay"

    def again() -> None:
        shop.janitor.later(seconds=5)  # the killed one may have called WeChat: who comes at once is told to wait
        fields = shop.guest.prepay(token, order_sn)
        assert fields["out_trade_no"] == f"{order_sn}_1"
        assert shop.guest.cashier(fields) == "requestPayment:ok"
        assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
        shop.events.settle()
        assert shop.items.collection(order_sn).order.status is OrderStatus.WAIT_USE

    return lambda: shop.call(route, {}, token=token, order_sn=order_sn), again


def callback(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    _, order_sn = shop.guest.paid_order()

    def notify() -> Any:
        return shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1"))

    def again() -> None:
        assert notify().status == 204
        shop.events.settle()
        assert shop.items.collection(order_sn).order.status is OrderStatus.WAIT_USE

    return notify, again


def late_callback(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    _, order_sn = shop.guest.late_order()

    def notify() -> Any:
        return shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1"))

    def again() -> None:
        assert notify().status == 204

    return notify, again


def paid_event(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    (event,) = shop.events.published()

    def again() -> None:
        assert shop.events.deliver("order_update", event) == []

    return lambda: shop.events.deliver("order_update", event), again


def refund_event(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    assert shop.staff.refund(order_sn).status == 201
    (event,) = shop.events.published()

    def again() -> None:
        assert shop.events.deliver("execute_refund", event) == []

    return lambda: shop.events.deliver("execute_refund", event), again


def refunded_event(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    refund, _ = refund_event(shop)
    refund()
    shop.events.settle()
    shop.wechat.refunds_end()
    (event,) = shop.events.published()
    assert event["type"] == "refund.succeeded"

    def again() -> None:
        assert shop.events.deliver("order_update", event) == []

    return lambda: shop.events.deliver("order_update", event), again


def used_event(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    shop.records_shipping("on_redemption")
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    assert shop.staff.redeem(str(shop.items.collection(order_sn).order.redeem_code)).status == 200
    shop.janitor.later(seconds=2)
    (event,) = shop.events.published()

    def again() -> None:
        assert shop.events.deliver("upload_shipping", event) == []
        shipment = shop.wechat.world.trades[f"{order_sn}_1"].shipment
        assert shipment is not None
        assert shipment.changes == 0
        assert shop.items.collection(order_sn).shippings[1].status is ShippingStatus.UPLOADED

    return lambda: shop.events.deliver("upload_shipping", event), again


def sweep_finds_money(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    shop.guest.paid_order()
    shop.janitor.later(minutes=2)
    return shop.janitor.sweep, lambda: None


def sweep_ends_an_order(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.guest.prepay(token, order_sn)
    shop.janitor.later(minutes=30)
    return shop.janitor.sweep, lambda: None


def sweep_asks_for_a_refund(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    refund, _ = refund_event(shop)
    refund()
    shop.events.settle()
    for made in shop.wechat.world.refunds.values():
        made.due_at = 0
    shop.janitor.later(minutes=2)
    return shop.janitor.sweep, lambda: None


SCENES: list[Scene] = [
    prepay,
    callback,
    late_callback,
    paid_event,
    refund_event,
    refunded_event,
    used_event,
    sweep_finds_money,
    sweep_ends_an_order,
    sweep_asks_for_a_refund,
]
SHARDS = 10
FIRST = {scene.__name__: SHARDS for scene in SCENES if scene.__name__.startswith("sweep")}
"""The janitor's first calls look into the shards of the index: killed there it has done nothing."""

LEAST = {"prepay": 6, "callback": 1, "paid_event": 1, "refund_event": 4, "used_event": 4, "sweep_ends_an_order": 6}


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_killed_at_any_call(shop: Shop, gun: Gun, scene: Scene, every: int) -> None:
    """Every third call, or with --long every one."""
    for call in count(0, every):
        if 0 < call < FIRST.get(scene.__name__, 0):
            continue
        act, again = scene(shop)
        with gun.aimed(call) as hit:
            act()
        again()
        shop.janitor.come_to_rest()
        shop.check()
        if not hit:
            break
    assert call >= LEAST.get(scene.__name__, 1), "it made fewer calls than it must"
