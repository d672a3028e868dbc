"""The example for nginx joins both servers behind one address: with a real nginx, TLS, and whoever behaves badly."""

import http.client
import json
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from calls.models import CallEvent, CallRecording
from calls.operations.record import record
from tests import peers
from tests.api.test_live import new_key, new_user
from tests.build import build_event, report
from tests.journeys.test_first_specification import key_of
from tests.realtime_client import Ear
from tests.server import ROOT, both_servers, free_port
from tests.sip.certificates import certify

pytestmark = [
    pytest.mark.usefixtures("groups"),
    pytest.mark.skipif(sys.platform == "win32", reason="nginx is for Unix"),
]
EXAMPLE = ROOT / "deploy" / "nginx" / "phonegoggles.conf"
HOST = "calls.example.org"
# More than the threads that serve requests behind it.
HALF_SENT = 40
# So many wrong tokens one address may send.
WRONG_TOKENS = 5


@dataclass(frozen=True)
class Front:
    """nginx: where it listens, and whose certificates to trust."""

    secure: int
    plain: int
    trust: ssl.SSLContext

    def open(self, source: str = "127.0.0.1") -> http.client.HTTPSConnection:
        """Return a connection that shows HOST as its aim, from an address of this machine."""
        line = http.client.HTTPSConnection(HOST, self.secure, context=self.trust, timeout=60)
        line.sock = self.socket(source)
        return line

    def socket(self, source: str = "127.0.0.1") -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.secure), timeout=60, source_address=(source, 0))
        return self.trust.wrap_socket(plain, server_hostname=HOST)

    def ask(
        self, method: str, path: str, key: str = "", body: Any = None, *, source: str = "127.0.0.1", **headers: str
    ) -> tuple[int, Any]:
        """Return the status of an answer, and what its JSON says."""
        headers = {"Host": HOST, "Content-Type": "application/json", **headers}
        if key:
            headers["Authorization"] = f"Token {key}"
        line = self.open(source)
        try:
            line.request(method, path, body, headers)
            answer = line.getresponse()
            raw = answer.read()
            is_json = (answer.headers["Content-Type"] or "").startswith("application/json")
            return answer.status, json.loads(raw) if is_json else raw
        finally:
            line.close()


def translate(text: str, front: Front, requests: int, sockets: int, certificate: Path, key: Path) -> str:
    """Return the example with what is to be filled in, and with other ports."""
    changes = {
        "listen [::]:80;": "",
        "listen [::]:443 ssl http2;": "",
        "listen 80;": f"listen 127.0.0.1:{front.plain};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{front.secure} ssl http2;",
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{requests};",
        "server 127.0.0.1:8001;": f"server 127.0.0.1:{sockets};",
        "/etc/ssl/phonegoggles/fullchain.pem": str(certificate),
        "/etc/ssl/phonegoggles/privkey.pem": str(key),
    }
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def nginx(folder: Path, requests: int, sockets: int) -> Iterator[Front]:
    """Run nginx with the example."""
    program = peers.find_nginx()
    if program is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("there is no nginx (apt-get install nginx-light)")
        pytest.skip("NOT CHECKED: there is no nginx (apt-get install nginx-light)")
    made = certify(folder, HOST)
    front = Front(free_port(), free_port(), ssl.create_default_context(cafile=str(made.authority)))
    site = folder / "site.conf"
    site.write_text(translate(EXAMPLE.read_text(), front, requests, sockets, made.certificate, made.key))
    places = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = folder / "nginx.conf"
    whole.write_text(
        f"daemon off; {'user root;' if os.geteuid() == 0 else ''} pid {folder}/pid; error_log stderr warn;\n"
        f"events {{ worker_connections 1024; }}\nhttp {{ access_log off; {places} include {site}; }}\n"
    )
    command = [program, "-e", "stderr", "-p", str(folder), "-c", str(whole)]
    with peers.running(command, ready=lambda: peers.listens(front.secure)):
        yield front


