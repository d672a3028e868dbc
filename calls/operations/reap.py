"""Calls that went silent: their end is assumed at their last event, until anything later is known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import Max, Q, QuerySet

from calls.domain.events import Event
from calls.domain.silence import Patience, Phase, assumed_end, silent_too_long
from calls.domain.state import CallState
from calls.models import Call, CallEvent
from calls.models.calls import STATE_FIELDS, state_from_row
from calls.operations.record import UnknownCall, decide

# How many calls are looked at in one statement.
STRETCH = 500


@dataclass(frozen=True, slots=True)
class Silent:
    """A call without news for too long: what it was last known to do, and when we last heard of it."""

    call: UUID
    external_id: str
    phase: Phase
    heard_at: datetime


def patience() -> Patience:
    """Return how long each phase may be silent, as the settings say."""
    return Patience(
        initiated=settings.REAP_INITIATED_AFTER,
        ringing=settings.REAP_RINGING_AFTER,
        talking=settings.REAP_TALKING_AFTER,
        held=settings.REAP_HELD_AFTER,
    )


def open_calls() -> "QuerySet[Call]":
    """Return the calls that are not over."""
    return Call.objects.filter(ended_at=None).order_by("started_at", "pk")


def look_for_silent(*, at: datetime) -> Iterator[tuple[int, list[Silent]]]:
    """Yield, stretch by stretch, how many open calls were looked at, and which of them went silent."""
    rest, patient = open_calls(), patience()
    while True:
        rows = list(rest.values_list("pk", "external_id", *STATE_FIELDS)[:STRETCH])
        if not rows:
            return
        heard = _heard_of([row[0] for row in rows])
        states = [(call, name, state_from_row(list(row))) for call, name, *row in rows]
        silent = []
        for call, name, state in states:
            phase = silent_too_long(state, heard_at=heard.get(call, at), at=at, patience=patient)
            if phase is not None:
                silent.append(Silent(call, name, phase, heard[call]))
        yield len(rows), silent
        last, _, state = states[-1]
        later = Q(started_at__gt=state.started_at) | Q(pk__gt=last)
        rest = open_calls().filter(later, started_at__gte=state.started_at)


def assume_end(silent: Silent, *, at: datetime) -> bool:
    """End a call that went silent, unless there is news of it by now; say whether it was ended.

    It is judged once more under the call's lock: an event that arrives meanwhile either comes first,
    and the call is left alone, or comes after, and voids the end.
    """
    written: list[Event] = []

    def ask(state: CallState) -> Sequence[Event]:
        written.clear()  # the transaction may be tried again
        heard_at = _heard_of([silent.call]).get(silent.call, at)
        phase = silent_too_long(state, heard_at=heard_at, at=at, patience=patience())
        if phase is not None:
            written.append(assumed_end(state, call_id=silent.external_id, phase=phase, heard_at=heard_at, at=at))
        return written

    try:
        decide(silent.call, ask)
    except UnknownCall:  # erased since
        return False
    return bool(written)


def _heard_of(calls: Sequence[UUID]) -> dict[UUID, datetime]:
    """Return when the latest news of each call arrived here."""
    events = CallEvent.objects.filter(call__in=calls).order_by()
    return dict(events.values_list("call").annotate(heard_at=Max("received_at")))
