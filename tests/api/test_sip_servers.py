"""`test_connection` and `webrtc_config`: what they answer, who may ask, what is written down, what is never given."""

import json
import re
import socket
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from calls.models import SIPConfiguration
from calls.operations import connection as operation
from calls.operations.sip import save_configuration
from calls.sip.egress import read_allowances
from tests.build import send, sign_in
from tests.sip.scripted import answer, stream_peer, udp_peer

KEYS = {"reachable", "status_code", "reason", "latency_ms", "server", "transport", "authenticated"}
WEBRTC_KEYS = {"wss_uri", "sip_uri", "username", "realm", "display_name", "ice_servers", "expires_at", "jssip"}


def make(**values: Any) -> SIPConfiguration:
    defaults = {"name": "Main", "sip_server": "127.0.0.1", "caller_number": "100", "username": "ada"}
    return save_configuration(SIPConfiguration(), {**defaults, "password": "hunter2", **values})


def path(configuration: SIPConfiguration, part: str) -> str:
    return f"sip-configurations/{configuration.pk}/{part}/"


def press(client: Client, configuration: SIPConfiguration) -> Any:
    return send(client, "POST", path(configuration, "test_connection"), "")


@pytest.fixture
def opened(settings: Any) -> None:
    settings.SIP_EGRESS_ALLOW = read_allowances(["127.0.0.0/8:1-65535"])


# -- test_connection ------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("opened")
def test_a_server_that_answers_is_reachable_and_what_came_of_it_is_kept(operator: Client) -> None:
    with udp_peer(lambda asked: [answer(asked, "200 Fine", "Server: test/1.0")]) as peer:
        configuration = make(sip_port=peer.port)
        before = configuration.updated_at
        found = press(operator, configuration)
    assert found.status_code == 200
    body = dict(found.json())
    assert set(body) == KEYS
    assert body.pop("latency_ms") > 0
    assert body == {
        "reachable": True,
        "status_code": 200,
        "reason": "Fine",
        "server": "test/1.0",
        "transport": "udp",
        "authenticated": None,
    }
    configuration.refresh_from_db()
    assert configuration.last_test == found.json()
    assert configuration.last_tested_at is not None
    assert configuration.updated_at == before
    (entry,) = LogEntry.objects.all()
    assert (entry.object_id, entry.object_repr) == (str(configuration.pk), "Main")
    assert re.fullmatch(
        rf"Tested the connection to 127\.0\.0\.1:{peer.port}/udp: 200 Fine, [0-9.]+ ms\.", entry.change_message
    )


@pytest.mark.django_db
@pytest.mark.usefixtures("opened")
def test_credentials_are_tried_and_never_shown(operator: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    challenge = 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"'
    with stream_peer(
        lambda asked: [answer(asked, "403 Forbidden") if asked.count else answer(asked, "401 No", challenge)]
    ) as peer:
        found = press(operator, make(sip_port=peer.port, transport="tcp"))
    assert (found.json()["status_code"], found.json()["authenticated"]) == (403, False)
    kept = f"{list(LogEntry.objects.values())} {list(SIPConfiguration.objects.values())} {caplog.text}"
    for secret in ("hunter2", "response="):
        assert secret not in found.content.decode()
        assert secret not in kept


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("server", "port", "transport", "error"),
    [
        ("127.0.0.1", 5060, "udp", "not_allowed"),
        ("localhost", 5060, "tcp", "not_allowed"),
        ("169.254.169.254", 5060, "tcp", "not_allowed"),
        ("2130706433", 5060, "tcp", "not_allowed"),
        ("::ffff:127.0.0.1", 5060, "tls", "not_allowed"),
        ("1.1.1.1", 80, "tcp", "not_allowed"),
        ("sip.invalid", 5060, "udp", "dns"),
        ("sip.example.com", 443, "wss", "unsupported"),
    ],
)
def test_what_is_not_asked_says_why(operator: Client, server: str, port: int, transport: str, error: str) -> None:
    found = press(operator, make(sip_server=server, sip_port=port, transport=transport)).json()
    assert set(found) == KEYS | {"error"}
    assert (found["reachable"], found["status_code"], found["error"]) == (False, None, error)
    assert SIPConfiguration.objects.get().last_test == found


