"""WeChat Pay v3: prepay (JSAPI), query, close. Decides on the world; knows nothing of HTTP but status and body.

Source of the limits and codes: the merchant documents of 2025-03-31 (mini-program payment, API list).
"""

import re
from datetime import datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from simulator.clock import rfc3339
from simulator.signing import lines, verifies
from simulator.world import Trade, World

MAX_CLOCK_DIFFERENCE_S = 300
MAX_TIME_EXPIRE_S = 90 * 24 * 3600
M = TypeVar("M", bound=BaseModel)

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
SCHEME = "WECHATPAY2-SHA256-RSA2048"

STATE_TEXT = {"NOTPAY": "订单未支付", "SUCCESS": "支付成功", "CLOSED": "订单已关闭", "REFUND": "转入退款"}

INTERNAL = {  # the number behind Request-ID's last dash
    "SIGN_ERROR": 268443699,
    "ORDER_PAID": 268449538,
    "ORDER_CLOSED": 268447914,
    "INVALID_REQUEST": 268498688,
    "OUT_TRADE_NO_USED": 268498688,
    "FREQUENCY_LIMITED": 268447840,
    "ORDER_NOT_EXIST": 268512771,
    "PARAM_ERROR": 268440007,
    "RESOURCE_NOT_EXISTS": 268512771,
    "NOT_ENOUGH": 268446466,
}


class WechatError(Exception):
    """WeChat's refusal: HTTP status, code, message, and a detail if there is one."""

    def __init__(self, status: int, code: str, message: str, detail: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message, **({"detail": detail} if detail else {})}
        self.internal = INTERNAL.get(code, 268435456)


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Amount(Part):
    total: Annotated[int, Field(ge=1)]
    currency: Annotated[str, Field(pattern="^CNY$")] = "CNY"


class _Payer(Part):
    openid: Annotated[str, Field(min_length=1, max_length=128)]


class _Store(Part):
    id: Annotated[str, Field(min_length=1, max_length=32)]
    name: Annotated[str, Field(max_length=256)] = ""
    area_code: Annotated[str, Field(max_length=32)] = ""
    address: Annotated[str, Field(max_length=512)] = ""


class _Scene(Part):
    payer_client_ip: Annotated[str, Field(min_length=1, max_length=45)]
    device_id: Annotated[str, Field(max_length=32)] = ""
    store_info: _Store = _Store(id="none")


class _Settle(Part):
    profit_sharing: bool = False


class _Goods(Part):
    merchant_goods_id: Annotated[str, Field(min_length=1, max_length=32)]
    wechatpay_goods_id: Annotated[str, Field(max_length=32)] = ""
    goods_name: Annotated[str, Field(max_length=256)] = ""
    quantity: Annotated[int, Field(ge=1)]
    unit_price: Annotated[int, Field(ge=0)]


class _Detail(Part):
    cost_price: Annotated[int, Field(ge=0)] = 0
    invoice_id: Annotated[str, Field(max_length=32)] = ""
    goods_detail: list[_Goods] = []


class _Prepay(Part):
    """No field may be null: an optional one is left out."""

    appid: Annotated[str, Field(min_length=1, max_length=32)]
    mchid: Annotated[str, Field(min_length=1, max_length=32)]
    description: Annotated[str, Field(min_length=1, max_length=127)]
    out_trade_no: Annotated[str, Field(pattern=r"^[0-9A-Za-z_\-|*]{6,32}$")]
    time_expire: Annotated[str, Field(min_length=1, max_length=64)] = ""
    attach: Annotated[str, Field(max_length=128)] = ""
    notify_url: Annotated[str, Field(min_length=1, max_length=255)]
    goods_tag: Annotated[str, Field(max_length=32)] = ""
    support_fapiao: bool = False
    amount: _Amount
    payer: _Payer
    detail: _Detail = _Detail()
    scene_info: _Scene = _Scene(payer_client_ip="none")
    settle_info: _Settle = _Settle()


