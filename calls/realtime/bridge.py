"""Hearing the bell: in the process that rings it directly, from others by PostgreSQL's LISTEN.

The bell only says "look now" and carries nothing. What has changed is always read from the log,
so a bell that was not heard costs a moment and loses nothing (docs/decisions/0010-live-changes.md).
"""

import logging
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections

logger = logging.getLogger(__name__)

CHANNEL = "phonegoggles_calls"
# How long one wait for the bell lasts before it is asked whether to go on, in seconds.
WAIT_SECONDS = 0.5
# After it has rung, nobody would look at once again: all rings of so many seconds are heard as one.
DEAF_SECONDS = 0.03
# How long to wait before connecting again: at first, and at most, in seconds.
RETRY_SECONDS, RETRY_AT_MOST = 0.2, 5.0

_hearers: set[Callable[[], object]] = set()
_lock = threading.Lock()


def ring_here() -> None:
    """Ring for those who follow the log in this very process."""
    with _lock:
        hearers = list(_hearers)
    for wake in hearers:
        with suppress(RuntimeError):  # its event loop has just been closed
            wake()


class Bridge:
    """Calls `wake` whenever the bell rings, here or in another process; `wake` must be quick and thread-safe."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to hear."""
        with _lock:
            _hearers.add(self._wake)
        if connections[DEFAULT_DB_ALIAS].vendor == "postgresql":
            self._thread = threading.Thread(target=self._listen, name="bridge", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Hear no more, and wait until the connection is closed."""
        with _lock:
            _hearers.discard(self._wake)
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(10 * WAIT_SECONDS)

    def _listen(self) -> None:
        pause = RETRY_SECONDS
        while not self._stopped.is_set():
            try:
                # Autocommit: a listener inside a transaction would keep PostgreSQL's queue from being emptied.
                with psycopg.connect(**_address(), autocommit=True) as listener:
                    listener.execute(f"LISTEN {CHANNEL}")
                    pause = RETRY_SECONDS
                    self._wake()  # whatever was rung while we were deaf
                    while not self._stopped.is_set():
                        if list(listener.notifies(timeout=WAIT_SECONDS, stop_after=1)):
                            self._wake()
                            self._stopped.wait(DEAF_SECONDS)
            except psycopg.Error as error:
                logger.warning("The bell cannot be heard (%s); looking now and then instead.", type(error).__name__)
                self._stopped.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads those who come back
                pause = min(2 * pause, RETRY_AT_MOST)


def _address() -> dict[str, Any]:
    """Return what psycopg needs to open a connection of our own, beside Django's and its pool."""
    wanted = connections[DEFAULT_DB_ALIAS].get_connection_params()
    own = {name: value for name, value in wanted.items() if name not in ("context", "cursor_factory")}
    # A server that has gone without a word is noticed within half a minute.
    return {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, **own}
