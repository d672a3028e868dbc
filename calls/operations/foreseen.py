"""The usual group of events, in one statement that is a transaction by itself (docs/decisions/0027).

Most events begin a call, or come in order for a call whose state this process has written a moment ago. What such
a group adds up to is known before the database is asked, so nothing needs to be read and locked first. The statement
changes a call only while its row is the one that we wrote (its `xmin` tells), and fails as a whole, so that nothing
has happened, when anything is not as foreseen: a call that somebody else changed or made, an event that is known.
Then the group takes the way that looks first (`record`), which knows what to do. The rules are the same: it is
`apply` that advances a state, here as there.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection

from calls.domain.erasure import may_have_erased_numbers
from calls.domain.events import Event
from calls.domain.state import CallState, apply
from calls.domain.vocabulary import EventType
from calls.operations import statements
from calls.operations.hours import hours_to_note
from calls.operations.outcomes import Outcome, Result
from calls.operations.rows import changed_call, event_columns, new_call
from calls.realtime.announce import announce

# So many calls are remembered; a call that is over, or silent for longest, is forgotten first.
MOST = 10_000
# After a surprise so many groups look first; as many again, up to MOST_CAUTION, if the next try is another one.
CAUTION, MOST_CAUTION = 4, 1024


class Foresight:
    """What one thread has written of calls that go on, and the way of writing that needs no more than that."""

    def __init__(self) -> None:
        # Of each call the state, and the transaction that wrote it.
        self._known: dict[UUID, tuple[CallState, str]] = {}
        self._line: Any = None
        self._caution = CAUTION
        self._looks = 0

    def record(self, events: Sequence[Event], *, own_numbers: tuple[str, ...]) -> list[Outcome] | None:
        """Write events down and return what became of them; None if the group is not of the usual kind.

        In that case nothing was written. Raises the database's errors, after which it is as if nothing were known.
        """
        if connection.vendor != "postgresql" or connection.in_atomic_block:
            return None
        if self._looks:
            self._looks -= 1
            return None
        self._forget_another_line()
        by_call = self._foresee(events)
        if by_call is None:
            return None
        known = {call: self._known.pop(call) for call in by_call if call in self._known}
        states = {call: known[call][0] if call in known else CallState() for call in by_call}
        before = [(state.started_at, state.ended_at) for state in states.values()]
        for call, group in by_call.items():
            for event in group:
                apply(states[call], event, own_numbers=own_numbers)
        if hours_to_note([*before, *((state.started_at, state.ended_at) for state in states.values())]):
            return None
        writer = self._write(events, by_call, states, known)
        if writer is None:
            self._looks, self._caution = self._caution, min(2 * self._caution, MOST_CAUTION)
            return None
        self._caution = CAUTION
        announce()
        self.remember(states, writer)
        return [Outcome(Result.CREATED, states[event.call_uuid].status) for event in events]

    def remember(self, states: Mapping[UUID, CallState], writer: str) -> None:
        """Take note of states that a transaction has written; they are this object's from now on.

        If it is not committed after all, no row will ever be of that transaction, and so no harm is done.
        """
        self._forget_another_line()
        for call, state in states.items():
            self._known.pop(call, None)
            if not (state.ended or may_have_erased_numbers(state)):
                self._known[call] = state, writer
        while len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def _forget_another_line(self) -> None:
        """Forget everything over a new connection: behind it may be a database that was restored, and counts anew."""
        if self._line is not connection.connection:
            self._line = connection.connection
            self._known.clear()

    def _foresee(self, events: Sequence[Event]) -> dict[UUID, list[Event]] | None:
        """Return the events by call, in order, if each goes on from what is known of its call, or begins it."""
        by_call: dict[UUID, list[Event]] = defaultdict(list)
        for event in events:
            by_call[event.call_uuid].append(event)
        for call, group in by_call.items():
            if len(group) > 1:
                group.sort(key=lambda event: event.key)
            known = self._known.get(call)
            if known is None:
                if group[0].type is not EventType.INITIATED:
                    return None
            elif not known[0].comes_before(group[0]):
                return None
        if len({(event.source, event.event_id) for event in events}) < len(events):
            return None
        return by_call

    def _write(
        self,
        events: Sequence[Event],
        by_call: Mapping[UUID, list[Event]],
        states: Mapping[UUID, CallState],
        known: Mapping[UUID, tuple[CallState, str]],
    ) -> str | None:
        """Write all of it; return by which transaction, None if something was not as foreseen."""
        new: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        for call in sorted(by_call, key=lambda call: call.int):
            if call in known:
                changed.append({**changed_call(call, by_call[call], states[call]), "seen": known[call][1]})
            else:
                new.append(new_call(call, by_call[call], states[call]))
        in_order = sorted(events, key=lambda event: event.key) if len(events) > 1 else events
        try:
            return statements.write_foreseen(new=new, changed=changed, events=event_columns(in_order))
        except statements.NotAllMade:
            return None
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in statements.TRY_AGAIN:
                raise
            return None
