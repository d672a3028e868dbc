"""`manage.py purge_recordings`: what was kept long enough goes, and the row says so."""

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from calls.models import Call, CallRecording
from calls.operations.record import record
from tests.build import build_event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("groups")]


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


class Stubborn(FileSystemStorage):
    """A folder that removes nothing while `away`; the rest of it is real."""

    away = True

    def delete(self, name: str) -> None:
        if Stubborn.away:
            raise OSError("the disk is gone")
        super().delete(name)


def test_a_file_that_cannot_be_removed_is_named_until_it_is(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, analyst: Client
) -> None:
    backend = {"BACKEND": f"{__name__}.Stubborn", "OPTIONS": {"location": str(tmp_path)}}
    settings.STORAGES = settings.STORAGES | {"default": backend}
    old = recording(91, transcript="hello")
    with pytest.raises(CommandError, match="1 files could not be removed"):
        purge("--older-than", "90d")
    old.refresh_from_db()
    assert (old.status, old.transcript, bool(old.file)) == ("deleted", "", True)
    assert analyst.get(f"/api/recordings/{old.pk}/file/").status_code == 404
    assert analyst.get(f"/api/recordings/{old.pk}/").json()["has_file"] is False
    assert "1 files of deleted recordings are still there" in purge("--older-than", "90d", "--dry-run")
    monkeypatch.setattr(Stubborn, "away", False)
    assert "1 files that could not be removed earlier are gone" in purge("--older-than", "90d")
    old.refresh_from_db()
    assert not old.file
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
