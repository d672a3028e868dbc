"""Ringing the bell: after a commit, and never in the way of whoever committed.

A `NOTIFY` inside the writing transaction would be held up by, and hold up, every other commit:
PostgreSQL takes a lock for the whole database from the NOTIFY to the end of the commit, the flush
to disk included. So a thread of its own rings, once for all that was committed meanwhile.
"""

import contextlib
import logging
import os
import threading

from django.db import DatabaseError, connection, transaction

from calls.realtime.bridge import CHANNEL, ring_here

logger = logging.getLogger(__name__)

# The bell rings at most this often, in seconds between two rings of one process; and while commits follow each
# other quickly (so many in one pause), when whoever hears it has long been awake.
PAUSE_SECONDS = 0.02
BUSY_PAUSE_SECONDS, BUSY = 0.05, 3


def announce() -> None:
    """Tell those who follow the log, once the open transaction is committed; at once if none is open."""
    transaction.on_commit(_ring, robust=True)  # what is committed is answered for, whatever the bell says


def _ring() -> None:
    ring_here()
    if connection.vendor == "postgresql":
        _ringer.wake()


class _Ringer:
    """Rings PostgreSQL's bell from a thread that is begun with the first ring."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._process = 0
        self._commits = 0

    def wake(self) -> None:
        """Have the bell rung soon; takes no time."""
        if self._process != os.getpid():  # a forked process has not inherited the thread
            with self._lock:
                if self._process != os.getpid():
                    threading.Thread(target=self._run, name="bell", daemon=True).start()
                    self._process = os.getpid()
        self._commits += 1  # counted roughly: threads may count one for two
        self._wanted.set()

    def _run(self) -> None:
        pause = threading.Event()
        while self._wanted.wait():
            self._wanted.clear()
            busy, self._commits = self._commits >= BUSY, 0
            try:
                with connection.cursor() as cursor:
                    cursor.execute(f"NOTIFY {CHANNEL}")
            except DatabaseError as error:
                logger.warning("The bell cannot be rung: %s", type(error).__name__)
                with contextlib.suppress(DatabaseError):
                    connection.close()
            pause.wait(BUSY_PAUSE_SECONDS if busy else PAUSE_SECONDS)
            if not self._wanted.is_set():
                connection.close()


_ringer = _Ringer()
