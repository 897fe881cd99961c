"""Staff at the counter: the real page and stack."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from local.shopper import Shopper, order_body
from local.stack import local
from payments.domain.bill import NOT_OURS, DayOfBills, Difference, DifferenceKind, Statement
from payments.domain.times import beijing_day, utc_now
from payments.edge.tokens import Identity, Role, issue
from payments.store.dynamodb import wire
from tests.local.conftest import Cloud, eventually


class Counter:
    def __init__(self, page: Page, cloud: Cloud, name: str) -> None:
        self.page, self.cloud, self.name = page, cloud, name

    def token(self, role: Role = Role.STAFF, business: str = "b-hangzhou") -> str:
        return issue(Identity(self.name, role, business), self.cloud.token_keys(), utc_now())

    def sign_in(self, token: str = "") -> "Counter":
        self.page.goto("/counter.html")
        self.page.get_by_label("员工令牌").fill(token or self.token())
        self.page.get_by_role("button", name="登录").click()
        return self

    def look_up(self, code: str) -> Locator:
        """Types a code; the order that is shown."""
        self.page.get_by_label("入住验证码或订单号").fill(code)
        self.page.keyboard.press("Enter")
        return self.page.get_by_role("article")

    def says(self, text: str) -> None:
        expect(self.page.locator("main > .said")).to_contain_text(text)


@pytest.fixture
def counter(page: Page, cloud: Cloud, request: pytest.FixtureRequest) -> Counter:
    """Of a member of staff who has guessed nothing yet."""
    return Counter(page, cloud, request.node.name[:40])


@pytest.fixture
def paid(cloud: Cloud) -> tuple[str, str]:
    """(order_sn, code) of a guest's order of 896 yuan."""
    with cloud.shopper("guest-of-the-counter") as shopper:
        purchase = shopper.buy()
    assert purchase.complete
    return purchase.order_sn, purchase.redeem_code


def test_a_code_is_looked_up_and_redeemed_once(counter: Counter, cloud: Cloud, paid: tuple[str, str]) -> None:
    order_sn, code = paid
    order = counter.sign_in().look_up(f" {code[:4].lower()} {code[4:7]}-{code[7:]}")
    expect(order).to_contain_text("西湖边的小屋")
    expect(order).to_contain_text("待入住")
    expect(order).not_to_contain_text("false")
    order.get_by_role("button", name="核销入住").click()
    counter.says("核销成功")
    expect(order).to_contain_text("已入住")
    again = counter.look_up(code)
    expect(again).to_contain_text(counter.name)
    expect(again.get_by_role("button", name="核销入住")).to_have_count(0)
    assert cloud.order(order_sn)["ORDER"]["used_by"] == counter.name
    cloud.check()


def test_two_members_of_staff_at_once(counter: Counter, cloud: Cloud, paid: tuple[str, str]) -> None:
    order = counter.sign_in().look_up(paid[1])
    order.wait_for()
    body = {"code": paid[1]}
    assert cloud.api.post("/merchant/redemptions", json=body, headers=cloud.staff()).status_code == 200
    order.get_by_role("button", name="核销入住").click()
    counter.says("这个验证码已经核销过")
    expect(order).to_contain_text("staff-1")


def test_without_the_staff_role_nothing_is_shown(counter: Counter) -> None:
    counter.page.goto("/counter.html")
    expect(counter.page.get_by_label("入住验证码或订单号")).to_have_count(0)
    counter.sign_in(counter.token(Role.USER, ""))
    counter.says("这不是员工令牌")
    expect(counter.page.get_by_label("入住验证码或订单号")).to_have_count(0)
    counter.sign_in("no.such.token")
    counter.says("令牌已失效")
    assert counter.page.evaluate("sessionStorage.getItem('counter.token')") is None


def test_a_token_in_the_address_does_not_stay_there(counter: Counter) -> None:
    counter.page.goto(f"/counter.html#token={counter.token()}")
    expect(counter.page.get_by_label("入住验证码或订单号")).to_be_visible()
    assert "token" not in counter.page.url


