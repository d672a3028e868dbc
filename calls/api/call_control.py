"""The buttons of calls: each is decided under the call's lock, and becomes events or a 409."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from calls.api.buttons import IDEMPOTENCY_KEY, ButtonView, detail, plain, the_call
from calls.api.fields import MAX_LENGTH, IdField, Text, number_field
from calls.api.representations import CallDetailRepresentation, EventRepresentation, RecordingRepresentation
from calls.domain.masking import mask_values
from calls.domain.rules import Step
from calls.domain.vocabulary import END_TYPES, CallStatus, CallType, EventType, read_cause
from calls.models import SIPConfiguration
from calls.operations import control
from calls.operations.control import Button
from calls.operations.idempotency import Told
from calls.web.schemas import errors


class InitiateCallRequest(serializers.Serializer[Any]):
    """An outbound call to begin."""

    recipient_number = number_field()
    call_type = serializers.ChoiceField(choices=list(CallType), default=CallType.VOICE)
    sip_configuration = serializers.PrimaryKeyRelatedField(
        queryset=SIPConfiguration.objects.all(),
        required=False,
        allow_null=True,
        help_text="The default one, unless given.",
    )


class InitiateCall(ButtonView):
    """Begin an outbound call."""

    @extend_schema(
        operation_id="initiate_call",
        tags=["Call control"],
        summary="Begin an outbound call",
        description="The answer has the `sip_call_id` under which the SIP server must report the call.",
        parameters=[IDEMPOTENCY_KEY],
        request=InitiateCallRequest,
        responses={201: CallDetailRepresentation, **errors(400, 401, 403, 409, 411, 413, 415, 503)},
        examples=[
            OpenApiExample(
                "Example", value={"recipient_number": "+1234567890", "call_type": "voice"}, request_only=True
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Begin the call."""
        given = InitiateCallRequest(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data

        def act(button: Button) -> Told:
            call = control.initiate_call(
                button,
                recipient_number=values["recipient_number"],
                call_type=CallType(values["call_type"]),
                sip_configuration=values.get("sip_configuration"),
            )
            return 201, detail(call)

        return self.press(request, act)


class IncomingCallRequest(serializers.Serializer[Any]):
    """An inbound call that rings."""

    caller_number = number_field()
    recipient_number = number_field()
    sip_call_id = IdField(required=False)
    call_type = serializers.ChoiceField(choices=list(CallType), default=CallType.VOICE)


class LogIncomingCall(ButtonView):
    """Log an inbound call."""

    @extend_schema(
        operation_id="log_incoming_call",
        tags=["Call control"],
        summary="Log an inbound call",
        description="If a webhook has made this `sip_call_id` already, that call is answered (200); nothing is added.",
        parameters=[IDEMPOTENCY_KEY],
        request=IncomingCallRequest,
        responses={
            201: CallDetailRepresentation,
            200: CallDetailRepresentation,
            **errors(400, 401, 403, 409, 411, 413, 415, 503),
        },
        examples=[
            OpenApiExample(
                "Example",
                value={
                    "caller_number": "+1234567890",
                    "recipient_number": "+0987654321",
                    "sip_call_id": "unique-sip-id",
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Log the call, or return the one that is known."""
        given = IncomingCallRequest(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data

        def act(button: Button) -> Told:
            call, fresh = control.log_incoming_call(
                button,
                caller_number=values["caller_number"],
                recipient_number=values["recipient_number"],
                sip_call_id=values.get("sip_call_id"),
                call_type=CallType(values["call_type"]),
            )
            return 201 if fresh else 200, detail(call)

        return self.press(request, act)


class StatusChange(serializers.Serializer[Any]):
    """What may be changed of a call."""

    status = serializers.ChoiceField(choices=list(CallStatus), required=False)
    transfer_to = number_field(required=False, help_text="With the status `transferred`.")
    notes = Text(required=False, allow_blank=True, trim_whitespace=False)
    call_quality_score = serializers.DecimalField(
        max_digits=2, decimal_places=1, min_value=0, max_value=5, required=False
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse what would silently change nothing."""
        if "transfer_to" in attrs and attrs.get("status") != CallStatus.TRANSFERRED:
            raise serializers.ValidationError({"transfer_to": ["Belongs to the status transferred only."]})
        if not attrs:
            raise serializers.ValidationError("Give a status, notes or call_quality_score.")
        return attrs


class UpdateStatus(ButtonView):
    """Bring a call to a status, and annotate it."""

    # Analysts may edit notes; for the rest `post` asks for more.
    rights = {"PATCH": "calls.annotate_call"}

    @extend_schema(
        operation_id="update_status",
        tags=["Call control"],
        summary="Bring a call to a status, and annotate it",
        description="Notes and quality score may always be set. The present status again changes nothing.",
        parameters=[IDEMPOTENCY_KEY],
        request=StatusChange,
        responses={200: CallDetailRepresentation, **errors(400, 401, 403, 404, 409, 411, 413, 415, 503)},
        examples=[
            OpenApiExample(
                "Example",
                value={"status": "answered", "notes": "Customer inquiry about billing", "call_quality_score": 4.5},
                request_only=True,
            )
        ],
    )
    def patch(self, request: Request, id: str) -> Response:
        """Change what is given."""
        given = StatusChange(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        if set(values) - {"notes"} and not request.user.has_perm("calls.operate_call"):
            self.permission_denied(request, "You may edit the notes of a call only.", "permission_denied")
        call = the_call(id)

        def act(button: Button) -> Told:
            changed = control.update_status(
                call,
                button,
                status=CallStatus(values["status"]) if "status" in values else None,
                transfer_to=values.get("transfer_to"),
                notes=values.get("notes"),
                call_quality_score=values.get("call_quality_score"),
            )
            return 200, detail(changed)

        return self.press(request, act)


class EndCall(ButtonView):
    """End a call."""

    @extend_schema(
        operation_id="end_call",
        tags=["Call control"],
        summary="End a call",
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={200: CallDetailRepresentation, **errors(400, 401, 403, 404, 409, 411, 413, 415, 503)},
    )
    def post(self, request: Request, id: str) -> Response:
        """End the call; before the answer that is giving up."""
        call = the_call(id)
        return self.press(request, lambda button: (200, detail(control.end_call(call, button))))


class ToggleHold(ButtonView):
    """Hold a call, or go on."""

    @extend_schema(
        operation_id="toggle_hold",
        tags=["Call control"],
        summary="Put a call on hold, or take it off",
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={200: CallDetailRepresentation, **errors(400, 401, 403, 404, 409, 411, 413, 415, 503)},
    )
    def post(self, request: Request, id: str) -> Response:
        """Hold the call, or go on."""
        call = the_call(id)
        return self.press(request, lambda button: (200, detail(control.toggle_hold(call, button))))


class TransferRequest(serializers.Serializer[Any]):
    """Where a call is passed on to."""

    transfer_to = number_field()


class TransferCall(ButtonView):
    """Pass a call on."""

    @extend_schema(
        operation_id="transfer_call",
        tags=["Call control"],
        summary="Pass a call on to another number",
        parameters=[IDEMPOTENCY_KEY],
        request=TransferRequest,
        responses={200: CallDetailRepresentation, **errors(400, 401, 403, 404, 409, 411, 413, 415, 503)},
        examples=[OpenApiExample("Example", value={"transfer_to": "+1234567890"}, request_only=True)],
    )
    def post(self, request: Request, id: str) -> Response:
        """Pass the call on, which ends this leg of it."""
        given = TransferRequest(data=request.data)
        given.is_valid(raise_exception=True)
        call, target = the_call(id), given.validated_data["transfer_to"]
        return self.press(
            request, lambda button: (200, detail(control.transfer_call(call, button, transfer_to=target)))
        )


class NewEvent(serializers.Serializer[Any]):
    """Something that happened to a call."""

    event_type = serializers.ChoiceField(choices=list(EventType))
    metadata = serializers.DictField(required=False)


class AddEvent(ButtonView):
    """Note that something happened to a call."""

    @extend_schema(
        operation_id="add_event",
        tags=["Call control"],
        summary="Note that something happened to a call",
        parameters=[IDEMPOTENCY_KEY],
        request=NewEvent,
        responses={201: EventRepresentation, **errors(400, 401, 403, 404, 409, 411, 413, 415, 503)},
        examples=[
            OpenApiExample(
                "Example", value={"event_type": "muted", "metadata": {"reason": "background_noise"}}, request_only=True
            )
        ],
    )
    def post(self, request: Request, id: str) -> Response:
        """Add the event, if it can happen to the call as it is."""
        given = NewEvent(data=request.data)
        given.is_valid(raise_exception=True)
        kind, metadata = EventType(given.validated_data["event_type"]), given.validated_data.get("metadata", {})
        target = metadata.get("transfer_to")
        step = Step(
            kind,
            cause=read_cause(metadata) if kind in END_TYPES else None,
            transfer_to=target if isinstance(target, str) and 0 < len(target) <= MAX_LENGTH else None,
            metadata=mask_values(metadata),
        )
        call = the_call(id)

        def act(button: Button) -> Told:
            return 201, plain(EventRepresentation(control.add_event(call, button, step=step)).data)

        return self.press(request, act)


class StartRecording(ButtonView):
    """Begin to record a call."""

    @extend_schema(
        operation_id="start_recording",
        tags=["Call control"],
        summary="Begin to record a call",
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={201: RecordingRepresentation, **errors(400, 401, 403, 404, 409, 411, 413, 415, 503)},
    )
    def post(self, request: Request, id: str) -> Response:
        """Begin to record."""
        call = the_call(id)

        def act(button: Button) -> Told:
            _, recording = control.start_recording(call, button)
            return 201, plain(RecordingRepresentation(recording).data)

        return self.press(request, act)


class StopRecording(ButtonView):
    """Stop recording a call."""

    @extend_schema(
        operation_id="stop_recording",
        tags=["Call control"],
        summary="Stop recording a call",
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={200: RecordingRepresentation, **errors(400, 401, 403, 404, 409, 411, 413, 415, 503)},
    )
    def post(self, request: Request, id: str) -> Response:
        """Stop recording; the recording is then processed."""
        call = the_call(id)

        def act(button: Button) -> Told:
            _, recording = control.stop_recording(call, button)
            return 200, plain(RecordingRepresentation(recording).data)

        return self.press(request, act)
