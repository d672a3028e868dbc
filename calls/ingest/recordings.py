"""What a recorder reports at `POST /api/webhooks/recording/` (the second specification)."""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from rest_framework.exceptions import NotFound

from calls.domain.recordings import RecordingStatus
from calls.ingest.door import Answer, read_fields
from calls.ingest.fields import MAX_ID_LENGTH, read_id, read_word
from calls.operations.recordings import RecordingReport, UnknownRecording, report_recording
from calls.queries.calls import find_call
from calls.web.bodies import FieldErrors
from calls.web.errors import Invalid

# What the quarantine calls this door; the others are called by the source of their events.
DOOR = "recording"
MAX_URL_LENGTH = 2_000
MAX_PATH_LENGTH = 1_000
MAX_FORMAT_LENGTH = 20
MAX_TRANSCRIPT_LENGTH = 60_000
# More seconds or bytes than this are a mistake.
MOST_SECONDS = 2**31 - 1
MOST_BYTES = 2**53


def receive_report(body: bytes, *, at: datetime) -> Answer:
    """Write a report down, and answer; raise an API exception when it is refused."""
    call_id, report = read_report(read_fields(body))
    call = find_call(call_id)
    if call is None:
        raise NotFound("There is no such call.")
    try:
        recording = report_recording(call, report, at=at)
    except UnknownRecording:
        raise NotFound("The call has no such recording.") from None
    told = {"message": "The report was recorded.", "recording_id": str(recording.pk), "status": recording.status}
    return Answer(200, told)


def read_report(fields: dict[str, Any]) -> tuple[str, RecordingReport]:
    """Return the call id (ours or the external one) and what is reported; raise Invalid."""
    errors: FieldErrors = {}
    call_id = read_id(fields, "call_id", errors)
    status = read_word(fields, "status", [word.value for word in RecordingStatus], errors)
    known = RecordingStatus(status) if status else RecordingStatus.PENDING
    report = RecordingReport(
        status=known,
        recording_id=_uuid(fields, "recording_id", errors),
        file_url=_https(fields, "file_url", errors),
        file_path=_text(fields, "file_path", errors, most=MAX_PATH_LENGTH),
        file_size=_whole(fields, "file_size", errors, most=MOST_BYTES),
        duration=_seconds(fields, "duration", errors),
        format=_text(fields, "format", errors, most=MAX_FORMAT_LENGTH),
        transcript=_text(fields, "transcript", errors, most=MAX_TRANSCRIPT_LENGTH),
        transcript_confidence=_fraction(fields, "transcript_confidence", errors),
    )
    if errors:
        raise Invalid(errors)
    return call_id, report


def _uuid(fields: dict[str, Any], name: str, errors: FieldErrors) -> UUID | None:
    value = fields.get(name)
    if value is None:
        return None
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError):
        errors[name] = ["Must be the id of a recording, as we gave it."]
        return None


def _text(fields: dict[str, Any], name: str, errors: FieldErrors, *, most: int = MAX_ID_LENGTH) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        errors[name] = ["Must be a text."]
        return None
    if value and len(value) > most:
        errors[name] = [f"Must have at most {most:,} characters."]
        return None
    return value


def _https(fields: dict[str, Any], name: str, errors: FieldErrors) -> str | None:
    """Return an address; people follow it from our pages, so nothing but https with a host may pass."""
    value = _text(fields, name, errors, most=MAX_URL_LENGTH)
    if not value:
        return None
    try:
        parts = urlsplit(value)
        fine = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        fine = False
    if not fine or any(character.isspace() or ord(character) < 33 for character in value):
        errors[name] = ["Must be an https address without a user name or password."]
        return None
    return value


def _whole(fields: dict[str, Any], name: str, errors: FieldErrors, *, most: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        errors[name] = [f"Must be a whole number from 0 to {most:,}."]
        return None
    return value


def _seconds(fields: dict[str, Any], name: str, errors: FieldErrors) -> int | None:
    """Return seconds, rounded down: recorders like to give fractions."""
    value = fields.get(name)
    if isinstance(value, float) and 0 <= value <= MOST_SECONDS:
        return int(value)
    return _whole(fields, name, errors, most=MOST_SECONDS)


def _fraction(fields: dict[str, Any], name: str, errors: FieldErrors) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        errors[name] = ["Must be a number from 0 to 1."]
        return None
    return float(value)
