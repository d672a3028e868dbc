"""What the API's documentation says of reported events."""

from typing import Any

from calls.domain.vocabulary import CallStatus
from calls.ingest.fields import MAX_ID_LENGTH
from calls.ingest.process_events import FIELDS, WORDS

EXAMPLE: dict[str, Any] = {
    "event_id": "b9f6a8a0-4d40-4e7c-9f3e-0c3cbd1f1a01",
    "call_id": "call-1",
    "event": "INITIATE",
    "calling_number": "+1234567890",
    "called_number": "+9876543210",
    "created_at": "2024-04-01T12:00:00Z",
}

PROCESS_EVENTS_DESCRIPTION = """\
Events may come late, twice and in any order: the state of a call follows from the set of its events.
A 200 means that the event, and what it made of its call, is durably stored.

The same `event_id` with the same content is a `duplicate` (200, nothing changes), with other content a
conflict (409, nothing changes). A refused event leaves no trace: corrected, it may use its id again.

**Batches**: a JSON array, or lines of JSON (`application/x-ndjson`), up to 10,000 events or 10 MiB. Valid
events are stored together; the others are listed in `rejected`. 207 if there are such, 400 if there is
nothing else. One event may have at most 64 KiB.
"""

_ID: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH}
_NUMBER: dict[str, Any] = {"type": "string", "pattern": r"^\+[1-9][0-9]{1,14}$"}

EVENT: dict[str, Any] = {
    "type": "object",
    "required": list(FIELDS),
    "properties": {
        "event_id": {**_ID, "description": "Unique identifier of the event."},
        "call_id": {**_ID, "description": "Unique identifier of the call."},
        "event": {"type": "string", "enum": list(WORDS)},
        "calling_number": {**_NUMBER, "description": "In E.164 form."},
        "called_number": {**_NUMBER, "description": "In E.164 form."},
        "created_at": {
            "type": "string",
            "format": "date-time",
            "description": "ISO 8601; UTC unless it has an offset.",
        },
    },
    "additionalProperties": {"description": "Kept as metadata."},
}
EVENT_OR_BATCH: dict[str, Any] = {
    "oneOf": [EVENT, {"type": "array", "items": EVENT, "minItems": 1, "maxItems": 10_000}]
}
NDJSON_LINES: dict[str, Any] = {"type": "string", "description": "One event a line."}

RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["event_id", "call_id", "result", "call_status"],
    "properties": {
        "event_id": _ID,
        "call_id": _ID,
        "result": {"type": "string", "enum": ["created", "duplicate"]},
        "call_status": {"type": "string", "enum": [status.value for status in CallStatus]},
    },
}
COUNTS: dict[str, Any] = {
    "type": "object",
    "required": ["created", "duplicates", "rejected"],
    "properties": {
        "created": {"type": "integer"},
        "duplicates": {"type": "integer"},
        "rejected": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "event_id", "code", "errors"],
                "properties": {
                    "index": {"type": "integer", "description": "The event's place in the batch, from 0."},
                    "event_id": {"type": "string", "nullable": True},
                    "code": {"type": "string", "enum": ["invalid", "invalid_json", "conflict"]},
                    "errors": {
                        "type": "object",
                        "additionalProperties": {"type": "array", "items": {"type": "string"}},
                    },
                },
            },
        },
    },
}
RESULT_OR_COUNTS: dict[str, Any] = {"oneOf": [RESULT, COUNTS]}
