"""Following the log: nothing is skipped, whatever the order of commits; each thing is seen once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from calls.models import Call, CallChange, CallEvent, Client
from calls.operations.annotate import annotate
from calls.operations.clients import set_numbers
from calls.operations.record import record
from calls.queries.changes import STRETCH, Tail, last_id_given_out
from calls.queries.reading import read_apart
from tests.build import at, build_event

pytestmark = pytest.mark.django_db(transaction=True)


def seen(tail: Tail) -> list[str]:
    """Return the event ids that a look shows."""
    names = dict(CallEvent.objects.values_list("id", "event_id"))
    return [names[entry.id] for entry in tail.look()]


@contextmanager
def held_back(*event_ids: str, roll_back: bool = False) -> Iterator[None]:
    """Record events in another transaction, which commits at the end of the block."""
    recorded, go_on = threading.Event(), threading.Event()

    def write() -> None:
        try:
            with transaction.atomic():
                record([build_event("dtmf", event_id=name, call_id=f"call of {event_ids[0]}") for name in event_ids])
                recorded.set()
                go_on.wait(30)
                transaction.set_rollback(roll_back)
        finally:
            recorded.set()
            connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    assert recorded.wait(30)
    try:
        yield
    finally:
        go_on.set()
        thread.join(30)


def test_what_is_new_is_seen_once_in_order() -> None:
    record([build_event(event_id="before")])
    tail = Tail(CallEvent)
    assert tail.look() == []
    record([build_event("ringing", 1, event_id="a"), build_event("ended", 2, event_id="b")])
    record([build_event("dtmf", 3, event_id="c")])
    assert seen(tail) == ["a", "b", "c"]
    assert tail.look() == []
    assert tail.settled == tail.top == last_id_given_out(CallEvent)


def test_a_long_log_is_seen_in_stretches() -> None:
    tail = Tail(CallEvent)
    names = [f"e{number:04}" for number in range(STRETCH + 7)]
    record([build_event("dtmf", 1, event_id=name) for name in names])
    assert seen(tail) == names[:STRETCH]
    assert tail.behind
    assert seen(tail) == names[STRETCH:]
    assert not tail.behind


def test_changes_without_events_have_a_log_of_their_own() -> None:
    record([build_event()])
    tail = Tail(CallChange)
    call = Call.objects.get()
    annotate(call.pk, notes="one", at=at(1))
    annotate(call.pk, notes="two", at=at(2))
    assert [entry.call for entry in tail.look()] == [call.pk, call.pk]


@pytest.mark.postgresql
def test_an_event_that_commits_after_later_ones_is_seen_too() -> None:
    tail = Tail(CallEvent)
    with held_back("slow"):
        record([build_event(event_id="quick")])
        [quick] = tail.look()
        assert quick.settled < quick.id - 1
        assert tail.has_gaps
        for _ in range(3):
            assert tail.look() == []
        record([build_event("ringing", event_id="quick too")])
        [again] = tail.look()
        assert again.settled == quick.settled
    assert seen(tail) == ["slow"]
    tail.look()
    assert tail.settled == tail.top


@pytest.mark.postgresql
def test_a_gap_that_will_never_be_filled_is_given_up_when_its_writers_have_ended() -> None:
    tail = Tail(CallEvent)
    with held_back("undone", roll_back=True):
        record([build_event(event_id="a")])
        assert seen(tail) == ["a"]
        assert tail.look() == []
        assert tail.has_gaps
    assert tail.look() == []
    assert not tail.has_gaps
    record([build_event(event_id="a")])  # known, but it has drawn an id
    record([build_event("ringing", event_id="b")])
    [entry] = tail.look()
    assert tail.has_gaps
    tail.look()
    assert (tail.settled, tail.has_gaps) == (entry.id, False)


@pytest.mark.postgresql
def test_gaps_are_filled_bit_by_bit() -> None:
    tail = Tail(CallEvent)
    with held_back("a1", "a2"), held_back("b1"), held_back("c1", "c2", "c3"):
        record([build_event(event_id="top")])
        assert seen(tail) == ["top"]
    # They have committed from the inside to the outside.
    assert sorted(seen(tail)) == ["a1", "a2", "b1", "c1", "c2", "c3"]
    assert tail.look() == []
    assert not tail.has_gaps


@pytest.mark.postgresql
def test_whoever_begins_while_something_is_open_sees_it_too() -> None:
    with held_back("slow"):
        record([build_event(event_id="before")])
        tail = Tail(CallEvent)
        assert tail.has_gaps
        record([build_event("ringing", event_id="after")])
        assert seen(tail) == ["after"]
    assert seen(tail) == ["slow"]
    assert tail.look() == []
    assert tail.settled == tail.top


@pytest.mark.postgresql
def test_long_transactions_elsewhere_do_not_hold_the_cursor_back() -> None:
    tail = Tail(CallEvent)
    opened, go_on = threading.Event(), threading.Event()

    def elsewhere() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_current_xact_id()")
                cursor.execute("SELECT count(*) FROM calls_callevent")
                opened.set()
                go_on.wait(30)
        finally:
            connection.close()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    assert opened.wait(30)
    try:
        with held_back("undone", roll_back=True):
            record([build_event(event_id="a")])
            assert seen(tail) == ["a"]
        tail.look()
        assert not tail.has_gaps
    finally:
        go_on.set()
        thread.join(30)


def test_entries_name_their_calls() -> None:
    tail = Tail(CallEvent)
    record([build_event()])
    [entry] = tail.look()
    assert isinstance(entry.call, UUID)
    assert entry.call == Call.objects.get().pk


# -- Only what somebody listens to ------------------------------------------------------------------


@pytest.mark.parametrize("label", ["call", "caller", "called", "client"])
def test_of_calls_with_none_of_the_labels_only_the_number_is_told(label: str) -> None:
    ada = Client.objects.create(name="Ada")
    set_numbers(ada, ["+15550009"], at=at(0))
    tail = Tail(CallEvent)
    record([build_event(event_id=f"other {number}", call_id=f"other {number}") for number in range(5)])
    numbers = {"calling_number": "+15550009", "called_number": "+15550008", "direction": "inbound"}
    record([build_event(event_id="wanted", call_id="wanted", **numbers)])
    record([build_event("ended", 1, event_id="after", call_id="other 1")])
    wanted = Call.objects.get(external_id="wanted")
    labels = {"call": wanted.pk, "caller": "+15550009", "called": "+15550008", "client": ada.pk}
    noise: list[UUID | str | int] = [UUID(int=7), 10**15, "x", '"', "\\", "NULL", "{}", "', \"'", "+1555,0009"]
    [entry] = tail.look([*noise, labels[label]])
    assert (entry.call, entry.glance) == (wanted.pk, ({"+15550009", "+15550008"}, ada.pk, wanted.status))
    assert (tail.seen, tail.top, entry.settled) == (7, last_id_given_out(CallEvent), entry.id)
    assert tail.look([labels[label]]) == []
    assert tail.seen == 0


def test_labels_are_compared_wholly() -> None:
    tail = Tail(CallEvent)
    odd = 'a"b\\c{},é'
    record([build_event(event_id="a", call_id="call-a", calling_number=odd)])
    record([build_event(event_id="b", call_id="call-b", calling_number=odd.upper())])
    assert [next(iter(entry.glance.numbers - {"+9876543210"})) for entry in tail.look([odd])] == [odd]


@pytest.mark.postgresql
def test_a_gap_is_filled_also_by_what_nobody_wants() -> None:
    tail = Tail(CallEvent)
    with held_back("slow"):
        record([build_event(event_id="quick", calling_number="+15550001")])
        [quick] = tail.look(["+15550001"])
        assert quick.settled < quick.id - 1
    assert tail.look(["+15550001"]) == []
    assert tail.seen == 1
    assert not tail.has_gaps
    assert tail.settled == tail.top == quick.id


@pytest.mark.postgresql
def test_a_plan_made_for_empty_tables_does_not_read_them_wholly_later() -> None:
    def plans() -> str:
        read_apart()
        try:
            tail = Tail(CallEvent)
            tail.look(["+15550001"])
            with CaptureQueriesContext(connection) as asked:
                tail.look(["+15550001"])
            with connection.cursor() as cursor:
                return "\n".join(
                    line
                    for query in asked.captured_queries
                    for (line,) in cursor.execute(f"EXPLAIN {query['sql']}".replace("%", "%%")).fetchall()
                )
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(plans).result()
    assert "Index Scan" in found
    assert "Seq Scan" not in found
