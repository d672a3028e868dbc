"""Spans of time in a time zone: today, this week, this month, and the hours and days within."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class Period(StrEnum):
    """The named spans of the statistics; each begins at a local midnight and ends now."""

    TODAY = "today"
    WEEK = "week"
    MONTH = "month"


class Bucket(StrEnum):
    """The steps of a series."""

    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time, from its start until just before its end, in UTC."""

    start: datetime
    end: datetime


HOUR = timedelta(hours=1)


def hour_of(instant: datetime) -> datetime:
    """Return the beginning of the hour of UTC in which an instant lies."""
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _midnight(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant of a local day; where a clock change skips midnight, the first after it."""
    naive = datetime(local.year, local.month, local.day)
    return naive.replace(tzinfo=zone).astimezone(UTC)


def span_of(period: Period, *, zone: ZoneInfo, at: datetime) -> Span:
    """Return a named period up to `at`; weeks begin on Monday, months on the first."""
    day = at.astimezone(zone)
    if period is Period.WEEK:
        day -= timedelta(days=day.weekday())
    elif period is Period.MONTH:
        day = day.replace(day=1)
    return Span(_midnight(day, zone), at.astimezone(UTC))


def buckets(span: Span, *, bucket: Bucket, zone: ZoneInfo) -> Iterator[Span]:
    """Yield the steps of a span: local days, which may have 23 or 25 hours, or hours."""
    start = _first_start(span.start, bucket, zone)
    while start < span.end:
        end = _next_start(start, bucket, zone)
        yield Span(start, end)
        start = end


def _first_start(instant: datetime, bucket: Bucket, zone: ZoneInfo) -> datetime:
    local = instant.astimezone(zone)
    if bucket is Bucket.DAY:
        return _midnight(local, zone)
    # Counted back in UTC, so that the two hours of an autumn night that have one name stay two.
    into_hour = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return instant.astimezone(UTC) - into_hour


def _next_start(start: datetime, bucket: Bucket, zone: ZoneInfo) -> datetime:
    if bucket is Bucket.HOUR:
        return start + timedelta(hours=1)
    noon_after = start.astimezone(zone).replace(tzinfo=None) + timedelta(days=1, hours=12)
    return _midnight(noon_after, zone)
