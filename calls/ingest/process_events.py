"""The first specification's vocabulary: INITIATE, ANSWER and DISCONNECT at `POST /process-events/`."""

from datetime import datetime
from typing import Any

from calls.domain.events import Event
from calls.domain.instants import EXAMPLE, NotAnInstant, read_instant
from calls.domain.numbers import is_e164, suggest_e164
from calls.domain.vocabulary import EventType, Source
from calls.web.bodies import FieldErrors
from calls.web.errors import Invalid

WORDS: dict[str, EventType] = {
    "INITIATE": EventType.INITIATED,
    "ANSWER": EventType.ANSWERED,
    "DISCONNECT": EventType.ENDED,
}
FIELDS = ("event_id", "call_id", "event", "calling_number", "called_number", "created_at")
MAX_ID_LENGTH = 255


def read_event(fields: dict[str, Any], *, at: datetime) -> Event:
    """Return the event that a body reports, received at `at`; raise Invalid with what is wrong.

    Keys beyond the six are kept as metadata, and never affect the call's state.
    """
    errors: FieldErrors = {}
    event_id = _id(fields, "event_id", errors)
    call_id = _id(fields, "call_id", errors)
    word = _text(fields, "event", errors)
    if word and word not in WORDS:
        errors["event"] = [f"Must be one of {', '.join(WORDS)}."]
    calling_number = _number(fields, "calling_number", errors)
    called_number = _number(fields, "called_number", errors)
    occurred_at = at
    if created_at := _text(fields, "created_at", errors):
        try:
            occurred_at = read_instant(created_at)
        except NotAnInstant as error:
            errors["created_at"] = [str(error)]
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
        metadata={key: value for key, value in fields.items() if key not in FIELDS},
    )


def _text(fields: dict[str, Any], name: str, errors: FieldErrors) -> str:
    """Return a required text; note an error and return an empty one when there is none."""
    value = fields.get(name)
    if isinstance(value, str) and value:
        return value
    if name not in fields:
        errors[name] = ["This field is required."]
    elif isinstance(value, str):
        errors[name] = ["Must not be empty."]
    elif name == "created_at":
        errors[name] = [f"Must be a text with an ISO 8601 date and time, as in {EXAMPLE}."]
    else:
        errors[name] = ["Must be a text."]
    return ""


def _id(fields: dict[str, Any], name: str, errors: FieldErrors) -> str:
    """Return an id exactly as it was sent; a JSON integer counts as its digits."""
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
        fields = {**fields, name: value}
    text = _text(fields, name, errors)
    if text and not text.strip():
        errors[name] = ["Must not be blank."]
    elif len(text) > MAX_ID_LENGTH:
        errors[name] = [f"Must have at most {MAX_ID_LENGTH} characters."]
    return text


def _number(fields: dict[str, Any], name: str, errors: FieldErrors) -> str:
    value = fields.get(name)
    if isinstance(value, str) and is_e164(value):
        return value
    if name not in fields:
        errors[name] = ["This field is required."]
        return ""
    message = "Must be a text with a number in E.164 form, as in +12025550123."
    if isinstance(value, int | str) and (suggestion := suggest_e164(str(value))):
        message += f" Did you mean {suggestion}?"
    errors[name] = [message]
    return ""
