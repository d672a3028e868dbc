"""Ready or not: every check can fail, says only its name, and takes no longer than it may."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from calls.queries import figures, readiness, watch

pytestmark = pytest.mark.django_db(transaction=True)
POSTGRESQL = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="needs PostgreSQL")


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """No test sees what another has found; and none leaves a thread behind."""
    readiness.watch.forget()
    figures.watch.forget()
    yield
    readiness.watch.forget()
    figures.watch.forget()
    for thread in watchers():
        thread.join(30)
    assert not watchers()


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "watch"]


def ask() -> tuple[int, dict[str, str]]:
    answer = Client().get("/readyz")
    assert set(answer.json()) == {"status", "checks"}
    assert answer.json()["status"] == ("ok" if answer.status_code == 200 else "failed")
    return answer.status_code, answer.json()["checks"]


def as_it_is() -> dict[str, str]:
    """What should be answered on the database of the tests, which may be one that gives up durability for speed."""
    checks = dict.fromkeys(["database", "migrations", "disk"], "ok")
    with connection.cursor() as cursor:
        for name in readiness.DURABILITY[connection.vendor]:
            cursor.execute(f"SHOW {name}" if connection.vendor == "postgresql" else f"PRAGMA {name}")
            checks[name] = "failed" if cursor.fetchone()[0] in ("off", "delete", 0, 1) else "ok"
    return checks


def test_it_is_ready_when_every_check_passes():
    expected = as_it_is()
    assert ask() == (503 if "failed" in expected.values() else 200, expected)
    if connection.vendor == "sqlite":
        assert set(expected.values()) == {"ok"}


def test_it_says_no_version_and_no_path():
    answer = Client().get("/readyz")
    assert set(answer.json()["checks"].values()) <= {"ok", "failed"}
    assert not any(character.isdigit() or character == "/" for character in answer.content.decode())
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_missing_migration_is_seen():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_migrations SET name = '0001_other' WHERE app = 'calls' AND name LIKE '0001%%'")
    try:
        status, checks = ask()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE django_migrations SET name = '0001_calls_events_and_tokens' WHERE name = '0001_other'"
            )
    assert (status, checks["migrations"], checks["database"]) == (503, "failed", "ok")


def test_a_full_disk_is_seen(settings: Any):
    settings.READY_FREE_BYTES = 10**18
    status, checks = ask()
    assert (status, checks["disk"]) == (503, "failed")


def test_recordings_in_a_bucket_need_no_room_here(settings: Any, tmp_path: Any):
    settings.MEDIA_ROOT = str(tmp_path / "not" / "made" / "yet")
    assert ask()[1]["disk"] == "ok"
    assert tmp_path in readiness._places()
    settings.RECORDINGS_S3 = {**settings.RECORDINGS_S3, "bucket_name": "recordings"}
    assert tmp_path not in readiness._places()


def test_a_setting_that_gives_up_durability_is_seen(monkeypatch: pytest.MonkeyPatch):
    if connection.vendor == "postgresql":
        name = "synchronous_commit"
        options = {**connection.settings_dict["OPTIONS"], "options": "-c synchronous_commit=off"}
    else:
        name = "synchronous"
        options = {**connection.settings_dict["OPTIONS"], "init_command": "PRAGMA journal_mode=WAL"}
        options["init_command"] += "; PRAGMA synchronous=NORMAL"
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    status, checks = ask()
    assert (status, checks[name], checks["database"]) == (503, "failed", "ok")


# -- A database that does not answer ------------------------------------------------------------


class Proxy:
    """A way to the database that stops passing anything on once it has passed some words."""

    def __init__(self, target: tuple[str, int], until: bytes) -> None:
        self.accepted = 0
        self._target, self._until = target, until
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.accepted += 1
                server = socket.create_connection(self._target)
                self._open += [client, server]
                mute = threading.Event()
                for source, sink, watched in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass_on, args=(source, sink, watched, mute), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, watched: bool, mute: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if watched and (not self._until or self._until in data):
                    mute.set()
                if not mute.is_set():
                    sink.sendall(data)

    def close(self) -> None:
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # else whoever reads from it keeps it open
            with suppress(OSError):
                each.close()


@contextmanager
def proxy(monkeypatch: pytest.MonkeyPatch, until: bytes) -> Iterator[Proxy]:
    """Put such a proxy between us and the database."""
    database = connection.settings_dict
    way = Proxy((database["HOST"], int(database["PORT"])), until)
    with monkeypatch.context() as patch:
        patch.setitem(database, "HOST", "127.0.0.1")
        patch.setitem(database, "PORT", way.port)
        patch.setattr(watch, "LOOK_SECONDS", 1.0)
        try:
            yield way
        finally:
            way.close()


@POSTGRESQL
@pytest.mark.parametrize("until", [b"", b"pg_settings"], ids=["from the beginning", "in the middle"])
def test_a_database_that_hangs_is_not_ready_and_gathers_no_connections(monkeypatch: pytest.MonkeyPatch, until: bytes):
    connection.ensure_connection()
    with proxy(monkeypatch, until) as way:
        assert ask() == (503, {"database": "failed", "disk": "ok"})
        for _ in range(5):
            assert ask()[0] == 503
            assert len(watchers()) <= 1
        assert way.accepted <= 6
    readiness.watch.forget()
    assert ask()[1]["database"] == "ok"


@POSTGRESQL
def test_metrics_are_told_while_the_database_hangs(monkeypatch: pytest.MonkeyPatch, settings: Any):
    settings.METRICS_ALLOW = [ip_network("127.0.0.0/8")]
    connection.ensure_connection()
    with proxy(monkeypatch, b"SELECT count"):
        text = Client().get("/metrics").content.decode()
    assert "phonegoggles_database_up 0.0" in text
    assert "phonegoggles_commit_seconds_count" in text
    assert "calls_in_progress" not in text


def test_who_asks_at_the_same_time_shares_one_look():
    began, go_on, looks = threading.Event(), threading.Event(), []

    def look(apart: Any) -> int:
        looks.append(apart)
        began.set()
        go_on.wait(30)
        return 7

    shared = watch.Watch(look)
    found: list[Any] = []
    askers = [threading.Thread(target=lambda: found.append(shared.ask())) for _ in range(8)]
    askers[0].start()
    assert began.wait(30)
    for asker in askers[1:]:
        asker.start()
    go_on.set()
    for asker in askers:
        asker.join(30)
    assert found == [7] * 8
    assert len(looks) == 1


def test_a_look_that_fails_is_no_answer_and_the_next_one_may_succeed():
    results = iter([ZeroDivisionError(), 5])

    def look(apart: Any) -> int:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    found = watch.Watch(look)
    assert found.ask() is None
    found.forget()
    assert found.ask() == 5
