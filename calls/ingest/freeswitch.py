"""FreeSWITCH's vocabulary: the JSON call detail record that mod_json_cdr posts for each leg when it has ended.

The document is made by `switch_ivr_generate_json_cdr` (FreeSWITCH, src/switch_ivr.c): `variables` are the
channel's variables, `callflow` its caller profiles, the newest first, each with its times in microseconds
since 1970, 0 for never. Which leg is a call, and when it counts as answered: docs/decisions/0009.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from calls.domain.events import Event, call_uuid
from calls.domain.vocabulary import CallStatus, CallType, Direction, EventType, Source, read_cause
from calls.ingest.door import Answer, read_fields, receive_together
from calls.ingest.fields import MAX_ID_LENGTH
from calls.ingest.json_cdr import MAX_UUID_LENGTH, Document, instant_or_none, profile_of, read_document, text_of
from calls.operations.outcomes import Result

# The longest document that is read: every application that a leg ran is in it.
MAX_DOCUMENT_BYTES = 512 * 1024

# FreeSWITCH's own causes, for which its Q.850 value is always 16 (switch_channel_cause_q850).
CAUSES: dict[str, str] = {
    "ORIGINATOR_CANCEL": "sip:487",
    "BUSY_EVERYWHERE": "sip:600",
    "DECLINE": "sip:603",
    "NO_PICKUP": CallStatus.NO_ANSWER,
    "PROGRESS_TIMEOUT": CallStatus.NO_ANSWER,
}
# More holds than this within one leg are no telephone's doing.
MOST_HOLDS = 1_000
PASSED_ON = ("BLIND_TRANSFER", "ATTENDED_TRANSFER")
# What is kept of the variables, with the end: the rest is as long as a book and may hold secrets.
KEPT = (
    "hangup_cause", "hangup_cause_q850", "proto_specific_hangup_cause", "sip_hangup_disposition", "sip_call_id",
    "sip_user_agent", "sip_gateway_name", "accountcode", "last_app", "originate_disposition", "bridge_uuid",
    "read_codec", "write_codec", "rtp_audio_in_mos", "cc_queue", "billsec", "hold_accum_usec",
)  # fmt: skip

# Digits are written out: \d would admit those of other scripts.
_HOLD = re.compile(r"\{([0-9]{1,17}),([0-9]{1,17})\}")
_TRANSFER = re.compile(r"([0-9]{1,11}):[^:|]*:(bl_xfer|att_xfer):([^|]*)")


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg, and what it says of its call."""

    call_id: str
    events: list[Event]


def read_leg(fields: dict[str, Any], *, at: datetime) -> Leg:
    """Return what a document says, received at `at`; raise Invalid with what is wrong.

    A leg that belongs to another call adds only its holds to it, and half of a loopback nothing.
    """
    document = read_document(fields)
    owner = _owner(document)
    found = _Facts(document, call_id=owner or document.uuid, at=at)
    if owner is not None:
        found.add_holds()
    elif not text_of(profile_of(document), "chan_name").startswith("loopback/"):
        found.add_call(fields)
    return Leg(call_id=found.call_id, events=found.events)


# -- What happened -----------------------------------------------------------------------------


def receive_leg(body: bytes, *, at: datetime) -> Answer:
    """Record what a document says of its leg, and answer; raise an API exception when it is refused."""
    # Display names come as the telephones sent them: a byte that is no UTF-8 costs its character, not the call.
    leg = read_leg(read_fields(body.decode("utf-8", "replace").encode()), at=at)
    outcomes = receive_together(leg.events)
    known = bool(outcomes) and all(outcome.result is Result.DUPLICATE for outcome in outcomes)
    message = "The leg was known already." if known else "The leg was recorded."
    return Answer(
        200,
        {
            "message": message if outcomes else "This leg belongs to another call, and adds nothing to it.",
            "call_id": str(call_uuid(leg.call_id)),
            "status": outcomes[0].call_status if outcomes else None,
        },
    )


