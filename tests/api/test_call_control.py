"""The buttons of calls: what each becomes, what is refused and why, and doing a request once."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from calls.models import Call, CallEvent, CallRecording, IdempotentRequest, SIPConfiguration
from calls.operations import idempotency
from calls.operations.sip import set_default
from calls.queries.calls import events_in_order
from tests.build import CALLEE, CALLER, report, send, sign_in, sip_report, told

pytestmark = pytest.mark.django_db


@pytest.fixture
def sip(db: None) -> SIPConfiguration:
    made = SIPConfiguration.objects.create(name="Main", sip_server="sip.example.com", caller_number="+12025550100")
    return set_default(made)


@pytest.fixture
def ringing(telephony: Client) -> str:
    return told(telephony, sip_report("call_initiated"), sip_report("call_ringing", 1))


@pytest.fixture
def answered(telephony: Client, ringing: str) -> str:
    return told(telephony, sip_report("call_answered", 5))


@pytest.fixture
def ended(telephony: Client, answered: str) -> str:
    return told(telephony, sip_report("call_ended", 60))


def press(client: Client, call: str, button: str, body: Any = None, *, method: str = "POST", **headers: str) -> Any:
    return send(client, method, f"call-logs/{call}/{button}/", body, **headers)


def change(client: Client, call: str, **body: Any) -> Any:
    return press(client, call, "update_status", body, method="PATCH")


def types(call: str) -> list[str]:
    return [event.type for event in events_in_order(Call.objects.get(pk=call))]


def refused(answer: Any, *words: str) -> bool:
    """Say whether a request was refused with a reason that a person understands."""
    body = answer.json()
    assert (answer.status_code, body["code"]) == (409, "invalid_transition"), body
    assert set(body) == {"detail", "code"}
    assert body["detail"].endswith(".")
    return all(word in body["detail"] for word in words)


# -- initiate_call ---------------------------------------------------------------------------------


def test_initiate_call_begins_an_outbound_call_and_names_the_sip_call_id(
    operator: Client, telephony: Client, sip: SIPConfiguration
) -> None:
    answer = send(operator, "POST", "call-logs/initiate_call/", {"recipient_number": "+1234567890"})
    call = answer.json()
    assert answer.status_code == 201
    assert (call["status"], call["direction"], call["call_type"]) == ("initiated", "outbound", "voice")
    assert (call["caller_number"], call["recipient_number"]) == ("+12025550100", "+1234567890")
    assert call["sip_configuration"] == sip.pk
    assert call["sip_call_id"]
    assert call["handled_by_name"] == call["events"][0]["user_name"]
    # Its webhooks, with whatever numbers, join it and leave it outbound.
    told(
        telephony,
        sip_report("call_initiated", sip_call_id=call["sip_call_id"], metadata={"direction": "inbound"}),
        sip_report("call_busy", 5, sip_call_id=call["sip_call_id"]),
    )
    assert Call.objects.count() == 1
    shown = send(operator, "GET", f"call-logs/{call['id']}/").json()
    assert (shown["id"], shown["sip_configuration"]) == (call["id"], sip.pk)


def test_initiate_call_uses_the_configuration_that_is_named(operator: Client, sip: SIPConfiguration) -> None:
    other = SIPConfiguration.objects.create(name="Other", sip_server="x.example", caller_number="100")
    body = {"recipient_number": "alice", "call_type": "video", "sip_configuration": other.pk}
    call = send(operator, "POST", "call-logs/initiate_call/", body).json()
    assert (call["caller_number"], call["recipient_number"], call["call_type"]) == ("100", "alice", "video")
    assert call["sip_configuration"] == other.pk
    body["sip_configuration"] = None
    assert send(operator, "POST", "call-logs/initiate_call/", body).json()["sip_configuration"] == sip.pk


def test_initiate_call_needs_an_active_configuration(operator: Client) -> None:
    body: dict[str, Any] = {"recipient_number": "+1234567890"}
    assert refused(send(operator, "POST", "call-logs/initiate_call/", body), "SIP configuration")
    off = SIPConfiguration.objects.create(name="Off", sip_server="x", caller_number="100", is_active=False)
    body["sip_configuration"] = off.pk
    assert refused(send(operator, "POST", "call-logs/initiate_call/", body), "Off", "not active")
    assert not Call.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "recipient_number"),
        ({"recipient_number": ""}, "recipient_number"),
        ({"recipient_number": None}, "recipient_number"),
        ({"recipient_number": "x" * 256}, "recipient_number"),
        ({"recipient_number": ["+1234567890"]}, "recipient_number"),
        ({"recipient_number": "+1234567890", "call_type": "fax"}, "call_type"),
        ({"recipient_number": "+1234567890", "sip_configuration": 999}, "sip_configuration"),
        ({"recipient_number": "+1234567890", "sip_configuration": 10**30}, "sip_configuration"),
        ({"recipient_number": "+1234567890", "sip_configuration": True}, "sip_configuration"),
        ({"recipient_number": "+1234567890", "sip_configuration": {}}, "sip_configuration"),
        ({"recipient_number": "+12345\u000067890"}, "recipient_number"),
    ],
)
@pytest.mark.usefixtures("sip")
def test_initiate_call_names_bad_fields(operator: Client, body: dict[str, Any], field: str) -> None:
    answer = send(operator, "POST", "call-logs/initiate_call/", body)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not Call.objects.exists()


# -- log_incoming_call -----------------------------------------------------------------------------

INCOMING = {"caller_number": "+1234567890", "recipient_number": "+0987654321", "sip_call_id": "unique-sip-id"}


def test_log_incoming_call_makes_a_ringing_inbound_call_once(operator: Client) -> None:
    answer = send(operator, "POST", "call-logs/log_incoming_call/", INCOMING)
    call = answer.json()
    assert answer.status_code == 201
    assert (call["status"], call["direction"], call["sip_call_id"]) == ("ringing", "inbound", "unique-sip-id")
    assert call["recipient_number"] == "+0987654321"
    assert [event["event_type"] for event in call["events"]] == ["initiated", "ringing"]
    again = send(operator, "POST", "call-logs/log_incoming_call/", INCOMING)
    assert (again.status_code, again.json()["id"]) == (200, call["id"])
    assert CallEvent.objects.count() == 2


@pytest.mark.parametrize("words", [["call_initiated"], ["call_ringing"], ["call_answered"], ["call_ended"]])
def test_log_incoming_call_after_the_webhook_adds_nothing(
    operator: Client, telephony: Client, words: list[str]
) -> None:
    id = told(telephony, *[sip_report(word, sip_call_id="unique-sip-id") for word in words])
    answer = send(operator, "POST", "call-logs/log_incoming_call/", INCOMING)
    assert (answer.status_code, answer.json()["id"]) == (200, id)
    assert (Call.objects.count(), CallEvent.objects.count()) == (1, len(words))


def test_the_webhook_after_log_incoming_call_joins_the_call_and_is_no_anomaly(
    operator: Client, telephony: Client
) -> None:
    id = send(operator, "POST", "call-logs/log_incoming_call/", INCOMING).json()["id"]
    numbers = {"caller_number": "+1234567890", "recipient_number": "+0987654321", "sip_call_id": "unique-sip-id"}
    assert told(telephony, sip_report("call_initiated", **numbers), sip_report("call_ringing", 1, **numbers)) == id
    shown = send(operator, "GET", f"call-logs/{id}/").json()
    assert (shown["anomalies"], shown["started_at"]) == ([], "2024-04-01T12:00:00Z")


def test_log_incoming_call_without_an_id_makes_one(operator: Client) -> None:
    body = {"caller_number": "anonymous", "recipient_number": "100"}
    calls = [send(operator, "POST", "call-logs/log_incoming_call/", body).json() for _ in range(2)]
    assert len({call["sip_call_id"] for call in calls}) == 2
    assert calls[0]["caller_number"] == "anonymous"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"caller_number": ""}, "caller_number"),
        ({"recipient_number": " "}, "recipient_number"),
        ({"sip_call_id": ""}, "sip_call_id"),
        ({"sip_call_id": "  "}, "sip_call_id"),
        ({"sip_call_id": None}, "sip_call_id"),
        ({"sip_call_id": "x" * 256}, "sip_call_id"),
        ({"sip_call_id": "\x00"}, "sip_call_id"),
        ({"call_type": None}, "call_type"),
    ],
)
def test_log_incoming_call_names_bad_fields(operator: Client, change: dict[str, Any], field: str) -> None:
    answer = send(operator, "POST", "call-logs/log_incoming_call/", INCOMING | change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


# -- update_status ---------------------------------------------------------------------------------

REACHABLE = {
    "initiated": {"initiated": "initiated"},
    "ringing": {
        "ringing": "ringing", "answered": "answered", "missed": "missed", "busy": "busy", "no_answer": "no_answer",
        "failed": "failed", "cancelled": "cancelled", "ended": "cancelled",
    },
    "answered": {
        "answered": "answered", "on_hold": "on_hold", "recording": "recording", "transferred": "transferred",
        "ended": "ended", "failed": "ended",
    },
    "ended": {"ended": "ended"},
}  # fmt: skip
REACHABLE["initiated"] |= REACHABLE["ringing"]
STATUSES = [
    "initiated", "ringing", "answered", "missed", "busy", "no_answer", "failed", "cancelled", "transferred", "ended",
    "recording", "on_hold",
]  # fmt: skip
WAY = {
    "initiated": [("call_initiated", 0)],
    "ringing": [("call_initiated", 0), ("call_ringing", 1)],
    "answered": [("call_initiated", 0), ("call_ringing", 1), ("call_answered", 5)],
    "ended": [("call_initiated", 0), ("call_answered", 5), ("call_ended", 60)],
}


@pytest.mark.parametrize("present", list(WAY))
def test_update_status_reaches_exactly_what_can_be_reached(operator: Client, telephony: Client, present: str) -> None:
    for wanted in STATUSES:
        call = told(telephony, *[sip_report(word, second, sip_call_id=wanted) for word, second in WAY[present]])
        before = CallEvent.objects.filter(call=call).count()
        answer = change(operator, call, status=wanted)
        became = REACHABLE[present].get(wanted)
        if became is None:
            assert refused(answer), (present, wanted)
        else:
            assert (answer.status_code, answer.json().get("status")) == (200, became), (present, wanted, answer.json())
        added = CallEvent.objects.filter(call=call).count() - before
        assert added == (became is not None and wanted != present), (present, wanted)


def test_a_call_that_is_over_has_the_time_of_its_end_whatever_ended_it(operator: Client, telephony: Client) -> None:
    for wanted in ("busy", "no_answer", "missed", "cancelled", "failed"):
        call = told(telephony, sip_report("call_ringing", sip_call_id=wanted))
        shown = change(operator, call, status=wanted).json()
        assert (shown["status"], shown["ended_at"] is not None) == (wanted, True)
        assert shown["ring_seconds"] > 0


def test_update_status_answers_and_annotates_at_once_or_not_at_all(operator: Client, ringing: str) -> None:
    body = {"status": "answered", "notes": "Customer inquiry about billing", "call_quality_score": 4.5}
    shown = change(operator, ringing, **body).json()
    assert (shown["status"], shown["notes"], shown["call_quality_score"]) == ("answered", body["notes"], 4.5)
    assert shown["handled_by_name"] == shown["events"][-1]["user_name"]
    assert refused(change(operator, ringing, status="busy", notes="lost", call_quality_score=1))
    shown = send(operator, "GET", f"call-logs/{ringing}/").json()
    assert (shown["notes"], shown["call_quality_score"]) == (body["notes"], 4.5)


def test_notes_and_score_may_be_set_after_the_end_and_touch_nothing_else(operator: Client, ended: str) -> None:
    before = send(operator, "GET", f"call-logs/{ended}/").json()
    for body in (
        {"notes": " kept as it is \n"},
        {"call_quality_score": 0},
        {"call_quality_score": "5.0"},
        {"notes": ""},
    ):
        assert change(operator, ended, **body).status_code == 200
    after = send(operator, "GET", f"call-logs/{ended}/").json()
    assert (after["notes"], after["call_quality_score"]) == ("", 5.0)
    same = set(before) - {"notes", "call_quality_score", "updated_at"}
    assert {name: before[name] for name in same} == {name: after[name] for name in same}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "non_field_errors"),
        ([], "non_field_errors"),
        (None, "non_field_errors"),
        ({"status": "gone"}, "status"),
        ({"status": None}, "status"),
        ({"status": ["ended"]}, "status"),
        ({"call_quality_score": 5.1}, "call_quality_score"),
        ({"call_quality_score": -0.1}, "call_quality_score"),
        ({"call_quality_score": 4.55}, "call_quality_score"),
        ({"call_quality_score": "NaN"}, "call_quality_score"),
        ({"call_quality_score": 1e300}, "call_quality_score"),
        ({"notes": {"a": 1}}, "notes"),
        ({"transfer_to": "+1234567890"}, "transfer_to"),
        ({"transfer_to": "+1234567890", "status": "ended"}, "transfer_to"),
    ],
)
def test_update_status_names_bad_fields(operator: Client, answered: str, body: Any, field: str) -> None:
    answer = press(operator, answered, "update_status", "null" if body is None else body, method="PATCH")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert types(answered) == ["initiated", "ringing", "answered"]


def test_update_status_to_transferred_may_say_where(operator: Client, answered: str) -> None:
    shown = change(operator, answered, status="transferred", transfer_to="+12025550199").json()
    assert (shown["status"], shown["transferred_to"]) == ("transferred", "+12025550199")


def test_hold_hides_recording_and_recording_hides_answered(operator: Client, answered: str) -> None:
    steps = [
        ("recording", ["recording_started"]), ("on_hold", ["hold"]), ("recording", ["unhold"]), ("on_hold", ["hold"]),
        ("answered", ["unhold", "recording_stopped"]), ("on_hold", ["hold"]),
        ("recording", ["unhold", "recording_started"]), ("answered", ["recording_stopped"]),
    ]  # fmt: skip
    seen = len(types(answered))
    for status, added in steps:
        answer = change(operator, answered, status=status)
        assert (answer.status_code, answer.json()["status"]) == (200, status)
        assert types(answered)[seen:] == added
        seen += len(added)


def test_analysts_may_edit_notes_and_nothing_else(analyst: Client, answered: str) -> None:
    answer = change(analyst, answered, notes="seen")
    assert (answer.status_code, answer.json()["notes"]) == (200, "seen")
    for body in (
        {"status": "ended"},
        {"status": "answered"},
        {"call_quality_score": 1},
        {"notes": "x", "status": "ended"},
    ):
        answer = change(analyst, answered, **body)
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert send(analyst, "GET", f"call-logs/{answered}/").json()["notes"] == "seen"
    assert Call.objects.get().status == "answered"


# -- end_call --------------------------------------------------------------------------------------


def test_end_call_completes_an_answered_call(operator: Client, answered: str) -> None:
    shown = press(operator, answered, "end_call").json()
    assert (shown["status"], shown["cause"]) == ("ended", None)
    assert shown["duration"] > 0
    assert refused(press(operator, answered, "end_call"), "over")
    assert types(answered).count("ended") == 1


def test_end_call_before_the_answer_cancels_in_either_direction(operator: Client, telephony: Client) -> None:
    for way in ("inbound", "outbound"):
        call = told(telephony, sip_report(sip_call_id=way, metadata={"direction": way}))
        shown = press(operator, call, "end_call").json()
        assert (shown["status"], shown["duration"], shown["ended_at"] is not None) == ("cancelled", None, True)


def test_a_button_is_dated_after_everything_that_is_known(operator: Client, telephony: Client) -> None:
    call = told(telephony, sip_report("call_answered", timestamp="2099-01-01T00:00:00Z"))
    assert press(operator, call, "toggle_hold").json()["events"][-1]["occurred_at"] == "2099-01-01T00:00:00.000001Z"
    assert press(operator, call, "end_call").json()["ended_at"] == "2099-01-01T00:00:00.000002Z"


def test_buttons_take_a_call_of_the_first_specification_by_its_call_id(operator: Client, telephony: Client) -> None:
    for word, second in (("INITIATE", 0), ("ANSWER", 5)):
        body = report(call_id="part-a", event=word, created_at=f"2024-04-01T12:00:0{second}Z")
        telephony.post("/process-events/", body, content_type="application/json")
    answer = press(operator, "part-a", "end_call")
    assert (answer.status_code, answer.json()["status"]) == (200, "ended")


# -- add_event -------------------------------------------------------------------------------------

ALL_TYPES = [
    "initiated", "ringing", "answered", "transfer_initiated", "hold", "unhold", "muted", "unmuted", "recording_started",
    "recording_stopped", "dtmf", "quality_change", "error", "transfer_completed", "ended", "failed",
]  # fmt: skip
ADDABLE = {
    "initiated": {"ringing", "answered", "ended", "failed", "quality_change", "error"},
    "ringing": {"answered", "ended", "failed", "quality_change", "error"},
    "answered": set(ALL_TYPES) - {"initiated", "ringing", "answered", "unhold", "unmuted", "recording_stopped"},
    "ended": set[str](),
}


@pytest.mark.parametrize("present", list(WAY))
def test_add_event_takes_exactly_what_can_happen(operator: Client, telephony: Client, present: str) -> None:
    for kind in ALL_TYPES:
        call = told(telephony, *[sip_report(word, second, sip_call_id=kind) for word, second in WAY[present]])
        answer = press(operator, call, "add_event", {"event_type": kind})
        if kind in ADDABLE[present]:
            assert (answer.status_code, answer.json()["event_type"]) == (201, kind), (present, kind)
        else:
            assert refused(answer), (present, kind)


def test_add_event_answers_with_the_event_and_keeps_its_metadata(operator: Client, answered: str) -> None:
    body = {"event_type": "muted", "metadata": {"reason": "background_noise"}}
    answer = press(operator, answered, "add_event", body)
    event = answer.json()
    assert set(event) == {
        "id", "event_id", "event_type", "occurred_at", "received_at", "source", "metadata", "user", "user_name",
    }  # fmt: skip
    assert (event["metadata"], event["source"]) == ({"reason": "background_noise"}, "api")
    assert event["user"] == User.objects.get(username=event["user_name"]).pk
    assert refused(press(operator, answered, "add_event", body))
    body = {"event_type": "dtmf", "metadata": {"digit": "5"}}
    assert [press(operator, answered, "add_event", body).status_code for _ in range(2)] == [201, 201]


def test_add_event_reads_the_cause_and_the_target_from_the_metadata(operator: Client, telephony: Client) -> None:
    for cause, status in (({"cause": "busy"}, "busy"), ({"sip_code": 480}, "no_answer"), ({"q850": 21}, "failed")):
        call = told(telephony, sip_report("call_ringing", sip_call_id=status))
        press(operator, call, "add_event", {"event_type": "ended", "metadata": cause})
        assert Call.objects.get(pk=call).status == status
    call = told(telephony, sip_report("call_answered", sip_call_id="t"))
    press(operator, call, "add_event", {"event_type": "transfer_completed", "metadata": {"transfer_to": "200"}})
    shown = send(operator, "GET", f"call-logs/{call}/").json()
    assert (shown["status"], shown["transferred_to"]) == ("transferred", "200")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "event_type"),
        ({"event_type": "call_answered"}, "event_type"),
        ({"event_type": "muted", "metadata": "loud"}, "metadata"),
        ({"event_type": "muted", "metadata": ["loud"]}, "metadata"),
        ({"event_type": "muted", "metadata": {"a": "\x00"}}, "metadata"),
    ],
)
def test_add_event_names_bad_fields(operator: Client, answered: str, body: Any, field: str) -> None:
    answer = press(operator, answered, "add_event", body)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


def test_odd_metadata_is_kept_and_harms_nothing(operator: Client, answered: str) -> None:
    for target in (5, None, "", "x" * 256, {"a": 1}):
        body = {"event_type": "transfer_initiated", "metadata": {"transfer_to": target}}
        answer = press(operator, answered, "add_event", body)
        assert (answer.status_code, answer.json()["metadata"]) == (201, {"transfer_to": target})


# -- Recording -------------------------------------------------------------------------------------


def test_recording_is_started_and_stopped_several_times(operator: Client, answered: str) -> None:
    ids = []
    for _ in range(2):
        answer = press(operator, answered, "start_recording")
        assert (answer.status_code, answer.json()["status"], answer.json()["call"]) == (201, "recording", answered)
        assert Call.objects.get().status == "recording"
        assert refused(press(operator, answered, "start_recording"), "already")
        stopped = press(operator, answered, "stop_recording")
        assert (stopped.status_code, stopped.json()["status"]) == (200, "processing")
        assert stopped.json()["id"] == answer.json()["id"]
        assert Call.objects.get().status == "answered"
        assert refused(press(operator, answered, "stop_recording"), "not being recorded")
        ids.append(answer.json()["id"])
    shown = send(operator, "GET", f"call-logs/{answered}/").json()
    assert [recording["id"] for recording in shown["recordings"]] == ids[::-1]
    assert shown["recording"]["id"] == ids[-1]


def test_a_call_on_hold_may_be_recorded_and_a_recorded_call_held_or_transferred(
    operator: Client, telephony: Client, answered: str
) -> None:
    press(operator, answered, "toggle_hold")
    assert press(operator, answered, "start_recording").status_code == 201
    assert Call.objects.get().status == "on_hold"
    assert press(operator, answered, "toggle_hold").json()["status"] == "recording"
    assert press(operator, answered, "toggle_hold").json()["status"] == "on_hold"
    assert press(operator, answered, "transfer_call", {"transfer_to": "100"}).json()["status"] == "transferred"


def test_recording_needs_an_answer_and_ends_with_the_call(operator: Client, ringing: str) -> None:
    assert refused(press(operator, ringing, "start_recording"), "not answered")
    change(operator, ringing, status="answered")
    press(operator, ringing, "start_recording")
    press(operator, ringing, "end_call")
    assert refused(press(operator, ringing, "stop_recording"), "over")
    assert refused(press(operator, ringing, "start_recording"), "over")
    assert Call.objects.get().status == "ended"
    assert CallRecording.objects.count() == 1


@pytest.mark.parametrize("by", ["webhook", "add_event", "update_status"])
def test_stopping_what_only_an_event_began_gives_a_recording(
    operator: Client, telephony: Client, answered: str, by: str
) -> None:
    press(operator, answered, "start_recording")
    first = press(operator, answered, "stop_recording").json()["id"]
    if by == "webhook":
        told(telephony, sip_report("recording_started", timestamp="2099-01-01T00:00:00Z"))
    elif by == "add_event":
        press(operator, answered, "add_event", {"event_type": "recording_started"})
    else:
        change(operator, answered, status="recording")
    answer = press(operator, answered, "stop_recording")
    assert (answer.status_code, answer.json()["status"]) == (200, "processing")
    assert answer.json()["id"] not in (None, first)


def test_stopping_does_not_move_back_what_the_recorder_has_completed(
    operator: Client, telephony: Client, answered: str
) -> None:
    id = press(operator, answered, "start_recording").json()["id"]
    body = {"call_id": answered, "status": "completed", "file_url": "https://recordings.example.com/1.wav"}
    assert send(telephony, "POST", "webhooks/recording/", body).json()["recording_id"] == id
    answer = press(operator, answered, "stop_recording")
    assert (answer.status_code, answer.json()["id"], answer.json()["status"]) == (200, id, "completed")
    assert CallRecording.objects.count() == 1


# -- Transfer and hold -----------------------------------------------------------------------------


@pytest.mark.parametrize("before", [[], ["toggle_hold"], ["start_recording"], ["start_recording", "toggle_hold"]])
def test_transfer_ends_this_leg_whether_held_or_recorded(operator: Client, answered: str, before: list[str]) -> None:
    for button in before:
        press(operator, answered, button)
    answer = press(operator, answered, "transfer_call", {"transfer_to": "+1234567890"})
    shown = answer.json()
    assert (answer.status_code, shown["status"], shown["transferred_to"]) == (200, "transferred", "+1234567890")
    assert types(answered)[-2:] == ["transfer_initiated", "transfer_completed"]
    assert shown["duration"] == shown["talk_seconds"] + 5
    assert refused(press(operator, answered, "transfer_call", {"transfer_to": "100"}), "transferred")


@pytest.mark.parametrize("body", [{}, {"transfer_to": ""}, {"transfer_to": None}, {"transfer_to": "x" * 256}])
def test_transfer_needs_to_know_where(operator: Client, answered: str, body: Any) -> None:
    answer = press(operator, answered, "transfer_call", body)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["transfer_to"])


def test_toggle_hold_holds_and_goes_on(operator: Client, answered: str) -> None:
    assert [press(operator, answered, "toggle_hold").json()["status"] for _ in range(3)] == [
        "on_hold", "answered", "on_hold",
    ]  # fmt: skip
    ended = press(operator, answered, "end_call").json()
    assert ended["status"] == "ended"
    assert ended["hold_seconds"] is not None


def test_hold_and_transfer_need_an_answer_and_no_end(operator: Client, ringing: str) -> None:
    for _ in range(2):
        for button, body in (("toggle_hold", None), ("transfer_call", {"transfer_to": "100"})):
            assert refused(press(operator, ringing, button, body))
        if not Call.objects.get().ended_at:
            press(operator, ringing, "end_call")


def test_a_late_ringing_reopens_nothing(operator: Client, telephony: Client, ended: str) -> None:
    told(telephony, sip_report("call_ringing", 120), sip_report("call_initiated", 130))
    assert Call.objects.get().status == "ended"
    for button in ("end_call", "toggle_hold", "start_recording"):
        assert refused(press(operator, ended, button), "over")


# -- Idempotency-Key -------------------------------------------------------------------------------


def test_the_same_key_and_body_get_the_stored_answer(operator: Client, answered: str) -> None:
    first = press(operator, answered, "toggle_hold", **{"Idempotency-Key": "k"})
    again = press(operator, answered, "toggle_hold", **{"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (200, first.json())
    assert types(answered).count("hold") == 1
    assert press(operator, answered, "toggle_hold", **{"Idempotency-Key": "l"}).json()["status"] == "answered"


@pytest.mark.usefixtures("sip")
def test_a_retried_initiate_call_makes_one_call(operator: Client) -> None:
    body = {"recipient_number": "+1234567890", "call_type": "voice"}
    headers = {"Idempotency-Key": "once"}
    first = send(operator, "POST", "call-logs/initiate_call/", body, **headers)
    spelled = '{"call_type": "voice",   "recipient_number": "+1234567890"}'
    again = send(operator, "POST", "call-logs/initiate_call/", spelled, **headers)
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert Call.objects.count() == 1


def test_a_refusal_is_stored_too(operator: Client, ringing: str) -> None:
    first = press(operator, ringing, "toggle_hold", **{"Idempotency-Key": "k"})
    change(operator, ringing, status="answered")
    again = press(operator, ringing, "toggle_hold", **{"Idempotency-Key": "k"})
    assert refused(again)
    assert again.json() == first.json()


def test_a_refused_create_is_stored_too(operator: Client) -> None:
    body = {"caller_number": CALLER, "recipient_number": CALLEE, "direction": "inbound", "sip_call_id": "x"}
    send(operator, "POST", "call-logs/", body)
    first = send(operator, "POST", "call-logs/", body, **{"Idempotency-Key": "k"})
    assert (first.status_code, first.json()["code"]) == (409, "conflict")
    assert IdempotentRequest.objects.get().status == 409
    assert send(operator, "POST", "call-logs/", body, **{"Idempotency-Key": "k"}).json() == first.json()


def test_the_same_key_with_another_body_is_a_conflict(operator: Client, answered: str) -> None:
    key = {"Idempotency-Key": "k"}
    press(operator, answered, "add_event", {"event_type": "dtmf", "metadata": {"digit": "1"}}, **key)
    answer = press(operator, answered, "add_event", {"event_type": "dtmf", "metadata": {"digit": "2"}}, **key)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")
    assert types(answered).count("dtmf") == 1


def test_a_key_belongs_to_one_user_and_one_path(operator: Client, telephony: Client, answered: str) -> None:
    key = {"Idempotency-Key": "k"}
    body = {"event_type": "dtmf"}
    other = told(telephony, sip_report("call_answered", sip_call_id="other"))
    for client, call in ((operator, answered), (operator, other), (sign_in("Operators"), answered)):
        assert press(client, call, "add_event", body, **key).status_code == 201
    assert CallEvent.objects.filter(type="dtmf").count() == 3


def test_a_key_is_forgotten_after_a_day_and_not_before(operator: Client, answered: str) -> None:
    now = timezone.now()
    for after, events in ((timedelta(), 1), (timedelta(hours=23, minutes=59), 1), (timedelta(hours=24, seconds=1), 2)):
        with patch("calls.api.buttons.timezone.now", return_value=now + after):
            press(operator, answered, "add_event", {"event_type": "dtmf"}, **{"Idempotency-Key": "k"})
        assert types(answered).count("dtmf") == events


def test_a_bad_request_is_not_stored(operator: Client, answered: str) -> None:
    key = {"Idempotency-Key": "k"}
    assert press(operator, answered, "transfer_call", {}, **key).status_code == 400
    assert press(operator, "nothing", "transfer_call", {"transfer_to": "100"}, **key).status_code == 404
    assert not IdempotentRequest.objects.exists()
    assert press(operator, answered, "transfer_call", {"transfer_to": "100"}, **key).status_code == 200


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\x00b"])
def test_a_key_must_be_a_key(operator: Client, answered: str, key: str) -> None:
    answer = press(operator, answered, "toggle_hold", **{"Idempotency-Key": key})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["Idempotency-Key"])
    assert types(answered)[-1] == "answered"


def together(*acts: Any) -> list[Any]:
    """Do several things at once in threads with connections of their own, and return what they gave."""
    gate, results = threading.Barrier(len(acts)), [None] * len(acts)

    def run(place: int, act: Any) -> None:
        try:
            gate.wait()
            results[place] = act()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place, act)) for place, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("groups")
def test_of_several_that_press_at_once_with_one_key_only_one_acts() -> None:
    operator = sign_in("Operators")
    call = told(sign_in("Telephony systems"), sip_report("call_answered"))

    def act() -> Any:
        return press(operator, call, "toggle_hold", **{"Idempotency-Key": "k"})

    answers = together(*[act] * 4)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert 200 in {answer.status_code for answer in answers}
    assert types(call).count("hold") == 1


def wait_until_one_is_at_it(request: "Future[Any]") -> None:
    """Wait until a request with an Idempotency-Key has begun and waits for us."""
    for _ in range(400):
        if connection.vendor == "sqlite":
            begun = bool(idempotency._in_progress)
        else:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
                    " WHERE locktype = 'advisory' AND granted AND datname = current_database())"
                )
                [begun] = cursor.fetchone()
        if begun:
            return
        with suppress(TimeoutError):
            request.result(timeout=0.05)
    raise AssertionError("the first request did not begin")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("groups")
def test_while_the_first_request_with_a_key_has_no_answer_the_second_is_a_409() -> None:
    operator = sign_in("Operators")
    call = told(sign_in("Telephony systems"), sip_report("call_answered"))
    press(operator, call, "toggle_hold")  # the first request of a day also notes that the token was used

    def hold() -> Any:
        try:
            return press(operator, call, "toggle_hold", **{"Idempotency-Key": "k"})
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():  # somebody else has the call, so that the first request must wait
            Call.objects.select_for_update().get(pk=call)
            first = pool.submit(hold)
            wait_until_one_is_at_it(first)
            second = press(operator, call, "toggle_hold", **{"Idempotency-Key": "k"})
        assert (second.status_code, second.json()["code"]) == (409, "idempotency_key_in_progress")
        assert first.result().status_code == 200
    again = press(operator, call, "toggle_hold", **{"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (200, first.result().json())
    assert types(call).count("unhold") == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("groups")
def test_of_several_that_end_a_call_at_once_one_succeeds() -> None:
    operator = sign_in("Operators")
    call = told(sign_in("Telephony systems"), sip_report("call_answered"))
    answers = together(*[lambda: press(operator, call, "end_call")] * 4)
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("groups")
def test_of_several_that_log_an_incoming_call_at_once_one_makes_it() -> None:
    operator = sign_in("Operators")
    answers = together(*[lambda: send(operator, "POST", "call-logs/log_incoming_call/", INCOMING)] * 4)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert (Call.objects.count(), CallEvent.objects.count()) == (1, 2)
