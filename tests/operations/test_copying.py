"""Large groups of new events are copied: with the same result, and without a trace where somebody was there before."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any

import msgspec
import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.domain.events import Event
from calls.domain.state import fold
from calls.models import Call, CallEvent, ChangedHour, Client
from calls.operations import copying, running
from calls.operations.clients import set_numbers
from calls.operations.copying import CAUTION, LOOKED_UP, Luck
from calls.operations.erase import begin, run
from calls.operations.outcomes import Outcome, Result
from calls.operations.record import record
from tests.build import CALLEE, CALLER, build_event, read_table
from tests.operations.health import assert_calls_follow_from_their_events
from tests.operations.test_record import AWKWARD
from tests.operations.test_record_concurrently import at_once
from tests.strategies import deliveries, event_sets

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]

WHOLE_CALL = """
    0:00 initiated id=c
    0:03 ringing id=a
    0:10 answered id=d
    2:00 ended id=b
"""


@pytest.fixture(autouse=True)
def luck(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Luck:
    """Groups of any size are copied, as nothing has gone wrong yet."""
    settings.GROUP_COMMIT = False
    monkeypatch.setattr(copying, "LEAST", 1)
    monkeypatch.setattr(copying, "luck", Luck())
    return copying.luck


def whole_calls(count: int) -> list[Event]:
    return [
        event
        for place in range(count)
        for event in read_table(WHOLE_CALL.replace("id=", f"id={place}-"), call_id=f"call-{place}")
    ]


def results(outcomes: list[Outcome]) -> Counter[str]:
    return Counter(outcome.result.value for outcome in outcomes)


def copies_of(act: Callable[[], Any]) -> list[str]:
    """Return which tables were copied into."""
    with CaptureQueriesContext(connection) as queries:
        act()
    return [query["sql"].split()[1] for query in queries if query["sql"].startswith("COPY")]


def stored() -> tuple[list[Any], list[Any]]:
    """Return all calls and events, as the database has them."""
    rows = CallEvent.objects.order_by("source", "event_id")
    columns = [field.attname for field in CallEvent._meta.concrete_fields if field.name != "id"]
    return list(Call.objects.order_by("id").values_list()), list(rows.values_list(*columns))


def empty() -> None:
    CallEvent.objects.all().delete()
    Call.objects.all().delete()


# -- A bet that is won ------------------------------------------------------------------------------


def test_new_calls_and_their_events_are_copied() -> None:
    assert copies_of(lambda: record(whole_calls(50))) == ["calls_callevent", "calls_call"]
    assert (Call.objects.count(), CallEvent.objects.count()) == (50, 200)
    assert_calls_follow_from_their_events()


def test_what_is_answered_and_stored_is_what_the_other_way_answers_and_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    events = whole_calls(20)
    events += [msgspec.structs.replace(events[0], event_id="x", metadata={"a": ["[", '"', {"ü": None}]}, cause="busy")]
    random.Random(1).shuffle(events)
    copied = record(events)
    one_way = stored()
    empty()
    monkeypatch.setattr(copying, "LEAST", 10**6)
    assert copies_of(lambda: record(events)) == []
    assert stored() == one_way
    empty()
    assert copied == record(events)


def test_awkward_texts_are_copied_as_they_are() -> None:
    texts = [*AWKWARD, "\\.", "\r", "a\r\n\\.\nb", '\\"', "\\\\", "],[", "[", "\\N", "", "\x7f", "+", "\u2028"]
    events = [
        build_event(
            event_id=f"{text}-", call_id=f"{text}-", word=text, cause=text, calling_number=text, metadata={"a": text}
        )
        for text in texts
    ]
    assert len(copies_of(lambda: record(events))) == 2
    kept = {row.event_id: row.as_event(call_id=row.call.external_id) for row in CallEvent.objects.all()}
    assert kept == {event.event_id: event for event in events}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=9), max_size=5))
def test_any_texts_are_copied_as_they_are(texts: list[str]) -> None:
    empty()
    events = [build_event(word=text, called_number=text, metadata={text: [text]}) for text in ["", *texts]]
    assert len(copies_of(lambda: record(events))) == 2
    kept = {row.event_id: row.as_event(call_id="call-1") for row in CallEvent.objects.all()}
    assert kept == {event.event_id: event for event in events}


def test_calls_that_are_there_go_on_beside_new_ones() -> None:
    events = whole_calls(10)
    begun = [event for event in events if event.type == "initiated"][:5]
    record(begun)
    rest = [event for event in events if event not in begun]
    assert len(copies_of(lambda: record(rest))) == 2
    assert set(Call.objects.values_list("version", "status")) == {(4, "ended")}
    assert_calls_follow_from_their_events()


def test_a_late_event_is_copied_and_its_call_is_folded_anew() -> None:
    initiated, ringing, answered, ended = read_table(WHOLE_CALL)
    record([answered, ended])
    other = build_event(call_id="other")
    assert len(copies_of(lambda: record([ringing, initiated, other]))) == 2
    assert Call.objects.get(external_id="call-1").state == fold([initiated, ringing, answered, ended])


def test_of_each_call_listeners_are_told_in_the_order_in_which_things_happened() -> None:
    record(whole_calls(3)[::-1])
    for call in Call.objects.all():
        assert list(call.events.order_by("id").values_list("type", flat=True)) == [
            "initiated",
            "ringing",
            "answered",
            "ended",
        ]


def test_a_copied_call_gets_the_client_of_its_number() -> None:
    client = Client.objects.create(name="Ada")
    set_numbers(client, [CALLEE], at=timezone.now())
    record([build_event(), build_event(call_id="call-2", called_number="+12025550199", direction="outbound")])
    assert dict(Call.objects.values_list("external_id", "client")) == {"call-1": client.pk, "call-2": None}


def test_the_hours_of_copied_calls_are_noted() -> None:
    record(whole_calls(2))
    assert set(ChangedHour.objects.values_list("hour", flat=True)) == {whole_calls(1)[0].occurred_at}


def test_an_erased_number_is_not_copied_back(admin_user: Any) -> None:
    initiated, ringing, answered, ended = read_table(WHOLE_CALL)
    record([initiated])
    list(run(begin(CALLER, user=admin_user, at=timezone.now())))
    assert len(copies_of(lambda: record([ringing, answered, ended]))) == 1
    call = Call.objects.get()
    assert CALLER not in (call.calling_number, *call.events.values_list("calling_number", flat=True))
    assert call.version == 4
    assert results(record([ringing, ended])) == {"duplicate": 2}


# -- A bet that is lost ------------------------------------------------------------------------------


@pytest.fixture
def many() -> list[Event]:
    """So many events that only some are looked up before they are copied."""
    return whole_calls(LOOKED_UP)


def looked_up(events: list[Event]) -> list[Event]:
    """Return which of many events are looked up."""
    return sorted(events, key=lambda event: event.key)[:: -(-len(events) // LOOKED_UP)]


def test_what_was_imported_before_is_found_out_before_it_is_copied(many: list[Event]) -> None:
    record(many)
    before = stored()
    assert copies_of(lambda: record(many)) == []
    copying.luck = Luck()
    assert results(record(many)) == {"duplicate": len(many)}
    assert stored() == before


def test_one_event_that_is_known_undoes_the_copy_and_is_a_duplicate(
    many: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    [known, *_] = [event for event in many if event not in looked_up(many)]
    record([known])
    copying.luck = Luck()
    tried: list[bool] = []
    between(monkeypatch, "calls_callevent", lambda: tried.append(True))
    outcomes = record(many)
    assert tried
    assert outcomes[many.index(known)].result is Result.DUPLICATE
    assert results(outcomes) == {"duplicate": 1, "created": len(many) - 1}
    assert CallEvent.objects.count() == len(many)
    assert_calls_follow_from_their_events()


def test_one_event_that_says_something_else_is_a_conflict(many: list[Event]) -> None:
    [known, *_] = [event for event in many if event not in looked_up(many)]
    record([msgspec.structs.replace(known, called_number="+12025550199")])
    copying.luck = Luck()
    assert results(record(many)) == {"conflict": 1, "created": len(many) - 1}
    assert CallEvent.objects.get(event_id=known.event_id).called_number == "+12025550199"


def test_an_id_twice_in_a_group_is_no_reason_to_try(luck: Luck) -> None:
    first, second = build_event(event_id="1"), build_event("answered", 5, event_id="1")
    assert copies_of(lambda: record([first, second, build_event()])) == []
    assert len(copies_of(lambda: record([build_event("ringing", 3)]))) == 1  # and none to be cautious


def between(monkeypatch: pytest.MonkeyPatch, table: str, act: Callable[[], Any]) -> None:
    """Have something done, over another connection, at the last moment before a table is copied into."""
    plain = running.copy
    done: list[Any] = []

    def copy(sql: str, block: bytes) -> None:
        if f"COPY {table} " in sql and not done:
            done.append(None)
            at_once([act])
        plain(sql, block)

    monkeypatch.setattr(running, "copy", copy)


def test_an_event_that_arrives_between_the_look_and_the_copy_is_a_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    events = whole_calls(2)
    between(monkeypatch, "calls_callevent", lambda: record(events[3:5]))
    assert results(record(events)) == {"duplicate": 2, "created": 6}
    assert CallEvent.objects.count() == 8
    assert_calls_follow_from_their_events()


def test_a_call_that_somebody_makes_between_the_look_and_the_copy_gets_all_its_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = whole_calls(2)
    late = build_event("hold", 20, call_id="call-1")
    between(monkeypatch, "calls_callevent", lambda: record([late]))
    assert results(record(events)) == {"created": 8}
    assert Call.objects.get(external_id="call-1").state == fold([*events[4:], late])
    assert_calls_follow_from_their_events()


def test_what_waits_for_one_who_copies_finds_what_was_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    events = whole_calls(2)
    pool = ThreadPoolExecutor(1)
    waiting: list[Any] = []

    def begin_to_wait() -> None:
        waiting.append(pool.submit(at_once, [lambda: record(events[::-1])]))
        with connection.cursor() as cursor:
            waits = 0
            while not waits and not waiting[0].done():
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                [waits] = cursor.fetchone()

    between(monkeypatch, "calls_call", begin_to_wait)
    assert results(record(events)) == {"created": 8}
    assert results(waiting[0].result(30)[0]) == {"duplicate": 8}
    pool.shutdown()
    assert_calls_follow_from_their_events()


def test_what_the_database_refuses_is_told_as_ever() -> None:
    with pytest.raises(IntegrityError):
        record([build_event(user_id=4_711)])
    assert stored() == ([], [])


# -- Caution -----------------------------------------------------------------------------------------


def test_after_a_lost_bet_groups_look_first_for_a_while_and_longer_after_the_next(luck: Luck) -> None:
    known = [build_event()]
    record(known)

    def looks() -> int:
        for count in range(10_000):
            if copies_of(lambda: record([build_event(call_id=f"{timezone.now()}")])):
                return count
        raise AssertionError("it never tries again")

    record(known)
    assert looks() == CAUTION
    record(known)
    assert looks() == CAUTION  # it went well in between
    record(known)
    luck._looks = 0
    record(known)
    assert looks() == 2 * CAUTION


def test_within_an_open_transaction_and_for_a_dry_run_nothing_is_copied() -> None:
    with transaction.atomic():
        assert copies_of(lambda: record([build_event()])) == []
    assert copies_of(lambda: record([build_event()], dry_run=True)) == []
    assert copies_of(lambda: record([build_event()], together=True)) == []


def test_small_groups_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "LEAST", 100)
    assert copies_of(lambda: record(whole_calls(24))) == []
    assert len(copies_of(lambda: record(whole_calls(60)[100:]))) == 2


# -- Any order, and at once ---------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_order_repetition_and_batching_arrives_at_the_fold(data: Any) -> None:
    empty()
    events = data.draw(event_sets(most=8))
    for batch in data.draw(deliveries(events)):
        copying.luck = Luck()  # however cautious it may be
        record(batch)
    assert Call.objects.get().state == fold(events)
    assert CallEvent.objects.count() == len(events)


@pytest.fixture
def never_cautious(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bet whatever happened before."""
    monkeypatch.setattr(Luck, "lost", lambda self: None)


