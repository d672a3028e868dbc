"""The second specification's two flows with its own example bodies, also with webhooks out of order and twice."""

import random
from typing import Any

import pytest
from django.test import Client

from calls.models import Call, CallEvent, SIPConfiguration
from calls.operations.sip import set_default
from tests.build import sign_in

pytestmark = pytest.mark.django_db
CALLS = "/api/call-logs/"


@pytest.fixture
def operator(db: None) -> Client:
    return sign_in("Operators")


@pytest.fixture
def sip(db: None) -> SIPConfiguration:
    configuration = SIPConfiguration.objects.create(
        name="Main", sip_server="sip.example.com", caller_number="+12025550100"
    )
    return set_default(configuration)


def press(client: Client, path: str, body: Any = None, *, method: str = "post", **headers: str) -> Any:
    send = getattr(client, method)
    return send(f"{CALLS}{path}", body if body is not None else {}, content_type="application/json", headers=headers)


def webhook(client: Client, event_type: str, sip_call_id: str, timestamp: str, **metadata: Any) -> Any:
    """Send the specification's webhook body, with its numbers."""
    body = {
        "event_type": event_type,
        "sip_call_id": sip_call_id,
        "caller_number": "+1234567890",
        "recipient_number": "+0987654321",
        "timestamp": timestamp,
        "metadata": {"server": "sip1.example.com", "codec": "G.711", **metadata},
    }
    return client.post("/api/webhooks/sip/", body, content_type="application/json")


@pytest.mark.usefixtures("sip")
def test_the_outbound_flow(operator: Client, telephony: Client) -> None:
    answer = press(operator, "initiate_call/", {"recipient_number": "+1234567890", "call_type": "voice"})
    assert answer.status_code == 201
    call = answer.json()
    assert (call["status"], call["direction"], call["caller_number"]) == ("initiated", "outbound", "+12025550100")

    id, sip_call_id = call["id"], call["sip_call_id"]
    assert webhook(telephony, "call_ringing", sip_call_id, "2099-07-26T10:29:50Z").json()["status"] == "ringing"
    said = webhook(telephony, "call_answered", sip_call_id, "2099-07-26T10:30:00Z").json()
    assert said == {"message": "The event was recorded.", "call_id": id, "status": "answered"}

    answer = press(operator, f"{id}/start_recording/")
    assert (answer.status_code, answer.json()["status"]) == (201, "recording")
    answer = press(operator, f"{id}/add_event/", {"event_type": "muted", "metadata": {"reason": "background_noise"}})
    assert (answer.status_code, answer.json()["metadata"]) == (201, {"reason": "background_noise"})
    answer = press(operator, f"{id}/end_call/")
    assert (answer.status_code, answer.json()["status"]) == (200, "ended")
    assert [event["event_type"] for event in answer.json()["events"]] == [
        "initiated", "ringing", "answered", "recording_started", "muted", "ended",
    ]  # fmt: skip
    assert Call.objects.count() == 1
    assert answer.json()["handled_by_name"]


def test_the_inbound_flow(operator: Client, telephony: Client) -> None:
    made = webhook(telephony, "call_initiated", "unique-sip-id", "2025-07-26T10:29:50Z").json()
    logged = press(
        operator,
        "log_incoming_call/",
        {"caller_number": "+1234567890", "recipient_number": "+0987654321", "sip_call_id": "unique-sip-id"},
    )
    assert (logged.status_code, logged.json()["id"]) == (200, made["call_id"])
    id = logged.json()["id"]
    body = {"status": "answered", "notes": "Customer inquiry about billing", "call_quality_score": 4.5}
    answer = press(operator, f"{id}/update_status/", body, method="patch")
    assert (answer.status_code, answer.json()["status"]) == (200, "answered")
    assert (answer.json()["notes"], answer.json()["call_quality_score"]) == ("Customer inquiry about billing", 4.5)
    assert press(operator, f"{id}/start_recording/").status_code == 201
    ended = press(operator, f"{id}/end_call/").json()
    assert (ended["status"], ended["recipient_number"]) == ("ended", "+0987654321")
    assert Call.objects.count() == 1

    report = {
        "call_id": id,
        "status": "completed",
        "file_url": "https://recordings.example.com/call123.wav",
        "file_size": 2048576,
        "duration": 185,
        "format": "wav",
    }
    said = telephony.post("/api/webhooks/recording/", report, content_type="application/json")
    assert (said.status_code, said.json()["status"]) == (200, "completed")
    shown = operator.get(f"{CALLS}{id}/").json()
    assert [recording["id"] for recording in shown["recordings"]] == [said.json()["recording_id"]]
    assert shown["recording"]["duration"] == 185


@pytest.mark.parametrize("seed", range(6))
def test_webhooks_in_the_worst_order_and_twice_make_the_same_call(
    telephony: Client, analyst: Client, seed: int
) -> None:
    events = [
        ("call_initiated", "2025-07-26T10:29:50Z", {"direction": "inbound"}),
        ("call_ringing", "2025-07-26T10:29:52Z", {}),
        ("call_answered", "2025-07-26T10:30:00Z", {}),
        ("call_hold", "2025-07-26T10:30:30Z", {}),
        ("call_unhold", "2025-07-26T10:30:40Z", {}),
        ("call_ended", "2025-07-26T10:33:05Z", {"q850": 16}),
    ]
    deliveries = events * 2
    random.Random(seed).shuffle(deliveries)
    for name, timestamp, metadata in deliveries:
        assert webhook(telephony, name, "x", timestamp, **metadata).status_code == 200
    call = analyst.get(f"{CALLS}x/").json()
    assert CallEvent.objects.count() == 6
    facets = ["status", "direction", "duration", "ring_seconds", "talk_seconds", "hold_seconds", "anomalies", "cause"]
    assert [call[name] for name in facets] == ["ended", "inbound", 195, 8, 185, 10, [], "q850:16"]
    assert [call["started_at"], call["ended_at"]] == ["2025-07-26T10:29:50Z", "2025-07-26T10:33:05Z"]


def test_a_call_that_rings_out_is_over_with_a_time(telephony: Client, analyst: Client) -> None:
    for word, status in [("call_busy", "busy"), ("call_no_answer", "no_answer"), ("call_cancelled", "cancelled")]:
        webhook(telephony, "call_initiated", word, "2025-07-26T10:29:50Z")
        webhook(telephony, word, word, "2025-07-26T10:30:00Z")
        webhook(telephony, "call_ringing", word, "2025-07-26T10:29:55Z")
        call = analyst.get(f"{CALLS}{word}/").json()
        assert (call["status"], call["ended_at"], call["ring_seconds"]) == (status, "2025-07-26T10:30:00Z", 5)


def test_two_key_presses_are_two_events_and_a_retry_is_none(telephony: Client) -> None:
    webhook(telephony, "call_answered", "x", "2025-07-26T10:30:00Z")
    for digit in ("1", "2", "2"):
        webhook(telephony, "dtmf", "x", "2025-07-26T10:30:05Z", digit=digit)
    assert CallEvent.objects.filter(type="dtmf").count() == 2
