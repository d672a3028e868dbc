"""Group commit: what waits at the same moment is written down in one transaction.

A commit waits for the disk, and costs as much for one event as for a hundred. So the requests of a
process hand their events to one thread, which takes whatever is waiting, commits it together, and
then lets each go with what became of its own. Nobody waits for company: a lone request is a group.
"""

import logging
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

from django.db import connection

from calls.operations.running import connect_apart

logger = logging.getLogger(__name__)

# A group is closed at so many things; who brings that many by themselves should not go through here.
MOST = 256
# After so many seconds without work the thread gives its connection back, and ends.
IDLE_SECONDS = 60.0

T = TypeVar("T")
R = TypeVar("R")


class _Waiting(Generic[T, R]):
    """One request's things, and what became of them."""

    __slots__ = ("done", "error", "results", "things")

    def __init__(self, things: Sequence[T]) -> None:
        self.things = things
        self.results: list[R] = []
        self.error: BaseException | None = None
        self.done = Lock()
        self.done.acquire()

    def end(self, results: list[R], error: BaseException | None = None) -> None:
        """Let the request go."""
        self.results, self.error = results, error
        self.done.release()


class Committer(Generic[T, R]):
    """Gathers what several threads want written; `write` commits a group and returns a result for each thing."""

    def __init__(self, write: Callable[[Sequence[T]], list[R]], *, most: int = MOST) -> None:
        self.most = most
        self._write = write
        self._queue: SimpleQueue[_Waiting[T, R] | None] = SimpleQueue()
        self._lock = Lock()
        self._thread: Thread | None = None

    def submit(self, things: Sequence[T]) -> list[R]:
        """Return what became of these things, once they are committed; raise what went wrong with them."""
        waiting: _Waiting[T, R] = _Waiting(things)
        with self._lock:
            self._queue.put(waiting)
            # A fork leaves a thread behind that is not alive in the child.
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._work, name="committer", daemon=True)
                self._thread.start()
        waiting.done.acquire()
        if waiting.error is not None:
            raise waiting.error
        return waiting.results

    def stop(self) -> None:
        """Let what is waiting be written, and end the thread and its connection."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is None or not thread.is_alive():
                return
            self._queue.put(None)
        thread.join()

    # -- The thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while group := self._next_group():
                try:
                    self._commit(group)
                except BaseException as error:  # whatever it is, nobody may be left waiting
                    for waiting in group:
                        if waiting.done.locked():
                            waiting.end([], error)
        finally:
            connection.close()

    def _next_group(self) -> list[_Waiting[T, R]]:
        """Wait for work and return all that waits by then; nothing when the thread is to end."""
        try:
            first = self._queue.get(timeout=IDLE_SECONDS)
        except Empty:
            with self._lock:
                if self._queue.empty():
                    self._thread = None
                    return []
                first = self._queue.get()
        if first is None:
            return []
        group, size = [first], len(first.things)
        while size < self.most:
            try:
                another = self._queue.get_nowait()
            except Empty:
                break
            if another is None:
                self._queue.put(None)  # first this group
                break
            group.append(another)
            size += len(another.things)
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
