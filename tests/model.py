"""Every interleaving of a small world, walked to its end, with the project's own code in it.

A process is one of the real functions. It is run with the answers that it has had so far; at its next call to DynamoDB
or WeChat it is stopped, and the call is the process's next step. So a state of the world is the table, WeChat's trades,
and the answers that each process has had: it can be kept, compared and gone on from in every possible order. Writes are
judged by moto, with the conditions that `payments.store` sends; events are what `payments.edge.events` derives from
the images. Only WeChat is a model here, of a dozen lines; the simulator stands in all other tests.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from payments.domain.payment import Payment, TradeReport
from payments.domain.refund import Refund, RefundReport, RefundStatus
from payments.domain.trade_number import TradeNumber
from payments.edge.events import Event, derive
from payments.store.dynamodb import unwire
from payments.wechat.errors import OutcomeUnknown, Refused
from payments.wechat.pay import PaymentRequest
from tests.examples import APPID, MCHID, NOW, ORDER_SN

TABLE = "table"
Items = tuple[tuple[str, str], ...]
"""(name, item as JSON), sorted. An item of the example's order is named by its sort key, any other by both keys."""

OWN = f"ORDER#{ORDER_SN}"


def named(pk: str, sk: str) -> str:
    return sk if pk == OWN else f"{pk}/{sk}"


def keys_of(name: str) -> dict[str, Any]:
    pk, _, sk = name.rpartition("/")
    return {"pk": {"S": pk or OWN}, "sk": {"S": sk}}


class Stopped(BaseException):
    """A process has come to a call whose answer it does not have yet. No `except Exception` may catch it."""

    def __init__(self, call: str) -> None:
        self.call = call


@dataclass(frozen=True)
class Process:
    """One run of a function: what it is, and the answers that it has had. Every function is over within a minute: one
    that has begun does not see the next (`World.minute`)."""

    kind: str
    argument: str = ""
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class World:
    """One state of everything. `budget`: how much trouble may still happen, by kind."""

    items: Items
    trades: tuple[tuple[int, str], ...] = ()
    refunds: tuple[tuple[str, int, int, str], ...] = ()  # out_refund_no, n, amount, status
    processes: tuple[Process, ...] = ()
    handed: tuple[int, ...] = ()  # trades that a phone can pay
    minute: int = 0  # since the walk began
    budget: tuple[tuple[str, int], ...] = ()

    def left(self, trouble: str) -> int:
        return dict(self.budget).get(trouble, 0)

    def has(self, trouble: str) -> bool:
        """Whether this world ever had such trouble to give."""
        return trouble in dict(self.budget)

    def spend(self, trouble: str) -> "World":
        return replace(self, budget=tuple((name, n - (name == trouble)) for name, n in self.budget))

    def plain(self) -> list[dict[str, Any]]:
        return [unwire(json.loads(item)) for _, item in self.items]

    def item(self, sk: str) -> dict[str, Any]:
        return next((unwire(json.loads(item)) for key, item in self.items if key == sk), {})

    def trade(self, n: int) -> str | None:
        return dict(self.trades).get(n)


# --- the functions under test, with their calls cut out


class Calls:
    """The calls of the process that is running: answered from its answers, until there are none left."""

    def __init__(self) -> None:
        self._answers: list[str] = []

    def begin(self, answers: tuple[str, ...]) -> None:
        self._answers = list(answers)

    def __call__(self, target: str, operation: str, arguments: Mapping[str, Any]) -> Any:
        if not self._answers:
            raise Stopped(json.dumps([target, operation, arguments], sort_keys=True, ensure_ascii=False))
        return json.loads(self._answers.pop(0))


class _Failed(Exception):
    """botocore's exception, as far as the table looks at it."""

    def __init__(self, response: dict[str, Any]) -> None:
        super().__init__("failed")
        self.response = response


