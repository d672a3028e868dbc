"""The gateway gives a WSGI application over ASGI: whole bodies, parts, errors, and nobody waits for ever."""

import asyncio
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from phonegoggles import gateway
from phonegoggles.gateway import TOLD, Gateway, environ_of


class Line:
    """The server's side of one request; what is answered is kept."""

    def __init__(self, *parts: bytes | None) -> None:
        self.parts, self.started, self.sent, self.complete = list(parts), None, [], False

    async def receive(self) -> Any:
        if not self.parts:  # all of the body was told
            await asyncio.get_running_loop().create_future()
        part = self.parts.pop(0)
        if part is None:  # never comes
            await asyncio.get_running_loop().create_future()
        if part in (b"CUT", b"GONE"):
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": bool(self.parts)}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.started = message
        else:
            self.sent.append(message["body"])
            self.complete = not message.get("more_body")

    @property
    def status(self) -> int:
        assert self.started is not None
        return int(self.started["status"])


def scope(*headers: tuple[bytes, bytes], **more: Any) -> Any:
    known = {
        "type": "http", "method": "POST", "path": "/a b/ü", "raw_path": b"/a%20b/%C3%BC", "query_string": b"q=%C3%BC",
        "scheme": "http", "server": ("127.0.0.1", 80), "client": ("::1", 999), "http_version": "1.1",
        "headers": headers,
    }  # fmt: skip
    return known | more


def serve(application: Any, line: Line, *headers: tuple[bytes, bytes], **more: Any) -> Line:
    """Put one request through a gateway."""

    async def one() -> None:
        door = Gateway(application, threads=2)
        await door(scope(*headers, **more), line.receive, line.send)
        door.close()

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
    headers = ((b"x-two", b"1"), (b"x-two", b"2"), (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"content-type", b"a/b"))
    environ = environ_of(scope(*headers), io.BytesIO())
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/a b/ü"
    assert environ["QUERY_STRING"] == "q=%C3%BC"
    assert (environ["HTTP_X_TWO"], environ["HTTP_COOKIE"], environ["CONTENT_TYPE"]) == ("1,2", "a=1; b=2", "a/b")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == ("127.0.0.1", "80", "::1")


def test_bytes_of_a_path_that_are_no_text_arrive_as_they_are() -> None:
    assert environ_of(scope(raw_path=b"/%FF%2F"), io.BytesIO())["PATH_INFO"] == "/\xff/"


def test_a_header_with_an_underscore_does_not_pass_for_another() -> None:
    environ = environ_of(scope((b"x_forwarded_for", b"192.0.2.1"), (b"x-forwarded-proto", b"https")), io.BytesIO())
    assert "HTTP_X_FORWARDED_FOR" not in environ
    assert environ["HTTP_X_FORWARDED_PROTO"] == "https"


@pytest.mark.parametrize(
    ("headers", "parts"),
    [
        ([(b"content-length", b"6")], [b"abc", b"def"]),
        ([(b"transfer-encoding", b"chunked")], [b"abc", b"", b"def"]),
        ([(b"content-length", b"100000")], [b"x" * 50_000, b"y" * 50_000]),
        ([(b"content-length", str(2**21).encode())], [b"x" * 2**20, b"y" * 2**20]),
        ([(b"content-length", b"0")], [None]),
        ([], [None]),
    ],
    ids=["at once", "chunked", "for which places are kept", "large", "empty", "none"],
)
def test_a_body_arrives_whole(headers: Any, parts: Any) -> None:
    whole = b"".join(part for part in parts if part)
    line = serve(echo, Line(*parts), *headers)
    assert line.status == 200
    assert b"".join(line.sent) == whole
    assert line.complete


@pytest.mark.parametrize("length", [9, 2**21])
def test_a_body_that_is_cut_off_is_refused(length: int) -> None:
    def strict(environ: Any, start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError:
            start_response("400 Bad Request", [])
            return [b"cut off"]
        raise AssertionError

    assert serve(strict, Line(b"abc", b"CUT"), (b"content-length", str(length).encode())).status == 400


def test_a_body_that_does_not_come_in_time_is_given_up(monkeypatch: Any) -> None:
    monkeypatch.setattr(gateway, "BODY_SECONDS", 0.05)
    assert serve(echo, Line(b"abc", None), (b"content-length", b"9")).status == 408


def test_an_answer_of_several_parts_is_sent_as_they_are_made_and_closed_by_its_thread() -> None:
    made = []

    def many(environ: Any, start_response: Any) -> Answer:
        start_response("200 OK", [("Content-Type", "text/csv")])
        made.append(Answer(b"a", b"", b"b", b"c"))
        return made[0]

    line = serve(many, Line(), method="GET")
    assert line.started == {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/csv")]}
    assert line.sent == [b"a", b"b", b"c", b""]
    assert line.complete
    assert made[0].closed_by == made[0].thread


def test_an_answer_whose_reader_has_gone_is_closed() -> None:
    made = []

    def many(environ: Any, start_response: Any) -> Answer:
        start_response("200 OK", [])
        made.append(Answer(*[b"a"] * 10_000))
        return made[0]

    line = serve(many, Line(b"GONE"), method="GET")
    assert len(line.sent) < 10_000
    assert not line.complete
    assert made[0].closed_by == made[0].thread


def test_an_answer_that_breaks_off_does_not_look_complete() -> None:
    def breaks(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        yield b"a"
        yield b"b"
        raise ValueError

    line = serve(breaks, Line(), method="GET")
    assert line.status == 200
    assert not line.complete


def test_an_application_that_fails_is_answered_with_500() -> None:
    def fails(environ: Any, start_response: Any) -> list[bytes]:
        raise RuntimeError

    assert serve(fails, Line(), method="GET").status == 500


def test_whoever_wants_to_is_told_of_an_answer() -> None:
    told: list[Any] = []
    serve(echo, Line(), method="GET", state={TOLD: lambda *answer: told.append(answer)})
    assert told == [(200, [("X-Length", "-")])]
