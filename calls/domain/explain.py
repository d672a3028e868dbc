"""Why a call is what it is: which events each of its fields stands on, by which rule, and which changed nothing.

No rule is written here a second time. The events are applied one by one by `state.apply`, and what
each changed is read off the state; what a property follows from is learned by watching which stored
fields it reads. Only the sentences are ours.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

from calls.domain.events import Event
from calls.domain.state import CallState, Mark, apply
from calls.domain.vocabulary import END_TYPES, Anomaly, CallStatus, Direction, EventType, Source

# What is explained, in the order in which it is shown. All but the last are single values.
EXPLAINED = (
    "status", "direction", "call_type", "calling_number", "called_number", "started_at", "ringing_at", "answered_at",
    "ended_at", "duration", "ring_seconds", "talk_seconds", "hold_seconds", "transferred_to", "cause", "inferred_end",
    "handled_by_id", "held", "recording", "muted", "anomalies",
)  # fmt: skip

# What a value stands on: a stored field of the state, or one bit of its marks.
Key = str | int
# A value that was confirmed where it counts most stands on whoever did that, even where nothing changed by it.
_CONFIRMED: dict[Key, int] = {
    "calling_number": Mark.CALLING_FROM_START,
    "called_number": Mark.CALLED_FROM_START,
    "direction": Mark.DIRECTION_STATED,
    "call_type": Mark.CALL_TYPE_STATED,
}
_PLACE = {"last_event_at", "last_event_rank", "version", "marks", "odd"}
_FACETS = tuple(one.name for one in fields(CallState) if one.name not in _PLACE)
_NEW = CallState()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a field has its value: the rule, and the events (in order) that it stands on; none for what nobody said."""

    value: Any
    rule: str
    events: tuple[Event, ...]


@dataclass(slots=True, kw_only=True)
class Effect:
    """What one event did: the fields that it changed when it was taken, and those that stand on it in the end.

    `why` says why it changed nothing, or why nothing of what it changed is left; else it is empty.
    """

    event: Event
    changed: tuple[str, ...]
    gave: tuple[str, ...] = ()
    noted: Anomaly = field(default_factory=lambda: Anomaly(0))
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A call's state with a reason for each field and the effect of each event."""

    state: CallState
    reasons: dict[str, Reason]
    effects: list[Effect]


def explain(events: Iterable[Event], *, own_numbers: tuple[str, ...] = ()) -> Explanation:
    """Fold a call's events, and tell why the state is what it is."""
    state, effects = CallState(), []
    stands_on: dict[Key, list[Event]] = {}
    raised: list[Event] = []
    for event in sorted(events, key=lambda event: event.key):
        before = replace(state)
        apply(state, event, own_numbers=own_numbers)
        _note_what_changed(stands_on, before, state, event)
        noted = Anomaly(int(state.odd) & ~int(before.odd))
        raised += [event] if noted else []
        changed = tuple(name for name in EXPLAINED[:-1] if _changed(name, before, state))
        why = "" if changed else _why_nothing(before, event)
        effects.append(Effect(event=event, changed=changed, noted=noted, why=why))
    reasons = {name: _reason(name, state, stands_on, raised) for name in EXPLAINED}
    for effect in effects:
        _say_what_is_left(effect, reasons)
    return Explanation(state=state, reasons=reasons, effects=effects)


# -- What an event changed -----------------------------------------------------------------------


def _changed(name: str, before: CallState, after: CallState) -> bool:
    if not before.version and name == "status":
        return True
    return bool(getattr(before, name) != getattr(after, name))


