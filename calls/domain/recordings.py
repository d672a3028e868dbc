"""A recording's life: it only ever moves forwards, however late or often its reports come."""

from enum import StrEnum


class RecordingStatus(StrEnum):
    """How far a recording has come (the second specification's list)."""

    PENDING = "pending"
    RECORDING = "recording"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    DELETED = "deleted"


_STAGES = {
    RecordingStatus.PENDING: 0,
    RecordingStatus.RECORDING: 1,
    RecordingStatus.PROCESSING: 2,
    RecordingStatus.COMPLETED: 3,
    RecordingStatus.FAILED: 3,
    RecordingStatus.DELETED: 4,
}
FINISHED = frozenset(status for status, stage in _STAGES.items() if stage >= _STAGES[RecordingStatus.COMPLETED])


def advance(present: RecordingStatus, reported: RecordingStatus) -> RecordingStatus:
    """Return the status after a report: of completed and failed the first stays, only deleted follows them."""
    return reported if _STAGES[reported] > _STAGES[present] else present
