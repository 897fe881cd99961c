"""publish_events, order_update and notify_user: at least once, in any order, with poison between."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from functions.notify_user import app as notify_user
from payments.domain.guest_messages import LEASE, Delivery
from payments.domain.message import Fields, fill
from payments.domain.order import REDEEM_ALPHABET, OrderStatus
from payments.domain.times import iso, utc_now
from payments.edge.topic import Topic
from payments.store.dynamodb import unwire
from payments.wechat.mini_program import MiniProgram
from simulator.faults import REFUSALS
from simulator.world import Fault
from tests.shop.aws import client

if TYPE_CHECKING:
    from tests.shop import Shop


@pytest.fixture
def booked(shop: "Shop") -> tuple[str, str]:
    """(token, order_sn) of an order whose payment is booked, and whose event nobody has heard yet."""
    token, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    return token, order_sn


def succeeded(order_sn: str, n: int = 1) -> dict[str, Any]:
    return {
        "id": f"ORDER#{order_sn}/PAYMENT#{n}@3",
        "type": "payment.succeeded",
        "time": iso(utc_now()),
        "order_sn": order_sn,
        "state": {"status": "SUCCESS", "n": n, "total_fen": 89600, "success_time": iso(utc_now())},
    }


def order_paid(order_sn: str) -> dict[str, Any]:
    return succeeded(order_sn) | {
        "id": f"ORDER#{order_sn}/ORDER@2",
        "type": "order.paid",
        "state": {"status": "WAIT_USE"},
    }


def notice_of(shop: "Shop", order_sn: str) -> dict[str, Any]:
    items = [unwire(item) for item in shop.items.all() if item["sk"]["S"] == "NOTICE#order.paid"]
    return {name: message["state"] for name, message in items[0]["messages"].items()} if items else {}


# --- publish_events


def test_a_paid_order_makes_two_events_with_ids_that_stay(shop: "Shop", booked: tuple[str, str]) -> None:
    (event,) = shop.events.published()
    assert (event["type"], event["id"]) == ("payment.succeeded", f"ORDER#{booked[1]}/PAYMENT#1@3")
    assert shop.events.deliver("order_update", event) == []
    (event,) = shop.events.published()
    assert (event["type"], event["id"]) == ("order.paid", f"ORDER#{booked[1]}/ORDER@2")
    assert "openid" not in json.dumps(event)
    assert "redeem_code" not in json.dumps(event)


def test_publishing_raises_at_the_first_failure_so_that_the_batch_comes_again(
    shop: "Shop", booked: tuple[str, str]
) -> None:
    records = shop.events.records()
    gone = Topic(client("sns"), "arn:aws:sns:us-east-1:123456789012:gone")
    with pytest.raises(ClientError):
        shop.run("publish_events", {"Records": records}, replace(shop.parts, publish=gone.publish))
    shop.events.again()
    assert len(shop.events.published()) == 1


def test_what_is_no_change_of_state_publishes_nothing(shop: "Shop") -> None:
    shop.run("publish_events", {"Records": [{"eventName": "REMOVE", "dynamodb": {"ApproximateCreationDateTime": 1}}]})
    assert shop.events.published() == []


def test_the_event_in_the_repository_is_published(shop: "Shop") -> None:
    assert shop.events.published() == []  # a queue listens from here on
    with open("events/publish_events/payment_succeeded.json") as file:
        shop.run("publish_events", json.load(file))
    assert [event["type"] for event in shop.events.published()] == ["payment.succeeded"]


# --- order_update


def test_a_paid_order_gets_its_code_and_knows_what_paid_it(shop: "Shop", booked: tuple[str, str]) -> None:
    assert shop.events.deliver("order_update", succeeded(booked[1])) == []
    order = shop.items.collection(booked[1]).order
    assert (order.status, order.paid_by, order.refundable_fen) == (OrderStatus.WAIT_USE, 1, order.total_fen)
    assert order.redeem_code is not None
    assert len(order.redeem_code) == 10
    assert set(order.redeem_code) <= set(REDEEM_ALPHABET)
    assert len(set(REDEEM_ALPHABET) - set("01OI")) == 32
    assert order.paid_at is not None


def test_the_same_event_again_changes_nothing(shop: "Shop", booked: tuple[str, str]) -> None:
    for _ in range(3):
        assert shop.events.deliver("order_update", succeeded(booked[1])) == []
    assert shop.items.collection(booked[1]).order.version == 2
    assert shop.items.sort_keys("REFUND#") == []


def test_an_order_that_is_being_closed_is_paid_all_the_same(shop: "Shop", booked: tuple[str, str]) -> None:
    shop.items.set_order(booked[1], closing=True)
    assert shop.events.deliver("order_update", succeeded(booked[1])) == []
    assert shop.items.collection(booked[1]).order.status is OrderStatus.WAIT_USE


def test_late_money_asks_for_its_refund_once_and_leaves_the_order(shop: "Shop", booked: tuple[str, str]) -> None:
    shop.items.set_order(booked[1], status=OrderStatus.CANCELLED)
    for _ in range(2):
        assert shop.events.deliver("order_update", succeeded(booked[1])) == []
    assert shop.items.sort_keys("REFUND#") == [f"REFUND#{booked[1]}_1_R1"]
    (refund,) = [unwire(item) for item in shop.items.all() if item["sk"]["S"].startswith("REFUND#")]
    assert (refund["origin"], refund["amount_fen"], refund["status"]) == ("late", 89600, "REQUESTED")
    order = shop.items.collection(booked[1]).order
    assert (order.status, order.paid_by, order.redeem_code) == (OrderStatus.CANCELLED, None, None)
    assert {event["type"] for event in shop.events.published()} >= {"refund.requested"}


def test_second_money_asks_for_its_refund(shop: "Shop", booked: tuple[str, str]) -> None:
    shop.items.set_order(booked[1], status=OrderStatus.WAIT_USE, paid_by=2)
    assert shop.events.deliver("order_update", succeeded(booked[1])) == []
    (refund,) = [unwire(item) for item in shop.items.all() if item["sk"]["S"].startswith("REFUND#")]
    assert refund["origin"] == "second"


def test_events_that_are_not_its_own_pass(shop: "Shop", booked: tuple[str, str]) -> None:
    assert shop.events.deliver("order_update", succeeded(booked[1]) | {"type": "payment.closed"}) == []
    assert shop.items.collection(booked[1]).order.status is OrderStatus.WAIT_PAY


def test_poison_between_good_messages_fails_alone(
    shop: "Shop", booked: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    no_order = succeeded("HSO0000000000000000000000")
    no_trade = {**succeeded(booked[1]), "state": {"status": "SUCCESS"}}
    failed = shop.events.deliver("order_update", "{secret-body", no_order, succeeded(booked[1]), no_trade)
    assert failed == ["m0", "m1", "m3"]
    assert shop.items.collection(booked[1]).order.status is OrderStatus.WAIT_USE
    assert "secret-body" not in str([vars(record) for record in caplog.records])


def test_money_of_a_payment_that_is_not_there_fails_and_is_kept(shop: "Shop", booked: tuple[str, str]) -> None:
    shop.items.set_order(booked[1], status=OrderStatus.CANCELLED)
    assert shop.events.deliver("order_update", succeeded(booked[1], n=9)) == ["m0"]


# --- notify_user


@pytest.fixture
def paid(shop: "Shop", booked: tuple[str, str]) -> str:
    """The order_sn of an order that is paid, and whose guest has not been told yet."""
    assert shop.events.deliver("order_update", succeeded(booked[1])) == []
    return booked[1]


def test_a_paid_order_sends_two_messages_once(shop: "Shop", paid: str) -> None:
    for _ in range(3):
        assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert [message["template_id"] for message in shop.wechat.world.messages] == ["template-confirmed", "template-code"]
    code = shop.items.collection(paid).order.redeem_code
    assert shop.wechat.world.messages[1]["data"]["character_string4"] == {"value": code}
    assert notice_of(shop, paid) == {"order_confirmed": "sent", "check_in_code": "sent"}


def test_a_user_who_refuses_messages_is_an_answer_and_not_a_failure(shop: "Shop", paid: str) -> None:
    shop.wechat.world.user("guest-1").refuses_messages = True
    for _ in range(2):
        assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert list(shop.wechat.world.messages) == []
    assert notice_of(shop, paid) == {"order_confirmed": "refused", "check_in_code": "refused"}


@pytest.mark.parametrize("answer", ["500", "502html", "drop"])
def test_a_message_without_an_answer_is_never_sent_again(shop: "Shop", paid: str, answer: str) -> None:
    shop.wechat.world.faults.append(Fault(call="send", answer=answer, after_effect=True))
    for _ in range(2):
        assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert notice_of(shop, paid) == {"order_confirmed": "unknown", "check_in_code": "sent"}
    assert len(shop.wechat.world.messages) == 2


def test_a_message_that_surely_was_not_sent_comes_again(shop: "Shop", paid: str) -> None:
    shop.wechat.world.faults.append(Fault(call="stable_token", answer="500"))
    assert shop.events.deliver("notify_user", order_paid(paid)) == ["m0"]
    assert notice_of(shop, paid) == {"order_confirmed": "waiting"}
    assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert notice_of(shop, paid) == {"order_confirmed": "sent", "check_in_code": "sent"}
    assert len(shop.wechat.world.messages) == 2


def test_a_token_that_wechat_no_longer_takes_is_replaced_once(shop: "Shop", paid: str) -> None:
    assert shop.events.deliver("notify_user", order_paid(paid)) == []
    first = shop.wechat.world.current_token
    shop.wechat.world.tokens.clear()
    shop.wechat.world.messages.clear()
    token = shop.guest.login("guest-2")
    order_sn = shop.guest.order(token)
    shop.guest.cashier(shop.guest.prepay(token, order_sn))
    shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1"))
    shop.events.settle()
    assert len(shop.wechat.world.messages) == 2
    assert shop.wechat.world.current_token != first
    stored = shop.store.access_tokens.get(shop.wechat.world.credentials.appid)
    assert stored is not None
    assert stored.access_token == shop.wechat.world.current_token


def test_a_token_that_another_process_renewed_is_taken_from_the_table(shop: "Shop", paid: str) -> None:
    mine, appid = shop.parts, shop.wechat.world.credentials.appid
    assert shop.events.deliver("notify_user", order_paid(paid)) == []
    first = shop.store.access_tokens.get(appid)
    shop.deploy()  # another process: it finds its token refused, and renews it
    theirs = shop.parts
    shop.wechat.world.tokens.clear()
    assert theirs.mini_program.order_state("4200", utc_now()) is None
    second = shop.store.access_tokens.get(appid)
    assert second != first
    assert mine.mini_program.order_state("4200", utc_now()) is None  # with the token that this process still has
    assert shop.store.access_tokens.get(appid) == second


def test_an_expired_token_in_the_table_is_renewed(shop: "Shop", paid: str) -> None:
    appid = shop.wechat.world.credentials.appid
    assert shop.events.deliver("notify_user", order_paid(paid)) == []
    first = shop.store.access_tokens.get(appid)
    assert first is not None
    later = first.expires_at + timedelta(seconds=1)
    shop.wechat.world.clock.advance(7000)
    assert shop.parts.mini_program.order_state("4200", later) is None
    second = shop.store.access_tokens.get(appid)
    assert second is not None
    assert second.expires_at > later


ABOUT_US = ["wrong_field", "wrong_template", "no_right", "no_quota"]


@pytest.mark.parametrize("answer", ABOUT_US)
def test_what_is_about_us_ends_no_message_and_rings(
    shop: "Shop", paid: str, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It comes again until it is mended, and the other message does not wait for it."""
    fault = shop.wechat.fault("send", answer, times=1)
    assert shop.events.deliver("notify_user", order_paid(paid)) == ["m0"]
    assert notice_of(shop, paid) == {"order_confirmed": "waiting", "check_in_code": "sent"}
    assert '"NotifyBlocked":[1.0]' in capsys.readouterr().out.replace(" ", "")
    fault.times = 9
    for _ in range(3):
        assert shop.events.deliver("notify_user", order_paid(paid)) == ["m0"]
    fault.times = 0
    assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert notice_of(shop, paid) == {"order_confirmed": "sent", "check_in_code": "sent"}
    assert len(shop.wechat.world.messages) == 2


