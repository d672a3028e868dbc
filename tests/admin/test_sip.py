"""SIP configurations in the admin. Their passwords go in and never come out."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.core import serializers
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from calls.admin import sip as screen
from calls.models import SIPConfiguration
from calls.operations.sip import save_configuration, set_default
from tests.admin.pages import SIP, headers_of, make_staff, messages_of, page_of, rows_of, shown_ids, text_of, visit

pytestmark = pytest.mark.django_db

DEFAULT = "make_default"
FORM = {
    "name": "Main",
    "sip_server": "sip.example.com",
    "sip_port": "5060",
    "transport": "udp",
    "username": "phonegoggles",
    "caller_number": "+12025550100",
    "is_active": "on",
}
PASSWORD = " hunter2 €"


def make(name: str = "Main", **values: Any) -> SIPConfiguration:
    return save_configuration(
        SIPConfiguration(), {"name": name, "sip_server": "sip.example.com", "caller_number": "100", **values}
    )


def everything_stored() -> str:
    """Return all rows of the tables that could hold a password, as text."""
    rows: list[Any] = [*SIPConfiguration.objects.all(), *Session.objects.all(), *LogEntry.objects.all()]
    return serializers.serialize("json", rows, ensure_ascii=False) + "".join(
        str(session.get_decoded()) for session in Session.objects.all()
    )


def test_an_operator_adds_a_configuration_and_the_first_active_one_is_the_default():
    browser = visit(make_staff(group="Operators"))
    assert browser.post(f"{SIP}add/", FORM | {"password": PASSWORD}).status_code == 302
    made = SIPConfiguration.objects.get()
    assert (made.name, made.sip_server, made.caller_number, made.is_default) == (
        "Main", "sip.example.com", "+12025550100", True
    )  # fmt: skip
    assert made.password == PASSWORD
    browser.post(f"{SIP}add/", FORM | {"name": "Second"})
    assert not SIPConfiguration.objects.get(name="Second").is_default


def test_saving_goes_through_the_operation(monkeypatch: pytest.MonkeyPatch):
    stored: list[dict[str, Any]] = []

    def store(configuration: SIPConfiguration, values: dict[str, Any]) -> SIPConfiguration:
        stored.append(values)
        return save_configuration(configuration, values)

    monkeypatch.setattr(screen, "save_configuration", store)
    browser = visit()
    browser.post(f"{SIP}add/", FORM | {"is_default": "", "encrypted_password": "forged"})
    configuration = SIPConfiguration.objects.get()
    browser.post(page_of(configuration), FORM | {"name": "Renamed", "is_default": "on", "encrypted_password": "forged"})
    assert len(stored) == 2
    for values in stored:
        assert not {"password", "is_default", "encrypted_password"} & set(values)
    assert SIPConfiguration.objects.get().name == "Renamed"
    assert SIPConfiguration.objects.get().encrypted_password == ""


def test_no_page_list_log_or_session_ever_has_the_password():
    browser = visit()
    browser.post(f"{SIP}add/", FORM | {"password": "correct-horse"})
    configuration = SIPConfiguration.objects.get()
    refused = browser.post(page_of(configuration), FORM | {"name": "", "password": "correct-horse"})
    assert refused.status_code == 200
    assert "correct-horse" not in refused.content.decode()
    parts = ("change", "delete", "history", DEFAULT)
    for user in (None, make_staff(group="Operators"), make_staff(group="Analysts")):
        visitor = visit(user)
        for address in (SIP, *(page_of(configuration, part=part) for part in parts)):
            html = visitor.get(address).content.decode()
            assert "correct-horse" not in html
            assert configuration.encrypted_password not in html
    assert "correct-horse" not in everything_stored()
    assert "Password stored" in text_of(browser.get(page_of(configuration)).content.decode())


def test_a_password_that_is_left_empty_stays_and_another_replaces_it():
    configuration = make(password=PASSWORD)
    browser = visit()
    before = configuration.encrypted_password
    assert browser.post(page_of(configuration), FORM | {"password": ""}).status_code == 302
    assert SIPConfiguration.objects.get().encrypted_password == before
    assert browser.post(page_of(configuration), FORM).status_code == 302
    assert SIPConfiguration.objects.get().password == PASSWORD
    browser.post(page_of(configuration), FORM | {"password": "new"})
    assert SIPConfiguration.objects.get().password == "new"


def test_a_configuration_can_be_changed_whose_password_no_key_reads_any_more():
    configuration = make(password=PASSWORD)
    SIPConfiguration.objects.update(encrypted_password="unreadable")
    browser = visit()
    assert browser.get(page_of(configuration)).status_code == 200
    assert browser.post(page_of(configuration), FORM | {"password": "new"}).status_code == 302
    assert SIPConfiguration.objects.get().password == "new"


@pytest.mark.parametrize(
    "field", ["name", "sip_server", "username", "caller_number", "display_name", "realm", "password"]
)
@pytest.mark.parametrize("character", ["\r\n", "\n", "\x1b", "\x7f", "\x85", "\u2028"])
def test_what_could_begin_another_header_is_refused(field: str, character: str):
    response = visit().post(f"{SIP}add/", FORM | {field: f"a{character}b"})
    assert response.status_code == 200
    assert "Must be one line, without control characters." in response.content.decode()
    assert not SIPConfiguration.objects.exists()


@pytest.mark.parametrize(
    "values", [{"sip_port": "0"}, {"sip_port": "65536"}, {"transport": "pigeon"}, {"name": ""}, {"caller_number": ""}]
)
def test_what_makes_no_sense_is_refused(values: dict[str, str]):
    assert visit().post(f"{SIP}add/", FORM | values).status_code == 200
    assert not SIPConfiguration.objects.exists()


# -- The default ---------------------------------------------------------------------------------


def test_setting_the_default_asks_first_and_leaves_one_default():
    first, second = make("First"), make("Second")
    browser = visit(make_staff(group="Operators"))
    address = page_of(second, part=DEFAULT)
    assert address in browser.get(page_of(second)).content.decode()
    assert DEFAULT not in browser.get(page_of(first)).content.decode()
    browser.get(address)
    assert SIPConfiguration.objects.get(is_default=True) == first
    response = browser.post(address, follow=True)
    assert messages_of(response) == ["Second is the default now."]
    assert SIPConfiguration.objects.get(is_default=True) == second
    assert {row[0]: row[-1] for row in rows_of(browser.get(SIP))} == {"First": "-", "Second": "default"}


def test_an_inactive_configuration_cannot_be_the_default():
    default, spare = make("First"), make("Spare", is_active=False)
    response = visit().post(page_of(spare, part=DEFAULT), follow=True)
    assert messages_of(response) == ["The SIP configuration Spare is not active."]
    assert SIPConfiguration.objects.get(is_default=True) == default


def test_the_default_cannot_be_switched_off():
    configuration = make()
    form = {name: value for name, value in FORM.items() if name != "is_active"}
    response = visit().post(page_of(configuration), form)
    assert "The default must be active; make another the default first." in response.content.decode()
    assert SIPConfiguration.objects.get().is_active


def test_what_becomes_the_default_at_this_very_moment_cannot_be_switched_off(monkeypatch: pytest.MonkeyPatch):
    make("First")
    second = make("Second")
    turns: list[int] = []
    real = screen.SIPForm.clean

    def overtaken(self: Any) -> Any:
        turns.append(1)
        if len(turns) == 2:
            self.instance.is_default = True  # the rollback of the first attempt has undone it here
        return real(self)

    def store(*args: Any) -> SIPConfiguration:
        set_default(second)
        return save_configuration(*args)

    monkeypatch.setattr(screen.SIPForm, "clean", overtaken)
    monkeypatch.setattr(screen, "save_configuration", store)
    form = {name: value for name, value in FORM.items() if name != "is_active"}
    response = visit().post(page_of(second), form | {"name": "Second"})
    assert response.status_code == 200
    assert len(turns) == 2
    assert "The default must be active" in response.content.decode()
    assert SIPConfiguration.objects.get(name="Second").is_active


def test_the_default_can_only_be_deleted_when_no_other_could_take_its_place():
    default, spare = make("First"), make("Spare")
    browser = visit(make_staff(group="Operators"))
    response = browser.post(page_of(default, part="delete"), {"post": "yes"}, follow=True)
    assert messages_of(response) == ["This is the default SIP configuration; make another the default first."]
    assert SIPConfiguration.objects.count() == 2
    for one in (spare, default):
        assert browser.post(page_of(one, part="delete"), {"post": "yes"}).status_code == 302
    assert not SIPConfiguration.objects.exists()


# -- Looking -------------------------------------------------------------------------------------


def test_the_list_shows_servers_and_the_default_and_finds_by_name():
    make("Main", username="pg", caller_number="+12025550100")
    other = make("Berlin", sip_server="b.example.com", sip_port=5061, transport="tls", is_active=False)
    browser = visit()
    response = browser.get(SIP)
    assert headers_of(response)[1:] == ["Server", "User name", "Caller number", "Is active", "Default"]
    first, second = rows_of(response)
    assert first[:4] == ["Berlin", "b.example.com:5061/tls", "-", "100"]
    assert (second[1], second[-1]) == ("sip.example.com:5060/udp", "default")
    assert shown_ids(browser.get(SIP, {"q": "berl"})) == [other.pk]


def test_a_list_takes_as_many_statements_for_many_configurations_as_for_one():
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            browser.get(SIP)
        return len(queries)

    browser = visit()
    make()
    few = statements()
    for number in range(10):
        make(f"Server {number}")
    assert statements() == few


def test_hostile_values_stay_text():
    hostile = "</td><script>alert(1)</script>"
    configuration = make(hostile, sip_server=hostile, username=hostile, display_name=hostile, caller_number=hostile)
    spare = make(f"{hostile} 2", is_active=False)
    browser = visit()
    parts = [page_of(one, part=part) for one in (configuration, spare) for part in ("change", "delete", DEFAULT)]
    for address in (SIP, *parts):
        assert "<script>alert(1)" not in browser.get(address).content.decode()
    refused = browser.post(page_of(spare, part=DEFAULT), follow=True)
    assert "<script>alert(1)" not in refused.content.decode()
    assert "<script>alert(1)" not in visit(make_staff(group="Analysts")).get(page_of(spare)).content.decode()


def test_an_analyst_looks_and_changes_nothing():
    configuration, spare = make(), make("Spare")
    browser = visit(make_staff(group="Analysts"))
    html = browser.get(page_of(spare)).content.decode()
    assert "sip.example.com" in html
    assert 'name="_save"' not in html
    assert 'type="password"' not in html
    assert DEFAULT not in html
    for address in (
        f"{SIP}add/", page_of(spare), page_of(spare, part=DEFAULT), page_of(spare, part="delete")
    ):  # fmt: skip
        assert browser.post(address, FORM | {"post": "yes"}).status_code == 403
    assert SIPConfiguration.objects.get(is_default=True) == configuration


def test_others_see_no_configurations(client: Client):
    configuration = make()
    for address in (SIP, page_of(configuration), page_of(configuration, part=DEFAULT)):
        assert visit(make_staff("view_call")).get(address).status_code == 403
        assert client.get(address)["Location"].startswith("/admin/login/")
