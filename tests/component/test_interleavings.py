"""The money rules under every interleaving: prepay, cancel, poll, callback, order update, refund, redeem, in any order,
with a crash, a lost reply, a lost or repeated event and a late payment (R1 to R10)."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
import time_machine
from aws_lambda_powertools import Metrics

from functions.back_office import app as back_office
from functions.create_prepay import app as create_prepay
from functions.execute_refund import app as execute_refund
from functions.order_update import app as order_update
from functions.orders import app as orders
from functions.status_poll import app as status_poll
from functions.stock import app as stock
from functions.sweep import app as sweep
from payments.domain import payment
from payments.domain.janitor import Due
from payments.domain.order import LOOKS, Order
from payments.domain.refund import GIVEN_UP
from payments.domain.stock import Holds
from payments.domain.times import iso, utc_now
from payments.edge import observability
from payments.edge.events import parse
from payments.edge.http import Problem
from payments.parts import Parts
from payments.products import PRODUCTS
from payments.recording import record_payment, record_refund_report
from payments.settings import Settings
from payments.store import keys
from payments.store.dynamodb import plain, unwire, wire
from payments.store.items import Standing, Written
from payments.store.store import Store
from payments.store.users import User
from tests.examples import APPID, ASKED, HOME, MCHID, NOW, ORDER_SN, order
from tests.model import TOTAL, WALK_BEGINS, Calls, Dynamo, Model, Process, Wechat, World, named, sweeps, trade, word
from tests.money import assert_no_fen_missing
from tests.shop.aws import TABLE, client
from tests.shop.guest import new_order
from tests.stock import assert_nothing_sold_twice

LOOKED_AT = WALK_BEGINS
EXPIRED = NOW + timedelta(minutes=40)
EXPIRY = json.dumps([EXPIRED.isoformat(), ORDER_SN, ["ORDER", iso(NOW + LOOKS[0])]])
"""What the janitor is given to look at who comes when the order's time is over."""


class Ids(Random):
    """What is random of a process: each of them calls its attempt its own (R11), and all else is the same."""

    attempt = "attempt"

    def randrange(self, *_: Any) -> int:  # the digits of an order's number
        return sum(self.attempt.encode())

    def randbytes(self, n: int) -> bytes:
        return self.attempt.encode()[-n:].rjust(n, b"-")

    def choice(self, seq: Any) -> Any:
        return seq[0]


IDS = Ids()


def prepay(phone: str) -> int:
    """Which trade the phone holds now."""
    IDS.attempt = f"phone {phone}"
    return int(create_prepay.prepay(ORDER_SN, create_prepay.Prepay()).out_trade_no.rpartition("_")[2])


def merchant_refund(argument: str) -> Any:
    key, amount = argument.split()
    return back_office.refund(ORDER_SN, back_office.NewRefund(amount_fen=int(amount), reason="x"), key).status


def swept(parts: Parts, argument: str) -> None:
    now, order_sn, *due = json.loads(argument)
    items = [
        Due(order_sn, item, datetime.fromisoformat(due_at))
        for sk, due_at in due
        if (item := keys.item_of(sk)) is not None
    ]
    sweep._bring_to_rest(parts, order_sn, items, datetime.fromisoformat(now))


HELD = Holds(offer_id=HOME.homestay_id, nights=("2026-12-01+2#1",))
"""What the example's order holds: the one room of its home in both nights of its stay."""

ONE_ROOM = replace(HOME, rooms=1)

STILL = {
    named(key["pk"], key["sk"]): wire({**key, **values})
    for key, values in (
        (keys.offer("homestay", HOME.homestay_id), plain(ONE_ROOM)),
        (keys.user("u1"), plain(User(user_id="u1", openid="o1", unionid=None, created_at=NOW))),
    )
}
"""The catalogue and the guest: nothing changes them here."""


def book(guest: str) -> str:
    """Another guest orders the second of the example's nights; who is told that it is sold out has ordered nothing."""
    IDS.attempt = f"booking {guest}"
    body = new_order(**{**ASKED, "start_date": "2026-12-02", "end_date": "2026-12-03"})
    try:
        return orders.create_order(orders.NewOrder(**body)).order_sn
    except Problem as problem:
        return problem.name


