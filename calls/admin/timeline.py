"""The events of one call as a line through time, a page at a time."""

from datetime import timedelta
from typing import Any

from django.db.models import Case, Value, When
from django.urls import reverse

from calls.admin.display import moment, number, offset, plain, pretty, short
from calls.domain.numbers import canonical
from calls.domain.vocabulary import RANKS, Source
from calls.models import Call, CallEvent

EVENTS_A_PAGE = 200
# An event that arrived later than this is said to be late.
WORTH_A_WORD = timedelta(seconds=10)
_RANK = Case(*(When(type=kind, then=Value(rank)) for kind, rank in RANKS.items()))


def page_number(text: str, *, events: int) -> int:
    """Return which page of a call's events a parameter asks for, from 1; the nearest that there is."""
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1
    return min(max(1, wanted), pages_of(events))


def pages_of(events: int) -> int:
    """Return on how many pages a call's events are shown."""
    return max(1, -(-events // EVENTS_A_PAGE))


def events_of(call: Call, *, page: int = 1) -> list[CallEvent]:
    """Return one page of a call's events, in the order in which they are taken.

    The events of one call are all sorted for that: no index holds this order, and a call has thousands at worst.
    """
    events = CallEvent.objects.filter(call=call).select_related("user")
    begin = (page - 1) * EVENTS_A_PAGE
    return list(events.order_by("occurred_at", _RANK, "event_id", "source")[begin : begin + EVENTS_A_PAGE])


def timeline_of(call: Call, events: list[CallEvent], *, linked: bool) -> list[dict[str, Any]]:
    """Return a call's events as its page shows them."""
    return [_entry(call, event, linked=linked) for event in events]


def _entry(call: Call, event: CallEvent, *, linked: bool) -> dict[str, Any]:
    late = event.received_at - event.occurred_at
    return {
        "offset": offset(event.occurred_at - call.started_at),
        "url": reverse("admin:calls_callevent_change", args=[event.pk]) if linked else "",
        "word": event.word or plain(event.type),
        "type": plain(event.type),
        "source": plain(event.source),
        "user": event.user,
        "at": moment(event.occurred_at),
        "inferred": event.source == Source.INFERRED,
        "late": offset(late).lstrip("+") if late >= WORTH_A_WORD else "",
        "other_numbers": _other_numbers(call, event),
        "cause": event.cause,
        "transfer_to": short(event.transfer_to or "", width=20),
        "metadata": pretty(event.metadata, one_line=80) if event.metadata else "",
        "metadata_keys": ", ".join(event.metadata or ())[:60],
    }


def _other_numbers(call: Call, event: CallEvent) -> list[tuple[str, str]]:
    """Return the sides on which an event names another number than its call has, and these numbers."""
    sides = (
        ("from", event.calling_number, call.calling_number),
        ("to", event.called_number, call.called_number),
    )
    return [(side, number(canonical(theirs))) for side, theirs, ours in sides if theirs and canonical(theirs) != ours]
