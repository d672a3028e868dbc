"""Lists as CSV: what is shown, all of it, with flat memory; and the lists' filters by country and duration."""

import csv
import io
import tracemalloc
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from calls.admin import export, filters, keyset
from calls.models import Call, CallEvent
from calls.operations.record import record
from tests.admin.pages import CALLS, CLIENTS, EVENTS, RECORDINGS, make_staff, shown_calls, visit
from tests.admin.rows import make_client, make_recording
from tests.build import build_event, read_table

pytestmark = pytest.mark.django_db
LISTS = [CALLS, EVENTS, RECORDINGS, CLIENTS]


def exported(address: str, user: Any = None) -> list[dict[str, str]]:
    path, _, query = address.partition("?")
    response = visit(user).get(f"{path}export.csv?{query}")
    assert response.status_code == 200
    assert response.streaming
    return list(csv.DictReader(io.StringIO(response.getvalue().decode())))


def make_calls(count: int, **values: Any) -> None:
    record([build_event(call_id=f"c-{n}", seconds=n // 3, **values) for n in range(count)])


@pytest.mark.parametrize("stretch", [1, 2, 7, 100])
@pytest.mark.parametrize("count", [0, 1, 7, 14, 23])
def test_every_row_is_exported_once_and_in_the_order_of_the_list(
    stretch: int, count: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(export, "STRETCH", stretch)
    make_calls(count)
    wanted = list(Call.objects.values_list("external_id", flat=True))
    assert [row["call_id"] for row in exported(CALLS)] == wanted
    ids = list(CallEvent.objects.values_list("event_id", flat=True))
    assert [row["event_id"] for row in exported(EVENTS)] == ids


@pytest.mark.parametrize(
    "query",
    [
        "?status=ended",
        "?direction=inbound",
        "?in_progress=no",
        "?anomaly=any",
        "?q=%2B4930231250",
        "?min_duration=20",
        "?country=DE",
        "?from=2024-04-01&to=2024-04-01",
        "?direction=inbound&min_duration=10&max_duration=40&country=DE",
        "?older=nonsense",
    ],
)
@pytest.mark.parametrize("look_through", [5, 20_000])
def test_the_filters_of_the_screen_are_those_of_the_export(
    query: str, look_through: int, monkeypatch: pytest.MonkeyPatch
):
    for place in range(30):
        parties = {
            "call_id": f"c{place}",
            "calling_number": f"+493023125{place % 10:03}" if place % 3 else f"+120255501{place:02}",
            "direction": ["inbound", "outbound"][place % 2],
        }
        events = [build_event("initiated", place, **parties)]
        if place % 4:
            events += [build_event("answered", place + 1, **parties), build_event("ended", place * 2 + 2, **parties)]
        if place % 5 == 0:
            events.append(build_event("dtmf", 500, **parties))
        record(events)
    shown = shown_calls(visit().get(CALLS + query))
    monkeypatch.setattr(keyset, "LOOK_THROUGH", look_through)
    monkeypatch.setattr(export, "STRETCH", 4)
    assert [row["call_id"] for row in exported(CALLS + query)] == shown
    assert shown


def test_the_list_links_to_its_export_with_its_filters():
    make_calls(3)
    html = visit().get(CALLS + "?direction=unknown&q=c-1").content.decode()
    assert 'href="export.csv?direction=unknown&amp;q=c-1"' in html


def test_the_columns_of_a_call():
    client = make_client("+493023125042", name="Ada")
    record(
        read_table(
            "0:00 initiated way=inbound\n0:02 ringing\n0:07.5 answered\n0:20 hold\n0:35 unhold\n1:00 ended cause=busy",
            calling_number="+493023125042",
        )
    )
    (row,) = exported(CALLS)
    call = Call.objects.get()
    assert row == {
        "call_id": "call-1",
        "id": str(call.pk),
        "status": "ended",
        "direction": "inbound",
        "call_type": "voice",
        "calling_number": "+493023125042",
        "called_number": "+9876543210",
        "client": client.name,
        "handled_by": "",
        "started_at_utc": "2024-04-01T12:00:00Z",
        "ringing_at_utc": "2024-04-01T12:00:02Z",
        "answered_at_utc": "2024-04-01T12:00:07.500000Z",
        "ended_at_utc": "2024-04-01T12:01:00Z",
        "duration_seconds": "60",
        "ring_seconds": "5",
        "talk_seconds": "52",
        "hold_seconds": "15",
        "transferred_to": "",
        "cause": "busy",
        "anomalies": "",
    }
    assert exported(CALLS, make_staff("view_call"))[0]["client"] == ""


def test_no_cell_is_a_formula():
    hostile = "=cmd()|' /C calc'!A0"
    record([build_event(call_id=hostile, event_id=f"@{hostile}", calling_number=f"-{hostile}", word=hostile)])
    make_client("+493023125042", name=hostile, company="\t=1")
    make_recording(file_path=hostile)
    for address in LISTS:
        for row in exported(address):
            cells = [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
            assert all(cell[1:].isdigit() for cell in cells if cell.startswith("+"))
            assert [cell for cell in cells if not cell.startswith("+")] == []


def test_clients_are_exported_with_their_numbers():
    make_client("+493023125042", "+493023125043", name="Ada")
    make_client(name="Bob")
    assert [(row["name"], row["phone_numbers"]) for row in exported(CLIENTS)] == [
        # Beginning with a plus and no number as a whole, it might be taken for a formula.
        ("Ada", "'+493023125042 +493023125043"),
        ("Bob", ""),
    ]
    assert [row["name"] for row in exported(CLIENTS + "?q=Bob")] == ["Bob"]


@pytest.mark.parametrize("address", LISTS)
def test_what_may_not_be_seen_may_not_be_exported(address: str, client: Any):
    assert client.get(address + "export.csv")["Location"].startswith("/admin/login/")
    assert visit(make_staff()).get(address + "export.csv").status_code == 403
    response = visit(make_staff(group="Analysts")).get(address + "export.csv")
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert "attachment" in response["Content-Disposition"]


@pytest.mark.parametrize("query", ["status=nonsense", "min_duration=x", "country=ZZ", "from=x"])
def test_a_filter_that_makes_no_sense_is_refused(query: str):
    assert visit().get(f"{CALLS}export.csv?{query}").status_code == 400
    assert visit().get(f"{CALLS}?{query}").status_code == 302


def test_memory_does_not_grow_with_the_rows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(export, "STRETCH", 50)
    monkeypatch.setattr("calls.web.csv.ROWS_A_CHUNK", 50)

    def peak() -> tuple[int, int]:
        response = visit().get(CALLS + "export.csv")
        rows = 0
        tracemalloc.start()
        try:
            for chunk in response.streaming_content:
                rows += chunk.count(b"\r\n")
            return rows, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    make_calls(300)
    peak()  # what is imported and cached at the first time
    few, little = peak()
    record([build_event(call_id=f"more-{n}", seconds=n) for n in range(2_700)])
    many, much = peak()
    assert (few, many) == (301, 3_001)
    assert much < little * 1.5


def test_statements_do_not_grow_with_what_a_row_shows():
    make_client("+493023125042", name="Ada")
    record([build_event(call_id=f"c{n}", calling_number="+493023125042", direction="inbound") for n in range(30)])
    browser = visit()
    with CaptureQueriesContext(connection) as queries:
        browser.get(CALLS + "export.csv").getvalue()
    assert len(queries) <= 12
    assert not [query for query in queries.captured_queries if "COUNT(" in query["sql"].upper()]


# -- By country ----------------------------------------------------------------------------------


@pytest.fixture
def countries() -> None:
    """Calls with a German, a Canadian and an American number, each way."""
    for name, number in (("de", "+493023125042"), ("ca", "+14165550199"), ("us", "+12125550199")):
        for way in ("inbound", "outbound", "unknown"):
            calling, called = (number, "+12025550100") if way != "outbound" else ("+12025550100", number)
            record([build_event(call_id=f"{name}-{way}", calling_number=calling, called_number=called, direction=way)])


@pytest.mark.usefixtures("countries")
@pytest.mark.parametrize("rare", [0, 2_000])
@pytest.mark.parametrize(
    ("country", "expected"),
    [
        ("DE", ["de-inbound", "de-outbound", "de-unknown"]),
        ("CA", ["ca-inbound", "ca-outbound", "ca-unknown"]),
        # Of a call of unknown direction either party may be the other one.
        ("US", ["ca-unknown", "de-unknown", "us-inbound", "us-outbound", "us-unknown"]),
        ("GB", []),
    ],
)
def test_a_country_is_that_of_the_other_party(
    country: str, expected: list[str], rare: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(filters, "CALLS_OF_A_RARE_COUNTRY", rare)
    response = visit().get(f"{CALLS}?country={country}")
    assert sorted(shown_calls(response)) == expected


@pytest.mark.usefixtures("countries")
def test_the_forms_of_the_filters_carry_the_others_along():
    html = visit().get(f"{CALLS}?country=DE&min_duration=0&direction=inbound").content.decode()
    assert '<option value="DE" selected>Germany +49</option>' in html
    assert html.count('<input type="hidden" name="direction" value="inbound">') == 4
    assert html.count('<input type="hidden" name="country" value="DE">') == 3


@pytest.mark.postgresql
def test_a_rare_country_is_found_by_the_index_of_the_numbers():
    record(
        [
            build_event(
                call_id=f"c{n}",
                seconds=n,
                calling_number=f"+1202555{n % 1000:04}",
                called_number=f"+1212555{n % 997:04}",
            )
            for n in range(4_000)
        ]
    )
    record([build_event(call_id="rare", calling_number="+6855551234", called_number="+12025550100")])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE calls_call")
    with CaptureQueriesContext(connection) as queries:
        response = visit().get(CALLS + "?country=WS")
    assert shown_calls(response) == ["rare"]
    probes = [query["sql"] for query in queries.captured_queries if "+686" in query["sql"] and "LIMIT" in query["sql"]]
    assert len(probes) >= 2
    for probe, index in zip(probes, ("call_by_calling", "call_by_called"), strict=False):
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {probe}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert index in plan, plan
