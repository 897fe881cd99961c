"""Pictures of the laptop cloud's pages, for the README: each scene is acted out in a browser and photographed."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from local.home import PROJECT, State
from local.shopper import Shopper, order_body
from local.stack import running
from payments.domain.times import beijing_day, utc_now
from payments.edge.tokens import EVERY_BUSINESS, Identity, Role, issue

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = PROJECT / "docs/images"
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WIDE, NARROW = (1400, 880), (420, 860)


class NoBrowser(Exception):
    """The text says what to install."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture: who acts it out, how large it is, in which colours and language."""

    name: str
    act: "Callable[[Page, State], None]"
    size: tuple[int, int] = WIDE
    dark: bool = False
    locale: str = "zh-CN"


def _to_the_cashier(page: "Page", state: State) -> None:
    page.goto(f"{state.web_url}?user=shots")
    page.get_by_role("button", name="西湖边的小屋").click()
    page.get_by_role("button", name="下个月").click()
    free = page.get_by_role(
        "button", name=re.compile(r"^\d+月\d+日 .*¥\d+$")
    )  # pictures before this one hold some nights
    free.first.click()
    free.first.click()  # the first one is marked as the day of arrival by now
    page.get_by_role("button", name="提交订单并支付").click()
    page.get_by_role("button", name="允许").click()
    page.get_by_role("dialog", name="微信支付").wait_for()


def _paid(page: "Page", state: State) -> None:
    _to_the_cashier(page, state)
    page.keyboard.type("123456")
    page.locator(".code").wait_for()
    page.get_by_role("button", name="服务通知 · 入住验证码").wait_for()


def _lost_callback(page: "Page", state: State) -> None:
    with httpx.Client(base_url=state.wechat_url, trust_env=False) as wechat:
        wechat.post("/_sim/faults", json={"call": "callback", "answer": "drop", "times": 20})
        try:
            _paid(page, state)
        finally:
            wechat.delete("/_sim/faults")


def _at_the_counter(page: "Page", state: State) -> None:
    with Shopper(state.api_url, state.wechat_url, state.appid, "guest-of-shots") as shopper:
        code = shopper.buy().redeem_code
    page.goto(f"{state.web_url}counter.html#token={_staff_token()}")
    page.locator("#code").fill(code)
    page.keyboard.press("Enter")
    page.get_by_role("article").first.wait_for()


def _staff_token() -> str:
    return issue(Identity("staff-lin", Role.STAFF, EVERY_BUSINESS), running().token_keys(), utc_now())


STAYS = ((2, 5), (4, 7), (6, 9), (5, 6), (8, 12))
"""Of next month: the first day and the day of leaving."""


def _stock_calendar(page: "Page", state: State) -> None:
    """The garden's rooms next month: stays, and two nights that staff have blocked."""
    first, token = (beijing_day(utc_now()).replace(day=1) + timedelta(days=31)).replace(day=1), _staff_token()
    path, staff = "/merchant/stock/homestay/tea-garden", {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=state.api_url, timeout=30, trust_env=False) as api:
        if not api.get(path, params={"month": f"{first:%Y-%m}"}, headers=staff).json()["blocks"]:  # else it is done
            for start, end in STAYS:
                with Shopper(state.api_url, state.wechat_url, state.appid, f"guest-{start}-{end}") as shopper:
                    shopper.login()
                    days = {"start_date": f"{first.replace(day=start)}", "end_date": f"{first.replace(day=end)}"}
                    stay = order_body("tea-garden") | days
                    mine = {"Authorization": f"Bearer {shopper.token}"}
                    shopper.pay(shopper.prepay(api.post("/orders", json=stay, headers=mine).json()["order_sn"]))
            nights = [f"{first.replace(day=day)}" for day in (9, 10)]
            api.post(f"{path}/blocks", json={"nights": nights, "reason": "换窗户"}, headers=staff)
    page.goto(f"{state.web_url}counter.html#token={token}")
    page.locator("nav.tabs a[href='#stock']").click()
    page.locator("select").select_option("homestay/tea-garden")
    page.get_by_role("button", name="下个月").click()
    page.get_by_role("cell", name="换窗户").wait_for()


def _a_course(page: "Page", state: State) -> None:
    page.goto(f"{state.web_url}?user=shots")
    page.get_by_role("button", name="课程").click()
    page.get_by_role("button", name="毛笔书法入门").click()
    page.get_by_role("button", name="提交订单并支付").wait_for()
    page.get_by_role("button", name="余").first.wait_for()


SCENES = (
    Scene("phone-and-trace", _paid),
    Scene("phone-and-trace-dark", _paid, dark=True),
    Scene("lost-callback", _lost_callback),
    Scene("cashier", _to_the_cashier, NARROW),
    Scene("course", _a_course, NARROW),
    Scene("counter", _at_the_counter, (820, 760)),
    Scene("counter-en", _at_the_counter, NARROW, locale="en-US"),
    Scene("counter-stock", _stock_calendar, (820, 760)),
)


def take(state: State, names: list[str]) -> Iterator[Path]:
    """Takes the scenes' pictures (all, or those named), one after the other. Raises NoBrowser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise NoBrowser("pictures need the developer's environment: run ./dev test --only lint once") from None
    if not CHROMIUM.exists():
        raise NoBrowser(f"no browser at {CHROMIUM}: apt-get install chromium fonts-noto-cjk, or set CHROMIUM")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as browser,
    ):
        for scene in SCENES:
            if names and scene.name not in names:
                continue
            width, height = scene.size
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scene.dark else "light",
                locale=scene.locale,
                timezone_id="Asia/Shanghai",
                reduced_motion="reduce",
            )
            page = context.new_page()
            scene.act(page, state)
            page.evaluate("scrollTo(0, 0)")
            path = IMAGES / f"{scene.name}.png"
            page.screenshot(path=path)
            context.close()
            yield path
