"""Figures by hours are what adding up all calls gives: after any history, and beside many writers."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from threading import Event as Signal
from threading import Thread
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.domain.periods import Bucket, Span, buckets, hour_of
from calls.domain.vocabulary import Direction, Source
from calls.models import Call, CallEvent, ChangedHour, HourFigures
from calls.operations import hours
from calls.operations.cleanup import remove_calls
from calls.operations.hours import roll_up
from calls.operations.rebuild import rebuild
from calls.operations.record import record
from calls.queries.dashboard import outcomes_of
from calls.queries.statistics import counts_of, summary_of
from tests.build import build_event
from tests.operations.test_record_concurrently import at_once

START = datetime(2024, 3, 30, 21, tzinfo=UTC)
DAY = Span(START, START + timedelta(days=1))
# Of whole and half hours, and of three hours; one of them changes its clocks on that day.
ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu")]
real = pytest.mark.django_db(transaction=True)


def plainly(span: Span) -> tuple[Any, ...]:
    """Work the figures of a span out in Python, from one look at all calls."""
    rows = Call.objects.filter(started_at__gte=span.start, started_at__lt=span.end, ended_at__isnull=False)
    calls = list(rows.values_list("answered_at", "direction", "duration", "status"))
    durations = [duration for _, _, duration, _ in calls if duration is not None]
    return (
        len(calls),
        sum(answered is not None for answered, *_ in calls),
        sum(way == "inbound" for _, way, *_ in calls),
        sum(way == "outbound" for _, way, *_ in calls),
        int(sum(durations) / len(durations) + 0.5) if durations else 0,
        Counter(status for *_, status in calls),
    )


def by_query(span: Span) -> tuple[Any, ...]:
    found = summary_of(span)
    figures = (found.total_calls, found.answered_calls, found.inbound_calls, found.outbound_calls)
    return (*figures, found.average_duration_seconds, outcomes_of(span))


def assert_equal_everywhere(*spans: Span) -> None:
    for span in (DAY, *spans):
        assert by_query(span) == plainly(span), span
    for zone in ZONES:
        for bucket in Bucket:
            steps = list(buckets(DAY, bucket=bucket, zone=zone))
            counts = counts_of(steps)
            assert [(one.calls, one.answered) for one in counts] == [plainly(step)[:2] for step in steps]


def some_events(chance: random.Random, number: int, name: str) -> list[Any]:
    """Return a call's events: some late ones move its start, an assumed end may be voided."""
    begin = START + timedelta(seconds=chance.randrange(86_400), microseconds=chance.choice([0, 0, 1, 999_999]))
    if chance.random() < 0.2:
        begin = hour_of(begin)
    common = {
        "call_id": f"{name}-{number}",
        "direction": chance.choice([None, *Direction]),
        "calling_number": f"+1202555{number % 50:04}",
    }
    steps = [("initiated", 0.0, Source.SIP)]
    if chance.random() < 0.6:
        steps.append(("answered", chance.uniform(1, 1500), Source.SIP))
    kind = chance.random()
    if kind < 0.8:
        steps.append((chance.choice(["ended", "failed"]), chance.uniform(1, 3000), Source.SIP))
    elif kind < 0.9:
        steps.append(("ended", 3000.0, Source.INFERRED))
        steps.append(("dtmf", chance.choice([2000.0, 3500.0]), Source.SIP))
    events = []
    for type, seconds, source in steps:
        at = begin + timedelta(seconds=round(seconds, 3))
        events.append(build_event(type, occurred_at=at, source=source, **common))
    return events


@pytest.mark.django_db
@settings(max_examples=8)
@given(seed=st.integers(0, 10**6))
def test_whatever_the_order_of_events_and_adding_up_the_figures_are_those_of_all_calls(seed: int) -> None:
    chance = random.Random(seed)
    with transaction.atomic():
        events = [event for number in range(25) for event in some_events(chance, number, "call")]
        chance.shuffle(events)
        while events:
            part, events = events[: (size := chance.randrange(1, 30))], events[size:]
            record(part)
            if chance.random() < 0.4:
                list(roll_up())
            cut = sorted(START + timedelta(seconds=chance.uniform(-3600, 90_000)) for _ in range(2))
            assert_equal_everywhere(Span(cut[0], cut[1]))
        # Calls that are spoilt and rebuilt, and calls that are removed.
        Call.objects.filter(calling_number="+12025550001").update(started_at=START, ended_at=None)
        HourFigures.objects.all().delete()
        list(roll_up())
        list(rebuild(Call.objects.all(), at=START))
        assert_equal_everywhere()
        list(roll_up())
        remove_calls("call-1")
        assert_equal_everywhere()
        list(roll_up())
        assert_equal_everywhere()
        assert not ChangedHour.objects.exists()
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_what_is_added_up_is_read_and_not_worked_out_again() -> None:
    record(some_events(random.Random(3), 1, "call"))
    list(roll_up())
    hour = hour_of(START + timedelta(hours=5))
    before = summary_of(DAY).total_calls
    HourFigures.objects.update_or_create(hour=hour, defaults=dict.fromkeys(hours.FIGURES, 7))
    assert summary_of(DAY).total_calls == before + 7
    ChangedHour.objects.create(hour=hour)  # what is known to be old is not used
    assert summary_of(DAY).total_calls == before
    list(roll_up())
    assert HourFigures.objects.get(hour=hour).calls == 0


