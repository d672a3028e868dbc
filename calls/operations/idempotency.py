"""Doing a request once: the same Idempotency-Key gets the first answer again.

The answer is stored in the transaction that does the work, so that there is never one without
the other, whatever dies in between. Of two at once the second waits for the first.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from django.db import transaction

from calls.models import IdempotentRequest

KEPT = timedelta(hours=24)
# A status code and the body that goes with it.
Told: TypeAlias = tuple[int, Any]


class KeyReused(Exception):
    """The key was used for another request."""


def once(*, user_id: int, path: str, key: str, body: bytes, at: datetime, act: Callable[[], Told]) -> Told:
    """Return what `act` answers, or what it answered before for this user, path and key; raise KeyReused."""
    body_hash = hashlib.sha256(body).hexdigest()
    IdempotentRequest.objects.filter(created_at__lt=at - KEPT).delete()
    with transaction.atomic():
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
