"""What a call's events add up to. This is the only place where a call's state is worked out.

The events are taken in the order of `Event.key`. `apply` advances a state by the next event
in that order; `fold` sorts any collection of events and applies them one by one, so both
agree by definition, and the state is a function of the set of events.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from calls.domain.events import Event
from calls.domain.numbers import canonical, is_own
from calls.domain.vocabulary import (
    END_TYPES,
    LEG_BY_LEG,
    RANKS,
    Anomaly,
    CallStatus,
    CallType,
    Direction,
    EndedBy,
    EventType,
    Source,
    unanswered_status,
)

# A sender's clock may run ahead of ours by this much before we call it odd.
CLOCK_TOLERANCE = timedelta(minutes=5)
SECONDS_A_DAY = 86_400


class Mark:
    """The bits of what a state must remember, beside its facets, to take the next event.

    OURS is a button of our API, REPORTED anybody else: the same fact from both is no anomaly.
    Plain numbers, because a flag type would cost more than all the rest of `apply`.
    """

    START_REPORTED = 1
    START_OURS = 2
    ANSWER_REPORTED = 4
    ANSWER_OURS = 8
    END_REPORTED = 16
    END_OURS = 32
    TRANSFER_REPORTED = 64
    TRANSFER_OURS = 128
    CALLING_FROM_START = 256
    CALLED_FROM_START = 512
    DIRECTION_STATED = 1024
    CALL_TYPE_STATED = 2048
    RECORDING = 4096
    MUTED = 8192


# Words under names of their own: up to Python 3.11, finding one in its type takes ten times as long as comparing it.
_WAY_OUTBOUND = Direction.OUTBOUND
_WAY_INBOUND = Direction.INBOUND
_WAY_UNKNOWN = Direction.UNKNOWN
_BY_INFERRED = EndedBy.INFERRED
_BY_TRANSFER_COMPLETED = EndedBy.TRANSFER_COMPLETED
_BY_FAILED = EndedBy.FAILED
_FROM_INFERRED = Source.INFERRED
_INITIATED = EventType.INITIATED
_ANSWERED = EventType.ANSWERED
_FROM_API = Source.API
_RINGING = EventType.RINGING
_HOLD = EventType.HOLD
_UNHOLD = EventType.UNHOLD
_TRANSFER_INITIATED = EventType.TRANSFER_INITIATED
_RECORDING_STARTED = EventType.RECORDING_STARTED
_RECORDING_STOPPED = EventType.RECORDING_STOPPED
_MUTED = EventType.MUTED
_UNMUTED = EventType.UNMUTED
_TRANSFER_COMPLETED = EventType.TRANSFER_COMPLETED
_ENDED_BY = {kind: EndedBy(kind) for kind in END_TYPES}

# The bits of Anomaly that are set here, as plain numbers like those of Mark.
TWO_STARTS, TWO_ANSWERS, TWO_ENDS = map(int, (Anomaly.TWO_STARTS, Anomaly.TWO_ANSWERS, Anomaly.TWO_ENDS))
NO_START, INFERRED_END = int(Anomaly.NO_START), int(Anomaly.INFERRED_END)
FUTURE_TIME, OTHER_NUMBERS = int(Anomaly.FUTURE_TIME), int(Anomaly.OTHER_NUMBERS)
END_BEFORE_START, ANSWER_AFTER_END = int(Anomaly.END_BEFORE_START), int(Anomaly.ANSWER_AFTER_END)
EVENT_AFTER_END = int(Anomaly.EVENT_AFTER_END)
STARTED = Mark.START_REPORTED | Mark.START_OURS
# A second fact of one of these kinds, from the same side, is odd. A transfer that is followed by
# the end of the transferred leg is not.
_REPEATS: dict[EventType, tuple[int, int, int]] = {
    EventType.INITIATED: (Mark.START_REPORTED, Mark.START_OURS, TWO_STARTS),
    EventType.ANSWERED: (Mark.ANSWER_REPORTED, Mark.ANSWER_OURS, TWO_ANSWERS),
    EventType.ENDED: (Mark.END_REPORTED, Mark.END_OURS, TWO_ENDS),
    EventType.FAILED: (Mark.END_REPORTED, Mark.END_OURS, TWO_ENDS),
    EventType.TRANSFER_COMPLETED: (Mark.TRANSFER_REPORTED, Mark.TRANSFER_OURS, TWO_ENDS),
}


def whole_seconds(length: timedelta) -> int:
    """Return a length in whole seconds, rounded down, never negative."""
    return length.days * SECONDS_A_DAY + length.seconds if length.days >= 0 else 0  # negative ones have negative days


def remote_numbers(direction: Direction, calling_number: str, called_number: str) -> tuple[str, ...]:
    """Return the numbers that may be the other party's, the likelier one first; both if we cannot tell."""
    if direction is _WAY_OUTBOUND:
        return (called_number,)
    if direction is _WAY_INBOUND:
        return (calling_number,)
    return (calling_number, called_number)


