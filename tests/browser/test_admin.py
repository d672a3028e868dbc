"""What an analyst does all day: sign in, look at calls and events, search, write a note."""

import re

import pytest
from django.contrib.auth.models import Group, User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from calls.models import Call
from calls.operations.record import record
from tests.build import build_event, read_table

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("groups")]
HOSTILE = "<script>document.title='broken'</script>"


@pytest.fixture
def signed_in(live_server: LiveServer, page: Page) -> Page:
    """The front page of the admin, after an analyst has signed in with a password."""
    user = User.objects.create_user("ada", password="correct horse", is_staff=True)
    user.groups.add(Group.objects.get(name="Analysts"))
    page.goto(f"{live_server.url}/admin/")
    page.fill("[name=username]", "ada")
    page.fill("[name=password]", "correct horse")
    page.click("[type=submit]")
    expect(page).to_have_url(f"{live_server.url}/admin/")
    return page


@pytest.fixture
def calls(groups: None) -> None:
    record(read_table("0:00 initiated\n0:10 answered\n2:00 ended", call_id="first"))
    record([build_event(call_id="second", calling_number="+12025550123", metadata={"name": HOSTILE})])


@pytest.mark.usefixtures("calls")
def test_the_events_are_listed_as_the_specification_shows(signed_in: Page, live_server: LiveServer) -> None:
    signed_in.goto(f"{live_server.url}/admin/calls/callevent/")
    expect(signed_in.locator("#result_list")).to_be_visible()
    text = signed_in.locator("#result_list").inner_text()
    for column in ("event id", "call id", "event", "calling number", "called number", "created at", "duration"):
        assert re.search(column, text, re.IGNORECASE), column
    rows = [row.inner_text().split() for row in signed_in.locator("#result_list tbody tr").all()]
    assert [row[-1] for row in rows] == ["-", "120", "-", "-"]


@pytest.mark.usefixtures("calls")
def test_a_call_is_found_by_its_number_and_gets_a_note(signed_in: Page, live_server: LiveServer) -> None:
    signed_in.goto(f"{live_server.url}/admin/calls/call/?q=%2B1 202-555-0123")
    expect(signed_in.locator("#result_list")).to_contain_text("+1 202-555-0123")
    expect(signed_in.locator("#result_list")).not_to_contain_text("+1 234")
    call = Call.objects.get(external_id="second")
    signed_in.goto(f"{live_server.url}/admin/calls/call/{call.pk}/change/")
    expect(signed_in.locator("body")).to_contain_text(HOSTILE)
    assert "broken" not in signed_in.title()
    signed_in.fill("[name=notes]", HOSTILE)
    signed_in.click("[name=_continue]")
    expect(signed_in.locator("[name=notes]")).to_have_value(HOSTILE)
    assert "broken" not in signed_in.title()
    call.refresh_from_db()
    assert (call.notes, call.status) == (HOSTILE, "initiated")


def test_the_api_documentation_works_without_a_network(page: Page, live_server: LiveServer) -> None:
    page.goto(f"{live_server.url}/api/docs/")
    expect(page.locator("body")).to_contain_text("/process-events/", timeout=20_000)
    page.locator("text=Report one event, or a batch").click()
    expect(page.locator("body")).to_contain_text("dry_run")


def test_a_stranger_is_asked_to_sign_in(page: Page, live_server: LiveServer) -> None:
    page.goto(f"{live_server.url}/admin/calls/call/")
    assert "/admin/login/" in page.url
    expect(page.locator("[name=password]")).to_be_visible()