def block() -> str:
    IDS.attempt = "block"
    try:
        body = stock.NewBlock(nights=["2026-12-02"], reason="x")
        return stock.block("homestay", HOME.homestay_id, body).block_id
    except Problem as problem:
        return problem.name


def give_up(key: str) -> Any:
    body = back_office.NewRefund(amount_fen=30000, reason="x", gives_up=back_office.GivenUp(nights=["2026-12-02"]))
    try:
        return back_office.refund(ORDER_SN, body, key).status
    except Problem as problem:
        return problem.name


GUEST = {"user_id": "u1", "role": "user"}
STAFF = {"user_id": "staff-1", "role": "staff", "business_id": "b-hangzhou"}


@pytest.fixture
def model(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    calls = Calls()
    variables = {"APPID": APPID, "MCHID": MCHID, "PUBLIC_BASE_URL": "https://pay.example.com"}
    dynamo: Any = Dynamo(calls, STILL)
    wechat: Any = Wechat(calls)
    parts = Parts(
        settings=Settings(variables),
        random=IDS,
        store=Store(dynamo, TABLE, utc_now),
        wechat_pay=wechat,
        publish=lambda event: calls("sns", "publish", {"event": event.model_dump_json()}),
        products=PRODUCTS,
    )
    modules = ((create_prepay, GUEST), (orders, GUEST), (status_poll, GUEST), (back_office, STAFF), (stock, STAFF))
    for module, caller in modules:
        monkeypatch.setattr(module.app, "parts", parts, raising=False)
        monkeypatch.setattr(module.app, "caller", lambda who=caller: who)
    # No clock ticks here, and five seconds may pass between any two steps: so the pause between two calls to WeChat is
    # always over. Who is told to wait has done nothing, and is like a process that comes later.
    for module in (payment, create_prepay, orders, status_poll):
        monkeypatch.setattr(module, "CALL_PAUSE", timedelta(0))
    level = observability.logger.log_level
    observability.logger.setLevel("CRITICAL")
    with time_machine.travel(LOOKED_AT, tick=False) as clock:
        yield Model(
            {
                "prepay": prepay,
                "cancel": lambda _: orders.cancel_order(ORDER_SN).status,
                "poll": lambda _: status_poll.poll(ORDER_SN).order_status,
                "callback": lambda n: record_payment(parts.store, trade(int(n), "SUCCESS"), utc_now()),
                "order_update": lambda event: order_update._handle(parts, parse(event)),
                "execute_refund": lambda event: execute_refund._handle(parts, parse(event)),
                "refund_callback": lambda told: record_refund_report(parts.store, word(*json.loads(told)), utc_now()),
                "refund": merchant_refund,
                "withdraw": lambda number: back_office.withdraw(ORDER_SN, number).status,
                "redeem": lambda _: _redeem(parts),
                "sweep": lambda argument: swept(parts, argument),
                "order": lambda _: parts.store.orders.put(order()),
                "held order": lambda _: parts.store.orders.put(order(holds=HELD)),
                "book": book,
                "cancel other": lambda number: orders.cancel_order(number).status,
                "block": lambda _: block(),
                "ask back": lambda _: orders.request_refund(ORDER_SN, orders.RefundWish()).state,
                "give up": lambda key: give_up(key),
            },
            calls,
            client("dynamodb"),
            lambda minute: clock.move_to(LOOKED_AT + timedelta(minutes=minute), tick=False),
        )
    observability.logger.setLevel(level)
    Metrics().clear_metrics()  # no handler has run, which would have written them: the next test must not


def _redeem(parts: Parts) -> str | None:
    """The redemption's one write; finding the order by its code changes nothing."""
    match parts.store.orders.redeem(ORDER_SN, "staff-1", "attempt", parts.clock()):
        case Standing(Order() as order):
            raise RuntimeError(f"not redeemed: {order}")
        case Written():
            return "redeemed"
    raise LookupError


def new_world(model: Model, **trouble: int) -> World:
    """An order that waits for its payment."""
    world = World(items=(), budget=tuple(sorted(trouble.items())))
    return model.run(world, "order")[1]


def held_world(model: Model, **trouble: int) -> World:
    """An order that waits for its payment and holds two nights."""
    world = World(items=(), budget=tuple(sorted(trouble.items())))
    return model.run(world, "held order")[1]


def held_and_prepaid_world(model: Model, **trouble: int) -> World:
    n, world = model.run(held_world(model, **trouble), "prepay")
    return replace(world, handed=(n,))


def held_and_paid_world(model: Model, **trouble: int) -> World:
    world = held_and_prepaid_world(model, **trouble)
    world = replace(world, trades=((1, "SUCCESS"),), processes=(Process("callback", "1"),))
    world = model.drain(world)
    assert world.item("ORDER")["status"] == "WAIT_USE"
    return world


def prepaid_world(model: Model, **trouble: int) -> World:
    """An order whose cashier is open on a phone."""
    n, world = model.run(new_world(model, **trouble), "prepay")
    return replace(world, handed=(n,))


def paid_world(model: Model, **trouble: int) -> World:
    """An order that is paid."""
    n, world = model.run(new_world(model, **trouble), "prepay")
    world = replace(world, handed=(n,), trades=((n, "SUCCESS"),), processes=(Process("callback", str(n)),))
    world = model.drain(world)
    assert world.item("ORDER")["status"] == "WAIT_USE"
    return world


def late_world(model: Model, **trouble: int) -> World:
    """An order that was cancelled, and whose trade was paid all the same."""
    n, world = model.run(new_world(model, **trouble), "prepay")
    _, world = model.run(world, "cancel")
    assert world.item("ORDER")["status"] == "CANCELLED"
    return replace(world, handed=(n,), trades=((n, "SUCCESS"),), processes=(Process("callback", str(n)),))


def refund_asked_world(model: Model, **trouble: int) -> World:
    """A paid order, a part of which is asked back; WeChat has not been asked yet."""
    return model.run(paid_world(model, **trouble), "refund", "key-a-00 30000")[1]


def withdrawing_world(model: Model, **trouble: int) -> World:
    """A refund that is being withdrawn; execute_refund had read it before, and has not asked WeChat yet."""
    world = refund_asked_world(model, **trouble)
    (execution,) = (process for process in world.processes if process.kind == "execute_refund")
    begun = model.one_call(world, execution)
    number = next(item["out_refund_no"] for item in world.plain() if item["sk"].startswith("REFUND#"))
    _, world = model.run(world, "withdraw", number)
    return replace(world, processes=(begun,))


def going(world: World, *processes: tuple[str, str]) -> World:
    number = next((item["out_refund_no"] for item in world.plain() if item["sk"].startswith("REFUND#")), "")
    made = [Process(kind, argument or (number if kind == "withdraw" else "")) for kind, argument in processes]
    return replace(world, processes=tuple(sorted((*world.processes, *made), key=repr)))


# --- what must hold


def check(before: World, after: World) -> None:
    """In every state, whatever happens next."""
    assert_nothing_sold_twice([*after.plain(), *map(unwire, STILL.values())])
    payable = [n for n in after.handed if after.trade(n) == "NOTPAY"]
    assert len(payable) <= 1, f"two trades can be paid: {payable}"
    was, now = before.item("ORDER"), after.item("ORDER")
    if now["status"] == "CANCELLED":
        assert not payable, f"cancelled, and a phone can pay {payable}"
    if (was["status"], now["status"]) == ("WAIT_USE", "USED"):
        assert was["refundable_fen"] > 0, "redeemed although all of it goes back"
        assert not was.get("on_hold"), "redeemed while on hold"
        known = [item for item in before.plain() if item["sk"].startswith("REFUND#") and item["status"] not in GIVEN_UP]
        assert sum(item["amount_fen"] for item in known) < TOTAL, "redeemed although all of it is known to be back"
    for item in after.plain():
        if item["sk"].startswith("REFUND#") and item["status"] == "WITHDRAWN":
            stands = [refund for refund in after.refunds if refund[0] == item["out_refund_no"]]
            assert not stands, "withdrawn, and WeChat has it: its sum may go back twice"
    for n in {refund[1] for refund in after.refunds}:
        assert sum(refund[2] for refund in after.refunds if refund[1] == n) <= TOTAL, "more back than was paid"
    assert now.get("refundable_fen", 0) >= 0


def healed(model: Model, world: World) -> World:
    """What the janitor makes of a world in which nothing happens any more, after the order's time is over."""
    now = EXPIRED
    for _ in range(8):
        ended = tuple((number, n, amount, "SUCCESS") for number, n, amount, _ in world.refunds)
        world = replace(world, refunds=ended)
        world = replace(world, minute=int((now - LOOKED_AT).total_seconds() // 60))
        for process in sweeps(world, now):
            _, world = model.run(world, process.kind, process.argument)
        world = model.drain(world)
        now += timedelta(minutes=20)
    return world


def at_rest(model: Model) -> Any:
    def check_money(world: World) -> None:
        end = healed(model, world)
        trades = [
            {
                "out_trade_no": f"{ORDER_SN}_{n}",
                "trade_state": state,
                "transaction_id": f"42{n}",
                "amount": {"total": TOTAL},
            }
            for n, state in end.trades
        ]
        refunds = [
            {
                "out_refund_no": number,
                "out_trade_no": f"{ORDER_SN}_{n}",
                "status": status,
                "amount": {"refund": amount},
            }
            for number, n, amount, status in end.refunds
        ]
        assert_no_fen_missing({"trades": trades, "refunds": refunds, "messages": []}, end.plain())
        for item in end.plain():
            assert item["sk"] != "ORDER" or item["status"] != "WAIT_PAY", "an order does not come to rest"
        assert not [n for n in end.handed if end.trade(n) == "NOTPAY"], "a trade stays open"

    return check_money


# --- the scenarios; how many worlds each has is told on standard output


SCENARIOS: dict[str, tuple[Any, list[tuple[str, str]], dict[str, int]]] = {
    "two phones prepay, one cancels": (
        new_world,
        [("prepay", "a"), ("prepay", "b"), ("cancel", "")],
        {},
    ),
    "prepay, cancel twice, a crash": (
        new_world,
        [("prepay", "a"), ("cancel", "a"), ("cancel", "b")],
        {"crash": 1},
    ),
    "prepay and cancel, a lost reply": (
        new_world,
        [("prepay", "a"), ("cancel", "")],
        {"lost_reply": 1, "crash": 1, "lost_event": 1},
    ),
    "prepay paused, a poll meets 404, a second phone": (
        new_world,
        [("prepay", "a"), ("prepay", "b"), ("poll", "")],
        {},
    ),
    "the trade is closed in the console, and paid late": (
        new_world,
        [("prepay", "a"), ("prepay", "b")],
        {"console_close": 1, "late": 1},
    ),
    "late money, events twice and lost": (
        new_world,
        [("prepay", "a"), ("cancel", "")],
        {"late": 1, "duplicate": 1, "lost_event": 1},
    ),
    "two refunds of 60 of 100, a lost reply": (
        paid_world,
        [("refund", "key-a-00 53760"), ("refund", "key-b-00 53760")],
        {"lost_reply": 1, "duplicate": 1, "retry": 1},
    ),
    "a cashier is open, its payment is refunded in the console, both notices and a poll in any order": (
        prepaid_world,
        [("poll", "")],
        {"console_refund": 1, "console_fen": TOTAL, "lost_event": 2},
    ),
    "paid, refunded in the console, both notices and a poll in any order, a redemption": (
        new_world,
        [("prepay", "a"), ("poll", ""), ("redeem", "")],
        {"console_refund": 1, "console_fen": TOTAL, "lost_event": 2},
    ),
    "late money, a part of it refunded in the console": (
        late_world,
        [],
        {"console_refund": 1, "console_fen": 30000, "lost_event": 1, "duplicate": 1, "late": 0},
    ),
    "a refund is withdrawn while execute_refund has read it and may still ask WeChat": (
        withdrawing_world,
        [],
        {"minute": 1},
    ),
    "a refund is withdrawn, and WeChat is asked twice": (
        withdrawing_world,
        [],
        {"minute": 3},
    ),
    "a withdrawal meets a late acceptance": (
        refund_asked_world,
        [("withdraw", "")],
        {"minute": 4},
    ),
    "prepay and cancel, a crash": (
        new_world,
        [("prepay", "a"), ("cancel", "")],
        {"crash": 1, "duplicate": 1},
    ),
    "two partial refunds": (
        paid_world,
        [("refund", "key-a-00 100"), ("refund", "key-b-00 89500")],
        {},
    ),
    "a full refund against redemption": (
        paid_world,
        [("refund", "key-a-00 89600"), ("redeem", "")],
        {"crash": 1, "lost_event": 1, "duplicate": 1},
    ),
    "two partial refunds, replies lost": (
        paid_world,
        [("refund", "key-a-00 100"), ("refund", "key-b-00 89500")],
        {"lost_reply": 1, "retry": 1},
    ),
}
STOCK_SCENARIOS: dict[str, tuple[Any, list[tuple[str, str]], dict[str, int]]] = {
    "cancelled, and booked by two others, a crash": (
        held_world,
        [("cancel", ""), ("book", "b"), ("book", "c")],
        {"crash": 1},
    ),
    "cancelled, booked by another, blocked, and the other cancels": (
        held_world,
        [("cancel", ""), ("book", "b"), ("block", "")],
        {"crash": 2},
    ),
    "prepaid, cancelled, paid late, booked by another": (
        held_and_prepaid_world,
        [("cancel", ""), ("book", "b")],
        {"late": 1, "duplicate": 1},
    ),
    "prepaid, its time is over, booked by another, a crash": (
        held_and_prepaid_world,
        [("sweep", EXPIRY), ("book", "b")],
        {"crash": 1},
    ),
    "paid, its guest cancels, redeemed, booked by another, a lost event": (
        held_and_paid_world,
        [("ask back", ""), ("redeem", ""), ("book", "b")],
        {"lost_event": 1, "crash": 1},
    ),
    "paid, one night given up twice, blocked, booked by another": (
        held_and_paid_world,
        [("give up", "key-a-00"), ("give up", "key-b-00"), ("block", ""), ("book", "b")],
        {"lost_reply": 1},
    ),
    "paid, its guest cancels and staff refund a part, booked by another": (
        held_and_paid_world,
        [("ask back", ""), ("give up", "key-a-00"), ("book", "b")],
        {"crash": 1, "duplicate": 1},
    ),
    "paid, all of it refunded in the console, booked by another": (
        held_and_paid_world,
        [("book", "b")],
        {"console_refund": 1, "console_fen": TOTAL, "lost_event": 1, "duplicate": 1, "crash": 1},
    ),
}
SCENARIOS |= STOCK_SCENARIOS

LONG = {
    "paid, one night given up twice, blocked, booked by another",
    "paid, its guest cancels and staff refund a part, booked by another",
    "a refund is withdrawn, and WeChat is asked twice",
    "a withdrawal meets a late acceptance",
    "paid, refunded in the console, both notices and a poll in any order, a redemption",
    "prepay, cancel twice, a crash",
    "two partial refunds",
    "two partial refunds, replies lost",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in SCENARIOS]
)
def test_no_interleaving_loses_a_fen(model: Model, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    start, processes, trouble = SCENARIOS[name]
    world = going(start(model, **trouble), *processes)
    worlds = model.walk(world, check, at_rest(model))
    with capsys.disabled():
        sys.stderr.write(f"\n{name}: {worlds} worlds ")
    assert worlds > 50


def test_while_the_pause_between_two_calls_lasts_nothing_is_lost_either(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two phones, a crash, a lost reply, all within five seconds: who comes second is told to wait."""
    for module in (payment, create_prepay, orders, status_poll):
        monkeypatch.setattr(module, "CALL_PAUSE", timedelta(seconds=5))
    world = going(new_world(model, crash=1, lost_reply=1), ("prepay", "a"), ("prepay", "b"), ("cancel", ""))
    assert model.walk(world, check, at_rest(model)) > 50
