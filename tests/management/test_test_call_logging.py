"""`manage.py test_call_logging`: plausible calls through the real write path, and a cleanup of nothing but its own."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.test import Client

from calls.models import Call, CallEvent, CallRecording, SIPConfiguration
from calls.operations.record import record
from calls.operations.sip import ensure_default
from tests.build import build_event, send
from tests.reference import differences

pytestmark = pytest.mark.django_db


def run(*options: str) -> str:
    out = StringIO()
    call_command("test_call_logging", *options, stdout=out)
    return out.getvalue()


def test_it_makes_as_many_calls_as_asked_with_events_and_recordings() -> None:
    assert "Made 10 test calls" in run()
    assert Call.objects.count() == 10
    assert CallEvent.objects.count() > 30
    assert set(CallRecording.objects.values_list("status", flat=True)) == {"completed", "processing", "failed"}
    assert set(Call.objects.values_list("status", flat=True)) == {
        "ended", "missed", "busy", "transferred", "no_answer", "cancelled", "failed",
    }  # fmt: skip
    assert set(Call.objects.values_list("anomalies", flat=True)) == {0}
    for call in Call.objects.all():
        events = [event.as_event(call_id=call.external_id) for event in call.events.all()]
        assert differences(events, call.state) == {}
    run("--count", "3")
    assert Call.objects.count() == 13


def test_what_it_makes_is_shown_by_the_api(analyst: Client) -> None:
    run("--count", "1")
    [call] = send(analyst, "GET", "call-logs/").json()["results"]
    shown = send(analyst, "GET", f"call-logs/{call['sip_call_id']}/").json()
    assert (shown["status"], shown["duration"], shown["hold_seconds"]) == ("ended", 185, 15)
    assert (shown["recording"]["status"], shown["recording"]["duration"]) == ("completed", 174)
    found = analyst.get("/api/recordings/", {"search": "goodbye"}).json()["results"]
    assert [row["call"] for row in found] == [call["id"]]


def test_initiate_call_works_at_first_try(operator: Client) -> None:
    run("--count", "1")
    assert SIPConfiguration.objects.get().is_default
    body = {"recipient_number": "+1234567890"}
    assert send(operator, "POST", "call-logs/initiate_call/", body).status_code == 201


def test_a_default_that_is_there_stays() -> None:
    ensure_default(name="Ours", sip_server="sip.example.org", caller_number="100")
    run("--count", "1")
    assert SIPConfiguration.objects.get().name == "Ours"


def test_cleanup_removes_all_it_made_and_touches_nothing_else(
    operator: Client, settings: Any, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> None:
    settings.MEDIA_ROOT = str(tmp_path)
    # Others' calls, some with ids that look like its own.
    record([
        build_event(call_id="ours"),
        build_event(call_id="test-call-logging-x", event_id="ours-1"),
        build_event(call_id="ours-2", event_id="test-call-logging-y"),
        build_event(call_id="test_call_logging-z", event_id="test_call_logging-z"),
    ])  # fmt: skip
    send(operator, "POST", "call-logs/ours/add_event/", {"event_type": "answered"})
    send(operator, "POST", "call-logs/ours/start_recording/")
    others = (
        set(Call.objects.values_list("external_id", flat=True)),
        set(CallEvent.objects.values_list("pk", flat=True)),
        set(CallRecording.objects.values_list("pk", flat=True)),
    )
    run("--count", "12")
    # Somebody tried the buttons on a test call, and uploaded a recording.
    made = Call.objects.exclude(external_id__in=others[0])
    send(operator, "PATCH", f"call-logs/{made[0].pk}/update_status/", {"notes": "tried"})
    recording = CallRecording.objects.filter(call__in=made)[0]
    recording.file.save("x.wav", ContentFile(b"sound"))
    with django_capture_on_commit_callbacks(execute=True):
        said = run("--count", "5", "--cleanup")
    assert "Removed 12 test calls" in said
    assert "Made 5 test calls" in said
    assert made.count() == 5
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    with django_capture_on_commit_callbacks(execute=True):
        run("--count", "1", "--cleanup")
    Call.objects.filter(external_id__in=others[0]).get(external_id="ours")
    assert others[0] < set(Call.objects.values_list("external_id", flat=True))
    assert Call.objects.count() == len(others[0]) + 1
    assert others[1] <= set(CallEvent.objects.values_list("pk", flat=True))
    assert others[2] <= set(CallRecording.objects.values_list("pk", flat=True))


@pytest.mark.parametrize("count", ["0", "-1", "x", "10001", "1.5", "١"])
def test_a_count_that_is_none_is_refused(count: str) -> None:
    with pytest.raises(CommandError):
        run("--count", count)
    assert not Call.objects.exists()


def test_own_numbers_of_the_organisation_are_used(settings: Any) -> None:
    settings.OWN_NUMBERS = ["+4930123*"]
    run("--count", "2")
    inbound, outbound = Call.objects.get(direction="inbound"), Call.objects.get(direction="outbound")
    assert inbound.called_number.startswith("+4930123")
    assert outbound.calling_number.startswith("+4930123")
