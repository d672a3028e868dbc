"""All calls or events of a choice, a stretch at a time, so that memory stays flat however many there are.

Calls are walked by their place (start, id), each stretch by a query of its own: no transaction stays open, so that an
export of hours holds nothing up. What is recorded meanwhile may or may not be among it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from calls.domain.events import Event
from calls.domain.vocabulary import RANKS, CallStatus, Direction
from calls.models import Call, CallEvent
from calls.queries.calls import ways_to, with_status

STRETCH = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which calls: those that began in a span (its end is exclusive), of a number, with a status or direction."""

    start: datetime | None = None
    end: datetime | None = None
    number: str | None = None
    status: CallStatus | None = None
    direction: Direction | None = None


def walk_calls(choice: Choice, *, stretch: int = STRETCH) -> Iterator[list[Call]]:
    """Yield the chosen calls, oldest first, with what is shown of them."""
    calls = Call.objects.select_related("client", "handled_by").order_by("started_at", "id")
    if choice.start is not None:
        calls = calls.filter(started_at__gte=choice.start)
    if choice.end is not None:
        calls = calls.filter(started_at__lt=choice.end)
    if choice.status is not None:
        calls = calls.filter(with_status(choice.status))
    if choice.direction is not None:
        calls = calls.filter(direction=choice.direction)
    rest = calls
    while found := _next(rest, choice.number, stretch):
        yield found
        last = found[-1]
        later = Q(started_at__gt=last.started_at) | Q(pk__gt=last.pk)
        rest = calls.filter(later, started_at__gte=last.started_at)


def _next(calls: QuerySet[Call], number: str | None, stretch: int) -> list[Call]:
    """Return the next calls; those of a number come from two indexes, each in order."""
    if number is None:
        return list(calls[:stretch])
    found = {}
    for way in ways_to(number):
        found.update({call.pk: call for call in calls.filter(way)[:stretch]})
    return sorted(found.values(), key=lambda call: (call.started_at, call.pk))[:stretch]


def walk_events(choice: Choice, *, stretch: int = STRETCH) -> Iterator[list[tuple[Event, str | None]]]:
    """Yield the events of the chosen calls, call by call in event order, with who of us caused each."""
    for calls in walk_calls(choice, stretch=stretch):
        names = {call.pk: call.external_id for call in calls}
        logs: dict[object, list[CallEvent]] = {call: [] for call in names}
        # Without regard to order, so that the index of calls is all that is needed.
        for event in CallEvent.objects.select_related("user").filter(call__in=list(names)).order_by():
            logs[event.call_id].append(event)
        for call, log in logs.items():
            log.sort(key=lambda event: (event.occurred_at, RANKS[event.type], event.event_id, event.source))
            yield [
                (event.as_event(call_id=names[call]), event.user.get_username() if event.user else None)  # type: ignore[index]
                for event in log
            ]
