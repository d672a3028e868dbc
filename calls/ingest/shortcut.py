"""A shorter way for the request that comes most often: one event for `POST /process-events/`, with a token.

It runs in the server's event loop, before Django's threads, middleware and the REST framework, which cost
several times as much as the event itself, and calls the same functions as the view: the same reading, the
same recording, the same answer, byte for byte (tests/ingest/test_shortcut.py runs both side by side). It
answers only what it is sure of, which is an event that is accepted. Whatever else comes goes to Django: any
other address, an unknown token, a batch, an error. Nothing was changed by then, except that a conflict is
found out twice.

It does not judge hosts, schemes or what middleware adds to an answer: it answers in surroundings in
which Django has answered before, with the headers that Django has sent.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from django.conf import settings
from django.utils import timezone

from calls.domain.events import Event
from calls.ingest import process_events
from calls.ingest.counted import record_soon
from calls.ingest.door import MAX_EVENT_BYTES, answer_one, understand
from calls.ingest.landing import Landing
from calls.metrics import count_request
from calls.operations.outcomes import Outcome, Result
from calls.web.bodies import JSON, write_json
from calls.web.callers import recall_caller

Headers: TypeAlias = list[tuple[str, str]]

PATHS = frozenset({"/process-events/", "/process-events"})
KINDS = frozenset({JSON, "application/json; charset=utf-8", "application/json;charset=utf-8"})
RIGHT = "calls.add_callevent"
VIEW = "process-events"  # as its address is named
# What decides, beside the token and the body, whether and how Django answers.
SURROUNDINGS = (
    "host",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "origin",
    "accept",
    "accept-encoding",
    "accept-language",
)
# With one of these a request is not plain, and a matter for Django.
UNUSUAL = frozenset({"cookie", "transfer-encoding", "content-encoding", "x-http-method-override", "range"})
# More surroundings than this have no good reason.
MOST_SURROUNDINGS = 100
# So many equal answers of Django in a row show that its headers do not change from request to request.
ALIKE = 2


class Django(Protocol):
    """What answers everything else, over RSGI."""

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to serve."""

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop serving."""

    async def answer(
        self,
        scope: Any,
        protocol: Any,
        headers: Headers,
        *,
        body: bytes | None = None,
        told: Callable[[int, Headers], object] = ...,
    ) -> None:
        """Answer a request whose body may have been read already; `told` hears the status and headers."""

    async def read(self, protocol: Any) -> bytes | None:
        """Return a body of no great length; None if the request was answered because it did not come."""


class Seen:
    """The headers of Django's answers in some surroundings, and how often they were the same."""

    __slots__ = ("headers", "times")

    def __init__(self) -> None:
        self.headers: Headers = []
        self.times = 0

    def learn(self, status: int, headers: Headers) -> None:
        """Take note of an answer."""
        if status != 200:
            return
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        self.times = self.times + 1 if kept == self.headers else 1
        self.headers = kept

    @property
    def known(self) -> bool:
        """Whether the next answer's headers will be these."""
        return self.times >= ALIKE


class Shortcut:
    """The RSGI application: the short way where it can be taken, Django else."""

    def __init__(self, django: Django) -> None:
        self._django = django
        self._seen: dict[tuple[str | None, ...], Seen] = {}
        self._landing: Landing

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to serve, in a process and on a loop of its own."""
        self._landing = Landing(loop)
        self._django.__rsgi_init__(loop)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop serving."""
        self._django.__rsgi_del__(loop)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer a request."""
        items = scope.headers.items()
        if scope.method != "POST" or scope.path not in PATHS or scope.query_string:
            await self._django.answer(scope, protocol, items)
            return
        headers = dict(items)
        if len(headers) < len(items) or not is_plain(headers):  # a header that comes twice is for Django
            await self._django.answer(scope, protocol, items)
            return
        seen = self.look(scope.scheme, scope.server, headers)
        at = timezone.now()
        if not seen.known or not may_report(headers.get("authorization", ""), at=at):
            await self._django.answer(scope, protocol, items, told=seen.learn)
            return
        raw = await self._django.read(protocol)
        if raw is None:
            return
        answer = None
        event = read_event(raw, at=at)
        if event is not None:
            outcome = await self._landing.first(record_soon, [event])
            answer = outcome and write_answer(event, outcome)
        if answer is None:
            await self._django.answer(scope, protocol, items, body=raw)
            return
        count_request(VIEW, "POST", 200)
        protocol.response_bytes(200, seen.headers, answer)

    def look(self, scheme: str, server: str, headers: Mapping[str, str]) -> Seen:
        """Return what was seen of Django in the surroundings of a request."""
        surroundings = (scheme, server, *[headers.get(name) for name in SURROUNDINGS])
        seen = self._seen.get(surroundings)
        if seen is None:
            if len(self._seen) >= MOST_SURROUNDINGS:
                self._seen.clear()
            seen = self._seen[surroundings] = Seen()
        return seen


def is_plain(headers: Mapping[str, str]) -> bool:
    """Say whether there is nothing about a request's headers that only Django can judge."""
    length = headers.get("content-length", "")
    return (
        settings.GROUP_COMMIT  # else a commit would be waited for in the event loop
        and headers.get("content-type") in KINDS
        and length.isascii()
        and length.isdigit()
        and 0 < int(length) <= MAX_EVENT_BYTES
        and UNUSUAL.isdisjoint(headers)
    )


def may_report(authorization: str, *, at: datetime) -> bool:
    """Say whether these are the credentials of somebody of whom it is known that they may report events."""
    scheme, _, key = authorization.partition(" ")
    if scheme != "Token" or not key.isascii() or not key.isalnum():
        return False
    caller = recall_caller(key.encode(), at=at)
    return caller is not None and bool(caller.rights.get(RIGHT))


def read_event(raw: bytes, *, at: datetime) -> Event | None:
    """Return the event that a body reports; None where Django shall say what it is."""
    if raw[:1] != b"{":
        return None
    try:
        return understand(raw, read=process_events.read_event, at=at)
    except Exception:
        return None  # refused: Django says so, and logs what there is to log


def write_answer(event: Event, outcome: Outcome) -> bytes | None:
    """Return the body of the 200 for an event that is recorded or known; None for a conflict, which Django tells."""
    return None if outcome.result is Result.CONFLICT else write_json(answer_one(event, outcome))