def _note_what_changed(stands_on: dict[Key, list[Event]], before: CallState, after: CallState, event: Event) -> None:
    """Let what the event changed stand on it from now on."""
    for bit in _bits(before.marks ^ after.marks):
        stands_on[bit] = [event]
    if after.hold_total != before.hold_total:
        # Time on hold adds up: it stands on every beginning and end of a hold, and on the answer.
        bounds = [*stands_on.get("held_since", ()), *stands_on.get("answered_at", ()), event]
        stands_on["hold_total"] = [*stands_on.get("hold_total", ()), *bounds]
    for name in _FACETS:
        if name != "hold_total" and getattr(before, name) != getattr(after, name):
            untold = getattr(after, name) == getattr(_NEW, name) and name != "held_since"
            stands_on[name] = [] if untold else [event]
    # An assumed end that gives way to a real one may leave the time as it was.
    stands_on["ended_at"] = stands_on.get("ended_by", [])


def _bits(number: int) -> Iterator[int]:
    """Yield the bits that are set in a number."""
    return (1 << place for place in range(int(number).bit_length()) if number >> place & 1)


def _say_what_is_left(effect: Effect, reasons: dict[str, Reason]) -> None:
    effect.gave = tuple(name for name in EXPLAINED[:-1] if effect.event in reasons[name].events)
    if effect.gave:
        effect.why = ""
    elif effect.changed and effect.event.source is Source.INFERRED:
        effect.why = "The end was only assumed, and is void because something later is known."
    elif effect.changed:
        effect.why = "Later events changed it again."


# -- What a field stands on ------------------------------------------------------------------------


class _WatchedMarks:
    """Marks that note which of them are asked for."""

    def __init__(self, marks: int, read: list[Key]) -> None:
        self._marks, self._read = marks, read

    def __and__(self, wanted: int) -> int:
        self._read += _bits(wanted)
        return self._marks & wanted


class _Watched:
    """A state that notes which stored fields its properties read."""

    def __init__(self, state: CallState) -> None:
        self._state = state
        self.read: list[Key] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(CallState, name)
        if isinstance(found, property) and found.fget is not None:
            return found.fget(self)
        if callable(found):
            return found.__get__(self)
        if name == "marks":
            return _WatchedMarks(self._state.marks, self.read)
        self.read.append(name)
        return getattr(self._state, name)


def _reason(name: str, state: CallState, stands_on: dict[Key, list[Event]], raised: list[Event]) -> Reason:
    watched = _Watched(state)
    value = getattr(watched, name)
    told: list[Event] = []
    for key in watched.read:
        told += _told(key, state, stands_on)
    if name == "anomalies":
        told += raised
    elif name == "status" and not told:
        told = stands_on["started_at"] if state.version else []
    events = tuple(sorted(_set_of(told), key=lambda event: event.key))
    return Reason(value=value, rule=_rule(name, state, events), events=events)


def _told(key: Key, state: CallState, stands_on: dict[Key, list[Event]]) -> list[Event]:
    confirmed = _CONFIRMED.get(key, 0)
    if state.marks & confirmed:
        return stands_on.get(confirmed, [])
    if key == "direction" and state.direction is not Direction.UNKNOWN:
        # Nobody stated it, so it follows from the numbers.
        return [*_told("calling_number", state, stands_on), *_told("called_number", state, stands_on)]
    return stands_on.get(key, [])


def _set_of(events: Iterable[Event]) -> list[Event]:
    """Return events without repetitions; their metadata cannot be hashed, but their keys can."""
    return list({event.key: event for event in events}.values())


# -- The sentences -----------------------------------------------------------------------------------

