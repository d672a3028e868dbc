"""A short cut for the history of a number, asked for with a token: the read that programs repeat most.

It stands among the first middleware, before sessions, messages and the REST framework, which cost several
times as much as the answer, and calls the same functions as the view: the same reading, the same query, the same page,
byte for byte (tests/api/test_quick_history.py runs both side by side). It answers only what it is sure of,
which is a page of a history. Whatever else comes goes on to the view: a token that is not remembered, a
session, an error, a number without calls, CSV.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import ResolverMatch, resolve
from django.utils import timezone

from calls.api.history import CallHistory, answer, find_lines, read_question
from calls.models.access_log import Look
from calls.operations.access_log import looked_at
from calls.web.callers import recall_caller
from calls.web.errors import Invalid

PATH = re.compile(r"/call-history/(\+?[1-9][0-9]{1,14})/?")
RIGHT = CallHistory.rights["GET"]


class _Query(NamedTuple):
    """The query string, as the REST framework's requests have it."""

    query_params: QueryDict


class QuickHistory:
    """The middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or let the request go on."""
        if request.method == "GET" and (found := PATH.fullmatch(request.path_info)):
            response = self._answer(request, found[1])
            if response is not None:
                return response
        return self.get_response(request)

    def _answer(self, request: HttpRequest, number: str) -> HttpResponse | None:
        """Return a page of the history; None where the view shall answer. Nothing was written down by then."""
        scheme, _, key = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme != "Token" or not (key.isascii() and key.isalnum()) or settings.THROTTLE_READS:
            return None
        at = timezone.now()
        caller = recall_caller(key.encode(), at=at)
        if caller is None or not caller.rights.get(RIGHT):
            return None
        try:
            asked = read_question(_Query(request.GET), number)
            lines = [] if asked.as_csv else find_lines(asked)
        except (Invalid, DatabaseError):
            return None
        if not lines:
            return None
        looked_at(caller.token.user, [asked.wanted.number], what=Look.HISTORY, at=at)
        request.resolver_match = _match()
        response = answer(request, asked, lines)
        # What the view and the middleware after this one add.
        response["Allow"] = "GET, HEAD, OPTIONS"
        response["X-Frame-Options"] = settings.X_FRAME_OPTIONS
        response["Content-Length"] = str(len(response.content))
        return response


@cache
def _match() -> ResolverMatch:
    """Return which address it is, for whoever counts requests."""
    return resolve("/call-history/+12025550123/")
