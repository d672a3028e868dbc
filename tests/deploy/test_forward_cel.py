"""The forwarder of Asterisk's channel events: nothing is lost, whatever is away, and nothing is sent for ever."""

import csv
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer
from standardwebhooks import Webhook

from calls.models import Call, CallEvent, WebhookSource
from calls.models.webhooks import new_secret
from calls.operations.webhooks import add_source
from tests.server import ROOT

SCRIPT = ROOT / "deploy" / "asterisk" / "forward_cel.py"
PAYLOADS = ROOT / "tests" / "payloads" / "asterisk"
SECRET = new_secret()
COLUMNS = [
    "EventName", "EventTime", "CallerIDname", "CallerIDnum", "CallerIDani", "CallerIDrdnis", "CallerIDdnid", "Exten",
    "Context", "Channel", "Application", "AppData", "AMAFlags", "AccountCode", "UniqueID", "LinkedID", "Peer",
    "UserField", "UserDefType", "Extra",
]  # fmt: skip
DONE = {"created": 0, "duplicates": 0, "ignored": 0, "rejected": []}


def as_lines(*events: dict[str, str]) -> str:
    """What cel_custom writes of channel events."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
        [event.get(name, "") for name in COLUMNS] for event in events
    )
    return out.getvalue()


def start(number: int, **values: str) -> dict[str, str]:
    call = f"1711972800.{number}"
    return {"EventName": "CHAN_START", "EventTime": call, "UniqueID": call, "LinkedID": call} | values


class Peer:
    """A service that answers as the test says, and remembers what it was sent."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.bodies: list[list[dict[str, str]]] = []
        self.headers: list[dict[str, str]] = []
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                peer.bodies.append(json.loads(body))
                peer.headers.append(dict(self.headers))
                if "webhook-id" in self.headers:
                    Webhook(SECRET).verify(body, dict(self.headers))
                status, said = peer.answers.pop(0) if peer.answers else (200, DONE)
                answer = json.dumps(said).encode()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", peer.url + "elsewhere/")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def calls(self) -> list[str]:
        return [event["UniqueID"].partition(".")[2] for body in self.bodies for event in body]


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.server.shutdown()
    peer.server.server_close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "phonegoggles.csv"


