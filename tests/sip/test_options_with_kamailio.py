"""OPTIONS against a real SIP server, over UDP, TCP and TLS; dead ports and black holes."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from calls.sip.options import Account, Finding, ask
from tests.sip.certificates import certify
from tests.sip.conftest import LOOPBACK, Kamailio
from tests.sip.scripted import answer, stream_peer

TRANSPORTS = ["udp", "tcp", "tls"]
WITHIN_SECONDS = 20


def account(peer: Kamailio, transport: str, **values: Any) -> Account:
    port = peer.tls_port if transport == "tls" else peer.port
    return Account(**{"host": "127.0.0.1", "port": port, "transport": transport, **values})


def question(peer: Kamailio, transport: str, **values: Any) -> Finding:
    trusted = str(peer.certificate.authority)
    return ask(account(peer, transport, **values), allowed=LOOPBACK, within_seconds=WITHIN_SECONDS, ca_file=trusted)


def facts(finding: Finding) -> tuple[Any, ...]:
    return finding.reachable, finding.status_code, finding.reason, finding.authenticated, finding.error


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_it_is_there(kamailio: Kamailio, transport: str) -> None:
    found = question(kamailio, transport, username="open")
    assert facts(found) == (True, 200, "Here I am", None, None)
    assert (found.server or "").startswith("kamailio (5")
    assert found.transport == transport
    assert found.latency_ms is not None
    assert 0 < found.latency_ms < WITHIN_SECONDS * 1000


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_right_password_is_accepted(kamailio: Kamailio, transport: str) -> None:
    found = question(kamailio, transport, username="ada", password="right")
    assert facts(found) == (True, 200, "Here I am", True, None)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_right_password_is_accepted_with_sha_256(kamailio_sha256: Kamailio, transport: str) -> None:
    found = question(kamailio_sha256, transport, username="ada", password="right")
    assert facts(found) == (True, 200, "Here I am", True, None)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_wrong_password_is_not(kamailio: Kamailio, transport: str) -> None:
    found = question(kamailio, transport, username="ada", password="wrong")
    assert facts(found) == (True, 401, "Unauthorized", False, None)


def test_a_user_name_with_every_kind_of_character_gets_in(kamailio: Kamailio) -> None:
    odd = "a\\d <b>;x=y@ü,€"  # of a quotation mark Kamailio 5.6 itself can make nothing
    assert facts(question(kamailio, "udp", username=odd, password="right")) == (True, 200, "Here I am", True, None)


def test_who_has_no_account_is_told_that_one_is_wanted(kamailio: Kamailio) -> None:
    assert facts(question(kamailio, "udp")) == (True, 401, "Unauthorized", False, None)


def test_credentials_are_given_to_the_realm_of_the_configuration_only(kamailio: Kamailio) -> None:
    values = {"username": "ada", "password": "right"}
    assert question(kamailio, "udp", realm="elsewhere.test", **values).authenticated is False
    assert question(kamailio, "udp", realm="phonegoggles.test", **values).authenticated is True


def test_a_server_that_says_no_is_there_all_the_same(kamailio: Kamailio) -> None:
    assert facts(question(kamailio, "udp", username="nobody")) == (True, 404, "Not Found", None, None)


def test_a_name_is_asked_for_too(kamailio: Kamailio) -> None:
    assert question(kamailio, "tls", host="localhost", username="open").status_code == 200


# -- TLS ----------------------------------------------------------------------------------------


def test_a_certificate_of_a_stranger_is_not_trusted(kamailio: Kamailio) -> None:
    found = ask(account(kamailio, "tls", username="open"), allowed=LOOPBACK, within_seconds=WITHIN_SECONDS)
    assert facts(found) == (False, None, None, None, "tls")


def test_a_certificate_for_another_host_is_not_trusted(kamailio: Kamailio) -> None:
    # 127.0.0.2 leads to the same machine, but Kamailio does not listen there: so another address of the same server.
    with socket.create_server(("127.0.0.2", 0)) as front:
        found = _through(front, kamailio)
    assert facts(found) == (False, None, None, None, "tls")


def _through(front: socket.socket, peer: Kamailio) -> Finding:
    """Ask Kamailio under the address of a listener that passes everything on to it."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
        except OSError:
            pass

    def relay() -> None:
        near, _ = front.accept()
        with near, socket.create_connection(("127.0.0.1", peer.tls_port)) as far:
            back = threading.Thread(target=pump, args=(far, near))
            back.start()
            pump(near, far)
            far.shutdown(socket.SHUT_RDWR)
            back.join()

    thread = threading.Thread(target=relay)
    thread.start()
    asked = Account("127.0.0.2", front.getsockname()[1], "tls", username="open")
    found = ask(asked, allowed=LOOPBACK, within_seconds=WITHIN_SECONDS, ca_file=str(peer.certificate.authority))
    thread.join()
    return found


def test_a_port_without_tls_is_not_reached_over_tls(kamailio: Kamailio) -> None:
    # Kamailio waits for the rest of what it takes for a SIP message.
    asked = account(kamailio, "tls", port=kamailio.port)
    found = ask(asked, allowed=LOOPBACK, within_seconds=1, ca_file=str(kamailio.certificate.authority))
    assert facts(found) == (False, None, None, None, "timeout")


def test_an_expired_certificate_is_not_trusted(tmp_path: Path) -> None:
    made = certify(tmp_path, "127.0.0.1", days=-5)
    with stream_peer(lambda asked: [answer(asked, "200 OK")], certificate=made) as peer:
        found = ask(
            Account("127.0.0.1", peer.port, "tls"),
            allowed=LOOPBACK,
            within_seconds=WITHIN_SECONDS,
            ca_file=str(made.authority),
        )
    assert found.error == "tls"


# -- Nobody is there ----------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_dead_port_refuses(transport: str) -> None:
    with socket.socket() as taken, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken_too:
        # Bound, so that nobody else takes it, but not listening; the UDP port is another one, closed again.
        taken.bind(("127.0.0.1", 0))
        taken_too.bind(("127.0.0.1", 0))
        ports = {"tcp": taken.getsockname()[1], "tls": taken.getsockname()[1], "udp": taken_too.getsockname()[1]}
        taken_too.close()
        found = ask(Account("127.0.0.1", ports[transport], transport), allowed=LOOPBACK, within_seconds=WITHIN_SECONDS)
    assert facts(found) == (False, None, None, None, "refused")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_black_hole_is_given_up(transport: str) -> None:
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as hole:
        hole.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            hole.listen()
        found = ask(Account("127.0.0.1", hole.getsockname()[1], transport), allowed=LOOPBACK, within_seconds=0.7)
    assert facts(found) == (False, None, None, None, "timeout")
