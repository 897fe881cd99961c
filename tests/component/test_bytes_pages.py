"""The pages of front door and simulator, asked by those who should not: foreign names, other origins, odd bytes."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from botocore.exceptions import EndpointConnectionError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local import openapi, phone
from local.front_door import create_app
from local.live import Live
from local.stack import Stack
from simulator import app as simulator_app
from simulator.guard import LOOPBACK
from simulator.testing import serving
from simulator.world import World
from tests.fuzz import RAW


def _away(**_: Any) -> Any:
    raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")


STACK = Stack(
    client=lambda *_: SimpleNamespace(invoke=_away),
    table_name="",
    queues={},
    dlqs={},
    secrets={},
    sweep_function="none",
)


@dataclass(frozen=True)
class Pages:
    front_door: str
    simulator: str

    def of(self, where: str) -> str:
        return self.front_door if where == "front door" else self.simulator


async def _api(request: Request) -> Response:
    return JSONResponse({"body": (await request.body()).decode("latin-1"), "host": request.headers["host"]})


@pytest.fixture
def pages(wechat_url: str) -> Iterator[Pages]:
    live = Live(STACK, wechat_url)
    api = Starlette(routes=[Route("/{path:path}", _api, methods=["GET", "POST"])])
    more = [*phone.routes(wechat_url, "wx1", ["T1", "T2", "T3"]), *openapi.routes()]
    with serving(api) as upstream, serving(create_app(upstream, live, more)) as url:
        yield Pages(url, wechat_url)
        live.close()


PATHS = {
    "front door": [
        "/",
        "/counter.html",
        "/trace.html",
        "/docs/",
        "/docs/openapi.json",
        "/live/faults",
        "/api/catalogue/homestay",
    ],
    "simulator": ["/", "/_sim/state", "/_sim/messages"],
}
EVERY = [(where, path) for where, paths in PATHS.items() for path in paths]
FOREIGN = [
    "evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "evil@127.0.0.1", "10.0.0.1",
    "[::2]", "", "127.0.0.1:x", "[", "localhost/x", "ｌocalhost",
]  # fmt: skip


@pytest.mark.parametrize(("where", "path"), EVERY)
def test_only_our_own_hosts_are_answered(pages: Pages, where: str, path: str) -> None:
    with httpx.Client(base_url=pages.of(where), trust_env=False) as client:
        for host in FOREIGN:
            reply = client.get(path, headers=[(b"Host", host.encode())])
            assert reply.status_code in {400, 421}, host
            assert "<" not in reply.text
        for host in ("localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080"):
            assert client.get(path, headers={"Host": host}).status_code == 200, host


@pytest.mark.parametrize(("where", "path"), [*EVERY, ("front door", "/nothing"), ("simulator", "/nothing")])
def test_every_answer_makes_a_browser_strict(pages: Pages, where: str, path: str) -> None:
    reply = httpx.get(pages.of(where) + path, trust_env=False)
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    for name in ("default-src", "frame-ancestors", "base-uri", "form-action"):
        assert policy[name] == "'none'"
    assert "unsafe-inline" not in str(policy)
    assert ("unsafe-eval" in str(policy)) == ((where, path) == ("front door", "/")), "only the mini-program is compiled"
    assert "*" not in str(policy)
    assert "http" not in str(policy)
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["x-frame-options"] == "DENY"
    assert reply.headers["referrer-policy"] == "no-referrer"


CHANGES = [
    ("front door", "POST", "/live/faults"),
    ("front door", "DELETE", "/live/faults"),
    ("front door", "POST", "/live/sweep"),
    ("front door", "POST", "/phone/wechat/cashier/pay"),
    ("simulator", "POST", "/_sim/cashier/pay"),
    ("simulator", "POST", "/_sim/clock"),
    ("simulator", "DELETE", "/_sim/state"),
]


@pytest.mark.parametrize(("where", "method", "path"), CHANGES)
def test_a_page_of_another_origin_changes_nothing(pages: Pages, where: str, method: str, path: str) -> None:
    base = pages.of(where)
    with httpx.Client(base_url=base, trust_env=False) as client:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:1"},
            {"Origin": f"{base}.evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": ""},
            {"Origin": "["},
        ):
            reply = client.request(method, path, headers={"Content-Type": "text/plain"} | headers, content="{}")
            assert reply.status_code == 403, headers
        for headers in ({"Origin": base, "Sec-Fetch-Site": "same-origin"}, {}):
            assert client.request(method, path, headers=headers, content="{}").status_code != 403


def test_another_name_is_let_in_when_it_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(app: Starlette, host: str) -> int:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get("/", headers={"Host": host})).status_code

    open_to_all = simulator_app.create_app(world, {*LOOPBACK, "0.0.0.0", "wechat"})
    for host, status in (("wechat:9080", 200), ("10.1.2.3:9080", 200), ("evil.example", 421)):
        assert asyncio.run(asked(open_to_all, host)) == status
    monkeypatch.setenv("WXPAY_LOCAL_HOSTS", "demo.example,")
    front_door = create_app("http://127.0.0.1:9", Live(STACK, "http://127.0.0.1:9"))
    for host, status in (("demo.example", 200), ("evil.example", 421), ("", 421)):
        assert asyncio.run(asked(front_door, host)) == status


def test_the_front_door_answers_any_bytes(pages: Pages) -> None:
    bodies: list[Any] = [raw.encode(errors="replace") for raw in RAW]
    bodies += [
        json.dumps(one).encode() for one in ({"user": 1}, {"user": "a", "after": "x"}, {"user": "a", "template_ids": 7})
    ]
    paths = [f"/phone/wechat/{what}" for what in ("messages", "refuse", "login", "subscribe", "cashier/open", "x")]
    with httpx.Client(base_url=pages.front_door, trust_env=False, timeout=30) as client:
        for path in [*paths, "/live/faults"]:
            for body in bodies:
                reply = client.post(path, content=body, headers={"Content-Type": "application/json"})
                assert reply.status_code < 500, (path, body[:50], reply.text)
        for path in (
            "/%00",
            "/%ff",
            "/..%2f..%2fetc/passwd",
            "/" + "a" * 5000,
            "/docs/%00",
            "/miniprogram/%00",
        ):
            assert 400 <= client.get(path).status_code < 500, path
        for path in ("/live/orders/%00", "/live/orders/" + "9" * 5000, "/live/orders/HSO" + "%EF%BC%92" * 22):
            assert client.get(path).status_code == 404, path
        for path in ("/api/%00", "/api/%zz", "/api/%ff?%ff=%00", "/api//x", "/api/a%2fb", "/api/[", "/api/é"):
            assert client.get(path).status_code < 500, path
