"""The one vocabulary that is spoken inside the house.

Outside words (INITIATE, `call_answered`, …) are translated into these at the doors
(`calls/ingest/`) and occur nowhere below them.
"""

from collections.abc import Mapping
from enum import IntFlag, StrEnum
from typing import Any


class EventType(StrEnum):
    """What an event says has happened to a call."""

    INITIATED = "initiated"
    RINGING = "ringing"
    ANSWERED = "answered"
    TRANSFER_INITIATED = "transfer_initiated"
    HOLD = "hold"
    UNHOLD = "unhold"
    MUTED = "muted"
    UNMUTED = "unmuted"
    RECORDING_STARTED = "recording_started"
    RECORDING_STOPPED = "recording_stopped"
    DTMF = "dtmf"
    QUALITY_CHANGE = "quality_change"
    ERROR = "error"
    TRANSFER_COMPLETED = "transfer_completed"
    ENDED = "ended"
    FAILED = "failed"


# Events of one instant are taken in the order in which the types are written above.
RANKS: dict[EventType, int] = {event_type: rank for rank, event_type in enumerate(EventType)}

# Any of these ends the call, or this leg of it.
END_TYPES = frozenset({EventType.ENDED, EventType.FAILED, EventType.TRANSFER_COMPLETED})


class CallStatus(StrEnum):
    """What a call is now, in one word (the second specification's list)."""

    INITIATED = "initiated"
    RINGING = "ringing"
    ANSWERED = "answered"
    MISSED = "missed"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TRANSFERRED = "transferred"
    ENDED = "ended"
    RECORDING = "recording"
    ON_HOLD = "on_hold"


# The statuses of a call that is over; also the words that may say why it ended.
OUTCOMES = frozenset(
    {
        CallStatus.MISSED,
        CallStatus.BUSY,
        CallStatus.NO_ANSWER,
        CallStatus.FAILED,
        CallStatus.CANCELLED,
        CallStatus.TRANSFERRED,
        CallStatus.ENDED,
    }
)


class Direction(StrEnum):
    """Which way a call went, seen from the organisation."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    UNKNOWN = "unknown"


class CallType(StrEnum):
    """What the call carries."""

    VOICE = "voice"
    VIDEO = "video"
    CONFERENCE = "conference"


class Source(StrEnum):
    """Which vocabulary an event came in; an `event_id` is unique within its source."""

    PROCESS_EVENTS = "process_events"
    SIP = "sip"
    FREESWITCH = "freeswitch"
    ASTERISK = "asterisk"
    API = "api"  # a button of ours
    INFERRED = "inferred"  # an end that we assume, because no news came for too long


# These report every leg of a call under one id. That several legs are answered and end, and that they go on after
# the first one has ended, is how they speak, and not odd.
LEG_BY_LEG = frozenset({Source.FREESWITCH, Source.ASTERISK})


class EndedBy(StrEnum):
    """What ended a call."""

    ENDED = "ended"
    FAILED = "failed"
    TRANSFER_COMPLETED = "transfer_completed"
    INFERRED = "inferred"


class Anomaly(IntFlag):
    """What is odd about a call's events. Odd facts are accepted, computed with, and shown."""

    NO_START = 1
    TWO_STARTS = 2
    TWO_ANSWERS = 4
    TWO_ENDS = 8
    ANSWER_AFTER_END = 16
    END_BEFORE_START = 32
    EVENT_AFTER_END = 64
    OTHER_NUMBERS = 128
    FUTURE_TIME = 256
    INFERRED_END = 512

    @property
    def code(self) -> str:
        """The word that callers see, for a single anomaly."""
        return (self.name or "").lower()

    def codes(self) -> list[str]:
        """Return the words of all anomalies that are set, in the order of the list."""
        return [anomaly.code for anomaly in Anomaly if anomaly in self]


