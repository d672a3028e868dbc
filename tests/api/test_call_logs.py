"""`/api/call-logs/`: the list with its filters and pages, writing a call down, and one call in full."""

from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from calls.domain.vocabulary import Direction, Source
from calls.models import Call, CallEvent, CallRecording
from calls.models import Client as OurClient
from calls.operations.clients import set_numbers
from calls.operations.record import record
from tests.build import CALLEE, CALLER, at, build_event, read_table, report, send, sip_report, told

pytestmark = pytest.mark.django_db
KEYS = {
    "id", "call_id", "sip_call_id", "caller_number", "recipient_number", "direction", "call_type", "status",
    "started_at", "ringing_at", "answered_at", "ended_at", "duration", "ring_seconds", "talk_seconds", "hold_seconds",
    "transferred_to", "cause", "inferred_end", "notes", "call_quality_score", "client", "client_name", "handled_by",
    "handled_by_name", "sip_configuration", "anomalies", "created_at", "updated_at",
}  # fmt: skip
EVENT_KEYS = {"id", "event_id", "event_type", "occurred_at", "received_at", "source", "metadata", "user", "user_name"}


def listed(client: Client, /, **query: Any) -> Any:
    answer = client.get("/api/call-logs/", query)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def ids(client: Client, /, **query: Any) -> set[str]:
    return {call["sip_call_id"] for call in listed(client, **query)["results"]}


def make(call_id: str, table: str = "0:00 initiated", **values: Any) -> Call:
    """Record the events of a table as a call with an id."""
    record(read_table(table, call_id=call_id, **values))
    return Call.objects.get(external_id=call_id)


def add_recording(call: Call, status: str = "completed") -> CallRecording:
    return CallRecording.objects.create(call=call, status=status, created_at=at(0), updated_at=at(0))


# -- One call ----------------------------------------------------------------------------------------


def test_a_call_has_exactly_these_keys_in_the_list_and_in_full(analyst: Client) -> None:
    call = make("c", "0:00 initiated\n0:05 answered\n1:00 ended")
    [row] = listed(analyst)["results"]
    assert set(row) == KEYS
    shown = analyst.get(f"/api/call-logs/{call.pk}/").json()
    assert set(shown) == KEYS | {"events", "recordings", "recording"}
    assert {name: shown[name] for name in KEYS} == row
    assert [set(event) for event in shown["events"]] == [EVENT_KEYS] * 3
    assert (shown["recordings"], shown["recording"]) == ([], None)


def test_a_call_shows_what_its_events_add_up_to(analyst: Client) -> None:
    call = make("c", "0:00 initiated way=inbound\n0:02 ringing\n0:05 answered\n0:10 hold\n0:15 unhold\n1:00 ended")
    shown = analyst.get("/api/call-logs/c/").json()
    assert shown["id"] == shown["call_id"] == str(call.pk)
    expected = {
        "sip_call_id": "c", "caller_number": CALLER, "recipient_number": CALLEE, "direction": "inbound",
        "call_type": "voice", "status": "ended", "started_at": "2024-04-01T12:00:00Z",
        "ringing_at": "2024-04-01T12:00:02Z", "answered_at": "2024-04-01T12:00:05Z", "ended_at": "2024-04-01T12:01:00Z",
        "duration": 60, "ring_seconds": 3, "talk_seconds": 55, "hold_seconds": 5, "transferred_to": None, "cause": None,
        "inferred_end": False, "notes": "", "call_quality_score": None, "client": None, "client_name": None,
        "handled_by": None, "handled_by_name": None, "sip_configuration": None, "anomalies": [],
    }  # fmt: skip
    assert {name: shown[name] for name in expected} == expected


def test_an_inferred_end_is_marked(analyst: Client) -> None:
    make("c", "0:00 initiated\n0:05 answered\n0:05 ended by=inferred")
    shown = analyst.get("/api/call-logs/c/").json()
    assert (shown["inferred_end"], shown["duration"], shown["anomalies"]) == (True, None, ["inferred_end"])


