"""Asterisk's vocabulary: channel event logging (CEL), one channel event as one JSON object.

The fields have the names of the AMI event `CEL` (https://docs.asterisk.org/, AMI events); letter case does not
matter. Every event is understood alone. All channels of a call have one LinkedID, which is the UniqueID of
the first of them; what that one says, and what the others say: docs/decisions/0009.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from calls.domain.events import Event
from calls.domain.instants import NotAnInstant, read_instant
from calls.domain.masking import mask_values
from calls.domain.vocabulary import CallStatus, CallType, Direction, EventType, Source, read_cause
from calls.ingest.fields import MAX_ID_LENGTH, read_address, read_id, read_text, read_time
from calls.web.bodies import FieldErrors, InvalidJSON, parse_json, unstorable
from calls.web.errors import Invalid

MAX_BATCH_BYTES = 512 * 1024
# The longest that Asterisk makes (AST_MAX_UNIQUEID).
MAX_UNIQUEID_LENGTH = 150

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What is told of any channel. HOLD and UNHOLD are events that a dialplan may define (CELGenUserEvent).
WORDS: dict[str, EventType] = {
    "CHAN_START": EventType.INITIATED,
    "ANSWER": EventType.ANSWERED,
    "BRIDGE_ENTER": EventType.ANSWERED,
    "HANGUP": EventType.ENDED,
    "LINKEDID_END": EventType.ENDED,
    "BLINDTRANSFER": EventType.TRANSFER_COMPLETED,
    "ATTENDEDTRANSFER": EventType.TRANSFER_COMPLETED,
    "PARK_START": EventType.HOLD,
    "PARK_END": EventType.UNHOLD,
    "HOLD": EventType.HOLD,
    "UNHOLD": EventType.UNHOLD,
}
# How Dial() ended, as HANGUP's `dialstatus` has it. 16 is the caller who gave up: cancelled, or missed.
DIAL_STATUS: dict[str, str] = {
    "BUSY": CallStatus.BUSY,
    "NOANSWER": CallStatus.NO_ANSWER,
    "CANCEL": "q850:16",
    "CHANUNAVAIL": CallStatus.FAILED,
    "CONGESTION": CallStatus.FAILED,
    "DONTCALL": CallStatus.FAILED,
    "TORTURE": CallStatus.FAILED,
    "INVALIDARGS": CallStatus.FAILED,
}
# Where a dialplan is, rather than a number that somebody dialled.
SPECIAL_EXTENSIONS = ("s", "h", "i", "t", "T", "e", "o", "a", "failed")
# The application that a channel runs which Asterisk itself called, and which somebody picks up.
CALLED_BY_ASTERISK = "AppDial2"
# The application that brings a caller together with whoever else is in the conference.
CONFERENCE = "ConfBridge"
# Used up, or without meaning here.
DROPPED = ("eventname", "eventtime", "linkedid", "extra", "amaflags", "event", "privilege")

# Digits are written out: \d would admit those of other scripts.
_EPOCH_SECONDS = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,6})[0-9]*)?")


def read_event(fields: dict[str, Any], *, at: datetime) -> Event | None:
    """Return the event that a channel event is, received at `at`; None if it says nothing of the call.

    Raises Invalid with what is wrong.
    """
    errors: FieldErrors = {}
    names = {name.lower(): name for name in fields}
    said = {name: fields[names[name]] for name in names}
    word = read_text(said, "eventname", errors)
    unique_id, linked_id = read_id(said, "uniqueid", errors), read_id(said, "linkedid", errors)
    for name, id in (("uniqueid", unique_id), ("linkedid", linked_id)):
        if len(id) > MAX_UNIQUEID_LENGTH:
            errors[name] = [f"Must have at most {MAX_UNIQUEID_LENGTH} characters."]
    occurred_at = _time(said, errors, otherwise=at)
    calling = read_address(said, "calleridnum", errors) or read_address(said, "calleridani", errors)
    dialled = read_address(said, "exten", errors)
    if errors:
        raise Invalid({names.get(name, NAMES.get(name, name)): messages for name, messages in errors.items()})

    channel = _Channel(said, first=unique_id == linked_id)
    kind = channel.kind(word)
    if kind is None:
        return None
    extra = _extra(said.get("extra"))
    named = channel.names_numbers(word)
    return Event(
        event_id=f"{unique_id}:{word}:{(occurred_at - EPOCH) // timedelta(microseconds=1)}",
        call_id=linked_id,
        type=kind,
        occurred_at=occurred_at,
        received_at=at,
        source=Source.ASTERISK,
        word=word,
        calling_number=calling if named else "",
        called_number=dialled if named and dialled not in SPECIAL_EXTENSIONS else "",
        direction=_direction(said) if channel.first else None,
        call_type=CallType.CONFERENCE if word == "BRIDGE_ENTER" else None,
        cause=_cause(extra) if word == "HANGUP" else None,
        transfer_to=_target(extra) if kind is EventType.TRANSFER_COMPLETED else None,
        metadata=_metadata(fields, extra),
    )


# How the names of required fields are written, for those who left them out.
NAMES = {"eventname": "EventName", "eventtime": "EventTime", "uniqueid": "UniqueID", "linkedid": "LinkedID"}


class _Channel:
    """What is known of the channel of an event, from this event alone."""

    def __init__(self, said: dict[str, Any], *, first: bool) -> None:
        self.first = first
        self.local = str(said.get("channel", said.get("channame", ""))).startswith("Local/")
        application = str(said.get("application") or said.get("appname") or "")
        self.called_by_asterisk = application == CALLED_BY_ASTERISK
        self.in_conference = application == CONFERENCE

    def kind(self, word: str) -> EventType | None:
        """Return what an event of this channel is to the call, or None.

        The two halves of a Local channel are no telephones: they neither ring nor answer, and hang up when
        they are optimised away, long before the call is over.
        """
        kind = WORDS.get(word)
        if word == "CHAN_START" and not self.first:
            return None if self.local else EventType.RINGING
        if word == "ANSWER" and (self.local or (self.first and not self.called_by_asterisk)):
            return None
        if word == "BRIDGE_ENTER" and not (self.first and self.in_conference):
            return None
        if word == "HANGUP" and (self.local or not self.first):
            return None
        return kind

    def names_numbers(self, word: str) -> bool:
        """Say whether the event tells who called whom; a channel that Asterisk called learns that later."""
        return self.first and (word == "CHAN_START" or (self.called_by_asterisk and not self.local))


def _time(said: dict[str, Any], errors: FieldErrors, *, otherwise: datetime) -> datetime:
    """Return when it happened: seconds since 1970 as cel_custom writes them, or ISO 8601.

    AMI gives its EventTime in local time without an offset; its Timestamp (timestampevents=yes) beats that.
    """
    for name in ("timestamp", "eventtime"):
        value = said.get(name)
        found = _EPOCH_SECONDS.fullmatch(str(value)) if isinstance(value, str | int | float) else None
        if found and not isinstance(value, bool):
            seconds, fraction = found.groups()
            instant = EPOCH + timedelta(seconds=int(seconds), microseconds=int((fraction or "0").ljust(6, "0")))
            try:
                return read_instant(instant.isoformat())
            except NotAnInstant as error:
                errors["eventtime"] = [str(error)]
                return otherwise
    return read_time(said, "eventtime", errors, otherwise=otherwise)


def _extra(value: object) -> dict[str, Any]:
    """Return the details of an event, which Asterisk writes as JSON within a text; none if they are no such thing."""
    if isinstance(value, str):
        raw = value.encode()
        try:
            value = parse_json(raw) if raw else {}
        except InvalidJSON:
            return {}
        if unstorable({"extra": value}, raw=raw):
            return {}
    return value if isinstance(value, dict) else {}


def _cause(extra: dict[str, Any]) -> str | None:
    status = extra.get("dialstatus")
    if isinstance(status, str) and status in DIAL_STATUS:
        return DIAL_STATUS[status]
    cause = extra.get("hangupcause")
    return read_cause({"q850": cause}) if cause not in (0, "0") else None


def _target(extra: dict[str, Any]) -> str | None:
    """Return where the call was passed on to: an extension, or the device that is the target."""
    if extension := extra.get("extension"):
        return str(extension).strip()[:MAX_ID_LENGTH] or None
    name = extra.get("transfer_target_channel_name")
    if not isinstance(name, str) or "/" not in name:
        return None
    device = name.partition("/")[2]
    # PJSIP/carol-00000012 ends in a number that only the channel has; in Local/300@internal-00000004;1 it is no matter.
    return (device.partition("@")[0] if "@" in device else device.rpartition("-")[0]).strip()[:MAX_ID_LENGTH] or None


def _direction(said: dict[str, Any]) -> Direction | None:
    """Return the direction that the dialplan states: Set(CHANNEL(userfield)=inbound)."""
    word = str(said.get("userfield", "")).strip().lower()
    return Direction(word) if word in (Direction.INBOUND, Direction.OUTBOUND) else None


def _metadata(fields: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in fields.items() if name.lower() not in DROPPED and value not in ("", None)}
    return mask_values(kept | ({"Extra": extra} if extra else {}))
