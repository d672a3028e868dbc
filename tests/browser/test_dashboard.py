"""The front page in a real browser: its figures, its pictures, and what it does when it is not live.

The server of these tests has no WebSocket, so the page is never live here; see test_dashboard_live.py.
"""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from calls.models import Call
from calls.operations.record import record
from calls.sampledata import SAMPLE_OWN_NUMBERS, Sample
from tests.browser.steps import barriers, make_analyst, sign_in
from tests.build import build_event
from tests.build import sign_in as token_of

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("groups")]
HOSTILE = "<script>document.title='broken'</script><img src=x onerror=document.title='broken'>"
FORMULA = "=cmd|'/c calc'!A1"


@pytest.fixture
def calls(groups: None, settings: Any) -> None:
    """Two weeks of calls, some of them going on."""
    settings.OWN_NUMBERS = [SAMPLE_OWN_NUMBERS]
    until = timezone.now().replace(microsecond=0)
    sample = Sample(seed=7, until=until, calls=400, days=14, ongoing=6, own_numbers=(SAMPLE_OWN_NUMBERS,))
    for batch in sample.batches():
        record(batch)


@pytest.fixture
def front_page(page: Page, live_server: LiveServer) -> Page:
    """The front page, as an analyst has it before them."""
    make_analyst()
    return sign_in(page, live_server.url)


def figures(page: Page) -> dict[str, str]:
    return {one.get_attribute("data-figure") or "": one.inner_text() for one in page.locator("[data-figure]").all()}


@pytest.mark.usefixtures("calls")
def test_the_figures_are_those_of_the_statistics_api(page: Page, live_server: LiveServer):
    make_analyst()
    api: Client = token_of("Analysts")
    sign_in(page, live_server.url)
    page.click("text=Yesterday")
    expect(page.locator("[aria-current=page]")).to_have_text("Yesterday")
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    span = {"from": (midnight - timedelta(days=1)).isoformat(), "to": midnight.isoformat()}
    stated = api.get("/api/call-logs/statistics/", span).json()
    shown = figures(page)
    assert shown["Calls"] == str(stated["total_calls"])
    assert shown["Missed"] == str(stated["missed_calls"])
    if stated["total_calls"]:
        assert shown["Answer rate"] == f"{stated['answer_rate']} %"
    if stated["answered_calls"]:
        minutes, seconds = shown["Average duration"].split(":")
        assert int(minutes) * 60 + int(seconds) == stated["average_duration_seconds"]


@pytest.mark.usefixtures("calls")
def test_a_bar_says_what_it_is_and_leads_to_its_calls(front_page: Page):
    bars = front_page.locator("[data-panel=days] .pg-bar")
    expect(bars.first).to_be_visible()
    # The busiest day, whichever that was.
    words = max((bar.get_attribute("aria-label") or "" for bar in bars.all()), key=_calls_in)
    bar = front_page.locator(f'[data-panel=days] .pg-bar[aria-label="{words}"]')
    bar.hover()
    expect(front_page.locator("[data-panel=days] [data-readout]")).to_have_text(words)
    bar.click()
    expect(front_page.locator("#result_list tbody tr").first).to_be_visible()
    assert front_page.locator("#result_list tbody tr").count() == min(50, _calls_in(words))


def _calls_in(words: str) -> int:
    found = re.search(r": (\d+) calls?", words)
    return int(found[1]) if found else 0


@pytest.mark.usefixtures("calls")
def test_charts_are_walked_through_by_keyboard(front_page: Page):
    bars = front_page.locator("[data-panel=days] .pg-bar")
    bars.first.focus()
    front_page.keyboard.press("ArrowRight")
    expect(bars.nth(1)).to_be_focused()
    front_page.keyboard.press("End")
    expect(bars.last).to_be_focused()
    expect(front_page.locator("[data-panel=days] [data-readout]")).to_have_text(
        bars.last.get_attribute("aria-label") or ""
    )
    # One press leaves the chart: it is one stop.
    front_page.keyboard.press("Tab")
    expect(front_page.locator("[data-panel=days] summary")).to_be_focused()
    front_page.keyboard.press("Enter")
    assert front_page.locator("[data-panel=days] table tbody tr").count() == 14


@pytest.mark.usefixtures("calls")
def test_the_period_and_the_time_zone_are_chosen_and_remembered(front_page: Page, live_server: LiveServer):
    front_page.click("text=Show times in Europe/Berlin")
    expect(front_page.locator("[data-panel=compared]")).to_contain_text("Times are Europe/Berlin.")
    expect(front_page.locator("#use-my-zone")).to_be_hidden()
    front_page.click("text=Last 30 days")
    expect(front_page.locator("[data-panel=days] .pg-bar")).to_have_count(30)
    front_page.goto(f"{live_server.url}/admin/")
    expect(front_page.locator("[aria-current=page]")).to_have_text("Last 30 days")
    expect(front_page.locator("#zone")).to_have_value("Europe/Berlin")


