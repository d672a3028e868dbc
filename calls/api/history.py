"""The call history of a number: `GET /call-history/<number>/`."""

from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.http import HttpRequest
from django.http.response import HttpResponse, HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView

from calls.domain.history import HistoryEntry, Label
from calls.domain.instants import write_instant
from calls.domain.numbers import is_e164, suggest_e164
from calls.models.access_log import Look
from calls.operations.access_log import looked_at
from calls.queries.history import HistoryFilter, Line, Place, history_of, is_known, whole_history_of
from calls.web.csv import csv_response
from calls.web.cursors import Cursor, link_header, read_cursor, write_cursor
from calls.web.errors import Invalid
from calls.web.parameters import HasQuery, choice, instant, whole_number
from calls.web.schemas import errors

COLUMNS = HistoryEntry._fields
DEFAULT_LIMIT = 1_000
MOST = 10_000
# Who called whom is nobody's business but the asker's: no proxy or browser keeps it.
PRIVATE = "no-store"

ENTRY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": list(COLUMNS),
    "properties": {
        "call_time": {"type": "string", "format": "date-time", "description": "When the call started, in UTC."},
        "counterparty_number": {"type": "string"},
        "call_status": {"type": "string", "enum": [label.value for label in Label]},
        "duration": {
            "type": "integer",
            "nullable": True,
            "description": "Seconds from start to end, of completed calls.",
        },
    },
    "additionalProperties": False,
}
EXAMPLE = [
    {
        "call_time": "2024-04-01T12:00:00Z",
        "counterparty_number": "+9876543210",
        "call_status": "Completed Outbound",
        "duration": 120,
    },
    {
        "call_time": "2024-04-02T10:00:00Z",
        "counterparty_number": "+1112223333",
        "call_status": "Missed Inbound",
        "duration": None,
    },
]


def as_row(entry: HistoryEntry) -> tuple[str, str, str, int | None]:
    """Return an entry's four values as callers see them, in the order of COLUMNS."""
    return (write_instant(entry.call_time), entry.counterparty_number, entry.call_status.value, entry.duration)


def read_number(text: str) -> str:
    """Return the E.164 number in a path, where the plus may be missing; raise Invalid."""
    number = text if text.startswith("+") else f"+{text}"
    if not is_e164(number):
        message = "Must be a number in E.164 form, as in +12025550123."
        if suggestion := suggest_e164(text):
            message += f" Did you mean {suggestion}?"
        raise Invalid({"number": [message]})
    return number


