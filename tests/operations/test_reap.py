"""Calls that went silent get an assumed end; news, even old news, keeps a call open; later news voids the end."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from calls.domain.events import Event, call_uuid
from calls.domain.periods import Span
from calls.models import Call, CallEvent
from calls.operations import reap
from calls.operations.reap import Silent, assume_end, look_for_silent
from calls.operations.record import record
from calls.queries.statistics import summary_of
from tests.build import at, build_event, read_table, sign_in
from tests.operations.health import assert_calls_follow_from_their_events
from tests.operations.test_record_concurrently import at_once

HOUR = 3600


@pytest.fixture(autouse=True)
def _patience(settings: Any) -> None:
    settings.REAP_INITIATED_AFTER = timedelta(minutes=30)
    settings.REAP_RINGING_AFTER = timedelta(hours=1)
    settings.REAP_TALKING_AFTER = timedelta(hours=12)
    settings.REAP_HELD_AFTER = timedelta(hours=4)


def silent(seconds: float) -> dict[str, str]:
    """Return the calls that are silent for too long so many seconds after noon, with their phases."""
    return {one.external_id: one.phase for _, found in look_for_silent(at=at(seconds)) for one in found}


def reap_at(moment: datetime) -> int:
    found = [one for _, stretch in look_for_silent(at=moment) for one in stretch]
    return sum(assume_end(one, at=moment) for one in found)


@pytest.mark.django_db
def test_each_phase_has_its_own_patience() -> None:
    began, rang = "0:00 initiated", "0:00 initiated \n 0:00 ringing"
    tables = {
        "began": began,
        "rings": rang,
        "talks": f"{rang} \n 0:00 answered",
        "recorded": f"{rang} \n 0:00 answered \n 0:00 recording_started",
        "held": f"{rang} \n 0:00 answered \n 0:00 hold",
        "over": f"{rang} \n 0:00 ended",
    }
    for name, table in tables.items():
        record(read_table(table, call_id=name))
    assert silent(HOUR / 2 - 1) == {}
    assert silent(HOUR / 2) == {"began": "initiated"}
    assert silent(HOUR) == {"began": "initiated", "rings": "ringing"}
    assert silent(4 * HOUR) == {"began": "initiated", "rings": "ringing", "held": "held"}
    assert set(silent(12 * HOUR)) == set(tables) - {"over"}


@pytest.mark.django_db
def test_a_phase_without_bound_is_never_ended(settings: Any) -> None:
    settings.REAP_INITIATED_AFTER = None
    record([build_event()])
    assert silent(1000 * HOUR) == {}


@pytest.mark.django_db
def test_the_end_is_dated_at_the_last_event_and_marked_as_assumed() -> None:
    record(read_table("0:00 initiated way=inbound \n 0:10 answered \n 5:00 dtmf"))
    assert reap_at(at(13 * HOUR)) == 1
    call = Call.objects.get()
    assert (call.status, call.ended_at, call.ended_by) == ("ended", at(300), "inferred")
    assert (call.duration, call.talk_seconds, call.hold_seconds) == (None, None, None)
    event = CallEvent.objects.get(source="inferred")
    assert (event.received_at, event.calling_number) == (at(13 * HOUR), "")
    assert event.metadata == {"phase": "talking", "silent_since": at(300).isoformat()}
    shown = sign_in("Analysts").get("/api/call-logs/call-1/").json()
    assert (shown["inferred_end"], shown["anomalies"]) == (True, ["inferred_end"])
    assert reap_at(at(99 * HOUR)) == 0
    assert_calls_follow_from_their_events()


@pytest.mark.django_db
def test_an_unanswered_call_that_went_silent_is_missed() -> None:
    record(read_table("0:00 initiated way=inbound \n 0:02 ringing"))
    assert reap_at(at(2 * HOUR)) == 1
    assert Call.objects.values_list("status", "ring_seconds").get() == ("missed", None)


@pytest.mark.django_db
def test_mid_call_events_keep_a_call_open_whatever_time_they_bear() -> None:
    record(read_table("0:00 initiated \n 0:10 answered"))
    # It happened long ago, but was heard of just now: the line was down, the call may well go on.
    record([build_event("quality_change", 20, received_at=at(20 * HOUR))])
    assert silent(31 * HOUR) == {}
    assert silent(32 * HOUR) == {"call-1": "talking"}
    # A sender whose clock is ahead is silent all the same.
    record([build_event("dtmf", 999 * HOUR, received_at=at(20 * HOUR))])
    assert silent(32 * HOUR) == {"call-1": "talking"}


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "status", "inferred"), [("ended", "ended", False), ("dtmf", "answered", False)])
def test_anything_later_voids_the_end(kind: str, status: str, inferred: bool) -> None:
    record(read_table("0:00 initiated \n 0:10 answered"))
    reap_at(at(13 * HOUR))
    record([build_event(kind, 14 * HOUR)])
    call = Call.objects.get()
    assert (call.status, call.state.inferred_end) == (status, inferred)
    assert call.duration == (14 * HOUR if kind == "ended" else None)
    assert_calls_follow_from_their_events()


@pytest.mark.django_db
def test_a_late_end_before_the_assumed_one_replaces_it_too() -> None:
    record(read_table("0:00 initiated \n 0:10 answered \n 5:00 dtmf"))
    reap_at(at(13 * HOUR))
    record([build_event("ended", 200, received_at=at(14 * HOUR))])
    call = Call.objects.get()
    assert (call.ended_at, call.state.inferred_end, call.duration) == (at(200), False, 200)


@pytest.mark.django_db
def test_a_call_that_falls_silent_again_is_ended_again() -> None:
    record(read_table("0:00 initiated \n 0:10 answered"))
    reap_at(at(13 * HOUR))
    record([build_event("dtmf", 14 * HOUR)])
    assert reap_at(at(25 * HOUR)) == 0
    assert reap_at(at(26 * HOUR)) == 1
    assert Call.objects.get().ended_at == at(14 * HOUR)
    assert CallEvent.objects.filter(source="inferred").count() == 2


@pytest.mark.django_db
def test_an_answered_call_with_an_assumed_end_is_outside_the_average() -> None:
    record(read_table("0:00 initiated \n 0:10 answered \n 1:00 ended", call_id="known"))
    record(read_table("0:00 initiated \n 0:10 answered \n 50:00 dtmf", call_id="silent"))
    reap_at(at(13 * HOUR))
    figures = summary_of(Span(at(-60), at(60)))
    assert (figures.answered_calls, figures.average_duration_seconds) == (2, 60)


@pytest.mark.django_db
def test_all_open_calls_are_looked_at_stretch_by_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reap, "STRETCH", 3)
    record([build_event("initiated", number // 4, call_id=f"call-{number}") for number in range(10)])
    assert [looked for looked, _ in look_for_silent(at=at(HOUR))] == [3, 3, 3, 1]
    assert len(silent(HOUR)) == 10
    # Also when those of a stretch are ended before the next one is looked for.
    assert sum(assume_end(one, at=at(HOUR)) for _, found in look_for_silent(at=at(HOUR)) for one in found) == 10


@pytest.mark.django_db
def test_a_call_that_was_erased_meanwhile_is_no_error() -> None:
    assert not assume_end(Silent(call_uuid("x"), "x", "talking", at(0)), at=at(0))  # type: ignore[arg-type]


# -- Beside ingest ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_an_event_that_arrives_while_its_call_is_judged_is_never_overruled() -> None:
    """Whichever gets the lock first: news before the judgement keeps the call open, news after it voids the end."""
    calls = [f"call-{number}" for number in range(80)]
    record([build_event("initiated", 0, call_id=call) for call in calls])
    now = timezone.now()
    found = [one for _, stretch in look_for_silent(at=now) for one in stretch]
    assert len(found) == 80

    def news(call: str) -> Event:
        return build_event("ringing", 60, call_id=call, received_at=now)

    ends = [lambda one=one: assume_end(one, at=now) for one in found]  # type: ignore[misc]
    reports = [lambda call=call: bool(record([news(call)])) for call in reversed(calls)]  # type: ignore[misc]
    at_once([task for pair in zip(ends, reports, strict=True) for task in pair], writers=8)
    statuses = Counter(Call.objects.values_list("status", flat=True))
    assert statuses == {"ringing": 80}
    assert not Call.objects.exclude(ended_at=None).exists()
    assert_calls_follow_from_their_events()


@pytest.mark.django_db(transaction=True)
def test_reapers_beside_each_other_end_each_call_once() -> None:
    record([build_event("initiated", 0, call_id=f"call-{number}") for number in range(30)])
    now = timezone.now()
    counts = at_once([lambda: reap_at(now)] * 4, writers=4)
    assert sum(counts) == 30
    assert CallEvent.objects.filter(source="inferred").count() == 30
    assert_calls_follow_from_their_events()
