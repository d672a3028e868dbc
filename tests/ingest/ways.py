"""The ways that a report may take, so that the same tests can run over each of them."""

import io
import json
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.test.client import ClientHandler

from calls.ingest.shortcut import ALIKE, Shortcut
from calls.operations import record as writing
from phonegoggles.gateway import environ_of
from tests.build import report


class Aside:
    """Stands for the gateway to Django: asks a WSGI application in this thread, so inside a test's transaction."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def read(self, protocol: Any) -> bytes:
        """Return the body."""
        return protocol.body

    async def answer(self, scope: Any, protocol: Any, headers: Any, *, body: Any = None, told: Any = None) -> None:
        """Answer a request with the application."""
        environ = environ_of(scope, headers, io.BytesIO(protocol.body if body is None else body))
        said: list[Any] = []
        text = b"".join(self._application(environ, lambda status, headers, *more: said.extend((status, headers))))
        if told is not None:
            told(int(said[0][:3]), said[1])
        protocol.response_bytes(int(said[0][:3]), said[1], text)


class Here:
    """Stands for the landing: records in this thread, so inside a test's transaction."""

    async def first(self, record_soon: Any, events: Any) -> Any:
        """Return what became of an event; None if that went wrong."""
        try:
            return writing.record(events)[0]
        except Exception:
            return None


class ByWSGI:
    """Puts a WSGI request through the shortcut, without an event loop."""

    def __init__(self, application: Any) -> None:
        self.shortcut = Shortcut(Aside(application))  # type: ignore[arg-type]
        self.shortcut._landing = Here()  # type: ignore[assignment]

    def __call__(self, environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        headers = [
            (name.removeprefix("HTTP_").replace("_", "-").lower(), value)
            for name, value in environ.items()
            if value and (name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH"))
        ]
        scope = SimpleNamespace(
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"].encode("latin-1").decode(),
            query_string=environ["QUERY_STRING"],
            scheme=environ["wsgi.url_scheme"],
            server=f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}",
            client="127.0.0.1:1",
            http_version="1.1",
            headers=SimpleNamespace(items=lambda: headers),
        )
        answered: list[Any] = []
        body = environ["wsgi.input"].read()
        length = environ.get("CONTENT_LENGTH") or ""
        # A server gives no more than was announced.
        body = body[: int(length)] if length.isdigit() else b""
        protocol = SimpleNamespace(body=body, response_bytes=lambda *told: answered.extend(told))
        answering = self.shortcut.__rsgi__(scope, protocol)
        try:
            answering.send(None)
        except StopIteration:
            status, own, text = answered
            # As the server does; a length that is told already stays.
            if not any(name.lower() == "content-length" for name, _ in own):
                own = [*own, ("Content-Length", str(len(text)))]
            start_response(f"{status} -", own)
            return [text]
        raise AssertionError("nothing here waits")


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
            headers = {
                name.removeprefix("HTTP_").replace("_", "-").lower(): value
                for name, value in environ.items()
                if name.startswith("HTTP_")
            }
            server = f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
            seen = self.way.shortcut.look(environ["wsgi.url_scheme"], server, headers)
            for _ in range(ALIKE):
                seen.learn(200, list(response.items()))
