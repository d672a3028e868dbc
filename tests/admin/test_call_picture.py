"""The picture of a call, and what else its page shows beside its events."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from calls.admin import latest, picture
from calls.admin.picture import picture_of, roughly, span, tick_label
from calls.admin.timeline import events_of
from calls.domain.events import call_uuid
from calls.models import Call
from calls.operations.record import record
from tests.admin.pages import call_page, make_staff, text_of, visit
from tests.admin.rows import make_client, make_recording
from tests.build import at, build_event, read_table

pytestmark = pytest.mark.django_db
ADA, OURS = "+493023125042", "+12025550100"


def drawn(call_id: str = "call-1", *, now: float = 10**6) -> dict[str, Any]:
    call = Call.objects.get(external_id=call_id)
    return picture_of(call, events_of(call), at=at(now))


def bars(shown: dict[str, Any]) -> dict[str, list[tuple[str, float, float]]]:
    return {
        lane["title"]: [(bar["kind"], bar["x"], bar["x"] + bar["width"]) for bar in lane["bars"]]
        for lane in shown["lanes"]
    }


def page(call: str = "call-1", user: User | None = None) -> str:
    response = visit(user).get(call_page(call))
    assert response.status_code == 200
    return response.content.decode()


def test_bars_are_to_scale():
    record(
        read_table(
            """
            0:00 initiated
            0:10 ringing
            0:20 answered
            0:30 recording_started
            0:40 hold
            0:60 unhold
            0:70 muted
            1:20 transfer_initiated
            1:40 transfer_completed to=100
            """
        )
    )
    assert bars(drawn()) == {
        "Call": [("setup", 0, 10), ("ring", 10, 20), ("talk", 20, 100)],
        "On hold": [("hold", 40, 60)],
        "Muted": [("muted", 70, 100)],
        "Recording": [("recording", 30, 100)],
        "Transfer": [("transfer", 80, 100)],
    }
    assert "On hold from +40 s to +1:00: 20 s" in text_of(page())


def test_a_call_that_goes_on_is_drawn_up_to_now():
    record(read_table("0:00 initiated\n0:10 answered\n0:30 hold"))
    shown = drawn(now=40)
    assert bars(shown) == {"Call": [("ring", 0, 25), ("talk", 25, 100)], "On hold": [("hold", 75, 100)]}
    assert [word["text"] for word in shown["words"]][-1] == "On hold from +30 s until now: 10 s"


def test_a_clock_ahead_of_ours_does_not_turn_the_picture_round():
    record(read_table("1:00 initiated\n2:00 answered"))
    shown = drawn(now=0)
    assert all(0 <= begin <= end <= 100 for lane in bars(shown).values() for _, begin, end in lane)


@pytest.mark.parametrize(
    "table",
    [
        "0:00 ended\n0:20 answered\n0:30 dtmf",
        "0:00 dtmf",
        "0:00 initiated\n0:00 ended",
        "0:00 ended\n5:00 initiated",
        "0:00 initiated\n0:05 answered\n5000000:00 ended",
        "0:00 unhold\n0:00 unmuted\n0:00 recording_stopped\n0:00 transfer_completed",
    ],
)
def test_odd_calls_have_a_picture_too(table: str):
    record(read_table(table))
    shown = drawn()
    assert bars(shown)["Call"]
    assert len(shown["ticks"]) <= picture.TICKS_AT_MOST + 1
    for lane in bars(shown).values():
        assert all(0 <= begin <= end <= 100 for _, begin, end in lane)
    assert "<svg" in page()


def test_what_lies_outside_of_the_picture_is_told():
    record(read_table("0:00 initiated\n0:10 ended\n0:30 dtmf\n0:31 dtmf"))
    assert "2 of the events below lie before or after what is drawn." in text_of(page())


def test_a_call_with_thousands_of_events_draws_a_bounded_number(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(picture, "CHANGES_AT_MOST", 4)
    monkeypatch.setattr(picture, "WORDS_AT_MOST", 3)
    events = [build_event("initiated", 0), build_event("answered", 1)]
    for place in range(20):
        events += [build_event("hold", 2 + 4 * place), build_event("unhold", 4 + 4 * place)]
        events += [build_event("dtmf", 3 + 4 * place)]
    record(events)
    shown = drawn(now=100)
    assert bars(shown)["On hold"] == [("hold", 2, 4)]
    assert (len(shown["words"]), shown["more_words"], shown["cut"]) == (3, 0, 4)


def test_the_marks_are_those_of_the_events_and_stay_text():
    hostile = "<script>alert(1)</script>"
    record([build_event("initiated", 0), build_event("dtmf", 5, word=hostile), build_event("ended", 10)])
    assert [mark["x"] for mark in drawn()["marks"]] == [0, 50, 100]
    html = page()
    assert hostile not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; +5 s" in html


def test_no_script_and_no_style_is_written_into_the_picture():
    record(read_table("0:00 initiated\n0:10 answered\n0:30 hold"))
    section = re.search(r'<section[^>]*id="picture".*?</section>', page(), re.DOTALL)
    assert section
    assert not re.search(r"\bstyle=|<script|\bon[a-z]+=", section[0])


def test_lengths_in_words():
    assert [span(seconds) for seconds in (0, 59, 65, 3_725, 90_061)] == [
        "0 s",
        "59 s",
        "1:05",
        "1:02:05",
        "1 d 1:01:01",
    ]
    assert [tick_label(seconds) for seconds in (-5, 0, 5, 3_600, 86_400 * 730)] == [
        *("−0:05", "0:00", "0:05", "1:00:00", "730 d"),
    ]
    assert [roughly(seconds) for seconds in (5, 119, 3_600, 90_061)] == ["5 s", "1 min", "1 h 0 min", "1 d 1 h"]


# -- Beside the picture --------------------------------------------------------------------------


def test_the_other_calls_of_both_numbers_are_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(latest, "OTHER_CALLS_AT_MOST", 3)
    for place in range(6):
        record([build_event(call_id=f"c{place}", seconds=place, calling_number=ADA, called_number=OURS)])
    record([build_event(call_id="other", seconds=9, calling_number=OURS, called_number="100")])
    numbers = latest.other_calls_of(Call.objects.get(external_id="c5"))
    shown = [[row["url"].split("/")[4] for row in found["calls"]] for found in numbers]
    ids = {name: str(call_uuid(name)) for name in ("c2", "c3", "c4", "other")}
    assert shown == [[ids["c4"], ids["c3"], ids["c2"]], [ids["other"], ids["c4"], ids["c3"]]]
    html = page("c5")
    assert "Other calls of these numbers" in html
    assert f'href="/admin/numbers/{ADA}/"' in html


def test_a_call_without_numbers_has_no_other_calls():
    record([build_event(calling_number="", called_number="")])
    assert "Other calls of these numbers" not in page()


def test_the_page_asks_as_often_for_a_number_with_many_calls():
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            browser.get(call_page("call-1"))
        return len(queries)

    browser = visit()
    record([build_event(), build_event(call_id="second", seconds=1)])
    few = statements()
    record([build_event(call_id=f"c{place}", seconds=place) for place in range(40)])
    assert statements() == few <= 22


def test_the_client_is_a_link():
    make_client(ADA, name="Ada & <b>Söhne</b>")
    record([build_event(calling_number=ADA, direction="inbound")])
    html = page()
    assert "Ada &amp; &lt;b&gt;Söhne&lt;/b&gt;" in html
    assert "/admin/calls/client/" in html


def test_what_was_said_is_beside_its_player_and_stays_text():
    record([build_event()])
    recording = make_recording(transcript="<script>x</script> " + "bla " * 2_000, transcript_confidence=0.934)
    html = page()
    assert "What was said (93% sure)" in html
    assert "&lt;script&gt;x&lt;/script&gt; bla" in html
    assert f'href="/admin/calls/callrecording/{recording.pk}/change/">The whole transcript' in html
    assert html.count("bla ") < 1_100


def test_without_the_right_to_see_recordings_nothing_that_was_said_is_shown():
    record([build_event()])
    make_recording(transcript="a secret")
    assert "a secret" not in page(user=make_staff("view_call", "view_callevent"))
