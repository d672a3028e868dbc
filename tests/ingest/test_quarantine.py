"""What an authenticated sender was refused is kept, and nothing else; it can be mended and sent through its door."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from calls.models import Call, CallEvent, CallRecording, RefusedReport
from calls.operations import quarantine
from calls.operations.quarantine import NotOpen, dismiss, mend, replay
from calls.operations.webhooks import add_source
from tests.build import at, report, send, sign_in, sip_report
from tests.ingest.test_signature import signed

pytestmark = pytest.mark.django_db

WRONG = {"event": "HANGUP"}


def post(client: Client, body: Any, path: str = "/process-events/", kind: str = "application/json") -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body)
    return client.post(path, data, content_type=kind)


def kept() -> RefusedReport:
    return RefusedReport.objects.get()


def body_of(row: RefusedReport) -> Any:
    return json.loads(bytes(row.body))


# -- What is kept ----------------------------------------------------------------------------------


def test_an_invalid_event_is_kept_with_its_reason_and_leaves_no_trace_elsewhere(telephony: Client) -> None:
    body = report(event_id="e1", call_id="c1", **WRONG)
    answer = post(telephony, body)
    row = kept()
    assert answer.status_code == 400
    assert (row.door, row.status, row.code, row.state) == ("process_events", 400, "invalid", "open")
    assert (row.detail, row.errors) == (answer.json()["detail"], answer.json()["errors"])
    assert body_of(row) == body
    assert (row.event_id, row.call_id, row.times, row.is_cut) == ("e1", "c1", 1, False)
    assert row.sender.startswith("user ")
    assert row.sender_name.startswith("user-")
    assert not CallEvent.objects.exists()
    assert not Call.objects.exists()


def test_a_conflict_is_kept(telephony: Client) -> None:
    post(telephony, report(event_id="e1"))
    assert post(telephony, report(event_id="e1", event="ANSWER")).status_code == 409
    assert (kept().status, kept().code) == (409, "conflict")
    assert CallEvent.objects.count() == 1


def test_broken_json_is_kept_as_it_came(telephony: Client) -> None:
    post(telephony, b'{"event_id": "e1", \xff')
    row = kept()
    assert (bytes(row.body), row.code, row.event_id) == (b'{"event_id": "e1", \xff', "invalid_json", None)


def test_of_a_body_that_is_too_large_the_beginning_is_kept(telephony: Client) -> None:
    body = report(note="x" * 100_000)
    assert post(telephony, body).status_code == 413
    row = kept()
    assert (row.status, row.is_cut, row.size) == (413, True, len(json.dumps(body)))
    assert len(bytes(row.body)) == quarantine.BODY_BYTES


def test_of_a_body_that_was_not_even_read_its_size_is_kept(telephony: Client) -> None:
    assert post(telephony, sip_report(note="x" * 70_000), "/api/webhooks/sip/").status_code == 413
    row = kept()
    assert (bytes(row.body), row.is_cut) == (b"", True)
    assert row.size > 70_000


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_of_a_batch_the_rejected_members_are_kept_one_by_one(telephony: Client, kind: str) -> None:
    bodies = [report(event_id="a"), report(event_id="b", **WRONG), report(event_id="a", event="ANSWER")]
    lines = b"\n".join(json.dumps(body).encode() for body in bodies) + b"\n{broken"
    data = lines if "ndjson" in kind else json.dumps(bodies).encode()
    assert post(telephony, data, kind=kind).status_code == 207
    rows = list(RefusedReport.objects.order_by("id"))
    codes = ["invalid", "conflict"] + (["invalid_json"] if "ndjson" in kind else [])
    assert [row.code for row in rows] == codes
    assert [body_of(row) for row in rows[:2]] == bodies[1:]
    assert all(row.media_type == "application/json" for row in rows)


def test_a_batch_that_is_no_batch_is_kept_as_a_whole(telephony: Client) -> None:
    assert post(telephony, b"[").status_code == 400
    assert post(telephony, b"[]").status_code == 400
    assert RefusedReport.objects.count() == 2


def test_a_recording_report_of_an_unknown_call_is_kept_and_finds_its_call_later(telephony: Client) -> None:
    body = {"call_id": "call-1", "status": "completed"}
    assert send(telephony, "POST", "webhooks/recording/", body).status_code == 404
    row = kept()
    assert (row.door, row.status, row.call_id) == ("recording", 404, "call-1")
    post(telephony, report())
    status, answer = replay(row, user_id=_operator(), at=at(60))
    assert (status, row.state) == (200, "replayed")
    assert answer["recording_id"] == str(CallRecording.objects.get().pk)


def test_a_signed_webhook_is_kept_under_its_source() -> None:
    source, secret = add_source("Main PBX")
    body, headers = signed(secret, sip_report("call_exploded"))
    answer = Client().post("/api/webhooks/sip/", body, content_type="application/json", headers=headers)
    assert answer.status_code == 400
    assert (kept().sender, kept().sender_name) == (f"webhook source {source.pk}", "Main PBX")


def test_the_same_body_again_only_counts(telephony: Client) -> None:
    body = report(**WRONG)
    for _ in range(3):
        post(telephony, body)
    assert (kept().times, kept().last_received_at > kept().received_at) == (3, True)
    post(sign_in("Telephony systems"), body)
    assert RefusedReport.objects.count() == 2


# -- What is not kept ------------------------------------------------------------------------------


def test_nothing_is_kept_of_strangers_of_dry_runs_and_of_what_was_no_report(telephony: Client, analyst: Client) -> None:
    wrong = report(**WRONG)
    assert post(Client(), wrong).status_code == 401
    assert post(analyst, wrong).status_code == 403
    assert post(telephony, wrong, "/process-events/?dry_run=true").status_code == 400
    assert post(telephony, [wrong], "/process-events/?dry_run=1").status_code == 400
    assert post(telephony, b"x", kind="text/plain").status_code == 415
    assert telephony.get("/process-events/").status_code == 405
    too_long, headers = signed(add_source("other")[1], sip_report(note="x" * 70_000))
    assert (
        Client().post("/api/webhooks/sip/", too_long, content_type="application/json", headers=headers).status_code
        == 413
    )
    assert not RefusedReport.objects.exists()


def test_what_is_accepted_costs_no_statement_more(telephony: Client) -> None:
    post(telephony, report())
    with CaptureQueriesContext(connection) as captured:
        assert post(telephony, [report(event_id="b", event="ANSWER"), report(event_id="c")]).status_code == 200
    assert not [query for query in captured if "refused" in query["sql"] or "quarantine" in query["sql"]]


def test_a_quarantine_that_is_switched_off_keeps_nothing(telephony: Client, settings: Any) -> None:
    settings.QUARANTINE_ROWS = 0
    assert post(telephony, report(**WRONG)).status_code == 400
    assert not RefusedReport.objects.exists()


@pytest.mark.parametrize("batch", [False, True])
def test_a_quarantine_that_fails_changes_no_answer(
    telephony: Client, monkeypatch: pytest.MonkeyPatch, caplog: Any, batch: bool
) -> None:
    table = RefusedReport._meta.db_table
    monkeypatch.setattr(RefusedReport._meta, "db_table", "no_such_table")
    answer = post(telephony, [report(**WRONG), report(event_id="good")] if batch else report(**WRONG))
    monkeypatch.setattr(RefusedReport._meta, "db_table", table)
    assert answer.status_code == (207 if batch else 400)
    assert "could not be kept" in caplog.text
    assert CallEvent.objects.count() == int(batch)


CANARY = "c4n4ry-0123456789-s3cr3t"


@pytest.mark.parametrize("form", ["event", "broken", "batch"])
def test_no_secret_gets_into_the_quarantine(form: str) -> None:
    client = sign_in("Telephony systems")
    token = client.defaults["HTTP_AUTHORIZATION"].split()[1]
    body = report(**WRONG, sip={"password": CANARY, "auth": f"Token {token}"}, api_key=CANARY)
    text = json.dumps([body, body] if form == "batch" else body)
    post(client, (text[:-1] if form == "broken" else text).encode())
    for row in RefusedReport.objects.values():
        assert CANARY not in str(row).replace("\\", "")
        assert token not in str(row)
        assert CANARY.encode() not in bytes(row["body"])
        assert b"HANGUP" in bytes(row["body"])


def test_what_no_database_can_keep_is_kept_in_another_spelling(telephony: Client) -> None:
    post(telephony, b'{"event_id": "a\\u0000b", "call_id": "' + b"x" * 300 + b'", "\\u0000": 1}')
    assert (kept().event_id, len(kept().call_id or "")) == ("a\N{SYMBOL FOR NULL}b", 255)


# -- Replay ----------------------------------------------------------------------------------------


def _operator() -> int:
    return User.objects.create_user(f"operator-{User.objects.count()}").pk


def test_a_mended_report_goes_through_the_door_that_refused_it(telephony: Client) -> None:
    body = report(event_id="e1", **WRONG)
    post(telephony, body)
    row, operator = kept(), _operator()
    assert replay(row, user_id=operator, at=at(10))[0] == 400
    assert (row.state, row.replayed_status) == ("open", 400)
    mend(row, body=json.dumps({**body, "event": "DISCONNECT"}).encode())
    assert body_of(row) == body
    status, answer = replay(row, user_id=operator, at=at(20))
    assert (status, answer["result"], answer["call_status"]) == (200, "created", "missed")
    assert (row.state, row.handled_by_id, row.handled_at, row.replayed_status) == ("replayed", operator, at(20), 200)
    event = CallEvent.objects.get()
    assert (event.event_id, event.source, event.received_at) == ("e1", "process_events", at(20))
    assert post(telephony, {**body, "event": "DISCONNECT"}).json()["result"] == "duplicate"


def test_a_sip_report_is_replayed_through_its_own_door(telephony: Client) -> None:
    body = sip_report("call_answerd")
    send(telephony, "POST", "webhooks/sip/", body)
    row = kept()
    mend(row, body=json.dumps({**body, "event_type": "call_answered"}).encode())
    assert replay(row, user_id=_operator(), at=at(9))[1]["call_status"] == "answered"
    assert CallEvent.objects.get().source == "sip"


def test_a_member_of_a_batch_may_be_mended_into_two(telephony: Client) -> None:
    post(telephony, [report(event_id="a", **WRONG)])
    row = kept()
    mend(row, body=json.dumps([report(event_id="a"), report(event_id="b", **WRONG)]).encode())
    assert replay(row, user_id=_operator(), at=at(9))[0] == 207
    assert (row.state, CallEvent.objects.count()) == ("open", 1)
    mend(row, body=json.dumps([report(event_id="a"), report(event_id="b", event="ANSWER")]).encode())
    assert replay(row, user_id=_operator(), at=at(9))[0] == 200
    assert (row.state, CallEvent.objects.count()) == ("replayed", 2)


def test_what_is_replayed_is_not_quarantined_again(telephony: Client) -> None:
    post(telephony, report(**WRONG))
    row = kept()
    replay(row, user_id=_operator(), at=at(9))
    assert (RefusedReport.objects.count(), kept().times) == (1, 1)


def test_what_was_handled_cannot_be_handled_again(telephony: Client) -> None:
    post(telephony, report(**WRONG))
    row, operator = kept(), _operator()
    dismiss(row, user_id=operator, at=at(5))
    assert (row.state, row.handled_by_id, row.handled_at) == ("dismissed", operator, at(5))
    for act in (
        lambda: dismiss(row, user_id=operator, at=at(6)),
        lambda: replay(row, user_id=operator, at=at(6)),
        lambda: mend(row, body=b"{}"),
    ):
        with pytest.raises(NotOpen):
            act()
