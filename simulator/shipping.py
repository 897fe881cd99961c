"""The mini-program's 订单发货管理: shipping records, without which funds stay frozen. errcode tells."""

from datetime import datetime
from typing import Any

from simulator.clock import rfc3339
from simulator.mini_program import Reply, error, token_error
from simulator.pay import takes
from simulator.world import Shipment, Trade, World

EXPRESS = 1
LOGISTICS = {1, 2, 3, 4}
INDEX_LAG_S = 2
"""Right after a payment its order is not found yet."""

NOT_FOUND, ALREADY, USED_UP, PARAMETER, UNCHANGED, WRONG_OPENID = (
    10060001,
    10060002,
    10060003,
    10060005,
    10060023,
    10060031,
)
BAD_TIME, NO_TRACKING, NO_COMPANY = 268485216, 268485226, 268485227


def upload_shipping_info(world: World, access_token: str, body: Any) -> Reply:
    """Records that an order was shipped. It may be changed once; the same again is UNCHANGED, which is a success."""
    if wrong := token_error(world, access_token):
        return wrong
    if not isinstance(body, dict) or not isinstance(body.get("shipping_list"), list):
        return error(47001, "data format error")
    trade = _trade(world, body.get("order_key"))
    if trade is None:
        return error(NOT_FOUND, "支付单不存在")
    if wrong := _wrong(trade, body):
        return wrong
    shipment = trade.shipment
    if shipment is None:
        trade.shipment = Shipment(body=body, uploaded_at=_moment(body["upload_time"]))
        return {"errcode": 0, "errmsg": "ok"}
    if _without_time(shipment.body) == _without_time(body):
        return error(UNCHANGED, "发货信息未更新")
    if shipment.changes:
        return error(USED_UP, "支付单已使用重新发货机会")
    if _moment(body["upload_time"]) <= shipment.uploaded_at:
        return error(BAD_TIME, "upload_time must be later than the last one")
    shipment.body, shipment.uploaded_at, shipment.changes = body, _moment(body["upload_time"]), 1
    return {"errcode": 0, "errmsg": "ok"}


def get_order(world: World, access_token: str, body: Any) -> Reply:
    """An order's shipping state, by transaction_id or by merchant_id and merchant_trade_no."""
    if wrong := token_error(world, access_token):
        return wrong
    if not isinstance(body, dict):
        return error(47001, "data format error")
    trade = world.transactions.get(str(body.get("transaction_id", "")))
    if trade is None and body.get("merchant_id") == world.credentials.mchid:
        trade = world.trades.get(str(body.get("merchant_trade_no", "")))
    if trade is None or not trade.transaction_id:
        return error(NOT_FOUND, "支付单不存在")
    order: dict[str, Any] = {
        "transaction_id": trade.transaction_id,
        "merchant_trade_no": trade.out_trade_no,
        "merchant_id": trade.request["mchid"],
        "description": trade.request["description"],
        "paid_amount": trade.payer_total,
        "openid": trade.openid,
        "trade_create_time": int(trade.created_at),
        "pay_time": int(trade.success_time),
        "order_state": 5 if trade.trade_state == "REFUND" else 2 if trade.shipment else 1,
    }
    if trade.shipment:
        order["shipping"] = {name: trade.shipment.body[name] for name in ("logistics_type", "shipping_list")}
    return {"errcode": 0, "errmsg": "ok", "order": order}


def _trade(world: World, key: Any) -> Trade | None:
    if not isinstance(key, dict):
        return None
    trade = None
    if key.get("order_number_type") == 2:
        trade = world.transactions.get(str(key.get("transaction_id", "")))
    elif key.get("order_number_type") == 1 and key.get("mchid") == world.credentials.mchid:
        trade = world.trades.get(str(key.get("out_trade_no", "")))
    if trade is None or not trade.transaction_id or 0 <= world.clock.now() - trade.success_time < INDEX_LAG_S:
        return None
    return trade


def _wrong(trade: Trade, body: dict[str, Any]) -> Reply | None:
    if body.get("logistics_type") not in LOGISTICS or body.get("delivery_mode") not in (1, 2):
        return error(PARAMETER, "logistics_type or delivery_mode is wrong")
    items = body["shipping_list"]
    if not 1 <= len(items) <= 15 or (body["delivery_mode"] == 2 and body["logistics_type"] != EXPRESS):
        return error(PARAMETER, "1 to 15 items; split delivery is for express only")
    for item in items:
        text = item.get("item_desc") if isinstance(item, dict) else None
        if not isinstance(text, str) or not 0 < len(text) <= 120 or not takes(text):
            return error(PARAMETER, "item_desc: 1 to 120 characters of at most 3 bytes")
        if body["logistics_type"] == EXPRESS and not item.get("tracking_no"):
            return error(NO_TRACKING, "tracking_no is empty")
        if body["logistics_type"] == EXPRESS and not item.get("express_company"):
            return error(NO_COMPANY, "express_company is empty")
    if (body.get("payer") or {}).get("openid") != trade.openid:
        return error(WRONG_OPENID, "openid does not match")
    if _moment(body.get("upload_time")) == 0:
        return error(BAD_TIME, f"upload_time: RFC 3339, as {rfc3339(0)}")
    return None


def _moment(text: Any) -> float:
    """Seconds since 1970; 0 for what is no time."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        return 0.0


def _without_time(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "upload_time"}
