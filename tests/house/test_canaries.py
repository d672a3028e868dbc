"""Secrets of every kind come in through the public doors; then everything that is stored, answered, shown and logged
is searched for them. Where one may be found is written down in EXCEPTIONS, and nowhere else.
"""

import base64
import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Iterator
from html import unescape
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from django.contrib.admin import site
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse

from calls.models import AccessToken, Call, CallRecording, RefusedReport, SIPConfiguration, WebhookSource
from calls.models import Client as OurClient
from calls.operations import access_log
from tests.admin.pages import SIP, TOKENS, WEBHOOKS, make_staff, page_of, visit
from tests.build import CALLER, report, send, sign_in, sip_report

pytestmark = pytest.mark.django_db

PAYLOADS = Path(__file__).parents[1] / "payloads"

# The one answer each that shows a secret, on purpose. Who asked for it is the first word.
EXCEPTIONS = {
    "new token": {"superuser GET /admin/calls/accesstoken/ (once)"},
    "token of a command": {"command create_token"},
    "webhook secret": {"superuser GET /admin/calls/webhooksource/ (once)"},
    "webhook secret, its key": {"superuser GET /admin/calls/webhooksource/ (once)"},  # the same, decoded
    "SIP password": {"trusted GET sip-webrtc-config", "superuser GET sip-webrtc-config"},
}
# So many pages of the admin there are to be seen with one row each.
SHOWN_AT_LEAST = 60


def canary(kind: str) -> str:
    """Return a text that occurs nowhere else."""
    return f"CANARY{kind.replace(' ', '')}{uuid4().hex}"


class Everything:
    """What was stored, answered, shown and logged, by where it was found; and the secrets to look for."""

    def __init__(self) -> None:
        self.secrets: dict[str, bytes] = {}
        self.places: list[tuple[str, bytes]] = []

    def plant(self, kind: str, secret: str | bytes = b"") -> str:
        """Note a secret to look for; without one, make one up."""
        secret = secret or canary(kind)
        self.secrets[kind] = secret.encode() if isinstance(secret, str) else secret
        return self.secrets[kind].decode("latin-1")

    def add(self, place: str, found: Any) -> None:
        """Note what was found somewhere."""
        self.places.append((place, found if isinstance(found, bytes) else str(found).encode()))

    def answer(self, place: str, answer: Any) -> Any:
        """Note an answer with its headers, and return it."""
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        self.add(place, f"{answer.status_code} {dict(answer.headers)}".encode() + body)
        return answer

    def found(self) -> dict[str, set[str]]:
        """Return where each secret was found, as it is or in another spelling."""
        found: dict[str, set[str]] = {kind: set() for kind in self.secrets}
        whole = b"\n".join(text for _, text in self.places)
        for kind, secret in self.secrets.items():
            for look in spellings(secret):
                if look in whole:
                    found[kind] |= {place for place, text in self.places if look in text}
        return found


def spellings(secret: bytes) -> set[bytes]:
    """Return how a secret may look: as it is, its first or last half, in hexadecimal or Base64 digits."""
    looks = {secret, secret.hex().encode()}
    if len(secret) >= 40:
        looks |= {secret[:24], secret[-24:]}
    for before in range(3):  # in Base64 a text looks different by where it begins
        coded = base64.b64encode(b"\x00" * before + secret)[4 if before else 0 : -4]
        looks |= {coded, coded.replace(b"+", b"-").replace(b"/", b"_")}
    return looks


# -- Putting them in -----------------------------------------------------------------------------


def plant_settings(everything: Everything, settings: Any) -> None:
    settings.SECRET_KEY = everything.plant("secret key")
    settings.ENCRYPTION_KEYS = [everything.plant("encryption key", Fernet.generate_key())]
    settings.TURN_SECRET = everything.plant("TURN secret")
    settings.SIP_EGRESS_ALLOW = ()


