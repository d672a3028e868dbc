"""What is fuzzed, and what holds for any bytes: only the declared errors, and what is accepted keeps its meaning."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from calls.api.live_feed import read_live_cursor
from calls.domain.events import Event
from calls.domain.instants import (
    FIRST_YEAR,
    LAST_YEAR,
    NotAnInstant,
    read_instant,
    read_instant_or_date,
    write_instant,
)
from calls.domain.masking import mask_secrets
from calls.domain.numbers import canonical, formatted, is_e164, suggest_e164
from calls.ingest import asterisk, freeswitch, process_events, recordings, sip_events
from calls.ingest.door import read_fields, understand
from calls.ingest.fields import MAX_ID_LENGTH
from calls.ingest.signature import HEADERS, _signed
from calls.sip import digest, messages
from calls.web.bodies import InvalidJSON, parse_json, split_array, unstorable, write_json
from calls.web.csv import FORMULA_STARTS, safe_cell
from calls.web.cursors import Cursor, read_cursor, write_cursor
from calls.web.errors import Invalid
from calls.web.ranges import NotSatisfiable, read_range

PAYLOADS = Path(__file__).parents[1] / "payloads"
NOW = datetime(2024, 4, 1, 12, tzinfo=UTC)
REFUSED = (Invalid, InvalidJSON)


def text_of(data: bytes) -> str:
    """Return bytes as the text that a sender may send."""
    return data.decode("utf-8", "replace")


# -- Words of people and machines ------------------------------------------------------------------


def numbers(data: bytes) -> None:
    """No text is a number that is not, and each spelling leads to one."""
    text = text_of(data)
    suggestion, one = suggest_e164(text), canonical(text)
    assert suggestion is None or is_e164(suggestion)
    assert canonical(one) == one
    assert is_e164(one) or one == text
    if is_e164(text):
        assert suggestion == one == text
        assert text.isascii()
        formatted(text)
    cell = safe_cell(text)
    assert is_e164(text) or not cell.startswith(FORMULA_STARTS)


def times(data: bytes) -> None:
    """A text is an instant that is written and read alike, or NotAnInstant."""
    text = text_of(data)
    with suppress(NotAnInstant):
        read_instant_or_date(text)
    try:
        instant = read_instant(text)
    except NotAnInstant:
        return
    assert text.isascii()
    assert instant.tzinfo is UTC
    assert FIRST_YEAR <= instant.year <= LAST_YEAR
    assert read_instant(write_instant(instant)) == instant
    with suppress(ValueError):  # where Python reads it too, it is the same; it knows no 60th second
        if ":60" not in text and (theirs := datetime.fromisoformat(text)):
            assert theirs.replace(tzinfo=theirs.tzinfo or UTC) == instant


def ranges(data: bytes) -> None:
    """A range of bytes lies within the file."""
    size = len(data)
    with suppress(NotSatisfiable):
        found = read_range(text_of(data), size=size)
        assert found is None or 0 <= found[0] <= found[1] < size


# -- Bodies --------------------------------------------------------------------------------------


def json_door(data: bytes) -> None:
    """JSON is what it says, or InvalidJSON; what may be stored is written and read alike; arrays come apart."""
    with suppress(InvalidJSON):
        found = parse_json(data)
        if isinstance(found, dict):
            problems = unstorable(found, raw=data)
            if not problems:
                assert "\\u0000" not in json.dumps(found).replace("\\\\", "")
            assert parse_json(write_json(found)) == found
    with suppress(InvalidJSON):
        parts = split_array(data)
        with suppress(InvalidJSON):
            whole = parse_json(data)
            assert [parse_json(part) for part in parts] == whole


def _fits(event: Event) -> None:
    """Say that the database can keep an event."""
    assert event.event_id.strip()
    assert len(event.event_id) <= MAX_ID_LENGTH
    assert event.call_id.strip()
    assert len(event.call_id) <= MAX_ID_LENGTH
    assert FIRST_YEAR <= event.occurred_at.year <= LAST_YEAR
    assert max(len(event.calling_number), len(event.called_number)) <= MAX_ID_LENGTH
    assert event.transfer_to is None or 0 < len(event.transfer_to) <= MAX_ID_LENGTH
    assert event.cause is None or len(event.cause) <= 32
    assert len(event.word) <= 64
    stored = json.dumps(event.metadata, allow_nan=False)
    texts = [stored.replace("\\\\", ""), event.event_id, event.call_id, event.calling_number, event.called_number]
    assert not any("\x00" in text or "\\u0000" in text for text in [*texts, event.transfer_to or ""])


def process_event(data: bytes) -> None:
    """A body is an event with two E.164 numbers, the same however its JSON is spelled, or refused."""
    try:
        event = understand(data, read=process_events.read_event, at=NOW)
    except REFUSED:
        return
    _fits(event)
    assert event == process_events.read_event(read_fields(data), at=NOW)  # which way ever it is read
    assert is_e164(event.calling_number)
    assert is_e164(event.called_number)
    fields = parse_json(data)
    assert {name: value for name, value in fields.items() if name not in process_events.FIELDS}.keys() == (
        event.metadata.keys()
    )
    again = json.dumps(dict(reversed(fields.items())), indent=1).encode()
    assert understand(again, read=process_events.read_event, at=NOW) == event


def sip_webhook(data: bytes) -> None:
    """A body is an event that is the same however its keys are ordered, or refused."""
    try:
        event = understand(data, read=sip_events.read_event, at=NOW)
    except REFUSED:
        return
    _fits(event)
    again = json.dumps(dict(reversed(parse_json(data).items()))).encode()
    assert understand(again, read=sip_events.read_event, at=NOW) == event


def freeswitch_webhook(data: bytes) -> None:
    """A document is a leg with events of one call under different ids, the same each time, or refused."""
    try:
        fields = read_fields(data.decode("utf-8", "replace").encode())
        leg = freeswitch.read_leg(fields, at=NOW)
    except REFUSED:
        return
    for event in leg.events:
        _fits(event)
        assert event.call_id == leg.call_id
    assert freeswitch.read_leg(fields, at=NOW) == leg


def asterisk_webhook(data: bytes) -> None:
    """A channel event is an event of a call, or nothing, or refused; letter case of its fields does not matter."""
    try:
        event = understand(data, read=asterisk.read_event, at=NOW)  # type: ignore[arg-type]
    except REFUSED:
        return
    if event is None:
        return
    _fits(event)
    fields = parse_json(data)
    if len({name.lower() for name in fields}) == len(fields) and all(name.isascii() for name in fields):
        shouted = json.dumps({name.upper(): value for name, value in fields.items()}).encode()
        again = understand(shouted, read=asterisk.read_event, at=NOW)  # type: ignore[arg-type]
        assert replace(again, metadata={}) == replace(event, metadata={})


def recording_webhook(data: bytes) -> None:
    """A report has an address that nobody is led astray by, and figures that a column can hold, or is refused."""
    try:
        call_id, report = recordings.read_report(read_fields(data))
    except REFUSED:
        return
    assert call_id.strip()
    assert not report.file_url or report.file_url.lower().startswith("https://")
    assert report.duration is None or 0 <= report.duration < 2**31
    assert report.transcript_confidence is None or 0 <= report.transcript_confidence <= 1


def masking(data: bytes) -> None:
    """Wherever a secret stands beside its name, it is gone; JSON without one stays as it was."""
    mask_secrets(data)
    with suppress(ValueError, RecursionError):
        found = json.loads(data)
        canary = "fuzzed-secret-0123456789"
        for body in ({"password": canary, "a": found}, [found, {"API-Key": [canary]}], {"a": {"authToken": canary}}):
            assert canary.encode() not in mask_secrets(json.dumps(body).encode())
            assert canary.encode() not in mask_secrets(json.dumps({"inner": json.dumps(body)}).encode())
    for cut in (b'{"secret": "fuzzed-secret-0123456789"' + data, b'"passwd" : "fuzzed-secret-0123456789' + data):
        assert b"fuzzed-secret" not in mask_secrets(cut).replace(data, b"")


# -- What proves something -------------------------------------------------------------------------

SECRET = "whsec_" + base64.b64encode(b"fuzzed-secret-of-24-byte").decode()


def signature(data: bytes) -> None:
    """What was signed with the secret passes, and nothing else does."""
    name, _, rest = data.partition(b"\n")
    header, _, body = rest.partition(b"\n")
    id, stamp = text_of(name), str(int(time.time()))
    right = base64.b64encode(
        hmac.new(base64.b64decode(SECRET[6:]), f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    ).decode()
    headers = dict(zip(HEADERS, (id, stamp, f"v1,{right}"), strict=True))
    assert _signed(SECRET, body, headers) == (bool(id) and _is_utf8(body))  # what is no UTF-8 is no JSON either
    forged = text_of(header)
    assert right in forged or not _signed(SECRET, body, headers | {HEADERS[2]: forged})
    assert forged.strip() == stamp or not _signed(SECRET, body, headers | {HEADERS[1]: forged})
    assert not _signed(SECRET, body + b" ", headers)


def _is_utf8(data: bytes) -> bool:
    with suppress(UnicodeDecodeError):
        data.decode()
        return True
    return False


def cursors(data: bytes) -> None:
    """Only what we wrote for these filters is read, and it says what it said."""
    text = text_of(data)
    for read in (partial(read_cursor, filters="fuzzed"), read_live_cursor):
        try:
            read(text)
        except Invalid:
            continue
        raise AssertionError("a cursor was forged")
    place = Cursor(NOW.replace(microsecond=len(data) % 1_000_000), UUID(bytes=data[:16].ljust(16)), len(data) % 2 == 0)
    written = write_cursor(place, filters=text)
    assert read_cursor(written, filters=text) == place
    with suppress(Invalid):
        read_cursor(written, filters=text + "x")
        raise AssertionError("a cursor was read with other filters")


# -- What a SIP server says -------------------------------------------------------------------------


def sip_answer(data: bytes) -> None:
    """Any bytes are a response with one line a header, or Malformed; nothing in them gets onto a line of its own."""
    with suppress(messages.Malformed):
        length = messages.length_of_first(data)
        assert length is None or length > 0
    try:
        response = messages.read_response(data)
    except messages.Malformed:
        return
    assert 100 <= response.status <= 699
    assert not messages.CONTROLS.search(response.reason + response.server)
    assert len(response.server) <= messages.SHOWN
    question = messages.Question(call_id="1", tag="t", branch="z9hG4bK1", number=1)
    assert not question.is_answered_by(response) or "z9hG4bK1" in response.first("via")
    for value in response.every("www-authenticate"):
        _answer_challenge(value)


def sip_challenge(data: bytes) -> None:
    """A challenge is answered in one line that says the same realm and nonce, or left alone."""
    _answer_challenge("Digest " + text_of(data))
    _answer_challenge('Digest realm="a", nonce="b", ' + text_of(data))


def _answer_challenge(value: str) -> None:
    challenge = digest.read_challenge(value)
    if challenge is None:
        return
    answer = digest.answer(challenge, username='a"b', password="c", method="OPTIONS", uri="sip:d", cnonce="e")
    with suppress(messages.Unsendable):
        sent = messages.write_request("OPTIONS", "sip:d", [("Authorization", answer)])
        assert sent.count(b"\r\n") == 4
        assert sent.count(b"\n") == 4
    assert f'realm="{challenge.realm}"' in answer
    assert f'nonce="{challenge.nonce}"' in answer


# -- All of them ---------------------------------------------------------------------------------


def payloads(source: str) -> list[bytes]:
    """Return the real bodies of a source, one document or event each."""
    found: list[bytes] = []
    for path in sorted((PAYLOADS / source).glob("*.json")):
        body = json.loads(path.read_bytes())
        found += [json.dumps(part).encode() for part in (body if isinstance(body, list) else [body])]
    return found


@dataclass(frozen=True)
class Target:
    """A check that any bytes must pass, and where the search begins."""

    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    longest: int = 512


def _event(**more: Any) -> bytes:
    fields = {"event_id": "e1", "call_id": "c1", "event": "ANSWER", "calling_number": "+12025550100",
              "called_number": "+12025550101", "created_at": "2024-04-01T12:00:00Z"}  # fmt: skip
    return json.dumps(fields | more).encode()


def _sip_event(**more: Any) -> bytes:
    fields = {"event_type": "call_ended", "sip_call_id": "c1", "caller_number": "+12025550100",
              "recipient_number": "sip:200@example.org", "timestamp": "2024-04-01T12:00:00Z",
              "metadata": {"q850": 17, "direction": "inbound", "transfer_to": "300"}}  # fmt: skip
    return json.dumps(fields | more).encode()


ANSWER = (
    b"SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=t\r\n"
    b"To: <sip:a@b>;tag=u\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nServer: kamailio\r\n"
    b'WWW-Authenticate: Digest realm="a", nonce="b", qop="auth", algorithm=SHA-256\r\nContent-Length: 0\r\n\r\n'
)
_REPORT = {"call_id": "c1", "status": "completed", "file_url": "https://example.org/a.wav", "file_size": 1,
           "duration": 1.5, "transcript_confidence": 0.5, "recording_id": str(UUID(int=1))}  # fmt: skip

TARGETS: dict[str, Target] = {
    "numbers": Target(numbers, lambda: [b"+12025550100", b"tel:+1 (202) 555-0100", b"0049 (0)30 12", b"=1+1"], 80),
    "times": Target(
        times, lambda: [b"2024-04-01T12:00:00Z", b"20240401T120060,5+0530", b"2024-04-01", b"2016-12-31 23:59:60"], 48
    ),
    "ranges": Target(ranges, lambda: [b"bytes=0-5", b"bytes=-3", b"bytes=2-"], 48),
    "json": Target(json_door, lambda: [_event(), b'[{"a": [1, 2.5e9, null]}, "\\u00e4\\ud83d\\ude00", true]', b"[1,2"]),
    "process-events": Target(process_event, lambda: [_event(), _event(event_id=7, extra={"a": [1]})]),
    "sip-webhook": Target(sip_webhook, lambda: [_sip_event(), _sip_event(event_id="e", event_type="dtmf")]),
    "freeswitch": Target(freeswitch_webhook, lambda: payloads("freeswitch"), 12_288),
    "asterisk": Target(asterisk_webhook, lambda: payloads("asterisk"), 2_048),
    "recording-webhook": Target(recording_webhook, lambda: [json.dumps(_REPORT).encode()]),
    "masking": Target(masking, lambda: [_event(password="x"), b'{"token": "x', b'{"a": {"b": ["c"]}}']),
    "signature": Target(signature, lambda: [b"msg_1\nv1,AAAA v1a,BBBB\n{}", b"a\n1700000000\nbody"]),
    "cursors": Target(cursors, lambda: [write_cursor(Cursor(NOW, UUID(int=1)), filters="other").encode(), b"AAAA"]),
    "sip-answer": Target(sip_answer, lambda: [ANSWER, ANSWER.replace(b"\r\n", b"\n"), b"SIP/2.0 200 OK\r\n\r\n"]),
    "sip-challenge": Target(sip_challenge, lambda: [b'realm="a", nonce="b", qop="auth,auth-int", opaque="\\""']),
}
