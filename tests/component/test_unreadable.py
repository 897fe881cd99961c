"""What cannot be read: a list leaves it out, a single read says so, no money is decided past it, and it rings."""

import base64
import json
import re
from dataclasses import fields, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from functions.wx_callback.app import unreadable_case
from local.__main__ import app as dev
from local.stack import Stack
from payments.domain.order import Order, OrderStatus
from payments.domain.payment import Payment, PaymentStatus
from payments.domain.refund import Refund, RefundOrigin, automatic_refund
from payments.edge.events import derive
from payments.edge.tokens import EVERY_BUSINESS
from payments.products.homestay.offer import HOMESTAY, Homestay
from payments.store import keys
from payments.store.dynamodb import UnreadableItem, typed, unwire
from simulator.notification import Signed, signature_headers
from simulator.pay import describe
from simulator.signing import seal
from tests.examples import HOME, NOW, order, paid_payment, payment
from tests.shop.guest import new_order

if TYPE_CHECKING:
    from tests.shop import Shop


@pytest.fixture
def rung(capsys: pytest.CaptureFixture[str]) -> Any:
    """How often the metric that rings was written since the last look, whichever function wrote it."""

    def count() -> int:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        return sum(
            sum(line["UnreadableItem"]) for line in lines if "UnreadableItem" in line and line["service"] == "any"
        )

    return count


# --- reading an item


KINDS: dict[str, tuple[Any, Any]] = {
    "order": (Order, order(status=OrderStatus.WAIT_USE, paid_by=1, refundable_fen=89600, paid_at=NOW)),
    "payment": (Payment, payment(prepay_id="wx1", prepay_expires_at=NOW)),
    "refund": (Refund, automatic_refund(paid_payment(), RefundOrigin.LATE, NOW)),
    "home": (Homestay, HOME),
}
WRONG: dict[type, list[Any]] = {
    int: [Decimal("388.5"), Decimal("-0.5"), "388", True, None, [1], Decimal(10) ** 30, {}],
    str: [Decimal(7), True, None, ["a"], b"x", {}],
    bool: ["true", Decimal(1), None],
}


