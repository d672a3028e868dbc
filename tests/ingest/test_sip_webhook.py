"""`POST /api/webhooks/sip/`: every word, what is believed, what is recognised, and what is refused."""

import itertools
import json
from typing import Any

import pytest
from django.test import Client

from calls.domain.events import call_uuid
from calls.models import Call, CallEvent
from tests.build import CALLER, report, send, sip_report, told

pytestmark = pytest.mark.django_db
PATH = "webhooks/sip/"

WORDS = {
    "call_initiated": ("initiated", None, "initiated"),
    "call_ringing": ("ringing", None, "ringing"),
    "call_answered": ("answered", None, "answered"),
    "call_hold": ("hold", None, "on_hold"),
    "call_unhold": ("unhold", None, "initiated"),
    "call_transfer_initiated": ("transfer_initiated", None, "initiated"),
    "call_transferred": ("transfer_completed", None, "transferred"),
    "call_ended": ("ended", None, "missed"),
    "call_busy": ("ended", "busy", "busy"),
    "call_no_answer": ("ended", "no_answer", "no_answer"),
    "call_cancelled": ("ended", "cancelled", "cancelled"),
    "call_missed": ("ended", "missed", "missed"),
    "call_failed": ("failed", None, "failed"),
    "initiated": ("initiated", None, "initiated"),
    "ringing": ("ringing", None, "ringing"),
    "answered": ("answered", None, "answered"),
    "hold": ("hold", None, "on_hold"),
    "unhold": ("unhold", None, "initiated"),
    "muted": ("muted", None, "initiated"),
    "unmuted": ("unmuted", None, "initiated"),
    "dtmf": ("dtmf", None, "initiated"),
    "quality_change": ("quality_change", None, "initiated"),
    "error": ("error", None, "initiated"),
    "transfer_initiated": ("transfer_initiated", None, "initiated"),
    "transfer_completed": ("transfer_completed", None, "transferred"),
    "recording_started": ("recording_started", None, "recording"),
    "recording_stopped": ("recording_stopped", None, "initiated"),
    "ended": ("ended", None, "missed"),
    "failed": ("failed", None, "failed"),
}


@pytest.mark.parametrize("word", list(WORDS))
def test_every_word_makes_its_event_and_an_unknown_call(telephony: Client, word: str) -> None:
    kind, cause, status = WORDS[word]
    answer = send(telephony, "POST", PATH, sip_report(word))
    assert (answer.status_code, answer.json()) == (
        200,
        {"message": "The event was recorded.", "call_id": str(call_uuid("call-1")), "status": status},
    )
    event = CallEvent.objects.get()
    assert (event.type, event.word, event.cause, event.source) == (kind, word, cause, "sip")


def test_an_unknown_word_is_refused_with_the_list_of_the_known(telephony: Client) -> None:
    for word in ("call_exploded", "CALL_ANSWERED", "INITIATE", " ringing"):
        answer = send(telephony, "POST", PATH, sip_report(word))
        assert (answer.status_code, list(answer.json()["errors"])) == (400, ["event_type"])
        assert all(known in answer.json()["errors"]["event_type"][0] for known in WORDS)
    assert not Call.objects.exists()


