"""What is in the quarantine."""

from dataclasses import dataclass
from datetime import datetime

from calls.models.quarantine import QuarantineShare, QuarantineState, RefusedReport

# Nobody needs to know more exactly than this.
COUNT_AT_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Dropped:
    """How many refused reports of a sender there was no room for, and when the last."""

    sender: str
    count: int
    last_at: datetime | None


def open_count() -> int:
    """Return how many refused reports wait for somebody; COUNT_AT_MOST stands for that many or more."""
    waiting = RefusedReport.objects.filter(state=QuarantineState.OPEN).order_by()
    return waiting.values("pk")[:COUNT_AT_MOST].count()


def dropped() -> list[Dropped]:
    """Return of which senders reports were dropped, the latest first."""
    shares = QuarantineShare.objects.filter(dropped__gt=0).order_by("-dropped_at")
    return [Dropped(share.sender, share.dropped, share.dropped_at) for share in shares]
