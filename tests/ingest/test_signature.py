"""Signed webhooks (Standard Webhooks): who signed, when, and what; anything else is a 401."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from calls.models import Call, CallRecording, WebhookSource
from calls.operations.webhooks import add_source, drop_previous_secret, rotate
from tests.build import report, sip_report

pytestmark = pytest.mark.django_db
SIP, RECORDING = "/api/webhooks/sip/", "/api/webhooks/recording/"


@pytest.fixture
def source(db: None) -> tuple[WebhookSource, str]:
    return add_source("kamailio")


def signed(secret: str, body: Any, *, age: timedelta = timedelta(), id: str = "msg_1") -> tuple[str, dict[str, str]]:
    """Return a body and the headers that sign it, made so long ago."""
    text = body if isinstance(body, str) else json.dumps(body)
    moment = datetime.now(UTC) - age
    headers = {
        "webhook-id": id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(id, moment, text),
    }
    return text, headers


def post(text: str | bytes, headers: dict[str, str], path: str = SIP) -> Any:
    return Client(raise_request_exception=False).post(path, text, content_type="application/json", headers=headers)


def refused(answer: Any) -> bool:
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Token"), answer.content
    assert set(answer.json()) == {"detail", "code"}
    return not Call.objects.exists()


def test_a_signed_webhook_is_taken_at_both_doors(source: tuple[WebhookSource, str]) -> None:
    assert post(*signed(source[1], sip_report("call_answered"))).status_code == 200
    assert Call.objects.get().status == "answered"
    body = {"call_id": "call-1", "status": "completed"}
    assert post(*signed(source[1], body), path=RECORDING).status_code == 200
    assert CallRecording.objects.get().status == "completed"
    assert WebhookSource.objects.get().last_used_on == timezone.now().date()


def test_a_retry_is_a_duplicate_under_another_signature(source: tuple[WebhookSource, str]) -> None:
    for id in ("msg_1", "msg_1", "msg_2"):
        answer = post(*signed(source[1], sip_report(), id=id))
        assert answer.status_code == 200
    assert answer.json()["message"] == "This event was known already."


def test_every_signature_of_the_header_is_tried(source: tuple[WebhookSource, str]) -> None:
    text, headers = signed(source[1], sip_report())
    headers["webhook-signature"] = f"v2,abcd v1,{'A' * 43}= {headers['webhook-signature']}"
    assert post(text, headers).status_code == 200


def test_a_byte_order_mark_is_part_of_what_was_signed(source: tuple[WebhookSource, str]) -> None:
    text, headers = signed(source[1], "\ufeff" + json.dumps(sip_report()))
    assert post(text.encode(), headers).status_code == 200
    assert refused(post(text.removeprefix("\ufeff").encode(), headers | {"webhook-id": "msg_2"})) is False


def test_a_body_that_was_changed_is_refused(source: tuple[WebhookSource, str]) -> None:
    text, headers = signed(source[1], sip_report())
    for changed in (text.replace("call_initiated", "call_answered"), text + " ", "", "{}"):
        assert refused(post(changed, headers))


def test_another_secret_is_refused(source: tuple[WebhookSource, str]) -> None:
    assert refused(post(*signed("whsec_" + "A" * 43 + "=", sip_report())))


@pytest.mark.parametrize("age", [timedelta(minutes=5, seconds=5), timedelta(days=1), -timedelta(minutes=5, seconds=5)])
def test_an_old_or_future_signature_is_refused(source: tuple[WebhookSource, str], age: timedelta) -> None:
    assert refused(post(*signed(source[1], sip_report(), age=age)))


@pytest.mark.parametrize("age", [timedelta(minutes=4, seconds=55), -timedelta(minutes=4, seconds=55)])
def test_five_minutes_are_tolerated(source: tuple[WebhookSource, str], age: timedelta) -> None:
    assert post(*signed(source[1], sip_report(), age=age)).status_code == 200


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_needed_and_is_part_of_what_is_signed(source: tuple[WebhookSource, str], name: str) -> None:
    text, headers = signed(source[1], sip_report())
    assert refused(post(text, {key: value for key, value in headers.items() if key != name}))
    other = {"webhook-id": "msg_2", "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}
    assert refused(post(text, headers | {name: other.get(name, "v1,")}))


def test_neither_token_nor_signature_is_refused(source: tuple[WebhookSource, str]) -> None:
    for path in (SIP, RECORDING):
        assert refused(post(json.dumps(sip_report()), {}, path))


def test_a_wrong_token_is_refused_beside_a_right_signature(source: tuple[WebhookSource, str]) -> None:
    text, headers = signed(source[1], sip_report())
    assert refused(post(text, headers | {"authorization": "Token wrong"}))


# -- Secrets come and go -----------------------------------------------------------------------------


def test_two_secrets_are_valid_while_one_replaces_the_other(source: tuple[WebhookSource, str]) -> None:
    kamailio, first = source
    second = rotate(kamailio, at=timezone.now())
    for secret in (first, second):
        assert post(*signed(secret, sip_report())).status_code == 200
    drop_previous_secret(kamailio)
    assert post(*signed(second, sip_report())).status_code == 200
    assert post(*signed(first, sip_report())).status_code == 401


def test_the_third_secret_ends_the_first(source: tuple[WebhookSource, str]) -> None:
    kamailio, first = source
    second, third = (rotate(kamailio, at=timezone.now()) for _ in range(2))
    assert [post(*signed(secret, sip_report())).status_code for secret in (first, second, third)] == [401, 200, 200]


def test_a_source_that_is_not_active_or_was_removed_is_refused(source: tuple[WebhookSource, str]) -> None:
    WebhookSource.objects.update(is_active=False)
    assert refused(post(*signed(source[1], sip_report())))
    WebhookSource.objects.all().delete()
    assert refused(post(*signed(source[1], sip_report())))


def test_each_source_has_its_own_secret(source: tuple[WebhookSource, str]) -> None:
    _, secret = add_source("asterisk")
    assert post(*signed(secret, sip_report())).status_code == 200
    used = dict(WebhookSource.objects.values_list("name", "last_used_on"))
    assert used == {"kamailio": None, "asterisk": timezone.now().date()}


def test_a_secret_that_cannot_be_read_any_more_shuts_out_its_own_source_only(
    source: tuple[WebhookSource, str], caplog: pytest.LogCaptureFixture
) -> None:
    WebhookSource.objects.update(encrypted_secret="lost")
    assert refused(post(*signed(source[1], sip_report())))
    assert "kamailio" in caplog.text
    _, secret = add_source("another")
    assert post(*signed(secret, sip_report())).status_code == 200


def test_secrets_are_stored_encrypted(source: tuple[WebhookSource, str]) -> None:
    rotate(source[0], at=timezone.now())
    stored = WebhookSource.objects.values().get()
    assert source[1].removeprefix("whsec_") not in repr(stored)


# -- What a signature is good for ------------------------------------------------------------------------


def test_a_signature_opens_the_webhooks_and_nothing_else(source: tuple[WebhookSource, str]) -> None:
    assert refused(post(*signed(source[1], report()), path="/process-events/"))
    assert refused(post(*signed(source[1], {}), path="/api/call-logs/"))
    _, headers = signed(source[1], "")
    for path in (SIP, RECORDING):
        assert Client(headers=headers).get(path).status_code == 405
    assert Client(headers=headers).get("/api/call-logs/").status_code == 401


def test_what_is_signed_may_still_be_wrong(source: tuple[WebhookSource, str]) -> None:
    assert post(*signed(source[1], "{")).status_code == 400
    assert post(*signed(source[1], sip_report("?"))).status_code == 400
    text, headers = signed(source[1], sip_report(metadata={"x": "y" * 65_536}))
    assert post(text, headers).status_code == 413
    text, headers = signed(source[1], sip_report())
    assert Client(headers=headers).post(SIP, text, content_type="text/plain").status_code == 415


ODD = st.sampled_from(
    ["", " ", ",", "v1", "v1,", "v1,=", "v1,a", "v1,é", "v1,v1,v1", "v1,AAAA", "inf", "-inf", "nan", "1e400", "9" * 400,
     "-9999999999999", "0x10", "١٢٣", "1_000", "\t", "a.b", "None", "é" * 50, "v1," + "A" * 5000]
)  # fmt: skip


@given(
    id=ODD,
    timestamp=ODD | st.just("now"),
    signature=ODD,
    body=st.sampled_from([b"", b"{}", b"\xff\xfe", b"[", b"\x00"]),
)
@settings(max_examples=60)
def test_malformed_headers_are_a_401_and_never_a_500(
    source: tuple[WebhookSource, str], id: str, timestamp: str, signature: str, body: bytes
) -> None:
    moment = str(int(datetime.now(UTC).timestamp())) if timestamp == "now" else timestamp
    headers = {"webhook-id": id, "webhook-timestamp": moment, "webhook-signature": signature}
    assert refused(post(body, headers))


def test_wrong_signatures_are_throttled_like_wrong_tokens(source: tuple[WebhookSource, str], settings: Any) -> None:
    settings.THROTTLE_FAILED_AUTH = "2/minute"
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "signatures"}
    }
    text, headers = signed("whsec_" + "A" * 43 + "=", sip_report())
    answers = [post(text, headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert int(answers[-1]["Retry-After"]) > 0
    assert post(*signed(source[1], sip_report())).status_code == 200