class _Facts:
    """Collects the events of one document; each has an id that is the same when the document comes again."""

    def __init__(self, document: Document, *, call_id: str, at: datetime) -> None:
        self.document, self.call_id, self.at = document, call_id, at
        self.events: list[Event] = []
        self.said: dict[str, Any] = {}

    def add(self, name: str, kind: EventType, occurred_at: datetime | None, *, word: str, **more: Any) -> None:
        """Add an event, if it has a time."""
        if occurred_at is None:
            return
        event_id = f"{self.document.uuid}:{name}"
        said = self.said | more
        self.events.append(
            Event(
                event_id=event_id,
                call_id=self.call_id,
                type=kind,
                occurred_at=occurred_at,
                received_at=self.at,
                source=Source.FREESWITCH,
                word=word,
                **said,
            )
        )

    def add_call(self, fields: dict[str, Any]) -> None:
        """Add all that a leg says which is a call of its own."""
        times, variables = self.document.times, self.document.variables
        profile = profile_of(self.document, first=True)
        self.said = {
            "calling_number": text_of(profile, "caller_id_number") or text_of(profile, "ani"),
            "called_number": text_of(profile, "destination_number"),
            "direction": _direction(variables),
            "call_type": CallType.CONFERENCE if _in_conference(self.document) else None,
        }
        ringing = "progress_time" if "progress_time" in times else "progress_media_time"
        answered, word = _answer(self.document)
        self.add("initiated", EventType.INITIATED, times["created_time"], word="created_time")
        self.add("ringing", EventType.RINGING, times.get(ringing), word=ringing)
        self.add("answered", EventType.ANSWERED, answered, word=word)
        self.add_holds()
        if answered is not None:
            self.add_transfers(answered)
        passed_on = answered is not None and variables.get("hangup_cause") in PASSED_ON
        self.add(
            "ended",
            EventType.TRANSFER_COMPLETED if passed_on else EventType.ENDED,
            times.get("hangup_time"),
            word="hangup_time",
            cause=_cause(variables),
            metadata=_metadata(fields, self.document),
        )

    def add_holds(self) -> None:
        """Add when the leg was put on hold and taken off it (`hold_events`)."""
        for on, off in _HOLD.findall(self.document.variables.get("hold_events", ""))[:MOST_HOLDS]:
            self.add(f"hold:{on}", EventType.HOLD, instant_or_none(on), word="hold_events")
            self.add(f"unhold:{off}", EventType.UNHOLD, instant_or_none(off), word="hold_events")

    def add_transfers(self, answered: datetime) -> None:
        """Add where the answered call was passed on to (`transfer_history`); menus also transfer, before the answer."""
        history = _TRANSFER.findall(self.document.variables.get("transfer_history", ""))
        for number, (second, word, target) in enumerate(history):
            occurred_at = _transfer_time(self.document, second)
            if occurred_at is not None and occurred_at >= answered:
                # Of an attended transfer FreeSWITCH notes who was connected before, and not with whom now.
                to = target.partition("/")[0][:MAX_ID_LENGTH] if word == "bl_xfer" else None
                self.add(
                    f"transfer:{number}",
                    EventType.TRANSFER_COMPLETED,
                    occurred_at,
                    word=word,
                    transfer_to=to or None,
                )


def _owner(document: Document) -> str | None:
    """Return the id of the call that the leg belongs to, or None if it is one by itself.

    A leg that another one made names it as its originator (which is how mod_json_cdr knows a B leg);
    the agents that mod_callcenter calls name the waiting caller.
    """
    for profile in document.profiles:
        originator = profile["caller_profile"].get("originator")
        callers = originator.get("originator_caller_profiles") if isinstance(originator, dict) else None
        for caller in callers if isinstance(callers, list) else []:
            uuid = text_of(caller, "uuid") if isinstance(caller, dict) else ""
            if uuid and uuid != document.uuid:
                return uuid[:MAX_UUID_LENGTH]
    if document.variables.get("cc_side") == "agent":
        return document.variables.get("cc_member_session_uuid", "")[:MAX_UUID_LENGTH] or None
    return None


def _answer(document: Document) -> tuple[datetime | None, str]:
    """Return when somebody picked up, and which time says so.

    A leg that came in is answered by menus and voicemail too: it counts from when it was bridged, or joined a
    conference. One that the server itself made is answered by whom it called.
    """
    answered, bridged = document.times.get("answered_time"), document.times.get("bridged_time")
    if document.outbound or answered is None or _in_conference(document):
        return answered, "answered_time"
    if bridged is None:
        return None, ""
    rebridged = "att_xfer" in document.variables.get("transfer_history", "")
    return (answered, "answered_time") if rebridged or answered >= bridged else (bridged, "bridged_time")


def _in_conference(document: Document) -> bool:
    return bool(document.variables.get("conference_name")) or document.variables.get("last_app") == "conference"


def _transfer_time(document: Document, second: str) -> datetime | None:
    """Return when a transfer was, given in whole seconds; the profile that it closed knows better."""
    rough = instant_or_none(second + "000000")
    if rough is None:
        return None
    within = (exact for exact in document.transferred if timedelta() <= exact - rough < timedelta(seconds=1))
    return next(within, rough)


def _direction(variables: dict[str, str]) -> Direction | None:
    """Return the direction that the dialplan states; the channel's own is that of the leg, not of the call."""
    word = variables.get("call_direction", "").lower()
    return Direction(word) if word in (Direction.INBOUND, Direction.OUTBOUND) else None


def _cause(variables: dict[str, str]) -> str | None:
    name, q850 = variables.get("hangup_cause", ""), variables.get("hangup_cause_q850")
    if name in CAUSES:
        return CAUSES[name]
    if q850 == "16" and name not in ("", "NORMAL_CLEARING", *PASSED_ON):
        return CallStatus.FAILED
    return read_cause({"q850": q850})


def _metadata(fields: dict[str, Any], document: Document) -> dict[str, Any]:
    kept = {name: document.variables[name] for name in KEPT if document.variables.get(name)}
    profile = profile_of(document, first=True)
    kept |= {name: text for name in ("caller_id_name", "context", "chan_name") if (text := text_of(profile, name))}
    return {"uuid": document.uuid, "switchname": text_of(fields, "switchname"), **kept}
