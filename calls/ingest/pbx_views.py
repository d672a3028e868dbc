"""The REST views of the doors where telephone systems report in their own words."""

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from calls.domain.vocabulary import Source
from calls.ingest import asterisk, freeswitch, pbx_schemas
from calls.ingest.basic import TokenAsPassword
from calls.ingest.door import receive_selected
from calls.ingest.signature import SignatureAuthentication, body_of
from calls.ingest.views import Webhook
from calls.web.authentication import TokenAuthentication
from calls.web.bodies import JSON, media_type_of
from calls.web.schemas import errors


class FreeSWITCHWebhook(Webhook):
    """Take the call detail records that mod_json_cdr posts."""

    door = Source.FREESWITCH
    authentication_classes = (TokenAuthentication, SignatureAuthentication, TokenAsPassword)
    rights = {"POST": "calls.add_callevent"}
    max_body_bytes = freeswitch.MAX_DOCUMENT_BYTES

    @extend_schema(
        operation_id="freeswitch_webhook",
        tags=["Webhooks"],
        summary="Report a leg that has ended, as FreeSWITCH's mod_json_cdr does",
        description=pbx_schemas.FREESWITCH_DESCRIPTION,
        request={JSON: pbx_schemas.JSON_CDR},
        responses={
            (200, JSON): pbx_schemas.LEG_RESULT,
            **errors(400, 401, 403, 405, 409, 411, 413, 415, 503),
        },
        examples=[OpenApiExample("Example", value=pbx_schemas.JSON_CDR_EXAMPLE, request_only=True, media_type=JSON)],
    )
    def post(self, request: Request) -> Response:
        """Record what the leg says, durably, before answering."""
        media_type_of(request._request, accepted=(JSON,))
        self.body = body_of(request)
        return Response(freeswitch.receive_leg(self.body, at=timezone.now()).body)


class AsteriskWebhook(Webhook):
    """Take Asterisk's channel events."""

    door = Source.ASTERISK
    rights = {"POST": "calls.add_callevent"}
    max_body_bytes = asterisk.MAX_BATCH_BYTES

    @extend_schema(
        operation_id="asterisk_webhook",
        tags=["Webhooks"],
        summary="Report channel events (CEL) of Asterisk",
        description=pbx_schemas.ASTERISK_DESCRIPTION,
        request={JSON: pbx_schemas.CHANNEL_EVENTS},
        responses={
            (200, JSON): pbx_schemas.CHANNEL_COUNTS,
            (207, JSON): pbx_schemas.CHANNEL_COUNTS,
            **errors(400, 401, 403, 405, 411, 413, 415, 503),
        },
        examples=[
            OpenApiExample("One event", value=pbx_schemas.CHANNEL_EXAMPLE, request_only=True, media_type=JSON),
            OpenApiExample("Several", value=[pbx_schemas.CHANNEL_EXAMPLE], request_only=True, media_type=JSON),
        ],
    )
    def post(self, request: Request) -> Response:
        """Record the events, durably, before answering."""
        media_type_of(request._request, accepted=(JSON,))
        self.body = body_of(request)
        answer = receive_selected(self.body, read=asterisk.read_event, at=timezone.now())
        if answer.status != 200:
            self.keep_refused(answer)
        return Response(answer.body, status=answer.status)
