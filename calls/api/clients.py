"""Clients: `/api/clients/`."""

from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.generics import ListAPIView, ListCreateAPIView, RetrieveUpdateDestroyAPIView, get_object_or_404

from calls.api.fields import Text, TextsSerializer
from calls.api.pages import KeysetPagination
from calls.api.representations import CallRepresentation
from calls.domain.numbers import is_e164, suggest_e164
from calls.models import Call, Client, ClientNumber
from calls.models.access_log import Look
from calls.operations.access_log import looked_at
from calls.operations.clients import NumberTaken, delete_client, set_numbers
from calls.queries.calls import all_calls
from calls.web.errors import Invalid
from calls.web.schemas import errors
from calls.web.views import ReadsChunks


class E164Field(Text):
    """A number in E.164 form; for a badly written one the error suggests the right spelling."""

    def to_internal_value(self, data: Any) -> str:
        """Return the number; raise ValidationError."""
        number = super().to_internal_value(data)
        if not is_e164(number):
            suggestion = suggest_e164(number)
            hint = f" Did you mean {suggestion}?" if suggestion else ""
            raise serializers.ValidationError(f"Must be a number in E.164 form, as in +12025550123.{hint}")
        return number


class ClientRepresentation(TextsSerializer[Client]):
    """A client and its numbers."""

    phone_numbers = serializers.ListField(child=E164Field(), required=False, max_length=100)

    class Meta:
        model = Client
        fields = ("id", "name", "email", "company", "notes", "phone_numbers", "created_at", "updated_at")
        read_only_fields = ("id", "created_at", "updated_at")

    def create(self, validated_data: dict[str, Any]) -> Client:
        """Make a client, and match the calls of its numbers."""
        numbers = validated_data.pop("phone_numbers", [])
        with transaction.atomic():
            client = super().create(validated_data)
            self._set_numbers(client, numbers)
        return client

    def update(self, instance: Client, validated_data: dict[str, Any]) -> Client:
        """Change a client; numbers that are given replace those it had."""
        numbers = validated_data.pop("phone_numbers", None)
        with transaction.atomic():
            client = super().update(instance, validated_data)
            if numbers is not None:
                self._set_numbers(client, numbers)
        return client

    def _set_numbers(self, client: Client, numbers: list[str]) -> None:
        try:
            set_numbers(client, numbers, at=timezone.now())
        except NumberTaken as taken:
            message = f"Another client has {', '.join(taken.numbers)}."
            raise serializers.ValidationError({"phone_numbers": [message]}) from None


SEARCH = OpenApiParameter("search", str, description="Part of a name, company or e-mail address, or a whole number.")
EXAMPLE = OpenApiExample(
    "Example",
    value={"name": "Ada Lovelace", "company": "Analytical Engines", "phone_numbers": ["+12025550123"]},
    request_only=True,
)


@extend_schema_view(
    get=extend_schema(
        operation_id="list_clients",
        tags=["Clients"],
        summary="List clients",
        parameters=[SEARCH],
        responses={200: ClientRepresentation(many=True), **errors(400, 401, 403, 429, 503)},
    ),
    post=extend_schema(
        operation_id="create_client",
        tags=["Clients"],
        summary="Add a client",
        description="Earlier calls with its numbers become its calls.",
        responses={201: ClientRepresentation, **errors(400, 401, 403, 411, 413, 415, 503)},
        examples=[EXAMPLE],
    ),
)
class Clients(ReadsChunks, ListCreateAPIView[Client]):
    """The list of clients."""

    rights = {"GET": "calls.view_client", "POST": "calls.add_client"}
    serializer_class = ClientRepresentation
    pagination_class = KeysetPagination
    queryset = Client.objects.none()

    def get_queryset(self) -> QuerySet[Client]:
        """Return the clients that are looked for, the newest first."""
        clients = Client.objects.prefetch_related("numbers").order_by("-created_at", "-id")
        if text := self.request.query_params.get("search", "").strip():
            if "\x00" in text:
                raise Invalid({"search": ["Must not contain NUL characters."]})
            wanted = Q(name__icontains=text) | Q(company__icontains=text) | Q(email__icontains=text)
            # A + in an address means a blank, unless it is written %2B.
            number = f"+{text.removeprefix('+')}"
            clients = clients.filter(wanted | Q(pk__in=ClientNumber.objects.filter(number=number).values("client")))
        return clients


@extend_schema_view(
    get=extend_schema(
        operation_id="get_client",
        tags=["Clients"],
        summary="One client",
        responses={200: ClientRepresentation, **errors(401, 403, 404, 429, 503)},
    ),
    put=extend_schema(
        operation_id="replace_client",
        tags=["Clients"],
        summary="Replace a client",
        responses={200: ClientRepresentation, **errors(400, 401, 403, 404, 411, 413, 415, 503)},
    ),
    patch=extend_schema(
        operation_id="change_client",
        tags=["Clients"],
        summary="Change a client",
        responses={200: ClientRepresentation, **errors(400, 401, 403, 404, 411, 413, 415, 503)},
    ),
    delete=extend_schema(
        operation_id="delete_client",
        tags=["Clients"],
        summary="Delete a client",
        description="Its calls stay, without a client.",
        responses={204: None, **errors(401, 403, 404, 503)},
    ),
)
class ClientDetail(ReadsChunks, RetrieveUpdateDestroyAPIView[Client]):
    """One client."""

    rights = {
        "GET": "calls.view_client",
        "PUT": "calls.change_client",
        "PATCH": "calls.change_client",
        "DELETE": "calls.delete_client",
    }
    serializer_class = ClientRepresentation
    queryset = Client.objects.prefetch_related("numbers")
    lookup_url_kwarg = "id"

    def perform_destroy(self, instance: Client) -> None:
        """Delete the client; calls that another client's number claims too become that client's."""
        delete_client(instance, at=timezone.now())


@extend_schema_view(
    get=extend_schema(
        operation_id="client_call_history",
        tags=["Clients"],
        summary="The calls of a client",
        responses={200: CallRepresentation(many=True), **errors(400, 401, 403, 404, 429, 503)},
    )
)
class ClientCallHistory(ListAPIView[Call]):
    """The calls of a client, newest first."""

    rights = {"GET": "calls.view_client"}
    serializer_class = CallRepresentation
    pagination_class = KeysetPagination
    queryset = Call.objects.none()

    def get_queryset(self) -> QuerySet[Call]:
        """Return the client's calls; raise 404 for an unknown client."""
        client = get_object_or_404(Client.objects.all(), pk=self.kwargs["id"])
        numbers = client.numbers.values_list("number", flat=True)  # read only if the log is on
        looked_at(self.request.user, numbers, what=Look.CLIENT_HISTORY, at=timezone.now())
        return all_calls().filter(client=client)
