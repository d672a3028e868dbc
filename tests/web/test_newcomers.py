"""Processes that share a listening socket keep their connections even, and none waits for another that is not there."""

import asyncio
import errno
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from calls.management.crowd import ABSENT, Crowd, make_counts
from phonegoggles import newcomers
from phonegoggles.newcomers import Newcomers
from phonegoggles.serving import RequestServer
from tests.server import ROOT, until
from tests.web.raw import PATIENCE, Application, Raw


class Guest(asyncio.Protocol):
    """A connection that is counted."""

    def __init__(self, home: "Home") -> None:
        self._home = home

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._home.guests.add(transport)
        transport.write(self._home.name)  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        self._home.crowd.change(-1)


class Home:
    """One event loop in a thread, where newcomers are taken in."""

    def __init__(self, listener: socket.socket, counts: int, place: int) -> None:
        self.name, self.crowd = b"%d" % place, Crowd(counts, place)
        self.listener, self.guests, self.makes = listener.dup(), set[Any](), Guest
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.door = self.do(lambda: Newcomers(self.listener, self.crowd, lambda: self.makes(self)))

    def do(self, work: Callable[[], Any]) -> Any:
        """Do something on the loop."""

        async def on_the_loop() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(on_the_loop(), self.loop).result(PATIENCE)

    def close(self) -> None:
        if self.loop.is_closed():
            return
        self.do(self.door.close)
        asyncio.run_coroutine_threadsafe(self.door.wait_closed(), self.loop).result(PATIENCE)
        self.do(lambda: [guest.abort() for guest in self.guests])
        self.do(lambda: None)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        self.loop.close()
        self.listener.close()


