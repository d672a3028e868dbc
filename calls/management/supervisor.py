"""Keeping server processes up (POSIX): starts them, starts them again when they die, and stops them gently."""

import logging
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from types import FrameType
from typing import IO

from calls.management.crowd import Crowd

logger = logging.getLogger(__name__)

# After a child has died: how long to wait before it is started again, at first and at most; it doubles each time
# until a child has lived so long that it counts as healthy. In seconds.
RETRY_SECONDS, RETRY_AT_MOST, HEALTHY_SECONDS = 0.5, 30.0, 60.0
# How often children are looked at, in seconds.
LOOK_SECONDS = 0.2
# How long a child may take until it serves, before those whom it was to replace stay; in seconds.
START_SECONDS = 60.0
STDERR = 2
# What the servers are given, unless somebody has decided otherwise. The GNU C library makes a heap for each thread, up
# to eight a core, and each grows to what the largest batch needs: with two a process stays as large as it was
# after its first batches, at the same speed (docs/performance.md).
SURROUNDINGS = {"MALLOC_ARENA_MAX": "2"}
SIGNALS = [signal.SIGTERM, signal.SIGINT]


@dataclass
class Among:
    """What several children share, and one's place among them."""

    listener: socket.socket
    # How many connections each has (calls/management/crowd.py).
    counts: IO[bytes]
    place: int
    # The place of a successor, as long as both are there.
    other: int

    def succeed(self) -> "Among":
        """Return the same for a successor."""
        return replace(self, place=self.other, other=self.place)


@dataclass
class Child:
    """One server that is to run as long as we do."""

    name: str
    command: Sequence[str]
    # What it shares with others, if it does: then nobody is refused while it is replaced.
    among: "Among | None" = None
    process: "subprocess.Popen[bytes] | None" = None
    # What it says that it serves by, and by which it notices our end.
    line: socket.socket | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause: float = RETRY_SECONDS


@dataclass
class Supervisor:
    """Runs children until it is told to stop (SIGTERM, SIGINT)."""

    children: list[Child]
    environment: dict[str, str]
    # How long children may take to finish what they are at, in seconds; then they are killed.
    grace: float
    # Told the process id of each child that has ended.
    buried: Callable[[int], object] = lambda pid: None
    _told: threading.Event = field(default_factory=threading.Event)
    _reload: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Start the children and keep them up; return once they have all ended."""
        before = {number: signal.signal(number, self._stop) for number in SIGNALS}
        if hasattr(signal, "SIGHUP"):
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._again)
        try:
            while not self._told.wait(LOOK_SECONDS):
                if self._reload.is_set():
                    self._reload.clear()
                    self._reload_all()
                for child in self.children:
                    self._look_after(child)
        finally:
            self._end_all()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._told.set()

    def _again(self, number: int, frame: FrameType | None) -> None:
        self._reload.set()

    def _look_after(self, child: Child) -> None:
        """Start a child that does not run, unless it has died a moment ago."""
        now = monotonic()
        if child.process is None:
            if now >= child.start_at:
                self._start(child)
        elif (code := child.process.poll()) is not None:
            if now - child.started_at >= HEALTHY_SECONDS:
                child.pause = RETRY_SECONDS
            logger.error("The %s ended by itself (%d); starting it again in %.1f s", child.name, code, child.pause)
            self._bury(child)
            child.start_at = now + child.pause
            child.pause = min(2 * child.pause, RETRY_AT_MOST)

    def _start(self, child: Child) -> None:
        command, shared, theirs = list(child.command), [], None
        if child.among is not None:
            child.line, theirs = socket.socketpair()
            shared = [child.among.listener.fileno(), theirs.fileno(), child.among.counts.fileno()]
            command += ["--among", *map(str, shared), str(child.among.place)]
        # A session of its own: the terminal's Ctrl-C is for us, and what is left of a dead child can be ended.
        child.process = subprocess.Popen(  # noqa: S603 - our own commands
            command,
            env=self.environment,
            stdout=STDERR,  # all that is said is for the log
            start_new_session=True,
            pass_fds=shared,
        )
        if theirs is not None:
            theirs.close()
        child.started_at = monotonic()
        logger.info("Started the %s: process %d", child.name, child.process.pid)

    def _reload_all(self) -> None:
        """Have children take up new code and settings of their own: by a successor where two can listen."""
        for child in list(self.children):
            if child.process is None:
                continue
            if self._told.is_set():
                return
            logger.info("Reloading the %s", child.name)
            old = replace(child)
            if child.among is not None:
                child.among = child.among.succeed()
                self._start(child)
                if not self._serves(child):
                    logger.error("The new %s does not serve; the old one stays", child.name)
                    self._bury(child)
                    child.among, child.process, child.line = old.among, old.process, old.line
                    continue
            assert old.process is not None  # noqa: S101 - it runs
            old.process.terminate()
            deadline = monotonic() + self.grace
            while old.process.poll() is None and monotonic() < deadline:
                if self._told.wait(LOOK_SECONDS):  # all are waited for together then
                    if child.among is not None:
                        self.children.append(old)
                    return
            self._wait(old, deadline)
            self._bury(old)
            if child.among is None:
                child.process, child.start_at, child.pause = None, 0.0, RETRY_SECONDS

    def _serves(self, child: Child) -> bool:
        """Wait until a child says that it serves; return whether it does."""
        assert child.line is not None  # noqa: S101 - it is one of several
        assert child.process is not None  # noqa: S101 - it was started
        child.line.settimeout(LOOK_SECONDS)
        deadline = monotonic() + START_SECONDS
        while child.process.poll() is None and monotonic() < deadline and not self._told.is_set():
            with suppress(TimeoutError):
                return bool(child.line.recv(1))
        return False

    def _end_all(self) -> None:
        """Ask all children to finish what they are at, and wait for them as long as `grace` allows."""
        running = [child for child in self.children if child.process is not None]
        logger.info("Stopping: requests in flight are finished first")
        for child in running:
            assert child.process is not None  # noqa: S101 - it runs
            child.process.terminate()
        deadline = monotonic() + self.grace
        for child in running:
            self._wait(child, deadline)
            self._bury(child)
        logger.info("Stopped")

    def _wait(self, child: Child, deadline: float) -> None:
        assert child.process is not None  # noqa: S101 - it runs
        try:
            child.process.wait(max(0.0, deadline - monotonic()))
        except subprocess.TimeoutExpired:
            logger.error("The %s did not stop within %.0f s; killing it", child.name, self.grace)

    def _bury(self, child: Child) -> None:
        """Make sure that nothing is left of a child: its own workers may have outlived it."""
        assert child.process is not None  # noqa: S101 - it ran
        with suppress(OSError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
        self.buried(child.process.pid)
        child.process = None
        if child.among is not None:
            Crowd(child.among.counts.fileno(), child.among.place).end()
        if child.line is not None:
            child.line.close()
            child.line = None
