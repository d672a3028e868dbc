"""Compare a database with a ledger: `python -m tests.faults.audit`, the ledger as JSON on stdin.

A process of its own for every look, so that nothing of the one that made the storm is trusted. The answer is
JSON: how many events were lost or are there twice, and what is wrong, in sentences.
"""

import json
import os
import sys
from collections import Counter
from datetime import datetime
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
FACTS = ("event_id", "call_id", "type", "occurred_at", "source", "calling_number", "called_number", "cause")


def audit(sent: list[list[Any]], acked: list[str]) -> dict[str, Any]:
    """Return how the database differs from what was sent and acknowledged."""
    from django.utils import timezone

    from calls.domain.events import Event
    from calls.domain.vocabulary import EventType, Source
    from calls.models import Call, CallEvent
    from calls.operations.rebuild import rebuild
    from tests.reference import differences

    ledger: dict[str, Event] = {}
    for row in sent:
        values = dict(zip(FACTS, row, strict=True))
        at = datetime.fromisoformat(values.pop("occurred_at"))
        kind, source = EventType(values.pop("type")), Source(values.pop("source"))
        ledger[values["event_id"]] = Event(**values, type=kind, source=source, occurred_at=at, received_at=at)

    stored: Counter[str] = Counter()
    wrong: list[str] = []
    by_call: dict[str, list[Event]] = {}
    columns = ("event_id", "call__external_id", "type", "occurred_at", "source", "calling_number", "called_number")
    for event_id, *row in CallEvent.objects.values_list(*columns).iterator():
        stored[event_id] += 1
        event = ledger.get(event_id)
        if event is None:
            wrong.append(f"event {event_id} was never sent")
            continue
        facts = [event.call_id, event.type, event.occurred_at, event.source, event.calling_number, event.called_number]
        if row != facts:
            wrong.append(f"event {event_id} is stored as {row}, sent as {facts}")
        by_call.setdefault(event.call_id, []).append(event)
    hours: dict[datetime, Counter[str]] = {}
    for call in Call.objects.iterator():
        _add_up(hours, call)
        log = by_call.pop(call.external_id, None)
        if log is None:
            wrong.append(f"call {call.external_id} has no events")
        elif different := differences(log, call.state):
            wrong.append(f"call {call.external_id}: {different}")
    wrong += [f"call {call} has events and no row" for call in by_call]
    wrong += _wrong_hours(hours)
    rebuilt = [
        f"rebuild_calls would change {difference.external_id}: {difference.fields}"
        for progress in rebuild(Call.objects.all(), at=timezone.now(), dry_run=True)
        for difference in progress.differences
    ]
    lost = [event_id for event_id in acked if event_id not in stored]
    return {
        "events": sum(stored.values()),
        "lost": lost,
        "duplicated": [event_id for event_id, times in stored.items() if times > 1],
        "wrong": wrong + rebuilt,
    }


def _add_up(hours: dict[datetime, Counter[str]], call: Any) -> None:
    """Add a call that is over to the hour in which it began."""
    if call.started_at is None or call.ended_at is None:
        return
    sums = hours.setdefault(call.started_at.replace(minute=0, second=0, microsecond=0), Counter())
    sums["calls"] += 1
    sums["answered"] += call.answered_at is not None
    sums["timed"] += call.duration is not None
    sums["seconds"] += call.duration or 0
    sums[call.direction] += 1
    sums[call.status] += 1


def _wrong_hours(hours: dict[datetime, Counter[str]]) -> list[str]:
    """Return which figures by hours differ from their calls, although nothing says that they are out of date."""
    from calls.models import ChangedHour, HourFigures
    from calls.models.hours import FIGURES

    changed = set(ChangedHour.objects.values_list("hour", flat=True))
    wrong = []
    for row in HourFigures.objects.exclude(hour__in=changed):
        sums = hours.get(row.hour, Counter())
        wrong += [
            f"hour {row.hour:%d %H:00}: {name} {getattr(row, name)}, its calls have {sums[name]}"
            for name in FIGURES
            if getattr(row, name) != sums[name]
        ]
    return wrong


if __name__ == "__main__":
    django.setup()
    given = json.load(sys.stdin)
    json.dump(audit(given["sent"], given["acked"]), sys.stdout)
