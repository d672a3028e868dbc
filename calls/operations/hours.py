"""Adding calls up by hours, beside writers who go on changing them (docs/decisions/0020).

Whoever changes calls that are over notes their hours in the same transaction (`note_changes`). Whoever adds an
hour up takes away, in the same statement and so with the same view of the database, exactly those notes whose
changes it sees. A hour without a note is therefore always what its calls add up to. Only of the latest hours
nothing is noted, since they are never added up: that is what keeps the notes out of the way of live calls.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Min
from django.utils import timezone

from calls.domain.periods import HOUR, hour_of
from calls.models import Call, ChangedHour, HourFigures
from calls.models.hours import FIGURES
from calls.operations.running import run
from calls.operations.turns import write_turn

# Changes to hours that began later than so long ago are not noted.
NOTED_AFTER = timedelta(hours=1)
# Hours are added up when they ended so long ago: the difference is more than clocks of servers may differ ...
ROLLED_AFTER = timedelta(hours=3)
# ... and so long before the oldest transaction began that may just now be changing calls without noting it.
BEFORE_THE_OLDEST = timedelta(hours=2)
# How many hours are added up in one transaction: a day.
STRETCH = 24
# Any number that is used for nothing else: those who add up take turns.
LOCK = 7_041_515
HOURS, CHANGED, CALLS = (model._meta.db_table for model in (HourFigures, ChangedHour, Call))

# When a call began, and when it ended.
Times = tuple[datetime | None, datetime | None]


def hours_to_note(calls: Iterable[Times]) -> list[datetime]:
    """Return the hours of calls, given as they were and as they are now, of which a change has to be noted."""
    latest = timezone.now() - NOTED_AFTER
    began = {start for start, end in calls if start is not None and end is not None and start < latest}
    return sorted({hour for start in began if (hour := hour_of(start)) < latest})


def note_changes(calls: Iterable[Times]) -> None:
    """Note that calls, given as they were and as they are now, have changed; to be called in the same transaction."""
    hours = hours_to_note(calls)
    if not hours:
        return
    if connection.vendor == "postgresql":
        listed = f"{{{','.join(hour.isoformat() for hour in hours)}}}"
        run(f"INSERT INTO {CHANGED} (hour) SELECT unnest(%s::timestamptz[])", [listed])
    else:
        ChangedHour.objects.bulk_create(ChangedHour(hour=hour) for hour in hours)


def roll_up() -> Iterator[int]:
    """Add up the hours that are over and not added up yet, or have changed since; yield after some how many."""
    bound = _bound()
    changed = ChangedHour.objects.filter(hour__lt=bound).order_by("hour").distinct()
    yield from _in_stretches(list(changed.values_list("hour", flat=True)))
    for start, end in _gaps(bound):
        yield from _fill(start, end)


def _fill(start: datetime | None, end: datetime) -> Iterator[int]:
    """Add up what lies between, from each call on for a day; where there are no calls, nothing needs to be there."""
    while True:
        calls = Call.objects.filter(started_at__lt=end)
        if start is not None:
            calls = calls.filter(started_at__gte=start)
        first = calls.aggregate(first=Min("started_at"))["first"]
        if first is None:
            return
        hour = hour_of(first)
        count = min(STRETCH, (end - hour) // HOUR)
        yield from _in_stretches([hour + place * HOUR for place in range(count)])
        start = hour + count * HOUR


def _bound() -> datetime:
    """Return before which hours may be added up."""
    bound = timezone.now() - ROLLED_AFTER
    if connection.vendor == "postgresql":
        [[oldest]] = run(
            "SELECT LEAST(min(xact_start), now()) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
            [],
        )
        bound = min(bound, oldest - BEFORE_THE_OLDEST)
    return hour_of(bound)


def _gaps(bound: datetime) -> list[tuple[datetime | None, datetime]]:
    """Return the stretches of time without figures before a bound; the first one has no beginning."""
    there = HourFigures.objects.filter(hour__lt=bound).order_by("hour").values_list("hour", flat=True)
    gaps: list[tuple[datetime | None, datetime]] = []
    free: datetime | None = None
    for hour in there.iterator(chunk_size=10_000):
        if hour != free:
            gaps.append((free, hour))
        free = hour + HOUR
    if free is None or free < bound:
        gaps.append((free, bound))
    return gaps


def _in_stretches(hours: Sequence[datetime]) -> Iterator[int]:
    for place in range(0, len(hours), STRETCH):
        part = hours[place : place + STRETCH]
        _add_up(part)
        yield len(part)


def _add_up(hours: Sequence[datetime]) -> None:
    """Add hours up from their calls, and take away the notes on them that are thereby settled."""
    names = ", ".join(FIGURES)
    figures = ", ".join(FIGURES.values())
    news = ", ".join(f"{name} = excluded.{name}" for name in FIGURES)
    postgresql = connection.vendor == "postgresql"
    if postgresql:
        source = "unnest(%s::timestamptz[], %s::timestamptz[]) AS wanted(hour, after)"
        begins, ends = ([f"{at.isoformat()}" for at in times] for times in (hours, [q + HOUR for q in hours]))
        params: list[Any] = [f"{{{','.join(begins)}}}", f"{{{','.join(ends)}}}"]
    else:
        source = (
            "(SELECT json_extract(value, '$[0]') AS hour, json_extract(value, '$[1]') AS after"
            " FROM json_each(%s)) AS wanted"
        )
        params = [json.dumps([[_text(hour), _text(hour + HOUR)] for hour in hours])]
    insert = (
        f"INSERT INTO {HOURS} (hour, {names}) SELECT wanted.hour, {figures} FROM {source}"  # noqa: S608 - names of ours
        f" LEFT JOIN {CALLS} AS call ON call.started_at >= wanted.hour AND call.started_at < wanted.after"
        f" AND call.ended_at IS NOT NULL WHERE true GROUP BY wanted.hour"
        f" ON CONFLICT (hour) DO UPDATE SET {news}"
    )
    with write_turn(), transaction.atomic():
        if postgresql:
            # The statement after this one sees all that those before us have done: figures never go back in time.
            run("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            settled = f"DELETE FROM {CHANGED} WHERE hour = ANY(%s::timestamptz[])"  # noqa: S608 - names of ours
            run(f"WITH settled AS ({settled}) {insert}", [params[0], *params])
        else:  # nobody else writes meanwhile
            ChangedHour.objects.filter(hour__in=hours).delete()
            run(insert, params)


def _text(at: datetime) -> str:
    return str(at.astimezone(UTC).replace(tzinfo=None))
