"""`/ws/calls/` with a real server and a real client, on the database that the tests run on."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client as Browser
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from calls.models import AccessLogEntry, AccessToken, Call, Client
from calls.operations import control
from calls.operations.clients import set_numbers
from calls.operations.control import Button
from calls.operations.record import record
from calls.queries.calls import find_call
from tests.build import CALLER, at, build_event, send
from tests.realtime_client import Ear, listening, refusal, url
from tests.server import socket_server, until

pytestmark = [pytest.mark.usefixtures("groups")]


@pytest.fixture(scope="module")
def address(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    with django_db_blocker.unblock(), socket_server(LIVE_RECHECK_SECONDS="1", LIVE_CATCH_UP="50") as (address, _):
        yield address


def new_user(group: str = "Analysts", name: str = "ana") -> User:
    user = User.objects.create_user(name, password="correct horse")
    if group:
        user.groups.add(Group.objects.get(name=group))
    return user


def new_key(user: User, **values: Any) -> str:
    return str(AccessToken.objects.create(user=user, **values)[1])


@pytest.fixture
def key(groups: None) -> str:
    return new_key(new_user())


def rest(key: str, path: str) -> Any:
    return send(Browser(headers={"Authorization": f"Token {key}"}), "GET", path).json()


def body_of(response: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(response.body)
    return found


# -- What is told --------------------------------------------------------------------------------


def test_a_change_is_told_as_the_api_shows_it(address: str, key: str) -> None:
    with listening(address, key) as ear:
        record([build_event("initiated", metadata={"agent": "<b>"})])
        message = ear.hear()
    assert set(message) == {"type", "cursor", "event", "call"}
    assert message["type"] == "call.updated"
    call = Call.objects.get()
    shown = rest(key, f"call-logs/{call.pk}/")
    events = shown.pop("events")
    assert message["event"] == events[0]
    assert message["call"].pop("version") == 1
    assert message["call"] == {name: shown[name] for name in shown if name not in ("recording", "recordings")}


def test_the_events_of_a_call_are_told_once_each_and_in_order(address: str, key: str) -> None:
    with listening(address, key) as ear:
        for number, kind in enumerate(["initiated", "ringing", "answered", "hold", "unhold", "ended"]):
            record([build_event(kind, number, event_id=kind)])
        record([build_event("ended", 9, event_id="last", call_id="call-2")])
        messages = [ear.hear() for _ in range(7)]
    assert [m["event"]["event_id"] for m in messages] == [
        "initiated", "ringing", "answered", "hold", "unhold", "ended", "last",
    ]  # fmt: skip
    versions = [m["call"]["version"] for m in messages[:6]]
    assert versions == sorted(versions)
    assert versions[-1] == 6


def test_the_events_of_one_batch_are_told_in_their_order_whatever_their_ids(address: str, key: str) -> None:
    batch = [build_event("ended", 9, event_id="a"), build_event("initiated", 0, event_id="z")]
    with listening(address, key) as ear:
        record([*batch, build_event("answered", 4, event_id="m"), build_event("ringing", 0, event_id="k")])
        assert ear.events(4) == ["z", "k", "m", "a"]


def test_repeated_conflicting_and_rolled_back_events_are_told_to_nobody(address: str, key: str) -> None:
    with listening(address, key) as ear:
        record([build_event(event_id="a")])
        record([build_event(event_id="a")])
        record([build_event("ended", event_id="a")])
        record([build_event("ended", 5, event_id="b")], dry_run=True)
        record([build_event("ended", 5, event_id="c")])
        assert ear.events(2) == ["a", "c"]


def test_notes_a_score_and_a_new_client_are_changes_without_an_event(address: str, key: str) -> None:
    record([build_event("initiated", direction=None)])
    call, button = Call.objects.get(), Button(None, at(60))
    with listening(address, key) as ear:
        control.update_status(call, button, status=None, notes="rang back")
        message = ear.hear()
        assert (message["event"], message["call"]["notes"]) == (None, "rang back")
        client = Client.objects.create(name="Ada")
        set_numbers(client, [CALLER], at=at(61))
        message = ear.hear()
        assert (message["event"], message["call"]["client_name"]) == (None, "Ada")


@pytest.mark.parametrize(
    ("query", "heard"),
    [
        ({"number": "+15550001"}, ["b"]),
        ({"number": "15550001"}, ["b"]),
        ({"number": ["+15550001", "+15550002"]}, ["b", "c"]),
        ({"status": "ringing"}, ["c"]),
        ({"status": ["ringing", "missed"]}, ["c", "d"]),
        ({"call": "call-b"}, ["b"]),
        ({"call": "call-b", "status": "ringing"}, []),
        ({"number": "+15550002", "status": "ringing"}, ["c"]),
    ],
)
def test_filters_choose_which_calls_are_told(address: str, key: str, query: dict[str, Any], heard: list[str]) -> None:
    with listening(address, key, **query) as ear, listening(address, key) as everything:
        record([build_event("initiated", event_id="a", call_id="call-a")])
        record([build_event("initiated", event_id="b", call_id="call-b", called_number="+15550001")])
        record([build_event("ringing", event_id="c", call_id="call-c", calling_number="+15550002")])
        record([build_event("ended", event_id="d", call_id="call-d")])
        assert everything.events(4) == ["a", "b", "c", "d"]
        assert ear.events(len(heard)) == heard
        with pytest.raises(TimeoutError):  # what is not wanted would have come before
            ear.socket.recv(timeout=0.2)


def test_a_client_is_a_filter_too_and_a_call_may_be_named_by_our_id(address: str, key: str) -> None:
    client = Client.objects.create(name="Ada")
    set_numbers(client, ["+15550009"], at=at(0))
    record([build_event(event_id="before", call_id="call-z")])
    ours = find_call("call-z")
    assert ours is not None
    with listening(address, key, client=client.pk) as hers, listening(address, key, call=str(ours.pk)) as its:
        record([build_event(event_id="a")])
        record([build_event(event_id="b", call_id="call-b", calling_number="+15550009", direction="inbound")])
        record([build_event("ended", 3, event_id="c", call_id="call-z")])
        assert hers.events(1) == ["b"]
        assert its.events(1) == ["c"]


# -- Coming back ---------------------------------------------------------------------------------


def test_who_comes_back_with_a_cursor_has_missed_nothing(address: str, key: str) -> None:
    with listening(address, key) as ear:
        record([build_event(event_id="heard")])
        ear.hear()
        cursor = ear.cursor
    record([build_event("ringing", 1, event_id="missed")])
    call = Call.objects.get()
    control.update_status(call, Button(None, at(2)), status=None, notes="missed too")
    with listening(address, key, since=cursor) as ear:
        assert ear.events(2) == ["missed", None]
        record([build_event("ended", 3, event_id="live")])
        assert ear.events(1) == ["live"]
        after = ear.cursor
    with listening(address, key, since=after) as ear:
        record([build_event("dtmf", 4, event_id="later")])
        assert ear.events(1) == ["later"]


def test_catching_up_knows_the_filters(address: str, key: str) -> None:
    with listening(address, key) as ear:
        cursor = ear.cursor
    record([build_event(event_id="a", call_id="call-a")])
    record([build_event(event_id="b", call_id="call-b")])
    with listening(address, key, since=cursor, call="call-b") as ear:
        assert ear.events(1) == ["b"]


def test_a_cursor_that_is_not_ours_is_refused(address: str, key: str) -> None:
    for text in ("1", "AAAA", "x" * 300, "é"):
        response = refusal(address, key, {"since": text})
        assert response.status_code == 400
        assert "since" in body_of(response)["errors"]


def test_a_cursor_too_far_back_is_gone(address: str, key: str) -> None:
    with listening(address, key) as ear:
        cursor = ear.cursor
    record([build_event("dtmf", n, event_id=str(n)) for n in range(51)])
    response = refusal(address, key, {"since": cursor})
    assert (response.status_code, body_of(response)["code"]) == (410, "gone")


# -- Who may listen ------------------------------------------------------------------------------


def test_without_a_token_the_handshake_is_401(address: str, groups: None) -> None:
    response = refusal(address)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Token"
    assert set(body_of(response)) == {"detail", "code"}


def test_a_wrong_expired_or_inactive_token_is_401(address: str, groups: None) -> None:
    user = new_user()
    sleeping = new_user(name="gone")
    keys = ["0" * 64, "no such", new_key(user, expiry=timedelta(seconds=-1)), new_key(sleeping)]
    User.objects.filter(pk=sleeping.pk).update(is_active=False)
    assert [refusal(address, key).status_code for key in keys] == [401] * 4
    assert refusal(address, subprotocols=["phonegoggles.v1", "token.wrong"]).status_code == 401


def test_a_token_without_the_right_is_403(address: str, groups: None) -> None:
    response = refusal(address, new_key(new_user("Telephony systems")))
    assert (response.status_code, body_of(response)["code"]) == (403, "permission_denied")


def test_unknown_and_impossible_filters_are_400(address: str, key: str) -> None:
    cases: list[tuple[str, Any]] = [
        ("numbr", "+1"), ("token", key), ("number", ""), ("number", "9" * 256), ("client", "Ada"), ("client", "-1"),
        ("status", "gone"), ("call", " "), ("number", [str(n) for n in range(101)]),
        ("number", "+1\0"), ("call", "\0x"),
    ]  # fmt: skip
    for name, value in cases:
        response = refusal(address, key, {name: value})
        assert (response.status_code, list(body_of(response)["errors"])) == (400, [name]), name


def test_a_browser_may_bring_its_token_as_a_subprotocol_which_is_not_echoed(address: str, key: str) -> None:
    offered: Any = ["phonegoggles.v1", f"token.{key}"]
    with connect(url(address), subprotocols=offered, proxy=None) as socket:
        Ear(socket)
        assert socket.subprotocol == "phonegoggles.v1"
        assert socket.response is not None
        assert key not in str(socket.response.headers)


def signed_in(user: User) -> Browser:
    browser = Browser()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser


def cookie_of(browser: Browser) -> dict[str, str]:
    return {"Cookie": f"sessionid={browser.cookies['sessionid'].value}"}


def test_a_session_may_listen_from_our_own_pages_only(address: str, groups: None) -> None:
    cookie = cookie_of(signed_in(new_user()))
    with connect(url(address), additional_headers=cookie, origin=address, proxy=None) as socket:  # type: ignore[arg-type]
        Ear(socket)
    for origin in (None, "https://evil.example", "null", address + "0", f"{address}@evil.example"):
        response = refusal(address, headers=cookie, origin=origin)
        assert (response.status_code, body_of(response)["code"]) == (403, "forbidden_origin"), origin
    assert refusal(address, headers={"Cookie": "sessionid=nobody"}, origin=address).status_code == 401


def test_another_origin_listens_in_a_sessions_name_only_if_it_is_trusted(groups: None) -> None:
    cookie = cookie_of(signed_in(new_user()))
    trusted = "https://*.example.org,https://desk.example.net"
    with socket_server(CSRF_TRUSTED_ORIGINS=trusted) as (address, _):
        for origin in ("https://a.example.org", "https://desk.example.net"):
            with connect(url(address), additional_headers=cookie, origin=origin, proxy=None) as socket:  # type: ignore[arg-type]
                Ear(socket)
        for origin in ("http://a.example.org", "https://a.desk.example.net", "https://example.org.evil.example"):
            assert refusal(address, headers=cookie, origin=origin).status_code == 403


def test_other_hosts_and_other_addresses_are_refused(address: str, key: str) -> None:
    assert refusal(address, key, headers={"Host": "evil.example"}).status_code == 400
    response = refusal(address, key, path="/ws/nothing/")
    assert (response.status_code, body_of(response)["code"]) == (404, "not_found")


def test_where_https_is_wanted_a_plain_socket_is_refused(groups: None) -> None:
    user = new_user()
    key, cookie = new_key(user), cookie_of(signed_in(user))
    with socket_server(HTTPS="true", TRUST_X_FORWARDED_PROTO="true") as (address, _):
        response = refusal(address, key)
        assert (response.status_code, body_of(response)["code"]) == (403, "https_required")
        proxied = cookie | {"X-Forwarded-Proto": "https"}
        ours: Any = address.replace("http:", "https:")
        with connect(url(address), additional_headers=proxied, origin=ours, proxy=None) as socket:
            Ear(socket)
        assert refusal(address, headers=proxied, origin=address).status_code == 403


def test_plain_requests_are_served_beside_the_socket(address: str, key: str) -> None:
    with urlopen(Request(f"{address}/api/call-logs/", headers={"Authorization": f"Token {key}"})) as answer:  # noqa: S310 - our own server
        assert json.load(answer)["results"] == []
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{address}/ws/calls/")  # noqa: S310 - our own server
    assert refused.value.code == 426


def closing_code(ear: Ear) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        ear.hear()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def test_a_revoked_token_a_closed_account_and_a_lost_right_end_the_socket(address: str, groups: None) -> None:
    revoked, closed, demoted, kept = (new_user(name=name) for name in ("a", "b", "c", "d"))
    keys = [new_key(user) for user in (revoked, closed, demoted, kept)]
    with (
        listening(address, keys[0]) as first,
        listening(address, keys[1]) as second,
        listening(address, keys[2]) as third,
        listening(address, keys[3]) as fourth,
    ):
        AccessToken.objects.filter(user=revoked).delete()
        User.objects.filter(pk=closed.pk).update(is_active=False)
        demoted.groups.clear()
        assert [closing_code(ear) for ear in (first, second, third)] == [4001] * 3
        record([build_event(event_id="still")])
        assert fourth.events(1) == ["still"]


def test_signing_out_and_a_new_password_end_the_sockets_of_a_session(address: str, groups: None) -> None:
    out, changed = new_user(name="out"), new_user(name="changed")
    browser = signed_in(out)
    cookie, other = cookie_of(browser), cookie_of(signed_in(changed))
    with (
        connect(url(address), additional_headers=cookie, origin=address, proxy=None) as first,  # type: ignore[arg-type]
        connect(url(address), additional_headers=other, origin=address, proxy=None) as second,  # type: ignore[arg-type]
    ):
        ears = [Ear(first), Ear(second)]
        browser.logout()
        changed.set_password("another one")
        changed.save()
        assert [closing_code(ear) for ear in ears] == [4001] * 2


def test_whoever_talks_is_shown_out(address: str, key: str) -> None:
    with listening(address, key) as ear:
        ear.socket.send('{"type": "subscribe"}')
        assert closing_code(ear) == 1008
    with listening(address, key) as ear:
        ear.socket.send("x" * 5_000)
        assert closing_code(ear) == 1009


def test_there_is_room_for_so_many_sockets_and_no_more(groups: None) -> None:
    first, second = new_key(new_user(name="a")), new_key(new_user(name="b"))
    with (
        socket_server(LIVE_MAX_SOCKETS="3", LIVE_MAX_SOCKETS_PER_USER="2") as (address, _),
        listening(address, first),
        listening(address, first),
    ):
        assert refusal(address, first).status_code == 429
        with listening(address, second):
            response = refusal(address, second)
            assert (response.status_code, "Retry-After" in response.headers) == (503, True)

        def may_come() -> bool:
            with suppress(InvalidStatus), listening(address, second):
                return True
            return False

        until(may_come)  # one has gone, which the server notices a moment later


def test_who_listens_is_in_the_access_log(key: str) -> None:
    with socket_server(ACCESS_LOG="true") as (address, server):
        refusal(address, "wrong")
        with listening(address, key, number="+12025550123"):
            for _ in range(100):  # it is written a moment later
                noted = list(AccessLogEntry.objects.values_list("what", "user_name"))
                if noted:
                    break
                with pytest.raises(subprocess.TimeoutExpired):
                    server.wait(0.1)
    assert noted == [("live", "ana")]


def test_no_key_reaches_the_log(key: str, tmp_path: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with socket_server(LOG_LEVEL="DEBUG") as (address, _):
        with listening(address, key):
            pass
        offered: Any = ["phonegoggles.v1", f"token.{key}"]
        with connect(url(address), subprotocols=offered, proxy=None) as socket:
            Ear(socket)
        refusal(address, key, {"token": key})
    said = "".join(capfd.readouterr())
    assert key not in said
