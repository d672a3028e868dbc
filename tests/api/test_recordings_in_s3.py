"""Recordings in an S3-compatible store: the same answers as from a folder, read in parts, over real HTTP."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from django.core.files.storage import storages
from django.test import Client
from moto.server import ThreadedMotoServer

from calls.models import Call, CallRecording
from calls.operations.record import record
from calls.operations.recordings import begin_recording
from tests.build import build_event

pytestmark = pytest.mark.django_db
SOUND = bytes(range(256)) * 4000
BUCKET = "recordings"


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedMotoServer]:
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def bucket(server: ThreadedMotoServer, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty bucket, which the settings name as the place of recordings."""
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": "us-east-1"}
    for name in ("aws_access_key_id", "aws_secret_access_key"):
        monkeypatch.setenv(name.upper(), keys[name])
    made = boto3.resource("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket=BUCKET)
    made.objects.all().delete()
    options = {"bucket_name": BUCKET, "endpoint_url": endpoint, "location": "calls", "file_overwrite": False}
    backend = {"BACKEND": "calls.models.storage.RecordingsInS3", "OPTIONS": options}
    settings.STORAGES = settings.STORAGES | {"default": backend}
    assert type(storages["default"]).__name__ == "RecordingsInS3"
    return made


@pytest.fixture
def recording(db: None) -> CallRecording:
    record([build_event()])
    call = Call.objects.get()
    return begin_recording(call, at=call.created_at)


def path_of(recording: CallRecording) -> str:
    return f"/api/recordings/{recording.pk}/file/"


def upload(client: Client, recording: CallRecording, sound: bytes = SOUND) -> Any:
    return client.put(path_of(recording), sound, content_type="audio/wav")


def heard(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_what_a_recorder_uploads_is_kept_in_the_bucket_and_heard_from_there(
    bucket: Any, telephony: Client, analyst: Client, recording: CallRecording
) -> None:
    answer = upload(telephony, recording)
    assert (answer.status_code, answer.json()["status"], answer.json()["file_size"]) == (200, "completed", len(SOUND))
    [kept] = bucket.objects.all()
    assert kept.key.startswith("calls/recordings/")
    assert kept.get()["Body"].read() == SOUND
    answer = analyst.get(path_of(recording))
    assert (answer.status_code, answer["Content-Type"]) == (200, "audio/wav")
    assert heard(answer) == SOUND


@pytest.mark.parametrize(
    ("asked", "part"),
    [("bytes=0-99", slice(0, 100)), ("bytes=1000000-", slice(1_000_000, None)), ("bytes=-5", slice(-5, None))],
)
def test_a_range_gets_its_part(
    bucket: Any, telephony: Client, analyst: Client, recording: CallRecording, asked: str, part: slice
) -> None:
    upload(telephony, recording)
    answer = analyst.get(path_of(recording), headers={"Range": asked})
    assert (answer.status_code, heard(answer)) == (206, SOUND[part])


def test_only_what_is_asked_for_is_fetched(bucket: Any, telephony: Client, recording: CallRecording) -> None:
    upload(telephony, recording)
    recording.refresh_from_db()
    asked: list[str] = []
    client = storages["default"].connection.meta.client
    client.meta.events.register(
        "before-call.s3.GetObject", lambda params, **_: asked.append(params["headers"]["Range"])
    )
    with recording.file.storage.open(str(recording.file.name)) as file:
        assert file.size == len(SOUND)
        file.seek(len(SOUND) - 10)
        assert file.read(100) == SOUND[-10:]
    assert asked == [f"bytes={len(SOUND) - 10}-"]


def test_a_range_beyond_the_end_is_a_416(
    bucket: Any, telephony: Client, analyst: Client, recording: CallRecording
) -> None:
    upload(telephony, recording)
    answer = analyst.get(path_of(recording), headers={"Range": f"bytes={len(SOUND)}-"})
    assert (answer.status_code, answer["Content-Range"]) == (416, f"bytes */{len(SOUND)}")


def test_a_new_upload_replaces_the_file(bucket: Any, telephony: Client, recording: CallRecording) -> None:
    upload(telephony, recording)
    upload(telephony, recording, b"RIFF")
    [kept] = bucket.objects.all()
    assert kept.get()["Body"].read() == b"RIFF"


def test_deleting_empties_the_bucket(
    bucket: Any, telephony: Client, operator: Client, recording: CallRecording, django_capture_on_commit_callbacks: Any
) -> None:
    upload(telephony, recording)
    with django_capture_on_commit_callbacks(execute=True):
        assert operator.delete(f"/api/recordings/{recording.pk}/").status_code == 204
    assert list(bucket.objects.all()) == []
    assert operator.get(path_of(recording)).status_code == 404


def test_a_file_that_somebody_else_removed_is_a_404(
    bucket: Any, telephony: Client, analyst: Client, recording: CallRecording
) -> None:
    upload(telephony, recording)
    bucket.objects.all().delete()
    answer = analyst.get(path_of(recording))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_store_that_does_not_answer_is_a_503_and_changes_nothing(
    bucket: Any, telephony: Client, analyst: Client, recording: CallRecording, settings: Any
) -> None:
    upload(telephony, recording)
    default = settings.STORAGES["default"]
    gone = default["OPTIONS"] | {"bucket_name": "nobody-has-this-one"}
    away = default["OPTIONS"] | {"endpoint_url": "http://127.0.0.1:9"}
    for options in (gone, away):
        settings.STORAGES = settings.STORAGES | {"default": default | {"OPTIONS": options}}
        before = CallRecording.objects.values().get()
        answer = upload(telephony, recording, b"RIFF")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer["Retry-After"]
        assert CallRecording.objects.values().get() == before
    assert analyst.get(path_of(recording)).status_code == 503
