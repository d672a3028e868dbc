"""Writing facts down: the one way in which events become rows and calls get their state.

`record` takes a group of any size (one event is a group of one) through the database in a
handful of set-based statements: make the calls that are new, lock those that are not, add the
events, write the changed states back. Calls are taken in id order, so groups cannot wait for
each other in a circle. Committing the groups of several waiting requests at once would happen
around `record`, not in it.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection, transaction

from calls.domain.events import Event
from calls.domain.state import CallState, apply, fold
from calls.domain.vocabulary import CallStatus
from calls.models import Call, CallEvent
from calls.models.calls import EVENT_COLUMNS, STATE_FIELDS, event_from_row, state_from_row, state_values
from calls.operations import statements
from calls.operations.turns import write_turn
from calls.realtime.announce import announce

# SQLSTATEs after which the same transaction may simply be tried again: serialization failure, deadlock.
TRY_AGAIN = {"40001", "40P01"}
ATTEMPTS = 5

Key: TypeAlias = tuple[str, str]
T = TypeVar("T")


class Result(StrEnum):
    """What became of one reported event."""

    CREATED = "created"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one reported event, and the status its call has now (None after a conflict)."""

    result: Result
    call_status: CallStatus | None = None


class UnknownCall(LookupError):
    """There is no such call."""


class _Vanished(Exception):
    """A call was removed between two of our statements."""


def own_numbers() -> tuple[str, ...]:
    """Return the organisation's numbers, which tell inbound from outbound."""
    return tuple(settings.OWN_NUMBERS)


def record(events: Sequence[Event], *, dry_run: bool = False, together: bool = False) -> list[Outcome]:
    """Write reported events down in one transaction and return what became of each, in order.

    When this returns, the events and the new states of their calls are committed (unless a
    transaction is already open, or `dry_run` judges without storing). An event whose id is known
    is a duplicate if it says the same, else a conflict; neither changes anything. With `together` one
    conflict means that nothing is stored.
    """
    if not events:
        return []

    def attempt() -> list[Outcome]:
        with transaction.atomic():
            outcomes = _record(events)
            if dry_run or (together and any(outcome.result is Result.CONFLICT for outcome in outcomes)):
                transaction.set_rollback(True)
        return outcomes

    return _persistently(attempt)


def decide(call_id: UUID, ask: Callable[[CallState], Sequence[Event]]) -> CallState:
    """Let `ask` decide, under the call's lock, which events a request becomes, and write them down.

    `ask` sees the call's present state and returns events, none when nothing needs to happen,
    or raises `NotPossible`. Returns the call's state afterwards; raises `UnknownCall`.
    """

    def attempt() -> CallState:
        with transaction.atomic():
            states = _lock_calls([call_id])
            if call_id not in states:
                raise UnknownCall(str(call_id))
            events = ask(states[call_id])
            if not events:
                return states[call_id]
            _record(events)
            return _lock_calls([call_id])[call_id]

    return _persistently(attempt)


def _persistently(attempt: Callable[[], T]) -> T:
    """Run a transaction again when it only lost a race; inside an open one that is not for us to do."""
    for tries_left in range(ATTEMPTS - 1, -1, -1):
        try:
            with write_turn():
                return attempt()
        except _Vanished:
            if not tries_left:
                raise
        except OperationalError as error:
            again = getattr(error.__cause__, "sqlstate", None) in TRY_AGAIN
            if not again or not tries_left or connection.in_atomic_block:
                raise
    raise AssertionError("unreachable")


def _record(events: Sequence[Event]) -> list[Outcome]:
    # Of an id that occurs twice in the group, the first occurrence stands for it.
    firsts: dict[Key, Event] = {}
    for event in events:
        firsts.setdefault((event.source, event.event_id), event)
    by_call: dict[UUID, list[Event]] = defaultdict(list)
    for event in firsts.values():
        by_call[event.call_uuid].append(event)

    states = {call: fold(group, own_numbers=own_numbers()) for call, group in by_call.items()}
    made = statements.make_calls([_new_call(call, by_call[call], states[call]) for call in sorted(by_call)])
    there = [call for call in by_call if call not in made]
    locked = _lock_calls(there)
    if len(locked) < len(there):
        raise _Vanished
    states.update(locked)

    added = statements.add_events([_event_row(event) for event in sorted(firsts.values(), key=lambda e: e.key)])
    stored = _find_events([key for key in firsts if key not in added])

    changed = _advance(by_call, states, made, added)
    if changed:
        statements.update_calls([_changed_call(call, by_call[call], states[call]) for call in sorted(changed)])
    _drop_empty(made, states)
    if added:
        announce()

    outcomes = []
    unanswered = set(added)
    for event in events:
        key = (event.source, event.event_id)
        if key in unanswered:
            unanswered.remove(key)
            outcomes.append(Outcome(Result.CREATED, states[event.call_uuid].status))
        elif event.same_fact(stored.get(key, firsts[key])):
            outcomes.append(Outcome(Result.DUPLICATE, states[event.call_uuid].status))
        else:
            outcomes.append(Outcome(Result.CONFLICT))
    return outcomes


