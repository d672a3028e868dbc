"""`POST /process-events/`: what is accepted, what is refused, and that nothing is lost."""

import json
from typing import Any

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.models import Call, CallEvent
from tests.build import report, sign_in
from tests.ingest.ways import ShortcutHandler

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True, params=["view", "shortcut"])
def way(request: Any, monkeypatch: Any) -> str:
    """Every test runs over the REST view and over the shortcut."""
    if request.param == "shortcut":
        monkeypatch.setattr("django.test.client.ClientHandler", ShortcutHandler)
    return str(request.param)


URL = "/process-events/"


def send(client: Client, body: Any, *, url: str = URL, kind: str = "application/json", **extra: Any) -> Any:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    return client.post(url, data, content_type=kind, CONTENT_TYPE=kind, **extra)


def nothing_is_stored() -> bool:
    return not Call.objects.exists() and not CallEvent.objects.exists()


# -- One event ------------------------------------------------------------------------------------


def test_an_event_is_stored_and_answered(telephony: Client, way: str) -> None:
    before = ShortcutHandler.answered
    answer = send(telephony, report(event_id="e1", call_id="c1"))
    assert answer.status_code == 200
    assert answer.json() == {"event_id": "e1", "call_id": "c1", "result": "created", "call_status": "initiated"}
    event = CallEvent.objects.select_related("call").get()
    assert (event.word, event.type, event.source) == ("INITIATE", "initiated", "process_events")
    assert event.call.external_id == "c1"
    assert ShortcutHandler.answered - before == (way == "shortcut")


def test_the_three_events_of_a_call_complete_it(telephony: Client) -> None:
    for word, minute in [("INITIATE", 0), ("ANSWER", 1), ("DISCONNECT", 2)]:
        answer = send(telephony, report(event=word, created_at=f"2024-04-01T12:0{minute}:00Z"))
    assert answer.json()["call_status"] == "ended"
    assert Call.objects.get().duration == 120


def test_the_same_event_again_is_a_duplicate_however_its_time_is_spelled(telephony: Client) -> None:
    body = report()
    send(telephony, body)
    for spelling in [
        "2024-04-01T12:00:00Z",
        "2024-04-01T14:00:00+02:00",
        "2024-04-01 12:00:00",
        "2024-04-01T12:00:00.000",
    ]:
        answer = send(telephony, body | {"created_at": spelling, "extra": "new"})
        assert (answer.status_code, answer.json()["result"]) == (200, "duplicate")
    assert CallEvent.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"call_id": "other"},
        {"event": "ANSWER"},
        {"calling_number": "+12025550101"},
        {"called_number": "+12025550101"},
        {"created_at": "2024-04-01T12:00:00.000001Z"},
    ],
)
def test_the_same_id_with_other_content_is_a_conflict(telephony: Client, change: dict[str, str]) -> None:
    body = report()
    send(telephony, body)
    answer = send(telephony, body | change)
    assert answer.status_code == 409
    assert answer.json()["code"] == "conflict"
    assert (Call.objects.count(), CallEvent.objects.count()) == (1, 1)


def test_a_refused_event_may_use_its_id_again_corrected(telephony: Client) -> None:
    body = report()
    assert send(telephony, body | {"called_number": "12"}).status_code == 400
    assert nothing_is_stored()
    assert send(telephony, body).json()["result"] == "created"


def test_ids_may_be_integers_and_count_as_their_digits(telephony: Client) -> None:
    answer = send(telephony, report(event_id=7, call_id=123456789012345678901234567890))
    assert answer.json()["event_id"] == "7"
    assert answer.json()["call_id"] == "123456789012345678901234567890"
    assert (
        send(telephony, report(event_id="7", call_id="123456789012345678901234567890")).json()["result"] == "duplicate"
    )


@pytest.mark.parametrize("call_id", [" padded ", "ÜÑÏ/\\?#%", "x" * 255, "😀" * 255, "tab\tnew\nline", "00123", "null"])
def test_ids_are_kept_exactly_as_sent(telephony: Client, call_id: str) -> None:
    assert send(telephony, report(call_id=call_id)).json()["call_id"] == call_id
    assert Call.objects.get().external_id == call_id