def plant_access(everything: Everything, browser: Client) -> None:
    """People with passwords, tokens made in the admin and on the command line; wrong ones of each."""
    password = everything.plant("password")
    form = {"username": "ada", "password1": password, "password2": password, "usable_password": "true"}
    everything.answer("superuser POST user", browser.post("/admin/auth/user/add/", form))
    ada = User.objects.get(username="ada")
    ada.is_staff = True
    ada.save()
    for kind, name in (("wrong password", "ada"), ("password of a stranger", "stranger"), ("password", "ada")):
        typed = everything.secrets.get(kind, b"").decode() or everything.plant(kind)
        sent = {"username": name, "password": typed, "next": "/admin/"}
        answer = everything.answer(f"stranger POST login with a {kind}", Client().post("/admin/login/", sent))
        assert answer.status_code == (302 if kind == "password" else 200)

    browser.post(f"{TOKENS}add/", {"user": ada.pk, "name": "PBX", "expiry_0": "", "expiry_1": ""})
    page = everything.answer(f"superuser GET {TOKENS} (once)", browser.get(TOKENS)).content.decode()
    shown = re.search(r"id='shown-once'[^>]*>([^<]+)<", page)
    assert shown
    everything.plant("new token", unescape(shown[1]))
    said, noise = StringIO(), StringIO()
    call_command("create_token", "ada", "--name", "script", stdout=said, stderr=noise)
    everything.plant("token of a command", said.getvalue().strip())
    everything.add("command create_token", said.getvalue())
    everything.add("command create_token, stderr", noise.getvalue())

    wrong = everything.plant("wrong token", uuid4().hex * 2)
    basic = base64.b64encode(f"pbx:{everything.plant('basic password', uuid4().hex * 2)}".encode()).decode()
    for header in (f"Token {wrong}", f"Bearer {wrong}", f"Basic {basic}"):
        for method, path in (("GET", "/api/call-logs/"), ("POST", "/api/webhooks/freeswitch/")):
            sent = Client(headers={"Authorization": header}).generic(method, path, b"{}", "application/json")
            everything.answer(f"stranger {method} {path}", sent)
    everything.answer("stranger GET ?token=", Client().get(f"/api/call-logs/?token={wrong}"))


def plant_webhook_secret(everything: Everything, browser: Client) -> None:
    browser.post(f"{WEBHOOKS}add/", {"name": "Kamailio"})
    page = everything.answer(f"superuser GET {WEBHOOKS} (once)", browser.get(WEBHOOKS)).content.decode()
    shown = re.search(r"id='shown-once'[^>]*>([^<]+)<", page)
    assert shown
    secret = everything.plant("webhook secret", unescape(shown[1]))
    everything.plant("webhook secret, its key", base64.b64decode(secret.removeprefix("whsec_")))
    body, now = json.dumps(sip_report(sip_call_id="signed")), str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, f"m.{now}.{body}".encode(), hashlib.sha256).digest()).decode()
    for mark, status in ((signature, 200), (secret.removeprefix("whsec_"), 401)):
        headers = {"webhook-id": "m", "webhook-timestamp": now, "webhook-signature": f"v1,{mark}"}
        answer = Client().post("/api/webhooks/sip/", body, "application/json", headers=headers)
        assert everything.answer("signed POST sip-webhook", answer).status_code == status


def plant_sip_password(everything: Everything, operator: Client, browser: Client) -> None:
    body = {"name": "Main", "sip_server": "192.0.2.1", "caller_number": "+12025550100", "username": "pg",
            "password": everything.plant("SIP password"), "wss_uri": "wss://sip.example.com",
            "turn_server": "turn:turn.example.com"}  # fmt: skip
    answer = everything.answer("operator POST sip-configurations", send(operator, "POST", "sip-configurations/", body))
    assert answer.status_code == 201
    for change in ({"sip_port": 0}, {"password": everything.plant("refused SIP password") + "\n"}):
        refused = send(operator, "POST", "sip-configurations/", body | {"name": "Other"} | change)
        assert everything.answer("operator POST sip-configurations, refused", refused).status_code == 400
        form = {name: str(value) for name, value in (body | {"name": "Other", "transport": "udp"} | change).items()}
        assert everything.answer("superuser POST SIP, refused", browser.post(f"{SIP}add/", form)).status_code == 200
    everything.answer(
        "operator POST test_connection",
        send(operator, "POST", f"sip-configurations/{answer.json()['id']}/test_connection/"),
    )


