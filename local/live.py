"""The live trace behind the pages: an order's life as server-sent events, and WeChat's faults as a switchboard.

    GET /live/functions              which functions there are, and what each is tied to
    GET /live/orders                 events: the newest order, whenever there is one
    GET /live/orders/{order_sn}      events: the life so far, then each step as it happens
    GET, POST, DELETE /live/faults   what can be made to go wrong; {"name": ..., "mode": "once" | "always" | "off"}
    POST /live/sweep                 the janitor comes now

One poller per order serves all who watch it, and ends with the last of them. It looks often while something happens and
seldom when nothing does; the front door wakes it.
"""

import asyncio
import contextlib
import itertools
import json
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from local.stack import Stack, SweepFailed
from local.steps import ApiCall, answer, as_json, route, steps, summary
from local.topology import Topology, whole
from payments.domain.order import ORDER_SN
from payments.store.keys import PAYMENT, entity

LOOK_OFTEN_S, LOOK_SELDOM_S = 0.03, 1.0
LIVELY_S = 3.0
"""How long after the last change, or the last request, it looks often."""

BEAT_S = 15.0
AT_ONCE = 50
"""Streams; a page needs one."""

ORDERS_KEPT, REQUESTS_KEPT = 500, 300
TIMEOUT_S = 5.0
ALWAYS = 1_000_000


@dataclass(frozen=True, slots=True)
class Switch:
    """One fault of the simulator's catalogue (docs/simulator.md) that people can switch on."""

    call: str
    answer: str
    value: float = 0
    after_effect: bool = False

    def fault(self, times: int) -> dict[str, Any]:
        fault = {"call": self.call, "answer": self.answer, "value": self.value, "after_effect": self.after_effect}
        return fault | {"times": times}

    def is_of(self, fault: dict[str, Any]) -> bool:
        """What is to happen to one trade alone is nobody's switch."""
        return not fault["out_trade_no"] and (self.call, self.answer, self.after_effect) == (
            fault["call"],
            fault["answer"],
            fault["after_effect"],
        )


SWITCHES = {
    "callback_lost": Switch("callback", "drop"),
    "callback_late": Switch("callback", "late", 8),
    "callback_ten": Switch("callback", "at_once", 10),
    "callback_probe": Switch("callback", "signtest"),
    "callback_wrong_amount": Switch("callback", "wrong_amount", 1),
    "prepay_500": Switch("prepay", "500"),
    "prepay_reply_lost": Switch("prepay", "drop", after_effect=True),
    "paid_first": Switch("prepay", "paid_first"),
    "query_timeout": Switch("query", "timeout"),
    "coupon": Switch("cashier", "coupon", 1000),
    "paid_after_close": Switch("cashier", "after_close"),
    "message_refused": Switch("send", "refused"),
    "message_busy": Switch("send", "busy"),
    "message_no_page": Switch("send", "no_page"),
    "token_invalidated": Switch("send", "token_invalidated"),
    "refund_not_enough": Switch("refund", "not_enough"),
    "refund_reply_lost": Switch("refund", "drop", after_effect=True),
    "refund_abnormal": Switch("refund_end", "ABNORMAL"),
}


class Trouble(Exception):
    """The emulator or the simulator does not answer."""