@dataclass(slots=True, kw_only=True)
class CallState:
    """The facets of one call. Its fields are what is stored; its properties follow from them.

    The numbers are in E.164 where they have such a form; what was sent is kept where it differs.
    """

    started_at: datetime | None = None
    ringing_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by: EndedBy | None = None
    cause: str | None = None
    calling_number: str = ""
    calling_as_sent: str | None = None
    called_number: str = ""
    called_as_sent: str | None = None
    direction: Direction = _WAY_UNKNOWN
    call_type: CallType = CallType.VOICE
    transfer_target: str | None = None
    handled_by_id: int | None = None
    held_since: datetime | None = None
    hold_total: timedelta = timedelta()
    odd: int = 0  # bits of Anomaly
    marks: int = 0  # bits of Mark
    last_event_at: datetime | None = None
    last_event_rank: int = -1
    version: int = 0

    # -- What follows from the facets ------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the call is over, as far as we know."""
        return self.ended_at is not None

    @property
    def answered(self) -> bool:
        """Whether the call was ever answered."""
        return self.answered_at is not None

    @property
    def inferred_end(self) -> bool:
        """Whether the end is only assumed, because no news came for too long."""
        return self.ended_by == _BY_INFERRED

    @property
    def held(self) -> bool:
        """Whether the call is on hold now; the hold ends with the call."""
        return self.held_since is not None and not self.ended

    @property
    def recording(self) -> bool:
        """Whether the call is being recorded now; the recording ends with the call."""
        return bool(self.marks & Mark.RECORDING) and not self.ended

    @property
    def muted(self) -> bool:
        """Whether the call is muted now; that ends with the call."""
        return bool(self.marks & Mark.MUTED) and not self.ended

    @property
    def transferred_to(self) -> str | None:
        """Where the call went, once it was transferred."""
        return self.transfer_target if self.ended_by == _BY_TRANSFER_COMPLETED else None

    @property
    def remote_numbers(self) -> tuple[str, ...]:
        """The numbers that may be the other party's, the likelier one first; both if we cannot tell."""
        return remote_numbers(self.direction, self.calling_number, self.called_number)

    @property
    def anomaly_bits(self) -> int:
        """Everything that is odd about the call, as the bits of Anomaly."""
        bits = self.odd
        if self.version and not self.marks & STARTED:
            bits |= NO_START
        if self.inferred_end:
            bits |= INFERRED_END
        return bits

    @property
    def anomalies(self) -> Anomaly:
        """Everything that is odd about the call."""
        return Anomaly(self.anomaly_bits)

    @property
    def status(self) -> CallStatus:
        """What the call is now, in one word."""
        if self.ended:
            return self._outcome()
        if self.held:
            return CallStatus.ON_HOLD
        if self.recording:
            return CallStatus.RECORDING
        if self.answered:
            return CallStatus.ANSWERED
        if self.ringing_at is not None:
            return CallStatus.RINGING
        return CallStatus.INITIATED

    def _outcome(self) -> CallStatus:
        if self.ended_by == _BY_TRANSFER_COMPLETED:
            return CallStatus.TRANSFERRED
        if self.answered:
            return CallStatus.ENDED
        return unanswered_status(self.cause, self.direction, failed=self.ended_by == _BY_FAILED)

    @property
    def duration(self) -> int | None:
        """From start to end in whole seconds; only of completed calls whose end is known."""
        if self.started_at is None or self.ended_at is None or self.answered_at is None or self.inferred_end:
            return None
        return whole_seconds(self.ended_at - self.started_at)

    @property
    def ring_seconds(self) -> int | None:
        """From ringing (else the start) to the answer (else a known end), in whole seconds."""
        begin = self.ringing_at or self.started_at
        end = self.answered_at or (None if self.inferred_end else self.ended_at)
        return None if begin is None or end is None else whole_seconds(end - begin)

    @property
    def talk_seconds(self) -> int | None:
        """From the answer to the known end, in whole seconds."""
        if self.answered_at is None or self.ended_at is None or self.inferred_end:
            return None
        return whole_seconds(self.ended_at - self.answered_at)

    @property
    def hold_seconds(self) -> int | None:
        """How long the call was on hold between answer and known end, in whole seconds."""
        return None if self.talk_seconds is None else whole_seconds(self.hold_total)

    def comes_before(self, event: Event) -> bool:
        """Say whether all that this state has seen comes before an event, so that `apply` may take it."""
        if self.last_event_at is None:
            return True
        return (self.last_event_at, self.last_event_rank) < (event.occurred_at, RANKS[event.type])


