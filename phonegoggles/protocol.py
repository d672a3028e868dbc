"""HTTP/1.1 (RFC 9112) for the server of requests: uvicorn's protocol, with a shortcut in it, and with limits.

uvicorn starts a task and an ASGI exchange for each request, which together cost more than an event. So the request that
comes most often is handed on as soon as its last byte is here, and answered with one write; whatever the
[shortcut](../calls/ingest/shortcut.py) does not take goes uvicorn's way. What uvicorn leaves to a proxy is bounded
here: how long a request's head may be and how long it, and a small body, may take.
"""

import asyncio
import io
import logging
import sys
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from calls.ingest.shortcut import PATHS, Shortcut
from phonegoggles.answers import CLOSE, FAILED, same_lines, write_answer
from phonegoggles.exchanges import Flow, Short, Trailers
from phonegoggles.gateway import BODY_SECONDS, RESPOND, TOLD, TOO_SLOW, Answer, Gateway, Headers, Line, length_of

logger = logging.getLogger(__name__)

# The head of a request may have so many bytes, and take so many seconds. What stands between the chunks of a body, and
# behind them, may have as many bytes.
HEAD_BYTES, HEAD_SECONDS = 64 * 1024, 10
# An idle connection is closed after so many seconds; proxies keep theirs for about a minute.
IDLE_SECONDS = 75
# Who takes nothing of an answer for so many seconds is dropped.
DEAF_SECONDS = 75
# How often a connection is looked at, in seconds.
LOOK_SECONDS = 5
TOO_LARGE = b'{"detail":"The head of the request is too large.","code":"head_too_large"}'
NO_REQUEST = b'{"detail":"This is no valid HTTP request.","code":"invalid"}'
OUR_FAULT = b'{"detail":"Something went wrong on our side.","code":"error"}'
JSON: Headers = [("content-type", "application/json")]


