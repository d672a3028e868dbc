"""The front page: today at a glance, what goes on now, and how the feed of events is."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from calls.admin.charts import Bar, bars, share, sparkline
from calls.admin.display import clock
from calls.admin.span_filter import write_span
from calls.domain.instants import write_instant
from calls.domain.numbers import formatted, region_of
from calls.domain.periods import Span
from calls.domain.ranges import Days, Range, days_of
from calls.domain.vocabulary import CallStatus
from calls.models import Call
from calls.queries import dashboard as queries
from calls.queries.quarantine import COUNT_AT_MOST, open_count
from calls.queries.statistics import Counts, Summary, counts_of, percentage, summary_of
from calls.web.zones import find_zone, zone_names

admin.site.index_template = "admin/calls/dashboard/index.html"

TITLES = {
    Range.TODAY: "Today",
    Range.YESTERDAY: "Yesterday",
    Range.WEEK: "Last 7 days",
    Range.MONTH: "Last 30 days",
}
PARTIES = 8
# Where the choice of a person is remembered, in the session.
REMEMBERED = "dashboard"
ANSWERED = (CallStatus.ENDED, CallStatus.TRANSFERRED)
NOT_ANSWERED = (
    CallStatus.MISSED, CallStatus.NO_ANSWER, CallStatus.BUSY, CallStatus.CANCELLED, CallStatus.FAILED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody wants to look at; without a zone of their own it is UTC."""

    range: Range
    zone: ZoneInfo
    zone_chosen: bool


def choose(request: HttpRequest) -> Choice:
    """Return what the address asks for, else what the session remembers; remember it."""
    remembered = request.session.get(REMEMBERED, {})
    asked = {name: request.GET.get(name) or remembered.get(name, "") for name in ("period", "tz")}
    chosen = asked["period"] if asked["period"] in list(Range) else Range.TODAY
    zone = find_zone(asked["tz"])
    kept = {"period": str(chosen), "tz": zone.key if zone else ""}
    if kept != remembered and (remembered or request.GET):
        request.session[REMEMBERED] = kept
    return Choice(Range(chosen), zone or ZoneInfo("UTC"), zone is not None)


# -- The page and its figures ----------------------------------------------------------------------


