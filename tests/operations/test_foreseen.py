"""Groups that hold only what was foreseen: one statement, the same result, and a look first after any surprise."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.domain.events import Event
from calls.domain.state import fold
from calls.models import Call, CallEvent
from calls.operations.erase import begin, run
from calls.operations.foreseen import CAUTION, Foresight
from calls.operations.outcomes import Outcome, Result
from calls.operations.record import record, record_group
from tests.build import CALLER, NOON, build_event, read_table
from tests.operations.health import assert_calls_follow_from_their_events
from tests.operations.test_record_concurrently import at_once
from tests.strategies import deliveries, event_sets

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]

WHOLE_CALL = """
    0:00 initiated id=a
    0:03 ringing id=b
    0:10 answered id=c
    2:00 ended id=d
"""


def live(events: list[Event]) -> list[Event]:
    """Return events as if they happened now: of what is long over, statistics have to take note too."""
    shift = timezone.now() - NOON - timedelta(minutes=5)
    return [
        msgspec.structs.replace(event, occurred_at=event.occurred_at + shift, received_at=event.received_at + shift)
        for event in events
    ]


def foresee(foresight: Foresight, events: list[Event]) -> list[Outcome] | None:
    return foresight.record(events, own_numbers=())


def statements_of(act: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as queries:
        act()
    return len(queries)


def stored() -> tuple[list[Any], list[Any]]:
    """Return all calls and events, as the database has them."""
    rows = CallEvent.objects.order_by("source", "event_id")
    return list(Call.objects.order_by("id").values_list()), list(rows.values_list("call", "source", "event_id", "type"))


# -- What is foreseen -------------------------------------------------------------------------------


def test_each_event_of_a_call_from_its_beginning_takes_one_statement() -> None:
    foresight = Foresight()
    events = live(read_table(WHOLE_CALL))
    for event in events:
        assert statements_of(lambda event=event: record_group([event], foresight)) == 1  # type: ignore[misc]
    call = Call.objects.get()
    assert call.state == fold(events)
    assert (call.status, call.duration) == ("ended", 120)


def test_many_events_of_many_calls_take_one_statement() -> None:
    foresight = Foresight()
    calls = [live(read_table(WHOLE_CALL.replace("id=", f"id={place}-"), call_id=f"call-{place}")) for place in range(9)]
    record_group([call[0] for call in calls[:5]], foresight)
    group = [event for call in calls[:5] for event in call[1:3]] + [call[0] for call in calls[5:]]
    random.Random(1).shuffle(group)
    assert statements_of(lambda: record_group(group, foresight)) == 1
    assert {call.external_id: call.version for call in Call.objects.all()} == {
        **{f"call-{place}": 3 for place in range(5)},
        **{f"call-{place}": 1 for place in range(5, 9)},
    }
    assert_calls_follow_from_their_events()


def test_what_is_answered_and_stored_is_what_the_other_way_answers_and_stores() -> None:
    events = live(read_table(WHOLE_CALL))
    foresight = Foresight()
    foreseen = [foresee(foresight, [event]) for event in events]
    one_way = stored()
    CallEvent.objects.all().delete()
    Call.objects.all().delete()
    assert foreseen == [record([event]) for event in events]
    assert stored() == one_way


def test_a_call_that_was_looked_at_once_needs_no_second_look() -> None:
    foresight = Foresight()
    initiated, ringing, answered, _ = live(read_table(WHOLE_CALL))
    record([initiated])  # by another process
    assert foresee(foresight, [ringing]) is None
    record_group([ringing], foresight)
    assert foresee(foresight, [answered]) == [Outcome(Result.CREATED, fold([initiated, ringing, answered]).status)]
    assert_calls_follow_from_their_events()


# -- What is not ------------------------------------------------------------------------------------


def nothing_happens(foresight: Foresight, events: list[Event]) -> None:
    before = stored()
    assert foresee(foresight, events) is None
    assert stored() == before
    assert connection.connection.info.transaction_status.name == "IDLE"


def test_a_call_that_somebody_else_changed_is_not_overwritten() -> None:
    foresight = Foresight()
    initiated, ringing, answered, ended = live(read_table(WHOLE_CALL))
    record_group([initiated], foresight)
    record([answered])
    nothing_happens(foresight, [ringing])
    nothing_happens(foresight, [ended])
    record_group([ringing], foresight)
    record_group([ended], foresight)
    assert Call.objects.get().state == fold([initiated, ringing, answered, ended])


def test_a_change_of_the_row_that_adds_no_event_counts_as_well() -> None:
    foresight = Foresight()
    initiated, ringing, *_ = live(read_table(WHOLE_CALL))
    record_group([initiated], foresight)
    Call.objects.update(calling_number="somebody else's change")
    nothing_happens(foresight, [ringing])


def test_a_call_that_somebody_else_made_is_not_made_again() -> None:
    initiated, ringing, *_ = live(read_table(WHOLE_CALL))
    record([ringing])
    nothing_happens(Foresight(), [initiated])


def test_an_event_that_is_known_changes_nothing_and_is_a_duplicate() -> None:
    foresight = Foresight()
    initiated, ringing, answered, _ = live(read_table(WHOLE_CALL))
    other = live([build_event(call_id="other", event_id="x")])[0]
    record_group([initiated, ringing], foresight)
    again = msgspec.structs.replace(ringing, occurred_at=answered.occurred_at)
    nothing_happens(foresight, [other, again])
    record_group([initiated], foresight)  # looks
    assert [one.result for one in record_group([initiated, answered, initiated], foresight)] == [
        Result.DUPLICATE,
        Result.CREATED,
        Result.DUPLICATE,
    ]
    assert_calls_follow_from_their_events()


def test_of_a_group_with_one_surprise_nothing_is_written() -> None:
    foresight = Foresight()
    first, second = (live(read_table(WHOLE_CALL.replace("id=", f"id={name}-"), call_id=name)) for name in "pq")
    record_group([first[0], second[0]], foresight)
    record([second[1]])
    nothing_happens(foresight, [first[1], second[2], *live([build_event(call_id="new")])])


def test_who_loses_a_deadlock_looks_first() -> None:
    foresight = Foresight()
    calls = [live(read_table(WHOLE_CALL.replace("id=", f"id={name}-"), call_id=name)) for name in "pq"]
    calls.sort(key=lambda call: call[0].call_uuid)  # in which order their rows are locked
    record_group([call[0] for call in calls], foresight)
    with connection.cursor() as cursor:
        cursor.execute("SET deadlock_timeout = '2s'")
    ours = connection.connection.info.backend_pid
    lock = "SELECT 1 FROM calls_call WHERE id = %s FOR UPDATE"
    with psycopg.connect(connection.connection.info.dsn, autocommit=False) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SET deadlock_timeout = '60s'")
        other.execute(lock, [calls[1][0].call_uuid])

        def cross() -> None:
            with psycopg.connect(connection_info, autocommit=True) as watch:
                waits = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
                while not watch.execute(waits, [ours]).fetchone():
                    pass
            other.execute(lock, [calls[0][0].call_uuid])  # goes on when the deadlock is broken

        connection_info = connection.connection.info.dsn
        crossing = pool.submit(cross)
        assert foresee(foresight, [call[1] for call in calls]) is None
        crossing.result(30)
        other.rollback()
    record_group([call[1] for call in calls], foresight)
    assert_calls_follow_from_their_events()


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([build_event("answered")], id="a call that does not begin"),
        pytest.param([build_event(event_id="1"), build_event(event_id="1")], id="one id twice"),
        pytest.param(read_table("0:00 initiated\n2:00 ended"), id="a call that was over long ago"),
    ],
)
def test_what_cannot_be_foreseen_is_not_tried(events: list[Event]) -> None:
    assert statements_of(lambda: foresee(Foresight(), events)) == 0


def test_a_late_event_is_not_tried() -> None:
    foresight = Foresight()
    initiated, ringing, answered, _ = live(read_table(WHOLE_CALL))
    record_group([initiated, answered], foresight)
    assert statements_of(lambda: foresee(foresight, [ringing])) == 0
    record_group([ringing], foresight)
    assert Call.objects.get().state == fold([initiated, ringing, answered])


def test_within_an_open_transaction_it_is_not_tried() -> None:
    with transaction.atomic():
        assert foresee(Foresight(), live([build_event()])) is None
        assert statements_of(lambda: record(live([build_event()]))) > 1


def test_an_erased_number_does_not_come_back_from_memory(admin_user: Any) -> None:
    foresight = Foresight()
    initiated, ringing, answered, ended = live(read_table(WHOLE_CALL))
    record_group([initiated], foresight)
    list(run(begin(CALLER, user=admin_user, at=timezone.now())))
    record_group([ringing], foresight)
    record_group([answered, ended], foresight)
    call = Call.objects.get()
    assert CALLER not in (call.calling_number, *call.events.values_list("calling_number", flat=True))
    assert call.version == 4


# -- Caution, and forgetting --------------------------------------------------------------------------


def test_after_a_surprise_groups_look_first_for_a_while_and_longer_after_the_next() -> None:
    foresight = Foresight()

    def surprise() -> None:
        known = live([build_event()])
        record(known)
        assert foresee(foresight, known) is None

    def looks() -> int:
        for count in range(10_000):
            if foresee(foresight, live([build_event(call_id=f"{timezone.now()}-{count}")])) is not None:
                return count
        raise AssertionError("it never tries again")

    surprise()
    assert looks() == CAUTION
    surprise()
    assert looks() == CAUTION  # it went well in between
    surprise()
    for _ in range(CAUTION):
        assert foresee(foresight, live([build_event(call_id="any")])) is None
    surprise()
    assert looks() == 2 * CAUTION


def test_over_a_new_connection_nothing_is_known() -> None:
    foresight = Foresight()
    initiated, ringing, *_ = live(read_table(WHOLE_CALL))
    record_group([initiated], foresight)
    connection.close()
    connection.ensure_connection()
    assert statements_of(lambda: foresee(foresight, [ringing])) == 0


def test_no_more_calls_are_remembered_than_there_is_room_for(monkeypatch: Any) -> None:
    monkeypatch.setattr("calls.operations.foreseen.MOST", 3)
    foresight = Foresight()
    for place in range(5):
        record_group(live([build_event(call_id=f"call-{place}")]), foresight)
    tried = [
        statements_of(
            lambda place=place: foresee(foresight, live([build_event("ringing", 1, call_id=f"call-{place}")]))
        )  # type: ignore[misc]
        for place in range(5)
    ]
    assert tried == [0, 0, 1, 1, 1]


def test_calls_that_are_over_are_not_remembered() -> None:
    foresight = Foresight()
    events = live(read_table(WHOLE_CALL))
    record_group(events, foresight)
    assert statements_of(lambda: foresee(foresight, live([build_event("ended", 300)]))) == 0


# -- Any order, and at once -----------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_two_processes_in_turns_in_any_order_arrive_at_the_fold(data: Any) -> None:
    CallEvent.objects.all().delete()
    Call.objects.all().delete()
    pair = Foresight(), Foresight()
    events = live(data.draw(event_sets(most=8)))
    for batch in data.draw(deliveries(events)):
        if batch:
            foresight = data.draw(st.sampled_from(pair))
            foresight._looks = 0  # however cautious it may be
            record_group(batch, foresight)
    assert Call.objects.get().state == fold(events)
    assert CallEvent.objects.count() == len(events)


def test_a_storm_over_several_processes_loses_and_doubles_nothing() -> None:
    chance = random.Random(20261121)
    kinds = ["initiated", "ringing", "answered", "hold", "unhold", "ended"]
    events = live(
        [build_event(kind, place * 3, call_id=f"call-{call}") for call in range(40) for place, kind in enumerate(kinds)]
    )
    # Nearly in order, so that much is foreseen, and half of it twice.
    twice = events + chance.sample(events, len(events) // 2)
    pending = sorted(twice, key=lambda event: (event.occurred_at, chance.random()))
    batches = []
    while pending:
        size = chance.choice([1, 2, 5, 17])
        batches.append(pending[:size])
        del pending[:size]

    def process(number: int) -> list[Outcome]:
        foresight = Foresight()
        outcomes = []
        for batch in batches[number::4]:
            foresight._looks = 0
            outcomes += record_group(batch, foresight)
        return outcomes

    answers = at_once([lambda number=number: process(number) for number in range(4)], writers=4)  # type: ignore[misc]
    counts = Counter(outcome.result for answer in answers for outcome in answer)
    assert counts == {Result.CREATED: len(events), Result.DUPLICATE: len(twice) - len(events)}
    assert CallEvent.objects.count() == len(events)
    assert_calls_follow_from_their_events()
