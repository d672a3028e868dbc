"""Among tens of thousands of calls no page reads a whole table of calls or events, nor sorts one: its plans say so."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from benchmarks.peers import fill
from calls.models import Client as Customer
from calls.operations.clients import set_numbers
from tests.admin.pages import visit
from tests.build import sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.postgresql]
CALLS = 20_000
LARGE = {"calls_call", "calls_callevent"}
# More rows than this are not to be sorted; a page has at most some hundred.
SORTED_AT_MOST = 2_500
# Numbers with twenty calls, and with a tenth of all.
FEW, MANY = fill.numbers_of(CALLS).light_number(7), fill.numbers_of(CALLS).heavy_number(0)
NUMBER, BUSY_NUMBER = (f"%2B{number[1:]}" for number in (FEW, MANY))

API = [
    f"/call-history/{NUMBER}/",
    f"/call-history/{NUMBER}/?ordering=-call_time&from=2023-01-01T00:00:00Z&status=Completed+Inbound",
    f"/call-history/{BUSY_NUMBER}/?limit=10",
    f"/call-history/{BUSY_NUMBER}/?limit=10&include=ongoing&status=Missed+Inbound&to=2023-01-02T00:00:00Z",
    "/api/call-logs/",
    "/api/call-logs/?ordering=started_at",
    "/api/call-logs/?status=ended",
    "/api/call-logs/?status=missed",
    "/api/call-logs/?status=ringing",
    "/api/call-logs/?direction=unknown",
    f"/api/call-logs/?number={NUMBER}",
    "/api/call-logs/?sip_call_id=fill-77",
    "/api/call-logs/?anomaly=no_start",
    "/api/call-logs/?handled_by=1",
    "/api/call-logs/?client=1",
    "/api/call-logs/?started_after=2023-01-02T00:00:00Z&started_before=2023-01-02T01:00:00Z",
    f"/api/call-logs/?search={NUMBER}",
    "/api/call-logs/statistics/?from=2023-01-01T00:00:00Z&to=2023-01-01T03:00:00Z",
]
ADMIN = [
    "call/",
    "call/?status=ended",
    "call/?status=missed",
    f"call/?q={NUMBER}",
    "callevent/",
    "callevent/?q=fill-77-INITIATE",
    "callrecording/",
    "client/",
    "sipconfiguration/",
    "refusedreport/",
    "webhooksource/",
]


@pytest.fixture
def many_calls() -> None:
    """Finished calls, one every seven seconds, and statistics of the tables."""
    with connection.cursor() as cursor:
        for statement in fill.statements(1, CALLS, calls=CALLS):
            cursor.execute(statement)
    set_numbers(Customer.objects.create(name="Ada"), [FEW], at=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE calls_call")
        cursor.execute("ANALYZE calls_callevent")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def culprits(browser: Client, address: str) -> list[str]:
    """Return what in the plans of a page's statements reads or sorts far more than a page."""
    with CaptureQueriesContext(connection) as asked:
        answer = browser.get(address)
        assert answer.status_code == 200, answer
        getattr(answer, "content", b"")
    found, looked_at = [], 0
    for sql in (query["sql"] for query in asked.captured_queries):
        if not sql.lstrip().upper().startswith(("SELECT", "WITH", "(")) or not any(table in sql for table in LARGE):
            continue
        looked_at += 1
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}".replace("%", "%%"), [])
            [[plan]] = cursor.fetchall()
        for node in nodes((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]):
            whole = node["Node Type"] == "Seq Scan" and node.get("Relation Name") in LARGE
            if whole or (node["Node Type"] == "Sort" and node["Plans"][0]["Plan Rows"] > SORTED_AT_MOST):
                found.append(
                    f"{node['Node Type']} of {node.get('Relation Name', node['Plan Rows'])}: {address}: {sql[-200:]}"
                )
    assert looked_at or "call" not in address.split("/")[-2]
    return found


def test_no_page_of_the_api_reads_or_sorts_a_whole_table(many_calls: None) -> None:
    analyst = sign_in("Analysts")
    found = {address: culprits(analyst, address) for address in API}
    assert not any(found.values()), "\n".join(line for said in found.values() for line in said)


def test_no_list_of_the_admin_reads_or_sorts_a_whole_table(many_calls: None) -> None:
    browser = visit()
    found = {name: culprits(browser, f"/admin/calls/{name}") for name in ADMIN}
    assert not any(found.values()), "\n".join(line for said in found.values() for line in said)


def indexes_of_calls(sql: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}".replace("%", "%%"), [])
        [[plan]] = cursor.fetchall()
    found = nodes((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"])
    return {node["Index Name"] for node in found if node.get("Relation Name") == "calls_call" and "Index Name" in node}


def test_missed_calls_of_long_ago_are_not_looked_for_among_all_that_is_newer(many_calls: None) -> None:
    older = "started_at < (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY started_at) FROM calls_call)"
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE calls_call SET status = 'ended' WHERE status = 'missed' AND NOT {older}")  # noqa: S608 - ours
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("CLUSTER calls_call USING call_by_start")  # as calls come in
        cursor.execute("ANALYZE calls_call")
        cursor.execute("SET LOCAL enable_seqscan = off")  # as it would be with more calls
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute("UPDATE pg_class SET relallvisible = relpages WHERE relname = 'calls_call'")  # as after a VACUUM
    plain = "SELECT * FROM calls_call WHERE outcome = 'missed' ORDER BY started_at DESC, id DESC LIMIT 1000"
    assert indexes_of_calls(plain) == {
        "call_by_start"
    }  # what a planner does by itself: it walks through the newer half
    with CaptureQueriesContext(connection) as asked:
        assert visit().get("/admin/missed-calls/?period=ever").status_code == 200
    walks = [query["sql"] for query in asked.captured_queries if "outcome = 'missed'" in query["sql"]]
    assert walks
    for sql in walks:
        assert "call_by_start" not in indexes_of_calls(sql), sql


def test_a_plan_that_reads_everything_would_be_noticed(many_calls: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX call_by_start")
    assert culprits(sign_in("Analysts"), "/api/call-logs/")
