"""The production server answers alike with the shortcut and without it."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from calls.ingest.shortcut import ALIKE
from calls.models import Call, CallEvent
from tests.build import report
from tests.journeys.test_first_specification import key_of
from tests.operations.test_record_concurrently import healthy
from tests.server import production_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("groups")]


def tell(line: http.client.HTTPConnection, key: str, body: Any) -> tuple[int, dict[str, str], bytes]:
    """Post one body over an open connection; return status, headers and body of the answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    line.request("POST", "/process-events/", raw, {"Authorization": f"Token {key}", "Content-Type": "application/json"})
    answer = line.getresponse()
    headers = {name.lower(): value for name, value in answer.getheaders() if name.lower() != "date"}
    return answer.status, headers, answer.read()


def test_answers_are_the_same_byte_for_byte() -> None:
    key = key_of("Telephony systems")
    first = report(event_id="e1", call_id="c1")
    bodies = [
        *(report(event_id=f"warm{number}", call_id="warm") for number in range(ALIKE + 1)),
        first,
        first,
        first | {"event": "ANSWER"},
        report(event_id="e2", call_id="c1", event="ANSWER", created_at="2024-04-01T12:00:09Z"),
        report(event_id="ü😀\u2028", call_id="c2"),
        [report(event_id="e3"), report(event_id="e4")],
        b"{",
        b"",
        report(event="WINK"),
        report(event_id="e5", call_id="c1", event="DISCONNECT", created_at="2024-04-01T12:01:09Z"),
    ]
    told = []
    for shortcut in ("true", "false"):
        CallEvent.objects.all().delete()
        Call.objects.all().delete()
        with production_server(workers=1, INGEST_SHORTCUT=shortcut) as address:
            line = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
            told.append([tell(line, key, body) for body in bodies])
            line.close()
    assert told[0] == told[1]
    assert [status for status, _, _ in told[0]][ALIKE + 1 :] == [200, 200, 409, 200, 200, 200, 400, 400, 400, 200]


def test_many_connections_at_once_are_all_answered_and_nothing_is_lost() -> None:
    key = key_of("Telephony systems")

    def call(number: int) -> list[int]:
        line = http.client.HTTPConnection(netloc, timeout=60)
        words = ("INITIATE", "ANSWER", "DISCONNECT")
        answers = [
            tell(line, key, report(event_id=f"{number}-{word}", call_id=f"call {number}", event=word))[0]
            for word in words
            for _ in range(2)  # each is sent twice
        ]
        line.close()
        return answers

    with production_server(workers=1) as address:
        netloc = urlsplit(address).netloc
        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(call, range(60)))
    assert answers == [[200] * 6] * 60
    assert (Call.objects.count(), CallEvent.objects.count()) == (60, 180)
    assert healthy()