def item(kind: str) -> dict[str, Any]:
    from payments.store.dynamodb import wire

    return {"pk": "ORDER#x", "sk": "ORDER", **unwire(wire({"v": KINDS[kind][1]}))["v"]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_item_is_read_and_what_it_has_more_is_ignored(kind: str) -> None:
    cls, value = KINDS[kind]
    assert typed(cls, item(kind) | {"of_a_newer_version": {"x": Decimal(1)}}) == value


@pytest.mark.parametrize("kind", KINDS)
def test_no_value_of_another_type_is_taken_cut_or_guessed(kind: str) -> None:
    cls, good = KINDS[kind][0], item(kind)
    optional = {field.name for field in fields(cls) if field.default is None}
    tried = 0
    for name, value in good.items():
        if name in ("pk", "sk", "at", "purchase"):
            continue
        for wrong in WRONG[type(int(value)) if isinstance(value, Decimal) else type(value)]:
            if wrong is None and name in optional:
                continue  # may be none
            with pytest.raises(UnreadableItem) as refused:
                typed(cls, good | {name: wrong})
            assert refused.value.attribute in (name, "as a whole")
            tried += 1
    assert tried > 20


@pytest.mark.parametrize(
    ("kind", "changes", "attribute"),
    [
        ("order", {"total_fen": Decimal(-1)}, "total_fen"),
        ("order", {"total_fen": Decimal(10) ** 14}, "total_fen"),
        ("order", {"status": "ARCHIVED"}, "status"),
        ("order", {"created_at": "2026-11-23T04:00:00"}, "created_at"),
        ("order", {"created_at": "soon"}, "created_at"),
        ("order", {"purchase": "a stay"}, "purchase"),
        ("order", {"purchase": {"people": Decimal("1.5")}}, "purchase"),
        ("order", {"purchase": {"nights": [None]}}, "purchase"),
        ("order", {"at": {"USED": Decimal("1.5")}}, "at"),
        ("payment", {"payer_total_fen": Decimal("0.1")}, "payer_total_fen"),
        ("refund", {"origin": "gift"}, "origin"),
        ("refund", {"amount_fen": Decimal("1E+3")}, ""),
        ("home", {"price_fen": Decimal(0)}, "as a whole"),
        ("home", {"title": "长" * 33}, "as a whole"),
    ],
)
def test_what_is_wrong_is_named_without_its_value(kind: str, changes: dict[str, Any], attribute: str) -> None:
    cls = KINDS[kind][0]
    if not attribute:
        assert typed(cls, item(kind) | changes).amount_fen == 1000
        return
    with pytest.raises(UnreadableItem) as refused:
        typed(cls, item(kind) | changes)
    assert refused.value.attribute == attribute
    assert not [value for value in changes.values() if isinstance(value, str) and value in str(refused.value)]


@pytest.mark.parametrize("kind", ["order", "payment", "refund"])
@pytest.mark.parametrize("missing", ["order_sn", "status", "version", "total_fen"])
def test_an_attribute_that_is_missing_is_named(kind: str, missing: str) -> None:
    with pytest.raises(UnreadableItem, match=f"{missing} is missing"):
        typed(KINDS[kind][0], {name: value for name, value in item(kind).items() if name != missing})


# --- the catalogue


def bad_home(shop: "Shop", homestay_id: str = "bad", **changes: Any) -> None:
    shop.store.catalogue.put(HOMESTAY.catalogue, replace(HOME, homestay_id=homestay_id))
    shop.items.change_raw(f"OFFER#homestay#{homestay_id}", "OFFER", **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"price_fen": Decimal("388.5")},
        {"price_fen": "38800"},
        {"food_price_fen": Decimal("-1")},
        {"title": "长" * 33},
        {"title": None},
        {"capacity": Decimal("2.5")},
        {"on_sale": "yes"},
    ],
)
def test_a_bad_home_hides_no_other_and_is_not_sold(shop: "Shop", rung: Any, changes: dict[str, Any]) -> None:
    bad_home(shop, **changes)
    token = shop.guest.login()
    rung()
    reply = shop.call("GET /catalogue/{service_type}", token=token)
    assert (reply.status, [home["homestay_id"] for home in reply.json["offers"]]) == (200, [HOME.homestay_id])
    assert rung() == 1
    refused = shop.call("POST /orders", new_order(homestay_id="bad"), token=token)
    assert (refused.status, refused.json["type"], refused.headers["retry-after"]) == (503, "urn:wxpay:unreadable", "60")
    assert rung() == 1
    assert shop.items.sort_keys("ORDER") == []


def test_a_home_under_a_key_of_another_is_left_out(shop: "Shop", rung: Any) -> None:
    whole = shop.items.client.get_item(
        TableName="table", Key={"pk": {"S": f"OFFER#homestay#{HOME.homestay_id}"}, "sk": {"S": "OFFER"}}
    )["Item"]
    shop.items.client.put_item(
        TableName="table", Item=whole | {"pk": {"S": "HOMESTAY#lake-house"}, "sk": {"S": "HOMESTAY"}}
    )
    reply = shop.call("GET /catalogue/{service_type}", token=shop.guest.login())
    assert len(reply.json["offers"]) == 1
    assert rung() == 1


# --- orders