def front_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the index page what this person may see of the calls."""
    context["title"] = "Dashboard"
    context["sees_calls"] = request.user.has_perm("calls.view_call")
    if context["sees_calls"]:
        context |= _everything(request)
    return context


def figures(request: HttpRequest) -> HttpResponse:
    """Answer with the figures alone, which the page fetches again and again."""
    if not request.user.has_perm("calls.view_call"):
        raise PermissionDenied
    return render(request, "admin/calls/dashboard/figures.html", _everything(request))


def _everything(request: HttpRequest) -> dict[str, Any]:
    at, choice = timezone.now(), choose(request)
    context: dict[str, Any] = {
        "choice": choice,
        "periods": [{"value": str(one), "title": title} for one, title in TITLES.items()],
        "zones": zone_names(),
        "at": at,
        "any_calls": queries.any_calls(),
        "calls_url": reverse("admin:calls_call_changelist"),
        "figures_url": reverse("dashboard-figures"),
        "feed": None,
    }
    going_on = queries.in_progress()
    context["going_on"] = {
        "at": write_instant(at),
        "total": going_on.total,
        "counted": queries.COUNTED_AT_MOST,
        "calls": [_live(call) for call in going_on.calls],
        "call_url": reverse("admin:calls_call_change", args=["id"]),
    }
    if context["any_calls"]:
        days = days_of(choice.range, zone=choice.zone, at=at)
        context |= _glance(choice, days) | _charts(choice, days, at) | _parties(days.span)
        if request.user.has_perm("calls.view_callevent"):
            context["feed"] = _feed(days.span, going_on.oldest, at)
            if request.user.has_perm("calls.view_refusedreport"):
                context["feed"] |= _refused()
    return context


def _live(call: Call) -> dict[str, Any]:
    """Return a call in the form of the API and the WebSocket, as far as the page uses it."""
    times = {name: getattr(call, name) for name in ("started_at", "ringing_at", "answered_at", "ended_at")}
    return {
        "id": str(call.pk),
        "caller_number": call.calling_as_sent or call.calling_number,
        "recipient_number": call.called_as_sent or call.called_number,
        "direction": call.direction,
        "status": call.status,
        "client_name": call.client.name if call.client else None,
        "handled_by_name": call.handled_by and (call.handled_by.get_full_name() or call.handled_by.get_username()),
        "version": call.version,
        **{name: at and write_instant(at) for name, at in times.items()},
    }


def _list(span: Span, **parameters: str) -> str:
    """Return the address of the list of the calls behind a figure."""
    return f"{reverse('admin:calls_call_changelist')}?{urlencode({'span': write_span(span), **parameters})}"


# -- At a glance -----------------------------------------------------------------------------------


def _glance(choice: Choice, days: Days) -> dict[str, Any]:
    now, before = summary_of(days.span), summary_of(days.before)
    return {
        "summary": now,
        "tiles": [
            _tile("Calls", f"{now.total_calls:,}", _list(days.span, in_progress="no"),
                  *_count(now.total_calls, before.total_calls, before)),
            _tile("Answer rate", f"{now.answer_rate} %" if now.total_calls else "–",
                  _list(days.span, answered="yes"), *_rate(now, before)),
            _tile("Missed", f"{now.missed_calls:,}", _list(days.span, answered="no"),
                  *_count(now.missed_calls, before.missed_calls, before), more_is="bad"),
            _tile("Average duration", clock(now.average_duration_seconds) if now.answered_calls else "–",
                  _list(days.span, answered="yes"), *_length(now, before)),
        ],
        "compared_with": _compared_with(choice, days),
    }  # fmt: skip


def _tile(title: str, figure: str, url: str, way: str, words: str, more_is: str = "") -> dict[str, str]:
    if more_is == "bad":
        mood = {"up": "bad", "down": "good"}.get(way, "")
    else:
        mood = {"up": "good", "down": "bad"}.get(way, "") if more_is == "good" or title == "Answer rate" else ""
    return {"title": title, "figure": figure, "url": url, "way": way, "words": words, "mood": mood}


def _way(change: float) -> str:
    return "up" if change > 0 else "down" if change < 0 else "same"


def _count(now: int, before: int, earlier: Summary) -> tuple[str, str]:
    if not earlier.total_calls:
        return "", "no calls then"
    if now == before:
        return "same", f"as many as then ({before:,})"
    return _way(now - before), f"{abs(now - before):,} {'more' if now > before else 'fewer'} than then ({before:,})"


def _rate(now: Summary, before: Summary) -> tuple[str, str]:
    if not before.total_calls or not now.total_calls:
        return "", "no calls to compare with" if now.total_calls else "no calls yet"
    change = round(now.answer_rate - before.answer_rate, 1)
    if not change:
        return "same", f"the same as then ({before.answer_rate} %)"
    points = "point" if abs(change) == 1 else "points"
    return _way(change), f"{abs(change)} {points} {'up' if change > 0 else 'down'} from {before.answer_rate} %"


def _length(now: Summary, before: Summary) -> tuple[str, str]:
    if not before.answered_calls or not now.answered_calls:
        return "", "no calls to compare with" if now.answered_calls else "no answered calls yet"
    change = now.average_duration_seconds - before.average_duration_seconds
    if not change:
        return "same", f"the same as then ({clock(before.average_duration_seconds)})"
    word = "longer" if change > 0 else "shorter"
    return _way(change), f"{clock(abs(change))} {word} than then ({clock(before.average_duration_seconds)})"


def _compared_with(choice: Choice, days: Days) -> str:
    start, end = (moment.astimezone(choice.zone) for moment in (days.before.start, days.before.end))
    if choice.range is Range.TODAY:
        return f"{start:%A}, {start.day} {start:%B}, until {end:%H:%M}"
    if choice.range is Range.YESTERDAY:
        return f"{start:%A}, {start.day} {start:%B}"
    return f"{start.day} {start:%B} to {end.day} {end:%B}, {end:%H:%M}"


# -- Pictures --------------------------------------------------------------------------------------


def _charts(choice: Choice, days: Days, at: datetime) -> dict[str, Any]:
    hours = list(zip(days.hours, counts_of(days.hours), strict=True))
    if choice.range in (Range.TODAY, Range.YESTERDAY):
        by_hour = _hours_of_a_day(hours, days.days[-1], choice.zone, at)
    else:
        by_hour = _hours_of_the_day(hours, choice.zone)
    outcomes = queries.outcomes_of(days.span)
    summary = {"answered": ANSWERED, "missed": NOT_ANSWERED}
    return {
        "by_hour": bars(by_hour, every=3),
        "by_day": bars(_days(hours, days, choice.zone, at), every=5 if len(days.days) > 14 else 1),
        "many_days": choice.range in (Range.WEEK, Range.MONTH),
        "outcomes": [
            {
                "word": word.value.replace("_", " "),
                "kind": kind,
                "count": f"{outcomes.get(word, 0):,}",
                "url": _list(days.span, status=word),
            }
            for kind, words in summary.items()
            for word in words
        ],
    }


def _hours_of_a_day(hours: list[tuple[Span, Counts]], day: Span, zone: ZoneInfo, at: datetime) -> list[Bar]:
    """Return the hours of one day, each beside the same hour of the week before."""
    counts = {span.start.astimezone(zone).replace(tzinfo=None): count for span, count in hours}
    shown = []
    for span, count in hours:
        if day.start <= span.start < day.end:
            local = span.start.astimezone(zone)
            before = counts.get(local.replace(tzinfo=None) - timedelta(days=7))
            shown.append(
                Bar(f"{local:%H}", f"{local:%H:%M} to {local + timedelta(hours=1):%H:%M}", count, before,
                    url=_list(span, in_progress="no"), to_come=span.start > at)
            )  # fmt: skip
    return shown


def _hours_of_the_day(hours: list[tuple[Span, Counts]], zone: ZoneInfo) -> list[Bar]:
    """Return the hours of all days together."""
    sums = {hour: Counts() for hour in range(24)}
    for span, count in hours:
        sums[span.start.astimezone(zone).hour] += count
    return [Bar(f"{hour:02}", f"{hour:02}:00 to {(hour + 1) % 24:02}:00", count) for hour, count in sums.items()]


def _days(hours: list[tuple[Span, Counts]], days: Days, zone: ZoneInfo, at: datetime) -> list[Bar]:
    shown = []
    for day in days.days:
        count = sum((count for span, count in hours if day.start <= span.start < day.end), Counts())
        local = day.start.astimezone(zone)
        shown.append(
            Bar(f"{local:%a} {local.day}", f"{local:%A}, {local.day} {local:%B}", count,
                url=_list(day, in_progress="no"), chosen=days.span.start <= day.start < days.span.end,
                weekend=local.weekday() > 4, to_come=day.start > at)
        )  # fmt: skip
    return shown


def _parties(span: Span) -> dict[str, Any]:
    parties, all_seen = queries.most_frequent(span, count=PARTIES)
    most = max((party.calls for party in parties), default=0)
    return {
        "parties_bound": None if all_seen else f"{queries.CALLS_LOOKED_THROUGH:,}",
        "parties": [
            {
                "name": party.client_name,
                "number": formatted(party.number),
                "region": region_of(party.number),
                "calls": party.calls,
                "many": f"{party.calls:,}",
                "rate": percentage(party.answered, party.calls),
                "share": share(party.calls, most),
                "url": _list(span, q=party.number, in_progress="no"),
            }
            for party in parties
        ],
    }


# -- The feed --------------------------------------------------------------------------------------


def _feed(span: Span, oldest: Call | None, at: datetime) -> dict[str, Any]:
    feed = queries.feed_of(span, at=at)
    return {
        "sources": [
            {"name": news.source.replace("_", " "), "at": news.last_at, "exact": news.exact}
            for news in feed.sources
        ],
        "rate": f"{feed.per_minute:,.0f}" if feed.per_minute >= 10 else f"{feed.per_minute:.1f}",
        "minutes": sparkline(feed.minutes),
        "span_of_minutes": queries.RATE_MINUTES,
        "oldest": oldest and {
            "at": oldest.started_at, "url": reverse("admin:calls_call_change", args=[oldest.pk]),
        },
        "late": f"{feed.late:,}",
        "late_minutes": queries.LATE // timedelta(minutes=1),
        "looked_at": f"{feed.looked_at:,}",
        "odd": _up_to(feed.odd, queries.COUNTED_AT_MOST),
        "odd_url": _list(span, anomaly="any"),
    }  # fmt: skip


def _refused() -> dict[str, str]:
    """Return how many refused reports wait for somebody to mend them, and where they are."""
    return {
        "refused": _up_to(open_count(), COUNT_AT_MOST),
        "refused_url": reverse("admin:calls_refusedreport_changelist") + "?state=open",
    }


def _up_to(count: int, most: int) -> str:
    return f"{count:,}" if count < most else f"{most:,} or more"