class Dynamo:
    """The client that `payments.store` talks to."""

    class exceptions:  # noqa: N801
        class ConditionalCheckFailedException(_Failed): ...

        class TransactionConflictException(_Failed): ...

        class TransactionCanceledException(_Failed): ...

    def __init__(self, calls: Calls, still: Mapping[str, Any]) -> None:
        """`still`: items that never change, by name, in wire form: to read one is no step."""
        self._calls = calls
        self._still = still

    def get_item(self, **arguments: Any) -> Any:
        name = named(*(arguments["Key"][key]["S"] for key in ("pk", "sk")))
        if name in self._still:
            return {"Item": self._still[name]}
        return self._calls("dynamodb", "get_item", {"name": name})

    def put_item(self, **arguments: Any) -> None:
        self._write("put_item", arguments)

    def update_item(self, **arguments: Any) -> None:
        self._write("update_item", arguments)

    def _write(self, operation: str, arguments: dict[str, Any]) -> None:
        answer = self._calls("dynamodb", operation, arguments)
        if "failed" in answer:
            image = {"Item": answer["failed"]} if answer["failed"] else {}
            raise self.exceptions.ConditionalCheckFailedException(image)

    def transact_write_items(self, **arguments: Any) -> None:
        answer = self._calls("dynamodb", "transact_write_items", arguments)
        if "failed" in answer:
            raise self.exceptions.TransactionCanceledException({"CancellationReasons": answer["failed"]})

    def get_paginator(self, _: str) -> "Dynamo":
        return self

    def paginate(self, **arguments: Any) -> list[Any]:
        assert "IndexName" not in arguments, "a world has no index"
        values = {name: value["S"] for name, value in arguments["ExpressionAttributeValues"].items()}
        return [self._calls("dynamodb", "query", values)]

    def query(self, **arguments: Any) -> Any:
        assert arguments["IndexName"] == "user", "a world has no index"
        return {"Items": []}  # nobody orders so often that he has to wait


class Wechat:
    """The client that the functions talk to."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def _ask(self, operation: str, **arguments: Any) -> Any:
        answer = self._calls("wechat", operation, arguments)
        if "unknown" in answer:
            raise OutcomeUnknown("lost")
        if "refused" in answer:
            raise Refused(*answer["refused"])
        return answer["told"]

    def prepay(self, payment: Payment) -> str:
        return str(self._ask("prepay", n=payment.n))

    def query(self, payment: Payment) -> TradeReport | None:
        state = self._ask("query", n=payment.n)
        return trade(payment.n, state) if state else None

    def close(self, payment: Payment) -> None:
        self._ask("close", n=payment.n)

    def payment_request(self, _payment: Payment, prepay_id: str, *_: object) -> PaymentRequest:
        return PaymentRequest("1", "n", f"prepay_id={prepay_id}", "RSA", "s")

    def refund(self, refund: Refund) -> RefundReport:
        n = refund.n
        return word(*self._ask("refund", out_refund_no=refund.out_refund_no, n=n, amount=refund.amount_fen))

    def query_refund(self, out_refund_no: str) -> RefundReport | None:
        told = self._ask("query_refund", out_refund_no=out_refund_no)
        return word(*told) if told else None


def trade(n: int, state: str) -> TradeReport:
    """WeChat's report on trade n of the example order."""
    known = TradeReport(number=TradeNumber(ORDER_SN, n), trade_state=state, appid=APPID, mchid=MCHID)
    if not known.paid:
        return known
    sums = {"total_fen": TOTAL, "payer_total_fen": TOTAL, "currency": "CNY"}
    return replace(known, transaction_id=f"42{n}", success_time=NOW, **sums)  # type: ignore[arg-type]


def word(out_refund_no: str, n: int, amount: int, status: str) -> RefundReport:
    """WeChat's report on a refund of trade n."""
    return RefundReport(
        number=TradeNumber(ORDER_SN, n),
        out_refund_no=out_refund_no,
        refund_id=f"50{out_refund_no[-8:]}",
        transaction_id=f"42{n}",
        status=RefundStatus(status),
        total_fen=TOTAL,
        amount_fen=amount,
    )


TOTAL = 89600
PAID = ("SUCCESS", "REFUND")
WALK_BEGINS = NOW + timedelta(minutes=1)

Run = Callable[[str], Any]