def test_other_keys_are_kept_as_metadata(telephony: Client) -> None:
    send(telephony, report(agent={"name": "Ada", "skills": [1, 2.5, None, True]}, queue="Ünïts"))
    assert CallEvent.objects.get().metadata == {
        "agent": {"name": "Ada", "skills": [1, 2.5, None, True]},
        "queue": "Ünïts",
    }


def test_metadata_never_affects_the_state(telephony: Client) -> None:
    send(telephony, report(event="DISCONNECT", cause="busy", sip_code=486, direction="outbound"))
    call = Call.objects.get()
    assert (call.status, call.cause, call.direction) == ("missed", None, "unknown")


def test_a_time_ahead_of_ours_is_accepted_and_odd(telephony: Client) -> None:
    assert send(telephony, report(created_at="2099-01-01T00:00:00Z")).status_code == 200
    assert [anomaly.code for anomaly in Call.objects.get().anomaly_list] == ["future_time"]


def test_a_call_may_last_from_1970_to_2099(telephony: Client) -> None:
    times = {"INITIATE": "1970-01-01T00:00:00Z", "ANSWER": "1970-01-01T00:00:00Z", "DISCONNECT": "2099-12-31T23:59:59Z"}
    for word, time in times.items():
        assert send(telephony, report(event=word, created_at=time)).status_code == 200
    assert Call.objects.get().duration == 4_102_444_799


@pytest.mark.parametrize("text", ["false", "0", "true", "1", "True"])
def test_a_dry_run_answers_the_same_and_stores_nothing(telephony: Client, text: str) -> None:
    answer = send(telephony, report(), url=f"{URL}?dry_run={text}")
    assert (answer.status_code, answer.json()["result"]) == (200, "created")
    assert nothing_is_stored() == (text.lower() in ("true", "1"))


def test_a_dry_run_that_is_neither_true_nor_false_is_refused(telephony: Client) -> None:
    answer = send(telephony, report(), url=f"{URL}?dry_run=maybe")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["dry_run"])
    assert nothing_is_stored()


def test_the_path_without_its_last_slash_is_served(telephony: Client) -> None:
    assert send(telephony, report(), url="/process-events").status_code == 200
    assert CallEvent.objects.count() == 1


@pytest.mark.parametrize("accept", ["application/xml", "text/html", "image/png", "*/*", "garbage"])
def test_json_goes_out_whatever_is_accepted(telephony: Client, accept: str) -> None:
    answer = send(telephony, report(), headers={"accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert CallEvent.objects.count() == 1


def test_a_byte_order_mark_is_no_reason_to_lose_an_event(telephony: Client) -> None:
    assert send(telephony, b"\xef\xbb\xbf" + json.dumps(report()).encode()).status_code == 200


# -- What is refused -------------------------------------------------------------------------------

REQUIRED = ["event_id", "call_id", "event", "calling_number", "called_number", "created_at"]
ABSENT = object()


@pytest.mark.parametrize("field", REQUIRED)
@pytest.mark.parametrize("value", [ABSENT, None, "", " ", [], {}, True, 1.5])
def test_every_field_is_required_and_of_its_kind(telephony: Client, field: str, value: Any) -> None:
    body = report(**{field: value})
    if value is ABSENT:
        del body[field]
    answer = send(telephony, body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"
    assert list(answer.json()["errors"]) == [field]
    assert nothing_is_stored()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", "x" * 256),
        ("call_id", "x" * 256),
        ("event", "initiate"),
        ("event", "RINGING"),
        ("event", 1),
        ("calling_number", "1234567890"),
        ("calling_number", "+0987654321"),
        ("calling_number", "+1234567890\n"),
        ("calling_number", "+١٢٣٤٥٦٧٨"),
        ("calling_number", "anonymous"),
        ("calling_number", 1234567890),
        ("called_number", "+1234567890123456"),
        ("called_number", "+1"),
        ("created_at", "2024-04-01"),
        ("created_at", "2024-W14-1"),
        ("created_at", "٢٠٢٤-٠٤-٠١T١٢:٠٠:٠٠Z"),
        ("created_at", 1711972800),
        ("created_at", "1969-12-31T23:59:59Z"),
        ("created_at", "2100-01-01T00:00:00Z"),
    ],
)
def test_a_bad_value_is_refused_by_name(telephony: Client, field: str, value: Any) -> None:
    answer = send(telephony, report(**{field: value}))
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]
    assert answer.json()["detail"]
    assert nothing_is_stored()


