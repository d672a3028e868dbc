"""The first specification's vocabulary: INITIATE, ANSWER and DISCONNECT at `POST /process-events/`."""

from datetime import datetime
from typing import Any

from calls.domain.events import Event
from calls.domain.masking import mask_values
from calls.domain.vocabulary import EventType, Source
from calls.ingest.fields import read_e164, read_id, read_time, read_word
from calls.web.bodies import FieldErrors
from calls.web.errors import Invalid

WORDS: dict[str, EventType] = {
    "INITIATE": EventType.INITIATED,
    "ANSWER": EventType.ANSWERED,
    "DISCONNECT": EventType.ENDED,
}
FIELDS = ("event_id", "call_id", "event", "calling_number", "called_number", "created_at")


def read_event(fields: dict[str, Any], *, at: datetime) -> Event:
    """Return the event that a body reports, received at `at`; raise Invalid with what is wrong.

    Keys beyond the six are kept as metadata, and never affect the call's state.
    """
    errors: FieldErrors = {}
    event_id = read_id(fields, "event_id", errors)
    call_id = read_id(fields, "call_id", errors)
    word = read_word(fields, "event", WORDS, errors)
    calling_number = read_e164(fields, "calling_number", errors)
    called_number = read_e164(fields, "called_number", errors)
    occurred_at = read_time(fields, "created_at", errors, otherwise=at)
    if errors:
        raise Invalid(errors)
    return Event(
        event_id=event_id,
        call_id=call_id,
        type=WORDS[word],
        occurred_at=occurred_at,
        received_at=at,
        source=Source.PROCESS_EVENTS,
        word=word,
        calling_number=calling_number,
        called_number=called_number,
        metadata=mask_values({key: value for key, value in fields.items() if key not in FIELDS}),
    )
