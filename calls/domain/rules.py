"""A request of ours against a call's state: it becomes an event, or is not possible."""

from datetime import datetime, timedelta

from calls.domain.state import CallState


class NotPossible(Exception):
    """What was asked cannot happen to the call as it is; the message says why."""


def moment_after(state: CallState, *, at: datetime) -> datetime:
    """Return the time of an event that is decided at `at`: after everything known of the call."""
    if state.last_event_at is None:
        return at
    return max(at, state.last_event_at + timedelta(microseconds=1))
