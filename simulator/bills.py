"""WeChat Pay v3: the trade bill and the fund-flow bill.

Sums in yuan. The hash is that of the plain file; the download is not signed. A trade is in the bill of the Beijing day
on which it was paid, a refund in that of the day on which it was accepted; a refund's row keeps the status of that day.

Source of the columns: the merchant documents of 2024-11-25 (format of the trade bill) and the sample bill of the
official SDKs, in which a fee is rounded to the fen and written with five decimals.
"""

import gzip
import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from simulator.bill_file import Row, Sheet, changed_rows, changed_sheet
from simulator.clock import BEIJING, beijing
from simulator.faults import due
from simulator.pay import WechatError
from simulator.world import Refund, Trade, World

READY_HOUR = 10
CREATING_HOUR = 9
OLDEST_DAYS = 92
URL_LIFE_S = 300
FEE_RATE = 60  # of 10,000
MOST_OTHERS = 100_000
TILL_USER = f"o{'till':0<27}"

_WHO = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
)
_BACK = "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,"
TRADE_COLUMNS = {
    "ALL": f"{_WHO}应结订单金额,代金券金额,{_BACK}商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注",
    "SUCCESS": f"{_WHO}应结订单金额,代金券金额,商品名称,商户数据包,手续费,费率,订单金额,费率备注",
    "REFUND": f"{_WHO}应结订单金额,代金券金额,退款申请时间,退款成功时间,{_BACK}商品名称,商户数据包,手续费,费率,"
    "订单金额,申请退款金额,费率备注",
}
"""By bill_type."""

TRADE_SUMS = {
    "应结订单总金额": "应结订单金额",
    "退款总金额": "退款金额",
    "充值券退款总金额": "充值券退款金额",
    "手续费总金额": "手续费",
    "订单总金额": "订单金额",
    "申请退款总金额": "申请退款金额",
}
"""The columns that the summary adds up, where the bill has them."""

FLOW_COLUMNS = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,"
    "备注,业务凭证号"
)
ACCOUNT_TYPES = {"BASIC", "OPERATION", "FEES"}

Booked = tuple[float, Trade, Refund | None]
"""What is in a day's bill: when, of which trade, and the refund if it is one."""


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
    if kind not in TRADE_COLUMNS:
        raise WechatError(400, "PARAM_ERROR", "bill_type无效")
    rows = [
        _trade_row(trade) if refund is None else _refund_row(refund)
        for _, trade, refund in _booked(world, "tradebill", day)
        if kind in ("ALL", "REFUND" if refund else "SUCCESS")
    ]
    columns = tuple(TRADE_COLUMNS[kind].split(","))
    rows = _final(world, "tradebill", rows)
    return _offer(world, "tradebill", base_url, query, Sheet(columns, rows, _trade_sums(columns, rows)))


def fund_flow_bill(world: World, base_url: str, query: dict[str, str]) -> dict[str, str]:
    """Makes the fund-flow bill of a day: what came in, the fee on it, what went back."""
    day = _day(world, query)
    account = query.get("account_type", "BASIC")
    if account not in ACCOUNT_TYPES:
        raise WechatError(400, "PARAM_ERROR", "account_type无效")
    rows = list(_flows(_booked(world, "fundflowbill", day))) if account == "BASIC" else []
    rows = _final(world, "fundflowbill", rows)
    return _offer(world, "fundflowbill", base_url, query, Sheet(tuple(FLOW_COLUMNS.split(",")), rows, _flow_sums(rows)))


def download(world: World, token: str) -> Bill:
    """The file of a download address. Raises WechatError when it is unknown or too old."""
    bill = world.bills.get(token)
    if bill is None or bill.until < world.clock.now():
        raise WechatError(400, "INVALID_REQUEST", "下载链接无效或已过期")
    return bill


def _day(world: World, query: dict[str, str]) -> date:
    """The day that is asked for, if its bill can be there. Raises WechatError."""
    text = query.get("bill_date", "")
    try:
        day = date.fromisoformat(text if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else "")
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


# --- what is in a bill


