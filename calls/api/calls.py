"""Call logs: `/api/call-logs/`, their list and details, and writing one down."""

from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from django.utils import timezone
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from calls.api.buttons import IDEMPOTENCY_KEY, ButtonView, detail, the_call
from calls.api.explain import AS_OF, detail_as_of
from calls.api.fields import (
    CauseField,
    ExactFilter,
    FlagFilter,
    IdField,
    InstantField,
    InstantFilter,
    Text,
    WholeNumberFilter,
    number_field,
)
from calls.api.pages import KeysetPagination
from calls.api.representations import (
    CallDetailRepresentation,
    CallRepresentation,
)
from calls.domain.events import call_uuid
from calls.domain.vocabulary import (
    Anomaly,
    CallStatus,
    CallType,
    Direction,
    EventType,
)
from calls.models import Call, ClientNumber
from calls.models.access_log import Look
from calls.operations import control
from calls.operations.access_log import looked_at
from calls.operations.control import Button, KnownCall
from calls.operations.idempotency import Told
from calls.queries.calls import all_calls, matching, ways_to, with_anomaly, with_number, with_recording, with_status
from calls.web.errors import Conflict
from calls.web.parameters import instant
from calls.web.schemas import errors


class CallFilter(django_filters.FilterSet):
    """The filters of the list."""

    status = django_filters.ChoiceFilter(choices=[(word, word) for word in CallStatus], method="by_status")
    direction = django_filters.ChoiceFilter(choices=[(word, word) for word in Direction])
    call_type = django_filters.ChoiceFilter(choices=[(word, word) for word in CallType])
    client = WholeNumberFilter(field_name="client_id")
    number = django_filters.CharFilter(method="by_number", help_text="Made or received by this number.")
    sip_call_id = ExactFilter(method="by_external_id")
    handled_by = WholeNumberFilter(field_name="handled_by_id", help_text="The id of a user.")
    anomaly = django_filters.ChoiceFilter(
        choices=[(anomaly.code, anomaly.code) for anomaly in Anomaly], method="by_anomaly"
    )
    started_after = InstantFilter(field_name="started_at", lookup_expr="gte")
    started_before = InstantFilter(field_name="started_at", lookup_expr="lt")
    updated_after = InstantFilter(field_name="updated_at", lookup_expr="gte")
    has_recording = FlagFilter(method="by_recording")
    min_duration = WholeNumberFilter(field_name="duration", lookup_expr="gte", help_text="Seconds.")
    search = django_filters.CharFilter(
        method="by_text", help_text="An id, the beginning of a number, or part of a client's name."
    )
    ordering = django_filters.ChoiceFilter(
        choices=[("-started_at", "newest first"), ("started_at", "oldest first")], method="in_order"
    )

    class Meta:
        model = Call
        fields: tuple[str, ...] = ()

    def by_status(self, calls: QuerySet[Call], name: str, value: str) -> QuerySet[Call]:
        """Keep the calls with this status."""
        return calls.filter(with_status(CallStatus(value)))

    def by_number(self, calls: QuerySet[Call], name: str, value: str) -> QuerySet[Call]:
        """Keep the calls of a number."""
        return calls.filter(with_number(value))

    def by_external_id(self, calls: QuerySet[Call], name: str, value: str) -> QuerySet[Call]:
        """Keep the call with this external id."""
        return calls.filter(pk=call_uuid(value))

    def by_anomaly(self, calls: QuerySet[Call], name: str, value: str) -> QuerySet[Call]:
        """Keep the calls with this anomaly."""
        return calls.filter(with_anomaly(Anomaly[value.upper()]))

    def by_recording(self, calls: QuerySet[Call], name: str, value: bool) -> QuerySet[Call]:
        """Keep the calls with a recording, or those without."""
        return calls.filter(with_recording(value))

    def by_text(self, calls: QuerySet[Call], name: str, value: str) -> QuerySet[Call]:
        """Keep the calls that a text finds."""
        return calls.filter(matching(value))

    def in_order(self, calls: QuerySet[Call], name: str, value: str) -> QuerySet[Call]:
        """Take the calls in another order."""
        return calls.order_by(value, "id" if value == "started_at" else "-id")


