"""Refunds, bills, shipping, quotas, the clock and the state of the simulator: each rule with its refusal."""

import gzip
import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from simulator import bills, mini_program, refunds, shipping
from simulator.clock import BEIJING, rfc3339
from simulator.pay import WechatError
from simulator.world import Refund, Trade, User, World
from tests.component.test_simulator_certified import bill_day, paid_trade

DAY = 86400


def ask_refund(world: World, number: str = "R1", **changes: Any) -> Refund:
    body = {
        "out_trade_no": "PAID0001",
        "out_refund_no": number,
        "amount": {"refund": 40, "total": 100, "currency": "CNY"},
    } | changes
    return refunds.create(world, body, json.dumps(body))[0]


@pytest.fixture
def trade(world: World) -> Trade:
    return paid_trade(world, days_ago=0)


def refused(world: World, code: str, **changes: Any) -> None:
    with pytest.raises(WechatError) as error:
        ask_refund(world, **changes)
    assert error.value.body["code"] == code


# --- refunds


def test_a_refund_is_processing_then_success_and_the_trade_becomes_refund(world: World, trade: Trade) -> None:
    refund = ask_refund(world)
    told = refunds.describe(refund)
    assert (told["status"], told["amount"]["refund"], told["amount"]["payer_total"]) == ("PROCESSING", 40, 100)
    assert trade.trade_state == "REFUND"
    world.clock.advance(refunds.TAKES_S)
    assert refunds.describe(refunds.find(world, "R1"))["status"] == "SUCCESS"
    assert refunds.notice_of(refund)["refund_status"] == "SUCCESS"
    assert "currency" not in refunds.notice_of(refund)["amount"]


def test_the_same_number_refunds_once_and_other_parameters_are_refused(world: World, trade: Trade) -> None:
    first = ask_refund(world)
    assert ask_refund(world) is first
    refused(world, "INVALID_REQUEST", amount={"refund": 41, "total": 100, "currency": "CNY"})
    assert trade.refunds == [first]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"out_trade_no": "UNKNOWN1"}, "RESOURCE_NOT_EXISTS"),
        ({"amount": {"refund": 101, "total": 100, "currency": "CNY"}}, "INVALID_REQUEST"),
        ({"amount": {"refund": 40, "total": 99, "currency": "CNY"}}, "INVALID_REQUEST"),
        ({"amount": {"refund": 40, "total": 100}}, "PARAM_ERROR"),
        ({"amount": {"refund": 0, "total": 100, "currency": "CNY"}}, "PARAM_ERROR"),
        ({"out_refund_no": "bad number"}, "PARAM_ERROR"),
        ({"out_refund_no": "x" * 65}, "PARAM_ERROR"),
        ({"reason": "长" * 81}, "PARAM_ERROR"),
        ({"transaction_id": "42"}, "PARAM_ERROR"),
        ({"notify_url": "http://shop.example.com/notify"}, "PARAM_ERROR"),
        ({"surprise": 1}, "PARAM_ERROR"),
    ],
)
def test_a_refund_outside_the_rules_is_refused(world: World, trade: Trade, changes: dict[str, Any], code: str) -> None:
    refused(world, code, **changes)
    assert trade.trade_state == "SUCCESS"


def test_an_unpaid_trade_has_nothing_to_refund(world: World, trade: Trade) -> None:
    trade.transaction_id, trade.trade_state = "", "NOTPAY"
    refused(world, "RESOURCE_NOT_EXISTS")


def test_parts_add_up_to_the_total_a_minute_apart(world: World, trade: Trade) -> None:
    ask_refund(world, "R1")
    refused(world, "FREQUENCY_LIMITED", number="R2")
    world.clock.advance(60)
    ask_refund(world, "R2")
    world.clock.advance(60)
    refused(world, "INVALID_REQUEST", number="R3")
    ask_refund(world, "R3", amount={"refund": 20, "total": 100, "currency": "CNY"})
    assert sum(refund.amount for refund in trade.refunds) == 100


def test_fifty_parts_and_no_more(world: World, trade: Trade) -> None:
    one = {"refund": 1, "total": 100, "currency": "CNY"}
    for n in range(refunds.AT_MOST):
        ask_refund(world, f"PART{n}", amount=one)
        world.clock.advance(60)
    refused(world, "INVALID_REQUEST", number="PART50", amount=one)