def test_a_token_that_expires_keeps_what_was_typed(counter: Counter, paid: tuple[str, str]) -> None:
    counter.sign_in()
    counter.page.route("**/lookups", lambda route: route.fulfill(status=403, json={"message": "Forbidden"}), times=1)
    counter.look_up(paid[1])
    counter.says("令牌已失效")
    counter.page.get_by_label("员工令牌").fill(counter.token())
    counter.page.keyboard.press("Enter")
    expect(counter.page.get_by_label("入住验证码或订单号")).to_have_value(paid[1])


def test_refunds_in_part_and_then_the_rest(counter: Counter, cloud: Cloud, paid: tuple[str, str]) -> None:
    order = counter.sign_in().look_up(paid[0])
    dialog = counter.page.get_by_role("dialog", name="退款")
    for amount, told in (
        ("896.01", "最多可退 ¥896.00"),
        ("12.345", "请填写金额"),
        ("0", "请填写金额"),
        ("0.01", "请填写原因"),
    ):
        if not dialog.is_visible():
            order.get_by_role("button", name="退款").click()
            dialog.get_by_label("部分").check()
        dialog.get_by_label("金额（元）").fill(amount)
        dialog.get_by_role("button", name="退款").click()
        expect(dialog.get_by_role("status")).to_contain_text(told)
    dialog.get_by_label("原因").fill("少住一晚")
    dialog.get_by_role("button", name="退款").click()
    counter.says("已申请退款 ¥0.01")
    expect(order).to_contain_text("¥0.01 · 处理中 · 少住一晚")
    cloud.wechat.post("/_sim/clock", json={"advance_s": 10})
    expect(order).to_contain_text("¥0.01 · 已退回 · 少住一晚")
    order.get_by_role("button", name="退款").click()
    expect(dialog).to_contain_text("可退 ¥895.99")
    dialog.get_by_label("原因").fill("台风")
    dialog.get_by_role("button", name="退款").click()
    # WeChat takes partial refunds of one trade a minute apart: the second one waits here until then.
    expect(order).to_contain_text("¥895.99 · 申请中 · 台风")
    cloud.wechat.post("/_sim/clock", json={"advance_s": 70})
    cloud.minutes_ago(paid[0])
    cloud.sweep()
    expect(order).to_contain_text("¥895.99 · 处理中 · 台风")
    cloud.wechat.post("/_sim/clock", json={"advance_s": 10})
    expect(order).to_contain_text("已退款")
    assert cloud.order(paid[0])["ORDER"]["refunded_fen"] == 89600
    cloud.check()


def test_a_refund_whose_answer_gets_lost_is_one_refund(counter: Counter, cloud: Cloud, paid: tuple[str, str]) -> None:
    order = counter.sign_in().look_up(paid[0])
    order.get_by_role("button", name="退款").click()
    dialog = counter.page.get_by_role("dialog", name="退款")
    dialog.get_by_label("原因").fill("台风")

    def takes_effect_and_gets_lost(route: object) -> None:
        route.fetch()  # type: ignore[attr-defined]
        route.abort()  # type: ignore[attr-defined]

    counter.page.route("**/refunds", takes_effect_and_gets_lost, times=1)
    dialog.get_by_role("button", name="退款").click()
    expect(dialog.get_by_role("status")).to_contain_text("不会重复退款")
    expect(dialog.get_by_label("原因")).to_be_disabled()
    dialog.get_by_role("button", name="再试一次").click()
    counter.says("已申请退款 ¥896.00")
    assert len([sk for sk in cloud.order(paid[0]) if sk.startswith("REFUND#")]) == 1
    cloud.wechat.post("/_sim/clock", json={"advance_s": 10})
    expect(order).to_contain_text("已退款", timeout=20_000)
    cloud.check()


