"""A recording only moves forwards; periods begin at local midnights, whatever the clocks do."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.domain.periods import Bucket, Period, Span, buckets, span_of
from calls.domain.recordings import FINISHED, RecordingStatus, advance

ANY = st.sampled_from(list(RecordingStatus))
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("present", "reported", "then"),
    [
        ("pending", "recording", "recording"),
        ("recording", "pending", "recording"),
        ("processing", "completed", "completed"),
        ("completed", "processing", "completed"),
        ("completed", "failed", "completed"),
        ("failed", "completed", "failed"),
        ("completed", "deleted", "deleted"),
        ("deleted", "completed", "deleted"),
        ("pending", "completed", "completed"),
    ],
)
def test_a_report_moves_a_recording_forwards_only(present: str, reported: str, then: str) -> None:
    assert advance(RecordingStatus(present), RecordingStatus(reported)) == then


@given(st.lists(ANY, min_size=1))
def test_a_repeated_report_changes_nothing_and_finished_stays(reports: list[RecordingStatus]) -> None:
    status = RecordingStatus.PENDING
    for report in reports:
        before, status = status, advance(status, report)
        assert advance(status, report) == status
        assert before not in FINISHED or status in (before, RecordingStatus.DELETED)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "zone", "at", "start"),
    [
        ("today", "UTC", "2024-04-03T15:00", "2024-04-03T00:00"),
        ("week", "UTC", "2024-04-03T15:00", "2024-04-01T00:00"),
        ("week", "UTC", "2024-04-01T00:00", "2024-04-01T00:00"),
        ("week", "UTC", "2024-04-07T23:59", "2024-04-01T00:00"),
        ("month", "UTC", "2024-04-03T15:00", "2024-04-01T00:00"),
        ("today", "Europe/Berlin", "2024-04-03T22:30", "2024-04-03T22:00"),
        ("today", "America/New_York", "2024-04-03T03:30", "2024-04-02T04:00"),
        ("today", "Europe/Berlin", "2024-03-31T10:00", "2024-03-30T23:00"),
        ("month", "Europe/Berlin", "2024-03-31T22:30", "2024-03-31T22:00"),
        ("today", "Asia/Kolkata", "2024-04-03T18:29", "2024-04-02T18:30"),
        ("today", "America/Sao_Paulo", "2018-11-04T12:00", "2018-11-04T03:00"),
    ],
)
def test_a_period_begins_at_a_local_midnight(period: str, zone: str, at: str, start: str) -> None:
    assert span_of(Period(period), zone=ZoneInfo(zone), at=utc(at)) == Span(utc(start), utc(at))


@pytest.mark.parametrize(("day", "hours"), [("2024-03-31", 23), ("2024-10-27", 25), ("2024-07-01", 24)])
def test_days_have_as_many_hours_as_the_clocks_give_them(day: str, hours: int) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=BERLIN)
    begin = span_of(Period.TODAY, zone=BERLIN, at=noon).start
    [today, *_] = buckets(Span(begin, begin + timedelta(hours=30)), bucket=Bucket.DAY, zone=BERLIN)
    assert today.end - today.start == timedelta(hours=hours)
    assert len(list(buckets(today, bucket=Bucket.HOUR, zone=BERLIN))) == hours


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)),
    st.integers(1, 24 * 40),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Apia"]),
    st.sampled_from(list(Bucket)),
)
def test_buckets_cover_a_span_without_gap_or_overlap(start: datetime, hours: int, zone: str, bucket: Bucket) -> None:
    span = Span(start.replace(tzinfo=UTC), start.replace(tzinfo=UTC) + timedelta(hours=hours))
    found = list(buckets(span, bucket=bucket, zone=ZoneInfo(zone)))
    assert found[0].start <= span.start < found[0].end
    assert found[-1].start < span.end <= found[-1].end
    assert all(one.end == next_one.start for one, next_one in pairwise(found))
    assert all(one.start < one.end for one in found)