def test_a_field_that_wechat_wants_otherwise_is_about_us(
    shop: "Shop", paid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_title(kinds: Any, fields: Fields, values: Any) -> dict[str, str]:
        data = fill(kinds, fields, values)
        return data | {"thing1": ""} if ("title", "thing1") in fields else data

    with monkeypatch.context() as wrong:
        wrong.setattr("functions.notify_user.app.fill", without_title)
        for _ in range(2):
            assert shop.events.deliver("notify_user", order_paid(paid)) == ["m0"]
    assert notice_of(shop, paid) == {"order_confirmed": "waiting", "check_in_code": "sent"}
    assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert notice_of(shop, paid) == {"order_confirmed": "sent", "check_in_code": "sent"}


@pytest.mark.parametrize(
    "errcode", [47003, 48001, 40037, 43107, 45009, 40164, 61004, 40013, 47001, 45168, 41030, 99999]
)
def test_a_code_that_is_not_about_a_guest_is_about_us(
    shop: "Shop", paid: str, monkeypatch: pytest.MonkeyPatch, errcode: int
) -> None:
    monkeypatch.setitem(REFUSALS, "wrong_field", (errcode, "no"))
    shop.wechat.fault("send", "wrong_field", times=9)
    assert shop.events.deliver("notify_user", order_paid(paid)) == ["m0"]
    assert notice_of(shop, paid) == {"order_confirmed": "waiting", "check_in_code": "waiting"}


@pytest.mark.parametrize(
    "answer", [pytest.param(one, marks=[] if one == ABOUT_US[0] else [pytest.mark.long]) for one in ABOUT_US]
)
def test_what_is_about_us_is_asked_seldomer_and_seldomer_and_goes_out_when_it_is_mended(
    shop: "Shop", answer: str
) -> None:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    fault = shop.wechat.fault("send", answer, times=10**6)
    shop.events.deliver_all()
    for _ in range(60):
        shop.janitor.later(minutes=1)
        shop.janitor.sweep()
        shop.events.deliver_all()
    assert 4 <= fault.fired <= 2 * 8  # two messages, at 0, 2, 4, 8 ... minutes
    fault.times = 0
    for _ in range(70):
        shop.janitor.later(minutes=1)
        shop.janitor.sweep()
        shop.events.deliver_all()
    assert len(shop.wechat.world.messages) == 2
    shop.check()


def test_a_token_that_never_serves_keeps_the_message_waiting(
    shop: "Shop", paid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.mini_program.stable_token", lambda *_: {"access_token": "x", "expires_in": 7200})
    assert shop.events.deliver("notify_user", order_paid(paid)) == ["m0"]
    assert notice_of(shop, paid) == {"order_confirmed": "waiting"}


def test_a_missing_setting_keeps_the_message_waiting(shop: "Shop", paid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.deploy(ORDER_CONFIRMED_TEMPLATE_ID="")
    assert shop.events.deliver("notify_user", order_paid(paid)) == ["m0"]
    assert notice_of(shop, paid) == {"order_confirmed": "waiting"}


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("ORDER_CONFIRMED_FIELDS", "tittle=thing1", "there is no value 'tittle'"),
        ("CHECK_IN_CODE_FIELDS", "code=thin1", "WeChat has no type 'thin'"),
        ("REFUND_FIELDS", "refunded_at=amount2", "a moment never fits amount"),
        ("REFUND_FIELDS", "", "REFUND_FIELDS is not set"),
        ("MESSAGE_PAGE", "/pages/order", "is no page"),
    ],
)
def test_a_mapping_that_cannot_work_keeps_the_messages_waiting_and_says_what_to_do(
    shop: "Shop",
    paid: str,
    caplog: pytest.LogCaptureFixture,
    variable: str,
    value: str,
    why: str,
) -> None:
    right = shop.settings[variable]
    shop.deploy(**{variable: value})
    for _ in range(2):
        assert shop.events.deliver("notify_user", order_paid(paid)) == ["m0"]
    shop.deploy(**{variable: right})
    assert notice_of(shop, paid) == {"order_confirmed": "waiting"}
    stored = unwire(next(item for item in shop.items.all() if item["sk"]["S"] == "NOTICE#order.paid"))["messages"]
    kept = stored["order_confirmed"]["why"]
    assert kept.startswith(variable)
    assert len(kept.encode()) <= notify_user.MAX_WHY
    said = [str(record.__dict__.get("why", "")) for record in caplog.records]
    assert any(variable in one and why in one for one in said)
    assert list(shop.wechat.world.messages) == []
    assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert len(shop.wechat.world.messages) == 2


def test_a_team_says_where_its_fields_are(shop: "Shop", paid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.deploy(ORDER_CONFIRMED_FIELDS="order_sn=character_string1,status=phrase8,nights=number3")
    assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert shop.wechat.world.messages[0]["data"] == {
        "character_string1": {"value": paid},
        "phrase8": {"value": "支付成功"},
        "number3": {"value": "2"},
    }


def test_a_tap_on_a_message_opens_the_order(shop: "Shop", paid: str) -> None:
    assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert [message["page"] for message in shop.wechat.world.messages] == [f"pages/order/order?order_sn={paid}"] * 2


def test_without_a_page_a_tap_opens_nothing(shop: "Shop", paid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.deploy(MESSAGE_PAGE="")
    no_page = shop.wechat.fault("send", "no_page")
    assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert [message.get("page") for message in shop.wechat.world.messages] == [None, None]
    assert no_page.fired == 0


def test_a_page_that_is_not_released_does_not_keep_the_message(shop: "Shop", paid: str) -> None:
    shop.wechat.fault("send", "no_page")
    assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert ["page" in message for message in shop.wechat.world.messages] == [False, True]
    stored = unwire(next(item for item in shop.items.all() if item["sk"]["S"] == "NOTICE#order.paid"))["messages"]
    assert (stored["order_confirmed"]["state"], stored["check_in_code"]["state"]) == ("sent", "sent")
    assert "without its page" in stored["order_confirmed"]["why"]


def test_a_send_without_its_page_whose_answer_is_lost_is_not_sent_again(shop: "Shop", paid: str) -> None:
    """The first try surely did nothing; the second one may have."""
    shop.wechat.fault("send", "no_page")
    shop.wechat.fault("send", "drop", after_effect=True, times=2)  # the answer of the first is lost too
    for _ in range(2):
        assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert notice_of(shop, paid)["order_confirmed"] == "unknown"
    assert len(shop.wechat.world.messages) == len({str(m["data"]) for m in shop.wechat.world.messages})


def test_a_bad_token_secret_keeps_the_message_waiting(shop: "Shop", paid: str) -> None:
    secret = shop.wechat.world.credentials.app_secret
    object.__setattr__(shop.wechat.world.credentials, "app_secret", "another-secret-now")
    try:
        assert shop.events.deliver("notify_user", order_paid(paid)) == ["m0"]
    finally:
        object.__setattr__(shop.wechat.world.credentials, "app_secret", secret)
    assert notice_of(shop, paid) == {"order_confirmed": "waiting"}


def test_nobody_sends_beside_a_living_attempt_and_a_dead_one_leaves_unknown(
    shop: "Shop", paid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(MiniProgram, "send_message", killed)
        with pytest.raises(SystemExit):
            shop.events.deliver("notify_user", order_paid(paid))
    assert notice_of(shop, paid) == {"order_confirmed": "sending"}
    assert shop.events.deliver("notify_user", order_paid(paid)) == ["m0"]
    shop.janitor.later(seconds=LEASE.total_seconds())
    assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert notice_of(shop, paid) == {"order_confirmed": "unknown", "check_in_code": "sent"}
    assert len(shop.wechat.world.messages) == 1
    assert Delivery.UNKNOWN.final


def test_an_order_that_is_no_longer_waiting_to_be_used_is_not_told_its_code(shop: "Shop", paid: str) -> None:
    shop.items.set_order(paid, status=OrderStatus.REFUNDED)
    assert shop.events.deliver("notify_user", order_paid(paid)) == []
    assert list(shop.wechat.world.messages) == []


def test_other_events_pass_and_poison_fails_alone(shop: "Shop", paid: str) -> None:
    unknown = order_paid("HSO0000000000000000000000")
    other = order_paid(paid) | {"type": "order.used"}
    assert shop.events.deliver("notify_user", "{", unknown, other, order_paid(paid)) == ["m0", "m1"]
    assert len(shop.wechat.world.messages) == 2
