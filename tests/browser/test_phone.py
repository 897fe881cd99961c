"""A guest with the phone in the browser: real pages, the real pay.js, the running stack, the WeChat that signs."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Response, Route, expect

from local.stack import local
from payments.domain.times import beijing_day, utc_now
from payments.products import PRODUCTS
from tests.local.conftest import Cloud, eventually

PASSWORD = "123456"
VIEW_AT_MOST = 165_000


class Phone:
    """What a guest does and sees."""

    def __init__(self, page: Page, cloud: Cloud, user: str) -> None:
        self.page, self.cloud, self.user = page, cloud, user

    def open(self) -> "Phone":
        self.page.goto(f"/?user={self.user}")
        return self

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def book(self, home: str = "西湖边的小屋") -> None:
        """Chooses a home, orders it, and allows messages: then the cashier is open."""
        self.page.get_by_role("button", name=home).click()
        self.press("提交订单并支付")

    def look_at(self, home: str, first: date | None = None, last: date | None = None) -> None:
        """Opens a home's page, and chooses the days of a stay in its calendar."""
        self.page.get_by_role("button", name=home).click()
        for day in filter(None, (first, last)):
            self.day(day).click()

    def day(self, day: date) -> Locator:
        """Of the calendar, which is turned to its month."""
        heading = self.page.get_by_text(re.compile(r"^\d{4}年\d+月$"))
        for _ in range(3):
            if heading.inner_text() == f"{day.year}年{day.month}月":
                return self.page.get_by_role("button", name=re.compile(f"^{day_text(day)} "))
            self.press("下个月")
        raise AssertionError(f"the calendar has no {day}")

    def book_the_stay(self, home: str, first: date, last: date) -> None:
        """Orders and pays it, and opens its order."""
        self.look_at(home, first, last)
        self.press("提交订单并支付")
        self.press("允许")
        self.cashier()
        self.type()
        self.see("支付成功")
        self.press("查看订单")

    def to_the_cashier(self) -> Locator:
        self.book()
        self.press("允许")
        return self.cashier()

    def cashier(self) -> Locator:
        sheet = self.page.get_by_role("dialog", name="微信支付")
        sheet.wait_for()
        return sheet

    def type(self, password: str = PASSWORD) -> None:
        self.page.keyboard.type(password)

    def see(self, text: str, within_s: float = 20) -> None:
        expect(self.page.get_by_text(text, exact=True).first).to_be_visible(timeout=within_s * 1000)

    def code(self) -> str:
        """The check-in code that stands on the page."""
        shown = self.page.locator(".code")
        expect(shown).to_be_visible(timeout=20_000)
        return shown.inner_text().replace(" ", "")

    def buy(self) -> str:
        """Books and pays; gives the code."""
        self.to_the_cashier()
        self.type()
        self.see("支付成功")
        return self.code()

    def order_sn(self) -> str:
        """Of the guest's newest order."""
        return str(self.orders()[0]["order_sn"])

    def orders(self) -> list[dict[str, Any]]:
        mine = {"Authorization": f"Bearer {self.stored('wxpay.token')['token']}"}
        return list(self.cloud.api.get("/orders", headers=mine).json()["orders"])

    def stored(self, name: str) -> Any:
        return json.loads(self.page.evaluate("key => localStorage.getItem(key)", f"wx:{self.user}:{name}") or "null")


@pytest.fixture
def phone(page: Page, cloud: Cloud, request: pytest.FixtureRequest) -> Phone:
    """A new guest's."""
    return Phone(page, cloud, request.node.name.replace("test_", "")[:40]).open()


def test_book_pay_and_redeem_at_the_counter(phone: Phone, cloud: Cloud, context: BrowserContext) -> None:
    code = phone.buy()
    expect(phone.page.get_by_role("img", name="验证码的二维码")).to_be_visible()
    expect(phone.page.get_by_role("button", name="服务通知 · 入住验证码")).to_contain_text(code)
    phone.press("查看订单")
    phone.see("待入住")
    counter = context.new_page()
    counter.goto(f"/counter.html#token={cloud.staff()['Authorization'].removeprefix('Bearer ')}")
    counter.get_by_label("入住验证码或订单号").fill(code)
    counter.keyboard.press("Enter")
    counter.get_by_role("button", name="核销入住").click()
    expect(counter.get_by_role("status")).to_contain_text("核销成功")
    phone.page.get_by_label("返回").click()
    phone.press("我的订单")
    phone.see("已入住")
    cloud.check()


