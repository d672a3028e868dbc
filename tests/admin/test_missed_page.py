"""The screen of missed calls to return."""

import csv
import io
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from calls.admin import missed
from calls.operations.record import record
from calls.queries import missed as query
from tests.admin.pages import link_to, make_staff, text_of, visit
from tests.admin.rows import make_client
from tests.build import NOON, build_event

pytestmark = pytest.mark.django_db
MISSED, EXPORT = "/admin/missed-calls/", "/admin/missed-calls/export.csv"
ADA, BOB, OURS = "+493023125042", "+442079460001", "+12025550100"


def ago(days: float) -> float:
    return (timezone.now() - NOON).total_seconds() - days * 86_400


def call(number: str, days: float, *, back: bool = False, name: str = "") -> None:
    """Record a missed call of some days ago, or an answered call back."""
    parties = {
        "call_id": name or f"{number}-{days}",
        "calling_number": OURS if back else number,
        "called_number": number if back else OURS,
        "direction": "outbound" if back else "inbound",
    }
    events = [build_event("initiated", ago(days), **parties), build_event("ended", ago(days) + 60, **parties)]
    record([*events, build_event("answered", ago(days) + 5, **parties)] if back else events)


def callers(response: Any) -> list[str]:
    assert response.status_code == 200
    return [text_of(row["caller"]) for row in response.context["waits"]]


@pytest.fixture
def calls() -> None:
    """Ada has waited for two days, Bob was called back after one, somebody called long ago."""
    call(ADA, 2)
    call(BOB, 3)
    call(BOB, 2, back=True)
    call("+33199000001", 40)


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    ("query_string", "expected"),
    [
        ("", ["+49 30 23125042 DE"]),
        ("?state=returned", ["+44 20 7946 0001 GB"]),
        ("?state=all", ["+49 30 23125042 DE", "+44 20 7946 0001 GB"]),
        ("?state=all&period=today", []),
        ("?state=open&period=ever", ["+49 30 23125042 DE", "+33 1 99 00 00 01 FR"]),
        ("?state=open&from=2001-01-01&to=2001-02-01", []),
    ],
)
def test_the_filters_choose(query_string: str, expected: list[str]):
    assert callers(visit().get(MISSED + query_string)) == expected


@pytest.mark.usefixtures("calls")
def test_a_returned_call_says_how_and_after_how_long():
    text = text_of(visit().get(MISSED + "?state=returned").content.decode())
    assert "called back" in text
    assert "1 d 0 h" in text


@pytest.mark.parametrize(
    "bad", ["state=x", "period=x", "from=tomorrow", "client=x", "to=0001-01-01", "client=" + "9" * 30]
)
def test_an_unknown_filter_is_told(bad: str):
    call(ADA, 1)
    browser = visit()
    response = browser.get(f"{MISSED}?{bad}")
    assert "These are the open ones of the last 30 days" in response.content.decode()
    assert len(callers(response)) == 1
    assert browser.get(f"{EXPORT}?{bad}").status_code == 400


def test_a_clients_missed_calls_can_be_chosen():
    client = make_client(ADA, name="Ada & <b>Söhne</b>")
    call(ADA, 1)
    call(BOB, 1)
    response = visit().get(f"{MISSED}?client={client.pk}")
    assert callers(response) == ["+49 30 23125042 DE"]
    assert "Ada &amp; &lt;b&gt;Söhne&lt;/b&gt;" in response.content.decode()


def test_the_pages_follow_one_another(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(missed, "WAITS_A_PAGE", 2)
    for place in range(5):
        call(f"+4930231250{place:02}", place + 0.5)
    browser, address, shown = visit(), MISSED, []
    while address:
        response = browser.get(address)
        shown += callers(response)
        found = link_to(response, "next")
        address = MISSED + found if found else ""
    assert [one.split()[2] for one in shown] == [f"231250{place:02}" for place in range(5)]
    assert "is not known; this is the first one" in browser.get(MISSED + "?older=x").content.decode()


def test_looking_through_many_calls_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(query, "LOOK_THROUGH", 3)
    monkeypatch.setattr(missed, "LOOK_THROUGH", 3)
    for place in range(7):
        call("anonymous", place + 0.5)
    call(ADA, 20)
    browser = visit()
    first = browser.get(MISSED)
    assert callers(first) == []
    assert "3 unanswered calls were looked through" in text_of(first.content.decode())
    second = browser.get(MISSED + link_to(first, "next"))
    assert callers(browser.get(MISSED + link_to(second, "next"))) == ["+49 30 23125042 DE"]


def test_the_export_has_what_is_shown_and_is_no_formula():
    make_client(BOB, name="=cmd()|' /C calc'!A0")
    call(ADA, 2)
    call(ADA, 3)
    call(BOB, 5)
    call(BOB, 4, back=True)
    call("=1+1", 6)
    response = visit().get(EXPORT + "?state=all")
    assert response["Content-Type"].startswith("text/csv")
    assert "no-store" in response["Cache-Control"]
    header, *rows = csv.reader(io.StringIO(response.getvalue().decode()))
    assert tuple(header) == missed.COLUMNS
    lines = [dict(zip(header, row, strict=True)) for row in rows]
    assert [line["caller_number"] for line in lines] == [ADA, BOB, "'=1+1"]
    assert [line["state"] for line in lines] == ["open", "returned", "open"]
    assert [line["missed_calls"] for line in lines] == ["2", "1", "1"]
    assert lines[1]["client"].startswith("'=cmd()")
    assert lines[1]["returned_how"] == "called back"
    assert abs(int(lines[1]["waited_seconds"]) - 86_400) <= 1
    assert lines[0]["last_missed_at_utc"].endswith("Z")


def test_the_page_takes_as_many_statements_for_many_lines_as_for_one():
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            browser.get(MISSED + "?state=all")
        return len(queries)

    browser = visit()
    call(ADA, 2)
    call(ADA, 1, back=True)
    few = statements()
    for place in range(30):
        call(f"+4930231251{place:02}", 3)
        call(f"+4930231251{place:02}", 2, back=True)
    assert statements() == few <= 12


@pytest.mark.parametrize("address", [MISSED, EXPORT])
def test_only_those_who_see_calls_see_missed_ones(address: str, client: Any):
    call(ADA, 1)
    assert client.get(address)["Location"].startswith("/admin/login/")
    assert visit(make_staff("view_client")).get(address).status_code == 403
    for group in ("Analysts", "Operators"):
        assert visit(make_staff(group=group)).get(address).status_code == 200


def test_whose_number_it_is_is_told_only_to_those_who_may_see_clients():
    client = make_client(ADA, name="Ada Söhne")
    call(ADA, 1)
    browser = visit(make_staff("view_call"))
    assert "Söhne" not in browser.get(MISSED).content.decode()
    assert "Söhne" not in browser.get(EXPORT).getvalue().decode()
    assert browser.get(f"{EXPORT}?client={client.pk}").status_code == 400
