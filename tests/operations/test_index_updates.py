"""On PostgreSQL an event that does not end its call changes no index: its update of the call is heap-only."""

import pytest
from django.db import connection

from calls.models import Call
from calls.operations.record import record
from tests.build import build_event

pytestmark = pytest.mark.django_db


def heap_only() -> tuple[int, int]:
    """Return how many updates of calls this transaction made, and how many of them were heap-only."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_get_xact_tuples_updated(%s::regclass), pg_stat_get_xact_tuples_hot_updated(%s::regclass)",
            [Call._meta.db_table] * 2,
        )
        made, without_indexes = cursor.fetchone()
    return made, without_indexes


@pytest.mark.postgresql
@pytest.mark.parametrize("word", ["ringing", "answered", "hold", "muted", "recording_started", "dtmf"])
def test_an_event_that_does_not_end_its_call_changes_no_index(word: str) -> None:
    record([build_event("initiated")])
    made, without_indexes = heap_only()
    record([build_event(word, 5)])
    assert heap_only() == (made + 1, without_indexes + 1)


@pytest.mark.postgresql
def test_the_end_of_a_call_changes_the_indexes() -> None:
    record([build_event("initiated"), build_event("answered", 5)])
    made, without_indexes = heap_only()
    record([build_event("ended", 9)])
    assert heap_only() == (made + 1, without_indexes)


def test_the_outcome_is_the_status_of_a_call_that_is_over_and_of_no_other() -> None:
    record([build_event("initiated"), build_event("answered", 5)])
    assert Call.objects.get().outcome is None
    record([build_event("ended", 9)])
    assert Call.objects.get().outcome == "ended"
