"""A request of ours against a call's state: it becomes facts, or is not possible.

Facts from outside are never judged here: they have happened.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from calls.domain.state import CallState
from calls.domain.vocabulary import CallStatus, EventType


class NotPossible(Exception):
    """What was asked cannot happen to the call as it is; the message says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One fact that a request becomes."""

    type: EventType
    cause: str | None = None
    transfer_to: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def moment_after(state: CallState, *, at: datetime) -> datetime:
    """Return the time of what is decided at `at`: after everything known of the call."""
    if state.last_event_at is None:
        return at
    return max(at, state.last_event_at + timedelta(microseconds=1))


def end(state: CallState) -> list[Step]:
    """End the call; before the answer that is giving up."""
    _require_not_ended(state)
    return [Step(EventType.ENDED, cause=None if state.answered else CallStatus.CANCELLED)]


def toggle_hold(state: CallState) -> list[Step]:
    """Put the call on hold, or take it off."""
    _require_answered(state)
    return [Step(EventType.UNHOLD if state.held else EventType.HOLD)]


def transfer(state: CallState, *, transfer_to: str) -> list[Step]:
    """Pass the call on to another number, which ends this leg of it."""
    _require_answered(state)
    return [
        Step(EventType.TRANSFER_INITIATED, transfer_to=transfer_to),
        Step(EventType.TRANSFER_COMPLETED, transfer_to=transfer_to),
    ]


def start_recording(state: CallState) -> list[Step]:
    """Begin to record the call."""
    _require_answered(state)
    if state.recording:
        raise NotPossible("The call is being recorded already.")
    return [Step(EventType.RECORDING_STARTED)]


def stop_recording(state: CallState) -> list[Step]:
    """Stop recording the call."""
    _require_not_ended(state)
    if not state.recording:
        raise NotPossible("The call is not being recorded.")
    return [Step(EventType.RECORDING_STOPPED)]


# Without an answer, each of these words is why a call ended.
_UNANSWERED_ENDS = {CallStatus.MISSED, CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.CANCELLED}


def set_status(state: CallState, *, status: CallStatus, transfer_to: str | None = None) -> list[Step]:
    """Bring the call to a status; the present one needs nothing."""
    if status == state.status:
        return []
    _require_not_ended(state)
    if status in _UNANSWERED_ENDS:
        if state.answered:
            raise NotPossible(f"The call was answered, so it cannot become {status}.")
        return [Step(EventType.ENDED, cause=status)]
    if status is CallStatus.FAILED:
        return [Step(EventType.FAILED)]
    if status is CallStatus.ENDED:
        return end(state)
    if status is CallStatus.TRANSFERRED:
        _require_answered(state)
        return [Step(EventType.TRANSFER_COMPLETED, transfer_to=transfer_to)]
    if state.answered:
        return _set_status_of_answered(state, status)
    if status is CallStatus.RINGING:
        return [Step(EventType.RINGING)]
    if status is CallStatus.ANSWERED:
        return [Step(EventType.ANSWERED)]
    raise NotPossible(f"A call that is {state.status} and was not answered cannot become {status}.")


def _set_status_of_answered(state: CallState, status: CallStatus) -> list[Step]:
    """Reach answered, recording or on hold, of which the later ones hide the earlier."""
    unhold = [Step(EventType.UNHOLD)] if state.held else []
    if status is CallStatus.ON_HOLD:
        return [Step(EventType.HOLD)]
    if status is CallStatus.RECORDING:
        return unhold + ([] if state.recording else [Step(EventType.RECORDING_STARTED)])
    if status is CallStatus.ANSWERED:
        return unhold + ([Step(EventType.RECORDING_STOPPED)] if state.recording else [])
    raise NotPossible(f"The call was answered, so it cannot become {status}.")


# What may be noted of a call at any time before its end.
_REMARKS = {EventType.QUALITY_CHANGE, EventType.ERROR}
_BEFORE_ANSWER = {EventType.RINGING, EventType.ANSWERED, EventType.ENDED, EventType.FAILED}
_AFTER_ANSWER = set(EventType) - {EventType.INITIATED, EventType.RINGING, EventType.ANSWERED}


def add_event(state: CallState, *, step: Step) -> list[Step]:
    """Note something that happened to the call, if it can happen to it as it is."""
    _require_not_ended(state)
    possible = (_AFTER_ANSWER if state.answered else _BEFORE_ANSWER) | _REMARKS
    if step.type not in possible:
        when = "answered" if state.answered else "not answered"
        raise NotPossible(f"{step.type} cannot happen to a call that was {when} and is {state.status}.")
    already = {
        EventType.RINGING: state.ringing_at is not None,
        EventType.HOLD: state.held,
        EventType.UNHOLD: not state.held,
        EventType.MUTED: state.muted,
        EventType.UNMUTED: not state.muted,
        EventType.RECORDING_STARTED: state.recording,
        EventType.RECORDING_STOPPED: not state.recording,
    }
    if already.get(step.type):
        raise NotPossible(f"{step.type} would change nothing: the call is so already.")
    return [step]


def _require_not_ended(state: CallState) -> None:
    if state.ended:
        raise NotPossible(f"The call is over ({state.status}).")


def _require_answered(state: CallState) -> None:
    _require_not_ended(state)
    if not state.answered:
        raise NotPossible(f"The call was not answered yet ({state.status}).")