def test_after_a_year_nothing_is_refunded(world: World, trade: Trade) -> None:
    world.clock.advance(366 * DAY)
    refused(world, "INVALID_REQUEST")


def test_a_balance_that_is_too_low_is_not_enough(world: World, trade: Trade) -> None:
    world.balance = 39
    refused(world, "NOT_ENOUGH")
    world.balance = 50
    ask_refund(world)
    assert world.balance == 10


def test_an_abnormal_refund_can_be_sent_elsewhere_and_a_closed_one_frees_its_sum(world: World, trade: Trade) -> None:
    refund = ask_refund(world)
    refund.ends_as = "ABNORMAL"
    with pytest.raises(WechatError):
        refunds.apply_abnormal(world, refund.refund_id, {"out_refund_no": "R1", "type": "USER_BANK_CARD"})
    world.clock.advance(refunds.TAKES_S)
    assert refunds.find(world, "R1").status == "ABNORMAL"
    for body in ({"out_refund_no": "R9", "type": "USER_BANK_CARD"}, {"out_refund_no": "R1", "type": "CASH"}):
        with pytest.raises(WechatError):
            refunds.apply_abnormal(world, refund.refund_id, body)
    refunds.apply_abnormal(world, refund.refund_id, {"out_refund_no": "R1", "type": "USER_BANK_CARD"})
    world.clock.advance(refunds.TAKES_S)
    assert refunds.find(world, "R1").status == "SUCCESS"
    world.clock.advance(60)
    closing = ask_refund(world, "R2")
    closing.ends_as = "CLOSED"
    world.clock.advance(refunds.TAKES_S)
    assert refunds.find(world, "R2").status == "CLOSED"
    world.clock.advance(60)
    assert ask_refund(world, "R3", amount={"refund": 60, "total": 100, "currency": "CNY"}).amount == 60
    with pytest.raises(WechatError):
        refunds.find(world, "UNKNOWN")


# --- bills


def text_of(world: World, offer: dict[str, str]) -> str:
    token = offer["download_url"].split("token=")[1].split("&")[0]
    bill = bills.download(world, token)
    plain = gzip.decompress(bill.content) if bill.zipped else bill.content
    assert hashlib.sha1(plain).hexdigest() == offer["hash_value"]
    return plain.decode()


def test_the_trade_bill_is_wechats_to_the_byte(world: World) -> None:
    trade = paid_trade(world)
    refund = ask_refund(world)
    refund.created_at = trade.success_time + 60
    text = text_of(world, bills.trade_bill(world, "http://x", {"bill_date": bill_day(trade), "tar_type": "GZIP"}))
    assert text.startswith("\ufeff交易时间,公众账号ID,")
    assert text.endswith("\r\n")
    header, paid, back, summary, sums = text.removeprefix("\ufeff").split("\r\n")[:-1]
    assert len(header.split(",")) == 27
    cells, returned = (line[1:].split(",`") for line in (paid, back))
    named, refund_row = (dict(zip(header.split(","), row, strict=True)) for row in (cells, returned))
    assert (named["商户订单号"], named["交易状态"], named["订单金额"]) == ("PAID0001", "SUCCESS", "1.00")
    assert (named["商品名称"], named["手续费"], named["费率"]) == ("一间房,带早餐", "0.01000", "0.60%")
    assert (refund_row["商户退款单号"], refund_row["退款金额"], refund_row["订单金额"]) == ("R1", "0.40", "0.00")
    assert summary.startswith("总交易单数,")
    assert sums == "`2.0,`1.00,`0.40,`0.00,`0.00000,`1.00,`0.40"


def test_a_bill_may_hold_payments_or_refunds_only_and_comes_plain_if_asked(world: World) -> None:
    trade = paid_trade(world)
    ask_refund(world).created_at = trade.success_time
    for kind, rows in (("SUCCESS", 1), ("REFUND", 1), ("ALL", 2)):
        text = text_of(world, bills.trade_bill(world, "http://x", {"bill_date": bill_day(trade), "bill_type": kind}))
        assert len(text.split("\r\n")) == rows + 4


