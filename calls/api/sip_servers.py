"""SIP configurations in use: is the server there, and what a softphone in a browser needs."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from calls.domain.rules import NotPossible
from calls.models import SIPConfiguration
from calls.models.secrets import UnreadableSecret
from calls.models.sip import Transport
from calls.operations.connection import as_dict, check_connection
from calls.operations.webrtc import webrtc_config
from calls.sip.channels import Failure
from calls.web.errors import Conflict
from calls.web.schemas import errors
from calls.web.throttles import ConnectionTestThrottle


class FindingRepresentation(serializers.Serializer[Any]):
    """What came of asking a SIP server with OPTIONS."""

    reachable = serializers.BooleanField(help_text="A SIP server answered, whatever it said.")
    status_code = serializers.IntegerField(allow_null=True, help_text="The SIP status of the last answer.")
    reason = serializers.CharField(allow_null=True, help_text="The words beside it.")
    latency_ms = serializers.FloatField(
        allow_null=True, help_text="From the first request to its final answer, in milliseconds."
    )
    server = serializers.CharField(allow_null=True, help_text="What the server calls itself.")
    transport = serializers.ChoiceField(choices=list(Transport))
    authenticated = serializers.BooleanField(
        allow_null=True,
        help_text="Whether it accepted the credentials; null if it asked for none, or its answer does not tell.",
    )
    error = serializers.ChoiceField(
        choices=list(Failure), required=False, help_text="Only when there was no final answer: why, coarsely."
    )


class IceServerRepresentation(serializers.Serializer[Any]):
    """STUN or TURN servers, as RTCPeerConnection takes them."""

    urls = serializers.ListField(child=serializers.CharField())
    username = serializers.CharField(required=False)
    credential = serializers.CharField(required=False)


class JsSIPRepresentation(serializers.Serializer[Any]):
    """The configuration of a JsSIP.UA, but for its sockets, which are addresses here and objects there."""

    sockets = serializers.ListField(child=serializers.CharField())
    uri = serializers.CharField()
    authorization_user = serializers.CharField()
    realm = serializers.CharField(required=False)
    display_name = serializers.CharField(required=False)
    password = serializers.CharField(required=False)


class WebRTCRepresentation(serializers.Serializer[Any]):
    """What a softphone needs. The password is there only for those with the right to be given it."""

    wss_uri = serializers.CharField(allow_null=True)
    sip_uri = serializers.CharField(allow_null=True)
    username = serializers.CharField(allow_null=True)
    realm = serializers.CharField(allow_null=True)
    display_name = serializers.CharField(allow_null=True)
    ice_servers = IceServerRepresentation(many=True)
    expires_at = serializers.DateTimeField(allow_null=True, help_text="When the TURN credentials end.")
    jssip = JsSIPRepresentation(allow_null=True)
    password = serializers.CharField(required=False)


class TryConnection(APIView):
    """Ask the server of a configuration whether it is there."""

    rights = {"POST": "calls.change_sipconfiguration"}
    throttle_classes = [ConnectionTestThrottle]

    @extend_schema(
        operation_id="test_sip_connection",
        tags=["SIP"],
        summary="Test the connection to the SIP server",
        description=(
            "Sends SIP OPTIONS (RFC 3261) over UDP, TCP or TLS, with digest authentication if the server asks for it,"
            " and waits a few seconds at most. Only public addresses on ports 5060 and 5061 are reached, and what"
            " SIP_EGRESS_ALLOW opens. The test is written down."
        ),
        request=None,
        responses={200: FindingRepresentation, **errors(401, 403, 404, 409, 429, 503)},
        examples=[
            OpenApiExample(
                "There",
                value={
                    "reachable": True,
                    "status_code": 200,
                    "reason": "OK",
                    "latency_ms": 12.4,
                    "server": "kamailio (5.6.3 (x86_64/linux))",
                    "transport": "udp",
                    "authenticated": True,
                },
            ),
            OpenApiExample(
                "Silent",
                value={
                    "reachable": False,
                    "status_code": None,
                    "reason": None,
                    "latency_ms": None,
                    "server": None,
                    "transport": "udp",
                    "authenticated": None,
                    "error": "timeout",
                },
            ),
        ],
    )
    def post(self, request: Request, id: int) -> Response:
        """Ask now, and answer with what came of it."""
        configuration = get_object_or_404(SIPConfiguration.objects.all(), pk=id)
        try:
            finding = check_connection(configuration, user=request.user, at=timezone.now())
        except UnreadableSecret as unreadable:
            raise Conflict(str(unreadable), "unreadable_secret") from None
        return Response(as_dict(finding))


class WebRTCConfiguration(APIView):
    """What a softphone in a browser needs of a configuration."""

    rights = {"GET": "calls.view_sipconfiguration"}

    @extend_schema(
        operation_id="get_webrtc_config",
        tags=["SIP"],
        summary="What a softphone in a browser needs",
        description=(
            "`ice_servers` goes to RTCPeerConnection; its TURN credentials, for those who may press the buttons of"
            " calls, end at `expires_at`. `jssip` goes to JsSIP.UA once each address in its `sockets` is a"
            " JsSIP.WebSocketInterface. `password` is there for those with the right `reveal_sip_password` only, and"
            " each time it is given that is written down."
        ),
        responses={200: WebRTCRepresentation, **errors(401, 403, 404, 409, 429, 503)},
        examples=[
            OpenApiExample(
                "Example",
                value={
                    "wss_uri": "wss://sip.example.com:7443",
                    "sip_uri": "sip:phonegoggles@sip.example.com",
                    "username": "phonegoggles",
                    "realm": None,
                    "display_name": "Front desk",
                    "ice_servers": [
                        {"urls": ["stun:stun.example.com:3478"]},
                        {
                            "urls": ["turn:turn.example.com?transport=udp", "turn:turn.example.com?transport=tcp"],
                            "username": "1767225600:7",
                            "credential": "6xGqeDCZZ1f6fCPBLYv2bNH2uKQ=",
                        },
                    ],
                    "expires_at": "2026-01-01T00:00:00Z",
                    "jssip": {
                        "sockets": ["wss://sip.example.com:7443"],
                        "uri": "sip:phonegoggles@sip.example.com",
                        "authorization_user": "phonegoggles",
                        "display_name": "Front desk",
                    },
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, id: int) -> Response:
        """Answer with it; nobody may keep the answer, since it may hold secrets."""
        configuration = get_object_or_404(SIPConfiguration.objects.all(), pk=id)
        try:
            config = webrtc_config(configuration, user=request.user, at=timezone.now())
        except NotPossible as refusal:
            raise Conflict(str(refusal), "invalid_transition") from None
        except UnreadableSecret as unreadable:
            raise Conflict(str(unreadable), "unreadable_secret") from None
        return Response(config, headers={"Cache-Control": "no-store"})