@dataclass
class Model:
    """Walks worlds. `functions` runs a process of each kind; `dynamodb` is a boto3 client of an empty moto table."""

    functions: Mapping[str, Run]
    calls: Calls
    dynamodb: Any
    clock: Callable[[int], None]  # sets the time to so many minutes after the walk's beginning
    _next: dict[tuple[Process, int], tuple[str, Any]] = field(default_factory=dict)
    _written: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    # --- one process

    def next_of(self, process: Process, minute: int) -> tuple[str, Any]:
        """("call", what) or ("done", what it gave) or ("failed", why)."""
        key = (process, minute)
        if key not in self._next:
            self.clock(minute)
            self.calls.begin(process.answers)
            try:
                self._next[key] = ("done", self.functions[process.kind](process.argument))
            except Stopped as stopped:
                self._next[key] = ("call", stopped.call)
            except Exception as error:  # noqa: BLE001  # what a function raises is its end, and told
                self._next[key] = ("failed", f"{type(error).__name__}: {error}")
        return self._next[key]

    # --- one step

    def steps(self, world: World) -> Iterator[tuple[str, World]]:
        """Everything that may happen next: (what, the world after it)."""
        for position, process in enumerate(world.processes):
            if process in world.processes[:position]:
                continue  # its twin has the same future
            rest = replace(world, processes=(*world.processes[:position], *world.processes[position + 1 :]))
            state, what = self.next_of(process, world.minute)
            name = f"{process.kind} {process.argument[:70]}"
            again = replace(process, answers=())
            if state == "call":
                for told, answer, after in self._answer(rest, json.loads(what)):
                    yield f"{name}: {told}", self._gone_on(after, replace(process, answers=(*process.answers, answer)))
            if process.answers and world.left("crash"):
                yield f"{name}: CRASH, and again", _with(rest.spend("crash"), again)
            if state == "failed" and world.left("retry"):
                yield f"{name}: {what}, and again", _with(rest.spend("retry"), again)
            if state == "failed":
                yield f"{name}: {what}", rest
            if process.kind in EVENTS and not process.answers:
                if world.left("duplicate"):
                    yield f"{name}: comes twice", _with(world.spend("duplicate"), process)
                if world.left("lost_event") and _may_get_lost(world, process):
                    yield f"{name}: is LOST", rest.spend("lost_event")
        if world.left("minute"):
            yield "a minute passes", _a_minute_later(world.spend("minute"))
        yield from self._people(world)

    def _gone_on(self, world: World, process: Process) -> World:
        """A process that has nothing left to call is gone; a prepay leaves its trade on a phone."""
        state, gave = self.next_of(process, world.minute)
        if state != "done":
            return _with(world, process)
        if process.kind == "prepay":
            return replace(world, handed=tuple(sorted({*world.handed, int(gave)})))
        return world

    def _people(self, world: World) -> Iterator[tuple[str, World]]:
        for n in world.handed:
            if world.trade(n) == "NOTPAY":
                yield f"the guest pays {n}", _paid(world, n)
                if world.left("console_close"):
                    yield f"{n} is closed in the console", _with_trade(world.spend("console_close"), n, "CLOSED")
            if world.left("console_refund") and world.trade(n) == "SUCCESS" and _room(world, n):
                yield f"{n} is refunded in the console", _refunded_in_console(world.spend("console_refund"), n)
            if world.trade(n) == "CLOSED" and world.left("late"):
                yield f"{n} is paid LATE", _paid(world.spend("late"), n)
        for number, n, amount, status in world.refunds:
            if status == "PROCESSING":
                done = (number, n, amount, "SUCCESS")
                refunds = tuple(done if refund[0] == number else refund for refund in world.refunds)
                notice = Process("refund_callback", json.dumps(done))
                yield f"refund {number[-12:]} ends", _with(replace(world, refunds=refunds), notice)

    # --- one call

    def _answer(self, world: World, call: list[Any]) -> Iterator[tuple[str, str, World]]:
        target, operation, arguments = call
        if target == "dynamodb":
            answer, after = self._dynamodb(world, operation, arguments)
            failed = " FAILS" if "failed" in answer else ""
            yield f"{operation}{failed} {json.dumps(arguments)[:90]}", json.dumps(answer), after
            return
        if target == "sns":
            told = consumers_of(Event.model_validate_json(arguments["event"]))
            yield f"publishes {arguments['event'][:70]}", "{}", _with(world, *told)
            return
        answer, after = _wechat(world, operation, arguments)
        line = f"WeChat {operation} {arguments.get('n', '')}: {answer}"
        yield line, json.dumps(answer), after
        if world.left("lost_reply"):
            yield f"{line}, but the REPLY IS LOST", json.dumps({"unknown": True}), after.spend("lost_reply")

    def _dynamodb(self, world: World, operation: str, arguments: dict[str, Any]) -> tuple[Any, World]:
        partition = dict(world.items)
        if operation == "get_item":
            item = partition.get(arguments["name"])
            return ({"Item": json.loads(item)} if item else {}), world
        if operation == "query":
            return {"Items": list(_found(world, arguments))}, world
        keys = [_name(part) for part in _parts(operation, arguments)]
        before = {sk: partition.get(sk, "") for sk in keys}
        asked = (json.dumps([operation, arguments], sort_keys=True), json.dumps(before, sort_keys=True))
        if asked not in self._written:
            self._written[asked] = self._write(operation, arguments, before)
        answer, written = self._written[asked]
        after = json.loads(written)
        events = [told for sk, item in after.items() if item != before[sk] for told in _consequences(before[sk], item)]
        items = tuple(sorted((sk, item) for sk, item in (partition | after).items() if item))
        return json.loads(answer), _with(replace(world, items=items), *events)

    def _write(self, operation: str, arguments: dict[str, Any], before: dict[str, str]) -> tuple[str, str]:
        """Judged by moto on a table that holds just the items in question; gives the answer and the items after it."""
        for name, item in before.items():
            self.dynamodb.delete_item(TableName=TABLE, Key=keys_of(name))
            if item:
                self.dynamodb.put_item(TableName=TABLE, Item=json.loads(item))
        answer: dict[str, Any] = {}
        try:
            getattr(self.dynamodb, operation)(**arguments)
        except self.dynamodb.exceptions.ConditionalCheckFailedException as failed:
            answer = {"failed": failed.response.get("Item", {})}
        except self.dynamodb.exceptions.TransactionCanceledException as cancelled:
            answer = {"failed": cancelled.response["CancellationReasons"]}
        after = {}
        for name in before:
            reply = self.dynamodb.get_item(TableName=TABLE, Key=keys_of(name))
            after[name] = json.dumps(reply["Item"], sort_keys=True) if "Item" in reply else ""
        return json.dumps(answer), json.dumps(after)

    # --- runs without choice

    def run(self, world: World, kind: str, argument: str = "") -> tuple[Any, World]:
        """One process alone, to its end."""
        process = Process(kind, argument)
        while True:
            state, what = self.next_of(process, world.minute)
            if state != "call":
                return (what if state == "done" else None), world
            _, answer, world = next(self._answer(world, json.loads(what)))
            process = replace(process, answers=(*process.answers, answer))

    def one_call(self, world: World, process: Process) -> Process:
        """A process that has had the answer to its first call, which is a read."""
        _, what = self.next_of(process, world.minute)
        _, answer, _ = next(self._answer(world, json.loads(what)))
        return replace(process, answers=(*process.answers, answer))

    def drain(self, world: World) -> World:
        """All that is to be run, one after the other, until nothing is."""
        while world.processes:
            process, *rest = world.processes
            _, world = self.run(replace(world, processes=tuple(rest)), process.kind, process.argument)
        return world

    # --- the walk

    def walk(
        self, start: World, check: Callable[[World, World], None], at_rest: Callable[[World], None], limit: int = 10**6
    ) -> int:
        """Every reachable world, each once: `check` holds for every step (before, after), `at_rest` where no process is
        left. Gives how many there are; walks no more than `limit`.

        Raises AssertionError with the way that leads to the first world where one of them does not hold.
        """
        came: dict[World, tuple[World, str] | None] = {start: None}
        todo = deque([start])
        while todo and len(came) < limit:
            world = todo.popleft()
            last = ""
            try:
                if not world.processes:
                    at_rest(world)
                for last, after in self.steps(world):
                    if after not in came:
                        check(world, after)
                        came[after] = (world, last)
                        todo.append(after)
            except AssertionError as error:
                way = "\n".join(f"{n:3}. {told}" for n, told in enumerate([*_way(came, world), last], 1))
                raise AssertionError(f"{error}\n{way}") from error
        return len(came)


