"""Answers, notices and events that get lost or come twice, consumers that fail, notices that do not verify: the money
finds its way all the same (R1, R9, R10, R13)."""

from datetime import timedelta

import pytest

from payments.domain.order import OrderStatus
from payments.domain.payment import PaymentStatus
from payments.domain.times import utc_now
from tests.shop import Shop

# --- answers and notices that get lost


def test_the_reply_of_prepay_lost(shop: Shop) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.wechat.fault("prepay", "drop", after_effect=True)
    assert shop.call("POST /orders/{order_sn}/prepay", {}, token=token, order_sn=order_sn).status == 503
    shop.janitor.later(seconds=5)
    fields = shop.guest.prepay(token, order_sn)
    assert fields["out_trade_no"] == f"{order_sn}_1"
    assert shop.guest.cashier(fields) == "requestPayment:ok"
    shop.janitor.come_to_rest()
    assert shop.items.status(order_sn) is OrderStatus.WAIT_USE
    shop.check()


def test_a_callback_that_never_comes_is_made_good_by_the_janitor(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    shop.janitor.later(minutes=1, seconds=59)
    assert shop.janitor.sweep() == {"orders": 0, "failed": 0, "left": 0}
    shop.janitor.later(seconds=1)
    assert shop.janitor.sweep()["orders"] == 1
    shop.events.settle()
    assert shop.items.status(order_sn) is OrderStatus.WAIT_USE
    shop.check()


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_an_event_that_gets_lost_is_published_again(shop: Shop, lost: int) -> None:
    """1: payment.succeeded, 2: order.paid, 3: both."""
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    if lost != 2:
        shop.events.lose()
    else:
        (event,) = shop.events.published()
        assert shop.events.deliver("order_update", event) == []
        shop.events.lose()
    shop.janitor.later(minutes=2)
    shop.janitor.sweep()
    if lost == 3:
        assert [event["type"] for event in shop.events.published()] == ["payment.succeeded"]
        shop.janitor.later(minutes=3)
        shop.janitor.sweep()
    shop.events.settle()
    assert shop.items.status(order_sn) is OrderStatus.WAIT_USE
    assert len(shop.wechat.world.messages) == 2
    shop.check()


def test_the_stream_is_down_for_a_while_and_then_comes_with_everything(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.janitor.later(minutes=2)
    shop.janitor.sweep()  # publishes what the stream has not yet
    late = shop.events.records()
    shop.events.settle()
    shop.events.again()
    assert late
    shop.events.settle()  # and now the stream tells all of it again
    assert len(shop.wechat.world.messages) == 2
    shop.check()


def test_the_janitor_leaves_alone_what_is_at_rest(shop: Shop, paid: str) -> None:
    shop.janitor.later(minutes=2)
    before = shop.items.collection(paid)
    assert shop.janitor.sweep()["orders"] == 1
    after = shop.items.collection(paid)
    assert after.order.due_at == after.order.usable_until
    assert after.order.version == before.order.version + 1  # one write, for the next look
    assert shop.events.published() == []
    shop.janitor.later(days=1)
    assert shop.janitor.sweep()["orders"] == 0
    shop.check()


@pytest.mark.parametrize("odd", [None, "yesterday", "0001-01-01T00:00:00+14:00", 7])
def test_a_payment_whose_time_wechat_does_not_say_is_paid_when_it_is_learned(shop: Shop, odd: object) -> None:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1", plaintext={"success_time": odd})).status == 204
    shop.events.settle()
    order, (payment,) = shop.items.collection(order_sn).order, shop.items.collection(order_sn).payments
    assert (order.status, payment.success_time, shop.items.cases()) == (OrderStatus.WAIT_USE, order.paid_at, [])
    assert payment.success_time is not None
    assert abs(payment.success_time - utc_now()) < timedelta(minutes=1)
    shop.check()


# --- consumers in trouble


def test_order_update_fails_three_times_and_then_works(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    (event,) = shop.events.published()
    shop.deploy(TABLE_NAME="gone")
    for _ in range(3):
        assert shop.events.deliver("order_update", event) == ["m0"]
    shop.deploy(TABLE_NAME="table")
    assert shop.events.deliver("order_update", "{poison", event, "[]") == ["m0", "m2"]
    shop.events.settle()
    assert shop.items.status(order_sn) is OrderStatus.WAIT_USE
    shop.check(poison=2)


def test_the_access_token_is_taken_back_between_two_messages(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.wechat.fault("send", "token_invalidated", after_effect=True)
    shop.events.settle()
    shop.janitor.come_to_rest()
    assert len(shop.wechat.world.messages) == 2
    shop.check()


# --- an unverified notice is a hint (R13)


def test_an_unverified_notice_that_opens_makes_the_janitor_look_five_times_at_most(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    shop.wechat.world.trades[f"{order_sn}_1"].trade_state = "NOTPAY"
    signed = None
    shop.wechat.world.trades[f"{order_sn}_1"].trade_state = "SUCCESS"
    for hint in range(1, 7):
        signed = shop.wechat.notice(f"{order_sn}_1", private_key=shop.wechat.world.credentials.next_private_key)
        assert shop.wechat.notify(signed).status == 401
        order = shop.items.collection(order_sn).order
        assert order.hints == min(hint, 5)
        assert shop.items.payments(order_sn) == [PaymentStatus.NOTPAY]
        shop.wechat.world.trades[f"{order_sn}_1"].trade_state = "NOTPAY"
        assert shop.janitor.sweep()["orders"] == (1 if hint <= 5 else 0)
        shop.wechat.world.trades[f"{order_sn}_1"].trade_state = "SUCCESS"
    shop.janitor.later(minutes=2)
    shop.janitor.come_to_rest()
    assert shop.items.status(order_sn) is OrderStatus.WAIT_USE
    assert signed is not None
    assert shop.wechat.notify(signed).status == 401
    assert shop.items.collection(order_sn).order.hints == 5
    shop.check()


def test_a_notice_that_does_not_open_is_no_hint(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    signed = shop.wechat.notice(f"{order_sn}_1", private_key=shop.wechat.world.credentials.next_private_key)
    body = signed.body.replace(b'"nonce":"', b'"nonce":"x')
    assert shop.wechat.notify(signed, body=body.decode()).status == 401
    assert shop.items.collection(order_sn).order.hints == 0
