"""What SIPp did, by its own account."""

import csv
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.journeys.telephony import Telephones


@dataclass
class PlayedCall:
    """One call as its caller saw it: when each message went or came, by method or status code."""

    call_id: str
    sent: dict[str, list[datetime]] = field(default_factory=dict)
    received: dict[str, list[datetime]] = field(default_factory=dict)

    @property
    def started_at(self) -> datetime:
        """When the caller first sent an INVITE."""
        return self.sent["INVITE"][0]

    @property
    def answered_at(self) -> datetime | None:
        """When the first 200 came, which in an answered call is that of the INVITE."""
        return self.received["200"][0] if "ACK" in self.sent and "200" in self.received else None

    @property
    def ended_at(self) -> datetime | None:
        """When an answered call, or this leg of it, was over: with BYE, or the last word on a transfer (NOTIFY)."""
        last = self.sent.get("NOTIFY") or self.sent.get("BYE")
        return last[-1] if last else None


@dataclass
class Truth:
    """What became of the calls of one kind."""

    made: int
    succeeded: int  # went as the scenario says, to its end
    failed: int
    calls: dict[str, PlayedCall]


def truth_of(telephones: Telephones) -> Truth:
    """Read SIPp's statistics and its log of messages."""
    with telephones.statistics.open(newline="") as file:
        last = list(csv.DictReader(file, delimiter=";"))[-1]
    return Truth(
        made=int(last["TotalCallCreated"]),
        succeeded=int(last["SuccessfulCall(C)"]),
        failed=int(last["FailedCall(C)"]),
        calls=read_messages(telephones.messages),
    )


def read_messages(path: Path) -> dict[str, PlayedCall]:
    """Return the calls in SIPp's log of short messages, by their Call-ID."""
    calls: dict[str, PlayedCall] = {}
    for line in path.read_text(errors="replace").splitlines():
        _, _, seconds, way, call_id, _, start = line.split("\t")[:7]
        call = calls.setdefault(call_id, PlayedCall(call_id))
        at = datetime.fromtimestamp(float(seconds), UTC)
        words = start.split(" ")
        what = words[1] if words[0].startswith("SIP/") else words[0]
        (call.sent if way == "S" else call.received).setdefault(what, []).append(at)
    return calls
