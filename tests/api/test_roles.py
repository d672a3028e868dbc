"""Who may do what: every method of every address, for every role; a new address without a row fails."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from calls.models import Call, CallRecording, SIPConfiguration
from calls.models import Client as OurClient
from calls.operations.record import record
from calls.operations.sip import set_default
from tests.build import build_event, sign_in

pytestmark = pytest.mark.django_db

ROLES = ["nobody", "telephony", "analyst", "operator", "superuser"]
# What a request with an empty body is answered. Whoever lacks a right is told so before anything else.
READ = (401, 403, 200, 200, 200)
REPORT = (401, 400, 403, 403, 400)
PRESS = (401, 403, 403, 200, 200)
WRITE = (401, 403, 403, 400, 400)
DELETE = (401, 403, 403, 204, 204)
OPEN = (200, 200, 200, 200, 200)
NOTES = (401, 403, 400, 400, 400)

TABLE: dict[str, dict[str, tuple[int, ...]]] = {
    "process-events": {"POST": REPORT},
    "call-history": {"GET": READ},
    "call-logs": {"GET": READ, "POST": WRITE},
    "initiate-call": {"POST": WRITE},
    "log-incoming-call": {"POST": WRITE},
    "statistics": {"GET": READ},
    "statistics-series": {"GET": READ},
    "call-log": {"GET": READ},
    "explain": {"GET": READ},
    "update-status": {"PATCH": NOTES},
    "end-call": {"POST": PRESS},
    "add-event": {"POST": WRITE},
    "start-recording": {"POST": (401, 403, 403, 201, 201)},
    "stop-recording": {"POST": (401, 403, 403, 409, 409)},
    "transfer-call": {"POST": WRITE},
    "toggle-hold": {"POST": PRESS},
    "recordings": {"GET": READ},
    "recording": {"GET": READ, "PATCH": WRITE, "DELETE": DELETE},
    # There is no file yet; and what is sent is no sound.
    "recording-file": {"GET": (401, 403, 404, 404, 404), "PUT": (401, 415, 403, 415, 415)},
    "clients": {"GET": READ, "POST": WRITE},
    "client": {"GET": READ, "PUT": WRITE, "PATCH": PRESS, "DELETE": DELETE},
    "client-call-history": {"GET": READ},
    "sip-configurations": {"GET": READ, "POST": WRITE},
    "sip-configuration": {"GET": READ, "PUT": WRITE, "PATCH": PRESS, "DELETE": DELETE},
    "set-default": {"POST": PRESS},
    "sip-test-connection": {"POST": PRESS},
    "sip-webrtc-config": {"GET": READ},
    "sip-webhook": {"POST": REPORT},
    "recording-webhook": {"POST": (401, 400, 403, 400, 400)},
    "freeswitch-webhook": {"POST": REPORT},
    "asterisk-webhook": {"POST": REPORT},
    "metrics": {"GET": READ},
    "schema": {"GET": OPEN},
    "docs": {"GET": OPEN},
}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def endpoints(patterns: list[URLPattern | URLResolver]) -> Iterator[tuple[str, Any]]:
    """The name and view of every address of ours that has one; the admin has rights of its own."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            if getattr(pattern, "app_name", None) != "admin":
                yield from endpoints(pattern.url_patterns)
        elif pattern.name and not pattern.callback.__module__.startswith(("phonegoggles.health", "calls.admin.")):
            yield pattern.name, getattr(pattern.callback, "view_class", None) or pattern.callback.cls


ENDPOINTS = dict(endpoints(get_resolver().url_patterns))
OFFERED = [(name, method) for name, view in ENDPOINTS.items() for method in METHODS if hasattr(view, method.lower())]
NOT_OFFERED = [
    (name, method) for name, view in ENDPOINTS.items() for method in METHODS if not hasattr(view, method.lower())
]


def test_every_endpoint_has_its_row_and_every_row_its_endpoint() -> None:
    declared = {(name, method) for name, methods in TABLE.items() for method in methods}
    assert set(OFFERED) == declared


