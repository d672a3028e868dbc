"""The pages of a call and of a number, missed calls, and a download that agrees with the API."""

import csv
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from calls.domain.events import call_uuid
from calls.models import AccessToken
from calls.operations.record import record
from tests.admin.rows import make_client
from tests.browser.steps import barriers
from tests.build import NOON, build_event

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("groups")]
HOSTILE = "<script>window.broken = true</script>"
FORMULA = "=cmd()|' /C calc'!A0"
ADA, OURS = "+493023125042", "+12025550100"


@pytest.fixture
def analyst(live_server: LiveServer, page: Page) -> Iterator[Page]:
    """The browser of an analyst who is signed in; any error on the console fails the test."""
    user = User.objects.create_user("ada", password="correct horse", is_staff=True)
    user.groups.add(Group.objects.get(name="Analysts"))
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{live_server.url}/admin/login/?next=/admin/missed-calls/")
    page.fill("[name=username]", "ada")
    page.fill("[name=password]", "correct horse")
    page.click("[type=submit]")
    expect(page).to_have_url(f"{live_server.url}/admin/missed-calls/")
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield page
    assert problems == []


@pytest.fixture
def calls(groups: None) -> None:
    """A call with holds and a recording, one that goes on, a missed one, and one full of hostile words."""
    now = (timezone.now() - NOON).total_seconds()

    def call(name: str, *events: tuple[str, float], calling: str = ADA, word: str = "", **values: object) -> None:
        parties = {"call_id": name, "calling_number": calling, "called_number": OURS, "direction": "inbound"}
        record([build_event(kind, now + at, **{**parties, "word": word or kind, **values}) for kind, at in events])

    call("rich", ("initiated", -600), ("ringing", -598), ("answered", -590), ("hold", -560), ("unhold", -540),
         ("recording_started", -530), ("ended", -500))  # fmt: skip
    call("going on", ("initiated", -30), ("answered", -20))
    call("missed", ("initiated", -400), ("ended", -380))
    call(FORMULA, ("initiated", -200), ("ended", -190), calling=HOSTILE, word=HOSTILE, metadata={HOSTILE: [FORMULA]})
    make_client(ADA, name=f"Ada {HOSTILE}")


def harmless(page: Page) -> None:
    """Fail if anything hostile has run, or the page is wider than the window."""
    assert page.evaluate("window.broken") is None
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.usefixtures("calls")
def test_the_call_page_draws_the_call_and_leads_on(analyst: Page, live_server: LiveServer) -> None:
    analyst.goto(f"{live_server.url}/admin/calls/call/{call_uuid('rich')}/change/")
    picture = analyst.locator("#picture svg")
    expect(picture).to_be_visible()
    talk, hold = (picture.locator(f"rect.pg-{kind}").bounding_box() for kind in ("talk", "hold"))
    assert talk
    assert hold
    # 20 of the 90 seconds of talking.
    assert hold["width"] / talk["width"] == pytest.approx(20 / 90, rel=0.02)
    expect(analyst.locator("#picture-words")).to_contain_text("On hold from +40 s to +1:00: 20 s")
    expect(analyst.locator("#timeline")).to_contain_text("recording started")
    harmless(analyst)
    analyst.locator("#other-calls h3 a").first.click()
    expect(analyst).to_have_url(f"{live_server.url}/admin/numbers/{ADA}/")


@pytest.mark.usefixtures("calls")
def test_a_call_full_of_hostile_words_stays_text(analyst: Page, live_server: LiveServer) -> None:
    analyst.goto(f"{live_server.url}/admin/calls/call/{call_uuid(FORMULA)}/change/")
    analyst.locator("#timeline summary").first.click()
    expect(analyst.locator("#timeline pre").first).to_contain_text(HOSTILE)
    harmless(analyst)
    analyst.goto(f"{live_server.url}/admin/numbers/?number={quote(HOSTILE)}")
    expect(analyst.locator("#facts")).to_contain_text(HOSTILE)
    expect(analyst.locator("#history tbody tr")).to_have_count(1)
    harmless(analyst)