# -- Taking events --------------------------------------------------------------------------


def fold(events: Iterable[Event], *, own_numbers: tuple[str, ...] = ()) -> CallState:
    """Return what a set of events of one call adds up to, in whatever order they are given."""
    state = CallState()
    for event in sorted(events, key=lambda event: event.key):
        apply(state, event, own_numbers=own_numbers)
    return state


def apply(state: CallState, event: Event, *, own_numbers: tuple[str, ...] = ()) -> None:
    """Advance a state, in place, by the next event in order."""
    if state.inferred_end:
        # Whatever happened later shows that the assumed end was none.
        state.ended_at = state.ended_by = None
    if state.started_at is None:
        state.started_at = event.occurred_at
    if event.occurred_at > event.received_at + CLOCK_TOLERANCE:
        state.odd |= FUTURE_TIME
    _take_parties(state, event, own_numbers)
    if event.source is _FROM_INFERRED:
        if not state.ended:
            state.ended_at, state.ended_by = event.occurred_at, _BY_INFERRED
    else:
        _take_fact(state, event)
    state.last_event_at, state.last_event_rank = event.occurred_at, RANKS[event.type]
    state.version += 1


def _take_parties(state: CallState, event: Event, own_numbers: tuple[str, ...]) -> None:
    """Who called whom, which way, what kind of call, and who of us handled it."""
    from_start = event.type is _INITIATED
    before = (state.calling_number, state.called_number) if own_numbers else None
    if event.calling_number:
        # What is there already has this form.
        number = (
            event.calling_number if event.calling_number == state.calling_number else canonical(event.calling_number)
        )
        if _takes_number(state, state.calling_number, number, Mark.CALLING_FROM_START, from_start):
            state.calling_number = number
            state.calling_as_sent = event.calling_number if event.calling_number != number else None
    if event.called_number:
        number = event.called_number if event.called_number == state.called_number else canonical(event.called_number)
        if _takes_number(state, state.called_number, number, Mark.CALLED_FROM_START, from_start):
            state.called_number = number
            state.called_as_sent = event.called_number if event.called_number != number else None

    if not state.marks & Mark.DIRECTION_STATED:
        if event.direction is not None:
            state.direction = event.direction
            state.marks |= Mark.DIRECTION_STATED
        elif own_numbers and (state.calling_number, state.called_number) != before:
            state.direction = _direction_between(state.calling_number, state.called_number, own_numbers)

    if event.call_type is not None and not state.marks & Mark.CALL_TYPE_STATED:
        state.call_type = event.call_type
        state.marks |= Mark.CALL_TYPE_STATED

    if state.handled_by_id is None and event.user_id is not None:
        initiated_by_us = from_start and event.direction is _WAY_OUTBOUND
        if initiated_by_us or event.type is _ANSWERED:
            state.handled_by_id = event.user_id


