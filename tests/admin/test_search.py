"""Searching: exact ids and numbers, or how a number begins; never a look into every row."""

from uuid import uuid4

import pytest

from calls.admin import search
from calls.domain.events import call_uuid
from calls.domain.vocabulary import Source
from calls.operations.record import record
from tests.admin.pages import CALLS, EVENTS, shown_calls, text_of, visit
from tests.build import build_event, read_table

pytestmark = pytest.mark.django_db


def found(text: str, **filters: str) -> set[str]:
    return set(shown_calls(visit().get(CALLS, {"q": text, **filters})))


def found_events(text: str) -> set[str]:
    response = visit().get(EVENTS, {"q": text})
    return {event.event_id for event in response.context["cl"].result_list}


@pytest.fixture
def some_calls() -> None:
    """Calls from and to different numbers."""
    for call, calling, called in (
        ("us-1", "+12025550101", "+493012345678"),
        ("us-2", "+12025550102", "+12025550101"),
        ("de", "+493012345678", "+4915112345678"),
        ("inside", "1001", "anonymous"),
        ("self", "+33142685300", "+33142685300"),
    ):
        record(read_table("0:00 initiated\n0:05 ended", call_id=call, calling_number=calling, called_number=called))


@pytest.mark.usefixtures("some_calls")
@pytest.mark.parametrize(
    "text",
    [
        "+12025550101",
        "+1 202 555 0101",
        "12025550101",
        "1-202-555-0101",
        " +1 (202) 555-0101 ",
        "0012025550101",
        "tel:+12025550101",
    ],
)
def test_a_number_is_found_however_it_is_written(text: str):
    assert found(text) == {"us-1", "us-2"}


@pytest.mark.usefixtures("some_calls")
@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("+1202", {"us-1", "us-2"}),
        ("1202 555", {"us-1", "us-2"}),
        ("+49", {"us-1", "de"}),
        ("0049 30", {"us-1", "de"}),
        ("+49 (0)30 12345678", {"us-1", "de"}),
        ("100", {"inside"}),
        ("1001", {"inside"}),
        ("anon", {"inside"}),
        ("+331", {"self"}),
        ("+7", set()),
        ("0101", set()),
        ("%", set()),
        ("+", {"us-1", "us-2", "de", "self"}),
    ],
)
def test_a_number_is_found_by_how_it_begins(text: str, calls: set[str]):
    assert found(text) == calls


@pytest.mark.usefixtures("some_calls")
def test_a_call_is_found_by_its_exact_id_only():
    assert found("us-1") == {"us-1"}
    assert found("us-") == set()
    assert found("US-1") == set()
    assert found(str(call_uuid("de"))) == {"de"}
    assert found(call_uuid("de").hex.upper()) == {"de"}
    assert found(str(uuid4())) == set()


def test_a_call_whose_id_looks_like_a_number_is_found_beside_the_number():
    record([build_event(call_id="1001", calling_number="+12025550101")])
    record([build_event(call_id="other", calling_number="1001")])
    assert found("1001") == {"1001", "other"}


@pytest.mark.usefixtures("some_calls")
def test_a_search_is_narrowed_by_filters():
    assert found("+1202", status="missed", direction="unknown") == {"us-1", "us-2"}
    assert found("+1202", status="ended") == set()
    assert found("+1202", in_progress="yes") == set()


@pytest.mark.parametrize(
    "text", ["x" * 256, "\x00", "\udbff".encode("utf-8", "replace").decode(), "\U0010ffff", "'", "\\"]
)
def test_strange_searches_find_nothing_and_break_nothing(text: str):
    record([build_event()])
    browser = visit()
    for address in (CALLS, EVENTS):
        assert browser.get(address, {"q": text}).status_code == 200


def test_a_beginning_that_many_numbers_share_is_looked_for_newest_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "NUMBERS_AT_MOST", 3)
    for number in range(8):
        record([build_event(call_id=f"c-{number}", seconds=number, calling_number=f"+1202555010{9 - number}")])
    record([build_event(call_id="else", seconds=9, calling_number="+4930", called_number="+4930")])
    response = visit().get(CALLS, {"q": "+1202"})
    assert shown_calls(response) == [f"c-{number}" for number in range(7, -1, -1)]
    assert "More than 3 numbers begin with +1202" in text_of(response.content.decode())
    assert found("+12025550109") == {"c-0"}


def test_an_id_wins_over_a_beginning_that_many_numbers_share(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "NUMBERS_AT_MOST", 3)
    for number in range(8):
        record([build_event(call_id=f"c-{number}", calling_number=f"+1202555010{number}")])
    record([build_event(call_id="1202", calling_number="+4930")])
    assert found("1202") == {"1202"}


def test_a_successor_follows_every_text_that_begins_alike():
    assert search._successor("+1202") == "+1203"
    assert search._successor("a\U0010ffff") == "b"
    assert search._successor("\ud7ff") == "\ue000"
    assert search._successor("\U0010ffff") is None


def test_an_event_is_found_by_its_exact_id_in_every_source():
    for source in Source:
        record([build_event("dtmf", source=source, event_id="same", call_id=f"call-{source}")])
    record([build_event(event_id="same-but-longer")])
    response = visit().get(EVENTS, {"q": "same"})
    assert {event.source for event in response.context["cl"].result_list} == set(Source)
    assert found_events("sam") == set()


def test_events_are_found_by_their_call_and_by_a_number_of_it():
    record(read_table("0:00 initiated id=a\n0:05 ended id=b", call_id="c-1", calling_number="+12025550101"))
    record(read_table("0:00 initiated id=c", call_id="c-2", calling_number="+12025550102"))
    assert found_events("c-1") == {"a", "b"}
    assert found_events(str(call_uuid("c-1"))) == {"a", "b"}
    assert found_events("1 202 555 0101") == {"a", "b"}
    assert found_events("+1202") == {"a", "b", "c"}
    assert found_events("c-") == set()


def test_the_search_for_events_goes_back_a_bounded_number_of_calls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "CALLS_AT_MOST", 2)
    for number in range(4):
        record([build_event(event_id=f"e-{number}", call_id=f"c-{number}", seconds=number)])
    response = visit().get(EVENTS, {"q": "+1234567890"})
    assert [event.event_id for event in response.context["cl"].result_list] == ["e-3", "e-2"]
    assert "the newest 2 such calls only" in text_of(response.content.decode())
