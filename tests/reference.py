"""A second way to work out a call's state: facet by facet over the whole set of its events.

It shares nothing with `calls.domain.state` but the vocabulary, and is slow and plain on
purpose: property tests and storms hold the product against it.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from calls.domain.events import Event

ORDER = [
    "initiated",
    "ringing",
    "answered",
    "transfer_initiated",
    "hold",
    "unhold",
    "muted",
    "unmuted",
    "recording_started",
    "recording_stopped",
    "dtmf",
    "quality_change",
    "error",
    "transfer_completed",
    "ended",
    "failed",
]
ENDS = ("ended", "failed", "transfer_completed")


def sort_key(event: Event) -> tuple[Any, ...]:
    return (event.occurred_at, ORDER.index(event.type), event.event_id, event.source)


def seconds(length: timedelta) -> int:
    return max(0, int(length.total_seconds() // 1))


def reference(events: Iterable[Event]) -> dict[str, Any]:
    """Return the facets of a call that must follow from a set of events."""
    log = sorted(events, key=sort_key)
    real = [event for event in log if event.source != "inferred"]

    def first(wanted: Callable[[Event], Any], among: list[Event] = log) -> Event | None:
        return next((event for event in among if wanted(event)), None)

    def time(event: Event | None) -> datetime | None:
        return event.occurred_at if event else None

    start = first(lambda e: e.type == "initiated", real)
    started_at = time(start or log[0])
    ringing_at = time(first(lambda e: e.type == "ringing", real))
    answered_at = time(first(lambda e: e.type == "answered", real))
    end = first(lambda e: e.type in ENDS, real)
    assumed = log[-1] if log[-1].source == "inferred" and end is None else None
    ended_at = time(end or assumed)
    causes = [e.cause for e in real if e.type in ENDS and e.cause]

    def number(side: str) -> str:
        told = [e for e in log if getattr(e, side)]
        best = next((e for e in told if e.type == "initiated"), told[0] if told else None)
        return getattr(best, side) if best else ""

    stated = first(lambda e: e.direction)
    direction = str(stated.direction) if stated else "unknown"
    answered, known_end = answered_at is not None, end is not None
    completed = answered and known_end
    before_end = [e for e in real if end is None or sort_key(e) < sort_key(end)]

    held, hold = None, timedelta()
    for event in [*before_end, *([end] if end else [])]:
        if event.type == "hold":
            held = held or event.occurred_at
        elif event.type == "unhold" or event is end:
            if held and answered_at and answered_at <= event.occurred_at:
                hold += max(timedelta(), event.occurred_at - max(held, answered_at))
            held = None

    def on(start_word: str, stop_word: str) -> bool:
        last = [e.type for e in before_end if e.type in (start_word, stop_word)][-1:]
        return not ended_at and last == [start_word]

    transfers = [e for e in [*before_end, *([end] if end else [])] if e.type.startswith("transfer_") and e.transfer_to]
    return {
        "started_at": started_at,
        "ringing_at": ringing_at,
        "answered_at": answered_at,
        "ended_at": ended_at,
        "inferred_end": assumed is not None,
        "cause": causes[0] if causes else None,
        "calling_number": number("calling_number"),
        "called_number": number("called_number"),
        "direction": direction,
        "held": not ended_at and held is not None,
        "recording": on("recording_started", "recording_stopped"),
        "muted": on("muted", "unmuted"),
        "transferred_to": transfers[-1].transfer_to if end and end.type == "transfer_completed" and transfers else None,
        "duration": seconds(ended_at - started_at) if completed and ended_at and started_at else None,
        "talk_seconds": seconds(ended_at - answered_at) if completed and ended_at and answered_at else None,
        "hold_seconds": seconds(hold) if completed else None,
        "version": len(log),
    }


def differences(events: Iterable[Event], state: Any) -> dict[str, tuple[Any, Any]]:
    """Return which facets of a state (or a stored call's state) differ from what must follow."""
    expected = reference(events)
    return {name: (value, getattr(state, name)) for name, value in expected.items() if getattr(state, name) != value}
