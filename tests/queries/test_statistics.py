"""Statistics, worked out a second time in plain Python over random calls."""

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from calls.domain.periods import Bucket, Span, buckets
from calls.domain.vocabulary import Direction, Source
from calls.models import Call, Client
from calls.operations.clients import set_numbers
from calls.operations.record import record
from calls.queries.statistics import Group, mean, percentage, series_of, summary_of
from tests.build import build_event

pytestmark = pytest.mark.django_db

START = datetime(2024, 3, 30, tzinfo=UTC)
SPAN = Span(START, START + timedelta(days=3))
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def calls(db: None) -> list[Call]:
    """A few thousand calls around three days, of which one has 23 hours in Berlin."""
    chance = random.Random(1)
    agents = [User.objects.create_user(name).pk for name in ("ada", "bob")]
    numbers = [f"+1202555{place:04}" for place in range(30)]
    for place in range(3):
        set_numbers(
            Client.objects.create(name=f"client {place}"), numbers[place * 2 : place * 2 + 2], at=timezone.now()
        )
    events = []
    for place in range(2500):
        start = START - timedelta(hours=12) + timedelta(seconds=chance.randrange(4 * 86_400))
        common: dict[str, Any] = {
            "call_id": f"call-{place}",
            "calling_number": chance.choice(numbers),
            "called_number": chance.choice(numbers),
            "direction": chance.choice([None, Direction.INBOUND, Direction.OUTBOUND]),
        }
        steps = [("initiated", 0.0, None)]
        if chance.random() < 0.7:
            steps.append(("ringing", chance.uniform(0, 5), None))
        if chance.random() < 0.75:
            steps.append(("answered", chance.uniform(5, 60), chance.choice([None, *agents])))
        kind = chance.random()
        if kind < 0.9:
            steps.append(("ended", chance.uniform(0, 900), None))
        for type, seconds, user in steps:
            occurred_at = start + timedelta(seconds=round(seconds, 3))
            events.append(build_event(type, occurred_at=occurred_at, user_id=user, **common))
        if kind > 0.97:
            last = max(event.occurred_at for event in events if event.call_id == common["call_id"])
            events.append(build_event("ended", occurred_at=last, source=Source.INFERRED, **common))
    for place in range(0, len(events), 2000):
        record(events[place : place + 2000])
    return list(Call.objects.all())


def within(calls: Iterable[Call], span: Span) -> list[Call]:
    return [call for call in calls if span.start <= call.started_at < span.end and call.ended_at]


def test_the_summary_is_what_counting_gives(calls: list[Call]) -> None:
    mine = within(calls, SPAN)
    answered = [call for call in mine if call.answered_at]
    durations = [call.duration for call in answered if call.duration is not None]
    found = summary_of(SPAN)
    assert len(durations) < len(answered)  # some ends are only assumed
    assert found.total_calls == len(mine) > 1000
    assert found.answered_calls == len(answered)
    assert found.answered_calls + found.missed_calls == found.total_calls
    assert found.inbound_calls == sum(call.direction == "inbound" for call in mine)
    assert found.outbound_calls == sum(call.direction == "outbound" for call in mine)
    assert found.answer_rate == pytest.approx(100 * len(answered) / len(mine), abs=0.05)
    assert found.average_duration_seconds == int(sum(durations) / len(durations) + 0.5)


def test_without_calls_all_is_zero() -> None:
    found = summary_of(SPAN)
    assert (found.total_calls, found.answer_rate, found.average_duration_seconds) == (0, 0.0, 0)


@pytest.mark.parametrize(
    ("part", "whole", "shown"), [(38, 45, 84.4), (1, 8, 12.5), (1, 3, 33.3), (2, 3, 66.7), (0, 0, 0.0)]
)
def test_a_rate_has_one_decimal(part: int, whole: int, shown: float) -> None:
    assert percentage(part, whole) == shown


def test_rates_and_means_round_halves_up() -> None:
    assert percentage(1, 2000) == 0.1
    assert [mean(1, 2), mean(3, 2), mean(5, 3), mean(0, 0)] == [1, 2, 2, 0]


def nearest_rank(values: list[int], percent: int) -> int | None:
    ordered = sorted(values)
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None


def most_at_once(calls: list[Call], span: Span) -> int:
    moments = [span.start, *(call.started_at for call in calls if span.start <= call.started_at < span.end)]
    going = [(call.started_at, call.ended_at or datetime.max.replace(tzinfo=UTC)) for call in calls]
    return max(sum(began <= moment < ended for began, ended in going) for moment in moments)


@pytest.mark.parametrize("bucket", list(Bucket))
@pytest.mark.parametrize("by", [None, *Group])
def test_a_series_is_what_counting_gives(calls: list[Call], bucket: Bucket, by: Group | None) -> None:
    spans = list(buckets(SPAN, bucket=bucket, zone=BERLIN))
    if bucket is Bucket.HOUR:
        spans = spans[20:32]  # counting is slow
    groups: dict[Any, list[Call]] = defaultdict(list)
    for call in calls:
        groups[getattr(call, by.value) if by else None].append(call)
    series = series_of(spans, by=by)
    assert set(series) <= set(groups)
    for group, points in series.items():
        for span, point in zip(spans, points, strict=True):
            mine = within(groups[group], span)
            rings = [call.ring_seconds for call in mine if call.ring_seconds is not None]
            assert point.start == span.start
            assert (point.calls, point.answered) == (len(mine), sum(bool(call.answered_at) for call in mine))
            assert point.missed == point.calls - point.answered
            assert point.talk_seconds == sum(call.talk_seconds or 0 for call in mine)
            assert (point.ring_p50, point.ring_p95) == (nearest_rank(rings, 50), nearest_rank(rings, 95))
            assert point.most_concurrent == most_at_once(groups[group], span)


def test_a_series_takes_two_queries_however_long_it_is(calls: list[Call], django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        series_of(list(buckets(SPAN, bucket=Bucket.HOUR, zone=BERLIN)))