@pytest.mark.usefixtures("never_cautious")
def test_a_storm_of_shuffled_repeated_batches_loses_and_doubles_nothing() -> None:
    chance = random.Random(20261121)
    kinds = ["initiated", "ringing", "answered", "hold", "unhold", "ended"]
    events = [
        build_event(kind, place * 3, call_id=f"call-{call}") for call in range(60) for place, kind in enumerate(kinds)
    ]
    pending = events * 2
    chance.shuffle(pending)
    batches = []
    while pending:
        size = chance.choice([1, 5, 40])
        batches.append(pending[:size])
        del pending[:size]
    answers = at_once([lambda batch=batch: record(batch) for batch in batches])  # type: ignore[misc]
    counts = Counter(outcome.result for answer in answers for outcome in answer)
    assert counts == {Result.CREATED: len(events), Result.DUPLICATE: len(events)}
    assert CallEvent.objects.count() == len(events)
    assert_calls_follow_from_their_events()


@pytest.mark.usefixtures("never_cautious")
def test_the_same_batch_at_once_from_many_is_stored_once_in_whatever_order() -> None:
    events = whole_calls(3)
    orders = [list(order) for order in permutations([events[:4], events[4:8], events[8:]])]
    groups = [[event for call in order for event in call] for order in orders]
    answers = at_once([lambda group=group: record(group) for group in groups])  # type: ignore[misc]
    counts = Counter(outcome.result for answer in answers for outcome in answer)
    assert counts == {Result.CREATED: 12, Result.DUPLICATE: 12 * (len(groups) - 1)}
    assert_calls_follow_from_their_events()
