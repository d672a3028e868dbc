"""Clients in the admin: who they are, and their calls."""

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from calls.admin import clients as screen
from calls.admin import latest
from calls.models import Client
from tests.admin.pages import (
    CALLS,
    CLIENTS,
    call_page,
    headers_of,
    make_staff,
    page_of,
    rows_of,
    shown_calls,
    shown_ids,
    text_of,
    visit,
)
from tests.admin.rows import ADA, BOB, make_call, make_client, save_client

pytestmark = pytest.mark.django_db

HOSTILE = "</td><script>alert(1)</script>"


# -- The list ------------------------------------------------------------------------------------


def test_the_list_shows_clients_by_name_with_their_first_numbers():
    make_client(name="Bob")
    make_client(ADA, BOB, "+12025550103", name="Ada", company="Engines", email="ada@example.com")
    response = visit().get(CLIENTS)
    assert headers_of(response)[1:] == ["Company", "E-mail address", "Numbers", "Created (UTC)"]
    first, second = rows_of(response)
    assert first[:4] == ["Ada", "Engines", "ada@example.com", "+1 202-555-0101 US , +1 202-555-0102 US , 1 more"]
    assert second[:4] == ["Bob", "-", "-", "-"]


@pytest.mark.parametrize(
    "text", ["love", "ENGINES", "ada@", ADA, "+1 (202) 555-0101", "12025550101", "+1202555", "ada engines"]
)
def test_a_client_is_found_by_name_company_address_or_number(text: str):
    ada = make_client(ADA, name="Ada Lovelace", company="Analytical Engines", email="ada@example.com")
    make_client("+4930123456", name="Bob")
    assert shown_ids(visit().get(CLIENTS, {"q": text})) == [ada.pk]


def test_what_is_not_there_is_not_found():
    make_client(ADA)
    browser = visit()
    for text in ("Zoe", "+4930", "%", "_", "+"):
        assert shown_ids(browser.get(CLIENTS, {"q": text})) == []
    assert browser.get(CLIENTS, {"q": "\x00"}).status_code == 200


def test_a_list_takes_as_many_statements_for_many_clients_as_for_one():
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            browser.get(CLIENTS)
        return len(queries)

    browser = visit()
    make_client(ADA)
    few = statements()
    for number in range(20):
        make_client(f"+4930123{number:03}", name=f"Client {number}")
    assert statements() == few


# -- The page ------------------------------------------------------------------------------------


def test_the_page_lists_the_latest_calls_with_links(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(latest, "CALLS_AT_MOST", 2)
    monkeypatch.setattr(screen, "CALLS_AT_MOST", 2)
    client, browser = make_client(ADA), visit()

    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            browser.get(page_of(client))
        return len(queries)

    make_call("call-0", ADA)
    statements()  # Django looks some things up once a process
    few = statements()
    for seconds in range(1, 4):
        make_call(f"call-{seconds}", ADA, seconds)
    assert statements() == few
    html = browser.get(page_of(client)).content.decode()
    section = html[html.index('id="latest-calls"') :]
    assert [call_page(f"call-{n}") in section for n in range(4)] == [False, False, True, True]
    assert "These are the latest 2." in text_of(section)
    assert f"{CALLS}?client={client.pk}" in section


def test_the_list_of_calls_is_narrowed_to_a_client():
    client = make_client(ADA)
    make_call("hers", ADA)
    make_call("other", BOB)
    browser = visit()
    assert shown_calls(browser.get(CALLS, {"client": str(client.pk)})) == ["hers"]
    assert shown_calls(browser.get(CALLS, {"client": str(client.pk), "status": "missed"})) == []
    for text in ("999999", "x", "9" * 40, "١"):
        assert browser.get(CALLS, {"client": text}).status_code == 302


def test_the_page_of_a_call_links_its_client():
    client = make_client(ADA, name=HOSTILE)
    make_call("call-1", ADA)
    html = visit(make_staff(group="Analysts")).get(call_page("call-1")).content.decode()
    assert page_of(client) in html
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert(1)" not in html


def test_a_hostile_client_stays_text():
    client = make_client(ADA, name=HOSTILE, company=HOSTILE, notes="</textarea><script>alert(1)</script>")
    make_call("<script>alert(1)</script>", ADA)
    browser = visit()
    for address in (CLIENTS, page_of(client), page_of(client, part="delete"), f"{CALLS}?client={client.pk}"):
        html = browser.get(address).content.decode()
        assert "<script>alert(1)" not in html, address
    viewer = visit(make_staff(group="Analysts"))
    assert "<script>alert(1)" not in viewer.get(page_of(client)).content.decode()


def test_an_analyst_sees_a_client_and_changes_nothing():
    client = make_client(ADA, notes="Prefers mornings.")
    browser = visit(make_staff(group="Analysts"))
    html = browser.get(page_of(client)).content.decode()
    assert ADA in html
    assert "Prefers mornings." in html
    assert 'name="_save"' not in html
    assert 'name="numbers-0-number"' not in html
    assert save_client(browser, client, BOB).status_code == 403
    assert save_client(browser, None, BOB).status_code == 403
    assert browser.post(page_of(client, part="delete"), {"post": "yes"}).status_code == 403
    assert Client.objects.get().phone_numbers == [ADA]


def test_calls_are_only_listed_for_those_who_see_calls():
    client = make_client(ADA)
    make_call("call-1", ADA)
    html = visit(make_staff("view_client")).get(page_of(client)).content.decode()
    assert 'id="latest-calls"' not in html


def test_others_see_no_clients(client: Browser):
    ada = make_client(ADA)
    for address in (CLIENTS, f"{CLIENTS}add/", page_of(ada), page_of(ada, part="delete")):
        assert visit(make_staff("view_call")).get(address).status_code == 403
        assert client.get(address)["Location"].startswith("/admin/login/")
