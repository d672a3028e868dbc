"""The production server: it starts only when it can, keeps its processes up, and loses nothing when it stops."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import psycopg
import pytest

from calls.management.commands.serve import environment, processors
from calls.models import CallEvent
from tests.api.test_live import new_key, new_user
from tests.build import report
from tests.journeys.test_first_specification import key_of
from tests.operations.test_record_concurrently import healthy
from tests.realtime_client import listening
from tests.server import ROOT, both_servers, database_url, free_port, knobs_for, until

pytestmark = [
    pytest.mark.usefixtures("groups"),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot ask a process to end"),
]
# How long something that must come may take, in seconds.
PATIENCE = 60


def post(address: str, key: str, event_id: str) -> int:
    """Report an event over a connection of its own; 0 if there was no answer."""
    body = json.dumps(report(event_id=event_id, call_id=f"call of {event_id}"))
    line = http.client.HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE)
    try:
        line.request(
            "POST", "/process-events/", body, {"Authorization": f"Token {key}", "Content-Type": "application/json"}
        )
        answer = line.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        line.close()


def lives(address: str) -> bool:
    try:
        urlopen(f"{address}/livez", timeout=5).close()  # noqa: S310 - our own server
    except (URLError, ConnectionError, TimeoutError, http.client.HTTPException):
        return False
    return True


def children_of(pid: int) -> dict[int, str]:
    """Return the processes that a process has started, with their command lines."""
    said = subprocess.run(
        ["ps", "-e", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 2) for line in said.splitlines()]
    return {int(child): words for child, parent, words in rows if int(parent) == pid and "defunct" not in words}


def test_servers_share_two_heaps_unless_somebody_wants_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    assert environment(tmp_path, 8)["MALLOC_ARENA_MAX"] == "2"
    monkeypatch.setenv("MALLOC_ARENA_MAX", "6")
    assert environment(tmp_path, 8)["MALLOC_ARENA_MAX"] == "6"


@pytest.mark.once
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux keeps processes to a processor")
def test_each_process_keeps_to_a_processor_if_all_get_as_many_and_nobody_minds() -> None:
    ours = sorted(os.sched_getaffinity(0))
    assert processors(len(ours)) == ours
    assert processors(2 * len(ours)) == ours * 2
    assert processors(len(ours) + 1) == ([None] * (len(ours) + 1) if len(ours) > 1 else ours * 2)
    many = ("--no-sockets", "--workers", str(len(ours)), "--threads", "2")
    with both_servers(*many) as (_, _, server):
        assert sorted(map(os.sched_getaffinity, children_of(server.pid)), key=sorted) == [{one} for one in ours]
    with both_servers(*many, "--no-pin") as (_, _, server):
        assert {frozenset(os.sched_getaffinity(child)) for child in children_of(server.pid)} == {frozenset(ours)}


def test_requests_and_sockets_are_served_and_the_counts_of_all_processes_add_up() -> None:
    telephony, analyst = key_of("Telephony systems"), new_key(new_user())
    with both_servers("--workers", "2", "--threads", "4") as (requests, sockets, _), listening(sockets, analyst) as ear:
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda number: post(requests, telephony, f"e{number}"), range(40))) == {200}
        assert set(ear.events(40)) == {f"e{number}" for number in range(40)}

        def told() -> dict[str, float]:
            ask = Request(f"{requests}/metrics", headers={"Authorization": f"Token {analyst}"})  # noqa: S310 - our own server
            text = urlopen(ask, timeout=PATIENCE).read().decode()  # noqa: S310 - our own server
            return {name: float(value) for name, value in re.findall(r"^([a-z_]+\S*) (\S+)$", text, re.MULTILINE)}

        until(lambda: told().get('phonegoggles_events_total{result="created",source="process_events"}') == 40)
        assert told()["phonegoggles_sockets_open"] == 1
        ear.socket.close()
        until(lambda: told()["phonegoggles_sockets_open"] == 0)
        answered = 'phonegoggles_requests_total{method="POST",status="200",view="process-events"}'
        until(lambda: told().get(answered) == 40)


@contextmanager
def nobody_may_write() -> Iterator[Callable[[], int]]:
    """Keep all events from being written until the end of the block; gives a count of those who wait."""
    with psycopg.connect(database_url()) as blocker, psycopg.connect(database_url(), autocommit=True) as looker:
        blocker.execute("LOCK TABLE calls_callevent IN EXCLUSIVE MODE")

        def waiting() -> int:
            [count] = looker.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'calls_callevent'::regclass"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            ).fetchone() or (0,)
            return int(count)

        yield waiting


@pytest.mark.postgresql
def test_requests_in_flight_at_a_stop_are_finished_with_their_commits() -> None:
    key = key_of("Telephony systems")
    with both_servers("--no-sockets", "--workers", "2", "--threads", "4") as (address, _, server):
        with ThreadPoolExecutor(6) as pool:
            with nobody_may_write() as waiting:
                # One of a process's requests may wait for the table, and the others for it.
                answers = [pool.submit(post, address, key, f"e{number}") for number in range(6)]
                until(lambda: waiting() >= 1)
                server.send_signal(signal.SIGTERM)
                until(lambda: not lives(address))
                assert server.poll() is None
            codes = [answer.result() for answer in answers]
        assert server.wait(PATIENCE) == 0
    acknowledged = {f"e{number}" for number, code in enumerate(codes) if code == 200}
    assert set(codes) <= {200, 0}
    assert acknowledged, codes
    assert acknowledged == set(CallEvent.objects.values_list("event_id", flat=True))


def test_whatever_was_acknowledged_while_it_stopped_is_stored_once() -> None:
    key = key_of("Telephony systems")
    ledger: dict[str, int] = {}
    stopped = threading.Event()

    def talk(number: int) -> None:
        turn = 0
        while not stopped.is_set():
            event_id = f"{number}-{turn}"
            ledger[event_id] = post(address, key, event_id)
            turn += 1

    with both_servers("--no-sockets", "--workers", "2", "--threads", "8") as (address, _, server):
        talkers = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
        for talker in talkers:
            talker.start()
        try:
            until(lambda: list(ledger.values()).count(200) >= 200)
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0
        finally:
            stopped.set()
            for talker in talkers:
                talker.join(PATIENCE)
    acknowledged = [event_id for event_id, code in ledger.items() if code == 200]
    stored = list(CallEvent.objects.values_list("event_id", flat=True))
    print(f"{len(acknowledged)} acked, {len(set(acknowledged) - set(stored))} lost, {len(ledger)} sent")
    assert set(ledger.values()) <= {200, 0}
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))
    assert healthy()


def is_over(pid: int) -> bool:
    """Say whether a process runs no more; whoever adopted it may not have asked for its end yet."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip()[:1] in ("", "Z")


