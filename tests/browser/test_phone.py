"""A guest with the phone in the browser: real pages, the real pay.js, the running stack, the WeChat that signs."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Response, Route, expect

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
        mine = {"Authorization": f"Bearer {self.stored('wxpay.token')['token']}"}
        return str(self.cloud.api.get("/orders", headers=mine).json()["orders"][0]["order_sn"])

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