def test_an_open_case_is_closed_with_a_resolution(counter: Counter, cloud: Cloud, paid: tuple[str, str]) -> None:
    cloud.fault(call="refund_end", answer="CLOSED", out_trade_no=f"{paid[0]}_1")
    headers = cloud.staff() | {"Idempotency-Key": "refund-that-fails"}
    assert (
        cloud.api.post(f"/merchant/orders/{paid[0]}/refunds", json={"reason": "x"}, headers=headers).status_code == 201
    )
    cloud.wechat.post("/_sim/clock", json={"advance_s": 10})
    order = counter.sign_in().look_up(paid[0])
    expect(order.first).to_contain_text("退款被微信关闭", timeout=20_000)
    case = order.filter(has_text="退款被微信关闭").last
    case.get_by_role("button", name="结案").click()
    dialog = counter.page.get_by_role("dialog", name="结案")
    press = dialog.get_by_role("button", name="结案").click
    for resolution, reference, told in (
        ("refunded", "随便", "凭据不对"),
        ("kept", "cash", "凭据不对"),
        ("settled_by_hand", "in cash at the desk on the 25th, receipt 7", "只有店主可以这样结案"),
        ("kept", "the guest wants it so, by phone", ""),
    ):
        dialog.get_by_label("结果").select_option(resolution)
        dialog.get_by_label("凭据").fill(reference)
        press()
        expect(dialog).to_contain_text("确认结案：¥896.00")  # asked once more before anything is written
        assert "resolution" not in next(item for sk, item in cloud.order(paid[0]).items() if sk.startswith("CASE#"))
        press()
        if told:
            expect(dialog).to_contain_text(told)
    counter.says("已结案")
    (closed,) = (item for sk, item in cloud.order(paid[0]).items() if sk.startswith("CASE#"))
    assert (closed["resolution"], closed["closed_by"]) == ("kept", counter.name)


def test_an_order_on_hold_says_so_and_offers_neither_redemption_nor_refund(counter: Counter, cloud: Cloud) -> None:
    """Paid, refunded in full in WeChat's console, and both notices are lost; a poll finds it."""
    cloud.fault(call="callback", answer="drop", times=99)
    with cloud.shopper("guest-on-hold") as shopper:
        shopper.login()
        order_sn = shopper.order("lake-house")["order_sn"]
        shopper.pay(shopper.prepay(order_sn))
        assert cloud.wechat.post(f"/_sim/trades/{order_sn}_1/refund", json={"amount": 89600}).status_code == 200
        assert eventually(lambda: shopper.poll(order_sn)["on_hold"])
    order = counter.sign_in().look_up(order_sn)
    expect(order.first).to_contain_text("微信显示这笔款项已退，但这里没有退款记录")
    expect(order.first).to_contain_text("微信显示已退款，这里没有记录")
    for name in ("核销入住", "退款"):
        expect(order.first.get_by_role("button", name=name, exact=True)).to_have_count(0)
    cloud.wechat.delete("/_sim/faults")
    number = cloud.wechat.get("/_sim/state").json()["refunds"][-1]["out_refund_no"]
    case = order.filter(has_text="微信显示已退款，这里没有记录").last
    case.get_by_role("button", name="结案").click()
    dialog = counter.page.get_by_role("dialog", name="结案")
    dialog.get_by_label("凭据").fill(number)
    for _ in range(2):
        dialog.get_by_role("button", name="结案").click()
    counter.says("已结案")
    assert "on_hold" not in cloud.order(order_sn)["ORDER"]
    cloud.wechat.post("/_sim/clock", json={"advance_s": 10})
    expect(order.first).to_contain_text("已退款", timeout=30_000)
    cloud.check()


def test_a_refund_that_waits_is_tried_now_or_withdrawn(counter: Counter, cloud: Cloud, paid: tuple[str, str]) -> None:
    cloud.wechat.post("/_sim/balance", json={"fen": 0})
    try:
        headers = cloud.staff() | {"Idempotency-Key": "refund-that-waits"}
        route = f"/merchant/orders/{paid[0]}/refunds"
        assert cloud.api.post(route, json={"reason": "改期"}, headers=headers).status_code == 201
        order = counter.sign_in().look_up(paid[0])
        expect(order).to_contain_text("申请中")
        order.get_by_role("button", name="立即重试").click()
        counter.says("一分钟内会再次请求微信")
        order.get_by_role("button", name="撤回").click()
        counter.page.get_by_role("dialog", name="撤回").get_by_role("button", name="撤回").click()
        counter.says("约需三分钟")
        expect(order).to_contain_text("撤回中")
        for _ in range(2):  # WeChat is asked twice, a minute apart
            cloud.minutes_ago(paid[0])
            cloud.sweep()
        expect(order).to_contain_text("已撤回", timeout=30_000)
        expect(order.get_by_role("button", name="核销入住")).to_be_visible()
    finally:
        cloud.wechat.post("/_sim/balance", json={"fen": None})
    cloud.check()


