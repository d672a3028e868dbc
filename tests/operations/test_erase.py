"""Erasing a number: nothing of it is left, nothing else changes, and retries are still known."""

import itertools
import json
import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db import connection, models
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.domain.erasure import ERASED, is_erased
from calls.domain.periods import Span
from calls.domain.recordings import RecordingStatus
from calls.models import (
    Call,
    CallEvent,
    CallRecording,
    Client,
    ErasedEvent,
    ErasureReceipt,
    IdempotentRequest,
    RefusedReport,
    SIPConfiguration,
)
from calls.operations import erase as erasing
from calls.operations.audit import note
from calls.operations.erase import NotErasable, begin, read_erasable, run, uses_in_settings
from calls.operations.outcomes import Result
from calls.operations.quarantine import Refusal, keep
from calls.operations.record import record
from calls.operations.recordings import RecordingReport, attach_file, begin_recording, report_recording
from calls.queries.statistics import summary_of
from tests.admin.rows import make_client
from tests.build import at, build_event
from tests.operations.health import assert_calls_follow_from_their_events

NUMBER, OTHER, LONGER = "+12025550123", "+442079460000", "+120255501234"
SPELLINGS = [
    "+12025550123", "12025550123", "0012025550123", "+1 202 555 0123", "+1 (202) 555-0123", "1-202-555-0123",
    "sip:+12025550123@example.com", "sip:12025550123@example.com;user=phone", "tel:+1-202-555-0123",
    "+1\u00a0202\u2011555\u20110123", "%2B12025550123", "SIP/12025550123-0000a1", "+1 (0)202 5550123",
]  # fmt: skip

pytestmark = pytest.mark.django_db


def erase(number: str = NUMBER, **options: Any) -> dict[str, int]:
    erasure = begin(number, user=None, at=at(9000), **options)
    for _ in run(erasure):
        pass
    return {name: count for name, count in erasure.counts.items() if count}


def digits_anywhere(number: str = NUMBER) -> list[str]:
    """Return the columns of all tables in which a number's digits follow each other, whatever is between them."""
    digits, found = number.lstrip("+"), []
    pattern = re.compile(r"(?<![0-9])(?:00)?" + r"[^0-9A-Za-z]{0,5}(?:\(0\))?".join(digits) + r"(?![0-9])")
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if not isinstance(field, models.CharField | models.TextField | models.JSONField | models.BinaryField):
                continue
            for value in model._base_manager.values_list(field.name, flat=True):
                if isinstance(value, bytes | memoryview):
                    text = bytes(value).decode(errors="replace")
                else:
                    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                if pattern.search(text):
                    found.append(f"{field}: {text}")
    return found


def a_call(call_id: str = "call-1", seconds: float = 0, **values: Any) -> list[Any]:
    said = {"calling_number": NUMBER, "called_number": OTHER, "call_id": call_id, **values}
    return [
        build_event("initiated", seconds, **said),
        build_event("answered", seconds + 10, **said),
        build_event("ended", seconds + 70, **said),
    ]


