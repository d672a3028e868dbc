"""What we keep of calls: the log of their events, and what each call's events add up to."""

from dataclasses import fields
from operator import attrgetter
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Q, When

from calls.domain.events import Event
from calls.domain.state import CallState
from calls.domain.vocabulary import Anomaly, CallStatus, CallType, Direction, EndedBy, EventType, Source
from calls.fields import ExactField, WordField, known_words
from calls.models.clients import Client
from calls.models.sip import SIPConfiguration

ID_LENGTH = 255

# The stored facets: CallState's own fields, under the same names.
STATE_FIELDS = tuple(field.name for field in fields(CallState))
# What follows from them and is stored too, so that lists, filters and statistics need no rule.
DERIVED_FIELDS = (
    "status",
    "duration",
    "ring_seconds",
    "talk_seconds",
    "hold_seconds",
    "anomalies",
)


class Call(models.Model):
    """What the events of one call add up to; it can be thrown away and rebuilt from them.

    Only `operations/` writes the state. Notes and quality score are annotations that a
    rebuild leaves alone.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    external_id = ExactField("call id", max_length=ID_LENGTH)

    status = WordField(CallStatus, default=CallStatus.INITIATED)
    direction = WordField(Direction, default=Direction.UNKNOWN)
    call_type = WordField(CallType, default=CallType.VOICE)
    calling_number = ExactField(max_length=ID_LENGTH, blank=True, help_text="E.164 where there is such a form.")
    calling_as_sent = ExactField(max_length=ID_LENGTH, null=True, help_text="Where it was sent differently.")
    called_number = ExactField(max_length=ID_LENGTH, blank=True, help_text="E.164 where there is such a form.")
    called_as_sent = ExactField(max_length=ID_LENGTH, null=True, help_text="Where it was sent differently.")

    started_at = models.DateTimeField("start")
    ringing_at = models.DateTimeField("ringing", null=True)
    answered_at = models.DateTimeField("answer", null=True)
    ended_at = models.DateTimeField("end", null=True)
    ended_by = WordField(EndedBy, null=True)
    cause = ExactField(max_length=32, null=True, help_text="A word, or a Q.850 or SIP code.")
    transfer_target = ExactField(max_length=ID_LENGTH, null=True)
    handled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="handled_calls", db_index=False
    )

    # Between 1970 and 2099 lie more seconds than an integer column holds.
    duration = models.PositiveBigIntegerField(null=True, help_text="Seconds from start to end, of completed calls.")
    ring_seconds = models.PositiveBigIntegerField(null=True)
    talk_seconds = models.PositiveBigIntegerField(null=True)
    hold_seconds = models.PositiveBigIntegerField(null=True)

    anomalies = models.PositiveSmallIntegerField(default=0, help_text="The bits of domain.vocabulary.Anomaly.")
    odd = models.PositiveSmallIntegerField(default=0)
    marks = models.PositiveIntegerField(default=0)
    held_since = models.DateTimeField(null=True)
    hold_total = models.DurationField()
    last_event_at = models.DateTimeField("last event")
    last_event_rank = models.SmallIntegerField()
    version = models.PositiveIntegerField(help_text="How many events are known of the call.")

    client = models.ForeignKey(
        Client, null=True, on_delete=models.SET_NULL, related_name="calls", db_index=False, help_text="By its number."
    )
    sip_configuration = models.ForeignKey(
        SIPConfiguration, null=True, on_delete=models.SET_NULL, related_name="calls", db_index=False
    )
    # The status of a call that is over. It is the database's own copy, and what the index holds: an event that
    # does not end its call changes no column of any index, so that PostgreSQL updates no index (heap-only).
    outcome = models.GeneratedField(
        expression=Case(When(ended_at__isnull=False, then=F("status"))),
        output_field=WordField(CallStatus, null=True),
        db_persist=True,
    )
    notes = models.TextField(blank=True, default="", db_default="")
    call_quality_score = models.DecimalField(max_digits=2, decimal_places=1, null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-started_at", "-id"]
        constraints: ClassVar = [
            known_words("call", "status", CallStatus),
            known_words("call", "direction", Direction),
            known_words("call", "call_type", CallType),
            known_words("call", "ended_by", EndedBy),
        ]
        indexes: ClassVar = [
            models.Index(fields=["started_at", "id"], name="call_by_start"),
            models.Index(fields=["calling_number", "started_at", "id"], name="call_by_calling"),
            models.Index(fields=["called_number", "started_at", "id"], name="call_by_called"),
            models.Index(fields=["started_at", "id"], name="call_in_progress", condition=Q(ended_at=None)),
            models.Index(
                fields=["outcome", "started_at", "id"], name="call_by_outcome", condition=Q(outcome__isnull=False)
            ),
            models.Index(fields=["started_at", "id"], name="call_odd", condition=~Q(anomalies=0)),
            # What only some calls have; these also let a client, a user or a configuration be deleted quickly.
            models.Index(
                fields=["client", "started_at", "id"], name="call_by_client", condition=Q(client__isnull=False)
            ),
            models.Index(
                fields=["handled_by", "started_at", "id"], name="call_by_agent", condition=Q(handled_by__isnull=False)
            ),
            models.Index(
                fields=["sip_configuration"], name="call_by_sip", condition=Q(sip_configuration__isnull=False)
            ),
        ]
        permissions: ClassVar = [
            ("annotate_call", "Can edit the notes of a call"),
            ("operate_call", "Can press the buttons of a call"),
        ]

    def __str__(self) -> str:
        return str(self.external_id)

    def save(self, *args: Any, **options: Any) -> None:
        """Save annotations only; the state is written by `operations.record`."""
        if not options.get("update_fields"):
            raise TypeError("A call is made of its events: name the annotations in update_fields.")
        super().save(*args, **options)

    @property
    def state(self) -> CallState:
        """The stored state, to look at or to apply further events to."""
        return state_from_row([getattr(self, column) for column in STATE_FIELDS])

    @property
    def anomaly_list(self) -> list[Anomaly]:
        """What is odd about the call, one by one."""
        return list(Anomaly(self.anomalies))


class CallEvent(models.Model):
    """One fact about one call, as it was reported. Rows are only ever added."""

    id = models.BigAutoField(primary_key=True)
    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="events", db_index=False)
    source = WordField(Source)
    event_id = ExactField("event id", max_length=ID_LENGTH)
    type = WordField(EventType)
    word = ExactField("event", max_length=64, help_text="The sender's own word.")
    occurred_at = models.DateTimeField("created at", help_text="The sender's time.")
    received_at = models.DateTimeField(help_text="Our time, when it first arrived.")
    calling_number = ExactField(max_length=ID_LENGTH, blank=True)
    called_number = ExactField(max_length=ID_LENGTH, blank=True)
    direction = WordField(Direction, null=True)
    call_type = WordField(CallType, null=True)
    cause = ExactField(max_length=32, null=True)
    transfer_to = ExactField(max_length=ID_LENGTH, null=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    metadata = models.JSONField(null=True, help_text="Everything else that the sender said.")

    class Meta:
        ordering: ClassVar = ["-id"]
        default_permissions: ClassVar = ["add", "view"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "event_id"], name="event_unique_in_source"),
            known_words("event", "source", Source),
            known_words("event", "type", EventType),
        ]
        indexes: ClassVar = [
            models.Index(fields=["call"], name="event_by_call"),
            models.Index(fields=["user"], name="event_by_user", condition=Q(user__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.word or self.type} {self.event_id}"

    def as_event(self, *, call_id: str) -> Event:
        """Return the row as the domain knows it."""
        return event_from_row(call_id, [getattr(self, column) for column in EVENT_COLUMNS])


# -- Rows and the domain's objects -----------------------------------------------------------

EVENT_COLUMNS = (
    "source",
    "event_id",
    "type",
    "word",
    "occurred_at",
    "received_at",
    "calling_number",
    "called_number",
    "direction",
    "call_type",
    "cause",
    "transfer_to",
    "user_id",
    "metadata",
)
_STATE_WORDS: dict[str, Any] = {
    "ended_by": EndedBy,
    "direction": Direction,
    "call_type": CallType,
}
# A dictionary finds a word several times faster than its type does.
_STATE_READERS = tuple(
    (index, {word.value: word for word in _STATE_WORDS[name]})
    for index, name in enumerate(STATE_FIELDS)
    if name in _STATE_WORDS
)


def state_from_row(row: list[Any]) -> CallState:
    """Return the state that a row of STATE_FIELDS holds."""
    for index, words in _STATE_READERS:
        if row[index] is not None:
            row[index] = words[row[index]]
    return CallState(**dict(zip(STATE_FIELDS, row, strict=True)))


_STORED = (*STATE_FIELDS, *DERIVED_FIELDS)
# The values of STATE_FIELDS and DERIVED_FIELDS of a state.
stored_values = attrgetter(*STATE_FIELDS, *("anomaly_bits" if name == "anomalies" else name for name in DERIVED_FIELDS))


def state_values(state: CallState) -> dict[str, Any]:
    """Return the columns, facets and what follows from them, that a state is stored in."""
    return dict(zip(_STORED, stored_values(state), strict=True))


def known_values(state: CallState) -> dict[str, Any]:
    """Return `state_values` without what is NULL."""
    return {name: value for name, value in zip(_STORED, stored_values(state), strict=True) if value is not None}


def event_from_row(call_id: str, row: list[Any]) -> Event:
    """Return the event that a row of EVENT_COLUMNS holds."""
    values = dict(zip(EVENT_COLUMNS, row, strict=True))
    values["source"] = Source(values["source"])
    values["type"] = EventType(values["type"])
    if values["direction"] is not None:
        values["direction"] = Direction(values["direction"])
    if values["call_type"] is not None:
        values["call_type"] = CallType(values["call_type"])
    values["metadata"] = values["metadata"] or {}
    return Event(call_id=call_id, **values)
