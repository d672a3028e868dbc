"""The doors without their HTTP: what they refused comes through them once more, mended, from the quarantine."""

from datetime import datetime
from typing import Any

from rest_framework.exceptions import APIException

from calls.domain.vocabulary import Source
from calls.ingest import asterisk, freeswitch, process_events, recordings, sip_events
from calls.ingest.door import Answer, Reader, receive, receive_one, receive_selected
from calls.ingest.refused import answer_of
from calls.operations.quarantine import Door, open_door


def open_doors() -> None:
    """Let the quarantine know every door that keeps what it refuses."""
    open_door(Source.PROCESS_EVENTS, _told(_events))
    open_door(Source.SIP, _told(_one_event(sip_events.read_event)))
    open_door(recordings.DOOR, _told(_report))
    open_door(Source.FREESWITCH, _told(_leg))
    open_door(Source.ASTERISK, _told(_channel_events))


def _told(take: Any) -> Door:
    """Return a door that answers a refusal instead of raising it."""

    def door(body: bytes, media_type: str, at: datetime) -> tuple[int, dict[str, Any]]:
        try:
            answer: Answer = take(body, media_type, at)
        except APIException as refusal:
            answer = answer_of(refusal)
        return answer.status, answer.body

    return door


def _events(body: bytes, media_type: str, at: datetime) -> Answer:
    return receive(body, media_type=media_type, read=process_events.read_event, at=at)


def _one_event(read: Reader) -> Any:
    def take(body: bytes, media_type: str, at: datetime) -> Answer:
        event, outcome = receive_one(body, read=read, at=at)
        told = {"event_id": event.event_id, "call_id": event.call_id, "result": outcome.result}
        return Answer(200, {**told, "call_status": outcome.call_status})

    return take


def _report(body: bytes, media_type: str, at: datetime) -> Answer:
    return recordings.receive_report(body, at=at)


def _leg(body: bytes, media_type: str, at: datetime) -> Answer:
    return freeswitch.receive_leg(body, at=at)


def _channel_events(body: bytes, media_type: str, at: datetime) -> Answer:
    return receive_selected(body, read=asterisk.read_event, at=at)
