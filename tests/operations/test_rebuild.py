"""Rebuilding calls from the log: what differs is found and mended, what is right is not touched, ingest goes on."""

from threading import Event as Signal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from calls.domain.state import fold
from calls.models import Call, CallEvent
from calls.operations.annotate import annotate
from calls.operations.rebuild import Difference, rebuild
from calls.operations.record import record
from tests.build import CALLEE, CALLER, at, build_event, read_table
from tests.operations.health import assert_calls_follow_from_their_events
from tests.operations.test_record_concurrently import at_once
from tests.strategies import event_sets

COMPLETED = """
    0:00 initiated
    0:10 answered
    2:00 ended
"""
LATER = at(10_000)


def run(*, dry_run: bool = False, **options: Any) -> list[Difference]:
    stretches = rebuild(Call.objects.all(), at=LATER, dry_run=dry_run, **options)
    return [difference for progress in stretches for difference in progress.differences]


def spoil(call: str = "call-1", **columns: Any) -> None:
    Call.objects.filter(external_id=call).update(**columns)


@pytest.mark.django_db
def test_what_a_bug_or_a_hand_has_changed_is_mended() -> None:
    record(read_table(COMPLETED))
    right = Call.objects.get().state
    spoil(status="busy", answered_at=None, duration=7, calling_number="+12025550123", version=9, marks=0)
    [difference] = run()
    assert difference.external_id == "call-1"
    assert difference.fields["status"] == ("busy", "ended")
    assert difference.fields["duration"] == (7, 120)
    assert set(difference.fields) == {"status", "answered_at", "duration", "calling_number", "version", "marks"}
    call = Call.objects.get()
    assert (call.state, call.status, call.duration) == (right, "ended", 120)
    assert call.updated_at == LATER
    assert run() == []


@pytest.mark.django_db
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_healthy_database_is_only_read(dry_run: bool) -> None:
    record(read_table(COMPLETED))
    before = Call.objects.values().get()
    with CaptureQueriesContext(connection) as captured:
        assert run(dry_run=dry_run) == []
    # The ids, the calls, their events, and the ids once more: there are no others.
    assert len(captured) == 4
    assert all(query["sql"].startswith("SELECT") and "FOR UPDATE" not in query["sql"] for query in captured)
    assert Call.objects.values().get() == before


@pytest.mark.django_db
def test_a_dry_run_says_what_it_would_do_and_does_nothing() -> None:
    record(read_table(COMPLETED))
    spoil(status="busy")
    assert [difference.fields for difference in run(dry_run=True)] == [{"status": ("busy", "ended")}]
    assert Call.objects.get().status == "busy"


@pytest.mark.django_db
def test_annotations_stay() -> None:
    record(read_table(COMPLETED))
    annotate(Call.objects.get().pk, notes="Rang back.", at=at(300))
    spoil(status="busy", call_quality_score=4.5)
    run()
    call = Call.objects.get()
    assert (call.status, call.notes, float(call.call_quality_score or 0)) == ("ended", "Rang back.", 4.5)


@pytest.mark.django_db
def test_new_own_numbers_take_effect(settings: Any) -> None:
    record(read_table(COMPLETED))
    settings.OWN_NUMBERS = [CALLEE]
    assert [difference.fields for difference in run()] == [{"direction": ("unknown", "inbound")}]
    assert Call.objects.get().direction == "inbound"


@pytest.mark.django_db
def test_a_call_without_events_is_told_of_and_left_alone() -> None:
    record([build_event()])
    CallEvent.objects.all().delete()
    assert [difference.fields for difference in run()] == [{}]
    assert Call.objects.count() == 1


@pytest.mark.django_db
def test_it_goes_on_where_it_stopped() -> None:
    record([build_event(call_id=f"call-{number}") for number in range(10)])
    Call.objects.update(status="busy")
    stretches = rebuild(Call.objects.all(), at=LATER, stretch=4)
    first = next(stretches)
    stretches.close()
    assert (first.calls, len(first.differences)) == (4, 4)
    assert Call.objects.filter(status="busy").count() == 6
    assert len(run(after=first.last, stretch=4)) == 6
    assert not Call.objects.filter(status="busy").exists()


@pytest.mark.django_db
@given(events=event_sets(), spoilt=st.sampled_from(["status", "anomalies", "version", "marks", "direction", "odd"]))
def test_a_rebuild_gives_what_the_fold_gives(events: list[Any], spoilt: str) -> None:
    CallEvent.objects.all().delete()
    Call.objects.all().delete()
    record(events)
    before = Call.objects.values().get()
    spoil(**{spoilt: {"status": "busy", "direction": "unknown"}.get(spoilt, 0)})
    run()
    after = Call.objects.values().get()
    assert {**before, "updated_at": None} == {**after, "updated_at": None}
    assert Call.objects.get().state == fold(events)


@pytest.mark.django_db(transaction=True)
def test_a_rebuild_beside_a_storm_of_events_loses_nothing_and_reports_no_false_difference() -> None:
    calls = [f"call-{number}" for number in range(60)]
    record([build_event("initiated", 0, call_id=call) for call in calls])
    over = Signal()
    seen: list[Difference] = []

    def report(turn: int) -> None:
        kind = ["ringing", "answered", "hold", "unhold", "dtmf", "ended"][turn % 6]
        record([build_event(kind, turn, call_id=call) for call in calls[turn % 3 :: 2]])

    def rebuilding() -> None:
        while not over.is_set():
            seen.extend(run(stretch=7))
            seen.extend(run(stretch=7, dry_run=True))

    def reporting() -> None:
        try:
            at_once([lambda turn=turn: report(turn) for turn in range(48)], writers=6)  # type: ignore[misc]
        finally:
            over.set()

    at_once([rebuilding, reporting], writers=2)
    assert seen == []
    assert CallEvent.objects.count() == 60 + sum(len(calls[turn % 3 :: 2]) for turn in range(48))
    assert_calls_follow_from_their_events()


@pytest.mark.django_db(transaction=True)
def test_calls_that_differ_are_mended_while_their_events_come_in() -> None:
    calls = [f"call-{number}" for number in range(40)]
    record([build_event("initiated", 0, call_id=call, calling_number=CALLER) for call in calls])
    for _ in range(5):
        Call.objects.update(direction="inbound", answered_at=at(1))
        second = CallEvent.objects.count()
        batches = [[build_event("dtmf", second + 1, call_id=call)] for call in calls]
        at_once([run, *(lambda batch=batch: record(batch) for batch in batches)], writers=6)  # type: ignore[list-item, misc]
        run()
        assert_calls_follow_from_their_events()
    assert CallEvent.objects.count() == 40 * 6
