"""How long a call may go without news before its end is assumed. That depends on what it was last known to do."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from calls.domain.events import Event, call_uuid
from calls.domain.state import CallState
from calls.domain.vocabulary import EventType, Source


class Phase(StrEnum):
    """What a call that goes on is doing, as far as silence matters."""

    INITIATED = "initiated"
    RINGING = "ringing"
    TALKING = "talking"
    HELD = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long each phase may be silent; None means for ever."""

    initiated: timedelta | None
    ringing: timedelta | None
    talking: timedelta | None
    held: timedelta | None

    def of(self, phase: Phase) -> timedelta | None:
        """Return how long a phase may be silent."""
        return {
            Phase.INITIATED: self.initiated,
            Phase.RINGING: self.ringing,
            Phase.TALKING: self.talking,
            Phase.HELD: self.held,
        }[phase]


def phase_of(state: CallState) -> Phase | None:
    """Return what a call is doing; None once it is over."""
    if state.ended:
        return None
    if state.held:
        return Phase.HELD
    if state.answered:
        return Phase.TALKING
    return Phase.RINGING if state.ringing_at is not None else Phase.INITIATED


def silent_too_long(state: CallState, *, heard_at: datetime, at: datetime, patience: Patience) -> Phase | None:
    """Return the phase in which a call has been silent for too long; None if it has not.

    `heard_at` is when its latest news arrived here, whatever time that bore: a sender's clock, or a
    line that was down, must not make a call look silent that is still being reported.
    """
    phase = phase_of(state)
    longest = patience.of(phase) if phase is not None else None
    return phase if longest is not None and at - heard_at >= longest else None


def assumed_end(state: CallState, *, call_id: str, phase: Phase, heard_at: datetime, at: datetime) -> Event:
    """Return the end that is assumed at the last event of a call that has gone silent.

    It says nothing of numbers or causes, and is void as soon as anything later is known.
    """
    if state.last_event_at is None:
        raise ValueError("A call without events has no last one.")
    return Event(
        # The same end, whoever assumes it first.
        event_id=f"{call_uuid(call_id)}:{state.last_event_at.isoformat()}",
        call_id=call_id,
        type=EventType.ENDED,
        occurred_at=state.last_event_at,
        received_at=at,
        source=Source.INFERRED,
        word=Source.INFERRED,
        metadata={"phase": phase, "silent_since": heard_at.isoformat()},
    )
