"""The mini-program server API: login codes, access tokens, subscription messages. HTTP 200 always; errcode tells."""

import re
import secrets
from typing import Any

from simulator.clock import rfc3339
from simulator.faults import due
from simulator.world import World

CODE_LIFE_S = 300
TOKEN_LIFE_S = 7200
TOKEN_OVERLAP_S = 300
FORCE_A_DAY, FORCE_APART_S, DAY_S = 20, 30, 24 * 3600

Reply = dict[str, Any]

_RULES = {
    "thing": r"[^\n\r]{1,20}",
    "number": r"-?\d{1,32}(\.\d+)?",
    "letter": r"[A-Za-z]{1,32}",
    "symbol": r"[^\w\s]{1,5}",
    "character_string": r"[!-~ ]{1,32}",
    "time": r"(\d{4}(年\d{1,2}月\d{1,2}日|-\d{2}-\d{2}) ?)?\d{1,2}:\d{2}(:\d{2})?(~.+)?",
    "date": r"\d{4}年\d{1,2}月\d{1,2}日( ?\d{1,2}:\d{2})?|\d{4}-\d{2}-\d{2}( \d{1,2}:\d{2}(:\d{2})?)?",
    "amount": r"[¥$€£]?\d{1,10}(\.\d+)?元?",
    "phone_number": r"[\d+\-() ]{1,17}",
    "car_number": r".{1,8}",
    "name": r"[\u4e00-\u9fff·]{1,10}|[A-Za-z .]{1,20}",
    "phrase": r"[\u4e00-\u9fff]{1,5}",
}
"""What WeChat takes in a field, by the letters of its name (`thing1`, `amount2`)."""


_PAGE = re.compile(r"[\w-][\w/.-]*(\?[^\s?#]*)?", re.ASCII)
"""A path of app.json: no slash in front, no address."""


def code2session(world: World, query: dict[str, str]) -> Reply:
    if query.get("appid") != world.credentials.appid:
        return error(40013, "invalid appid")
    if query.get("secret") != world.credentials.app_secret:
        return error(40125, "invalid appsecret")
    code = query.get("js_code", "")
    if code in world.used_codes:
        return error(40163, "code been used")
    openid, issued_at = world.codes.pop(code, ("", 0.0))
    if not openid or world.clock.now() - issued_at > CODE_LIFE_S:
        return error(40029, "invalid code")
    world.used_codes[code] = None
    while len(world.used_codes) > world.keep:
        world.used_codes.pop(next(iter(world.used_codes)))
    return {"openid": openid, "session_key": secrets.token_urlsafe(18)}


def stable_token(world: World, body: Any) -> Reply:
    """The same token while it lives; renewed in its last five minutes, old and new then both good."""
    if not isinstance(body, dict) or body.get("grant_type") != "client_credential":
        return error(40002, "invalid grant_type")
    if body.get("appid") != world.credentials.appid:
        return error(40013, "invalid appid")
    if body.get("secret") != world.credentials.app_secret:
        return error(40125, "invalid appsecret")
    now = world.clock.now()
    world.tokens = {token: until for token, until in world.tokens.items() if until > now - DAY_S}
    left = world.tokens.get(world.current_token, now) - now
    if body.get("force_refresh") is True:
        world.forced = [moment for moment in world.forced if now - moment < DAY_S]
        if world.forced and now - world.forced[-1] < FORCE_APART_S:
            return error(45011, "api minute-quota reach limit")
        if len(world.forced) >= FORCE_A_DAY:
            return error(45009, "reach max api daily quota limit")
        world.forced.append(now)
        world.tokens.clear()
        left = 0
    if left <= TOKEN_OVERLAP_S:
        world.current_token = f"{secrets.randbelow(90) + 10}_{secrets.token_urlsafe(96)}"
        world.tokens[world.current_token] = now + TOKEN_LIFE_S
        left = TOKEN_LIFE_S
    return {"access_token": world.current_token, "expires_in": int(left)}


def send_message(world: World, access_token: str, body: Any) -> Reply:
    if wrong := token_error(world, access_token):
        return wrong
    if not isinstance(body, dict):
        return error(47001, "data format error")
    user = world.users.get(body.get("touser", ""))
    if user is None:
        return error(40003, "invalid openid")
    if not isinstance(body.get("template_id"), str) or not body["template_id"]:
        return error(40037, "invalid template_id")
    if body.get("miniprogram_state", "formal") not in {"developer", "trial", "formal"}:
        return error(47001, "miniprogram_state is wrong")
    if issue := _wrong_field(body.get("data")):
        return error(47003, f"argument invalid! {issue}")
    page = body.get("page")
    if page is not None and not isinstance(page, str):
        return error(47001, "page is no text")
    if page and (not _PAGE.fullmatch(page) or due(world, "send", answer="no_page")):
        return error(41030, "invalid page")
    left = user.quota.get(body["template_id"], 1)
    if user.refuses_messages or left < 1:
        return error(43101, "user refuse to accept the msg")
    if body["template_id"] in user.quota:
        user.quota[body["template_id"]] = left - 1
    sent = {"at": rfc3339(world.clock.now()), "user": user.name, "openid": user.openid}
    world.messages.append(sent | {name: body[name] for name in ("template_id", "data", "page") if name in body})
    return {"errcode": 0, "errmsg": "ok", "msgid": len(world.messages)}


def token_error(world: World, access_token: str) -> Reply | None:
    """What is wrong with a call's access token, if anything."""
    until = world.tokens.get(access_token)
    if until is None:
        return error(40001, "invalid credential, access_token is invalid or not latest")
    return error(42001, "access_token expired") if until <= world.clock.now() else None


def _wrong_field(data: Any) -> str:
    """What is wrong with the message's data, in WeChat's words; empty if nothing is."""
    if not isinstance(data, dict) or not data:
        return "data is empty"
    for name, field in data.items():
        kind = re.fullmatch(r"([a-z_]+?)\d+", name)
        rule = _RULES.get(kind[1]) if kind else None
        value = field.get("value") if isinstance(field, dict) else None
        if rule is None or not isinstance(value, str):
            return f"data.{name} invalid"
        if not value.strip():
            return f"data.{name}.value is empty"
        if not re.fullmatch(rule, value):
            return f"data.{name}.value invalid"
    return ""


def error(errcode: int, errmsg: str) -> Reply:
    """A refusal, as the mini-program API words it."""
    return {"errcode": errcode, "errmsg": f"{errmsg} rid: {secrets.token_hex(4)}-{secrets.token_hex(4)}"}