def _booked(world: World, call: str, day: date) -> list[Booked]:
    """What was paid and what was asked back on the day, in the order of its moments; with the rows of other days and
    other systems that a fault adds."""
    booked = _of_day(world, day)
    if due(world, call, answer="two_days"):
        before = day - timedelta(days=1)
        booked += _of_day(world, before) or _of_others(world, before, 1)
    if fault := due(world, call, answer="others_rows"):
        booked += _of_others(world, day, min(max(int(fault.value), 1), MOST_OTHERS))
    return sorted(booked, key=lambda row: row[0])


def _of_day(world: World, day: date) -> list[Booked]:
    paid: list[Booked] = [(trade.success_time, trade, None) for trade in world.trades.values() if trade.transaction_id]
    back: list[Booked] = [(refund.created_at, refund.trade, refund) for refund in world.refunds.values()]
    return [booked for booked in (*paid, *back) if beijing(booked[0]).date() == day]


def _of_others(world: World, day: date, count: int) -> list[Booked]:
    """So many rows of a till with the same merchant number, the same every time: payments whose numbers have the till's
    own form, and after each the refund of all of it."""
    noon = datetime.combine(day, time(12), BEIJING).timestamp()
    booked: list[Booked] = []
    for n in range((count + 1) // 2):
        trade = _of_till(world, f"{day:%Y%m%d}{n:05d}", noon + n % 40_000, total=100 + n % 900)
        body = {"out_refund_no": f"TILL-BACK-{day:%Y%m%d}{n:05d}", "amount": {"refund": trade.total}}
        refund = Refund(
            request=body,
            trade=trade,
            refund_id=f"5099{day:%Y%m%d}{n:016d}",
            created_at=trade.success_time,
            due_at=trade.success_time,
            settlement_left=trade.total,
        )
        booked += [(trade.success_time, trade, None), (refund.created_at, trade, refund)]
    return booked[:count]


def _of_till(world: World, number: str, moment: float, total: int) -> Trade:
    """A paid trade of the till."""
    merchant = {"appid": world.credentials.appid, "mchid": world.credentials.mchid}
    sold = {"out_trade_no": f"TILL-{number}", "description": "柜台,收款", "amount": {"total": total}}
    return Trade(
        request=merchant | sold | {"payer": {"openid": TILL_USER}},
        created_at=moment,
        time_expire=moment,
        trade_state="SUCCESS",
        transaction_id=f"420009{number:0>22}",
        success_time=moment,
        payer_total=total,
    )


def _final(world: World, call: str, rows: list[Row]) -> list[Row]:
    """The rows that the file will have. Raises WechatError when there is none, and so no bill."""
    if due(world, call, answer="empty"):
        return []
    if not rows:
        raise WechatError(400, "NO_STATEMENT_EXIST", "账单不存在")
    return changed_rows(world, call, rows)


# --- the trade bill


def yuan(fen: int) -> str:
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def fee_of(settlement: int) -> int:
    """What WeChat keeps of so much, in fen, rounded half up."""
    return (settlement * FEE_RATE + 5_000) // 10_000


def fee_back(refund: Refund) -> int:
    """What WeChat gives back of the fee, in fen: after every refund it has kept the fee of what is left."""
    return fee_of(refund.settlement_left) - fee_of(refund.settlement_left - refund.settlement_refund)


def _shared(moment: float, trade: Trade, state: str, fee: int) -> Row:
    request = trade.request
    return {
        "交易时间": _at(moment),
        "公众账号ID": request["appid"],
        "商户号": request["mchid"],
        "特约商户号": "0",
        "微信订单号": trade.transaction_id,
        "商户订单号": trade.out_trade_no,
        "用户标识": trade.openid,
        "交易类型": "JSAPI",
        "交易状态": state,
        "付款银行": "OTHERS",
        "货币种类": "CNY",
        "商品名称": request["description"],
        "商户数据包": request.get("attach", ""),
        "手续费": f"{yuan(fee)}000",
        "费率": "0.60%",
    }


def _trade_row(trade: Trade) -> Row:
    return _shared(trade.success_time, trade, "SUCCESS", fee_of(trade.settlement_total)) | {
        "应结订单金额": yuan(trade.settlement_total),
        "代金券金额": yuan(trade.coupon),
        "微信退款单号": "0",
        "商户退款单号": "0",
        "退款金额": "0.00",
        "充值券退款金额": "0.00",
        "订单金额": yuan(trade.total),
        "申请退款金额": "0.00",
    }


def _refund_row(refund: Refund) -> Row:
    trade = refund.trade
    return _shared(refund.created_at, trade, "REFUND", -fee_back(refund)) | {
        "应结订单金额": "0.00",
        "代金券金额": "0.00",
        "退款申请时间": _at(refund.created_at),
        "微信退款单号": refund.refund_id,
        "商户退款单号": refund.out_refund_no,
        "退款金额": yuan(refund.settlement_refund),
        "充值券退款金额": yuan(refund.discount if trade.coupon_type == "CASH" else 0),
        "退款类型": "ORIGINAL",
        "退款状态": "PROCESSING",
        "订单金额": "0.00",
        "申请退款金额": yuan(refund.amount),
    }


def _trade_sums(columns: Iterable[str], rows: list[Row]) -> dict[str, str]:
    """The summary: how many rows, and the sums of the columns that the bill has."""
    known = set(columns)
    sums = {name: _sum(row[column] for row in rows) for name, column in TRADE_SUMS.items() if column in known}
    if not rows:
        sums["手续费总金额"] = "0.00000"
    return {"总交易单数": f"{len(rows)}.0", **sums}


# --- the fund-flow bill


def _flows(booked: Iterable[Booked]) -> Iterator[Row]:
    """Income, fee and outgo as lines of their own; what moves no money is none."""
    for moment, trade, refund in booked:
        if refund is None:
            flows = [
                ("交易", "收入", trade.settlement_total),
                ("扣除交易手续费", "支出", fee_of(trade.settlement_total)),
            ]
            number, own_number = trade.transaction_id, trade.out_trade_no
        else:
            flows = [("退款", "支出", refund.settlement_refund)]
            number, own_number = refund.refund_id, refund.out_refund_no
        for name, direction, fen in flows:
            if fen:
                yield {
                    "记账时间": _at(moment),
                    "微信支付业务单号": trade.transaction_id,
                    "资金流水单号": number,
                    "业务名称": name,
                    "业务类型": name,
                    "收支类型": direction,
                    "收支金额(元)": yuan(fen),
                    "账户结余(元)": "0.00",
                    "资金变更提交申请人": "system",
                    "业务凭证号": own_number,
                }


def _flow_sums(rows: list[Row]) -> dict[str, str]:
    incoming, outgoing = (
        [row["收支金额(元)"] for row in rows if row["收支类型"] == direction] for direction in ("收入", "支出")
    )
    return {
        "资金流水总笔数": f"{len(rows)}.0",
        "收入笔数": f"{len(incoming)}.0",
        "收入金额": _sum(incoming),
        "支出笔数": f"{len(outgoing)}.0",
        "支出金额": _sum(outgoing),
    }


# --- the file


def _offer(world: World, call: str, base_url: str, query: dict[str, str], sheet: Sheet) -> dict[str, str]:
    """Keeps the file for its download; tells its hash and its address."""
    content = changed_sheet(world, call, sheet).written()
    hashed = content + b"\r\n" if due(world, call, answer="wrong_hash") else content
    token, zipped = secrets.token_urlsafe(24), "tar_type" in query
    world.bills = {kept: bill for kept, bill in world.bills.items() if bill.until > world.clock.now()}
    world.bills[token] = Bill(gzip.compress(content) if zipped else content, zipped, world.clock.now() + URL_LIFE_S)
    url = f"{base_url}/v3/billdownload/file?token={token}" + ("&tartype=gzip" if zipped else "")
    digest = hashlib.sha1(hashed, usedforsecurity=False).hexdigest()
    return {"hash_type": "SHA1", "hash_value": digest, "download_url": url}


def _at(moment: float) -> str:
    return beijing(moment).strftime("%Y-%m-%d %H:%M:%S")


def _sum(sums: Iterable[str]) -> str:
    """The sum of yuan to their last digit."""
    return str(sum(map(Decimal, sums), Decimal("0.00")))
