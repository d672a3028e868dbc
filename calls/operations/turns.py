"""Taking turns at SQLite's one write lock.

SQLite's own waiting is polling: a writer that waits long falls behind those that come later,
and under load may never get the lock. So our groups queue up at a file lock first, which the
system gives to one after the other, across threads and processes. PostgreSQL needs none of this.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from django.db import connection

try:
    import fcntl
except ImportError:  # Windows: its processes then only poll; the threads of each take turns
    fcntl = None  # type: ignore[assignment]

_threads = Lock()


@contextmanager
def write_turn() -> Iterator[None]:
    """Hold the right to open a write transaction; at once where the database needs no turns."""
    path = _lock_path()
    if path is None:
        yield
    elif fcntl is None:
        with _threads:
            yield
    else:
        with path.open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends when the file is closed
            yield


def _lock_path() -> Path | None:
    """Return the file beside the database to queue at; None if there is nothing to wait for."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return None
    name = str(connection.settings_dict["NAME"])
    return None if ":memory:" in name or "mode=memory" in name else Path(f"{name}-turn")
