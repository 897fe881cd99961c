"""The cashier of the WeChat app: takes what wx.requestPayment was given, checks it as the app does, pays."""

from collections.abc import Mapping
from typing import Any

from simulator.faults import due
from simulator.signing import lines, verifies
from simulator.world import PREPAY_ID_LIFE_S, Trade, World

OK = "requestPayment:ok"
CANCELLED = "requestPayment:fail cancel"
FIELDS = ("timeStamp", "nonceStr", "package", "signType", "paySign")


class Refused(Exception):
    """The app shows this instead of the password pad: `requestPayment:fail ...`."""

    def __init__(self, why: str) -> None:
        super().__init__(f"requestPayment:fail {why}")


def out_trade_no(world: World, request: Mapping[str, Any]) -> str:
    """The number of the trade that a request is about; empty if there is none."""
    trade = world.prepay_ids.get(str(request.get("package")).removeprefix("prepay_id="))
    return trade.out_trade_no if trade else ""


def open_cashier(world: World, request: Mapping[str, Any]) -> Trade:
    """The trade that the five fields (and appid, the app's own) let a user pay. Raises Refused."""
    for name in (*FIELDS, "appid"):
        if not isinstance(request.get(name), str) or not request[name]:
            raise Refused(f"parameter error: parameter.{name} should be String")
    if request["appid"] != world.credentials.appid:
        raise Refused("appid and mchid do not match")
    if request["signType"] != "RSA" or len(request["nonceStr"]) > 32:
        raise Refused("parameter error")
    message = lines(request["appid"], request["timeStamp"], request["nonceStr"], request["package"])
    if not verifies(world.credentials.merchant_public_key, message, request["paySign"]):
        raise Refused("支付验证签名失败")
    prepay_id = request["package"].removeprefix("prepay_id=")
    trade = world.prepay_ids.get(prepay_id)
    if trade is None:
        raise Refused("prepay_id is unknown")
    now = world.clock.now()
    if now - trade.prepay_ids[prepay_id] > PREPAY_ID_LIFE_S:
        raise Refused("prepay_id已过期")
    if request.get("user") and world.user(str(request["user"])).openid != trade.openid:
        raise Refused("下单账号与支付账号不一致")
    if trade.paid:
        raise Refused("该订单已支付")
    closed = (world.trade(trade.out_trade_no) or trade).trade_state == "CLOSED"
    obstacle = "after_close" if closed else "after_expiry" if now > trade.time_expire else ""
    if obstacle and not due(world, "cashier", out_trade_no=trade.out_trade_no, answer=obstacle):
        raise Refused("该订单已过期或已关闭")
    return trade
