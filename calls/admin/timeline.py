"""The events of one call as a line through time."""

from datetime import timedelta
from typing import Any

from django.db.models import Case, Value, When
from django.urls import reverse

from calls.admin.display import moment, number, offset, plain, pretty, short
from calls.domain.numbers import canonical
from calls.domain.vocabulary import RANKS, Source
from calls.models import Call, CallEvent

EVENTS_AT_MOST = 500
# An event that arrived later than this is said to be late.
WORTH_A_WORD = timedelta(seconds=10)
_RANK = Case(*(When(type=kind, then=Value(rank)) for kind, rank in RANKS.items()))


def timeline_of(call: Call, *, linked: bool) -> list[dict[str, Any]]:
    """Return a call's first events, in the order in which they are taken, as its page shows them."""
    events = CallEvent.objects.filter(call=call).select_related("user")
    ordered = events.order_by("occurred_at", _RANK, "event_id", "source")[:EVENTS_AT_MOST]
    return [_entry(call, event, linked=linked) for event in ordered]


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
    }


def _other_numbers(call: Call, event: CallEvent) -> list[tuple[str, str]]:
    """Return the sides on which an event names another number than its call has, and these numbers."""
    sides = (
        ("from", event.calling_number, call.calling_number),
        ("to", event.called_number, call.called_number),
    )
    return [(side, number(canonical(theirs))) for side, theirs, ours in sides if theirs and canonical(theirs) != ours]
