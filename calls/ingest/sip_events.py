"""The second specification's vocabulary: what a SIP server reports at `POST /api/webhooks/sip/`."""

import hashlib
import json
from datetime import datetime
from typing import Any

from calls.domain.events import Event
from calls.domain.masking import mask_values
from calls.domain.vocabulary import END_TYPES, CallStatus, CallType, Direction, EventType, Source, read_cause
from calls.ingest.fields import read_address, read_id, read_object, read_time, read_word
from calls.web.bodies import FieldErrors
from calls.web.errors import Invalid

# The sender's words: what each means, and the cause that some name with it.
WORDS: dict[str, tuple[EventType, CallStatus | None]] = {
    "call_initiated": (EventType.INITIATED, None),
    "call_ringing": (EventType.RINGING, None),
    "call_answered": (EventType.ANSWERED, None),
    "call_hold": (EventType.HOLD, None),
    "call_unhold": (EventType.UNHOLD, None),
    "call_transfer_initiated": (EventType.TRANSFER_INITIATED, None),
    "call_transferred": (EventType.TRANSFER_COMPLETED, None),
    "call_ended": (EventType.ENDED, None),
    "call_busy": (EventType.ENDED, CallStatus.BUSY),
    "call_no_answer": (EventType.ENDED, CallStatus.NO_ANSWER),
    "call_cancelled": (EventType.ENDED, CallStatus.CANCELLED),
    "call_missed": (EventType.ENDED, CallStatus.MISSED),
    "call_failed": (EventType.FAILED, None),
    # Each type is also known by its bare name.
    **{event_type.value: (event_type, None) for event_type in EventType},
}
FIELDS = ("event_type", "sip_call_id", "caller_number", "recipient_number", "timestamp", "metadata", "event_id")
# Where the target of a transfer may stand in the metadata.
TARGETS = ("transfer_to", "transferred_to", "refer_to")


def read_event(fields: dict[str, Any], *, at: datetime) -> Event:
    """Return the event that a body reports, received at `at`; raise Invalid with what is wrong.

    Without an `event_id` one is made from the whole body, so that a retry is recognised and two
    key presses are two. Keys that nobody knows are kept with the metadata.
    """
    errors: FieldErrors = {}
    word = read_word(fields, "event_type", WORDS, errors)
    call_id = read_id(fields, "sip_call_id", errors)
    calling_number = read_address(fields, "caller_number", errors)
    called_number = read_address(fields, "recipient_number", errors)
    occurred_at = read_time(fields, "timestamp", errors, otherwise=at)
    metadata = read_object(fields, "metadata", errors)
    event_id = body_id(fields) if fields.get("event_id") is None else read_id(fields, "event_id", errors)
    if errors:
        raise Invalid(errors)
    kind, cause = WORDS[word]
    return Event(
        event_id=event_id,
        call_id=call_id,
        type=kind,
        occurred_at=occurred_at,
        received_at=at,
        source=Source.SIP,
        word=word,
        calling_number=calling_number,
        called_number=called_number,
        direction=_word_of(Direction, metadata.get("direction")),
        call_type=_word_of(CallType, metadata.get("call_type")),
        cause=read_cause(metadata, word=cause) if kind in END_TYPES else None,
        transfer_to=_target(metadata) if kind.startswith("transfer_") else None,
        metadata=mask_values({key: value for key, value in fields.items() if key not in FIELDS} | metadata),
    )


def body_id(fields: dict[str, Any]) -> str:
    """Return an id that is the same for the same body, however its keys are ordered."""
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return f"body-{hashlib.sha256(canonical.encode()).hexdigest()[:40]}"


def _word_of(words: Any, value: object) -> Any:
    """Return a stated direction or type of call; what is no such word states nothing."""
    text = value.strip().lower() if isinstance(value, str) else ""
    return words(text) if text in list(words) and text != Direction.UNKNOWN else None


def _target(metadata: dict[str, Any]) -> str | None:
    found = next((metadata[name] for name in TARGETS if isinstance(metadata.get(name), str)), None)
    return found.strip()[:255] or None if found else None
