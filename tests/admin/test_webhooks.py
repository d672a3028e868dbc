"""Webhook sources in the admin: their secrets are shown once and stored nowhere in clear."""

import base64
import hashlib
import hmac
import json
import re
import time
from html import unescape
from secrets import token_hex
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.core import serializers
from django.test import Client
from django.utils import timezone

from calls.models import WebhookSource
from calls.operations.webhooks import add_source, rotate
from tests.admin.pages import WEBHOOKS, make_staff, page_of, rows_of, visit
from tests.build import sip_report

pytestmark = pytest.mark.django_db

ROTATE, DROP = "rotate_secret", "drop_previous_secret"
RIGHTS = ("view_webhooksource", "add_webhooksource", "change_webhooksource", "delete_webhooksource")


def shown_secrets(response: Any) -> list[str]:
    html = response.content.decode()
    assert html.count("whsec_") == len(re.findall(r"id='shown-once'", html))
    return [unescape(found) for found in re.findall(r"id='shown-once'[^>]*>([^<]+)<", html)]


def everything_stored() -> str:
    """Return all rows of the tables that could hold a secret, as text."""
    rows: list[Any] = [*WebhookSource.objects.all(), *Session.objects.all(), *LogEntry.objects.all()]
    decoded = [str(session.get_decoded()) for session in Session.objects.all()]
    return serializers.serialize("json", rows) + "".join(decoded)


