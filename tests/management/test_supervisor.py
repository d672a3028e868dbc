"""Whoever keeps servers up: a reload, a stop and a death may come at any time, and nobody is left behind."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from calls.management import supervisor
from calls.management.crowd import make_counts
from calls.management.supervisor import Among, Child, Supervisor
from tests.server import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs sockets that processes share")
# How long something that must come may take, in seconds.
PATIENCE = 30

# A server: says `<place> <what>` in a file, serves when it is told to, and ends as it is told to.
SERVER = """
import os, signal, socket, sys, time
from pathlib import Path
folder, among = Path(sys.argv[1]), [int(word) for word in sys.argv[3:]]
def say(what):
    with open(folder / "said", "a") as file:
        file.write(f"{os.getpid()} {what}\\n")
def wait_for(name):
    while not (folder / name).exists():
        time.sleep(0.005)
def stop(number, frame):
    say("told to stop")
    if (folder / "slow").exists():
        wait_for("go")
    say("ended")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
say("started")
if (folder / "broken").exists():
    sys.exit(1)
if (folder / "silent").exists():
    wait_for("go")
if among:
    socket.socket(fileno=among[1]).send(b"1")
say("serves")
while True:
    time.sleep(0.01)
"""


class Run:
    """A supervisor that runs in a thread, with servers that do as the test says."""

    def __init__(self, folder: Path, children: int, *, grace: float) -> None:
        self.folder = folder
        (folder / "server.py").write_text(SERVER)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.counts = make_counts(2 * children)
        self.buried: list[int] = []
        command = [sys.executable, str(folder / "server.py"), str(folder)]
        found = [
            Child("server", command, among=Among(self.listener, self.counts, number, number + children))
            for number in range(children)
        ]
        self.supervisor = Supervisor(found, dict(os.environ), grace=grace, buried=self.buried.append)
        self.thread = threading.Thread(target=self.supervisor.run, daemon=True)

    def have(self, name: str, *, there: bool = True) -> None:
        """Tell the servers something."""
        if there:
            (self.folder / name).touch()
        else:
            (self.folder / name).unlink()

    def said(self, what: str) -> list[int]:
        """Return who has said something, in that order."""
        file = self.folder / "said"
        lines = [line.split(" ", 1) for line in file.read_text().splitlines()] if file.exists() else []
        return [int(pid) for pid, words in lines if words == what]

    def stop(self) -> None:
        self.supervisor._stop(0, None)

    def reload(self) -> None:
        self.supervisor._again(0, None)

    def ends(self) -> bool:
        self.thread.join(PATIENCE)
        return not self.thread.is_alive()


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "SIGNALS", [])  # a thread is told nothing by signals
    monkeypatch.delattr(signal, "SIGHUP")

    @contextmanager
    def run(children: int = 1, *, grace: float = PATIENCE) -> Iterator[Run]:
        one = Run(tmp_path, children, grace=grace)
        one.thread.start()
        try:
            until(lambda: len(one.said("serves")) == children)
            yield one
        finally:
            one.have("go")
            one.stop()
            assert one.ends()
            one.listener.close()
            one.counts.close()
            assert not [pid for pid in one.said("started") if lives(pid)]

    return run


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_reload_has_a_successor_serve_before_anybody_is_told_to_stop(running: Any) -> None:
    with running(2) as run:
        old = run.said("serves")
        run.have("silent")
        run.reload()
        until(lambda: len(run.said("started")) == 3)
        assert run.said("told to stop") == []
        run.have("go")
        until(lambda: len(run.said("ended")) == 2)
        until(lambda: len(run.buried) == 2)
        assert sorted(run.buried) == sorted(old)
        assert len(run.said("serves")) == 4
        # Both have changed places, and change back the next time.
        assert [child.among.place for child in run.supervisor.children] == [2, 3]
        run.reload()
        until(lambda: len(run.buried) == 4)
        assert [child.among.place for child in run.supervisor.children] == [0, 1]


def test_the_old_one_stays_when_the_new_one_does_not_serve(running: Any) -> None:
    with running() as run:
        [old] = run.said("serves")
        run.have("broken")
        run.reload()
        until(lambda: len(run.buried) == 1)
        assert run.said("told to stop") == []
        assert lives(old)
        run.have("broken", there=False)
        run.reload()
        until(lambda: len(run.buried) == 2)
        assert run.buried[1] == old


def test_a_new_one_that_never_serves_is_ended(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "START_SECONDS", 0.05)
    with running() as run:
        [old] = run.said("serves")
        run.have("silent")
        run.reload()
        until(lambda: len(run.buried) == 1)
        assert run.buried != [old]
        assert run.said("told to stop") == []


def test_a_dead_one_is_started_again_also_when_it_dies_in_a_reload(running: Any) -> None:
    with running(2) as run:
        first, second = run.said("serves")
        run.have("silent")
        run.reload()
        until(lambda: len(run.said("started")) == 3)
        os.kill(first, signal.SIGKILL)
        os.kill(second, signal.SIGKILL)
        run.have("go")
        until(lambda: len(set(run.said("serves")) - {first, second}) >= 2 and {first, second} <= set(run.buried))
        children = run.supervisor.children
        until(lambda: all(child.process is not None and child.process.poll() is None for child in children))


def test_a_stop_in_a_reload_starts_nothing_more_and_waits_for_all_together(running: Any) -> None:
    with running(3) as run:
        run.have("slow")
        run.reload()
        until(lambda: len(run.said("told to stop")) == 1)  # the first has a successor, and takes its time
        run.stop()
        until(lambda: len(set(run.said("told to stop"))) == 4)
        run.have("go")
        assert run.ends()
        assert len(run.said("ended")) == len(run.said("started")) == len(set(run.buried)) == 4


def test_a_stop_ends_a_successor_that_does_not_serve_yet(running: Any) -> None:
    with running(2) as run:
        run.have("silent")
        run.reload()
        until(lambda: len(run.said("started")) == 3)
        run.stop()
        assert run.ends()
        assert len(run.said("started")) == 3
        assert len(run.said("ended")) == 2


def test_whoever_does_not_stop_in_time_is_killed(running: Any) -> None:
    with running(2, grace=0.2) as run:
        run.have("slow")
        run.stop()
        assert run.ends()
        assert len(run.said("told to stop")) == 2
        assert run.said("ended") == []


def test_nothing_of_the_lines_to_servers_is_left_open(running: Any) -> None:
    with running(1) as run:
        count = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
        for number in range(3):
            run.reload()
            until(lambda number=number: len(run.buried) == number + 1)
        assert not count or len(os.listdir("/proc/self/fd")) <= count