def test_a_list_leaves_out_an_order_of_a_newer_version_and_goes_on(
    shop: "Shop", rung: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("functions.orders.app", "payments.domain.order"):
        monkeypatch.setattr(f"{module}.NEW_ORDERS", 100)
    token = shop.guest.login()
    numbers = [shop.guest.order(token, remark=str(n)) for n in range(22)]
    for number, order_sn in enumerate(numbers):
        shop.items.change_raw(f"ORDER#{order_sn}", "ORDER", created_at=f"2026-11-23T04:00:{number:02d}.000Z")
    shop.items.change_raw(f"ORDER#{numbers[2]}", "ORDER", status="ARCHIVED")  # the last one of the first page
    shop.items.change_raw(f"ORDER#{numbers[9]}", "ORDER", total_fen=Decimal("1.5"))
    rung()
    first = shop.call("GET /orders", token=token)
    assert (first.status, len(first.json["orders"])) == (200, 18)
    assert rung() == 2
    query: dict[str, Any] = {"queryStringParameters": {"before": first.json["next"]}, "rawQueryString": "before=x"}
    second = shop.call("GET /orders", token=token, **query)
    assert {one["order_sn"] for one in second.json["orders"]} == set(numbers[:2])
    assert second.json["next"] is None


ROUTES_OF_A_GUEST: list[tuple[str, Any]] = [
    ("GET /orders/{order_sn}", None),
    ("POST /orders/{order_sn}/cancel", None),
    ("POST /orders/{order_sn}/prepay", {}),
    ("GET /orders/{order_sn}/payment", None),
]


@pytest.mark.parametrize(("route", "body"), ROUTES_OF_A_GUEST)
def test_an_order_that_cannot_be_read_is_503_to_its_guest_and_404_to_others(
    shop: "Shop", rung: Any, route: str, body: Any
) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    shop.items.change_raw(f"ORDER#{order_sn}", "ORDER", status="ARCHIVED")
    rung()
    mine = shop.call(route, body, token=token, order_sn=order_sn)
    assert (mine.status, mine.json["type"]) == (503, "urn:wxpay:unreadable")
    assert "charged" not in str(mine.json)
    assert rung() == 1
    theirs = shop.call(route, body, token=shop.guest.login("guest-2"), order_sn=order_sn)
    assert (theirs.status, theirs.json["type"]) == (404, "urn:wxpay:not-found")


@pytest.mark.parametrize("sk", ["ORDER", "PAYMENT#1"])
def test_staff_of_its_business_hear_that_it_cannot_be_read(shop: "Shop", sk: str) -> None:
    _, order_sn = shop.guest.paid_order()
    shop.items.change_raw(f"ORDER#{order_sn}", sk, total_fen="much")
    route = "GET /merchant/orders/{order_sn}"
    for business, status in ((HOME.business_id, 503), (EVERY_BUSINESS, 503), ("b-elsewhere", 404)):
        assert shop.call(route, token=shop.staff.token(business), order_sn=order_sn).status == status
    assert shop.staff.refund(order_sn).status == 503
    body = {"code": order_sn}
    assert shop.call("POST /merchant/lookups", body, token=shop.staff.token()).status == 503


def test_a_code_of_an_order_that_cannot_be_read_is_not_called_unknown(shop: "Shop") -> None:
    _, order_sn = shop.guest.settled_order()
    code = shop.items.collection(order_sn).order.redeem_code
    assert code is not None
    shop.items.change_raw(f"ORDER#{order_sn}", "ORDER", used_by=Decimal(1))
    assert shop.staff.redeem(code).status == 503


@pytest.mark.parametrize("sk", ["NOTICE#order.paid", "CASE#mispaid#1", "SHIPPING#1"])
def test_what_is_not_money_does_not_stop_the_order(shop: "Shop", rung: Any, sk: str) -> None:
    token, order_sn = shop.guest.paid_order()
    shop.items.put_raw(pk=f"ORDER#{order_sn}", sk=sk, version=Decimal("0.5"))
    rung()
    assert shop.guest.poll(token, order_sn)["payment_status"] == "SUCCESS"
    assert rung() >= 1
    assert shop.call("GET /merchant/orders/{order_sn}", token=shop.staff.token(), order_sn=order_sn).status == 200


def test_a_notice_that_cannot_be_read_sends_nothing_twice(shop: "Shop") -> None:
    _, order_sn = shop.guest.settled_order()
    sent = len(shop.wechat.world.messages)
    shop.items.change_raw(f"ORDER#{order_sn}", "NOTICE#order.paid", version="two")
    event = {
        "id": f"ORDER#{order_sn}/ORDER@2",
        "type": "order.paid",
        "time": "2026-11-23T04:00:00Z",
        "order_sn": order_sn,
        "state": {"status": "WAIT_USE"},
    }
    assert shop.events.deliver("notify_user", event) == ["m0"]
    assert len(shop.wechat.world.messages) == sent


def test_a_case_that_cannot_be_read_hides_no_other(shop: "Shop", rung: Any) -> None:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1", plaintext={"mchid": "1900000000"})).status == 204
    shop.items.put_raw(
        pk="TRADE#x", sk="CASE#mispaid#x", case_open="OPEN", opened_at="2026-11-23T04:00:00Z", kind="mispaid"
    )
    rung()
    reply = shop.call("GET /merchant/cases", token=shop.staff.token(EVERY_BUSINESS))
    assert (reply.status, [case["kind"] for case in reply.json["cases"]]) == (200, ["mispaid"])
    assert rung() >= 1


def test_the_janitor_goes_on_past_an_order_that_cannot_be_read(shop: "Shop", rung: Any) -> None:
    token = shop.guest.login()
    bad, good = shop.guest.order(token), shop.guest.order(token, remark="good")
    shop.items.change_raw(f"ORDER#{bad}", "ORDER", total_fen=Decimal("1.5"))
    shop.items.put_raw(pk="ORDER#HSO1", sk="ORDER", due_shard="1", due_at="0000")
    shop.janitor.later(minutes=31)
    rung()
    told = shop.janitor.sweep()
    assert (told["orders"], told["failed"]) == (1, 1)
    assert rung() >= 2
    assert shop.store.orders.get(good) is not None
    assert shop.items.collection(good).order.status is OrderStatus.CANCELLED


def test_an_order_that_cannot_be_read_fails_its_own_event_and_rings(shop: "Shop", rung: Any) -> None:
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    (event,) = shop.events.published()
    shop.items.change_raw(f"ORDER#{order_sn}", "ORDER", status="ARCHIVED")
    rung()
    assert shop.events.deliver("order_update", event) == ["m0"]
    assert rung() == 1


# --- WeChat's report meets what cannot be read


def test_money_of_a_payment_that_cannot_be_read_is_a_case_with_its_sum(shop: "Shop", rung: Any) -> None:
    _, order_sn = shop.guest.paid_order()
    shop.items.change_raw(f"ORDER#{order_sn}", "PAYMENT#1", total_fen=Decimal("896.5"))
    rung()
    signed = shop.wechat.notice(f"{order_sn}_1")
    for _ in range(2):
        assert shop.wechat.notify(signed).status == 204
    (case,) = shop.items.cases()
    assert (case["kind"], case["amount_fen"], case["currency"]) == ("unreadable", 89600, "CNY")
    assert "total_fen" in case["detail"]
    assert rung() == 2
    shop.items.change_raw(f"ORDER#{order_sn}", "PAYMENT#1", total_fen=Decimal(89600))
    shop.check()


def test_two_notices_without_an_id_are_two_cases_with_their_sums(shop: "Shop") -> None:
    _, order_sn = shop.guest.paid_order()
    trade = f"{order_sn}_1"
    for total in (100, 200, 200):
        wrong = {"amount": {"total": total, "currency": "CNY"}, "transaction_id": "", "out_trade_no": ""}
        assert shop.wechat.notify(without_id(shop, trade, wrong)).status == 204
    assert sorted((case["amount_fen"], case["currency"]) for case in shop.items.cases()) == [(100, "CNY"), (200, "CNY")]
    assert len({case["case_id"] for case in shop.items.cases()}) == 2


def without_id(shop: "Shop", trade: str, plaintext: dict[str, Any], notice_id: Any = None) -> Any:
    """A verified notice whose envelope has this id, or none."""
    said = json.dumps(
        describe(shop.wechat.world.trades[trade]) | plaintext
    ).encode()  # \ud83d stands as it is written here
    envelope = json.loads(shop.wechat.notice(trade).body)
    envelope["resource"] |= seal(shop.wechat.world.credentials.apiv3_key, said, "transaction")
    del envelope["id"]
    body = json.dumps(envelope | ({} if notice_id is None else {"id": notice_id})).encode()
    return Signed(signature_headers(shop.wechat.world, body), body)


ODD_IDS = [["a"], {"a": 1}, 7, True, "", "x" * 1000, "a#b", "a\nb", "\ud83d", "\x00", "😢", "a/b", "../..", "a b", None]


@pytest.mark.parametrize("odd", ODD_IDS)
def test_a_notice_with_an_odd_id_and_numbers_is_a_case_that_staff_can_close(shop: "Shop", odd: Any) -> None:
    _, order_sn = shop.guest.paid_order()
    wrong = {"out_trade_no": odd, "transaction_id": odd, "trade_state": odd, "amount": {"total": 896, "currency": odd}}
    assert shop.wechat.notify(without_id(shop, f"{order_sn}_1", wrong, odd)).status == 204
    (case,) = shop.items.cases()
    assert (case["kind"], case["amount_fen"]) == ("unreadable", 896)
    owner = shop.staff.token(EVERY_BUSINESS)
    (told,) = shop.call("GET /merchant/cases", token=owner).json["cases"]
    assert re.fullmatch("[0-9A-Za-z_-]{1,300}", told["case"])
    assert shop.call("GET /merchant/cases/{case_id}", token=owner, case=told["case"]).json["amount_fen"] == 896


words: Any = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=90),
    st.lists(st.text(max_size=3), max_size=2),
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"id": words, "event_type": words},
            optional=dict.fromkeys(("out_trade_no", "transaction_id", "trade_state", "amount", "appid"), words),
        ),
        max_size=6,
    )
)
def test_different_notices_have_different_keys_and_every_key_is_good(notices: list[dict[str, Any]]) -> None:
    made: dict[str, Any] = {}
    for one in notices:
        case = unreadable_case(one, one, "why", NOW)
        key = f"{case.out_trade_no}\n{case.kind}\n{case.case_id}"
        assert len(base64.urlsafe_b64encode(key.encode())) <= 300
        assert key.count("\n") == 2
        assert key.isascii()
        assert f"{case.detail}{case.transaction_id}{case.currency}".isascii()
        same = made.setdefault(key, one)
        named = isinstance(one["id"], str) and re.fullmatch(r"[0-9A-Za-z_.|*@-]{1,64}", one["id"], re.ASCII)
        assert named or json.dumps(same, sort_keys=True) == json.dumps(one, sort_keys=True)


