"""The part of a call's page that says why the call is what it is."""

import re

import pytest

from calls.admin import explain
from calls.operations.record import record
from tests.admin.pages import call_page, make_staff, text_of, visit
from tests.build import build_event, read_table

pytestmark = pytest.mark.django_db


def section(html: str) -> str:
    start = html.index('id="explanation"')
    return html[start : html.index("</section>", start)]


def page() -> str:
    return visit().get(call_page("call-1")).content.decode()


def test_each_field_names_its_rule_and_the_events_it_stands_on() -> None:
    record(
        read_table("""
        0:00 initiated id=a
        0:10 answered id=b
        2:00 ended id=c
        2:10 ended id=d
    """)
    )
    text = text_of(section(page()))
    assert "duration 2:00 (120 s) initiated 2024-04-01 12:00:00 answered 2024-04-01 12:00:10 ended 2024" in text
    assert "Whole seconds from start to end" in text
    assert "two ends by ended 2024-04-01 12:02:10" in text
    assert "ended d 2024-04-01 12:02:10 The call had ended already: the earliest end counts. two ends" in text


def test_a_plain_call_lists_no_idle_events() -> None:
    record([build_event()])
    assert "idle-events" not in section(page())


def test_words_from_outside_are_text_and_nothing_else() -> None:
    evil = "<script>alert(1)</script>"
    record([build_event(event_id=evil, word=evil), build_event(event_id=f"2{evil}", word=evil)])
    assert evil not in page()
    assert "&lt;script&gt;" in section(page())


def test_a_call_with_very_many_events_is_explained_by_the_api_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "EVENTS_AT_MOST", 2)
    record([build_event("dtmf", second) for second in range(3)])
    assert re.search(r"/api/call-logs/[0-9a-f-]{36}/explain/", section(page()))


def test_who_may_see_calls_sees_why() -> None:
    record([build_event()])
    assert "Why it is so" in visit(make_staff("view_call")).get(call_page("call-1")).content.decode()