class Live:
    """What the front door saw, who watches, and the way to table and simulator."""

    def __init__(self, stack: Stack, wechat_url: str, topology: Topology | None = None) -> None:
        self._stack, self._wechat_url, self._topology = stack, wechat_url, topology or whole()
        self._store = stack.store
        self._numbers = itertools.count(1)
        self._requests: OrderedDict[str, list[ApiCall]] = OrderedDict()
        self._watches: dict[str, _Watch] = {}
        self._streams = 0
        self._newest = ""
        self._news = asyncio.Event()
        self._closed = False

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(self._wechat_url, timeout=timeout) as self._wechat:
            yield
            await asyncio.gather(*(watch.stop() for watch in self._watches.values()))

    def close(self) -> None:
        """Ends the streams: an open page must not hold up the end of the server."""
        self._closed = True
        for watch in self._watches.values():
            watch.news.set()
        self._news.set()

    def routes(self) -> list[Route]:
        return [
            Route("/live/functions", self._functions),
            Route("/live/orders", self._newest_order),
            Route("/live/orders/{order_sn}", self._order),
            Route("/live/faults", self._faults, methods=["GET", "POST", "DELETE"]),
            Route("/live/sweep", self._sweep, methods=["POST"]),
        ]

    # --- what the front door sees

    @contextlib.contextmanager
    def seen(self, method: str, path: str) -> Iterator["Seen"]:
        """Takes down a request while it is forwarded, if it is a step of an order's life, and wakes who watches."""
        known = route(method, path)
        if known is None:
            self._wake("" if path == "/wxpay/notify" else None)
            yield Seen()
            return
        call, part, order_sn = known
        noted = ApiCall(n=next(self._numbers), at=datetime.now(UTC), call=call, part=part)
        if order_sn:
            self._note(order_sn, noted)
        seen, started = Seen(), time.monotonic()
        try:
            yield seen
        finally:
            noted.ms = round((time.monotonic() - started) * 1000, 1)
            noted.status = seen.status
            told = seen.json()
            noted.answer = answer(call, told)
            named = str(told.get("order_sn", "")) if isinstance(told, dict) else ""
            if not order_sn and ORDER_SN.fullmatch(named):
                self._note(named, noted)
            self._wake(order_sn or named or None)
            if call == "order" and seen.status == 201:
                self._newest = named
                self._news, news = asyncio.Event(), self._news
                news.set()

    def _note(self, order_sn: str, request: ApiCall) -> None:
        known = self._requests.setdefault(order_sn, [])
        known.append(request)
        del known[:-REQUESTS_KEPT]
        self._requests.move_to_end(order_sn)
        if len(self._requests) > ORDERS_KEPT:
            self._requests.popitem(last=False)
        self._wake(order_sn)

    def _wake(self, order_sn: str | None) -> None:
        """Those who watch this order; empty: all; None: nobody."""
        for number, watch in self._watches.items():
            if order_sn in ("", number):
                watch.liven()

    async def _functions(self, _: Request) -> Response:
        """For the picture, in the order of the template. `wechat`: it calls WeChat, or WeChat's mini-program API."""
        return JSONResponse(
            [
                {
                    "name": function.name,
                    "routes": function.routes,
                    "takes": function.takes,
                    "stream": function.reads_stream,
                    "scheduled": bool(function.schedules),
                    "table": "TABLE_NAME" in function.variables,
                    "topic": "TOPIC_ARN" in function.variables,
                    "wechat": bool({"WECHAT_PAY_BASE_URL", "MINI_PROGRAM_BASE_URL"} & set(function.variables)),
                }
                for function in self._topology.functions.values()
            ]
        )

    # --- streams

    async def _newest_order(self, _: Request) -> Response:
        async def events() -> AsyncGenerator[str]:
            told = ""
            while not self._closed:
                news = self._news
                if self._newest != told:
                    told = self._newest
                    yield _event("newest", {"order_sn": told})
                elif not await _within(news, BEAT_S):
                    yield ": beat\n\n"

        return self._stream(events()) if self._streams < AT_ONCE else _too_many()

    async def _order(self, request: Request) -> Response:
        order_sn = request.path_params["order_sn"]
        if not ORDER_SN.fullmatch(order_sn):
            return _not_found(order_sn)
        if self._streams >= AT_ONCE:
            return _too_many()
        if order_sn not in self._watches:
            try:
                if not await self._items(order_sn):
                    return _not_found(order_sn)
            except Trouble as trouble:
                return _problem(503, "unavailable", str(trouble))
        return self._stream(self._events(order_sn))

    async def _events(self, order_sn: str) -> AsyncGenerator[str]:
        watch = self._watches.setdefault(order_sn, _Watch(self, order_sn))
        watch.join()
        try:
            seen = 0
            while watch.alive and not self._closed:
                news = watch.news
                if watch.version > seen:
                    for step in watch.since(seen):
                        yield _event("step", step)
                    yield _event("state", watch.state)
                    seen = watch.version
                elif not await _within(news, BEAT_S):
                    yield ": beat\n\n"
        finally:
            if watch.leave():
                del self._watches[order_sn]

    def _stream(self, events: AsyncGenerator[str]) -> Response:
        async def counted() -> AsyncGenerator[str]:
            self._streams += 1
            try:
                yield "retry: 1000\n\n"
                async for event in events:
                    yield event
            finally:
                self._streams -= 1
                await events.aclose()

        return StreamingResponse(
            counted(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )

    # --- table and simulator

    async def look(self, order_sn: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The steps of an order and where it stands, now. Raises Trouble."""
        items = await self._items(order_sn)
        payments = [item for item in items if entity(item["sk"]) == PAYMENT]
        trades = [item["sk"] for item in payments]
        numbers = [f"{order_sn}_{item['n']}" for item in payments]
        told = await asyncio.gather(*(self._ask("GET", f"/_sim/trades/{number}/calls") for number in numbers))
        # By number: messages are their guest's, so each of his trades tells them.
        calls = {call["n"]: call | {"trade": sk} for sk, trade in zip(trades, told, strict=True) for call in trade}
        moments = steps(items, calls.values(), self._requests.get(order_sn, []))
        return [as_json(moment, moments[0].at) for moment in moments], summary(items)

    async def _items(self, order_sn: str) -> list[dict[str, Any]]:
        try:
            return await asyncio.to_thread(self._store.items, order_sn)
        except (BotoCoreError, ClientError) as error:
            raise Trouble(f"the AWS emulator does not answer: {type(error).__name__}") from None

    async def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            async with self._wechat.request(method, path, **arguments) as reply:
                reply.raise_for_status()
                return await reply.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Trouble(f"the WeChat simulator does not answer: {type(error).__name__}") from None

    # --- the switchboard

    async def _faults(self, request: Request) -> Response:
        """The switches: which are on, and how often each has fired."""
        try:
            if request.method == "DELETE":
                await self._ask("DELETE", "/_sim/faults")
            elif request.method == "POST" and (problem := await self._switch(request)):
                return problem
            faults = await self._ask("GET", "/_sim/faults")
        except Trouble as trouble:
            return _problem(503, "unavailable", str(trouble))
        return JSONResponse([_told(name, switch, faults) for name, switch in SWITCHES.items()])

    async def _switch(self, request: Request) -> Response | None:
        """One switch to another mode; a problem when there is no such thing."""
        if not request.headers.get("content-type", "").startswith("application/json"):
            return _problem(415, "unsupported-media-type", "Send application/json.")
        with contextlib.suppress(ValueError, RecursionError):
            body = await request.json()
            if isinstance(body, dict):
                switch, modes = SWITCHES.get(str(body.get("name"))), {"once": 1, "always": ALWAYS, "off": 0}
                if switch is None:
                    return _problem(422, "invalid", f"name: one of {', '.join(SWITCHES)}")
                times = modes.get(str(body.get("mode")))
                if times is None:
                    return _problem(422, "invalid", f"mode: one of {', '.join(modes)}")
                which = {"call": switch.call, "answer": switch.answer}
                await self._ask("DELETE", "/_sim/faults", params=which)
                if times:
                    await self._ask("POST", "/_sim/faults", json=switch.fault(times))
                return None
        return _problem(422, "invalid", 'Send {"name": "callback_lost", "mode": "once"}.')

    async def _sweep(self, _: Request) -> Response:
        self._wake("")
        try:
            return JSONResponse(await asyncio.to_thread(self._stack.sweep))
        except (BotoCoreError, ClientError, SweepFailed) as error:
            return _problem(502, "sweep-failed", f"The janitor failed: {error}")


class Seen:
    """The reply to a request, as the front door tells it; 0: there was none."""

    def __init__(self) -> None:
        self.status, self.body = 0, b""

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class _Watch:
    """The poller of one order. What listeners have not seen yet they take by version: slow ones take less often."""

    def __init__(self, live: Live, order_sn: str) -> None:
        self.order_sn = order_sn
        self.version = 0
        self.state: dict[str, Any] = {}
        self.news = asyncio.Event()
        self._live = live
        self._steps: dict[str, tuple[int, dict[str, Any]]] = {}
        self._listeners = 0
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._lively_until = 0.0

    def join(self) -> None:
        self._listeners += 1
        self.liven()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(lambda _: self.news.set())  # whoever still listens comes again

    @property
    def alive(self) -> bool:
        return self._task is not None and not self._task.done()

    def leave(self) -> bool:
        """True when nobody is left: it ends."""
        self._listeners -= 1
        if not self._listeners and self._task:
            self._task.cancel()
        return not self._listeners

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def liven(self) -> None:
        self._lively_until = time.monotonic() + LIVELY_S
        self._woken.set()

    def since(self, version: int) -> list[dict[str, Any]]:
        """The steps that are new, or of which more is known, since then."""
        return [step for changed, step in self._steps.values() if changed > version]

    async def _run(self) -> None:
        while True:
            try:
                told, state = await self._live.look(self.order_sn)
            except Trouble as trouble:
                told, state = [], self.state | {"trouble": str(trouble)}
            self._take(told, state)
            if time.monotonic() < self._lively_until:
                await asyncio.sleep(LOOK_OFTEN_S)
            else:
                self._woken.clear()
                await _within(self._woken, LOOK_SELDOM_S)

    def _take(self, told: list[dict[str, Any]], state: dict[str, Any]) -> None:
        changed = [step for step in told if self._steps.get(step["id"], (0, None))[1] != step]
        if told:
            ids = {step["id"] for step in told}
            changed += [
                {"id": one, "gone": True}
                for one, (_, step) in self._steps.items()
                if one not in ids and "gone" not in step
            ]
        if not changed and state == self.state:
            return
        self.version += 1
        self.state = state
        for step in changed:
            self._steps[step["id"]] = (self.version, step)
        self._lively_until = max(self._lively_until, time.monotonic() + LIVELY_S)
        self.news, news = asyncio.Event(), self.news
        news.set()


def _told(name: str, switch: Switch, faults: list[dict[str, Any]]) -> dict[str, Any]:
    mine = [fault for fault in faults if switch.is_of(fault)]
    left = sum(max(fault["times"] - fault["fired"], 0) for fault in mine)
    mode = "off" if not left else "once" if left == 1 else "always"
    return {"name": name, "mode": mode, "fired": sum(fault["fired"] for fault in mine)}


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _problem(status: int, name: str, title: str) -> Response:
    body = {"type": f"urn:wxpay:{name}", "title": title, "status": status}
    return JSONResponse(body, status, media_type="application/problem+json")


def _not_found(order_sn: str) -> Response:
    return _problem(404, "not-found", f"There is no order {order_sn[:40]} here.")


def _too_many() -> Response:
    return _problem(503, "too-many-streams", f"More than {AT_ONCE} pages watch already: close some.")
