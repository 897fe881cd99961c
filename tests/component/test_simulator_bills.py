"""Bills and coupons: sums that add up to the last digit, and bills that go wrong in the one way that was asked for."""

import gzip
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from simulator import bills, pay, refunds
from simulator.bill_file import NEW_COLUMN, OTHER_MERCHANT
from simulator.bills import TRADE_COLUMNS, TRADE_SUMS
from simulator.clock import rfc3339
from simulator.faults import BILL
from simulator.pay import WechatError
from simulator.pytest_plugin import Wechat, wechat, wechat_credentials
from simulator.world import Refund, Trade, World
from tests.component.test_simulator import Merchant
from tests.component.test_simulator_complete import ask_refund

__all__ = ["wechat", "wechat_credentials"]

DAY = 86400
COLUMNS = TRADE_COLUMNS["ALL"].split(",")


def paid(world: World, number: str = "PAID0001", total: int = 100, coupon: int = 0, kind: str = "NOCASH") -> Trade:
    """A trade that was paid on the afternoon of the day before yesterday, in Beijing."""
    credentials = world.credentials
    request: dict[str, Any] = {"appid": credentials.appid, "mchid": credentials.mchid, "description": "一间房,带早餐"}
    request |= {"out_trade_no": number, "notify_url": "https://shop.example.com/notify", "amount": {"total": total}}
    trade = Trade(request=request | {"payer": {"openid": "o1"}}, created_at=0, time_expire=0)
    world.add(trade)
    world.pay(trade, coupon, kind)
    trade.success_time = afternoon(world)
    return trade


def afternoon(world: World) -> float:
    now = world.clock.now() - 2 * DAY
    return now - now % DAY + 6 * 3600


def refund(world: World, trade: Trade, amount: int) -> Refund:
    """The next part of a refund, accepted a second after the last one of its trade was."""
    number = f"{trade.out_trade_no}R{len(world.refunds)}"
    money = {"refund": amount, "total": trade.total, "currency": "CNY"}
    made = ask_refund(world, number, out_trade_no=trade.out_trade_no, amount=money)
    made.created_at = trade.success_time + len(trade.refunds)
    return made


def day_of(trade: Trade, days: int = 0) -> str:
    return rfc3339(trade.success_time + days * DAY)[:10]


@dataclass(frozen=True)
class Read:
    """A bill, as somebody reads it who knows the format."""

    columns: list[str]
    rows: list[dict[str, str]]
    summary: dict[str, str]

    def sum(self, column: str) -> Decimal:
        return sum((Decimal(row[column]) for row in self.rows), Decimal(0))

    def column(self, name: str) -> list[str]:
        return [row[name] for row in self.rows]


def read(plain: bytes) -> Read:
    text = plain.decode()
    assert text.startswith("\ufeff")
    assert text.endswith("\r\n")
    header, *lines = text.removeprefix("\ufeff").split("\r\n")[:-1]
    columns = header.split(",")
    data = [line[1:].split(",`") for line in lines if line.startswith("`")]
    names = [line.split(",") for line in lines if not line.startswith("`")]
    summary = dict(zip(names[0], data.pop(), strict=True)) if names else {}
    return Read(columns, [dict(zip(columns, row, strict=True)) for row in data], summary)


Fetch = Callable[..., Read]


@pytest.fixture
def offline(world: World) -> Wechat:
    """A WeChat that is asked directly: a bill is the same over the wire."""
    return Wechat("http://x", world)


@pytest.fixture
def fetch(world: World) -> Fetch:
    """Asks for a bill and reads the file behind its address."""

    def fetched(day: str, call: str = "tradebill", **query: str) -> Read:
        make = {"tradebill": bills.trade_bill, "fundflowbill": bills.fund_flow_bill}[call]
        return read(plain_of(world, make(world, "http://x", {"bill_date": day, **query})))

    return fetched


def plain_of(world: World, offer: dict[str, str]) -> bytes:
    bill = bills.download(world, offer["download_url"].split("token=")[1].split("&")[0])
    plain = gzip.decompress(bill.content) if bill.zipped else bill.content
    assert hashlib.sha1(plain).hexdigest() == offer["hash_value"]
    return plain


# --- coupons


