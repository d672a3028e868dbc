"""Keeping server processes up: starts them, starts them again when they die, and stops them gently."""

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from types import FrameType

logger = logging.getLogger(__name__)

# After a child has died: how long to wait before it is started again, at first and at most; it doubles each time
# until a child has lived so long that it counts as healthy. In seconds.
RETRY_SECONDS, RETRY_AT_MOST, HEALTHY_SECONDS = 0.5, 30.0, 60.0
# How often children are looked at, in seconds.
LOOK_SECONDS = 0.2
STDERR = 2
# What the servers are given, unless somebody has decided otherwise. The GNU C library makes a heap for each thread, up
# to eight a core, and each grows to what the largest batch needs: with two a process stays as large as it was
# after its first batches, at the same speed (docs/performance.md).
SURROUNDINGS = {"MALLOC_ARENA_MAX": "2"}
SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]


@dataclass
class Child:
    """One server that is to run as long as we do."""

    name: str
    command: Sequence[str]
    # The signal at which it replaces its own workers, if it has one.
    reload: int | None = None
    process: "subprocess.Popen[bytes] | None" = None
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
                # A session of its own: the terminal's Ctrl-C is for us, and what is left of a dead child can be ended.
                child.process = subprocess.Popen(  # noqa: S603 - our own commands
                    child.command,
                    env=self.environment,
                    stdout=STDERR,  # all that is said is for the log
                    start_new_session=os.name == "posix",
                )
                child.started_at = now
                logger.info("Started the %s: process %d", child.name, child.process.pid)
        elif (code := child.process.poll()) is not None:
            if now - child.started_at >= HEALTHY_SECONDS:
                child.pause = RETRY_SECONDS
            logger.error("The %s ended by itself (%d); starting it again in %.1f s", child.name, code, child.pause)
            self._bury(child)
            child.start_at = now + child.pause
            child.pause = min(2 * child.pause, RETRY_AT_MOST)

    def _reload_all(self) -> None:
        """Have children take up new code and settings of their own: gently where they can, else by a restart."""
        for child in self.children:
            if child.process is None:
                continue
            logger.info("Reloading the %s", child.name)
            if child.reload is not None:
                child.process.send_signal(child.reload)
            else:
                child.process.terminate()
                self._wait(child, monotonic() + self.grace)
                self._bury(child)
                child.start_at, child.pause = 0.0, RETRY_SECONDS

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
            if os.name == "posix":
                os.killpg(child.process.pid, signal.SIGKILL)
            else:
                child.process.kill()
        child.process.wait()
        self.buried(child.process.pid)
        child.process = None