def test_the_timestamp_is_believed(telephony: Client, analyst: Client) -> None:
    id = told(telephony, sip_report("call_answered", timestamp="2020-02-03T04:05:06.5+02:00"))
    shown = send(analyst, "GET", f"call-logs/{id}/").json()
    assert shown["answered_at"] == shown["events"][0]["occurred_at"] == "2020-02-03T02:05:06.500000Z"
    assert shown["events"][0]["received_at"] > "2024"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event_type": None}, "event_type"),
        ({"event_type": 5}, "event_type"),
        ({"sip_call_id": ""}, "sip_call_id"),
        ({"sip_call_id": "  "}, "sip_call_id"),
        ({"sip_call_id": "x" * 256}, "sip_call_id"),
        ({"sip_call_id": None}, "sip_call_id"),
        ({"caller_number": ["+1"]}, "caller_number"),
        ({"caller_number": "x" * 256}, "caller_number"),
        ({"recipient_number": True}, "recipient_number"),
        ({"timestamp": None}, "timestamp"),
        ({"timestamp": ""}, "timestamp"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2025-07-26"}, "timestamp"),
        ({"timestamp": 1753525800}, "timestamp"),
        ({"timestamp": "2100-01-01T00:00:00Z"}, "timestamp"),
        ({"metadata": []}, "metadata"),
        ({"metadata": "codec"}, "metadata"),
        ({"metadata": {"a": "\x00"}}, "metadata"),
        ({"event_id": ""}, "event_id"),
        ({"event_id": {}}, "event_id"),
    ],
)
def test_a_bad_field_is_refused_by_name(telephony: Client, change: dict[str, Any], field: str) -> None:
    answer = send(telephony, "POST", PATH, sip_report() | change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not Call.objects.exists()


@pytest.mark.parametrize("field", ["event_type", "sip_call_id", "timestamp"])
def test_three_fields_are_required_and_the_timestamp_is_one(telephony: Client, field: str) -> None:
    body = sip_report()
    del body[field]
    assert list(send(telephony, "POST", PATH, body).json()["errors"]) == [field]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"5", b"\xff", b'{"a": NaN}', b"[" * 30_000])
def test_what_is_no_json_object_is_a_400(telephony: Client, body: bytes) -> None:
    answer = telephony.post("/api/webhooks/sip/", body, "application/json", CONTENT_TYPE="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


def test_only_json_comes_in_and_at_most_64_kib(telephony: Client) -> None:
    form = telephony.post("/api/webhooks/sip/", sip_report())
    assert form.status_code == 415
    large = json.dumps(sip_report(metadata={"x": "y" * 65_536}))
    assert telephony.post("/api/webhooks/sip/", large, content_type="application/json").status_code == 413
    assert telephony.post("/api/webhooks/sip", sip_report(), content_type="application/json").status_code == 200


# -- What is recognised ------------------------------------------------------------------------------


def test_a_retry_is_a_duplicate_for_ever_however_its_keys_are_ordered(telephony: Client) -> None:
    body = sip_report("call_answered", metadata={"server": "sip1", "codec": "G.711"})
    first = send(telephony, "POST", PATH, body).json()
    CallEvent.objects.update(received_at="2001-01-01T00:00:00Z")
    turned = {name: body[name] for name in reversed(body)} | {"metadata": {"codec": "G.711", "server": "sip1"}}
    for again in (body, turned, json.dumps(body, indent=3)):
        answer = send(telephony, "POST", PATH, again).json()
        assert answer == first | {"message": "This event was known already."}
    assert (CallEvent.objects.count(), Call.objects.get().anomalies) == (1, 1)  # no_start


def test_the_metadata_tells_two_events_apart(telephony: Client) -> None:
    for digit in ("1", "2", "2"):
        told(telephony, sip_report("dtmf", metadata={"digit": digit}))
    assert CallEvent.objects.count() == 2


def test_an_event_id_tells_two_events_apart_and_recognises_one(telephony: Client) -> None:
    for event_id in ("a", "b", "b"):
        told(telephony, sip_report("dtmf", event_id=event_id))
    assert sorted(CallEvent.objects.values_list("event_id", flat=True)) == ["a", "b"]
    told(telephony, sip_report("dtmf", event_id=7))
    assert CallEvent.objects.filter(event_id="7").exists()


def test_an_event_id_that_said_something_else_is_a_conflict(telephony: Client) -> None:
    told(telephony, sip_report("call_answered", event_id="a"))
    for other in (sip_report("call_ended", event_id="a"), sip_report("call_answered", 1, event_id="a")):
        answer = send(telephony, "POST", PATH, other)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert Call.objects.get().status == "answered"


def test_event_ids_of_the_two_specifications_do_not_meet_but_call_ids_do(telephony: Client) -> None:
    telephony.post("/process-events/", report(event_id="a", call_id="c"), content_type="application/json")
    told(telephony, sip_report("call_answered", 5, event_id="a", sip_call_id="c"))
    assert (Call.objects.count(), CallEvent.objects.count()) == (1, 2)
    assert Call.objects.get().status == "answered"


# -- What a body says --------------------------------------------------------------------------------


def test_what_nobody_knows_is_kept_with_the_metadata(telephony: Client) -> None:
    told(telephony, sip_report(metadata={"server": "sip1"}, trunk="A", user_agent={"name": "x"}))
    assert CallEvent.objects.get().metadata == {"server": "sip1", "trunk": "A", "user_agent": {"name": "x"}}


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ("+0987654321", "+0987654321"),
        ("+1 (234) 567-890", "+1234567890"),
        ("tel:+1-234-567-890", "+1234567890"),
        ("sip:+1234567890@example.com;user=phone", "+1234567890"),
        ("sip:alice@example.com", "sip:alice@example.com"),
        ("anonymous", "anonymous"),
        ("100", "100"),
        (100, "100"),
        ("", ""),
        (None, ""),
    ],
)
def test_any_address_is_kept_as_sent_and_found_by_its_e164_form(
    telephony: Client, analyst: Client, sent: Any, found: str
) -> None:
    id = told(telephony, sip_report(caller_number=sent))
    assert Call.objects.get().calling_number == found
    assert send(analyst, "GET", f"call-logs/{id}/").json()["caller_number"] == ("" if sent is None else str(sent))