def _takes_number(state: CallState, present: str, number: str, mark: int, from_start: bool) -> bool:
    """Say whether a party's number counts: that of the earliest start that names one, else the earliest named."""
    if present not in ("", number):
        state.odd |= OTHER_NUMBERS
    takes = not present or (from_start and not state.marks & mark)
    if from_start:
        state.marks |= mark
    return takes


def _direction_between(calling: str, called: str, own_numbers: tuple[str, ...]) -> Direction:
    ours = (is_own(calling, own_numbers), is_own(called, own_numbers))
    if ours == (True, False):
        return _WAY_OUTBOUND
    if ours == (False, True):
        return _WAY_INBOUND
    return _WAY_UNKNOWN


def _take_fact(state: CallState, event: Event) -> None:
    """What the event says has happened."""
    at, kind = event.occurred_at, event.type
    first_start = kind is _INITIATED and not state.marks & STARTED
    first_answer = kind is _ANSWERED and state.answered_at is None

    told_before = False
    if repeat := _REPEATS.get(kind):
        reported, ours, anomaly = repeat
        mark = ours if event.source is _FROM_API else reported
        told_before = bool(state.marks & (reported | ours))
        if state.marks & mark and event.source not in LEG_BY_LEG:
            state.odd |= anomaly
        state.marks |= mark

    # Facets that stand whether or not the call is over by then.
    if first_start:
        state.started_at = at
    elif first_answer:
        state.answered_at = at
    elif kind is _RINGING and state.ringing_at is None:
        state.ringing_at = at

    if state.ended:
        _take_fact_after_end(state, event, first_start=first_start, first_answer=first_answer, told_before=told_before)
    elif kind in END_TYPES:
        _end(state, event)
    elif kind is _HOLD:
        state.held_since = state.held_since or at
    elif kind is _UNHOLD:
        _close_hold(state, at)
    elif kind is _TRANSFER_INITIATED:
        state.transfer_target = event.transfer_to or state.transfer_target
    elif kind is _RECORDING_STARTED:
        state.marks |= Mark.RECORDING
    elif kind is _RECORDING_STOPPED:
        state.marks &= ~Mark.RECORDING
    elif kind is _MUTED:
        state.marks |= Mark.MUTED
    elif kind is _UNMUTED:
        state.marks &= ~Mark.MUTED


def _take_fact_after_end(
    state: CallState, event: Event, *, first_start: bool, first_answer: bool, told_before: bool
) -> None:
    """Nothing reopens a call; the end may still learn its cause, and odd order is noted."""
    if event.type in END_TYPES:
        state.cause = state.cause or event.cause
    elif first_start:
        state.odd |= END_BEFORE_START
    elif first_answer:
        state.odd |= ANSWER_AFTER_END
    elif not told_before and not _follows_naturally(state, event):
        # A start or an answer that was told before is at most told twice, which is noted as such.
        state.odd |= EVENT_AFTER_END


def _follows_naturally(state: CallState, event: Event) -> bool:
    """Say whether an event is often reported after the end without anything being wrong.

    A recorder stops because the call is over; a server still tells of the transfer that one of
    our buttons has completed, or of the legs that are left.
    """
    if event.type is _RECORDING_STOPPED or event.source in LEG_BY_LEG:
        return True
    return event.type is _TRANSFER_INITIATED and state.ended_by == _BY_TRANSFER_COMPLETED


def _end(state: CallState, event: Event) -> None:
    _close_hold(state, event.occurred_at)
    state.ended_at = event.occurred_at
    state.ended_by = _ENDED_BY[event.type]
    state.cause = event.cause
    if event.type is _TRANSFER_COMPLETED:
        state.transfer_target = event.transfer_to or state.transfer_target


def _close_hold(state: CallState, at: datetime) -> None:
    """Add a finished hold, as far as it lies after the answer."""
    if state.held_since is not None and state.answered_at is not None:
        state.hold_total += max(timedelta(), at - max(state.held_since, state.answered_at))
    state.held_since = None