@pytest.mark.parametrize(
    ("answer", "kind", "merchant", "told"), [("coupon", "NOCASH", 30, 0), ("cash_coupon", "CASH", 0, 30)]
)
def test_a_coupon_is_told_of_in_query_and_notice(
    wechat: Wechat, answer: str, kind: str, merchant: int, told: int
) -> None:
    shop = Merchant(wechat.world, wechat.base_url)
    wechat.fault("cashier", answer, value=30)
    assert shop.pay(shop.prepay().json()["prepay_id"]) == "requestPayment:ok"
    mchid = wechat.world.credentials.mchid
    paid = shop.send("GET", f"/v3/pay/transactions/out-trade-no/TEST0001?mchid={mchid}").json()
    assert paid == pay.describe(wechat.world.trades["TEST0001"])  # what a notice holds
    assert (paid["amount"]["total"], paid["amount"]["payer_total"]) == (100, 70)
    (coupon,) = paid["promotion_detail"]
    assert (coupon["amount"], coupon["type"], coupon["scope"], coupon["currency"]) == (30, kind, "GLOBAL", "CNY")
    assert (coupon["merchant_contribute"], coupon["wechatpay_contribute"]) == (merchant, told)
    assert coupon["coupon_id"].isdigit()


def test_a_trade_without_a_coupon_tells_of_none(world: World) -> None:
    assert "promotion_detail" not in pay.describe(paid(world))


@pytest.mark.parametrize("value", [100, 101, 10**9])
def test_a_coupon_pays_at_most_the_whole_trade(wechat: Wechat, value: int) -> None:
    merchant = Merchant(wechat.world, wechat.base_url)
    wechat.fault("cashier", "coupon", value=value)
    assert merchant.pay(merchant.prepay().json()["prepay_id"]) == "requestPayment:ok"
    told = pay.describe(wechat.world.trades["TEST0001"])
    assert (told["amount"]["payer_total"], told["promotion_detail"][0]["amount"]) == (0, 100)


@pytest.mark.parametrize(("kind", "settlement", "name"), [("NOCASH", 70, "DISCOUNT"), ("CASH", 100, "COUPON")])
def test_a_refund_gives_the_coupon_back_by_its_share(world: World, kind: str, settlement: int, name: str) -> None:
    made = refund(world, paid(world, coupon=30, kind=kind), 50)
    told = refunds.describe(made)
    assert told["amount"] == {
        "total": 100,
        "refund": 50,
        "payer_total": 70,
        "payer_refund": 35,
        "settlement_total": settlement,
        "settlement_refund": 50 if kind == "CASH" else 35,
        "discount_refund": 15,
        "currency": "CNY",
    }
    (promotion,) = told["promotion_detail"]
    assert promotion["promotion_id"] == pay.describe(made.trade)["promotion_detail"][0]["coupon_id"]
    assert (promotion["type"], promotion["amount"], promotion["refund_amount"]) == (name, 30, 15)
    assert refunds.notice_of(made)["amount"] == {"total": 100, "refund": 50, "payer_total": 70, "payer_refund": 35}


def test_a_refund_takes_from_the_balance_what_the_merchant_had(world: World) -> None:
    world.balance = 35
    refund(world, paid(world, coupon=30), 50)
    assert world.balance == 0


def test_parts_of_a_fen_give_back_all_of_a_coupon_that_paid_nearly_everything(world: World) -> None:
    trade = paid(world, total=50, coupon=49)
    for n in range(50):
        refund(world, trade, 1)
        assert sum(part.discount for part in trade.refunds) == 49 * (n + 1) // 50
    amounts = [refunds.describe(part)["amount"] for part in trade.refunds]
    assert [sum(amount[name] for amount in amounts) for name in ("payer_refund", "discount_refund")] == [1, 49]


def test_a_part_that_was_closed_frees_its_share_of_the_coupon(world: World) -> None:
    trade = paid(world, total=100, coupon=33)
    for n, amount in enumerate((10, 45, 45, 45)):
        made = refund(world, trade, amount)
        made.ends_as = "CLOSED" if n in (1, 2) else "SUCCESS"
        world.clock.advance(60)
        refunds.find(world, made.out_refund_no)
    refund(world, trade, 45)
    assert sum(part.amount for part in trade.refunds) == 100
    assert sum(part.discount for part in trade.refunds) == 33
    assert sum(part.settlement_refund for part in trade.refunds) == 67


# --- sums of the trade bill


def random_trades(world: World, seed: int, count: int) -> list[Trade]:
    """Trades with coupons of both types and of every size, refunded not at all, in part and in full; of one day."""
    chance, first = random.Random(seed), afternoon(world)
    trades = []
    for n in range(count):
        total = chance.choice([1, 2, 3, 99, 100, 8333, chance.randint(1, 10**7)])
        coupon = chance.choice([0, 0, 1, total, chance.randint(0, total)])
        trade = paid(world, f"RAND{n:05d}", total, min(coupon, total), chance.choice(["CASH", "NOCASH"]))
        trade.success_time = first + n
        left = chance.choice([0, 0, total, chance.randint(0, total)])
        while left and len(trade.refunds) < 50:
            part = left if len(trade.refunds) == 49 else chance.choice([left, 1, chance.randint(1, left)])
            refund(world, trade, part)
            left -= part
        trades.append(trade)
    return trades


