"""One fixed address for phones and for WeChat: /api/... goes to the deployed API, byte for byte; /live/... is the live
trace; the rest are the pages of `local/web`."""

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from local.lanes import RETRY_AFTER_S, Busy, Lanes
from local.live import Live, Seen
from simulator.guard import LOOPBACK, NOTHING_ELSE, Guard

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "te"}
TIMEOUT_S = 29  # the gateway's own is 30


class Anything(PathConvertor):
    """A path that the gateway is to judge, line breaks and all."""

    regex = r"[\s\S]*"


register_url_convertor("anything", Anything())

WEB = Path(__file__).parent / "web"

OWN = "'self'"
POLICY = NOTHING_ELSE.format(scripts=OWN, styles=OWN)
PHONE_POLICY = NOTHING_ELSE.format(scripts=f"{OWN} 'unsafe-eval'", styles=OWN)
"""The phone page runs the mini-program: its files and the expressions of its templates are compiled there."""


def _hosts() -> frozenset[str]:
    """The names under which the front door is asked; a tunnel's name is one more, in WXPAY_LOCAL_HOSTS."""
    return LOOPBACK | set(filter(None, os.environ.get("WXPAY_LOCAL_HOSTS", "").split(",")))


def create_app(upstream: str, live: Live, pages: Sequence[BaseRoute] = (), lanes: Lanes | None = None) -> Starlette:
    """The ASGI app; `upstream` is the deployed API's address without a slash at the end, `live` sees what passes,
    `pages` are what the pages ask for besides their files, `lanes` say how much is forwarded at once.
    `app.state.http` is the client for all of it."""
    turns = lanes or Lanes({})

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=0)  # how much is under way at once the lanes say
        session = aiohttp.ClientSession(timeout=timeout, auto_decompress=False, connector=connector)
        async with session as app.state.http, live.open():
            yield

    async def forward(request: Request) -> Response:
        path = request.scope["raw_path"].decode("latin-1").removeprefix("/api")
        with live.seen(request.method, path) as seen:
            try:
                body = await request.body()
                async with turns.turn(request.method, path):
                    return await passed_on(request, path, body, seen)
            except Busy:
                seen.status = 503
                return JSONResponse({"message": "Service Unavailable"}, 503, {"Retry-After": str(RETRY_AFTER_S)})

    async def passed_on(request: Request, path: str, sent: bytes, seen: Seen) -> Response:
        query = request.scope["query_string"].decode("latin-1")
        headers = [(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP]
        try:
            async with request.app.state.http.request(
                request.method,
                upstream + path + (f"?{query}" if query else ""),
                headers=headers,
                data=sent,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Content-Type", "Accept"),
            ) as reply:
                body = await reply.read()
                seen.status, seen.body = reply.status, body
                kept = {name: value for name, value in reply.headers.items() if name.lower() not in HOP_BY_HOP}
                return Response(body, reply.status, kept)
        except (aiohttp.ClientError, TimeoutError) as error:
            seen.status = 502
            return PlainTextResponse(f"the deployed API does not answer: {type(error).__name__}\n", 502)

    api = Route("/api/{path:anything}", forward, methods=METHODS)
    pages = [*live.routes(), *pages, Mount("/", StaticFiles(directory=WEB, html=True))]
    guard = Middleware(
        Guard,
        hosts=_hosts(),
        policy=lambda path: PHONE_POLICY if path in ("/", "/index.html") else POLICY,
        open_to_all=lambda path: path.startswith("/api/"),
        hint="Name it in WXPAY_LOCAL_HOSTS before ./dev up.",
    )
    return Starlette(routes=[api, *pages], lifespan=lifespan, middleware=[guard])
