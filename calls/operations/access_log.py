"""Writing down who looked at which number's calls, without making those who look wait.

A look is put into a queue; a thread of the process writes what waits, some at a time, a moment later. So a read
stays a read, also on SQLite, and never fails because of this log. What a process had in its queue when it was
killed is lost: at most the last second of looks.
"""

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection, transaction

from calls.models import AccessLogEntry
from calls.models.access_log import Look
from calls.models.fingerprints import number_fingerprints
from calls.operations.turns import write_turn

logger = logging.getLogger(__name__)

# How long looks gather before they are written, in seconds.
GATHER_SECONDS = 1.0
# How many may wait while the database cannot be written to; the oldest give way, and that is logged.
MOST_WAITING = 20_000
WRITTEN_AT_ONCE = 2_000
PURGED_AT_ONCE = 500
TABLE = AccessLogEntry._meta.db_table
COLUMNS = ("at", "user_id", "user_name", "what", "number_hmac", "call_id")


class Waiting(NamedTuple):
    """A look that is not written yet."""

    at: datetime
    user_id: Any
    user_name: str
    what: Look
    number: str
    call_id: UUID | None


_waiting: "deque[Waiting]" = deque(maxlen=MOST_WAITING)
_writing = threading.Lock()
_wake = threading.Event()
_thread: tuple[int, threading.Thread] | None = None
_guard = threading.Lock()
_lost = 0


def looked_at(user: Any, numbers: Iterable[str], *, what: Look, at: datetime, call_id: UUID | None = None) -> None:
    """Write down, soon, that a user looked at these numbers' calls; an empty number stands for all of them."""
    global _lost
    if not settings.ACCESS_LOG:
        return
    key, name = user.pk, user.get_username()[:150]
    for number in dict.fromkeys(numbers):
        if len(_waiting) == MOST_WAITING:
            _lost += 1
        _waiting.append(Waiting(at, key, name, what, number, call_id))
    if _waiting:
        _start()


def flush() -> int:
    """Write what waits by now, and return how much that was. What cannot be written waits on."""
    global _lost
    written = 0
    with _writing:
        # What comes meanwhile waits for the next time: else each few looks would have a transaction of their own.
        to_write = len(_waiting)
        while written < to_write:
            batch = [_waiting.popleft() for _ in range(min(WRITTEN_AT_ONCE, to_write - written))]
            try:
                with write_turn(), transaction.atomic():
                    _write(batch)
            except Exception:
                logger.exception("The access log could not be written; %d looks wait.", len(_waiting) + len(batch))
                _waiting.extendleft(reversed(batch))
                break
            written += len(batch)
        if _lost:
            logger.error("%d looks were lost: the access log could not be written for too long.", _lost)
            _lost = 0
    return written


def _write(batch: Sequence[Waiting]) -> None:
    """Add looks to the log; a user who is gone by now is only named."""
    there = set(get_user_model().objects.filter(pk__in={look.user_id for look in batch}).values_list("pk", flat=True))
    rows = [
        (
            look.at,
            look.user_id if look.user_id in there else None,
            look.user_name,
            look.what.value,
            number_fingerprints(look.number)[0] if look.number else "",
            look.call_id,
        )
        for look in batch
    ]
    if connection.vendor == "postgresql":
        # Under load there is a look to every read: each must cost next to nothing.
        names = ", ".join(COLUMNS)
        with connection.cursor() as cursor, cursor.copy(f"COPY {TABLE} ({names}) FROM STDIN") as copy:
            for place, row in enumerate(rows):
                copy.write_row(row)
                if place % 50 == 0:
                    time.sleep(0)  # who looks goes first
    else:
        AccessLogEntry.objects.bulk_create(AccessLogEntry(**dict(zip(COLUMNS, row, strict=True))) for row in rows)


def purge(*, before: datetime) -> Iterator[int]:
    """Remove entries from before an instant; yields after each stretch how many there were."""
    while True:
        ids = list(
            AccessLogEntry.objects.filter(at__lt=before).order_by("at").values_list("pk", flat=True)[:PURGED_AT_ONCE]
        )
        if not ids:
            return
        with write_turn():
            yield AccessLogEntry.objects.filter(pk__in=ids).delete()[0]


def _start() -> None:
    """See that this process has a thread that writes; a forked one begins without."""
    global _thread
    if _thread is None or _thread[0] != os.getpid() or not _thread[1].is_alive():
        with _guard:
            if _thread is None or _thread[0] != os.getpid() or not _thread[1].is_alive():
                thread = threading.Thread(target=_write_on, name="access-log", daemon=True)
                _thread = (os.getpid(), thread)
                thread.start()
    if not _wake.is_set():
        _wake.set()


def _write_on() -> None:
    while True:
        _wake.wait()
        time.sleep(GATHER_SECONDS)
        _wake.clear()
        try:
            flush()
        finally:
            connection.close()
        if _waiting:
            _wake.set()


@atexit.register
def _flush_at_the_end() -> None:
    if _thread is not None and _thread[0] == os.getpid():
        while _waiting and flush():
            pass
