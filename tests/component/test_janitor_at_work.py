"""The janitor among others: one order that fails, no time left, two of him at once (R10)."""

from typing import Any

import pytest

from payments.domain.order import OrderStatus
from payments.domain.payment import Payment, PaymentStatus, TradeReport
from payments.wechat.pay import WechatPay
from tests.shop import Shop


def test_one_order_that_fails_does_not_stop_the_others(shop: Shop) -> None:
    numbers = [shop.guest.paid_order()[1] for _ in range(2)]
    broken = shop.items.collection(numbers[0]).payments[0]
    key = {"pk": {"S": f"ORDER#{numbers[0]}"}, "sk": {"S": "PAYMENT#1"}}
    update = {"UpdateExpression": "SET created_at = :x", "ExpressionAttributeValues": {":x": {"S": "nonsense"}}}
    shop.items.client.update_item(TableName="table", Key=key, **update)
    shop.janitor.later(minutes=2)
    assert shop.janitor.sweep() == {"orders": 1, "failed": 1, "left": 0}
    assert shop.items.payments(numbers[1]) == [PaymentStatus.SUCCESS]
    assert shop.janitor.sweep() == {"orders": 0, "failed": 0, "left": 0}  # it comes again when its lease is over
    update["ExpressionAttributeValues"] = {":x": {"S": broken.created_at.isoformat()}}
    shop.items.client.update_item(TableName="table", Key=key, **update)
    shop.janitor.come_to_rest()
    shop.check()


def test_the_janitor_stops_before_its_time_is_over(shop: Shop) -> None:
    shop.guest.paid_order()
    shop.janitor.later(minutes=2)
    shop.context.remaining_ms = 14_000
    assert shop.janitor.sweep() == {"orders": 0, "failed": 0, "left": 1}
    shop.context.remaining_ms = 30_000
    shop.janitor.come_to_rest()
    shop.check()


def test_two_janitors_never_work_on_one_order(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    shop.janitor.later(minutes=2)
    looks, expires_at = shop.store.looks, shop.items.collection(order_sn).order.expires_at
    (due,) = (one for shard in "0123456789" for one in looks.due(shard, expires_at, 9))
    assert looks.move(due, expires_at)
    assert not looks.move(due, None)
    assert shop.items.collection(order_sn).order.due_at == shop.items.collection(order_sn).order.expires_at


def test_a_second_janitor_leaves_alone_what_the_first_one_has_begun(
    shop: Shop, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, order_sn, _ = waiting
    shop.janitor.later(minutes=2)
    asked: list[str] = []
    query = WechatPay.query

    def meanwhile_another_sweeps(self: WechatPay, payment: Payment) -> TradeReport | None:
        asked.append(payment.out_trade_no)
        if len(asked) == 1:
            assert shop.janitor.sweep() == {"orders": 0, "failed": 0, "left": 0}
        return query(self, payment)

    monkeypatch.setattr(WechatPay, "query", meanwhile_another_sweeps)
    assert shop.janitor.sweep()["orders"] == 1
    assert asked == [f"{order_sn}_1"]
    shop.check()


def test_a_stay_that_is_over_expires(shop: Shop, paid: str) -> None:
    shop.janitor.come_to_rest()
    shop.janitor.later(days=9)
    shop.janitor.sweep()
    assert shop.items.status(paid) is OrderStatus.WAIT_USE
    shop.janitor.later(days=2)
    shop.janitor.sweep()
    order = shop.items.collection(paid).order
    assert (order.status, order.due_at) == (OrderStatus.EXPIRED, None)
    assert shop.staff.refund(paid).status == 201
    shop.janitor.come_to_rest()
    assert shop.items.status(paid) is OrderStatus.REFUNDED
    shop.check()