@pytest.mark.parametrize("seed", range(5))
def test_the_summary_is_the_sum_of_its_columns_to_the_last_digit(world: World, fetch: Fetch, seed: int) -> None:
    trades = random_trades(world, seed, 60)
    made = [part for trade in trades for part in trade.refunds]
    assert made
    text = fetch(day_of(trades[0]))
    assert Decimal(text.summary["总交易单数"]) == len(text.rows) == len(trades) + len(made)
    for name, column in TRADE_SUMS.items():
        assert Decimal(text.summary[name]) == text.sum(column), name
    assert {column: fen(text.sum(column)) for column in TRADE_SUMS.values() if column != "手续费"} == {
        "应结订单金额": sum(trade.settlement_total for trade in trades),
        "退款金额": sum(part.settlement_refund for part in made),
        "充值券退款金额": sum(part.discount for part in made if part.trade.coupon_type == "CASH"),
        "订单金额": sum(trade.total for trade in trades),
        "申请退款金额": sum(part.amount for part in made),
    }
    assert fen(text.sum("代金券金额")) == sum(trade.total - trade.payer_total for trade in trades)


@pytest.mark.parametrize("seed", range(5))
def test_each_trade_adds_up_over_its_rows(world: World, fetch: Fetch, seed: int) -> None:
    """Parts of a refund sum to their whole, whoever gets it; WeChat keeps the fee of what is left, none of nothing."""
    trades = random_trades(world, seed, 60)
    text = fetch(day_of(trades[0]))
    full = 0
    for trade in trades:
        mine = replace(text, rows=[row for row in text.rows if row["商户订单号"] == trade.out_trade_no])
        fees = [Decimal(row["手续费"]) for row in mine.rows]
        kept = trade.settlement_total - sum(part.settlement_refund for part in trade.refunds)
        assert sum(fees) * 100 == (Decimal(kept) * Decimal("0.006")).quantize(Decimal(1), "ROUND_HALF_UP")
        assert fees[0] >= 0 >= max(fees[1:], default=Decimal(0))
        assert all(row["手续费"].partition(".")[2][2:] == "000" for row in mine.rows)
        amounts = [refunds.describe(part)["amount"] for part in trade.refunds]
        for amount in amounts:
            assert amount["payer_refund"] + amount["discount_refund"] == amount["refund"]
            assert min(amount[name] for name in set(amount) - {"currency"}) >= 0
        if sum(amount["refund"] for amount in amounts) == trade.total:
            full += 1
            assert mine.sum("应结订单金额") == mine.sum("退款金额")
            assert sum(fees) == 0
            assert sum(amount["payer_refund"] for amount in amounts) == trade.payer_total
            assert sum(amount["discount_refund"] for amount in amounts) == trade.coupon
            assert sum(amount["settlement_refund"] for amount in amounts) == trade.settlement_total
    assert full


def fen(yuan: Decimal) -> int:
    whole = yuan * 100
    assert whole == int(whole)
    return int(whole)


def test_the_fund_flow_bill_adds_up_and_leaves_out_what_moves_nothing(world: World, fetch: Fetch) -> None:
    trades = random_trades(world, 1, 40)
    text = fetch(day_of(trades[0]), "fundflowbill")
    incoming, outgoing = (
        replace(text, rows=[row for row in text.rows if row["收支类型"] == way]).sum("收支金额(元)")
        for way in ("收入", "支出")
    )
    assert (Decimal(text.summary["收入金额"]), Decimal(text.summary["支出金额"])) == (incoming, outgoing)
    assert fen(incoming) == sum(trade.settlement_total for trade in trades)
    assert "0.00" not in text.column("收支金额(元)")
    assert Decimal(text.summary["资金流水总笔数"]) == len(text.rows)


def test_a_bill_of_payments_has_no_columns_of_refunds_and_one_of_refunds_has_two_more(
    offline: Wechat, fetch: Fetch
) -> None:
    trade = paid(offline.world, coupon=30, kind="CASH")
    refund(offline.world, trade, 50)
    payments, back = (fetch(day_of(trade), bill_type=kind) for kind in ("SUCCESS", "REFUND"))
    assert not {"微信退款单号", "商户退款单号", "退款金额", "申请退款金额"} & set(payments.columns)
    assert list(payments.summary) == ["总交易单数", "应结订单总金额", "手续费总金额", "订单总金额"]
    assert set(back.columns) - set(COLUMNS) == {"退款申请时间", "退款成功时间"}
    assert (back.column("退款金额"), back.column("充值券退款金额")) == (["0.50"], ["0.15"])
    assert (back.summary["退款总金额"], back.summary["充值券退款总金额"]) == ("0.50", "0.15")