def _advance(
    by_call: dict[UUID, list[Event]], states: dict[UUID, CallState], made: set[UUID], added: set[Key]
) -> set[UUID]:
    """Bring the states up to date with the events that were really added; return whose changed."""
    changed, late = set(), []
    for call, group in by_call.items():
        new = sorted((event for event in group if (event.source, event.event_id) in added), key=lambda e: e.key)
        if call in made:
            if len(new) < len(group):  # folded with an event that turned out not to be new
                states[call] = fold(new, own_numbers=own_numbers())
                changed.add(call)
        elif new and states[call].comes_before(new[0]):
            for event in new:
                apply(states[call], event, own_numbers=own_numbers())
            changed.add(call)
        elif new:
            late.append(call)
    for call, log in _events_of({call: by_call[call][0].call_id for call in late}).items():
        states[call] = fold(log, own_numbers=own_numbers())
        changed.add(call)
    return {call for call in changed if states[call].version}


def _drop_empty(made: set[UUID], states: dict[UUID, CallState]) -> None:
    """Remove calls that were only made for events which were then refused."""
    empty = [call for call in made if not states[call].version]
    if empty:
        Call.objects.filter(pk__in=empty).delete()


# -- Rows ---------------------------------------------------------------------------------------


def _new_call(call: UUID, group: list[Event], state: CallState) -> list[Any]:
    values = state_values(state)
    heard_at = min(event.received_at for event in group)
    values.update(id=call, external_id=group[0].call_id, created_at=heard_at, updated_at=heard_at)
    return [*(values[column] for column in statements.CALL_COLUMNS), *_remote(state)]


def _changed_call(call: UUID, group: list[Event], state: CallState) -> list[Any]:
    values = state_values(state)
    values.update(id=call, updated_at=max(event.received_at for event in group))
    return [values["id"], *(values[column] for column in statements.CALL_UPDATES), *_remote(state)]


def _remote(state: CallState) -> list[str | None]:
    """Return the other party's possible numbers, as many as the statements take."""
    numbers = [number or None for number in state.remote_numbers]
    return [*numbers, None][: len(statements.REMOTE)]


def _event_row(event: Event) -> list[Any]:
    row: list[Any] = [event.call_uuid]
    for column in EVENT_COLUMNS:
        value = getattr(event, column)
        if column == "metadata":
            value = json.dumps(value, ensure_ascii=False, allow_nan=False) if value else None
        row.append(value)
    return row


def _lock_calls(calls: Iterable[UUID]) -> dict[UUID, CallState]:
    """Return the states of calls, which nobody else can then change before we are done."""
    wanted = sorted(calls)
    if not wanted:
        return {}
    rows = Call.objects.filter(pk__in=wanted).order_by("pk").select_for_update().values_list("pk", *STATE_FIELDS)
    return {call: state_from_row(list(row)) for call, *row in rows}


def _find_events(keys: Iterable[Key]) -> dict[Key, Event]:
    """Return the stored events of these keys."""
    by_source: dict[str, list[str]] = defaultdict(list)
    for source, event_id in keys:
        by_source[source].append(event_id)
    found: dict[Key, Event] = {}
    for source, ids in by_source.items():
        rows = CallEvent.objects.filter(source=source, event_id__in=ids)
        for call_id, *row in rows.values_list("call__external_id", *EVENT_COLUMNS):
            event = event_from_row(call_id, list(row))
            found[(event.source, event.event_id)] = event
    return found


def _events_of(calls: dict[UUID, str]) -> dict[UUID, list[Event]]:
    """Return the whole logs of calls, given with their external ids."""
    logs: dict[UUID, list[Event]] = {call: [] for call in calls}
    if calls:
        rows = CallEvent.objects.filter(call__in=list(calls)).order_by()
        # The state needs no metadata, which is most of what a row may hold.
        for call, *row in rows.values_list("call_id", *EVENT_COLUMNS[:-1]):
            logs[call].append(event_from_row(calls[call], [*row, None]))
    return logs
