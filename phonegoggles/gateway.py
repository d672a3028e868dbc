"""Answers requests that come over RSGI with a WSGI application, in threads (docs/decisions/0026).

RSGI: https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md; WSGI: PEP 3333. The event loop only
moves bytes: a body that comes slowly holds no thread. A slow reader of a streamed answer does, as it would under WSGI.
"""

import asyncio
import io
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any, TypeAlias

logger = logging.getLogger(__name__)

Environ: TypeAlias = dict[str, Any]
Headers: TypeAlias = list[tuple[str, str]]
Application: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# A body of at most this length is read before a thread is taken for it.
AT_ONCE_BYTES = 1024 * 1024
# Nobody waits longer than this for a body, or for the next part of a large one, in seconds.
BODY_SECONDS = 60
# Nobody is given longer than this to take a part of an answer, in seconds: it holds a thread.
PART_SECONDS = 60
TOO_SLOW = b'{"detail":"The body did not come in time.","code":"request_timeout"}'
CUT_OFF = b'{"detail":"The body ended before it was complete.","code":"invalid"}'
JSON_HEADERS = [("Content-Type", "application/json")]


class Parts(io.RawIOBase):
    """A large body, or one whose length nobody told, as a thread reads it: part by part."""

    def __init__(self, protocol: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._parts, self._loop, self._rest = aiter(protocol), loop, memoryview(b"")

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, target: Any) -> int:
        """Read some bytes; none at the end. Raises OSError if they do not come in time."""
        if not self._rest:
            coming: Future[bytes] = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
            try:
                self._rest = memoryview(coming.result(BODY_SECONDS))
            except TimeoutError:
                coming.cancel()
                raise OSError("the body did not come in time") from None
            except Exception as error:  # whatever the server raises when the line is cut
                raise OSError("the body was cut off") from error
        size = min(len(self._rest), len(target))
        target[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    async def _next(self) -> bytes:
        # Not `async for`: it would ask for an iterator anew, and the server gives a body out once.
        while True:
            try:
                part = await anext(self._parts)
            except StopAsyncIteration:
                return b""
            if part:
                return bytes(part)


def environ_of(scope: Any, headers: Iterable[tuple[str, str]], body: Any) -> Environ:
    """Return the environment of a request, as PEP 3333 wants it: texts are bytes in Latin-1's clothes.

    Headers with an underscore in their names are left out: they would pass for others (`X_Forwarded_For`).
    """
    name, _, port = scope.server.rpartition(":")
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": _native(scope.path),
        "QUERY_STRING": _native(scope.query_string),
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.errors": None,
    }
    for header, value in headers:
        if "_" in header:
            continue
        key = header.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        value = _native(value)
        if key in environ:
            environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + value
        else:
            environ[key] = value
    return environ


def _native(text: str) -> str:
    return text if text.isascii() else text.encode().decode("latin-1")


class Gateway:
    """The RSGI application: each request is answered by the WSGI application, in one of some threads."""

    def __init__(self, application: Application, *, threads: int) -> None:
        self._application, self._most = application, threads
        self._loop: asyncio.AbstractEventLoop
        self._threads: ThreadPoolExecutor

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to serve, in a process and on a loop of its own."""
        self._loop = loop
        self._threads = ThreadPoolExecutor(self._most, thread_name_prefix="request")

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop serving; whatever is being answered has been by then, or its line is cut."""
        self._threads.shutdown(wait=False, cancel_futures=True)  # a thread may be waiting for this very loop

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer a request."""
        await self.answer(scope, protocol, scope.headers.items())

    async def answer(
        self,
        scope: Any,
        protocol: Any,
        headers: Iterable[tuple[str, str]],
        *,
        body: bytes | None = None,
        told: Callable[[int, Headers], object] = lambda status, headers: None,
    ) -> None:
        """Answer a request whose body may have been read already; `told` hears the status and headers."""
        source = await self._body(scope, protocol) if body is None else io.BytesIO(body)
        if source is None:
            return
        environ = environ_of(scope, headers, source)
        answer = await self._loop.run_in_executor(self._threads, self._run, environ, protocol)
        if answer is not None:
            status, own, text = answer
            told(status, own)
            protocol.response_bytes(status, own, text)

    async def read(self, protocol: Any) -> bytes | None:
        """Return a body of no great length; None if it does not come in time or whole, which is answered then."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - whoever awaits has one
        timer = self._loop.call_later(BODY_SECONDS, task.cancel)
        try:
            return bytes(await protocol())
        except asyncio.CancelledError:
            if task.uncancel():  # somebody else wants us to end as well
                raise
            protocol.response_bytes(408, JSON_HEADERS, TOO_SLOW)
            return None
        except Exception:  # whatever the server raises when the line is cut
            protocol.response_bytes(400, JSON_HEADERS, CUT_OFF)
            return None
        finally:
            timer.cancel()

    async def _body(self, scope: Any, protocol: Any) -> io.BufferedIOBase | None:
        length = scope.headers.get("content-length")
        if length is None:
            if scope.headers.get("transfer-encoding") is None:
                return io.BytesIO()
        elif length == "0":
            return io.BytesIO()
        elif length.isascii() and length.isdigit() and int(length) <= AT_ONCE_BYTES:
            body = await self.read(protocol)
            return None if body is None else io.BytesIO(body)
        return io.BufferedReader(Parts(protocol, self._loop), 64 * 1024)

    # -- In a thread ------------------------------------------------------------------------------

    def _run(self, environ: Environ, protocol: Any) -> tuple[int, Headers, bytes] | None:
        """Return the answer; None if it had several parts, which are sent then."""
        told: list[Any] = []
        environ["wsgi.errors"] = Log()
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
            self._send(protocol, status, headers, chain((first, second), rest))
            return None
        except OSError:
            return None  # whoever asked has gone
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()

    def _send(self, protocol: Any, status: int, headers: Headers, parts: Iterable[bytes]) -> None:
        transport: Any = self._in_the_loop(_begin(protocol, status, headers))
        for part in parts:
            if part:
                try:
                    self._in_the_loop(_send(transport, part))
                except Exception as error:  # whatever the server raises when the line is cut
                    raise OSError("the line was cut") from error

    def _in_the_loop(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PART_SECONDS)


async def _begin(protocol: Any, status: int, headers: Headers) -> Any:
    return protocol.response_stream(status, headers)


async def _send(transport: Any, part: bytes) -> None:
    await transport.send_bytes(part)


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
