"""Metrics: who may read them, and what they count."""

import re
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from calls import metrics
from calls.domain.vocabulary import CallType
from calls.operations.control import Button, log_incoming_call
from calls.operations.record import record
from calls.queries import figures
from tests.build import build_event, report, sign_in

pytestmark = pytest.mark.django_db(transaction=True)


def scrape(client: Client, **extra: Any) -> dict[str, float]:
    """Return every sample by its name and labels."""
    figures.watch.forget()
    answer = client.get("/metrics", **extra)
    assert answer.status_code == 200, answer.content
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    lines = [line for line in answer.content.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.fixture
def reader(groups: None) -> Client:
    return sign_in("Analysts")


def post(body: Any, group: str = "Telephony systems", path: str = "/process-events/") -> int:
    return sign_in(group).post(path, body, content_type="application/json").status_code


def grown(before: dict[str, float], after: dict[str, float], name: str) -> float:
    return after.get(name, 0) - before.get(name, 0)


@pytest.mark.parametrize(("group", "status"), [("Telephony systems", 403), ("Analysts", 200), ("Operators", 200)])
def test_a_token_that_may_read_calls_may_read_metrics(groups: None, group: str, status: int):
    assert sign_in(group).get("/metrics").status_code == status
    assert sign_in(group).get("/metrics/").status_code == status


def test_nobody_reads_them_without_a_token(db: None):
    answer = Client().get("/metrics")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


@pytest.fixture
def allowed(settings: Any) -> None:
    settings.METRICS_ALLOW = [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("address", "status"),
    [("10.1.2.3", 200), ("10.2.0.1", 401), ("::ffff:10.1.2.3", 200), ("fd00::1", 200), ("fe80::1", 401), ("", 401)],
)
def test_an_allowed_network_needs_no_token(allowed: None, address: str, status: int):
    assert Client().get("/metrics", REMOTE_ADDR=address).status_code == status


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_who_comes_through_a_proxy_does_not_have_the_proxys_right(allowed: None, header: str):
    answer = Client().get("/metrics", REMOTE_ADDR="10.1.2.3", headers={header: "10.1.2.3"})
    assert answer.status_code == 401


def test_over_plain_http_where_https_is_wanted_only_the_network_counts(reader: Client, allowed: None, settings: Any):
    settings.SECURE_SSL_REDIRECT = True
    assert reader.get("/metrics").status_code == 403
    assert reader.get("/metrics", secure=True).status_code == 200
    assert Client().get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 200


def test_an_event_is_counted_by_what_became_of_it(reader: Client):
    before = scrape(reader)
    body = report(created_at="2024-04-01T12:00:00Z")
    assert [post(body), post(body), post({**body, "event": "ANSWER"}), post({"event_id": "x"})] == [200, 200, 409, 400]
    after = scrape(reader)
    for result in ("created", "duplicate", "conflict"):
        name = f'phonegoggles_events_total{{result="{result}",source="process_events"}}'
        assert grown(before, after, name) == 1, result
    assert grown(before, after, "phonegoggles_commit_seconds_count") == 3
    for status in ("400", "409"):
        name = f'phonegoggles_refused_reports_total{{door="process_events",status="{status}"}}'
        assert grown(before, after, name) == 1
    # Only what is new has a lag, and this one is years late.
    assert grown(before, after, 'phonegoggles_event_lag_seconds_count{source="process_events"}') == 1
    assert grown(before, after, 'phonegoggles_event_lag_seconds_bucket{le="604800.0",source="process_events"}') == 0
    assert after["phonegoggles_calls_in_progress"] == after["phonegoggles_database_up"] == 1
    assert after["phonegoggles_quarantine_open"] == 2


def test_a_batch_counts_each_of_its_events_and_one_commit(reader: Client):
    before = scrape(reader)
    assert post([report(call_id=f"call-{number}") for number in range(50)]) == 200
    after = scrape(reader)
    name = 'phonegoggles_events_total{result="created",source="process_events"}'
    assert grown(before, after, name) == 50
    assert grown(before, after, "phonegoggles_commit_seconds_count") == 1


def of_buttons(before: dict[str, float], after: dict[str, float]) -> list[float]:
    """Return how many events of our buttons were created, were there already, and could not be."""
    names = [
        f'phonegoggles_events_total{{result="{word}",source="api"}}' for word in ("created", "duplicate", "conflict")
    ]
    return [grown(before, after, name) for name in names]


def test_events_of_buttons_are_counted_by_what_became_of_them(reader: Client):
    operator = sign_in("Operators")
    body = {"caller_number": "+12025550100", "recipient_number": "+442071838750", "sip_call_id": "in-1"}

    def press(path: str, told: Any = None, **headers: str) -> int:
        return operator.post(f"/api/call-logs/{path}/", told or {}, "application/json", headers=headers).status_code

    before = scrape(reader)
    assert [press("log_incoming_call", body), press("log_incoming_call", body)] == [201, 200]
    assert of_buttons(before, scrape(reader)) == [2, 2, 0]  # it begins, and it rings
    before = scrape(reader)
    assert [press("in-1/toggle_hold"), press("in-1/add_event", {"event_type": "answered"})] == [409, 201]
    assert of_buttons(before, scrape(reader)) == [1, 0, 1]
    before = scrape(reader)
    assert [press("in-1/transfer_call", {"transfer_to": "+12025550199"}, idempotency_key="k") for _ in "12"] == [
        200
    ] * 2
    assert of_buttons(before, scrape(reader)) == [2, 0, 0]  # the second is a stored answer
    # A call that is written down once more.
    before = scrape(reader)
    made = {**body, "sip_call_id": "in-2", "direction": "inbound", "ended_at": "2024-04-01T12:00:00Z"}
    assert [operator.post("/api/call-logs/", made, "application/json").status_code for _ in "12"] == [201, 409]
    assert of_buttons(before, scrape(reader)) == [2, 0, 1]
    # The status that it has already makes no event.
    before = scrape(reader)
    told = operator.patch("/api/call-logs/in-1/update_status/", {"status": "transferred"}, "application/json")
    assert (told.status_code, of_buttons(before, scrape(reader))) == (200, [0, 0, 0])


def test_what_is_rolled_back_is_not_counted(reader: Client):
    before = scrape(reader)
    with transaction.atomic():
        button = Button(None, datetime(2024, 4, 1, 12, tzinfo=UTC))
        log_incoming_call(button, caller_number="1", recipient_number="2", sip_call_id="gone", call_type=CallType.VOICE)
        transaction.set_rollback(True)
    assert of_buttons(before, scrape(reader)) == [0, 0, 0]


def test_a_dry_run_is_not_counted(reader: Client):
    before = scrape(reader)
    assert post(report(), path="/process-events/?dry_run=true") == 200
    after = scrape(reader)
    assert grown(before, after, 'phonegoggles_events_total{result="created",source="process_events"}') == 0


def test_requests_are_counted_by_the_name_of_their_address(reader: Client):
    before = scrape(reader)
    reader.get("/call-history/+12025550100/")
    reader.get("/call-history/+12025550199/")
    reader.generic("BREW", "/livez")
    after = scrape(reader)
    assert grown(before, after, 'phonegoggles_requests_total{method="GET",status="404",view="call-history"}') == 2
    assert not [name for name in after if "BREW" in name or "2025550" in name]


def test_the_text_holds_no_number_and_no_id(reader: Client):
    post(report(calling_number="+12025550147", call_id="secret-call"))
    text = reader.get("/metrics").content.decode()
    assert not re.search(r"2025550147|secret-call", text)


def test_counting_that_fails_fails_no_ingest(reader: Client, monkeypatch: pytest.MonkeyPatch, caplog: Any):
    def broken(*values: Any) -> None:
        raise OSError("no room")

    monkeypatch.setattr(metrics.COMMIT, "observe_many", broken)
    monkeypatch.setattr(metrics.REFUSED, "labels", broken)
    monkeypatch.setattr(metrics.EVENTS, "labels", broken)
    assert post(report()) == 200
    assert post({"event_id": "x"}) == 400
    call = {"caller_number": "1", "recipient_number": "2"}
    assert post(call, "Operators", "/api/call-logs/log_incoming_call/") == 201
    metrics.count_all()
    assert "could not be counted" in caplog.text


def test_many_values_at_once_fall_into_the_same_buckets_as_one_by_one():
    values = [0.0, 0.1, 0.100001, 3, 604_800, 10**9]
    one, many = (metrics.ManyAtOnce(f"x{number}", "x", buckets=(0.1, 5, 604_800), registry=None) for number in (1, 2))
    for value in values:
        one.observe(value)
    many.observe_many(values)
    samples = [
        [(s.labels, s.value) for m in each.collect() for s in m.samples if "created" not in s.name]
        for each in (one, many)
    ]
    assert samples[0] == samples[1]


def test_calls_in_progress_are_those_without_an_end(reader: Client):
    record(
        [
            build_event("initiated", call_id="a"),
            build_event("initiated", call_id="b"),
            build_event("ended", 3, call_id="b"),
        ]
    )
    assert scrape(reader)["phonegoggles_calls_in_progress"] == 1
