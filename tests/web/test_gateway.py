"""The gateway gives a WSGI application over RSGI: whole bodies, parts, errors, and nobody waits for ever."""

import asyncio
import io
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from phonegoggles import gateway
from phonegoggles.gateway import Gateway, environ_of


class Headers:
    """Request headers, as the server hands them over."""

    def __init__(self, *items: tuple[str, str]) -> None:
        self._items = items

    def items(self) -> Iterable[tuple[str, str]]:
        return self._items

    def get(self, name: str) -> str | None:
        return dict(self._items).get(name)


class Line:
    """The server's side of one request; what is answered is kept."""

    def __init__(self, *parts: bytes | None) -> None:
        self.parts, self.answer, self.sent = list(parts), None, []

    async def __call__(self) -> bytes:
        whole = b""
        async for part in self:
            whole += part
        return whole

    def __aiter__(self) -> Any:
        return self._each()

    async def _each(self) -> Any:
        for part in self.parts:
            if part is None:  # never comes
                await asyncio.get_running_loop().create_future()
            if part == b"CUT":
                raise ConnectionError
            yield part

    def response_bytes(self, status: int, headers: Any, body: bytes) -> None:
        self.answer = (status, headers, body)

    def response_stream(self, status: int, headers: Any) -> Any:
        self.answer = (status, headers, None)

        async def send_bytes(part: bytes) -> None:
            if self.parts and self.parts[0] == b"GONE":
                raise RuntimeError("gone")
            self.sent.append(part)

        return SimpleNamespace(send_bytes=send_bytes)


def scope(*headers: tuple[str, str], **more: Any) -> Any:
    known = {
        "method": "POST", "path": "/a b/ü", "query_string": "q=ü", "scheme": "http", "server": "127.0.0.1:80",
        "client": "[::1]:999", "http_version": "1.1", "headers": Headers(*headers),
    }  # fmt: skip
    return SimpleNamespace(**(known | more))


def serve(application: Any, line: Line, *headers: tuple[str, str], **more: Any) -> Line:
    """Put one request through a gateway."""

    async def one() -> None:
        door = Gateway(application, threads=2)
        loop = asyncio.get_running_loop()
        door.__rsgi_init__(loop)
        await door.__rsgi__(scope(*headers, **more), line)
        await asyncio.to_thread(door.__rsgi_del__, loop)

    with ThreadPoolExecutor(1) as apart:  # a browser's tests leave a loop running in this thread
        apart.submit(asyncio.run, one()).result()
    return line


class Answer:
    """A WSGI application's answer, which has to be closed by the thread that made it."""

    def __init__(self, *parts: bytes) -> None:
        self._parts, self.thread, self.closed_by = parts, threading.get_ident(), 0

    def __iter__(self) -> Any:
        for part in self._parts:
            assert threading.get_ident() == self.thread
            yield part

    def close(self) -> None:
        self.closed_by = threading.get_ident()


def echo(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("X-Length", environ.get("CONTENT_LENGTH", "-"))])
    return [environ["wsgi.input"].read()]


def test_a_request_is_described_as_pep_3333_wants_it() -> None:
    headers = [("x-two", "1"), ("x-two", "2"), ("cookie", "a=1"), ("cookie", "b=2"), ("content-type", "text/plain")]
    environ = environ_of(scope(), headers, io.BytesIO())
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/a b/ü"
    assert environ["QUERY_STRING"].encode("latin-1").decode() == "q=ü"
    assert (environ["HTTP_X_TWO"], environ["HTTP_COOKIE"], environ["CONTENT_TYPE"]) == ("1,2", "a=1; b=2", "text/plain")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == ("127.0.0.1", "80", "::1")


def test_a_header_with_an_underscore_does_not_pass_for_another() -> None:
    environ = environ_of(scope(), [("x_forwarded_for", "192.0.2.1"), ("x-forwarded-proto", "https")], io.BytesIO())
    assert "HTTP_X_FORWARDED_FOR" not in environ
    assert environ["HTTP_X_FORWARDED_PROTO"] == "https"


@pytest.mark.parametrize(
    ("headers", "parts"),
    [
        ([("content-length", "6")], [b"abc", b"def"]),
        ([("transfer-encoding", "chunked")], [b"abc", b"", b"def"]),
        ([("content-length", str(2**21))], [b"x" * 2**20, b"y" * 2**20]),
        ([("content-length", "0")], [None]),
        ([], [None]),
    ],
    ids=["at once", "chunked", "large", "empty", "none"],
)
def test_a_body_arrives_whole(headers: Any, parts: Any) -> None:
    line = serve(echo, Line(*parts), *headers)
    assert line.answer is not None
    assert line.answer[0] == 200
    assert line.answer[2] == b"".join(part for part in parts if part)


@pytest.mark.parametrize("length", [9, 2**21])
def test_a_body_that_is_cut_off_is_refused(length: int) -> None:
    def strict(environ: Any, start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError:
            start_response("400 Bad Request", [])
            return [b"cut off"]
        raise AssertionError

    line = serve(strict, Line(b"abc", b"CUT"), ("content-length", str(length)))
    assert line.answer is not None
    assert line.answer[0] == 400


def test_a_body_that_does_not_come_in_time_is_given_up(monkeypatch: Any) -> None:
    monkeypatch.setattr(gateway, "BODY_SECONDS", 0.05)
    line = serve(echo, Line(b"abc", None), ("content-length", "9"))
    assert line.answer is not None
    assert line.answer[0] == 408


def test_an_answer_of_several_parts_is_sent_as_they_are_made_and_closed_by_its_thread() -> None:
    made = []

    def many(environ: Any, start_response: Any) -> Answer:
        start_response("200 OK", [("Content-Type", "text/csv")])
        made.append(Answer(b"a", b"", b"b", b"c"))
        return made[0]

    line = serve(many, Line(), method="GET")
    assert line.answer == (200, [("Content-Type", "text/csv")], None)
    assert line.sent == [b"a", b"b", b"c"]
    assert made[0].closed_by == made[0].thread


def test_an_answer_whose_reader_has_gone_is_closed() -> None:
    made = []

    def many(environ: Any, start_response: Any) -> Answer:
        start_response("200 OK", [])
        made.append(Answer(b"a", b"b", b"c"))
        return made[0]

    serve(many, Line(b"GONE"), method="GET")
    assert made[0].closed_by == made[0].thread


def test_an_application_that_fails_is_answered_with_500() -> None:
    def fails(environ: Any, start_response: Any) -> list[bytes]:
        raise RuntimeError

    line = serve(fails, Line(), method="GET")
    assert line.answer is not None
    assert line.answer[0] == 500
