"""Figures of spans of time, from the hours that are added up where that is so, else from the calls themselves.

Both come from one statement, so from one view of the database: the answer is what adding up all calls
of that moment gives, whatever others are writing and whichever hours are added up.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from calls.domain.periods import HOUR, Span, hour_of
from calls.models import Call, ChangedHour, HourFigures
from calls.models.hours import FIGURES
from calls.queries.reading import read
from calls.queries.values import as_param

HOURS, CHANGED, CALLS = (model._meta.db_table for model in (HourFigures, ChangedHour, Call))


def add_up(spans: Sequence[Span], names: Sequence[str]) -> dict[int, tuple[int, ...]]:
    """Return these FIGURES of the calls that began in each of adjacent spans and are over, by the spans' places.

    Spans without any may be left out.
    """
    start, end = spans[0].start, spans[-1].end
    first, after = _next_hour(start), hour_of(end)
    if first >= after:
        first = after = end  # all of it is an edge
    if len(spans) == 1 and (sums := _without_gaps(names, start, first, after, end)):
        return {0: sums}
    sql, params = _statement(spans, names, [(start, first), (after, end)], first, after)
    found: dict[int, tuple[int, ...]] = {}
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        for place, *figures in cursor.fetchall():
            sums = found.get(place, (0,) * len(names))
            found[place] = tuple(int(figure) + had for figure, had in zip(figures, sums, strict=True))
    return found


def _without_gaps(
    names: Sequence[str], start: datetime, first: datetime, after: datetime, end: datetime
) -> tuple[int, ...] | None:
    """Return the figures of a span all of whose whole hours hold, as those of most spans do; None if one does not.

    Nothing but counting tells whether they all do: looking for the gaps takes several times as long as adding up.
    """
    sums = ", ".join(f"COALESCE(SUM({name}), 0)" for name in names)
    counts = ", ".join(FIGURES[name] for name in names)
    edge = f"""
        UNION ALL SELECT NULL, {counts} FROM {CALLS} AS call
        WHERE call.started_at >= %s AND call.started_at < %s AND call.ended_at IS NOT NULL
    """  # noqa: S608 - columns and tables of ours
    edges = [(begin, till) for begin, till in ((start, first), (after, end)) if begin < till]
    rows = read(
        f"""
        SELECT COUNT(*), {sums} FROM {HOURS}
        WHERE hour >= %s AND hour < %s AND hour NOT IN (SELECT hour FROM {CHANGED} WHERE hour >= %s AND hour < %s)
        {edge * len(edges)}
        """,  # noqa: S608 - columns and tables of ours
        [as_param(at) for at in (first, after, first, after, *(at for edge in edges for at in edge))],
    )
    if any(hours is not None and hours != (after - first) // HOUR for hours, *_ in rows):
        return None
    return tuple(sum(map(int, column)) for column in list(zip(*rows, strict=True))[1:])


def _next_hour(instant: datetime) -> datetime:
    hour = hour_of(instant)
    return hour if hour == instant else hour + HOUR


def _statement(
    spans: Sequence[Span], names: Sequence[str], edges: Sequence[tuple[datetime, datetime]], first: Any, after: Any
) -> tuple[str, list[Any]]:
    """Return the SQL, with its parameters.

    `good`: the hours whose figures hold, and in the middle of which no span begins. `piece`: the stretches between
    them, and the edges, which are no whole hours; here the calls are added up.
    """
    split = [hour_of(span.start) for span in spans[1:] if span.start != hour_of(span.start)]
    postgresql = connection.vendor == "postgresql"
    following = "hour + interval '1 hour'" if postgresql else "datetime(hour, '+1 hour')"
    instant = "%s::timestamptz" if postgresql else "%s"
    several = len(spans) > 1

    def placed(column: str) -> str:
        if not several:
            return "0"
        if postgresql:
            return f"width_bucket({column}, %s::timestamptz[]) - 1"
        return f"(SELECT MAX(key) FROM json_each(%s) WHERE value <= {column})"  # noqa: S608 - names of ours

    begins = [as_param(span.start) for span in spans]
    starts: list[Any] = [begins if postgresql else json.dumps(begins)] if several else []
    unsplit, halves = "", [as_param(hour) for hour in split]
    if halves:
        unsplit = (
            "AND hour <> ALL(%s::timestamptz[])" if postgresql else "AND hour NOT IN (SELECT value FROM json_each(%s))"
        )
    splits: list[Any] = [halves if postgresql else json.dumps(halves)] if halves else []
    sums = ", ".join(f"SUM({name})" for name in names)
    counts = ", ".join(FIGURES[name] for name in names)
    within = "call.started_at >= begins AND call.started_at < ends AND call.ended_at IS NOT NULL"
    figures = f"SELECT {placed('call.started_at')}, {counts} FROM"
    if postgresql:
        # Each piece by itself: a join might read all calls once and look for the pieces among them.
        each = f"{figures} {CALLS} AS call WHERE {within} GROUP BY 1"
        pieces = f"SELECT figures.* FROM piece CROSS JOIN LATERAL ({each}) AS figures"  # noqa: S608 - names of ours
    else:
        pieces = f"{figures} piece JOIN {CALLS} AS call ON {within} GROUP BY 1"
    sql = f"""
        WITH good AS MATERIALIZED (
            SELECT hour, {", ".join(names)} FROM {HOURS} AS figures
            WHERE hour >= {instant} AND hour < {instant}
                AND NOT EXISTS (SELECT 1 FROM {CHANGED} AS changed WHERE changed.hour = figures.hour)
                {unsplit}
        ),
        piece AS (
            SELECT begins, hour AS ends FROM (
                SELECT hour, lag({following}, 1, {instant}) OVER (ORDER BY hour) AS begins
                FROM (SELECT hour FROM good UNION ALL SELECT {instant}) AS there
            ) AS neighbours WHERE hour > begins
            UNION ALL SELECT {instant}, {instant} UNION ALL SELECT {instant}, {instant}
        )
        SELECT {placed("hour")}, {sums} FROM good GROUP BY 1
        UNION ALL
        {pieces}
    """  # noqa: S608 - columns and tables of ours
    bounds = [as_param(instant) for instant in (first, after)]
    edged = [as_param(instant) for edge in edges for instant in edge]
    return sql, [*bounds, *splits, *bounds, *edged, *starts, *starts]
