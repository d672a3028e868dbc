"""Figures about many calls, from stored columns, in SQL that both databases understand alike."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Any

from django.db import connection

from calls.domain.periods import Span
from calls.models import Call
from calls.queries.hours import add_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures of the calls that began in a span and are over."""

    total_calls: int
    answered_calls: int
    missed_calls: int
    inbound_calls: int
    outbound_calls: int
    answer_rate: float
    average_duration_seconds: int


def summary_of(span: Span) -> Summary:
    """Return the figures of a span; without calls all are zero."""
    names = ("calls", "answered", "inbound", "outbound", "seconds", "timed")
    figures = add_up([span], names).get(0, (0,) * len(names))
    total, answered, inbound, outbound, seconds, timed = figures
    return Summary(
        total_calls=total,
        answered_calls=answered,
        missed_calls=total - answered,
        inbound_calls=inbound,
        outbound_calls=outbound,
        answer_rate=percentage(answered, total),
        average_duration_seconds=mean(seconds, timed),
    )


def percentage(part: int, whole: int) -> float:
    """Return a part in per cent with one decimal, halves rounded up; of nothing it is zero."""
    if not whole:
        return 0.0
    return float((Decimal(100 * part) / whole).quantize(Decimal("0.1"), ROUND_HALF_UP))


def mean(total: int, count: int) -> int:
    """Return a mean as a whole number, halves rounded up; of nothing it is zero."""
    return (2 * total + count) // (2 * count) if count else 0


# -- Series ----------------------------------------------------------------------------------------


class Group(StrEnum):
    """By what a series is split; the values are the columns."""

    DIRECTION = "direction"
    CLIENT = "client_id"
    AGENT = "handled_by_id"


@dataclass(slots=True)
class Point:
    """The figures of one bucket: of the calls that began in it and are over, and how many went on at once at most."""

    start: datetime
    calls: int = 0
    answered: int = 0
    missed: int = 0
    talk_seconds: int = 0
    ring_p50: int | None = None
    ring_p95: int | None = None
    most_concurrent: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """How many calls began in a bucket and are over, and how many of them were answered."""

    calls: int = 0
    answered: int = 0

    @property
    def missed(self) -> int:
        """How many were not answered."""
        return self.calls - self.answered

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.calls + other.calls, self.answered + other.answered)


def counts_of(spans: Sequence[Span]) -> list[Counts]:
    """Return what a chart of calls needs, for every one of adjacent spans; a small part of `series_of`."""
    found = {place: Counts(*figures) for place, figures in add_up(spans, ("calls", "answered")).items()}
    return [found.get(place, Counts()) for place in range(len(spans))]


def series_of(spans: Sequence[Span], *, by: Group | None = None) -> dict[Any, list[Point]]:
    """Return, for every group that has calls (None: all together), a point for every one of adjacent spans."""
    series: dict[Any, list[Point]] = {}
    if by is None:
        series[None] = [Point(span.start) for span in spans]
    for group, place, *figures in run(_counts_sql(by), _counted(spans)):
        point = series.setdefault(group, [Point(span.start) for span in spans])[place]
        point.calls, point.answered, point.missed, point.talk_seconds = (int(figure) for figure in figures[:4])
        point.ring_p50, point.ring_p95 = figures[4], figures[5]
    for group, place, most in run(_concurrency_sql(by), _bucket_params(spans)):
        if group in series or most:
            series.setdefault(group, [Point(span.start) for span in spans])[place].most_concurrent = int(most)
    return series


_BUCKETS_POSTGRESQL = (
    "SELECT place::int - 1 AS place, s AS starts, e AS ends"
    " FROM unnest(%s::timestamptz[], %s::timestamptz[]) WITH ORDINALITY AS b(s, e, place)"
)
_BUCKETS_SQLITE = (
    "SELECT key AS place, json_extract(value, '$[0]') AS starts, json_extract(value, '$[1]') AS ends FROM json_each(%s)"
)


def _buckets() -> str:
    return _BUCKETS_POSTGRESQL if connection.vendor == "postgresql" else _BUCKETS_SQLITE


