"""WeChat Pay v3: the trade bill and the fund-flow bill, to the byte as WeChat writes them.

UTF-8 with BOM, CRLF, every cell of the data behind a backtick, no quoting; a summary at the end. Sums in yuan. The hash
is that of the plain file; the download is not signed. A trade is in the bill of the Beijing day on which it was paid, a
refund in that of the day on which it was accepted; a refund's row keeps the status of that day.
"""

import gzip
import hashlib
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from simulator.clock import beijing
from simulator.pay import WechatError
from simulator.world import Refund, Trade, World

READY_HOUR = 10
CREATING_HOUR = 9
OLDEST_DAYS = 92
URL_LIFE_S = 300
BOM = "\ufeff"
FEE_RATE = 60  # of 10,000

TRADE_COLUMNS = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
TRADE_SUMMARY = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
FLOW_COLUMNS = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,"
    "备注,业务凭证号"
)
FLOW_SUMMARY = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
BILL_TYPES = {"ALL", "SUCCESS", "REFUND"}
ACCOUNT_TYPES = {"BASIC", "OPERATION", "FEES"}


@dataclass(frozen=True, slots=True)
class Bill:
    """One file behind a download address."""

    content: bytes
    zipped: bool
    until: float


def trade_bill(world: World, base_url: str, query: dict[str, str]) -> dict[str, str]:
    """Makes the trade bill of a day; gives its hash and where to fetch it, for five minutes."""
    day = _day(world, query)
    kind = query.get("bill_type", "ALL")
    if kind not in BILL_TYPES:
        raise WechatError(400, "PARAM_ERROR", "bill_type无效")
    rows = [(t.success_time, t, None) for t in world.trades.values() if t.transaction_id and _on(t.success_time, day)]
    refunds = [(r.created_at, r.trade, r) for r in world.refunds.values() if _on(r.created_at, day)]
    chosen = (rows if kind != "REFUND" else []) + (refunds if kind != "SUCCESS" else [])
    if not chosen:
        raise WechatError(400, "NO_STATEMENT_EXIST", "账单不存在")
    chosen.sort(key=lambda row: row[0])
    lines = [_trade_row(trade) if refund is None else _refund_row(refund) for _, trade, refund in chosen]
    return _offer(world, base_url, query, _file(TRADE_COLUMNS, lines, TRADE_SUMMARY, _trade_sums(chosen)))


def fund_flow_bill(world: World, base_url: str, query: dict[str, str]) -> dict[str, str]:
    """Makes the fund-flow bill of a day: what came in, the fee on it, what went back."""
    day = _day(world, query)
    if query.get("account_type", "BASIC") not in ACCOUNT_TYPES:
        raise WechatError(400, "PARAM_ERROR", "account_type无效")
    lines = list(_flows(world, day))
    if not lines or query.get("account_type", "BASIC") != "BASIC":
        raise WechatError(400, "NO_STATEMENT_EXIST", "账单不存在")
    incoming = [float(line[6]) for line in lines if line[5] == "收入"]
    outgoing = [float(line[6]) for line in lines if line[5] == "支出"]
    sums = [
        f"{len(lines)}.0",
        f"{len(incoming)}.0",
        f"{sum(incoming):.2f}",
        f"{len(outgoing)}.0",
        f"{sum(outgoing):.2f}",
    ]
    return _offer(world, base_url, query, _file(FLOW_COLUMNS, lines, FLOW_SUMMARY, sums))


def download(world: World, token: str) -> Bill:
    """The file of a download address. Raises WechatError when it is unknown or too old."""
    bill = world.bills.get(token)
    if bill is None or bill.until < world.clock.now():
        raise WechatError(400, "INVALID_REQUEST", "下载链接无效或已过期")
    return bill


def _day(world: World, query: dict[str, str]) -> date:
    """The day that is asked for, if its bill can be there. Raises WechatError."""
    try:
        day = date.fromisoformat(query.get("bill_date", ""))
    except ValueError:
        raise WechatError(400, "PARAM_ERROR", "bill_date格式错误") from None
    if query.get("tar_type", "GZIP") != "GZIP":
        raise WechatError(400, "PARAM_ERROR", "tar_type无效")
    now = beijing(world.clock.now())
    if day >= now.date() or day < now.date() - timedelta(days=OLDEST_DAYS):
        raise WechatError(400, "INVALID_REQUEST", "账单日期无效")
    if day == now.date() - timedelta(days=1):
        if now.hour < CREATING_HOUR:
            raise WechatError(400, "NO_STATEMENT_EXIST", "账单不存在")
        if now.hour < READY_HOUR:
            raise WechatError(400, "STATEMENT_CREATING", "账单生成中，请10点后再试")
    return day


