"""HTTP/1.1 as the server of requests speaks it: raw bytes over real sockets, also broken, slow, cut and piled up."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from phonegoggles import protocol
from tests.web.raw import PATIENCE, Served, served

EVENT = b"POST /process-events/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n%b"


def event(body: bytes = b"{1}", more: bytes = b"") -> bytes:
    """Return the report of an event."""
    return EVENT % (len(body), more, body)


def get(path: bytes = b"/some", more: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"GET %b HTTP/%b\r\nHost: x\r\n%b\r\n" % (path, version, more)


def post(path: bytes, body: bytes, more: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n%b" % (path, len(body), more, body)


def chunked(*parts: bytes, path: bytes = b"/some", more: bytes = b"", trailers: bytes = b"") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n%b\r\n" % (path, more)
    return head + body + b"0\r\n" + trailers + b"\r\n"


@pytest.fixture(params=["uvloop", "asyncio"])
def here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    with served(monkeypatch, uvloop=request.param == "uvloop") as one:
        yield one


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server that waits for nobody."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(protocol, name, 0.3)
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.05)
    with served(monkeypatch) as one:
        yield one


# -- One after another ----------------------------------------------------------------------------


def test_a_line_is_kept_for_event_after_event(here: Served) -> None:
    line = here.line()
    for number in range(5):
        answer = line.send(event(b"{%d}" % number)).answer()
        assert (answer.status, answer.json) == (200, {"by": "shortcut", "body": f"{{{number}}}"})
        assert answer.headers["x-by"] == "shortcut"
        assert "connection" not in answer.headers
    assert here.application.seen == []


def test_events_and_other_requests_take_turns_on_a_line(here: Served) -> None:
    line = here.line()
    for _ in range(3):
        assert line.send(event()).answer().json["by"] == "shortcut"
        assert line.send(get()).answer().json == {"by": "django", "method": "GET", "path": "/some", "body": ""}
        assert line.send(post(b"/other", b"abc")).answer().json["body"] == "abc"


@pytest.mark.parametrize("request_of", [event, get], ids=["event", "get"])
def test_whoever_wants_a_line_closed_is_answered_first(here: Served, request_of: Any) -> None:
    line = here.line().send(request_of(more=b"Connection: close\r\n") + get(b"/behind") + event(b"[behind]"))
    answer = line.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert line.ends()
    assert not any("behind" in environ["PATH_INFO"] for environ in here.application.seen)


@pytest.mark.parametrize(
    "said", [event().replace(b"/1.1", b"/1.0"), get(version=b"1.0")], ids=["event", "get"]
)  # fmt: skip
def test_a_line_of_http_1_0_serves_one_request(here: Served, said: bytes) -> None:
    line = here.line().send(said)
    answer = line.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert line.ends()


def test_what_the_shortcut_leaves_is_asked_of_django_with_the_same_body(here: Served) -> None:
    line = here.line()
    for body in (b"[1]", b"", b"\xff" * 999):
        told = line.send(event(body)).answer().json
        assert told == {"by": "django", "method": "POST", "path": "/process-events/", "body": body.decode("latin-1")}
    environ = here.application.seen[-1]
    assert (environ["CONTENT_LENGTH"], environ["HTTP_HOST"], environ["SERVER_PROTOCOL"]) == ("999", "x", "HTTP/1.1")
    assert line.send(event()).answer().json["by"] == "shortcut"


def test_what_could_not_be_recorded_is_asked_of_django_later(here: Served) -> None:
    here.shortcut.holds = True
    line = here.line().send(event(b"{a}"), get(b"/behind"))
    here.shortcut.wait_for_one()
    here.shortcut.commit(well=False)
    told = line.answer().json
    assert (told["by"], told["path"], told["body"]) == ("django", "/process-events/", "{a}")
    assert line.answer().json["path"] == "/behind"


def test_django_keeps_the_line_as_it_was_asked_to(here: Served) -> None:
    line = here.line().send(event(b"[1]", b"Connection: close\r\n"))
    answer = line.answer()
    assert (answer.json["by"], answer.headers["connection"]) == ("django", "close")
    assert line.ends()


def test_django_s_answers_are_learnt_from_where_the_shortcut_may_follow(here: Served) -> None:
    line = here.line()
    assert line.send(event(more=b"X-Unknown: 1\r\n")).answer().json["by"] == "django"
    assert here.shortcut.seen.times == 1
    assert here.shortcut.seen.headers == (("Content-Type", "application/json"),)


# -- In pieces, and several at once ---------------------------------------------------------------


def test_a_request_may_come_byte_by_byte(here: Served) -> None:
    line = here.line()
    for said in (event(), get(), chunked(b"ab", b"c")):
        line.send(*[bytes([byte]) for byte in said])
        assert line.answer().status == 200


def test_a_body_may_come_in_pieces(here: Served) -> None:
    body = b"{" + b"x" * 3000
    whole = event(body)
    line = here.line().send(whole[:200], whole[200:201], whole[201:2000], whole[2000:] + get())
    assert line.answer().json == {"by": "shortcut", "body": body.decode()}
    assert line.answer().json["by"] == "django"


@pytest.mark.parametrize(
    ("said", "by"),
    [
        ([event(b"{a}"), event(b"{b}")], ["{a}", "{b}"]),
        ([event(b"{a}"), get(b"/2")], ["{a}", "/2"]),
        ([get(b"/1"), event(b"{b}")], ["/1", "{b}"]),
        ([event(b"[a]"), event(b"{b}"), get(b"/3")], ["[a]", "{b}", "/3"]),
        ([event(b"{%d}" % number) for number in range(40)], [f"{{{number}}}" for number in range(40)]),
        ([post(b"/1", b"a" * 70_000), event(b"{b}")], ["a" * 70_000, "{b}"]),
        ([post(b"/1", b"a" * 2_000_000), event(b"{b}"), get(b"/3")], ["a" * 2_000_000, "{b}", "/3"]),
        ([chunked(b"a", b"b"), event(b"{b}"), chunked(b"c"), event(b"{d}")], ["ab", "{b}", "c", "{d}"]),
    ],
    ids=["events", "event get", "get event", "left event get", "many", "large", "very large", "chunked"],
)  # fmt: skip
def test_requests_that_come_together_are_answered_in_their_order(
    here: Served, said: list[bytes], by: list[str]
) -> None:
    line, sender = here.line(), threading.Thread(target=lambda: line.send(b"".join(said)))
    sender.start()
    for wanted in by:
        told = line.answer().json
        assert wanted == (told["body"] or told["path"])
    sender.join(PATIENCE)
    assert line.send(event(b"{last}")).answer().json["body"] == "{last}"


def test_a_request_behind_an_event_waits_for_its_commit(here: Served) -> None:
    here.shortcut.holds = True
    line = here.line().send(event(b"{a}") + event(b"{b}") + get(b"/c"))
    here.shortcut.wait_for_one()
    assert here.application.seen == []
    here.shortcut.commit()
    assert line.answer().json["body"] == "{a}"
    assert line.answer().json["body"] == "{b}"
    assert line.answer().json["path"] == "/c"


def test_lines_are_answered_by_themselves(here: Served) -> None:
    here.shortcut.holds = True
    lines = [here.line().send(event(b"{%d}" % number)) for number in range(20)]
    for _ in lines:
        here.shortcut.wait_for_one()
    here.shortcut.held.reverse()
    here.shortcut.commit()
    assert [line.answer().json["body"] for line in lines] == [f"{{{number}}}" for number in range(20)]


def test_empty_lines_between_requests_mean_nothing(hasty: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "IDLE_SECONDS", 2 * PATIENCE)
    line = hasty.line().send(event() + b"\r\n")
    assert line.answer().status == 200
    line.socket.settimeout(2 * protocol.HEAD_SECONDS)
    with pytest.raises(TimeoutError):
        line.socket.recv(1)
    line = hasty.line().send(b"\r\n\r\n" + event())
    assert line.answer().status == 200


# -- What HTTP has beside that --------------------------------------------------------------------


def test_a_chunked_body_is_django_s(here: Served) -> None:
    line = here.line().send(chunked(b"{a", b"b}", path=b"/process-events/"))
    told = line.answer().json
    assert (told["by"], told["body"]) == ("django", "{ab}")


def test_trailers_do_not_pass_for_headers(here: Served) -> None:
    told = b"X-Forwarded-For: 192.0.2.1\r\nAuthorization: Token stolen\r\nX-Late: 1\r\n"
    line = here.line().send(chunked(b"a", trailers=told, more=b"X-Forwarded-For: 127.0.0.1\r\n"))
    assert line.answer().status == 200
    [environ] = here.application.seen
    assert environ["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert "HTTP_AUTHORIZATION" not in environ
    assert "HTTP_X_LATE" not in environ
    assert line.send(event()).answer().status == 200


@pytest.mark.parametrize("path", [b"/process-events/", b"/some"])
def test_whoever_expects_to_be_told_to_go_on_is_told(here: Served, path: bytes) -> None:
    line = here.line().send(post(path, b"{abc}", b"Expect: 100-continue\r\n")[:-5])
    assert line.answer() == (100, {}, b"")
    assert line.send(b"{abc}").answer().json["body"] == "{abc}"
    assert line.send(event()).answer().json["by"] == "shortcut"


def test_a_head_is_all_that_head_gets(here: Served) -> None:
    line = here.line().send(b"HEAD /large/100000 HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = line.answer(has_body=False)
    assert (answer.status, answer.headers["content-length"]) == (200, "100000")
    assert line.send(event()).answer().json["by"] == "shortcut"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_leaves_the_line_in_order(here: Served, status: int) -> None:
    line = here.line().send(get(b"/status/%d" % status) + get(b"/2"))
    answer = line.answer()
    assert answer.status == status
    assert not {"content-length", "transfer-encoding", "connection"} & set(answer.headers)
    assert line.answer().json["path"] == "/2"


@pytest.mark.parametrize("to", [b"h2c", b"websocket", b"TLS/1.0"])
@pytest.mark.parametrize("pieces", [1, 2])
def test_whoever_asks_for_another_protocol_is_answered_in_this_one(here: Served, to: bytes, pieces: int) -> None:
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\nUpgrade: %b\r\n" % to
    said = [get(b"/1", wish) + event(b"{2}") + post(b"/3", b"c", wish), event(b"{4}") + get(b"/5")]
    line = here.line().send(*said if pieces == 2 else [b"".join(said)])
    assert line.answer().json["path"] == "/1"
    assert line.answer().json["body"] == "{2}"
    assert line.answer().json["body"] == "c"
    assert line.answer().json["body"] == "{4}"
    assert line.answer().json["path"] == "/5"


def test_a_path_is_handed_on_byte_by_byte(here: Served) -> None:
    line = here.line().send(get(b"/a%20b/%C3%BC/%ff?q=%00&r=%C3%BC"))
    assert line.answer().json["path"] == "/a b/Ã¼/ÿ"
    assert here.application.seen[0]["QUERY_STRING"] == "q=%00&r=%C3%BC"
    assert line.send(get(b"http://other.example/a?b")).answer().json["path"] == "/a"


def test_a_header_with_an_underscore_is_not_heard(here: Served) -> None:
    assert here.line().send(get(more=b"X_Forwarded_For: 192.0.2.1\r\n")).answer().status == 200
    assert "HTTP_X_FORWARDED_FOR" not in here.application.seen[0]


def test_nothing_of_one_request_is_left_for_the_next(here: Served) -> None:
    line = here.line()
    line.send(post(b"/1", b"abc", b"X-One: 1\r\nExpect: 100-continue\r\nAuthorization: Token a\r\n"))
    assert line.answer().status == 100
    assert line.answer().status == 200
    line.send(get(b"/2?q=1"))
    assert line.answer().json["body"] == ""
    line.send(event(b"[3]"))
    assert line.answer().json["body"] == "[3]"
    for environ in here.application.seen[1:]:
        assert not {"HTTP_X_ONE", "HTTP_EXPECT", "HTTP_AUTHORIZATION"} & set(environ)
    assert here.application.seen[2]["QUERY_STRING"] == ""


# -- What nobody should send ------------------------------------------------------------------------

BROKEN = {
    "nonsense": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no version": b"GET /\r\n\r\n",
    "another version": b"GET / HTTP/3.7\r\nHost: x\r\n\r\n",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no method": b"MAKE / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel with a body": b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "no path": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "blank in the path": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "nul in the path": b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "raw path": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "both lengths": post(b"/1", b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n"),
    "both lengths turned": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": post(b"/1", b"abc", b"Content-Length: 5\r\n"),
    "the same length twice": post(b"/1", b"abc", b"Content-Length: 3\r\n"),
    "negative": b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "signed": b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
    "hexadecimal": b"POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\na",
    "two in one": b"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\na",
    "huge": b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "overflow": b"POST / HTTP/1.1\r\nContent-Length: 18446744073709551617\r\n\r\na",
    "endless digits": b"POST /process-events/ HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\na",
    "unknown coding": b"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
    "coding behind chunks": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "nearly chunks": b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "bad chunk": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "chunk too short": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "huge chunk": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "nul in a header": get(more=b"X-A: a\0b\r\n"),
    "nul in a name": get(more=b"X\0A: b\r\n"),
    "blank before the colon": get(more=b"Content-Length : 3\r\n"),
    "folded": get(more=b"X-A: a\r\n b\r\n"),
    "no colon": get(more=b"X-A\r\n"),
    "no name": get(more=b": a\r\n"),
    "bare cr": get(more=b"X-A: a\rX-B: b\r\n"),
    "bare lf in the line": b"GET / HTTP/1.1\nHost: x\n\n",
    "bare lf in the headers": b"GET / HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n",
    "bare lf after a chunk": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def lasting() -> Iterator[Served]:
    """A server for many tests."""
    with pytest.MonkeyPatch.context() as patch, served(patch) as one:
        yield one


@pytest.mark.parametrize("said", BROKEN.values(), ids=BROKEN)
def test_what_is_no_request_is_refused_and_the_line_closed(lasting: Served, said: bytes) -> None:
    here = lasting
    here.application.seen.clear()
    line = here.line().send(said)
    answer = line.answer()
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert line.ends()
    # What began well, by its head, may have reached the application, which could not read it.
    assert not any(environ["REQUEST_METHOD"] == "GET" for environ in here.application.seen)
    assert here.line().send(event()).answer().status == 200


@pytest.mark.parametrize("said", [BROKEN["both lengths"], BROKEN["nonsense"]], ids=["head", "nonsense"])
def test_what_is_no_request_does_not_take_the_answer_of_the_one_before(here: Served, said: bytes) -> None:
    here.shortcut.holds = True
    line = here.line().send(event(b"{a}") + said)
    here.shortcut.wait_for_one()
    here.shortcut.commit()
    assert line.answer().json["body"] == "{a}"
    assert line.answer().status == 400
    assert line.ends()


@pytest.mark.parametrize("broken", ["nonsense", "bad chunk"])
def test_what_is_no_request_does_not_break_into_the_answer_of_the_one_before(here: Served, broken: str) -> None:
    line = here.line().send(get(b"/parts"))
    here.application.parts.give(b"a", b"b")
    line.head()
    assert (line.chunk(), line.chunk()) == (b"a", b"b")
    line.send(get(b"/2") + BROKEN[broken])
    # It has been read when the loop has had a turn with it.
    here.until(lambda: all(one._refusal for one in here.server.server_state.connections))
    here.application.parts.give(b"c", None)
    assert (line.chunk(), line.chunk()) == (b"c", b"")
    assert line.answer().json["path"] == "/2"
    assert line.answer().status == 400
    assert line.ends()
    assert [environ["PATH_INFO"] for environ in here.application.seen] == ["/parts", "/2"]


def test_a_head_has_a_limit(here: Served) -> None:
    line = here.line()
    pieces = [b"X-%d: %b\r\n" % (number, b"x" * 1000) for number in range(protocol.HEAD_BYTES // 1000 + 300)]
    try:
        line.send(b"GET / HTTP/1.1\r\n", *pieces)
    except ConnectionError:
        pass  # it was refused before all had been sent
    else:
        assert line.answer().status == 431
    assert line.ends() or True
    here.until(lambda: here.connections == 0)
    assert here.application.seen == []
    assert here.line().send(get(more=b"X-A: %b\r\n" % (b"x" * (protocol.HEAD_BYTES - 1000)))).answer().status == 200


def test_a_head_behind_another_request_has_the_same_limit(here: Served) -> None:
    line = here.line().send(get(b"/wait"))
    assert here.application.waits.wait(PATIENCE)
    [connection] = here.server.server_state.connections
    line.send(b"GET / HTTP/1.1\r\nX-A: ")
    sender = threading.Thread(target=send_on, args=(line, protocol.HEAD_BYTES * 8))
    sender.start()
    here.until(lambda: connection._refusal)
    here.application.go.set()
    assert line.answer().json["path"] == "/wait"
    assert line.answer().status == 431
    sender.join(PATIENCE)


def send_on(line: Any, size: int, piece: bytes = b"x" * 1000) -> None:
    """Send so many bytes, or as many as anybody takes."""
    with suppress(OSError):
        line.send(*[piece] * (size // len(piece)))


@pytest.mark.parametrize("what", ["trailers", "one trailer", "extension"])
def test_what_is_around_chunks_has_a_limit_too(here: Served, what: str) -> None:
    line = here.line().send(b"POST /some HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    line.send(b"1;" if what == "extension" else b"0\r\n" + (b"X-A: " if what == "one trailer" else b""))
    here.until(lambda: here.connections == 1)
    [connection] = here.server.server_state.connections
    send_on(line, 8 * protocol.HEAD_BYTES, b"X-A: b\r\n" * 100 if what == "trailers" else b"x" * 1000)
    here.until(lambda: connection.transport.is_closing())


# -- Too slow -----------------------------------------------------------------------------------------


def test_a_head_that_does_not_come_in_time_is_given_up(hasty: Served) -> None:
    line = hasty.line().send(b"GET / HTTP/1.1\r\nX-A")
    answer = line.answer()
    assert (answer.status, answer.json["code"], answer.headers["connection"]) == (408, "request_timeout", "close")
    assert line.ends()


def test_a_head_that_drips_is_given_up(hasty: Served) -> None:
    line = hasty.line().send(b"GET / HTTP/1.1\r\n")
    line.socket.settimeout(0.01)
    for _ in range(PATIENCE * 100):
        try:
            line.send(b"x")
            assert line.socket.recv(1) in (b"H", b"")
            break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    else:
        raise AssertionError("it may drip for ever")


def test_an_event_s_body_that_does_not_come_in_time_is_given_up(hasty: Served) -> None:
    line = hasty.line().send(event(b"{abc}")[:-2])
    answer = line.answer()
    assert (answer.status, answer.json["code"], answer.headers["connection"]) == (408, "request_timeout", "close")
    assert line.ends()
    assert hasty.shortcut.held == []


def test_an_idle_line_is_closed_without_a_word(hasty: Served) -> None:
    line = hasty.line()
    assert line.ends()
    line = hasty.line().send(event())
    assert line.answer().status == 200
    assert line.ends()


def test_what_takes_long_on_our_side_is_not_given_up(hasty: Served) -> None:
    hasty.shortcut.holds = True
    line, other = hasty.line().send(event()), hasty.line().send(get(b"/wait"))
    hasty.shortcut.wait_for_one()
    assert hasty.line().ends()  # an idle one: so much time has passed
    assert hasty.line().ends()
    hasty.shortcut.commit()
    hasty.application.go.set()
    assert line.answer().status == 200
    assert other.answer().status == 200


# -- Early answers, and those who leave ---------------------------------------------------------------


def test_the_rest_of_a_body_that_nobody_wanted_is_passed_over(here: Served) -> None:
    said = chunked(b"GET /smuggled HTTP/1.1\r\n\r\n" * 9, path=b"/early")
    line = here.line().send(said[:120])
    answer = line.answer()
    assert (answer.status, answer.body) == (401, b"who?")
    line.send(said[120:] + event())
    assert line.answer().json["by"] == "shortcut"
    assert [environ["PATH_INFO"] for environ in here.application.seen] == ["/early"]


def test_a_broken_rest_of_a_body_that_nobody_wanted_gets_no_answer_of_its_own(here: Served) -> None:
    line = here.line().send(chunked(b"abc", path=b"/early")[:-7])
    assert line.answer().status == 401
    assert line.send(b"nonsense").ends()


def test_a_broken_body_ends_an_answer_that_has_begun(here: Served) -> None:
    line = here.line().send(chunked(b"abc", path=b"/parts")[:-7])
    here.application.parts.give(b"a", b"b")
    line.head()
    assert line.chunk() == b"a"
    assert line.chunk() == b"b"
    assert line.send(b"nonsense").ends()
    while not here.application.parts.closed.wait(0.01):
        here.application.parts.give(b"c")


def test_the_rest_of_a_large_body_that_nobody_wanted_is_passed_over(here: Served) -> None:
    line = here.line()
    sender = threading.Thread(target=lambda: line.send(post(b"/early", b"x" * 3_000_000), event()))
    sender.start()
    assert line.answer().status == 401
    assert line.answer().json["by"] == "shortcut"
    sender.join(PATIENCE)


def test_the_rest_of_a_body_that_nobody_wanted_does_not_come_for_ever(hasty: Served) -> None:
    line = hasty.line().send(chunked(b"abc", path=b"/early")[:-7])
    assert line.answer().status == 401
    assert line.ends()


def test_whoever_is_refused_with_a_close_sends_nothing_more(here: Served) -> None:
    line = here.line().send(chunked(b"abc", path=b"/too-large")[:-7])
    answer = line.answer()
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert line.ends()


def test_an_event_is_recorded_though_whoever_reported_it_has_left(here: Served) -> None:
    here.shortcut.holds = True
    line, other = here.line().send(event(b"{a}")), here.line().send(event(b"{b}"))
    for _ in range(2):
        here.shortcut.wait_for_one()
    line.cut()
    here.until(lambda: here.connections == 1)
    here.shortcut.commit()
    assert other.answer().json["body"] == "{b}"
    assert here.application.seen == []


@pytest.mark.parametrize("body", [b"{abc}", b"[abc]"])
def test_whoever_leaves_amid_a_body_has_said_nothing(here: Served, body: bytes) -> None:
    lines = [here.line().send(event(body)[:-1]), here.line().send(post(b"/some", b"abc")[:-1])]
    here.until(lambda: here.connections == 2)
    for line in lines:
        line.cut()
    here.until(lambda: here.connections == 0 and not here.server.server_state.tasks)
    assert here.application.seen == []
    assert here.shortcut.held == []


@pytest.mark.parametrize("behind", [b"", get(b"/behind")], ids=["alone", "with another behind"])
def test_an_answer_whose_reader_leaves_is_closed_at_once(here: Served, behind: bytes) -> None:
    line = here.line().send(get(b"/parts") + behind)
    here.application.parts.give(b"a", b"b")
    line.head()
    assert line.chunk() == b"a"
    line.cut()
    while not here.application.parts.closed.wait(0.01):
        here.application.parts.give(b"c" * 1000)
        assert len(here.application.parts._parts) < 2000
    assert [environ["PATH_INFO"] for environ in here.application.seen] == ["/parts"]
    here.until(lambda: not here.server.server_state.tasks)


def test_a_slow_reader_gets_all_of_a_streamed_answer(here: Served) -> None:
    line = here.line(buffer=4096).send(get(b"/parts"))
    parts = [bytes([65 + number % 26]) * 50_000 for number in range(60)]
    here.application.parts.give(*parts, None)
    assert line.answer().body == b"".join(parts)
    assert line.send(event()).answer().status == 200


def test_a_large_answer_comes_whole_also_before_a_close(here: Served) -> None:
    for more in (b"", b"Connection: close\r\n"):
        line = here.line(buffer=4096).send(get(b"/large/9000000", more))
        assert line.answer().body == b"x" * 9_000_000


def test_a_reader_who_stops_reading_is_dropped(hasty: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when an answer was whole already, and when the line is closing: else it would stay for good."""
    monkeypatch.setattr(protocol, "DEAF_SECONDS", 0.3)
    lines = [
        hasty.line(buffer=4096).send(get(b"/large/9000000")),
        hasty.line(buffer=4096).send(get(b"/large/9000000", b"Connection: close\r\n")),
        hasty.line(buffer=4096).send(get(b"/parts")),
    ]
    hasty.application.parts.give(*[b"x" * 1_000_000] * 9)
    assert hasty.application.parts.closed.wait(PATIENCE)
    hasty.until(lambda: hasty.connections == 0 and not hasty.server.server_state.tasks)
    for line in lines:
        line.close()


