"""Changes reach listeners in other processes, whatever happens to those, to the bell and to the database."""

import json
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from websockets.exceptions import ConnectionClosed

from calls.operations.record import record
from calls.realtime.bridge import CHANNEL, _address
from tests.api.test_live import new_key, new_user
from tests.build import build_event, report
from tests.journeys.test_production_server import connect, post
from tests.realtime_client import PATIENCE, listening, refusal
from tests.server import production_server, socket_server

pytestmark = [pytest.mark.usefixtures("groups")]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
WORDS = [("INITIATE", 0), ("ANSWER", 5), ("DISCONNECT", 30)]


@pytest.fixture
def key(groups: None) -> str:
    return new_key(new_user())


def waiting(name: str) -> list[Any]:
    """Return the bodies of one call's three reports."""
    return [
        report(event_id=f"{name}-{word}", call_id=name, event=word, created_at=f"2024-04-01T12:00:{second:02}Z")
        for word, second in WORDS
    ]


def test_what_is_reported_to_request_workers_reaches_the_sockets_of_other_processes(key: str) -> None:
    telephony = new_key(new_user("Telephony systems", "pbx"))
    bodies = [waiting(f"call-{number}") for number in range(20)]

    def talk(reports: list[Any]) -> None:
        pipe = connect(address)
        for body in reports:
            assert post(pipe, telephony, json.dumps(body))[0] == 200
        pipe.close()

    with (
        production_server() as address,
        socket_server() as (one, _),
        socket_server() as (two, _),
        listening(one, key) as first,
        listening(two, key) as second,
        ThreadPoolExecutor(4) as pool,
    ):
        list(pool.map(talk, bodies))
        for ear in (first, second):
            heard = [ear.hear()["event"]["event_id"] for _ in range(60)]
            assert len(set(heard)) == 60
            for number in range(20):
                its = [name for name in heard if name.startswith(f"call-{number}-")]
                assert its == [f"call-{number}-{word}" for word, _ in WORDS]


def test_a_batch_of_10000_events_is_told_wholly_and_in_order(key: str) -> None:
    events = [
        build_event("dtmf", step, event_id=f"{call}-{step}", call_id=f"call-{call}")
        for step in range(10)
        for call in range(1_000)
    ]
    with socket_server() as (address, _), listening(address, key) as ear:
        record(events)
        heard = [ear.hear()["event"]["event_id"] for _ in events]
        record([build_event("ended", 99, event_id="after", call_id="call-1")])
        assert ear.events(1) == ["after"]
    assert len(set(heard)) == len(events)
    last: dict[str, int] = {}
    for name in heard:
        call, _, step = name.partition("-")
        assert int(step) == last.get(call, -1) + 1
        last[call] = int(step)


@pytest.mark.postgresql
def test_a_batch_of_10000_events_rings_a_few_times_only() -> None:
    with psycopg.connect(**_address(), autocommit=True) as listener:  # type: ignore[arg-type]
        listener.execute(f"LISTEN {CHANNEL}")
        record([build_event("dtmf", 1, event_id=str(number)) for number in range(10_000)])
        rung = [next(listener.notifies(timeout=PATIENCE))]
        rung += list(listener.notifies(timeout=0.3))
    assert 1 <= len(rung) <= 2
    assert {bell.payload for bell in rung} == {""}


@pytest.mark.postgresql
def test_an_event_that_commits_late_is_told_live_and_to_whoever_comes_back(key: str) -> None:
    recorded, go_on = threading.Event(), threading.Event()

    def write_slowly() -> None:
        try:
            with transaction.atomic():
                record([build_event(event_id="slow", call_id="call-slow")])
                recorded.set()
                go_on.wait(PATIENCE)
        finally:
            recorded.set()
            connection.close()

    writer = threading.Thread(target=write_slowly)
    with socket_server() as (address, _):
        with listening(address, key) as ear, listening(address, key) as leaver:
            writer.start()
            assert recorded.wait(PATIENCE)
            record([build_event(event_id="quick")])
            assert ear.events(1) == leaver.events(1) == ["quick"]
            leaver.socket.close()
            go_on.set()
            writer.join()
            assert ear.events(1) == ["slow"]
        with listening(address, key, since=leaver.cursor) as back:
            # What was heard may come again; what was not heard must come.
            assert "slow" in back.hear_until("slow")
    with socket_server() as (other, _), listening(other, key, since=leaver.cursor) as elsewhere:
        assert "slow" in elsewhere.hear_until("slow")


