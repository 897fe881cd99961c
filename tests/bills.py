"""Files of WeChat's trade bill for tests: rows by the names of their columns, in the order of WeChat's."""

import gzip
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from simulator.bills import TRADE_COLUMNS

COLUMNS = TRADE_COLUMNS["ALL"].split(",")
DAY, MCHID = "2026-11-24", "1900001234"

PAYMENT = {
    "交易时间": f"{DAY} 09:30:00",
    "公众账号ID": "wx5a1b2c3d4e5f6071",
    "商户号": MCHID,
    "特约商户号": "0",
    "微信订单号": "4200001",
    "商户订单号": "HSO2026112409300012345678_1",
    "用户标识": "oUpF8",
    "交易类型": "JSAPI",
    "交易状态": "SUCCESS",
    "付款银行": "OTHERS",
    "货币种类": "CNY",
    "应结订单金额": "896.00",
    "代金券金额": "0.00",
    "微信退款单号": "0",
    "商户退款单号": "0",
    "退款金额": "0.00",
    "充值券退款金额": "0.00",
    "商品名称": "西湖小筑, 2 晚",
    "手续费": "5.37600",
    "费率": "0.60%",
    "订单金额": "896.00",
    "申请退款金额": "0.00",
}
REFUND = PAYMENT | {
    "交易状态": "REFUND",
    "应结订单金额": "0.00",
    "微信退款单号": "5030001",
    "商户退款单号": "HSO2026112409300012345678_1_R1",
    "退款金额": "100.00",
    "退款类型": "ORIGINAL",
    "退款状态": "PROCESSING",
    "手续费": "-0.60000",
    "订单金额": "0.00",
    "申请退款金额": "100.00",
}


def bill(
    rows: Iterable[Mapping[str, str]],
    columns: Sequence[str] = COLUMNS,
    sums: Mapping[str, str] | None = None,
    *,
    summary: bool = True,
) -> bytes:
    """The plain file of these rows; `sums` over those that the rows add up to."""
    kept = list(rows)

    def total(name: str) -> Decimal:
        return sum((Decimal(row[name]) for row in kept), Decimal("0.00"))

    told = {
        "总交易单数": f"{len(kept)}.0",
        "应结订单总金额": str(total("应结订单金额")),
        "退款总金额": str(total("退款金额")),
        "充值券退款总金额": "0.00",
        "手续费总金额": str(total("手续费")),
        "订单总金额": str(total("订单金额")),
        "申请退款总金额": str(total("申请退款金额")),
    } | dict(sums or {})
    lines = [",".join(columns), *(cells(row.get(name, "") for name in columns) for row in kept)]
    if summary:
        lines += [",".join(told), cells(told.values())]
    return ("\ufeff" + "".join(f"{line}\r\n" for line in lines)).encode()


def cells(values: Iterable[str]) -> str:
    return ",".join(f"`{value}" for value in values)


def sha1(plain: bytes) -> str:
    return hashlib.sha1(plain, usedforsecurity=False).hexdigest()


def file_of(folder: Path, plain: bytes, *, zipped: bool = True) -> Path:
    path = folder / "bill"
    path.write_bytes(gzip.compress(plain, mtime=0) if zipped else plain)
    return path
