"""What a call looked like at an earlier time, and why it is what it is: both from its events, by the one fold."""

from copy import copy
from datetime import datetime

from django.conf import settings

from calls.domain.explain import Explanation, explain
from calls.domain.state import fold
from calls.models import Call, CallEvent, ClientNumber
from calls.models.calls import state_values
from calls.queries.calls import events_in_order


def events_received(call: Call, *, by: datetime | None = None) -> list[CallEvent]:
    """Return the call's events that had arrived by an instant (all, without one), in the order they are taken."""
    return [event for event in events_in_order(call) if by is None or event.received_at <= by]


def call_as_of(call: Call, events: list[CallEvent]) -> Call:
    """Return the call as these of its events make it, at least one; it is not to be saved.

    Its annotations (notes, quality score, SIP configuration) are those of now, since they have no history, and
    so is who has which number.
    """
    log = [event.as_event(call_id=call.external_id) for event in events]
    state = fold(log, own_numbers=tuple(settings.OWN_NUMBERS))
    shown = copy(call)
    for name, value in state_values(state).items():
        setattr(shown, name, value)
    numbers = ClientNumber.objects.filter(number__in=state.remote_numbers).select_related("client")
    clients = {number.number: number.client for number in numbers}
    shown.client = next((clients[number] for number in state.remote_numbers if number in clients), None)
    shown.created_at = min(event.received_at for event in events)
    shown.updated_at = max(event.received_at for event in events)
    return shown


def explanation_of(call: Call, events: list[CallEvent]) -> Explanation:
    """Return why the call is what these of its events make it."""
    log = [event.as_event(call_id=call.external_id) for event in events]
    return explain(log, own_numbers=tuple(settings.OWN_NUMBERS))