def test_the_canary_sees_every_spelling() -> None:
    for spelling in SPELLINGS:
        record([build_event("dtmf", metadata={"said": spelling}, calling_number=OTHER)])
        assert digits_anywhere(), spelling
        CallEvent.objects.all().delete()


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_goes_from_wherever_it_stands(
    spelling: str, settings: Any, tmp_path: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.MEDIA_ROOT = str(tmp_path)
    user = User.objects.create_user("ada")
    record([
        *a_call("its", calling_number=spelling),
        *a_call("other", calling_number=LONGER, metadata={"x": [{"to": spelling, spelling: 1}], "n": 12025550123}),
    ])  # fmt: skip
    transferred = [*a_call("passed on", calling_number=OTHER)]
    record([*transferred, build_event("transfer_initiated", 20, call_id="passed on", transfer_to=spelling)])
    its, other = Call.objects.get(external_id="its"), Call.objects.get(external_id="other")
    Call.objects.filter(pk=other.pk).update(notes=f"Call back at {spelling}, not {LONGER}")
    for call in (its, other):
        report_recording(
            call,
            RecordingReport(status=RecordingStatus.COMPLETED, transcript=f"My number is {spelling}."),
            at=at(100),
        )
    attach_file(begin_recording(its, at=at(1)), ContentFile(b"RIFF"), name="a.wav", format="wav", at=at(1))
    make_client(NUMBER, OTHER, name=f"Ada {spelling}", notes=spelling)
    bodies = [
        json.dumps({"from": spelling}).encode(),
        b'{"from": "' + spelling.encode(),
        b'{"from":"\\u002b12025550123"}',
    ]
    refusals = [Refusal(body=body, status=400, code="invalid", detail=f"No: {spelling}") for body in bodies]
    keep(refusals, door="process-events", sender="user:1", sender_name="pbx", at=at(5))
    IdempotentRequest.objects.create(
        user=user, path="/x", key="k", body_hash="h", status=201, answer={"caller_number": spelling}, created_at=at(1)
    )
    configuration = SIPConfiguration.objects.create(
        name="main", sip_server="sip.example.com", caller_number=OTHER, last_test={"reason": f"No {spelling}"}
    )
    note(configuration, f"Called {spelling}", user=user)

    before = dict(erase(dry_run=True))
    assert digits_anywhere()
    assert not ErasureReceipt.objects.exists()
    with django_capture_on_commit_callbacks(execute=True):
        assert erase() == before

    assert digits_anywhere() == []
    assert_calls_follow_from_their_events()
    other.refresh_from_db()
    assert other.calling_number == LONGER
    assert other.notes.endswith(f"not {LONGER}")
    assert set(its.recordings.values_list("status", "transcript", "file")) == {("deleted", "", "")}
    assert list(tmp_path.rglob("*.wav")) == []
    kept = other.recordings.get()
    assert kept.status == "completed"
    assert ERASED in kept.transcript
    assert Client.objects.get().phone_numbers == [OTHER]
    assert ERASED in LogEntry.objects.get(object_id=str(configuration.pk)).change_message
    assert RefusedReport.objects.count() == 3
    receipt = ErasureReceipt.objects.get()
    assert receipt.finished_at is not None
    assert receipt.counts["recordings"] == 2
    assert erase() == {}


@settings(max_examples=25)
@given(
    number=st.integers(1_000_000, 10**15 - 1).map(lambda digits: f"+{digits}"),
    data=st.data(),
)
def test_nothing_of_any_number_is_left_anywhere(number: str, data: st.DataObject) -> None:
    digits = number[1:]
    cut = data.draw(st.integers(1, len(digits) - 1))
    spelling = data.draw(
        st.sampled_from(
            [number, digits, f"00{digits}", f"{number[: cut + 1]} {digits[cut:]}", f"+{digits[:cut]}-{digits[cut:]}"]
        )
    )
    text = st.text(st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=["Nd", "Cs"]), max_size=8)
    around = st.tuples(text, text).map(lambda pair: f"{pair[0]}x{spelling}x{pair[1]}")
    value = st.recursive(
        around | st.just(spelling) | st.none() | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text | around, inner, max_size=3),
        max_leaves=8,
    )
    metadata = {"said": data.draw(value)}
    CallEvent.objects.all().delete()
    Call.objects.all().delete()
    record([*a_call(calling_number=spelling, metadata=metadata)])
    record([build_event("dtmf", 5, call_id="another", calling_number=OTHER, called_number=LONGER, metadata=metadata)])
    Call.objects.update(notes=data.draw(around))
    erase(number)
    assert digits_anywhere(number) == []
    assert_calls_follow_from_their_events()
    assert Call.objects.get(external_id="call-1").duration == 70


def figures() -> Any:
    wanted = summary_of(Span(at(-86400), at(86400)))
    columns = ("external_id", "status", "direction", "duration", "ring_seconds", "talk_seconds", "anomalies", "version")
    return wanted, list(Call.objects.order_by("external_id").values_list(*columns))


