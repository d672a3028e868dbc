"""`POST /api/webhooks/recording/`: which recording a report is about, and that it only ever moves forwards."""

import itertools
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.base import ContentFile
from django.test import Client

from calls.models import Call, CallRecording
from tests.build import send, sip_report, told

pytestmark = pytest.mark.django_db
URL = "https://recordings.example.com/call123.wav"


@pytest.fixture(autouse=True)
def call(telephony: Client) -> str:
    return told(telephony, sip_report("call_answered", sip_call_id="call/1"))


def tell(client: Client, state: Any, **values: Any) -> Any:
    return send(client, "POST", "webhooks/recording/", {"call_id": "call/1", "status": state} | values)


def only() -> CallRecording:
    return CallRecording.objects.get()


def test_the_specifications_body_makes_a_recording(telephony: Client, call: str) -> None:
    answer = tell(telephony, "completed", call_id=call, file_url=URL, file_size=2048576, duration=185, format="wav")
    found = only()
    assert (answer.status_code, answer.json()) == (
        200,
        {"message": "The report was recorded.", "recording_id": str(found.pk), "status": "completed"},
    )
    assert (found.file_url, found.file_size, found.duration, found.format) == (URL, 2048576, 185, "wav")
    assert str(found.call_id) == call


def test_an_unknown_call_or_recording_is_a_404(telephony: Client) -> None:
    for call_id in ("nothing", str(uuid4()), "call-1", 5):
        assert tell(telephony, "completed", call_id=call_id).status_code == 404
    assert tell(telephony, "completed", recording_id=str(uuid4())).status_code == 404
    other = told(telephony, sip_report(sip_call_id="other"))
    theirs = tell(telephony, "recording", call_id=other).json()["recording_id"]
    assert tell(telephony, "completed", recording_id=theirs).status_code == 404
    assert CallRecording.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"call_id": ""}, "call_id"),
        ({"call_id": None}, "call_id"),
        ({"status": "gone"}, "status"),
        ({"status": None}, "status"),
        ({"recording_id": "x"}, "recording_id"),
        ({"recording_id": 5}, "recording_id"),
        ({"file_url": 5}, "file_url"),
        ({"file_url": "http://example.com/x.wav"}, "file_url"),
        ({"file_url": "file:///etc/passwd"}, "file_url"),
        ({"file_url": "javascript:alert(1)"}, "file_url"),
        ({"file_url": "//example.com/x.wav"}, "file_url"),
        ({"file_url": "https:///x.wav"}, "file_url"),
        ({"file_url": "https://user:password@example.com/x.wav"}, "file_url"),
        ({"file_url": "https://example.com/a b"}, "file_url"),
        ({"file_url": "https://example.com/\r\nx"}, "file_url"),
        ({"file_url": "https://[::1/x"}, "file_url"),
        ({"file_url": "https://example.com/" + "x" * 2000}, "file_url"),
        ({"file_path": 5}, "file_path"),
        ({"file_path": "x" * 1001}, "file_path"),
        ({"file_path": "a\x00b"}, "file_path"),
        ({"file_size": -1}, "file_size"),
        ({"file_size": 1.5}, "file_size"),
        ({"file_size": "5"}, "file_size"),
        ({"file_size": 10**30}, "file_size"),
        ({"duration": -1}, "duration"),
        ({"duration": True}, "duration"),
        ({"duration": 10**12}, "duration"),
        ({"duration": -0.5}, "duration"),
        ({"format": "x" * 21}, "format"),
        ({"transcript": ["hello"]}, "transcript"),
        ({"transcript_confidence": 1.1}, "transcript_confidence"),
        ({"transcript_confidence": -0.1}, "transcript_confidence"),
        ({"transcript_confidence": "high"}, "transcript_confidence"),
    ],
)
def test_a_bad_field_is_refused_by_name(telephony: Client, change: dict[str, Any], field: str) -> None:
    answer = tell(telephony, "completed", **change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not CallRecording.objects.exists()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"'])
def test_what_is_no_json_object_is_a_400(telephony: Client, body: bytes) -> None:
    answer = telephony.post("/api/webhooks/recording/", body, "application/json", CONTENT_TYPE="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


def test_fractions_of_seconds_are_cut_and_nulls_say_nothing(telephony: Client) -> None:
    tell(telephony, "recording", duration=2.9, file_url=None, recording_id=None, transcript=None)
    assert (only().duration, only().file_url) == (2, "")


# -- Which recording is meant --------------------------------------------------------------------------


def test_by_its_id(telephony: Client) -> None:
    first = tell(telephony, "recording", file_url=f"{URL}1").json()["recording_id"]
    tell(telephony, "completed", recording_id=first)
    tell(telephony, "recording")
    answer = tell(telephony, "failed", recording_id=first, file_url=f"{URL}2").json()
    assert (answer["recording_id"], answer["status"]) == (first, "completed")


def test_else_by_its_file_url_else_the_newest_unfinished_else_a_new_one(telephony: Client) -> None:
    first = tell(telephony, "completed", file_url=f"{URL}1").json()["recording_id"]
    second = tell(telephony, "recording").json()["recording_id"]
    assert second != first
    assert tell(telephony, "processing", file_url=f"{URL}1").json() | {"message": ""} == {
        "message": "", "recording_id": first, "status": "completed",
    }  # fmt: skip
    assert tell(telephony, "processing").json()["recording_id"] == second
    assert tell(telephony, "completed", file_url=f"{URL}2").json()["recording_id"] == second
    third = tell(telephony, "completed", file_url=f"{URL}3").json()["recording_id"]
    assert len({first, second, third}) == 3


def test_the_recording_that_a_button_began(telephony: Client, operator: Client, call: str) -> None:
    begun = send(operator, "POST", f"call-logs/{call}/start_recording/").json()["id"]
    assert tell(telephony, "completed", file_url=URL).json()["recording_id"] == begun


def test_a_call_may_have_several_recordings_without_an_address(telephony: Client) -> None:
    for path in ("/rec/1.wav", "/rec/2.wav", "/rec/2.wav"):
        tell(telephony, "completed", file_path=path)
    assert CallRecording.objects.count() == 2


@pytest.mark.parametrize("values", [{}, {"file_url": URL}, {"duration": 5, "file_size": 10}, {"file_path": "/x"}])
@pytest.mark.parametrize("status", ["processing", "completed", "failed"])
def test_a_repeated_report_makes_no_second_recording(telephony: Client, status: str, values: dict[str, Any]) -> None:
    first = tell(telephony, status, **values).json()
    before = only().updated_at
    assert tell(telephony, status, **values).json() == first
    assert only().updated_at == before


# -- Forwards only --------------------------------------------------------------------------------------


def test_reports_in_any_order_come_to_the_same_end(telephony: Client, call: str) -> None:
    stages = ["pending", "recording", "processing", "completed"]
    for number, order in enumerate(itertools.permutations(stages)):
        id = f"c{number}"
        told(telephony, sip_report(sip_call_id=id))
        first, *rest = order
        recording = tell(telephony, first, call_id=id).json()["recording_id"]
        for status in rest:
            tell(telephony, status, call_id=id, recording_id=recording)
        assert CallRecording.objects.get(pk=recording).status == "completed"
    assert CallRecording.objects.count() == 24


def test_completed_and_failed_are_final_but_for_deleted(telephony: Client) -> None:
    for final, other in (("completed", "failed"), ("failed", "completed")):
        CallRecording.objects.all().delete()
        tell(telephony, final, file_url=URL, duration=5)
        for status in ("pending", "recording", "processing", other):
            assert tell(telephony, status, file_url=URL, duration=7).json()["status"] == final
        assert only().duration == 5
        assert tell(telephony, "deleted", file_url=URL).json()["status"] == "deleted"


def test_a_late_report_may_fill_in_what_is_unknown(telephony: Client) -> None:
    tell(telephony, "completed", file_url=URL)
    tell(telephony, "processing", file_url=URL, duration=9, transcript="hello", transcript_confidence=0.5)
    found = only()
    assert (found.status, found.duration, found.transcript, found.transcript_confidence) == (
        "completed",
        9,
        "hello",
        0.5,
    )


def test_a_deleted_recording_is_emptied_and_never_comes_back(
    telephony: Client, settings: Any, tmp_path: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.MEDIA_ROOT = str(tmp_path)
    id = tell(telephony, "completed", file_url=URL, file_size=9, transcript="secret", file_path="/x").json()[
        "recording_id"
    ]
    found = only()
    found.file.save("x.wav", ContentFile(b"sound"))
    with django_capture_on_commit_callbacks(execute=True):
        assert tell(telephony, "deleted", recording_id=id).json()["status"] == "deleted"
    found = only()
    assert (found.transcript, found.file_url, found.file_path, found.file.name) == ("", "", "", "")
    assert (found.deleted_why, found.deleted_at is not None) == ("reported as deleted", True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    for again in ({"recording_id": id}, {}):
        answer = tell(telephony, "completed", file_url=URL, file_size=9, transcript="secret", **again)
        assert answer.json() == {"message": "The report was recorded.", "recording_id": id, "status": "deleted"}
    assert (only().transcript, only().file_url) == ("", "")


def test_a_report_changes_nothing_of_the_call(telephony: Client) -> None:
    before = Call.objects.values().get()
    tell(telephony, "completed", file_url=URL)
    assert Call.objects.values().get() == before
