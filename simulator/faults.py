"""Trouble on demand: which call goes wrong, how, of which trade, how often, with which probability."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import fields
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from simulator.world import Fault, World

MOST = 10**9
"""No number that is asked for is higher."""

TIMEOUT_S = 30
"""Longer than any client waits."""

ANY = {
    "500": "500 SYSTEM_ERROR",
    "502html": "a gateway's 502 in HTML",
    "429": "429 FREQUENCY_LIMITED; of close: the user is typing the password",
    "timeout": "no answer for half a minute",
    "drop": "the answer is cut off in the middle",
    "delay": "the answer comes `value` seconds later",
}
SIGNED = {
    "signtest": "the reply's signature is a probe, WECHATPAY/SIGNTEST/...",
    "wrong_key": "the reply is signed with another key",
    "stale": "the reply is signed with a timestamp of ten minutes ago",
}
BILL = {
    "no_statement": "400 NO_STATEMENT_EXIST: there is no bill of this day",
    "creating": "400 STATEMENT_CREATING: the bill of this day is not ready yet",
    "empty": "a file with its header, no row, and a summary of zeros, whatever the day holds",
    "others_rows": "`value` rows (100,000 at most) of another system of the merchant's, with numbers of its own form",
    "two_days": "the rows of the day before, too; if it has none, one of another system",
    "row_twice": "the first row stands there twice",
    "extra_column": "a column more, in the middle",
    "missing_column": "a column less: the `value`th, if none is named the merchant's own number",
    "other_order": "the columns stand in the opposite order",
    "wrong_summary": "the summary's `value`th number, if none is named each, is one too high in its last digit",
    "no_summary": "the file ends after its rows",
    "wrong_hash": "hash_value is that of another file",
}
"""What can go wrong with a bill. A file is changed as its line says and in nothing else: summary and hash_value fit the
file as it is, unless they are what is wrong."""

FAULTS: dict[str, dict[str, str]] = {
    "prepay": ANY | SIGNED | {"paid_first": "it is paid, and the notice comes, before the prepay reply is delivered"},
    **dict.fromkeys(
        ("query", "query_refund"), ANY | SIGNED | {"denied": "404: there is no trade or refund of this number"}
    ),
    "tradebill": ANY | SIGNED | BILL | {"other_merchant": "the rows are another merchant's: another mchid"},
    "fundflowbill": ANY | SIGNED | BILL,
    "close": ANY | SIGNED | {"paid_first": "it is paid just before the close arrives"},
    "refund": ANY
    | SIGNED
    | {
        "not_enough": "403 NOT_ENOUGH: the merchant's balance is too low",
        "no": "400 INVALID_REQUEST: a final no",
        "no_auth": "403 NO_AUTH: the merchant lacks a right",
        "no_merchant": "400 MCH_NOT_EXISTS: the caller's mchid is wrong",
    },
    "refund_end": {"ABNORMAL": "the refund ends ABNORMAL", "CLOSED": "the refund ends CLOSED"},
    "download": ANY
    | {
        "truncated": "the second half of the file is missing, although the reply is whole",
        "expired": "400 INVALID_REQUEST: the download address has expired",
    },
    "certificates": ANY,
    **dict.fromkeys(
        ("code2session", "stable_token", "upload_shipping_info", "get_order"), ANY | {"busy": "errcode -1"}
    ),
    "send": ANY
    | {
        "busy": "errcode -1",
        "token_invalidated": "40001: the access token was taken back under us",
        "refused": "43101: the user refuses",
        "wrong_field": "47003: a field that the template does not have, or wants otherwise",
        "wrong_template": "40037: no such template",
        "no_right": "48001: the mini-program may not call this",
        "no_quota": "45009: the day's quota is used up",
        "no_page": "41030: the released version has no such page; only of a message that names one",
    },
    "cashier": {
        "coupon": "a coupon of `value` fen, the merchant's own discount (NOCASH): payer_total < total, at least 0",
        "cash_coupon": "a coupon of `value` fen that WeChat pays (CASH): the merchant gets the whole total",
        "after_expiry": "the payment goes through after time_expire's last second",
        "after_close": "the payment goes through although the trade is closed",
    },
    "callback": {
        "drop": "this attempt never arrives",
        "late": "it comes `value` seconds later",
        "duplicate": "it comes `value` times, one after the other",
        "at_once": "it comes `value` times at once",
        "out_of_order": "it is held back until the next notice was delivered",
        "signtest": "a probe with a wrong signature comes first",
        "old_certificate": "signed by the platform certificate (gray switch)",
        "next_key": "signed by the key that WeChat rotates to",
        "wrong_amount": "another amount: `value` fen",
        "wrong_mchid": "another mchid",
        "unknown_trade": "an out_trade_no that nobody asked for",
        "unknown_fields": "with fields that nobody knows",
    },
}
"""What can go wrong, by call: the answers and what they mean."""

COUPON_TYPES = {"coupon": "NOCASH", "cash_coupon": "CASH"}
"""The type of the coupon with which the cashier pays, by the answer's name."""

