"""The server that the README names, under many connections at once, on the database that the tests run on."""

import http.client
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from calls.models import Call, CallEvent
from tests.build import report
from tests.journeys.test_first_specification import key_of
from tests.operations.test_record_concurrently import healthy
from tests.server import production_server, socket_server

pytestmark = pytest.mark.usefixtures("groups")
CONNECTIONS = 16
CALLS_EACH = 10
STEPS = [("INITIATE", 0), ("ANSWER", 5), ("DISCONNECT", 30)]


def connect(address: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)


def post(connection: http.client.HTTPConnection, key: str, body: Any, **options: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Token {key}", "Content-Type": "application/json"}
    connection.request("POST", "/process-events/", body, headers, **options)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_16_connections_at_once_lose_nothing_and_see_no_server_error() -> None:
    key = key_of("Telephony systems")

    def talk(number: int) -> list[int]:
        connection = connect(address)
        codes = []
        for turn in range(CALLS_EACH):
            for word, second in STEPS:
                # Every call is reported over two connections, in the same words.
                call = f"call-{number // 2}-{turn}"
                body = report(
                    event_id=f"{call}-{word}", call_id=call, event=word, created_at=f"2024-04-01T12:00:{second:02}Z"
                )
                codes.append(post(connection, key, json.dumps(body))[0])
        connection.close()
        return codes

    with production_server() as address, ThreadPoolExecutor(CONNECTIONS) as pool:
        codes = Counter(code for answers in pool.map(talk, range(CONNECTIONS)) for code in answers)
    assert codes == {200: CONNECTIONS * CALLS_EACH * len(STEPS)}
    calls = CONNECTIONS // 2 * CALLS_EACH
    assert CallEvent.objects.count() == calls * len(STEPS)
    assert Call.objects.filter(status="ended", duration=30).count() == calls
    assert healthy()


@contextmanager
def production() -> Iterator[str]:
    with production_server(workers=1) as address:
        yield address


@contextmanager
def beside_the_sockets() -> Iterator[str]:
    with socket_server() as (address, _):
        yield address


SERVERS = pytest.mark.parametrize("server", [production, beside_the_sockets])


@SERVERS
def test_a_chunked_body_is_read_whole(server: Callable[[], AbstractContextManager[str]]) -> None:
    key = key_of("Telephony systems")
    body = json.dumps(report()).encode()
    with server() as address:
        connection = connect(address)
        parts = [body[:10], body[10:40], body[40:]]
        assert post(connection, key, iter(parts), encode_chunked=True)[0] == 200
        huge = (b" " * 1_000_000 for _ in range(11))
        try:
            status = post(connect(address), key, huge, encode_chunked=True)[0]
        except ConnectionError:
            status = 413  # the server answered and closed while we were still sending
        assert status == 413
    assert CallEvent.objects.count() == 1


@SERVERS
def test_a_chunked_body_of_the_rest_api_is_read_whole_too(server: Callable[[], AbstractContextManager[str]]) -> None:
    key = key_of("Operators")
    headers = {"Authorization": f"Token {key}", "Content-Type": "application/json"}
    with server() as address:
        connection = connect(address)
        parts = [b'{"name": "Ada', b' Lovelace", "phone_numbers": ', b'["+12025550101"]}']
        connection.request("POST", "/api/clients/", iter(parts), headers, encode_chunked=True)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["name"]) == (201, "Ada Lovelace")
