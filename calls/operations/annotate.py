"""Annotations of a call: what people add to what its events say. A rebuild leaves them alone."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from calls.models import Call, CallChange
from calls.operations.record import UnknownCall
from calls.realtime.announce import announce


def annotate(
    call_id: UUID, *, notes: str | None = None, call_quality_score: Decimal | None = None, at: datetime
) -> None:
    """Set those annotations that are given and touch nothing else of the call; raises `UnknownCall`."""
    given: dict[str, Any] = {"notes": notes, "call_quality_score": call_quality_score}
    changes = {name: value for name, value in given.items() if value is not None}
    with transaction.atomic():
        if not Call.objects.filter(pk=call_id).update(**changes, updated_at=at):
            raise UnknownCall(str(call_id))
        tell_of_changes([call_id], at=at)


def tell_of_changes(calls: Collection[UUID], *, at: datetime) -> None:
    """Let live listeners know that these calls, whose rows we hold, have changed without an event."""
    if calls:
        CallChange.objects.bulk_create(CallChange(call_id=call, changed_at=at) for call in calls)
        announce()