# --- bills that go wrong


@pytest.mark.parametrize("call", ["tradebill", "fundflowbill"])
@pytest.mark.parametrize(
    ("answer", "code"), [("no_statement", "NO_STATEMENT_EXIST"), ("creating", "STATEMENT_CREATING")]
)
def test_there_can_be_no_bill_yet(wechat: Wechat, call: str, answer: str, code: str) -> None:
    day, merchant = day_of(paid(wechat.world)), Merchant(wechat.world, wechat.base_url)
    wechat.fault(call, answer)
    replies = [merchant.send("GET", f"/v3/bill/{call}?bill_date={day}") for _ in range(2)]
    assert [reply.status_code for reply in replies] == [400, 200]
    assert replies[0].json()["code"] == code


@pytest.mark.parametrize("tar", ["", "&tar_type=GZIP"])
def test_a_file_can_be_cut_off_and_its_address_expire(wechat: Wechat, tar: str) -> None:
    day, merchant = day_of(paid(wechat.world)), Merchant(wechat.world, wechat.base_url)
    wechat.fault("download", "expired")
    wechat.fault("download", "truncated")
    offer = merchant.send("GET", f"/v3/bill/tradebill?bill_date={day}{tar}").json()
    expired, cut, whole = (merchant.send("GET", offer["download_url"].removeprefix(wechat.base_url)) for _ in range(3))
    assert (cut.status_code, len(cut.content)) == (200, len(whole.content) // 2)
    assert (expired.status_code, expired.json()["code"]) == (400, "INVALID_REQUEST")
    if tar:
        with pytest.raises(EOFError):
            gzip.decompress(cut.content)
    plain = gzip.decompress(whole.content) if tar else whole.content
    assert hashlib.sha1(plain).hexdigest() == offer["hash_value"]


@pytest.mark.parametrize("call", ["tradebill", "fundflowbill"])
def test_the_hash_can_be_wrong(wechat: Wechat, call: str) -> None:
    day, merchant = day_of(paid(wechat.world)), Merchant(wechat.world, wechat.base_url)
    wechat.fault(call, "wrong_hash")
    wrong, right = (merchant.send("GET", f"/v3/bill/{call}?bill_date={day}").json() for _ in range(2))
    plain = merchant.send("GET", wrong["download_url"].removeprefix(wechat.base_url)).content
    assert len(wrong["hash_value"]) == 40
    assert wrong["hash_value"] != right["hash_value"] == hashlib.sha1(plain).hexdigest()


@pytest.fixture
def day(offline: Wechat) -> str:
    """A day with a payment, a refund of it, and a payment on the day before."""
    trade = paid(offline.world, total=1000)
    refund(offline.world, trade, 400)
    paid(offline.world, "PAID0002", total=700).success_time = trade.success_time - DAY
    return day_of(trade)


def agrees(bill: Read) -> bool:
    """Whether a trade bill's summary says what its rows say."""
    counted = Decimal(bill.summary["总交易单数"]) == len(bill.rows)
    return counted and all(Decimal(bill.summary[name]) == bill.sum(column) for name, column in TRADE_SUMS.items())


def test_a_column_more_or_less_or_another_order(offline: Wechat, fetch: Fetch, day: str) -> None:
    right = fetch(day)
    offline.fault("tradebill", "extra_column")
    more = fetch(day)
    assert set(more.columns) - set(COLUMNS) == {NEW_COLUMN}
    assert [name for name in more.columns if name != NEW_COLUMN] == COLUMNS
    assert more.columns[0] != NEW_COLUMN != more.columns[-1]
    offline.fault("tradebill", "missing_column")
    assert set(COLUMNS) - set(fetch(day).columns) == {"商户订单号"}
    offline.fault("tradebill", "missing_column", value=25)
    assert set(COLUMNS) - set(fetch(day).columns) == {"订单金额"}
    offline.fault("tradebill", "other_order")
    other = fetch(day)
    assert other.columns == COLUMNS[::-1]
    assert other.rows == right.rows  # by the columns' names
    for bill in (more, other):
        assert agrees(bill)
        assert bill.summary == right.summary
    assert fetch(day) == right


@pytest.mark.parametrize(("value", "count"), [(0, 1), (1, 1), (5, 5), (200, 200)])
def test_rows_of_another_system_can_stand_between_them(
    offline: Wechat, fetch: Fetch, day: str, value: int, count: int
) -> None:
    right = fetch(day)
    users = dict(offline.world.users)
    offline.fault("tradebill", "others_rows", value=value, times=2)
    bill, again = fetch(day), fetch(day)
    others = [row for row in bill.rows if row not in right.rows]
    assert len(others) == count == len(bill.rows) - len(right.rows)
    assert all(row["商户订单号"].startswith("TILL-") for row in others)
    assert sum(row["交易状态"] == "REFUND" for row in others) == count // 2
    assert {row["交易时间"][:10] for row in bill.rows} == {day}
    assert len({(row["微信订单号"], row["微信退款单号"]) for row in others}) == count
    assert agrees(bill)
    assert again == bill
    assert (len(offline.world.trades), offline.world.users) == (2, users)


def test_a_row_can_stand_there_twice(offline: Wechat, fetch: Fetch, day: str) -> None:
    right = fetch(day)
    offline.fault("tradebill", "row_twice")
    bill = fetch(day)
    assert bill.rows == [right.rows[0], *right.rows]
    assert agrees(bill)


def test_a_bill_can_be_another_merchants(offline: Wechat, fetch: Fetch, day: str) -> None:
    offline.fault("tradebill", "other_merchant")
    assert set(fetch(day).column("商户号")) == {OTHER_MERCHANT}
    assert set(fetch(day).column("商户号")) == {offline.world.credentials.mchid}


def test_a_bill_can_hold_two_days(offline: Wechat, fetch: Fetch, day: str) -> None:
    offline.fault("tradebill", "two_days", times=2)
    bill = fetch(day)
    assert bill.column("商户订单号") == ["PAID0002", "PAID0001", "PAID0001"]
    assert len({row["交易时间"][:10] for row in bill.rows}) == 2
    assert agrees(bill)
    del offline.world.trades["PAID0002"]
    alone = fetch(day)
    assert alone.rows[0]["交易时间"][:10] < day == alone.rows[1]["交易时间"][:10]


def test_a_summary_can_be_wrong_or_missing(offline: Wechat, fetch: Fetch, day: str) -> None:
    right = fetch(day)
    offline.fault("tradebill", "wrong_summary")
    wrong = fetch(day).summary
    assert (wrong["总交易单数"], wrong["订单总金额"]) == ("2.1", "10.01")
    assert all(wrong[name] != right.summary[name] for name in right.summary)
    offline.fault("tradebill", "wrong_summary", value=6)
    assert fetch(day).summary == right.summary | {"订单总金额": "10.01"}
    offline.fault("tradebill", "no_summary")
    bill = fetch(day)
    assert (bill.summary, bill.rows) == ({}, right.rows)


@pytest.mark.parametrize(("call", "numbers"), [("tradebill", 7), ("fundflowbill", 5)])
def test_a_bill_can_be_empty_with_a_summary_of_zeros(offline: Wechat, fetch: Fetch, call: str, numbers: int) -> None:
    day = rfc3339(offline.world.clock.now() - 3 * DAY)[:10]
    offline.fault(call, "empty")
    bill = fetch(day, call)
    assert bill.rows == []
    assert [float(number) for number in bill.summary.values()] == [0.0] * numbers
    with pytest.raises(WechatError, match="账单不存在"):
        fetch(day, call)


@pytest.mark.parametrize(
    "answer", sorted(set(BILL) - {"no_statement", "creating", "empty", "wrong_hash", "wrong_summary"})
)
def test_a_fund_flow_bill_goes_wrong_too(offline: Wechat, fetch: Fetch, day: str, answer: str) -> None:
    right = fetch(day, "fundflowbill")
    fault = offline.fault("fundflowbill", answer)
    assert fetch(day, "fundflowbill") != right
    assert fault.fired == 1
    assert fetch(day, "fundflowbill") == right


def test_a_fault_of_a_bill_waits_until_there_is_a_bill(offline: Wechat, fetch: Fetch, day: str) -> None:
    fault = offline.fault("tradebill", "row_twice")
    with pytest.raises(WechatError):
        fetch("2020-01-01")
    assert fault.fired == 0


def test_a_value_is_a_number_that_can_be_counted(wechat: Wechat) -> None:
    for value in ("1e999", "-1", "NaN", '"3"', "1e10"):
        text = f'{{"call": "tradebill", "answer": "others_rows", "value": {value}}}'
        assert httpx.post(f"{wechat.base_url}/_sim/faults", content=text).status_code == 400, value
    assert json.loads(httpx.get(f"{wechat.base_url}/_sim/faults").content) == []
