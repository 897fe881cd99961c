"""The shipping record, from the real handlers to a WeChat that lets each payment be re-shipped once."""

from typing import Any

import pytest

from payments.domain.order import OrderStatus
from payments.domain.shipping import Shipping, ShippingStatus
from payments.settings import Misconfigured, Settings
from payments.store.shippings import Shippings
from payments.wechat.mini_program import MiniProgram
from simulator.mini_program import error
from simulator.shipping import INDEX_LAG_S
from tests.examples import CHANGED
from tests.shop import Shop


def paid(shop: Shop) -> str:
    """order_sn of an order that is paid and told, and that WeChat's order management knows."""
    _, order_sn = shop.guest.paid_order()
    shop.janitor.later(seconds=INDEX_LAG_S)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    assert shop.items.collection(order_sn).order.status is OrderStatus.WAIT_USE
    return order_sn


def redeemed(shop: Shop) -> str:
    """order_sn of an order that is redeemed, and nobody has heard of it yet."""
    order_sn = paid(shop)
    code = shop.items.collection(order_sn).order.redeem_code
    assert code is not None
    assert shop.staff.redeem(code).status == 200
    return order_sn


def record(shop: Shop, order_sn: str) -> Shipping:
    return shop.items.collection(order_sn).shippings[1]


def at_wechat(shop: Shop, order_sn: str) -> Any:
    return shop.wechat.world.trades[f"{order_sn}_1"].shipment


def assert_recorded_once(shop: Shop, order_sn: str) -> None:
    shipment = at_wechat(shop, order_sn)
    assert (shipment.body, shipment.changes) == (record(shop, order_sn).body(), 0)
    assert record(shop, order_sn).status is ShippingStatus.UPLOADED
    shop.check()


@pytest.fixture
def used(shop: Shop) -> tuple[str, Any]:
    """(order_sn, the event order.used) where shipping is recorded on redemption."""
    shop.records_shipping("on_redemption")
    order_sn = redeemed(shop)
    (event,) = shop.events.published()
    assert event["type"] == "order.used"
    return order_sn, event


# --- when


def test_redeemed_then_uploaded(shop: Shop) -> None:
    shop.records_shipping("on_redemption")
    order_sn = paid(shop)
    assert shop.items.sort_keys("SHIPPING#") == []
    shop.staff.redeem(str(shop.items.collection(order_sn).order.redeem_code))
    shop.events.settle()
    assert record(shop, order_sn).why is None
    assert_recorded_once(shop, order_sn)
    assert at_wechat(shop, order_sn).body["payer"] == {"openid": shop.wechat.world.user("guest-1").openid}


def test_paid_then_uploaded(shop: Shop) -> None:
    shop.records_shipping("on_payment")
    order_sn = paid(shop)
    assert_recorded_once(shop, order_sn)
    shop.staff.redeem(str(shop.items.collection(order_sn).order.redeem_code))
    before = record(shop, order_sn)
    shop.events.settle()
    assert record(shop, order_sn) == before


def test_off_nothing_of_it_happens(shop: Shop) -> None:
    order_sn = redeemed(shop)
    due = shop.items.collection(order_sn).order.due_at
    shop.events.settle()
    shop.janitor.come_to_rest()
    assert shop.items.sort_keys("SHIPPING#") == []
    assert at_wechat(shop, order_sn) is None
    assert due is not None
    assert due > shop.items.collection(order_sn).order.created_at
    assert shop.items.collection(order_sn).order.due_at is None
    shop.check()


def test_an_order_that_is_only_paid_is_not_recorded_where_redemption_counts(shop: Shop) -> None:
    """A message from before the parameter was changed."""
    _, order_sn = shop.guest.paid_order()
    shop.janitor.later(seconds=INDEX_LAG_S)
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    (succeeded,) = shop.events.published()
    assert shop.events.deliver("order_update", succeeded) == []
    (event,) = shop.events.published()
    assert event["type"] == "order.paid"
    shop.records_shipping("on_redemption")
    assert shop.events.deliver("upload_shipping", event) == []
    assert (shop.items.sort_keys("SHIPPING#"), at_wechat(shop, order_sn)) == ([], None)
    shop.records_shipping("on_payment")
    assert shop.events.deliver("upload_shipping", event) == []
    assert_recorded_once(shop, order_sn)


