"""What listeners are told is what the serializers of `/api/` say, to the last character."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer

from calls.api.live_text import Writer, reader, show_call, update
from calls.api.representations import EventRepresentation, LiveCallRepresentation
from calls.models import Call, CallEvent, Client
from calls.operations.annotate import annotate
from calls.operations.clients import set_numbers
from calls.operations.record import record
from calls.queries.calls import all_calls
from calls.queries.changes import calls_by_id, events_by_id
from tests.build import at, build_event

pytestmark = pytest.mark.django_db


@pytest.fixture
def everything() -> None:
    """Calls in which each column has once a value and once none."""
    ada = Client.objects.create(name='Ada "the first" Ψ')
    set_numbers(ada, ["+15550009"], at=at(0))
    agent = User.objects.create_user("agent", first_name="Grace", last_name="Hopper")
    clerk = User.objects.create_user("clerk")
    record(
        [
            build_event(call_id="just begun"),
            build_event("initiated", 0.000001, call_id="ended", calling_number="+15550009", direction="inbound"),
            build_event(
                "ringing", 0.1, call_id="ended", metadata={"é": [1, None, 1.5, {"deep": True}], "</": "\u2028"}
            ),
            build_event("answered", 2, call_id="ended", source="api", user_id=agent.pk),
            build_event("hold", 3.25, call_id="ended", source="api", user_id=clerk.pk),
            build_event("unhold", 4, call_id="ended"),
            build_event("ended", 65.123456, call_id="ended", cause="16"),
            build_event("answered", 1, call_id="moved", call_type="video", calling_number="anonymous"),
            build_event("transfer_completed", 7, call_id="moved", transfer_to="+15550003"),
            build_event("ended", 5, call_id="odd"),
            build_event("answered", 8, call_id="odd"),
            build_event("initiated", 9, call_id="odd", calling_number="+0987654321"),
        ]
    )
    for call, score in (("ended", "4.5"), ("moved", "0")):
        annotate(
            Call.objects.get(external_id=call).pk, notes="line\nline", call_quality_score=Decimal(score), at=at(70)
        )


def rest(serializer: "serializers.ModelSerializer[Any]", row: Any) -> Any:
    """Return what a view would answer with."""
    return JSONRenderer().render(serializer.to_representation(row))


def test_a_call_is_told_as_its_serializer_says(everything: None) -> None:
    told = calls_by_id([call.pk for call in Call.objects.all()])
    assert len(told) == 4
    for call in all_calls():
        assert bytes(show_call(told[call.pk])) == rest(LiveCallRepresentation(), call)


def test_an_event_is_told_as_its_serializer_says(everything: None) -> None:
    told = events_by_id([event.pk for event in CallEvent.objects.all()])
    assert len(told) == 12
    writer = Writer(EventRepresentation())
    for event in CallEvent.objects.all():
        shown = rest(EventRepresentation(), event)
        assert msgspec.json.decode(msgspec.json.encode(writer(told[event.pk]))) == msgspec.json.decode(shown)


def test_instants_have_as_many_digits_as_elsewhere() -> None:
    record(
        [build_event("dtmf", call_id="c", event_id=str(part), occurred_at=at(part / 1e6)) for part in (0, 1, 100_000)]
    )
    writer = Writer(EventRepresentation())
    for event in CallEvent.objects.all():
        shown = EventRepresentation().to_representation(event)["occurred_at"]
        assert msgspec.json.encode(writer(event)["occurred_at"]).decode() == f'"{shown}"'
    assert CallEvent.objects.get(event_id="1").occurred_at == at(0) + timedelta(microseconds=1)


def test_rows_that_are_gone_are_left_out_and_few_statements_are_enough(
    everything: None, django_assert_num_queries: Any
) -> None:
    calls, events = [call.pk for call in Call.objects.all()], [event.pk for event in CallEvent.objects.all()]
    with django_assert_num_queries(5):  # calls, their clients and agents; events, their users
        told = calls_by_id(calls), events_by_id([*events, 10**15])
        for call in told[0].values():
            update("cursor", next(iter(told[1].values())), show_call(call))
    assert len(told[1]) == len(events)
    assert (calls_by_id([]), events_by_id([])) == ({}, {})


def test_a_field_of_a_new_kind_is_refused_instead_of_shown_wrongly() -> None:
    with pytest.raises(TypeError, match="must be taught"):
        reader(serializers.DurationField(source="hold_total"))
