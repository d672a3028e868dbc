"""Rows for the statements of the write path; those of calls without what is NULL."""

import json
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

from calls.domain.events import Event
from calls.domain.state import CallState
from calls.models.calls import EVENT_COLUMNS, known_values, stored_values
from calls.operations import statements

_received_at = attrgetter("received_at")


def new_call(call: UUID, group: list[Event], state: CallState) -> dict[str, Any]:
    """Return the row of a call that these events have made."""
    heard_at = min(map(_received_at, group))
    return call_row(call, state, external_id=group[0].call_id, created_at=heard_at, updated_at=heard_at)


def copied_call(call: UUID, group: list[Event], state: CallState, clients: Mapping[str, int]) -> tuple[Any, ...]:
    """Return the row of a call that these events have made, as COPIED_CALL; `clients` tells whose a number is."""
    heard_at = min(map(_received_at, group))
    owners = (clients.get(number) for number in state.remote_numbers) if clients else ()
    client = next((owner for owner in owners if owner is not None), None)
    return (call, group[0].call_id, *stored_values(state), heard_at, heard_at, client)


def changed_call(call: UUID, group: list[Event], state: CallState) -> dict[str, Any]:
    """Return what these events have made of a call's row."""
    return call_row(call, state, updated_at=max(map(_received_at, group)))


def call_row(call: UUID, state: CallState, **more: Any) -> dict[str, Any]:
    """Return a call's row for the statements: without what is NULL, with the other party's possible numbers."""
    row = known_values(state)
    row["id"] = call
    row.update(more)
    for name, number in zip(statements.REMOTE, state.remote_numbers, strict=False):
        if number:
            row[name] = number
    return row


_COLUMNS = [attrgetter(name) for name in ("call_uuid", *EVENT_COLUMNS[:-1])]


def event_columns(events: Sequence[Event]) -> list[list[Any]]:
    """Return events as the columns of their rows, EVENT_ROW."""
    columns = [list(map(read, events)) for read in _COLUMNS]
    return [*columns, [_metadata(event.metadata) if event.metadata else None for event in events]]


def _metadata(metadata: dict[str, Any]) -> str:
    return json.dumps(metadata, ensure_ascii=False, allow_nan=False)
