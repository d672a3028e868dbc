"""Why a call is what it is, on its page: each field with its rule and events, and the events that did nothing."""

from datetime import datetime
from typing import Any

from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from calls.admin.display import NOTHING, anomaly_labels, length, moment, number, plain, short
from calls.domain.events import Event
from calls.domain.explain import Effect, Explanation, Reason
from calls.domain.vocabulary import Anomaly
from calls.models import Call
from calls.queries.evidence import events_received, explanation_of

# A call with more events is explained by the API only.
EVENTS_AT_MOST = 500
TITLES = {"handled_by_id": "handled by", "held": "on hold", "calling_number": "calling", "called_number": "called"}
LENGTHS = {"duration", "ring_seconds", "talk_seconds", "hold_seconds"}
NUMBERS = {"calling_number", "called_number", "transferred_to"}


def explained(call: Call) -> dict[str, Any]:
    """Return what the part of a call's page needs that explains the call."""
    if call.version > EVENTS_AT_MOST:
        return {"explained_by_api_only": True}
    told = explanation_of(call, events_received(call))
    return {
        "reasons": [_row(name, reason, call) for name, reason in told.reasons.items()],
        "idle_events": [_idle(effect) for effect in told.effects if effect.why],
        "raised": _raised(told),
    }


def _row(name: str, reason: Reason, call: Call) -> dict[str, Any]:
    return {
        "title": TITLES.get(name, plain(name)),
        "value": _value(name, reason.value, call),
        "rule": reason.rule,
        "events": _listed(reason.events),
    }


def _value(name: str, value: Any, call: Call) -> SafeString | str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Anomaly):
        return anomaly_labels(int(value))
    if isinstance(value, datetime):
        return moment(value)
    if value is None or value == "":
        return NOTHING
    if name == "handled_by_id":
        return str(call.handled_by) if call.handled_by_id == value else str(value)
    if name in LENGTHS:
        return length(value)
    if name in NUMBERS:
        return number(value)
    return short(plain(str(value)), width=32)


def _listed(events: tuple[Event, ...]) -> SafeString | str:
    shown = [(_named(event), moment(event.occurred_at)) for event in events]
    return format_html_join("", '<p class="whitespace-nowrap">{} {}</p>', shown) if shown else NOTHING


def _named(event: Event) -> SafeString | str:
    return short(event.word or plain(event.type), width=24)


def _idle(effect: Effect) -> dict[str, Any]:
    return {
        "word": _named(effect.event),
        "at": moment(effect.event.occurred_at),
        "id": short(effect.event.event_id, width=24),
        "why": effect.why,
        "odd": anomaly_labels(int(effect.noted)) if effect.noted else "",
    }


def _raised(told: Explanation) -> SafeString | str:
    """Return which event raised what is odd, one a line."""
    rows = [
        (anomaly_labels(int(effect.noted)), _named(effect.event), moment(effect.event.occurred_at))
        for effect in told.effects
        if effect.noted
    ]
    return format_html_join("", '<p class="mb-1">{} by {} {}</p>', rows)
