"""A listener for tests: a real WebSocket client, with what the tests ask of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

# How long the machine may take until something that must come has come, in seconds.
PATIENCE = 30


class Ear:
    """One open socket, after its greeting."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        greeting = self.hear()
        assert set(greeting) == {"type", "cursor"}
        assert greeting["type"] == "hello"
        self.cursor: str = greeting["cursor"]

    def hear(self) -> dict[str, Any]:
        """Return the next message."""
        message: dict[str, Any] = json.loads(self.socket.recv(timeout=PATIENCE))
        self.cursor = message["cursor"]
        return message

    def events(self, count: int) -> list[str | None]:
        """Return the event ids of the next messages."""
        return [(self.hear()["event"] or {}).get("event_id") for _ in range(count)]

    def hear_until(self, event_id: str) -> list[str]:
        """Return all event ids up to this one."""
        heard: list[str] = []
        while not heard or heard[-1] != event_id:
            heard.append(self.hear()["event"]["event_id"])
        return heard


def url(address: str, query: dict[str, Any] | None = None, path: str = "/ws/calls/") -> str:
    """Return the address of the socket."""
    return f"{address.replace('http', 'ws', 1)}{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")


@contextmanager
def listening(address: str, key: str, /, **query: Any) -> Iterator[Ear]:
    """Listen with a token."""
    headers = {"Authorization": f"Token {key}"}
    with connect(url(address, query), additional_headers=headers, compression=None, proxy=None) as socket:
        yield Ear(socket)


def refusal(address: str, key: str | None = None, query: dict[str, Any] | None = None, **options: Any) -> Any:
    """Return the HTTP response with which a handshake is refused, and fail if it is not."""
    headers = dict(options.pop("headers", {}))
    if key is not None:
        headers["Authorization"] = f"Token {key}"
    path = options.pop("path", "/ws/calls/")
    try:
        with connect(url(address, query, path), additional_headers=headers, proxy=None, **options):
            pass
    except InvalidStatus as error:
        return error.response
    raise AssertionError("the handshake was accepted")
