"""Annotations of a call: what people add to what its events say. A rebuild leaves them alone."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from calls.models import Call
from calls.operations.record import UnknownCall


def annotate(
    call_id: UUID, *, notes: str | None = None, call_quality_score: Decimal | None = None, at: datetime
) -> None:
    """Set those annotations that are given and touch nothing else of the call; raises `UnknownCall`."""
    given: dict[str, Any] = {"notes": notes, "call_quality_score": call_quality_score}
    changes = {name: value for name, value in given.items() if value is not None}
    if not Call.objects.filter(pk=call_id).update(**changes, updated_at=at):
        raise UnknownCall(str(call_id))
