"""Removing calls that were only made for a test: the one place, beside erasing a number, where events go."""

from functools import partial
from uuid import UUID

from django.db import transaction

from calls.domain.vocabulary import Source
from calls.models import Call, CallEvent, CallRecording
from calls.operations.hours import note_changes

# How many calls are removed in one transaction.
STRETCH = 500
# A character after all that an id can have; what lies between a prefix and it begins with the prefix.
AFTER_ALL = "\U0010ffff"


def remove_calls(prefix: str) -> int:
    """Remove the calls whose own id and that of one of their events begin so, with all they have; return how many."""
    removed = 0
    while ids := _some_calls(prefix):
        with transaction.atomic():
            # Locked, so that whoever reports an event just now waits, and then begins the call anew.
            calls = Call.objects.select_for_update().filter(pk__in=ids).order_by("pk")
            times = list(calls.values_list("started_at", "ended_at"))
            recordings = CallRecording.objects.filter(call__in=ids)
            for recording in recordings.exclude(file=""):
                transaction.on_commit(partial(recording.file.storage.delete, str(recording.file.name)))
            recordings.delete()
            CallEvent.objects.filter(call__in=ids).delete()
            Call.objects.filter(pk__in=ids).delete()
            note_changes(times)
        removed += len(ids)
    return removed


def _some_calls(prefix: str) -> list[UUID]:
    """Return some calls with this prefix; looked for by their events, of which an index begins with source and id."""
    events = CallEvent.objects.order_by().filter(
        source__in=list(Source), event_id__gte=prefix, event_id__lt=prefix + AFTER_ALL
    )
    ours = events.filter(call__external_id__startswith=prefix).values_list("call", flat=True).distinct()
    return sorted(ours[:STRETCH])