@pytest.mark.django_db
def test_of_the_latest_calls_nothing_is_noted_and_nothing_added_up() -> None:
    now = datetime.now(UTC)
    record(
        [
            build_event("ended", occurred_at=now, call_id="now"),
            build_event("ended", occurred_at=now - timedelta(days=1)),
        ]
    )
    assert ChangedHour.objects.count() == 1
    list(roll_up())
    assert not HourFigures.objects.filter(hour__gt=now - hours.ROLLED_AFTER).exists()
    assert summary_of(Span(now - timedelta(days=2), now + timedelta(days=1))).total_calls == 2


@pytest.mark.django_db
def test_calls_of_long_ago_do_not_fill_the_years_between() -> None:
    for year in (1970, 1999, 2024):
        record([build_event("ended", occurred_at=datetime(year, 5, 1, tzinfo=UTC), call_id=str(year))])
    out = StringIO()
    call_command("roll_up_calls", stdout=out)
    assert HourFigures.objects.count() <= 3 * hours.STRETCH
    call_command("roll_up_calls", stdout=out)
    assert out.getvalue().splitlines()[-1] == "0 hours added up."
    assert summary_of(Span(datetime(1970, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))).total_calls == 3


# -- Beside others, on the real database -----------------------------------------------------------


@real
def test_beside_writers_rollers_and_rebuilds_every_answer_is_that_of_one_moment() -> None:
    """Readers compare the figures with a count of all calls, both in one statement's view of the database."""
    chance = random.Random(7)
    events = [event for number in range(70) for event in some_events(chance, number, "call")]
    chance.shuffle(events)
    parts = [events[place : place + 9] for place in range(0, len(events), 9)]
    over = Signal()

    def look() -> int:
        looks = 0
        while not over.is_set():
            with transaction.atomic():
                if connection.vendor == "postgresql":
                    with connection.cursor() as cursor:
                        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                assert by_query(DAY) == plainly(DAY)
            looks += 1
        return looks

    def roll() -> int:
        while not over.is_set():
            list(roll_up())
        return 1

    def write() -> int:
        try:
            at_once([lambda part=part: record(part) for part in parts], writers=4)  # type: ignore[misc]
            return 1
        finally:
            over.set()

    tasks: list[Callable[[], int]] = [write, roll]
    if connection.vendor == "postgresql":
        tasks += [roll, look]
    # So that what just goes on is added up too: nothing but the notes keeps the figures right.
    with patch.object(hours, "BEFORE_THE_OLDEST", timedelta()):
        done = at_once(tasks, writers=len(tasks))
    assert all(done)
    assert CallEvent.objects.count() == len(events)
    assert_equal_everywhere()
    list(roll_up())
    assert_equal_everywhere()
    for figures in HourFigures.objects.all():
        span = Span(figures.hour, figures.hour + timedelta(hours=1))
        assert (figures.calls, figures.answered) == plainly(span)[:2]


@real
@pytest.mark.postgresql
def test_a_change_that_is_not_committed_when_a_hour_is_added_up_is_not_lost() -> None:
    record([build_event("ended", occurred_at=START, call_id="first")])
    list(roll_up())
    written, go = Signal(), Signal()

    def slowly() -> None:
        try:
            with transaction.atomic():
                record([build_event("ended", occurred_at=START, call_id="second")])
                written.set()
                assert go.wait(60)
        finally:
            connection.close()

    writer = Thread(target=slowly)
    writer.start()
    assert written.wait(60)
    ChangedHour.objects.create(hour=START)
    list(roll_up())  # does not wait for the writer, and does not see it
    assert summary_of(DAY).total_calls == 1
    go.set()
    writer.join()
    assert summary_of(DAY).total_calls == 2
    list(roll_up())
    assert HourFigures.objects.get(hour=START).calls == 2


@real
@pytest.mark.postgresql
def test_nothing_is_added_up_that_a_transaction_which_goes_on_may_change_without_a_note() -> None:
    began, go = Signal(), Signal()

    def sit() -> None:
        try:
            with transaction.atomic():
                Call.objects.exists()
                began.set()
                assert go.wait(60)
        finally:
            connection.close()

    sitter = Thread(target=sit)
    sitter.start()
    assert began.wait(60)
    later = datetime.now(UTC) + timedelta(hours=10)  # as if it had been sitting for hours
    try:
        with patch("calls.operations.hours.timezone.now", return_value=later):
            assert hours._bound() < datetime.now(UTC) - timedelta(hours=1)
    finally:
        go.set()
        sitter.join()