ODD_SUMS: list[Any] = [8.5, "896", True, -1, None, 10**40, [1], float("nan")]


@pytest.mark.parametrize(
    ("event_type", "amount", "fen"),
    [
        ("TRANSACTION.SUCCESS", {"total": 896, "refund": 1}, 896),
        ("REFUND.SUCCESS", {"total": 896, "refund": 1}, 1),
        ("REFUND.SUCCESS", {"total": 896}, 896),
        ("", {"refund": 5}, 5),
        *[
            ("TRANSACTION.SUCCESS", {"total": odd}, 0)
            for odd in (8.5, "896", True, -1, None, 10**40, [1], float("nan"))
        ],
        ("TRANSACTION.SUCCESS", None, 0),
        ("TRANSACTION.SUCCESS", 896, 0),
        ("TRANSACTION.SUCCESS", "896", 0),
        ("TRANSACTION.SUCCESS", [896], 0),
        ("TRANSACTION.SUCCESS", {}, 0),
    ],
)
def test_a_case_carries_the_sum_where_it_can_be_read(event_type: str, amount: Any, fen: int) -> None:
    case = unreadable_case({"event_type": event_type}, {"amount": amount}, "why", NOW)
    assert case.amount_fen == fen


# --- the stream


def images(**changes: Any) -> dict[str, Any]:
    """A record of the stream: a payment that becomes paid, with other values."""
    from payments.store.dynamodb import plain, wire

    new = {**keys.payment(order().order_sn, 1), **plain(paid_payment())} | changes
    new = {name: value for name, value in new.items() if value is not None}
    return {
        "eventID": "e1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1764000000,
            "Keys": wire({name: new[name] for name in ("pk", "sk") if isinstance(new.get(name), str)}),
            "NewImage": wire(new),
        },
    }