def plant_reports(everything: Everything, telephony: Client, operator: Client) -> None:
    """What senders should not have written into their reports: accepted ones, and refused ones."""

    def told(kind: str) -> dict[str, Any]:
        secret = everything.plant(kind)
        return {"sip_password": secret, "auth": {"Authorization": f"Digest {secret}", "codec": "PCMU"},
                "raw": json.dumps({"token": secret})}  # fmt: skip

    sent = [
        ("process-events", telephony.post("/process-events/", report(**told("metadata")), "application/json")),
        ("sip-webhook", send(telephony, "POST", "webhooks/sip/",
                             sip_report(metadata=told("SIP metadata"), secret=everything.plant("beside metadata")))),
        ("asterisk", send(telephony, "POST", "webhooks/asterisk/", asterisk_event(told("Asterisk metadata")))),
        ("freeswitch", send(telephony, "POST", "webhooks/freeswitch/", document(everything.plant("channel variable")))),
        ("add_event", send(operator, "POST", "call-logs/call-1/add_event/",
                           {"event_type": "error", "metadata": told("metadata of a button")})),
        ("initiate_call", send(operator, "POST", "call-logs/initiate_call/", {"recipient_number": "+12025550101",
                               "password": everything.plant("password for a button")})),
    ]  # fmt: skip
    for name, answer in sent:
        assert everything.answer(f"POST {name}", answer).status_code in (200, 201), (name, answer.content)
    refused = [
        ("process-events", json.dumps(report(event="WHAT", **told("refused metadata")))),
        ("api/webhooks/sip", json.dumps({"password": everything.plant("refused SIP report")})[:-1]),
        ("api/webhooks/recording", json.dumps({"call_id": "nobody", "status": "pending"} | told("refused recording"))),
        ("api/webhooks/asterisk", json.dumps([{"EventName": 1} | told("refused Asterisk event")])),
    ]
    for path, body in refused:
        answer = telephony.post(f"/{path}/", body, "application/json")
        assert everything.answer(f"POST {path}, refused", answer).status_code in (400, 404)
    assert RefusedReport.objects.count() == len(refused)


def asterisk_event(told: dict[str, Any]) -> dict[str, Any]:
    whole = json.loads((PAYLOADS / "asterisk" / "answered.json").read_text())
    event = dict((whole if isinstance(whole, list) else [whole])[0])
    return event | told | {"Extra": json.dumps({"inner": told})}


def document(secret: str) -> Any:
    """Return a document of FreeSWITCH, among whose variables the password of a gateway stands."""
    whole = json.loads((PAYLOADS / "freeswitch" / "answered_inbound.json").read_text())
    whole["variables"] |= {"sip_auth_password": secret, "sip_h_X-Token": secret}
    return whole


# -- Looking everywhere --------------------------------------------------------------------------