@pytest.mark.postgresql
def test_lost_connections_lose_no_change(key: str) -> None:
    with socket_server() as (address, _), listening(address, key) as ear:
        for turn in range(20):
            names = [f"{turn:02}-{number}" for number in range(10)]
            for number, name in enumerate(names):
                record([build_event("dtmf", number, event_id=name, call_id=f"call-{turn}")])
                if number % 3 == 0:
                    with connection.cursor() as cursor:
                        cursor.execute(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                        )
            assert ear.events(10) == names


def test_changes_are_found_without_any_bell(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calls.realtime.announce._ring", lambda: None)
    with socket_server() as (address, _), listening(address, key) as ear:
        for number in range(3):
            record([build_event("dtmf", number, event_id=str(number))])
            assert ear.events(1) == [str(number)]


@POSIX
def test_a_frozen_socket_server_holds_up_nobody_and_misses_nothing(key: str) -> None:
    with socket_server() as (address, server), listening(address, key) as ear:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            names = [f"e{number}" for number in range(200)]
            for number, name in enumerate(names):
                record([build_event("dtmf", number, event_id=name)])
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    # The frozen listener keeps no transaction open, and the queue of bells is as good as empty.
                    cursor.execute("SELECT pg_notification_queue_usage() < 0.001")
                    assert cursor.fetchone() == (True,)
                    cursor.execute(
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                        " AND state LIKE 'idle in transaction%'"
                    )
                    assert cursor.fetchone() == (0,)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert ear.events(200) == names


@POSIX
def test_a_killed_socket_server_is_replaced_and_nothing_is_missed(key: str) -> None:
    with socket_server() as (address, server), listening(address, key) as ear:
        record([build_event(event_id="a")])
        assert ear.events(1) == ["a"]
        server.kill()
        record([build_event("ringing", 1, event_id="b")])
        with pytest.raises(ConnectionClosed):
            ear.hear()
    with socket_server() as (address, _), listening(address, key, since=ear.cursor) as back:
        assert back.hear_until("b")[-1] == "b"


@POSIX
def test_a_server_that_is_told_to_stop_says_so_to_its_listeners(key: str) -> None:
    with socket_server() as (address, server), listening(address, key) as ear:
        server.terminate()
        with pytest.raises(ConnectionClosed) as closed:
            ear.hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert server.wait(PATIENCE) in (0, -signal.SIGTERM)


def deaf_socket(address: str, key: str) -> socket.socket:
    """Open a socket that never reads what it is told."""
    host, port = address.removeprefix("http://").split(":")
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    deaf.connect((host, int(port)))
    deaf.sendall(
        f"GET /ws/calls/ HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {'A' * 22}==\r\nSec-WebSocket-Version: 13\r\nAuthorization: Token {key}\r\n\r\n".encode()
    )
    assert deaf.recv(12) == b"HTTP/1.1 101"
    return deaf


def test_who_does_not_read_is_dropped_and_brakes_nobody(key: str) -> None:
    bulky = {"padding": "x" * 20_000}
    with socket_server(LIVE_MAX_SOCKETS="2") as (address, _), listening(address, key) as ear:
        deaf = deaf_socket(address, key)
        assert refusal(address, key).status_code == 503
        names = [f"e{number:04}" for number in range(1_500)]
        for start in range(0, len(names), 100):
            record([build_event("dtmf", 1, event_id=name, metadata=bulky) for name in names[start : start + 100]])
            assert ear.events(100) == names[start : start + 100]
        # It has been given up, so there is room for another.
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with listening(address, key) as another:
                    record([build_event("ended", 9, event_id="last")])
                    assert another.events(1) == ["last"]
                break
            except Exception:
                if time.monotonic() > until:
                    raise
        deaf.close()
