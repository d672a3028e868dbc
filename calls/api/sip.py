"""SIP configurations: `/api/sip-configurations/`."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.generics import ListCreateAPIView, RetrieveUpdateDestroyAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from calls.api.fields import Text, TextsSerializer
from calls.api.pages import KeysetPagination
from calls.domain.rules import NotPossible
from calls.models import SIPConfiguration
from calls.models.sip import Transport, is_one_line
from calls.operations.sip import NameTaken, delete_configuration, save_configuration, set_default
from calls.web.errors import Conflict
from calls.web.schemas import errors
from calls.web.views import ReadsChunks


class SIPConfigurationRepresentation(TextsSerializer[SIPConfiguration]):
    """A SIP configuration; the password goes in and never comes out."""

    password = Text(write_only=True, required=False, allow_blank=True, max_length=256, trim_whitespace=False)
    has_password = serializers.SerializerMethodField()
    transport = serializers.ChoiceField(choices=list(Transport), default=Transport.UDP)

    class Meta:
        model = SIPConfiguration
        fields = (
            "id", "name", "sip_server", "sip_port", "transport", "username", "password", "has_password", "realm",
            "display_name", "caller_number", "wss_uri", "stun_server", "turn_server", "is_active", "is_default",
            "created_at", "updated_at",
        )  # fmt: skip
        # Which one is the default is changed by set_default, so that there is always exactly one.
        read_only_fields = ("id", "is_default", "created_at", "updated_at")

    def get_has_password(self, configuration: SIPConfiguration) -> bool:
        """Return whether a password is stored."""
        return bool(configuration.encrypted_password)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse line breaks, which could add headers to SIP messages."""
        texts = {name: value for name, value in attrs.items() if isinstance(value, str)}
        broken = {
            name: ["Must be one line, without control characters."]
            for name, value in texts.items()
            if not is_one_line(value)
        }
        if broken:
            raise serializers.ValidationError(broken)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> SIPConfiguration:
        """Make a configuration; the first active one becomes the default."""
        return self.update(SIPConfiguration(), validated_data)

    def update(self, instance: SIPConfiguration, validated_data: dict[str, Any]) -> SIPConfiguration:
        """Change a configuration; a password that is not given stays."""
        try:
            return save_configuration(instance, validated_data)
        except NameTaken as taken:
            raise serializers.ValidationError({"name": [str(taken)]}) from None
        except NotPossible as refusal:
            raise serializers.ValidationError({"is_active": [str(refusal)]}) from None


EXAMPLE = OpenApiExample(
    "Example",
    value={
        "name": "Main",
        "sip_server": "sip.example.com",
        "sip_port": 5060,
        "transport": "udp",
        "username": "phonegoggles",
        "password": "secret",  # nosec B105 - the documentation's example
        "caller_number": "+12025550100",
        "wss_uri": "wss://sip.example.com:7443",
    },
    request_only=True,
)


@extend_schema_view(
    get=extend_schema(
        operation_id="list_sip_configurations",
        tags=["SIP"],
        summary="List SIP configurations",
        responses={200: SIPConfigurationRepresentation(many=True), **errors(400, 401, 403, 429, 503)},
    ),
    post=extend_schema(
        operation_id="create_sip_configuration",
        tags=["SIP"],
        summary="Add a SIP configuration",
        description="The first active one becomes the default.",
        responses={201: SIPConfigurationRepresentation, **errors(400, 401, 403, 411, 413, 415, 503)},
        examples=[EXAMPLE],
    ),
)
class SIPConfigurations(ReadsChunks, ListCreateAPIView[SIPConfiguration]):
    """The list of SIP configurations."""

    rights = {"GET": "calls.view_sipconfiguration", "POST": "calls.add_sipconfiguration"}
    serializer_class = SIPConfigurationRepresentation
    pagination_class = KeysetPagination
    queryset = SIPConfiguration.objects.order_by("-created_at", "-id")


@extend_schema_view(
    get=extend_schema(
        operation_id="get_sip_configuration",
        tags=["SIP"],
        summary="One SIP configuration",
        responses={200: SIPConfigurationRepresentation, **errors(401, 403, 404, 429, 503)},
    ),
    put=extend_schema(
        operation_id="replace_sip_configuration",
        tags=["SIP"],
        summary="Replace a SIP configuration",
        responses={200: SIPConfigurationRepresentation, **errors(400, 401, 403, 404, 411, 413, 415, 503)},
    ),
    patch=extend_schema(
        operation_id="change_sip_configuration",
        tags=["SIP"],
        summary="Change a SIP configuration",
        responses={200: SIPConfigurationRepresentation, **errors(400, 401, 403, 404, 411, 413, 415, 503)},
    ),
    delete=extend_schema(
        operation_id="delete_sip_configuration",
        tags=["SIP"],
        summary="Delete a SIP configuration",
        responses={204: None, **errors(401, 403, 404, 409, 503)},
    ),
)
class SIPConfigurationDetail(ReadsChunks, RetrieveUpdateDestroyAPIView[SIPConfiguration]):
    """One SIP configuration."""

    rights = {
        "GET": "calls.view_sipconfiguration",
        "PUT": "calls.change_sipconfiguration",
        "PATCH": "calls.change_sipconfiguration",
        "DELETE": "calls.delete_sipconfiguration",
    }
    serializer_class = SIPConfigurationRepresentation
    queryset = SIPConfiguration.objects.all()
    lookup_url_kwarg = "id"

    def perform_destroy(self, instance: SIPConfiguration) -> None:
        """Delete the configuration; the default one only if no other could be the default."""
        try:
            delete_configuration(instance)
        except NotPossible as refusal:
            raise Conflict(str(refusal), "invalid_transition") from None


class SetDefault(APIView):
    """Make a configuration the default."""

    rights = {"POST": "calls.change_sipconfiguration"}

    @extend_schema(
        operation_id="set_default_sip_configuration",
        tags=["SIP"],
        summary="Make a SIP configuration the only default",
        request=None,
        responses={200: SIPConfigurationRepresentation, **errors(401, 403, 404, 409, 503)},
    )
    def post(self, request: Request, id: int) -> Response:
        """Make it the default."""
        configuration = get_object_or_404(SIPConfiguration.objects.all(), pk=id)
        try:
            chosen = set_default(configuration)
        except NotPossible as refusal:
            raise Conflict(str(refusal), "invalid_transition") from None
        return Response(SIPConfigurationRepresentation(chosen).data)
