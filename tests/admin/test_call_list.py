"""The list of calls, and by what it can be narrowed."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from calls.domain.vocabulary import ANOMALY_SENTENCES, Anomaly, CallStatus
from calls.operations.record import record
from tests.admin.pages import CALLS, headers_of, rows_of, shown_calls, visit
from tests.build import build_event, read_table

pytestmark = pytest.mark.django_db

TABLES = {
    CallStatus.INITIATED: "0:00 initiated",
    CallStatus.RINGING: "0:00 initiated\n0:01 ringing",
    CallStatus.ANSWERED: "0:00 initiated\n0:01 answered",
    CallStatus.MISSED: "0:00 initiated\n0:01 ended",
    CallStatus.BUSY: "0:00 initiated\n0:01 ended cause=busy",
    CallStatus.NO_ANSWER: "0:00 initiated way=outbound\n0:01 ended",
    CallStatus.FAILED: "0:00 initiated\n0:01 failed",
    CallStatus.CANCELLED: "0:00 initiated way=outbound\n0:01 ended cause=cancelled",
    CallStatus.TRANSFERRED: "0:00 initiated\n0:01 answered\n0:02 transfer_completed to=+12025550177",
    CallStatus.ENDED: "0:00 initiated way=inbound\n0:01 answered\n0:02 ended",
    CallStatus.RECORDING: "0:00 initiated\n0:01 answered\n0:02 recording_started",
    CallStatus.ON_HOLD: "0:00 initiated\n0:01 answered\n0:02 hold",
}
IN_PROGRESS = {"initiated", "ringing", "answered", "recording", "on_hold"}


@pytest.fixture
def one_of_each() -> None:
    """A call of every status, known by the status's name."""
    for status, table in TABLES.items():
        record(read_table(table, call_id=status.value))


def listed(query: str) -> set[str]:
    return set(shown_calls(visit().get(CALLS + query)))


def test_the_list_shows_a_call_as_people_read_it():
    record(
        read_table(
            "0:00 initiated way=inbound\n0:02 answered\n1:02:05 ended".replace("1:02:05", "62:05"),
            calling_number="+12025550101",
            called_number="+493012345678",
        )
    )
    response = visit().get(CALLS)
    assert headers_of(response) == [
        "Status",
        "Direction",
        "Calling number",
        "Called number",
        "Start (UTC)",
        "Duration",
        "Anomalies",
    ]
    assert rows_of(response) == [
        [
            "ended",
            "inbound",
            "+1 202-555-0101 US",
            "+49 30 12345678 DE",
            "2024-04-01 12:00:00",
            "1:02:05 (3725 s)",
            "-",
        ]
    ]


def test_anomalies_are_labels_that_say_what_they_mean():
    record(read_table("0:00 answered\n0:10 ended\n0:20 ended"))
    response = visit().get(CALLS)
    assert rows_of(response)[0][-1] == "no start two ends"
    for anomaly in (Anomaly.NO_START, Anomaly.TWO_ENDS):
        assert f'title="{ANOMALY_SENTENCES[anomaly]}"' in response.content.decode()


@pytest.mark.usefixtures("one_of_each")
@pytest.mark.parametrize("status", CallStatus)
def test_calls_of_every_status_are_found_by_it(status: CallStatus):
    assert listed(f"?status={status}") == {status}


@pytest.mark.usefixtures("one_of_each")
def test_calls_in_progress_and_over_are_told_apart():
    assert listed("?in_progress=yes") == IN_PROGRESS
    assert listed("?in_progress=no") == set(CallStatus) - IN_PROGRESS


@pytest.mark.usefixtures("one_of_each")
def test_directions_filter_the_list():
    assert listed("?direction=inbound") == {"ended"}
    assert listed("?direction=outbound") == {"no_answer", "cancelled"}


@pytest.mark.usefixtures("one_of_each")
def test_filters_work_together():
    assert listed("?direction=outbound&status=cancelled&in_progress=no&anomaly=none") == {"cancelled"}
    assert listed("?direction=inbound&status=cancelled") == set()
    assert listed("?status=ended&in_progress=yes") == set()


def test_anomalies_filter_the_list():
    record(read_table("0:00 initiated", call_id="plain"))
    record(read_table("0:00 answered", call_id="no_start"))
    record(read_table("0:00 answered\n0:05 ended\n0:06 ended", call_id="no_start_and_two_ends"))
    assert listed("?anomaly=any") == {"no_start", "no_start_and_two_ends"}
    assert listed("?anomaly=none") == {"plain"}
    assert listed("?anomaly=two_ends") == {"no_start_and_two_ends"}
    assert listed("?anomaly=no_start") == {"no_start", "no_start_and_two_ends"}


def at_times(*times: str) -> None:
    for time in times:
        moment = datetime.fromisoformat(time).replace(tzinfo=UTC)
        record([build_event(call_id=time, occurred_at=moment)])


def test_a_range_of_days_includes_its_first_and_last_day_and_nothing_beyond():
    at_times("2024-03-31T23:59:59.999999", "2024-04-01T00:00", "2024-04-02T23:59:59.999999", "2024-04-03T00:00")
    assert listed("?from=2024-04-01&to=2024-04-02") == {"2024-04-01T00:00", "2024-04-02T23:59:59.999999"}
    assert listed("?from=2024-04-03") == {"2024-04-03T00:00"}
    assert listed("?to=2024-03-31") == {"2024-03-31T23:59:59.999999"}


def test_named_periods_count_whole_days_from_today(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timezone, "now", lambda: datetime(2024, 4, 30, 15, tzinfo=UTC))
    at_times("2024-04-30T00:00", "2024-04-29T12:00", "2024-04-24T00:00", "2024-04-23T23:59", "2024-04-01T00:00")
    at_times("2024-03-31T23:59")
    assert listed("?period=today") == {"2024-04-30T00:00"}
    assert listed("?period=yesterday") == {"2024-04-29T12:00"}
    assert listed("?period=7days") == {"2024-04-30T00:00", "2024-04-29T12:00", "2024-04-24T00:00"}
    assert len(listed("?period=30days")) == 5


@pytest.mark.parametrize(
    "query",
    ["?from=tomorrow", "?from=2024-02-30", "?to=9999-12-31", "?from=0001-01-01", "?period=never", "?status=asleep"],
)
def test_a_filter_that_makes_no_sense_leads_back_to_the_whole_list(query: str):
    response = visit().get(CALLS + query)
    assert response.status_code == 302
    assert response["Location"] == CALLS + "?e=1"


@pytest.mark.parametrize("lookup", ["notes__icontains=a", "calling_number=1", "id__gt=1", "handled_by__password__gt=a"])
def test_django_s_free_lookups_are_closed(lookup: str):
    assert visit().get(f"{CALLS}?{lookup}").status_code == 400


def test_columns_cannot_be_sorted_by():
    for number in range(3):
        record([build_event(call_id=f"c-{number}", seconds=number, calling_number=f"+1202555010{9 - number}")])
    response = visit().get(CALLS + "?o=3")
    assert shown_calls(response) == ["c-2", "c-1", "c-0"]
    assert "?o=" not in response.content.decode()
    assert visit().get(CALLS + "?all=").status_code == 200