def everywhere(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path pattern and the full name of every address."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            space = f"{pattern.namespace}:" if pattern.namespace else before
            yield from everywhere(pattern.url_patterns, space)
        elif pattern.name:
            yield f"{before}{pattern.name}", str(pattern.pattern)


def rows_of(name: str) -> list[Any]:
    """Return the keys of the rows whose pages an address shows."""
    for model in site._registry:
        if name.startswith(f"admin:{model._meta.app_label}_{model._meta.model_name}_"):
            return [row.pk for row in model._default_manager.all()]
    return []


def sweep_admin(everything: Everything, browser: Client, who: str) -> int:
    """Look at every page of the admin, and return how many there were to be seen."""
    seen = 0
    for name, pattern in everywhere(get_resolver().url_patterns):
        if name == "admin:logout" or not (name.startswith("admin:") or _is_ours(name)):
            continue
        if "<" not in pattern:
            addresses = [reverse(name)]
        elif "address" in pattern:
            addresses = [reverse(name, args=[CALLER])]
        else:
            addresses = []
            for row in rows_of(name):
                try:
                    addresses.append(reverse(name, args=[row]))
                except NoReverseMatch:
                    continue
        for address in addresses:
            answer = everything.answer(f"{who} GET {address}", browser.get(address))
            seen += answer.status_code == 200
    return seen


def _is_ours(name: str) -> bool:
    found = next(pattern for pattern in _flat(get_resolver().url_patterns) if pattern.name == name)
    return bool(found.callback.__module__.startswith("calls.admin."))


def _flat(patterns: list[URLPattern | URLResolver]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _flat(pattern.url_patterns)
        else:
            yield pattern


def sweep_api(everything: Everything, client: Client, who: str) -> int:
    """Ask for everything that can be asked for, and return how many answers were more than a refusal."""
    ids: dict[str, Any] = {
        "recording": CallRecording.objects.get().pk,
        "client": OurClient.objects.get().pk,
        "sip": SIPConfiguration.objects.get().pk,
        "set": SIPConfiguration.objects.get().pk,
    }
    seen = 0
    for name, _ in everywhere(get_resolver().url_patterns):
        if ":" in name or _is_ours(name):
            continue
        path, parameters = get_resolver().reverse_dict.getlist(name)[0][0][0]
        known = CALLER if "number" in parameters else ids.get(name.split("-")[0])
        for row in [known] if known or not parameters else Call.objects.values_list("pk", flat=True):
            answer = everything.answer(f"{who} GET {name}", client.get(f"/{path % dict.fromkeys(parameters, row)}"))
            seen += answer.status_code == 200
    everything.answer(f"{who} GET as CSV", client.get(f"/call-history/{CALLER}/?format=csv&include=ongoing"))
    return seen


def search_database(everything: Everything) -> int:
    """Read every column of every table as it is stored, and what is packed into sessions; return how many values."""
    count = 0
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608 - tables of ours
            for row in cursor.fetchall():
                for column, value in zip([part[0] for part in cursor.description], row, strict=True):
                    raw = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                    everything.add(f"database {table}.{column}", raw)
                    count += 1
    for session in Session.objects.all():
        everything.add("database, a session unpacked", session.get_decoded())
    return count


@pytest.fixture
def log() -> Iterator[StringIO]:
    """What is logged with LOG_LEVEL=DEBUG, and every statement with its parameters, as with DEBUG=true."""
    said = StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    loggers = [logging.root, logging.getLogger("django.db.backends")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    logging.root.addHandler(handler)
    connection.force_debug_cursor = True
    yield said
    connection.force_debug_cursor = False
    logging.root.removeHandler(handler)
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.fixture
def looks(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The access log, written when it is asked for: its thread would write outside the test's transaction."""
    settings.ACCESS_LOG = True
    monkeypatch.setattr(access_log, "_start", lambda: None)
    yield
    access_log._waiting.clear()


@pytest.mark.usefixtures("looks")
def test_no_secret_is_found_anywhere_but_where_it_is_meant_to_be(settings: Any, log: StringIO) -> None:
    everything = Everything()
    plant_settings(everything, settings)
    browser = visit(make_staff(superuser=True))
    clients = {
        "telephony": sign_in("Telephony systems"),
        "analyst": sign_in("Analysts"),
        "operator": sign_in("Operators"),
        "trusted": sign_in("Operators", name="trusted"),
        "superuser": sign_in(superuser=True),
        "nobody": Client(),
    }
    User.objects.get(username="trusted").user_permissions.add(Permission.objects.get(codename="reveal_sip_password"))
    for number, token in enumerate(clients.values()):
        if header := token.defaults.get("HTTP_AUTHORIZATION"):
            everything.plant(f"token {number}", header.partition(" ")[2])
    OurClient.objects.create(name="Ada")
    plant_access(everything, browser)
    plant_webhook_secret(everything, browser)
    plant_sip_password(everything, clients["operator"], browser)
    plant_reports(everything, clients["telephony"], clients["operator"])
    send(clients["operator"], "POST", "call-logs/call-1/update_status/", {"status": "answered"})
    made = send(clients["telephony"], "POST", "webhooks/recording/", {"call_id": "call-1", "status": "pending"})
    assert made.status_code == 200

    seen = sweep_admin(everything, browser, "superuser")
    assert seen > SHOWN_AT_LEAST
    sweep_admin(everything, visit(make_staff(group="Operators")), "operator")
    for who, client in clients.items():
        assert (sweep_api(everything, client, who) > 15) == (who in ("analyst", "operator", "trusted", "superuser"))
    for command in ("export_events", "export_calls"):
        said = StringIO()
        call_command(command, stdout=said, stderr=said)
        everything.add(f"command {command}", said.getvalue())
    assert access_log.flush() > 10
    assert search_database(everything) > 500
    everything.add("log", log.getvalue())
    assert "INSERT INTO" in log.getvalue()

    found = everything.found()
    assert {kind: places for kind, places in found.items() if places != EXCEPTIONS.get(kind, set())} == {}


def test_a_secret_that_leaks_is_found_in_any_spelling() -> None:
    secret = b"CANARYx0123456789abcdef0123456789abcdef"
    for leak in (
        b"a" + secret, secret.hex().encode(), base64.b64encode(secret), base64.b64encode(b"u:" + secret),
        base64.urlsafe_b64encode(b"\xff" + secret), base64.b64encode(b"name:" + secret + b":x"),
    ):  # fmt: skip
        everything = Everything()
        everything.plant("kind", secret)
        everything.add("somewhere", leak)
        everything.add("elsewhere", b"nothing")
        assert everything.found() == {"kind": {"somewhere"}}, leak


def test_the_database_is_searched_wholly() -> None:
    everything = Everything()
    secret = everything.plant("kind")
    OurClient.objects.create(name="Ada", notes=f"my password is {secret}")
    source = WebhookSource.objects.create(name="x", encrypted_secret=secret)
    AccessToken.objects.create(user=User.objects.create_user("u", first_name=secret), name=secret)
    search_database(everything)
    assert everything.found()["kind"] == {
        "database calls_client.notes", "database calls_webhooksource.encrypted_secret",
        "database auth_user.first_name", "database calls_accesstoken.name",
    }  # fmt: skip
    assert page_of(source)
