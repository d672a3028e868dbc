"""deploy/kamailio/deliver.py against a real HTTP server that answers as it is told to."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from standardwebhooks import Webhook

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="deliver.py runs where Kamailio does")

PROGRAM = Path(__file__).parents[2] / "deploy" / "kamailio" / "deliver.py"
SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class Heard(NamedTuple):
    headers: dict[str, str]
    body: bytes
    peer: int
    together: int  # how many were under way, this one included


class Sink:
    """A server that keeps what it hears, and answers with the next of its answers, the last one for ever."""

    def __init__(self, *answers: int, retry_after: str = "", close: bool = False) -> None:
        self.answers, self.retry_after, self.close = list(answers), retry_after, close
        self.heard: list[Heard] = []
        self.lock = threading.Lock()
        self.hold: threading.Event | None = None
        self.together = 0

    @contextmanager
    def serve(self) -> Iterator[str]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with sink.lock:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    sink.together += 1
                    sink.heard.append(Heard(headers, body, self.client_address[1], sink.together))
                    status = sink.answers.pop(0) if len(sink.answers) > 1 else sink.answers[0]
                if sink.hold:
                    sink.hold.wait(30)
                with sink.lock:
                    sink.together -= 1
                self.send_response(status)
                if sink.retry_after:
                    self.send_header("Retry-After", sink.retry_after)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")
                self.close_connection = sink.close  # without a word, as servers do that are tired of waiting

            def log_message(self, *_: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}/api/webhooks/sip/"
            finally:
                server.shutdown()
                thread.join()


@pytest.fixture
def deliver(monkeypatch: pytest.MonkeyPatch) -> Any:
    specification = importlib.util.spec_from_file_location("deliver", PROGRAM)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    # The pauses are not what is tested here, but that there are some.
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    return module


def put(outbox: Path, number: int, **values: Any) -> Path:
    path = outbox / f"{number:05}.json"
    path.write_text(json.dumps({"event_id": f"event-{number}", "event_type": "call_ended"} | values))
    return path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("[!.]*.json"))


@contextmanager
def delivering(deliver: Any, outbox: Path, url: str, connections: int = 4) -> Iterator[Any]:
    sender = deliver.Sender(url, deliver.read_secret(SECRET), 5.0)
    delivery = deliver.Delivery(deliver.Outbox(outbox), sender, connections)
    thread = threading.Thread(target=delivery.run)
    thread.start()
    try:
        yield delivery
    finally:
        delivery.stopping.set()
        thread.join(30)
        assert not thread.is_alive()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_report_is_signed_as_the_standards_own_library_wants_it(deliver: Any, tmp_path: Path) -> None:
    path = put(tmp_path, 1, caller_number="Zoë")
    body = path.read_bytes()
    sink = Sink(200)
    with sink.serve() as url, delivering(deliver, tmp_path, url):
        wait_until(lambda: not names(tmp_path))
    (heard,) = sink.heard
    assert heard.body == body
    assert Webhook(SECRET).verify(heard.body, heard.headers)["caller_number"] == "Zoë"
    assert (heard.headers["webhook-id"], heard.headers["content-type"]) == ("event-1", "application/json")


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 413, 415, 422])
def test_what_is_refused_is_laid_aside_and_tried_once(deliver: Any, tmp_path: Path, status: int) -> None:
    put(tmp_path, 1)
    sink = Sink(status, 200)
    with sink.serve() as url, delivering(deliver, tmp_path, url):
        wait_until(lambda: bool(names(tmp_path / "refused")))
        put(tmp_path, 2)
        wait_until(lambda: not names(tmp_path))
    assert names(tmp_path / "refused") == ["00001.json"]
    assert [heard.headers["webhook-id"] for heard in sink.heard] == ["event-1", "event-2"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507])
def test_what_may_go_well_later_is_tried_again_with_the_same_id(deliver: Any, tmp_path: Path, status: int) -> None:
    for number in range(20):
        put(tmp_path, number)
    sink = Sink(*[status] * 5, 200)
    with sink.serve() as url, delivering(deliver, tmp_path, url):
        wait_until(lambda: not names(tmp_path))
    assert names(tmp_path / "refused") == []
    ids = [heard.headers["webhook-id"] for heard in sink.heard]
    assert len(ids) == 25
    assert set(ids) == {f"event-{number}" for number in range(20)}
    for heard in sink.heard:  # each try has a signature of its own time
        Webhook(SECRET).verify(heard.body, heard.headers)


def test_a_service_that_is_away_is_left_alone_but_for_one_report_at_a_time(deliver: Any, tmp_path: Path) -> None:
    for number in range(50):
        put(tmp_path, number)
    sink = Sink(503)
    with sink.serve() as url, delivering(deliver, tmp_path, url, connections=4):
        wait_until(lambda: len(sink.heard) >= 10)
    assert {heard.together for heard in sink.heard[4:]} == {1}  # the first four were under way together
    assert len(names(tmp_path)) == 50


def test_one_report_that_the_service_stumbles_over_holds_up_no_other(deliver: Any, tmp_path: Path) -> None:
    deliver.FIRST_PAUSE = 60.0
    for number in range(5):
        put(tmp_path, number)
    sink = Sink(500, 200)
    with sink.serve() as url, delivering(deliver, tmp_path, url, connections=1) as delivery:
        wait_until(lambda: len(names(tmp_path)) == 1)
        assert delivery.outbox.due() == []  # it waits for its time, also after a restart
    assert names(tmp_path) == ["00000.json"]
    assert len(sink.heard) == 5


@pytest.mark.parametrize(
    ("status", "text", "seconds"), [(503, "7", 7), (429, "9", 9), (503, "soon", 0), (503, "-1", 0)]
)
def test_retry_after_is_honoured(deliver: Any, tmp_path: Path, status: int, text: str, seconds: int) -> None:
    put(tmp_path, 1)
    sink = Sink(status, retry_after=text)
    with sink.serve() as url, delivering(deliver, tmp_path, url) as delivery:
        before = time.monotonic()
        wait_until(lambda: delivery.failures > 0)
        assert delivery.resume_at >= before + seconds


def test_nobody_listening_is_no_reason_to_lose_anything(deliver: Any, tmp_path: Path) -> None:
    put(tmp_path, 1)
    with Sink(200).serve() as url:
        pass  # and gone again
    with delivering(deliver, tmp_path, url) as delivery:
        wait_until(lambda: delivery.failures >= 3)
    assert names(tmp_path) == ["00001.json"]


def test_a_connection_that_was_closed_meanwhile_costs_no_pause(deliver: Any, tmp_path: Path) -> None:
    sink = Sink(200, close=True)
    with sink.serve() as url, delivering(deliver, tmp_path, url, connections=1) as delivery:
        for number in range(5):
            put(tmp_path, number)
            wait_until(lambda: not names(tmp_path))
        assert delivery.resume_at == 0.0
    assert len(sink.heard) == 5


def test_connections_are_kept(deliver: Any, tmp_path: Path) -> None:
    for number in range(50):
        put(tmp_path, number)
    sink = Sink(200)
    with sink.serve() as url, delivering(deliver, tmp_path, url, connections=2):
        wait_until(lambda: not names(tmp_path))
    assert len({heard.peer for heard in sink.heard}) <= 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", json.dumps({"event_id": "a\r\nX: y"}).encode()])
def test_a_file_that_is_no_report_is_laid_aside(deliver: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "00000.json").write_bytes(content)
    put(tmp_path, 1)
    sink = Sink(200)
    with sink.serve() as url, delivering(deliver, tmp_path, url):
        wait_until(lambda: not names(tmp_path))
    assert names(tmp_path / "refused") == ["00000.json"]
    assert [heard.headers["webhook-id"] for heard in sink.heard] == ["event-1"]


def test_files_that_are_being_written_are_left_alone(deliver: Any, tmp_path: Path) -> None:
    (tmp_path / ".00000.json").write_text("{")
    put(tmp_path, 1)
    with Sink(200).serve() as url, delivering(deliver, tmp_path, url):
        wait_until(lambda: not names(tmp_path))
    assert (tmp_path / ".00000.json").exists()


def test_no_more_refused_reports_are_kept_than_there_is_room_for(deliver: Any, tmp_path: Path) -> None:
    deliver.KEEP_REFUSED = 2
    for number in range(5):
        put(tmp_path, number)
    with Sink(400).serve() as url, delivering(deliver, tmp_path, url, connections=1):
        wait_until(lambda: not names(tmp_path))
    assert names(tmp_path / "refused") == ["00000.json", "00001.json"]


# -- The program -----------------------------------------------------------------------------------


def environment(outbox: Path, url: str, **more: str) -> dict[str, str]:
    ours = {"PHONEGOGGLES_OUTBOX": str(outbox), "PHONEGOGGLES_URL": url, "PHONEGOGGLES_SECRET": SECRET}
    return {**os.environ, **ours, **more}


def test_a_request_to_end_lets_what_is_under_way_finish(tmp_path: Path) -> None:
    put(tmp_path, 1)
    sink = Sink(200)
    sink.hold = threading.Event()
    with sink.serve() as url:
        child = subprocess.Popen([sys.executable, PROGRAM], env=environment(tmp_path, url), stderr=subprocess.DEVNULL)
        wait_until(lambda: len(sink.heard) == 1)
        put(tmp_path, 2)
        child.send_signal(signal.SIGTERM)
        sink.hold.set()
        assert child.wait(30) == 0
    assert "00001.json" not in names(tmp_path)


def test_two_programs_do_not_share_an_outbox(tmp_path: Path) -> None:
    with Sink(200).serve() as url:
        first = subprocess.Popen([sys.executable, PROGRAM], env=environment(tmp_path, url), stderr=subprocess.DEVNULL)
        try:
            put(tmp_path, 1)
            wait_until(lambda: not names(tmp_path))
            second = subprocess.run(
                [sys.executable, PROGRAM], env=environment(tmp_path, url), capture_output=True, text=True, check=False
            )
        finally:
            first.terminate()
            first.wait(30)
    assert second.returncode == 1
    assert "another deliver.py works on this outbox" in second.stderr


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"PHONEGOGGLES_URL": ""}, "PHONEGOGGLES_URL is not set"),
        ({"PHONEGOGGLES_URL": "calls.example.org"}, "is no http:// or https:// address"),
        ({"PHONEGOGGLES_SECRET": ""}, "neither PHONEGOGGLES_SECRET_FILE nor PHONEGOGGLES_SECRET"),
        ({"PHONEGOGGLES_SECRET": "whsec_???"}, "the secret is not base64"),
        ({"PHONEGOGGLES_SECRET": "whsec_YWJj"}, "the secret is too short"),
        ({"PHONEGOGGLES_SECRET_FILE": "/nowhere"}, "No such file"),
        ({"PHONEGOGGLES_OUTBOX": "/nowhere"}, "No such file"),
        ({"PHONEGOGGLES_CONNECTIONS": "0"}, "must be above zero"),
    ],
)
def test_what_is_wrong_with_the_environment_is_said_in_one_line(
    tmp_path: Path, values: dict[str, str], message: str
) -> None:
    environ = environment(tmp_path, "http://127.0.0.1:9/", **values)
    done = subprocess.run([sys.executable, PROGRAM], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr
