"""A browser in front of the tests' own laptop cloud: Debian's chromium, driven by Playwright, in Chinese."""

import os
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from local.home import State
from local.shots import ARGUMENTS, CHROMIUM
from tests.local.conftest import cloud, folder, running

__all__ = ["cloud", "folder", "running"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not shutil.which(CHROMIUM) and "CI" not in os.environ:
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium fonts-noto-cjk, or set CHROMIUM")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


@pytest.fixture
def context(browser: Browser, running: State) -> Iterator[BrowserContext]:
    """A browser of its own for each test; no page in it may break, complain, or ask another host for anything."""
    context = browser.new_context(base_url=running.web_url, locale="zh-CN", viewport={"width": 1400, "height": 900})
    wrong: list[str] = []
    context.on("weberror", lambda error: wrong.append(f"broke: {error.error}"))
    context.on(
        "console", lambda told: wrong.append(told.text) if told.type == "error" and not _expected(told.text) else None
    )
    context.on(
        "request", lambda asked: wrong.append(f"asks {asked.url}") if not _ours(asked.url, running.web_url) else None
    )
    yield context
    context.close()
    assert not wrong, wrong


def _expected(complaint: str) -> bool:
    """What chromium itself says of answers that a test has asked for: 4xx, 5xx, no network."""
    return complaint.startswith("Failed to load resource:")


def _ours(url: str, web_url: str) -> bool:
    return urlsplit(url).scheme in {"data", "blob"} or url.startswith(web_url)


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()