EVENTS = {"callback", "order_update", "execute_refund", "refund_callback"}
"""Started by a message: it may come twice, or never (but WeChat repeats its notice of late money for a day)."""


def _way(came: Mapping[World, tuple[World, str] | None], world: World) -> list[str]:
    way: list[str] = []
    while (step := came[world]) is not None:
        world, told = step
        way.append(told)
    return way[::-1]


def _parts(operation: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    if operation != "transact_write_items":
        return [arguments]
    return [part for item in arguments["TransactItems"] for part in item.values()]


def _name(part: dict[str, Any]) -> str:
    keys = part.get("Key") or part["Item"]
    return named(keys["pk"]["S"], keys["sk"]["S"])


def _found(world: World, values: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What a Query finds: a partition, or a stretch of it."""
    for _, text in world.items:
        item = json.loads(text)
        within = ":first" not in values or values[":first"] <= item["sk"]["S"] <= values[":last"]
        if item["pk"]["S"] == values[":pk"] and within:
            yield item


def _with(world: World, *more: Process) -> World:
    return replace(world, processes=tuple(sorted((*world.processes, *more), key=_order))) if more else world


def _order(process: Process) -> tuple[str, str, tuple[str, ...]]:
    return process.kind, process.argument, process.answers


def _consequences(before: str, after: str) -> list[Process]:
    """What the stream makes of a change: the event, for the consumers that are told of it."""
    old, new = (unwire(json.loads(image)) if image else None for image in (before, after))
    event = derive(old, new, NOW)
    return consumers_of(event) if event else []


def consumers_of(event: Event) -> list[Process]:
    """As the topic's filters send it; messages to guests are no money and not part of this."""
    text = event.model_dump_json(exclude_none=True)
    told = [Process("order_update", text)] if event.type.startswith(("payment.", "refund.")) else []
    return told + ([Process("execute_refund", text)] if event.type == "refund.requested" else [])


def _with_trade(world: World, n: int, state: str) -> World:
    return replace(world, trades=tuple(sorted((dict(world.trades) | {n: state}).items())))


def _room(world: World, n: int) -> bool:
    """WeChat refunds no more than was paid."""
    back = sum(refund[2] for refund in world.refunds if refund[1] == n)
    return back + dict(world.budget)["console_fen"] <= TOTAL


def _may_get_lost(world: World, process: Process) -> bool:
    """WeChat repeats its notice of late money for a day. A console refund of a trade whose success is recorded, or is
    about to be by its own notice, would be found by the bill alone when its notice gets lost."""
    if process.kind == "callback":
        return not world.has("late")
    if process.kind == "refund_callback" and world.has("console_refund"):
        success = json.dumps({"told": "SUCCESS"})
        told = any(other.kind == "callback" or success in other.answers for other in world.processes)
        return not told and world.item("PAYMENT#1").get("status") == "NOTPAY"
    return True


def _refunded_in_console(world: World, n: int) -> World:
    """At once, in part or in full as the world says; WeChat tells of it like of any other."""
    amount = dict(world.budget)["console_fen"]
    made = (f"C{n}", n, amount, "SUCCESS")
    world = _with_trade(replace(world, refunds=tuple(sorted((*world.refunds, made)))), n, "REFUND")
    return _with(world, Process("refund_callback", json.dumps(made)))


def sweeps(world: World, at: datetime) -> list[Process]:
    """What the janitor has to look at then: a process for each order."""
    due: dict[str, list[tuple[str, str]]] = {}
    for item in world.plain():
        if "due_at" in item and datetime.fromisoformat(item["due_at"]) < at:
            due.setdefault(item["order_sn"], []).append((item["sk"], item["due_at"]))
    return [Process("sweep", json.dumps([at.isoformat(), order_sn, *of])) for order_sn, of in sorted(due.items())]


def _a_minute_later(world: World) -> World:
    """What has begun is over: its caller has nothing, its letter comes again. The janitor looks at what is due."""
    begun = [process for process in world.processes if process.answers]
    again = [replace(process, answers=()) for process in begun if process.kind in EVENTS]
    waiting = [process for process in world.processes if not process.answers and process.kind != "sweep"]
    janitor = sweeps(world, WALK_BEGINS + timedelta(minutes=world.minute + 1))
    world = replace(world, minute=world.minute + 1, processes=())
    return _with(world, *waiting, *again, *janitor)


def _paid(world: World, n: int) -> World:
    return _with(_with_trade(world, n, "SUCCESS"), Process("callback", str(n)))


def _wechat(world: World, operation: str, arguments: dict[str, Any]) -> tuple[Any, World]:
    """WeChat in a dozen lines."""
    n, number = arguments.get("n", 0), arguments.get("out_refund_no", "")
    state = world.trade(n)
    known = next((list(refund) for refund in world.refunds if refund[0] == number), None)
    match operation:
        case "prepay" if state in PAID:
            return {"refused": ["ORDER_PAID", 400]}, world
        case "prepay" if state == "CLOSED":
            return {"refused": ["ORDER_CLOSED", 400]}, world
        case "prepay":
            return {"told": f"wx{n}"}, _with_trade(world, n, "NOTPAY")
        case "query":
            return {"told": state}, world
        case "close" if state in PAID:
            return {"refused": ["ORDER_PAID", 400]}, world
        case "close":
            return {"told": None}, _with_trade(world, n, "CLOSED")
        case "refund" if known is None:
            if sum(refund[2] for refund in world.refunds if refund[1] == n) + arguments["amount"] > TOTAL:
                return {"refused": ["INVALID_REQUEST", 400]}, world
            made = (str(number), int(n), int(arguments["amount"]), "PROCESSING")
            return {"told": made}, replace(world, refunds=tuple(sorted((*world.refunds, made))))
    return {"told": known}, world