@pytest.fixture
def paths() -> dict[str, str]:
    """The path of every endpoint, with a call, a recording, a client and a configuration that are there."""
    record([build_event("initiated", call_id="c"), build_event("answered", 1, call_id="c")])
    now = datetime.now(UTC)
    recording = CallRecording.objects.create(call=Call.objects.get(), created_at=now, updated_at=now)
    configuration = SIPConfiguration.objects.create(name="x", sip_server="192.0.2.1", caller_number="+12025550100")
    set_default(configuration)
    ids = {
        "recording": recording.pk,
        "client": OurClient.objects.create(name="Ada").pk,
        "sip": configuration.pk,
        "set": configuration.pk,
    }
    found = {}
    for name in ENDPOINTS:
        values = {}
        entry = get_resolver().reverse_dict.getlist(name)[0]
        for parameter in entry[0][0][1]:
            values[parameter] = "+1234567890" if parameter == "number" else ids.get(name.split("-")[0], "c")
        found[name] = f"/{entry[0][0][0] % values}/"
    return found


@pytest.fixture(params=list(enumerate(ROLES)), ids=ROLES)
def role(request: Any, db: None) -> tuple[int, Client]:
    index, name = request.param
    groups = {"telephony": "Telephony systems", "analyst": "Analysts", "operator": "Operators"}
    if name == "nobody":
        return index, Client()
    return index, sign_in(groups.get(name, ""), superuser=name == "superuser")


def ask(client: Client, method: str, path: str) -> Any:
    return client.generic(method, path, b"" if method in ("GET", "DELETE") else b"{}", content_type="application/json")


@pytest.mark.parametrize(("name", "method"), OFFERED, ids=lambda value: str(value))
def test_each_role_gets_what_the_table_says(
    role: tuple[int, Client], paths: dict[str, str], name: str, method: str
) -> None:
    index, client = role
    answer = ask(client, method, paths[name])
    assert answer.status_code == TABLE[name][method][index], getattr(answer, "content", b"")[:300]
    if answer.status_code >= 400:
        assert {"detail", "code"} <= set(answer.json())


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_what_machines_ask_is_open_to_all_and_offers_nothing_else(role: tuple[int, Client], path: str) -> None:
    client = role[1]
    assert client.get(path).status_code in (200, 503)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert ask(client, method, path).status_code == 405


def test_every_address_is_served_without_its_last_slash_too(paths: dict[str, str]) -> None:
    client = sign_in(superuser=True)
    for name, method in OFFERED:
        if method == "GET":
            assert ask(client, method, paths[name].removesuffix("/")).status_code == TABLE[name][method][-1], name


def test_a_method_that_is_not_offered_is_401_or_403_or_405_and_never_more(
    role: tuple[int, Client], paths: dict[str, str]
) -> None:
    index, client = role
    for name, method in NOT_OFFERED:
        if "schema" in name or "docs" in name:
            continue
        # 405 is for those who may do something there.
        rows = [row[index] for row in TABLE[name].values()]
        expected = 401 if index == 0 else (403 if set(rows) == {403} else 405)
        assert ask(client, method, paths[name]).status_code == expected, (name, method)


# These have nothing to say in a body; it is not read.
WITHOUT_BODY = {"set-default", "end-call", "toggle-hold", "start-recording", "stop-recording", "sip-test-connection"}


def test_a_chunked_body_is_nowhere_taken_for_an_empty_one(paths: dict[str, str]) -> None:
    """The test client's server cannot read chunks, so whoever reads its body has to say so."""
    client = sign_in(superuser=True)
    for name, method in OFFERED:
        if method in ("POST", "PUT", "PATCH") and name not in WITHOUT_BODY:
            kind = "audio/wav" if name == "recording-file" else "application/json"
            chunked = {"CONTENT_TYPE": kind, "HTTP_TRANSFER_ENCODING": "chunked"}
            answer = client.generic(method, paths[name], b"", content_type=kind, **chunked)
            assert (answer.status_code, answer.json()["code"]) == (411, "length_required"), (name, method)


def test_a_valid_token_of_somebody_without_a_group_may_do_nothing(paths: dict[str, str]) -> None:
    client = sign_in()
    for name, method in OFFERED:
        if name not in ("schema", "docs"):
            assert ask(client, method, paths[name]).status_code == 403, (name, method)


def test_what_is_not_there_is_a_404_for_those_who_may_look(paths: dict[str, str]) -> None:
    client = sign_in(superuser=True)
    for path in (
        "/api/call-logs/nothing/", f"/api/call-logs/{uuid4()}/", f"/api/recordings/{uuid4()}/", "/api/clients/999999/",
        "/api/sip-configurations/999999/", "/api/clients/999999/call_history/", f"/api/recordings/{uuid4()}/file/",
        "/api/clients/999999999999999999/",
    ):  # fmt: skip
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    for button in ("end_call", "toggle_hold", "start_recording", "stop_recording"):
        assert ask(client, "POST", f"/api/call-logs/nothing/{button}/").status_code == 404
