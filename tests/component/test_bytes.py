"""What comes in from outside: bodies, times, tokens, messages that nobody should send; guesses at codes; long lists."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.front_desk.app import GUESS_PAUSE, GUESSES
from payments.domain.case import Case
from payments.domain.times import iso, utc_now
from payments.edge.tokens import EVERY_BUSINESS
from payments.edge.untrusted import TooLarge, Unreadable, body_bytes, read_json, read_notice
from payments.store.dynamodb import Busy
from simulator.notification import Signed, signature_headers
from tests.examples import HOME, order
from tests.fuzz import DEEP, RAW, TEXTS
from tests.shop import Shop
from tests.shop.aws import client
from tests.shop.events import sqs_record
from tests.shop.guest import new_order

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBER = st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def kind(reply: Any) -> str:
    return str(reply.json["type"]).removeprefix("urn:wxpay:")


# --- the reader of bodies


@given(JSON)
def test_what_json_can_say_is_read_as_it_is(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=300) | st.text(alphabet='[]{}",:\\u0d8eE+-.1tf n', max_size=300).map(str.encode))
def test_any_bytes_are_read_or_unreadable(raw: bytes) -> None:
    for read in (read_json, read_notice):
        try:
            value = read(raw)
        except Unreadable:
            continue
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    "text",
    [
        *RAW[2:6],
        "NaN",
        "[-Infinity]",
        "1e999",
        "9" * 5000,
        '{"a": 1, "a": 2}',
        '"\\ud800"',
        '{"\\udfff": 1}',
        "\ufeff{}",
    ],
)
def test_what_nothing_here_can_hold_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        read_json(text.encode())


def test_brackets_in_texts_are_no_depth() -> None:
    assert read_json(json.dumps({"a": "[" * 500 + '\\"{{{'}).encode()) == {"a": "[" * 500 + '\\"{{{'}
    flat: list[Any] = [[]] * 500
    assert read_json(json.dumps(flat).encode()) == flat


def test_one_field_that_cannot_be_held_spoils_no_other_of_a_notice() -> None:
    raw = b'{"total": 89600, "x": 1e999, "y": NaN, "z": ' + b"9" * 5000 + b', "attach": "\\ud83d", "bad": "\xff"}'
    notice = read_notice(raw)
    assert (notice["total"], notice["x"], notice["y"], notice["z"], notice["attach"]) == (89600, None, None, None, "?")


def test_a_body_is_bounded_before_it_is_decoded() -> None:
    with pytest.raises(TooLarge):
        body_bytes({"body": "A" * 100_000, "isBase64Encoded": True})
    with pytest.raises(TooLarge):
        body_bytes({"body": "é" * 40_000})
    with pytest.raises(Unreadable):
        body_bytes({"body": "\ud800"})
    assert body_bytes({"body": None}) == b""


# --- every function


@pytest.mark.parametrize("route", ["POST /login", "POST /orders", "POST /merchant/lookups"])
@pytest.mark.parametrize(
    "body", [DEEP, '{"code":' * 7_000, "[" * 2_000 + "]" * 2_000], ids=["lists", "objects", "closed"]
)
def test_a_body_of_brackets_is_422(shop: Shop, route: str, body: str) -> None:
    token = shop.staff.token() if "merchant" in route else shop.guest.login()
    reply = shop.call(route, body, token=token)
    assert (reply.status, reply.json["field"]) == (422, "body")
    encoded = base64.b64encode(body.encode()).decode()
    assert shop.call(route, encoded, token=token, isBase64Encoded=True).status in {413, 422}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[]", 422),
        ('[{"code": "22222222ZZ"}]', 422),
        ('"a"', 422),
        ("null", 422),
        ("", 422),
        ("x" * 100_000, 413),
        ('{"code": "\\u0000"}', 422),
    ],
)
def test_a_body_that_is_no_object_of_texts_names_what_is_wrong(shop: Shop, body: str, status: int) -> None:
    assert shop.call("POST /merchant/lookups", body, token=shop.staff.token()).status == status


def test_control_characters_are_no_text(shop: Shop) -> None:
    token = shop.guest.login()
    for remark in ("a\x00b", "\x1b[31m", "\x7f"):
        reply = shop.call("POST /orders", new_order(remark=remark), token=token)
        assert (reply.status, reply.json["field"]) == (422, "body.remark")
    assert shop.call("POST /orders", new_order(remark="one\ttwo\nthree 😢"), token=token).status == 201


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    "body", [DEEP.encode(), b'{"resource": ' + DEEP.encode(), b"\xff\xfe", b'{"resource": 1e999}', b"9" * 5000]
)
def test_a_notice_of_any_bytes_is_refused(shop: Shop, body: bytes, signed: bool) -> None:
    headers = (
        signature_headers(shop.wechat.world, body)
        if signed
        else dict.fromkeys(["Wechatpay-Nonce", "Wechatpay-Signature"], "x")
    )
    notice = Signed({"Wechatpay-Timestamp": "1", "Wechatpay-Serial": "x"} | headers, body)
    encoded = base64.b64encode(body).decode()
    reply = shop.wechat.notify(notice, body=encoded, isBase64Encoded=True)
    assert (reply.status in {400, 401}, reply.json["code"]) == (True, "FAIL")


@pytest.mark.parametrize("name", ["nonce", "signature", "serial", "timestamp"])
@pytest.mark.parametrize("value", ["\ud800", "\x00", "é", "x" * 9000, " ", "=" * 400])
def test_a_notice_with_odd_headers_is_refused(shop: Shop, name: str, value: str) -> None:
    _, order_sn = shop.guest.paid_order()
    signed = shop.wechat.notice(f"{order_sn}_1")
    reply = shop.wechat.notify(Signed(signed.headers | {f"Wechatpay-{name.title()}": value}, signed.body))
    assert reply.status in {400, 401}
    assert shop.wechat.notify(signed, headers={}).status == 204


def test_a_notice_without_headers_is_refused(shop: Shop) -> None:

    for headers in ({"headers": None}, {}):
        assert shop.run("wx_callback", {"body": "{}", **headers})["statusCode"] == 400


@pytest.mark.parametrize(
    "before",
    [
        *(
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "0001-01-01T00:00:00+00:01",
            "10000-01-01T00:00:00Z",
        ),
        *(
            "2026-12-01T00:00:00",
            "2026-12-01",
            "1764000000",
            "",
            "２０２６-12-01T00:00:00Z",
            "2026-12-01T00:00:00+25:00",
        ),
    ],
)
def test_a_time_that_is_none_in_utc_is_422(shop: Shop, before: str) -> None:
    reply = shop.call("GET /orders", token=shop.guest.login(), queryStringParameters={"before": before})
    assert (reply.status, reply.json["field"]) == (422, "query.before")


def test_the_first_and_the_last_instant_are_times(shop: Shop) -> None:
    token = shop.guest.login()
    shop.guest.order(token)
    for before, there in (("0001-01-01T00:00:00Z", 0), ("9999-12-31T23:59:59Z", 1), ("9999-12-31T23:59:59+14:00", 1)):
        reply = shop.call("GET /orders", token=token, queryStringParameters={"before": before})
        assert (reply.status, len(reply.json["orders"])) == (200, there)


@pytest.mark.parametrize(
    "day", ["0001-01-01", "9999-12-31", "10000-01-01", "2026-02-30", "２０２６-12-01", "0000-00-00"]
)
@pytest.mark.parametrize("field", ["start_date", "end_date"])
def test_a_day_that_cannot_be_sold_is_422(shop: Shop, field: str, day: str) -> None:
    reply = shop.call("POST /orders", new_order(**{field: day}), token=shop.guest.login())
    assert (reply.status, reply.json["field"]) in {(422, f"body.{field}"), (422, "body.end_date")}


# --- the authorizer


def segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer \ud800",
        "Bearer a.b.c",
        "Bearer ...",
        "Basic x",
        "Bearer " + "a" * 9000,
        "\x00",
        "Bearer é.é.é",
    ]
    + [
        f"Bearer {segment(raw)}.{segment(raw)}.x"
        for raw in (b"[" * 5000, b'{"alg":' * 900, b"9" * 5000, b"NaN", b"\xff", b"{}", b"null")
    ]
    + [
        f'Bearer {segment(b"""{"alg": []}""")}.e30.x',
        f'Bearer {segment(b"""{"alg": "none"}""")}.e30.',
        f'Bearer {segment(b"""{"alg": "HS256", "crit": 7}""")}.e30.x',
    ],
)
def test_a_token_of_any_bytes_is_not_authorized(shop: Shop, authorization: str | None) -> None:
    headers = None if authorization is None else {"authorization": authorization}
    assert shop.run("authorizer", {"headers": headers}) == {"isAuthorized": False}
    assert shop.run("authorizer", {}) == {"isAuthorized": False}


# --- queues


@pytest.mark.parametrize("consumer", ["order_update", "notify_user", "execute_refund", "upload_shipping"])
def test_messages_that_are_none_come_to_the_dead_letters_and_hold_up_no_other(shop: Shop, consumer: str) -> None:
    _, order_sn = shop.guest.paid_order()
    good = {
        "id": f"ORDER#{order_sn}/ORDER@1",
        "type": "order.cancelled",
        "time": iso(utc_now()),
        "order_sn": order_sn,
        "state": {"status": "CANCELLED"},
    }
    bad = [*RAW, *TEXTS, json.dumps(good | {"time": "9" * 400})]
    batch = [sqs_record(n, body) for n, body in enumerate([*bad, json.dumps(good)])]
    reply = shop.run(consumer, json.loads(json.dumps({"Records": batch})))
    failed = {failure["itemIdentifier"] for failure in reply["batchItemFailures"]}
    assert failed == {f"m{n}" for n in range(len(bad))}


# --- guesses


def guess(shop: Shop, token: str, code: str, route: str = "POST /merchant/lookups") -> Any:
    return shop.call(route, {"code": code}, token=token)


@pytest.fixture
def paid(shop: Shop) -> tuple[str, str]:
    """(order_sn, code)."""
    _, order_sn = shop.guest.paid_order()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    return order_sn, shop.items.collection(order_sn).order.redeem_code or ""


def test_a_right_code_waits_seconds_and_guessing_stays_slow(shop: Shop, paid: tuple[str, str], still: None) -> None:
    token = shop.staff.token()
    assert [guess(shop, token, "22222222ZZ").status for _ in range(GUESSES + 3)] == [404] * GUESSES + [429] * 3
    refused = guess(shop, token, paid[1])
    wait = int(refused.headers["retry-after"])
    assert (refused.status, kind(refused), 1 <= wait <= 5) == (429, "too-many-guesses", True)
    assert refused.json["detail"] == f"Try again in {wait} s."
    assert guess(shop, token, paid[0]).status == 200  # an order's number is no guess
    shop.janitor.later(seconds=wait)
    assert guess(shop, token, paid[1]).status == 200
    assert guess(shop, token, paid[1], "POST /merchant/redemptions").status == 200
    # Who goes on guessing gets one more in each pause, whatever he does in between.
    answered = 0
    for _ in range(60):
        shop.janitor.later(seconds=1)
        answered += guess(shop, token, "22222222ZZ").status == 404
    assert answered <= 60 / GUESS_PAUSE.total_seconds() + 1
    shop.janitor.later(seconds=GUESSES * GUESS_PAUSE.total_seconds())
    assert [guess(shop, token, "22222222ZZ").status for _ in range(GUESSES + 1)] == [404] * GUESSES + [429]


def test_a_desk_that_guesses_does_not_hold_up_another_of_the_same_name(
    shop: Shop, paid: tuple[str, str], still: None
) -> None:
    one = shop.staff.token()
    shop.janitor.later(seconds=1)
    other = shop.staff.token()
    elsewhere = shop.staff.token("b-elsewhere")
    for _ in range(GUESSES + 1):
        guess(shop, one, "22222222ZZ")
    assert guess(shop, one, paid[1]).status == 429
    assert guess(shop, other, paid[1]).status == 200
    assert guess(shop, elsewhere, paid[1]).status == 404


def test_the_same_token_spelled_otherwise_guesses_no_more(shop: Shop, still: None) -> None:
    token = shop.staff.token()
    for _ in range(GUESSES):
        guess(shop, token, "22222222ZZ")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(token[-1]) ^ 1]  # two bits of the last letter mean nothing
    assert guess(shop, token[:-1] + last, "22222222ZZ").status in {403, 429}
    assert guess(shop, f" {token} ", "22222222ZZ").status == 429


# --- lists


def opened(shop: Shop, count: int, *, ours: bool = False, together: bool = False) -> list[str]:
    """Open cases, each of a trade of its own; `ours`: beside orders of the example's business."""
    now, numbers = utc_now(), []
    for n in range(count):
        number = f"OTHER-{n:04d}"
        if ours:
            order_sn = f"HSO20261123120000{n:08d}"
            shop.store.orders.put(order(order_sn=order_sn, business_id=HOME.business_id))
            number = f"{order_sn}_2"
        numbers.append(number)
        shop.store.cases.open(
            Case(
                kind="unknown_trade",
                case_id=f"t{n:05d}",
                out_trade_no=number,
                amount_fen=n,
                currency="CNY",
                transaction_id=f"t{n:05d}",
                detail="no such payment",
                opened_at=now if together else now + timedelta(milliseconds=n),
            )
        )
    return numbers