def test_the_fund_flow_bill_tells_income_fee_and_outgo(world: World) -> None:
    trade = paid_trade(world)
    ask_refund(world).created_at = trade.success_time
    text = text_of(world, bills.fund_flow_bill(world, "http://x", {"bill_date": bill_day(trade)}))
    lines = text.split("\r\n")
    assert [line.split(",`")[5] for line in lines[1:4]] == ["收入", "支出", "支出"]
    assert lines[-2] == "`3.0,`1.0,`1.00,`2.0,`0.41"


def at(world: World, hour: int) -> str:
    """Moves the clock to that hour of tomorrow in Beijing; gives the day before it."""
    now = datetime.fromtimestamp(world.clock.now(), UTC).astimezone(BEIJING)
    then = (now + timedelta(days=1)).replace(hour=hour, minute=30)
    world.clock.advance((then - now).total_seconds())
    return now.date().isoformat()


@pytest.mark.parametrize(("hour", "code"), [(3, "NO_STATEMENT_EXIST"), (9, "STATEMENT_CREATING"), (10, "")])
def test_yesterdays_bill_is_there_at_ten(world: World, hour: int, code: str) -> None:
    paid_trade(world, days_ago=0)
    yesterday = at(world, hour)
    if not code:
        assert bills.trade_bill(world, "http://x", {"bill_date": yesterday})["hash_type"] == "SHA1"
        return
    with pytest.raises(WechatError) as error:
        bills.trade_bill(world, "http://x", {"bill_date": yesterday})
    assert error.value.body["code"] == code


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"bill_date": "2026-13-01"}, "PARAM_ERROR"),
        ({"bill_date": "20261120"}, "PARAM_ERROR"),
        ({"bill_date": "2026-W47-5"}, "PARAM_ERROR"),
        ({"bill_date": "２０２６-11-20"}, "PARAM_ERROR"),
        ({"bill_date": "2026-11-20 "}, "PARAM_ERROR"),
        ({}, "PARAM_ERROR"),
        ({"bill_date": "2020-01-01"}, "INVALID_REQUEST"),
        ({"bill_date": "2999-01-01"}, "INVALID_REQUEST"),
        ({"bill_date": "", "bill_type": "SOME"}, "PARAM_ERROR"),
        ({"tar_type": "ZIP"}, "PARAM_ERROR"),
    ],
)
def test_a_bill_that_cannot_be_is_refused(world: World, query: dict[str, str], code: str) -> None:
    with pytest.raises(WechatError) as error:
        bills.trade_bill(world, "http://x", query)
    assert error.value.body["code"] == code


def test_a_day_without_trades_has_no_statement(world: World) -> None:
    day = datetime.fromtimestamp(world.clock.now() - 5 * DAY, UTC).astimezone(BEIJING).date().isoformat()
    for make in (bills.trade_bill, bills.fund_flow_bill):
        with pytest.raises(WechatError) as error:
            make(world, "http://x", {"bill_date": day})
        assert error.value.body["code"] == "NO_STATEMENT_EXIST"


def test_a_download_address_lives_five_minutes(world: World) -> None:
    trade = paid_trade(world)
    offer = bills.trade_bill(world, "http://x", {"bill_date": bill_day(trade)})
    world.clock.advance(301)
    with pytest.raises(WechatError):
        text_of(world, offer)


# --- shipping


def shipment(trade: Trade, world: World, **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "order_key": {"order_number_type": 2, "transaction_id": trade.transaction_id},
        "logistics_type": 3,
        "delivery_mode": 1,
        "shipping_list": [{"item_desc": "一间房*1晚"}],
        "upload_time": rfc3339(world.clock.now()),
        "payer": {"openid": trade.openid},
    }
    return body | changes


@pytest.fixture
def token(world: World) -> str:
    world.tokens["token"] = world.clock.now() + 10**9
    return "token"


