"""Recordings in the admin: listened to, read and found."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from calls.admin import keyset
from calls.domain.recordings import RecordingStatus
from calls.models import CallRecording
from calls.operations.recordings import RecordingReport, report_recording, set_transcript
from tests.admin.pages import (
    RECORDINGS,
    call_page,
    headers_of,
    link_to,
    make_staff,
    page_of,
    rows_of,
    shown_ids,
    text_of,
    visit,
)
from tests.admin.rows import (
    BOB,
    make_call,
    make_recording,
    source_of,
    with_file,
)
from tests.build import at

pytestmark = pytest.mark.django_db

HOSTILE = "</div><script>alert(1)</script><img src=x onerror=alert(2)>"
DELETE = "delete_file_and_transcript"


@pytest.fixture(autouse=True)
def _media(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


# -- The list ------------------------------------------------------------------------------------


def test_the_list_shows_what_is_known_of_each_recording():
    make_recording(5, status="completed", duration=65, file_size=1_250_000, format="mp3")
    response = visit().get(RECORDINGS)
    assert headers_of(response) == ["Status", "Call id", "Duration", "Size", "Format", "Created (UTC)"]
    assert rows_of(response) == [["completed", "call-1", "1:05 (65 s)", "1.2 MB", "mp3", "2024-04-01 12:00:05"]]


def test_the_list_is_narrowed_by_status_and_days():
    done, _ = make_recording(0, status="completed"), make_recording(1)
    later = make_recording(86_400, status="completed")
    browser = visit()
    assert shown_ids(browser.get(RECORDINGS, {"status": "completed"})) == [later.pk, done.pk]
    day = {"from": "2024-04-01", "to": "2024-04-01", "status": "completed"}
    assert shown_ids(browser.get(RECORDINGS, day)) == [done.pk]
    assert browser.get(RECORDINGS, {"transcript__icontains": "x"}).status_code in (302, 400)


@pytest.mark.parametrize("text", ["call-1", "+12025550101", "+1 (202) 555-0101", "uuid", "own"])
def test_recordings_are_found_by_call_id_number_or_their_own_id(text: str):
    call = make_call()
    other = make_call("call-2", BOB)
    wanted, _ = make_recording(call=call), make_recording(call=other)
    text = {"uuid": str(call.pk), "own": str(wanted.pk)}.get(text, text)
    assert shown_ids(visit().get(RECORDINGS, {"q": text})) == [wanted.pk]


def test_what_is_not_there_is_not_found():
    make_recording()
    browser = visit()
    for text in ("call-9", "+4930", "%", "a" * 300):
        assert shown_ids(browser.get(RECORDINGS, {"q": text})) == []
    assert browser.get(RECORDINGS, {"q": "\x00"}).status_code == 200


def test_pages_follow_one_another_without_gap_or_repeat(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calls.admin.recordings.CallRecordingAdmin.list_per_page", 3)
    made = [make_recording(seconds // 2).pk for seconds in range(8)]
    browser, address, seen = visit(), "", []
    for _ in range(3):
        response = browser.get(RECORDINGS + address)
        seen += shown_ids(response)
        address = link_to(response, "next")
    assert address == ""
    assert len(seen) == 8
    assert set(seen) == set(made)


def test_looking_for_a_rare_status_reads_a_bounded_part_of_the_list(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keyset, "LOOK_THROUGH", 4)
    for seconds in range(9):
        make_recording(seconds)
    response = visit().get(RECORDINGS, {"status": "failed"})
    assert shown_ids(response) == []
    assert link_to(response, "next")


def test_a_list_takes_as_many_statements_for_many_recordings_as_for_one():
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            browser.get(RECORDINGS)
        return len(queries)

    browser = visit()
    make_recording()
    few = statements()
    for number in range(20):
        make_recording(call=make_call(f"more-{number}"))
    assert statements() == few


# -- The page ------------------------------------------------------------------------------------


def test_our_file_is_played_from_the_api_with_the_same_session_and_only_on_demand():
    recording = with_file(make_recording())
    for user in (make_staff(group="Analysts"), make_staff(group="Operators")):
        browser = visit(user)
        html = browser.get(page_of(recording)).content.decode()
        assert 'controls preload="none"' in html
        assert source_of(html).rstrip("/") == f"/api/recordings/{recording.pk}/file"
        part = browser.get(source_of(html), headers={"Range": "bytes=4-8"})
        assert (part.status_code, b"".join(part.streaming_content)) == (206, b"sound")


def test_a_file_kept_outside_is_a_link_that_tells_nothing_of_us():
    call = make_call()
    url = "https://pbx.example.com/a.mp3?x=1&y=2"
    recording = report_recording(call, RecordingReport(status=RecordingStatus.COMPLETED, file_url=url), at=at(0))
    for address in (page_of(recording), call_page("call-1")):
        html = visit().get(address).content.decode()
        assert source_of(html) == ""
        link = re.search(r"<a [^>]*href=\"https://pbx[^>]*>", html)
        assert link is not None
        assert 'rel="noopener noreferrer"' in link[0]
        assert "x=1&amp;y=2" in link[0]


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "http://pbx.example.com/a.mp3", "data:text/html,x", "//x", "https://["]
)
def test_only_https_becomes_a_link(url: str):
    recording = make_recording(file_url=url)
    html = visit().get(page_of(recording)).content.decode()
    assert f'href="{url}"' not in html


def test_the_transcript_is_shown_as_nothing_but_text_with_its_confidence():
    recording = make_recording()
    set_transcript(recording, transcript=f"Good morning.\n{HOSTILE}", confidence=0.934, at=at(1))
    html = visit().get(page_of(recording)).content.decode()
    assert "<script>alert(1)" not in html
    assert "<img src=x" not in html
    assert "Good morning.\n&lt;/div&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "Confidence 93%" in text_of(html)


def test_what_a_recorder_says_stays_text_everywhere():
    recording = make_recording(file_path=HOSTILE, format="<b>wav</b>", deleted_why=HOSTILE, status="deleted")
    call = make_call("<script>alert(3)</script>")
    other = with_file(make_recording(call=call))
    CallRecording.objects.filter(pk=other.pk).update(format='"><script>')
    browser = visit()
    pages = [RECORDINGS, page_of(recording), page_of(other), page_of(other, part=DELETE), page_of(call)]
    for address in pages:
        html = browser.get(address).content.decode()
        for part in ("<script>alert", "<img src=x", "<b>wav", '"><script>'):
            assert part not in html, (address, part)


def test_nothing_of_a_recording_can_be_edited_or_added_by_hand():
    recording = make_recording()
    browser = visit()
    html = browser.get(page_of(recording)).content.decode()
    assert 'name="_save"' not in html
    assert browser.post(page_of(recording), {"transcript": "Mine."}).status_code == 403
    assert browser.get(f"{RECORDINGS}add/").status_code == 403
    assert browser.post(page_of(recording, part="delete"), {"post": "yes"}).status_code == 403
    assert CallRecording.objects.get().transcript == ""
