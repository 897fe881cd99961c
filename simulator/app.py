"""The simulator over HTTP: WeChat's own paths. What drivers use is in `drivers`."""

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from simulator import bills, drivers, mini_program, pay, refunds, shipping
from simulator.clock import rfc3339
from simulator.credentials import key_pair
from simulator.faults import due, wrong_answer
from simulator.guard import LOOPBACK, Guard
from simulator.notification import Courier, probe, signature_headers
from simulator.pay import WechatError
from simulator.signing import seal
from simulator.world import Call, Fault, Trade, World

Endpoint = Callable[[Request], Awaitable[Response]]
Decide = Callable[[Request, str], Awaitable[Any]]

STALE_S = 600


def create_app(world: World, hosts: Collection[str] = LOOPBACK) -> Starlette:
    """The ASGI app of one world; `hosts` are the names under which it is asked."""
    courier = Courier(world)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await courier.close()

    api = PayApi(world, courier)
    return Starlette(
        routes=[*api.routes(), *_mini_program_routes(world), *drivers.routes(world, courier)],
        lifespan=lifespan,
        exception_handlers=drivers.EXCEPTION_HANDLERS,
        middleware=[
            Middleware(
                Guard,
                hosts=hosts,
                policy=lambda _: drivers.POLICY,
                open_to_all=lambda path: not path.startswith("/_sim/"),
                hint="Start the simulator with --allow-host NAME.",
            )
        ],
    )