def _on(moment: float, day: date) -> bool:
    return beijing(moment).date() == day


def _at(moment: float) -> str:
    return beijing(moment).strftime("%Y-%m-%d %H:%M:%S")


def yuan(fen: int) -> str:
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def _fee(fen: int) -> str:
    """In yuan with five decimals."""
    tenth_of_cents = fen * FEE_RATE // 100
    sign = "-" if tenth_of_cents < 0 else ""
    return f"{sign}{abs(tenth_of_cents) / 10000:.5f}"


def _shared(moment: float, trade: Trade, state: str) -> list[str]:
    request = trade.request
    numbers = [request["appid"], request["mchid"], "0", "", trade.transaction_id, trade.out_trade_no, trade.openid]
    return [_at(moment), *numbers, "JSAPI", state, "OTHERS", "CNY"]


def _trade_row(trade: Trade) -> list[str]:
    coupon = trade.total - trade.payer_total
    back = ["0", "0", "0.00", "0.00", "", ""]
    rest = [trade.request["description"], trade.request.get("attach", ""), _fee(trade.payer_total), "0.60%"]
    paid = [yuan(trade.payer_total), yuan(coupon)]
    return [*_shared(trade.success_time, trade, "SUCCESS"), *paid, *back, *rest, yuan(trade.total), "0.00", ""]


def _refund_row(refund: Refund) -> list[str]:
    trade = refund.trade
    back = [refund.refund_id, refund.out_refund_no, yuan(refund.amount), "0.00", "ORIGINAL", "PROCESSING"]
    rest = [trade.request["description"], trade.request.get("attach", ""), _fee(-refund.amount), "0.60%"]
    shared = _shared(refund.created_at, trade, "REFUND")
    return [*shared, "0.00", "0.00", *back, *rest, "0.00", yuan(refund.amount), ""]


def _trade_sums(chosen: Iterable[tuple[float, Trade, Refund | None]]) -> list[str]:
    rows = list(chosen)
    paid = [trade for _, trade, refund in rows if refund is None]
    back = sum(refund.amount for _, _, refund in rows if refund is not None)
    settled, ordered = sum(t.payer_total for t in paid), sum(t.total for t in paid)
    return [f"{len(rows)}.0", yuan(settled), yuan(back), "0.00", _fee(settled - back), yuan(ordered), yuan(back)]


def _flows(world: World, day: date) -> Iterator[list[str]]:
    """Income, fee and outgo as lines of their own."""
    for trade in world.trades.values():
        if trade.transaction_id and _on(trade.success_time, day):
            numbers = [_at(trade.success_time), trade.transaction_id, trade.transaction_id]
            sums = [yuan(trade.payer_total), "0.00"]
            yield [*numbers, "交易", "交易", "收入", *sums, "system", "", trade.out_trade_no]
            fee = f"{trade.payer_total * FEE_RATE / 1_000_000:.2f}"
            yield [*numbers, "扣除交易手续费", "扣除交易手续费", "支出", fee, "0.00", "system", "", trade.out_trade_no]
    for refund in world.refunds.values():
        if _on(refund.created_at, day):
            numbers = [_at(refund.created_at), refund.trade.transaction_id, refund.refund_id]
            sums = [yuan(refund.amount), "0.00"]
            yield [*numbers, "退款", "退款", "支出", *sums, "system", "", refund.out_refund_no]


def _file(columns: str, lines: Iterable[list[str]], summary: str, sums: list[str]) -> bytes:
    rows = [columns, *(_cells(line) for line in lines), summary, _cells(sums)]
    return (BOM + "".join(row + "\r\n" for row in rows)).encode()


def _cells(values: Iterable[str]) -> str:
    return ",".join(f"`{value}" for value in values)


def _offer(world: World, base_url: str, query: dict[str, str], content: bytes) -> dict[str, str]:
    token, zipped = secrets.token_urlsafe(24), "tar_type" in query
    world.bills = {kept: bill for kept, bill in world.bills.items() if bill.until > world.clock.now()}
    world.bills[token] = Bill(gzip.compress(content) if zipped else content, zipped, world.clock.now() + URL_LIFE_S)
    url = f"{base_url}/v3/billdownload/file?token={token}" + ("&tartype=gzip" if zipped else "")
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    return {"hash_type": "SHA1", "hash_value": digest, "download_url": url}