def buy_a_seat(phone: Phone, course: str) -> str:
    """Books and pays a seat in the course's next session; gives the code."""
    phone.press("课程")
    phone.page.get_by_role("button", name=course).click()
    phone.press("提交订单并支付")
    phone.press("允许")
    phone.cashier()
    phone.type()
    phone.see("支付成功")
    return phone.code()


def test_a_seat_in_a_course_from_the_phone_to_the_door(phone: Phone, cloud: Cloud, context: BrowserContext) -> None:
    code, order_sn = buy_a_seat(phone, "龙井茶道"), phone.order_sn()
    assert order_sn.startswith("CSO")
    phone.press("查看订单")
    phone.see("待上课")
    counter = context.new_page()
    counter.goto(f"/counter.html#token={cloud.staff()['Authorization'].removeprefix('Bearer ')}")
    counter.get_by_label("入住验证码或订单号").fill(code)
    counter.keyboard.press("Enter")
    expect(counter.get_by_role("article", name=order_sn)).to_contain_text("龙井茶道")
    counter.get_by_role("button", name="核销签到").click()
    expect(counter.get_by_role("status")).to_contain_text("核销成功")
    phone.see("已签到")
    counter.get_by_role("link", name="名单").click()
    counter.get_by_label("日期").fill(cloud.order(order_sn)["ORDER"]["purchase"]["session"][:10])
    guest = counter.get_by_role("listitem").filter(has=counter.get_by_role("button", name=f"订单 {order_sn}"))
    expect(guest).to_contain_text("1 位")
    expect(guest).to_contain_text("已到")
    cloud.check()


def test_a_paid_booking_is_cancelled_in_time_and_its_code_is_gone(phone: Phone, cloud: Cloud) -> None:
    buy_a_seat(phone, "毛笔书法入门")  # in two days: all comes back until the day before
    order_sn = phone.order_sn()
    phone.press("查看订单")
    phone.see("待上课")
    phone.press("取消预订")
    dialog = phone.page.get_by_role("dialog")
    expect(dialog).to_contain_text("全额退款 ¥198")
    dialog.get_by_role("button", name="确定").click()
    expect(phone.page.locator(".code")).to_have_count(0)
    expect(phone.page.get_by_role("button", name="取消预订")).to_have_count(0)
    eventually(lambda: "holds" not in cloud.order(order_sn)["ORDER"])
    cloud.check()


# --- days: what is free changes while the guest looks at it


OLD_TOWN, SEA_VIEW = "古城里的纳西小院", "洱海边的落地窗"


def day_text(day: date) -> str:
    return f"{day.month}月{day.day}日"


def of_next_month(number: int) -> date:
    """A day of next month in Beijing: nobody else books these homes then."""
    return (beijing_day(utc_now()).replace(day=1) + timedelta(days=31)).replace(day=number)


@contextmanager
def blocked(cloud: Cloud, night: date) -> Iterator[None]:
    """The one room by the sea is not for sale in this night."""
    path, staff = "/merchant/stock/homestay/sea-view/blocks", cloud.staff("b-dali")
    made = cloud.api.post(path, json={"nights": [f"{night}"], "reason": "别处已订"}, headers=staff)
    assert made.status_code == 201, made.text
    try:
        yield
    finally:
        cloud.api.delete(f"{path}/{made.json()['block_id']}", headers=staff)


def test_a_full_night_is_shown_and_no_stay_over_it_can_be_chosen(phone: Phone, cloud: Cloud) -> None:
    full = of_next_month(12)
    before, after, buy = full - timedelta(days=1), full + timedelta(days=2), "提交订单并支付"
    said = f"{day_text(full)}已满，请另选日期"
    with blocked(cloud, full):
        phone.look_at(SEA_VIEW)
        expect(phone.day(full)).to_have_accessible_name(re.compile("满$"))
        phone.day(full).click()
        phone.see(said)
        expect(phone.page.get_by_role("button", name=buy)).to_be_disabled()
        phone.day(before).click()
        expect(phone.page.get_by_text(said)).to_have_count(0)
        phone.day(after).click()
        phone.see(said)
        expect(phone.page.get_by_role("button", name=buy)).to_be_disabled()
        phone.day(full).click()  # who leaves on that day does not need its night
        expect(phone.page.get_by_role("button", name=buy)).to_be_enabled()
        expect(phone.page.get_by_text(said)).to_have_count(0)


