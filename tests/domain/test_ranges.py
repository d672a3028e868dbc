"""The days that people look at, and those that they hold them against."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from calls.domain.ranges import Range, days_of, earlier

BERLIN = ZoneInfo("Europe/Berlin")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_today_is_held_against_the_same_part_of_the_day_a_week_before():
    days = days_of(Range.TODAY, zone=ZoneInfo("UTC"), at=utc("2024-04-10T15:30"))
    assert (days.span.start, days.span.end) == (utc("2024-04-10T00:00"), utc("2024-04-10T15:30"))
    assert (days.before.start, days.before.end) == (utc("2024-04-03T00:00"), utc("2024-04-03T15:30"))


def test_yesterday_is_the_whole_day():
    days = days_of(Range.YESTERDAY, zone=BERLIN, at=utc("2024-04-10T15:30"))
    assert (days.span.start, days.span.end) == (utc("2024-04-08T22:00"), utc("2024-04-09T22:00"))
    assert (days.before.start, days.before.end) == (utc("2024-04-01T22:00"), utc("2024-04-02T22:00"))
    assert days.days[-1].end == days.span.end


@pytest.mark.parametrize(("chosen", "count"), [(Range.WEEK, 7), (Range.MONTH, 30), (Range.TODAY, 14)])
def test_the_days_of_a_chart_are_whole_and_end_with_the_range(chosen: Range, count: int):
    days = days_of(chosen, zone=BERLIN, at=utc("2024-04-10T15:30"))
    assert len(days.days) == count
    assert days.days[-1].end == utc("2024-04-10T22:00")
    assert all(before.end == after.start for before, after in zip(days.days, days.days[1:], strict=False))
    if chosen is not Range.TODAY:
        assert days.span.start == days.days[0].start


def test_weeks_with_a_clock_change_keep_local_times():
    # On 31 March 2024 clocks in Berlin went from 02:00 to 03:00.
    days = days_of(Range.TODAY, zone=BERLIN, at=utc("2024-04-02T10:00"))
    assert (days.before.start, days.before.end) == (utc("2024-03-25T23:00"), utc("2024-03-26T11:00"))
    short = next(day for day in days.days if day.start == utc("2024-03-30T23:00"))
    assert short.end - short.start == timedelta(hours=23)
    assert len(days.hours) == 14 * 24 - 1


def test_the_hours_fill_the_days_without_gaps_at_every_moment_of_a_year():
    for zone in (BERLIN, ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/Havana"), ZoneInfo("Australia/Lord_Howe")):
        for day in range(0, 366, 5):
            days = days_of(Range.WEEK, zone=zone, at=utc("2024-01-01T00:10") + timedelta(days=day, hours=day % 24))
            assert days.hours[0].start == days.days[0].start
            assert all(one.end == two.start for one, two in zip(days.hours, days.hours[1:], strict=False))
            assert days.days[-1].end <= days.hours[-1].end
            assert days.before.start < days.before.end <= days.span.end


def test_an_earlier_instant_shows_the_same_time_on_the_clock():
    assert earlier(utc("2024-04-02T10:00"), days=7, zone=BERLIN).astimezone(BERLIN).hour == 12