@pytest.mark.parametrize(
    "external_id", ["call-1", "unique-sip-id", "a@b.example", " padded ", "ÜÑÏ😀", "%41", "..x", "x" * 255]
)
def test_a_call_is_found_by_our_uuid_and_by_its_external_id(analyst: Client, external_id: str) -> None:
    call = make(external_id)
    for text in (str(call.pk), str(call.pk).upper(), quote(external_id, safe="")):
        for slash in ("/", ""):
            assert analyst.get(f"/api/call-logs/{text}{slash}").json()["id"] == str(call.pk)


@pytest.mark.parametrize("external_id", ["a/b", "statistics", "initiate_call", " padded ", "x\ny", "+1?&=#", ".."])
def test_an_id_that_does_not_fit_a_path_is_found_by_a_filter(analyst: Client, external_id: str) -> None:
    call = make(external_id)
    make("other")
    assert [row["id"] for row in listed(analyst, sip_call_id=external_id)["results"]] == [str(call.pk)]


def test_an_external_id_that_is_a_uuid_is_found_too(analyst: Client) -> None:
    id = str(uuid4())
    call = make(id)
    assert analyst.get(f"/api/call-logs/{id}/").json()["id"] == str(call.pk)


@pytest.mark.parametrize(
    "text", ["nothing", "550e8400-e29b-41d4-a716-446655440000", "%00", "x" * 5000, "%F0%9F%98%80", "{}", "urn:uuid:x"]
)
def test_an_unknown_call_is_a_json_404(analyst: Client, text: str) -> None:
    answer = analyst.get(f"/api/call-logs/{text}/")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_events_are_in_the_order_in_which_they_are_taken(analyst: Client) -> None:
    events = read_table("0:00 initiated\n0:05 ringing\n0:05 answered\n1:00 ended", call_id="c")
    for event in reversed(events):
        record([event])
    shown = analyst.get("/api/call-logs/c/").json()
    assert [event["event_type"] for event in shown["events"]] == ["initiated", "ringing", "answered", "ended"]
    assert shown["events"][0]["event_id"] == events[0].event_id


def test_recordings_are_listed_the_latest_first(analyst: Client) -> None:
    call = make("c")
    made = [
        CallRecording.objects.create(call=call, created_at=at(second), updated_at=at(second)) for second in (0, 9, 5)
    ]
    shown = analyst.get("/api/call-logs/c/").json()
    assert [row["id"] for row in shown["recordings"]] == [str(made[place].pk) for place in (1, 2, 0)]
    assert shown["recording"] == shown["recordings"][0]


# -- Filters -----------------------------------------------------------------------------------------


def test_filters_by_words(analyst: Client) -> None:
    make("in", "0:00 initiated way=inbound\n0:05 ended cause=busy")
    make("out", "0:00 initiated way=outbound kind=video\n0:05 answered")
    make("odd", "0:00 answered")
    assert ids(analyst) == {"in", "out", "odd"}
    assert ids(analyst, status="busy") == {"in"}
    assert ids(analyst, status="answered") == {"out", "odd"}
    assert ids(analyst, direction="outbound") == {"out"}
    assert ids(analyst, direction="unknown") == {"odd"}
    assert ids(analyst, call_type="video") == {"out"}
    assert ids(analyst, anomaly="no_start") == {"odd"}
    assert ids(analyst, anomaly="two_ends") == set()
    assert ids(analyst, status="answered", direction="outbound") == {"out"}


def test_filters_by_number_in_any_spelling(analyst: Client) -> None:
    make("a", calling_number="+12025550101", called_number="100")
    make("b", calling_number="+12025550102", called_number="+12025550101")
    make("c", calling_number="+0987654321", called_number="anonymous")
    for spelling in ("+12025550101", "12025550101", "+1 202 555-0101", "tel:+1-202-555-0101", " 12025550101"):
        assert ids(analyst, number=spelling) == {"a", "b"}, spelling
    assert ids(analyst, number="100") == {"a"}
    assert ids(analyst, number="+0987654321") == ids(analyst, number="anonymous") == {"c"}
    assert ids(analyst, number="2025550101") == set()
    # An unescaped + in an address is a blank.
    found = analyst.get("/api/call-logs/?number=+12025550102").json()["results"]
    assert [row["sip_call_id"] for row in found] == ["b"]


