"""Retention: recordings are deleted when they have been kept long enough."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import QuerySet

from calls.domain.recordings import RecordingStatus
from calls.models import CallRecording
from calls.operations.recordings import delete_recording, remove_file


def kept_too_long(*, before: datetime) -> QuerySet[CallRecording]:
    """Return the recordings that began before an instant and have not been deleted."""
    recordings = CallRecording.objects.filter(created_at__lt=before).exclude(status=RecordingStatus.DELETED)
    return recordings.order_by("created_at", "id")


def files_left() -> QuerySet[CallRecording]:
    """Return the deleted recordings whose file the storage could not remove when it was asked to."""
    return CallRecording.objects.filter(status=RecordingStatus.DELETED).exclude(file="").order_by("id")


def remove_files_left() -> Iterator[bool]:
    """Try once more to remove those files; yields after each whether it is gone."""
    for recording in files_left().iterator(chunk_size=500):
        yield remove_file(recording)


def purge(*, before: datetime, why: str, at: datetime) -> Iterator[bool]:
    """Delete file and transcript of recordings that began before an instant, one transaction each.

    Yields after each whether it was deleted (False: somebody else was faster).
    """
    for recording in kept_too_long(before=before).iterator(chunk_size=500):
        yield delete_recording(recording, why=why, at=at)
