"""What the front page asks of the database: right answers, from a bounded number of rows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings

from calls.domain.periods import Span
from calls.domain.vocabulary import CallStatus, Source
from calls.operations.record import record
from calls.queries import dashboard
from calls.queries.statistics import counts_of, series_of, summary_of
from tests.build import CALLEE, CALLER, NOON, at, build_event, read_table

pytestmark = pytest.mark.django_db
DAY = Span(NOON - timedelta(hours=12), NOON + timedelta(hours=12))
HOURS = [Span(DAY.start + timedelta(hours=hour), DAY.start + timedelta(hours=hour + 1)) for hour in range(24)]


def make_calls(count: int = 3, *, prefix: str = "call") -> None:
    """Make answered calls, a minute after another."""
    for number in range(count):
        times = f"{number}:00 initiated\n{number}:05 answered\n{number}:50 ended"
        record(read_table(times, call_id=f"{prefix}-{number}"))


def test_the_counts_of_a_chart_are_those_of_the_series_and_of_the_summary():
    make_calls(3)
    record(read_table("70:00 initiated\n71:00 ended", call_id="missed"))
    record(read_table("72:00 initiated", call_id="going on"))
    counts = counts_of(HOURS)
    series = series_of(HOURS)[None]
    assert [(one.calls, one.answered, one.missed) for one in counts] == [
        (point.calls, point.answered, point.missed) for point in series
    ]
    assert sum(one.calls for one in counts) == summary_of(DAY).total_calls == 4


def test_outcomes_count_calls_that_are_over_by_how_they_ended():
    make_calls(2)
    record(read_table("0:00 initiated way=inbound\n0:20 ended", call_id="missed"))
    record(read_table("0:00 initiated way=outbound\n0:20 ended cause=busy", call_id="busy"))
    record(read_table("0:00 initiated", call_id="going on"))
    assert dashboard.outcomes_of(DAY) == {CallStatus.ENDED: 2, CallStatus.MISSED: 1, CallStatus.BUSY: 1}


def test_the_most_frequent_party_is_the_other_side_of_each_call():
    record(read_table("0:00 initiated way=inbound\n0:20 ended", call_id="in"))
    for number in range(2):
        events = f"0:0{number} initiated way=outbound from={CALLEE} called={CALLER}\n0:10 answered\n0:20 ended"
        record(read_table(events, call_id=f"out-{number}", calling_number=CALLEE, called_number=CALLER))
    parties, whole = dashboard.most_frequent(DAY, count=5)
    assert [(party.number, party.calls, party.answered) for party in parties] == [(CALLER, 3, 2)]
    assert whole


def test_of_unknown_direction_either_side_counts_but_for_our_own_numbers():
    record(read_table("0:00 initiated\n0:20 ended"))
    assert {party.number for party in dashboard.most_frequent(DAY, count=5)[0]} == {CALLER, CALLEE}
    with override_settings(OWN_NUMBERS=[CALLER]):
        assert {party.number for party in dashboard.most_frequent(DAY, count=5)[0]} == {CALLEE}


def test_too_many_calls_are_not_all_looked_at_and_that_is_said(monkeypatch: pytest.MonkeyPatch):
    make_calls(4)
    monkeypatch.setattr(dashboard, "CALLS_LOOKED_THROUGH", 3)
    parties, whole = dashboard.most_frequent(DAY, count=1)
    assert (parties[0].calls, whole) == (3, False)


def test_the_latest_calls_in_progress_come_first_and_all_are_counted(monkeypatch: pytest.MonkeyPatch):
    for number in range(5):
        record([build_event(seconds=number, call_id=f"call-{number}")])
    found = dashboard.in_progress()
    assert [call.external_id for call in found.calls] == [f"call-{number}" for number in (4, 3, 2, 1, 0)]
    assert (found.total, found.oldest and found.oldest.external_id) == (5, "call-0")
    monkeypatch.setattr(dashboard, "IN_PROGRESS_AT_MOST", 2)
    monkeypatch.setattr(dashboard, "COUNTED_AT_MOST", 4)
    found = dashboard.in_progress()
    assert [call.external_id for call in found.calls] == ["call-4", "call-3"]
    assert (found.total, found.oldest and found.oldest.external_id) == (4, "call-0")


def test_the_feed_knows_the_last_event_of_each_source_the_rate_and_what_was_late():
    record([build_event(seconds=0), build_event("answered", 10, received_at=at(100))])
    record([build_event(seconds=60, call_id="sip", source=Source.SIP)])
    feed = dashboard.feed_of(DAY, at=at(130))
    assert [(news.source, news.last_at, news.exact) for news in feed.sources] == [
        (Source.PROCESS_EVENTS, at(100), True),
        (Source.SIP, at(60), True),
    ]
    assert (feed.late, feed.looked_at) == (1, 3)
    assert feed.minutes[-3:] == [1, 1, 1]
    assert feed.per_minute == pytest.approx(3 / 5)


def test_a_source_that_is_rare_is_found_behind_any_number_of_others(monkeypatch: pytest.MonkeyPatch):
    record([build_event(seconds=0, call_id="sip", source=Source.SIP)])
    record([build_event(seconds=10 + number, call_id=f"call-{number}") for number in range(6)])
    monkeypatch.setattr(dashboard, "EVENTS_LOOKED_THROUGH", 3)
    feed = dashboard.feed_of(DAY, at=at(20))
    assert {news.source: (news.last_at, news.exact) for news in feed.sources} == {
        Source.PROCESS_EVENTS: (at(15), True),
        Source.SIP: (at(0), True),
    }


def test_a_source_that_said_much_but_nothing_lately_is_only_dated_before_what_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
):
    record([build_event(seconds=number, call_id=f"sip-{number}", source=Source.SIP) for number in range(4)])
    record([build_event(seconds=10 + number, call_id=f"call-{number}") for number in range(6)])
    monkeypatch.setattr(dashboard, "EVENTS_LOOKED_THROUGH", 3)
    feed = dashboard.feed_of(DAY, at=at(20))
    assert [(news.last_at, news.exact) for news in feed.sources if news.source == Source.SIP] == [(at(13), False)]


def test_of_a_busy_feed_only_the_minutes_that_were_looked_at_are_known(monkeypatch: pytest.MonkeyPatch):
    record([build_event(seconds=number * 30, call_id=f"call-{number}") for number in range(10)])
    monkeypatch.setattr(dashboard, "EVENTS_LOOKED_THROUGH", 5)
    feed = dashboard.feed_of(DAY, at=at(270))
    assert feed.minutes[-3:] == [None, 2, 2]
    assert all(minute is None for minute in feed.minutes[:-2])
    # Five events in the two minutes that were looked at.
    assert feed.per_minute == pytest.approx(5 / 2)


def test_odd_calls_of_the_span_are_counted():
    record(read_table("0:00 answered\n0:10 ended", call_id="no start"))
    make_calls(1)
    assert dashboard.feed_of(DAY, at=at(60)).odd == 1


def test_without_anything_there_is_nothing():
    feed = dashboard.feed_of(DAY, at=datetime(2024, 4, 1, tzinfo=UTC))
    assert (feed.sources, feed.per_minute, feed.late, feed.odd, set(feed.minutes)) == ([], 0, 0, 0, {0})
    assert dashboard.most_frequent(DAY, count=5) == ([], True)
    assert not dashboard.any_calls()
    assert dashboard.in_progress() == dashboard.InProgress([], 0, None)


def test_a_rare_source_is_read_by_its_index(django_assert_max_num_queries: Any):
    make_calls(2)
    with django_assert_max_num_queries(2 + len(Source)):
        dashboard.feed_of(DAY, at=at(60))