def test_shipping_is_recorded_changed_once_and_the_same_again_is_unchanged(
    world: World, trade: Trade, token: str
) -> None:
    def upload(**changes: Any) -> int:
        return int(shipping.upload_shipping_info(world, token, shipment(trade, world, **changes))["errcode"])

    assert upload() == shipping.NOT_FOUND  # right after the payment the index lags
    world.clock.advance(shipping.INDEX_LAG_S)
    assert upload() == 0
    world.clock.advance(60)
    assert upload() == shipping.UNCHANGED
    changed = [{"item_desc": "一间房*1晚,已确认"}]
    assert upload(shipping_list=changed, upload_time=rfc3339(0)) == shipping.BAD_TIME
    assert upload(shipping_list=changed) == 0
    assert upload() == shipping.USED_UP
    told = shipping.get_order(world, token, {"merchant_id": trade.request["mchid"], "merchant_trade_no": "PAID0001"})
    assert (told["order"]["order_state"], told["order"]["shipping"]["shipping_list"]) == (2, changed)


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"shipping_list": {"item_desc": "x"}}, 47001),
        ({"shipping_list": []}, shipping.PARAMETER),
        ({"shipping_list": [{"item_desc": ""}]}, shipping.PARAMETER),
        ({"shipping_list": [{"item_desc": "长" * 121}]}, shipping.PARAMETER),
        ({"logistics_type": 9}, shipping.PARAMETER),
        ({"delivery_mode": 2}, shipping.PARAMETER),
        ({"logistics_type": 1}, shipping.NO_TRACKING),
        ({"logistics_type": 1, "shipping_list": [{"item_desc": "x", "tracking_no": "1"}]}, shipping.NO_COMPANY),
        ({"payer": {"openid": "o-other"}}, shipping.WRONG_OPENID),
        ({"upload_time": "now"}, shipping.BAD_TIME),
        ({"order_key": {"order_number_type": 1, "mchid": "1", "out_trade_no": "PAID0001"}}, shipping.NOT_FOUND),
        ({"order_key": None}, shipping.NOT_FOUND),
    ],
)
def test_shipping_outside_the_rules_is_refused(
    world: World, trade: Trade, token: str, changes: dict[str, Any], errcode: int
) -> None:
    world.clock.advance(shipping.INDEX_LAG_S)
    reply = shipping.upload_shipping_info(world, token, shipment(trade, world, **changes))
    assert reply["errcode"] == errcode
    assert trade.shipment is None


def test_shipping_needs_a_good_token_and_a_known_order(world: World, trade: Trade, token: str) -> None:
    for call in (shipping.upload_shipping_info, shipping.get_order):
        assert call(world, "wrong", shipment(trade, world))["errcode"] == 40001
        assert call(world, token, "text")["errcode"] == 47001
    assert shipping.get_order(world, token, {"transaction_id": "42"})["errcode"] == shipping.NOT_FOUND


# --- quotas and forced tokens


def test_a_one_time_subscription_is_one_message(world: World, token: str) -> None:
    user = User(name="guest-1", openid="o1", quota={"t": 1})
    world.users["o1"] = user
    message = {"touser": "o1", "template_id": "t", "data": {"thing1": {"value": "x"}}}
    assert [mini_program.send_message(world, token, message)["errcode"] for _ in range(2)] == [0, 43101]
    other = message | {"template_id": "unlimited"}
    assert [mini_program.send_message(world, token, other)["errcode"] for _ in range(2)] == [0, 0]


def test_a_token_can_be_forced_twenty_times_a_day_half_a_minute_apart(world: World) -> None:
    credentials = world.credentials
    body = {"grant_type": "client_credential", "appid": credentials.appid, "secret": credentials.app_secret}
    body |= {"force_refresh": True}  # type: ignore[dict-item]
    assert "access_token" in mini_program.stable_token(world, body)
    assert mini_program.stable_token(world, body)["errcode"] == 45011
    for _ in range(19):
        world.clock.advance(31)
        assert "access_token" in mini_program.stable_token(world, body)
    world.clock.advance(31)
    assert mini_program.stable_token(world, body)["errcode"] == 45009
    world.clock.advance(DAY)
    assert "access_token" in mini_program.stable_token(world, body)


# --- the world, for drivers


def test_the_clock_moves_forward_only(wechat_url: str) -> None:
    before = httpx.get(f"{wechat_url}/_sim/clock").json()["now"]
    after = httpx.post(f"{wechat_url}/_sim/clock", json={"advance_s": 3600}).json()["now"]
    assert after - before == pytest.approx(3600, abs=5)
    for wrong in ({"advance_s": -1}, {"advance_s": "x"}, {"advance_s": True}, {}):
        assert httpx.post(f"{wechat_url}/_sim/clock", json=wrong).status_code == 400


