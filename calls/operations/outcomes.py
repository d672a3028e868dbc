"""What becomes of a reported event."""

from dataclasses import dataclass
from enum import StrEnum

from calls.domain.vocabulary import CallStatus


class Result(StrEnum):
    """What became of one reported event."""

    CREATED = "created"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one reported event, and the status its call has now (None after a conflict)."""

    result: Result
    call_status: CallStatus | None = None
