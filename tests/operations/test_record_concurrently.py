"""Many writers at once, on the database that the tests run on: nothing lost, nothing twice, no lock error."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from threading import Barrier
from typing import Any, TypeVar

import pytest
from django.db import connection, connections

from calls.domain.events import Event
from calls.domain.state import fold
from calls.models import Call, CallEvent
from calls.operations.outcomes import Result
from calls.operations.record import committer, decide, record
from tests.build import build_event, read_table
from tests.operations.health import assert_calls_follow_from_their_events
from tests.operations.test_record import end_at
from tests.reference import differences

pytestmark = pytest.mark.django_db(transaction=True)
WRITERS = 16
T = TypeVar("T")


@pytest.fixture(autouse=True, params=[0, 2, 7, 256], ids=lambda most: f"groups of {most}" if most else "alone")
def _any_group_size(request: Any, settings: Any, monkeypatch: Any) -> None:
    """Every storm, with each on its own and with groups of any size."""
    settings.GROUP_COMMIT = bool(request.param)
    monkeypatch.setattr(committer, "most", request.param)


def at_once(tasks: list[Callable[[], T]], *, writers: int = WRITERS) -> list[T]:
    """Run tasks in threads with a connection each, and return their results; errors are raised."""

    def run(task: Callable[[], T]) -> T:
        try:
            return task()
        finally:
            connection.close()

    with ThreadPoolExecutor(writers) as pool:
        return [future.result() for future in [pool.submit(run, task) for task in tasks]]


def healthy() -> bool:
    """Say whether every stored call is what its stored events add up to; the product's own check must agree."""
    assert_calls_follow_from_their_events()
    for call in Call.objects.prefetch_related("events"):
        log = [row.as_event(call_id=call.external_id) for row in call.events.all()]
        if call.state != fold(log) or differences(log, call.state):
            return False
    return True


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_three_events_in_any_order_twice_and_at_once_make_one_call(order: tuple[int, ...]) -> None:
    events = read_table("""
        0:00 initiated id=a
        0:10 answered id=b
        2:00 ended id=c
    """)
    start = Barrier(6)

    def deliver(event: Event) -> Callable[[], Result]:
        def task() -> Result:
            start.wait(30)
            return record([event])[0].result

        return task

    outcomes = at_once([deliver(events[place]) for place in order for _ in range(2)])
    assert Counter(outcomes) == {Result.CREATED: 3, Result.DUPLICATE: 3}
    call = Call.objects.get()
    assert call.state == fold(events)
    assert (call.status, call.duration) == ("ended", 120)


def test_a_storm_of_shuffled_repeated_batches_loses_and_doubles_nothing() -> None:
    chance = random.Random(20240401)
    kinds = ["initiated", "ringing", "answered", "hold", "unhold", "ended"]
    events = [
        build_event(kind, seconds * 3, call_id=f"call-{call}")
        for call in range(60)
        for seconds, kind in enumerate(kinds)
    ]
    deliveries = events * 3
    chance.shuffle(deliveries)
    batches = []
    while deliveries:
        size = chance.choice([1, 1, 2, 5, 40])
        batches.append(deliveries[:size])
        del deliveries[:size]

    answers = at_once([lambda batch=batch: record(batch) for batch in batches])  # type: ignore[misc]
    counts = Counter(outcome.result for answer in answers for outcome in answer)
    assert counts == {Result.CREATED: len(events), Result.DUPLICATE: 2 * len(events)}
    assert CallEvent.objects.count() == len(events)
    assert Call.objects.filter(status="ended", version=len(kinds)).count() == 60
    assert healthy()


def test_one_id_claimed_by_many_calls_at_once_belongs_to_one_of_them() -> None:
    start = Barrier(WRITERS)

    def claim(place: int) -> Callable[[], Result]:
        def task() -> Result:
            start.wait(30)
            return record([build_event(event_id="the one", call_id=f"call-{place}")])[0].result

        return task

    outcomes = Counter(at_once([claim(place) for place in range(WRITERS)]))
    assert outcomes == {Result.CREATED: 1, Result.CONFLICT: WRITERS - 1}
    assert healthy()
    assert Call.objects.count() == CallEvent.objects.count() == 1


def test_batches_over_the_same_calls_and_ids_in_opposite_orders_do_not_block_each_other() -> None:
    def batch(turn: int) -> list[Event]:
        calls = range(50) if turn % 2 else range(49, -1, -1)
        return [build_event("dtmf", 1, event_id=f"{call}-{turn // 2}", call_id=f"call-{call}") for call in calls]

    at_once([lambda turn=turn: record(batch(turn)) for turn in range(40)])  # type: ignore[misc]
    assert Call.objects.filter(version=20).count() == 50
    assert healthy()


def test_of_many_who_end_a_call_at_once_one_does() -> None:
    record([build_event()])
    call = Call.objects.get()

    def end() -> str:
        try:
            decide(call.pk, end_at(30))
        except Exception as error:
            return type(error).__name__
        return "ended"

    assert Counter(at_once([end] * WRITERS)) == {"ended": 1, "NotPossible": WRITERS - 1}
    assert CallEvent.objects.count() == 2


@pytest.fixture(autouse=True)
def _close_after(transactional_db: None) -> object:
    yield
    connections.close_all()
