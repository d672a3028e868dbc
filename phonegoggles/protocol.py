"""HTTP/1.1 (RFC 9112) for the server of requests: uvicorn's protocol, with a shortcut in it, and with limits.

uvicorn starts a task and an ASGI exchange for each request, which together cost more than an event. So the request that
comes most often is handed on as soon as its last byte is here, and answered with one write; whatever the
[shortcut](../calls/ingest/shortcut.py) does not take goes uvicorn's way. What uvicorn leaves to a proxy is bounded
here: how long a request's head may be and how long it, and a small body, may take.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, TypeAlias

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from calls.ingest.shortcut import PATHS, Shortcut, Visit
from phonegoggles.gateway import BODY_SECONDS, TOLD, TOO_SLOW

Head: TypeAlias = list[tuple[bytes, bytes]]

# The head of a request may have so many bytes, and take so many seconds.
HEAD_BYTES, HEAD_SECONDS = 64 * 1024, 10
# An idle connection is closed after so many seconds; proxies keep theirs for about a minute.
IDLE_SECONDS = 75
# How often a connection is looked at, in seconds.
LOOK_SECONDS = 5
TOO_LARGE = b'{"detail":"The head of the request is too large.","code":"head_too_large"}'


class Stage(Enum):
    """What a connection is at."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    # All of a request is here, but not its answer.
    ANSWER = auto()


class _Nobody:
    """Who waits for more of a short request: nobody."""

    def set(self) -> None:
        """Do nothing."""


class Short:
    """A request that goes the short way, in the place of uvicorn's exchange."""

    message_event = _Nobody()
    __slots__ = ("disconnected", "headers", "keep_alive", "raw", "response_complete", "url", "visit")

    def __init__(self, visit: Visit, url: bytes, headers: Head, *, keep_alive: bool) -> None:
        self.visit, self.url, self.headers, self.keep_alive = visit, url, headers, keep_alive
        self.raw = b""
        self.response_complete = self.disconnected = False


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, shortcut: Shortcut | None, *, gone: Callable[[], object], **options: Any) -> None:
        super().__init__(**options)
        self._shortcut, self._gone = shortcut, gone
        self._stage, self._since, self._head_bytes = Stage.IDLE, 0.0, 0
        self._looking: asyncio.TimerHandle | None = None
        self._server = ""

    # -- The connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self._server = "{}:{}".format(*self.server) if self.server else ""
        self._at(Stage.IDLE)
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; what is under way is still recorded."""
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)
        self._gone()

    def shutdown(self) -> None:
        """End as soon as no request is half-way."""
        if self._stage in (Stage.IDLE, Stage.HEAD) and not self.pipeline:
            self.transport.close()
        else:
            super().shutdown()
            for cycle, _ in self.pipeline:
                cycle.keep_alive = False

    def _at(self, stage: Stage) -> None:
        self._stage, self._since = stage, self.loop.time()

    def _look(self) -> None:
        """Close the connection if somebody takes too long."""
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)
        waited = self.loop.time() - self._since
        if self._stage is Stage.IDLE:
            if waited >= IDLE_SECONDS:
                self.transport.close()
        elif self._stage is Stage.HEAD:
            if waited >= HEAD_SECONDS:
                self._refuse(408, TOO_SLOW)
        elif self._stage is Stage.BODY and waited >= BODY_SECONDS:
            if isinstance(self.cycle, Short):
                self._refuse(408, TOO_SLOW)
            elif self.cycle.response_complete:  # the rest of what has been answered already
                self.transport.close()

    def _refuse(self, status: int, body: bytes) -> None:
        if not self.transport.is_closing():
            more = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            self.transport.write(b"".join([STATUS_LINE[status], *self._lines(), more, body]))
            self.transport.close()

    def _lines(self) -> list[bytes]:
        return [b"%b: %b\r\n" % header for header in self.server_state.default_headers]

    # -- What comes ---------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        if self._stage is Stage.IDLE:
            self._at(Stage.HEAD)
            self._head_bytes = 0
        if self._stage is Stage.HEAD:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._stage is Stage.HEAD and self._head_bytes > HEAD_BYTES:
            self._refuse(431, TOO_LARGE)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: whoever asks for another protocol is answered in this one, as RFC 9110 (7.8) has it."""

    def on_message_begin(self) -> None:
        """Make room for a request's head; what uvicorn prepares for it is not always needed."""
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        """Choose the way."""
        self._at(Stage.BODY)
        told: Callable[..., object] | None = None
        free = self.cycle is None or self.cycle.response_complete
        if self._shortcut is not None and free and self.url in PATHS and self.parser.get_method() == b"POST":
            visit = self._shortcut.visit(self.scheme or "http", self._server, self.headers)
            if visit is not None and visit.welcome:
                keep_alive = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
                self.cycle = Short(visit, self.url, self.headers, keep_alive=keep_alive)  # type: ignore[assignment]
                return
            told = None if visit is None else visit.seen.learn
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        if told is not None:
            self.scope["state"][TOLD] = told
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of a body."""
        short = self.cycle
        if isinstance(short, Short):
            short.raw = short.raw + body if short.raw else body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Have a request answered whose way is the short one."""
        short = self.cycle
        self._at(Stage.IDLE if short.response_complete and not self.pipeline else Stage.ANSWER)
        if isinstance(short, Short):
            assert self._shortcut is not None  # noqa: S101 - it welcomed the visit
            self._shortcut.take(short.visit, short.raw, lambda body: self._answer(short, body))
        else:
            super().on_message_complete()

    # -- What goes ----------------------------------------------------------------------------------

    def _answer(self, short: Short, body: bytes | None) -> None:
        """Answer a short request; Django does if there is no body for a 200."""
        if self.transport.is_closing():
            return
        if body is None:
            self._ask_django(short)
            return
        lines = [STATUS_LINE[200], *self._lines(), short.visit.seen.lines]
        if not short.keep_alive:
            lines.append(b"connection: close\r\n")
        self.transport.write(b"".join([*lines, b"content-length: %d\r\n\r\n" % len(body), body]))
        short.response_complete = True
        if not short.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _ask_django(self, short: Short) -> None:
        """Give a request to the application after all, as uvicorn would have."""
        cycle = RequestResponseCycle(
            scope={
                "type": "http",
                "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
                "http_version": "1.1" if short.keep_alive else self.parser.get_http_version(),
                "server": self.server,
                "client": self.client,
                "scheme": self.scheme or "http",
                "root_path": self.root_path,
                "headers": short.headers,
                "state": self.app_state.copy(),
                "method": "POST",
                "path": short.url.decode(),
                "raw_path": short.url,
                "query_string": b"",
            },
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=short.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.body += short.raw
        cycle.more_body = False
        cycle.message_event.set()
        if self.cycle is short:  # type: ignore[comparison-overlap]
            self.cycle = cycle
        self._start_asgi_task(cycle, self.app)

    def on_response_complete(self) -> None:
        """Go on with what has come meanwhile, or wait for the next request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._stage is Stage.ANSWER:
            self._at(Stage.IDLE)
