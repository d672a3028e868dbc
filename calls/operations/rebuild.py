"""Rebuilding calls from the log: each is folded anew, and written back where it is not what its events add up to.

Calls are taken stretch by stretch in the order of their ids, while events go on coming in. A stretch is
first looked at without any lock; only calls that seem to differ are locked, all in id order like
everywhere else, and looked at again. So a healthy database is only read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from calls.domain.events import Event
from calls.domain.state import CallState, fold
from calls.models import Call, CallEvent
from calls.models.calls import DERIVED_FIELDS, EVENT_COLUMNS, STATE_FIELDS, event_from_row, state_values
from calls.operations import statements
from calls.operations.hours import Times, note_changes
from calls.operations.record import own_numbers
from calls.operations.rows import call_row
from calls.operations.turns import write_turn

# How many calls are read, and at most locked, at a time.
STRETCH = 200
COMPARED = (*STATE_FIELDS, *DERIVED_FIELDS)


@dataclass(frozen=True, slots=True)
class Difference:
    """A call that is not what its events add up to: field by field what is stored and what must be there.

    A call without any event cannot be rebuilt; it has no fields, and is left as it is.
    """

    call: UUID
    external_id: str
    fields: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Progress:
    """A stretch that is done: up to which id, how many calls, and which of them differed."""

    last: UUID
    calls: int
    differences: list[Difference]


def rebuild(
    calls: "QuerySet[Call]", *, at: datetime, after: UUID | None = None, dry_run: bool = False, stretch: int = STRETCH
) -> Iterator[Progress]:
    """Rebuild those of the calls whose id comes after one, and yield after each stretch; a dry run only compares.

    Notes, quality score and SIP configuration are left alone. A call that changes gets the client of its
    remote number, as with every event, and `at` as the time of its change.
    """
    ordered = calls.order_by("pk")
    while True:
        rest = ordered if after is None else ordered.filter(pk__gt=after)
        ids = list(rest.values_list("pk", flat=True)[:stretch])
        if not ids:
            return
        suspects = [difference.call for difference, _ in _compare(ids, lock=False)]
        yield Progress(ids[-1], len(ids), mend(suspects, at=at, dry_run=dry_run) if suspects else [])
        after = ids[-1]


def mend(ids: Sequence[UUID], *, at: datetime, dry_run: bool) -> list[Difference]:
    """Look at calls again while nobody can change them, write back those that differ, and return these."""
    with write_turn(), transaction.atomic():
        found = _compare(ids, lock=True)
        rows = [call_row(d.call, state, updated_at=at) for d, state in found if d.fields]
        if rows and not dry_run:
            statements.write_calls(new=[], changed=rows)
            note_changes(times for d, state in found for times in _times(d, state))
    return [difference for difference, _ in found]


def _times(difference: Difference, state: CallState) -> list[Times]:
    """Return when a call began and ended, as stored and as it must be."""
    now = {"started_at": state.started_at, "ended_at": state.ended_at}
    before = {name: difference.fields[name][0] if name in difference.fields else value for name, value in now.items()}
    return [(times["started_at"], times["ended_at"]) for times in (before, now)]


def _compare(ids: Sequence[UUID], *, lock: bool) -> list[tuple[Difference, CallState]]:
    """Return the calls that are not what their events add up to, with what they add up to, in id order."""
    calls = Call.objects.filter(pk__in=ids).order_by("pk")
    if lock:
        calls = calls.select_for_update()
    stored = {call: (name, columns) for call, name, *columns in calls.values_list("pk", "external_id", *COMPARED)}
    logs = _logs({call: name for call, (name, _) in stored.items()})
    found = []
    for call, (name, columns) in stored.items():
        state = fold(logs[call], own_numbers=own_numbers())
        wanted = state_values(state)
        fields = {
            column: (value, wanted[column])
            for column, value in zip(COMPARED, columns, strict=True)
            if value != wanted[column]
        }
        if not logs[call]:
            found.append((Difference(call, name, {}), state))
        elif fields:
            found.append((Difference(call, name, fields), state))
    return found


def _logs(calls: dict[UUID, str]) -> dict[UUID, list[Event]]:
    """Return the events of calls, given with their external ids; without metadata, which no state needs."""
    logs: dict[UUID, list[Event]] = {call: [] for call in calls}
    rows = CallEvent.objects.filter(call__in=list(calls)).order_by()
    columns = [column for column in EVENT_COLUMNS if column != "metadata"]
    for call, *row in rows.values_list("call_id", *columns):
        logs[call].append(event_from_row(calls[call], [*row, None]))
    return logs