def test_guessing_is_stopped_and_wrong_codes_are_explained(counter: Counter) -> None:
    counter.sign_in().look_up("hello")
    counter.says("验证码是十位字母和数字")
    for _ in range(10):
        counter.look_up("2222222222")
        counter.says("没有这个验证码或订单")
        counter.page.get_by_label("入住验证码或订单号").fill("")
    counter.look_up("2222222222")
    counter.says("秒后再试")


def test_more_cases_than_a_page_holds_are_shown_on_demand(
    counter: Counter, cloud: Cloud, paid: tuple[str, str]
) -> None:
    for n in range(60):
        case = {
            "kind": "unknown_trade",
            "case_id": f"c{n}",
            "out_trade_no": f"{paid[0]}_9",
            "amount_fen": n,
            "detail": "x",
        }
        more = {"currency": "CNY", "transaction_id": "", "opened_at": utc_now(), "case_open": "OPEN", "version": 1}
        item = {"pk": f"ORDER#{paid[0]}", "sk": f"CASE#unknown_trade#c{n}", **case, **more}
        cloud.dynamodb.put_item(TableName=cloud.state.table, Item=wire(item))
    cases = counter.sign_in().page.get_by_role("region", name="待处理的款项")
    more_of_them = cases.get_by_role("button", name="更多")
    expect(cases.get_by_role("article").first).to_be_visible()
    while more_of_them.is_visible():
        shown = cases.get_by_role("article").count()
        more_of_them.click()
        expect(cases.get_by_role("article").nth(shown)).to_be_visible()
    expect(cases.get_by_text(f"{paid[0]}_9")).to_have_count(60)
    for n in range(60):
        key = {"pk": f"ORDER#{paid[0]}", "sk": f"CASE#unknown_trade#c{n}"}
        cloud.dynamodb.delete_item(TableName=cloud.state.table, Key=wire(key))


def test_with_the_keyboard_alone(counter: Counter, cloud: Cloud, paid: tuple[str, str]) -> None:
    keyboard = counter.page.keyboard
    counter.page.goto("/counter.html")
    counter.page.get_by_label("员工令牌").wait_for()
    keyboard.type(counter.token())
    keyboard.press("Enter")
    counter.page.get_by_label("入住验证码或订单号").wait_for()
    keyboard.type(paid[1])
    keyboard.press("Enter")
    counter.page.get_by_role("button", name="核销入住").wait_for()
    for _ in range(9):
        keyboard.press("Tab")
        if counter.page.evaluate("document.activeElement.textContent") == "核销入住":
            break
    keyboard.press("Enter")
    counter.says("核销成功")


# --- who comes, and who holds what is sold


def day_text(day: date) -> str:
    """As the page writes a day; of another year with that year."""
    year = "" if day.year == beijing_day(utc_now()).year else f"{day.year}年"
    return f"{year}{day.month}月{day.day}日周{'一二三四五六日'[day.weekday()]}"


def next_month() -> date:
    return (beijing_day(utc_now()).replace(day=1) + timedelta(days=31)).replace(day=1)


def stay_from_today(cloud: Cloud, shopper: Shopper) -> str:
    """The number of a paid order of two nights from today on: its rule never gives all back."""
    shopper.login()
    today = beijing_day(utc_now())
    days = {"start_date": f"{today}", "end_date": f"{today + timedelta(days=2)}"}
    body = order_body() | days
    headers = {"Authorization": f"Bearer {shopper.token}"}
    order_sn = str(cloud.api.post("/orders", json=body, headers=headers).json()["order_sn"])
    shopper.pay(shopper.prepay(order_sn))
    assert eventually(lambda: shopper.poll(order_sn)["redeem_code"])
    return order_sn


def asks_for_a_refund(cloud: Cloud, shopper: Shopper, order_sn: str, reason: str) -> None:
    headers = {"Authorization": f"Bearer {shopper.token}"}
    reply = cloud.api.post(f"/orders/{order_sn}/refund-request", json={"reason": reason}, headers=headers)
    assert reply.json()["state"] == "asked", reply.text


