"""Retention: recordings are deleted when they have been kept long enough."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import QuerySet

from calls.domain.recordings import RecordingStatus
from calls.models import CallRecording
from calls.operations.recordings import delete_recording


def kept_too_long(*, before: datetime) -> QuerySet[CallRecording]:
    """Return the recordings that began before an instant and have not been deleted."""
    recordings = CallRecording.objects.filter(created_at__lt=before).exclude(status=RecordingStatus.DELETED)
    return recordings.order_by("created_at", "id")


def purge(*, before: datetime, why: str, at: datetime) -> Iterator[bool]:
    """Delete file and transcript of recordings that began before an instant, one transaction each.

    Yields after each whether it was deleted (False: somebody else was faster).
    """
    for recording in kept_too_long(before=before).iterator(chunk_size=500):
        yield delete_recording(recording, why=why, at=at)
