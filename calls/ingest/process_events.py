"""The first specification's vocabulary: INITIATE, ANSWER and DISCONNECT at `POST /process-events/`."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from calls.domain.events import Event
from calls.domain.instants import NotAnInstant, read_instant
from calls.domain.masking import mask_values
from calls.domain.numbers import is_e164
from calls.domain.vocabulary import EventType, Source
from calls.ingest.fields import MAX_ID_LENGTH, read_e164, read_id, read_time, read_word
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


_Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]


class _Usual(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The six fields and nothing else, which is what most senders send."""

    event_id: _Id
    call_id: _Id
    event: str
    calling_number: str
    called_number: str
    created_at: str


_usual = msgspec.json.Decoder(_Usual)
_SOURCE = Source.PROCESS_EVENTS


def read_usual(raw: bytes, *, at: datetime) -> Event | None:
    """Return what `read_event` does of the usual body's JSON, at a third of the cost; None for any other.

    Whatever is unusual, right or wrong, is left for it to judge, so that there is one place that says what is wrong.
    """
    if b"\\u0000" in raw:
        return None
    try:
        said = _usual.decode(raw)
        calling_number, called_number = said.calling_number, said.called_number
        if (
            not (is_e164(calling_number) and is_e164(called_number))
            or said.event_id.isspace()
            or said.call_id.isspace()
        ):
            return None
        return Event(
            event_id=said.event_id,
            call_id=said.call_id,
            type=WORDS[said.event],
            occurred_at=read_instant(said.created_at),
            received_at=at,
            source=_SOURCE,
            word=said.event,
            calling_number=calling_number,
            called_number=called_number,
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, NotAnInstant):
        return None