def run(url: str, log: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("PHONEGOGGLES_")}
    return subprocess.run(
        [sys.executable, str(SCRIPT), url, str(log), "--once", *options],
        env=known | (environment or {"PHONEGOGGLES_SECRET": SECRET}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_line_is_sent_once_and_signed(peer: Peer, log: Path) -> None:
    log.write_text(as_lines(start(1), start(2)))
    assert run(peer.url, log).returncode == 0
    assert peer.calls == ["1", "2"]
    assert "webhook-signature" in {name.lower() for name in peer.headers[0]}
    with log.open("a") as file:
        file.write(as_lines(start(3)))
    for _ in range(2):
        assert run(peer.url, log).returncode == 0
    assert peer.calls == ["1", "2", "3"]


def test_a_token_does_as_well_as_a_secret_and_never_shows(peer: Peer, log: Path) -> None:
    log.write_text(as_lines(start(1)))
    done = run(peer.url, log, PHONEGOGGLES_TOKEN="abc123")
    assert (done.returncode, peer.headers[0]["Authorization"]) == (0, "Token abc123")
    assert "abc123" not in done.stdout + done.stderr


def test_quotes_commas_and_letters_survive(peer: Peer, log: Path) -> None:
    name = 'Grace "Amazing" Höpper, 電話'
    log.write_text(as_lines(start(1, CallerIDname=name, Extra='{"a":","}')), encoding="utf-8")
    run(peer.url, log)
    assert (peer.bodies[0][0]["CallerIDname"], peer.bodies[0][0]["Extra"]) == (name, '{"a":","}')


def test_a_name_that_is_no_utf_8_costs_its_letter(peer: Peer, log: Path) -> None:
    log.write_bytes(as_lines(start(1, CallerIDname="Höpper")).encode("latin-1"))
    assert run(peer.url, log).returncode == 0
    assert peer.bodies[0][0]["CallerIDname"] == "H\N{REPLACEMENT CHARACTER}pper"


@pytest.mark.parametrize("status", [301, 401, 403, 404, 408, 425, 429, 500, 502, 503])
def test_what_may_be_mended_is_sent_again(peer: Peer, log: Path, status: int) -> None:
    log.write_text(as_lines(start(1)))
    peer.answers = [(status, {"detail": "no"})]
    assert run(peer.url, log).returncode == 1
    assert run(peer.url, log).returncode == 0
    assert peer.calls == ["1", "1"]


def test_what_is_hopeless_is_left_out_and_said(peer: Peer, log: Path) -> None:
    log.write_text(as_lines(start(1)))
    peer.answers = [(400, {"detail": "never"})]
    done = run(peer.url, log)
    assert (done.returncode, "never" in done.stderr) == (0, True)
    assert (run(peer.url, log).returncode, peer.calls) == (0, ["1"])


def test_one_refused_event_does_not_hold_up_the_others(peer: Peer, log: Path) -> None:
    log.write_text(as_lines(start(1), start(2)))
    peer.answers = [(207, DONE | {"rejected": [{"index": 1, "errors": {"Exten": ["bad"]}}]})]
    done = run(peer.url, log)
    assert done.returncode == 0
    assert "1711972800.2" in done.stderr


def test_nobody_there_is_waited_for(log: Path, peer: Peer) -> None:
    log.write_text(as_lines(start(1)))
    assert run("http://127.0.0.1:9/", log).returncode == 1
    assert run(peer.url, log).returncode == 0
    assert peer.calls == ["1"]


def test_a_line_that_is_still_being_written_waits_for_its_end(peer: Peer, log: Path) -> None:
    text = as_lines(start(1), start(2))
    log.write_text(text[:-30])
    run(peer.url, log)
    assert peer.calls == ["1"]
    log.write_text(text)
    run(peer.url, log)
    assert peer.calls == ["1", "2"]


def test_lines_that_are_none_are_skipped_and_said(peer: Peer, log: Path) -> None:
    log.write_text("garbage\n\n" + as_lines(start(1, AppData="x" * 40_000), start(2)))
    done = run(peer.url, log)
    assert (done.returncode, peer.calls) == (0, ["2"])
    assert "Skipped" in done.stderr


def test_what_says_nothing_of_a_call_stays_here(peer: Peer, log: Path) -> None:
    log.write_text(as_lines(*json.loads((PAYLOADS / "answered.json").read_text())))
    run(peer.url, log)
    assert {event["EventName"] for event in peer.bodies[0]} == {
        "CHAN_START", "ANSWER", "BRIDGE_ENTER", "HANGUP", "LINKEDID_END"
    }  # fmt: skip


def test_many_lines_go_in_several_posts(peer: Peer, log: Path) -> None:
    log.write_text(as_lines(*(start(number, AppData="x" * 800) for number in range(1000))))
    assert run(peer.url, log).returncode == 0
    assert peer.calls == [str(number) for number in range(1000)]
    assert len(peer.bodies) > 5


def test_a_rotated_file_is_read_to_its_end_before_the_new_one(peer: Peer, log: Path) -> None:
    log.write_text(as_lines(start(1)))
    run(peer.url, log)
    with log.open("a") as file:
        file.write(as_lines(start(2)))
    log.rename(log.with_name(log.name + ".1"))
    log.write_text(as_lines(start(3)))
    run(peer.url, log)
    assert peer.calls == ["1", "2", "3"]


def test_a_file_that_was_cut_is_read_from_its_beginning(peer: Peer, log: Path) -> None:
    log.write_text(as_lines(start(1), start(2)))
    run(peer.url, log)
    log.write_text(as_lines(start(3)))
    done = run(peer.url, log)
    assert (peer.calls, "lost" in done.stderr) == (["1", "2", "3"], True)


def test_no_file_yet_is_nothing_to_do(peer: Peer, log: Path) -> None:
    assert run(peer.url, log).returncode == 0
    log.write_text(as_lines(start(1)))
    run(peer.url, log)
    assert peer.calls == ["1"]


def test_wrong_settings_are_said(peer: Peer, log: Path) -> None:
    for environment, url in (
        ({"NOTHING": ""}, peer.url),
        ({"PHONEGOGGLES_SECRET": SECRET, "PHONEGOGGLES_TOKEN": "x"}, peer.url),
        ({"PHONEGOGGLES_SECRET": "whsec_#"}, peer.url),
        ({"PHONEGOGGLES_TOKEN": "x"}, "file:///etc/passwd"),
    ):
        done = run(url, log, **environment)
        assert (done.returncode, "error:" in done.stderr) == (2, True), done.stderr


def test_it_goes_on_until_it_is_told_to_stop(peer: Peer, log: Path) -> None:
    arrived = threading.Event()
    peer.answers = [(503, {})]
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), peer.url, str(log), "--interval", "0.05"],
        env=os.environ | {"PHONEGOGGLES_SECRET": SECRET},
        stderr=subprocess.DEVNULL,
    )
    try:
        log.write_text(as_lines(start(1)))
        while len(peer.bodies) < 2 and process.poll() is None:
            arrived.wait(0.05)
        assert peer.calls == ["1", "1"]
    finally:
        process.terminate()
    assert process.wait(timeout=30) == 0


@pytest.mark.django_db(transaction=True)
def test_the_service_takes_what_it_sends(live_server: LiveServer, log: Path) -> None:
    source, secret = add_source("asterisk")
    events = [event for path in sorted(PAYLOADS.glob("*.json")) for event in json.loads(path.read_text())]
    log.write_text(as_lines(*events), encoding="utf-8")
    url = f"{live_server.url}/api/webhooks/asterisk/"
    assert run(url, log, PHONEGOGGLES_SECRET="whsec_" + "A" * 43 + "=").returncode == 1
    done = run(url, log, PHONEGOGGLES_SECRET=secret)
    assert done.returncode == 0, done.stderr
    assert Call.objects.count() == len(list(PAYLOADS.glob("*.json")))
    assert not Call.objects.filter(ended_at=None).exists()
    assert CallEvent.objects.filter(source="asterisk").count() > 100
    assert WebhookSource.objects.get(pk=source.pk).last_used_on is not None
