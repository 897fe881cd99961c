"""WeChat Pay v3: refunds. Accepted at once, done a little later; the same number refunds once, whatever happens.

Source of the limits and codes: the merchant documents of 2025-03-06 (domestic refunds).
"""

import secrets
from typing import Annotated, Any

from pydantic import Field

from simulator.clock import rfc3339
from simulator.pay import Part, WechatError, at_most_bytes, check_notify_url, coupon_id, detail, validated
from simulator.world import Refund, Trade, World

LATEST_S = 365 * 24 * 3600
AT_MOST = 50
APART_S = 60
TAKES_S = 5
"""How long a refund is PROCESSING; cards take days, wallets minutes."""

EVENT = {"SUCCESS": "REFUND.SUCCESS", "ABNORMAL": "REFUND.ABNORMAL", "CLOSED": "REFUND.CLOSED"}


class _From(Part):
    account: Annotated[str, Field(pattern="^(AVAILABLE|UNAVAILABLE)$")]
    amount: Annotated[int, Field(ge=1)]


class _Amount(Part):
    refund: Annotated[int, Field(ge=1)]
    total: Annotated[int, Field(ge=1)]
    currency: Annotated[str, Field(pattern="^CNY$")]
    from_: Annotated[list[_From], Field(alias="from", default_factory=list)]


class _Goods(Part):
    merchant_goods_id: Annotated[str, Field(min_length=1, max_length=32)]
    wechatpay_goods_id: Annotated[str, Field(max_length=32)] = ""
    goods_name: Annotated[str, Field(max_length=256)] = ""
    unit_price: Annotated[int, Field(ge=0)]
    refund_amount: Annotated[int, Field(ge=1)]
    refund_quantity: Annotated[int, Field(ge=1)]


class _Request(Part):
    transaction_id: Annotated[str, Field(max_length=32)] = ""
    out_trade_no: Annotated[str, Field(max_length=32)] = ""
    out_refund_no: Annotated[str, Field(pattern=r"^[0-9A-Za-z_\-|*@]{1,64}$")]
    reason: Annotated[str, at_most_bytes(80)] = ""
    notify_url: Annotated[str, Field(max_length=256)] = ""
    funds_account: Annotated[str, Field(pattern="^(AVAILABLE|UNSETTLED)$")] = "AVAILABLE"
    amount: _Amount
    goods_detail: Annotated[list[_Goods], Field(default_factory=list)]


def create(world: World, body: Any, raw: str) -> tuple[Refund, bool]:
    """The refund, and whether it is new. A repeat with the same parameters gives the first one again."""
    request = validated(_Request, raw, body)
    if bool(request.transaction_id) == bool(request.out_trade_no):
        raise WechatError(
            400, "PARAM_ERROR", "参数错误", detail("/out_trade_no", "one of transaction_id, out_trade_no")
        )
    if request.notify_url:
        check_notify_url(request.notify_url)
    earlier = world.refunds.get(request.out_refund_no)
    if earlier is not None:
        if earlier.request != body:
            raise WechatError(400, "INVALID_REQUEST", "订单号对应的退款参数与首次请求不一致")
        return earlier, False
    trade = _paid_trade(world, request)
    now = world.clock.now()
    _check_limits(trade, request, now)
    refund = Refund(
        request=body,
        trade=trade,
        refund_id=f"50{secrets.randbelow(10**26):026d}",
        created_at=now,
        due_at=now + TAKES_S,
        discount=_discount(trade, request.amount.refund),
        settlement_left=trade.settlement_total - sum(earlier.settlement_refund for earlier in trade.refunds),
    )
    _take(world, refund.settlement_refund)
    world.refunds[refund.out_refund_no] = refund
    trade.refunds.append(refund)
    trade.trade_state = "REFUND"
    return refund, True


