"""`/api/call-logs/statistics/` and its series: shapes, periods and parameters (the figures are tested elsewhere)."""

from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from calls.models import Client as OurClient
from calls.operations.clients import set_numbers
from calls.operations.record import record
from tests.build import build_event, read_table

pytestmark = pytest.mark.django_db
# A Wednesday.
NOW = datetime(2024, 4, 10, 15, 30, tzinfo=UTC)
POINT = {"start", "calls", "answered", "missed", "talk_seconds", "ring_p50", "ring_p95", "most_concurrent"}


@pytest.fixture(autouse=True)
def _now() -> Any:
    with patch("calls.api.statistics.timezone.now", return_value=NOW):
        yield


def ask(client: Client, /, **query: Any) -> Any:
    answer = client.get("/api/call-logs/statistics/", query)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def series(client: Client, /, **query: Any) -> Any:
    answer = client.get("/api/call-logs/statistics/series/", query)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def call(id: str, start: str, **values: Any) -> None:
    """Record a missed call that starts at a time of April 2024, such as `10 08:00`."""
    begun = datetime.fromisoformat(f"2024-04-{start}:00+00:00")
    record([
        build_event(kind, call_id=id, occurred_at=begun, received_at=begun, **values) for kind in ("initiated", "ended")
    ])  # fmt: skip


def test_exactly_the_keys_of_the_specification(analyst: Client) -> None:
    assert ask(analyst) == {
        "period": "today", "total_calls": 0, "answered_calls": 0, "missed_calls": 0, "inbound_calls": 0,
        "outbound_calls": 0, "answer_rate": 0.0, "average_duration_seconds": 0,
    }  # fmt: skip


def test_the_figures_of_ended_calls_only(analyst: Client) -> None:
    tables = {
        "answered": "0:00 initiated way=inbound\n0:05 answered\n1:01 ended",
        "longer": "0:00 initiated way=outbound\n0:05 answered\n1:02 ended",
        "busy": "0:00 initiated way=outbound\n0:05 ended cause=busy",
        "missed": "0:00 initiated\n0:05 ended",
        "going on": "0:00 initiated way=inbound\n0:05 answered",
        "inferred": "0:00 initiated way=inbound\n0:05 answered\n0:05 ended by=inferred",
    }
    for id, table in tables.items():
        record(read_table(table, call_id=id))
    figures = ask(analyst, **{"from": "2024-04-01", "to": "2024-04-02"})
    assert figures == {
        "period": "custom", "total_calls": 5, "answered_calls": 3, "missed_calls": 2, "inbound_calls": 2,
        "outbound_calls": 2, "answer_rate": 60.0, "average_duration_seconds": 62,
    }  # fmt: skip


def test_periods_begin_at_local_midnights_and_end_now(analyst: Client) -> None:
    for number, start in enumerate(
        ["10 08:00", "10 15:29", "10 15:30", "09 23:59", "08 00:00", "07 23:59", "01 00:00"]
    ):
        call(str(number), start)
    assert [ask(analyst, period=period)["total_calls"] for period in ("today", "week", "month")] == [2, 4, 6]
    assert ask(analyst)["total_calls"] == 2
    assert ask(analyst, period="week")["period"] == "week"
    # In Berlin it is two hours later, so that their day has begun two hours earlier.
    assert ask(analyst, tz="Europe/Berlin")["total_calls"] == 3
    assert ask(analyst, period="week", tz="Europe/Berlin")["total_calls"] == 5
    assert ask(analyst, period="month", tz="America/New_York")["total_calls"] == 5


def test_from_and_to_are_half_open(analyst: Client) -> None:
    call("a", "10 08:00")
    for start, end, total in [
        ("2024-04-10T08:00:00Z", "2024-04-10T08:00:01Z", 1),
        ("2024-04-10T07:00:00Z", "2024-04-10T08:00:00Z", 0),
        ("2024-04-10T08:00:00Z", "2024-04-10T08:00:00Z", 0),
        ("2024-04-10", "2024-04-11", 1),
        ("2024-04-10T10:00:00+02:00", "2030-01-01", 1),
    ]:
        assert ask(analyst, **{"from": start, "to": end})["total_calls"] == total