def pages(shop: Shop, token: str, **query: str) -> list[list[str]]:
    found: list[list[str]] = []
    after: dict[str, str] = {}
    while True:
        reply = shop.call("GET /merchant/cases", token=token, queryStringParameters=query | after)
        assert reply.status == 200, reply
        found.append([case["out_trade_no"] for case in reply.json["cases"]])
        if not reply.json["next"]:
            return found
        after = {"after": reply.json["next"]}


def counted(work: Callable[[], Any]) -> int:
    """How many calls to DynamoDB it makes."""
    calls: list[str] = []
    events = client("dynamodb").meta.events

    def call(model: Any, **_: Any) -> None:
        calls.append(model.name)

    events.register("before-call", call)
    work()
    events.unregister("before-call", call)
    return len(calls)


@pytest.mark.parametrize("together", [False, True])
def test_open_cases_come_by_pages_each_of_them_once(
    shop: Shop, paid: tuple[str, str], together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = opened(shop, 60, together=together)
    mine = opened(shop, 60, ours=True, together=together)
    owner = pages(shop, shop.staff.token(EVERY_BUSINESS))
    assert sorted(chain.from_iterable(owner)) == sorted(foreign + mine)
    assert [len(page) for page in owner] == [50, 50, 20]
    staff = pages(shop, shop.staff.token(), limit="25")
    assert sorted(chain.from_iterable(staff)) == sorted(mine)
    assert [len(page) for page in staff] == [25, 25, 10]
    assert pages(shop, shop.staff.token("b-elsewhere")) == [[]]
    calls = counted(lambda: pages(shop, shop.staff.token(), limit="100"))
    assert 0 < calls <= 9, "a query and two batches for each stretch"


def test_a_pages_end_tells_nothing_of_other_businesses(
    shop: Shop, paid: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from functions.back_office import app as back_office

    monkeypatch.setattr(back_office, "STRETCHES", 1)
    numbers = opened(shop, 120, ours=True)
    stranger = shop.staff.token("b-elsewhere")
    reply = shop.call("GET /merchant/cases", token=stranger)
    assert (reply.json["cases"], bool(reply.json["next"])) == ([], True)
    place = base64.urlsafe_b64decode(reply.json["next"] + "==").decode()
    assert not [number for number in numbers if number[:-2] in place]
    assert list(chain.from_iterable(pages(shop, stranger))) == []


@pytest.mark.parametrize(
    "query",
    [{"limit": one} for one in ("0", "101", "x", "-1", "1.5", "9" * 5000)]
    + [
        {"after": one}
        for one in (
            "",
            "A",
            "é",
            "a" * 2000,
            segment(b"\xff"),
            segment(b"x"),
            segment(b"2026-01-01T00:00:00.000Z\nUSER#u\nUSER"),
        )
    ]
    + [{"after": segment(b"2026-01-01T00:00:00.000Z\n\n")}],
)
def test_a_page_that_is_none_is_422(shop: Shop, query: dict[str, str]) -> None:
    reply = shop.call("GET /merchant/cases", token=shop.staff.token(), queryStringParameters=query)
    assert (reply.status, reply.json["field"].startswith("query.")) == (422, True)


def test_what_dynamodb_leaves_out_is_asked_again_with_pauses_and_at_last_503(
    shop: Shop, paid: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(shop, 3)
    waits: list[float] = []
    monkeypatch.setattr("payments.store.dynamodb.time.sleep", waits.append)
    dynamodb, lost = client("dynamodb"), 2
    real = dynamodb.batch_get_item

    def some(**arguments: Any) -> Any:
        nonlocal lost
        if lost:
            lost -= 1
            return {"Responses": {}, "UnprocessedKeys": arguments["RequestItems"]}
        return real(**arguments)

    monkeypatch.setattr(dynamodb, "batch_get_item", some)
    assert len(shop.store.cases.all_open()) == 3
    assert (len(waits), waits[1] > waits[0] > 0) == (2, True)
    lost = 1000
    with pytest.raises(Busy):
        shop.store.cases.all_open()
    owner = shop.staff.token(EVERY_BUSINESS)
    for route in ("GET /merchant/cases", "GET /orders"):
        token = owner if "merchant" in route else shop.guest.login()
        reply = shop.call(route, token=token)
        assert (reply.status, kind(reply), reply.headers["retry-after"]) == (503, "try-again", "1")


def test_a_case_with_the_longest_names_can_be_opened(shop: Shop) -> None:
    _, order_sn = shop.guest.paid_order()
    long = "T" * 64
    changed = {"out_trade_no": long, "amount": None}
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1", notice_id="n" * 64, plaintext=changed)).status == 204
    owner = shop.staff.token(EVERY_BUSINESS)
    (case,) = shop.call("GET /merchant/cases", token=owner).json["cases"]
    assert shop.call("GET /merchant/cases/{case_id}", token=owner, case=case["case"]).json["out_trade_no"] == long