def _column(by: Group | None) -> str:
    return f"call.{by.value}" if by else "NULL"


def _counts_sql(by: Group | None) -> str:
    """Percentiles are by nearest rank: the smallest value that so many per cent of the calls do not exceed."""
    return f"""
        WITH bucket AS ({_buckets()}),
        counted AS (
            SELECT {_column(by)} AS grp, place, answered_at, talk_seconds, ring_seconds,
                ROW_NUMBER() OVER (
                    PARTITION BY {_column(by) + ", " if by else ""}place, ring_seconds IS NULL ORDER BY ring_seconds
                ) AS rank,
                COUNT(ring_seconds) OVER (PARTITION BY {_column(by) + ", " if by else ""}place) AS timed
            FROM bucket JOIN {Call._meta.db_table} AS call ON call.started_at >= starts AND call.started_at < ends
            WHERE call.ended_at IS NOT NULL AND call.started_at >= %s AND call.started_at < %s
        )
        SELECT grp, place, COUNT(*), COUNT(answered_at), COUNT(*) - COUNT(answered_at), COALESCE(SUM(talk_seconds), 0),
            MAX(CASE WHEN rank = (timed * 50 + 99) / 100 THEN ring_seconds END),
            MAX(CASE WHEN rank = (timed * 95 + 99) / 100 THEN ring_seconds END)
        FROM counted GROUP BY grp, place
    """  # noqa: S608 - columns and tables of ours


def _concurrency_sql(by: Group | None) -> str:
    """A call begins to count at its start and ceases at its end; a marker at each bucket's start carries the sum in."""
    greatest = "GREATEST" if connection.vendor == "postgresql" else "MAX"
    partition = "" if not by else "PARTITION BY grp "
    return f"""
        WITH bucket AS ({_buckets()}),
        span AS (SELECT MIN(starts) AS starts, MAX(ends) AS ends FROM bucket),
        going AS (
            SELECT {_column(by)} AS grp, {greatest}(call.started_at, span.starts) AS began, call.ended_at AS ended
            FROM span JOIN {Call._meta.db_table} AS call ON call.started_at < span.ends
            WHERE call.ended_at IS NULL OR (call.ended_at > span.starts AND call.ended_at > call.started_at)
        ),
        step AS (
            SELECT grp, began AS at, 1 AS change FROM going
            UNION ALL SELECT grp, ended, -1 FROM going WHERE ended IS NOT NULL
            UNION ALL SELECT grp, starts, 0 FROM bucket CROSS JOIN (SELECT DISTINCT grp FROM going) AS groups
        ),
        level AS (
            SELECT grp, at, SUM(change) OVER (
                {partition}ORDER BY at, CASE change WHEN -1 THEN 0 WHEN 1 THEN 1 ELSE 2 END
                ROWS UNBOUNDED PRECEDING
            ) AS calls FROM step
        )
        SELECT grp, place, MAX(calls) FROM bucket JOIN level ON at >= starts AND at < ends GROUP BY grp, place
    """  # noqa: S608 - columns and tables of ours


def as_param(instant: datetime) -> Any:
    """Return an instant as the database compares it."""
    return instant if connection.vendor == "postgresql" else str(instant.astimezone(UTC).replace(tzinfo=None))


def _bucket_params(spans: Sequence[Span]) -> list[Any]:
    if connection.vendor == "postgresql":
        return [[span.start for span in spans], [span.end for span in spans]]
    return [json.dumps([[as_param(span.start), as_param(span.end)] for span in spans])]


def _bounds(spans: Sequence[Span]) -> list[Any]:
    """Return the bounds of all spans together, which let the index on the start do its work."""
    return [as_param(spans[0].start), as_param(spans[-1].end)]


def _counted(spans: Sequence[Span]) -> list[Any]:
    return [*_bucket_params(spans), *_bounds(spans)]


def as_instant(value: Any) -> datetime:
    """Return the instant that the database answered with; SQLite knows only texts."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)


def run(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    """Return the rows that a statement finds."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