class CreateCall(serializers.Serializer[Any]):
    """A call that has happened, or is happening; each time that is given becomes its event."""

    caller_number = number_field()
    recipient_number = number_field()
    direction = serializers.ChoiceField(choices=[Direction.INBOUND, Direction.OUTBOUND])
    call_type = serializers.ChoiceField(choices=list(CallType), default=CallType.VOICE)
    sip_call_id = IdField(required=False)
    started_at = InstantField(required=False, help_text="Now, unless given.")
    ringing_at = InstantField(required=False)
    answered_at = InstantField(required=False)
    ended_at = InstantField(required=False)
    cause = CauseField(required=False, help_text="Why it ended: a word, or a Q.850 or SIP code.")
    notes = Text(required=False, allow_blank=True)


# An integer column holds no larger ids.
MOST_DIGITS_OF_ID = 19

TIMES = {
    "started_at": EventType.INITIATED,
    "ringing_at": EventType.RINGING,
    "answered_at": EventType.ANSWERED,
    "ended_at": EventType.ENDED,
}


class CallLogs(ButtonView, ListAPIView[Call]):
    """The list of calls, and writing one down."""

    rights = {"GET": "calls.view_call", "POST": "calls.operate_call"}
    serializer_class = CallRepresentation
    pagination_class = KeysetPagination
    filter_backends = (DjangoFilterBackend,)
    filterset_class = CallFilter
    queryset = Call.objects.none()

    def get_queryset(self) -> QuerySet[Call]:
        """Return all calls; filters and pages come after."""
        return all_calls()

    def ways(self) -> list[Q]:
        """Return the ways to a number's calls, if they are asked for."""
        number = self.request.query_params.get("number", "").strip()
        return ways_to(number) if number else []

    @extend_schema(
        operation_id="list_calls",
        tags=["Call logs"],
        summary="List calls",
        responses={200: CallRepresentation(many=True), **errors(400, 401, 403, 429, 503)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Answer with a page of calls, newest first."""
        _write_down_look(request)
        return self.list(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_call",
        tags=["Call logs"],
        summary="Write a call down",
        parameters=[IDEMPOTENCY_KEY],
        request=CreateCall,
        responses={201: CallDetailRepresentation, **errors(400, 401, 403, 409, 411, 413, 415, 503)},
    )
    def post(self, request: Request) -> Response:
        """Write a call down from the times that are given."""
        given = CreateCall(data=request.data)
        given.is_valid(raise_exception=True)
        return self.press(request, lambda button: _create(button, given.validated_data))


def _write_down_look(request: Request) -> None:
    """Write down whose calls are looked at where the list is that of some number; a search for names is of none."""
    asked = request.query_params
    numbers = [asked["number"]] if asked.get("number") else []
    if asked.get("search", "").startswith(tuple("+0123456789")):
        numbers.append(asked["search"])
    if (client := asked.get("client", "")).isascii() and client.isdigit() and len(client) < MOST_DIGITS_OF_ID:
        numbers += ClientNumber.objects.filter(client=int(client)).values_list("number", flat=True)
    looked_at(request.user, numbers, what=Look.CALL_LIST, at=timezone.now())


def _create(button: Button, given: dict[str, Any]) -> Told:
    times = {kind: given[name] for name, kind in TIMES.items() if name in given}
    times.setdefault(EventType.INITIATED, min([button.at, *times.values()]))
    external_id = given.get("sip_call_id") or control.new_external_id()
    try:
        call = control.create_call(
            button,
            external_id=external_id,
            caller_number=given["caller_number"],
            recipient_number=given["recipient_number"],
            direction=Direction(given["direction"]),
            call_type=CallType(given["call_type"]),
            times=times,
            cause=given.get("cause"),
        )
    except KnownCall:
        raise Conflict("A call with this sip_call_id exists already.") from None
    if given.get("notes"):
        call = control.update_status(call, button, status=None, notes=given["notes"])
    return 201, detail(call)


class CallLog(ButtonView):
    """One call."""

    rights = {"GET": "calls.view_call"}

    @extend_schema(
        operation_id="get_call",
        tags=["Call logs"],
        summary="One call with its events and recordings",
        parameters=[AS_OF],
        responses={200: CallDetailRepresentation, **errors(400, 401, 403, 404, 429, 503)},
    )
    def get(self, request: Request, id: str) -> Response:
        """Answer with the call, by our UUID or by its external id."""
        at = instant(request, "as_of")
        call = the_call(id)
        parties = [call.calling_number, call.called_number]
        looked_at(request.user, filter(None, parties), what=Look.CALL, at=timezone.now(), call_id=call.pk)
        return Response(CallDetailRepresentation(call).data if at is None else detail_as_of(call, at))