@pytest.mark.django_db
def test_a_body_changes_nothing_about_where_it_goes(operator: Client) -> None:
    configuration = make()
    body = {"sip_server": "1.1.1.1", "sip_port": 5060}
    found = send(operator, "POST", path(configuration, "test_connection"), body)
    assert found.json()["error"] == "not_allowed"


@pytest.mark.django_db
def test_a_password_that_no_key_reads_any_more_is_a_conflict(operator: Client) -> None:
    configuration = make()
    SIPConfiguration.objects.update(encrypted_password="unreadable")
    found = press(operator, configuration)
    assert (found.status_code, found.json()["code"]) == (409, "unreadable_secret")
    superuser = sign_in(superuser=True)
    found = send(superuser, "GET", path(configuration, "webrtc_config"))
    assert (found.status_code, found.json()["code"]) == (409, "unreadable_secret")


@pytest.mark.django_db
def test_one_that_is_not_active_can_be_tested_before_it_becomes_so(operator: Client) -> None:
    assert press(operator, make(is_active=False)).status_code == 200


@pytest.mark.django_db
def test_too_many_tests_of_one_person_are_429_whatever_token_they_use(settings: Any) -> None:
    settings.THROTTLE_SIP_TESTS = "2/hour"
    cache.clear()
    configuration = make()
    first, second = sign_in("Operators"), sign_in("Operators")
    assert [press(first, configuration).status_code for _ in range(2)] == [200, 200]
    refused = press(first, configuration)
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    assert LogEntry.objects.count() == 2
    assert press(second, configuration).status_code == 200
    assert press(sign_in("Analysts"), configuration).status_code == 403
    cache.clear()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("opened", "groups")