@pytest.mark.usefixtures("calls")
def test_the_number_page_tells_its_country_client_and_hours(analyst: Page, live_server: LiveServer) -> None:
    analyst.goto(f"{live_server.url}/admin/numbers/{ADA}/")
    facts = analyst.locator("#facts")
    for words in ("Germany (DE)", "fixed line", f"Ada {HOSTILE}"):
        expect(facts).to_contain_text(words)
    made = analyst.locator("#traffic tbody tr").first
    assert made.inner_text().split()[2:] == ["3", "1", "1", "50.0", "%", "100", "s"]
    analyst.fill("[name=tz]", "Asia/Kathmandu")
    analyst.locator("#heat button").click()
    expect(analyst.locator("#heat caption")).to_contain_text("Asia/Kathmandu")
    assert sum(int(cell) for cell in analyst.locator("#heat td").all_inner_texts() if cell.strip()) == 3
    harmless(analyst)


@pytest.mark.usefixtures("calls")
def test_a_missed_call_is_listed_until_it_is_returned(analyst: Page, live_server: LiveServer) -> None:
    analyst.goto(f"{live_server.url}/admin/missed-calls/")
    rows = analyst.locator("#waits tbody tr")
    # Ada has got through since: only the hostile caller waits.
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("<script>")
    harmless(analyst)
    analyst.get_by_role("link", name="Returned", exact=True).click()
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("got through")
    analyst.get_by_role("link", name="Missed calls").first.click()
    expect(analyst).to_have_url(f"{live_server.url}/admin/missed-calls/")


@pytest.mark.usefixtures("calls")
def test_a_download_has_what_the_api_has(analyst: Page, live_server: LiveServer, tmp_path: Path) -> None:
    day = (timezone.now() - timedelta(days=2)).date().isoformat()
    analyst.goto(f"{live_server.url}/admin/calls/call/?from={day}&direction=inbound")
    expect(analyst.locator("#result_list tbody tr")).to_have_count(4)
    with analyst.expect_download() as download:
        analyst.locator("#export").click()
    path = tmp_path / "calls.csv"
    download.value.save_as(path)
    assert download.value.suggested_filename == "calls.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    _, key = AccessToken.objects.create(user=User.objects.get(username="ada"), name="test")
    answer = analyst.request.get(
        f"{live_server.url}/api/call-logs/?direction=inbound", headers={"Authorization": f"Token {key}"}
    )
    expected = json.loads(answer.text())["results"]
    assert [row["id"] for row in rows] == [call["id"] for call in expected]
    for row, call in zip(rows, expected, strict=True):
        assert row["status"] == call["status"]
        assert row["started_at_utc"] == call["started_at"]
        assert row["duration_seconds"] == ("" if call["duration"] is None else str(call["duration"]))
        assert row["call_id"].removeprefix("'") == call["sip_call_id"]
        assert not row["call_id"].startswith("=")


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_screens_fit_the_window(analyst: Page, live_server: LiveServer, theme: str, width: int) -> None:
    analyst.set_viewport_size({"width": width, "height": 900})
    analyst.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    for path in (f"calls/call/{call_uuid('rich')}/change/", f"numbers/{ADA}/", "missed-calls/?state=all"):
        analyst.goto(f"{live_server.url}/admin/{path}")
        harmless(analyst)


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_use_the_screens(analyst: Page, live_server: LiveServer, theme: str) -> None:
    """What is ours: the theme's own frame around it is not for us to mend."""
    analyst.evaluate(f"localStorage.setItem('adminTheme', JSON.stringify('{theme}'))")
    screens = [
        f"calls/call/{call_uuid('rich')}/change/",
        f"calls/call/{call_uuid(FORMULA)}/change/",
        f"numbers/{quote(ADA)}/",
        "missed-calls/?state=all",
    ]
    found = {}
    for screen in screens:
        analyst.goto(f"{live_server.url}/admin/{screen}")
        found[screen] = barriers(analyst, inside="#content")
    assert [fault for faults in found.values() for fault in faults] == []
