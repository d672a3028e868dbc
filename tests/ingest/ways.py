"""The ways that a report may take, so that the same tests can run over each of them."""

import io
import json
from collections.abc import Callable, Iterable
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.test.client import ClientHandler

from calls.ingest.shortcut import ALIKE, PATHS, Shortcut, Visit
from calls.operations import record as writing
from tests.build import report


class Here:
    """Stands for the landing: records in this thread, so inside a test's transaction."""

    fails = False

    def first(self, record_soon: Any, events: Any, then: Any) -> None:
        """Tell what became of an event; None if that went wrong."""
        try:
            outcome = None if self.fails else writing.record(events)[0]
        except Exception:
            outcome = None
        then(outcome)


class ByWSGI:
    """Puts a WSGI request through the shortcut, as the server does with one that comes over HTTP."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.landing = Here()
        self.shortcut = Shortcut(self.landing)  # type: ignore[arg-type]

    def __call__(self, environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        length = environ.get("CONTENT_LENGTH") or ""
        body = environ["wsgi.input"].read()
        # A server gives no more than was announced.
        body = body[: int(length)] if length.isdigit() else b""
        visit = self.visit(environ)
        if visit is not None and visit.welcome:
            told: list[bytes | None] = []
            self.shortcut.take(visit, body, told.append)
            [text] = told
            if text is not None:
                start_response("200 -", [*visit.seen.headers, ("Content-Length", str(len(text)))])
                return [text]
            visit = None
        said: list[Any] = []
        asked = {**environ, "wsgi.input": io.BytesIO(body)}
        text = b"".join(self.application(asked, lambda status, headers, *more: said.extend((status, headers))))
        status, own = said
        if visit is not None:
            visit.seen.learn(int(status[:3]), own)
        # As the server does; a length that is told already stays.
        if not any(name.lower() == "content-length" for name, _ in own):
            own = [*own, ("Content-Length", str(len(text)))]
        start_response(status, own)
        return [text]

    def visit(self, environ: Any) -> Visit | None:
        """Return what the server makes of a request before it has the body."""
        query = environ["QUERY_STRING"]
        url = environ["PATH_INFO"] + (f"?{query}" if query else "")
        if environ["REQUEST_METHOD"] != "POST" or url.encode("latin-1") not in PATHS:
            return None
        headers = [
            (name.removeprefix("HTTP_").replace("_", "-").lower().encode(), str(value).encode("latin-1"))
            for name, value in environ.items()
            if value and (name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH"))
        ]
        server = f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
        return self.shortcut.visit(environ["wsgi.url_scheme"], server, headers)


class ShortcutHandler(ClientHandler):
    """Takes the requests of a test's client through the shortcut, which has seen Django's answers before."""

    answered = 0  # by the shortcut, over all tests

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.way = ByWSGI(self._django)
        self.warm = False
        self.response: Any = None

    def _django(self, environ: Any, start_response: Any) -> Any:
        self.response = super().__call__({**self.asked, "wsgi.input": environ["wsgi.input"]})
        start_response(f"{self.response.status_code} -", list(self.response.items()))
        return []

    def __call__(self, environ: Any) -> Any:
        """Answer a request, whose shortcut is known to work by then."""
        if not self.warm:
            self.warm = True
            self._warm(environ)
        told: list[Any] = []
        self.response, self.asked = None, environ
        body = b"".join(self.way(environ, lambda status, headers: told.extend((status, headers))))
        if self.response is None:
            ShortcutHandler.answered += 1
            self.response = HttpResponse(body, status=int(told[0][:3]), headers=dict(told[1]))
            self.response.wsgi_request = WSGIRequest(environ)
        return self.response

    def _warm(self, environ: Any) -> None:
        """Let Django answer a dry run, and the shortcut take that for what it has learnt."""
        raw = json.dumps(report()).encode()
        asked = {
            **environ,
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/process-events/",
            "QUERY_STRING": "dry_run=true",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(raw)),
            "wsgi.input": io.BytesIO(raw),
        }
        response = super().__call__(asked)
        if response.status_code == 200:
            visit = self.way.visit({**asked, "QUERY_STRING": ""})
            assert visit is not None
            for _ in range(ALIKE):
                visit.seen.learn(200, list(response.items()))
