"""What the front door gives the phone page, and what it does not."""

import asyncio
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from local import phone
from local.front_door import create_app
from local.home import PROJECT
from local.live import Live
from local.stack import Stack

NOWHERE = "http://127.0.0.1:9"
STACK = Stack(client=lambda _: None, table_name="", queues={}, dlqs={}, secrets={}, sweep_function="")


def ask(method: str, path: str, body: Any = None) -> httpx.Response:
    async def asked() -> httpx.Response:
        app = create_app(NOWHERE, Live(STACK, NOWHERE), phone.routes(NOWHERE, "wx1", ["T1", "T2", "T3"]))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            return await client.request(method, path, json=body)

    return asyncio.run(asked())


def test_the_mini_program_is_there_with_this_clouds_config() -> None:
    files = ask("GET", "/phone/manifest.json").json()
    assert {"/pay.js", "/app.wxss", "/pages/homes/homes.wxml", "/pages/homes/homes.json"} <= set(files)
    for path in files:
        assert ask("GET", f"/miniprogram{path}").status_code == 200
    config = ask("GET", "/miniprogram/config.js").text
    assert config == 'module.exports = {"baseUrl": "/api", "templateIds": ["T1", "T2", "T3"]}\n'


TEMPLATES = sorted(phone.MINI_PROGRAM.rglob("*.wxml"))
WX = "https://wx"
KNOWN = {f"{{{WX}}}{name}" for name in ("if", "elif", "else", "for", "key")}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_the_phone_can_draw_every_template(path: Path) -> None:
    source = re.sub(r"&(?!\w+;)", "&amp;", path.read_text())
    root = ElementTree.fromstring(f'<root xmlns:wx="{WX}">{source}</root>')
    tags = set(re.findall(r"^  (\w+): \"", (PROJECT / "local/web/phone/wxml.js").read_text(), re.MULTILINE))
    page = path.with_suffix(".js")
    for node in list(root.iter())[1:]:
        assert node.tag in tags | {"block", "template", "import"}
        assert {name for name in node.attrib if name.startswith("{")} <= KNOWN
        for name, method in node.attrib.items():
            if name.startswith("bind"):
                assert re.search(rf"^  (async )?{method}\(", page.read_text(), re.MULTILINE), method


@pytest.mark.parametrize(
    "what", ["faults", "state", "reset", "clock", "trades/HSO1/refund", "../v3/pay", "cashier/../faults"]
)
def test_the_phone_is_no_way_to_the_rest_of_the_simulator(what: str) -> None:
    assert ask("POST", f"/phone/wechat/{what}", {"user": "guest-1"}).status_code in {404, 405}


def test_an_api_that_does_not_answer_is_502() -> None:
    assert ask("GET", "/api/catalogue/homestay").status_code == 502


def test_a_user_gets_his_new_messages() -> None:
    def sent(user: str, template: str, value: str) -> dict[str, Any]:
        return {"user": user, "openid": "o1", "template_id": template, "data": {"thing1": {"value": value}}}

    messages = [sent("me", "T2", "one"), sent("other", "T1", "hers"), sent("me", "T9", "two")]
    told = phone._new_messages(messages, {"user": "me", "after": 1}, ["T1", "T2"])
    assert told == {"messages": [{"id": 2, "template": 0, "values": ["two"], "page": ""}]}
