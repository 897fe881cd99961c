"""What people typed is text on every page, and the pages run nothing but their own files."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from local.home import State
from payments.domain.times import iso, utc_now
from payments.edge.tokens import EVERY_BUSINESS, Identity, Role, issue
from payments.store.dynamodb import wire
from tests.browser.test_counter import asks_for_a_refund, next_month, stay_from_today
from tests.browser.test_phone import Phone
from tests.local.conftest import Cloud, eventually

TITLE = "<img src=x onerror=alert(1)>"
REMARK = "<script>alert(2)</script>{{alert(3)}}"
REASON = "<svg onload=alert(4)>"
NICK = "<b onclick=alert(5)>nick</b>"
DETAIL = "</p><iframe srcdoc='<script>alert(6)</script>'></iframe>"
BLOCK = "<u onclick=alert(7)>block</u>"
WISH = "<i onclick=alert(8)>"
PLACED = "img[src='x'], svg[onload], b[onclick], u[onclick], i[onclick], iframe"
"""Elements that only markup of the texts above would make."""


@pytest.fixture
def home(cloud: Cloud) -> Iterator[None]:
    """A home whose title and subtitle are markup."""
    key = {"pk": "OFFER#homestay#markup", "sk": "OFFER"}
    home = {"homestay_id": "markup", "business_id": "b-hangzhou", "title": TITLE, "subtitle": NICK, "capacity": 4}
    prices = {"price_fen": 100, "market_price_fen": 200, "food_price_fen": 0}
    item = {**key, **home, **prices, "on_sale": True, "catalogue": "homestay#ON_SALE"}
    cloud.dynamodb.put_item(TableName=cloud.state.table, Item=wire(item))
    yield
    cloud.dynamodb.delete_item(TableName=cloud.state.table, Key=wire(key))


def watched(page: Page) -> Page:
    """A page on which no dialog opens, whatever the texts say."""
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog opened: {dialog.message}"))
    return page


def shows_text_only(page: Page, *texts: str) -> None:
    for text in texts:
        expect(page.get_by_text(text).first).to_be_visible(timeout=20_000)
    assert page.locator(PLACED).count() == 0
    assert not page.evaluate("[...document.scripts].some((one) => one.text.startsWith('alert'))")


def test_markup_in_what_people_typed_is_text_everywhere(
    context: BrowserContext, cloud: Cloud, running: State, home: None
) -> None:
    # What the pages' own policy forbids them the browser says in the console, and then the fixture fails.
    phone = Phone(watched(context.new_page()), cloud, NICK).open()
    shows_text_only(phone.page, TITLE)
    phone.page.get_by_role("button", name=TITLE).click()
    phone.page.get_by_label("备注").fill(REMARK)
    phone.press("提交订单并支付")
    phone.press("允许")
    shows_text_only(phone.page, TITLE)
    phone.cashier()
    phone.type()
    phone.see("支付成功")
    order_sn = phone.order_sn()
    phone.press("查看订单")
    shows_text_only(phone.page, TITLE, REMARK)

    case = {"kind": NICK, "case_id": "m1", "out_trade_no": f"{order_sn}_7", "amount_fen": 1, "currency": "CNY"}
    told = {"transaction_id": NICK, "detail": DETAIL, "opened_at": iso(utc_now()), "case_open": "OPEN", "version": 1}
    item = {"pk": f"ORDER#{order_sn}", "sk": f"CASE#{NICK}#m1", **case, **told}
    cloud.dynamodb.put_item(TableName=cloud.state.table, Item=wire(item))
    identity = Identity(NICK, Role.STAFF, EVERY_BUSINESS)
    token = issue(identity, cloud.token_keys(), utc_now())
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "markup-refund-1"}
    asked = cloud.api.post(
        f"/merchant/orders/{order_sn}/refunds", json={"amount_fen": 1, "reason": REASON}, headers=headers
    )
    assert asked.status_code == 201
    body = {"code": phone_code(cloud, order_sn), "order_sn": order_sn}
    assert cloud.api.post("/merchant/redemptions", json=body, headers=headers).status_code == 200

    counter = watched(context.new_page())
    counter.goto(f"/counter.html#token={token}")
    counter.get_by_label("入住验证码或订单号").fill(order_sn)
    counter.keyboard.press("Enter")
    shows_text_only(counter, TITLE, REMARK, REASON, DETAIL)
    expect(counter.get_by_role("article", name=order_sn)).to_contain_text(NICK)

    with cloud.shopper("guest-with-a-wish") as shopper:
        asks_for_a_refund(cloud, shopper, stay_from_today(cloud, shopper), WISH)
    offer = "/merchant/stock/homestay/markup"
    block = {"nights": [f"{next_month()}"], "reason": BLOCK}
    assert cloud.api.post(f"{offer}/blocks", json=block, headers=headers).status_code == 201
    counter.reload()
    shows_text_only(counter, WISH)
    wish = counter.get_by_role("article").filter(has_text=WISH)
    wish.get_by_role("button", name="不同意").click()
    counter.get_by_role("dialog").get_by_label("原因").fill(REASON)
    counter.get_by_role("dialog").get_by_role("button", name="不同意").click()
    expect(wish).to_have_count(0)
    counter.get_by_role("link", name="库存").click()
    counter.get_by_label("商品").select_option("homestay/markup")
    counter.get_by_role("button", name="下个月").click()
    shows_text_only(counter, f"{TITLE} · 1 间房", BLOCK)
    counter.get_by_role("button", name=f"解锁 {BLOCK}").click()
    expect(counter.get_by_role("dialog")).to_contain_text(BLOCK)
    shows_text_only(counter)

    trace = watched(context.new_page())
    trace.goto(f"/trace.html?order_sn={order_sn}")
    expect(trace.get_by_text(order_sn).first).to_be_visible(timeout=20_000)
    assert trace.locator(PLACED).count() == 0
    for page in (phone.page, counter, trace):
        page.close()
    cloud.dynamodb.delete_item(TableName=cloud.state.table, Key=wire({"pk": item["pk"], "sk": item["sk"]}))


def phone_code(cloud: Cloud, order_sn: str) -> str:
    return str(eventually(lambda: cloud.order(order_sn)["ORDER"].get("redeem_code")))


def test_the_simulators_page_shows_text_only(browser: Browser, cloud: Cloud, running: State, home: None) -> None:
    context = browser.new_context(base_url=running.wechat_url)
    wrong: list[str] = []
    context.on("console", lambda told: wrong.append(told.text) if "Security" in told.text else None)
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    cloud.fault(call="prepay", answer="500", times=1, out_trade_no=TITLE)
    with cloud.shopper(f"{NICK}2") as shopper:  # one who wants messages
        assert shopper.buy("markup").complete
    page = watched(context.new_page())
    page.goto("/")
    shows_text_only(page, TITLE, NICK)
    expect(page.locator("td.good").first).to_be_visible()
    colour = page.locator("td.good").first.evaluate("cell => getComputedStyle(cell).color")
    assert colour != page.locator("h1").evaluate("one => getComputedStyle(one).color"), "its own style is applied"
    context.close()
    assert not wrong, wrong


@pytest.mark.parametrize("path", ["/", "/counter.html", "/trace.html", "/docs/"])
def test_a_script_that_got_into_a_page_does_not_run(context: BrowserContext, cloud: Cloud, path: str) -> None:
    page = context.browser.new_context(base_url=cloud.state.web_url).new_page()  # type: ignore[union-attr]
    page.goto(path)
    page.evaluate(
        """() => {
          const box = document.body.appendChild(document.createElement("div"))
          box.innerHTML = "<img src=x onerror='window.ran = 1'><a id=link href='javascript:window.ran = 2'>x</a>"
          box.appendChild(document.createElement("script")).textContent = "window.ran = 3"
          box.appendChild(document.createElement("script")).src = "https://evil.example/x.js"
          document.getElementById("link").click()
        }"""
    )
    page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
    assert page.evaluate("window.ran") is None
    page.context.close()


def test_no_page_of_another_origin_frames_ours(browser: Browser, cloud: Cloud, running: State) -> None:
    page = browser.new_page()
    for url in (running.web_url, running.web_url + "counter.html", running.wechat_url):
        page.set_content(f"<iframe src='{url}'></iframe>")
        eventually(lambda: page.frames[-1].url.startswith("chrome-error:"))
    page.close()


def test_the_description_can_be_read_and_tried(context: BrowserContext, page: Page) -> None:
    page.goto("/docs/")
    expect(page.get_by_text("/merchant/lookups").first).to_be_visible(timeout=20_000)
    page.get_by_text("/catalogue/{service_type}").first.click()
    page.get_by_role("button", name="Execute").first.click()
    expect(page.get_by_text("Server response").first).to_be_visible(timeout=20_000)
