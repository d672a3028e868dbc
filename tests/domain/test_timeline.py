"""The stretches of a call agree with its state, whatever its events; the state is where the rules are."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.domain.events import Event
from calls.domain.state import fold, whole_seconds
from calls.domain.timeline import SHAPELESS, Kind, Stretch, stretches_of
from tests.build import at, read_table
from tests.strategies import event_sets

LATER = at(10**9 * 4)


def drawn(events: list[Event]) -> dict[Kind, list[Stretch]]:
    found = stretches_of(fold(events), events, until=LATER)
    return {kind: [stretch for stretch in found if stretch.kind is kind] for kind in Kind}


def seconds(stretches: list[Stretch]) -> int:
    return whole_seconds(sum((stretch.length for stretch in stretches), timedelta()))


def offsets(stretches: list[Stretch]) -> list[tuple[float, float]]:
    return [((one.begin - at(0)).total_seconds(), (one.end - at(0)).total_seconds()) for one in stretches]


@given(event_sets())
def test_the_holds_add_up_to_the_hold_seconds(events: list[Event]) -> None:
    state = fold(events)
    if state.hold_seconds is not None:
        assert seconds(drawn(events)[Kind.HOLD]) == state.hold_seconds


@given(event_sets())
def test_ringing_and_talking_are_as_long_as_the_state_says(events: list[Event]) -> None:
    state, stretches = fold(events), drawn(events)
    if state.ring_seconds is not None:
        assert seconds(stretches[Kind.RING]) == state.ring_seconds
    if state.talk_seconds is not None:
        assert seconds(stretches[Kind.TALK]) == state.talk_seconds
    assert bool(stretches[Kind.TALK]) == state.answered


@given(event_sets())
def test_what_goes_on_is_what_the_state_says_goes_on(events: list[Event]) -> None:
    state, stretches = fold(events), drawn(events)

    def goes_on(kind: Kind) -> bool:
        return any(stretch.going_on for stretch in stretches[kind])

    assert goes_on(Kind.RECORDING) == state.recording
    assert goes_on(Kind.MUTED) == state.muted
    assert goes_on(Kind.HOLD) == state.held
    assert goes_on(Kind.TALK) == (state.answered and not state.ended)
    assert goes_on(Kind.RING) == (not state.answered and not state.ended)


@given(event_sets())
def test_stretches_of_one_kind_follow_one_another_and_none_runs_backwards(events: list[Event]) -> None:
    for stretches in drawn(events).values():
        assert all(stretch.begin <= stretch.end for stretch in stretches)
        assert all(one.end <= other.begin for one, other in pairwise(stretches))


@given(st.data())
def test_neither_order_nor_what_has_no_length_matters(data: Any) -> None:
    events = data.draw(event_sets())
    state = fold(events)
    whole = stretches_of(state, events, until=LATER)
    assert stretches_of(state, data.draw(st.permutations(events)), until=LATER) == whole
    assert stretches_of(state, [event for event in events if event.type not in SHAPELESS], until=LATER) == whole


@pytest.mark.parametrize(
    ("table", "kind", "expected"),
    [
        ("0:00 initiated\n0:02 ringing\n0:07 answered\n1:00 ended", Kind.SETUP, [(0, 2)]),
        ("0:00 initiated\n0:02 ringing\n0:07 answered\n1:00 ended", Kind.RING, [(2, 7)]),
        ("0:00 initiated\n0:02 ringing\n0:07 answered\n1:00 ended", Kind.TALK, [(7, 60)]),
        ("0:00 answered\n0:10 hold\n0:12 hold\n0:20 unhold\n0:30 hold\n0:40 ended", Kind.HOLD, [(10, 20), (30, 40)]),
        ("0:00 initiated\n0:05 hold\n0:10 answered\n0:20 unhold\n0:40 ended", Kind.HOLD, [(10, 20)]),
        ("0:00 answered\n0:10 recording_started\n0:40 ended\n0:41 recording_stopped", Kind.RECORDING, [(10, 40)]),
        ("0:00 answered\n0:10 muted\n0:20 unmuted\n0:30 ended\n0:35 muted", Kind.MUTED, [(10, 20)]),
        ("0:00 answered\n0:10 transfer_initiated\n0:30 transfer_completed", Kind.TRANSFER, [(10, 30)]),
        ("0:00 answered\n0:10 recording_started\n0:20 ended by=inferred\n0:30 unmuted\n0:40 ended", Kind.RECORDING,
         [(10, 40)]),
        ("0:00 initiated\n0:10 ended\n0:20 answered", Kind.TALK, [(20, 20)]),
        ("0:05 ringing", Kind.SETUP, []),
    ],
)  # fmt: skip
def test_stretches_begin_and_end_where_the_events_say(table: str, kind: Kind, expected: list[Any]) -> None:
    assert offsets(drawn(read_table(table))[kind]) == expected