class Blocks:
    """Nights of a home that no other test sells."""

    path = "/merchant/stock/homestay/tea-garden"

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def add(self, night: date) -> None:
        body = {"nights": [f"{night}"], "reason": "别处已订"}
        assert self.cloud.api.post(f"{self.path}/blocks", json=body, headers=self.cloud.staff()).status_code == 201

    def month(self) -> dict[str, Any]:
        reply = self.cloud.api.get(self.path, params={"month": f"{next_month():%Y-%m}"}, headers=self.cloud.staff())
        return dict(reply.json())


@pytest.fixture
def blocks(cloud: Cloud) -> Iterator[Blocks]:
    made = Blocks(cloud)
    yield made
    for block in made.month()["blocks"]:
        cloud.api.delete(f"{made.path}/blocks/{block['block_id']}", headers=cloud.staff())
    cloud.api.put(made.path, json={"rooms": 3}, headers=cloud.staff("*"))


def test_a_night_is_blocked_and_unblocked(counter: Counter, blocks: Blocks) -> None:
    night, page = next_month(), counter.sign_in().page
    calendar = page.get_by_role("table", name="每晚由谁占用")
    page.get_by_role("link", name="库存").click()
    page.get_by_label("商品").select_option("homestay/tea-garden")
    page.get_by_role("button", name="下个月").click()
    calendar.get_by_role("button", name=f"空房 3，锁定 {day_text(night)}").click()
    dialog = page.get_by_role("dialog", name="锁定房间")
    dialog.get_by_label("原因").fill("屋顶漏水")
    dialog.get_by_role("button", name="锁定").click()
    counter.says(f"已锁定 {day_text(night)}一晚 · 屋顶漏水")
    (block,) = blocks.month()["blocks"]
    assert (block["nights"], block["by"]) == ([f"{night}"], counter.name)
    for _ in range(2):
        blocks.add(night)
    page.get_by_role("button", name="锁定房间").click()
    dialog.get_by_label("第一晚").fill(f"{night}")
    dialog.get_by_label("最后一晚").fill(f"{night + timedelta(days=1)}")
    dialog.get_by_label("原因").fill("也漏水")
    dialog.get_by_role("button", name="锁定").click()
    expect(dialog).to_contain_text(f"已经没有这么多空余，{day_text(night)}剩 0")
    dialog.get_by_role("button", name="取消").click()
    calendar.get_by_role("button", name="解锁 屋顶漏水").click()
    page.get_by_role("dialog", name="解锁").get_by_role("button", name="解锁").click()
    counter.says(f"已解锁 {day_text(night)}一晚")
    expect(calendar.get_by_role("button", name="屋顶漏水")).to_have_count(0)
    assert len(blocks.month()["blocks"]) == 2


def test_only_the_owner_has_fewer_rooms_than_are_held_and_sees_which_nights(counter: Counter, blocks: Blocks) -> None:
    night, page = next_month(), counter.page
    for _ in range(2):
        blocks.add(night)
    dialog = page.get_by_role("dialog", name="改房间数")
    for business, told in (("b-hangzhou", "只有店主可以这样改"), ("*", "占用的比现有的多")):
        counter.sign_in(counter.token(business=business))
        page.get_by_role("link", name="库存").click()
        page.get_by_label("商品").select_option("homestay/tea-garden")
        page.get_by_role("button", name="改房间数").click()
        dialog.get_by_label("一共有几间房").fill("1")
        dialog.get_by_role("button", name="改房间数").click()
        where = dialog if business != "*" else page.get_by_role("alert")
        expect(where).to_contain_text(told)
        expect(where).to_contain_text(f"{day_text(night)}已占 2")
        if business != "*":
            dialog.get_by_role("button", name="取消").click()
            page.get_by_role("button", name="退出").click()
    page.get_by_role("button", name="下个月").click()
    row = page.get_by_role("row", name=day_text(night))
    expect(row.get_by_role("cell", name="-1")).to_have_class("number bad")


