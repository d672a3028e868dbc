"""The front page: the same figures as the API's, for those who may see them, at a bounded cost."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from calls.domain.events import Event
from calls.operations.record import record
from tests.admin.pages import CALLS, make_staff, shown_calls, text_of, visit
from tests.build import NOON, build_event

pytestmark = pytest.mark.django_db
FRONT = "/admin/"
FIGURES = "/admin/figures/"
HOSTILE = "<script>document.title='broken'</script>"


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noon, so that what began moments ago began today."""
    monkeypatch.setattr(timezone, "now", lambda: NOON)


@pytest.fixture
def analyst_page(noon: None) -> Client:
    return visit(make_staff(group="Analysts"))


def events_of(call_id: str, *parts: tuple[str, float], **values: Any) -> list[Event]:
    """Return the events of a call, each so many seconds before now."""
    now = timezone.now()
    return [
        build_event(kind, call_id=call_id, occurred_at=now - timedelta(seconds=before), **values)
        for kind, before in parts
    ]


def make_day() -> None:
    """Make calls that began moments ago: two answered, one missed, one that goes on."""
    for number in range(2):
        record(events_of(f"answered-{number}", ("initiated", 9), ("answered", 8), ("ended", 2)))
    record(events_of("missed", ("initiated", 9), ("ended", 3)))
    record(events_of("going-on", ("initiated", 5), ("answered", 4)))


def figures_in(page: Any) -> dict[str, str]:
    """Return the big figures by their titles."""
    return dict(re.findall(r'data-figure="([^"]+)">([^<]+)<', page.content.decode()))


def going_on_in(page: Any) -> Any:
    """Return the calls in progress, as the page gives them to its script."""
    found = re.search(r'<script id="going-on" type="application/json">(.*?)</script>', page.content.decode())
    assert found
    return json.loads(found[1])


def test_the_figures_are_those_of_the_api(analyst_page: Client, analyst: Client):
    make_day()
    api = analyst.get("/api/call-logs/statistics/?period=today").json()
    shown = figures_in(analyst_page.get(FRONT))
    assert shown == {
        "Calls": str(api["total_calls"]),
        "Answer rate": f"{api['answer_rate']} %",
        "Missed": str(api["missed_calls"]),
        "Average duration": f"0:0{api['average_duration_seconds']}",
    }
    assert figures_in(analyst_page.get(FIGURES)) == shown


def test_each_figure_leads_to_exactly_its_calls(analyst_page: Client):
    make_day()
    page = analyst_page.get(FRONT)
    links = {tile["title"]: tile["url"] for tile in page.context["tiles"]}
    assert sorted(shown_calls(analyst_page.get(links["Calls"]))) == ["answered-0", "answered-1", "missed"]
    assert sorted(shown_calls(analyst_page.get(links["Answer rate"]))) == ["answered-0", "answered-1"]
    assert shown_calls(analyst_page.get(links["Missed"])) == ["missed"]
    for outcome in page.context["outcomes"]:
        assert len(shown_calls(analyst_page.get(outcome["url"]))) == int(outcome["count"])
    for party in page.context["parties"]:
        assert len(shown_calls(analyst_page.get(party["url"]))) == party["calls"]


def test_each_bar_leads_to_exactly_its_calls(analyst_page: Client):
    make_day()
    for chart in ("by_hour", "by_day"):
        bars = [one["bar"] for one in analyst_page.get(FRONT).context[chart]["bars"]]
        assert sum(bar.counts.calls for bar in bars) == 3
        for bar in bars:
            if bar.counts.calls:
                assert len(shown_calls(analyst_page.get(bar.url))) == bar.counts.calls


def test_calls_in_progress_are_given_in_the_words_of_the_api(analyst_page: Client, analyst: Client):
    make_day()
    (shown,) = going_on_in(analyst_page.get(FRONT))["calls"]
    (call,) = analyst.get("/api/call-logs/?status=answered").json()["results"]
    assert {name: value for name, value in shown.items() if name != "version"} == {
        name: call[name] for name in shown if name != "version"
    }
    assert shown["version"] == 2


def test_hostile_words_stay_text(analyst_page: Client):
    record(events_of(HOSTILE, ("initiated", 5), calling_number=HOSTILE, called_number="=cmd()"))
    record(events_of("over", ("initiated", 5), ("ended", 2), calling_number=HOSTILE, called_number="=cmd()"))
    html = analyst_page.get(FRONT).content.decode()
    assert HOSTILE not in html
    assert "&lt;script&gt;" in html


