"""A real SIP server, and what may be reached in tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from calls.sip.egress import read_allowances
from tests import peers
from tests.sip.certificates import Certificate, certify

LOOPBACK = read_allowances(["127.0.0.0/8:1-65535"])
TEMPLATE = Path(__file__).with_name("kamailio.cfg")


@dataclass(frozen=True)
class Kamailio:
    """Where it listens, and what its certificate is."""

    port: int
    tls_port: int
    certificate: Certificate
    websocket_port: int = 0


def start_kamailio(folder: Path, *, algorithm: str = "MD5") -> Iterator[Kamailio]:
    """Start one that asks for passwords with this algorithm; skip the test where there is none."""
    program = peers.find_kamailio("tls", "auth", "siputils")
    if program is None:
        pytest.skip("NOT CHECKED: there is no Kamailio with TLS (apt-get install kamailio kamailio-tls-modules)")
    certificate = certify(folder, "127.0.0.1", "localhost")
    port, tls_port = peers.free_ports(2)
    configuration = TEMPLATE.read_text(encoding="utf-8").format(
        port=port,
        tls_port=tls_port,
        key=certificate.key,
        certificate=certificate.certificate,
        algorithm=algorithm,
        more="",
        registered="",
    )
    with peers.kamailio(program, configuration, port=tls_port):
        yield Kamailio(port, tls_port, certificate)


@pytest.fixture(scope="session")
def kamailio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    """One that asks for MD5."""
    yield from start_kamailio(tmp_path_factory.mktemp("kamailio"))


@pytest.fixture(scope="session")
def kamailio_sha256(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    """One that asks for SHA-256 (RFC 8760)."""
    yield from start_kamailio(tmp_path_factory.mktemp("kamailio-sha256"), algorithm="SHA-256")
