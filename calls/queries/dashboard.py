"""What the front page shows beside the statistics. Nothing here reads more rows than a bound allows.

Tables of calls and events may hold tens of millions of rows; the bounds below are what one look at the
page may cost. Where a bound cut something off, the answer says so.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Q

from calls.domain.numbers import own_prefixes
from calls.domain.periods import Span
from calls.domain.state import remote_numbers
from calls.domain.vocabulary import OUTCOMES, CallStatus, Direction, Source
from calls.models import Call, CallEvent, ClientNumber
from calls.queries.calls import AFTER_ALL
from calls.queries.hours import add_up
from calls.queries.statistics import as_instant, as_param, run

# So many calls, the latest of a span, tell who is called and calls most.
CALLS_LOOKED_THROUGH = 20_000
# So many events, the latest, tell how the feed is.
EVENTS_LOOKED_THROUGH = 10_000
IN_PROGRESS_AT_MOST = 100
# Calls in progress and odd calls are counted up to here.
COUNTED_AT_MOST = 1_000
# An event that arrives longer after it happened is late.
LATE = timedelta(minutes=1)
RATE_MINUTES = 30


def any_calls() -> bool:
    """Say whether there is any call at all."""
    return Call.objects.order_by().exists()


def outcomes_of(span: Span) -> dict[CallStatus, int]:
    """Return how many of the calls that began in a span ended in which way."""
    words = sorted(OUTCOMES)
    counts = add_up([span], words).get(0, ())
    return {word: count for word, count in zip(words, counts, strict=False) if count}


# -- Who calls -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Party:
    """Another party of many calls, and the name of the client that has its number, if any."""

    number: str
    calls: int
    answered: int
    client_name: str


def most_frequent(span: Span, *, count: int) -> tuple[list[Party], bool]:
    """Return the other parties with the most of a span's calls that are over, and whether all were looked at.

    Where a direction is unknown, either party may be the other one; a number of our own is none.
    """
    # The rule tells of each direction which columns hold the other party.
    columns = ("calling_number", "called_number")
    ways = {column: [way for way in Direction if column in remote_numbers(way, *columns)] for column in columns}
    own, prefixes = _own_numbers()
    rows = run(
        f"""
        WITH latest AS (
            SELECT direction, calling_number, called_number, answered_at FROM {Call._meta.db_table}
            WHERE ended_at IS NOT NULL AND started_at >= %s AND started_at < %s
            ORDER BY started_at DESC, id DESC LIMIT %s
        ),
        party AS (
            SELECT calling_number AS number, answered_at FROM latest WHERE direction {_among(ways["calling_number"])}
            UNION ALL
            SELECT called_number, answered_at FROM latest WHERE direction {_among(ways["called_number"])}
                AND NOT (calling_number = called_number AND direction {_among(ways["calling_number"])})
        )
        SELECT number, COUNT(*), COUNT(answered_at), (SELECT COUNT(*) FROM latest) FROM party
        WHERE number <> '' AND NOT ({own}) GROUP BY number ORDER BY 2 DESC, 1 LIMIT %s
        """,  # noqa: S608 - tables, columns and words of ours
        [as_param(span.start), as_param(span.end), CALLS_LOOKED_THROUGH, *prefixes, count],
    )
    owners = dict(
        ClientNumber.objects.filter(number__in=[row[0] for row in rows]).values_list("number", "client__name")
    )
    parties = [Party(number, calls, answered, owners.get(number, "")) for number, calls, answered, _ in rows]
    # Exactly so many calls is taken for more: who would mind?
    return parties, not rows or rows[0][3] < CALLS_LOOKED_THROUGH


def _among(ways: list[Direction]) -> str:
    return f"IN ({', '.join(repr(way.value) for way in ways)})"


def _own_numbers() -> tuple[str, list[str]]:
    """Return the condition that a number is one of our own, and its parameters."""
    beginnings = own_prefixes(tuple(settings.OWN_NUMBERS))
    params = [bound for beginning in beginnings for bound in (beginning, beginning + AFTER_ALL)]
    return " OR ".join(["1 = 0", *["number >= %s AND number < %s"] * len(beginnings)]), params


# -- What goes on now ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InProgress:
    """The latest calls in progress, how many there are (counted up to COUNTED_AT_MOST), and the oldest one."""

    calls: list[Call]
    total: int
    oldest: Call | None


def in_progress() -> InProgress:
    """Return what goes on now."""
    going_on = Call.objects.filter(ended_at__isnull=True)
    calls = list(
        going_on.select_related("client", "handled_by")
        .order_by("-started_at", "-id")
        .defer("notes")[:IN_PROGRESS_AT_MOST]
    )
    if len(calls) < IN_PROGRESS_AT_MOST:
        return InProgress(calls, len(calls), calls[-1] if calls else None)
    total = going_on.order_by()[:COUNTED_AT_MOST].count()
    return InProgress(calls, total, going_on.order_by("started_at", "id").defer("notes").first())


# -- The feed --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceNews:
    """When a source last told us something; `exact` is false where it is only known to be earlier than that."""

    source: Source
    last_at: datetime
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Feed:
    """How the feed of events is.

    `minutes` are the events of each of the last RATE_MINUTES minutes, the present one last; None where they
    are more than are looked through. `late` and `looked_at` count the latest events, `odd` the odd calls of a span.
    """

    sources: list[SourceNews]
    minutes: list[int | None]
    per_minute: float
    late: int
    looked_at: int
    odd: int


def feed_of(span: Span, *, at: datetime) -> Feed:
    """Return how the feed is at a moment, and how many calls of a span are odd."""
    news: dict[str, datetime] = {}
    minutes: Counter[int] = Counter()
    late, reach = 0, at
    for source, minute, count, were_late, last_at, first_at in _latest_events(at):
        news[source] = max(news.get(source, last_at), last_at)
        minutes[minute] += count
        late, reach = late + were_late, min(reach, first_at)
    looked_at = minutes.total()
    whole = looked_at < EVENTS_LOOKED_THROUGH
    known = RATE_MINUTES if whole else max(1, (at - reach) // timedelta(minutes=1))
    odd = Call.objects.filter(~Q(anomalies=0), started_at__gte=span.start, started_at__lt=span.end)
    return Feed(
        sources=[*_news(news), *([] if whole else _rare(set(Source) - set(news), reach))],
        minutes=[minutes[minute] if minute < known else None for minute in reversed(range(RATE_MINUTES))],
        per_minute=_rate(minutes, at=at, reach=None if whole else reach),
        late=late,
        looked_at=looked_at,
        odd=odd.order_by()[:COUNTED_AT_MOST].count(),
    )


def _latest_events(at: datetime) -> list[tuple[str, int, int, int, datetime, datetime]]:
    """Return of the latest events, by source and by how many minutes ago, how many there were and were late.

    And when the last and the first of them arrived. What is older than RATE_MINUTES is one minute.
    """
    if connection.vendor == "postgresql":
        ago, lateness = (
            "FLOOR(EXTRACT(EPOCH FROM %s - received_at) / 60)",
            "EXTRACT(EPOCH FROM received_at - occurred_at)",
        )
        least, greatest = "LEAST", "GREATEST"
    else:
        # Days as a fraction are exact to a tenth of a millisecond.
        ago = "ROUND((julianday(%s) - julianday(received_at)) * 86400, 3) / 60"
        lateness = "ROUND((julianday(received_at) - julianday(occurred_at)) * 86400, 3)"
        least, greatest = "MIN", "MAX"
    rows = run(
        f"""
        SELECT source, CAST({greatest}(0, {least}({RATE_MINUTES}, {ago})) AS integer) AS minute,
            COUNT(*), SUM(CASE WHEN {lateness} >= %s THEN 1 ELSE 0 END), MAX(received_at), MIN(received_at)
        FROM (
            SELECT source, received_at, occurred_at FROM {CallEvent._meta.db_table} ORDER BY id DESC LIMIT %s
        ) AS latest
        GROUP BY 1, 2
        """,  # noqa: S608 - a table of ours
        [as_param(at), LATE.total_seconds(), EVENTS_LOOKED_THROUGH],
    )
    return [(*row[:4], as_instant(row[4]), as_instant(row[5])) for row in rows]


def _news(last: dict[str, datetime]) -> list[SourceNews]:
    return sorted((SourceNews(Source(source), at) for source, at in last.items()), key=lambda news: news.source)


def _rare(sources: set[Source], reach: datetime) -> list[SourceNews]:
    """Return the news of the sources that none of the latest events is from.

    No index leads to a source's last event, and none is worth what it would cost each event. But whoever is
    not among the latest has either said little altogether, and then all of it is read, or nothing for long.
    """
    found = []
    for source in sorted(sources):
        # In the order of the unique index, which so is sure to be used.
        rows = CallEvent.objects.filter(source=source).order_by("event_id").values_list("received_at", flat=True)
        received = list(rows[:EVENTS_LOOKED_THROUGH])
        if len(received) == EVENTS_LOOKED_THROUGH:
            found.append(SourceNews(source, reach, exact=False))
        elif received:
            found.append(SourceNews(source, max(received)))
    return found


def _rate(minutes: Counter[int], *, at: datetime, reach: datetime | None) -> float:
    """Return the events a minute of the last five minutes, or of the shorter time that was looked through."""
    if reach is not None and at - reach < timedelta(minutes=5):
        return minutes.total() / (max(at - reach, timedelta(seconds=1)) / timedelta(minutes=1))
    return sum(minutes[minute] for minute in range(5)) / 5
