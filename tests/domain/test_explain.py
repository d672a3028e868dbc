"""Explanations: always what the fold gives, every event accounted for, and each field really stands on its events."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.domain.events import Event
from calls.domain.explain import EXPLAINED, Explanation, explain
from calls.domain.state import fold
from calls.domain.vocabulary import Anomaly
from tests.build import CALLER, read_table
from tests.strategies import event_sets

OWN = st.sampled_from([(), (CALLER,)])


@given(event_sets(), OWN)
def test_explained_values_are_those_of_the_fold(events: list[Event], own: tuple[str, ...]) -> None:
    told, state = explain(events, own_numbers=own), fold(events, own_numbers=own)
    assert told.state == state
    assert {name: reason.value for name, reason in told.reasons.items()} == {
        name: getattr(state, name) for name in EXPLAINED
    }


@given(event_sets(), OWN)
def test_every_event_is_accounted_for_once(events: list[Event], own: tuple[str, ...]) -> None:
    told = explain(events, own_numbers=own)
    assert sorted(effect.event.key for effect in told.effects) == sorted(event.key for event in events)
    for effect in told.effects:
        # Something stands on it, or it is said why not.
        assert bool(effect.gave) != bool(effect.why), effect
    assert all(reason.rule for reason in told.reasons.values())


@given(event_sets(), OWN)
def test_the_named_events_alone_give_a_field_its_value(events: list[Event], own: tuple[str, ...]) -> None:
    told = explain(events, own_numbers=own)
    for name, reason in told.reasons.items():
        if name != "anomalies" and reason.events:
            assert getattr(fold(reason.events, own_numbers=own), name) == reason.value, name


@given(event_sets(), OWN)
def test_what_nobody_gave_has_its_first_value(events: list[Event], own: tuple[str, ...]) -> None:
    for name, reason in explain(events, own_numbers=own).reasons.items():
        if not reason.events and name != "anomalies":
            assert reason.value == getattr(fold([]), name), name


@given(event_sets(), OWN)
def test_events_that_changed_nothing_could_be_left_out(events: list[Event], own: tuple[str, ...]) -> None:
    told = explain(events, own_numbers=own)
    idle = {effect.event.key for effect in told.effects if not effect.changed and not effect.gave}
    transfers = {effect.event.key for effect in told.effects if effect.event.type == "transfer_initiated"}
    left = fold([event for event in events if event.key not in idle - transfers], own_numbers=own)
    for name in EXPLAINED[:-1]:
        assert getattr(left, name) == told.reasons[name].value, name


@given(event_sets(), OWN)
def test_each_anomaly_of_the_events_was_raised_by_one_of_them(events: list[Event], own: tuple[str, ...]) -> None:
    told = explain(events, own_numbers=own)
    raised = Anomaly(0)
    for effect in told.effects:
        assert not raised & effect.noted
        raised |= effect.noted
    assert raised == told.state.odd


# -- By example ------------------------------------------------------------------------------------


def told_of(table: str, **values: Any) -> Explanation:
    return explain(read_table(table, **values))


def stands_on(told: Explanation, name: str) -> list[str]:
    return [event.event_id for event in told.reasons[name].events]


def why(told: Explanation) -> dict[str, str]:
    return {effect.event.event_id: effect.why for effect in told.effects if effect.why}


def test_a_completed_call_names_its_start_answer_and_end() -> None:
    told = told_of("""
        0:00 initiated id=a
        0:10 answered id=b
        2:00 ended id=c cause=q850:16
    """)
    assert told.reasons["duration"].value == 120
    assert stands_on(told, "duration") == ["a", "b", "c"]
    assert stands_on(told, "status") == ["b", "c"]
    assert stands_on(told, "talk_seconds") == ["b", "c"]
    assert stands_on(told, "cause") == ["c"]
    assert why(told) == {}
    assert [effect.changed[0] for effect in told.effects] == ["status"] * 3


@pytest.mark.parametrize(
    ("table", "idle", "sentence"),
    [
        ("0:00 initiated id=a \n 0:01 answered \n 0:05 hold id=h \n 0:06 hold id=x", "x", "on hold already"),
        ("0:00 initiated id=a \n 0:01 answered \n 0:06 unhold id=x", "x", "not on hold"),
        ("0:00 initiated \n 0:05 ended \n 0:09 hold id=x", "x", "after the end"),
        ("0:00 initiated \n 0:05 ended \n 0:09 dtmf id=x", "x", "after the end"),
        ("0:00 initiated \n 0:05 ended \n 0:09 failed id=x", "x", "the earliest end counts"),
        ("0:00 initiated \n 0:05 answered \n 0:09 answered id=x", "x", "the earliest answer counts"),
        ("0:00 initiated \n 0:05 dtmf id=x", "x", "no field depends on it"),
        ("0:00 initiated \n 0:05 transfer_initiated to=200 id=x", "x", "once it is completed"),
        ("0:00 initiated \n 0:00 ended by=inferred id=x \n 0:09 answered", "x", "void"),
        ("0:00 initiated \n 0:05 ended cause=busy \n 0:09 ended by=inferred id=x", "x", "none is assumed"),
        ("0:00 initiated \n 0:05 answered \n 0:06 muted id=x \n 0:09 unmuted", "x", "Later events"),
    ],
)
def test_an_event_that_counts_for_nothing_says_why(table: str, idle: str, sentence: str) -> None:
    told = why(told_of(table))
    assert list(told) == [idle]
    assert sentence in told[idle]


def test_a_cause_may_come_from_a_later_end() -> None:
    told = told_of("0:00 initiated \n 0:05 ended id=e \n 0:06 failed id=f cause=q850:17")
    assert stands_on(told, "cause") == ["f"]
    assert "next end" in told.reasons["cause"].rule
    assert stands_on(told, "status") == ["e", "f"]


def test_an_assumed_end_says_so() -> None:
    told = told_of("0:00 initiated \n 0:05 answered \n 0:05 ended by=inferred id=i")
    assert stands_on(told, "ended_at") == ["i"]
    assert "assumed" in told.reasons["ended_at"].rule
    assert told.reasons["duration"].value is None


def test_numbers_come_from_the_start_even_where_it_is_heard_of_later() -> None:
    told = told_of("0:00 ringing id=r called=100 \n 0:01 initiated id=i called=200")
    assert stands_on(told, "called_number") == ["i"]
    assert stands_on(told, "calling_number") == ["i"]
    assert told.effects[1].noted == Anomaly.OTHER_NUMBERS
