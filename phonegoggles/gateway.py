"""Answers requests that come over ASGI with a WSGI application, in threads (docs/decisions/0028).

ASGI: https://asgi.readthedocs.io/en/latest/specs/www.html; WSGI: PEP 3333. The event loop only moves bytes: a
body that comes slowly holds no thread. A slow reader of a streamed answer does, as it would under WSGI.
"""

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from calls.operations.together import WAITS
from phonegoggles.threads import LOOK_SECONDS, Threads

logger = logging.getLogger(__name__)

Environ: TypeAlias = dict[str, Any]
Headers: TypeAlias = list[tuple[str, str]]
Application: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
# Hears the status and the headers of an answer.
Told: TypeAlias = Callable[[int, Headers], object]

Answer: TypeAlias = tuple[int, Headers, bytes]

# Answers that have no body, and tell no length (RFC 9110, 8.6).
BODILESS = frozenset({204, 304})
# Under these names the state of a request's scope may carry who wants to be told of its answer, and what answers it
# at once, without ASGI's messages, if that is in one piece.
TOLD, RESPOND = "phonegoggles.told", "phonegoggles.respond"
# A body of at most this length is read before a thread is taken for it.
AT_ONCE_BYTES = 1024 * 1024
# What a server gathers of a body before anybody asks for it. Longer ones wait for one of so many places for each
# thread: however many come, they do not fill the memory.
SMALL_BYTES = 64 * 1024
LARGE_BODIES_A_THREAD = 4
# Nobody waits longer than this for a body, or for the next part of a large one, in seconds.
BODY_SECONDS = 60
# Nobody is given longer than this to take a part of an answer, in seconds: it holds a thread.
PART_SECONDS = 60
TOO_SLOW = b'{"detail":"The body did not come in time.","code":"request_timeout"}'
CUT_OFF = b'{"detail":"The body ended before it was complete.","code":"invalid"}'
# What is left of the body would pass for another request.
REFUSED: Headers = [("Content-Type", "application/json"), ("Connection", "close")]
# What every request is told of its surroundings; a copy of this is cheaper than writing it down again.
SURROUNDINGS: Environ = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


class CutOffError(Exception):
    """The line was cut before a body was complete."""