@pytest.fixture(scope="module")
def front(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Both servers, with one process and few threads, behind nginx."""
    tmp_path = tmp_path_factory.mktemp("front")
    environment = {
        "ALLOWED_HOSTS": f"{HOST},127.0.0.1",
        "HTTPS": "true",
        "TRUST_X_FORWARDED_PROTO": "true",
        "TRUSTED_PROXIES": "127.0.0.1",
        "THROTTLE_FAILED_AUTH": f"{WRONG_TOKENS}/hour",
        "MEDIA_ROOT": str(tmp_path / "media"),
        "METRICS_ALLOW": "127.0.0.0/8",
    }
    options = ("--workers", "1", "--threads", "4", "--trust-proxy", "127.0.0.1")
    with both_servers(*options, **environment) as (requests, sockets, _):
        ports = [int(address.rpartition(":")[2]) for address in (requests, sockets)]
        with nginx(tmp_path, *ports) as found:
            yield found


def event(event_id: str) -> str:
    return json.dumps(report(event_id=event_id))


def test_requests_and_sockets_share_one_address(front: Front) -> None:
    telephony, analyst = key_of("Telephony systems"), new_key(new_user())
    plain = socket.create_connection(("127.0.0.1", front.secure), timeout=60)
    with connect(
        f"wss://{HOST}/ws/calls/",
        sock=plain,
        ssl=front.trust,
        additional_headers={"Authorization": f"Token {analyst}"},
        compression=None,
        proxy=None,
        open_timeout=60,
    ) as wire:
        ear = Ear(wire)
        assert front.ask("POST", "/process-events/", telephony, event("e1"))[0] == 200
        assert ear.events(1) == ["e1"]
    assert front.ask("GET", "/readyz")[1]["checks"]["database"] == "ok"


def test_a_socket_from_a_foreign_page_is_refused_behind_the_proxy_too(front: Front) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "https://elsewhere.example"}  # fmt: skip
    assert front.ask("GET", "/ws/calls/", **upgrade)[0] in (401, 403)


def test_plain_http_is_sent_to_https_with_its_method(front: Front) -> None:
    line = http.client.HTTPConnection("127.0.0.1", front.plain, timeout=60)
    line.request("POST", "/process-events/", "{}", {"Host": HOST})
    answer = line.getresponse()
    assert (answer.status, answer.headers["Location"]) == (308, f"https://{HOST}/process-events/")
    line.close()


def test_metrics_stay_inside(front: Front) -> None:
    for path in ("/metrics", "/metrics/", "//metrics", "/%6detrics", "/admin/../metrics"):
        assert front.ask("GET", path)[0] == 404, path


def test_a_body_over_the_limit_is_refused_in_the_words_of_the_api(front: Front) -> None:
    key = key_of("Telephony systems")
    padded = event("e1").encode().ljust(10 * 1024 * 1024)
    assert front.ask("POST", "/process-events/", key, padded + b" ")[1]["code"] == "too_large"
    assert front.ask("POST", "/process-events/", key, b"[" + event("e1").encode().ljust(60_000) + b"]")[0] == 200
    assert CallEvent.objects.count() == 1


def test_the_file_of_a_recording_may_be_larger(front: Front) -> None:
    record([build_event("answered", call_id="c")])
    operator = key_of("Operators")
    status, _ = front.ask("POST", "/api/call-logs/c/start_recording/", operator)
    assert status == 201
    path = f"/api/recordings/{CallRecording.objects.get().pk}/file/"
    sound = os.urandom(12 * 1024 * 1024)
    telephony = key_of("Telephony systems")
    answer = front.ask("PUT", path, telephony, sound, **{"Content-Type": "audio/wav"})
    assert answer[0] in (200, 201, 204), answer
    assert front.ask("GET", path, operator)[1] == sound


def test_half_sent_requests_stop_nobody_else(front: Front) -> None:
    key = key_of("Telephony systems")
    body = event("half").encode()
    begin = (
        f"POST /process-events/ HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Token {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body[:10]
    with ExitStack() as stack:
        for _ in range(HALF_SENT):
            stack.enter_context(front.socket()).sendall(begin)
        for number in range(20):
            assert front.ask("POST", "/process-events/", key, event(f"whole-{number}"))[0] == 200
    assert CallEvent.objects.count() == 20


def test_what_a_client_claims_of_its_way_ends_at_the_proxy(front: Front) -> None:
    claims = {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    status, body = front.ask("POST", "/process-events/", key_of("Telephony systems"), event("e1"), **claims)
    assert status == 200, body


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_guesses_are_counted_by_the_address_that_nginx_saw(front: Front) -> None:
    def guess(source: str, number: int) -> int:
        made_up = {"X-Forwarded-For": f"203.0.113.{number}"}
        return front.ask("GET", "/api/call-logs/", "wrong", source=source, **made_up)[0]

    assert [guess("127.0.0.7", number) for number in range(WRONG_TOKENS + 1)] == [401] * WRONG_TOKENS + [429]
    assert guess("127.0.0.8", 1) == 401


def test_a_service_that_is_away_is_a_503_in_json(tmp_path: Path) -> None:
    with nginx(tmp_path, free_port(), free_port()) as front:
        for path in ("/process-events/", "/ws/calls/"):
            status, body = front.ask("GET", path)
            assert (status, body["code"]) == (503, "unavailable"), path
