"""The list of events, as the first specification asks for it, and the page of one event."""

import pytest

from calls.domain.events import Event
from calls.domain.vocabulary import Source
from calls.models import CallEvent
from calls.operations.record import record
from tests.admin.pages import EVENTS, call_page, headers_of, make_staff, rows_of, text_of, visit
from tests.build import CALLEE, CALLER, build_event, read_table

pytestmark = pytest.mark.django_db

DURATION = 6


def durations(table: str, **values: str) -> dict[str, str]:
    """Return what the list shows as the duration of each event of a call."""
    events = read_table(table, **values)
    record(events)
    return {row[0]: row[DURATION] for row in rows_of(visit().get(EVENTS))}


def page_of(event: Event) -> str:
    return f"{EVENTS}{CallEvent.objects.get(event_id=event.event_id).pk}/change/"


def test_the_list_has_the_seven_columns_of_the_specification():
    record([build_event(event_id="e-1", call_id="c-1", word="INITIATE", seconds=5)])
    response = visit().get(EVENTS)
    assert headers_of(response) == [
        "Event id",
        "Call id",
        "Event",
        "Calling number",
        "Called number",
        "Created at (UTC)",
        "Duration",
    ]
    assert rows_of(response) == [["e-1", "c-1", "INITIATE", CALLER, CALLEE, "2024-04-01 12:00:05", "-"]]


def test_the_call_id_leads_to_the_call():
    record([build_event(call_id="c-1")])
    browser = visit()
    assert f'href="{call_page("c-1")}"' in browser.get(EVENTS).content.decode()
    assert browser.get(call_page("c-1")).status_code == 200


def test_only_the_end_of_a_completed_call_shows_its_duration():
    assert durations("0:00 initiated id=a\n0:07 answered id=b\n1:12 ended id=c") == {"a": "-", "b": "-", "c": "72"}


def test_a_missed_call_shows_no_duration():
    assert durations("0:00 initiated id=a\n0:30 ended id=b") == {"a": "-", "b": "-"}


def test_a_second_end_shows_no_duration():
    table = "0:00 initiated id=a\n0:07 answered id=b\n1:12 ended id=c\n1:30 ended id=d"
    assert durations(table) == {"a": "-", "b": "-", "c": "72", "d": "-"}


@pytest.mark.parametrize("end", ["failed", "transfer_completed"])
def test_whatever_ended_a_completed_call_shows_its_duration(end: str):
    assert durations(f"0:00 initiated id=a\n0:07 answered id=b\n1:12 {end} id=c")["c"] == "72"


def test_an_event_of_another_type_at_the_time_of_the_end_shows_no_duration():
    table = "0:00 initiated id=a\n0:07 answered id=b\n1:12 ended id=c\n1:12 failed id=d"
    assert durations(table) == {"a": "-", "b": "-", "c": "72", "d": "-"}


def test_an_assumed_end_shows_no_duration():
    table = "0:00 initiated id=a\n0:07 answered id=b\n0:40 ended id=c by=inferred"
    assert set(durations(table).values()) == {"-"}


def test_a_completed_call_of_no_length_shows_zero():
    assert durations("0:00 initiated id=a\n0:00 answered id=b\n0:00.5 ended id=c")["c"] == "0"


def test_long_durations_are_plain_seconds():
    assert durations("0:00 initiated id=a\n0:01 answered id=b\n100:00 ended id=c")["c"] == "6000"


def test_the_page_of_an_event_shows_everything():
    event = build_event(
        "ended", 5, source=Source.SIP, word="call_busy", cause="busy", metadata={"trunk": {"name": "zürich"}}
    )
    record([event])
    text = text_of(visit().get(page_of(event)).content.decode())
    for part in (event.event_id, "call-1", "call_busy", "sip", "busy", CALLER, CALLEE, "2024-04-01 12:00:05"):
        assert part in text
    assert '"trunk": { "name": "zürich" }' in text


def test_hostile_metadata_and_words_stay_text():
    hostile = "<script>alert(1)</script>"
    event = build_event(event_id=hostile, call_id=hostile, word=hostile, metadata={hostile: hostile})
    record([event])
    browser = visit()
    for address in (EVENTS, page_of(event), call_page(hostile)):
        html = browser.get(address).content.decode()
        assert hostile not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


@pytest.mark.parametrize("action", ["add/", "{pk}/change/", "{pk}/delete/"])
def test_nobody_can_add_change_or_delete_an_event(action: str):
    record([build_event()])
    event = CallEvent.objects.get()
    before = CallEvent.objects.values().get()
    response = visit().post(EVENTS + action.format(pk=event.pk), {"event_id": "forged", "post": "yes"})
    assert response.status_code == 403
    assert CallEvent.objects.values().get() == before


def test_an_event_can_be_looked_at_with_the_right_to_view_only():
    record([build_event()])
    event = CallEvent.objects.get()
    browser = visit(make_staff("view_callevent"))
    assert browser.get(EVENTS).status_code == 200
    assert browser.get(f"{EVENTS}{event.pk}/change/").status_code == 200
    assert browser.post(f"{EVENTS}{event.pk}/change/").status_code == 403
    assert visit(make_staff("view_call")).get(EVENTS).status_code == 403
