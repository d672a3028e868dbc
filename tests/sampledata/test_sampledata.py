"""What is invented is believable, repeatable, and ends up in the database as what it adds up to."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import phonenumbers
import pytest
from pytest_django import Settings

from calls.domain.events import Event
from calls.domain.numbers import is_own
from calls.domain.state import fold
from calls.domain.vocabulary import Anomaly, CallStatus, Direction, EventType
from calls.models import Call, CallEvent
from calls.models.calls import state_values
from calls.operations.outcomes import Result
from calls.operations.record import record
from calls.sampledata import (
    OUTSIDE_RANGES,
    SAMPLE_OWN_NUMBERS,
    NoSuchSample,
    Sample,
    own_lines,
    usual_numbers,
)

UNTIL = datetime(2024, 4, 10, 12, 0, tzinfo=UTC)
SAMPLE = Sample(seed=7, until=UNTIL, calls=600, days=14, numbers=100, ongoing=6)


def invent(sample: Sample = SAMPLE, **changes: Any) -> list[Event]:
    return [event for batch in replace(sample, **changes).batches() for event in batch]


@pytest.fixture(scope="module")
def many() -> list[Event]:
    """Enough calls to see how they are spread."""
    return invent(calls=8_000, numbers=usual_numbers(8_000))


@pytest.fixture
def seeded(db: None, settings: Settings) -> Sample:
    settings.OWN_NUMBERS = [SAMPLE_OWN_NUMBERS]
    sample = replace(SAMPLE, own_numbers=(SAMPLE_OWN_NUMBERS,))
    for batch in sample.batches(size=200):
        record(batch)
    return sample


# -- The same again --------------------------------------------------------------------------


def test_the_same_seed_and_until_give_the_same_events() -> None:
    assert invent() == invent()


def test_the_same_instant_in_another_zone_gives_the_same_events() -> None:
    assert invent(until=UNTIL.astimezone(timezone(timedelta(hours=9)))) == invent()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"until": UNTIL - timedelta(seconds=1)},
        {"calls": 601},
        {"days": 13},
        {"numbers": 99},
        {"ongoing": 5},
        {"own_numbers": ("+4930231250",)},
    ],
)
def test_different_samples_share_no_id(change: dict[str, Any]) -> None:
    here, there = invent(), invent(**change)
    assert not {event.event_id for event in here} & {event.event_id for event in there}
    assert not {event.call_id for event in here} & {event.call_id for event in there}


def test_ids_begin_with_the_samples_tag() -> None:
    assert all(event.call_id.startswith(SAMPLE.tag) and event.event_id.startswith(SAMPLE.tag) for event in invent())


# -- Time ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("days", [1, 30])
def test_nothing_is_dated_in_the_future_or_before_the_first_day(seed: int, days: int) -> None:
    until = UNTIL + timedelta(hours=7 * seed, seconds=seed)
    for event in invent(seed=seed, until=until, days=days, calls=200):
        assert until - timedelta(days=days) <= event.occurred_at <= until
        assert until - timedelta(days=days) <= event.received_at <= until


def test_events_come_in_the_order_of_receipt(many: list[Event]) -> None:
    assert all(one.received_at <= other.received_at for one, other in pairwise(many))


def test_most_calls_are_in_the_working_hours_of_working_days(many: list[Event]) -> None:
    starts = [event.occurred_at for event in many if event.type is EventType.INITIATED]
    assert sum(start.weekday() < 5 for start in starts) / len(starts) > 0.9
    assert sum(8 <= start.hour < 18 for start in starts) / len(starts) > 0.85


def test_talk_times_have_a_long_tail(many: list[Event]) -> None:
    answers = {event.call_id: event.occurred_at for event in many if event.type is EventType.ANSWERED}
    ends = {event.call_id: event.occurred_at for event in many if event.type is EventType.ENDED}
    talks = sorted((ends[call] - answer).total_seconds() for call, answer in answers.items() if call in ends)
    median, mean = talks[len(talks) // 2], sum(talks) / len(talks)
    assert 70 < median < 120
    assert mean > 1.4 * median
    assert talks[-1] > 10 * mean


# -- Who -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prefix", "digits"), [(prefix, digits) for _, ps, digits in OUTSIDE_RANGES for prefix in ps])
def test_every_outside_range_holds_only_dialable_numbers(prefix: str, digits: int) -> None:
    for number in (0, 1, 10**digits // 2, 10**digits - 1):
        assert phonenumbers.is_valid_number(phonenumbers.parse(f"{prefix}{number:0{digits}}"))


def test_numbers_are_dialable_and_of_several_countries(many: list[Event]) -> None:
    numbers = {number for event in many for number in (event.calling_number, event.called_number)}
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(number)) for number in numbers)
    assert {number[:3] for number in numbers} >= {"+12", "+44", "+49", "+33", "+61"}


def test_every_call_has_one_of_our_numbers_and_few_are_internal(many: list[Event]) -> None:
    ours = Counter(
        is_own(event.calling_number, (SAMPLE_OWN_NUMBERS,)) + is_own(event.called_number, (SAMPLE_OWN_NUMBERS,))
        for event in many
        if event.type is EventType.INITIATED
    )
    assert set(ours) == {1, 2}
    assert 0.02 < ours[2] / ours.total() < 0.06


def test_a_few_callers_call_often_and_most_hardly_ever(many: list[Event]) -> None:
    starts = [event for event in many if event.type is EventType.INITIATED]
    calls = Counter(event.calling_number for event in starts if not event.calling_number.startswith(SAMPLE_OWN_NUMBERS))
    ranked = sorted(calls.values(), reverse=True)
    assert sum(ranked[: len(ranked) // 20]) > 0.25 * sum(ranked)
    assert ranked[len(ranked) // 2] <= 5


def test_about_one_call_in_six_goes_unanswered(many: list[Event]) -> None:
    answered = {event.call_id for event in many if event.type is EventType.ANSWERED}
    ended = {event.call_id for event in many if event.type is EventType.ENDED}
    assert 0.12 < len(ended - answered) / len(ended) < 0.22


def test_some_events_name_the_caller_or_the_agent(many: list[Event]) -> None:
    assert {key for event in many for key in event.metadata} == {"caller_name", "agent"}


@pytest.mark.parametrize(
    ("configured", "first", "amount"),
    [
        ([], "+12025550100", 20),
        (["+120255501"], "+12025550100", 20),
        (["+493023125*"], "+49302312500", 20),
        (["+12125550123"], "+12125550123", 1),
        (["+12125550123", "+12125550177"], "+12125550123", 2),
        (["+999", "nonsense", ""], "+12025550100", 20),
    ],
)
def test_our_lines_follow_what_is_configured(configured: list[str], first: str, amount: int) -> None:
    lines = own_lines(configured, at_most=20)
    assert lines[0] == first
    assert len(lines) == len(set(lines)) == amount


def test_callers_are_never_ours() -> None:
    own = ("+1", "+12025550177")
    starts = [event for event in invent(own_numbers=own) if event.type is EventType.INITIATED]
    numbers = {number for event in starts for number in (event.calling_number, event.called_number)}
    assert {number for number in numbers if is_own(number, own)} == {"+12025550177"}
    with pytest.raises(NoSuchSample, match="OWN_NUMBERS"):
        invent(own_numbers=tuple("+" + digit for digit in "123456789"))


# -- What is special -------------------------------------------------------------------------


def test_an_event_id_occurs_twice_only_where_the_whole_event_was_sent_twice() -> None:
    events = invent()
    ids = Counter(event.event_id for event in events)
    twice = [event_id for event_id, number in ids.items() if number > 1]
    assert 1 <= len(twice) <= 10
    for event_id in twice:
        first, second = (event for event in events if event.event_id == event_id)
        assert first.same_fact(second)
        assert first.received_at < second.received_at


def test_a_few_events_come_in_a_later_batch_than_the_next_event_of_their_call() -> None:
    batch_of = {}
    for number, batch in enumerate(SAMPLE.batches(size=100)):
        for event in batch:
            batch_of.setdefault(event.event_id, (number, event))
    calls: dict[str, list[tuple[int, Event]]] = {}
    for number, event in batch_of.values():
        calls.setdefault(event.call_id, []).append((number, event))
    late = [log for log in calls.values() if log != sorted(log, key=lambda entry: entry[1].key)]
    assert late
    assert any(one[0] < other[0] for log in late for one, other in pairwise(log))


@pytest.mark.parametrize("size", [1, 7, 5_000])
def test_batches_are_bounded_and_their_size_changes_no_event(size: int) -> None:
    batches = list(SAMPLE.batches(size=size))
    assert all(1 <= len(batch) <= size for batch in batches)
    assert [event for batch in batches for event in batch] == invent()


@pytest.mark.parametrize(("calls", "ongoing"), [(1, 0), (1, 1), (9, 9), (50, 0)])
def test_tiny_samples_have_exactly_the_calls_that_were_asked_for(calls: int, ongoing: int) -> None:
    events = invent(calls=calls, ongoing=ongoing, numbers=1)
    ended = {event.call_id for event in events if event.type is EventType.ENDED}
    everything = {event.call_id for event in events}
    assert (len(everything), len(everything - ended)) == (calls, ongoing)


@pytest.mark.parametrize("wrong", [{"ongoing": 601}, {"ongoing": -1}, {"days": 0}, {"numbers": 0}, {"numbers": 10**9}])
def test_an_impossible_sample_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(NoSuchSample):
        invent(**wrong)


# -- In the database -------------------------------------------------------------------------


def test_every_status_and_direction_of_the_first_specification_is_there(seeded: Sample) -> None:
    calls = Call.objects.order_by()
    assert calls.count() == seeded.calls
    assert set(calls.values_list("status", flat=True)) == {
        CallStatus.INITIATED,
        CallStatus.ANSWERED,
        CallStatus.ENDED,
        CallStatus.MISSED,
        CallStatus.NO_ANSWER,
    }
    assert set(calls.values_list("direction", flat=True)) == set(Direction)
    assert calls.filter(ended_at=None).count() == seeded.ongoing


def test_each_oddity_is_shown_by_a_call_and_nearly_all_calls_are_plain(seeded: Sample) -> None:
    odd = list(Call.objects.exclude(anomalies=0).values_list("anomalies", flat=True))
    shown = Anomaly(0)
    for bits in odd:
        shown |= Anomaly(bits)
    assert set(shown) == set(Anomaly) - {Anomaly.INFERRED_END, Anomaly.EVENT_AFTER_END}
    assert len(odd) < 0.03 * seeded.calls


def test_each_call_is_what_its_stored_events_add_up_to(seeded: Sample) -> None:
    stored: dict[str, list[Event]] = {}
    for event in CallEvent.objects.select_related("call"):
        stored.setdefault(event.call.external_id, []).append(event.as_event(call_id=event.call.external_id))
    for call in Call.objects.all():
        state = fold(stored[call.external_id], own_numbers=(SAMPLE_OWN_NUMBERS,))
        for column, value in state_values(state).items():
            assert getattr(call, column) == value, (call.external_id, column)


def test_the_same_sample_again_is_all_duplicates(seeded: Sample) -> None:
    before = list(Call.objects.order_by("pk").values())
    results = {outcome.result for batch in seeded.batches() for outcome in record(batch)}
    assert results == {Result.DUPLICATE}
    assert list(Call.objects.order_by("pk").values()) == before


def test_the_specifications_three_words_are_stored(seeded: Sample) -> None:
    words = set(CallEvent.objects.order_by().values_list("word", "type"))
    assert words == {("INITIATE", "initiated"), ("ANSWER", "answered"), ("DISCONNECT", "ended")}
