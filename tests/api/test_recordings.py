"""`/api/recordings/`: list, transcript, the sound up and down, and deleting."""

import io
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.files.base import ContentFile
from django.test import Client

from calls.models import Call, CallRecording
from tests.build import at, send, sip_report, told

pytestmark = pytest.mark.django_db
KEYS = {
    "id", "call", "status", "has_file", "file_url", "file_path", "file_size", "duration", "format", "transcript",
    "transcript_confidence", "created_at", "updated_at", "deleted_at", "deleted_why",
}  # fmt: skip
SOUND = bytes(range(256)) * 1000


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def call(telephony: Client) -> str:
    return told(telephony, sip_report("call_answered", sip_call_id="call 1"))


def make(call: str, seconds: float = 0, **values: Any) -> CallRecording:
    return CallRecording.objects.create(call_id=call, created_at=at(seconds), updated_at=at(seconds), **values)


@pytest.fixture
def recording(call: str) -> CallRecording:
    return make(call, status="processing")


def put(client: Client, recording: CallRecording, data: bytes = SOUND, kind: str = "audio/wav") -> Any:
    return client.put(f"/api/recordings/{recording.pk}/file/", data, content_type=kind, CONTENT_TYPE=kind)


def get(client: Client, recording: CallRecording, range: str | None = None) -> Any:
    headers = {} if range is None else {"range": range}
    return client.get(f"/api/recordings/{recording.pk}/file/", headers=headers)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# -- Looking ---------------------------------------------------------------------------------------


def test_a_recording_has_exactly_these_keys(analyst: Client, recording: CallRecording) -> None:
    shown = analyst.get(f"/api/recordings/{recording.pk}/").json()
    assert set(shown) == KEYS
    assert analyst.get("/api/recordings/").json() == {"next": None, "previous": None, "results": [shown]}
    assert (shown["call"], shown["has_file"], shown["deleted_at"]) == (str(recording.call_id), False, None)


def test_the_newest_is_first_and_pages_lead_on(analyst: Client, call: str) -> None:
    made = [make(call, second) for second in (0, 9, 5)]
    page = analyst.get("/api/recordings/?limit=2").json()
    assert [row["id"] for row in page["results"]] == [str(made[1].pk), str(made[2].pk)]
    page = analyst.get(page["next"]).json()
    assert [row["id"] for row in page["results"]] == [str(made[0].pk)]
    assert len(analyst.get(page["previous"]).json()["results"]) == 2


def test_filters_by_call_and_status(analyst: Client, telephony: Client, recording: CallRecording) -> None:
    other = make(told(telephony, sip_report(sip_call_id=" padded ")), status="completed")

    def ids(**query: Any) -> list[str]:
        return [row["id"] for row in analyst.get("/api/recordings/", query).json()["results"]]

    for text in (str(recording.call_id), "call 1"):
        assert ids(call=text) == [str(recording.pk)]
    assert ids(call=" padded ") == ids(status="completed") == [str(other.pk)]
    assert ids(call="nothing") == ids(status="failed") == ids(call="call 1", status="completed") == []
    for query in ({"status": "gone"}, {"call": "\x00"}, {"search": "\x00"}, {"cursor": "x"}):
        answer = analyst.get("/api/recordings/", query)
        assert (answer.status_code, list(answer.json()["errors"])) == (400, list(query))


def test_search_finds_all_words_of_a_transcript_in_any_order(analyst: Client, call: str) -> None:
    found = make(call, transcript="Good morning, I have a question about my Billing address.")
    make(call, transcript="Good evening.")
    make(call)

    def ids(text: str) -> list[str]:
        return [row["id"] for row in analyst.get("/api/recordings/", {"search": text}).json()["results"]]

    for text in ("billing", "address billing", "QUESTION good", "billing, address!"[:7]):
        assert ids(text) == [str(found.pk)], text
    assert len(ids("good")) == 2
    for text in ("goodbye", "billing evening", "' OR 1=1 --", "& | ! ( :*"):
        assert ids(text) == [], text


# -- Transcripts -------------------------------------------------------------------------------------


