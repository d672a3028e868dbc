"""`GET /api/call-logs/{id}/explain/` and `?as_of=`: why a call is what it is, and what was known when."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from calls.models import Call
from calls.operations.annotate import annotate
from calls.operations.record import record
from tests.admin.rows import make_client, make_recording
from tests.build import CALLER, at, read_table

pytestmark = pytest.mark.django_db

# The answer arrives three minutes after it was given, the end is known first.
LATE_ANSWER = """
    0:00 initiated id=a way=inbound
    0:10 answered id=b late=180
    2:00 ended id=c cause=q850:16
"""


def get(client: Client, path: str, **parameters: str) -> Any:
    return client.get(f"/api/call-logs/{path}", parameters)


def test_each_field_of_the_answer_is_that_of_the_call_and_names_its_events(analyst: Client) -> None:
    record(read_table(LATE_ANSWER))
    call, told = get(analyst, "call-1/").json(), get(analyst, "call-1/explain/").json()
    ids = {event["event_id"]: event["id"] for event in call["events"]}
    assert (told["id"], told["sip_call_id"]) == (call["id"], "call-1")
    for name, reason in told["fields"].items():
        if name not in ("held", "recording", "muted"):
            assert reason["value"] == call[name], name
        assert reason["rule"]
    assert told["fields"]["duration"] == {
        "value": 120,
        "rule": "Whole seconds from start to end, of an answered call whose end is known.",
        "events": [ids["a"], ids["b"], ids["c"]],
    }
    assert told["fields"]["caller_number"]["events"] == [ids["a"]]


def test_each_event_says_what_it_did_or_why_it_did_nothing(analyst: Client) -> None:
    record(read_table(LATE_ANSWER + "2:10 answered id=d\n 2:20 hold id=e"))
    told = get(analyst, "call-1/explain/").json()["events"]
    assert [event["event_id"] for event in told] == ["a", "b", "c", "d", "e"]
    assert "answered_at" in told[1]["changed"]
    assert "talk_seconds" in told[1]["gave"]
    assert [event["why_nothing"] for event in told[:3]] == [None] * 3
    assert told[3]["why_nothing"] == "It had been answered already: the earliest answer counts."
    assert (told[3]["changed"], told[3]["raised"]) == ([], ["two_answers"])
    assert told[4]["why_nothing"] == "It comes after the end, and nothing reopens a call."


def test_numbers_are_explained_as_they_were_sent(analyst: Client) -> None:
    record(read_table("0:00 initiated", calling_number="004930123456"))
    call, told = get(analyst, "call-1/").json(), get(analyst, "call-1/explain/").json()
    assert told["fields"]["caller_number"]["value"] == call["caller_number"] == "004930123456"


def test_as_of_answers_from_what_had_arrived_by_then(analyst: Client) -> None:
    record(read_table(LATE_ANSWER))
    statuses = {
        seconds: get(analyst, "call-1/", as_of=at(seconds).isoformat()).json()["status"]
        for seconds in (0, 60, 120, 189.9, 190, 10_000)
    }
    assert statuses == {0: "initiated", 60: "initiated", 120: "missed", 189.9: "missed", 190: "ended", 10_000: "ended"}
    then = get(analyst, "call-1/", as_of=at(120).isoformat()).json()
    assert [event["event_id"] for event in then["events"]] == ["a", "c"]
    assert (then["duration"], then["answered_at"], then["updated_at"]) == (None, None, "2024-04-01T12:02:00Z")
    why = get(analyst, "call-1/explain/", as_of=at(120).isoformat()).json()
    assert why["fields"]["status"]["value"] == "missed"
    assert len(why["events"]) == 2


def test_as_of_now_is_the_call_itself(analyst: Client) -> None:
    for event in sorted(read_table(LATE_ANSWER), key=lambda event: event.received_at):
        record([event])
    assert get(analyst, "call-1/", as_of="2099-01-01").json() == get(analyst, "call-1/").json()


def test_annotations_are_those_of_now_and_recordings_those_of_then(analyst: Client) -> None:
    record(read_table(LATE_ANSWER))
    call = Call.objects.get()
    make_client(CALLER, name="Ada")
    annotate(call.pk, notes="Rang back.", at=at(900))
    make_recording(30, call=call)
    make_recording(500, call=call)
    then = get(analyst, "call-1/", as_of=at(120).isoformat()).json()
    assert (then["notes"], then["client_name"]) == ("Rang back.", "Ada")
    assert [one["created_at"] for one in then["recordings"]] == ["2024-04-01T12:00:30Z"]
    assert then["recording"] == then["recordings"][0]


def test_the_client_is_whose_number_was_known_then(analyst: Client) -> None:
    # Until the start is heard of, another number counted.
    record(read_table("0:05 ringing way=inbound from=+12025550111 \n 0:00 initiated late=60 from=+12025550122"))
    make_client("+12025550111", name="Ada")
    make_client("+12025550122", name="Bob")
    assert get(analyst, "call-1/").json()["client_name"] == "Bob"
    then = get(analyst, "call-1/", as_of=at(10).isoformat()).json()
    assert (then["caller_number"], then["client_name"]) == ("+12025550111", "Ada")
    assert Call.objects.get().client.name == "Bob"  # type: ignore[union-attr]


@pytest.mark.parametrize("path", ["call-1/", "call-1/explain/"])
def test_before_the_first_event_the_call_was_not_known(analyst: Client, path: str) -> None:
    record(read_table(LATE_ANSWER))
    answer = get(analyst, path, as_of=(at(0) - timedelta(microseconds=1)).isoformat())
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert get(analyst, path, as_of="yesterday").status_code == 400
    assert get(analyst, path, as_of="").status_code == 400
    assert list(get(analyst, path, as_of="2024-13-01T00:00:00Z").json()["errors"]) == ["as_of"]


def test_a_call_with_many_events_costs_no_more_queries(analyst: Client) -> None:
    record(read_table(LATE_ANSWER))

    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert get(analyst, path).status_code == 200
        return len(captured)

    paths = ("call-1/explain/", "call-1/?as_of=2099-01-01")
    queries("call-1/")  # the day of the token's use is noted once
    before = [queries(path) for path in paths]
    record(read_table("\n".join(f"1:{second} dtmf" for second in range(10, 40))))
    assert [queries(path) for path in paths] == before
    assert before[0] <= 7