class PayApi:
    """WeChat Pay v3: every request is verified over its bytes, every 2xx is signed, refusals and downloads are not."""

    def __init__(self, world: World, courier: Courier) -> None:
        self._world = world
        self._courier = courier
        self._other_key = ""  # made when a wrong signature is first asked for

    def routes(self) -> list[Route]:
        trades, money_back = "/v3/pay/transactions", "/v3/refund/domestic/refunds"
        return [
            self._route(f"{trades}/jsapi", "prepay", self._prepay, "POST"),
            self._route(f"{trades}/out-trade-no/{{number}}", "query", self._by_number),
            self._route(f"{trades}/id/{{number}}", "query", self._by_transaction),
            self._route(f"{trades}/out-trade-no/{{number}}/close", "close", self._close, "POST"),
            self._route(money_back, "refund", self._refund, "POST"),
            self._route(f"{money_back}/{{out_refund_no}}", "query_refund", self._query_refund),
            self._route(f"{money_back}/{{refund_id}}/apply-abnormal-refund", "refund", self._abnormal, "POST"),
            self._route("/v3/bill/tradebill", "tradebill", self._trade_bill),
            self._route("/v3/bill/fundflowbill", "fundflowbill", self._fund_flow_bill),
            self._route("/v3/billdownload/file", "download", self._download),
            self._route("/v3/certificates", "certificates", self._certificates),
        ]

    # --- the calls

    async def _prepay(self, request: Request, mchid: str) -> dict[str, Any]:
        raw = await request.body()
        return pay.prepay(self._world, mchid, _json(raw), raw.decode(errors="replace"))

    async def _by_number(self, request: Request, mchid: str) -> dict[str, Any]:
        found = self._world.trade(request.path_params["number"])
        return pay.query(mchid, found, request.query_params.get("mchid", ""))

    async def _by_transaction(self, request: Request, mchid: str) -> dict[str, Any]:
        found = self._world.transactions.get(request.path_params["number"])
        return pay.query(mchid, found, request.query_params.get("mchid", ""))

    async def _close(self, request: Request, mchid: str) -> None:
        pay.close(self._world, mchid, request.path_params["number"], _json(await request.body()))

    async def _refund(self, request: Request, _: str) -> dict[str, Any]:
        raw = await request.body()
        refund, new = refunds.create(self._world, _json(raw), raw.decode(errors="replace"))
        if new:
            if ends := due(self._world, "refund_end", out_trade_no=refund.trade.out_trade_no):
                refund.ends_as = ends.answer
            self._courier.follow(refund)
        return refunds.describe(refund)

    async def _query_refund(self, request: Request, _: str) -> dict[str, Any]:
        return refunds.describe(refunds.find(self._world, request.path_params["out_refund_no"]))

    async def _abnormal(self, request: Request, _: str) -> dict[str, Any]:
        refund = refunds.apply_abnormal(self._world, request.path_params["refund_id"], _json(await request.body()))
        self._courier.follow(refund)
        return refunds.describe(refund)

    async def _trade_bill(self, request: Request, _: str) -> dict[str, str]:
        return bills.trade_bill(self._world, _base_url(request), dict(request.query_params))

    async def _fund_flow_bill(self, request: Request, _: str) -> dict[str, str]:
        return bills.fund_flow_bill(self._world, _base_url(request), dict(request.query_params))

    async def _download(self, request: Request, _: str) -> Response:
        bill = bills.download(self._world, request.query_params.get("token", ""))
        kind = "application/x-gzip" if bill.zipped else "text/plain"
        half = len(bill.content) // 2
        content = bill.content[:half] if due(self._world, "download", answer="truncated") else bill.content
        return Response(content, headers=_request_id(0), media_type=kind)

    async def _certificates(self, _request: Request, _mchid: str) -> dict[str, Any]:
        credentials, now = self._world.credentials, self._world.clock.real()
        if not self._world.switches.certificate_mode:
            message = "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥"
            raise WechatError(404, "RESOURCE_NOT_EXISTS", message)
        sealed = seal(credentials.apiv3_key, credentials.certificate.encode(), "certificate")
        certificate = {
            "serial_no": credentials.certificate_serial_no,
            "effective_time": rfc3339(now - 86400),
            "expire_time": rfc3339(now + 5 * 365 * 86400),
            "encrypt_certificate": {"algorithm": "AEAD_AES_256_GCM", **sealed},
        }
        return {"data": [certificate]}

    # --- the way in and out

    def _route(self, path: str, call: str, decide: Decide, method: str = "GET") -> Route:
        async def endpoint(request: Request) -> Response:
            return await self._answer(call, decide, request)

        return Route(path, endpoint, methods=[method])

    async def _answer(self, call: str, decide: Decide, request: Request) -> Response:
        number = await self._out_trade_no(request)
        with self._world.watched(call, number) as seen:
            reply = await self._decided(call, decide, request, number, seen)
            seen.status = reply.status_code
        return reply

    async def _decided(self, call: str, decide: Decide, request: Request, number: str, seen: Call) -> Response:
        before = due(self._world, call, out_trade_no=number)
        seen.fault = before.answer if before else ""
        if before and (wrong := await wrong_answer(self._world, before)):
            return wrong
        try:
            mchid = await self._verified(request)
            if call == "close" and before and before.answer == "paid_first":
                self._pay(self._world.trades[number])
            told = await decide(request, mchid)
        except WechatError as error:
            seen.code = str(error.body["code"])
            return JSONResponse(error.body, error.status, _request_id(error.internal))
        if call == "prepay" and before and before.answer == "paid_first":
            trade = self._world.prepay_ids[told["prepay_id"]]
            self._world.pay(trade)
            await self._courier.tell_first(trade)
        after = due(self._world, call, out_trade_no=number, after_effect=True)
        seen.fault = after.answer if after else seen.fault
        if after and (wrong := await wrong_answer(self._world, after)):
            return wrong
        if isinstance(told, Response):
            return told
        body = b"" if told is None else json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
        headers = _request_id(0) | self._signature(request, body, before or after)
        if told is None:
            return Response(status_code=204, headers=headers)
        return Response(body, headers=headers, media_type="application/json")

    async def _out_trade_no(self, request: Request) -> str:
        """Which trade a call is about, as far as its path or its body say."""
        if "number" in request.path_params:
            return str(request.path_params["number"])
        if refund := self._world.refunds.get(request.path_params.get("out_refund_no", "")):
            return refund.trade.out_trade_no
        told = await drivers.json_or_none(request)
        return str(told.get("out_trade_no", "")) if isinstance(told, dict) else ""

    def _pay(self, trade: Trade) -> None:
        if not trade.paid:
            self._world.pay(trade)
            self._courier.notify(trade)

    async def _verified(self, request: Request) -> str:
        """The mchid that signed the request as it came over the wire. Raises WechatError."""
        path: bytes = request.scope["raw_path"]
        target = b"?".join(part for part in (path, request.scope["query_string"]) if part).decode("latin-1")
        header, credentials = request.headers.get("authorization", ""), self._world.credentials
        mchid = pay.verify_authorization(self._world, header, request.method, target, await request.body())
        known = {credentials.platform_key_id, credentials.next_key_id, credentials.certificate_serial_no}
        if request.headers.get("wechatpay-serial", credentials.platform_key_id) not in known:
            raise WechatError(400, "PARAM_ERROR", "Wechatpay-Serial is not a key of this merchant's")
        return mchid

    def _signature(self, request: Request, body: bytes, fault: Fault | None) -> dict[str, str]:
        """Signed with the key that the merchant asked for; without a wish, with the certificate if he has one."""
        credentials = self._world.credentials
        default = credentials.certificate_serial_no if self._world.switches.certificate_mode else ""
        serial = request.headers.get("wechatpay-serial", default)
        key = {
            credentials.certificate_serial_no: credentials.certificate_private_key,
            credentials.next_key_id: credentials.next_private_key,
        }.get(serial, "")
        match fault.answer if fault else "":
            case "signtest":
                return probe(signature_headers(self._world, body, serial=serial, private_key=key))
            case "wrong_key":
                self._other_key = self._other_key or key_pair()[0]
                return signature_headers(self._world, body, serial=serial, private_key=self._other_key)
            case "stale":
                then = int(self._world.clock.real()) - STALE_S
                return signature_headers(self._world, body, serial=serial, private_key=key, timestamp=then)
        return signature_headers(self._world, body, serial=serial, private_key=key)