def test_the_transcript_is_set_and_corrected(operator: Client, recording: CallRecording) -> None:
    path = f"recordings/{recording.pk}/"
    answer = send(operator, "PATCH", path, {"transcript": "hello", "transcript_confidence": 0.25})
    assert (answer.status_code, set(answer.json())) == (200, KEYS)
    assert (answer.json()["transcript"], answer.json()["transcript_confidence"]) == ("hello", 0.25)
    answer = send(operator, "PATCH", path, {"transcript": "hello there"})
    assert (answer.json()["transcript"], answer.json()["transcript_confidence"]) == ("hello there", None)
    assert answer.json()["status"] == "processing"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "transcript"),
        ({"transcript": None}, "transcript"),
        ({"transcript": ["hello"]}, "transcript"),
        ({"transcript": "a\x00b"}, "transcript"),
        ({"transcript": "x" * 200_001}, "transcript"),
        ({"transcript": "x", "transcript_confidence": 1.01}, "transcript_confidence"),
        ({"transcript": "x", "transcript_confidence": -0.01}, "transcript_confidence"),
        ({"transcript": "x", "transcript_confidence": "NaN"}, "transcript_confidence"),
        ({"transcript": "x", "transcript_confidence": "high"}, "transcript_confidence"),
    ],
)
def test_a_bad_transcript_is_refused_by_name(
    operator: Client, recording: CallRecording, body: dict[str, Any], field: str
) -> None:
    answer = send(operator, "PATCH", f"recordings/{recording.pk}/", body)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


# -- The sound: up -----------------------------------------------------------------------------------


def test_a_recorder_uploads_and_an_analyst_listens(
    telephony: Client, analyst: Client, recording: CallRecording, media: Path
) -> None:
    answer = put(telephony, recording)
    shown = answer.json()
    assert answer.status_code == 200
    assert [shown[name] for name in ("status", "has_file", "file_size", "format")] == [
        "completed",
        True,
        256_000,
        "wav",
    ]
    heard = get(analyst, recording)
    assert (heard.status_code, heard["Content-Type"], heard["Content-Length"]) == (200, "audio/wav", "256000")
    assert heard["Accept-Ranges"] == "bytes"
    assert b"".join(heard.streaming_content) == SOUND
    assert get(telephony, recording).status_code == 403
    assert len(files(media)) == 1


def test_a_new_upload_replaces_the_file(
    telephony: Client, analyst: Client, recording: CallRecording, media: Path, django_capture_on_commit_callbacks: Any
) -> None:
    put(telephony, recording)
    with django_capture_on_commit_callbacks(execute=True):
        assert put(telephony, recording, b"ID3 sound", "audio/mpeg").json()["format"] == "mp3"
    heard = get(analyst, recording)
    assert (heard["Content-Type"], b"".join(heard.streaming_content)) == ("audio/mpeg", b"ID3 sound")
    assert len(files(media)) == 1


def test_an_upload_goes_to_the_disk_in_parts(telephony: Client, recording: CallRecording) -> None:
    sizes = []

    class Source(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            sizes.append(size)
            return super().read(size)

    from django.test.client import FakePayload

    sound = SOUND * 20
    with patch.object(FakePayload, "read", lambda self, size=None: Source.read(source, size)):
        source = Source(sound)
        assert put(telephony, recording, sound).json()["file_size"] == len(sound)
    assert sizes
    assert max(size or 0 for size in sizes) <= 1024 * 1024


def test_an_upload_has_a_limit_and_must_be_sound(
    telephony: Client, recording: CallRecording, settings: Any, media: Path
) -> None:
    settings.MAX_RECORDING_BYTES = 1000
    assert put(telephony, recording, b"x" * 1000).status_code == 200
    for data, kind, status in [
        (b"x" * 1001, "audio/wav", 413), (b"", "audio/wav", 400), (b"x", "text/html", 415),
        (b"x", "application/json", 415), (b"x", "image/svg+xml", 415), (b"x", "multipart/form-data; boundary=x", 415),
        (b"x", "application/x-www-form-urlencoded", 415), (b"x", "", 415),
    ]:  # fmt: skip
        answer = put(telephony, recording, data, kind)
        assert (answer.status_code, "detail" in answer.json()) == (status, True), kind
    assert len(files(media)) == 1


def test_what_was_deleted_takes_no_file(
    telephony: Client, operator: Client, recording: CallRecording, media: Path
) -> None:
    operator.delete(f"/api/recordings/{recording.pk}/")
    answer = put(telephony, recording)
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")
    assert files(media) == []
    answer = send(operator, "PATCH", f"recordings/{recording.pk}/", {"transcript": "x"})
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")


def test_a_failed_recording_stays_failed_but_keeps_what_is_uploaded(telephony: Client, call: str) -> None:
    shown = put(telephony, make(call, status="failed")).json()
    assert (shown["status"], shown["has_file"]) == ("failed", True)


# -- The sound: down -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("range", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=100-199", 100, 199),
        ("bytes=255990-", 255_990, 255_999),
        ("bytes=0-", 0, 255_999),
        ("bytes=255999-", 255_999, 255_999),
        ("bytes=0-999999999", 0, 255_999),
        ("bytes=-1", 255_999, 255_999),
        ("bytes=-100", 255_900, 255_999),
        ("bytes=-999999999", 0, 255_999),
        ("bytes=60000-140000", 60_000, 140_000),
        ("Bytes = 5 - 9", 5, 9),
    ],
)
def test_a_range_gets_its_part(
    telephony: Client, analyst: Client, recording: CallRecording, range: str, first: int, last: int
) -> None:
    put(telephony, recording)
    answer = get(analyst, recording, range)
    assert answer.status_code == 206
    assert answer["Content-Range"] == f"bytes {first}-{last}/256000"
    assert answer["Content-Length"] == str(last - first + 1)
    assert b"".join(answer.streaming_content) == SOUND[first : last + 1]


