"""For those who drive the simulator: users, the cashier, notices, the clock, faults, the state, and a page to watch."""

import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from simulator import cashier, pay, refunds
from simulator.clock import rfc3339
from simulator.faults import COUPON_TYPES, FAULTS, BadFault, call_off, due, parse
from simulator.guard import inline_policy
from simulator.notification import Courier, build
from simulator.world import Fault, Switches, Trade, World

PAGE = Path(__file__).parent / "page.html"
POLICY = inline_policy(PAGE.read_text())
Endpoint = Callable[[Request], Awaitable[Response]]

LATEST = 7_258_118_400
"""The year 2200, in seconds since 1970: the clock goes no further."""


class BadRequest(Exception):
    """A driver's mistake; the text says which."""


async def json_or_none(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        return None


async def body_of(request: Request) -> dict[str, Any]:
    body = await json_or_none(request)
    if not isinstance(body, dict):
        raise BadRequest("send a JSON object")
    return body


async def _bad_request(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


EXCEPTION_HANDLERS: Any = {BadRequest: _bad_request, BadFault: _bad_request}


def routes(world: World, courier: Courier) -> list[Route]:
    """The `/_sim` paths and the page at `/`."""
    return [
        Route("/", lambda _: FileResponse(PAGE)),
        *_phone_routes(world, courier),
        *_notice_routes(world, courier),
        *_world_routes(world, courier),
    ]


def _phone_routes(world: World, courier: Courier) -> list[Route]:
    """What a user does: sign in, pay, close the cashier, want messages or not."""

    async def login(request: Request) -> Response:
        user = (await body_of(request)).get("user")
        if not isinstance(user, str) or not user:
            raise BadRequest('send {"user": "guest-1"}')
        return JSONResponse({"code": world.login_code(user)})

    def at_cashier(body: dict[str, Any], *, pays: bool) -> str:
        with world.watched("cashier", cashier.out_trade_no(world, body)) as seen:
            try:
                trade = cashier.open_cashier(world, body)
            except cashier.Refused as refused:
                seen.code = str(refused)
                return seen.code
            seen.status = 200
            if not pays:
                seen.code = cashier.CANCELLED
                return seen.code
            due_now = (due(world, "cashier", out_trade_no=trade.out_trade_no, answer=name) for name in COUPON_TYPES)
            coupon = next(filter(None, due_now), None)
            seen.fault = coupon.answer if coupon else ""
            world.pay(trade, int(coupon.value), COUPON_TYPES[coupon.answer]) if coupon else world.pay(trade)
        courier.notify(trade)
        return cashier.OK

    async def cashier_pay(request: Request) -> Response:
        return JSONResponse({"errMsg": at_cashier(await body_of(request), pays=True)})

    async def cashier_open(request: Request) -> Response:
        """What the app shows above the password pad, or why it shows none."""
        try:
            trade = cashier.open_cashier(world, await body_of(request))
        except cashier.Refused as refused:
            return JSONResponse({"errMsg": str(refused)})
        told = {"out_trade_no": trade.out_trade_no, "description": trade.request["description"], "total": trade.total}
        return JSONResponse(told)

    async def cashier_cancel(request: Request) -> Response:
        return JSONResponse({"errMsg": at_cashier(await body_of(request), pays=False)})

    async def user(request: Request) -> Response:
        body, found = await body_of(request), world.user(request.path_params["user"])
        refuses, quota = body.get("refuses_messages", found.refuses_messages), body.get("quota", found.quota)
        counted = isinstance(quota, dict) and all(type(left) is int for left in quota.values())
        if not body or set(body) - {"refuses_messages", "quota"} or not isinstance(refuses, bool) or not counted:
            raise BadRequest('send {"refuses_messages": true} or {"quota": {"<template_id>": 1}}')
        found.refuses_messages, found.quota = refuses, dict(quota)
        return JSONResponse(asdict(found))

    async def subscribe(request: Request) -> Response:
        body = await body_of(request)
        templates = body.get("template_ids")
        if not isinstance(templates, list) or not 1 <= len(templates) <= 3 or not body.get("user"):
            raise BadRequest('send {"user": "guest-1", "template_ids": [...]}, at most 3')
        found = world.user(str(body["user"]))
        for template in map(str, templates):
            found.quota[template] = found.quota.get(template, 0) + 1
        return JSONResponse({"errMsg": "requestSubscribeMessage:ok", **dict.fromkeys(map(str, templates), "accept")})

    return [
        Route("/_sim/login", login, methods=["POST"]),
        Route("/_sim/cashier/open", cashier_open, methods=["POST"]),
        Route("/_sim/cashier/pay", cashier_pay, methods=["POST"]),
        Route("/_sim/cashier/cancel", cashier_cancel, methods=["POST"]),
        Route("/_sim/users/{user}", user, methods=["POST"]),
        Route("/_sim/subscribe", subscribe, methods=["POST"]),
    ]


def _notice_routes(world: World, courier: Courier) -> list[Route]:
    async def notifications(_: Request) -> Response:
        return JSONResponse([asdict(notice) for notice in world.notices])

    async def send_copies(request: Request) -> Response:
        body, found = await body_of(request), _known_trade(world, request)
        times = body.get("times", 1)
        if not found.transaction_id or type(times) is not int or not 1 <= times <= 100:
            raise BadRequest("a paid trade, and times from 1 to 100")
        statuses = await courier.send_copies(found, times, at_once=bool(body.get("parallel")))
        return JSONResponse({"statuses": statuses})

    async def signed(request: Request) -> Response:
        trade, number = _known_trade(world, request), request.query_params.get("out_refund_no", "")
        refund = world.refunds.get(number)
        if number and (refund is None or refund.trade is not trade or refund.status == "PROCESSING"):
            raise BadRequest("out_refund_no: a refund of this trade that has ended")
        if not trade.transaction_id:
            raise BadRequest("a paid trade")
        notice = build(world, refund or trade)
        return JSONResponse({"headers": notice.headers, "body": notice.body.decode()})

    async def messages(_: Request) -> Response:
        return JSONResponse(list(world.messages))

    return [
        Route("/_sim/notifications", notifications),
        Route("/_sim/notifications/{out_trade_no}/send", send_copies, methods=["POST"]),
        Route("/_sim/notifications/{out_trade_no}/signed", signed),
        Route("/_sim/messages", messages),
    ]


def _world_routes(world: World, courier: Courier) -> list[Route]:
    async def trades(_: Request) -> Response:
        return JSONResponse([_told(world, number) for number in list(world.trades)])

    async def trade(request: Request) -> Response:
        return JSONResponse(_told(world, _known_trade(world, request).out_trade_no))

    async def calls(request: Request) -> Response:
        """What went over the wire for a trade, messages to its payer included, the oldest first."""
        number = request.path_params["out_trade_no"]
        found = world.trade(number)
        about = [*world.calls.get(number, []), *(world.calls.get(found.openid, []) if found else [])]
        return JSONResponse([asdict(call) for call in sorted(about, key=lambda call: call.n)])

    async def close(request: Request) -> Response:
        """The merchant closes a trade in WeChat's console."""
        found = _known_trade(world, request)
        if found.paid:
            raise BadRequest("it is paid")
        found.trade_state = "CLOSED"
        return JSONResponse(_told(world, found.out_trade_no))

    async def refund(request: Request) -> Response:
        """The merchant refunds in WeChat's console; the notice goes where the trade's went."""
        found, amount = _known_trade(world, request), (await body_of(request)).get("amount")
        body = {
            "out_trade_no": found.out_trade_no,
            "out_refund_no": f"console{secrets.token_hex(8)}",
            "notify_url": found.request["notify_url"],
            "amount": {"refund": amount, "total": found.total, "currency": "CNY"},
        }
        try:
            made, _ = refunds.create(world, body, json.dumps(body))
        except pay.WechatError as error:
            raise BadRequest(f"{error.body}") from None
        courier.follow(made)
        return JSONResponse(refunds.describe(made))

    async def elsewhere(request: Request) -> Response:
        """The merchant sends an abnormal refund to another account, in WeChat's console."""
        try:
            made = refunds.apply_abnormal(world, request.path_params["refund_id"], await body_of(request))
        except pay.WechatError as error:
            raise BadRequest(f"{error.body}") from None
        made.due_at = world.clock.now()
        courier.follow(made)
        return JSONResponse(refunds.describe(made))

    async def faults(request: Request) -> Response:
        if request.method == "POST":
            world.faults.append(parse(await body_of(request)))
        elif request.method == "DELETE" and (which := dict(request.query_params)):
            if set(which) != {"call", "answer"}:
                raise BadRequest("all of them, or ?call=...&answer=... for those of one kind")
            call_off(world, which["call"], which["answer"])
        elif request.method == "DELETE":
            world.faults.clear()
        return JSONResponse([_fault(fault) for fault in world.faults])

    async def known_faults(_: Request) -> Response:
        return JSONResponse(FAULTS)

    async def clock(request: Request) -> Response:
        if request.method == "POST":
            match await body_of(request):
                case {"advance_s": int() | float() as advance, **other} if not other and _possible(world, advance):
                    world.clock.advance(advance)
                case {"reset": True, **other} if not other:
                    world.reset_clock()
                case _:
                    raise BadRequest('send {"advance_s": 60}, up to the year 2200, or {"reset": true} for real time')
        return JSONResponse({"now": world.clock.now(), "beijing": rfc3339(world.clock.now())})

    async def switches(request: Request) -> Response:
        if request.method == "POST":
            body, known = await body_of(request), {field.name: field.type for field in fields(Switches)}
            for name, value in body.items():
                if name not in known or type(value) is not type(getattr(world.switches, name)):
                    raise BadRequest(f"switches: {', '.join(f'{n} ({t})' for n, t in known.items())}")
                setattr(world.switches, name, value)
        return JSONResponse(asdict(world.switches))

    async def balance(request: Request) -> Response:
        fen = (await body_of(request)).get("fen")
        if fen is not None and (type(fen) is not int or fen < 0):
            raise BadRequest('send {"fen": 1000}, or null for a balance that is always enough')
        world.balance = fen
        return JSONResponse({"fen": world.balance})

    async def state(request: Request) -> Response:
        if request.method == "DELETE":
            courier.forget()
            world.reset()
        last = request.query_params.get("last", "")
        if last and not (last.isascii() and last.isdigit()):
            raise BadRequest("last: how many of each, the newest")
        return JSONResponse(_state(world, int(last or world.keep)))

    return [
        Route("/_sim/trades", trades),
        Route("/_sim/trades/{out_trade_no}", trade),
        Route("/_sim/trades/{out_trade_no}/calls", calls),
        Route("/_sim/trades/{out_trade_no}/close", close, methods=["POST"]),
        Route("/_sim/trades/{out_trade_no}/refund", refund, methods=["POST"]),
        Route("/_sim/refunds/{refund_id}/elsewhere", elsewhere, methods=["POST"]),
        Route("/_sim/faults", faults, methods=["GET", "POST", "DELETE"]),
        Route("/_sim/faults/known", known_faults),
        Route("/_sim/clock", clock, methods=["GET", "POST"]),
        Route("/_sim/switches", switches, methods=["GET", "POST"]),
        Route("/_sim/balance", balance, methods=["POST"]),
        Route("/_sim/state", state, methods=["GET", "DELETE"]),
    ]


def _possible(world: World, advance_s: float) -> bool:
    """Whether the clock may go so far: not back, and to no year that cannot be written."""
    return not isinstance(advance_s, bool) and 0 <= advance_s <= LATEST - world.clock.now()


def _state(world: World, last: int) -> dict[str, Any]:
    """What the simulator knows, the newest `last` of each, for people and for comparison; no key and no secret."""
    kinds: dict[str, Sequence[Any]] = {
        "trades": list(world.trades),
        "refunds": list(world.refunds.values()),
        "notices": list(world.notices),
        "messages": list(world.messages),
        "users": list(world.users.values()),
        "faults": world.faults,
    }
    newest = {kind: values[max(len(values) - last, 0) :] for kind, values in kinds.items()}
    return {
        "now": rfc3339(world.clock.now()),
        "mchid": world.credentials.mchid,
        "appid": world.credentials.appid,
        "counts": {kind: len(values) for kind, values in kinds.items()},
        "trades": [_told(world, number) for number in newest["trades"]],
        "refunds": [refunds.describe(refund) for refund in newest["refunds"]],
        "notices": [asdict(notice) for notice in newest["notices"]],
        "messages": newest["messages"],
        "users": [asdict(user) for user in newest["users"]],
        "faults": [_fault(fault) for fault in newest["faults"]],
        "switches": asdict(world.switches),
        "balance_fen": world.balance,
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {field.name: getattr(fault, field.name) for field in fields(Fault) if field.init}


def _told(world: World, out_trade_no: str) -> dict[str, Any]:
    """A trade for drivers: what a query tells, and what the first prepay asked for."""
    trade = world.trade(out_trade_no) or world.trades[out_trade_no]
    return pay.describe(trade) | {"request": trade.request, "prepay_ids": list(trade.prepay_ids)}


def _known_trade(world: World, request: Request) -> Trade:
    found = world.trade(request.path_params["out_trade_no"])
    if found is None:
        raise BadRequest("no such trade")
    return found
