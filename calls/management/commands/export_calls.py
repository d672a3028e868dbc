"""`manage.py export_calls`: the chosen calls as they are now, as CSV or NDJSON."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from calls.api.representations import name_of
from calls.domain.instants import write_instant
from calls.domain.vocabulary import Anomaly
from calls.management.commands._exports import add_choice, read_choice, write
from calls.models import Call
from calls.queries.exports import walk_calls

# The keys of a call in the API, in its order.
TIMES = ("started_at", "ringing_at", "answered_at", "ended_at")
COLUMNS = (
    "id", "sip_call_id", "caller_number", "recipient_number", "direction", "call_type", "status", *TIMES,
    "duration", "ring_seconds", "talk_seconds", "hold_seconds", "transferred_to", "cause", "inferred_end", "notes",
    "call_quality_score", "client", "client_name", "handled_by", "handled_by_name", "sip_configuration",
    "anomalies", "created_at", "updated_at",
)  # fmt: skip


class Command(BaseCommand):
    """Write calls as NDJSON or CSV, in one flat stream."""

    help = "Writes calls, all or some, oldest first, with the keys that they have in the API. Times are UTC."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        add_choice(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the calls, and say how many there were."""
        rows = (_row(call) for stretch in walk_calls(read_choice(options)) for call in stretch)
        count = write(rows, COLUMNS, options, unit="calls", stdout=self.stdout)
        self.stderr.write(f"{count:,} calls.")


def _row(call: Call) -> dict[str, Any]:
    """Return a call as the API shows it; written out, because a serializer is too slow for millions."""
    state, score = call.state, call.call_quality_score
    return {
        "id": str(call.pk),
        "sip_call_id": call.external_id,
        "caller_number": call.calling_as_sent or call.calling_number,
        "recipient_number": call.called_as_sent or call.called_number,
        "direction": call.direction,
        "call_type": call.call_type,
        "status": call.status,
        **{name: _time(getattr(call, name)) for name in TIMES},
        "duration": call.duration,
        "ring_seconds": call.ring_seconds,
        "talk_seconds": call.talk_seconds,
        "hold_seconds": call.hold_seconds,
        "transferred_to": state.transferred_to,
        "cause": call.cause,
        "inferred_end": state.inferred_end,
        "notes": call.notes,
        "call_quality_score": None if score is None else float(score),
        "client": call.client_id,
        "client_name": call.client.name if call.client else None,
        "handled_by": call.handled_by_id,
        "handled_by_name": name_of(call.handled_by),
        "sip_configuration": call.sip_configuration_id,
        "anomalies": Anomaly(call.anomalies).codes(),
        "created_at": _time(call.created_at),
        "updated_at": _time(call.updated_at),
    }


def _time(at: Any) -> str | None:
    return None if at is None else write_instant(at)
