"""`manage.py test_call_logging`: some test calls with events and recordings, and nothing else touched (Part B)."""

import argparse
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import cycle, islice
from typing import Any, NamedTuple
from uuid import uuid4

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from calls.domain.events import Event, call_uuid
from calls.domain.recordings import RecordingStatus
from calls.domain.vocabulary import CallStatus, CallType, Direction, EventType, Source
from calls.models import Call
from calls.operations.cleanup import remove_calls
from calls.operations.record import record
from calls.operations.recordings import RecordingReport, report_recording
from calls.operations.sip import ensure_default
from calls.sampledata import own_lines

# What the ids of all its calls and events begin with; `--cleanup` removes these and no others.
PREFIX = "test-call-logging-"
MOST = 10_000
# Kept free for fiction by the US plan, as in the sample data.
OUTSIDE = "+120655501"
TRANSFERRED_TO = "+12065550199"
TRANSCRIPT = "Hello, this is a test call. Thank you for calling, and goodbye."
CONFIGURATION = {
    "name": "Test",
    "sip_server": "sip.example.com",
    "username": "test",
    "display_name": "Test calls",
    "wss_uri": "wss://sip.example.com:7443",
}


class Plan(NamedTuple):
    """How one kind of test call goes: what happens after how many seconds, and what becomes of its recording."""

    direction: Direction
    steps: tuple[tuple[int, EventType], ...]
    recording: RecordingStatus | None = None
    cause: CallStatus | None = None
    call_type: CallType = CallType.VOICE


E, IN, OUT = EventType, Direction.INBOUND, Direction.OUTBOUND
BEGIN = ((0, E.INITIATED), (2, E.RINGING))
ANSWERED = (*BEGIN, (8, E.ANSWERED))
RECORDED = (*ANSWERED, (10, E.RECORDING_STARTED))
PLANS = (
    Plan(IN, (*RECORDED, (60, E.HOLD), (75, E.UNHOLD), (184, E.RECORDING_STOPPED), (185, E.ENDED)),
         RecordingStatus.COMPLETED),
    Plan(OUT, (*ANSWERED, (20, E.MUTED), (25, E.UNMUTED), (31, E.DTMF), (90, E.ENDED)), call_type=CallType.VIDEO),
    Plan(IN, (*BEGIN, (25, E.ENDED))),
    Plan(OUT, (*RECORDED, (70, E.RECORDING_STOPPED), (71, E.ENDED)), RecordingStatus.PROCESSING),
    Plan(OUT, (*BEGIN, (6, E.ENDED)), cause=CallStatus.BUSY),
    Plan(IN, (*ANSWERED, (40, E.TRANSFER_INITIATED), (45, E.TRANSFER_COMPLETED))),
    Plan(OUT, (*BEGIN, (35, E.ENDED)), cause=CallStatus.NO_ANSWER),
    Plan(IN, (*RECORDED, (15, E.QUALITY_CHANGE), (50, E.RECORDING_STOPPED), (300, E.ENDED)), RecordingStatus.FAILED),
    Plan(OUT, (*BEGIN, (4, E.ENDED)), cause=CallStatus.CANCELLED),
    Plan(OUT, (*BEGIN, (3, E.FAILED))),
)  # fmt: skip
LONGEST = max(seconds for plan in PLANS for seconds, _ in plan.steps)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MOST):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MOST:,}, not {text!r}")
    return int(text)


class Command(BaseCommand):
    """Make test calls the way real ones are made."""

    help = "Makes test calls with events and recordings, and a default SIP configuration if there is none."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--count", type=_count, default=10, help="how many calls to make (default: 10)")
        parser.add_argument("--cleanup", action="store_true", help="first remove the calls that earlier runs made")

    def handle(self, *args: Any, **options: Any) -> None:
        """Remove, make, and say what was done."""
        if options["cleanup"]:
            self.stdout.write(f"Removed {remove_calls(PREFIX):,} test calls of earlier runs.")
        ours = own_lines(settings.OWN_NUMBERS, at_most=1)[0]
        configuration = ensure_default(**CONFIGURATION, caller_number=ours)
        now = timezone.now()
        run = f"{PREFIX}{uuid4().hex[:8]}"
        events = recordings = 0
        for number, plan in enumerate(islice(cycle(PLANS), options["count"]), start=1):
            # They are told of the last hours, the last one being over by now.
            start = now - timedelta(seconds=LONGEST + 60 * (options["count"] - number))
            told = list(_events(plan, f"{run}-{number}", start, ours=ours, theirs=f"{OUTSIDE}{number % 100:02}"))
            events += len(record(told))
            if plan.recording:
                _report_recording(told[0].call_id, plan)
                recordings += 1
        self.stdout.write(
            f"Made {options['count']:,} test calls with {events:,} events and {recordings:,} recordings;"
            f" the default SIP configuration is {configuration.name}."
        )
        self.stdout.write(f"Look at /admin/calls/call/ or GET /api/call-logs/; their ids begin with {run}.")


def _events(plan: Plan, call_id: str, start: datetime, *, ours: str, theirs: str) -> Iterator[Event]:
    calling, called = (ours, theirs) if plan.direction is OUT else (theirs, ours)
    for place, (seconds, kind) in enumerate(plan.steps, start=1):
        at = start + timedelta(seconds=seconds)
        yield Event(
            event_id=f"{call_id}-{place}",
            call_id=call_id,
            type=kind,
            occurred_at=at,
            received_at=at,
            source=Source.SIP,
            word=kind,
            calling_number=calling,
            called_number=called,
            direction=plan.direction,
            call_type=plan.call_type,
            cause=plan.cause if kind is E.ENDED else None,
            transfer_to=TRANSFERRED_TO if kind in (E.TRANSFER_INITIATED, E.TRANSFER_COMPLETED) else None,
            metadata={"server": "sip.example.com", "test": True},
        )


def _report_recording(call_id: str, plan: Plan) -> None:
    """Report a recording as a recorder would: it began, and then came as far as the plan says."""
    call = Call.objects.get(pk=call_uuid(call_id))
    seconds = {kind: second for second, kind in plan.steps}
    begun, stopped = seconds[E.RECORDING_STARTED], seconds[E.RECORDING_STOPPED]
    length = stopped - begun
    begin = RecordingReport(status=RecordingStatus.RECORDING)
    report_recording(call, begin, at=call.started_at + timedelta(seconds=begun))
    done = plan.recording is RecordingStatus.COMPLETED
    report_recording(
        call,
        RecordingReport(
            status=plan.recording or RecordingStatus.PROCESSING,
            file_url=f"https://recordings.example.com/{call_id}.wav" if done else None,
            file_size=16_000 * length if done else None,
            duration=length,
            format="wav",
            transcript=TRANSCRIPT if done else None,
            transcript_confidence=0.93 if done else None,
        ),
        at=call.started_at + timedelta(seconds=stopped),
    )
