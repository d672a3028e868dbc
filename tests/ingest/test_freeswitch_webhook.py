"""`POST /api/webhooks/freeswitch/`: what a JSON call detail record says, who may send it, and what is refused."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.domain.events import call_uuid
from calls.domain.vocabulary import Anomaly
from calls.ingest.freeswitch import MAX_DOCUMENT_BYTES
from calls.models import AccessToken, Call, CallEvent
from tests.build import NOON, send, sign_in, sip_report

pytestmark = pytest.mark.django_db
PATH = "webhooks/freeswitch/"
FOLDER = Path(__file__).parents[1] / "payloads" / "freeswitch"
CALLER, OURS = "+12025550177", "+12025550100"

# Which file, and what its call is: status, direction, then the seconds after noon of ringing, answer and end, the
# duration, the seconds on hold, where it was passed on to.
CALLS = """
answered_inbound               ended       inbound   1.25  8.52  68.5   68   0   -
answered_inbound_encoded       ended       inbound   1.25  8.52  68.5   68   0   -
answered_outbound              ended       outbound  2     12    42.25  42   0   -
busy                           busy        outbound  -     -     1.5    -    -   -
no_answer                      no_answer   inbound   0.8   -     30.8   -    -   -
cancelled                      missed      inbound   0.9   -     6.4    -    -   -
unallocated                    failed      outbound  -     -     0.4    -    -   -
gateway_down                   failed      outbound  -     -     0.2    -    -   -
menu_only                      missed      inbound   0.1   -     25     -    -   -
menu_then_answered             ended       inbound   0.1   15.5  75.5   75   0   -
menu_then_answered_older_server ended      inbound   0.1   15.5  75.5   75   0   -
transferred_blind              transferred inbound   1     5.02  38.4   38   0   1002
transferred_attended           transferred inbound   1     5     61     61   0   -
caller_transferred_the_called  transferred outbound  1     5.01  33     33   0   -
held_by_the_caller             ended       inbound   1     5.01  65     65   25  -
held_by_the_called_a_leg       ended       inbound   1     5.01  65     65   0   -
hung_up_on_hold                ended       inbound   1     5.01  65     65   25  -
anonymous_to_an_extension      failed      unknown   -     -     3      -    -   -
no_direction                   cancelled   unknown   1.25  -     8.5    -    -   -
originated_by_the_server       ended       unknown   1.5   4     24     24   0   -
conference                     ended       inbound   -     0.2   300    300  0   -
"""
LEGS_OF_OTHERS = ("transferred_blind_b_leg", "held_by_the_called_b_leg", "agent_of_a_queue", "half_of_a_loopback")


def load(name: str) -> dict[str, Any]:
    return dict(json.loads(text(name)))


def text(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text(encoding="utf-8")


def after_noon(instant: Any) -> str:
    return "-" if instant is None else f"{(instant - NOON).total_seconds():g}"


def told_of(call: Call) -> list[str]:
    values = [call.status, call.direction, *map(after_noon, (call.ringing_at, call.answered_at, call.ended_at))]
    more = [call.duration, call.hold_seconds, call.state.transferred_to]
    return [str(value) for value in values] + ["-" if value is None else str(value) for value in more]


def test_every_file_has_its_row() -> None:
    rows = {line.split()[0] for line in CALLS.strip().splitlines()}
    assert {path.stem for path in FOLDER.glob("*.json")} == rows | set(LEGS_OF_OTHERS)


@pytest.mark.parametrize("row", CALLS.strip().splitlines(), ids=lambda row: row.split()[0])
def test_a_document_is_its_call(telephony: Client, row: str) -> None:
    name, *expected = row.split()
    answer = send(telephony, "POST", PATH, text(name))
    uuid = load(name)["variables"]["uuid"]
    assert (answer.status_code, answer.json()) == (
        200,
        {"message": "The leg was recorded.", "call_id": str(call_uuid(uuid)), "status": expected[0]},
    )
    call = Call.objects.get()
    assert told_of(call) == expected
    assert (call.external_id, call.started_at, Anomaly(call.anomalies).codes()) == (uuid, NOON, [])


@pytest.mark.parametrize("row", CALLS.strip().splitlines(), ids=lambda row: row.split()[0])
def test_a_document_that_comes_again_changes_nothing(telephony: Client, row: str) -> None:
    name = row.split()[0]
    send(telephony, "POST", PATH, text(name))
    before = CallEvent.objects.count()
    # The order of the keys, and whether the values are encoded, is no matter.
    again = dict(reversed(load(name).items()))
    answer = send(telephony, "POST", f"{PATH}?uuid={again['variables']['uuid']}", again)
    if name != "menu_then_answered_older_server":  # of whose two `callflow` another one is the last now
        assert answer.json()["message"] == "The leg was known already."
    assert (answer.status_code, CallEvent.objects.count()) == (200, before)


def test_numbers_names_and_causes_are_kept(telephony: Client) -> None:
    send(telephony, "POST", PATH, text("answered_inbound"))
    call = Call.objects.get()
    assert (call.calling_number, call.called_number, call.cause) == (CALLER, OURS, "q850:16")
    end = CallEvent.objects.get(type="ended")
    assert (end.source, end.word, end.event_id) == ("freeswitch", "hangup_time", f"{call.external_id}:ended")
    said = end.metadata
    assert said["caller_id_name"] == "Grace Hopper"
    assert said["hangup_cause"] == "NORMAL_CLEARING"
    assert said["sip_call_id"] == "a1b2c3d4@192.0.2.10"
    assert "switch_r_sdp" not in said


def test_a_caller_without_a_number_and_an_extension_are_kept_as_they_are(telephony: Client) -> None:
    send(telephony, "POST", PATH, text("anonymous_to_an_extension"))
    call = Call.objects.get()
    assert (call.calling_number, call.called_number, call.cause) == ("anonymous", "1001", "q850:21")


@override_settings(OWN_NUMBERS=[OURS])
def test_without_a_stated_direction_our_numbers_decide(telephony: Client) -> None:
    send(telephony, "POST", PATH, text("no_direction"))
    call = Call.objects.get()
    assert (call.direction, call.status) == ("inbound", "missed")


@pytest.mark.parametrize("name", LEGS_OF_OTHERS)
def test_a_leg_of_another_call_is_no_call(telephony: Client, name: str) -> None:
    answer = send(telephony, "POST", PATH, text(name))
    assert answer.status_code == 200
    if name != "held_by_the_called_b_leg":
        assert answer.json()["message"] == "This leg belongs to another call, and adds nothing to it."
        assert answer.json()["status"] is None
        assert not Call.objects.exists()


@pytest.mark.parametrize("first", [0, 1])
def test_the_holds_of_the_called_count_for_the_call_in_whichever_order(telephony: Client, first: int) -> None:
    names = ["held_by_the_called_a_leg", "held_by_the_called_b_leg"]
    for name in (names[first], names[1 - first], names[first]):
        assert send(telephony, "POST", PATH, text(name)).status_code == 200
    call = Call.objects.get()
    assert (call.status, call.hold_seconds, call.duration, call.calling_number) == ("ended", 10, 65, CALLER)
    assert Anomaly(call.anomalies).codes() == []


def test_both_legs_of_a_transfer_are_one_transferred_call(telephony: Client) -> None:
    for name in ("transferred_blind_b_leg", "transferred_blind"):
        send(telephony, "POST", PATH, text(name))
    call = Call.objects.get()
    assert (call.status, call.state.transferred_to, call.anomalies) == ("transferred", "1002", 0)


def test_a_document_that_contradicts_an_earlier_one_is_refused_as_a_whole(telephony: Client) -> None:
    send(telephony, "POST", PATH, text("no_answer"))
    other = load("no_answer")
    other["callflow"][0]["times"] |= {"answered_time": "1711972805000000", "hangup_time": "1711972899000000"}
    other["callflow"][0]["times"]["bridged_time"] = "1711972805000000"
    answer = send(telephony, "POST", PATH, other)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert Call.objects.get().status == "no_answer"
    assert not CallEvent.objects.filter(type="answered").exists()


# -- What is dry, broken or hostile ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda d: d.pop("variables"), "variables"),
        (lambda d: d.update(variables=[]), "variables"),
        (lambda d: d.pop("callflow"), "callflow"),
        (lambda d: d.update(callflow=[]), "callflow"),
        (lambda d: d.update(callflow=[1, None]), "callflow"),
        (lambda d: d.update(callflow="x"), "callflow"),
        (lambda d: d["callflow"][0]["times"].update(created_time="yesterday"), "callflow"),
        (lambda d: d["callflow"][0]["times"].update(created_time=True), "callflow"),
        (lambda d: d["callflow"][0]["times"].update(hangup_time="-5"), "callflow"),
        (lambda d: d["callflow"][0]["times"].update(answered_time="9" * 17), "callflow"),
        (lambda d: d["callflow"][0]["times"].update(answered_time="9" * 400), "callflow"),
        (lambda d: d["callflow"][0]["times"].update(answered_time=1.5), "callflow"),
        (lambda d: d["callflow"][0]["times"].update(answered_time="١٧١١٩٧٢٨٠٠٠٠٠٠٠٠"), "callflow"),
        (lambda d: (d["variables"].pop("uuid"), d["callflow"][0]["caller_profile"].pop("uuid")), "variables"),
        (lambda d: d["variables"].update(uuid="x" * 201), "variables"),
        (lambda d: d["variables"].update(uuid="   "), "variables"),
        (lambda d: (d["callflow"][0].pop("times"), d["variables"].pop("start_uepoch")), "callflow"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(telephony: Client, change: Any, field: str) -> None:
    document = load("answered_inbound")
    change(document)
    answer = send(telephony, "POST", PATH, document)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field]), answer.json()
    assert not Call.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["callflow"][0].pop("times"),
        lambda d: d["callflow"][0]["times"].update({name: int(t) for name, t in d["callflow"][0]["times"].items()}),
        lambda d: d.update(callflow=d["callflow"][0]),
        lambda d: d["variables"].pop("uuid"),
        lambda d: (d.pop("app_log"), d.pop("callStats"), d.pop("channel_data"), d.pop("switchname")),
        lambda d: d["callflow"][0]["caller_profile"].update(caller_id_name="x" * 5000, originator="x"),
        lambda d: d["callflow"][0]["caller_profile"].update(originator={"originator_caller_profiles": [1, {}]}),
        lambda d: d["variables"].update(hold_events="{{99999999999999999,0},{x}}"),
        lambda d: d["variables"].update(transfer_history="99999999999:x:bl_xfer:1|:99999999999:y:att_xfer:1"),
        lambda d: d["variables"].update(hangup_cause="%00%FF%", call_direction="sideways", bridge_uuid="%ED%A0%80"),
    ],
)  # fmt: skip
def test_what_is_missing_or_odd_costs_only_itself(telephony: Client, change: Any) -> None:
    document = load("answered_inbound")
    change(document)
    assert send(telephony, "POST", PATH, document).status_code == 200
    call = Call.objects.get()
    assert (call.status, call.duration, call.external_id) == (
        "ended",
        68,
        load("answered_inbound")["variables"]["uuid"],
    )


def test_a_name_that_is_no_utf_8_costs_its_letter_and_not_the_call(telephony: Client) -> None:
    body = text("answered_inbound").replace("Grace Hopper", "Grace H\xf6pper").encode("latin-1")
    answer = telephony.post(f"/api/{PATH}", body, content_type="application/json")
    assert answer.status_code == 200
    assert CallEvent.objects.get(type="ended").metadata["caller_id_name"] == "Grace H\N{REPLACEMENT CHARACTER}pper"


def test_a_leg_without_an_end_is_a_call_that_goes_on(telephony: Client) -> None:
    document = load("answered_inbound")
    document["callflow"][0]["times"]["hangup_time"] = document["variables"]["end_uepoch"] = "0"
    assert send(telephony, "POST", PATH, document).json()["status"] == "answered"
    assert send(telephony, "POST", PATH, text("answered_inbound")).json()["status"] == "ended"


def test_a_long_document_is_read_and_a_longer_one_refused(telephony: Client) -> None:
    document = load("answered_inbound")
    document["app_log"]["applications"] *= 1000
    document["variables"]["filler"] = "x" * (MAX_DOCUMENT_BYTES - len(json.dumps(document)) - 100)
    assert send(telephony, "POST", PATH, document).status_code == 200
    document["variables"]["filler"] += "x" * 200
    assert send(telephony, "POST", PATH, document).status_code == 413


def test_the_forms_that_mod_json_cdr_can_also_send_are_415(telephony: Client) -> None:
    for kind in ("application/x-www-form-urlencoded", "application/x-www-form-base64-encoded"):
        assert telephony.post(f"/api/{PATH}", "cdr=%7B%7D", content_type=kind).status_code == 415
    assert not Call.objects.exists()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150)
@given(st.data())
def test_whatever_stands_anywhere_is_understood_or_refused(telephony: Client, data: Any) -> None:
    document = load(data.draw(st.sampled_from(["transferred_blind", "held_by_the_called_b_leg", "menu_then_answered"])))
    place: Any = document
    for _ in range(data.draw(st.integers(1, 6))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key]:
            break
        if data.draw(st.integers(0, 4)) == 0:
            break
        place = place[key]
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
    place[key] = data.draw(JSON_VALUES)
    answer = send(telephony, "POST", PATH, document)
    assert answer.status_code in (200, 400, 409), answer.content


# -- Who may send it --------------------------------------------------------------------------------


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def key(db: None) -> str:
    sign_in("Telephony systems", name="pbx")
    return str(AccessToken.objects.create(user=AccessToken.objects.get().user, name="cred")[1])


def test_a_token_is_taken_as_the_password_whatever_the_name(key: str) -> None:
    for name in ("freeswitch", "", "pbx"):
        answer = send(Client(), "POST", PATH, text("answered_inbound"), **basic(name, key))
        assert answer.status_code == 200
    assert AccessToken.objects.exclude(last_used_on=None).count() == 1


def test_any_other_password_is_a_401(key: str) -> None:
    wrong = [
        basic("pbx", ""), basic("pbx", "x"), basic("pbx", key[:-1]), basic("pbx", key + "x"), basic(key, ""),
        basic("pbx", "pässwörd"), {"Authorization": "Basic"}, {"Authorization": "Basic ###"},
        {"Authorization": f"Basic {key}"}, {"Authorization": f"Bearer {key}"},
    ]  # fmt: skip
    for headers in wrong:
        answer = send(Client(), "POST", PATH, text("answered_inbound"), **headers)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Token"), headers
    assert not Call.objects.exists()


def test_an_expired_token_is_no_password(key: str) -> None:
    AccessToken.objects.update(expiry=NOON)
    assert send(Client(), "POST", PATH, text("busy"), **basic("pbx", key)).status_code == 401


@override_settings(THROTTLE_FAILED_AUTH="3/minute")
def test_guessing_passwords_is_slowed_down(key: str) -> None:
    wrong = [send(Client(), "POST", PATH, "{}", **basic("pbx", "x")).status_code for _ in range(5)]
    assert wrong == [401, 401, 401, 429, 429]
    assert send(Client(), "POST", PATH, text("busy"), **basic("pbx", key)).status_code == 200


def test_it_is_a_password_at_this_door_only(key: str) -> None:
    for path, body in (("webhooks/sip/", sip_report()), ("webhooks/asterisk/", []), ("call-logs/", {})):
        assert send(Client(), "POST", path, body, **basic("pbx", key)).status_code == 401
    assert Client().get("/api/call-logs/", headers=basic("pbx", key)).status_code == 401