@pytest.mark.once
def test_a_server_that_dies_is_started_again_and_leaves_nothing_behind() -> None:
    with both_servers("--workers", "1") as (requests, sockets, server):
        for word, address in (("serve_requests", requests), ("serve_asgi", sockets)):
            [dead] = [pid for pid, words in children_of(server.pid).items() if word in words]
            workers = list(children_of(dead))
            os.kill(dead, signal.SIGKILL)
            until(lambda dead=dead, word=word: any(  # type: ignore[misc]
                pid != dead and word in words for pid, words in children_of(server.pid).items()
            ))  # fmt: skip
            until(lambda address=address: lives(address))  # type: ignore[misc]
            until(lambda workers=workers: all(map(is_over, workers)))  # type: ignore[misc]
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 0
        assert not lives(requests)
        assert not lives(sockets)


def test_whoever_comes_while_a_worker_is_dead_waits_for_the_next_one() -> None:
    key = key_of("Telephony systems")
    with both_servers("--no-sockets", "--workers", "1") as (address, _, server):
        [worker] = children_of(server.pid)
        os.kill(worker, signal.SIGKILL)
        until(lambda: worker not in children_of(server.pid))
        assert post(address, key, "e") == 200
        assert worker not in children_of(server.pid)


@pytest.mark.once
def test_servers_end_with_whoever_has_started_them() -> None:
    with both_servers("--no-sockets", "--workers", "2") as (address, _, server):
        workers = list(children_of(server.pid))
        assert len(workers) == 2
        server.kill()
        until(lambda: all(map(is_over, workers)))
        assert not lives(address)


def test_a_reload_replaces_the_workers_and_refuses_nobody() -> None:
    key = key_of("Telephony systems")
    with both_servers("--workers", "2", "--threads", "4") as (address, sockets, server):
        old = set(children_of(server.pid))
        server.send_signal(signal.SIGHUP)
        codes = []

        def replaced() -> bool:
            codes.append(post(address, key, f"e{len(codes)}"))
            now = set(children_of(server.pid))
            return len(now) == len(old) and not old & now

        until(replaced)
        until(lambda: lives(sockets))
    assert set(codes) == {200}
    assert {f"e{number}" for number in range(len(codes))} == set(CallEvent.objects.values_list("event_id", flat=True))


def refused(*more: str, **environment: str) -> str:
    """Return what a start that is refused says."""
    done = subprocess.run(
        [sys.executable, "manage.py", "serve", *more],
        cwd=ROOT,
        env={**knobs_for(database_url()), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.once
def test_a_port_that_is_taken_is_refused_before_anything_starts() -> None:
    with both_servers("--no-sockets", "--workers", "1") as (address, _, _server):
        taken = str(urlsplit(address).port)
        assert f"port {taken}" in refused("--port", taken, "--no-sockets")
        assert f"port {taken}" in refused("--port", str(free_port()), "--sockets-port", taken)
    assert "--sockets-port" in refused("--port", taken, "--sockets-port", taken)


@pytest.mark.once
def test_impossible_options_are_refused() -> None:
    assert "--workers" in refused("--workers", "0")
    assert "--port" in refused("--port", "70000")
    assert "IP address" in refused("--host", "nowhere.example")


def test_a_database_without_its_tables_is_refused(tmp_path: object) -> None:
    said = refused("--port", str(free_port()), DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3")
    assert "manage.py migrate" in said


@pytest.mark.once
def test_the_deployment_check_is_told_before_the_start() -> None:
    said = refused("--port", str(free_port()), "--sockets-port", "1", "--host", "192.0.2.1")
    assert "security.W" in said