def test_sold_out_between_look_and_tap(phone: Phone, cloud: Cloud) -> None:
    first = of_next_month(16)
    taken = first + timedelta(days=1)
    phone.look_at(SEA_VIEW, first, first + timedelta(days=2))
    with blocked(cloud, taken):
        phone.press("提交订单并支付")
        phone.press("允许")
        told = phone.page.get_by_text("余量不足")
        expect(told).to_contain_text("没有扣款")
        expect(told).to_contain_text(f"已满：{day_text(taken)}")
        expect(phone.day(taken)).to_have_accessible_name(re.compile("满$"))
        expect(phone.page.get_by_role("button", name="提交订单并支付")).to_be_disabled()
        assert phone.orders() == []


def test_the_price_changes_between_look_and_tap(phone: Phone, cloud: Cloud) -> None:
    store, catalogue = local(cloud.state).store, PRODUCTS["homestay"].catalogue
    assert catalogue is not None
    home = store.catalogue.get(catalogue, "old-town")
    assert home is not None
    first = of_next_month(8)
    phone.look_at(OLD_TOWN, first, first + timedelta(days=2))
    phone.see("¥536")
    try:
        store.catalogue.put(catalogue, replace(home, price_fen=28800))
        phone.press("提交订单并支付")
        phone.press("允许")
        told = phone.page.get_by_text("价格已变动")
        expect(told).to_contain_text("没有扣款")
        expect(told).to_contain_text("原 ¥536，现 ¥576")
        expect(phone.page.locator(".total")).to_have_text("¥576")
        assert phone.orders() == []
        phone.press("提交订单并支付")
        phone.press("允许")
        expect(phone.cashier()).to_contain_text("¥576.00")
    finally:
        store.catalogue.put(catalogue, home)
    cloud.check()


def test_a_paid_stay_is_cancelled_in_time(phone: Phone, cloud: Cloud) -> None:
    first = of_next_month(20)
    phone.book_the_stay(OLD_TOWN, first, first + timedelta(days=2))
    phone.code()
    phone.see(f"{day_text(first - timedelta(days=1))} 18:00 前取消全额退款")
    phone.press("取消预订")
    dialog = phone.page.get_by_role("dialog", name="取消预订")
    expect(dialog).to_contain_text("全额退款 ¥536，原路退回。预订随即取消。")
    dialog.get_by_role("button", name="确定").click()
    phone.see("已退订，¥536 正在原路退回")
    phone.see("已退订")
    expect(phone.page.locator(".code")).to_have_count(0)
    eventually(lambda: "PROCESSING" in [refund.get("status") for refund in cloud.order(phone.order_sn()).values()])
    cloud.wechat.post("/_sim/clock", json={"advance_s": 10})
    phone.see("已退款")
    expect(phone.page.get_by_text("退回")).to_have_count(0)
    cloud.check()


def test_of_a_late_cancellation_the_shop_decides_and_the_guest_reads_why(phone: Phone, cloud: Cloud) -> None:
    """Two days before it begins: by the sea all comes back until three days before, then all but the first night."""
    first = beijing_day(utc_now()) + timedelta(days=2)
    phone.book_the_stay(SEA_VIEW, first, first + timedelta(days=2))
    code, order_sn = phone.code(), phone.order_sn()
    order = cloud.order(order_sn)["ORDER"]
    total = order["total_fen"] // 100
    back = total - order["purchase"]["price_fen"] // 100
    phone.press("申请退款")
    dialog = phone.page.get_by_role("dialog", name="申请退款")
    expect(dialog).to_contain_text(f"请商家退款 ¥{back}（共 ¥{total}）。商家同意之前预订仍然有效。")
    dialog.get_by_role("button", name="确定").click()
    dialog = phone.page.get_by_role("dialog", name="想对商家说明原因吗？")
    dialog.get_by_role("textbox").fill("航班取消")
    dialog.get_by_role("button", name="提交").click()
    phone.see(f"已请商家退款 ¥{back}，等待商家决定，在此之前预订仍然有效")
    assert phone.code() == code
    staff = cloud.staff("b-dali")
    (case,) = cloud.api.get(f"/merchant/orders/{order_sn}", headers=staff).json()["cases"]
    assert "航班取消" in case["detail"]
    why = {"reason": "这两晚已为您留房"}
    reply = cloud.api.post(f"/merchant/cases/{case['case']}/decline", json=why, headers=staff)
    assert reply.status_code == 200, reply.text
    phone.see("商家没有同意退款：这两晚已为您留房")
    assert phone.code() == code
    cloud.check()


