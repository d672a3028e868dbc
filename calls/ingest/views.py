"""The REST views of the doors where others report to us."""

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from calls.domain.vocabulary import Source
from calls.ingest import process_events, recordings, schemas, sip_events
from calls.ingest.door import MAX_BATCH_BYTES, receive, receive_one
from calls.ingest.refused import KeepsRefused
from calls.ingest.signature import SignatureAuthentication, body_of
from calls.operations.outcomes import Result
from calls.web.authentication import TokenAuthentication
from calls.web.bodies import JSON, NDJSON, media_type_of, read_body, write_json
from calls.web.parameters import flag
from calls.web.schemas import errors


class ProcessEvents(KeepsRefused, APIView):
    """Take call events from a telephony system."""

    door = Source.PROCESS_EVENTS
    rights = {"POST": "calls.add_callevent"}
    throttle_classes = ()  # reports are never throttled

    @extend_schema(
        operation_id="process_events",
        tags=["Events"],
        summary="Report one event, or a batch",
        description=schemas.PROCESS_EVENTS_DESCRIPTION,
        parameters=[
            OpenApiParameter("dry_run", bool, description="Judge and answer, but store nothing.", default=False)
        ],
        request={JSON: schemas.EVENT_OR_BATCH, NDJSON: schemas.NDJSON_LINES},
        examples=[
            OpenApiExample("One event", value=schemas.EXAMPLE, request_only=True, media_type=JSON),
            OpenApiExample("A batch", value=[schemas.EXAMPLE], request_only=True, media_type=JSON),
        ],
        responses={
            (200, JSON): schemas.RESULT_OR_COUNTS,
            (207, JSON): schemas.COUNTS,
            **errors(400, 401, 403, 405, 409, 411, 413, 415, 503),
        },
    )
    def post(self, request: Request) -> HttpResponse:
        """Record what the body reports, durably, before answering."""
        self.media_type = media_type_of(request._request, accepted=(JSON, NDJSON))
        self.body = read_body(request._request, limit=MAX_BATCH_BYTES)
        answer = receive(
            self.body,
            media_type=self.media_type,
            read=process_events.read_event,
            at=timezone.now(),
            dry_run=bool(request.META.get("QUERY_STRING")) and flag(request, "dry_run"),
        )
        if answer.status != 200:
            self.keep_refused(answer)
        return HttpResponse(write_json(answer.body), status=answer.status, content_type=JSON)


class Webhook(KeepsRefused, APIView):
    """A door where other systems report, with a token or a signature."""

    authentication_classes: tuple[type[BaseAuthentication], ...] = (TokenAuthentication, SignatureAuthentication)


class SIPWebhook(Webhook):
    """Take events from a SIP server."""

    door = Source.SIP
    rights = {"POST": "calls.add_callevent"}

    @extend_schema(
        operation_id="sip_webhook",
        tags=["Webhooks"],
        summary="Report an event from a SIP server",
        description=schemas.SIP_DESCRIPTION,
        request={JSON: schemas.SIP_EVENT},
        responses={(200, JSON): schemas.SIP_RESULT, **errors(400, 401, 403, 405, 409, 411, 413, 415, 503)},
        examples=[OpenApiExample("Example", value=schemas.SIP_EXAMPLE, request_only=True, media_type=JSON)],
    )
    def post(self, request: Request) -> Response:
        """Record the event, durably, before answering."""
        media_type_of(request._request, accepted=(JSON,))
        self.body = body_of(request)
        event, outcome = receive_one(self.body, read=sip_events.read_event, at=timezone.now())
        known = outcome.result is Result.DUPLICATE
        return Response(
            {
                "message": "This event was known already." if known else "The event was recorded.",
                "call_id": str(event.call_uuid),
                "status": outcome.call_status,
            }
        )


class RecordingWebhook(Webhook):
    """Take reports from a recorder."""

    door = recordings.DOOR
    rights = {"POST": "calls.add_callrecording"}

    @extend_schema(
        operation_id="recording_webhook",
        tags=["Webhooks"],
        summary="Report how far a recording has come",
        description=schemas.RECORDING_DESCRIPTION,
        request={JSON: schemas.RECORDING_REPORT},
        responses={(200, JSON): schemas.RECORDING_RESULT, **errors(400, 401, 403, 404, 405, 411, 413, 415, 503)},
        examples=[OpenApiExample("Example", value=schemas.RECORDING_EXAMPLE, request_only=True, media_type=JSON)],
    )
    def post(self, request: Request) -> Response:
        """Write the report down."""
        media_type_of(request._request, accepted=(JSON,))
        self.body = body_of(request)
        return Response(recordings.receive_report(self.body, at=timezone.now()).body)
