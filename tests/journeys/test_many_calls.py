"""Among many calls every page costs the same few queries: the list, each filter, a call, a month's statistics.

`MANY_CALLS=200000` makes that many; the usual run makes fewer, and what is asserted is the same.
"""

import os
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from calls.models import Call, CallRecording, Client
from calls.operations.clients import set_numbers
from calls.operations.record import record
from calls.sampledata import Sample, usual_numbers
from tests.build import sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("groups")]
CALLS = int(os.environ.get("MANY_CALLS", "2000"))
UNTIL = datetime(2024, 5, 1, tzinfo=UTC)
OURS = "+120255501"
# Whose token it is, and what that user may do (as a user, as a member of groups).
WHO = 3
PAGE = WHO + 1
STATISTICS = "/api/call-logs/statistics/"
APRIL = "from=2024-04-01&to=2024-05-01&tz=UTC"


@pytest.fixture
def somebody(settings: Any) -> str:
    """Make the calls, a client and recordings; return the number of that client."""
    settings.OWN_NUMBERS = [OURS]
    sample = Sample(
        seed=1, until=UNTIL, calls=CALLS, days=30, numbers=usual_numbers(CALLS), ongoing=5, own_numbers=(OURS,)
    )
    for batch in sample.batches():
        record(batch)
    assert Call.objects.count() == CALLS
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    number = str(Call.objects.filter(direction="inbound").order_by("-started_at").values_list("calling_number")[0][0])
    set_numbers(Client.objects.create(name="Ada"), [number], at=UNTIL)
    for call in Call.objects.order_by("-started_at")[:50]:
        CallRecording.objects.create(call=call, status="completed", created_at=UNTIL, updated_at=UNTIL)
    return number


def ask(analyst: Browser, address: str, queries: int) -> Any:
    with CaptureQueriesContext(connection) as asked:
        answer = analyst.get(address)
        body = answer.json()
    assert answer.status_code == 200, body
    statements = [query["sql"][:200] for query in asked.captured_queries]
    assert len(statements) <= queries, (address, statements)
    return body


def test_each_page_costs_a_few_queries_however_many_calls_there_are(somebody: str) -> None:
    analyst = sign_in("Analysts")
    analyst.get("/api/clients/")  # the first request of a day also notes that the token was used
    client, handler = Client.objects.get().pk, 1
    plus = somebody.replace("+", "%2B")
    filters = {
        "": True,
        "limit=500": True,
        "status=missed": True,
        "status=on_hold": False,
        "direction=outbound": True,
        "call_type=voice": True,
        f"client={client}": True,
        f"number={plus}": True,
        "sip_call_id=nothing": False,
        f"handled_by={handler}": False,
        "anomaly=future_time": True,
        "started_after=2024-04-20&started_before=2024-04-21": True,
        "updated_after=2024-04-20": True,
        "has_recording=true": True,
        "min_duration=60": True,
        f"search={plus}": True,
        "ordering=started_at": True,
    }
    for query, some in filters.items():
        page = ask(analyst, f"/api/call-logs/?{query}", PAGE)
        assert bool(page["results"]) is some, query
        if page["next"]:
            deeper = ask(analyst, page["next"].replace("http://testserver", ""), PAGE)
            assert {one["id"] for one in deeper["results"]}.isdisjoint({one["id"] for one in page["results"]})
    newest = ask(analyst, "/api/call-logs/?has_recording=true", PAGE)["results"][0]
    # The call, its events, its recordings.
    detail = ask(analyst, f"/api/call-logs/{newest['id']}/", WHO + 3)
    assert detail["events"]
    assert detail["recordings"]
    ask(analyst, f"/call-history/{plus}/", WHO + 2)
    ask(analyst, f"/api/clients/{client}/call_history/", WHO + 2)
    month = ask(analyst, f"{STATISTICS}?{APRIL}", WHO + 1)
    assert month["total_calls"] == month["answered_calls"] + month["missed_calls"] > CALLS * 0.9
    series = ask(analyst, f"{STATISTICS}series/?bucket=day&{APRIL}", WHO + 2)
    assert sum(point["calls"] for point in series["series"][0]["points"]) == month["total_calls"]