def test_a_reader_who_is_slow_is_not_dropped(hasty: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "IDLE_SECONDS", 2 * PATIENCE)
    line = hasty.line(buffer=4096).send(get(b"/large/9000000"))
    hasty.until(lambda: hasty.connections == 1)
    [connection] = hasty.server.server_state.connections
    hasty.until(lambda: connection._left > 0)  # it was looked at, with much to be taken still
    assert len(line.answer().body) == 9_000_000


def test_whoever_asks_without_reading_answers_is_heard_no_more(here: Served) -> None:
    line, gone_on = here.line(buffer=4096), threading.Event()
    here.until(lambda: here.connections == 1)
    [connection] = here.server.server_state.connections

    def ask_on() -> None:
        send_on(line, 60_000_000, event(b"{" + b"x" * 10_000))
        gone_on.set()

    sender = threading.Thread(target=ask_on)
    sender.start()
    # What was read waits for its answer, whose reader does not read.
    here.until(lambda: connection.flow.write_paused and connection.flow.read_paused)
    assert not gone_on.is_set()
    assert here.on_the_loop(lambda: len(connection.pipeline)) < 100
    line.cut()
    sender.join(PATIENCE)
    here.until(lambda: here.connections == 0 and not here.server.server_state.tasks)


def test_requests_do_not_pile_up_behind_one_that_takes_long(here: Served) -> None:
    line = here.line().send(post(b"/wait", b"x"))
    here.until(lambda: here.connections == 1)
    [connection] = here.server.server_state.connections
    sender = threading.Thread(target=send_on, args=(line, 60_000_000, post(b"/some", b"x" * 10_000)))
    sender.start()
    here.until(lambda: connection.flow.read_paused)
    assert here.application.waits.wait(PATIENCE)
    assert here.on_the_loop(lambda: connection.flow.read_paused and len(connection.pipeline)) < 100
    here.application.go.set()
    for _ in range(200):
        assert line.answer().status == 200
        assert len(connection.pipeline) < 100
    line.cut()
    sender.join(PATIENCE)