def test_an_order_that_is_refunded_needs_no_record(shop: Shop, used: tuple[str, Any]) -> None:
    order_sn, event = used
    assert shop.staff.refund(order_sn).status == 201
    assert shop.events.deliver("upload_shipping", event) == []  # on its way back
    shop.janitor.come_to_rest()
    assert shop.items.collection(order_sn).order.status is OrderStatus.REFUNDED
    assert shop.events.deliver("upload_shipping", event) == []  # back
    assert shop.items.sort_keys("SHIPPING#") == []
    assert shop.items.collection(order_sn).order.due_at is None
    shop.check()


def test_an_order_whose_refund_comes_to_nothing_is_recorded_after_all(shop: Shop, used: tuple[str, Any]) -> None:
    order_sn, event = used
    shop.wechat.fault("refund_end", "CLOSED")
    assert shop.staff.refund(order_sn).status == 201
    assert shop.events.deliver("upload_shipping", event) == []
    shop.janitor.come_to_rest()
    assert shop.items.collection(order_sn).order.refundable_fen == 89600
    assert_recorded_once(shop, order_sn)


def test_a_part_refund_does_not_stand_in_for_a_record(shop: Shop, used: tuple[str, Any]) -> None:
    """get_order then says `refunded`, whether it is shipped or not."""
    order_sn, event = used
    assert shop.staff.refund(order_sn, 1000).status == 201
    shop.events.settle()
    shop.wechat.refunds_end()
    shop.wechat.fault("upload_shipping_info", "drop")
    assert shop.events.deliver("upload_shipping", event) == ["m0"]
    assert shop.events.deliver("upload_shipping", event) == []
    shop.events.settle()
    assert_recorded_once(shop, order_sn)


def test_other_events_pass_and_poison_fails_alone(shop: Shop, used: tuple[str, Any]) -> None:
    order_sn, event = used
    expired = event | {"type": "order.expired"}
    nowhere = event | {"order_sn": "HSO0000000000000000000000"}
    assert shop.events.deliver("upload_shipping", expired) == []
    assert shop.items.sort_keys("SHIPPING#") == []
    assert shop.events.deliver("upload_shipping", "{", nowhere, event) == ["m0", "m1"]
    assert_recorded_once(shop, order_sn)


# --- trouble


@pytest.mark.parametrize("answer", ["drop", "500", "502html"])
@pytest.mark.parametrize("after_effect", [True, False])
def test_an_answer_that_gets_lost_is_asked_for(
    shop: Shop, used: tuple[str, Any], answer: str, after_effect: bool
) -> None:
    order_sn, event = used
    shop.wechat.fault("upload_shipping_info", answer, after_effect=after_effect)
    assert shop.events.deliver("upload_shipping", event) == ["m0"]
    assert record(shop, order_sn).status is ShippingStatus.UPLOADING
    shop.janitor.later(minutes=3)
    again = shop.wechat.fault("upload_shipping_info", "500") if after_effect else None
    assert shop.events.deliver("upload_shipping", event) == []
    assert again is None or again.fired == 0  # it was found, and not sent again
    assert record(shop, order_sn).why == ("found at WeChat" if after_effect else None)
    assert_recorded_once(shop, order_sn)


