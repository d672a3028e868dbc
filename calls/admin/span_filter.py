"""Filters that the front page's pictures lead to: exactly the calls behind a figure."""

from datetime import UTC, datetime
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q
from django.http import HttpRequest

from calls.admin.filters import WordFilter
from calls.admin.paging import KeysetFilter
from calls.domain.instants import NotAnInstant, read_instant, write_instant
from calls.domain.periods import Span


def write_span(span: Span) -> str:
    """Return a span as an address names it: an interval of ISO 8601, two instants with a slash between."""
    return f"{write_instant(span.start)}/{write_instant(span.end)}"


def read_span(text: str) -> Span:
    """Return the span that a text names; raise IncorrectLookupParameters."""
    start, slash, end = text.partition("/")
    try:
        span = Span(read_instant(start), read_instant(end))
    except NotAnInstant as error:
        raise IncorrectLookupParameters(f"{text!r} is no span of time: {error}") from error
    if not slash or span.end < span.start:
        raise IncorrectLookupParameters(f"{text!r} is no span of time.")
    return span


class SpanFilter(KeysetFilter):
    """Calls that started in a span of time, to the instant. There are too many to choose from: pages link here."""

    title = "exact start"
    parameter_name = "span"
    fits_every_index = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the span that was chosen, if any."""
        text = self.value()
        if not text:
            return []
        span = read_span(text)
        start, end = span.start.astimezone(UTC), span.end.astimezone(UTC)
        return [(text, f"{_minute(start)} to before {_minute(end)} UTC")]

    def conditions(self) -> tuple[Q, Q]:
        """Return the range of the start, half-open."""
        text = self.value()
        if not text:
            return Q(), Q()
        span = read_span(text)
        return Q(started_at__gte=span.start, started_at__lt=span.end), Q()


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at.second == 0 else f"{at:%Y-%m-%d %H:%M:%S}"


class AnsweredFilter(WordFilter):
    """Whether a call that is over was answered; no index serves it."""

    title = "answered"
    parameter_name = "answered"
    words = [("yes", "answered, and over"), ("no", "missed, of whatever kind")]

    def condition(self, word: str) -> tuple[Q, Q]:
        """Return the calls as the statistics count them, as something to be checked row by row."""
        return Q(), Q(ended_at__isnull=False, answered_at__isnull=word == "no")
