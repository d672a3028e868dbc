"""What holds for the state of every call, whatever its events."""

from dataclasses import fields
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from calls.domain.events import Event
from calls.domain.state import CallState, apply, fold
from calls.domain.vocabulary import CallStatus
from tests.reference import differences
from tests.strategies import event_sets

TERMINAL = {"transferred", "ended", "busy", "no_answer", "cancelled", "failed", "missed"}


@given(st.data())
def test_any_order_gives_the_same_state(data: Any) -> None:
    events = data.draw(event_sets())
    assert fold(data.draw(st.permutations(events))) == fold(events)


@given(event_sets())
def test_applying_in_order_equals_the_fold(events: list[Event]) -> None:
    state = CallState()
    for event in sorted(events, key=lambda event: event.key):
        apply(state, event)
    assert state == fold(events)


@given(event_sets())
def test_the_state_is_what_the_reference_model_says(events: list[Event]) -> None:
    assert differences(events, fold(events)) == {}


@given(event_sets())
def test_lengths_are_never_negative_and_null_until_known(events: list[Event]) -> None:
    state = fold(events)
    lengths = [state.duration, state.ring_seconds, state.talk_seconds, state.hold_seconds]
    assert all(length is None or length >= 0 for length in lengths)
    completed = state.answered and state.ended and not state.inferred_end
    assert (state.duration is not None) == (state.talk_seconds is not None) == completed


@given(event_sets())
def test_a_call_is_over_exactly_when_its_status_is_terminal(events: list[Event]) -> None:
    state = fold(events)
    assert isinstance(state.status, CallStatus)
    assert (state.status in TERMINAL) == state.ended


def test_a_state_has_no_field_without_a_name_in_the_call_table() -> None:
    from calls.models import Call

    columns = {field.attname for field in Call._meta.concrete_fields}
    assert {field.name for field in fields(CallState)} <= columns
