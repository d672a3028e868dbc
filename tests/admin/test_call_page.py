"""The page of one call: everything that is known of it, its events in order, and its notes."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from calls.admin import timeline
from calls.domain.events import call_uuid
from calls.domain.vocabulary import ANOMALY_SENTENCES, Anomaly, EventType, Source
from calls.models import Call
from calls.operations.annotate import annotate
from calls.operations.record import UnknownCall, record
from tests.admin.pages import CALLS, call_page, link_to, make_staff, text_of, visit
from tests.build import at, build_event, read_table

pytestmark = pytest.mark.django_db


def page(call: str = "call-1", user: User | None = None) -> str:
    response = visit(user).get(call_page(call))
    assert response.status_code == 200
    return response.content.decode()


def timeline_rows(html: str) -> list[str]:
    """Return the events of the timeline, each as one text."""
    section = html[html.index('id="timeline"') :].partition("</section>")[0]
    return [text_of(row) for row in re.findall(r"<tr class=\"border-t.*?</tr>", section, re.DOTALL)]


def test_the_page_shows_all_facets_of_the_call():
    record(
        read_table(
            """
            0:00 initiated way=inbound
            0:02 ringing
            0:07 answered
            0:20 hold
            0:35 unhold
            1:00 transfer_initiated to=+12025550177
            1:06 transfer_completed to=+12025550177 cause=transferred
            """,
            calling_number="+12025550101",
            called_number="sip:alice@example.com",
        )
    )
    text = text_of(page())
    for part in (
        "Status transferred",
        "Direction inbound",
        "+1 202-555-0101 US",
        "sip:alice@example.com",
        "Start (UTC) 2024-04-01 12:00:00",
        "Ringing 2024-04-01 12:00:02",
        "Answer 2024-04-01 12:00:07",
        "End 2024-04-01 12:01:06",
        "Ended by transfer completed (cause transferred)",
        "Transferred to +1 202-555-0177 US",
        "Duration 1:06 (66 s)",
        "Ring time 5 s",
        "Talk time 59 s",
        "Hold time 15 s",
        "Call type voice",
        str(call_uuid("call-1")),
    ):
        assert part in text


def test_the_page_says_what_is_going_on_now():
    record(read_table("0:00 initiated\n0:01 answered\n0:02 recording_started\n0:03 muted\n0:04 hold"))
    assert "Now on hold, recording, muted" in text_of(page())


def test_the_page_says_in_words_what_is_odd():
    record(read_table("0:00 answered\n0:10 ended\n0:20 ended"))
    text = text_of(page())
    assert ANOMALY_SENTENCES[Anomaly.NO_START] in text
    assert ANOMALY_SENTENCES[Anomaly.TWO_ENDS] in text


def test_the_page_of_a_plain_call_has_no_part_for_oddities():
    record(read_table("0:00 initiated\n0:10 ended"))
    assert "What is odd" not in page()


def test_an_assumed_end_is_marked_as_such():
    record(read_table("0:00 initiated\n0:10 answered\n5:00 ended by=inferred"))
    html = page()
    assert "2024-04-01 12:05:00 assumed: no news came for too long" in text_of(html)
    assert "Assumed by us" in timeline_rows(html)[-1]


def test_the_timeline_is_in_the_order_in_which_events_are_taken():
    kinds = list(EventType)
    events = [build_event(kind, 1, event_id=f"e-{99 - n}") for n, kind in enumerate(kinds)]
    events += [build_event("dtmf", 1, event_id="b"), build_event("dtmf", 1, event_id="a"), build_event("error", 0)]
    record(list(reversed(events)))
    call = Call.objects.get()
    shown = [
        (entry["at"], entry["type"]) for entry in timeline.timeline_of(call, timeline.events_of(call), linked=False)
    ]
    expected = [event.type.replace("_", " ") for event in sorted(events, key=lambda event: event.key)]
    assert [kind for _, kind in shown] == expected
    ids = [row.event_id for row in sorted((e for e in events if e.type == "dtmf"), key=lambda e: e.key)]
    assert ids[:2] == ["a", "b"]


def test_the_timeline_shows_times_words_sources_and_what_differs():
    record(
        [
            build_event("initiated", 0, word="INITIATE"),
            build_event("answered", 65, word="call_answered", source=Source.SIP, called_number="+12025550199"),
            build_event("dtmf", -5, word="dtmf", metadata={"digit": "5"}),
            build_event("ended", 3725, word="DISCONNECT", received_at=at(3725 + 600), cause="busy"),
        ]
    )
    early, start, answer, end = timeline_rows(page())
    assert early.startswith("−0:05 dtmf dtmf process events 2024-04-01 11:59:55")
    assert '"digit": "5"' in early
    assert start == "+0:00 INITIATE initiated process events 2024-04-01 12:00:00"
    assert answer.startswith("+1:05 call_answered answered sip")
    assert "Other number to: +1 202-555-0199 US" in answer
    assert end.startswith("+1:02:05 DISCONNECT ended")
    assert "Heard 10:00 after it happened." in end
    assert "Cause: busy" in end


def test_a_number_that_is_only_spelled_differently_is_no_other_number():
    record(
        [
            build_event("initiated", 0, calling_number="+12025550101"),
            build_event("answered", 5, calling_number="tel:+1 202-555-0101"),
        ]
    )
    assert "Other number" not in page()


def test_many_events_are_shown_by_pages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timeline, "EVENTS_A_PAGE", 3)
    monkeypatch.setattr("calls.admin.calls.EVENTS_A_PAGE", 3)
    record([build_event("dtmf", seconds, event_id=f"e{seconds}") for seconds in range(7)])
    browser = visit()
    shown, address = [], call_page("call-1")
    for text in ("Events 1 to 3 of 7.", "Events 4 to 6 of 7.", "Events 7 to 7 of 7."):
        response = browser.get(address)
        html = response.content.decode()
        assert text in text_of(html)
        shown += [row.split()[0] for row in timeline_rows(html)]
        address = call_page("call-1") + link_to(response, "next")
    assert shown == ["+0:00", "+0:01", "+0:02", "+0:03", "+0:04", "+0:05", "+0:06"]
    assert "/admin/calls/callevent/?q=call-1" in html
    for nonsense in ("0", "99", "-1", "x", "9" * 30):
        assert browser.get(call_page("call-1"), {"events": nonsense}).status_code == 200


def test_a_page_takes_as_many_statements_for_many_events_as_for_one():
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            browser.get(call_page("call-1"))
        return len(queries)

    browser = visit()
    record([build_event()])
    few = statements()
    record([build_event("dtmf", seconds) for seconds in range(50)])
    assert statements() == few


def test_notes_stay_text():
    record([build_event()])
    annotate(call_uuid("call-1"), notes="</textarea><script>alert(1)</script>", at=at(0))
    for user in (make_staff("view_call"), make_staff(superuser=True)):
        html = page(user=user)
        assert "<script>alert(1)</script>" not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def save(user: User | None = None, **values: Any) -> Any:
    return visit(user).post(call_page("call-1"), values)


def other_columns() -> dict[str, Any]:
    row = Call.objects.values().get()
    return {name: value for name, value in row.items() if name not in ("notes", "updated_at")}


@pytest.mark.parametrize("user", ["Analysts", "Operators", "superuser"])
def test_those_with_the_right_can_edit_notes_and_nothing_else(user: str):
    record(read_table("0:00 initiated\n0:10 ended"))
    before = other_columns()
    staff = make_staff(superuser=True) if user == "superuser" else make_staff(group=user)
    started = datetime.now(UTC)
    response = save(staff, notes="Ask again.", status="ended", external_id="forged", duration="5", ended_at="")
    assert response.status_code == 302
    call = Call.objects.get()
    assert call.notes == "Ask again."
    assert started <= call.updated_at <= datetime.now(UTC)
    assert other_columns() == before


def test_saving_unchanged_notes_changes_nothing():
    record([build_event()])
    before = Call.objects.values().get()
    assert save(notes="").status_code == 302
    assert Call.objects.values().get() == before


def test_notes_saved_beside_a_new_event_do_not_undo_it():
    record([build_event()])
    browser = visit()
    browser.get(call_page("call-1"))
    record(read_table("0:05 answered\n0:10 ended"))
    browser.post(call_page("call-1"), {"notes": "Fine."})
    assert (Call.objects.get().status, Call.objects.get().notes) == ("ended", "Fine.")


@pytest.mark.parametrize("rights", [("view_call",), ("view_call", "change_call"), ("view_call", "view_callevent")])
def test_without_the_right_to_annotate_all_is_read_only(rights: tuple[str, ...]):
    record([build_event()])
    user = make_staff(*rights)
    html = page(user=user)
    assert "<textarea" not in html
    assert 'name="_save"' not in html
    assert save(user, notes="Mine.").status_code == 403
    assert Call.objects.get().notes == ""


def test_the_right_to_annotate_alone_shows_nothing():
    record([build_event()])
    user = make_staff("annotate_call")
    assert visit(user).get(call_page("call-1")).status_code == 403
    assert save(user, notes="Mine.").status_code == 403


@pytest.mark.parametrize("address", [f"{CALLS}add/", f"{call_page('call-1')[:-7]}delete/"])
def test_nobody_can_add_or_delete_a_call(address: str):
    record([build_event()])
    assert visit().post(address, {"post": "yes", "external_id": "forged"}).status_code == 403
    assert Call.objects.count() == 1


def test_a_selection_of_calls_cannot_be_deleted():
    record([build_event()])
    chosen = {"action": "delete_selected", "_selected_action": str(call_uuid("call-1")), "post": "yes"}
    visit().post(CALLS, chosen)
    assert Call.objects.count() == 1


def test_annotating_an_unknown_call_is_refused():
    with pytest.raises(UnknownCall):
        annotate(uuid4(), notes="Hello", at=at(0) + timedelta(seconds=1))


def test_an_unknown_call_has_no_page():
    browser = visit()
    for address in (f"{CALLS}{uuid4()}/change/", f"{CALLS}nonsense/change/"):
        assert browser.get(address, follow=True).status_code in (200, 404)
        assert browser.get(address).status_code in (302, 404)


@pytest.mark.parametrize("address", [CALLS, "/admin/calls/callevent/", "/admin/calls/accesstoken/", "/admin/"])
def test_whoever_is_not_signed_in_is_asked_to(address: str, client: Any):
    response = client.get(address)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")