@override_settings(OWN_NUMBERS=["+1202", "+44207946"])
@pytest.mark.parametrize("number", [NUMBER, OTHER])
def test_counts_durations_directions_and_what_is_odd_stay(number: str) -> None:
    far = "+33142685300"
    record([
        *a_call("a"),
        *a_call("b", called_number=far),
        *a_call("c", calling_number=far, called_number=NUMBER),
        *a_call("d", calling_number="+1 202 555 0123", called_number=far)[:2],
        build_event("dtmf", 5, call_id="b", calling_number="12025550123", called_number=far),
        build_event("initiated", 0, call_id="e", calling_number=far, called_number=OTHER),
        build_event("ended", 30, call_id="e", calling_number=far, called_number=OTHER),
    ])  # fmt: skip
    before = figures()
    erase(number)
    assert digits_anywhere(number) == []
    assert figures() == before


def test_a_retry_of_an_erased_event_is_a_duplicate_and_brings_nothing_back() -> None:
    events = a_call()
    record(events)
    erase()
    assert {outcome.result for outcome in record(events)} == {Result.DUPLICATE}
    assert digits_anywhere() == []
    assert CallEvent.objects.count() == 3


def test_a_conflict_stays_a_conflict() -> None:
    event = build_event(event_id="one", calling_number=NUMBER, called_number=OTHER)
    record([event])
    erase()
    for change in ({"called_number": "+33142685300"}, {"calling_number": LONGER}, {"occurred_at": at(1)}):
        values = {"calling_number": NUMBER, "called_number": OTHER, **change}
        assert record([build_event(event_id="one", **values)])[0].result is Result.CONFLICT
    assert record([event])[0].result is Result.DUPLICATE


def test_after_both_numbers_were_erased_the_event_is_still_known() -> None:
    events = a_call()
    record(events)
    erase(NUMBER)
    erase(OTHER)
    assert digits_anywhere(NUMBER) == digits_anywhere(OTHER) == []
    assert {outcome.result for outcome in record(events)} == {Result.DUPLICATE}


@pytest.mark.parametrize("spelling", ["+12025550123", "12025550123", "sip:12025550123@pbx"])
def test_what_is_still_reported_of_an_erased_call_gets_the_pseudonym_too(spelling: str) -> None:
    first, answer, end = a_call(calling_number=spelling, metadata={"from": spelling})
    record([first])
    erase()
    assert [outcome.result for outcome in record([answer, end, answer])] == [
        Result.CREATED, Result.CREATED, Result.DUPLICATE,
    ]  # fmt: skip
    assert digits_anywhere() == []
    call = Call.objects.get()
    assert is_erased(call.calling_number)
    assert (call.duration, call.anomalies, call.version) == (70, 0, 3)
    assert {outcome.result for outcome in record([first, answer, end])} == {Result.DUPLICATE}
    assert_calls_follow_from_their_events()


def test_a_late_event_of_a_further_number_of_the_call_is_covered_too() -> None:
    record([*a_call(calling_number=OTHER), build_event("dtmf", 5, calling_number=NUMBER)])
    erase()
    record([build_event("dtmf", 6, calling_number=NUMBER)])
    assert digits_anywhere() == []
    assert_calls_follow_from_their_events()


def test_a_new_call_of_the_number_is_new() -> None:
    record(a_call())
    erase()
    record(a_call("call-2", 500))
    assert Call.objects.get(external_id="call-2").calling_number == NUMBER
    assert "calls" in erase()
    assert digits_anywhere() == []
    assert len({call.calling_number for call in Call.objects.all()}) == 1
    assert ErasureReceipt.objects.count() == 2


def test_a_recording_that_is_reported_late_for_an_erased_call_is_not_kept() -> None:
    record(a_call())
    erase()
    report = RecordingReport(status=RecordingStatus.COMPLETED, transcript="Hello", file_url="https://example.com/a")
    report_recording(Call.objects.get(), report, at=at(9500))
    kept = CallRecording.objects.get()
    assert (kept.status, kept.transcript, kept.file_url) == ("deleted", "", "")


