"""Recordings: begun and stopped by us, reported by recorders, given their files, and deleted."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.core.files.base import File
from django.db import transaction
from django.db.models import QuerySet

from calls.domain.recordings import FINISHED, RecordingStatus, advance
from calls.models import Call, CallRecording


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingReport:
    """What a recorder says of a recording; what it does not say is None."""

    status: RecordingStatus
    recording_id: UUID | None = None
    file_url: str | None = None
    file_path: str | None = None
    file_size: int | None = None
    duration: int | None = None
    format: str | None = None
    transcript: str | None = None
    transcript_confidence: float | None = None


REPORTED = ("file_url", "file_path", "file_size", "duration", "format", "transcript", "transcript_confidence")


class UnknownRecording(LookupError):
    """The call has no such recording."""


def begin_recording(call: Call, *, at: datetime) -> CallRecording:
    """Return a new recording that is under way."""
    return CallRecording.objects.create(call=call, status=RecordingStatus.RECORDING, created_at=at, updated_at=at)


def finish_recording(call: Call, *, at: datetime) -> CallRecording | None:
    """Mark the recording that is under way as being processed, and return it; None if there is none."""
    recording = _locked(call).filter(status__in=[RecordingStatus.PENDING, RecordingStatus.RECORDING]).first()
    if recording is not None:
        _move(recording, RecordingStatus.PROCESSING, at=at)
    return recording


def report_recording(call: Call, report: RecordingReport, *, at: datetime) -> CallRecording:
    """Write down what a recorder reports, and return the recording that it is about.

    That is the one with its id, else with its file_url, else the newest unfinished, else a new
    one. A late or repeated report moves nothing backwards; it may still fill in what is unknown.
    Raises UnknownRecording for an id that the call does not have.
    """
    with transaction.atomic():
        # Reports of one call take turns, so that two at once do not both make a recording.
        Call.objects.select_for_update().get(pk=call.pk)
        recording = _meant(call, report) or CallRecording(call=call, created_at=at, updated_at=at)
        fresh = recording._state.adding
        present = RecordingStatus(recording.status)
        moved = advance(present, report.status)
        news = fresh or moved is not present
        for name in REPORTED:
            value = getattr(report, name)
            known = getattr(recording, name) not in (None, "")
            if value is not None and present is not RecordingStatus.DELETED and (news or not known):
                setattr(recording, name, value)
        recording.status = moved
        if moved is RecordingStatus.DELETED and present is not RecordingStatus.DELETED:
            _forget(recording, why="reported as deleted", at=at)
        recording.updated_at = at
        recording.save()
    return recording


def attach_file(
    recording: CallRecording, file: "File[bytes]", *, name: str, format: str, at: datetime
) -> CallRecording:
    """Keep a recording's file in our storage; it is then completed."""
    with transaction.atomic():
        locked = CallRecording.objects.select_for_update().get(pk=recording.pk)
        if locked.status == RecordingStatus.DELETED:
            raise UnknownRecording(str(recording.pk))
        old = locked.file.name if locked.file else ""
        locked.file.save(name, file, save=False)
        locked.file_size = locked.file.size
        locked.format = format or locked.format
        locked.status = advance(RecordingStatus(locked.status), RecordingStatus.COMPLETED)
        locked.updated_at = at
        locked.save()
        if old and old != locked.file.name:
            storage = locked.file.storage
            transaction.on_commit(lambda: storage.delete(old))
    return locked


def set_transcript(
    recording: CallRecording, *, transcript: str, confidence: float | None, at: datetime
) -> CallRecording:
    """Set what was said, and how sure that is; raise UnknownRecording when it was deleted."""
    with transaction.atomic():
        locked = CallRecording.objects.select_for_update().get(pk=recording.pk)
        if locked.status == RecordingStatus.DELETED:
            raise UnknownRecording(str(recording.pk))
        locked.transcript, locked.transcript_confidence, locked.updated_at = transcript, confidence, at
        locked.save(update_fields=["transcript", "transcript_confidence", "updated_at"])
    return locked


def delete_recording(recording: CallRecording, *, why: str, at: datetime) -> bool:
    """Delete file and transcript; the row stays and says when and why. False if that was done before."""
    with transaction.atomic():
        locked = CallRecording.objects.select_for_update().get(pk=recording.pk)
        if locked.status == RecordingStatus.DELETED:
            return False
        locked.status = RecordingStatus.DELETED
        _forget(locked, why=why, at=at)
        locked.updated_at = at
        locked.save()
    return True


def _forget(recording: CallRecording, *, why: str, at: datetime) -> None:
    """Remove what was said; the file goes only once the row that says so is committed."""
    if recording.file:
        storage, name = recording.file.storage, str(recording.file.name)
        transaction.on_commit(lambda: storage.delete(name))
    recording.file = ""
    recording.file_url = recording.file_path = recording.transcript = ""
    recording.transcript_confidence = None
    recording.deleted_at, recording.deleted_why = at, why


def _move(recording: CallRecording, status: RecordingStatus, *, at: datetime) -> None:
    recording.status = advance(RecordingStatus(recording.status), status)
    recording.updated_at = at
    recording.save(update_fields=["status", "updated_at"])


def _locked(call: Call) -> QuerySet[CallRecording]:
    return CallRecording.objects.select_for_update().filter(call=call).order_by("-created_at", "-id")


def _meant(call: Call, report: RecordingReport) -> CallRecording | None:
    """Return the recording that a report is about, None for a new one."""
    recordings = _locked(call)
    if report.recording_id is not None:
        found = recordings.filter(pk=report.recording_id).first()
        if found is None:
            raise UnknownRecording(str(report.recording_id))
        return found
    if report.file_url and (found := recordings.filter(file_url=report.file_url).first()):
        return found
    return recordings.exclude(status__in=list(FINISHED)).first()