class Place:
    """A listening socket that several share."""

    def __init__(self, places: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self.listener.getsockname()[1]
        self.counts = make_counts(places)
        self.homes: list[Home] = []
        self.lines: list[socket.socket] = []

    def open(self, place: int) -> Home:
        """Have somebody take newcomers."""
        self.homes.append(Home(self.listener, self.counts.fileno(), place))
        return self.homes[-1]

    def come(self) -> bytes:
        """Connect, and return who has taken one in."""
        self.lines.append(socket.create_connection(("127.0.0.1", self.port), PATIENCE))
        return self.lines[-1].recv(1)

    def told(self) -> list[int]:
        """Return the counts."""
        return list(memoryview(os.pread(self.counts.fileno(), 1000, 0)).cast("i"))


@pytest.fixture
def place() -> Iterator[Callable[[int], Place]]:
    made: list[Place] = []

    def make(places: int) -> Place:
        made.append(Place(places))
        return made[-1]

    yield make
    for one in made:
        for home in one.homes:
            home.close()
        for line in one.lines:
            line.close()
        one.listener.close()
        one.counts.close()


# -- The counts -------------------------------------------------------------------------------------


def test_counts_are_seen_from_all_places() -> None:
    with make_counts(3) as file:
        assert os.fstat(file.fileno()).st_size == 3 * array("i").itemsize
        first, second = Crowd(file.fileno(), 0), Crowd(file.fileno(), 1)
        first.begin()
        for _ in range(3):
            first.change(1)
        assert not first.is_large()  # nobody else is there
        second.begin()
        assert first.is_large()
        assert not second.is_large()
        for _ in range(3):
            second.change(1)
        assert not first.is_large()
        first.change(-1)
        assert second.is_large()
        first.end()
        assert not second.is_large()
        assert list(memoryview(os.pread(file.fileno(), 99, 0)).cast("i")) == [ABSENT, 3, ABSENT]


def test_whoever_loses_connections_after_leaving_does_not_count() -> None:
    """One that is replaced answers what is under way, and its connections end one by one."""
    with make_counts(2) as file:
        leaving, here = Crowd(file.fileno(), 0), Crowd(file.fileno(), 1)
        leaving.begin()
        leaving.change(1)
        leaving.end()
        leaving.change(-1)
        here.begin()
        assert not here.is_large()
        leaving.begin()
        here.change(1)
        assert here.is_large()


def test_counts_are_shared_with_another_process() -> None:
    with make_counts(2) as file:
        ours = Crowd(file.fileno(), 0)
        ours.begin()
        ours.change(1)
        code = "import sys; from calls.management.crowd import Crowd; c = Crowd(int(sys.argv[1]), 1); c.begin()"
        subprocess.run([sys.executable, "-c", code, str(file.fileno())], cwd=ROOT, check=True, pass_fds=[file.fileno()])
        assert ours.is_large()


# -- Taking in --------------------------------------------------------------------------------------


def test_two_who_share_a_socket_stay_even(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newcomers, "COURTESY_SECONDS", 1.0)  # however slow this machine is
    here = place(2)
    here.open(0)
    here.open(1)
    for _ in range(30):
        here.come()
        # Who has waited for one whom the other took may take the next.
        assert abs(here.told()[0] - here.told()[1]) <= 4
    assert sum(here.told()) == 30


def test_one_that_joins_late_catches_up(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newcomers, "COURTESY_SECONDS", 1.0)
    here = place(2)
    here.open(0)
    assert {here.come() for _ in range(10)} == {b"0"}
    here.open(1)
    assert {here.come() for _ in range(10)} == {b"1"}


def test_one_that_takes_nobody_keeps_nobody_out(place: Any) -> None:
    here = place(2)
    Crowd(here.counts.fileno(), 1).begin()  # frozen, or dead and not yet missed
    here.open(0)
    assert {here.come() for _ in range(20)} == {b"0"}


def test_who_comes_at_the_same_time_is_taken_in_too(place: Any) -> None:
    here = place(2)
    Crowd(here.counts.fileno(), 1).begin()
    here.lines = [socket.create_connection(("127.0.0.1", here.port), PATIENCE) for _ in range(50)]
    here.open(0)
    assert {line.recv(1) for line in here.lines} == {b"0"}


def test_whoever_closes_leaves_newcomers_to_the_others(place: Any) -> None:
    here = place(2)
    first, second = here.open(0), here.open(1)
    for _ in range(4):
        here.come()
    first.close()
    assert here.told()[0] <= ABSENT
    assert {here.come() for _ in range(10)} == {b"1"}
    second.do(second.door.close)
    waiting = socket.create_connection(("127.0.0.1", here.port), PATIENCE)  # the system has room for it
    here.lines.append(waiting)
    here.open(0)
    assert waiting.recv(1) == b"0"


def test_guests_who_leave_are_counted_out(place: Any) -> None:
    here = place(1)
    here.open(0)
    for _ in range(3):
        here.come()
    assert here.told() == [3]
    for line in here.lines:
        line.close()
    until(lambda: here.told() == [0])


def test_a_lack_of_files_is_waited_out(
    place: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(newcomers, "PAUSE_SECONDS", 0.05)
    here = place(1)
    here.open(0)
    assert here.come() == b"0"
    late = socket.socket()
    here.lines.append(late)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    with caplog.at_level(logging.ERROR):
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            late.connect(("127.0.0.1", here.port))
            until(lambda: len(caplog.records) >= 2)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    late.settimeout(PATIENCE)
    assert late.recv(1) == b"0"
    assert here.told() == [2]
    assert all(record.exc_info[1].errno == errno.EMFILE for record in caplog.records if record.exc_info)  # type: ignore[union-attr]


@pytest.mark.parametrize("error", [OSError, RuntimeError])
def test_a_connection_that_cannot_begin_is_not_counted(place: Any, error: type[Exception]) -> None:
    here = place(1)
    home = here.open(0)

    def fails(home: Home) -> Guest:
        raise error

    home.makes = fails  # type: ignore[assignment]
    assert here.come() == b""
    home.makes = Guest
    assert here.come() == b"0"
    assert here.told() == [1]


# -- The servers ------------------------------------------------------------------------------------


@contextmanager
def servers(here: Place, count: int) -> Iterator[list[tuple[RequestServer, threading.Thread, socket.socket]]]:
    """Run servers that share a socket, each until the test closes the other end of its line."""
    made = []
    for number in range(count):
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE)
        server = RequestServer(Application(), threads=2, shortcut=False, grace=10 * PATIENCE)
        crowd = Crowd(here.counts.fileno(), number)
        thread = threading.Thread(
            target=server.run_among_others, args=(here.listener.dup(), theirs, crowd), daemon=True
        )
        thread.start()
        assert ours.recv(1) == b"1"
        made.append((server, thread, ours))
    try:
        yield made
    finally:
        for _, thread, ours in made:
            ours.close()
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_servers_share_lines_evenly_and_end_with_whoever_has_started_them(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newcomers, "COURTESY_SECONDS", 1.0)
    here = place(2)
    with servers(here, 2) as running:
        lines = [Raw(here.port) for _ in range(10)]
        for line in lines:
            assert line.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").answer().status == 200
        assert sum(here.told()) == 10
        assert min(here.told()) >= 3
        running[0][2].close()
        running[0][1].join(PATIENCE)
        assert not running[0][1].is_alive()
        late = Raw(here.port)
        assert late.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").answer().status == 200
        until(lambda: here.told()[0] < 0)
        for line in (*lines, late):
            line.close()
        until(lambda: here.told()[1] == 0)


def test_a_stop_does_not_wait_for_somebody_who_was_just_coming_in(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here, coming, begin = place(1), threading.Event(), Newcomers._begin

    async def slowly(self: Newcomers, line: socket.socket) -> None:
        coming.set()
        while not servers_of[0].should_exit or self._crowd._counts[0] > ABSENT:  # until the door is closed
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        await begin(self, line)

    monkeypatch.setattr(Newcomers, "_begin", slowly)
    with servers(here, 1) as running:
        servers_of = [running[0][0]]
        line = Raw(here.port)
        assert coming.wait(PATIENCE)
        running[0][2].close()
        assert line.ends()
        running[0][1].join(PATIENCE)
        assert not running[0][1].is_alive()
        line.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_done_at_an_exit_is_done_when_a_signal_ends_a_server(number: int) -> None:
    """The access log writes down what it still has."""
    code = """
import atexit, django
django.setup()
from phonegoggles.serving import RequestServer
atexit.register(print, "done at the exit", flush=True)
server = RequestServer(lambda *args: [], threads=1, shortcut=False, grace=1, host="127.0.0.1", port=0)
startup = server.startup
async def ready(*args, **options):
    await startup(*args, **options)
    print("ready", flush=True)
server.startup = ready
server.run()
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(number)
        assert running.stdout.read() == "done at the exit\n"
    assert running.returncode == 0