PAY_REFUSALS = {
    "no": (400, "INVALID_REQUEST", "请求参数符合参数格式，但不符合业务规则"),
    "no_auth": (403, "NO_AUTH", "没有权限"),
    "no_merchant": (400, "MCH_NOT_EXISTS", "商户号不存在"),
    "denied": (404, "RESOURCE_NOT_EXISTS", "查询的资源不存在"),
    "no_statement": (400, "NO_STATEMENT_EXIST", "账单不存在"),
    "creating": (400, "STATEMENT_CREATING", "账单生成中，请10点后再试"),
    "expired": (400, "INVALID_REQUEST", "下载链接无效或已过期"),
}
"""What WeChat Pay says no with, by the answer's name."""

REFUSALS = {
    "refused": (43101, "user refuse to accept the msg"),
    "wrong_field": (47003, "argument invalid! data.thing1.value invalid"),
    "wrong_template": (40037, "invalid template_id"),
    "no_right": (48001, "api unauthorized"),
    "no_quota": (45009, "reach max api daily quota limit"),
}
"""What the mini-program API says no with, by the answer's name."""

BY_NAME = {"no_page", "other_merchant", "truncated", *BILL} - set(PAY_REFUSALS)
"""What only the call itself can tell to be due: it asks for it by its name."""

_SCOPE = {field.name for field in fields(Fault) if field.init} - {"call", "answer", "fired"}


class BadFault(Exception):
    """No such trouble or scope; the text lists what there is."""


def parse(body: Any) -> Fault:
    """The fault that a driver asks for. Raises BadFault."""
    if not isinstance(body, Mapping) or body.get("answer") not in FAULTS.get(str(body.get("call")), {}):
        raise BadFault("; ".join(f"call {call}: answer {', '.join(answers)}" for call, answers in FAULTS.items()))
    scope = {name: value for name, value in body.items() if name not in ("call", "answer")}
    checks = {
        "times": type(scope.get("times", 1)) is int and scope.get("times", 1) >= 1,
        "after_effect": isinstance(scope.get("after_effect", False), bool),
        "out_trade_no": isinstance(scope.get("out_trade_no", ""), str),
        "probability": _number(scope.get("probability", 1)) and 0 < scope.get("probability", 1) <= 1,
        "seed": type(scope.get("seed", 0)) is int,
        "value": _number(scope.get("value", 0)) and scope.get("value", 0) >= 0,
    }
    wrong = sorted({name for name, good in checks.items() if not good} | (set(scope) - _SCOPE))
    if wrong:
        raise BadFault(
            f"wrong: {', '.join(wrong)}; besides call and answer there are times (1 or more), after_effect (true or "
            "false), out_trade_no, probability (over 0, up to 1), seed (whole), value (seconds, fen, copies, rows, or "
            "which one)"
        )
    return Fault(call=body["call"], answer=body["answer"], **scope)


def due(
    world: World, call: str, *, out_trade_no: str = "", after_effect: bool = False, answer: str = ""
) -> Fault | None:
    """The fault that this call meets now (with `answer`: if it is that one), or None; it counts as fired."""
    for fault in world.faults:
        if fault.call != call or fault.after_effect is not after_effect or fault.fired >= fault.times:
            continue
        if answer not in ("", fault.answer) or (not answer and fault.answer in BY_NAME):
            continue
        if fault.out_trade_no not in ("", out_trade_no) or fault.chance.random() >= fault.probability:
            continue
        fault.fired += 1
        return fault
    return None


def call_off(world: World, call: str, answer: str) -> None:
    """No more faults of this kind; how often they fired stays to be seen."""
    mine = [fault for fault in world.faults if (fault.call, fault.answer) == (call, answer)]
    world.faults = [fault for fault in world.faults if fault not in mine or fault.fired]
    for fault in mine:
        fault.times = fault.fired


async def wrong_answer(world: World, fault: Fault) -> Response | None:
    """The response that stands in for the right one; None when that is only late, or changed elsewhere."""
    match fault.answer:
        case "500":
            return JSONResponse({"code": "SYSTEM_ERROR", "message": "系统异常，请稍后重试"}, 500)
        case "502html":
            return Response("<html><h1>502 Bad Gateway</h1></html>", 502, media_type="text/html")
        case "429":
            return JSONResponse({"code": "FREQUENCY_LIMITED", "message": "频率超限"}, 429)
        case "not_enough":
            return JSONResponse({"code": "NOT_ENOUGH", "message": "基本账户余额不足，请充值后重新发起"}, 403)
        case answer if answer in PAY_REFUSALS:
            status, code, message = PAY_REFUSALS[answer]
            return JSONResponse({"code": code, "message": message}, status)
        case "busy":
            return JSONResponse({"errcode": -1, "errmsg": "system error"})
        case answer if answer in REFUSALS:
            errcode, errmsg = REFUSALS[answer]
            return JSONResponse({"errcode": errcode, "errmsg": errmsg})
        case "token_invalidated":
            world.tokens.clear()  # the call itself finds out
        case "timeout":
            await world.clock.wait_until(world.clock.now() + TIMEOUT_S)
            return Response(status_code=504)
        case "delay":
            await world.clock.wait_until(world.clock.now() + fault.value)
        case "drop":
            return StreamingResponse(_cut_off(), headers={"Content-Length": "100"})
    return None


async def _cut_off() -> AsyncIterator[bytes]:
    """A body that ends long before its length: the server closes the connection on it."""
    yield b"{"


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= MOST
