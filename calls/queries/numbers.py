"""Looking up what a number's calls of the last weeks add up to, within bounds however many it has.

Both of its indexes are read from the newest call backwards, each no further than a window of time and a
number of calls; everything is counted from these calls.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from calls.models import Call
from calls.queries.statistics import mean, percentage
from calls.queries.values import as_param, as_time

# How far back, and how many calls in each direction at most.
WINDOW = timedelta(days=90)
CALLS_AT_MOST = 5_000
COUNTERPARTIES_AT_MOST = 10
# Every time zone's offset is a multiple of this, so that an hour of any zone is made of whole hours.
HOUR = 900

_TABLE = Call._meta.db_table


@dataclass(slots=True)
class Traffic:
    """The calls of one direction: how many, how many of them are over, and were answered.

    `missed` are those that ended unanswered; `seconds` is the length of the `timed` completed ones.
    """

    calls: int = 0
    ended: int = 0
    answered: int = 0
    seconds: int = 0
    timed: int = 0

    @property
    def missed(self) -> int:
        """How many ended without an answer."""
        return self.ended - self.answered

    @property
    def answer_rate(self) -> float | None:
        """The answered ones of those that are over, in per cent; None without any."""
        return percentage(self.answered, self.ended) if self.ended else None

    @property
    def average(self) -> int | None:
        """The mean duration of the completed ones in seconds; None without any."""
        return mean(self.seconds, self.timed) if self.timed else None


@dataclass(frozen=True, slots=True)
class Counterparty:
    """Another number, how many calls there were with it, and the latest one's start."""

    number: str
    calls: int
    answered: int
    last: datetime


@dataclass(slots=True)
class NumberFigures:
    """What a number's newest calls add up to; `heat` counts them by weekday (Monday is 0) and hour.

    `since` is where the figures begin: the window's start, or later if there were too many calls (`cut`).
    `counterparties` are the other numbers with which it had the most of them.
    """

    since: datetime
    cut: bool = False
    made: Traffic = field(default_factory=Traffic)
    received: Traffic = field(default_factory=Traffic)
    heat: list[list[int]] = field(default_factory=lambda: [[0] * 24 for _ in range(7)])
    counterparties: list[Counterparty] = field(default_factory=list)


def figures_of(number: str, *, at: datetime, zone: ZoneInfo) -> NumberFigures:
    """Return what the calls of a number in the window before `at` (and after it) add up to.

    One statement, which reads the calls once: most of its time goes into fetching them.
    """
    found = NumberFigures(since=at - WINDOW)
    hour = (
        "FLOOR(EXTRACT(EPOCH FROM started_at) / 900)"
        if connection.vendor == "postgresql"
        else "CAST(strftime('%%s', started_at) AS INTEGER) / 900"
    )
    rows = _run(
        f"{_recent()} SELECT made, {hour} AS hour, NULL AS other, COUNT(*) AS calls, COUNT(ended_at) AS ended,"  # noqa: S608 - names of ours
        " COUNT(CASE WHEN ended_at IS NOT NULL THEN answered_at END) AS answered,"
        " COALESCE(SUM(duration), 0) AS seconds, COUNT(duration) AS timed, MIN(started_at) AS at"
        " FROM recent GROUP BY made, hour"
        " UNION ALL SELECT * FROM (SELECT 0, 0, other, COUNT(*) AS calls, 0, COUNT(answered_at), 0, 0,"
        " MAX(started_at) AS last FROM recent WHERE other <> '' GROUP BY other"
        " ORDER BY calls DESC, last DESC, other LIMIT %s) AS parties",
        [*_params(number, found.since), COUNTERPARTIES_AT_MOST],
    )
    oldest: dict[int, datetime] = {}
    for made, place, other, calls, ended, answered, seconds, timed, moment in rows:
        if other is not None:
            found.counterparties.append(Counterparty(other, calls, answered, as_time(moment)))
            continue
        traffic = found.made if made else found.received
        traffic.calls += calls
        traffic.ended += ended
        traffic.answered += answered
        traffic.seconds += int(seconds)
        traffic.timed += timed
        oldest[made] = min(oldest.get(made, as_time(moment)), as_time(moment))
        local = datetime.fromtimestamp(int(place) * HOUR, UTC).astimezone(zone)
        found.heat[local.weekday()][local.hour] += calls
    # No database promises to keep the order of one part of a union.
    found.counterparties.sort(key=lambda one: (-one.calls, -one.last.timestamp(), one.number))
    # Where one direction was cut short, the figures of both begin at different times: say the later one.
    cuts = [oldest[made] for made, traffic in ((1, found.made), (0, found.received)) if traffic.calls >= CALLS_AT_MOST]
    if cuts:
        found.since, found.cut = max(cuts), True
    return found


def _recent() -> str:
    """Return the SQL of the number's newest calls; one with itself counts once, as made."""
    columns = "started_at, answered_at, ended_at, duration"
    branches = [
        (1, "called_number", "calling_number = %s"),
        (0, "calling_number", "called_number = %s AND calling_number <> %s"),
    ]
    selects = [
        f"SELECT * FROM (SELECT {made} AS made, {other} AS other, {columns} FROM {_TABLE}"  # noqa: S608 - names of ours
        f" WHERE {condition} AND started_at >= %s ORDER BY started_at DESC LIMIT {CALLS_AT_MOST}) AS branch_{made}"
        for made, other, condition in branches
    ]
    return f"WITH recent AS MATERIALIZED ({' UNION ALL '.join(selects)})"


def _params(number: str, since: datetime) -> list[Any]:
    start = as_param(since)
    return [number, start, number, number, start]


def _run(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
