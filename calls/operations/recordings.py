"""Recordings: begun and stopped by us, reported by recorders, given their files, and deleted."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from uuid import UUID

from django.core.files.base import File
from django.core.files.storage import Storage
from django.db import transaction
from django.db.models import QuerySet

from calls.domain.erasure import is_erased
from calls.domain.recordings import FINISHED, RecordingStatus, advance
from calls.models import Call, CallRecording

logger = logging.getLogger(__name__)


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


ERASED_WHY = "a number of the call was erased"


class UnknownRecording(LookupError):
    """The call has no such recording."""


def begin_recording(call: Call, *, at: datetime) -> CallRecording:
    """Return a new recording that is under way."""
    return CallRecording.objects.create(call=call, status=RecordingStatus.RECORDING, created_at=at, updated_at=at)


def finish_recording(call: Call, *, since: datetime | None, at: datetime) -> CallRecording:
    """Return the recording that was begun at `since`, now being processed unless it has come further.

    Where only an event told that it was begun, it is made here.
    """
    recordings = _locked(call)
    recording = recordings.filter(status__in=[RecordingStatus.PENDING, RecordingStatus.RECORDING]).first()
    if recording is None and since is not None:
        recording = recordings.filter(created_at__gte=since).first()
    if recording is None:
        recording = CallRecording(call=call, created_at=at)
    recording.status = advance(RecordingStatus(recording.status), RecordingStatus.PROCESSING)
    recording.updated_at = at
    recording.save()
    return recording


def report_recording(call: Call, report: RecordingReport, *, at: datetime) -> CallRecording:
    """Write down what a recorder reports, and return the recording that it is about.

    That is the one with its id, else with its file_url, else the newest unfinished, else a new
    one, unless it only repeats what is known. A late or repeated report moves nothing backwards;
    it may still fill in what is unknown.
    Raises UnknownRecording for an id that the call does not have.
    """
    with transaction.atomic():
        # Reports of one call take turns, so that two at once do not both make a recording.
        holder = Call.objects.select_for_update().get(pk=call.pk)
        why = "reported as deleted"
        if _is_erased(holder):
            # Only that there was one is kept.
            report = replace(
                report,
                status=RecordingStatus.DELETED,
                **dict.fromkeys(("file_url", "file_path", "transcript", "transcript_confidence")),
            )
            why = ERASED_WHY
        recording = _meant(call, report) or CallRecording(call=call, created_at=at, updated_at=at)
        fresh = recording._state.adding
        present = RecordingStatus(recording.status)
        moved = advance(present, report.status)
        news = fresh or moved is not present
        changed = news
        for name in REPORTED:
            value = getattr(report, name)
            known = getattr(recording, name) not in (None, "")
            if value is not None and present is not RecordingStatus.DELETED and (news or not known):
                setattr(recording, name, value)
                changed = True
        recording.status = moved
        if moved is RecordingStatus.DELETED and present is not RecordingStatus.DELETED:
            _forget(recording, why=why, at=at)
        if changed:
            recording.updated_at = at
            recording.save()
    return recording


def attach_file(
    recording: CallRecording, file: "File[bytes]", *, name: str, format: str, at: datetime
) -> CallRecording:
    """Keep a recording's file in our storage; it is then completed."""
    field, storage = recording.file.field, recording.file.storage
    # Before the transaction: storing may take long, and nobody shall wait for a lock meanwhile.
    stored = storage.save(field.generate_filename(recording, name), file, max_length=field.max_length)
    try:
        with transaction.atomic():
            locked = CallRecording.objects.select_for_update().get(pk=recording.pk)
            if locked.status == RecordingStatus.DELETED or _is_erased(locked.call):
                raise UnknownRecording(str(recording.pk))
            old = str(locked.file.name) if locked.file else ""
            locked.file = stored
            locked.file_size = file.size
            locked.format = format or locked.format
            locked.status = advance(RecordingStatus(locked.status), RecordingStatus.COMPLETED)
            locked.updated_at = at
            locked.save()
    except BaseException:
        _remove(storage, stored)  # no row knows of it
        raise
    if old:
        _remove(storage, old)
    return locked


def set_transcript(
    recording: CallRecording, *, transcript: str, confidence: float | None, at: datetime
) -> CallRecording:
    """Set what was said, and how sure that is; raise UnknownRecording when it was deleted."""
    with transaction.atomic():
        locked = CallRecording.objects.select_for_update().get(pk=recording.pk)
        if locked.status == RecordingStatus.DELETED or _is_erased(locked.call):
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


def remove_file(recording: CallRecording) -> bool:
    """Remove the file of a deleted recording; False if the storage could not, so that it must be tried again.

    The row names the file until it is really gone.
    """
    name = str(recording.file.name)
    if not _remove(recording.file.storage, name):
        return False
    CallRecording.objects.filter(pk=recording.pk, file=name).update(file="")
    recording.file = ""
    return True


def _remove(storage: Storage, name: str) -> bool:
    try:
        storage.delete(name)
    except OSError:
        logger.exception("The file %s of a recording could not be removed.", name)
        return False
    return True


def _forget(recording: CallRecording, *, why: str, at: datetime) -> None:
    """Remove what was said; the file goes only once the row that says so is committed."""
    if recording.file:
        transaction.on_commit(partial(remove_file, recording))
    recording.file_url = recording.file_path = recording.transcript = ""
    recording.transcript_confidence = None
    recording.deleted_at, recording.deleted_why = at, why


def _is_erased(call: Call) -> bool:
    """Say whether a party of the call was erased: what was said in it is kept no more."""
    return any(is_erased(address) for address in (call.calling_number, call.called_number, call.transfer_target))


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
    unfinished = recordings.exclude(status__in=list(FINISHED)).first()
    return unfinished or next((known for known in recordings if _repeats(report, known)), None)


def _repeats(report: RecordingReport, known: CallRecording) -> bool:
    """Say whether a report can only be about this finished recording, because it says nothing else.

    One that tells of a beginning may be of another. What was deleted is known by its size.
    """
    told = {name: value for name in REPORTED if (value := getattr(report, name)) is not None}
    if report.status in (RecordingStatus.PENDING, RecordingStatus.RECORDING):
        return False
    if known.status == RecordingStatus.DELETED and report.status is not RecordingStatus.DELETED:
        told = {name: told[name] for name in ("file_size", "duration", "format") if name in told}
        if "file_size" not in told:
            return False
    return all(getattr(known, name) == value for name, value in told.items())