def publish(shop: "Shop", *records: Any) -> list[str]:
    shop.run("publish_events", {"Records": list(records)})
    return [event["id"] for event in shop.events.published()]


HAND_MADE: dict[str, Any] = {"pk": "ORDER#HSO2026112312000012345678", "sk": "ORDER", "status": "USED", "version": 1}


def unreadable_records() -> list[Any]:
    from payments.store.dynamodb import wire

    good = images()["dynamodb"]
    return [
        {"dynamodb": {"ApproximateCreationDateTime": 1, "NewImage": wire(HAND_MADE)}},
        images(order_sn=None),
        images(order_sn=["x"]),
        images(order_sn="HSO1"),
        images(version=None),
        images(version="3"),
        images(version=Decimal("3.5")),
        images(status=Decimal(7)),
        images(status="SUCCEEDED_LATER"),
        images(total_fen=Decimal("1.5")),
        images(total_fen="896"),
        images(n=True),
        images(success_time="soon"),
        images(success_time=Decimal(7)),
        {"dynamodb": {**good, "ApproximateCreationDateTime": "now"}},
        {"dynamodb": {"NewImage": good["NewImage"]}},
        {"dynamodb": {**good, "Keys": {}, "NewImage": {"status": {"S": "SUCCESS"}}}},
        {"dynamodb": {**good, "NewImage": {"pk": {"Q": "?"}}}},
        {"dynamodb": {**good, "NewImage": []}},
        {"dynamodb": None},
        {},
    ]