ANOMALY_SENTENCES: dict[Anomaly, str] = {
    Anomaly.NO_START: "No event says that the call was initiated; its earliest event counts as its start.",
    Anomaly.TWO_STARTS: "More than one event says that the call was initiated; the earliest counts.",
    Anomaly.TWO_ANSWERS: "More than one event says that the call was answered; the earliest counts.",
    Anomaly.TWO_ENDS: "More than one event says that the call ended; the earliest counts.",
    Anomaly.ANSWER_AFTER_END: "The answer is dated after the end; the call still counts as completed.",
    Anomaly.END_BEFORE_START: "The end is dated before the start; the duration is taken as zero.",
    Anomaly.EVENT_AFTER_END: "Something is reported as having happened after the end; it changed nothing.",
    Anomaly.OTHER_NUMBERS: "Events of this call name different numbers; those of its start count.",
    Anomaly.FUTURE_TIME: "An event was dated more than five minutes ahead of our clock when it arrived.",
    Anomaly.INFERRED_END: "No news came for too long, so the end is assumed at the last event.",
}


# -- Causes ----------------------------------------------------------------------------
#
# Why a call ended: a word, an ITU-T Q.850 cause value, or a SIP status code (RFC 3261) or
# method. A cause is kept as text: `busy`, `q850:17`, `sip:486`.

Q850_STATUS: dict[int, CallStatus] = {
    16: CallStatus.CANCELLED,  # normal call clearing
    17: CallStatus.BUSY,  # user busy
    18: CallStatus.NO_ANSWER,  # no user responding
    19: CallStatus.NO_ANSWER,  # no answer from user (user alerted)
}
SIP_STATUS: dict[str, CallStatus] = {
    "bye": CallStatus.CANCELLED,
    "cancel": CallStatus.CANCELLED,
    "487": CallStatus.CANCELLED,  # Request Terminated
    "486": CallStatus.BUSY,  # Busy Here
    "600": CallStatus.BUSY,  # Busy Everywhere
    "408": CallStatus.NO_ANSWER,  # Request Timeout
    "480": CallStatus.NO_ANSWER,  # Temporarily Unavailable
}
# A number below this is a Q.850 cause, from here on a SIP status code.
FIRST_SIP_CODE = 200


def read_cause(metadata: Mapping[str, Any], *, word: str | None = None) -> str | None:
    """Return the cause that an end names, as `busy`, `q850:17` or `sip:486`, or None.

    `word` is what the sender's own event word says already (`call_busy`), and beats the
    rest; then a word in `metadata.cause`; then Q.850; then SIP.
    """
    if word:
        return word
    found: dict[str, str] = {}
    for key in ("cause", "q850", "sip_code"):
        kind, value = _read_one_cause(metadata.get(key))
        if kind:
            found.setdefault(kind, value)
    if "word" in found:
        return found["word"]
    for kind in ("q850", "sip"):
        if kind in found:
            return f"{kind}:{found[kind]}"
    return None


def _read_one_cause(value: object) -> tuple[str | None, str]:
    """Return what kind of cause a value is; of a number, whatever its key is called, its size decides."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None, ""
    text = str(value).strip().lower()
    head = text.split(" ", 1)[0]  # a SIP reason phrase may follow the code: "486 Busy Here"
    if head.isascii() and head.isdigit():
        number = int(head[:9])
        return "q850" if number < FIRST_SIP_CODE else "sip", str(number)
    if text in ("bye", "cancel"):
        return "sip", text
    if text in OUTCOMES:
        return "word", text
    return None, ""


def unanswered_status(cause: str | None, direction: Direction, *, failed: bool = False) -> CallStatus:
    """Return the status of a call that ended, or `failed`, without an answer.

    Without a cause it is failed, or missed, or not answered if we called; ends and transfers
    that a cause claims without an answer count as no cause.
    """
    without_cause = CallStatus.NO_ANSWER if direction is Direction.OUTBOUND else CallStatus.MISSED
    if failed:
        without_cause = CallStatus.FAILED
    if cause is None:
        return without_cause
    kind, _, value = cause.partition(":")
    if kind == "q850":
        status = Q850_STATUS.get(int(value), CallStatus.FAILED)
    elif kind == "sip":
        status = SIP_STATUS.get(value, CallStatus.FAILED)
    elif cause in (CallStatus.ENDED, CallStatus.TRANSFERRED):
        return without_cause
    else:
        return CallStatus(cause)
    if status is CallStatus.CANCELLED and direction is Direction.INBOUND:
        return CallStatus.MISSED
    return status