def _base_url(request: Request) -> str:
    return str(request.base_url).rstrip("/")


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
        return mini_program.stable_token(world, await drivers.json_or_none(request))

    def with_token(decide: Callable[[World, str, Any], mini_program.Reply]) -> Any:
        async def decided(request: Request) -> mini_program.Reply:
            token = request.query_params.get("access_token", "")
            return decide(world, token, await drivers.json_or_none(request))

        return decided

    def about(body: dict[str, Any]) -> str:
        """The openid that a message is for; the trade that shipping is about."""
        key = body.get("order_key", body)
        trade = world.transactions.get(str(key.get("transaction_id"))) if isinstance(key, dict) else None
        return trade.out_trade_no if trade else str(body.get("touser", ""))

    def route(path: str, call: str, decide: Callable[[Request], Awaitable[mini_program.Reply]], method: str) -> Route:
        async def endpoint(request: Request) -> Response:
            told = await drivers.json_or_none(request)
            body = told if isinstance(told, dict) else {}
            with world.watched(call, about(body), str(body.get("template_id", ""))) as seen:
                reply = await decided(request, seen)
                seen.status = reply.status_code
            return reply

        async def decided(request: Request, seen: Call) -> Response:
            before = due(world, call)
            seen.fault = before.answer if before else ""
            if before and (wrong := await wrong_answer(world, before)):
                return wrong
            reply = await decide(request)
            seen.code = str(reply.get("errcode") or "")
            after = due(world, call, after_effect=True)
            seen.fault = after.answer if after else seen.fault
            if after and (wrong := await wrong_answer(world, after)):
                return wrong
            return PlainTextResponse(json.dumps(reply, ensure_ascii=False))

        return Route(path, endpoint, methods=[method])

    shipped, found = with_token(shipping.upload_shipping_info), with_token(shipping.get_order)
    return [
        route("/sns/jscode2session", "code2session", code2session, "GET"),
        route("/cgi-bin/stable_token", "stable_token", stable_token, "POST"),
        route("/cgi-bin/message/subscribe/send", "send", with_token(mini_program.send_message), "POST"),
        route("/wxa/sec/order/upload_shipping_info", "upload_shipping_info", shipped, "POST"),
        route("/wxa/sec/order/get_order", "get_order", found, "POST"),
    ]