@pytest.mark.parametrize("number", range(len(unreadable_records())))
def test_a_record_that_can_never_be_read_goes_to_the_dead_letters_and_the_others_on(
    shop: "Shop", rung: Any, number: int
) -> None:
    bad = unreadable_records()[number]
    after = images(**keys.payment(order().order_sn, 2), n=2)
    rung()
    assert len(publish(shop, images(), bad, after)) == 2
    (letter,) = shop.events.dead_letters()
    assert rung() == 1
    assert letter["type"] == "unreadable"
    assert letter["error"]
    assert set(letter) == {"type", "order_sn", "pk", "sk", "version", "error", "record"}
    assert not {"o1", "4200000001", "soon"} & set(map(str, letter.values()))


def test_the_letter_says_which_item_it_is(shop: "Shop") -> None:
    publish(shop, unreadable_records()[0])
    (letter,) = shop.events.dead_letters()
    assert (letter["pk"], letter["sk"], letter["version"]) == (HAND_MADE["pk"], "ORDER", 1)
    assert (letter["order_sn"], letter["error"]) == (HAND_MADE["pk"][6:], "order_sn is missing")


def test_what_needs_no_event_is_not_looked_at(shop: "Shop") -> None:
    from payments.store.dynamodb import wire

    def changed(**item: Any) -> Any:
        return {"dynamodb": {"ApproximateCreationDateTime": 1, "NewImage": wire(item)}}

    removed = {"eventName": "REMOVE", "dynamodb": {"Keys": {}, "OldImage": {"pk": {"S": "ORDER#1"}}}}
    others = [
        changed(pk="USER#1", sk="USER", status="SUCCESS"),
        changed(pk="ORDER#1", sk="SHIPPING#1", status="REFUSED"),
        changed(pk="TRADE#1", sk="CASE#mispaid#1", status=1),
    ]
    same = images(total_fen=1)
    same["dynamodb"]["OldImage"] = same["dynamodb"]["NewImage"]
    assert publish(shop, removed, *others, same) == []
    assert shop.events.dead_letters() == []


