"""What the API's documentation says of reported events."""

from typing import Any

from calls.domain.recordings import RecordingStatus
from calls.domain.vocabulary import CallStatus
from calls.ingest import sip_events
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

# -- Webhooks ----------------------------------------------------------------------------------------

SIP_DESCRIPTION = """\
The order of events does not matter, and a call that is unknown so far is created by whichever comes first.
`timestamp` is when it happened and is believed. Retries are recognised for ever: by `event_id` if there is one, else
by the whole body. Numbers may also be extensions, SIP users or `anonymous`.

In `metadata`: `direction` (inbound or outbound), `call_type`, `transfer_to`; of an end its `cause` (a word), `q850` or
`sip_code`. Everything else is kept.

With a token, or signed by Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`).
"""
_ADDRESS: dict[str, Any] = {"type": "string", "maxLength": MAX_ID_LENGTH}
SIP_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["event_type", "sip_call_id", "timestamp"],
    "properties": {
        "event_type": {"type": "string", "enum": list(sip_events.WORDS)},
        "sip_call_id": _ID,
        "caller_number": _ADDRESS,
        "recipient_number": _ADDRESS,
        "timestamp": {"type": "string", "format": "date-time"},
        "metadata": {"type": "object", "additionalProperties": True},
        "event_id": {**_ID, "description": "Unique identifier of the event, where the server has one."},
    },
}
SIP_EXAMPLE: dict[str, Any] = {
    "event_type": "call_answered",
    "sip_call_id": "unique-sip-id",
    "caller_number": "+1234567890",
    "recipient_number": "+0987654321",
    "timestamp": "2025-07-26T10:30:00Z",
    "metadata": {"server": "sip1.example.com", "codec": "G.711"},
}
SIP_RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["message", "call_id", "status"],
    "properties": {
        "message": {"type": "string"},
        "call_id": {"type": "string", "format": "uuid", "description": "Our id of the call."},
        "status": RESULT["properties"]["call_status"],
    },
}
RECORDING_DESCRIPTION = """\
The report is about the recording with `recording_id`, else with the same `file_url`, else the call's newest unfinished
one, else a new one. Late and repeated reports move nothing backwards. An unknown call is 404.
"""
RECORDING_REPORT: dict[str, Any] = {
    "type": "object",
    "required": ["call_id", "status"],
    "properties": {
        "call_id": {**_ID, "description": "Our id of the call, or the external one."},
        "status": {"type": "string", "enum": list(RecordingStatus)},
        "recording_id": {"type": "string", "format": "uuid", "nullable": True},
        "file_url": {"type": "string", "nullable": True, "description": "https only; it is never fetched."},
        "file_path": {"type": "string", "nullable": True},
        "file_size": {"type": "integer", "nullable": True, "minimum": 0, "description": "Bytes."},
        "duration": {"type": "number", "nullable": True, "minimum": 0, "description": "Seconds."},
        "format": {"type": "string", "nullable": True, "maxLength": 20},
        "transcript": {"type": "string", "nullable": True},
        "transcript_confidence": {"type": "number", "nullable": True, "minimum": 0, "maximum": 1},
    },
}
RECORDING_EXAMPLE: dict[str, Any] = {
    "call_id": "550e8400-e29b-41d4-a716-446655440000",
    "status": "completed",
    "file_url": "https://recordings.example.com/call123.wav",
    "file_size": 2048576,
    "duration": 185,
    "format": "wav",
}
RECORDING_RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["message", "recording_id", "status"],
    "properties": {
        "message": {"type": "string"},
        "recording_id": {"type": "string", "format": "uuid"},
        "status": {"type": "string", "enum": list(RecordingStatus)},
    },
}
