"""The way in for reports: parse, validate, translate, record, answer.

These are plain functions of bytes, so that every door that a vocabulary has (a REST view, a
faster one) gives the same answers. A report is never judged: it is understood or refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from calls.domain.events import Event
from calls.operations.record import Outcome, Result, record
from calls.web.bodies import NDJSON, InvalidJSON, parse_json, split_array, unstorable
from calls.web.errors import BodyTooLarge, Conflict, Invalid

MAX_EVENT_BYTES = 64 * 1024
MAX_BATCH_BYTES = 10 * 1024 * 1024
MAX_BATCH_EVENTS = 10_000

# Understands one body's fields, received at an instant, in one outside vocabulary; raises Invalid.
Reader: TypeAlias = Callable[..., Event]

CONFLICT = "This event_id was used before for an event that says something else; the first one stays."


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller is told."""

    status: int
    body: dict[str, Any]


def receive(body: bytes, *, media_type: str, read: Reader, at: datetime, dry_run: bool = False) -> Answer:
    """Take one event or a batch, and answer; what is wrong as a whole is raised as an API exception."""
    if media_type == NDJSON:
        lines = [line for line in body.split(b"\n") if line.strip()]
        return _receive_batch(lines, read=read, at=at, dry_run=dry_run)
    if body.lstrip()[:1] == b"[":
        return _receive_batch(split_array(body), read=read, at=at, dry_run=dry_run)
    event, outcome = receive_one(body, read=read, at=at, dry_run=dry_run)
    return Answer(200, answer_one(event, outcome))


def answer_one(event: Event, outcome: Outcome) -> dict[str, Any]:
    """Return the body of the answer to an event that is recorded, or known already."""
    return {
        "event_id": event.event_id,
        "call_id": event.call_id,
        "result": outcome.result,
        "call_status": outcome.call_status,
    }


def receive_one(body: bytes, *, read: Reader, at: datetime, dry_run: bool = False) -> tuple[Event, Outcome]:
    """Take one event, and return it with what became of it; raise an API exception when it is refused."""
    if len(body) > MAX_EVENT_BYTES:
        raise BodyTooLarge(f"An event may have at most {MAX_EVENT_BYTES:,} bytes.")
    event = understand(body, read=read, at=at)
    [outcome] = record([event], dry_run=dry_run)
    if outcome.result is Result.CONFLICT:
        raise Conflict(CONFLICT)
    return event, outcome


def understand(raw: bytes, *, read: Reader, at: datetime) -> Event:
    """Return the event that one JSON object reports; raise InvalidJSON or Invalid."""
    return read(read_fields(raw), at=at)


def read_fields(raw: bytes) -> dict[str, Any]:
    """Return the fields of one JSON object that can be stored; raise InvalidJSON or Invalid."""
    if not raw.strip():
        raise InvalidJSON("The body is empty.")
    fields = parse_json(raw)
    if not isinstance(fields, dict):
        raise InvalidJSON("This must be a JSON object.")
    if errors := unstorable(fields, raw=raw):
        raise Invalid(errors)
    return fields


def _receive_batch(raws: list[bytes], *, read: Reader, at: datetime, dry_run: bool) -> Answer:
    if len(raws) > MAX_BATCH_EVENTS:
        raise BodyTooLarge(f"A batch may have at most {MAX_BATCH_EVENTS:,} events.")
    for index, raw in enumerate(raws):
        if len(raw) > MAX_EVENT_BYTES:
            raise BodyTooLarge(f"An event may have at most {MAX_EVENT_BYTES:,} bytes; the one at {index} has more.")
    events: list[Event] = []
    places: list[int] = []
    rejected: list[dict[str, Any]] = []
    for index, raw in enumerate(raws):
        try:
            events.append(understand(raw, read=read, at=at))
            places.append(index)
        except (Invalid, InvalidJSON) as error:
            rejected.append(_rejection(index, raw, error))
    outcomes = record(events, dry_run=dry_run)
    for index, event, outcome in zip(places, events, outcomes, strict=True):
        if outcome.result is Result.CONFLICT:
            errors = {"event_id": [CONFLICT]}
            rejected.append({"index": index, "event_id": event.event_id, "code": "conflict", "errors": errors})
    rejected.sort(key=lambda rejection: rejection["index"])
    return _answer_batch(len(raws), outcomes, rejected)


def _answer_batch(size: int, outcomes: list[Outcome], rejected: list[dict[str, Any]]) -> Answer:
    results = [outcome.result for outcome in outcomes]
    body: dict[str, Any] = {
        "created": results.count(Result.CREATED),
        "duplicates": results.count(Result.DUPLICATE),
        "rejected": rejected,
    }
    if not size:
        return Answer(400, {"detail": "The batch is empty.", "code": "empty", **body})
    if len(rejected) == size:
        return Answer(400, {"detail": "No event of the batch was accepted.", "code": "all_rejected", **body})
    return Answer(207 if rejected else 200, body)


def _rejection(index: int, raw: bytes, error: Invalid | InvalidJSON) -> dict[str, Any]:
    """Return why one event of a batch was refused, with its id where that can be told."""
    event_id = None
    if isinstance(error, Invalid):
        event_id = parse_json(raw).get("event_id")
        if not isinstance(event_id, str):
            event_id = str(event_id) if isinstance(event_id, int) and not isinstance(event_id, bool) else None
        return {"index": index, "event_id": event_id, "code": "invalid", "errors": error.errors}
    errors = {"non_field_errors": [str(error.detail)]}
    return {"index": index, "event_id": None, "code": "invalid_json", "errors": errors}