def test_an_old_image_that_cannot_be_read_keeps_no_event(shop: "Shop") -> None:
    record = images()
    odd: list[Any] = [{"status": {"Q": "?"}}, [], {"status": {"M": {}}}, None]
    for old in odd:
        record["dynamodb"]["OldImage"] = old
        assert len(publish(shop, record)) == 1
    assert shop.events.dead_letters() == []


def test_a_letter_that_cannot_be_sent_brings_the_batch_again(shop: "Shop", monkeypatch: pytest.MonkeyPatch) -> None:
    shop.deploy(STREAM_DLQ_URL="https://sqs.us-east-1.amazonaws.com/123456789012/gone")
    with pytest.raises(boto3.client("sqs").exceptions.ClientError):
        publish(shop, unreadable_records()[0])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["pk", "sk", "order_sn", "status", "version", "n", "total_fen", "success_time", "paid_by"]),
        st.one_of(
            *(st.none(), st.booleans(), st.text(max_size=5), st.decimals(allow_nan=False, allow_infinity=False)),
            st.sampled_from(["ORDER", "PAYMENT#1", "REFUND#x", "ORDER#a", "a", "USED", "SUCCESS", Decimal(1)]),
        ),
    ),
    st.one_of(st.none(), st.dictionaries(st.just("status"), st.one_of(st.text(max_size=3), st.just("USED")))),
)
def test_an_image_is_an_event_or_none_or_unreadable_and_nothing_else(new: Any, old: Any) -> None:
    try:
        event = derive(old, new, NOW)
    except UnreadableItem:
        return
    assert event is None or (
        event.order_sn == new["order_sn"] and event.id == f"{new['pk']}/{new['sk']}@{new['version']}"
    )


# --- ./dev catalogue


@pytest.fixture
def command(shop: "Shop", monkeypatch: pytest.MonkeyPatch) -> Any:
    """./dev catalogue ... on the shop's table."""
    clients: Any = boto3.client
    stack = Stack(clients, "table", {}, {}, {}, "")
    monkeypatch.setattr("local.catalogue.chosen", lambda *_: stack)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(dev, ["catalogue", *arguments], env={"COLUMNS": "200"})

    return run


@pytest.fixture
def homes(tmp_path: Any) -> Any:
    def write(*changes: dict[str, Any]) -> str:
        file = tmp_path / "homes.json"
        good = {name: getattr(HOME, name) for name in HOME.__slots__}
        file.write_text(json.dumps([good | change for change in changes]))
        return str(file)

    return write


def test_put_writes_what_is_new_or_changed_and_says_so(shop: "Shop", command: Any, homes: Any) -> None:
    file = homes({}, {"homestay_id": "second", "on_sale": False}, {"homestay_id": "third", "title": "湖景🏠"})
    dry = command("put", file, "--dry-run", "--json")
    assert (dry.exit_code, json.loads(dry.stdout)["written"]) == (0, False)
    assert shop.store.catalogue.get(HOMESTAY.catalogue, "second") is None
    done = command("put", file)
    assert done.exit_code == 0
    assert "the guest's bill says 湖景" in done.stdout
    assert shop.store.catalogue.get(HOMESTAY.catalogue, "second") is not None
    told = json.loads(command("put", homes({"price_fen": 39900}), "--json").stdout)["offers"]
    assert told == [{"homestay_id": HOME.homestay_id, "what": "changed", "fields": ["price_fen: 38800 → 39900"]}]
    told = json.loads(command("put", homes({"price_fen": 39900}), "--json").stdout)["offers"]
    assert [one["what"] for one in told] == ["same"]
    listed = json.loads(command("list", "--json").stdout)
    assert {home["homestay_id"] for home in listed["offers"]} == {HOME.homestay_id, "second", "third"}


def test_put_writes_nothing_unless_every_home_is_good(shop: "Shop", command: Any, homes: Any) -> None:
    file = homes({"homestay_id": "second"}, {"homestay_id": "third", "price_fen": 388.5})
    done = command("put", file)
    assert done.exit_code == 1
    assert "offer 2 (third): price_fen: whole fen" in done.stderr
    assert shop.store.catalogue.get(HOMESTAY.catalogue, "second") is None
    assert json.loads(command("put", file, "--json").stdout)["written"] is False