def test_filters_by_client_agent_and_recording(analyst: Client) -> None:
    client = OurClient.objects.create(name="Ada")
    set_numbers(client, ["+12025550101"], at=timezone.now())
    user = User.objects.create_user("agent")
    make("a", calling_number="+12025550101")
    make("b", f"0:00 initiated way=outbound user={user.pk}")
    add_recording(make("r"))
    add_recording(make("d"), "deleted")
    assert ids(analyst, client=client.pk) == {"a"}
    assert ids(analyst, handled_by=user.pk) == {"b"}
    assert ids(analyst, has_recording="true") == {"r"}
    assert ids(analyst, has_recording="false") == {"a", "b", "d"}
    assert ids(analyst, client=999999) == set()


def test_filters_by_time_and_length(analyst: Client) -> None:
    for second in (0, 60, 120):
        event = build_event("initiated", second, call_id=str(second))
        record([event, build_event("answered", second, call_id=str(second))])
        record([build_event("ended", second + second, call_id=str(second))])
    assert ids(analyst, started_after="2024-04-01T12:01:00Z") == {"60", "120"}
    assert ids(analyst, started_before="2024-04-01T12:01:00Z") == {"0"}
    assert ids(analyst, started_after="2024-04-01T14:01:00+02:00", started_before="2024-04-01T12:02:00") == {"60"}
    assert ids(analyst, started_after="2024-04-01") == {"0", "60", "120"}
    assert ids(analyst, started_before="2024-04-01") == set()
    assert ids(analyst, min_duration=60) == {"60", "120"}
    assert ids(analyst, min_duration=61) == {"120"}
    changed = datetime(2030, 1, 1, tzinfo=UTC)
    Call.objects.filter(external_id="60").update(updated_at=changed)
    assert ids(analyst, updated_after="2030-01-01T00:00:00Z") == {"60"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "gone"), ("direction", "up"), ("call_type", "fax"), ("anomaly", "NO_START"), ("client", "x"),
        ("client", "-1"), ("client", "1.5"), ("client", "9" * 30), ("client", "-1e999999999"), ("client", "\x00"),
        ("handled_by", "nan"), ("min_duration", "-1"), ("min_duration", "1e9"), ("started_after", "yesterday"),
        ("started_after", "0001-01-01T00:00:00+23:59"), ("started_before", "9999-12-31T23:59:59-23:59"),
        ("started_before", "2024-04-01T12:00:00 02:00"), ("updated_after", "12:00"), ("updated_after", "\x00"),
        ("number", "\x00"), ("sip_call_id", "a\x00b"), ("search", "\x00"), ("ordering", "notes"), ("limit", "0"),
        ("limit", "501"), ("limit", "x"), ("cursor", "x"), ("cursor", ""), ("cursor", "é"),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_refused_by_name(analyst: Client, name: str, value: str) -> None:
    make("c")
    answer = analyst.get("/api/call-logs/", {name: value})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [name])


def test_an_empty_filter_filters_nothing(analyst: Client) -> None:
    make("c")
    names = ["status", "client", "number", "sip_call_id", "started_after", "has_recording", "search", "ordering"]
    assert ids(analyst, **dict.fromkeys(names, "")) == {"c"}