def test_the_state_can_be_read_and_reset_and_holds_no_secret(world: World, wechat_url: str) -> None:
    paid_trade(world)
    ask_refund(world)
    told = httpx.get(f"{wechat_url}/_sim/state").json()
    assert ([t["out_trade_no"] for t in told["trades"]], [r["out_refund_no"] for r in told["refunds"]]) == (
        ["PAID0001"],
        ["R1"],
    )
    text, credentials = json.dumps(told), world.credentials
    assert not any(secret in text for secret in (credentials.app_secret, credentials.apiv3_key, "PRIVATE KEY"))
    paid_trade(world, "PAID0002")
    newest = httpx.get(f"{wechat_url}/_sim/state?last=1").json()
    assert ([trade["out_trade_no"] for trade in newest["trades"]], newest["counts"]["trades"]) == (["PAID0002"], 2)
    assert httpx.get(f"{wechat_url}/_sim/state?last=x").status_code == 400
    assert httpx.delete(f"{wechat_url}/_sim/state").json()["trades"] == []
    assert world.transactions == {}


def test_switches_balance_users_and_subscriptions_say_what_they_take(world: World, wechat_url: str) -> None:
    with httpx.Client(base_url=f"{wechat_url}/_sim") as client:
        assert client.post("/switches", json={"closed_code": "ORDERCLOSED"}).json()["closed_code"] == "ORDERCLOSED"
        assert client.get("/switches").json()["certificate_mode"] is False
        for wrong in ({"unknown": 1}, {"closed_status": "400"}):
            assert "closed_code" in client.post("/switches", json=wrong).json()["error"]
        assert client.post("/balance", json={"fen": 5}).json() == {"fen": 5}
        assert client.post("/balance", json={"fen": -1}).status_code == 400
        assert client.post("/users/guest-1", json={"quota": {"t": 2}}).json()["quota"] == {"t": 2}
        assert client.post("/users/guest-1", json={"quota": 2}).status_code == 400
        accepted = client.post("/subscribe", json={"user": "guest-1", "template_ids": ["t", "u"]}).json()
        assert accepted == {"errMsg": "requestSubscribeMessage:ok", "t": "accept", "u": "accept"}
        assert world.user("guest-1").quota == {"t": 3, "u": 1}
        assert client.post("/subscribe", json={"user": "guest-1", "template_ids": []}).status_code == 400


def test_only_the_newest_trades_are_remembered(world: World) -> None:
    world.keep = 2
    for n in range(4):
        trade = paid_trade(world, f"MANY{n:04d}")
        world.new_prepay_id(trade)
        body = {"out_trade_no": trade.out_trade_no}
        ask_refund(world, f"R{n}", **body)
    assert list(world.trades) == ["MANY0002", "MANY0003"]
    assert len(world.transactions) == len(world.prepay_ids) == len(world.refunds) == 2


def test_the_page_asks_for_nothing_but_the_state(wechat_url: str) -> None:
    page = httpx.get(wechat_url)
    assert page.headers["content-type"].startswith("text/html")
    assert "/_sim/state" in page.text
    assert "https://" not in page.text


def test_the_commands_drive_a_running_simulator(wechat_url: str) -> None:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "simulator", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    url = ("--url", wechat_url)
    made = json.loads(run("fault", "callback", "late", "--value", "30", *url).stdout)
    assert (made[0]["answer"], made[0]["value"]) == ("late", 30.0)
    assert json.loads(run("faults", *url).stdout) == made
    wrong = run("fault", "callback", "explode", *url)
    assert wrong.returncode == 1
    assert "next_key" in wrong.stderr
    assert "not_enough" in run("faults", "--known").stdout
    assert json.loads(run("clear", *url).stdout) == []
    moved, back = (json.loads(run(*how, *url).stdout)["now"] for how in (("advance", "7200"), ("reset-clock",)))
    assert 7000 < moved - back < 7200
    assert json.loads(run("state", "--reset", *url).stdout)["trades"] == []
    nobody = run("state", "--url", "http://127.0.0.1:9")
    assert nobody.returncode == 1
    assert "python -m simulator starts one" in nobody.stderr
    assert "Without a command it serves" in run("--help").stdout
