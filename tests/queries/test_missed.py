"""Missed calls to return, against a plain model that looks at all calls of a caller one after the other."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from calls.models import Call, Client
from calls.operations.clients import set_numbers
from calls.operations.record import record
from calls.queries import missed
from calls.queries.missed import MissedFilter, Place, all_missed_calls, missed_calls
from tests.build import at, build_event

pytestmark = pytest.mark.django_db
OURS, ADA, BOB = "+12025550100", "+4930231250", "+442079460001"


def make(
    number: str, seconds: float, *, way: str = "inbound", answered: bool = False, over: bool = True, **values: Any
) -> str:
    """Record a call with an outside number, and return its id."""
    name = values.pop("name", f"call-{Call.objects.count()}")
    calling, called = (number, OURS) if way != "outbound" else (OURS, number)
    parties = {"call_id": name, "calling_number": calling, "called_number": called, "direction": way}
    events = [build_event("initiated", seconds, **parties)]
    if answered:
        events.append(build_event("answered", seconds + 1, **parties, user_id=values.get("user_id")))
    if over:
        events.append(build_event("ended", seconds + 2, **parties, cause=values.get("cause")))
    record(events)
    return name


def lines(**wanted: Any) -> list[tuple[str, int, int, str | None, float | None]]:
    """Return the waits as the caller, how many calls, how many attempts, how returned, and after how long."""
    found = missed_calls(MissedFilter(**wanted), limit=50).waits
    return [
        (
            wait.caller,
            wait.missed,
            wait.attempts,
            wait.contact.how.value if wait.contact else None,
            None if wait.waited is None else wait.waited.total_seconds(),
        )
        for wait in found
    ]


# -- What counts ---------------------------------------------------------------------------------


def test_a_missed_call_is_open_until_somebody_has_called_back():
    make(ADA, 0)
    assert lines() == [(ADA, 1, 0, None, None)]
    make(ADA, 60, way="outbound")
    assert lines() == [(ADA, 1, 1, None, None)]
    make(ADA, 90, way="outbound", answered=True)
    assert lines() == [(ADA, 1, 1, "called_back", 90)]


def test_a_call_back_that_is_answered_but_not_over_counts():
    make(ADA, 0)
    make(ADA, 60, way="outbound", answered=True, over=False)
    assert lines() == [(ADA, 1, 0, "called_back", 60)]


def test_a_caller_who_gets_through_later_waits_no_longer():
    make(ADA, 0)
    make(ADA, 30)
    make(ADA, 60, answered=True)
    assert lines() == [(ADA, 2, 0, "got_through", 60)]


def test_a_contact_before_the_missed_call_does_not_count():
    make(ADA, 0, way="outbound", answered=True)
    make(ADA, 60)
    assert lines() == [(ADA, 1, 0, None, None)]


def test_after_a_contact_a_new_wait_begins():
    make(ADA, 0)
    make(ADA, 60, way="outbound", answered=True)
    make(ADA, 120)
    make(ADA, 130)
    assert lines() == [(ADA, 2, 0, None, None), (ADA, 1, 0, "called_back", 60)]


def test_one_answered_leg_of_several_that_ring_together_is_enough():
    make(ADA, 0, name="a")
    make(ADA, 0, name="b", answered=True)
    make(ADA, 0, name="c")
    assert lines() == [(ADA, 2, 0, "got_through", 0)]


@pytest.mark.parametrize("caller", ["anonymous", "", "unknown"])
def test_a_withheld_number_cannot_be_called_back_and_is_left_out(caller: str):
    make(caller, 0)
    assert lines() == []


@pytest.mark.parametrize("way", ["outbound", "unknown"])
def test_only_inbound_calls_are_missed(way: str):
    make(ADA, 0, way=way)
    assert lines() == []


def test_a_call_that_still_rings_is_not_missed_yet():
    make(ADA, 0, over=False)
    assert lines() == []


def test_a_call_that_was_transferred_before_its_answer_went_elsewhere():
    parties = {"calling_number": ADA, "called_number": OURS, "direction": "inbound", "call_id": "moved"}
    make(ADA, 0)
    record([build_event("initiated", 10, **parties), build_event("transfer_completed", 15, **parties)])
    assert lines() == [(ADA, 1, 0, None, None)]


@pytest.mark.parametrize("cause", [None, "busy", "failed", "cancelled", "no_answer"])
def test_whatever_the_reason_an_unanswered_call_is_to_be_returned(cause: str | None):
    make(ADA, 0, cause=cause)
    assert lines(open=True) == [(ADA, 1, 0, None, None)]


def test_it_is_told_who_called_back_and_whose_number_it_is():
    user = User.objects.create_user("grace")
    client = Client.objects.create(name="Ada")
    set_numbers(client, [ADA], at=timezone.now())
    make(ADA, 0)
    make(BOB, 10)
    name = make(ADA, 60, way="outbound", answered=True, user_id=user.pk)
    (wait,) = missed_calls(MissedFilter(client=client.pk), limit=5).waits
    assert (wait.client, wait.contact and wait.contact.handled_by) == (client, "grace")
    assert wait.contact
    assert wait.contact.call == Call.objects.get(external_id=name).pk
    assert [line[0] for line in lines(number=BOB)] == [BOB]


# -- Against a model -----------------------------------------------------------------------------


@dataclass
class Known:
    name: str
    number: str
    at: datetime
    inbound: bool
    answered: bool
    missed: bool


def model(calls: list[Known]) -> list[tuple[Any, ...]]:
    """Return the waits by walking through each caller's calls; at one instant the missed calls come first."""
    found = []
    for number in {call.number for call in calls} - {"anonymous"}:
        run: list[Known] = []
        attempts = 0
        mine = [call for call in calls if call.number == number]
        for call in sorted(mine, key=lambda c: (c.at, c.answered, not c.missed, not c.inbound and c.answered, c.name)):
            if call.answered:
                if run:
                    same = [c for c in mine if c.answered and c.at == call.at]
                    how = "got_through" if all(c.inbound for c in same) else "called_back"
                    found.append((run, attempts, how, call.at - run[0].at))
                run, attempts = [], 0
            elif call.missed:
                run.append(call)
            elif run and not call.inbound:
                attempts += 1
        if run:
            found.append((run, attempts, None, None))
    return sorted(
        (max(call.at for call in run), run[0].number, len(run), attempts, how, waited)
        for run, attempts, how, waited in found
    )