def test_search_finds_ids_numbers_and_names(analyst: Client) -> None:
    client = OurClient.objects.create(name="Ada Lovelace", company="Analytical Engines")
    set_numbers(client, ["+442079460000"], at=timezone.now())
    a = make("call/a", calling_number="+12025550101", called_number="sip:alice@example.com")
    make("b", calling_number="+442079460000", called_number="100")
    make("c", calling_number="+0987654321", called_number="anonymous")
    finds = {
        "call/a": "call/a", str(a.pk): "call/a", "+1202555": "call/a", "1202": "call/a", "+1 202 555": "call/a",
        "sip:alice@example.com": "call/a", "100": "b", "lovelace": "b", "ENGINES": "b", "+44": "b", "+0987": "c",
        "anonymous": "c",
    }  # fmt: skip
    for text, found in finds.items():
        assert ids(analyst, search=text) == {found}, text
    for text in ("202", "+1203", "%", "_", "'", "nobody"):
        assert ids(analyst, search=text) == set(), text


# -- Order and pages ---------------------------------------------------------------------------------


def test_the_newest_is_first_unless_asked_otherwise(analyst: Client) -> None:
    for second in (5, 0, 9):
        record([build_event("initiated", second, call_id=str(second))])
    order = [row["sip_call_id"] for row in listed(analyst)["results"]]
    assert (
        order == [row["sip_call_id"] for row in listed(analyst, ordering="-started_at")["results"]] == ["9", "5", "0"]
    )
    assert [row["sip_call_id"] for row in listed(analyst, ordering="started_at")["results"]] == ["0", "5", "9"]


