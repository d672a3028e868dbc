"""Our own vocabulary: events as `export_events` writes them, with everything that we know of each."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any

from calls.domain.events import Event
from calls.domain.instants import write_instant
from calls.domain.masking import mask_values
from calls.domain.vocabulary import CallType, Direction, EventType, Source
from calls.ingest.fields import MAX_ID_LENGTH, read_address, read_id, read_object, read_time, read_word
from calls.web.bodies import FieldErrors
from calls.web.errors import Invalid

# In the order in which they are written.
FIELDS = (
    "event_id", "call_id", "type", "occurred_at", "calling_number", "called_number", "source", "word", "received_at",
    "direction", "call_type", "cause", "transfer_to", "user", "metadata",
)  # fmt: skip


def write_event(event: Event, *, user: str | None) -> dict[str, Any]:
    """Return an event as it is written, with the name of who of us caused it."""
    return {
        **{name: getattr(event, name) for name in FIELDS if name != "user"},
        "occurred_at": write_instant(event.occurred_at),
        "received_at": write_instant(event.received_at),
        "user": user,
    }


def reader(users: Mapping[str, int]) -> Callable[..., Event]:
    """Return what understands a written event, where these users (their names and ids) are known."""
    return partial(_read_event, users)


def _read_event(users: Mapping[str, int], fields: dict[str, Any], *, at: datetime) -> Event:
    errors: FieldErrors = {}
    event = Event(
        event_id=read_id(fields, "event_id", errors),
        call_id=read_id(fields, "call_id", errors),
        type=_word(EventType, fields, "type", errors) or EventType.INITIATED,
        occurred_at=read_time(fields, "occurred_at", errors, otherwise=at),
        received_at=read_time(fields, "received_at", errors, otherwise=at) if fields.get("received_at") else at,
        source=_word(Source, fields, "source", errors) or Source.SIP,
        word=_text(fields, "word", errors, length=64) or "",
        calling_number=read_address(fields, "calling_number", errors),
        called_number=read_address(fields, "called_number", errors),
        direction=_word(Direction, fields, "direction", errors, required=False),
        call_type=_word(CallType, fields, "call_type", errors, required=False),
        cause=_text(fields, "cause", errors, length=32),
        transfer_to=_text(fields, "transfer_to", errors, length=MAX_ID_LENGTH),
        user_id=_user(users, fields, errors),
        metadata=mask_values(read_object(fields, "metadata", errors)),
    )
    errors.update({name: ["There is no such field."] for name in fields if name not in FIELDS})
    if errors:
        raise Invalid(errors)
    return event


def _word(
    words: type[StrEnum], fields: dict[str, Any], name: str, errors: FieldErrors, *, required: bool = True
) -> Any:
    if not required and fields.get(name) is None:
        return None
    found = read_word(fields, name, list(words), errors)
    return words(found) if found else None


def _text(fields: dict[str, Any], name: str, errors: FieldErrors, *, length: int) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > length:
        errors[name] = [f"Must be a text of at most {length} characters."]
        return None
    return value


def _user(users: Mapping[str, int], fields: dict[str, Any], errors: FieldErrors) -> int | None:
    name = fields.get("user")
    if name is None:
        return None
    if not isinstance(name, str) or name not in users:
        errors["user"] = ["There is no user of this name here. Make the user first."]
        return None
    return users[name]