def test_with_another_key_a_retry_is_a_conflict_and_still_brings_nothing_back() -> None:
    events = a_call()
    record(events)
    erase()
    with override_settings(SECRET_KEY="another-" + "y" * 50, SECRET_KEY_FALLBACKS=[]):
        assert {outcome.result for outcome in record(events)} == {Result.CONFLICT}
    assert digits_anywhere() == []


def test_a_number_that_comes_back_because_its_key_is_gone_is_told_loudly(caplog: Any) -> None:
    events = a_call()
    record(events[:1])
    erase()
    record(events[1:2])
    assert "no key tells" not in caplog.text
    with override_settings(SECRET_KEY="another-" + "y" * 50, SECRET_KEY_FALLBACKS=[]):
        record(events[2:])
    assert "no key tells" in caplog.text
    assert NUMBER.lstrip("+") not in caplog.text
    erase()
    assert digits_anywhere() == []


def test_with_the_old_key_among_the_fallbacks_a_retry_is_known(settings: Any) -> None:
    events = a_call()
    record(events[:2])
    erase()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-" + "y" * 50
    assert {outcome.result for outcome in record(events[:2])} == {Result.DUPLICATE}
    record(events)
    assert digits_anywhere() == []


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_an_interrupted_run_is_gone_on_with(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "CALLS_AT_ONCE", 2)
    for place in range(5):
        record(a_call(f"call-{place}", place * 100))
    record([build_event("dtmf", call_id="x", calling_number=OTHER, metadata={"for": NUMBER})])
    make_client(NUMBER, name="Ada")
    for _ in itertools.islice(run(begin(NUMBER, user=None, at=timezone.now())), steps):
        pass
    assert ErasureReceipt.objects.get().finished_at is None
    erase()
    assert digits_anywhere() == []
    receipt = ErasureReceipt.objects.get()
    assert receipt.finished_at is not None
    assert {name: receipt.counts[name] for name in ("calls", "events", "calls that mention it", "client numbers")} == {
        "calls": 5, "events": 16, "calls that mention it": 1, "client numbers": 1,
    }  # fmt: skip


def test_a_client_without_numbers_is_left_and_is_no_longer_that_of_the_calls() -> None:
    record(a_call(direction="inbound"))
    client = make_client(NUMBER, name="Ada")
    assert Call.objects.get().client == client
    erase()
    assert Call.objects.get().client is None
    assert Client.objects.get().phone_numbers == []


@pytest.mark.parametrize("text", ["", "anonymous", "100", "+12", "+123456", "+1234567890123456", "alice"])
def test_what_cannot_be_told_from_other_figures_is_refused(text: str) -> None:
    with pytest.raises(NotErasable):
        read_erasable(text)


@pytest.mark.parametrize(("text", "number"), [("+1 (202) 555-0123", NUMBER), ("+0987654321", "+0987654321")])
def test_a_number_may_be_given_spaced(text: str, number: str) -> None:
    assert read_erasable(text) == number


def test_a_number_with_a_zero_in_front_goes_too() -> None:
    record(a_call(calling_number="+0987654321"))
    erase("+0987654321")
    assert digits_anywhere("+0987654321") == []


def test_ids_that_hold_the_number_are_counted_and_stay() -> None:
    record(a_call("12025550123-1@pbx"))
    assert erase()["ids left"] == 1
    assert Call.objects.get().external_id == "12025550123-1@pbx"


@override_settings(OWN_NUMBERS=[NUMBER])
def test_where_operators_have_set_the_number_is_told() -> None:
    SIPConfiguration.objects.create(name="main", sip_server="sip.example.com", caller_number=NUMBER)
    assert uses_in_settings(NUMBER) == ["the SIP configuration main", "the setting OWN_NUMBERS"]
    assert uses_in_settings(OTHER) == []


def test_a_call_without_anything_erased_costs_no_statement_more() -> None:
    record(a_call("erased")[:1])
    erase()
    record(a_call("plain")[:1])
    with CaptureQueriesContext(connection) as queries:
        record(a_call("plain")[1:2])
    assert len(queries) > 2
    assert not any("erased" in query["sql"] for query in queries.captured_queries)
    assert ErasedEvent.objects.count() == 1