class Parts(io.RawIOBase):
    """A large body, or one whose length nobody told, as a thread reads it: part by part."""

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        self._receive, self._loop, self._rest, self._more = receive, loop, memoryview(b""), True

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, target: Any) -> int:
        """Read some bytes; none at the end. Raises OSError if they do not come in time."""
        if not self._rest and self._more:
            coming: Future[bytes] = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
            try:
                with WAITS.around():
                    self._rest = memoryview(coming.result(BODY_SECONDS))
            except TimeoutError:
                coming.cancel()
                raise OSError("the body did not come in time") from None
            except Exception as error:
                raise OSError("the body was cut off") from error
        size = min(len(self._rest), len(target))
        target[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    async def _next(self) -> bytes:
        while self._more:
            part, self._more = await _part(self._receive)
            if part:
                return part
        return b""


async def _part(receive: Receive) -> tuple[bytes, bool]:
    """Return the next part of a body, and whether there is more. Raises CutOffError."""
    message = await receive()
    if message["type"] != "http.request":
        raise CutOffError
    return message.get("body", b""), message.get("more_body", False)


async def _whole(receive: Receive) -> bytes:
    """Return a body. Raises CutOffError."""
    part, more = await _part(receive)
    if not more:
        return part
    parts = [part]
    while more:
        part, more = await _part(receive)
        parts.append(part)
    return b"".join(parts)


def environ_of(scope: Scope, body: Any) -> Environ:
    """Return the environment of a request, as PEP 3333 wants it: texts are bytes in Latin-1's clothes.

    Headers with an underscore in their names are left out: they would pass for others (`X_Forwarded_For`).
    """
    name, port = scope.get("server") or ("", None)
    client = scope.get("client")
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    environ = SURROUNDINGS.copy()
    environ["REQUEST_METHOD"] = scope["method"]
    environ["PATH_INFO"] = (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")
    environ["QUERY_STRING"] = scope["query_string"].decode("latin-1")
    environ["SERVER_NAME"] = name
    environ["SERVER_PORT"] = str(port or 80)
    environ["SERVER_PROTOCOL"] = f"HTTP/{scope['http_version']}"
    environ["REMOTE_ADDR"] = client[0] if client else ""
    environ["wsgi.url_scheme"] = scope["scheme"]
    environ["wsgi.input"] = body
    environ["wsgi.errors"] = LOG
    for header, value in scope["headers"]:
        if b"_" in header:
            continue
        key = header.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        if key in environ:
            environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + text
        else:
            environ[key] = text
    return environ


class Gateway:
    """The ASGI application: each request is answered by the WSGI application, in one of some threads."""

    def __init__(self, application: Application, *, threads: int) -> None:
        self._application = application
        self._threads = Threads(threads)
        self._looking = False
        self._large = asyncio.Semaphore(LARGE_BODIES_A_THREAD * threads)

    def close(self) -> None:
        """Stop serving; whatever is being answered has been by then, or its line is cut."""
        self._threads.end()  # a thread may be waiting for the loop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        length = length_of(scope["headers"])
        if length is not None and SMALL_BYTES < length <= AT_ONCE_BYTES:
            async with self._large:
                await self._answer(scope, receive, send, length)
        else:
            await self._answer(scope, receive, send, length)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, length: int | None) -> None:
        loop = asyncio.get_running_loop()
        if length == 0:
            body: io.BufferedIOBase = io.BytesIO()
        elif length is not None and length <= AT_ONCE_BYTES:
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    body = io.BytesIO(await _whole(receive))
            except TimeoutError:
                await _respond(send, 408, REFUSED, TOO_SLOW)
                return
            except CutOffError:
                await _respond(send, 400, REFUSED, CUT_OFF)
                return
        else:
            body = io.BufferedReader(Parts(receive, loop), SMALL_BYTES)
        answered: asyncio.Future[Answer | None] = loop.create_future()
        self.begin(scope, body, Line(loop, receive, send), partial(_tell, answered))
        answer = await answered
        if answer is None:
            return
        if (respond := scope.get("state", {}).get(RESPOND)) is not None:
            respond(answer)
        else:
            await _respond(send, *answer)

    def begin(
        self, scope: Scope, body: io.BufferedIOBase, line: "Line", then: Callable[[Answer | None], object]
    ) -> None:
        """Have a request answered whose body can be read; `then` gets the answer, on the loop, or None.

        None if the answer was sent part by part, or could not be sent.
        """
        told: Told | None = scope.get("state", {}).get(TOLD)
        work = partial(self._work, environ_of(scope, body), line, told, then)
        if not self._threads.do(work) and not self._looking:
            self._looking = True
            line.loop.call_later(LOOK_SECONDS, self._look, line.loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looking = self._threads.look()
        if self._looking:
            loop.call_later(LOOK_SECONDS, self._look, loop)

    # -- In a thread ------------------------------------------------------------------------------

    def _work(self, environ: Environ, line: "Line", told: Told | None, then: Callable[[Answer | None], object]) -> None:
        """Answer a request, and have the loop told."""
        WAITS.around = self._threads.left
        answer: Answer | None = None
        try:
            answer = self._run(environ, line)
        except Exception:
            logger.exception("An answer was not made")
        finally:
            with suppress(RuntimeError):  # the loop is closed
                if told is not None and answer is not None:
                    line.loop.call_soon_threadsafe(told, answer[0], answer[1])
                line.loop.call_soon_threadsafe(then, answer)

    def _run(self, environ: Environ, line: "Line") -> Answer | None:
        """Return the answer; None if it had several parts, which are sent then."""
        told: list[Any] = []
        try:
            parts = self._application(environ, lambda status, headers, *more: told.append((status, headers)))
        except Exception:
            logger.exception("The application failed")
            return 500, [], b""
        try:
            rest = iter(parts)
            first, second = next(rest, b""), next(rest, None)
            status, headers = int(told[-1][0][:3]), told[-1][1]
            if second is None:
                return status, headers, first
            line.send(status, headers, chain((first, second), rest))
            return None
        except OSError:
            return None  # whoever asked has gone
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()


class Line:
    """The way back to whoever asked, for a thread that makes an answer of several parts."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive, send: Send) -> None:
        self.loop, self._receive, self._send = loop, receive, send
        self._gone = False

    def send(self, status: int, headers: Headers, parts: Iterable[bytes]) -> None:
        """Send an answer as it is made. Raises OSError if nobody takes it."""
        watch = self._wait_for(self._begin(status, headers))
        try:
            for part in parts:
                if part:
                    self._wait_for(self._more(part))
            self._wait_for(self._send({"type": "http.response.body", "body": b"", "more_body": False}))
        finally:
            with suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(watch.cancel)

    def _wait_for(self, work: Any) -> Any:
        doing = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            with WAITS.around():
                return doing.result(PART_SECONDS)
        except Exception as error:  # it took too long, or the server is stopping
            doing.cancel()
            raise OSError("the line was cut") from error

    async def _begin(self, status: int, headers: Headers) -> "asyncio.Task[None]":
        await self._send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
        return self.loop.create_task(self._notice_the_end())

    async def _more(self, part: bytes) -> None:
        if self._gone:
            raise OSError("whoever asked has gone")
        await self._send({"type": "http.response.body", "body": part, "more_body": True})

    async def _notice_the_end(self) -> None:
        # A server says nothing when one sends to somebody who has gone; it says so to who receives.
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True


def _tell(answered: "asyncio.Future[Answer | None]", answer: Answer | None) -> None:
    if not answered.done():
        answered.set_result(answer)


async def _respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    encoded = _encoded(headers)
    if status not in BODILESS and not any(name.lower() == b"content-length" for name, _ in encoded):
        encoded.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def length_of(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return how long a body will be; None if nobody knows."""
    chunked = False
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value)
        chunked = chunked or name in (b"content-length", b"transfer-encoding")
    return None if chunked else 0


class Log(io.TextIOBase):
    """What an application writes to `wsgi.errors`."""

    def writable(self) -> bool:
        """Say that this can be written."""
        return True

    def write(self, text: str) -> int:
        """Log a line."""
        if text.strip():
            logger.error(text.rstrip())
        return len(text)


LOG = Log()
