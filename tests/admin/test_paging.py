"""Long lists: no row is skipped or shown twice, nothing is counted, and every page costs the same."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from calls.admin import keyset, paging
from calls.admin.calls import CallAdmin
from calls.admin.events import CallEventAdmin
from calls.models import Call, CallEvent
from calls.operations.record import record
from tests.admin.pages import CALLS, EVENTS, link_to, rows_of, shown_calls, shown_ids, text_of, visit
from tests.build import build_event

pytestmark = pytest.mark.django_db


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of five rows a page."""
    monkeypatch.setattr(CallAdmin, "list_per_page", 5)
    monkeypatch.setattr(CallEventAdmin, "list_per_page", 5)


def make_calls(count: int, *, same_start: int = 1, **values: Any) -> None:
    """Record calls, `same_start` of them at each instant, so that only their ids tell these apart."""
    record([build_event(call_id=f"c-{n}", seconds=n // same_start, **values) for n in range(count)])


def walk(browser: Client, address: str, relation: str = "next") -> Iterator[Any]:
    """Yield the pages of a list, following its links to the end."""
    path = address.partition("?")[0]
    for _ in range(100):
        response = browser.get(address)
        yield response
        if not (link := link_to(response, relation)):
            return
        address = path + link
    raise AssertionError("The pages do not end.")


@pytest.mark.usefixtures("short_pages")
@pytest.mark.parametrize(
    "address", [CALLS, EVENTS, CALLS + "?q=%2B12345", CALLS + "?direction=unknown", EVENTS + "?q=%2B12345"]
)
@pytest.mark.parametrize("count", [0, 1, 5, 6, 23])
def test_walking_forth_and_back_shows_every_row_once(address: str, count: int):
    make_calls(count, same_start=4)
    model = Call if address.startswith(CALLS) else CallEvent
    wanted = list(model._default_manager.values_list("pk", flat=True))
    browser = visit()
    forth = list(walk(browser, address))
    assert [pk for page in forth for pk in shown_ids(page)] == wanted
    last = forth[-1].request
    back = list(walk(browser, f"{last['PATH_INFO']}?{last['QUERY_STRING']}", "prev"))
    assert [shown_ids(page) for page in back] == [shown_ids(page) for page in reversed(forth)]


@pytest.mark.usefixtures("short_pages")
def test_calls_that_arrive_while_reading_shift_no_page():
    make_calls(12)
    browser = visit()
    first = browser.get(CALLS)
    record([build_event(call_id="late", seconds=1000)])
    second = browser.get(CALLS + link_to(first, "next"))
    assert shown_calls(first) + shown_calls(second) == [f"c-{n}" for n in range(11, 1, -1)]
    newer = browser.get(CALLS + link_to(second, "prev"))
    assert shown_calls(newer) == shown_calls(first)
    assert shown_calls(browser.get(CALLS + link_to(newer, "prev"))) == ["late"]
    assert shown_calls(browser.get(CALLS + link_to(second, "first")))[0] == "late"


@pytest.mark.usefixtures("short_pages")
def test_a_page_keeps_the_filters_and_a_filter_begins_at_the_first_page():
    make_calls(12)
    browser = visit()
    first = browser.get(CALLS + "?in_progress=yes&q=%2B1234567890")
    second = browser.get(CALLS + link_to(first, "next"))
    assert shown_calls(second) == [f"c-{n}" for n in range(6, 1, -1)]
    spec = next(spec for spec in second.context["cl"].filter_specs if spec.parameter_name == "status")
    assert all("older" not in choice["query_string"] for choice in spec.choices(second.context["cl"]))
    assert 'name="older"' not in second.content.decode()


@pytest.mark.parametrize("cursor", ["older=nonsense", "newer=", "older=WyIxIl0:abc", "older=%00", "newer=1&older=2"])
def test_an_unknown_page_is_the_first_one(cursor: str):
    make_calls(3)
    response = visit().get(f"{CALLS}?{cursor}")
    assert response.status_code == 200
    assert shown_calls(response) == ["c-2", "c-1", "c-0"]


def test_a_cursor_of_another_list_is_unknown():
    make_calls(3)
    cursor = keyset.write_cursor(CallEvent, keyset.Cursor((1,)))
    assert "That page of the list is not known" in visit().get(f"{CALLS}?older={cursor}").content.decode()


@pytest.mark.usefixtures("short_pages")
def test_looking_through_many_calls_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keyset, "LOOK_THROUGH", 10)
    monkeypatch.setattr(paging, "LOOK_THROUGH", 10)
    make_calls(60)
    for number in (3, 4, 31, 44):
        record([build_event(call_id=f"odd-{number}", seconds=number + 0.5, calling_number="+4930123456")])
        record([build_event("answered", number + 0.7, call_id=f"odd-{number}", direction="inbound")])
    browser = visit()
    pages = list(walk(browser, CALLS + "?direction=inbound"))
    assert [call for page in pages for call in shown_calls(page)] == ["odd-44", "odd-31", "odd-4", "odd-3"]
    assert shown_calls(pages[0]) == []
    assert "10 rows were looked through" in text_of(pages[0].content.decode())
    last = pages[-1].request
    back = list(walk(browser, f"{CALLS}?{last['QUERY_STRING']}", "prev"))
    assert [call for page in reversed(back) for call in shown_calls(page)] == ["odd-44", "odd-31", "odd-4", "odd-3"]


@pytest.mark.usefixtures("short_pages")
def test_the_first_page_looks_through_few_calls_and_the_next_through_many(monkeypatch: pytest.MonkeyPatch):
    for name, rows in {"FIRST_LOOK": 10, "LOOK_THROUGH": 40, "GLANCE": 2}.items():
        monkeypatch.setattr(keyset, name, rows)
    monkeypatch.setattr(paging, "LOOK_THROUGH", 40)
    make_calls(60)
    record([build_event(call_id="c-12", event_id="way", seconds=12.5, direction="inbound")])
    browser = visit()
    first = browser.get(CALLS + "?direction=inbound")
    assert shown_calls(first) == []
    assert "10 rows were looked through for this page. Go on with “Older”, which looks through 40 more." in text_of(
        first.content.decode()
    )
    assert first.content.decode().count(escape(link_to(first, "next"))) == 2  # below the list, and beside the note
    second = browser.get(CALLS + link_to(first, "next"))
    assert shown_calls(second) == ["c-12"]
    assert "40 rows were looked through for this page. Go on with “Older”." in text_of(second.content.decode())
    third = browser.get(CALLS + link_to(second, "next"))
    assert shown_calls(third) == []
    assert not link_to(third, "next")


@pytest.mark.usefixtures("short_pages")
@pytest.mark.parametrize("glance", [1, 3, 7, 60])
def test_how_far_a_glance_goes_changes_no_page(glance: int, monkeypatch: pytest.MonkeyPatch):
    make_calls(60)
    for number in (3, 4, 5, 31, 44, 45, 46, 47, 48, 49):
        record([build_event("answered", number + 0.7, call_id=f"c-{number}", direction="inbound")])
    browser = visit()
    wanted = [shown_calls(page) for page in walk(browser, CALLS + "?direction=inbound")]
    monkeypatch.setattr(keyset, "GLANCE", glance)
    assert [shown_calls(page) for page in walk(browser, CALLS + "?direction=inbound")] == wanted
    assert [len(calls) for calls in wanted] == [5, 5]


def test_a_common_value_takes_a_glance_and_a_rare_one_two_statements_more():
    make_calls(600)
    record([build_event("answered", 0.7, call_id="c-0", direction="inbound")])
    browser = visit()
    common, rare = (statements_of(browser, CALLS + f"?direction={word}") for word in ("unknown", "inbound"))
    assert len(rare) - len(common) in (1, 2)  # the whole list is shorter than what is looked through
    assert len(rare) <= 14


def statements_of(browser: Client, address: str) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert browser.get(address).status_code == 200
    return [query["sql"] for query in queries.captured_queries]


ADDRESSES = [
    CALLS,
    EVENTS,
    CALLS + "?q=%2B1234567890",
    EVENTS + "?q=%2B1234567890",
    CALLS + "?direction=unknown&status=initiated",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_list_takes_as_many_statements_for_sixty_rows_as_for_five(address: str):
    browser = visit()
    make_calls(5)
    few = statements_of(browser, address)
    make_calls(60)
    many = statements_of(browser, address)
    assert len(rows_of(browser.get(address))) == 50
    # From the second page on, PostgreSQL is asked how many rows there are about.
    assert len(many) <= len(few) + 1
    assert len(many) <= 14


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_list_counts_its_rows_or_skips_to_a_page(address: str):
    make_calls(60)
    browser = visit()
    first = browser.get(address)
    path = address.partition("?")[0]
    for page in (address, path + link_to(first, "next")):
        for sql in statements_of(browser, page):
            assert "COUNT(" not in sql.upper()
            assert "LIKE" not in sql.upper()
            assert "UPPER(" not in sql.upper()
            assert "direction=" in page or "OFFSET" not in sql.upper()


def test_a_list_on_one_page_says_how_many_rows_it_has():
    make_calls(3)
    assert "3 calls" in text_of(visit().get(CALLS).content.decode())


def test_no_total_is_made_up_where_the_database_keeps_none():
    make_calls(60)
    text = text_of(visit().get(CALLS).content.decode())
    assert "50 on this page" in text
    if connection.vendor == "sqlite":
        assert "about" not in text


@pytest.mark.postgresql
def test_postgresql_tells_about_how_many_rows_there_are():
    make_calls(60)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE calls_call")
    browser = visit()
    assert "about 60 in all" in text_of(browser.get(CALLS).content.decode())
    assert "about" not in text_of(browser.get(CALLS + "?in_progress=yes").content.decode())
