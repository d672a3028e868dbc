"""Looking at the database within a time limit, however it behaves: for those who ask whether it is well.

A database that hangs answers neither yes nor no, and whoever asks it directly hangs too, one thread and one
connection for each question. Here one thread at a time looks, over one connection of its own beside the pool;
whoever asks meanwhile shares what it finds, or is told in time that it found nothing. A look that
takes too long is cut off at its socket, so that the next one begins afresh.
"""

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger(__name__)

# How long one look may take, and how long what it found is good for, in seconds.
LOOK_SECONDS = 3.0
FRESH_SECONDS = 1.0

T = TypeVar("T")


class Watch(Generic[T]):
    """What `look` found, when asked last; never more than one look at a time in a process."""

    def __init__(self, look: Callable[[BaseDatabaseWrapper], T]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._current: _Look[T] | None = None

    def ask(self) -> T | None:
        """Return what a look found, at most FRESH_SECONDS old; None if the database does not answer in time."""
        with self._lock:
            look = self._current
            if look is None or not (look.is_fresh() or look.is_alive()):
                look = self._current = _Look(self._look)
                look.start()
        return look.result()

    def forget(self) -> None:
        """Let the next one who asks look anew."""
        with self._lock:
            self._current = None


class _Look(threading.Thread, Generic[T]):
    def __init__(self, look: Callable[[BaseDatabaseWrapper], T]) -> None:
        super().__init__(name="watch", daemon=True)
        self._look = look
        self._deadline = monotonic() + LOOK_SECONDS
        self._done = threading.Event()
        self._ended_at: float | None = None
        self._found: T | None = None
        self._connection = _connection_apart()

    def run(self) -> None:
        """Look once."""
        try:
            try:
                self._found = self._look(self._connection)
            finally:
                with suppress(Exception):
                    self._connection.close()
        except Exception as error:
            logger.warning("The database could not be looked at: %s", type(error).__name__)
        finally:
            self._ended_at = monotonic()
            self._done.set()

    def is_fresh(self) -> bool:
        """Say whether what was found is still good."""
        return self._ended_at is not None and monotonic() - self._ended_at < FRESH_SECONDS

    def result(self) -> T | None:
        """Wait for the end of the look, at most until its time is up."""
        if self._done.wait(max(0.0, self._deadline - monotonic())):
            return self._found
        self._cut_off()
        return None

    def _cut_off(self) -> None:
        """Close the socket under a look that hangs, which ends the thread's waiting with an error."""
        handle: Any = getattr(self._connection.connection, "pgconn", None)
        with suppress(Exception):
            under = socket.socket(fileno=handle.socket)
            try:
                under.shutdown(socket.SHUT_RDWR)
            finally:
                under.detach()  # it is libpq's to close


def _connection_apart() -> BaseDatabaseWrapper:
    """Return a connection like the others, but of our own: not from the pool, which may be empty."""
    apart = connections[DEFAULT_DB_ALIAS].copy()
    apart.inc_thread_sharing()
    if apart.vendor == "postgresql":
        options = apart.settings_dict["OPTIONS"]
        options.pop("pool", None)
        options["connect_timeout"] = max(2, int(LOOK_SECONDS))
        apart.settings_dict["CONN_HEALTH_CHECKS"] = False
    return apart
