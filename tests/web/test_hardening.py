"""What browsers and strangers could abuse elsewhere: headers, cookies, redirects, fields that are not theirs, paths."""

import http.client
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import get_resolver

from calls.models import Call, CallEvent, CallRecording, SIPConfiguration
from calls.models import Client as OurClient
from calls.operations.record import record
from tests.api.test_roles import OFFERED
from tests.build import build_event, report, send, sign_in, sip_report, told
from tests.server import production_server

# -- Headers and cookies ------------------------------------------------------------------------


def ask(address: str, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    line = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    line.request(method, path, headers={"X-Forwarded-Proto": "https", **headers})
    answer = line.getresponse()
    answer.read()
    line.close()
    return answer


@pytest.mark.django_db(transaction=True)
def test_every_answer_of_the_production_server_has_the_headers_that_browsers_heed() -> None:
    with production_server(workers=1, kill=True, HTTPS="true", TRUST_X_FORWARDED_PROTO="true") as address:
        for path in ("/admin/login/", "/api/call-logs/", "/call-history/+12025550123/", "/nothing", "/livez"):
            answer = ask(address, path)
            told = {name.lower(): value for name, value in answer.getheaders()}
            assert told["strict-transport-security"] == "max-age=31536000; includeSubDomains; preload", path
            assert told["x-content-type-options"] == "nosniff", path
            assert told["x-frame-options"] == "DENY", path
            assert told["referrer-policy"] == "same-origin", path
            assert told["cross-origin-opener-policy"] == "same-origin", path
            assert "frame-ancestors 'none'" in told["content-security-policy"], path
            assert "x-powered-by" not in told
            assert not any(character.isdigit() for character in told.get("server", "")), path  # no version


@pytest.mark.django_db
def test_the_cookies_are_out_of_reach_for_other_sites_and_the_sessions_for_scripts(settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True  # as with HTTPS=true
    User.objects.create_user("ada", password="right", is_staff=True)
    form = {"username": "ada", "password": "right", "next": "/admin/"}
    session = Client().post("/admin/login/", form, secure=True).cookies["sessionid"]
    assert (session["httponly"], session["samesite"], session["secure"]) == (True, "Lax", True)
    csrf = Client().get("/admin/login/", secure=True).cookies["csrftoken"]
    assert (csrf["samesite"], csrf["secure"]) == ("Lax", True)


@pytest.mark.django_db
def test_nothing_that_the_api_says_is_kept_by_a_cache() -> None:
    record([build_event("initiated", call_id="c"), build_event("ended", 1, call_id="c")])
    person, stranger = sign_in(superuser=True), Client()
    for name, method in OFFERED:
        path, parameters = get_resolver().reverse_dict.getlist(name)[0][0][0]
        address = f"/{path % dict.fromkeys(parameters, '+1234567890' if 'number' in parameters else 'c')}/"
        for client in (person,) if name == "metrics" else (person, stranger):
            answer = client.generic(method, address, b"{}", content_type="application/json")
            assert answer.headers.get("Cache-Control") == "no-store", (method, address, answer.status_code)


# -- Signing in ----------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "\thttps://evil.ex"],
)
def test_signing_in_leads_to_no_other_site(target: str) -> None:
    User.objects.create_user("ada", password="right", is_staff=True)
    answer = Client().post("/admin/login/", {"username": "ada", "password": "right", "next": target})
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin")


@pytest.mark.django_db
def test_a_wrong_name_and_a_wrong_password_are_told_alike() -> None:
    User.objects.create_user("ada", password="right", is_staff=True)
    User.objects.create_user("bob", password="right", is_staff=True, is_active=False)
    pages = set()
    for name, password in (("ada", "wrong"), ("zoe", "wrong"), ("bob", "right")):
        page = Client().post("/admin/login/", {"username": name, "password": password, "next": "/admin/"})
        html = page.content.decode().replace(name, "NAME")
        pages.add((page.status_code, "Please enter the correct" in html, html.count("error")))
    assert len(pages) == 1


# -- Fields that are not theirs --------------------------------------------------------------------


@pytest.mark.django_db
def test_what_a_body_adds_to_the_fields_of_a_resource_changes_nothing(operator: Client) -> None:
    """Mass assignment (CWE-915): names of columns, of relations and of rights."""
    stolen = {"id": 999, "pk": 999, "created_at": "1999-01-01T00:00:00Z", "updated_at": "1999-01-01T00:00:00Z",
              "is_superuser": True, "user": 1, "handled_by": 1, "handled_by_id": 1, "version": 99}  # fmt: skip
    default = send(operator, "POST", "sip-configurations/", {"name": "a", "sip_server": "b", "caller_number": "1"})
    assert default.status_code == 201
    sip = {"name": "c", "sip_server": "b", "caller_number": "1", "is_default": True, "encrypted_password": "x",
           "has_password": True, "last_test": {"reachable": True}}  # fmt: skip
    made = send(operator, "POST", "sip-configurations/", sip | stolen).json()
    kept = SIPConfiguration.objects.get(pk=made["id"])
    assert (made["id"] != 999, kept.is_default, kept.encrypted_password, kept.last_test) == (True, False, "", None)
    assert kept.created_at.year > 1999

    made = send(operator, "POST", "clients/", {"name": "Ada", "phone_numbers": []} | stolen | {"calls": ["x"]}).json()
    assert made["id"] != 999
    assert OurClient.objects.get().created_at.year > 1999

    more = {"status": "ended", "duration": 9, "anomalies": [], "inferred_end": True}
    call = told(sign_in("Telephony systems"), sip_report("call_answered", **more))
    before = Call.objects.values().get()
    body = {"notes": "n", "duration": 9, "ended_at": "2024-04-01T12:00:00Z", "client": 1, "anomalies": ["no_start"],
            "direction": "outbound", "caller_number": "+1", "sip_call_id": "other"}  # fmt: skip
    assert send(operator, "PATCH", f"call-logs/{call}/update_status/", body | stolen).status_code == 200
    after = Call.objects.values().get()
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"notes", "updated_at", "version", "annotated_at"}, changed
    assert after["status"] == "answered"


