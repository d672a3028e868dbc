"""How calls, their events and recordings look to callers of `/api/`."""

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from calls.domain.recordings import RecordingStatus
from calls.domain.vocabulary import Anomaly, CallStatus, CallType, Direction, EventType, Source
from calls.models import Call, CallEvent, CallRecording
from calls.queries.calls import events_in_order, recordings_of


def name_of(user: AbstractBaseUser | None) -> str | None:
    """Return how a user is called: the full name where there is one, else the user name."""
    if user is None:
        return None
    return (user.get_full_name() if hasattr(user, "get_full_name") else "") or user.get_username()


class EventRepresentation(serializers.ModelSerializer[CallEvent]):
    """One event of a call."""

    event_type = serializers.ChoiceField(source="type", choices=list(EventType))
    source = serializers.ChoiceField(choices=list(Source))  # type: ignore[assignment]
    metadata = serializers.SerializerMethodField()
    user_name = serializers.SerializerMethodField()

    class Meta:
        model = CallEvent
        fields = (
            "id",
            "event_id",
            "event_type",
            "occurred_at",
            "received_at",
            "source",
            "metadata",
            "user",
            "user_name",
        )
        read_only_fields = fields

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_metadata(self, event: CallEvent) -> dict[str, Any]:
        """Return what else the sender said."""
        return event.metadata or {}

    def get_user_name(self, event: CallEvent) -> str | None:
        """Return who of us it was."""
        return name_of(event.user)


class RecordingRepresentation(serializers.ModelSerializer[CallRecording]):
    """One recording of a call."""

    call = serializers.UUIDField(source="call_id")
    status = serializers.ChoiceField(choices=list(RecordingStatus))
    file_url = serializers.CharField(help_text="Where an outside system keeps it; https only. Empty where it does not.")
    has_file = serializers.SerializerMethodField(help_text="Whether the sound can be had at `{id}/file/`.")

    class Meta:
        model = CallRecording
        fields = (
            "id", "call", "status", "has_file", "file_url", "file_path", "file_size", "duration", "format",
            "transcript", "transcript_confidence", "created_at", "updated_at", "deleted_at", "deleted_why",
        )  # fmt: skip
        read_only_fields = fields

    def get_has_file(self, recording: CallRecording) -> bool:
        """Return whether we have the file."""
        return recording.has_file


class CallRepresentation(serializers.ModelSerializer[Call]):
    """One call, as it stands in lists."""

    call_id = serializers.UUIDField(source="id")
    sip_call_id = serializers.CharField(source="external_id")
    caller_number = serializers.SerializerMethodField()
    recipient_number = serializers.SerializerMethodField()
    direction = serializers.ChoiceField(choices=list(Direction))
    call_type = serializers.ChoiceField(choices=list(CallType))
    status = serializers.ChoiceField(choices=list(CallStatus))
    transferred_to = serializers.CharField(source="state.transferred_to", allow_null=True)
    inferred_end = serializers.BooleanField(source="state.inferred_end")
    call_quality_score = serializers.FloatField(allow_null=True)
    client_name = serializers.CharField(source="client.name", default=None, allow_null=True)
    handled_by_name = serializers.SerializerMethodField()
    anomalies = serializers.SerializerMethodField()

    class Meta:
        model = Call
        fields = (
            "id", "call_id", "sip_call_id", "caller_number", "recipient_number", "direction", "call_type", "status",
            "started_at", "ringing_at", "answered_at", "ended_at", "duration", "ring_seconds", "talk_seconds",
            "hold_seconds", "transferred_to", "cause", "inferred_end", "notes", "call_quality_score", "client",
            "client_name", "handled_by", "handled_by_name", "sip_configuration", "anomalies",
            "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_caller_number(self, call: Call) -> str:
        """Return the caller as it was sent."""
        return str(call.calling_as_sent or call.calling_number)

    def get_recipient_number(self, call: Call) -> str:
        """Return who was called as it was sent."""
        return str(call.called_as_sent or call.called_number)

    def get_handled_by_name(self, call: Call) -> str | None:
        """Return who of us handled the call."""
        return name_of(call.handled_by)

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField([anomaly.code for anomaly in Anomaly])))
    def get_anomalies(self, call: Call) -> list[str]:
        """Return what is odd about the call."""
        return Anomaly(call.anomalies).codes()


class LiveCallRepresentation(CallRepresentation):
    """One call, as live listeners are told of it: of two tellings, the one with the higher version is newer."""

    class Meta(CallRepresentation.Meta):
        fields = (*CallRepresentation.Meta.fields, "version")  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]


class CallDetailRepresentation(CallRepresentation):
    """One call with its events and recordings."""

    events = serializers.SerializerMethodField()
    recordings = serializers.SerializerMethodField()
    recording = serializers.SerializerMethodField(help_text="The latest recording.")

    class Meta(CallRepresentation.Meta):
        fields = (*CallRepresentation.Meta.fields, "events", "recordings", "recording")  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]

    def to_representation(self, instance: Call) -> dict[str, Any]:
        """Look the recordings up once for both keys; of an earlier time, the context knows them."""
        recordings = self.context["recordings"] if "recordings" in self.context else recordings_of(instance)
        self._recordings = RecordingRepresentation(recordings, many=True).data
        return super().to_representation(instance)

    @extend_schema_field(EventRepresentation(many=True))
    def get_events(self, call: Call) -> Any:
        """Return the call's events in order; of an earlier time, the context knows them."""
        events = self.context["events"] if "events" in self.context else events_in_order(call)
        return EventRepresentation(events, many=True).data

    @extend_schema_field(RecordingRepresentation(many=True))
    def get_recordings(self, call: Call) -> Any:
        """Return the call's recordings, the latest first."""
        return self._recordings

    @extend_schema_field(RecordingRepresentation(allow_null=True))
    def get_recording(self, call: Call) -> Any:
        """Return the latest recording."""
        return self._recordings[0] if self._recordings else None
