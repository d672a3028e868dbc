"""TURN credentials: what coturn itself says of them."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from calls.sip.turn import TurnCredentials, turn_credentials
from tests import peers

SECRET = "north-of-the-wall"


@pytest.fixture(scope="module")
def relay() -> Iterator[tuple[str, int]]:
    """Its client, and the port of a running server."""
    found = peers.find_coturn()
    if found is None:
        pytest.skip("NOT CHECKED: there is no coturn (apt-get install coturn)")
    server, client = found
    with peers.coturn(server, secret=SECRET) as port:
        yield client, port


def is_let_in(relay: tuple[str, int], made: TurnCredentials) -> bool:
    client, port = relay
    command = [client, "-u", made.username, "-w", made.credential, "-p", str(port), "-y", "-c", "-n", "1", "127.0.0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "tot_recv_msgs" in done.stdout or "Cannot complete Allocation" in done.stdout, done.stdout + done.stderr
    return done.returncode == 0


def test_what_we_make_is_an_expiry_a_user_and_their_signature() -> None:
    at = datetime(2025, 1, 1, 12, 0, 0, 999999, tzinfo=UTC)
    made = turn_credentials("7", secret=SECRET, at=at, ttl_seconds=3600)
    assert made.username == "1735736400:7"
    assert made.expires_at == datetime(2025, 1, 1, 13, tzinfo=UTC)
    # As `printf %s 1735736400:7 | openssl dgst -sha1 -hmac north-of-the-wall -binary | base64` says.
    assert made.credential == "OYn8v4b4toYpVKGQ/m0jguP20OA="


def test_coturn_lets_them_in(relay: tuple[str, int]) -> None:
    assert is_let_in(relay, turn_credentials("7", secret=SECRET, at=datetime.now(UTC), ttl_seconds=60))


def test_coturn_refuses_expired_ones(relay: tuple[str, int]) -> None:
    then = datetime.now(UTC) - timedelta(minutes=2)
    assert not is_let_in(relay, turn_credentials("7", secret=SECRET, at=then, ttl_seconds=60))


def test_coturn_refuses_those_of_another_secret_and_forged_ones(relay: tuple[str, int]) -> None:
    now = datetime.now(UTC)
    made = turn_credentials("7", secret=SECRET, at=now, ttl_seconds=60)
    longer = turn_credentials("7", secret="other", at=now, ttl_seconds=9999)
    assert not is_let_in(relay, longer)
    assert not is_let_in(relay, TurnCredentials(longer.username, made.credential, longer.expires_at))
