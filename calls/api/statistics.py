"""Statistics of calls: `/api/call-logs/statistics/` and its series."""

from dataclasses import asdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth import get_user_model
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from calls.api.representations import name_of
from calls.domain.instants import write_instant
from calls.domain.periods import Bucket, Period, Span, buckets, span_of
from calls.models import Client
from calls.queries.statistics import Group, series_of, summary_of
from calls.web.errors import Invalid
from calls.web.parameters import choice, instant
from calls.web.schemas import errors
from calls.web.zones import find_zone

# More points than this are no chart any more.
MOST_BUCKETS = 2_000
GROUPS: dict[str, Group | None] = {"direction": Group.DIRECTION, "client": Group.CLIENT, "agent": Group.AGENT}
NUMBER: dict[str, Any] = {"type": "integer"}

SUMMARY: dict[str, Any] = {
    "type": "object",
    "required": [
        "period", "total_calls", "answered_calls", "missed_calls", "inbound_calls", "outbound_calls", "answer_rate",
        "average_duration_seconds",
    ],
    "properties": {
        "period": {"type": "string", "enum": ["today", "week", "month", "custom"]},
        "total_calls": NUMBER,
        "answered_calls": NUMBER,
        "missed_calls": NUMBER,
        "inbound_calls": NUMBER,
        "outbound_calls": NUMBER,
        "answer_rate": {"type": "number", "description": "Per cent, with one decimal."},
        "average_duration_seconds": NUMBER,
    },
}  # fmt: skip
_NULLABLE = {"type": "integer", "nullable": True}
SERIES: dict[str, Any] = {
    "type": "object",
    "required": ["period", "from", "to", "tz", "bucket", "series"],
    "properties": {
        "period": SUMMARY["properties"]["period"],
        "from": {"type": "string", "format": "date-time"},
        "to": {"type": "string", "format": "date-time"},
        "tz": {"type": "string"},
        "bucket": {"type": "string", "enum": list(Bucket)},
        "series": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "key": {"nullable": True, "description": "The direction, or the id of the client or user."},
                    "name": {"type": "string", "nullable": True},
                    "points": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "start": {"type": "string", "format": "date-time"},
                                "calls": NUMBER,
                                "answered": NUMBER,
                                "missed": NUMBER,
                                "talk_seconds": NUMBER,
                                "ring_p50": _NULLABLE,
                                "ring_p95": _NULLABLE,
                                "most_concurrent": NUMBER,
                            },
                        },
                    },
                },
            },
        },
    },
}
PARAMETERS = [
    OpenApiParameter("period", str, enum=list(Period), default=Period.TODAY),
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="Instead of a period, together with `to`."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="Exclusive."),
    OpenApiParameter("tz", str, description="IANA time zone of the midnights.", default="UTC"),
]


def read_zone(request: Request) -> ZoneInfo:
    """Return the time zone that the query names, UTC unless one is given; raise Invalid."""
    name = request.query_params.get("tz", "UTC")
    zone = find_zone(name)
    if zone is None:
        raise Invalid({"tz": ["Must be an IANA time zone, such as Europe/Berlin."]})
    return zone


def read_span(request: Request, *, zone: ZoneInfo, at: datetime) -> tuple[str, Span]:
    """Return the period that the query names, and its span; raise Invalid."""
    start, end = instant(request, "from", zone=zone), instant(request, "to", zone=zone)
    if start is None and end is None:
        period = choice(request, "period", {word.value: word for word in Period}, Period.TODAY)
        return period.value, span_of(period, zone=zone, at=at)
    if "period" in request.query_params:
        raise Invalid({"period": ["Give a period, or from and to, not both."]})
    if start is None or end is None:
        raise Invalid({"from" if start is None else "to": ["From and to belong together."]})
    if end < start:
        raise Invalid({"to": ["Must not be before from."]})
    return "custom", Span(start, end)


class Statistics(APIView):
    """The figures of a period."""

    rights = {"GET": "calls.view_call"}

    @extend_schema(
        operation_id="call_statistics",
        tags=["Statistics"],
        summary="The figures of a period",
        description=(
            "Of the calls that started in the period and have ended; answered and missed make the total. Weeks "
            "begin on Monday. Calls of unknown direction count in neither inbound nor outbound."
        ),
        parameters=PARAMETERS,
        responses={(200, "application/json"): SUMMARY, **errors(400, 401, 403, 429, 503)},
        examples=[
            OpenApiExample(
                "The specification's example",
                value={
                    "period": "today",
                    "total_calls": 45,
                    "answered_calls": 38,
                    "missed_calls": 7,
                    "inbound_calls": 25,
                    "outbound_calls": 20,
                    "answer_rate": 84.4,
                    "average_duration_seconds": 185,
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request) -> Response:
        """Answer with the figures."""
        period, span = read_span(request, zone=read_zone(request), at=timezone.now())
        return Response({"period": period, **asdict(summary_of(span))})


class Series(APIView):
    """The figures of a period, bucket by bucket."""

    rights = {"GET": "calls.view_call"}

    @extend_schema(
        operation_id="call_statistics_series",
        tags=["Statistics"],
        summary="The figures of a period, hour by hour or day by day",
        description=(
            "Calls count where they started, once they have ended; `most_concurrent` counts all calls, also those "
            "that go on. `ring_p50` and `ring_p95` are seconds, by nearest rank."
        ),
        parameters=[
            *PARAMETERS,
            OpenApiParameter("bucket", str, enum=list(Bucket), default=Bucket.DAY),
            OpenApiParameter("by", str, enum=list(GROUPS), description="A series for each."),
        ],
        responses={(200, "application/json"): SERIES, **errors(400, 401, 403, 429, 503)},
    )
    def get(self, request: Request) -> Response:
        """Answer with a series, or one for each group."""
        zone = read_zone(request)
        period, span = read_span(request, zone=zone, at=timezone.now())
        bucket = choice(request, "bucket", {word.value: word for word in Bucket}, Bucket.DAY)
        by = choice(request, "by", GROUPS, None)
        spans = []
        for step in buckets(span, bucket=bucket, zone=zone):
            # The first and the last bucket are cut to the period.
            spans.append(Span(max(step.start, span.start), min(step.end, span.end)))
            if len(spans) > MOST_BUCKETS:
                raise Invalid({"bucket": [f"The period has more than {MOST_BUCKETS:,} of these."]})
        series = series_of(spans, by=by) if spans else {}
        names = _names(by, [key for key in series if key is not None])
        return Response(
            {
                "period": period,
                "from": write_instant(span.start),
                "to": write_instant(span.end),
                "tz": zone.key,
                "bucket": bucket,
                "series": [
                    {
                        "key": key,
                        "name": names.get(key),
                        "points": [{**asdict(point), "start": write_instant(point.start)} for point in points],
                    }
                    for key, points in sorted(series.items(), key=lambda item: (item[0] is None, str(item[0])))
                ],
            }
        )


def _names(by: Group | None, keys: list[Any]) -> dict[Any, str | None]:
    if by is Group.CLIENT:
        return dict(Client.objects.filter(pk__in=keys).values_list("pk", "name"))
    if by is Group.AGENT:
        return {user.pk: name_of(user) for user in get_user_model().objects.filter(pk__in=keys)}
    return {key: key for key in keys}