def verify_authorization(world: World, header: str, method: str, target: str, body: bytes) -> str:
    """The mchid that signed the request; `target` is path and query as on the wire. Raises WechatError 401.

    The timestamp is compared with real time: the caller's clock is not the simulator's.
    """
    scheme, _, text = header.partition(" ")
    fields = dict(re.findall(r'(\w+)="([^"]*)"', text))
    timestamp, nonce = fields.get("timestamp", ""), fields.get("nonce_str", "")
    message = lines(method, target, timestamp, nonce, body)
    issue = "sign not match"
    if scheme != SCHEME or not {"mchid", "serial_no", "nonce_str", "timestamp", "signature"} <= set(fields):
        issue = "Authorization is not as documented"
    elif fields["mchid"] != world.credentials.mchid:
        issue = "mchid unknown"
    elif fields["serial_no"] != world.credentials.merchant_serial_no:
        issue = "serial_no does not belong to mchid"
    elif (
        not (timestamp.isascii() and timestamp.isdigit())
        or abs(world.clock.real() - int(timestamp)) > MAX_CLOCK_DIFFERENCE_S
    ):
        issue = "timestamp expired"
    elif verifies(world.credentials.merchant_public_key, message, fields["signature"]):
        return world.credentials.mchid
    raise WechatError(
        401,
        "SIGN_ERROR",
        "错误的签名,验签失败",
        {
            "detail": {"issue": issue},
            "field": "signature",
            "location": "authorization",
            "sign_information": {
                "method": method,
                "sign_message_length": len(message),
                "truncated_sign_message": message[:64].decode(errors="replace"),
                "url": target,
            },
        },
    )


def prepay(world: World, mchid: str, body: Any, raw: str) -> dict[str, Any]:
    """JSAPI prepay. A repeat with the same parameters gives a fresh prepay_id; with others it is refused."""
    request = validated(_Prepay, raw, body)
    if request.mchid != mchid:
        raise WechatError(400, "PARAM_ERROR", "http header中的mchid与post payload中的mchid不匹配")
    if request.appid != world.credentials.appid:
        raise WechatError(400, "APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配")
    check_notify_url(request.notify_url)
    if request.payer.openid not in world.users:
        raise WechatError(400, "PARAM_ERROR", "无效的openid", detail("/payer/openid", "openid is not of this appid"))
    now = world.clock.now()
    time_expire = _time_expire(request.time_expire, now)
    trade = world.trade(request.out_trade_no)
    if trade is None:
        trade = Trade(request=body, created_at=now, time_expire=time_expire)
        world.add(trade)
    _check_repeat(world, trade, body, now)
    return {"prepay_id": world.new_prepay_id(trade)}


def query(mchid: str, trade: Trade | None, asked_mchid: str) -> dict[str, Any]:
    _check_mchid(mchid, asked_mchid)
    if trade is None:
        raise WechatError(404, "ORDER_NOT_EXIST", "订单不存在")
    return describe(trade)


def close(world: World, mchid: str, out_trade_no: str, body: Any) -> None:
    """Closes an unpaid trade; closing twice is fine."""
    _check_mchid(mchid, body.get("mchid", "") if isinstance(body, dict) else "")
    trade = world.trade(out_trade_no)
    if trade is None:
        raise WechatError(404, "ORDER_NOT_EXIST", "订单不存在")
    if trade.paid:
        raise WechatError(world.switches.paid_status, world.switches.paid_code, "该订单已支付")
    trade.trade_state = "CLOSED"


def describe(trade: Trade) -> dict[str, Any]:
    """A trade as a query and a notice tell it; an unpaid one has neither payer nor amount."""
    told: dict[str, Any] = {
        "appid": trade.request["appid"],
        "mchid": trade.request["mchid"],
        "out_trade_no": trade.out_trade_no,
        "trade_state": trade.trade_state,
        "trade_state_desc": STATE_TEXT[trade.trade_state],
    }
    if not trade.paid:
        return told
    return told | {
        "transaction_id": trade.transaction_id,
        "trade_type": "JSAPI",
        "bank_type": "OTHERS",
        "attach": trade.request.get("attach", ""),
        "success_time": rfc3339(trade.success_time),
        "payer": {"openid": trade.openid},
        "amount": {
            "total": trade.total,
            "payer_total": trade.payer_total,
            "currency": "CNY",
            "payer_currency": "CNY",
        },
        **({"promotion_detail": [_promotion(trade)]} if trade.coupon else {}),
    }


