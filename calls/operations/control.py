"""Our own buttons: each is decided under its call's lock, and becomes events or is refused."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import uuid4

from django.db import transaction
from django.db.models import Max

from calls.domain import rules
from calls.domain.events import Event, call_uuid
from calls.domain.rules import NotPossible, Step, moment_after
from calls.domain.state import CallState
from calls.domain.vocabulary import CallStatus, CallType, Direction, EventType, Source
from calls.metrics import count_events
from calls.models import Call, CallEvent, CallRecording, SIPConfiguration
from calls.operations.annotate import annotate
from calls.operations.outcomes import Result
from calls.operations.record import decide, record
from calls.operations.recordings import begin_recording, finish_recording


class KnownCall(Exception):
    """A call with this external id exists already."""


class Button(NamedTuple):
    """Who pressed a button, and when."""

    user_id: int | None
    at: datetime


def new_external_id() -> str:
    """Return an id for a call that begins here."""
    return str(uuid4())


def initiate_call(
    button: Button, *, recipient_number: str, call_type: CallType, sip_configuration: SIPConfiguration | None
) -> Call:
    """Begin an outbound call over an active SIP configuration, the default one unless named."""
    chosen = sip_configuration or SIPConfiguration.objects.filter(is_default=True).first()
    if chosen is None:
        raise NotPossible("There is no default SIP configuration; name one, or set a default.")
    if not chosen.is_active:
        raise NotPossible(f"The SIP configuration {chosen.name} is not active.")
    external_id = new_external_id()
    with transaction.atomic():
        record(
            [
                Event(
                    event_id=f"{external_id}:initiated",
                    call_id=external_id,
                    type=EventType.INITIATED,
                    occurred_at=button.at,
                    received_at=button.at,
                    source=Source.API,
                    word=EventType.INITIATED,
                    calling_number=chosen.caller_number,
                    called_number=recipient_number,
                    direction=Direction.OUTBOUND,
                    call_type=call_type,
                    user_id=button.user_id,
                )
            ]
        )
        _count(Result.CREATED, 1)
        calls = Call.objects.filter(pk=call_uuid(external_id))
        calls.update(sip_configuration=chosen)
        return calls.get()


def log_incoming_call(
    button: Button, *, caller_number: str, recipient_number: str, sip_call_id: str | None, call_type: CallType
) -> tuple[Call, bool]:
    """Return the inbound call with this id, and whether it was unknown until now and has been begun."""
    external_id = sip_call_id or new_external_id()
    times = {EventType.INITIATED: button.at, EventType.RINGING: button.at}
    try:
        call = create_call(
            button,
            external_id=external_id,
            caller_number=caller_number,
            recipient_number=recipient_number,
            direction=Direction.INBOUND,
            call_type=call_type,
            times=times,
        )
    except KnownCall:
        _count(Result.DUPLICATE, len(times))
        return Call.objects.get(pk=call_uuid(external_id)), False
    return call, True


def create_call(
    button: Button,
    *,
    external_id: str,
    caller_number: str,
    recipient_number: str,
    direction: Direction,
    call_type: CallType,
    times: dict[EventType, datetime],
    cause: str | None = None,
) -> Call:
    """Write down a call that has happened, or is happening: each time becomes its event; raise KnownCall."""
    events = [
        Event(
            # The ids follow from the call's, so that of two who create it at once only one can.
            event_id=f"{call_uuid(external_id)}:{kind}",
            call_id=external_id,
            type=kind,
            occurred_at=occurred_at,
            received_at=button.at,
            source=Source.API,
            word=kind,
            calling_number=caller_number,
            called_number=recipient_number,
            direction=direction,
            call_type=call_type,
            cause=cause if kind is EventType.ENDED else None,
            user_id=button.user_id,
        )
        for kind, occurred_at in times.items()
    ]
    calls = Call.objects.filter(pk=call_uuid(external_id))
    with transaction.atomic():
        if calls.exists() or any(outcome.result is not Result.CREATED for outcome in record(events)):
            raise KnownCall(external_id)
        _count(Result.CREATED, len(events))
        return calls.get()


def end_call(call: Call, button: Button) -> Call:
    """End a call."""
    return _press(call, button, rules.end)


def toggle_hold(call: Call, button: Button) -> Call:
    """Put a call on hold, or take it off."""
    return _press(call, button, rules.toggle_hold)


def transfer_call(call: Call, button: Button, *, transfer_to: str) -> Call:
    """Pass a call on to another number."""
    return _press(call, button, lambda state: rules.transfer(state, transfer_to=transfer_to))


def start_recording(call: Call, button: Button) -> tuple[Call, CallRecording]:
    """Begin to record a call."""
    with transaction.atomic():
        changed = _press(call, button, rules.start_recording)
        return changed, begin_recording(changed, at=button.at)


def stop_recording(call: Call, button: Button) -> tuple[Call, CallRecording]:
    """Stop recording a call; what was recorded is then processed."""
    with transaction.atomic():
        changed = _press(call, button, rules.stop_recording)
        begun = changed.events.filter(type=EventType.RECORDING_STARTED).aggregate(at=Max("received_at"))["at"]
        return changed, finish_recording(changed, since=begun, at=button.at)


def add_event(call: Call, button: Button, *, step: Step) -> CallEvent:
    """Note that something happened to a call, and return the event."""
    with transaction.atomic():
        changed = _press(call, button, lambda state: rules.add_event(state, step=step))
        return changed.events.select_related("user").latest("id")


def update_status(
    call: Call,
    button: Button,
    *,
    status: CallStatus | None,
    transfer_to: str | None = None,
    notes: str | None = None,
    call_quality_score: Decimal | None = None,
) -> Call:
    """Bring a call to a status, and annotate it; all of it or nothing."""
    with transaction.atomic():
        if status is not None:
            chosen = status
            _press(call, button, lambda state: rules.set_status(state, status=chosen, transfer_to=transfer_to))
        if notes is not None or call_quality_score is not None:
            annotate(call.pk, notes=notes, call_quality_score=call_quality_score, at=button.at)
        return Call.objects.get(pk=call.pk)


def _press(call: Call, button: Button, rule: Callable[[CallState], list[Step]]) -> Call:
    """Let a rule decide under the call's lock, write down what it decided, and return the call afterwards."""

    decided: list[Event] = []

    def ask(state: CallState) -> list[Event]:
        occurred_at = moment_after(state, at=button.at)
        # The transaction may be tried again.
        decided[:] = [_as_event(step, call.external_id, button, occurred_at) for step in rule(state)]
        return decided

    decide(call.pk, ask)
    if decided:
        _count(Result.CREATED, len(decided))
    return Call.objects.get(pk=call.pk)


def _as_event(step: Step, external_id: str, button: Button, occurred_at: datetime) -> Event:
    return Event(
        event_id=str(uuid4()),
        call_id=external_id,
        type=step.type,
        occurred_at=occurred_at,
        received_at=button.at,
        source=Source.API,
        word=step.type,
        cause=step.cause,
        transfer_to=step.transfer_to,
        user_id=button.user_id,
        metadata=step.metadata,
    )


def refused() -> None:
    """Have it counted that a button could not be pressed."""
    _count(Result.CONFLICT, 1)


def _count(result: Result, times: int) -> None:
    """Have events counted once they are committed; counting that fails fails nothing else."""
    transaction.on_commit(lambda: count_events(Source.API, {result: times}), robust=True)