def test_check_finds_what_guests_do_not_see_and_put_mends_it(shop: "Shop", command: Any, homes: Any) -> None:
    assert command("check").exit_code == 0
    bad_home(shop, "second", price_fen=Decimal("388.5"))
    done = command("check")
    assert done.exit_code == 1
    assert "OFFER#homestay#second: price_fen must be a whole number" in done.stderr
    assert json.loads(command("list", "--json").stdout)["unreadable"][0]["pk"] == "OFFER#homestay#second"
    file = homes({}, {"homestay_id": "second"})
    assert command("check", file).exit_code == 1
    assert json.loads(command("put", file, "--json").stdout)["offers"][1]["what"] == "mended"
    assert command("check", file).exit_code == 0
    assert command("check", homes({"price_fen": 1})).exit_code == 1


def test_a_table_that_does_not_answer_is_one_line(command: Any, homes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clients: Any = boto3.client
    monkeypatch.setattr("local.catalogue.chosen", lambda *_: Stack(clients, "no-such-table", {}, {}, {}, ""))
    for arguments in (("put", homes({})), ("list",), ("check",)):
        done = command(*arguments)
        assert done.exit_code == 1
        assert "does not answer as it should" in done.stderr
        assert done.exception is None or isinstance(done.exception, SystemExit)


# --- texts, end to end


@pytest.mark.parametrize(
    "title", ["湖景🏠" + "长" * 29, "𠮷野家" + "👨\u200d👩\u200d👧" * 5, "😡" * 32, "e\u0301" * 16]
)
def test_a_title_of_any_characters_is_prepaid_paid_and_told(shop: "Shop", title: str) -> None:
    shop.records_shipping("on_payment")
    bad_home(shop, "odd", title=title)
    token = shop.guest.login()
    order_sn = shop.guest.order(token, homestay_id="odd")
    fields = shop.guest.prepay(token, order_sn)
    assert shop.guest.prepay(token, order_sn, fresh=True)["out_trade_no"] == fields["out_trade_no"]
    assert shop.guest.cashier(fields) == "requestPayment:ok"
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.wechat.world.clock.advance(3)
    shop.events.settle()
    assert len(shop.wechat.world.messages) == 2
    assert shop.items.collection(order_sn).payments[0].status is PaymentStatus.SUCCESS
    assert shop.items.collection(order_sn).shippings[1].status == "UPLOADED"
    shop.check()


@pytest.mark.parametrize("reason", ["客人取消😢", "𠮷田さん", "\u202e取消\u200b", "改期\n明天", "长" * 24, "🈳" * 24])
def test_a_refund_is_done_whatever_staff_type(shop: "Shop", reason: str) -> None:
    _, order_sn = shop.guest.settled_order()
    route = "POST /merchant/orders/{order_sn}/refunds"
    headers = {"idempotency-key": "refund-1"}
    reply = shop.call(route, {"reason": reason}, token=shop.staff.token(), order_sn=order_sn, headers=headers)
    assert reply.status == 201
    shop.events.settle()
    shop.wechat.refunds_end()
    shop.events.settle()
    (made,) = shop.wechat.world.refunds.values()
    assert made.request["reason"] == reply.json["reason"]
    assert shop.items.collection(order_sn).refunds[0].status == "SUCCESS"
    assert shop.items.cases() == []


@pytest.mark.parametrize("reason", ["😢", "\u200b", " ", "\u3164"])
def test_a_reason_of_which_nothing_is_left_is_refused_at_once(shop: "Shop", reason: str) -> None:
    _, order_sn = shop.guest.settled_order()
    route, headers = "POST /merchant/orders/{order_sn}/refunds", {"idempotency-key": "refund-1"}
    reply = shop.call(route, {"reason": reason}, token=shop.staff.token(), order_sn=order_sn, headers=headers)
    assert (reply.status, reply.json["field"]) == (422, "body.reason")
    assert shop.items.sort_keys("REFUND#") == []