def test_all_wrong_fields_are_named_at_once(telephony: Client) -> None:
    assert list(send(telephony, {}).json()["errors"]) == REQUIRED


@pytest.mark.parametrize("number", ["+1 (234) 567-890", "001234567890", "1234567890", "tel:+1-234-567-890"])
def test_a_badly_written_number_gets_a_suggestion(telephony: Client, number: str) -> None:
    answer = send(telephony, report(calling_number=number))
    assert "Did you mean +1234567890?" in answer.json()["errors"]["calling_number"][0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b"not json",
        b"null",
        b"5",
        b'"text"',
        b'{"event_id": NaN}',
        b"\xff\xfe",
        b'{"event_id": "\xff"}',
        b'{"event_id": "\\ud800"}',
        b'{"event_id": "\xed\xa0\x80"}',
        b'{"x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"x":' * 10_000 + b"1" + b"}" * 10_000,
        b"[" * 30_000 + b"]" * 30_000,
        b"[" * 30_000,
        b'{"event_id": 1e999}',
        b'{"event_id": ' + b"1" * 5_000 + b"}",
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
def test_broken_json_is_a_400(telephony: Client, body: bytes) -> None:
    answer = send(telephony, body)
    assert answer.status_code == 400
    # An array that can be cut into elements is a batch, of which none was accepted.
    assert answer.json()["code"] == ("all_rejected" if body.endswith(b"]]") else "invalid_json")
    assert nothing_is_stored()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (report(event_id="a\x00b"), "event_id"),
        (report(call_id="\x00"), "call_id"),
        (report(agent={"deep": ["\x00"]}), "agent"),
        (report(agent={"\x00": 1}), "agent"),
        (report(**{"na\x00me": 1}), "na␀me"),
    ],
)
def test_nul_characters_are_refused_by_name(telephony: Client, body: dict[str, Any], field: str) -> None:
    answer = send(telephony, body)
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]
    assert nothing_is_stored()


def test_a_written_out_escape_of_nul_is_no_nul(telephony: Client) -> None:
    assert send(telephony, report(call_id="\\u0000")).status_code == 200


def test_metadata_may_be_deep_but_not_endless(telephony: Client) -> None:
    def nested(depth: int) -> Any:
        return [nested(depth - 1)] if depth else "x"

    assert send(telephony, report(x=nested(31))).status_code == 200
    assert list(send(telephony, report(x=nested(32))).json()["errors"]) == ["x"]


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/xml",
        "text/json",
        "application/json; charset=utf-16",
        "",
    ],
)
def test_only_json_comes_in(telephony: Client, kind: str) -> None:
    answer = send(telephony, json.dumps(report()), kind=kind)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert nothing_is_stored()


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON", 'application/json; charset="UTF-8"'])
def test_json_comes_in_however_its_type_is_written(telephony: Client, kind: str) -> None:
    assert send(telephony, report(), kind=kind).status_code == 200


def padded(size: int) -> bytes:
    body = json.dumps(report(padding="")).encode()
    return body.replace(b'"padding": ""', b'"padding": "' + b"x" * (size - len(body)) + b'"')