def find(world: World, out_refund_no: str) -> Refund:
    refund = world.refunds.get(out_refund_no)
    if refund is None:
        raise WechatError(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
    progress(world, refund)
    return refund


def apply_abnormal(world: World, refund_id: str, body: Any) -> Refund:
    """An abnormal refund is sent to another card: it is PROCESSING again."""
    refund = next((one for one in world.refunds.values() if one.refund_id == refund_id), None)
    if refund is None or not isinstance(body, dict) or body.get("out_refund_no") != refund.out_refund_no:
        raise WechatError(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
    if body.get("type") not in {"USER_BANK_CARD", "MERCHANT_BANK_CARD"}:
        raise WechatError(400, "PARAM_ERROR", "参数错误", detail("/type", "USER_BANK_CARD or MERCHANT_BANK_CARD"))
    if refund.status != "ABNORMAL":
        raise WechatError(400, "INVALID_REQUEST", "退款单状态不是退款异常")
    refund.status, refund.ends_as, refund.due_at = "PROCESSING", "SUCCESS", world.clock.now() + TAKES_S
    return refund


def progress(world: World, refund: Refund) -> bool:
    """Brings a refund to its end when its time has come; True when it has just ended."""
    if refund.status != "PROCESSING" or world.clock.now() < refund.due_at:
        return False
    refund.status = refund.ends_as
    if refund.status == "SUCCESS":
        refund.success_time = world.clock.now()
    elif refund.status == "CLOSED":
        refund.trade.refunds.remove(refund)
        if not refund.trade.refunds:
            refund.trade.trade_state = "SUCCESS"
    return True


def describe(refund: Refund) -> dict[str, Any]:
    """A refund as WeChat replies with it."""
    told: dict[str, Any] = {
        "refund_id": refund.refund_id,
        "out_refund_no": refund.out_refund_no,
        "transaction_id": refund.trade.transaction_id,
        "out_trade_no": refund.trade.out_trade_no,
        "channel": "ORIGINAL",
        "user_received_account": "支付用户零钱",
        "create_time": rfc3339(refund.created_at),
        "status": refund.status,
        "funds_account": refund.request.get("funds_account", "AVAILABLE"),
        "amount": {
            **_amount(refund),
            "settlement_refund": refund.settlement_refund,
            "settlement_total": refund.trade.settlement_total,
            "discount_refund": refund.discount,
            "currency": "CNY",
        },
        "promotion_detail": [_promotion(refund)] if refund.trade.coupon else [],
    }
    return told | ({"success_time": rfc3339(refund.success_time)} if refund.status == "SUCCESS" else {})


def notice_of(refund: Refund) -> dict[str, Any]:
    """The plaintext of its notice: `refund_status`, not `status`, and no currency."""
    told: dict[str, Any] = {
        "mchid": refund.trade.request["mchid"],
        "transaction_id": refund.trade.transaction_id,
        "out_trade_no": refund.trade.out_trade_no,
        "refund_id": refund.refund_id,
        "out_refund_no": refund.out_refund_no,
        "refund_status": refund.status,
        "user_received_account": "支付用户零钱",
        "amount": _amount(refund),
    }
    return told | ({"success_time": rfc3339(refund.success_time)} if refund.status == "SUCCESS" else {})


def _amount(refund: Refund) -> dict[str, int]:
    trade = refund.trade
    told = {"total": trade.total, "refund": refund.amount, "payer_total": trade.payer_total}
    return told | {"payer_refund": refund.amount - refund.discount}


def _promotion(refund: Refund) -> dict[str, Any]:
    """What goes back of the trade's coupon. COUPON is a CASH one, DISCOUNT a NOCASH one."""
    trade = refund.trade
    return {
        "promotion_id": coupon_id(trade),
        "scope": "GLOBAL",
        "type": "COUPON" if trade.coupon_type == "CASH" else "DISCOUNT",
        "amount": trade.coupon,
        "refund_amount": refund.discount,
    }


def _discount(trade: Trade, amount: int) -> int:
    """How much of a refund's `amount` is the coupon's, in fen: its share of the total, counted over all parts so far,
    so that the last part takes what is left and the parts sum to the coupon. Parts that were closed do not count."""
    before, given = sum(refund.amount for refund in trade.refunds), sum(refund.discount for refund in trade.refunds)
    share = trade.coupon * (before + amount) // trade.total - given
    payer_left, coupon_left = trade.payer_total - (before - given), trade.coupon - given
    return min(max(share, amount - payer_left, 0), coupon_left, amount)


def _take(world: World, settlement_refund: int) -> None:
    """What the merchant gives back comes from his balance. Raises WechatError when that is too low."""
    if world.balance is None:
        return
    if world.balance < settlement_refund:
        raise WechatError(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
    world.balance -= settlement_refund


def _paid_trade(world: World, request: _Request) -> Trade:
    trade = world.trade(request.out_trade_no) or world.transactions.get(request.transaction_id)
    if trade is None or not trade.transaction_id:
        raise WechatError(404, "RESOURCE_NOT_EXISTS", "订单不存在")
    return trade


def _check_limits(trade: Trade, request: _Request, now: float) -> None:
    refunded = sum(refund.amount for refund in trade.refunds)
    if request.amount.total != trade.total:
        raise WechatError(400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试")
    if refunded + request.amount.refund > trade.total:
        raise WechatError(400, "INVALID_REQUEST", "申请退款金额大于订单可退金额")
    if len(trade.refunds) >= AT_MOST:
        raise WechatError(400, "INVALID_REQUEST", "订单退款次数超过限制")
    if now - trade.success_time > LATEST_S:
        raise WechatError(400, "INVALID_REQUEST", "订单已经超过可退款的最大期限")
    if any(0 <= now - refund.created_at < APART_S for refund in trade.refunds):  # before a clock's reset: ahead of now
        raise WechatError(429, "FREQUENCY_LIMITED", "同一笔订单多次退款需间隔一分钟")
