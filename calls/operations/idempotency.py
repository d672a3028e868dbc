"""Doing a request once: the same Idempotency-Key gets the first answer again.

The answer is stored in the transaction that does the work, so that there is never one without
the other, whatever dies in between. Of two at once the second is told that the first is not done yet.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from django.db import connection, transaction

from calls.models import IdempotentRequest

KEPT = timedelta(hours=24)
# A status code and the body that goes with it.
Told: TypeAlias = tuple[int, Any]


class KeyReused(Exception):
    """The key was used for another request."""


class StillInProgress(Exception):
    """The first request with the key has not been answered yet."""


def once(*, user_id: int, path: str, key: str, body: bytes, at: datetime, act: Callable[[], Told]) -> Told:
    """Return what `act` answers, or what it answered before for this user, path and key.

    Raises KeyReused and StillInProgress.
    """
    body_hash = hashlib.sha256(body).hexdigest()
    with _alone(f"{user_id} {path} {key}"), transaction.atomic():
        IdempotentRequest.objects.filter(created_at__lt=at - KEPT).delete()
        request, fresh = IdempotentRequest.objects.get_or_create(
            user_id=user_id, path=path, key=key, defaults={"body_hash": body_hash, "created_at": at}
        )
        if request.body_hash != body_hash:
            raise KeyReused(key)
        if not fresh:
            return request.status or 0, request.answer
        request.status, request.answer = act()
        request.save(update_fields=["status", "answer"])
        return request.status, request.answer


_in_progress: set[str] = set()
_guard = threading.Lock()


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Go on only if nobody else is at it; raise StillInProgress.

    PostgreSQL keeps such a name for all processes, and forgets it with the transaction. With SQLite all
    writers take turns anyway, so that only requests of one process can be told apart before they wait.
    """
    if connection.vendor == "postgresql":
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
            if not cursor.fetchone()[0]:
                raise StillInProgress(name)
            yield
        return
    with _guard:
        if name in _in_progress:
            raise StillInProgress(name)
        _in_progress.add(name)
    try:
        yield
    finally:
        with _guard:
            _in_progress.discard(name)