# --- paying, and what comes after it


def test_the_guest_closes_the_cashier_and_pays_later(phone: Phone, cloud: Cloud) -> None:
    phone.to_the_cashier()
    phone.page.keyboard.press("Escape")
    phone.see("还没有收到付款，订单为您保留，可以继续支付")
    phone.press("查看订单")
    phone.see("待付款")
    phone.press("去支付")
    phone.press("允许")
    phone.cashier()
    phone.type()
    phone.see("支付成功")
    cloud.check()


def test_a_button_stays_under_the_finger_while_the_page_learns_more(phone: Phone, cloud: Cloud) -> None:
    held: list[Route] = []
    phone.to_the_cashier()
    phone.page.route("**/api/orders/HSO*", lambda route: held.append(route))
    phone.page.keyboard.press("Escape")
    button = phone.page.get_by_role("button", name="查看订单")
    button.hover()
    place = button.bounding_box()
    phone.page.mouse.down()
    expect(phone.page.get_by_text("西湖边的小屋")).to_have_count(0)
    held[0].continue_()
    phone.page.unroute("**/api/orders/HSO*")
    phone.see("西湖边的小屋")
    assert button.bounding_box() == place
    phone.page.mouse.up()
    phone.see("待付款")
    cloud.check()


def test_redrawing_never_makes_one_button_into_another(phone: Phone) -> None:
    told = phone.page.evaluate(
        """async () => {
          const { parse, draw } = await import("./phone/wxml.js")
          const root = parse(
            '<button wx:if="{{more}}">first</button>' +
            '<button wx:for="{{items}}" wx:key="id">{{item.id}}</button><button>last</button>', "test")
          const box = document.createElement("div")
          const drawn = (data) => (draw(box, root, data, {}), [...box.children])
          const [one, two, last] = drawn({ items: [{ id: "1" }, { id: "2" }] })
          const grown = drawn({ more: true, items: [{ id: "0" }, { id: "1" }, { id: "2" }] })
          const shrunk = drawn({ items: [{ id: "2" }] })
          return {
            grown: grown.map((button) => button.textContent), shrunk: shrunk.map((button) => button.textContent),
            kept: grown[2] === one && grown[3] === two && grown[4] === last && shrunk[0] === two && shrunk[1] === last,
          }
        }"""
    )
    assert told == {"grown": ["first", "0", "1", "2", "last"], "shrunk": ["2", "last"], "kept": True}


def test_a_wrong_password_can_be_typed_again(phone: Phone, cloud: Cloud) -> None:
    sheet = phone.to_the_cashier()
    phone.type("654321")
    expect(sheet.get_by_role("status")).to_contain_text("支付密码错误")
    phone.type("1234x9")
    phone.page.keyboard.press("Backspace")
    phone.type("5")
    sheet.get_by_role("button", name="6", exact=True).click()
    phone.see("支付成功")
    cloud.check()


def test_the_callback_gets_lost_and_the_poll_saves_it(phone: Phone, cloud: Cloud) -> None:
    cloud.fault(call="callback", answer="drop", times=20)
    phone.buy()
    (trade,) = [t for t in cloud.wechat.get("/_sim/trades").json() if t["out_trade_no"] == f"{phone.order_sn()}_1"]
    assert trade["trade_state"] == "SUCCESS"
    assert cloud.order(phone.order_sn())["PAYMENT#1"]["learned_by"] == "status-poll"
    cloud.check()


def test_the_trace_shows_the_lost_callback_that_the_switchboard_asked_for(phone: Phone, cloud: Cloud) -> None:
    trace = phone.page.locator("#trace")
    trace.get_by_text("让微信出故障").click()
    trace.get_by_role("group", name="回调丢失").get_by_role("radio", name="一直").check()
    phone.buy()
    expect(trace.get_by_role("table")).to_contain_text("途中丢失")
    expect(trace.get_by_role("table")).to_contain_text("status_poll")
    expect(trace).to_contain_text(phone.order_sn())
    expect(trace.get_by_role("img")).to_have_attribute("aria-label", re.compile("已支付"), timeout=15_000)
    cloud.check()