@pytest.mark.parametrize("range", ["bytes=256000-", "bytes=256000-256001", "bytes=-0", "bytes=999999999999999999-"])
def test_a_range_beyond_the_end_is_a_416(
    telephony: Client, analyst: Client, recording: CallRecording, range: str
) -> None:
    put(telephony, recording)
    answer = get(analyst, recording, range)
    assert (answer.status_code, answer["Content-Range"]) == (416, "bytes */256000")


@pytest.mark.parametrize(
    "range", ["", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "items=0-5", "bytes=0-1,5-6", "bytes=١-٢",
              "bytes=" + "9" * 400 + "-"]
)  # fmt: skip
def test_what_is_no_single_range_gets_the_whole(
    telephony: Client, analyst: Client, recording: CallRecording, range: str
) -> None:
    put(telephony, recording)
    answer = get(analyst, recording, range)
    assert (answer.status_code, answer.has_header("Content-Range")) == (200, False)
    assert b"".join(answer.streaming_content) == SOUND


def test_head_says_how_long_it_is(telephony: Client, analyst: Client, recording: CallRecording) -> None:
    put(telephony, recording)
    answer = analyst.head(f"/api/recordings/{recording.pk}/file/")
    assert (answer.status_code, answer["Content-Length"], answer["Accept-Ranges"]) == (200, "256000", "bytes")


def test_no_browser_takes_a_recording_for_a_page(telephony: Client, analyst: Client, recording: CallRecording) -> None:
    put(telephony, recording, b"<script>alert(1)</script>", "audio/ogg")
    answer = get(analyst, recording)
    assert (answer["Content-Type"], answer["X-Content-Type-Options"]) == ("audio/ogg", "nosniff")
    CallRecording.objects.update(format="html")
    assert get(analyst, recording)["Content-Type"] == "application/octet-stream"


def test_without_a_file_there_is_nothing_to_hear(analyst: Client, telephony: Client, call: str, media: Path) -> None:
    assert get(analyst, make(call)).status_code == 404
    elsewhere = make(call, file_url="https://recordings.example.com/1.wav")
    with patch("socket.socket.connect", side_effect=AssertionError("never fetched")):
        answer = get(analyst, elsewhere)
    assert (answer.status_code, "https://recordings.example.com/1.wav" in answer.json()["detail"]) == (404, True)
    put(telephony, elsewhere)
    for path in files(media):
        path.unlink()
    assert (get(analyst, elsewhere).status_code, get(analyst, elsewhere).json()["code"]) == (404, "not_found")


# -- Deleting ------------------------------------------------------------------------------------------


def test_deleting_leaves_a_row_that_says_when_and_why(
    operator: Client, call: str, media: Path, django_capture_on_commit_callbacks: Any
) -> None:
    made = make(call, status="completed", transcript="secret", transcript_confidence=0.5, duration=5)
    made.file.save("x.wav", ContentFile(b"sound"))
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            assert operator.delete(f"/api/recordings/{made.pk}/").status_code == 204
    shown = operator.get(f"/api/recordings/{made.pk}/").json()
    assert (shown["status"], shown["transcript"], shown["transcript_confidence"]) == ("deleted", "", None)
    assert (shown["has_file"], shown["duration"], shown["deleted_at"] is not None) == (False, 5, True)
    assert shown["deleted_why"].startswith("deleted by user-")
    assert files(media) == []
    assert get(operator, made).status_code == 404
    assert Call.objects.count() == 1


def test_the_file_stays_when_the_deletion_is_not_committed(operator: Client, call: str, media: Path) -> None:
    made = make(call)
    made.file.save("x.wav", ContentFile(b"sound"))
    operator.delete(f"/api/recordings/{made.pk}/")  # the test's own transaction never commits
    assert len(files(media)) == 1
