"""A shorter way for the request that comes most often: one event for `POST /process-events/`, with a token.

It runs in the server's event loop (`phonegoggles/protocol.py`), before Django's threads, middleware and the
REST framework, which cost several times as much as the event itself, and calls the same functions as the
view: the same reading, the same recording, the same answer, byte for byte (tests/ingest/test_shortcut.py
runs both side by side). It answers only what it is sure of, which is an event that is accepted. Whatever
else comes goes to Django: any other address, an unknown token, a batch, an error. Nothing was changed by
then, except that a conflict is found out twice.

It does not judge hosts, schemes or what middleware adds to an answer: it answers in surroundings in
which Django has answered before, with the headers that Django has sent.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

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
# As a server of HTTP has them, with names in small letters.
RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]
# Takes the body of a 200, or None: Django shall answer.
Answer: TypeAlias = Callable[[bytes | None], object]

PATHS = frozenset({b"/process-events/", b"/process-events"})
KINDS = frozenset(kind.encode() for kind in (JSON, "application/json; charset=utf-8", "application/json;charset=utf-8"))
RIGHT = "calls.add_callevent"
VIEW = "process-events"  # as its address is named
# What decides, beside the token and the body, whether and how Django answers.
SURROUNDINGS = (
    b"host",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-forwarded-port",
    b"origin",
    b"accept",
    b"accept-encoding",
    b"accept-language",
)
# With one of these a request is not plain, and a matter for Django, or for whoever reads requests.
UNUSUAL = frozenset(
    {b"cookie", b"transfer-encoding", b"content-encoding", b"x-http-method-override", b"range", b"expect", b"upgrade"}
)
# More surroundings than this have no good reason.
MOST_SURROUNDINGS = 100
# So many equal answers of Django in a row show that its headers do not change from request to request.
ALIKE = 2


class Seen:
    """The headers of Django's answers in some surroundings, and how often they were the same."""

    __slots__ = ("headers", "times")

    def __init__(self) -> None:
        self.headers: tuple[tuple[str, str], ...] = ()
        self.times = 0

    def learn(self, status: int, headers: Headers) -> None:
        """Take note of an answer."""
        if status != 200:
            return
        kept = tuple((name, value) for name, value in headers if name.lower() != "content-length")
        self.times = self.times + 1 if kept == self.headers else 1
        self.headers = kept

    @property
    def known(self) -> bool:
        """Whether the next answer's headers will be these."""
        return self.times >= ALIKE


class Visit:
    """A request that may be an event's report, as far as its headers tell."""

    __slots__ = ("at", "seen", "welcome")

    def __init__(self, seen: Seen, at: datetime, *, welcome: bool) -> None:
        self.seen, self.at = seen, at
        # Whether the shortcut will take it; else Django does, of whose answer `seen` is to be told.
        self.welcome = welcome


class Shortcut:
    """The short way, for one event loop."""

    def __init__(self, landing: Landing) -> None:
        self._landing = landing
        self._seen: dict[tuple[bytes | None, ...], Seen] = {}

    def visit(self, scheme: str, server: str, headers: RawHeaders) -> Visit | None:
        """Return a request to one of PATHS by POST, without a query, if there is nothing that only Django can judge."""
        found = dict(headers)
        if len(found) < len(headers) or not is_plain(found):  # a header that comes twice is for Django
            return None
        seen = self._look(scheme, server, found)
        at = timezone.now()
        welcome = seen.known and may_report(found.get(b"authorization", b""), at=at)
        return Visit(seen, at, welcome=welcome)

    def take(self, visit: Visit, raw: bytes, answer: Answer) -> None:
        """Record the event of a welcome visit's body, and have it answered once it is committed."""
        event = read_event(raw, at=visit.at)
        if event is None:
            answer(None)
            return

        def committed(outcome: Outcome | None) -> None:
            body = None if outcome is None else write_answer(event, outcome)
            if body is not None:
                count_request(VIEW, "POST", 200)
            answer(body)

        self._landing.first(record_soon, [event], committed)

    def _look(self, scheme: str, server: str, headers: dict[bytes, bytes]) -> Seen:
        """Return what was seen of Django in the surroundings of a request."""
        surroundings = (scheme.encode(), server.encode(), *[headers.get(name) for name in SURROUNDINGS])
        seen = self._seen.get(surroundings)
        if seen is None:
            if len(self._seen) >= MOST_SURROUNDINGS:
                self._seen.clear()
            seen = self._seen[surroundings] = Seen()
        return seen


def is_plain(headers: dict[bytes, bytes]) -> bool:
    """Say whether there is nothing about a request's headers that only Django can judge."""
    length = headers.get(b"content-length", b"")
    return (
        settings.GROUP_COMMIT  # else a commit would be waited for in the event loop
        and headers.get(b"content-type") in KINDS
        and length.isdigit()
        and 0 < int(length) <= MAX_EVENT_BYTES
        and UNUSUAL.isdisjoint(headers)
    )


def may_report(authorization: bytes, *, at: datetime) -> bool:
    """Say whether these are the credentials of somebody of whom it is known that they may report events."""
    scheme, _, key = authorization.partition(b" ")
    if scheme != b"Token" or not key.isalnum():
        return False
    caller = recall_caller(key, at=at)
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