def test_one_event_may_have_64_kib_and_no_more(telephony: Client) -> None:
    assert send(telephony, padded(64 * 1024)).status_code == 200
    answer = send(telephony, padded(64 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer["Content-Type"] == "application/json"
    assert CallEvent.objects.count() == 1


def test_a_body_over_10_mib_is_a_json_413(telephony: Client) -> None:
    answer = send(telephony, b"[" + b" " * (10 * 1024 * 1024) + b"]")
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


# -- Who may, and in which order things are checked ---------------------------------------------------


def test_a_missing_or_wrong_token_is_a_401_before_anything_else(telephony: Client) -> None:
    for headers in ({}, {"authorization": "Token wrong"}, {"authorization": "Token"}, {"authorization": "Token a b"},
                    {"authorization": "Token \xff"}):  # fmt: skip
        for method in ("POST", "GET", "DELETE"):
            answer = Client(headers=headers).generic(method, URL, "<broken", content_type="text/xml")
            assert answer.status_code == 401
            assert answer["WWW-Authenticate"] == "Token"
            assert set(answer.json()) == {"detail", "code"}
    assert nothing_is_stored()


def test_a_right_token_without_the_right_is_a_403_before_anything_else(analyst: Client) -> None:
    for client in (analyst, sign_in()):
        assert client.get(URL).status_code == 403
        assert send(client, "<broken", kind="text/xml").status_code == 403
    assert nothing_is_stored()


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete"])
def test_only_post_is_known(telephony: Client, method: str) -> None:
    answer = getattr(telephony, method)(URL)
    assert answer.status_code == 405
    assert "POST" in answer["Allow"]


def test_the_media_type_is_checked_before_the_size_and_the_size_before_the_content(telephony: Client) -> None:
    huge = b"{" * (10 * 1024 * 1024 + 1)
    assert send(telephony, huge, kind="text/plain").status_code == 415
    assert send(telephony, huge).status_code == 413


def test_a_signed_in_person_with_the_right_needs_the_csrf_token(client: Client) -> None:
    from django.contrib.auth.models import Group, User

    user = User.objects.create_user("person")
    user.groups.add(Group.objects.get(name="Telephony systems"))
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert send(strict, report()).status_code == 403
    strict.cookies["csrftoken"] = "a" * 32
    assert send(strict, report(), headers={"x-csrftoken": "a" * 32}).status_code == 200


# -- Batches -----------------------------------------------------------------------------------------


def ndjson(*bodies: Any) -> bytes:
    return b"\n".join(body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies)


def test_a_batch_is_counted(telephony: Client) -> None:
    body = [report(), report(event="ANSWER", created_at="2024-04-01T12:00:05Z")]
    answer = send(telephony, body)
    assert (answer.status_code, answer.json()) == (200, {"created": 2, "duplicates": 0, "rejected": []})
    answer = send(telephony, body)
    assert (answer.status_code, answer.json()) == (200, {"created": 0, "duplicates": 2, "rejected": []})


def test_a_batch_stores_what_is_valid_and_lists_the_rest(telephony: Client) -> None:
    first = report(event_id="a")
    body = [
        first,
        report(event_id="b", event="?"),
        5,
        report(event_id=9, created_at="x"),
        first | {"call_id": "other"},
        first,
    ]
    answer = send(telephony, body)
    assert answer.status_code == 207
    told = answer.json()
    assert (told["created"], told["duplicates"]) == (1, 1)
    assert [(r["index"], r["event_id"], r["code"], list(r["errors"])) for r in told["rejected"]] == [
        (1, "b", "invalid", ["event"]),
        (2, None, "invalid_json", ["non_field_errors"]),
        (3, "9", "invalid", ["created_at"]),
        (4, "a", "conflict", ["event_id"]),
    ]
    assert (Call.objects.count(), CallEvent.objects.count()) == (1, 1)


def test_a_batch_with_nothing_valid_is_a_400(telephony: Client) -> None:
    answer = send(telephony, [{}, {"event_id": None}])
    assert answer.status_code == 400
    assert (answer.json()["created"], len(answer.json()["rejected"]), answer.json()["code"]) == (0, 2, "all_rejected")


@pytest.mark.parametrize(
    ("body", "kind"), [(b"[]", "application/json"), (b"\n\n", "application/x-ndjson"), (b"", "application/x-ndjson")]
)
def test_an_empty_batch_is_a_400(telephony: Client, body: bytes, kind: str) -> None:
    answer = send(telephony, body, kind=kind)
    assert (answer.status_code, answer.json()["code"]) == (400, "empty")


def test_a_broken_array_is_refused_whole(telephony: Client) -> None:
    answer = send(telephony, json.dumps([report()])[:-1])
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    assert nothing_is_stored()


@pytest.mark.parametrize(
    "broken",
    [b'{"event_id": "\\ud800"}', b"[" * 5_000 + b"]" * 5_000, b"{nonsense}", b'{"a" 1}', b"\xff", b"", b'"}]"', b"nul"],
)
def test_a_broken_element_of_an_array_is_refused_alone(telephony: Client, broken: bytes) -> None:
    good = json.dumps(report(note='tricky "], [{ \\ text')).encode()
    answer = send(telephony, b"[" + good + b" , " + broken + b"," + json.dumps(report()).encode() + b"]")
    assert answer.status_code == 207, answer.content
    assert answer.json()["created"] == 2
    assert [(r["index"], r["code"]) for r in answer.json()["rejected"]] == [(1, "invalid_json")]


@pytest.mark.parametrize("body", [b"[{}", b"[{}]]", b"[{]}", b'["', b"[]x", b"[{}] [{}]", b"[1,2"])
def test_what_is_no_array_is_refused_whole(telephony: Client, body: bytes) -> None:
    answer = send(telephony, body)
    assert answer.status_code == 400
    assert nothing_is_stored()


def test_a_compressed_body_is_a_415(telephony: Client) -> None:
    assert send(telephony, report(), headers={"content-encoding": "gzip"}).status_code == 415
    assert send(telephony, report(), headers={"content-encoding": "identity"}).status_code == 200


def test_a_broken_ndjson_line_is_refused_alone(telephony: Client) -> None:
    answer = send(telephony, ndjson(report(), b'{"broken', report(), b"") + b"\r\n", kind="application/x-ndjson")
    assert answer.status_code == 207
    assert answer.json()["created"] == 2
    assert [(r["index"], r["code"]) for r in answer.json()["rejected"]] == [(1, "invalid_json")]


def test_one_ndjson_line_is_a_batch_of_one(telephony: Client) -> None:
    assert send(telephony, ndjson(report()), kind="application/x-ndjson").json()["created"] == 1


def test_a_batch_may_have_10_000_events_and_no_more(telephony: Client) -> None:
    line = json.dumps(report(), separators=(",", ":"))
    answer = send(telephony, "\n".join([line] * 10_000), kind="application/x-ndjson")
    assert (answer.json()["created"], answer.json()["duplicates"]) == (1, 9_999)
    assert send(telephony, "\n".join([line] * 10_001), kind="application/x-ndjson").status_code == 413
    assert send(telephony, "[" + ",".join([line] * 10_001) + "]").status_code == 413


def test_an_event_over_64_kib_makes_its_batch_a_413(telephony: Client) -> None:
    answer = send(telephony, b"[" + json.dumps(report()).encode() + b"," + padded(64 * 1024 + 1) + b"]")
    assert answer.status_code == 413
    assert nothing_is_stored()


def test_a_dry_run_judges_a_batch_as_if_it_were_stored(telephony: Client) -> None:
    first = report(event_id="a")
    body = [first, first, first | {"event": "ANSWER"}]
    dry = send(telephony, body, url=f"{URL}?dry_run=true")
    assert nothing_is_stored()
    assert dry.json() == send(telephony, body).json()
    assert (dry.json()["created"], dry.json()["duplicates"], len(dry.json()["rejected"])) == (1, 1, 1)


def test_the_order_within_a_batch_does_not_matter(telephony: Client) -> None:
    send(telephony, [report(event="DISCONNECT", created_at="2024-04-01T12:01:00Z"), report(), report(event="ANSWER")])
    assert (Call.objects.get().status, Call.objects.get().duration) == ("ended", 60)


def test_the_number_of_queries_does_not_grow_with_the_batch(
    telephony: Client, django_assert_max_num_queries: Any
) -> None:
    send(telephony, report())  # the token's first use of the day is noted
    for size in (1, 500):
        with django_assert_max_num_queries(7):
            send(telephony, [report(call_id=f"{size}-{place}") for place in range(size)])


# -- Anything at all ----------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=120)
@given(change=st.dictionaries(st.sampled_from([*REQUIRED, "other"]), JSON, max_size=3))
def test_whatever_stands_in_the_fields_gets_a_clear_answer(telephony: Client, change: dict[str, Any]) -> None:
    answer = send(telephony, json.dumps(report() | change))
    assert answer.status_code in (200, 400, 409)
    assert answer.status_code == 200 or {"detail", "code"} <= set(answer.json())


@settings(max_examples=120)
@given(body=st.binary(max_size=200), kind=st.sampled_from(["application/json", "application/x-ndjson"]))
def test_whatever_bytes_come_get_a_clear_answer(telephony: Client, body: bytes, kind: str) -> None:
    assert send(telephony, body, kind=kind).status_code == 400


def test_a_chunked_body_on_a_server_that_cannot_read_it_is_a_411_and_no_empty_body(telephony: Client) -> None:
    answer = telephony.generic(
        "POST",
        URL,
        b"",
        content_type="application/json",
        CONTENT_TYPE="application/json",
        HTTP_TRANSFER_ENCODING="chunked",
    )
    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")
