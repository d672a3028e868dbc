"""A call as one of its two numbers saw it (the first specification's call history)."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Label(StrEnum):
    """The words of the call history for what became of a call."""

    COMPLETED_INBOUND = "Completed Inbound"
    MISSED_INBOUND = "Missed Inbound"
    ONGOING_INBOUND = "Ongoing Inbound"
    COMPLETED_OUTBOUND = "Completed Outbound"
    MISSED_OUTBOUND = "Missed Outbound"
    ONGOING_OUTBOUND = "Ongoing Outbound"


class Seen(NamedTuple):
    """What a label says: did the number call out, is the call over, was it answered (None: either)."""

    called_out: bool
    ended: bool
    answered: bool | None


LABELS: dict[Label, Seen] = {
    Label.COMPLETED_INBOUND: Seen(called_out=False, ended=True, answered=True),
    Label.MISSED_INBOUND: Seen(called_out=False, ended=True, answered=False),
    Label.ONGOING_INBOUND: Seen(called_out=False, ended=False, answered=None),
    Label.COMPLETED_OUTBOUND: Seen(called_out=True, ended=True, answered=True),
    Label.MISSED_OUTBOUND: Seen(called_out=True, ended=True, answered=False),
    Label.ONGOING_OUTBOUND: Seen(called_out=True, ended=False, answered=None),
}
# What a call was to one of its numbers: did the number call out, is the call over, was it answered?
BY_SEEN: dict[tuple[bool, bool, bool], Label] = {
    (seen.called_out, seen.ended, answered): name
    for name, seen in LABELS.items()
    for answered in (True, False)
    if seen.answered in (None, answered)
}


class HistoryEntry(NamedTuple):
    """One line of a number's call history; `duration` in whole seconds, of completed calls."""

    call_time: datetime
    counterparty_number: str
    call_status: Label
    duration: int | None
