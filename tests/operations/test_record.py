"""Writing facts down: what is stored must always be what the events add up to."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.domain.events import Event, call_uuid
from calls.domain.rules import NotPossible, moment_after
from calls.domain.state import CallState, fold
from calls.domain.vocabulary import CallStatus, EventType, Source
from calls.models import Call, CallEvent
from calls.operations.outcomes import Outcome
from calls.operations.record import UnknownCall, decide, record
from tests.build import at, build_event, read_table
from tests.reference import differences
from tests.strategies import deliveries, event_sets

pytestmark = pytest.mark.django_db

COMPLETED = """
    0:00 initiated id=a
    0:10 answered id=b
    2:00 ended id=c
"""


def results(outcomes: list[Outcome]) -> list[str]:
    return [outcome.result.value for outcome in outcomes]


def test_a_completed_call_is_stored_as_one_call() -> None:
    outcomes = record(read_table(COMPLETED))
    call = Call.objects.get()
    assert [outcome.call_status for outcome in outcomes] == [CallStatus.ENDED] * 3
    assert (call.id, call.external_id, call.status, call.duration) == (call_uuid("call-1"), "call-1", "ended", 120)
    assert (call.started_at, call.answered_at, call.ended_at) == (at(0), at(10), at(120))
    assert CallEvent.objects.count() == call.version == 3


def test_every_event_keeps_what_the_sender_said() -> None:
    event = build_event("dtmf", 5, metadata={"digit": "5", "deep": [{"ü": None}]}, word="DTMF", cause="busy")
    record([event])
    [stored] = CallEvent.objects.all()
    assert stored.as_event(call_id="call-1") == event


AWKWARD = ["null", "NULL", '"', "\\", "\\n", "\n\t\x01", '{"a",b}', "a,b", " ", "'", "\u2028é😀", "%s $1"]


def test_awkward_texts_in_one_group_are_kept_as_they_are() -> None:
    events = [
        build_event(event_id=text, call_id=text, word=text, cause=text, calling_number=text, metadata={text: text})
        for text in AWKWARD
    ]
    plain = build_event(event_id="plain")  # has neither a cause nor metadata
    assert results(record([*events, plain])) == ["created"] * (len(AWKWARD) + 1)
    stored = {row.event_id: row.as_event(call_id=row.call.external_id) for row in CallEvent.objects.all()}
    assert stored == {event.event_id: event for event in (*events, plain)}
    assert results(record([*events, build_event(event_id="new")])) == ["duplicate"] * len(AWKWARD) + ["created"]


def test_the_stored_state_is_the_state_that_was_computed() -> None:
    events = read_table("""
        0:00 initiated way=outbound kind=video from=tel:+1-202-555-0100
        0:01 answered by=api
        0:02 recording_started
        0:03 hold
        0:04.25 unhold
        0:05 hold
    """)
    record(events)
    assert Call.objects.get().state == fold(events)


def test_an_event_that_comes_again_is_a_duplicate() -> None:
    events = read_table(COMPLETED)
    record(events)
    before = list(Call.objects.values()), list(CallEvent.objects.values())
    assert results(record(events)) == ["duplicate"] * 3
    assert (list(Call.objects.values()), list(CallEvent.objects.values())) == before


@pytest.mark.parametrize(
    "change",
    [
        {"call_id": "call-2"},
        {"type": EventType.ENDED},
        {"occurred_at": at(1)},
        {"calling_number": "+12025550199"},
        {"called_number": "+12025550199"},
    ],
)
def test_an_id_that_comes_again_with_other_content_is_a_conflict(change: dict[str, Any]) -> None:
    record([build_event(event_id="a")])
    before = list(Call.objects.values())
    assert results(record([build_event(**{"event_id": "a", **change})])) == ["conflict"]
    assert list(Call.objects.values()) == before
    assert CallEvent.objects.count() == 1


def test_metadata_is_no_part_of_what_makes_events_the_same() -> None:
    record([build_event(event_id="a", metadata={"x": 1})])
    assert results(record([build_event(event_id="a", metadata={"x": 2})])) == ["duplicate"]
    assert CallEvent.objects.get().metadata == {"x": 1}


def test_an_event_id_is_unique_within_its_source_only() -> None:
    outcomes = record([build_event(event_id="a"), build_event(event_id="a", source=Source.SIP)])
    assert results(outcomes) == ["created", "created"]


def test_a_refused_event_leaves_no_empty_call_behind() -> None:
    record([build_event(event_id="a")])
    outcomes = record([build_event(event_id="a", call_id="call-2"), build_event(event_id="b", call_id="call-3")])
    assert results(outcomes) == ["conflict", "created"]
    assert set(Call.objects.values_list("external_id", flat=True)) == {"call-1", "call-3"}


def test_a_call_made_by_a_group_forgets_the_groups_refused_events() -> None:
    record([build_event(event_id="a")])
    record([build_event("answered", 5, event_id="a", call_id="call-2"), build_event(call_id="call-2")])
    call = Call.objects.get(external_id="call-2")
    assert (call.status, call.version) == ("initiated", 1)


def test_of_an_id_twice_in_a_group_the_first_wins() -> None:
    twice = build_event(event_id="a")
    outcomes = record([twice, twice, build_event("answered", 9, event_id="a")])
    assert results(outcomes) == ["created", "duplicate", "conflict"]
    assert Call.objects.get().version == 1


def test_a_dry_run_answers_the_same_and_stores_nothing() -> None:
    events = read_table(COMPLETED)
    dry = record(events, dry_run=True)
    assert not Call.objects.exists()
    assert not CallEvent.objects.exists()
    assert record(events) == dry


def test_nothing_is_nothing() -> None:
    assert record([]) == []


def test_direction_comes_from_our_own_numbers(settings: Any) -> None:
    settings.OWN_NUMBERS = ["+1234"]
    record([build_event()])
    assert Call.objects.get().direction == "outbound"


def test_two_calls_of_external_ids_that_differ_in_case_or_blanks_are_two() -> None:
    record([build_event(call_id=name) for name in ("Call", "call", " call", "call ")])
    assert Call.objects.count() == 4


@settings(max_examples=40)
@given(st.data())
def test_any_order_repetition_and_batching_gives_the_same_call(data: Any) -> None:
    call_id = f"call-{uuid4()}"
    events = [_moved(event, call_id) for event in data.draw(event_sets(most=8))]
    for batch in data.draw(deliveries(events)):
        record(batch)
    call = Call.objects.get(external_id=call_id)
    assert call.state == fold(events)
    assert differences(events, call.state) == {}
    assert (call.status, call.duration) == (call.state.status, call.state.duration)
    assert (call.talk_seconds, call.ring_seconds) == (call.state.talk_seconds, call.state.ring_seconds)
    assert (call.hold_seconds, call.anomalies) == (call.state.hold_seconds, int(call.state.anomalies))
    log = [row.as_event(call_id=call_id) for row in call.events.all()]
    assert fold(log) == call.state


def _moved(event: Event, call_id: str) -> Event:
    values = {name: getattr(event, name) for name in event.__slots__}
    return Event(**{**values, "call_id": call_id, "event_id": f"{call_id}-{event.event_id}"})


# -- How many statements ---------------------------------------------------------------------------


def statements_of(events: list[Event]) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        record(events)
    return [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]


@pytest.fixture
def steps() -> int:
    """How many statements lock the calls and add the events: PostgreSQL does both in one."""
    return 1 if connection.vendor == "postgresql" else 2


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_a_group_takes_as_many_statements_as_one_event(size: int, steps: int) -> None:
    new = [build_event(call_id=f"call-{place}") for place in range(size)]
    assert len(statements_of(new)) == steps + 1
    known = [build_event("answered", 5, call_id=f"call-{place}") for place in range(size)]
    assert len(statements_of(known)) == steps + 1
    mixed = [build_event("ended", 9, call_id=f"call-{place}") for place in range(size // 2, size + size // 2 + 1)]
    # The last one notes that calls of long ago are over now, for whoever adds them up.
    assert len(statements_of(mixed)) == steps + steps + 1


def test_late_and_repeated_events_take_one_statement_more_each(steps: int) -> None:
    record([build_event("answered", 5, call_id=f"call-{place}", event_id=f"a{place}") for place in range(20)])
    late = [build_event("initiated", 0, call_id=f"call-{place}") for place in range(20)]
    again = [build_event("answered", 5, call_id=f"call-{place}", event_id=f"a{place}") for place in range(20)]
    assert len(statements_of(late)) == steps + 2
    assert len(statements_of(again)) == steps + 1


# -- What the database itself refuses ----------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{"status": "gone"}, {"direction": "sideways"}, {"call_type": "telex"}, {"ended_by": "fire"}]
)
def test_the_database_knows_the_words_of_a_call(change: dict[str, str]) -> None:
    record([build_event()])
    with pytest.raises(IntegrityError), transaction.atomic():
        Call.objects.update(**change)


@pytest.mark.parametrize("change", [{"type": "vanished"}, {"source": "rumour"}])
def test_the_database_knows_the_words_of_an_event(change: dict[str, str]) -> None:
    record([build_event()])
    with pytest.raises(IntegrityError), transaction.atomic():
        CallEvent.objects.update(**change)


def test_a_call_cannot_be_saved_as_a_whole() -> None:
    record([build_event()])
    with pytest.raises(TypeError):
        Call.objects.get().save()


# -- Deciding ---------------------------------------------------------------------------------------


def end_at(seconds: float) -> Any:
    def ask(state: CallState) -> list[Event]:
        if state.ended:
            raise NotPossible("The call is over.")
        return [build_event("ended", occurred_at=moment_after(state, at=at(seconds)), source=Source.API)]

    return ask


def test_a_decision_becomes_an_event() -> None:
    record([build_event()])
    state = decide(call_uuid("call-1"), end_at(30))
    assert (state.status, state.ended_at) == (CallStatus.MISSED, at(30))
    assert Call.objects.get().status == "missed"


def test_a_decision_is_dated_after_everything_known() -> None:
    record([build_event(seconds=100)])
    assert decide(call_uuid("call-1"), end_at(30)).ended_at == at(100.000001)


def test_what_is_not_possible_changes_nothing() -> None:
    record([build_event(), build_event("ended", 5)])
    before = list(Call.objects.values())
    with pytest.raises(NotPossible):
        decide(call_uuid("call-1"), end_at(30))
    assert list(Call.objects.values()) == before


def test_a_decision_may_find_that_nothing_needs_to_happen() -> None:
    record([build_event()])
    assert decide(call_uuid("call-1"), lambda state: []).version == 1


def test_nothing_is_decided_of_an_unknown_call() -> None:
    with pytest.raises(UnknownCall):
        decide(call_uuid("no such call"), lambda state: [])
