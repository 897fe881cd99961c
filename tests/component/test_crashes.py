"""A function is killed before its first external call, and after each of them, which is before the next. Who called it
calls again, as clients, WeChat and queues do; the janitor does the rest. No fen goes missing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import botocore.client
import pytest

from functions.execute_refund import app as execute_refund
from functions.order_update import app as order_update
from functions.upload_shipping import app as upload_shipping
from payments.domain.order import OrderStatus
from payments.domain.shipping import ShippingStatus
from payments.wechat import mini_program
from payments.wechat import pay as wechat_pay
from tests.component.conftest import Shop

pytestmark = pytest.mark.usefixtures("clock")


class Killed(BaseException):
    """The process is gone: nothing of it runs on."""


class Gun:
    """Kills after the n-th external call, or (0) before the first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._aim, self._calls = -1, 0
        for owner, name in (
            (botocore.client.BaseClient, "_make_api_call"),
            (wechat_pay._Transport, "_send"),
            (mini_program.MiniProgram, "_call"),
        ):
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self._aim == 0:
                raise Killed
            told = real(*arguments, **named)
            self._calls += 1
            if self._calls == self._aim:
                raise Killed
            return told

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
def gun(monkeypatch: pytest.MonkeyPatch) -> Gun:
    return Gun(monkeypatch)


Scene = Callable[[Shop], tuple[Callable[[], Any], Callable[[], None]]]
"""Makes (what is killed, what those who called it do then)."""


def prepay(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    token = shop.login()
    order_sn = shop.order(token)
    route = "POST /orders/{order_sn}/prepay"

    def again() -> None:
        shop.later(seconds=5)  # the killed one may have called WeChat: who comes at once is told to wait
        fields = shop.prepay(token, order_sn)
        assert fields["out_trade_no"] == f"{order_sn}_1"
        assert shop.cashier(fields) == "requestPayment:ok"
        assert shop.notify(shop.notice(f"{order_sn}_1")).status == 204
        shop.settle_events()
        assert shop.collection(order_sn).order.status is OrderStatus.WAIT_USE

    return lambda: shop.call(route, {}, token=token, order_sn=order_sn), again


def callback(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    _, order_sn = shop.paid_order()

    def notify() -> Any:
        return shop.notify(shop.notice(f"{order_sn}_1"))

    def again() -> None:
        assert notify().status == 204
        shop.settle_events()
        assert shop.collection(order_sn).order.status is OrderStatus.WAIT_USE

    return notify, again


def late_callback(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    _, order_sn = shop.late_order()

    def notify() -> Any:
        return shop.notify(shop.notice(f"{order_sn}_1"))

    def again() -> None:
        assert notify().status == 204

    return notify, again


def paid_event(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    _, order_sn = shop.paid_order()
    assert shop.notify(shop.notice(f"{order_sn}_1")).status == 204
    (event,) = shop.events()

    def again() -> None:
        assert shop.deliver(order_update, event) == []

    return lambda: shop.deliver(order_update, event), again


def refund_event(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    _, order_sn = shop.paid_order()
    assert shop.notify(shop.notice(f"{order_sn}_1")).status == 204
    shop.settle_events()
    assert shop.refund(order_sn).status == 201
    (event,) = shop.events()

    def again() -> None:
        assert shop.deliver(execute_refund, event) == []

    return lambda: shop.deliver(execute_refund, event), again


def refunded_event(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    refund, _ = refund_event(shop)
    refund()
    shop.settle_events()
    shop.refunds_end()
    (event,) = shop.events()
    assert event["type"] == "refund.succeeded"

    def again() -> None:
        assert shop.deliver(order_update, event) == []

    return lambda: shop.deliver(order_update, event), again


def used_event(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    shop.records_shipping("on_redemption")
    _, order_sn = shop.paid_order()
    assert shop.notify(shop.notice(f"{order_sn}_1")).status == 204
    shop.settle_events()
    assert shop.redeem(str(shop.collection(order_sn).order.redeem_code)).status == 200
    shop.later(seconds=2)
    (event,) = shop.events()

    def again() -> None:
        assert shop.deliver(upload_shipping, event) == []
        shipment = shop.world.trades[f"{order_sn}_1"].shipment
        assert shipment is not None
        assert shipment.changes == 0
        assert shop.collection(order_sn).shippings[1].status is ShippingStatus.UPLOADED

    return lambda: shop.deliver(upload_shipping, event), again


def sweep_finds_money(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    shop.paid_order()
    shop.later(minutes=2)
    return shop.sweep, lambda: None


def sweep_ends_an_order(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    token = shop.login()
    order_sn = shop.order(token)
    shop.prepay(token, order_sn)
    shop.later(minutes=30)
    return shop.sweep, lambda: None


def sweep_asks_for_a_refund(shop: Shop) -> tuple[Callable[[], Any], Callable[[], None]]:
    refund, _ = refund_event(shop)
    refund()
    shop.settle_events()
    for made in shop.world.refunds.values():
        made.due_at = 0
    shop.later(minutes=2)
    return shop.sweep, lambda: None


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
        shop.come_to_rest()
        shop.check()
        if not hit:
            break
    assert call >= LEAST.get(scene.__name__, 1), "it made fewer calls than it must"