@pytest.mark.usefixtures("calls")
def test_without_a_socket_the_page_says_so_and_is_refreshed_all_the_same(front_page: Page):
    expect(front_page.locator("#not-live")).to_contain_text("Not live: the connection is lost, retrying.")
    expect(front_page.locator("#live-state")).to_have_text("Not live")
    before = Call.objects.filter(ended_at=None).count()
    expect(front_page.locator("[data-live-count]")).to_have_text(str(before))
    now = timezone.now()
    record([build_event(call_id="new", occurred_at=now, calling_number="+12025550123", called_number="+12025550100")])
    expect(front_page.locator("#progress")).to_contain_text("+12025550123", timeout=20_000)
    expect(front_page.locator("[data-live-count]")).to_have_text(str(before + 1))


@pytest.mark.usefixtures("calls")
def test_a_server_that_does_not_answer_is_noticed_and_forgiven(front_page: Page):
    front_page.route("**/admin/figures/**", lambda route: route.abort())
    expect(front_page.locator("#not-live")).to_contain_text("the server does not answer", timeout=20_000)
    front_page.unroute("**/admin/figures/**")
    expect(front_page.locator("#not-live")).to_contain_text("the connection is lost", timeout=20_000)


@pytest.mark.usefixtures("calls")
def test_whoever_is_signed_out_is_asked_to_sign_in_again(front_page: Page):
    front_page.context.clear_cookies()
    expect(front_page.locator("#not-live")).to_contain_text("you are signed out", timeout=20_000)
    front_page.click("#not-live a")
    expect(front_page.locator("[name=password]")).to_be_visible()


def test_hostile_names_and_numbers_stay_text(page: Page, live_server: LiveServer):
    now = timezone.now()
    for call_id, ended in (("going on", False), ("over", True)):
        said: dict[str, Any] = {"call_id": call_id, "calling_number": HOSTILE, "called_number": FORMULA}
        record([build_event(occurred_at=now - timedelta(seconds=3), **said)])
        if ended:
            record([build_event("ended", occurred_at=now - timedelta(seconds=1), **said)])
    make_analyst()
    sign_in(page, live_server.url)
    expect(page.locator("#progress")).to_contain_text(HOSTILE)
    expect(page.locator("#progress")).to_contain_text(FORMULA)
    expect(page.locator("[data-panel=parties]")).to_contain_text(HOSTILE)
    expect(page.locator("[data-panel=parties]")).to_contain_text(FORMULA)
    assert "broken" not in page.title()


def test_the_first_call_fills_the_empty_page(front_page: Page):
    expect(front_page.locator("#empty-title")).to_be_visible()
    assert barriers(front_page, inside="#dashboard") == []
    record([build_event(occurred_at=timezone.now())])
    expect(front_page.locator("[data-panel=tiles]")).to_be_visible(timeout=20_000)
    expect(front_page.locator("#progress .pg-call")).to_have_count(1)


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_nobody_is_shut_out_and_nothing_sticks_out(scheme: Any, width: int, front_page: Page):
    front_page.emulate_media(color_scheme=scheme)
    front_page.set_viewport_size({"width": width, "height": 844})
    front_page.goto(front_page.url + "?period=7days")
    expect(front_page.locator("#progress .pg-call").first).to_be_visible()
    assert barriers(front_page) == []
    assert front_page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    for summary in front_page.locator("summary").all():
        summary.click()
    assert barriers(front_page, inside="#figures") == []


@pytest.mark.usefixtures("calls")
def test_nothing_jumps_while_the_page_loads(browser: Browser, live_server: LiveServer):
    make_analyst()
    page = browser.new_page()
    sign_in(page, live_server.url)
    page.add_init_script(
        "window.jumps = 0; new PerformanceObserver(list => list.getEntries().forEach(entry => jumps += entry.value))"
        ".observe({type: 'layout-shift', buffered: true})"
    )
    page.reload()
    expect(page.locator("#not-live")).to_be_visible()
    expect(page.locator("#progress .pg-call").first).to_be_visible()
    # 0.1 is what the Web Vitals call good.
    assert page.evaluate("jumps") < 0.1
    page.close()


def test_the_documentation_of_the_api_is_walked_through_without_a_fault(page: Page, live_server: LiveServer):
    page.goto(f"{live_server.url}/api/docs/")
    page.locator("text=Report one event, or a batch").click()
    page.locator("text=Try it out").click()
    page.locator("button.execute").click()
    expect(page.locator(".live-responses-table")).to_contain_text("401")
