"""The button that tests a SIP configuration's connection, and what the admin shows of the last test."""

import re
import socket
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.cache import cache
from django.test import Client

from calls.models import SIPConfiguration
from calls.operations.sip import save_configuration
from calls.sip.egress import read_allowances
from tests.admin.pages import make_staff, messages_of, page_of, text_of, visit
from tests.sip.scripted import answer, udp_peer

pytestmark = pytest.mark.django_db
TEST = "test_connection"


def make(**values: Any) -> SIPConfiguration:
    defaults = {"name": "Main", "sip_server": "127.0.0.1", "caller_number": "100", "username": "ada"}
    return save_configuration(SIPConfiguration(), {**defaults, "password": "hunter2", **values})


@pytest.fixture(autouse=True)
def opened(settings: Any) -> None:
    settings.SIP_EGRESS_ALLOW = read_allowances(["127.0.0.0/8:1-65535"])


def shown(browser: Client, configuration: SIPConfiguration) -> str:
    return text_of(browser.get(page_of(configuration)).content.decode())


def test_the_button_asks_first_and_then_says_what_came_of_it() -> None:
    browser = visit(make_staff(group="Operators"))
    with udp_peer(lambda asked: [answer(asked, "200 OK")]) as peer:
        configuration = make(sip_port=peer.port)
        assert "Last test (UTC) -" in shown(browser, configuration)
        address = page_of(configuration, part=TEST)
        assert address in browser.get(page_of(configuration)).content.decode()
        assert browser.get(address).status_code == 200
        assert peer.asked == []
        response = browser.post(address, follow=True)
    (message,) = messages_of(response)
    assert re.fullmatch(r"Main: 200 OK, [0-9.]+ ms\.", message)
    assert re.search(
        r"Last test \(UTC\) [0-9-]{10} [0-9:]{8} reachable 200 OK, [0-9.]+ ms", shown(browser, configuration)
    )
    save_configuration(configuration, {"sip_port": 5060})
    assert "ms (before the last change)" in shown(browser, configuration)


def test_a_test_is_in_the_history_of_the_configuration() -> None:
    user = make_staff(group="Operators")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
        dead.bind(("127.0.0.1", 0))
        configuration = make(sip_port=dead.getsockname()[1])
    response = visit(user).post(page_of(configuration, part=TEST), follow=True)
    assert messages_of(response) == ["Main: the connection was refused."]
    assert "not reachable the connection was refused" in text_of(response.content.decode())
    browser = visit()
    address = page_of(configuration, part="history")
    assert f'href="{address}"' in browser.get(page_of(configuration)).content.decode()
    history = browser.get(address).content.decode()
    assert "udp: the connection was refused." in history
    assert user.username in history


def test_the_button_needs_a_token_against_forgery() -> None:
    configuration = make()
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(make_staff(group="Operators"), backend="django.contrib.auth.backends.ModelBackend")
    assert browser.post(page_of(configuration, part=TEST)).status_code == 403
    assert not LogEntry.objects.exists()


def test_the_button_is_for_those_who_may_change_configurations() -> None:
    configuration = make()
    for user in (make_staff(group="Analysts"), make_staff("view_call")):
        browser = visit(user)
        assert TEST not in browser.get(page_of(configuration)).content.decode()
        assert browser.post(page_of(configuration, part=TEST)).status_code == 403
    assert SIPConfiguration.objects.get().last_test is None


def test_too_many_tests_are_refused_by_api_and_admin_together(settings: Any) -> None:
    settings.THROTTLE_SIP_TESTS = "1/hour"
    cache.clear()
    configuration = make(sip_server="10.0.0.1")
    browser = visit(make_staff(group="Operators"))
    first = browser.post(page_of(configuration, part=TEST), follow=True)
    assert messages_of(first) == ["Main: this address or port may not be reached from here."]
    (message,) = messages_of(browser.post(page_of(configuration, part=TEST), follow=True))
    assert re.fullmatch(r"Too many tests; try again in \d+ s\.", message)
    refused = browser.post(f"/api/sip-configurations/{configuration.pk}/test_connection/")
    assert refused.status_code == 429
    cache.clear()


def test_a_password_that_no_key_reads_any_more_is_told() -> None:
    configuration = make()
    SIPConfiguration.objects.update(encrypted_password="unreadable")
    response = visit().post(page_of(configuration, part=TEST), follow=True)
    assert messages_of(response) == ["No key in ENCRYPTION_KEYS reads this secret; enter it again."]


def test_what_a_hostile_server_says_stays_text() -> None:
    hostile = "<script>alert(1)</script>"
    with udp_peer(lambda asked: [answer(asked, f"200 {hostile}", f"Server: {hostile}")]) as peer:
        configuration = make(sip_port=peer.port)
        response = visit().post(page_of(configuration, part=TEST), follow=True)
    assert SIPConfiguration.objects.get().last_test["reason"] == hostile
    for page in (response, visit().get(page_of(configuration, part="history"))):
        assert "<script>alert(1)" not in page.content.decode()
        assert "&lt;script&gt;" in page.content.decode()