def test_messages_refused(phone: Phone, cloud: Cloud) -> None:
    phone.book()
    phone.press("拒绝")
    phone.cashier()
    phone.type()
    phone.see("支付成功")
    states = eventually(
        lambda: [
            message["state"]
            for message in cloud.order(phone.order_sn()).get("NOTICE#order.paid", {}).get("messages", {}).values()
            if message["state"] == "refused"
        ]
    )
    assert states
    assert not cloud.messages(phone.user)
    cloud.check()


def test_a_refund_is_seen_and_told(phone: Phone, cloud: Cloud) -> None:
    phone.buy()
    phone.press("查看订单")
    phone.see("待入住")
    path, key = f"/merchant/orders/{phone.order_sn()}/refunds", {"Idempotency-Key": f"refund-{phone.user}"}
    assert cloud.api.post(path, json={"reason": "台风"}, headers=cloud.staff() | key).status_code == 201
    cloud.wechat.post("/_sim/clock", json={"advance_s": 10})
    expect(phone.page.get_by_role("button", name="服务通知 · 退款通知")).to_contain_text("台风", timeout=20_000)
    phone.page.get_by_label("返回").click()
    phone.press("我的订单")
    phone.see("已退款")
    cloud.check()


def test_an_open_order_page_loses_its_code_when_it_is_redeemed(phone: Phone, cloud: Cloud) -> None:
    code = phone.buy()
    phone.press("查看订单")
    assert phone.code() == code
    reply = cloud.api.post("/merchant/redemptions", json={"code": code}, headers=cloud.staff())
    assert reply.status_code == 200, reply.text
    expect(phone.page.locator(".code")).to_have_count(0, timeout=6000)
    phone.see("已入住", within_s=1)
    cloud.check()


def test_an_open_order_page_shows_a_refund_and_no_code(phone: Phone, cloud: Cloud) -> None:
    phone.buy()
    phone.press("查看订单")
    phone.code()
    path, key = f"/merchant/orders/{phone.order_sn()}/refunds", {"Idempotency-Key": f"refund-{phone.user}"}
    assert cloud.api.post(path, json={"reason": "台风"}, headers=cloud.staff() | key).status_code == 201
    expect(phone.page.locator(".code")).to_have_count(0, timeout=6000)
    cloud.wechat.post("/_sim/clock", json={"advance_s": 10})
    phone.see("已退款")
    expect(phone.page.get_by_text("退款处理中")).to_have_count(0)
    cloud.check()


def test_paid_while_the_order_cannot_be_shown(phone: Phone, cloud: Cloud) -> None:
    """The order cannot be read after the payment: the guest reads that he has paid, and nothing to the contrary."""
    phone.page.route(re.compile(r"/api/orders/HSO\d+$"), lambda route: route.abort())
    phone.to_the_cashier()
    phone.type()
    phone.see("支付成功")
    phone.see("已支付。网络不通，暂时不能显示订单，请检查网络后重试")
    expect(phone.page.get_by_text("没有扣款")).to_have_count(0)
    phone.press("查看订单")
    phone.see("已支付。网络不通，暂时不能显示订单，请检查网络后重试")
    phone.page.unroute(re.compile(r"/api/orders/HSO\d+$"))
    phone.press("重试")
    assert phone.code()
    expect(phone.page.get_by_text("网络不通")).to_have_count(0)
    cloud.check()


def test_an_order_page_without_network_says_since_when_it_knows(
    phone: Phone, cloud: Cloud, context: BrowserContext
) -> None:
    code = phone.buy()
    phone.press("查看订单")
    phone.code()
    context.set_offline(True)
    expect(phone.page.get_by_text("暂时不能更新。以下信息截至北京时间")).to_be_visible(timeout=15_000)
    assert phone.code() == code
    context.set_offline(False)
    expect(phone.page.get_by_text("暂时不能更新")).to_have_count(0, timeout=35_000)
    cloud.check()


def test_two_tabs_pay_the_same_order_once(phone: Phone, cloud: Cloud, context: BrowserContext) -> None:
    phone.to_the_cashier()
    other = Phone(context.new_page(), cloud, phone.user).open()
    other.press("我的订单")
    other.see("待付款")
    other.page.get_by_role("button", name="西湖边的小屋").click()
    other.press("去支付")
    other.press("允许")
    other.cashier()
    other.type()
    other.see("支付成功")
    phone.page.bring_to_front()
    phone.type()
    phone.see("支付成功")
    assert phone.code() == other.code()
    trades = [t for t in cloud.wechat.get("/_sim/trades").json() if t["out_trade_no"].startswith(phone.order_sn())]
    assert len(trades) == 1
    cloud.check()


