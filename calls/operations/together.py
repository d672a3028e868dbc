"""Group commit: what waits at the same moment is written down in one transaction.

A commit waits for the disk, and costs as much for one event as for a hundred. So the requests of a
process hand their events to one thread, which takes whatever is waiting, commits it together, and
then lets each go with what became of its own. A lone request is a group and waits for nobody.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Condition, Lock, Thread, current_thread
from typing import Generic, TypeAlias, TypeVar

from django.db import connection

from calls.operations.running import connect_apart

logger = logging.getLogger(__name__)

# A group is closed at so many things; who brings that many by themselves should not go through here.
MOST = 256
# After so many seconds without work the thread gives its connection back, and ends.
IDLE_SECONDS = 60.0
# A group waits so long for those who were here just now, and as often again while some come back.
COMPANY_SECONDS = 0.002
COMPANY_TURNS = 3


class Waits(threading.local):
    """What is to be done around a wait in this thread: a server with few threads lets another one work meanwhile."""

    around: Callable[[], AbstractContextManager[None]] = nullcontext


WAITS = Waits()

T = TypeVar("T")
R = TypeVar("R")
# Takes what became of a request's things, or what went wrong with them; must neither wait nor fail.
Tell: TypeAlias = Callable[[list[R], BaseException | None], object]


class _Waiting(Generic[T, R]):
    """One request's things, and what became of them."""

    __slots__ = ("ended", "tell", "things")

    def __init__(self, things: Sequence[T], tell: Tell[R]) -> None:
        self.things = things
        self.tell = tell
        self.ended = False

    def end(self, results: list[R], error: BaseException | None = None) -> None:
        """Let the request go."""
        self.ended = True
        self.tell(results, error)


class Committer(Generic[T, R]):
    """Gathers what several threads want written; `write` commits a group and returns a result for each thing."""

    def __init__(self, write: Callable[[Sequence[T]], list[R]], *, most: int = MOST) -> None:
        self.most = most
        self._write = write
        self._queue: deque[_Waiting[T, R]] = deque()
        self._condition = Condition(Lock())
        self._wanted = 1  # so many in the queue are worth waking the thread for
        self._stopping = False
        self._thread: Thread | None = None

    def submit(self, things: Sequence[T]) -> list[R]:
        """Return what became of these things, once they are committed; raise what went wrong with them."""
        if current_thread() is self._thread:  # what a commit has set off cannot wait for itself
            return self._write(things)
        done = Lock()
        done.acquire()
        became: list[tuple[list[R], BaseException | None]] = []

        def tell(results: list[R], error: BaseException | None) -> None:
            became.append((results, error))
            done.release()

        self.submit_soon(things, tell)
        with WAITS.around():
            done.acquire()
        [(results, error)] = became
        if error is not None:
            raise error
        return results

    def submit_soon(self, things: Sequence[T], tell: Tell[R]) -> None:
        """Have things written, and their fate told by the thread that commits; does not wait."""
        # Without the lock, which is held while a group is taken: the thread looks at the queue after it has said
        # how many it wants, and we look at that after we have queued, so one of both sees the other.
        self._queue.append(_Waiting(things, tell))
        # A fork leaves a thread behind that is not alive in the child.
        if len(self._queue) >= self._wanted or self._thread is None or not self._thread.is_alive():
            with self._condition:
                if self._thread is None or not self._thread.is_alive():
                    self._stopping = False
                    self._thread = Thread(target=self._work, name="committer", daemon=True)
                    self._thread.start()
                else:
                    self._condition.notify()

    def stop(self) -> None:
        """Let what is waiting be written, and end the thread and its connection."""
        with self._condition:
            thread, self._stopping = self._thread, True
            self._condition.notify()
        if thread is not None and thread.is_alive():
            thread.join()

    # -- The thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        company = 1
        try:
            while group := self._next_group(company):
                try:
                    self._commit(group)
                except BaseException as error:  # whatever it is, nobody may be left waiting
                    for waiting in group:
                        if not waiting.ended:
                            waiting.end([], error)
                company = len(group) + len(self._queue)
        finally:
            connection.close()

    def _next_group(self, company: int) -> list[_Waiting[T, R]]:
        """Wait for work and return all that waits by then; nothing when the thread is to end.

        `company` is how many were here just now: those who are let go often come back at once, so
        it is worth a moment to commit them with those who are waiting already.
        """
        with self._condition:
            self._wanted = 1
            while not self._queue:
                if self._stopping or (not self._condition.wait(IDLE_SECONDS) and not self._queue):
                    self._thread = None
                    return []
            self._wanted = company if company > 2 else 1
            for _ in range(COMPANY_TURNS):
                here = len(self._queue)
                if here >= self._wanted or self._stopping:
                    break
                if not self._condition.wait(COMPANY_SECONDS) and len(self._queue) == here:
                    break  # nobody came back
            group: list[_Waiting[T, R]] = []
            size = 0
            while self._queue and (not group or size < self.most):
                group.append(self._queue.popleft())
                size += len(group[-1].things)
            self._wanted = self.most + 1  # nobody needs to wake a thread that is at work
            return group

    def _commit(self, group: list[_Waiting[T, R]]) -> None:
        """Commit a group; when that fails, its members one by one, so that a bad one hurts nobody else."""
        try:
            results = self._write_persistently([thing for waiting in group for thing in waiting.things])
        except Exception as error:
            if len(group) == 1 or connection.connection is None:
                for waiting in group:
                    waiting.end([], error)
                return
            logger.warning("A group of %d failed and is taken apart: %s", len(group), type(error).__name__)
            for waiting in group:
                self._commit([waiting])
            return
        place = 0
        for waiting in group:
            size = len(waiting.things)
            waiting.end(results[place : place + size])
            place += size

    def _write_persistently(self, things: Sequence[T]) -> list[R]:
        """Write; over a new connection if the old one turns out to be lost.

        What was committed before the loss is then found to be there already.
        """
        if connection.connection is None:
            connect_apart()
        used = connection.connection
        try:
            return self._write(things)
        except Exception:
            # Django may have opened another one by now, which is not prepared for us.
            if connection.connection is used and not getattr(used, "closed", False):
                raise
            connection.close()
            connect_apart()
            return self._write(things)
