"""Secrets do not get into what is kept, however they are written; everything else stays as it was sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.domain.masking import mask_secrets

CANARY = "c4n4ry-s3cr3t-0123456789"


@pytest.mark.parametrize(
    "value",
    [
        {"password": CANARY},
        {"metadata": {"headers": {"Authorization": f"Token {CANARY}"}}},
        {"metadata": [{"sip_password": CANARY}, {"API-Key": CANARY}, {"apikey": CANARY}]},
        {"webhook_secret": {"old": [CANARY], "new": CANARY}},
        {"note": f"sent with Bearer {CANARY}"},
        {"note": "whsec_" + CANARY.replace("-", "")},
        {"Set-Cookie": CANARY, "accessToken": CANARY},
    ],
)
@pytest.mark.parametrize("form", ["json", "escaped", "utf-16", "cut", "broken", "trailing", "escaped and broken"])
def test_a_secret_is_taken_out_of_json_and_of_what_was_to_be_json(value: Any, form: str) -> None:
    text = json.dumps(value)
    if "escaped" in form:
        for word in ("password", "token", "secret", "Authorization"):
            text = text.replace(word, word[:3] + f"\\u{ord(word[3]):04x}" + word[4:])
    body = {
        "json": text.encode(),
        "escaped": text.encode(),
        "utf-16": text.encode("utf-16"),
        "cut": text.encode()[: text.index("0123") + len("0123")],
        "broken": b"{" + text.encode(),
        "trailing": text.encode() + b",,",
        "escaped and broken": text.encode() + b"{",
    }[form]
    kept = mask_secrets(body).replace(b"\x00", b"")
    for piece in (CANARY, CANARY.replace("-", ""), CANARY[:18]):
        assert piece.encode() not in kept


def test_what_is_no_secret_stays_byte_for_byte() -> None:
    for body in (
        b'{"event_id" : "a",\n "x": 1.10, "x": 2}',
        b"\xff\xfe",
        b"",
        b"[",
        b'{"password": ""}',
        b'{"a": "\\u0041"}',
    ):
        assert mask_secrets(body) == body


def test_the_rest_of_a_body_with_a_secret_can_still_be_read() -> None:
    body = json.dumps({"event_id": "ü", "metadata": {"token": "x", "codec": "G.711"}}).encode()
    assert json.loads(mask_secrets(body)) == {"event_id": "ü", "metadata": {"token": "***", "codec": "G.711"}}


def test_what_is_meant_to_be_slow_or_deep_is_masked_all_the_same() -> None:
    for body in (b'"' + b"password" * 8_000, b'{"token":' * 8_000, b"[" * 900 + b'{"token": "x"}' + b"]" * 900):
        kept = mask_secrets(body)
        assert b'"x"' not in kept


@given(st.binary(max_size=300))
def test_any_bytes_can_be_masked(body: bytes) -> None:
    mask_secrets(b'{"token": ' + body)
    assert mask_secrets(mask_secrets(body)) == mask_secrets(body)