def test_offline_for_ten_seconds(phone: Phone, cloud: Cloud, context: BrowserContext) -> None:
    """The network goes as soon as the password is typed: the guest reads that it is checked, then that it is paid."""
    phone.page.clock.install()
    phone.to_the_cashier()
    with phone.page.expect_response("**/phone/wechat/cashier/pay"):
        phone.type()
    context.set_offline(True)
    phone.page.clock.run_for(10_000)
    expect(phone.page.get_by_role("button", name="正在确认支付结果…")).to_be_visible()
    context.set_offline(False)
    phone.page.clock.run_for(10_000)
    phone.see("支付成功")
    cloud.check()


def test_an_expired_token_in_the_middle_of_paying(phone: Phone, cloud: Cloud) -> None:
    phone.to_the_cashier()
    key = f"wx:{phone.user}:wxpay.token"
    good = phone.stored("wxpay.token")
    phone.page.route("**/payment", lambda route: route.fulfill(status=403, json={"message": "Forbidden"}), times=1)
    phone.type()
    phone.see("支付成功")
    assert phone.page.evaluate("key => JSON.parse(localStorage.getItem(key)).token", key) != good["token"]
    cloud.check()


def test_wechat_down_at_prepay_says_that_no_cashier_was_opened(phone: Phone, cloud: Cloud) -> None:
    cloud.fault(call="prepay", answer="500", times=99)
    phone.book()
    phone.press("允许")
    phone.see("服务繁忙，这次没有打开微信支付，请稍后重试", within_s=40)
    cloud.wechat.delete("/_sim/faults")
    phone.press("继续支付")
    phone.press("允许")
    phone.cashier()
    phone.type()
    phone.see("支付成功")
    assert len([sk for sk in cloud.order(phone.order_sn()) if sk.startswith("PAYMENT#")]) == 1
    cloud.check()


def test_cancelling_an_unpaid_order(phone: Phone, cloud: Cloud) -> None:
    phone.to_the_cashier()
    phone.page.get_by_role("button", name="关闭").click()
    phone.press("查看订单")
    phone.press("取消订单")
    phone.page.get_by_role("dialog").get_by_role("button", name="取消订单").click()
    phone.see("已取消")
    cloud.check()


def test_with_the_keyboard_alone(phone: Phone, cloud: Cloud) -> None:
    def tab_to(name: str) -> None:
        for _ in range(60):
            phone.page.keyboard.press("Tab")
            if phone.page.evaluate(FOCUSED).startswith(name):
                phone.page.keyboard.press("Enter")
                return
        raise AssertionError(f"{name} cannot be reached")

    phone.page.get_by_role("button", name="洱海边的落地窗").wait_for()
    tab_to("洱海边的落地窗")
    phone.page.get_by_role("button", name="提交订单并支付").wait_for()
    tab_to("提交订单并支付")
    phone.page.get_by_role("dialog").wait_for()
    tab_to("允许")
    phone.cashier()
    phone.type()
    phone.see("支付成功")
    cloud.check()


FOCUSED = """() => {
  let at = document.activeElement
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement
  return at?.matches('button, [role=button]') ? at.textContent.trim() : ''
}"""


def test_in_english(phone: Phone) -> None:
    phone.press("English")
    phone.page.get_by_role("button", name="Order and pay")
    phone.page.get_by_role("button", name="西湖边的小屋").click()
    phone.press("Order and pay")
    phone.press("Allow")
    phone.page.get_by_role("dialog", name="WeChat Pay").wait_for()
    phone.type()
    phone.see("Paid")


def test_the_first_view_is_small(page: Page) -> None:
    """All that the first page view loads, uncompressed and without white space, which is the formatter's; that none of
    it is from elsewhere the `page` fixture checks."""
    replies: list[Response] = []
    page.on("response", lambda reply: replies.append(reply))
    page.goto("/?user=first")
    page.get_by_role("button", name="西湖边的小屋").wait_for()
    page.wait_for_load_state("networkidle")
    sizes = {reply.url: len(b"".join(reply.body().split())) for reply in replies}
    assert 0 < sum(sizes.values()) < VIEW_AT_MOST, sizes
