"""Writing facts down: the one way in which events become rows and calls get their state.

`record` takes a group of any size (one event is a group of one) through the database in a
handful of set-based statements: lock the calls that are there, add the events, make the calls
that are new and write the changed states back. Everybody takes these steps in this order, and
within each the rows in the order of their ids, so groups cannot wait for each other in a circle.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection, transaction

from calls.domain.events import Event, EventKey
from calls.domain.state import CallState, apply, fold
from calls.models import CallEvent
from calls.models.calls import EVENT_COLUMNS, STATE_FIELDS, event_from_row, state_from_row
from calls.operations import copying, statements
from calls.operations.erased import hide_erased, repeats_erased
from calls.operations.foreseen import Foresight
from calls.operations.hours import note_changes
from calls.operations.outcomes import Outcome, Result
from calls.operations.rows import changed_call, copied_call, event_columns, new_call
from calls.operations.together import Committer, Tell
from calls.operations.turns import write_turn
from calls.realtime.announce import announce

ATTEMPTS = 5

_BEGAN, _ENDED = STATE_FIELDS.index("started_at"), STATE_FIELDS.index("ended_at")

Key: TypeAlias = tuple[str, str]
T = TypeVar("T")


class UnknownCall(LookupError):
    """There is no such call."""


class _Raced(Exception):
    """Somebody else made one of our calls after we had looked; now it can be seen."""


def own_numbers() -> tuple[str, ...]:
    """Return the organisation's numbers, which tell inbound from outbound."""
    return tuple(settings.OWN_NUMBERS)


def record(events: Sequence[Event], *, dry_run: bool = False, together: bool = False) -> list[Outcome]:
    """Write reported events down in one transaction and return what became of each, in order.

    When this returns, the events and the new states of their calls are committed (unless a
    transaction is already open, or `dry_run` judges without storing). An event whose id is known
    is a duplicate if it says the same, else a conflict; neither changes anything. With `together` one
    conflict means that nothing is stored. The transaction may be shared with others who wait at the
    same moment (setting GROUP_COMMIT).
    """
    if not events:
        return []
    small = len(events) < committer.most  # a large batch would only hold up the others
    if settings.GROUP_COMMIT and small and not (dry_run or together or connection.in_atomic_block):
        return committer.submit(events)
    return _record_alone(events, dry_run=dry_run, together=together)


def record_soon(events: Sequence[Event], tell: Tell[Outcome]) -> None:
    """Have a few events written down as `record` does, together with others; `tell` hears what became of each.

    Nobody waits here, so this is for an event loop. `tell` is called by the thread that commits, after the commit.
    """
    committer.submit_soon(events, tell)


def _record_alone(
    events: Sequence[Event], *, dry_run: bool = False, together: bool = False, foresight: Foresight | None = None
) -> list[Outcome]:
    final = not (dry_run or together)
    bets = final and foresight is None and copying.luck.bets(len(events))

    def attempt() -> list[Outcome]:
        nonlocal bets
        if bets:
            bets = False
            outcomes = _record_new(events)
            if outcomes is not None:
                return outcomes
        with transaction.atomic():
            outcomes = _record(events, final=final, foresight=foresight)
            if dry_run or (together and any(outcome.result is Result.CONFLICT for outcome in outcomes)):
                transaction.set_rollback(True)
        return outcomes

    return _persistently(attempt, races=len(events))


# Only the thread that commits looks into it.
_foresight = Foresight()


def record_group(events: Sequence[Event], foresight: Foresight = _foresight) -> list[Outcome]:
    """Write events down that belong to several requests; `foresight` is the calling thread's own."""
    outcomes = foresight.record(events, own_numbers=own_numbers())
    return _record_alone(events, foresight=foresight) if outcomes is None else outcomes


committer = Committer(record_group)


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


def _persistently(attempt: Callable[[], T], *, races: int = 1) -> T:
    """Run a transaction again when it only lost a race; inside an open one that is not for us to do.

    A lost race means that somebody else made one of our calls, so there are at most as many as
    there are calls.
    """
    tries_left, races_left = ATTEMPTS, races + ATTEMPTS
    while True:
        try:
            with write_turn():
                return attempt()
        except _Raced:
            races_left -= 1
            if not races_left:
                raise
        except OperationalError as error:
            tries_left -= 1
            again = getattr(error.__cause__, "sqlstate", None) in statements.TRY_AGAIN
            if not again or not tries_left or connection.in_atomic_block:
                raise


def _record_new(events: Sequence[Event]) -> list[Outcome] | None:
    """Write down a large group of events that nobody knows yet, and return what became of them; else None.

    Then nothing was written.
    """
    if len({event.event_id for event in events}) < len(events):
        return None
    in_order = sorted(events, key=_key)
    by_call = _by_call(in_order)
    try:
        with transaction.atomic():
            rows = copying.lock_and_copy(by_call, event_columns(in_order))
            states = {call: state_from_row(row) for call, row in rows.items()}
            hide_erased(by_call, states, {(event.source, event.event_id) for event in events} if states else ())
            new, changed = _advance(by_call, states, None)
            _note_changes(rows, states, new, changed)
            announce()
            statements.write_calls(
                new=[], changed=[changed_call(call, by_call[call], states[call]) for call in changed]
            )
            if new:
                clients = copying.clients_of({one for call in new for one in states[call].remote_numbers if one})
                copying.copy_calls([copied_call(call, by_call[call], states[call], clients) for call in new])
    except copying.Lost:
        copying.luck.lost()
        return None
    copying.luck.won()
    created = {group[0].call_id: Outcome(Result.CREATED, states[call].status) for call, group in by_call.items()}
    return [created[event.call_id] for event in events]