def test_without_calls_the_page_says_how_to_send_one(analyst_page: Client):
    page = analyst_page.get(FRONT)
    text = text_of(page.content.decode())
    assert "No call has been reported yet" in text
    assert "/process-events" in text
    assert figures_in(page) == {}


@pytest.mark.parametrize("address", [FRONT, FIGURES])
def test_staff_without_the_right_sees_no_figures(address: str):
    make_day()
    page = visit(make_staff()).get(address)
    assert figures_in(page) == {}
    assert "going-on" not in page.content.decode()
    assert page.status_code == (200 if address == FRONT else 403)


def test_who_may_not_see_events_sees_no_feed():
    make_day()
    page = visit(make_staff("view_call")).get(FRONT)
    assert page.context["feed"] is None
    assert figures_in(page)["Calls"] == "3"


def test_refused_reports_are_counted_and_lead_to_their_list(analyst_page: Client, telephony: Client):
    make_day()
    for event in ("NOTHING", "NOBODY"):
        assert telephony.post("/process-events/", {"event": event}, content_type="application/json").status_code == 400
    html = analyst_page.get("/admin/").content.decode()
    found = re.search(r'href="([^"]+)" data-key="refused"><b>(\d+)</b>', html)
    assert found
    assert found[2] == "2"
    assert analyst_page.get(found[1].replace("&amp;", "&")).content.decode().count("400 invalid") == 2


@pytest.mark.parametrize("address", [FRONT, FIGURES])
def test_strangers_are_asked_to_sign_in(address: str, client: Client):
    make_day()
    page = client.get(address)
    assert page.status_code == 302
    assert "/admin/login/" in page.headers["Location"]


@pytest.mark.parametrize("address", [FRONT, FIGURES])
def test_nothing_of_it_is_stored_by_browsers_or_proxies(address: str, analyst_page: Client):
    assert "no-store" in analyst_page.get(address).headers["Cache-Control"]


def test_the_choice_is_remembered(analyst_page: Client):
    make_day()
    first = analyst_page.get(FRONT)
    assert (first.context["choice"].range, first.context["choice"].zone.key) == ("today", "UTC")
    analyst_page.get(FRONT, {"period": "7days", "tz": "Europe/Berlin"})
    for page in (analyst_page.get(FRONT), analyst_page.get(FIGURES)):
        assert (page.context["choice"].range, page.context["choice"].zone.key) == ("7days", "Europe/Berlin")
    assert analyst_page.get(FRONT, {"period": "today"}).context["choice"].zone.key == "Europe/Berlin"


def test_a_choice_that_does_not_exist_is_passed_over(analyst_page: Client):
    page = analyst_page.get(FRONT, {"period": "never", "tz": "Mars/Olympus"})
    assert (page.context["choice"].range, page.context["choice"].zone.key) == ("today", "UTC")


@pytest.mark.parametrize("period", ["today", "yesterday", "7days", "30days"])
def test_the_number_of_queries_does_not_grow_with_the_calls(
    period: str, analyst_page: Client, django_assert_max_num_queries: Any
):
    make_day()
    analyst_page.get(FRONT, {"period": period})
    with django_assert_max_num_queries(19):
        analyst_page.get(FIGURES)
    for number in range(30):
        record(events_of(f"more-{number}", ("initiated", 9), ("ended", 3), calling_number=f"+4930{number:07}"))
        record(events_of(f"more-going-on-{number}", ("initiated", 9), calling_number=f"+4940{number:07}"))
    with django_assert_max_num_queries(19):
        analyst_page.get(FIGURES)


def test_the_same_part_of_the_day_a_week_before_is_what_today_is_held_against(analyst_page: Client):
    make_day()
    week = 7 * 24 * 3600
    record(events_of("then", ("initiated", week + 60), ("answered", week + 50), ("ended", week + 30)))
    record(events_of("later then", ("initiated", week - 600), ("ended", week - 700)))
    tiles = {tile["title"]: tile for tile in analyst_page.get(FRONT).context["tiles"]}
    assert tiles["Calls"]["words"] == "2 more than then (1)"
    assert tiles["Missed"]["words"] == "1 more than then (0)"
    assert (tiles["Missed"]["way"], tiles["Missed"]["mood"]) == ("up", "bad")
    assert tiles["Answer rate"]["words"] == "33.3 points down from 100.0 %"


@pytest.mark.parametrize("span", ["x", "2024-04-01T10:00:00Z", "2024-04-01T10:00:00Z/2024-04-01T09:00:00Z", "/"])
def test_a_span_that_is_none_is_refused_with_a_word(span: str, analyst_page: Client):
    answer = analyst_page.get(CALLS, {"span": span})
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{CALLS}?e=1")