def invent(seed: int, count: int) -> list[Known]:
    """Record random calls: few callers and few instants, so that much happens at once."""
    rng = random.Random(seed)
    events, known = [], []
    for place in range(count):
        number = rng.choice([ADA, ADA, BOB, "+33199000001", "anonymous"])
        seconds, way = rng.randrange(0, 40), rng.choice(["inbound", "inbound", "outbound", "unknown"])
        answered, over = rng.random() < 0.3, rng.random() < 0.9
        name = f"{seed}-{place}"
        calling, called = (number, OURS) if way != "outbound" else (OURS, number)
        parties = {"call_id": name, "calling_number": calling, "called_number": called, "direction": way}
        events.append(build_event("initiated", seconds, **parties))
        if answered:
            events.append(build_event("answered", seconds + 0.5, **parties))
        if over:
            events.append(build_event("ended", seconds + 1, **parties))
        if way != "unknown" and (answered or over):
            known.append(
                Known(name, number, at(seconds), way == "inbound", answered, way == "inbound" and not answered)
            )
    record(events)
    return known


def as_model(waits: Any) -> list[tuple[Any, ...]]:
    return sorted(
        (w.last_missed_at, w.caller, w.missed, w.attempts, w.contact.how.value if w.contact else None, w.waited)
        for w in waits
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_waits_are_those_of_the_model(seed: int, monkeypatch: pytest.MonkeyPatch):
    expected = model(invent(seed, 12 + 6 * seed))
    assert as_model(missed_calls(MissedFilter(), limit=500).waits) == expected
    assert as_model(missed_calls(MissedFilter(open=True), limit=500).waits) == [w for w in expected if w[4] is None]
    assert as_model(missed_calls(MissedFilter(open=False), limit=500).waits) == [w for w in expected if w[4]]
    # Page by page, and with few calls looked through for each, the same waits are found.
    monkeypatch.setattr(missed, "STRETCH", 3)
    assert as_model(all_missed_calls(MissedFilter())) == expected
    monkeypatch.setattr(missed, "LOOK_THROUGH", 5)
    assert as_model(all_missed_calls(MissedFilter())) == expected
    whole = list(all_missed_calls(MissedFilter()))
    places = [Place(wait.last_missed_at, wait.last_call) for wait in whole]
    assert places == sorted(places, reverse=True)


def test_a_period_bounds_the_last_missed_call_and_not_what_belongs_to_it():
    make(ADA, 0)
    make(ADA, 100)
    make(ADA, 200, way="outbound", answered=True)
    assert lines(start=at(50), end=at(150)) == [(ADA, 2, 0, "called_back", 200)]
    assert lines(start=at(0), end=at(50)) == []


# -- What it costs -------------------------------------------------------------------------------


def test_a_page_takes_as_many_statements_for_many_lines_as_for_one():
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            missed_calls(MissedFilter(), limit=50)
        return len(queries)

    make(ADA, 0)
    make(ADA, 10, way="outbound", answered=True)
    few = statements()
    for place in range(30):
        make(f"+4930231{place:03}", place)
        make(f"+4930231{place:03}", place + 100, way="outbound", answered=True)
    assert statements() == few <= 6


def test_a_caller_who_calls_all_the_time_is_counted_up_to_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calls.queries.missed_lines.CALLS_A_LINE", 10)
    for place in range(15):
        make(ADA, place)
    (wait,) = missed_calls(MissedFilter(), limit=5).waits
    assert (wait.missed, wait.more) == (10, True)
    assert wait.first_missed_at == at(5)
    assert wait.last_missed_at - wait.first_missed_at == timedelta(seconds=9)
    assert wait.contact is None
