"""A call as one of its two numbers saw it (the first specification's call history)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Label(StrEnum):
    """The words of the call history for what became of a call."""

    COMPLETED_INBOUND = "Completed Inbound"
    MISSED_INBOUND = "Missed Inbound"
    ONGOING_INBOUND = "Ongoing Inbound"
    COMPLETED_OUTBOUND = "Completed Outbound"
    MISSED_OUTBOUND = "Missed Outbound"
    ONGOING_OUTBOUND = "Ongoing Outbound"


def label(*, called_out: bool, answered: bool, ended: bool) -> Label:
    """Return what a call was to the number that made it, or (not `called_out`) received it."""
    outcome = "Ongoing" if not ended else "Completed" if answered else "Missed"
    return Label(f"{outcome} {'Outbound' if called_out else 'Inbound'}")


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of a number's call history; `duration` in whole seconds, of completed calls."""

    call_time: datetime
    counterparty_number: str
    call_status: Label
    duration: int | None