def signed(client: Client, secret: str) -> int:
    """Send a signed webhook and return the status of its answer."""
    body, now = json.dumps(sip_report()), str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"msg.{now}.{body}".encode(), hashlib.sha256).digest()
    headers = {
        "webhook-id": "msg",
        "webhook-timestamp": now,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    return client.post("/api/webhooks/sip/", body, "application/json", headers=headers).status_code


def test_a_new_secret_is_shown_once_and_stored_nowhere(client: Client):
    browser = visit()
    response = browser.post(f"{WEBHOOKS}add/", {"name": "PBX"})
    assert response["Location"] == WEBHOOKS
    (secret,) = shown_secrets(browser.get(WEBHOOKS))
    source = WebhookSource.objects.get()
    assert source.valid_secrets == [secret]
    assert secret not in everything_stored()
    for address in (WEBHOOKS, *(page_of(source, part=part) for part in ("change", ROTATE, "delete", "history"))):
        html = browser.get(address).content.decode()
        assert "whsec_" not in html
        assert source.encrypted_secret not in html
    assert signed(client, secret) == 200


def test_the_present_secret_stays_valid_beside_the_new_one_until_it_is_dropped(client: Client):
    source, old = add_source("PBX")
    browser = visit()
    response = browser.post(page_of(source, part=ROTATE), follow=True)
    (new,) = shown_secrets(response)
    assert new != old
    assert new not in everything_stored()
    assert shown_secrets(browser.get(page_of(source))) == []
    assert [signed(client, secret) for secret in (old, new)] == [200, 200]
    assert browser.post(page_of(source, part=DROP)).status_code == 302
    assert [signed(client, secret) for secret in (old, new)] == [401, 200]


def test_no_secret_is_stored_even_when_many_messages_wait():
    browser = visit()
    source, _ = add_source(token_hex(50))
    for _ in range(15):
        browser.post(page_of(source, part=ROTATE))
        browser.post(page_of(source, part=DROP))
        # Names without any pattern, since the cookie in which messages wait is compressed.
        browser.post(page_of(source), {"name": token_hex(50), "is_active": "on"})
    browser.post(page_of(source, part=ROTATE))
    assert not any(session.get_decoded().get("_messages") for session in Session.objects.all())
    assert len(shown_secrets(browser.get(WEBHOOKS))) == 1
    assert "whsec_" not in everything_stored()


def test_looking_at_a_question_changes_nothing():
    source, _ = add_source("PBX")
    rotate(source, at=timezone.now())
    before = WebhookSource.objects.values().get()
    browser = visit()
    for part in (ROTATE, DROP):
        assert browser.get(page_of(source, part=part)).status_code == 200
    assert WebhookSource.objects.values().get() == before


def test_dropping_is_offered_only_while_there_are_two_secrets():
    source, _ = add_source("PBX")
    browser = visit()
    assert DROP not in browser.get(page_of(source)).content.decode()
    rotate(source, at=timezone.now())
    assert DROP in browser.get(page_of(source)).content.decode()
    assert rows_of(browser.get(WEBHOOKS))[0][2] == "two: the newest and the previous one"


def test_a_source_is_renamed_and_switched_off_and_keeps_its_secrets(client: Client):
    source, secret = add_source("PBX")
    browser = visit()
    forged = {
        "name": "Recorder",
        "encrypted_secret": "x",
        "encrypted_previous_secret": "x",
        "rotated_at_0": "2020-01-01",
    }
    assert browser.post(page_of(source), forged).status_code == 302
    source.refresh_from_db()
    assert (source.name, source.is_active, source.valid_secrets) == ("Recorder", False, [secret])
    assert signed(client, secret) == 401
    browser.post(page_of(source), {"name": "Recorder", "is_active": "on"})
    assert signed(client, secret) == 200


def test_saving_a_form_that_was_opened_before_a_rotation_does_not_undo_it(monkeypatch: pytest.MonkeyPatch):
    source, old = add_source("PBX")
    new = rotate(WebhookSource.objects.get(), at=timezone.now())
    browser = visit()
    original = WebhookSource.save

    def overtaken(self: WebhookSource, *args: Any, **options: Any) -> None:
        WebhookSource.objects.filter(pk=self.pk).update(encrypted_previous_secret="")
        original(self, *args, **options)

    monkeypatch.setattr(WebhookSource, "save", overtaken)
    browser.post(page_of(source), {"name": "PBX", "is_active": "on"})
    source.refresh_from_db()
    assert source.valid_secrets == [new]
    assert old not in source.valid_secrets


def test_a_deleted_source_may_send_no_more(client: Client):
    source, secret = add_source("PBX")
    assert visit().post(page_of(source, part="delete"), {"post": "yes"}).status_code == 302
    assert signed(client, secret) == 401


def test_two_sources_have_two_names():
    add_source("PBX")
    response = visit().post(f"{WEBHOOKS}add/", {"name": "PBX"})
    assert response.status_code == 200
    assert "already exists" in response.content.decode()
    assert WebhookSource.objects.count() == 1


def test_a_hostile_name_stays_text():
    browser = visit()
    browser.post(f"{WEBHOOKS}add/", {"name": "<script>alert(1)</script>"})
    source = WebhookSource.objects.get()
    for address in (WEBHOOKS, *(page_of(source, part=part) for part in ("change", ROTATE, DROP, "delete"))):
        assert "<script>alert(1)" not in browser.get(address).content.decode()


@pytest.mark.parametrize("group", ["Analysts", "Operators"])
def test_neither_analysts_nor_operators_see_sources(group: str):
    source, _ = add_source("PBX")
    browser = visit(make_staff(group=group))
    for address in (WEBHOOKS, f"{WEBHOOKS}add/", *(page_of(source, part=part) for part in ("change", ROTATE, DROP))):
        assert browser.get(address).status_code == 403
        assert browser.post(address, {"name": "Mine"}).status_code == 403
    assert WebhookSource.objects.get().name == "PBX"


def test_whoever_has_the_rights_may_do_it_all_and_whoever_only_looks_nothing():
    source, secret = add_source("PBX")
    looker, keeper = visit(make_staff("view_webhooksource")), visit(make_staff(*RIGHTS))
    html = looker.get(page_of(source)).content.decode()
    assert ROTATE not in html
    for part in ("change", ROTATE, DROP, "delete"):
        assert looker.post(page_of(source, part=part), {"name": "Mine", "post": "yes"}).status_code == 403
    assert WebhookSource.objects.get().valid_secrets == [secret]
    assert len(shown_secrets(keeper.post(page_of(source, part=ROTATE), follow=True))) == 1
    assert keeper.post(page_of(source, part="delete"), {"post": "yes"}).status_code == 302


def test_whoever_is_not_signed_in_is_asked_to(client: Client):
    source, secret = add_source("PBX")
    for address in (WEBHOOKS, page_of(source), page_of(source, part=ROTATE)):
        assert client.post(address)["Location"].startswith("/admin/login/")
    source.refresh_from_db()
    assert source.valid_secrets == [secret]