class CallHistory(APIView):
    """The calls of one number, as it saw them."""

    rights = {"GET": "calls.view_call"}

    @extend_schema(
        operation_id="call_history",
        tags=["History"],
        summary="The call history of a number",
        description=(
            "Ended calls, oldest first, as the number saw them. A `Link` header (RFC 8288) leads to the next "
            "and the previous page. A number that was never seen is 404; one whose calls have not ended yet "
            "has an empty history."
        ),
        parameters=[
            OpenApiParameter("number", str, OpenApiParameter.PATH, description="E.164; the plus may be missing."),
            OpenApiParameter("include", str, enum=["ongoing"], description="Also the calls that are not over."),
            OpenApiParameter("ordering", str, enum=["call_time", "-call_time"], default="call_time"),
            OpenApiParameter("from", OpenApiTypes.DATETIME, description="Calls that started then or later."),
            OpenApiParameter("to", OpenApiTypes.DATETIME, description="Calls that started before."),
            OpenApiParameter("status", str, enum=[label.value for label in Label]),
            OpenApiParameter("limit", int, description=f"At most {MOST:,}.", default=DEFAULT_LIMIT),
            OpenApiParameter("cursor", str, description="From a Link header."),
            OpenApiParameter("format", str, enum=["json", "csv"], description="CSV has no limit and no pages."),
        ],
        responses={
            (200, "application/json"): {"type": "array", "items": ENTRY_SCHEMA},
            (200, "text/csv"): {"type": "string"},
            **errors(400, 401, 403, 404, 405, 429, 503),
        },
        examples=[OpenApiExample("The specification's example", value=EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, number: str) -> HttpResponseBase:
        """Answer with a page of the history, or all of it as CSV."""
        asked = read_question(request, number)
        look = Look.HISTORY_EXPORT if asked.as_csv else Look.HISTORY
        looked_at(request.user, [asked.wanted.number], what=look, at=timezone.now())
        lines = find_lines(asked)
        if not lines and asked.cursor is None and not is_known(asked.wanted.number):
            raise NotFound("No call of this number is known.")
        if not asked.as_csv:
            return answer(request._request, asked, lines)
        name = f"call-history-{asked.wanted.number[1:]}.csv"
        response = csv_response(name, COLUMNS, (as_row(entry) for entry in whole_history_of(asked.wanted)))
        response["Cache-Control"] = PRIVATE
        return response


# -- What a short cut needs too (calls/api/quick_history.py) ----------------------------------------


class Question(NamedTuple):
    """Which history is asked for, and which page of it."""

    wanted: HistoryFilter
    as_csv: bool
    limit: int
    cursor: Cursor | None


def read_question(request: HasQuery, number: str) -> Question:
    """Return what is asked; raise Invalid."""
    wanted = _wanted(request, read_number(number))
    as_csv = choice(request, "format", {"json": False, "csv": True}, False)
    limit = whole_number(request, "limit", default=DEFAULT_LIMIT, most=MOST)
    cursor = None
    if not as_csv and (text := request.query_params.get("cursor")) is not None:
        cursor = read_cursor(text, filters=wanted)
    return Question(wanted, as_csv, limit, cursor)


def find_lines(asked: Question) -> list[Line]:
    """Return the lines of the page, and one more if there are more; of a CSV, whether there are any."""
    cursor = asked.cursor
    place = Place(cursor.started_at, UUID(str(cursor.id))) if cursor else None
    backwards = cursor is not None and cursor.backwards
    return history_of(
        asked.wanted,
        limit=1 if asked.as_csv else asked.limit + 1,
        after=None if backwards else place,
        before=place if backwards else None,
    )


def answer(request: HttpRequest, asked: Question, lines: list[Line]) -> HttpResponse:
    """Return one page; of the one line too many that was fetched, only its existence counts."""
    more = len(lines) > asked.limit
    backwards = asked.cursor is not None and asked.cursor.backwards
    if more:
        lines = lines[1:] if backwards else lines[:-1]
    cursors = {}
    if lines and (more or backwards):
        cursors["next"] = write_cursor(Cursor(*lines[-1].place), filters=asked.wanted)
    if lines and asked.cursor is not None and (more or not backwards):
        cursors["prev"] = write_cursor(Cursor(*lines[0].place, backwards=True), filters=asked.wanted)
    # Written at once: the framework's renderer takes several times as long, and would have to be given texts.
    entries = [
        {"call_time": at, "counterparty_number": other, "call_status": label, "duration": duration}
        for at, _, other, label, duration in lines
    ]
    body = orjson.dumps(entries, option=orjson.OPT_UTC_Z)
    response = HttpResponse(body, content_type="application/json")
    if cursors:
        response["Link"] = link_header(request, cursors)
    response["Cache-Control"] = PRIVATE
    return response


def _wanted(request: HasQuery, number: str) -> HistoryFilter:
    labels = {label.value: frozenset({label}) for label in Label}
    return HistoryFilter(
        number=number,
        newest_first=choice(request, "ordering", {"call_time": False, "-call_time": True}, False),
        ongoing=choice(request, "include", {"ongoing": True}, False),
        labels=choice(request, "status", labels, frozenset()),
        start=instant(request, "from"),
        end=instant(request, "to"),
    )
