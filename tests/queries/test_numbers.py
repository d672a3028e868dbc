"""The figures of a number, against plain counting over its calls."""

import random
from collections import Counter
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from calls.models import Call
from calls.operations.record import record
from calls.queries import numbers
from calls.queries.numbers import WINDOW, figures_of
from tests.build import at, build_event

pytestmark = pytest.mark.django_db
ADA, BOB, EVE = "+4930231250", "+442079460001", "100"
DAY = 86_400
UTC = ZoneInfo("UTC")


def invent(seed: int, count: int = 60) -> None:
    """Record random calls among three numbers over 120 days."""
    rng = random.Random(seed)
    events = []
    for place in range(count):
        parties = {
            "call_id": f"{seed}-{place}",
            "calling_number": rng.choice([ADA, BOB, EVE, "anonymous"]),
            "called_number": rng.choice([ADA, BOB, EVE]),
        }
        seconds = -rng.randrange(0, 120 * DAY)
        events.append(build_event("initiated", seconds, **parties))
        if rng.random() < 0.6:
            events.append(build_event("answered", seconds + 5, **parties))
        if rng.random() < 0.9:
            events.append(build_event("ended", seconds + rng.randrange(5, 500), **parties))
    record(events)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns", "Europe/Berlin"])
@pytest.mark.parametrize("number", [ADA, EVE])
def test_the_figures_are_those_of_counting(zone: str, number: str):
    invent(1)
    calls = list(Call.objects.filter(started_at__gte=at(0) - WINDOW))
    mine = [call for call in calls if number in (call.calling_number, call.called_number)]
    made = [call for call in mine if call.calling_number == number]
    received = [call for call in mine if call.calling_number != number]
    found = figures_of(number, at=at(0), zone=ZoneInfo(zone))
    for traffic, expected in ((found.made, made), (found.received, received)):
        lengths = [call.duration for call in expected if call.duration is not None]
        assert traffic.calls == len(expected)
        assert traffic.ended == sum(call.ended_at is not None for call in expected)
        assert traffic.answered == sum(call.ended_at is not None and call.answered_at is not None for call in expected)
        assert (traffic.seconds, traffic.timed) == (sum(lengths), len(lengths))
    local = [call.started_at.astimezone(ZoneInfo(zone)) for call in mine]
    heat = Counter((moment.weekday(), moment.hour) for moment in local)
    assert found.heat == [[heat[day, hour] for hour in range(24)] for day in range(7)]
    assert not found.cut


def test_the_counterparties_are_those_with_the_most_calls():
    invent(2)
    calls = Call.objects.filter(started_at__gte=at(0) - WINDOW)
    others: Counter[str] = Counter()
    for call in calls:
        if ADA in (call.calling_number, call.called_number):
            others[call.called_number if call.calling_number == ADA else call.calling_number] += 1
    found = figures_of(ADA, at=at(0), zone=UTC).counterparties
    assert {one.number: one.calls for one in found} == dict(others)
    assert [one.calls for one in found] == sorted(others.values(), reverse=True)


def test_a_number_without_calls_has_no_rates():
    found = figures_of(ADA, at=at(0), zone=UTC)
    assert (found.made.calls, found.made.answer_rate, found.received.average) == (0, None, None)
    assert found.counterparties == []


def test_more_calls_than_are_counted_are_said_to_be_cut(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(numbers, "CALLS_AT_MOST", 10)
    record([build_event(call_id=f"c-{n}", seconds=-n * 60, calling_number=ADA) for n in range(25)])
    found = figures_of(ADA, at=at(0), zone=UTC)
    assert (found.made.calls, found.cut) == (10, True)
    assert found.since == at(0) - timedelta(minutes=9)


@pytest.mark.postgresql
def test_a_number_is_read_from_its_two_indexes_only():
    events: list[Any] = []
    for n in range(3_000):
        other = f"+49302312{n % 97:02}"
        calling, called = (ADA, other) if n % 50 == 0 else (other, BOB)
        events.append(build_event(call_id=f"c-{n}", seconds=-n * 600, calling_number=calling, called_number=called))
    record(events)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE calls_call")
    with CaptureQueriesContext(connection) as queries:
        figures_of(ADA, at=at(0), zone=UTC)
    assert len(queries) == 1
    for query in queries.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {query['sql']}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "Seq Scan" not in plan, plan
        assert "call_by_calling" in plan
        assert "call_by_called" in plan