class Stage(Enum):
    """What a connection is at."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    # All of a request is here, but not its answer.
    ANSWER = auto()


class BadTargetError(Exception):
    """What a request asks for cannot be read."""


TRAILERS = Trailers()
# With one of these a request has a body.
BODIES = frozenset({b"content-length", b"transfer-encoding"})


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, shortcut: Shortcut | None, *, gone: Callable[[], object], **options: Any) -> None:
        super().__init__(**options)
        self._shortcut, self._gone = shortcut, gone
        self._stage, self._since = Stage.IDLE, 0.0
        self._in_head = False
        # Whether the head that is here asks for another protocol, and says that a body follows.
        self._wishes = False
        # How much has come since there was a whole head, or a part of a body.
        self._around = 0
        # What is to be said, behind all answers, before the connection is closed.
        self._refusal: bytes | None = None
        # Who is being answered, if not by the shortcut; requests behind that may have come already.
        self._answering: RequestResponseCycle | None = None
        # How much of our answers had not been taken, and since when nothing was.
        self._left, self._deaf_since = 0, 0.0
        self._looking: asyncio.TimerHandle | None = None
        self._server = ""

    # -- The connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)
        self._server = "{}:{}".format(*self.server) if self.server else ""
        self._at(Stage.IDLE)
        self._deaf_since = self._since
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; what is under way is still recorded."""
        if self._looking is not None:
            self._looking.cancel()
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()
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
        now = self.loop.time()
        left = self.transport.get_write_buffer_size()
        if left == 0 or left < self._left:
            self._deaf_since = now
        self._left = left
        if left and now - self._deaf_since >= DEAF_SECONDS:
            self.transport.abort()
            return
        waited = now - self._since
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
        """Say what is wrong with what comes, behind the answers that are still to be given, and close."""
        self._refusal, _ = write_answer((status, JSON, body), date=self._lines(), keep_alive=False)
        cycle = self.cycle
        is_next = cycle is None or cycle.response_complete
        if self._stage is Stage.BODY:  # then it is the body of this one
            if self.pipeline and self.pipeline[0][0] is cycle:
                self.pipeline.popleft()
            else:
                is_next = True
                if cycle.response_complete or (not isinstance(cycle, Short) and cycle.response_started):
                    self._refusal = b""  # it would pass for a part of that, or for an answer to something else
                cycle.disconnected = True
                cycle.message_event.set()
        self._at(Stage.ANSWER)
        if is_next:
            self._end()

    def _end(self) -> None:
        if self._refusal is not None and not self.transport.is_closing():
            self.transport.write(self._refusal)
            self.transport.close()

    def pause_writing(self) -> None:
        """Hear nothing more from somebody who does not take our answers."""
        super().pause_writing()
        if not self.transport.is_closing():
            self.flow.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._left = sys.maxsize  # something was taken
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _lines(self) -> list[bytes]:
        return [b"%b: %b\r\n" % header for header in self.server_state.default_headers]

    # -- What comes ---------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        if self._refusal is not None:
            return
        self._around += len(data)
        rest: bytes | memoryview = data
        while rest:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as wish:
                # Whoever asks for another protocol is answered in this one (RFC 9110, 7.8).
                rest = memoryview(rest)[wish.args[0] :]
                if self._wishes:
                    rest = b"".join([self._without_wishes(), rest])
            except httptools.HttpParserError as error:
                self._stumble(error)
                return
            else:
                break
        if self._around > HEAD_BYTES:
            self._refuse(431, TOO_LARGE)

    def _without_wishes(self) -> bytes:
        """Return a head that has been read, to be read again: after a wish the parser would read no body."""
        self._wishes = False
        lines = [b"%b: %b\r\n" % (name, value) for name, value in self.headers if name != b"upgrade"]
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does: it waits for its turn
        return b"".join([line, *lines, b"\r\n"])

    def _stumble(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__
        if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(cause, BadTargetError):
            logger.error("A request could not be taken in", exc_info=cause)
            self._refuse(500, OUR_FAULT)
        else:
            self._refuse(400, NO_REQUEST)

    def on_message_begin(self) -> None:
        """Make room for a request's head; what uvicorn prepares for it is not always needed."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._in_head = True
        if self._stage is Stage.IDLE:
            self._at(Stage.HEAD)

    def on_headers_complete(self) -> None:
        """Choose the way."""
        self._in_head, self._around = False, 0
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise BadTargetError
            if not BODIES.isdisjoint(name for name, _ in self.headers):
                self._wishes = True
                return
        told: Callable[..., object] | None = None
        free = self.cycle is None or self.cycle.response_complete
        if self._shortcut is not None and free and self.url in PATHS and self.parser.get_method() == b"POST":
            visit = self._shortcut.visit(self.scheme or "http", self._server, self.headers)
            if visit is not None and visit.welcome:
                keep_alive = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
                self.cycle = Short(visit, self.url, self.headers, keep_alive=keep_alive)  # type: ignore[assignment]
                self._at(Stage.BODY)
                return
            told = None if visit is None else visit.seen.learn
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        if told is not None:
            self.scope["state"][TOLD] = told
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            raise BadTargetError
        try:
            super().on_headers_complete()
        except Exception as error:
            raise BadTargetError from error
        self.headers = TRAILERS
        self._at(Stage.BODY)

    def on_body(self, body: bytes) -> None:
        """Keep a part of a body."""
        self._around = 0
        short = self.cycle
        if isinstance(short, Short):
            short.raw = short.raw + body if short.raw else body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Have a request answered whose way is the short one."""
        if self._wishes:
            return
        short = self.cycle
        self._around = 0
        if isinstance(short, Short):
            assert self._shortcut is not None  # noqa: S101 - it welcomed the visit
            self._shortcut.take(short.visit, short.raw, lambda body: self._answer(short, body))
        else:
            super().on_message_complete()
        self._at(Stage.IDLE if short.response_complete and not self.pipeline else Stage.ANSWER)

    # -- What goes ----------------------------------------------------------------------------------

    def _answer(self, short: Short, body: bytes | None) -> None:
        """Answer a short request; Django does if there is no body for a 200."""
        if self.transport.is_closing():
            return
        if body is None:
            self._ask_django(short)
            return
        lines = [STATUS_LINE[200], *self._lines(), same_lines(short.visit.seen.headers) or b""]
        if not short.keep_alive:
            lines.append(CLOSE)
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
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._refusal is not None:
            self._end()
        elif self._stage is Stage.ANSWER:
            self._at(Stage.HEAD if self._in_head else Stage.IDLE)
        if not self.flow.write_paused and not self.transport.is_closing():
            self.flow.resume_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Have a request answered; where there is nothing to wait for on the loop, without a task."""
        self._answering = cycle
        respond = partial(self._respond, cycle)
        if isinstance(app, Gateway) and length_of(cycle.scope["headers"]) == 0:
            app.begin(cycle.scope, io.BytesIO(), Line(self.loop, cycle.receive, cycle.send), respond)  # type: ignore[arg-type]
        else:
            cycle.scope["state"][RESPOND] = respond
            super()._start_asgi_task(cycle, app)

    def _respond(self, cycle: RequestResponseCycle, answer: Answer | None) -> None:
        """Answer with one write; uvicorn takes two, and looks at each header several times."""
        if cycle.disconnected or cycle.response_complete or self.transport.is_closing():
            return
        if cycle.response_started:  # an answer of several parts that broke off
            self.transport.close()
            return
        whole, cycle.keep_alive = write_answer(
            answer or FAILED,
            date=self._lines(),
            with_body=cycle.scope["method"] != "HEAD",
            keep_alive=cycle.keep_alive,
        )
        self.transport.write(whole)
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
