"""`POST /api/webhooks/asterisk/`: what channel events say of a call, in any order, and what is refused."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.domain.state import fold
from calls.domain.vocabulary import Anomaly
from calls.ingest.asterisk import MAX_BATCH_BYTES, read_event
from calls.models import Call, CallEvent
from calls.operations.webhooks import add_source
from tests.build import NOON, send
from tests.ingest.test_signature import signed

pytestmark = pytest.mark.django_db
PATH = "webhooks/asterisk/"
FOLDER = Path(__file__).parents[1] / "payloads" / "asterisk"
CALLER, OURS = "+12025550177", "+12025550101"

# Which file, and what its call is: status, whole seconds of ringing, duration, talking and hold, transferred to.
CALLS = """
answered                             ended        1    5    4    0   -
outbound                             ended        1    5    4    0   -
caller_hangs_up                      ended        1    4    3    0   -
busy                                 busy         0    -    -    -   -
anonymous                            busy         0    -    -    -   -
no_answer                            no_answer    3    -    -    -   -
unreachable                          failed       0    -    -    -   -
cancelled                            cancelled    1    -    -    -   -
menu_then_answered                   ended        1    7    4    0   -
menu_only                            cancelled    2    -    -    -   -
queue                                ended        1    5    4    0   -
ring_group                           ended        1    5    4    0   -
through_a_local_channel              ended        1    5    4    0   -
conference                           ended        3    4    0    0   -
parked                               ended        1   12   11    2   -
blind_transfer_by_the_caller         transferred  1    3    2    0   1002
blind_transfer_by_the_called         transferred  1    3    2    0   1002
attended_transfer_by_the_called      transferred  1    9    8    0   1003
click_to_call                        ended        0    6    5    0   -
called_by_asterisk                   ended        1    5    4    0   -
called_through_a_local_channel       ended        1    5    4    0   -
called_through_a_local_channel_busy  missed       0    -    -    -   -
"""
ROWS = CALLS.strip().splitlines()


def load(name: str) -> list[dict[str, Any]]:
    return list(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def told_of(state: Any) -> list[str]:
    values = [state.status, state.ring_seconds, state.duration, state.talk_seconds, state.hold_seconds]
    return ["-" if value is None else str(value) for value in [*values, state.transferred_to]]


def channel_event(name: str = "CHAN_START", **values: Any) -> dict[str, Any]:
    """One event of the first channel of a call, at noon."""
    return {
        "EventName": name,
        "EventTime": str(NOON.timestamp()),
        "UniqueID": "1711972800.1",
        "LinkedID": "1711972800.1",
        "CallerIDnum": CALLER,
        "Exten": OURS,
        "Channel": "PJSIP/trunk-00000001",
    } | values


def test_every_file_has_its_row() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {row.split()[0] for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split()[0])
def test_the_events_of_a_call_are_one_healthy_call_in_any_order_and_twice(telephony: Client, row: str) -> None:
    name, *expected = row.split()
    events = load(name)
    random.Random(name).shuffle(events)
    half = len(events) // 2
    first = send(telephony, "POST", PATH, events[:half]).json()
    second = send(telephony, "POST", PATH, events[half:])
    assert second.status_code == 200, second.json()
    made = [first["created"] + second.json()["created"], first["ignored"] + second.json()["ignored"]]
    again = send(telephony, "POST", PATH, events).json()
    assert (again["created"], again["duplicates"], again["ignored"]) == (0, *made)
    assert made[0] == CallEvent.objects.count()
    call = Call.objects.get()
    assert told_of(call.state) == expected
    odd = Anomaly(call.anomalies).codes()
    assert odd == []
    assert (call.external_id, call.state.held, call.ended_at is None) == (events[0]["LinkedID"], False, False)


@given(st.data())
def test_any_order_of_the_events_gives_the_same_call(data: Any) -> None:
    name = data.draw(st.sampled_from([row.split()[0] for row in ROWS]))
    events = [event for told in load(name) if (event := read_event(told, at=NOON))]
    assert fold(data.draw(st.permutations(events))) == fold(events)


def test_numbers_names_and_details_are_kept(telephony: Client) -> None:
    send(telephony, "POST", PATH, load("busy"))
    call = Call.objects.get()
    assert (call.calling_number, call.called_number, call.cause) == (CALLER, OURS, "busy")
    end = CallEvent.objects.get(word="HANGUP")
    assert (end.source, end.type, end.calling_number) == ("asterisk", "ended", "")
    assert end.metadata["CallerIDname"] == 'Grace "Amazing" Hopper'
    assert end.metadata["Extra"]["dialstatus"] == "BUSY"
    assert {"EventName", "EventTime", "LinkedID"} & set(end.metadata) == set()


def test_a_call_that_asterisk_makes_learns_its_numbers_later(telephony: Client) -> None:
    send(telephony, "POST", PATH, load("click_to_call"))
    call = Call.objects.get()
    assert (call.calling_number, call.called_number) == ("+12025550188", "1002")


def test_a_caller_without_a_number_has_none(telephony: Client) -> None:
    send(telephony, "POST", PATH, load("anonymous"))
    call = Call.objects.get()
    assert (call.calling_number, call.called_number) == ("", OURS)


def test_a_conference_is_one(telephony: Client) -> None:
    send(telephony, "POST", PATH, load("conference"))
    assert Call.objects.get().call_type == "conference"


def test_the_dialplan_may_state_the_direction(telephony: Client) -> None:
    send(telephony, "POST", PATH, load("outbound"))
    call = Call.objects.get()
    assert (call.direction, call.calling_number) == ("outbound", "1001")


@override_settings(OWN_NUMBERS=["+1202555010"])
def test_our_numbers_tell_the_direction_and_so_who_missed_the_call(telephony: Client) -> None:
    for name in ("cancelled", "menu_only"):
        send(telephony, "POST", PATH, load(name))
    told = set(Call.objects.exclude(called_number="+12025550111").values_list("direction", "status"))
    assert told == {("inbound", "missed")}


# Each word alone: of the first channel, of another one, and of half a Local channel.
WORDS = """
CHAN_START        initiated           ringing             -
ANSWER            -                   answered            -
BRIDGE_ENTER      -                   -                   -
HANGUP            ended               -                   -
LINKEDID_END      ended               ended               ended
BLINDTRANSFER     transfer_completed  transfer_completed  transfer_completed
ATTENDEDTRANSFER  transfer_completed  transfer_completed  transfer_completed
PARK_START        hold                hold                hold
PARK_END          unhold              unhold              unhold
HOLD              hold                hold                hold
UNHOLD            unhold              unhold              unhold
CHAN_END          -                   -                   -
APP_START         -                   -                   -
DTMF              -                   -                   -
MY_OWN_EVENT      -                   -                   -
"""


@pytest.mark.parametrize("row", WORDS.strip().splitlines(), ids=lambda row: row.split()[0])
def test_each_word_alone(row: str) -> None:
    word, *expected = row.split()
    others = [{}, {"UniqueID": "1711972800.2"}, {"UniqueID": "1711972800.2", "Channel": "Local/1@x-00000001;2"}]
    found = [read_event(channel_event(word, **other), at=NOON) for other in others]
    assert ["-" if event is None else event.type for event in found] == expected


@pytest.mark.parametrize(
    ("extra", "cause"),
    [
        ('{"hangupcause":17,"hangupsource":"","dialstatus":"BUSY"}', "busy"),
        ({"hangupcause": 16, "dialstatus": "NOANSWER"}, "no_answer"),
        ({"hangupcause": 19, "dialstatus": "CANCEL"}, "q850:16"),
        ({"hangupcause": 34, "dialstatus": "CONGESTION"}, "failed"),
        ({"hangupcause": 16, "dialstatus": "ANSWER"}, "q850:16"),
        ({"hangupcause": "21", "dialstatus": ""}, "q850:21"),
        ({"hangupcause": 0}, None),
        ({"hangupcause": [17]}, None),
        ({"dialstatus": ["BUSY"]}, None),
        ('{"hangupcause":', None),
        ('{"hangupcause":17,"x":"\\u0000"}', None),
        ('{"x":"\\ud800"}', None),
        ("[" * 10_000, None),
        ("[17]", None),
        (17, None),
        (None, None),
    ],
)
def test_the_cause_is_in_the_details(telephony: Client, extra: Any, cause: str | None) -> None:
    body = channel_event("HANGUP", Extra=extra)
    assert send(telephony, "POST", PATH, body).status_code == 200
    assert CallEvent.objects.get().cause == cause


@pytest.mark.parametrize(
    ("extra", "target"),
    [
        ({"extension": "1002", "context": "x"}, "1002"),
        ({"transfer_target_channel_name": "PJSIP/carol-00000012"}, "carol"),
        ({"transfer_target_channel_name": "PJSIP/front-desk-00000012"}, "front-desk"),
        ({"transfer_target_channel_name": "Local/300@internal-00000004;1"}, "300"),
        ({"transfer_target_channel_name": "N/A"}, None),
        ({"transfer_target_channel_name": ["x"]}, None),
        ({"extension": "9" * 999}, "9" * 255),
        ({}, None),
    ],
)
def test_a_transfer_says_where(telephony: Client, extra: Any, target: str | None) -> None:
    send(telephony, "POST", PATH, channel_event("ATTENDEDTRANSFER", Extra=json.dumps(extra)))
    assert CallEvent.objects.get().transfer_to == target


@pytest.mark.parametrize(
    ("said", "instant"),
    [
        ({"EventTime": "1711972800.5"}, "2024-04-01T12:00:00.500000+00:00"),
        ({"EventTime": "1711972800.000001"}, "2024-04-01T12:00:00.000001+00:00"),
        ({"EventTime": "1711972800.0000019"}, "2024-04-01T12:00:00.000001+00:00"),
        ({"EventTime": "1711972800"}, "2024-04-01T12:00:00+00:00"),
        ({"EventTime": 1711972800}, "2024-04-01T12:00:00+00:00"),
        ({"EventTime": 1711972800.25}, "2024-04-01T12:00:00.250000+00:00"),
        ({"EventTime": "2024-04-01 12:00:00"}, "2024-04-01T12:00:00+00:00"),
        ({"EventTime": "2024-04-01T14:00:00.25+0200"}, "2024-04-01T12:00:00.250000+00:00"),
        ({"EventTime": "2024-04-01 14:00:00", "Timestamp": "1711972800.25"}, "2024-04-01T12:00:00.250000+00:00"),
        ({"EventTime": "0"}, "1970-01-01T00:00:00+00:00"),
    ],
)
def test_times_come_as_asterisk_writes_them(said: dict[str, Any], instant: str) -> None:
    event = read_event(channel_event(**said), at=NOON)
    assert event is not None
    assert event.occurred_at.isoformat() == instant


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"EventName": None}, ["EventName"]),
        ({"EventName": ""}, ["EventName"]),
        ({"EventTime": "yesterday"}, ["EventTime"]),
        ({"EventTime": True}, ["EventTime"]),
        ({"EventTime": "9999999999"}, ["EventTime"]),
        ({"EventTime": "-5"}, ["EventTime"]),
        ({"EventTime": "١٧١١٩٧٢٨٠٠"}, ["EventTime"]),
        ({"EventTime": None}, ["EventTime"]),
        ({"UniqueID": "x" * 151}, ["UniqueID"]),
        ({"LinkedID": " "}, ["LinkedID"]),
        ({"LinkedID": {}}, ["LinkedID"]),
        ({"CallerIDnum": ["1"]}, ["CallerIDnum"]),
        ({"Exten": "x" * 256}, ["Exten"]),
        ({"EventName": 5, "EventTime": [], "LinkedID": ""}, ["EventName", "LinkedID", "EventTime"]),
        ({"AppData": "a\x00b"}, ["AppData"]),
    ],
)
def test_what_is_wrong_is_named_in_the_senders_own_words(
    telephony: Client, change: dict[str, Any], fields: list[str]
) -> None:
    good, bad = channel_event(), channel_event(**change)
    answer = send(telephony, "POST", PATH, [good, bad])
    assert answer.status_code == 207
    [rejected] = answer.json()["rejected"]
    assert (rejected["index"], list(rejected["errors"])) == (1, fields)
    assert answer.json()["created"] == 1
    assert send(telephony, "POST", PATH, bad).status_code == 400


def test_required_fields_are_named_as_asterisk_writes_them(telephony: Client) -> None:
    answer = send(telephony, "POST", PATH, {"CallerIDnum": "1"})
    assert (answer.status_code, answer.json()["code"]) == (400, "all_rejected")
    assert list(answer.json()["rejected"][0]["errors"]) == ["EventName", "UniqueID", "LinkedID", "EventTime"]


def test_letter_case_and_the_names_of_other_backends_do_not_matter(telephony: Client) -> None:
    body = {name.lower(): value for name, value in channel_event("ANSWER", AppName="AppDial2").items()}
    assert send(telephony, "POST", PATH, body).json()["created"] == 1
    assert CallEvent.objects.get().type == "answered"


def test_one_event_is_a_batch_of_one_and_an_empty_batch_is_a_400(telephony: Client) -> None:
    answer = send(telephony, "POST", PATH, channel_event())
    assert answer.json() == {"created": 1, "duplicates": 0, "ignored": 0, "rejected": []}
    assert send(telephony, "POST", PATH, channel_event("APP_END")).json()["ignored"] == 1
    assert send(telephony, "POST", PATH, []).status_code == 400


def test_the_same_event_with_other_numbers_is_a_conflict(telephony: Client) -> None:
    send(telephony, "POST", PATH, channel_event())
    answer = send(telephony, "POST", PATH, [channel_event(Exten="1")])
    assert (answer.status_code, answer.json()["rejected"][0]["code"]) == (400, "conflict")


def test_too_much_is_413_and_no_json_415(telephony: Client) -> None:
    event = channel_event(AppData="x" * 1000)
    several = [event | {"UniqueID": str(number)} for number in range(MAX_BATCH_BYTES // 1500)]
    assert send(telephony, "POST", PATH, several).status_code == 200
    assert send(telephony, "POST", PATH, [*several, *several]).status_code == 413
    assert send(telephony, "POST", PATH, [channel_event(AppData="x" * 65_536)]).status_code == 413
    assert telephony.post(f"/api/{PATH}", "a=b", content_type="application/x-www-form-urlencoded").status_code == 415


def test_a_long_batch_may_be_signed() -> None:
    _, secret = add_source("asterisk")
    several = [channel_event(AppData="x" * 1000, UniqueID=str(number)) for number in range(200)]
    body, headers = signed(secret, several)
    answer = Client().post(f"/api/{PATH}", body, content_type="application/json", headers=headers)
    assert answer.status_code == 200
    answer = Client().post(f"/api/{PATH}", body + " ", content_type="application/json", headers=headers)
    assert answer.status_code == 401


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=30)
LIKELY = st.sampled_from(["HANGUP", "ANSWER", "1711972800.5", "ATTENDEDTRANSFER", '{"extension": {"a": 1}}'])
NESTED = st.lists(TEXTS, max_size=2) | st.dictionaries(TEXTS, TEXTS, max_size=2)
FIELDS = [*channel_event(Extra="", Application="", UserField="", Timestamp=""), "eventname"]


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(FIELDS), SCALARS | TEXTS | LIKELY | NESTED, max_size=6))
def test_whatever_stands_in_a_field_is_understood_or_refused(telephony: Client, said: dict[str, Any]) -> None:
    answer = send(telephony, "POST", PATH, channel_event() | said)
    assert answer.status_code in (200, 400), answer.content


def test_payloads_lie_in_the_past() -> None:
    may = datetime(2024, 5, 1, tzinfo=UTC).timestamp()
    for row in ROWS:
        assert all(float(event["EventTime"]) < may for event in load(row.split()[0]))
