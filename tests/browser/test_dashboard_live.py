"""The front page, live: a real server with a real socket, and calls that are reported over HTTP."""

import json
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import Group, User
from playwright.sync_api import Page, WebSocketRoute, expect

from calls.models import AccessToken
from calls.operations.record import record
from tests.browser.steps import PASSWORD, barriers, make_analyst, sign_in
from tests.build import build_event
from tests.server import socket_server

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("groups")]
HOSTILE = "<script>document.title='broken'</script>"


@pytest.fixture
def server(groups: None) -> "Iterator[tuple[str, subprocess.Popen[bytes]]]":
    """A server of pages and sockets, for analysts, on a database with one old call."""
    user = make_analyst()
    # The real server does not know the quick hasher of the tests.
    user.password = PBKDF2PasswordHasher().encode(PASSWORD, "salt", 1_000)
    user.save()
    old = datetime.now(UTC) - timedelta(days=1)
    record([build_event(call_id="old", occurred_at=old), build_event("ended", call_id="old", occurred_at=old)])
    with socket_server(DEBUG="true", OWN_NUMBERS="+120255501") as running:
        yield running


@pytest.fixture
def switchboard(server: "tuple[str, subprocess.Popen[bytes]]") -> Any:
    """What reports events of a call over HTTP, as a telephony system does."""
    system = User.objects.create_user("switchboard")
    system.groups.add(Group.objects.get(name="Telephony systems"))
    _, key = AccessToken.objects.create(user=system, name="test")

    def tell(event_type: str, call: str = "call-1", caller: str = "+493023125001") -> None:
        body = {
            "event_type": event_type,
            "sip_call_id": call,
            "caller_number": caller,
            "recipient_number": "+12025550100",
            "timestamp": datetime.now(UTC).isoformat(),
        }
        request = Request(  # noqa: S310 - our own server
            f"{server[0]}/api/webhooks/sip/",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Token {key}"},
        )
        with urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server
            assert answer.status == 200

    return tell


class Line:
    """The line between a page and the socket of the real server, which can be cut."""

    def __init__(self, page: Page) -> None:
        self.addresses: list[str] = []
        self._is_cut = False
        self._open: list[WebSocketRoute] = []
        page.route_web_socket("**/ws/calls/**", self._connect)

    def _connect(self, socket: WebSocketRoute) -> None:
        if self._is_cut:
            socket.close(code=1001)
            return
        self.addresses.append(socket.url)
        self._open.append(socket)
        socket.connect_to_server()

    def cut(self) -> None:
        """End the present connection, and let no new one come about."""
        self._is_cut = True
        while self._open:
            self._open.pop().close(code=1001)

    def mend(self) -> None:
        """Let connections come about again."""
        self._is_cut = False


@pytest.fixture
def front_page(page: Page, server: "tuple[str, subprocess.Popen[bytes]]") -> Page:
    """The front page, once it is live."""
    sign_in(page, server[0])
    expect(page.locator("#live-state")).to_have_text("Live")
    return page


def test_a_call_appears_rings_is_answered_ticks_and_goes(front_page: Page, switchboard: Any):
    expect(front_page.locator("#progress")).to_have_text("Nobody is on the telephone at the moment.")
    switchboard("call_initiated")
    row = front_page.locator("#progress .pg-call")
    expect(row).to_contain_text("+493023125001 → +12025550100 (inbound)")
    expect(row.locator(".pg-status")).to_have_text("initiated")
    expect(front_page.locator("[data-live-count]")).to_have_text("1")
    switchboard("call_ringing")
    expect(row.locator(".pg-status")).to_have_text("ringing")
    switchboard("call_answered")
    expect(row.locator(".pg-status")).to_have_text("answered")
    expect(row.locator(".pg-clock")).to_have_text("talking 0:02", timeout=10_000)
    expect(front_page.locator("[data-live-split]")).to_have_text("1 talking, 0 not answered yet")
    assert barriers(front_page) == []
    switchboard("call_hold")
    expect(row.locator(".pg-status")).to_have_text("on hold")
    switchboard("call_ended")
    expect(row.locator(".pg-status")).to_have_text("ended")
    expect(front_page.locator("[data-live-count]")).to_have_text("0")
    expect(row).to_have_count(0, timeout=10_000)
    # The figures follow by themselves.
    expect(front_page.locator("[data-figure=Calls]")).to_have_text("1", timeout=30_000)
    expect(front_page.locator("[data-figure='Answer rate']")).to_have_text("100.0 %")


def test_the_latest_call_comes_first_and_leads_to_its_page(front_page: Page, switchboard: Any):
    for number in range(3):
        switchboard("call_initiated", f"call-{number}", f"+49302312500{number}")
        expect(front_page.locator("#progress .pg-call").first).to_contain_text(f"+49302312500{number}")
    expect(front_page.locator("#progress .pg-call")).to_have_count(3)
    front_page.locator("#progress .pg-call").nth(1).click()
    expect(front_page.locator("body")).to_contain_text("call-1")
    assert "/admin/calls/call/" in front_page.url


def test_a_hostile_caller_stays_text_when_it_comes_over_the_socket(front_page: Page, switchboard: Any):
    switchboard("call_initiated", HOSTILE, HOSTILE)
    expect(front_page.locator("#progress .pg-call")).to_contain_text(HOSTILE)
    assert "broken" not in front_page.title()


def test_a_connection_that_was_lost_comes_back_and_has_missed_nothing(
    page: Page, switchboard: Any, server: "tuple[str, subprocess.Popen[bytes]]"
):
    line = Line(page)
    sign_in(page, server[0])
    expect(page.locator("#live-state")).to_have_text("Live")
    switchboard("call_initiated", "before")
    expect(page.locator("#progress .pg-call")).to_have_count(1)
    line.cut()
    expect(page.locator("#not-live")).to_contain_text("Not live: the connection is lost, retrying.")
    expect(page.locator("#live-state")).to_have_text("Not live")
    switchboard("call_answered", "before")
    switchboard("call_initiated", "meanwhile", "+493023125009")
    line.mend()
    expect(page.locator("#live-state")).to_have_text("Live", timeout=45_000)
    expect(page.locator("#not-live")).to_be_hidden()
    expect(page.locator("#progress .pg-call")).to_have_count(2)
    expect(page.locator("#progress")).to_contain_text("+493023125009")
    expect(page.locator("#progress .pg-call").last).to_contain_text("answered")
    # It asked for what it had missed, and heard of the newest changes as before.
    assert "since=" in line.addresses[-1]
    switchboard("call_ended", "meanwhile", "+493023125009")
    expect(page.locator("[data-live-count]")).to_have_text("1")


def test_a_server_that_ends_is_noticed_at_once(front_page: Page, server: "tuple[str, subprocess.Popen[bytes]]"):
    server[1].send_signal(signal.SIGTERM)
    server[1].wait(30)
    expect(front_page.locator("#not-live")).to_contain_text("Not live", timeout=20_000)
    expect(front_page.locator("#not-live")).to_contain_text("the server does not answer", timeout=20_000)