def test_nothing_of_the_database_is_held_while_a_server_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server, before it answers, lets somebody else write to the very row; that would hang or fail otherwise."""
    seen: dict[str, Any] = {}

    def write_meanwhile() -> None:
        try:
            with transaction.atomic():
                seen["written"] = SIPConfiguration.objects.select_for_update().get(name="Main").pk
                SIPConfiguration.objects.filter(name="Main").update(display_name="New")
        finally:
            connection.close()

    def script(asked: Any) -> list[bytes]:
        thread = threading.Thread(target=write_meanwhile)
        thread.start()
        thread.join()
        return [answer(asked, "200 OK")]

    real = operation.ask

    def watched(*args: Any, **options: Any) -> Any:
        seen["connection"], seen["in_transaction"] = connection.connection, connection.in_atomic_block
        return real(*args, **options)

    monkeypatch.setattr(operation, "ask", watched)
    with udp_peer(script) as peer:
        configuration = make(sip_port=peer.port)
        found = press(sign_in("Operators"), configuration)
    assert found.json()["reachable"] is True
    assert seen == {"written": configuration.pk, "connection": None, "in_transaction": False}
    assert SIPConfiguration.objects.get().display_name == "New"


@pytest.mark.django_db
@pytest.mark.usefixtures("opened")
def test_the_result_is_not_kept_for_what_was_changed_meanwhile(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = make(sip_port=1)
    real = operation.ask

    def change_meanwhile(*args: Any, **options: Any) -> Any:
        save_configuration(SIPConfiguration.objects.get(), {"sip_server": "elsewhere.test"})
        return real(*args, **options)

    monkeypatch.setattr(operation, "ask", change_meanwhile)
    assert press(operator, configuration).json()["error"] == "refused"
    assert SIPConfiguration.objects.get().last_test is None


@pytest.mark.django_db
def test_the_result_is_no_key_of_a_configuration(operator: Client) -> None:
    configuration = make()
    press(operator, configuration)
    shown = send(operator, "GET", f"sip-configurations/{configuration.pk}/").json()
    assert not {"last_test", "last_tested_at"} & set(shown)


@pytest.mark.django_db
def test_a_test_takes_three_statements(operator: Client) -> None:
    configuration = make()
    press(operator, configuration)
    with CaptureQueriesContext(connection) as queries:
        press(operator, configuration)
    statements = [query["sql"] for query in queries]
    # The configuration; the result; the audit. Whose token it is, and their rights, are remembered.
    assert len(statements) == 3, statements


# -- webrtc_config --------------------------------------------------------------------------------

FULL = {
    "sip_server": "sip.example.com",
    "realm": "example.com",
    "display_name": "Front desk",
    "wss_uri": "wss://sip.example.com:7443/ws",
    "stun_server": "stun.example.com:3478, stun:stun2.example.com",
    "turn_server": "turn.example.com, turns:turn.example.com:5349?transport=tcp",
}


def config(client: Client, configuration: SIPConfiguration) -> Any:
    return send(client, "GET", path(configuration, "webrtc_config"))


@pytest.mark.django_db
def test_a_softphone_gets_all_it_needs_but_the_password(operator: Client, settings: Any) -> None:
    settings.TURN_SECRET, settings.TURN_TTL_SECONDS = "shared", 600
    found = config(operator, make(**FULL))
    assert (found.status_code, found.headers["Cache-Control"]) == (200, "no-store")
    body = found.json()
    assert set(body) == WEBRTC_KEYS
    stun, turn = body.pop("ice_servers")
    expires_at = datetime.fromisoformat(body.pop("expires_at"))
    assert body == {
        "wss_uri": "wss://sip.example.com:7443/ws",
        "sip_uri": "sip:ada@sip.example.com",
        "username": "ada",
        "realm": "example.com",
        "display_name": "Front desk",
        "jssip": {
            "sockets": ["wss://sip.example.com:7443/ws"],
            "uri": "sip:ada@sip.example.com",
            "authorization_user": "ada",
            "realm": "example.com",
            "display_name": "Front desk",
        },
    }
    assert stun == {"urls": ["stun:stun.example.com:3478", "stun:stun2.example.com"]}
    assert turn["urls"] == [
        "turn:turn.example.com?transport=udp",
        "turn:turn.example.com?transport=tcp",
        "turns:turn.example.com:5349?transport=tcp",
    ]
    user = User.objects.get()
    assert turn["username"] == f"{int(expires_at.timestamp())}:{user.pk}"
    assert timedelta(seconds=540) < expires_at - datetime.now(UTC) <= timedelta(seconds=600)
    assert not LogEntry.objects.exists()
    for secret in ("hunter2", "shared"):
        assert secret not in found.content.decode()


@pytest.mark.django_db
def test_an_analyst_looks_but_gets_no_relay(analyst: Client, settings: Any) -> None:
    settings.TURN_SECRET = "shared"
    body = config(analyst, make(**FULL)).json()
    assert [list(server) for server in body["ice_servers"]] == [["urls"]]
    assert body["expires_at"] is None
    assert "password" not in json.dumps(body)


@pytest.mark.django_db
def test_without_a_secret_there_is_no_relay_without_servers_there_is_nothing(operator: Client) -> None:
    assert len(config(operator, make(**FULL)).json()["ice_servers"]) == 1
    bare = config(operator, make(name="Bare", username="", password=""))
    assert bare.status_code == 200
    assert bare.json() == dict.fromkeys(WEBRTC_KEYS) | {"ice_servers": []}


@pytest.mark.django_db
def test_the_password_is_given_to_whoever_has_the_right_and_each_time_that_is_written_down() -> None:
    configuration = make(**FULL, password=' p€ss"w\\ord ')
    client = sign_in("Operators", name="trusted")
    assert "password" not in config(client, configuration).json()
    User.objects.get().user_permissions.add(Permission.objects.get(codename="reveal_sip_password"))
    for times in (1, 2):
        body = config(client, configuration).json()
        assert body["password"] == body["jssip"]["password"] == ' p€ss"w\\ord '
        entries = LogEntry.objects.filter(user__username="trusted", object_id=str(configuration.pk))
        assert [entry.change_message for entry in entries] == ["Was given the SIP password (webrtc_config)."] * times
    assert config(sign_in(superuser=True), configuration).json()["password"]
    assert "p€ss" not in str(list(LogEntry.objects.values()))


@pytest.mark.django_db
def test_no_group_has_the_right_to_the_password_by_itself() -> None:
    for group in ("Telephony systems", "Analysts", "Operators"):
        assert not User.objects.get(pk=_user_of(group)).has_perm("calls.reveal_sip_password")


def _user_of(group: str) -> int:
    sign_in(group, name=group)
    return User.objects.get(username=group).pk


@pytest.mark.django_db
def test_a_password_that_cannot_be_written_down_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the log is full")

    monkeypatch.setattr(LogEntry.objects, "create", fail)
    found = config(sign_in(superuser=True), make(**FULL))
    assert found.status_code == 500
    assert "hunter2" not in found.content.decode()


@pytest.mark.django_db
def test_one_that_is_not_active_is_a_conflict(operator: Client) -> None:
    found = config(operator, make(**FULL, is_active=False))
    assert (found.status_code, found.json()["code"]) == (409, "invalid_transition")
    assert "Main is not active" in found.json()["detail"]


@pytest.mark.django_db
def test_a_user_name_is_spelled_as_a_sip_uri_wants_it(operator: Client) -> None:
    body = config(operator, make(**FULL | {"username": "a b@c>", "sip_server": "2001:4860::1"})).json()
    assert body["sip_uri"] == body["jssip"]["uri"] == "sip:a%20b%40c%3E@[2001:4860::1]"
    assert body["jssip"]["authorization_user"] == "a b@c>"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (
            "sip_server",
            ["sip.example.com", "10.1.2.3", "::1", "localhost"],
            ["a b", "2130706433", "x/y", "sip:x", "é.example"],
        ),
        (
            "wss_uri",
            ["wss://sip.example.com", "wss://[::1]:7443/ws?x=1", "ws://localhost:8080", "ws://127.0.0.1/"],
            ["https://sip.example.com", "ws://sip.example.com", "wss://", "wss://x:0", "wss://x:99999", "wss://a b"],
        ),
        (
            "stun_server",
            ["stun.example.com", "stun:stun.example.com:3478", "a.example:1,b.example", "[::1]:3478", ""],
            ["turn:a.example", "a.example:0", "http://a.example", "stun:a.example?transport=udp", "a_example/x"],
        ),
        (
            "turn_server",
            ["turn.example.com:3478", "turns:turn.example.com?transport=tcp", "turn:1.2.3.4"],
            ["stun:a.example", "a.example?transport=udp", "turn:a.example?transport=sctp", "turn:"],
        ),
    ],
)
def test_addresses_are_checked_when_they_are_entered(
    operator: Client, field: str, good: list[str], bad: list[str]
) -> None:
    configuration = make()
    for value in good:
        found = send(operator, "PATCH", f"sip-configurations/{configuration.pk}/", {field: value})
        assert found.status_code == 200, (value, found.json())
    for value in bad:
        found = send(operator, "PATCH", f"sip-configurations/{configuration.pk}/", {field: value})
        assert (found.status_code, list(found.json()["errors"])) == (400, [field]), value


@pytest.mark.django_db
def test_a_server_that_was_entered_wrongly_before_it_was_checked_is_a_conflict(operator: Client) -> None:
    found = config(operator, make(**FULL | {"turn_server": "http://x"}))
    assert (found.status_code, found.json()["code"]) == (409, "invalid_transition")
    assert "http://x is no TURN server." in found.json()["detail"]


@pytest.mark.django_db
@pytest.mark.usefixtures("opened")
def test_a_dead_port_is_refused(operator: Client) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        found = press(operator, make(sip_port=taken.getsockname()[1], transport="tcp")).json()
    assert (found["reachable"], found["error"]) == (False, "refused")
