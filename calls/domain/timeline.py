"""A call as stretches of time: ringing, talking, on hold, being recorded, muted, being transferred.

No rule is made here. Ringing and talking are facets of the call's state; the others are read off the
state while `apply` takes the events one by one, so they begin and end exactly where the state says.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from calls.domain.events import Event
from calls.domain.state import CallState, Mark, apply
from calls.domain.vocabulary import EventType

# Events of these types begin and end no stretch; a call may have thousands of them.
SHAPELESS = frozenset({EventType.DTMF, EventType.QUALITY_CHANGE, EventType.ERROR})


class Kind(StrEnum):
    """What a call does for a while."""

    SETUP = "setup"  # initiated, not ringing yet (post-dial delay)
    RING = "ring"
    TALK = "talk"
    HOLD = "hold"
    RECORDING = "recording"
    MUTED = "muted"
    TRANSFER = "transfer"  # announced, not completed yet


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the call does from `begin` until `end`; `going_on` if it still does."""

    kind: Kind
    begin: datetime
    end: datetime
    going_on: bool = False

    @property
    def length(self) -> timedelta:
        """How long it is; never negative."""
        return self.end - self.begin


def stretches_of(state: CallState, events: Iterable[Event], *, until: datetime) -> list[Stretch]:
    """Return the stretches of a call by kind and time, from its state and its events.

    Of the events, those of a SHAPELESS type may be left out. What has not ended is drawn to `until`. The
    lengths of the holds add up to `hold_seconds`, the stretch of ringing has `ring_seconds`, that of talking
    `talk_seconds`. What is dated the wrong way round (an answer after the end) is a stretch of no length.
    """
    return [*_facets(state, until), *_switched(state, events, until)]


def _stretch(kind: Kind, begin: datetime, end: datetime | None, until: datetime) -> Stretch:
    return Stretch(kind, begin, max(begin, until if end is None else end), going_on=end is None)


def _facets(state: CallState, until: datetime) -> list[Stretch]:
    """Return what the facets alone say: a ringing that is never told of begins with the call."""
    found = []
    begin = state.ringing_at or state.started_at
    answered_or_over = state.answered_at or state.ended_at
    if state.started_at and state.ringing_at and state.started_at < state.ringing_at:
        over = min(state.ringing_at, answered_or_over or state.ringing_at)
        found.append(_stretch(Kind.SETUP, state.started_at, over, until))
    if begin:
        found.append(_stretch(Kind.RING, begin, answered_or_over, until))
    if state.answered_at:
        found.append(_stretch(Kind.TALK, state.answered_at, state.ended_at, until))
    return found


class _Switch:
    """Something that is on or off; the stretches during which it was on."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.since: datetime | None = None
        self.spans: list[tuple[datetime, datetime | None]] = []

    def turn(self, since: datetime | None, *, at: datetime) -> None:
        """Take that it is on since some time, or off."""
        if self.since is None:
            self.since = since
        elif since is None:
            self.spans.append((self.since, at))
            self.since = None

    def close(self, at: datetime | None) -> None:
        """Take that all is over at some time, or goes on."""
        if self.since is not None:
            self.spans.append((self.since, at))
            self.since = None


def _switched(final: CallState, events: Iterable[Event], until: datetime) -> list[Stretch]:
    state = CallState()
    switches = [_Switch(kind) for kind in (Kind.HOLD, Kind.RECORDING, Kind.MUTED, Kind.TRANSFER)]
    hold, recording, muted, transfer = switches
    announced: datetime | None = None
    for event in sorted(events, key=lambda event: event.key):
        was_over = state.ended and not state.inferred_end
        apply(state, event)
        at = event.occurred_at
        if event.type is EventType.TRANSFER_INITIATED and not was_over:
            announced = announced or at
        hold.turn(state.held_since, at=at)
        recording.turn(at if state.marks & Mark.RECORDING else None, at=at)
        muted.turn(at if state.marks & Mark.MUTED else None, at=at)
        transfer.turn(announced, at=at)
    for switch in switches:
        # Whatever is on ends with the call, whichever event told of that.
        switch.close(final.ended_at)
    return [
        _stretch(switch.kind, begin, end, until)
        for switch in switches
        for begin, end in _within_talk(final, switch)
        if end is None or end > begin or switch is not hold
    ]


def _within_talk(final: CallState, switch: _Switch) -> list[tuple[datetime, datetime | None]]:
    """Return the spans; of an answered call's holds only what lies after the answer, since only that counts."""
    answered_at = final.answered_at
    if switch.kind is not Kind.HOLD or answered_at is None:
        return switch.spans
    return [(max(begin, answered_at), end) for begin, end in switch.spans]