@pytest.mark.parametrize("ordering", ["-started_at", "started_at"])
@pytest.mark.parametrize("limit", [1, 2, 3, 10, 11])
@pytest.mark.parametrize("query", [{}, {"number": CALLER}, {"number": CALLER[1:], "status": "initiated"}])
def test_pages_lead_forth_and_back_without_skip_or_repeat(
    analyst: Client, ordering: str, limit: int, query: dict[str, str]
) -> None:
    # Many start in the same instant, where only the id tells them apart. The number has made some of the calls and
    # received some, and one it made to itself.
    parties = [(CALLER, CALLEE), (CALLEE, CALLER), (CALLER, CALLER), (CALLER, CALLEE)]
    record(
        [
            build_event("initiated", number // 4, call_id=str(number), calling_number=calling, called_number=called)
            for number, (calling, called) in zip(range(10), cycle(parties), strict=False)
        ]
    )
    whole = [row["id"] for row in listed(analyst, ordering=ordering)["results"]]
    page = listed(analyst, ordering=ordering, limit=limit, **query)
    assert set(page) == {"next", "previous", "results"}
    assert page["previous"] is None
    pages = [page]
    while page["next"]:
        page = analyst.get(page["next"]).json()
        pages.append(page)
    assert [row["id"] for page in pages for row in page["results"]] == whole
    back = [page]
    while page["previous"]:
        page = analyst.get(page["previous"]).json()
        back.append(page)
    assert [[row["id"] for row in page["results"]] for page in back[::-1]] == [
        [row["id"] for row in page["results"]] for page in pages
    ]


def test_pages_stay_right_while_calls_come_in(analyst: Client) -> None:
    record([build_event("initiated", number, call_id=str(number)) for number in range(6)])
    first = listed(analyst, limit=3)
    record([build_event("initiated", 100, call_id="new")])
    second = analyst.get(first["next"]).json()
    assert [row["sip_call_id"] for row in second["results"]] == ["2", "1", "0"]
    back = analyst.get(second["previous"]).json()
    assert [row["sip_call_id"] for row in back["results"]] == ["5", "4", "3"]
    assert [row["sip_call_id"] for row in analyst.get(back["previous"]).json()["results"]] == ["new"]


def test_a_page_keeps_its_filters_and_a_cursor_belongs_to_them(analyst: Client) -> None:
    record([build_event("initiated", number, call_id=str(number)) for number in range(4)])
    page = listed(analyst, limit=2, direction="unknown", number="+1234567890")
    assert [row["sip_call_id"] for row in analyst.get(page["next"]).json()["results"]] == ["1", "0"]
    cursor = page["next"].split("cursor=")[1].split("&")[0]
    for query in ({"cursor": cursor}, {"cursor": cursor, "direction": "inbound"}):
        answer = analyst.get("/api/call-logs/", query)
        assert (answer.status_code, list(answer.json()["errors"])) == (400, ["cursor"])
    assert analyst.get("/api/recordings/", {"cursor": cursor}).status_code == 400


def test_an_empty_list_is_a_page_too(analyst: Client) -> None:
    assert listed(analyst) == {"next": None, "previous": None, "results": []}


# -- What it costs -----------------------------------------------------------------------------------


def queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def test_a_page_and_a_call_cost_a_bounded_number_of_queries(analyst: Client) -> None:
    client = OurClient.objects.create(name="Ada")
    set_numbers(client, [CALLER], at=timezone.now())
    users = [User.objects.create_user(f"agent-{number}") for number in range(5)]
    for number in range(40):
        user = users[number % 5].pk
        table = f"0:00 initiated way=outbound user={user}\n0:05 answered user={user}\n1:00 ended user={user}"
        call = make(str(number), table, called_number=CALLER)
        for _ in range(3):
            add_recording(call)
    analyst.get("/api/call-logs/")  # notes the day of the token's use
    # The token, the rights (two), the page; and for one call its events and recordings.
    assert queries(analyst, "/api/call-logs/") <= 4
    assert queries(analyst, f"/api/call-logs/?search=Ada&has_recording=true&number={CALLER[1:]}&min_duration=1") <= 4
    assert queries(analyst, f"/api/call-logs/{call.pk}/") <= 6
    assert queries(analyst, "/api/call-logs/7/") <= 6
    assert queries(analyst, "/api/recordings/") <= 4
    assert queries(analyst, f"/api/clients/{client.pk}/call_history/") <= 5


# -- Writing a call down -----------------------------------------------------------------------------

NEW = {"caller_number": "+1234567890", "recipient_number": "+0987654321", "direction": "inbound"}


def test_each_time_that_is_given_becomes_its_event(operator: Client) -> None:
    times = {
        "started_at": "2024-04-01T12:00:00Z", "ringing_at": "2024-04-01T12:00:02Z",
        "answered_at": "2024-04-01T12:00:05Z", "ended_at": "2024-04-01T14:01:00+02:00",
    }  # fmt: skip
    body = NEW | times | {"sip_call_id": "x", "call_type": "conference", "notes": "by hand"}
    answer = send(operator, "POST", "call-logs/", body)
    call = answer.json()
    assert answer.status_code == 201
    assert set(call) == KEYS | {"events", "recordings", "recording"}
    assert [(event["event_type"], event["source"]) for event in call["events"]] == [
        ("initiated", "api"), ("ringing", "api"), ("answered", "api"), ("ended", "api"),
    ]  # fmt: skip
    assert {name: call[name] for name in times} == times | {"ended_at": "2024-04-01T12:01:00Z"}
    facets = ["status", "duration", "call_type", "notes", "sip_call_id", "direction", "recipient_number", "anomalies"]
    assert [call[name] for name in facets] == [
        "ended", 60, "conference", "by hand", "x", "inbound", "+0987654321", [],
    ]  # fmt: skip


def test_without_times_the_call_starts_now_or_with_its_first_time(operator: Client) -> None:
    call = send(operator, "POST", "call-logs/", NEW).json()
    assert call["status"] == "initiated"
    assert datetime.fromisoformat(call["started_at"]) > datetime.now(UTC) - timedelta(minutes=1)
    assert call["sip_call_id"]
    call = send(operator, "POST", "call-logs/", NEW | {"answered_at": "2024-04-01T12:00:05Z"}).json()
    assert (call["started_at"], call["status"], call["anomalies"]) == ("2024-04-01T12:00:05Z", "answered", [])


@pytest.mark.parametrize(
    ("cause", "status"),
    [("busy", "busy"), ("17", "busy"), (480, "no_answer"), ("486 Busy Here", "busy"), (None, "missed")],
)
def test_an_unanswered_end_may_have_a_cause(operator: Client, cause: Any, status: str) -> None:
    body = NEW | {"started_at": "2024-04-01T12:00:00Z", "ended_at": "2024-04-01T12:00:30Z"}
    call = send(operator, "POST", "call-logs/", body | ({"cause": cause} if cause else {})).json()
    assert (call["status"], call["ended_at"], call["duration"]) == (status, "2024-04-01T12:00:30Z", None)


def test_a_known_sip_call_id_is_a_conflict(operator: Client, telephony: Client) -> None:
    told(telephony, sip_report(sip_call_id="by-webhook"))
    telephony.post("/process-events/", report(call_id="by-part-a"), content_type="application/json")
    assert send(operator, "POST", "call-logs/", NEW | {"sip_call_id": "by-create"}).status_code == 201
    before = CallEvent.objects.count()
    for known in ("by-webhook", "by-part-a", "by-create"):
        answer = send(operator, "POST", "call-logs/", NEW | {"sip_call_id": known})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert CallEvent.objects.count() == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"caller_number": None}, "caller_number"),
        ({"caller_number": ""}, "caller_number"),
        ({"recipient_number": "x" * 256}, "recipient_number"),
        ({"direction": "unknown"}, "direction"),
        ({"direction": None}, "direction"),
        ({"call_type": "fax"}, "call_type"),
        ({"sip_call_id": " "}, "sip_call_id"),
        ({"sip_call_id": "x" * 256}, "sip_call_id"),
        ({"started_at": "2024-04-01"}, "started_at"),
        ({"ringing_at": 5}, "ringing_at"),
        ({"answered_at": "soon"}, "answered_at"),
        ({"ended_at": "1969-12-31T23:59:59Z"}, "ended_at"),
        ({"ended_at": None}, "ended_at"),
        ({"cause": "gremlins"}, "cause"),
        ({"cause": ""}, "cause"),
        ({"notes": "\x00"}, "notes"),
        ({"notes": []}, "notes"),
    ],
)
def test_create_names_bad_fields(operator: Client, change: dict[str, Any], field: str) -> None:
    answer = send(operator, "POST", "call-logs/", NEW | change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not Call.objects.exists()


@pytest.mark.parametrize("field", list(NEW))
def test_numbers_and_direction_are_required(operator: Client, field: str) -> None:
    body = {name: value for name, value in NEW.items() if name != field}
    assert list(send(operator, "POST", "call-logs/", body).json()["errors"]) == [field]


@pytest.mark.parametrize("body", ["[]", "null", '"x"', "5"])
def test_what_is_no_object_is_a_400(operator: Client, body: str) -> None:
    answer = send(operator, "POST", "call-logs/", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


@pytest.mark.parametrize("body", ["{", "\xff", '{"a": NaN}', "[" * 200_000])
def test_broken_json_is_a_400(operator: Client, body: str) -> None:
    answer = send(operator, "POST", "call-logs/", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


def test_only_json_comes_in_and_at_most_256_kib(operator: Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert operator.generic("POST", "/api/call-logs/", b"a=b", content_type=kind).status_code == 415
    large = send(operator, "POST", "call-logs/", NEW | {"notes": "x" * 256 * 1024})
    assert (large.status_code, large.json()["code"]) == (413, "too_large")


def test_a_call_that_was_written_down_gets_its_client_and_its_agent(operator: Client) -> None:
    client = OurClient.objects.create(name="Ada")
    set_numbers(client, ["+1234567890"], at=timezone.now())
    call = send(operator, "POST", "call-logs/", NEW).json()
    assert (call["client"], call["client_name"], call["handled_by"]) == (client.pk, "Ada", None)
    body = {"caller_number": "100", "recipient_number": "+1234567890", "direction": "outbound"}
    call = send(operator, "POST", "call-logs/", body).json()
    assert (call["client"], call["handled_by_name"]) == (client.pk, User.objects.latest("pk").username)


def test_the_direction_may_come_from_any_source(analyst: Client) -> None:
    make("c", "0:00 initiated\n0:01 ringing way=inbound", source=Source.SIP)
    assert analyst.get("/api/call-logs/c/").json()["direction"] == Direction.INBOUND