def test_a_record_that_get_order_does_not_show_yet_is_sent_again_unchanged(
    shop: Shop, used: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    order_sn, event = used
    shop.wechat.fault("upload_shipping_info", "drop", after_effect=True)
    assert shop.events.deliver("upload_shipping", event) == ["m0"]
    monkeypatch.setattr(MiniProgram, "order_state", lambda *_: 1)
    shop.janitor.later(minutes=3)
    assert shop.events.deliver("upload_shipping", event) == []
    assert record(shop, order_sn).why == "errcode 10060023"
    assert_recorded_once(shop, order_sn)


def test_while_wechat_cannot_say_what_became_of_it_nothing_is_sent(shop: Shop, used: tuple[str, Any]) -> None:
    order_sn, event = used
    shop.wechat.fault("upload_shipping_info", "drop", after_effect=True)
    assert shop.events.deliver("upload_shipping", event) == ["m0"]
    shop.wechat.fault("get_order", "busy")
    shop.wechat.fault("get_order", "drop")
    waits = shop.wechat.fault("upload_shipping_info", "500")
    for _ in range(2):
        assert shop.events.deliver("upload_shipping", event) == ["m0"]
    assert waits.fired == 0
    shop.wechat.world.faults.clear()
    assert shop.events.deliver("upload_shipping", event) == []
    assert_recorded_once(shop, order_sn)


def test_a_payment_that_wechat_does_not_find_yet_comes_again(shop: Shop) -> None:
    shop.records_shipping("on_payment")
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    assert len(shop.events.deliver_all()) == 1
    assert record(shop, order_sn).status is ShippingStatus.UPLOADING
    shop.janitor.come_to_rest()  # the janitor, if the queue has given up
    assert_recorded_once(shop, order_sn)
    assert shop.items.collection(order_sn).order.due_at == shop.items.collection(order_sn).order.usable_until


@pytest.mark.parametrize("answer", ["busy", "token_invalidated"])
def test_what_wechat_cannot_do_now_comes_again(shop: Shop, used: tuple[str, Any], answer: str) -> None:
    order_sn, event = used
    if answer == "busy":
        shop.wechat.fault("upload_shipping_info", answer)
        assert shop.events.deliver("upload_shipping", event) == ["m0"]
    else:
        shop.wechat.world.tokens.clear()
    assert shop.events.deliver("upload_shipping", event) == []
    assert_recorded_once(shop, order_sn)


@pytest.mark.parametrize("errcode", [10060001, 10060012, 10060019, 268485216, 40164, 48001])
def test_what_is_not_about_the_order_is_never_its_last_word(
    shop: Shop, used: tuple[str, Any], errcode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_sn, event = used
    answers(monkeypatch, errcode)
    for _ in range(2):
        assert shop.events.deliver("upload_shipping", event) == ["m0"]
    assert record(shop, order_sn).status is ShippingStatus.UPLOADING
    assert shop.items.cases() == []


def test_a_refusal_to_say_what_became_of_it_is_no_refusal_of_it(
    shop: Shop, used: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    order_sn, event = used
    shop.wechat.fault("upload_shipping_info", "drop", after_effect=True)
    assert shop.events.deliver("upload_shipping", event) == ["m0"]
    answers(monkeypatch, 10060031)
    assert shop.events.deliver("upload_shipping", event) == ["m0"]
    assert record(shop, order_sn).status is ShippingStatus.UPLOADING


def test_what_someone_else_has_recorded_is_recorded(
    shop: Shop, used: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    order_sn, event = used
    answers(monkeypatch, 10060002)
    assert shop.events.deliver("upload_shipping", event) == []
    assert (record(shop, order_sn).status, record(shop, order_sn).why) == (ShippingStatus.UPLOADED, "errcode 10060002")


def answers(monkeypatch: pytest.MonkeyPatch, errcode: int) -> None:
    """WeChat's order management answers so, whatever it is asked."""
    monkeypatch.setattr("simulator.shipping.token_error", lambda *_: error(errcode, "no"))


def test_a_final_no_is_a_case_for_a_person_once(shop: Shop, used: tuple[str, Any]) -> None:
    order_sn, event = used
    shop.wechat.world.trades[f"{order_sn}_1"].request["payer"] = {"openid": "o-another"}
    for _ in range(2):
        assert shop.events.deliver("upload_shipping", event) == []
    assert (record(shop, order_sn).status, record(shop, order_sn).why) == (ShippingStatus.REFUSED, "errcode 10060031")
    (case,) = shop.call("GET /merchant/cases", token=shop.staff.token()).json["cases"]
    assert (case["kind"], case["amount_fen"], case["detail"]) == ("shipping_refused", 0, "errcode 10060031")
    shop.janitor.come_to_rest()
    assert shop.items.collection(order_sn).order.due_at is None
    assert shop.staff.close_case(case["case"], "kept", "recorded by hand").status == 200
    assert shop.events.deliver("upload_shipping", event) == []
    assert shop.call("GET /merchant/cases", token=shop.staff.token()).json["cases"] == []
    shop.check()


def test_a_refusal_and_its_case_are_written_together_or_come_again(
    shop: Shop, used: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    order_sn, event = used
    shop.wechat.world.trades[f"{order_sn}_1"].request["payer"] = {"openid": "o-another"}
    with monkeypatch.context() as broken:
        broken.setattr(Shippings, "refuse", lambda *_: CHANGED)
        assert shop.events.deliver("upload_shipping", event) == ["m0"]
    assert (record(shop, order_sn).status, shop.items.cases()) == (ShippingStatus.UPLOADING, [])
    assert shop.events.deliver("upload_shipping", event) == []
    assert [case["kind"] for case in shop.items.cases()] == ["shipping_refused"]


# --- lost events, and others at it too


@pytest.mark.parametrize("when", ["on_payment", "on_redemption"])
def test_an_event_that_gets_lost_is_published_again(shop: Shop, when: str) -> None:
    shop.records_shipping(when)
    shop.events.lost_for = {"upload_shipping"}
    order_sn = redeemed(shop)
    shop.events.settle()
    shop.events.lost_for = set()
    assert shop.items.sort_keys("SHIPPING#") == []
    shop.janitor.come_to_rest()
    assert_recorded_once(shop, order_sn)
    assert shop.items.collection(order_sn).order.due_at is None


def test_redeeming_promises_a_look_within_minutes(shop: Shop) -> None:
    shop.records_shipping("on_redemption")
    order_sn = paid(shop)
    shop.janitor.come_to_rest()
    stay_over = shop.items.collection(order_sn).order.due_at
    shop.staff.redeem(str(shop.items.collection(order_sn).order.redeem_code))
    shop.events.lose()
    order = shop.items.collection(order_sn).order
    used_at = order.entered_at(OrderStatus.USED)
    assert order.due_at is not None
    assert stay_over is not None
    assert used_at is not None
    assert (order.due_at - used_at).total_seconds() < 301
    assert order.due_at < stay_over
    shop.janitor.later(minutes=5)
    assert shop.janitor.sweep()["orders"] == 1
    shop.events.settle()
    assert_recorded_once(shop, order_sn)


def test_what_the_janitor_publishes_may_get_lost_too(shop: Shop) -> None:
    shop.records_shipping("on_redemption")
    order_sn = redeemed(shop)
    shop.events.lose()
    shop.janitor.later(minutes=5)
    shop.janitor.sweep()
    assert [event["type"] for event in shop.events.published()] == ["order.used"]  # and nobody hears of it
    assert shop.items.collection(order_sn).order.due_at is not None
    shop.janitor.come_to_rest()
    assert_recorded_once(shop, order_sn)
    assert shop.items.collection(order_sn).order.due_at is None


def test_two_at_once_send_the_same(shop: Shop, used: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One has put the record and not heard of WeChat yet when the other comes."""
    order_sn, event = used
    real = MiniProgram.upload_shipping

    def while_another(*arguments: Any) -> None:
        monkeypatch.setattr(MiniProgram, "upload_shipping", real)
        shop.janitor.later(seconds=1)
        assert shop.events.deliver("upload_shipping", event) == []
        real(*arguments)

    monkeypatch.setattr(MiniProgram, "upload_shipping", while_another)
    assert shop.events.deliver("upload_shipping", event) == []
    assert_recorded_once(shop, order_sn)
    assert record(shop, order_sn).version == 2


def test_a_second_attempt_that_read_too_early_takes_what_stands(
    shop: Shop, used: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    order_sn, event = used
    early = shop.items.collection(order_sn)
    assert shop.events.deliver("upload_shipping", event) == []
    shop.janitor.later(minutes=1)
    with monkeypatch.context() as late:
        late.setattr(shop.store, "collection", lambda *_, **__: early)
        assert shop.events.deliver("upload_shipping", event) == []
    assert_recorded_once(shop, order_sn)
    assert record(shop, order_sn).version == 2


def test_a_mode_that_does_not_exist_is_told() -> None:
    with pytest.raises(Misconfigured, match="off, on_payment, on_redemption"):
        _ = Settings({"SHIPPING_RECORD": "always"}).shipping_record
    assert Settings({}).shipping_record == "off"
