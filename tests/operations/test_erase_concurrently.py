"""Erasing while events come in, on the database that the tests run on."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from calls.models import Call, CallEvent, ErasureReceipt
from calls.operations.erase import begin, run
from calls.operations.outcomes import Result
from calls.operations.record import record
from tests.build import build_event
from tests.operations.health import assert_calls_follow_from_their_events
from tests.operations.test_erase import NUMBER, OTHER, digits_anywhere
from tests.operations.test_record_concurrently import at_once

pytestmark = pytest.mark.django_db(transaction=True)
CALLS = 60


def test_what_is_reported_while_its_call_is_erased_brings_nothing_back() -> None:
    chance = random.Random(20240401)
    events = [
        build_event(kind, seconds, call_id=f"call-{call}", calling_number=NUMBER, called_number=OTHER,
                    metadata={"from": f"sip:{NUMBER}@example.com"})
        for call in range(CALLS)
        for seconds, kind in enumerate(("initiated", "ringing", "answered", "hold", "unhold", "ended"))
    ]  # fmt: skip
    record([event for event in events if event.type == "initiated"])
    deliveries = events * 2
    chance.shuffle(deliveries)

    def deliver(batch: list[Any]) -> Callable[[], list[Result]]:
        return lambda: [outcome.result for outcome in record(batch)]

    def erase() -> list[Result]:
        for _ in run(begin(NUMBER, user=None, at=timezone.now())):
            pass
        return []

    tasks: list[Callable[[], list[Result]]] = [
        deliver(deliveries[start : start + 7]) for start in range(0, len(deliveries), 7)
    ]
    # Three people erase at once, in the middle of it.
    for place in (10, 11, 40):
        tasks.insert(place, erase)
    results = Counter(result for answer in at_once(tasks, writers=8) for result in answer)

    assert results == {Result.CREATED: len(events) - CALLS, Result.DUPLICATE: len(events) + CALLS}
    assert digits_anywhere() == []
    assert CallEvent.objects.count() == len(events)
    assert Call.objects.filter(status="ended", version=6, duration=5).count() == CALLS
    assert len(set(Call.objects.values_list("calling_number", flat=True))) == 1
    assert_calls_follow_from_their_events()
    assert {outcome.result for outcome in record(events)} == {Result.DUPLICATE}
    assert not ErasureReceipt.objects.filter(finished_at=None).exists()


@pytest.fixture(autouse=True)
def _close_after(transactional_db: None) -> object:
    yield
    connections.close_all()
