"""A server of requests in this process, and lines to it on which a test sends what bytes it likes."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from calls.ingest.shortcut import UNUSUAL, Seen, Visit
from phonegoggles import serving
from phonegoggles.serving import RequestServer

# How long something that must come may take, in seconds.
PATIENCE = 30
AT = datetime(2024, 1, 1, tzinfo=UTC)


class Answer(NamedTuple):
    """One answer, as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Raw:
    """One connection."""

    def __init__(self, port: int, *, buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if buffer is not None:  # before it is connected, else the system has promised more already
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def send(self, *parts: bytes) -> "Raw":
        """Send some bytes, each part by itself."""
        for part in parts:
            self.socket.sendall(part)
        return self

    def head(self) -> tuple[int, dict[str, str]]:
        """Read the head of an answer."""
        line = self._file.readline()
        version, status, *_ = line.split(b" ", 2)
        assert version == b"HTTP/1.1", line
        headers: dict[str, str] = {}
        while (line := self._file.readline()) != b"\r\n":
            assert line.endswith(b"\r\n"), line
            name, value = line[:-2].decode("latin-1").split(": ", 1)
            assert name not in headers
            headers[name] = value
        return int(status), headers

    def chunk(self) -> bytes:
        """Read one part of an answer whose length nobody told; an empty one is the last."""
        size = int(self._file.readline(), 16)
        part = self._file.read(size)
        assert self._file.read(2) == b"\r\n"
        return part

    def answer(self, *, has_body: bool = True) -> Answer:
        """Read a whole answer."""
        status, headers = self.head()
        body = b""
        if not has_body or status in (100, 204, 304):
            pass
        elif headers.get("transfer-encoding") == "chunked":
            while part := self.chunk():
                body += part
        else:
            size = int(headers["content-length"])
            body = self._file.read(size)
            assert len(body) == size
        return Answer(status, headers, body)

    def ends(self) -> bool:
        """Wait until the server has closed this; whether nothing more came before."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def cut(self) -> None:
        """Break this off, so that the server hears of it at once."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._file.close()
        self.socket.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()


class Parts:
    """An answer that is made part by part, as the test gives them; says when it is closed."""

    def __init__(self) -> None:
        self._parts: list[bytes | None] = []
        self._more = threading.Condition()
        self.closed = threading.Event()

    def give(self, *parts: bytes | None) -> None:
        """Make some parts; None is the end."""
        with self._more:
            self._parts += parts
            self._more.notify()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._more:
                assert self._more.wait_for(lambda: self._parts, PATIENCE)
                part = self._parts.pop(0)
            if part is None:
                return
            yield part

    def close(self) -> None:
        self.closed.set()


class Application:
    """A WSGI application of a few addresses."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.parts = Parts()
        self.waits, self.go = threading.Event(), threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        path = environ["PATH_INFO"]
        self.seen.append(environ)
        if path == "/early":  # answers without a look at the body
            start_response("401 Unauthorized", [("Content-Type", "text/plain")])
            return [b"who?"]
        if path == "/too-large":
            start_response("413 Content Too Large", [("Connection", "close")])
            return [b"no"]
        if path == "/parts":
            start_response("200 OK", [("Content-Type", "text/csv")])
            return self.parts
        if path.startswith("/status/"):
            start_response(f"{path[8:]} Some", [])
            return [b""]
        if path.startswith("/large/"):
            start_response("200 OK", [])
            return [b"x" * int(path[7:])]
        if path == "/wait":
            self.waits.set()
            assert self.go.wait(PATIENCE)
        try:
            body = environ["wsgi.input"].read()
        except OSError:
            start_response("400 Bad Request", [])
            return [b"cut off"]
        told = {"by": "django", "method": environ["REQUEST_METHOD"], "path": path, "body": body.decode("latin-1")}
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(told).encode()]


class ShortWay:
    """Stands where the shortcut does: takes what begins with `{`, and leaves the rest to Django."""

    def __init__(self, landing: Any) -> None:
        self._loop = landing._loop
        self.seen = Seen()
        self.seen.headers = (("X-By", "shortcut"),)
        self.learnt: list[int] = []
        self.holds = False
        # What waits to be committed: bodies, and how they are answered.
        self.held: list[tuple[bytes, Callable[[bytes | None], object]]] = []
        self.came = threading.Semaphore(0)

    def visit(self, scheme: str, server: str, headers: Any) -> Visit | None:
        found = dict(headers)
        if len(found) < len(headers) or not UNUSUAL.isdisjoint(found) or b"content-length" not in found:
            return None
        return Visit(self.seen, AT, welcome=b"x-unknown" not in found)

    def take(self, visit: Visit, raw: bytes, answer: Callable[[bytes | None], object]) -> None:
        if raw[:1] != b"{":
            answer(None)
        elif self.holds:
            self.held.append((raw, answer))
            self.came.release()
        else:
            self._loop.call_soon(answer, self._body(raw))

    def wait_for_one(self) -> None:
        """Wait until there is one more to be committed."""
        assert self.came.acquire(timeout=PATIENCE)

    def commit(self, *, well: bool = True) -> None:
        """Have answered what waits; `well`: it was recorded."""
        while self.held:
            raw, answer = self.held.pop(0)
            self._loop.call_soon_threadsafe(answer, self._body(raw) if well else None)

    @staticmethod
    def _body(raw: bytes) -> bytes:
        return b'{"by":"shortcut","body":%s}' % json.dumps(raw.decode("latin-1")).encode()


class Served:
    """A server that runs, and what is behind it."""

    def __init__(self, application: Application, *, threads: int, grace: int) -> None:
        self.application = application
        self.server = RequestServer(application, threads=threads, shortcut=True, grace=grace)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(listener.getsockname()[1])
        self.shortcut: ShortWay = None  # type: ignore[assignment]
        self.loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]
        self.thread = threading.Thread(target=self.server.run, args=([listener],), daemon=True)
        self._lines: list[Raw] = []

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def line(self, **options: Any) -> Raw:
        """Connect."""
        self._lines.append(Raw(self.port, **options))
        return self._lines[-1]

    def on_the_loop(self, work: Callable[[], Any]) -> Any:
        """Do something between two turns of the server's loop, and return what came of it."""

        async def do() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(do(), self.loop).result(PATIENCE)

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for something that must become true in the server."""
        deadline = threading.Event()
        for _ in range(PATIENCE * 100):
            if self.on_the_loop(true):
                return
            deadline.wait(0.01)
        raise AssertionError("it did not become true")

    def stop(self) -> None:
        """Ask the server to end; does not wait."""
        self.server.should_exit = True

    def is_over(self) -> bool:
        """Wait until the server has ended."""
        self.thread.join(PATIENCE)
        return not self.thread.is_alive()


@contextmanager
def served(
    patch: pytest.MonkeyPatch, *, threads: int = 8, grace: int = PATIENCE, uvloop: bool = True
) -> Iterator[Served]:
    """Run a server."""
    one, ready = Served(Application(), threads=threads, grace=grace), threading.Event()

    def short_way(landing: Any) -> ShortWay:
        one.loop, one.shortcut = landing._loop, ShortWay(landing)
        ready.set()
        return one.shortcut

    patch.setattr(serving, "Shortcut", short_way)
    if not uvloop:
        one.server.config.loop = "asyncio"
    one.thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield one
    finally:
        one.application.go.set()
        one.application.parts.give(None)
        if one.thread.is_alive():
            one.loop.call_soon_threadsafe(one.shortcut.commit)
        for line in one._lines:
            line.close()
        one.stop()
        assert one.is_over()
