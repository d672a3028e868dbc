"""The REST views of the doors where others report to us."""

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from calls.ingest import process_events, schemas
from calls.ingest.door import MAX_BATCH_BYTES, receive
from calls.web.bodies import JSON, NDJSON, media_type_of, read_body
from calls.web.parameters import flag
from calls.web.schemas import errors


class ProcessEvents(APIView):
    """Take call events from a telephony system."""

    rights = {"POST": "calls.add_callevent"}

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
    def post(self, request: Request) -> Response:
        """Record what the body reports, durably, before answering."""
        media_type = media_type_of(request._request, accepted=(JSON, NDJSON))
        body = read_body(request._request, limit=MAX_BATCH_BYTES)
        answer = receive(
            body,
            media_type=media_type,
            read=process_events.read_event,
            at=timezone.now(),
            dry_run=flag(request, "dry_run"),
        )
        return Response(answer.body, status=answer.status)
