"""`manage.py purge_recordings`: what was kept long enough goes, and the row says so."""

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.utils import timezone

from calls.models import Call, CallRecording
from calls.operations.record import record
from tests.build import build_event

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _media(tmp_path: Path, settings: Any) -> None:
    settings.MEDIA_ROOT = str(tmp_path)


def recording(days: float, **values: Any) -> CallRecording:
    """Return a recording that began so many days ago."""
    record([build_event()])
    began = timezone.now() - timedelta(days=days)
    made = CallRecording(call=Call.objects.get(), created_at=began, updated_at=began, **values)
    made.file.save("sound.wav", ContentFile(b"RIFF"), save=False)
    made.save()
    return made


def purge(*options: str) -> str:
    out = StringIO()
    call_command("purge_recordings", *options, stdout=out)
    return out.getvalue()


def test_old_recordings_lose_file_and_transcript_and_keep_their_row(django_capture_on_commit_callbacks: Any) -> None:
    old = recording(91, transcript="hello", transcript_confidence=0.9, file_url="https://example.com/x.wav")
    young = recording(89, transcript="hello")
    path = Path(old.file.path)
    with django_capture_on_commit_callbacks(execute=True):
        assert "1 recordings deleted" in purge("--older-than", "90d")
    old.refresh_from_db()
    young.refresh_from_db()
    assert (old.status, old.transcript, old.file.name, old.file_url) == ("deleted", "", "", "")
    assert old.deleted_at is not None
    assert old.deleted_why == "kept for more than 90 days"
    assert not path.exists()
    assert young.transcript == "hello"
    assert Path(young.file.path).exists()


def test_a_second_run_finds_nothing_to_do() -> None:
    recording(91)
    assert "1 recordings deleted" in purge("--older-than", "12w")
    assert "0 recordings deleted" in purge("--older-than", "12w")


def test_a_dry_run_only_counts() -> None:
    made = recording(2)
    assert "1 recordings would be deleted" in purge("--older-than", "36h", "--dry-run")
    made.refresh_from_db()
    assert made.status == "pending"


@pytest.mark.parametrize("age", ["", "90", "d", "0d", "-1d", "1y", "٩d"])
def test_an_age_that_is_none_is_refused(age: str) -> None:
    with pytest.raises(CommandError):
        purge("--older-than", age)
