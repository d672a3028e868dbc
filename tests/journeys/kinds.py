"""The kinds of calls that SIPp plays, and what the service must say of each."""

from dataclasses import dataclass, field

# Numbers of the organisation begin like this, those of the others like that.
OURS, THEIRS = "+120255501", "+130355501"


@dataclass(frozen=True)
class Kind:
    """One kind of call. `caller` and `called` name scenarios in `sipp/`; without `called` nobody is there."""

    name: str
    number: int
    caller: str
    called: str | None
    status: str  # in Part B
    events: tuple[str, ...]  # what must have been reported, in order
    direction: str = field(default="inbound")
    routed: bool = True  # whether the proxy knows where to send it
    share: int = 6  # how many of 100 calls are of this kind

    @property
    def answered(self) -> bool:
        """Whether such a call is completed."""
        return "answered" in self.events

    @property
    def calling_number(self) -> str:
        """Who calls."""
        return f"{OURS if self.direction == 'outbound' else THEIRS}{self.number:02}"

    @property
    def called_number(self) -> str:
        """Who is called."""
        return f"{THEIRS if self.direction == 'outbound' else OURS}{self.number + 50:02}"

    def label(self, *, called_out: bool) -> str:
        """Return the call history's word for it, seen by the caller or by the called."""
        return f"{'Completed' if self.answered else 'Missed'} {'Outbound' if called_out else 'Inbound'}"


TALK = ("initiated", "ringing", "answered", "ended")
KINDS = [
    Kind("completed", 1, "completes", "answers", "ended", TALK, share=40),
    Kind("put on hold", 2, "holds", "held", "ended", (*TALK[:3], "hold", "unhold", "ended"), "outbound"),
    Kind(
        "transferred (REFER)",
        3,
        "transferred",
        "transfers",
        "transferred",
        (*TALK[:3], "transfer_initiated", "transfer_completed", "ended"),
    ),
    Kind("completed after a password", 4, "authenticates", "asks", "ended", TALK, "outbound"),
    Kind("cancelled by the caller", 5, "cancels", "rings", "cancelled", ("initiated", "ringing", "ended"), "outbound"),
    Kind("busy (486)", 6, "busy", "busy", "busy", ("initiated", "ended")),
    Kind("overloaded (503)", 7, "unavailable", "unavailable", "failed", ("initiated", "failed"), "outbound"),
    Kind("dead peer", 8, "dead", None, "no_answer", ("initiated", "ended")),
    Kind("rings out", 9, "unanswered", "rings", "no_answer", ("initiated", "ringing", "ended")),
    Kind("unknown number (404)", 10, "unknown", None, "failed", ("initiated", "failed"), routed=False),
    Kind("no password (407)", 11, "leaves", "insists", "failed", ("initiated", "failed"), "outbound"),
]
