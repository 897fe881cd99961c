"""What the phone page needs besides its own files: the mini-program, and the WeChat app, which is the simulator's."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from local.home import PROJECT

MINI_PROGRAM = PROJECT / "miniprogram"
KINDS = {".js", ".json", ".wxml", ".wxss"}

NEEDS: dict[str, dict[str, type]] = {
    "messages": {"user": str, "after": int},
    "refuse": {"user": str, "template_ids": list},
}
"""The fields that this page itself reads of what it is asked."""

FORWARDED = {"login", "subscribe", "cashier/open", "cashier/pay", "cashier/cancel"}
"""What the page may ask of the simulator as it is; the rest of it is not the phone's."""


def routes(wechat_url: str, appid: str, template_ids: Sequence[str]) -> list[BaseRoute]:
    """The page's routes; `app.state.http` is the client they use."""

    async def config(_: Request) -> Response:
        """The mini-program's config.js, with what is this cloud's."""
        values = json.dumps({"baseUrl": "/api", "templateIds": list(template_ids)})
        return Response(f"module.exports = {values}\n", media_type="text/javascript")

    async def manifest(_: Request) -> Response:
        files = (path for path in MINI_PROGRAM.rglob("*") if path.suffix in KINDS)
        return JSONResponse(sorted(f"/{path.relative_to(MINI_PROGRAM).as_posix()}" for path in files))

    async def wechat(request: Request) -> Response:
        what, http = request.path_params["what"], request.app.state.http
        if what not in {"messages", "refuse"} | FORWARDED:
            return Response(status_code=404)
        body, needs = await _asked(request), NEEDS.get(what, {})
        if body is None or not all(isinstance(body.get(name), kind) for name, kind in needs.items()):
            return JSONResponse({"error": f"send a JSON object{' with ' if needs else ''}{', '.join(needs)}"}, 400)
        if what == "messages":
            async with http.get(f"{wechat_url}/_sim/messages") as reply:
                return JSONResponse(_new_messages(await reply.json(), body, template_ids))
        if what == "refuse":  # none of these may be sent to the user until he allows it again
            what = f"users/{quote(body['user'], safe='')}"
            body = {"quota": dict.fromkeys(map(str, body["template_ids"]), 0)}
        if what.startswith("cashier/"):
            body |= {"appid": appid}  # of the app that runs, not a parameter of wx.requestPayment
        async with http.post(f"{wechat_url}/_sim/{what}", json=body) as reply:
            return Response(await reply.read(), reply.status, media_type="application/json")

    return [
        Route("/wechat", lambda _: RedirectResponse(wechat_url)),
        Route("/miniprogram/config.js", config),
        Mount("/miniprogram", StaticFiles(directory=MINI_PROGRAM)),
        Route("/phone/manifest.json", manifest),
        Route("/phone/wechat/{what:path}", wechat, methods=["POST"]),
    ]


async def _asked(request: Request) -> dict[str, Any] | None:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _new_messages(sent: list[dict[str, Any]], asked: dict[str, Any], template_ids: Sequence[str]) -> dict[str, Any]:
    """A user's messages after the one he has seen; `template` is the place of its id in config.js."""
    mine = [message for message in sent if message["user"] == asked["user"]]
    return {
        "messages": [
            {
                "id": number,
                "template": template_ids.index(message["template_id"]) if message["template_id"] in template_ids else 0,
                "values": [field["value"] for field in message["data"].values()],
                "page": message.get("page", ""),
            }
            for number, message in enumerate(mine, 1)
            if number > asked["after"]
        ]
    }
