"""Looking up calls: by id, and lists with filters."""

from contextlib import suppress
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.lookups import GreaterThan

from calls.domain.events import call_uuid
from calls.domain.numbers import canonical
from calls.domain.recordings import RecordingStatus
from calls.domain.vocabulary import OUTCOMES, RANKS, Anomaly, CallStatus
from calls.models import Call, CallEvent, CallRecording, Client

# A character after all that a number can have; what lies between a prefix and it begins with the prefix.
AFTER_ALL = "\U0010ffff"


def all_calls() -> QuerySet[Call]:
    """Return all calls, newest first, with what is shown of them."""
    return Call.objects.select_related("client", "handled_by").order_by("-started_at", "-id")


def find_call(text: str) -> Call | None:
    """Return the call with this UUID, else the one with this external id."""
    calls = all_calls()
    try:
        found = calls.filter(pk=UUID(text)).first()
    except ValueError:
        found = None
    return found or calls.filter(pk=call_uuid(text)).first()


def with_number(number: str) -> Q:
    """Return the condition that a call was made or received by a number."""
    addresses = spellings(number)
    return Q(calling_number__in=addresses) | Q(called_number__in=addresses)


def ways_to(number: str) -> list[Q]:
    """Return the ways to the calls of a number, each along an index of its own; a call may be found on two of them."""
    columns = ("calling_number", "called_number")
    return [Q(**{column: address}) for column in columns for address in spellings(number)]


def spellings(number: str) -> list[str]:
    """Return what a number may be stored as; a + is easily lost in an address, where it means a blank."""
    address = canonical(number)
    return [address, f"+{address}"] if address.isdigit() else [address]


def with_status(status: CallStatus) -> Q:
    """Return the condition that a call has a status, in words that lead to the index of calls over, or in progress."""
    return Q(outcome=status) if status in OUTCOMES else Q(status=status, ended_at__isnull=True)


def with_anomaly(anomaly: Anomaly) -> Q:
    """Return the condition that a call has an anomaly."""
    # The second condition says nothing new, but leads to the index of what is odd.
    return Q(GreaterThan(F("anomalies").bitand(int(anomaly)), 0)) & ~Q(anomalies=0)


def with_recording(wanted: bool) -> Q:
    """Return the condition that a call has a recording that was not deleted, or none."""
    recordings = CallRecording.objects.filter(call=OuterRef("pk")).exclude(status=RecordingStatus.DELETED)
    return Q(Exists(recordings)) if wanted else ~Q(Exists(recordings))


def matching(text: str) -> Q:
    """Return the condition that a call has this id, a number that begins so, or a client with this in the name."""
    found = Q(pk=call_uuid(text)) | with_number(text)
    with suppress(ValueError):
        found |= Q(pk=UUID(text))
    start = spellings(text)[-1]
    if start.startswith("+"):
        for column in ("calling_number", "called_number"):
            found |= Q(**{f"{column}__gte": start, f"{column}__lt": start + AFTER_ALL})
    clients = Client.objects.filter(Q(name__icontains=text) | Q(company__icontains=text)).values("pk")
    return found | Q(client__in=clients)


def events_in_order(call: Call) -> list[CallEvent]:
    """Return a call's events in the order in which they are taken."""
    events = call.events.select_related("user").order_by()
    return sorted(events, key=lambda event: (event.occurred_at, RANKS[event.type], event.event_id, event.source))


def recordings_of(call: Call) -> list[CallRecording]:
    """Return a call's recordings, the latest first."""
    return list(call.recordings.order_by("-created_at", "-id"))
