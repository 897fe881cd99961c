"""The simulator over HTTP: WeChat's own paths, and `/_sim/...` for those who drive it."""

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from simulator import cashier, mini_program, pay
from simulator.faults import BadFault, parse, trouble
from simulator.notification import Courier, signature_headers
from simulator.pay import WechatError
from simulator.world import Trade, World

Endpoint = Callable[[Request], Awaitable[Response]]


class BadRequest(Exception):
    """A driver's mistake; the text says which."""


def create_app(world: World) -> Starlette:
    """The ASGI app of one world."""
    courier = Courier(world)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await courier.close()

    routes = [*_pay_routes(world), *_mini_program_routes(world), *_driver_routes(world, courier)]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={BadRequest: _bad_request, BadFault: _bad_request},
    )


# --- WeChat Pay v3


def _pay_routes(world: World) -> list[Route]:
    async def prepay(request: Request, mchid: str) -> dict[str, Any]:
        raw = await request.body()
        return pay.prepay(world, mchid, _json(raw), raw.decode(errors="replace"))

    async def by_number(request: Request, mchid: str) -> dict[str, Any]:
        found = world.trade(request.path_params["number"])
        return pay.query(mchid, found, request.query_params.get("mchid", ""))

    async def by_transaction(request: Request, mchid: str) -> dict[str, Any]:
        wanted = request.path_params["number"]
        found = next((trade for trade in world.trades.values() if trade.transaction_id == wanted), None)
        return pay.query(mchid, found, request.query_params.get("mchid", ""))

    async def close(request: Request, mchid: str) -> None:
        pay.close(world, mchid, request.path_params["number"], _json(await request.body()))

    def signed(call: str, decide: Callable[[Request, str], Awaitable[dict[str, Any] | None]]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            return await _signed_reply(world, call, decide, request)

        return endpoint

    root = "/v3/pay/transactions"
    return [
        Route(f"{root}/jsapi", signed("prepay", prepay), methods=["POST"]),
        Route(f"{root}/out-trade-no/{{number}}", signed("query", by_number)),
        Route(f"{root}/id/{{number}}", signed("query", by_transaction)),
        Route(f"{root}/out-trade-no/{{number}}/close", signed("close", close), methods=["POST"]),
    ]


async def _signed_reply(
    world: World,
    call: str,
    decide: Callable[[Request, str], Awaitable[dict[str, Any] | None]],
    request: Request,
) -> Response:
    """Verifies the request, decides, signs a 2xx; refusals are not signed, as WeChat's are not."""
    if wrong := await trouble(world, call, after_effect=False):
        return wrong
    path: bytes = request.scope["raw_path"]
    target = b"?".join(part for part in (path, request.scope["query_string"]) if part).decode("latin-1")
    try:
        mchid = pay.verify_authorization(
            world, request.headers.get("authorization", ""), request.method, target, await request.body()
        )
        _check_serial(world, request)
        told = await decide(request, mchid)
    except WechatError as error:
        return JSONResponse(error.body, error.status, _request_id(error.internal))
    if wrong := await trouble(world, call, after_effect=True):
        return wrong
    body = b"" if told is None else json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    headers = _request_id(0) | signature_headers(world, body)
    if told is None:
        return Response(status_code=204, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def _check_serial(world: World, request: Request) -> None:
    """A merchant in public-key mode names the key that it wants replies signed with."""
    serial = request.headers.get("wechatpay-serial", world.credentials.platform_key_id)
    if serial != world.credentials.platform_key_id:
        raise WechatError(400, "PARAM_ERROR", "Wechatpay-Serial is not a key of this merchant's")


def _request_id(internal: int) -> dict[str, str]:
    return {"Request-ID": f"08{secrets.token_hex(20).upper()}-{internal}"}


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        raise WechatError(400, "PARAM_ERROR", "请求体不是合法的JSON") from None


# --- the mini-program server API


def _mini_program_routes(world: World) -> list[Route]:
    async def code2session(request: Request) -> mini_program.Reply:
        return mini_program.code2session(world, dict(request.query_params))

    async def stable_token(request: Request) -> mini_program.Reply:
        return mini_program.stable_token(world, _json_or_none(await request.body()))

    async def send(request: Request) -> mini_program.Reply:
        token = request.query_params.get("access_token", "")
        return mini_program.send_message(world, token, _json_or_none(await request.body()))

    def answered(call: str, decide: Callable[[Request], Awaitable[mini_program.Reply]]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            if wrong := await trouble(world, call, after_effect=False):
                return wrong
            reply = await decide(request)
            if wrong := await trouble(world, call, after_effect=True):
                return wrong
            return PlainTextResponse(json.dumps(reply, ensure_ascii=False))

        return endpoint

    return [
        Route("/sns/jscode2session", answered("code2session", code2session)),
        Route("/cgi-bin/stable_token", answered("stable_token", stable_token), methods=["POST"]),
        Route("/cgi-bin/message/subscribe/send", answered("send", send), methods=["POST"]),
    ]


def _json_or_none(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


# --- for drivers


def _driver_routes(world: World, courier: Courier) -> list[Route]:
    async def login(request: Request) -> Response:
        user = (await _driver_body(request)).get("user")
        if not isinstance(user, str) or not user:
            raise BadRequest('send {"user": "guest-1"}')
        return JSONResponse({"code": world.login_code(user)})

    async def cashier_pay(request: Request) -> Response:
        try:
            trade = cashier.open_cashier(world, await _driver_body(request))
        except cashier.Refused as refused:
            return JSONResponse({"errMsg": str(refused)})
        world.pay(trade)
        courier.notify(trade)
        return JSONResponse({"errMsg": cashier.OK})

    async def cashier_cancel(request: Request) -> Response:
        try:
            cashier.open_cashier(world, await _driver_body(request))
        except cashier.Refused as refused:
            return JSONResponse({"errMsg": str(refused)})
        return JSONResponse({"errMsg": cashier.CANCELLED})

    async def trades(_: Request) -> Response:
        return JSONResponse([_told(trade) for trade in world.trades.values()])

    async def trade(request: Request) -> Response:
        return JSONResponse(_told(_known_trade(world, request)))

    async def notifications(_: Request) -> Response:
        return JSONResponse([asdict(notice) for notice in world.notices])

    async def send_copies(request: Request) -> Response:
        body, found = await _driver_body(request), _known_trade(world, request)
        times = body.get("times", 1)
        if not found.transaction_id or type(times) is not int or not 1 <= times <= 100:
            raise BadRequest("a paid trade, and times from 1 to 100")
        return JSONResponse({"statuses": await courier.send_copies(found, times, at_once=bool(body.get("parallel")))})

    async def messages(_: Request) -> Response:
        return JSONResponse(world.messages)

    async def user(request: Request) -> Response:
        refuses = (await _driver_body(request)).get("refuses_messages")
        if not isinstance(refuses, bool):
            raise BadRequest('send {"refuses_messages": true}')
        found = world.user(request.path_params["user"])
        found.refuses_messages = refuses
        return JSONResponse(asdict(found))

    async def faults(request: Request) -> Response:
        if request.method == "POST":
            world.faults.append(parse(await _driver_body(request)))
        elif request.method == "DELETE":
            world.faults.clear()
        return JSONResponse([asdict(fault) for fault in world.faults])

    return [
        Route("/_sim/login", login, methods=["POST"]),
        Route("/_sim/cashier/pay", cashier_pay, methods=["POST"]),
        Route("/_sim/cashier/cancel", cashier_cancel, methods=["POST"]),
        Route("/_sim/trades", trades),
        Route("/_sim/trades/{out_trade_no}", trade),
        Route("/_sim/notifications", notifications),
        Route("/_sim/notifications/{out_trade_no}/send", send_copies, methods=["POST"]),
        Route("/_sim/messages", messages),
        Route("/_sim/users/{user}", user, methods=["POST"]),
        Route("/_sim/faults", faults, methods=["GET", "POST", "DELETE"]),
    ]


def _told(trade: Trade) -> dict[str, Any]:
    """A trade for drivers: what a query tells, and what the first prepay asked for."""
    return pay.describe(trade) | {"request": trade.request, "prepay_ids": list(trade.prepay_ids)}


def _known_trade(world: World, request: Request) -> Trade:
    found = world.trade(request.path_params["out_trade_no"])
    if found is None:
        raise BadRequest("no such trade")
    return found


async def _driver_body(request: Request) -> dict[str, Any]:
    body = _json_or_none(await request.body())
    if not isinstance(body, dict):
        raise BadRequest("send a JSON object")
    return body


async def _bad_request(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)
