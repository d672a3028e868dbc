"""A shorter way for the request that comes most often: one event for `POST /process-events/`, with a token.

It runs before Django's middleware and the REST framework, which cost several times as much as the
event itself, and calls the same functions as the view: the same reading, the same `record`, the
same answer, byte for byte (tests/ingest/test_shortcut.py runs both side by side). It answers only
what it is sure of, which is an event that is accepted. Whatever else comes goes to Django: any
other address, an unknown token, a batch, an error. Nothing was changed by then, except that a
conflict is found out twice.

It does not judge hosts, schemes or what middleware adds to an answer: it answers in surroundings in
which Django has answered before, with the headers that Django has sent.
"""

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, TypeAlias

from django.conf import settings
from django.utils import timezone

from calls.ingest import process_events
from calls.ingest.counted import record
from calls.ingest.door import MAX_EVENT_BYTES, answer_one, understand
from calls.metrics import count_request
from calls.operations.record import Result
from calls.web.bodies import JSON, write_json
from calls.web.callers import recall_caller

Environ: TypeAlias = dict[str, Any]
Headers: TypeAlias = list[tuple[str, str]]
Application: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

PATHS = ("/process-events/", "/process-events")
KINDS = (JSON, "application/json; charset=utf-8", "application/json;charset=utf-8")
RIGHT = "calls.add_callevent"
VIEW = "process-events"  # as its address is named
# What decides, beside the token and the body, whether and how Django answers.
SURROUNDINGS = (
    "wsgi.url_scheme",
    "SERVER_NAME",
    "SERVER_PORT",
    "HTTP_HOST",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_ORIGIN",
    "HTTP_ACCEPT",
    "HTTP_ACCEPT_ENCODING",
    "HTTP_ACCEPT_LANGUAGE",
)
# With one of these a request is not plain, and a matter for Django.
UNUSUAL = (
    "HTTP_COOKIE",
    "HTTP_TRANSFER_ENCODING",
    "HTTP_CONTENT_ENCODING",
    "HTTP_X_HTTP_METHOD_OVERRIDE",
    "HTTP_RANGE",
)
# More surroundings than this have no good reason.
MOST_SURROUNDINGS = 100
# So many equal answers of Django in a row show that its headers do not change from request to request.
ALIKE = 2


class _Seen:
    """The headers of Django's answers in some surroundings, and how often they were the same."""

    __slots__ = ("headers", "times")

    def __init__(self) -> None:
        self.headers: Headers = []
        self.times = 0


class Shortcut:
    """The WSGI application: the short way where it can be taken, Django else."""

    def __init__(self, django: Application) -> None:
        self._django = django
        self._seen: dict[tuple[Any, ...], _Seen] = {}

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        if environ["REQUEST_METHOD"] != "POST" or environ["PATH_INFO"] not in PATHS or not self._is_plain(environ):
            return self._django(environ, start_response)
        surroundings = tuple([environ.get(name) for name in SURROUNDINGS])
        seen = self._seen.get(surroundings)
        if seen is None or seen.times < ALIKE:
            return self._django(environ, self._learning(surroundings, start_response))
        body = self._answer(environ)
        if body is None:
            return self._django(environ, start_response)
        count_request(VIEW, "POST", 200)
        start_response("200 OK", [*seen.headers, ("Content-Length", str(len(body)))])
        return [body]

    def _is_plain(self, environ: Environ) -> bool:
        length = environ.get("CONTENT_LENGTH") or ""
        return (
            settings.GROUP_COMMIT  # else `record` would leave a connection open that nobody closes
            and not environ.get("QUERY_STRING")
            and not environ.get("SCRIPT_NAME")
            and environ.get("CONTENT_TYPE") in KINDS
            and length.isascii()
            and length.isdigit()
            and 0 < int(length) <= MAX_EVENT_BYTES
            and not any(environ.get(name) for name in UNUSUAL)
        )

    def _answer(self, environ: Environ) -> bytes | None:
        """Return the body of the 200 for an event that is recorded or known; None where Django shall answer."""
        scheme, _, key = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme != "Token" or not key.isascii() or not key.isalnum():
            return None
        at = timezone.now()
        caller = recall_caller(key.encode(), at=at)
        if caller is None or not caller.rights.get(RIGHT):
            return None
        raw = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = BytesIO(raw)  # for Django, should it come to that
        if raw[:1] != b"{":
            return None
        try:
            event = understand(raw, read=process_events.read_event, at=at)
            [outcome] = record([event], final=False)  # a conflict is found out, and counted, by Django
        except Exception:
            # Refused, or the database is away: Django says so, and logs what there is to log.
            return None
        if outcome.result is Result.CONFLICT:
            return None
        return write_json(answer_one(event, outcome))

    def _learning(self, surroundings: tuple[Any, ...], start_response: Callable[..., Any]) -> Callable[..., Any]:
        """Return a start_response that remembers the headers of a 200."""

        def start(status: str, headers: Headers, *more: Any) -> Any:
            if status.startswith("200 "):
                self._learn(surroundings, headers)
            return start_response(status, headers, *more)

        return start

    def _learn(self, surroundings: tuple[Any, ...], headers: Headers) -> None:
        if len(self._seen) >= MOST_SURROUNDINGS:
            self._seen.clear()
        seen = self._seen.setdefault(surroundings, _Seen())
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        seen.times = seen.times + 1 if kept == seen.headers else 1
        seen.headers = kept