def test_the_roster_of_a_session_says_who_comes_and_who_is_there(counter: Counter, cloud: Cloud) -> None:
    with cloud.shopper("guest-of-a-session") as shopper:
        purchase = shopper.buy("ink", "course")
    order_sn = purchase.order_sn
    session = cloud.order(order_sn)["ORDER"]["purchase"]["session"]
    page = counter.sign_in().page
    page.get_by_role("link", name="名单").click()
    page.get_by_label("日期").fill(session[:10])
    page.get_by_role("button", name=f"{session[11:]} 毛笔书法入门").click()
    guest = page.get_by_role("listitem").filter(has=page.get_by_role("button", name=f"订单 {order_sn}"))
    expect(guest).to_contain_text("1 位")
    expect(guest).to_contain_text("已付款")
    guest.get_by_role("button").click()
    order = page.get_by_role("article", name=order_sn)
    expect(order).to_contain_text("待上课")
    counter.look_up(purchase.redeem_code)
    order.get_by_role("button", name="核销签到").click()
    counter.says("核销成功")
    page.get_by_role("link", name="名单").click()
    expect(guest).to_contain_text("已到")
    expect(page.get_by_role("region", name="名单")).to_contain_text("已签到")
    cloud.check()


def test_a_partial_refund_gives_up_one_night(counter: Counter, cloud: Cloud, paid: tuple[str, str]) -> None:
    first = date.fromisoformat(cloud.order(paid[0])["ORDER"]["purchase"]["start_date"])
    order = counter.sign_in().look_up(paid[0])
    expect(order).to_contain_text(f"{day_text(first)}起 2 晚")
    order.get_by_role("button", name="退款").click()
    dialog = counter.page.get_by_role("dialog", name="退款")
    dialog.get_by_label("部分").check()
    dialog.get_by_label("金额（元）").fill("300")
    dialog.get_by_label("原因").fill("少住一晚")
    dialog.get_by_label(day_text(first)).check()
    dialog.get_by_label(day_text(first + timedelta(days=1))).check()
    expect(dialog).to_contain_text("订单随之结束")
    dialog.get_by_label(day_text(first + timedelta(days=1))).uncheck()
    expect(dialog).not_to_contain_text("订单随之结束")
    dialog.get_by_role("button", name="退款").click()
    counter.says(f"已申请退款 ¥300.00，已退订 {day_text(first)}一晚")
    expect(order).to_contain_text(f"{day_text(first + timedelta(days=1))}一晚")
    expect(order).to_contain_text("待入住")
    cloud.wechat.post("/_sim/clock", json={"advance_s": 10})
    expect(order).to_contain_text("¥300.00 · 已退回 · 少住一晚", timeout=20_000)
    cloud.check()


def test_a_guest_who_asks_for_a_refund_is_declined_and_then_granted(counter: Counter, cloud: Cloud) -> None:
    with cloud.shopper("guest-who-cannot-come") as shopper:
        order_sn = stay_from_today(cloud, shopper)
        asks_for_a_refund(cloud, shopper, order_sn, "孩子发烧")
        order = counter.sign_in().look_up(order_sn).and_(counter.page.get_by_label(order_sn))
        case = order.get_by_role("article", name="客人申请退款")
        expect(case).to_contain_text("客人说：孩子发烧")
        case.get_by_role("button", name="不同意").click()
        dialog = counter.page.get_by_role("dialog", name="不同意")
        dialog.get_by_label("原因").fill("今晚的房间已经为您留好")
        dialog.get_by_role("button", name="不同意").click()
        counter.says("已答复客人")
        expect(case).to_have_count(0)
        headers = {"Authorization": f"Bearer {shopper.token}"}
        told = cloud.api.get(f"/orders/{order_sn}", headers=headers).json()["refund_request"]
        assert (told["state"], told["reason"]) == ("declined", "今晚的房间已经为您留好")
        asks_for_a_refund(cloud, shopper, order_sn, "真的来不了")
    cases = counter.page.get_by_role("region", name="待处理的款项")
    counter.page.reload()
    case = cases.get_by_role("article").filter(has_text=order_sn)
    case.get_by_role("button", name="打开订单").click()
    expect(order).to_contain_text("待入住")
    case.get_by_role("button", name="同意退款").click()
    dialog = counter.page.get_by_role("dialog", name="同意退款")
    expect(dialog).to_contain_text("同意后订单结束")
    dialog.get_by_label("金额（元）").fill("50")
    dialog.get_by_role("button", name="同意退款").click()
    counter.says("已同意退款 ¥50.00")
    expect(order).to_contain_text("已退订")
    expect(case).to_have_count(0)
    expect(order.get_by_role("button", name="核销入住")).to_have_count(0)
    cloud.wechat.post("/_sim/clock", json={"advance_s": 10})
    expect(order).to_contain_text("¥50.00 · 已退回", timeout=20_000)
    cloud.check()


