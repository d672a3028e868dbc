"""A real browser: Debian's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

# Playwright runs an event loop in the test's own thread; Django then needs to be told that this is no async code.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
# The browser's own errands to its maker: there is no network, and none is wanted.
NO_SOCKET = ("WebSocket connection to", "Failed to load resource: net::ERR")
NOT_SIGNED_IN = "Failed to load resource: the server responded with a status of 401"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    """Return where a Chromium is, None if there is none."""
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    path = find_chromium()
    if path is None:
        pytest.skip("there is no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a context of its own that fails the test if it asks another host for anything, or finds fault.

    Faults are errors of scripts and whatever the policy forbids. That there is no socket is none: tests of
    what a page does without one use a server that has none.
    """
    context = browser.new_context(viewport={"width": 1400, "height": 900}, locale="en-GB", timezone_id="Europe/Berlin")
    page = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    ours = ("data:", "blob:", "http://localhost:", "http://127.0.0.1:")
    assert [url for url in asked if not url.startswith(ours)] == []
    assert [fault for fault in faults if not fault.startswith((*NO_SOCKET, NOT_SIGNED_IN))] == []
