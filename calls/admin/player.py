"""How recordings sound and look, on their own page and on that of their call."""

from typing import Any
from urllib.parse import urlencode, urlsplit

from django.db.models.functions import Left
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from calls.admin.display import NOTHING, label, length, moment, plain
from calls.domain.recordings import RecordingStatus
from calls.models import Call, CallRecording

RECORDINGS_AT_MOST = 20
# So much of what was said is shown on the call's page.
TRANSCRIPT_AT_MOST = 4_000
COLOURS: dict[RecordingStatus, str] = {
    RecordingStatus.PENDING: "info",
    RecordingStatus.RECORDING: "primary",
    RecordingStatus.PROCESSING: "info",
    RecordingStatus.COMPLETED: "success",
    RecordingStatus.FAILED: "danger",
    RecordingStatus.DELETED: "default",
}


def recordings_of(call: Call) -> dict[str, Any]:
    """Return a call's latest recordings as its page shows them, and where all are listed, if there are more."""
    recordings = call.recordings.order_by("-created_at", "-id").defer("transcript")
    found = list(recordings.annotate(said=Left("transcript", TRANSCRIPT_AT_MOST + 1))[: RECORDINGS_AT_MOST + 1])
    query = urlencode({"q": str(call.external_id)})
    more = f"{reverse('admin:calls_callrecording_changelist')}?{query}" if len(found) > RECORDINGS_AT_MOST else ""
    return {
        "recordings": [_row(recording) for recording in found[:RECORDINGS_AT_MOST]],
        "recordings_at_most": RECORDINGS_AT_MOST,
        "recordings_url": more,
    }


def _row(recording: Any) -> dict[str, Any]:
    sure = recording.transcript_confidence
    return {
        "url": reverse("admin:calls_callrecording_change", args=[recording.pk]),
        "created": moment(recording.created_at),
        "status": progress(recording),
        "duration": length(recording.duration),
        "size": size(recording),
        "player": player(recording),
        "transcript": recording.said[:TRANSCRIPT_AT_MOST],
        "cut": len(recording.said) > TRANSCRIPT_AT_MOST,
        "confidence": "" if sure is None else f"{sure:.0%}",
    }


def progress(recording: CallRecording) -> SafeString:
    """Return how far a recording has come, in its colour."""
    return label(plain(recording.status), colour=COLOURS[RecordingStatus(recording.status)])


def size(recording: CallRecording) -> str:
    """Return how large a recording's file is."""
    return NOTHING if recording.file_size is None else filesizeformat(recording.file_size)


def player(recording: CallRecording) -> SafeString:
    """Return what plays our file of a recording, else a link to where it is kept outside."""
    ours = reverse("recording-file", args=[recording.pk]) if recording.has_file else ""
    outside = recording.file_url if _is_https(recording.file_url) else ""
    context = {"recording": recording, "source": ours, "link": outside}
    return render_to_string("admin/calls/player.html", context)


def _is_https(url: str) -> bool:
    try:
        return urlsplit(url).scheme == "https"
    except ValueError:
        return False
