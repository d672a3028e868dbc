"""What the front page shows beside the statistics. Nothing here reads more rows than a bound allows.

Tables of calls and events may hold tens of millions of rows; the bounds below are what one look at the
page may cost. Where a bound cut something off, the answer says so.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Q, QuerySet

from calls.domain.numbers import is_own
from calls.domain.periods import Span
from calls.domain.state import remote_numbers
from calls.domain.vocabulary import CallStatus, Direction, Source
from calls.models import Call, CallEvent, ClientNumber

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
    counts = _over(span).order_by().values_list("status").annotate(Count("pk"))
    return {CallStatus(status): count for status, count in counts}


def _over(span: Span) -> QuerySet[Call]:
    """Return the calls that the statistics of a span count."""
    return Call.objects.filter(started_at__gte=span.start, started_at__lt=span.end, ended_at__isnull=False)


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
    columns = _over(span).values_list("direction", "calling_number", "called_number", "answered_at")
    rows = list(columns.order_by("-started_at", "-id")[: CALLS_LOOKED_THROUGH + 1])
    found: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for direction, calling, called, answered_at in rows[:CALLS_LOOKED_THROUGH]:
        # A number that calls itself is one party.
        for party in set(remote_numbers(Direction(direction), calling, called)):
            found[party] += 1
            answered[party] += answered_at is not None
    ours = tuple(settings.OWN_NUMBERS)
    others = (number for number in found if number and not is_own(number, ours))
    best = sorted(others, key=lambda number: (-found[number], number))[:count]
    owners = dict(ClientNumber.objects.filter(number__in=best).values_list("number", "client__name"))
    parties = [Party(number, found[number], answered[number], owners.get(number, "")) for number in best]
    return parties, len(rows) <= CALLS_LOOKED_THROUGH


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
    rows = CallEvent.objects.order_by("-id").values_list("source", "received_at", "occurred_at")
    latest = list(rows[:EVENTS_LOOKED_THROUGH])
    whole = len(latest) < EVENTS_LOOKED_THROUGH
    last: dict[str, datetime] = {}
    for source, received_at, _ in latest:
        last[source] = max(last.get(source, received_at), received_at)
    reach = min((received_at for _, received_at, _ in latest), default=at)
    odd = Call.objects.filter(~Q(anomalies=0), started_at__gte=span.start, started_at__lt=span.end)
    return Feed(
        sources=[*_news(last), *([] if whole else _rare(set(Source) - set(last), reach))],
        minutes=_minutes([received_at for _, received_at, _ in latest], at=at, reach=None if whole else reach),
        per_minute=_rate([received_at for _, received_at, _ in latest], at=at, reach=None if whole else reach),
        late=sum(received_at - occurred_at >= LATE for _, received_at, occurred_at in latest),
        looked_at=len(latest),
        odd=odd.order_by()[:COUNTED_AT_MOST].count(),
    )


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


def _minutes(received: list[datetime], *, at: datetime, reach: datetime | None) -> list[int | None]:
    counts: Counter[int] = Counter((at - moment) // timedelta(minutes=1) for moment in received)
    counts[0] += sum(counts.pop(minute) for minute in list(counts) if minute < 0)
    unknown = RATE_MINUTES if reach is None else max(1, (at - reach) // timedelta(minutes=1))
    return [counts[minute] if minute < unknown else None for minute in reversed(range(RATE_MINUTES))]


def _rate(received: list[datetime], *, at: datetime, reach: datetime | None) -> float:
    """Return the events a minute of the last five minutes, or of the shorter time that was looked through."""
    window = timedelta(minutes=5)
    if reach is not None:
        window = min(window, max(at - reach, timedelta(seconds=1)))
    return sum(moment > at - window for moment in received) / (window / timedelta(minutes=1))