_SENTENCES: dict[str, str] = {
    "ringing_at": "The earliest ringing event.",
    "answered_at": "The earliest answer, even where it is dated after the end.",
    "duration": "Whole seconds from start to end, of an answered call whose end is known.",
    "ring_seconds": "Whole seconds from ringing, else the start, to the answer, else a known end.",
    "talk_seconds": "Whole seconds from the answer to a known end.",
    "hold_seconds": "The holds between the answer and a known end, added up, in whole seconds.",
    "transferred_to": "The last target that was named, once the transfer is completed.",
    "inferred_end": "Whether the end is only assumed, because no news came for too long.",
    "handled_by_id": "Who of us called out, or answered first.",
    "held": "The latest word on it; a hold ends with the call.",
    "recording": "The latest word on it; recording ends with the call.",
    "muted": "The latest word on it; it ends with the call.",
    "anomalies": "Everything that is odd about the events; the effects below say which raised what.",
}
_STATUS_SENTENCES: dict[CallStatus, str] = {
    CallStatus.INITIATED: "Nothing but its beginning is known.",
    CallStatus.RINGING: "It rang, and was neither answered nor ended.",
    CallStatus.ANSWERED: "It was answered and goes on, neither on hold nor recorded.",
    CallStatus.RECORDING: "It goes on and is recorded.",
    CallStatus.ON_HOLD: "It goes on and is on hold.",
    CallStatus.TRANSFERRED: "A completed transfer ended it.",
    CallStatus.ENDED: "It was answered and is over, whatever the cause says.",
}


def _rule(name: str, state: CallState, events: tuple[Event, ...]) -> str:
    """Return the sentence for a field that stands on these events."""
    from_start = bool(events) and events[-1].type is EventType.INITIATED
    if name == "status":
        return _STATUS_SENTENCES.get(state.status) or _unanswered(state)
    if name == "started_at":
        if from_start:
            return "The earliest event that says the call was initiated."
        return "No event says that the call was initiated, so the earliest of all counts."
    if name in ("calling_number", "called_number"):
        if not events:
            return "No event names it."
        if from_start:
            return "That of the earliest initiated event that names one."
        return "No initiated event names one, so the earliest event that does counts."
    if name == "direction":
        if state.marks & Mark.DIRECTION_STATED:
            return "The first direction that an event states."
        if events:
            return "No event states it; it follows from whose number is one of ours (OWN_NUMBERS)."
        return "No event states it, and the numbers do not tell (OWN_NUMBERS)."
    if name == "call_type":
        return "The first that an event states." if events else "No event states it, so it is voice."
    if name == "ended_at" and state.inferred_end:
        return "No news came for too long: assumed at the call's last event, until anything later is known."
    if name == "ended_at":
        return "The earliest end, failure or completed transfer. Nothing reopens a call."
    if name == "cause":
        late = bool(events) and events[-1].occurred_at != state.ended_at
        return "The end named none, so the next end that does supplies it." if late else "What the end names."
    return _SENTENCES[name]


def _unanswered(state: CallState) -> str:
    if state.cause is None:
        told = "It failed" if state.status is CallStatus.FAILED else "It is over"
        return f"{told} without an answer and without a stated cause, and its direction is {state.direction}."
    return f"It is over without an answer, for the cause {state.cause}, and its direction is {state.direction}."


_ALREADY: dict[EventType, str] = {
    EventType.INITIATED: "The call had begun already: the earliest initiated event counts.",
    EventType.RINGING: "It had rung already: the earliest ringing counts.",
    EventType.ANSWERED: "It had been answered already: the earliest answer counts.",
}
_POINTLESS: dict[EventType, str] = {
    EventType.TRANSFER_INITIATED: "Where a transfer leads counts once it is completed.",
    EventType.HOLD: "The call was on hold already.",
    EventType.UNHOLD: "The call was not on hold.",
    EventType.MUTED: "The call was muted already.",
    EventType.UNMUTED: "The call was not muted.",
    EventType.RECORDING_STARTED: "The call was being recorded already.",
    EventType.RECORDING_STOPPED: "The call was not being recorded.",
}


def _why_nothing(before: CallState, event: Event) -> str:
    """Return why an event that changed nothing could not: of each kind there is one reason."""
    if event.source is Source.INFERRED:
        return "The end is known, so none is assumed."
    if event.type in _ALREADY:
        return _ALREADY[event.type]
    if before.ended:
        if event.type in END_TYPES:
            return "The call had ended already: the earliest end counts."
        return "It comes after the end, and nothing reopens a call."
    return _POINTLESS.get(event.type, "It is kept with the call; no field depends on it.")
