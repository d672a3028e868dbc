"""Recordings in the admin: deleted by those who may, and shown on the page of their call."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext

from calls.admin import player
from calls.models import CallRecording
from calls.operations.recordings import delete_recording, set_transcript
from tests.admin.pages import (
    RECORDINGS,
    call_page,
    make_staff,
    messages_of,
    page_of,
    text_of,
    visit,
)
from tests.admin.rows import (
    make_recording,
    source_of,
    with_file,
)
from tests.build import at

pytestmark = pytest.mark.django_db

DELETE = "delete_file_and_transcript"


@pytest.fixture(autouse=True)
def _media(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


# -- Deleting ------------------------------------------------------------------------------------


def test_an_operator_deletes_file_and_transcript_after_being_asked(
    tmp_path: Path, django_capture_on_commit_callbacks: Any
):
    recording = with_file(make_recording())
    set_transcript(recording, transcript="Good morning.", confidence=0.9, at=at(1))
    operator = make_staff(group="Operators")
    browser = visit(operator)
    assert page_of(recording, part=DELETE) in browser.get(page_of(recording)).content.decode()
    question = browser.get(page_of(recording, part=DELETE))
    assert "gone for good" in question.content.decode()
    recording.refresh_from_db()
    assert recording.transcript == "Good morning."
    with django_capture_on_commit_callbacks(execute=True):
        response = browser.post(page_of(recording, part=DELETE))
    assert response["Location"] == page_of(recording)
    recording.refresh_from_db()
    assert (recording.status, recording.transcript, recording.transcript_confidence) == ("deleted", "", None)
    assert not recording.file
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    text = text_of(browser.get(page_of(recording)).content.decode())
    assert f"Why deleted by {operator.username}" in text
    assert "Delete file and transcript" not in text
    assert "Good morning" not in text
    assert LogEntry.objects.get().get_change_message() == "Deleted file and transcript."


def test_deleting_twice_keeps_what_was_said_first():
    recording = make_recording()
    delete_recording(recording, why="retention", at=at(1))
    response = visit().post(page_of(recording, part=DELETE), follow=True)
    assert messages_of(response) == ["File and transcript had been deleted before."]
    recording.refresh_from_db()
    assert recording.deleted_why == "retention"


@pytest.mark.parametrize("rights", [("view_callrecording",), ("delete_callrecording",), ("view_call",), ()])
def test_without_the_right_nothing_is_deleted(rights: tuple[str, ...]):
    recording = make_recording()
    browser = visit(make_staff(*rights))
    for response in (browser.get(page_of(recording, part=DELETE)), browser.post(page_of(recording, part=DELETE))):
        assert response.status_code == 403
    assert CallRecording.objects.get().status == "recording"


def test_an_analyst_looks_and_has_no_button():
    recording = make_recording()
    browser = visit(make_staff(group="Analysts"))
    assert browser.get(RECORDINGS).status_code == 200
    assert DELETE not in browser.get(page_of(recording)).content.decode()
    assert browser.post(page_of(recording, part=DELETE)).status_code == 403


def test_others_see_no_recordings(client: Any):
    recording = make_recording()
    for address in (RECORDINGS, page_of(recording), page_of(recording, part=DELETE)):
        assert visit(make_staff("view_call")).get(address).status_code == 403
        response = client.get(address)
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")


def test_deleting_an_unknown_recording_leads_back():
    recording = make_recording()
    address = page_of(recording, part=DELETE).replace(str(recording.pk), "nonsense")
    assert visit().post(address).status_code == 302


def test_a_forged_form_of_another_site_deletes_nothing():
    recording = make_recording()
    browser = visit()
    browser.handler.enforce_csrf_checks = True
    assert browser.post(page_of(recording, part=DELETE)).status_code == 403
    assert CallRecording.objects.get().status == "recording"


# -- The call's page -----------------------------------------------------------------------------


def test_the_page_of_a_call_shows_its_recordings_with_players():
    recording = with_file(make_recording(3))
    html = visit(make_staff(group="Analysts")).get(call_page("call-1")).content.decode()
    section = html[html.index('id="recordings"') : html.index('id="timeline"')]
    assert source_of(section).rstrip("/") == f"/api/recordings/{recording.pk}/file"
    assert page_of(recording) in section
    assert "2024-04-01 12:00:03 completed" in text_of(section)


def test_the_page_of_a_call_shows_no_recordings_to_those_without_the_right():
    with_file(make_recording())
    html = visit(make_staff("view_call")).get(call_page("call-1")).content.decode()
    assert "<audio" not in html
    assert 'id="recordings"' not in html


def test_the_page_of_a_call_shows_the_latest_recordings_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(player, "RECORDINGS_AT_MOST", 2)
    browser, made = visit(), []

    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            browser.get(call_page("call-1"))
        return len(queries)

    made.append(make_recording(0))
    few = statements()
    made += [make_recording(1), make_recording(2)]
    assert statements() == few
    html = browser.get(call_page("call-1")).content.decode()
    assert "These are the latest 2." in text_of(html)
    assert f"{RECORDINGS}?q=call-1" in html
    assert page_of(made[2]) in html
    assert page_of(made[0]) not in html
