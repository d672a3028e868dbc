"""The days that people look at, and the earlier days that they hold them against."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from calls.domain.periods import Bucket, Period, Span, buckets, span_of

DAYS_OF_A_CHART = 14


class Range(StrEnum):
    """The ranges of days to choose from; all but yesterday end now."""

    TODAY = "today"
    YESTERDAY = "yesterday"
    WEEK = "7days"
    MONTH = "30days"


# How many days before today a range begins, and how many before it the days lie that it is held against:
# whole weeks where that is possible, since a Monday is best held against a Monday.
_FIRST_DAY = {Range.TODAY: 0, Range.YESTERDAY: 1, Range.WEEK: 6, Range.MONTH: 29}
_COMPARED = {Range.TODAY: 7, Range.YESTERDAY: 7, Range.WEEK: 7, Range.MONTH: 30}


@dataclass(frozen=True, slots=True)
class Days:
    """A range of days at one moment, with everything that a screen shows of it in a time zone.

    `span` ends at the moment, or at the end of yesterday; `before` is the same part of the earlier days.
    `days` are the whole days of the chart by day: those of the range, or the two weeks that a single day ends.
    `hours` are all their hours.
    """

    span: Span
    before: Span
    days: tuple[Span, ...]
    hours: tuple[Span, ...]


def days_of(chosen: Range, *, zone: ZoneInfo, at: datetime) -> Days:
    """Return a range of days as it stands at a moment."""
    today = span_of(Period.TODAY, zone=zone, at=at)
    start = _first_instant(earlier(today.start, days=_FIRST_DAY[chosen], zone=zone), zone)
    span = Span(start, today.start if chosen is Range.YESTERDAY else today.end)
    last = earlier(today.start, days=1, zone=zone) if chosen is Range.YESTERDAY else today.start
    charted = _FIRST_DAY[chosen] + 1 if chosen in (Range.WEEK, Range.MONTH) else DAYS_OF_A_CHART
    first = _first_instant(earlier(last, days=charted - 1, zone=zone), zone)
    compared = _COMPARED[chosen]
    before = Span(earlier(span.start, days=compared, zone=zone), earlier(span.end, days=compared, zone=zone))
    days = tuple(buckets(Span(first, last + timedelta(microseconds=1)), bucket=Bucket.DAY, zone=zone))
    hours = tuple(buckets(Span(first, days[-1].end), bucket=Bucket.HOUR, zone=zone))
    return Days(span, before, days, hours)


def earlier(instant: datetime, *, days: int, zone: ZoneInfo) -> datetime:
    """Return the instant at which clocks in a zone showed the same time some days before."""
    local = instant.astimezone(zone)
    naive = local.replace(tzinfo=None) - timedelta(days=days)
    return naive.replace(tzinfo=zone, fold=local.fold).astimezone(UTC)


def _first_instant(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant of a local day."""
    return span_of(Period.TODAY, zone=zone, at=instant).start