@pytest.mark.django_db
def test_a_report_says_nothing_of_who_sent_it_or_when_it_came(telephony: Client) -> None:
    more = {"source": "api", "received_at": "1999-01-01T00:00:00Z", "user": 1, "id": 7, "metadata": {"x": 1}}
    assert telephony.post("/process-events/", report(**more), "application/json").status_code == 200
    event = CallEvent.objects.get()
    assert (event.source, event.user_id, event.received_at.year > 1999) == ("process_events", None, True)


# -- Paths ---------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["../../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "..\\..\\x", "%2e%2e/x"]
)
def test_a_path_that_a_recorder_names_is_never_opened(
    path: str, telephony: Client, operator: Client, tmp_path: Path, settings: Any
) -> None:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    (tmp_path / "media").mkdir()
    record([build_event("answered", call_id="c")])
    body = {"call_id": "c", "status": "completed", "file_path": path}
    made = send(telephony, "POST", "webhooks/recording/", body)
    assert made.status_code == 200
    recording = made.json()["recording_id"]
    answer = operator.get(f"/api/recordings/{recording}/file/")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    sent = telephony.generic("PUT", f"/api/recordings/{recording}/file/", b"sound", "audio/wav", headers={
        "Content-Disposition": f'attachment; filename="{path}"'})  # fmt: skip
    assert sent.status_code == 200
    kept = Path(CallRecording.objects.get().file.path).resolve()
    assert kept.is_relative_to((tmp_path / "media").resolve())
    assert [file.name for file in tmp_path.iterdir()] == ["media"]


@pytest.mark.django_db
@pytest.mark.parametrize("start", ["/static/", "/media/", "/admin/calls/callrecording/", "/api/recordings/", "/"])
def test_no_address_leads_out_of_its_folder(start: str) -> None:
    browser = sign_in(superuser=True)
    for way in (
        "../manage.py",
        "..%2fmanage.py",
        "%2e%2e/manage.py",
        "..\\manage.py",
        "....//manage.py",
        "%00",
        ".env",
    ):
        answer = browser.get(start + way)
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert b"DJANGO_SETTINGS_MODULE" not in body
        assert answer.status_code in (301, 302, 400, 404), (start, way)
