"""The way in for reports: parse, validate, translate, record, answer.

These are plain functions of bytes, so that every door that a vocabulary has (a REST view, a
faster one) gives the same answers. A report is never judged: it is understood or refused.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from calls.domain.events import Event
from calls.ingest import process_events
from calls.ingest.counted import record
from calls.operations.outcomes import Outcome, Result
from calls.web.bodies import NDJSON, InvalidJSON, parse_json, split_array, unstorable
from calls.web.errors import BodyTooLarge, Conflict, Invalid

MAX_EVENT_BYTES = 64 * 1024
MAX_BATCH_BYTES = 10 * 1024 * 1024
MAX_BATCH_EVENTS = 10_000

# Understands one body's fields, received at an instant, in one outside vocabulary; raises Invalid.
Reader: TypeAlias = Callable[..., Event]
# The same where much that is sent says nothing of a call: that is None.
SelectiveReader: TypeAlias = Callable[..., Event | None]

CONFLICT = "This event_id was used before for an event that says something else; the first one stays."


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller is told; of a batch, also what was rejected of it, each with its text."""

    status: int
    body: dict[str, Any]
    refused: list[tuple[bytes, dict[str, Any]]] = field(default_factory=list)


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


def receive_together(events: list[Event]) -> list[Outcome]:
    """Take the events that one document reports: all of them, or none if one is a conflict (409)."""
    outcomes = record(events, together=True)
    if any(outcome.result is Result.CONFLICT for outcome in outcomes):
        raise Conflict(CONFLICT)
    return outcomes


def receive_selected(body: bytes, *, read: SelectiveReader, at: datetime) -> Answer:
    """Take one or several events, of which those that say nothing of a call are only counted, and answer."""
    raws = split_array(body) if body.lstrip()[:1] == b"[" else [body]
    return _receive_batch(raws, read=read, at=at, dry_run=False, selective=True)


def understand(raw: bytes, *, read: Reader, at: datetime) -> Event:
    """Return the event that one JSON object reports; raise InvalidJSON or Invalid."""
    return _usual(raw, read, at) or read(read_fields(raw), at=at)


def _usual(raw: bytes, read: SelectiveReader, at: datetime) -> Event | None:
    """Return the event of the body that most senders send, which is read much faster; None of any other."""
    return process_events.read_usual(raw, at=at) if read is process_events.read_event else None


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


def _receive_batch(
    raws: list[bytes], *, read: SelectiveReader, at: datetime, dry_run: bool, selective: bool = False
) -> Answer:
    if len(raws) > MAX_BATCH_EVENTS:
        raise BodyTooLarge(f"A batch may have at most {MAX_BATCH_EVENTS:,} events.")
    for index, raw in enumerate(raws):
        if len(raw) > MAX_EVENT_BYTES:
            raise BodyTooLarge(f"An event may have at most {MAX_EVENT_BYTES:,} bytes; the one at {index} has more.")
    events: list[Event] = []
    places: list[int] = []
    rejected: list[dict[str, Any]] = []
    ignored = 0
    for index, raw in enumerate(raws):
        try:
            event = _usual(raw, read, at) or read(read_fields(raw), at=at)
        except (Invalid, InvalidJSON) as error:
            rejected.append(_rejection(index, raw, error))
            continue
        if event is None:
            ignored += 1
        else:
            events.append(event)
            places.append(index)
    outcomes = record(events, dry_run=dry_run)
    conflict = Result.CONFLICT  # looked up once: that takes longer than comparing
    for index, event, outcome in zip(places, events, outcomes, strict=True):
        if outcome.result is conflict:
            errors = {"event_id": [CONFLICT]}
            rejected.append({"index": index, "event_id": event.event_id, "code": "conflict", "errors": errors})
    rejected.sort(key=lambda rejection: rejection["index"])
    refused = [(raws[rejection["index"]], rejection) for rejection in rejected]
    return _answer_batch(len(raws), outcomes, refused, {"ignored": ignored} if selective else {})


def _answer_batch(
    size: int, outcomes: list[Outcome], refused: list[tuple[bytes, dict[str, Any]]], more: dict[str, int]
) -> Answer:
    results = [outcome.result for outcome in outcomes]
    body: dict[str, Any] = {
        "created": results.count(Result.CREATED),
        "duplicates": results.count(Result.DUPLICATE),
        **more,
        "rejected": [rejection for _, rejection in refused],
    }
    if not size:
        return Answer(400, {"detail": "The batch is empty.", "code": "empty", **body})
    if len(refused) == size:
        return Answer(400, {"detail": "No event of the batch was accepted.", "code": "all_rejected", **body}, refused)
    return Answer(207 if refused else 200, body, refused)


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