def coupon_id(trade: Trade) -> str:
    """The number of the coupon with which a trade was paid."""
    return f"1{trade.transaction_id[-10:]}"


def _promotion(trade: Trade) -> dict[str, Any]:
    """The coupon of a paid trade; who gave it says its type: CASH was paid for by WeChat, NOCASH is the merchant's."""
    cash = trade.coupon_type == "CASH"
    return {
        "coupon_id": coupon_id(trade),
        "name": "代金券",
        "scope": "GLOBAL",
        "type": trade.coupon_type,
        "amount": trade.coupon,
        "stock_id": "9836588" if cash else "9836589",
        "wechatpay_contribute": trade.coupon if cash else 0,
        "merchant_contribute": 0 if cash else trade.coupon,
        "other_contribute": 0,
        "currency": "CNY",
    }


def at_most_bytes(limit: int) -> AfterValidator:
    """A text's limit in UTF-8 bytes."""

    def checked(text: str) -> str:
        if len(text.encode()) > limit:
            raise ValueError(f"at most {limit} bytes")
        return text

    return AfterValidator(checked)


def takes(text: str) -> bool:
    """Whether all characters are of 1 to 3 bytes in UTF-8, as WeChat wants them."""
    return all(char <= "\uffff" and not "\ud800" <= char <= "\udfff" for char in text)


def validated(model: type[M], raw: str, body: Any) -> M:
    """The request as its model. Raises WechatError 400 PARAM_ERROR that names the first wrong field."""
    if not takes(raw) or re.search(r"\\ud[89a-f][0-9a-f]{2}", raw, re.IGNORECASE):
        raise WechatError(400, "PARAM_ERROR", "参数错误", detail("", "only characters of 1 to 3 bytes in UTF-8"))
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = "".join(f"/{part}" for part in first["loc"])
        raise WechatError(400, "PARAM_ERROR", "参数错误", detail(field, first["msg"], first["input"])) from None


def detail(field: str, issue: str, value: object = None) -> dict[str, Any]:
    return {"field": field, "value": value, "issue": issue, "location": "body"}


def check_notify_url(notify_url: str) -> None:
    url = urlsplit(notify_url)
    secure = url.scheme == "https" or (url.scheme == "http" and url.hostname in LOOPBACK)
    if not secure or not url.hostname or url.query or url.fragment:
        issue = "https, a public address, no query string (http on loopback only)"
        raise WechatError(400, "PARAM_ERROR", "参数错误", detail("/notify_url", issue, notify_url))


def _time_expire(text: str, now: float) -> float:
    """The last moment to pay: less than a minute ahead becomes one minute, more than 90 days 90 days."""
    if not text:
        return now + 7 * 24 * 3600
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None or parsed.timestamp() <= now:
        raise WechatError(400, "PARAM_ERROR", "参数错误", detail("/time_expire", "RFC 3339, in the future", text))
    return min(max(parsed.timestamp(), now + 60), now + MAX_TIME_EXPIRE_S)


def _check_repeat(world: World, trade: Trade, body: Any, now: float) -> None:
    switches = world.switches
    if trade.paid:
        raise WechatError(switches.paid_status, switches.paid_code, "该订单已支付")
    if trade.trade_state == "CLOSED" or now > trade.time_expire:
        raise WechatError(switches.closed_status, switches.closed_code, "该订单已关闭")
    if body != trade.request:
        raise WechatError(
            switches.reentry_status, switches.reentry_code, "请求重入时，参数与首次请求时不一致，请确认参数无误后重试"
        )


def _check_mchid(signed: str, asked: str) -> None:
    if asked != signed:
        raise WechatError(400, "PARAM_ERROR", "参数错误", detail("/mchid", "not the mchid that signed", asked))
