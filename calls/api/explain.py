"""Why a call is what it is: `/api/call-logs/{id}/explain/`; and how it looked at an earlier time (`?as_of=`)."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from calls.api.buttons import NO_SUCH_CALL, the_call
from calls.api.representations import CallDetailRepresentation, EventRepresentation
from calls.domain.explain import Effect, Explanation, Reason
from calls.domain.vocabulary import Anomaly
from calls.models import Call, CallEvent
from calls.models.access_log import Look
from calls.operations.access_log import looked_at
from calls.queries.calls import recordings_of
from calls.queries.evidence import call_as_of, events_received, explanation_of
from calls.web.parameters import instant
from calls.web.schemas import errors

AS_OF = OpenApiParameter(
    "as_of",
    OpenApiTypes.DATETIME,
    description="Answer from the events that were received by then, ISO 8601. 404 if there were none."
    " Notes, quality score and the transcripts of recordings are those of now.",
)
# What callers of the API know these fields as.
NAMES = {"calling_number": "caller_number", "called_number": "recipient_number", "handled_by_id": "handled_by"}


def received_by(call: Call, at: datetime) -> list[CallEvent]:
    """Return the call's events that were received by then; raise 404 when there were none."""
    events = events_received(call, by=at)
    if not events:
        raise NotFound(NO_SUCH_CALL)
    return events


def detail_as_of(call: Call, at: datetime) -> Any:
    """Return the call as the events make it that were received by then, in the form it has today."""
    events = received_by(call, at)
    recordings = [recording for recording in recordings_of(call) if recording.created_at <= at]
    known = {"events": events, "recordings": recordings}
    return CallDetailRepresentation(call_as_of(call, events), context=known).data


class ReasonRepresentation(serializers.Serializer[Any]):
    """Why one field has its value."""

    value = serializers.JSONField(allow_null=True, help_text="As in the call itself.")
    rule = serializers.CharField(help_text="The rule, for people.")
    events = serializers.ListField(child=serializers.IntegerField(), help_text="The ids of the events it stands on.")


class EffectRepresentation(EventRepresentation):
    """What one event did."""

    changed = serializers.SerializerMethodField(help_text="What it changed when it was taken, in the events' order.")
    gave = serializers.SerializerMethodField(help_text="What stands on it now.")
    raised = serializers.SerializerMethodField(help_text="What is odd since it was taken.")
    why_nothing = serializers.SerializerMethodField(help_text="Why nothing stands on it; null where something does.")

    class Meta(EventRepresentation.Meta):
        fields = (*EventRepresentation.Meta.fields, "changed", "gave", "raised", "why_nothing")  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]

    def _effect(self, event: CallEvent) -> Effect:
        effect: Effect = self.context["effects"][event.pk]
        return effect

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_changed(self, event: CallEvent) -> list[str]:
        """Return the fields that changed when the event was taken."""
        return [NAMES.get(name, name) for name in self._effect(event).changed]

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_gave(self, event: CallEvent) -> list[str]:
        """Return the fields that stand on the event."""
        return [NAMES.get(name, name) for name in self._effect(event).gave]

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField([anomaly.code for anomaly in Anomaly])))
    def get_raised(self, event: CallEvent) -> list[str]:
        """Return what is odd since the event."""
        return self._effect(event).noted.codes()

    def get_why_nothing(self, event: CallEvent) -> str | None:
        """Return why nothing stands on the event."""
        return self._effect(event).why or None


class ExplanationRepresentation(serializers.Serializer[Any]):
    """Why a call is what it is."""

    id = serializers.UUIDField()
    sip_call_id = serializers.CharField()
    fields_explained = serializers.DictField(child=ReasonRepresentation())
    events = EffectRepresentation(many=True, help_text="In the order in which they are taken.")

    def get_fields(self) -> Any:
        """Return the fields; one of them is called `fields`, which is taken in Python."""
        found = super().get_fields()
        found["fields"] = found.pop("fields_explained")
        return {name: found[name] for name in ("id", "sip_call_id", "fields", "events")}


class Explain(APIView):
    """Why one call is what it is."""

    rights = {"GET": "calls.view_call"}

    @extend_schema(
        operation_id="explain_call",
        tags=["Call logs"],
        summary="Why a call is what it is",
        description="Field by field, which events gave it by which rule; event by event, what it changed, and if"
        " nothing, why. It is worked out by the same code that keeps the call's state.",
        parameters=[AS_OF],
        responses={200: ExplanationRepresentation, **errors(400, 401, 403, 404, 429, 503)},
    )
    def get(self, request: Request, id: str) -> Response:
        """Answer with a reason for each field and the effect of each event."""
        at = instant(request, "as_of")
        call = the_call(id)
        parties = [call.calling_number, call.called_number]
        looked_at(request.user, filter(None, parties), what=Look.CALL, at=timezone.now(), call_id=call.pk)
        events = events_received(call) if at is None else received_by(call, at)
        told = explanation_of(call, events)
        # Both are in the events' order.
        ids = {effect.event.key: event.pk for effect, event in zip(told.effects, events, strict=True)}
        effects = dict(zip(ids.values(), told.effects, strict=True))
        return Response(
            {
                "id": call.pk,
                "sip_call_id": call.external_id,
                "fields": {
                    NAMES.get(name, name): _shown(name, reason, told, ids) for name, reason in told.reasons.items()
                },
                "events": EffectRepresentation(events, many=True, context={"effects": effects}).data,
            }
        )


def _shown(name: str, reason: Reason, told: Explanation, ids: dict[Any, int]) -> dict[str, Any]:
    """Return one field's reason as it is answered, with the value as the call itself has it."""
    value = reason.value
    if name in ("calling_number", "called_number"):
        value = getattr(told.state, name.replace("_number", "_as_sent")) or value
    elif isinstance(value, Anomaly):
        value = value.codes()
    return {"value": value, "rule": reason.rule, "events": [ids[event.key] for event in reason.events]}