def test_more_connections_than_there_may_be_are_told_so(here: Served) -> None:
    here.server.config.limit_concurrency = 3
    lines = [here.line(), here.line()]
    for line in lines:
        assert line.send(get()).answer().status == 200
    answer = here.line().send(get()).answer()
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    here.until(lambda: here.connections == 2)
    assert lines[0].send(get()).answer().status == 200


def test_a_mistake_of_ours_is_no_mistake_of_the_request(
    here: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever is told 400 does not try again."""

    def fails(*args: object) -> None:
        raise RuntimeError("of ours")

    for name in ("visit", "take"):
        with monkeypatch.context() as patch:
            patch.setattr(here.shortcut, name, fails)
            line = here.line().send(event())
            answer = line.answer()
            assert (answer.status, answer.headers["connection"]) == (500, "close")
            assert line.ends()
    assert caplog.text.count("RuntimeError: of ours") == 2
    assert here.line().send(event()).answer().status == 200


# -- The end ------------------------------------------------------------------------------------------


def test_a_stop_closes_who_is_idle_and_answers_who_has_asked(here: Served) -> None:
    here.shortcut.holds = True
    idle = [here.line(), here.line().send(get())]
    assert idle[1].answer().status == 200
    head = here.line().send(b"GET / HTT")
    body, large = here.line().send(event(b"{body}")[:-1]), here.line().send(post(b"/some", b"abc")[:-1])
    short, asked = here.line().send(event(b"{a}")), here.line().send(get(b"/wait"))
    streamed = here.line().send(get(b"/parts"))
    here.application.parts.give(b"a", b"b")
    streamed.head()
    here.shortcut.wait_for_one()
    assert here.application.waits.wait(PATIENCE)
    here.until(lambda: here.connections == 8)
    here.stop()
    for line in (*idle, head):
        assert line.ends()
    here.application.parts.give(b"c", None)
    assert [streamed.chunk() for _ in range(4)] == [b"a", b"b", b"c", b""]
    body.send(b"}")
    large.send(b"c")
    here.shortcut.wait_for_one()
    here.shortcut.commit()
    here.application.go.set()
    for line, wanted in ((body, "{body}"), (short, "{a}"), (large, "abc"), (asked, "")):
        answer = line.answer()
        assert (answer.status, answer.json["body"], answer.headers["connection"]) == (200, wanted, "close")
        assert line.ends()
    assert streamed.ends()
    assert here.is_over()


def test_a_stop_amid_several_requests_answers_in_order_and_closes(here: Served) -> None:
    here.shortcut.holds = True
    line = here.line().send(event(b"{a}") + get(b"/2") + event(b"{c}"))
    here.shortcut.wait_for_one()
    here.stop()
    idle = here.line()
    assert idle.ends()  # so it is stopping
    here.shortcut.commit()
    assert line.answer().json["body"] == "{a}"
    answer = line.answer()
    assert (answer.json["path"], answer.headers["connection"]) == ("/2", "close")
    assert line.ends()
    assert here.is_over()


def test_a_stop_waits_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(monkeypatch, grace=1) as here:
        here.shortcut.holds = True
        lines = [here.line().send(event()), here.line().send(get(b"/wait"))]
        here.shortcut.wait_for_one()
        assert here.application.waits.wait(PATIENCE)
        here.stop()
        assert here.is_over()
        for line in lines:
            assert line.socket.recv(1 << 16)[:12] in (b"", b"HTTP/1.1 500")