BAD = [
    ({"period": "year"}, "period"),
    ({"period": ""}, "period"),
    ({"from": "2024-04-10"}, "to"),
    ({"to": "2024-04-10"}, "from"),
    ({"from": "x", "to": "2024-04-10"}, "from"),
    ({"from": "2024-04-10", "to": "2024-04-10T00:00:00 02:00"}, "to"),
    ({"from": "2024-04-11", "to": "2024-04-10"}, "to"),
    ({"from": "2024-04-10", "to": "2024-04-11", "period": "today"}, "period"),
    ({"from": "0001-01-01", "to": "9999-12-31"}, "from"),
    ({"tz": ""}, "tz"),
    ({"tz": "Mars/Olympus"}, "tz"),
    ({"tz": "../../etc/passwd"}, "tz"),
    ({"tz": "\x00"}, "tz"),
    ({"tz": "europe/berlin"}, "tz"),
]


@pytest.mark.parametrize("path", ["", "series/"])
@pytest.mark.parametrize(("query", "field"), BAD)
def test_a_bad_parameter_is_refused_by_name(analyst: Client, path: str, query: dict[str, str], field: str) -> None:
    answer = analyst.get(f"/api/call-logs/statistics/{path}", query)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"bucket": "minute"}, "bucket"),
        ({"by": "weather"}, "by"),
        ({"bucket": "hour", "from": "1970-01-01", "to": "2099-01-01"}, "bucket"),
    ],
)
def test_the_series_has_parameters_of_its_own(analyst: Client, query: dict[str, str], field: str) -> None:
    answer = analyst.get("/api/call-logs/statistics/series/", query)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


def test_the_series_has_a_point_for_every_bucket(analyst: Client) -> None:
    call("a", "09 08:00")
    shown = series(analyst, period="week")
    assert {name: value for name, value in shown.items() if name != "series"} == {
        "period": "week", "from": "2024-04-08T00:00:00Z", "to": "2024-04-10T15:30:00Z", "tz": "UTC", "bucket": "day",
    }  # fmt: skip
    [only] = shown["series"]
    assert (only["key"], only["name"]) == (None, None)
    assert [set(point) for point in only["points"]] == [POINT] * 3
    assert [(point["start"], point["calls"], point["missed"]) for point in only["points"]] == [
        ("2024-04-08T00:00:00Z", 0, 0), ("2024-04-09T00:00:00Z", 1, 1), ("2024-04-10T00:00:00Z", 0, 0),
    ]  # fmt: skip
    assert [point["ring_p50"] for point in only["points"]] == [None, 0, None]


@pytest.mark.parametrize(
    ("day", "next_day", "hours"),
    [("2024-03-31", "2024-04-01", 23), ("2024-10-27", "2024-10-28", 25), ("2024-04-10", "2024-04-11", 24)],
)
def test_a_day_has_as_many_hours_as_the_zone_gives_it(analyst: Client, day: str, next_day: str, hours: int) -> None:
    shown = series(analyst, **{"from": day, "to": next_day}, tz="Europe/Berlin", bucket="hour")
    points = shown["series"][0]["points"]
    assert len({point["start"] for point in points}) == len(points) == hours


def test_the_series_is_split_by_direction_client_and_agent(analyst: Client) -> None:
    client = OurClient.objects.create(name="Ada")
    set_numbers(client, ["+12025550101"], at=timezone.now())
    user = User.objects.create_user("agent", first_name="Grace", last_name="Hopper")
    record(read_table("0:00 initiated way=inbound\n0:05 ended", call_id="in", calling_number="+12025550101"))
    record(read_table(f"0:00 initiated way=outbound user={user.pk}\n0:05 ended", call_id="out"))
    times = {"from": "2024-04-01", "to": "2024-04-02"}

    def keys(by: str) -> list[tuple[Any, Any, int]]:
        shown = series(analyst, by=by, **times)["series"]
        return [(one["key"], one["name"], sum(point["calls"] for point in one["points"])) for one in shown]

    assert keys("direction") == [("inbound", "inbound", 1), ("outbound", "outbound", 1)]
    assert keys("client") == [(client.pk, "Ada", 1), (None, None, 1)]
    assert keys("agent") == [(user.pk, "Grace Hopper", 1), (None, None, 1)]
    assert series(analyst, by="client", **{"from": "2024-05-01", "to": "2024-05-02"})["series"] == []


def test_an_empty_span_has_an_empty_series(analyst: Client) -> None:
    shown = series(analyst, **{"from": "2024-04-10", "to": "2024-04-10"})
    assert shown["series"] == []