# --- what is owed, and the days against WeChat's bill


class Books:
    """Days of last month as the comparison leaves them; nothing before them was ever compared."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.bills, self.cases = local(cloud.state).store.bills, local(cloud.state).store.cases
        self.first = (beijing_day(utc_now()).replace(day=1) - timedelta(days=1)).replace(day=10)
        begun = {"pk": "BILL#FIRST", "sk": "FIRST", "day": self.first.isoformat()}
        cloud.dynamodb.put_item(TableName=cloud.state.table, Item=wire(begun))

    def day(self, ahead: int) -> date:
        return self.first + timedelta(days=ahead)

    def closed(self, ahead: int, *lines: Statement, differences: tuple[Difference, ...] = ()) -> None:
        day, now = self.day(ahead), utc_now()
        paid, refunded = sum(line.sold_fen for line in lines), sum(line.refunded_fen for line in lines)
        sums: dict[str, Any] = {"payments": len(lines), "paid_fen": paid}
        sums |= {"our_payments": len(lines), "our_paid_fen": paid}
        backs: dict[str, Any] = {"refunds": int(refunded > 0), "refunded_fen": refunded, "our_refunded_fen": refunded}
        fees, number = sum(line.fees for line in lines), len(differences)
        self.bills.keep_results(day, differences, lines)
        found = DayOfBills(
            day=day, closed=True, read_at=now, closed_at=now, fees=fees, differences=number, **sums, **backs
        )
        self.bills.keep(found)

    def open(self, ahead: int, why: str) -> None:
        self.bills.keep(DayOfBills(day=self.day(ahead), closed=False, read_at=utc_now(), why=why))


@pytest.fixture
def books(cloud: Cloud) -> Iterator[Books]:
    made = Books(cloud)
    yield made
    for pk in ("BILL#FIRST", *(f"BILL#{made.day(ahead)}" for ahead in range(4))):
        for sk in cloud.items(pk):
            cloud.dynamodb.delete_item(TableName=cloud.state.table, Key=wire({"pk": pk, "sk": sk}))


def sold(business: str, fen: int, day: date, fees: int = 0, later: date | None = None) -> Statement:
    owed = {(later or day).isoformat(): fen - fees}
    return Statement(business_id=business, sold=1, sold_fen=fen, fees=fees, due_fen=owed)


def test_the_owner_sees_which_days_agree_and_closes_the_case_of_a_difference(
    counter: Counter, cloud: Cloud, paid: tuple[str, str], books: Books
) -> None:
    order_sn, _ = paid
    missing = Difference(
        kind=DifferenceKind.PAYMENT_NOT_IN_BILL,
        number=f"{order_sn}_1",
        out_trade_no=f"{order_sn}_1",
        wechat_no="4200000001",
        ours_fen=89600,
    )
    books.closed(0, sold("b-hangzhou", 89600, books.day(0), fees=538))
    books.closed(1)
    books.open(2, "STATEMENT_CREATING")
    books.closed(3, differences=(missing,))
    assert books.cases.open(missing.case(books.day(3), utc_now()))
    page = counter.sign_in(counter.token(business="*")).page
    page.get_by_role("link", name="账单").click()
    days = page.get_by_role("region", name="与微信账单核对")
    days.get_by_role("button", name="上个月").click()
    shown = days.locator(".bill-day")
    told = {ahead: shown.filter(has_text=day_text(books.day(ahead))) for ahead in range(4)}
    expect(told[0]).to_contain_text("一致")
    expect(told[0]).to_contain_text("付款 ¥896.00")
    expect(told[1]).to_contain_text("这一天没有付款，也没有退款")
    expect(told[2]).to_contain_text("微信正在生成账单，10:00 以后会自动再取")
    expect(told[3]).to_contain_text("1 处不一致")
    expect(days).to_contain_text("更早的日子还没有开始对账")
    told[0].locator("summary").click()
    expect(told[0].get_by_role("row", name="b-hangzhou")).to_contain_text("¥890.62")
    one = told[3].get_by_role("group", name=f"{order_sn}_1")  # what differs is open by itself
    expect(one).to_contain_text("这里有一笔付款，微信账单里没有")
    expect(one).to_contain_text("微信 没有 · 这里 ¥896.00")
    expect(one).to_contain_text("怎么办：在微信商户平台按商户订单号查")
    one.get_by_role("button", name="处理").click()
    case = one.get_by_role("article", name="付款不在微信账单里")
    expect(case).to_contain_text(f"{day_text(books.day(3))}的账单：微信 没有，这里 ¥896.00")
    case.get_by_role("button", name="结案").click()
    dialog = page.get_by_role("dialog", name="结案")
    dialog.get_by_label("结果").select_option("kept")
    dialog.get_by_label("凭据").fill("微信客服确认已入账，账单补发")
    for _ in range(2):
        dialog.get_by_role("button", name="结案").click()
    counter.says("已结案")
    expect(one).to_contain_text("已结案")
    expect(one.get_by_role("button", name="处理")).to_have_count(0)
    one.get_by_role("button", name="打开订单").click()
    expect(page.get_by_role("article", name=order_sn)).to_contain_text("西湖边的小屋")


def test_statements_are_read_for_a_range_and_saved_as_a_file(counter: Counter, books: Books) -> None:
    later = beijing_day(utc_now()) + timedelta(days=5)
    ours, theirs = (sold(name, 89600, books.day(0), 538, later) for name in ("b-hangzhou", "b-suzhou"))
    books.closed(0, ours, theirs, sold(NOT_OURS, 500, books.day(0)))
    back = Statement(
        business_id="b-hangzhou", refunded=1, refunded_fen=5, fees=-1, due_fen={books.day(1).isoformat(): -4}
    )
    books.closed(1, back)
    page = counter.sign_in().page
    page.get_by_role("link", name="账单").click()
    statements = page.get_by_role("region", name="结算单").first
    table = statements.get_by_role("table", name="结算单")
    expect(page.get_by_role("region", name="与微信账单核对")).to_have_count(0)  # for the owner alone
    statements.get_by_label("从").fill(f"{books.day(0)}")
    statements.get_by_label("到").fill(f"{books.day(40)}")
    statements.get_by_role("button", name="查看").click()
    counter.says("最多 31 天")
    statements.get_by_label("到").fill(f"{books.day(2)}")
    statements.get_by_role("button", name="查看").click()
    expect(statements).to_contain_text("还没有核对")
    expect(table.get_by_role("row")).to_have_count(4)
    expect(table.get_by_role("row").nth(1)).to_contain_text("¥896.00")
    expect(table.get_by_role("row").nth(2)).to_contain_text("-¥0.01")
    expect(table.get_by_role("row", name="合计")).to_contain_text("¥890.58")
    with page.expect_download() as saving:
        statements.get_by_role("button", name="下载 CSV").click()
    assert saving.value.suggested_filename == f"结算单-{books.day(0)}-{books.day(2)}.csv"
    saved = Path(saving.value.path()).read_bytes().decode()
    assert saved.startswith("\ufeff日期,商家,")
    assert f"{books.day(0)},b-hangzhou,1,896.00," in saved
    assert "b-suzhou" not in saved
    page.get_by_role("button", name="退出").click()
    counter.sign_in(counter.token(business="*"))
    page.get_by_role("link", name="账单").click()
    statements.get_by_label("从").fill(f"{books.day(0)}")
    statements.get_by_label("到").fill(f"{books.day(0)}")
    statements.get_by_role("button", name="查看").click()
    expect(table.get_by_role("row", name="其他系统")).to_contain_text("¥5.00")
    expect(table.get_by_role("row", name="b-suzhou")).to_contain_text("¥890.62")
    expect(table.get_by_role("row", name="合计")).to_contain_text("¥1797.00")


def test_before_the_first_comparison_the_page_says_when_it_comes(counter: Counter, cloud: Cloud, books: Books) -> None:
    cloud.dynamodb.delete_item(TableName=cloud.state.table, Key=wire({"pk": "BILL#FIRST", "sk": "FIRST"}))
    page = counter.sign_in(counter.token(business="*")).page
    page.get_by_role("link", name="账单").click()
    days = page.get_by_role("region", name="与微信账单核对")
    days.get_by_role("button", name="上个月").click()
    expect(days).to_contain_text("还没有对过账。每天 10:30 自动核对前一天")
    expect(page.get_by_role("region", name="结算单")).to_contain_text("没有算在内")