def _note_changes(
    rows: Mapping[UUID, Sequence[Any]], states: Mapping[UUID, CallState], new: Sequence[UUID], changed: Sequence[UUID]
) -> None:
    """Note the hours of calls, locked as these rows, that are now in other states."""
    before = [(rows[call][_BEGAN], rows[call][_ENDED]) for call in changed]
    note_changes([*before, *((states[call].started_at, states[call].ended_at) for call in (*new, *changed))])


def _record(events: Sequence[Event], *, final: bool = False, foresight: Foresight | None = None) -> list[Outcome]:
    """Write events down; with `final`, nothing else belongs to the transaction, which may be committed here."""
    # Of an id that occurs twice in the group, the first occurrence stands for it.
    firsts: dict[Key, Event] = {}
    for event in events:
        firsts.setdefault((event.source, event.event_id), event)
    in_order = sorted(firsts.values(), key=_key) if len(firsts) > 1 else list(firsts.values())
    by_call = _by_call(in_order)

    rows, added = statements.lock_and_add(list(by_call), event_columns(in_order))
    if added is None:
        added = set(firsts)
    states = {call: state_from_row(row) for call, row in rows.items()}
    stored = _find_events([key for key in firsts if key not in added]) if len(added) < len(firsts) else {}
    hide_erased(by_call, states, added)

    new, changed = _advance(by_call, states, added)
    _note_changes(rows, states, new, changed)
    if added:
        announce()
    outcomes = _outcomes(events, states, added, stored, firsts)
    try:
        writer = statements.write_calls(
            new=[new_call(call, by_call[call], states[call]) for call in new],
            changed=[changed_call(call, by_call[call], states[call]) for call in changed],
            last=final,
        )
    except statements.NotAllMade:
        raise _Raced from None
    if foresight is not None:
        foresight.remember({call: states[call] for call in (*new, *changed)}, writer)
    return outcomes


def _key(event: Event) -> EventKey:
    return event.key


def _by_call(events: Iterable[Event]) -> dict[UUID, list[Event]]:
    """Return events by their calls, each call's in the given order."""
    groups: dict[str, list[Event]] = {}
    for event in events:
        group = groups.get(event.call_id)
        if group is None:
            groups[event.call_id] = [event]
        else:
            group.append(event)
    return {group[0].call_uuid: group for group in groups.values()}


def _outcomes(
    events: Sequence[Event],
    states: Mapping[UUID, CallState],
    added: set[Key],
    stored: Mapping[Key, Event],
    firsts: Mapping[Key, Event],
) -> list[Outcome]:
    """Return what became of each event."""
    outcomes = []
    created: dict[str, Outcome] = {}  # of each call, what all its new events are told
    for event in events:
        key = (event.source, event.event_id)
        if key in added:
            added.remove(key)
            outcome = created.get(event.call_id)
            if outcome is None:
                outcome = created[event.call_id] = Outcome(Result.CREATED, states[event.call_uuid].status)
            outcomes.append(outcome)
        elif not (event.same_fact(known := stored.get(key, firsts[key])) or repeats_erased(event, known)):
            outcomes.append(Outcome(Result.CONFLICT))
        elif event.call_uuid in states:
            outcomes.append(Outcome(Result.DUPLICATE, states[event.call_uuid].status))
        else:
            raise _Raced  # its call was made after we had looked
    return outcomes


def _advance(
    by_call: dict[UUID, list[Event]], states: dict[UUID, CallState], added: set[Key] | None
) -> tuple[list[UUID], list[UUID]]:
    """Bring the states up to date with the events that were really added; return whose are new, and whose changed.

    None stands for all of them.

    Each call's events come in the order of their keys.
    """
    new, changed, late = [], [], []
    ours = own_numbers()
    for call, group in by_call.items():
        facts = group if added is None else [event for event in group if (event.source, event.event_id) in added]
        if not facts:
            continue
        state = states.get(call)
        if state is None:
            state = states[call] = CallState()
            new.append(call)
        else:
            changed.append(call)
            if not state.comes_before(facts[0]):
                late.append(call)
                continue
        for event in facts:
            apply(state, event, own_numbers=ours)
    for call, log in _events_of({call: by_call[call][0].call_id for call in late}).items():
        states[call] = fold(log, own_numbers=ours)
    return new, changed


def _lock_calls(calls: Iterable[UUID]) -> dict[UUID, CallState]:
    """Return the states of calls, which nobody else can then change before we are done."""
    return {call: state_from_row(row) for call, row in statements.lock(list(calls)).items()}


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