def test_numbers_may_be_missing_and_come_later(telephony: Client) -> None:
    body = sip_report("call_ringing", 1)
    del body["caller_number"], body["recipient_number"]
    told(telephony, body, sip_report("call_answered", 2))
    assert (Call.objects.get().calling_number, Call.objects.get().anomalies) == (CALLER, 1)


@pytest.mark.parametrize(
    ("said", "direction"),
    [
        ("inbound", "inbound"),
        ("outbound", "outbound"),
        (" Inbound ", "inbound"),
        ("unknown", "unknown"),
        ("sideways", "unknown"),
        (5, "unknown"),
        (None, "unknown"),
        (["inbound"], "unknown"),
    ],
)
def test_the_direction_comes_from_the_metadata(telephony: Client, said: Any, direction: str) -> None:
    told(telephony, sip_report(metadata={"direction": said}))
    assert Call.objects.get().direction == direction


def test_the_first_stated_direction_stays_in_whatever_order_it_comes(telephony: Client) -> None:
    reports = [
        sip_report("call_initiated"),
        sip_report("call_ringing", 1, metadata={"direction": "inbound"}),
        sip_report("call_answered", 2, metadata={"direction": "outbound"}),
    ]
    for number, order in enumerate(itertools.permutations(reports)):
        told(telephony, *[body | {"sip_call_id": f"c{number}"} for body in order])
    assert set(Call.objects.values_list("direction", flat=True)) == {"inbound"}


def test_own_numbers_tell_the_direction_unless_it_is_stated(telephony: Client, settings: Any) -> None:
    settings.OWN_NUMBERS = [CALLER]
    told(telephony, sip_report(sip_call_id="ours"))
    told(telephony, sip_report(sip_call_id="said", metadata={"direction": "inbound"}))
    assert Call.objects.get(external_id="ours").direction == "outbound"
    assert Call.objects.get(external_id="said").direction == "inbound"


@pytest.mark.parametrize(("said", "kind"), [("video", "video"), ("Conference", "conference"), ("fax", "voice")])
def test_the_type_of_call_comes_from_the_metadata(telephony: Client, said: str, kind: str) -> None:
    told(telephony, sip_report(metadata={"call_type": said}))
    assert Call.objects.get().call_type == kind


@pytest.mark.parametrize(
    ("word", "metadata", "inbound", "outbound"),
    [
        ("call_ended", {}, "missed", "no_answer"),
        ("call_ended", {"cause": "busy"}, "busy", "busy"),
        ("call_ended", {"cause": "no_answer"}, "no_answer", "no_answer"),
        ("call_ended", {"cause": 16}, "missed", "cancelled"),
        ("call_ended", {"q850": 16}, "missed", "cancelled"),
        ("call_ended", {"q850": "17"}, "busy", "busy"),
        ("call_ended", {"q850": 18}, "no_answer", "no_answer"),
        ("call_ended", {"q850": 19}, "no_answer", "no_answer"),
        ("call_ended", {"q850": 21}, "failed", "failed"),
        ("call_ended", {"q850": 3}, "failed", "failed"),
        ("call_ended", {"sip_code": 487}, "missed", "cancelled"),
        ("call_ended", {"cause": "CANCEL"}, "missed", "cancelled"),
        ("call_ended", {"cause": "bye"}, "missed", "cancelled"),
        ("call_ended", {"sip_code": 486}, "busy", "busy"),
        ("call_ended", {"sip_code": "486 Busy Here"}, "busy", "busy"),
        ("call_ended", {"sip_code": 600}, "busy", "busy"),
        ("call_ended", {"sip_code": 408}, "no_answer", "no_answer"),
        ("call_ended", {"sip_code": 480}, "no_answer", "no_answer"),
        ("call_ended", {"sip_code": 603}, "failed", "failed"),
        ("call_ended", {"sip_code": 403}, "failed", "failed"),
        ("call_ended", {"cause": 503}, "failed", "failed"),
        ("call_ended", {"sip_code": 486, "q850": 19}, "no_answer", "no_answer"),
        ("call_ended", {"cause": "gremlins"}, "missed", "no_answer"),
        ("call_ended", {"cause": "ended"}, "missed", "no_answer"),
        ("call_busy", {"q850": 19}, "busy", "busy"),
        ("call_cancelled", {}, "cancelled", "cancelled"),
        ("call_failed", {}, "failed", "failed"),
        ("call_failed", {"sip_code": 486}, "busy", "busy"),
    ],
)
def test_an_unanswered_end_takes_its_word_from_its_cause(
    telephony: Client, word: str, metadata: dict[str, Any], inbound: str, outbound: str
) -> None:
    for way, status in (("inbound", inbound), ("outbound", outbound)):
        told(
            telephony,
            sip_report(sip_call_id=way, metadata={"direction": way}),
            sip_report(word, 9, sip_call_id=way, metadata=metadata),
        )
        call = Call.objects.get(external_id=way)
        assert (call.status, call.ended_at is not None) == (status, True)


def test_an_answered_call_ends_as_ended_whatever_the_cause_and_keeps_it(telephony: Client, analyst: Client) -> None:
    for cause in ("call_busy", "call_failed", "call_missed"):
        id = told(telephony, sip_report("call_answered", sip_call_id=cause), sip_report(cause, 9, sip_call_id=cause))
        assert send(analyst, "GET", f"call-logs/{id}/").json()["status"] == "ended"
    assert Call.objects.get(external_id="call_busy").cause == "busy"


@pytest.mark.parametrize("name", ["transfer_to", "transferred_to", "refer_to"])
def test_a_transfer_says_where(telephony: Client, analyst: Client, name: str) -> None:
    id = told(
        telephony,
        sip_report("call_answered"),
        sip_report("call_transfer_initiated", 1, metadata={name: "+12025550199"}),
        sip_report("call_transferred", 2, metadata={name: 5}),
    )
    shown = send(analyst, "GET", f"call-logs/{id}/").json()
    assert (shown["status"], shown["transferred_to"]) == ("transferred", "+12025550199")


def test_a_late_ringing_changes_nothing_but_its_own_facet(telephony: Client) -> None:
    told(
        telephony,
        sip_report("call_initiated", 0),
        sip_report("call_answered", 5),
        sip_report("call_ended", 60),
        sip_report("call_ringing", 2),
    )
    call = Call.objects.get()
    assert (call.status, call.ring_seconds, call.duration, call.anomalies) == ("ended", 3, 60, 0)


def test_neither_token_nor_signature_is_a_401_and_nothing_is_stored() -> None:
    answer = send(Client(), "POST", PATH, sip_report())
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Token")
    assert not Call.objects.exists()
