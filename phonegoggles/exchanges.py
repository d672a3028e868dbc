"""What stands between a connection's protocol and whoever answers: one request, and when to read on."""

import asyncio
from collections.abc import Sized
from typing import TypeAlias

from uvicorn.protocols.http.flow_control import FlowControl

from calls.ingest.shortcut import Visit

Head: TypeAlias = list[tuple[bytes, bytes]]


class Trailers(Head):
    """Where headers go that come behind a body: they would pass for those before it (RFC 9110, 6.5.1)."""

    def append(self, header: tuple[bytes, bytes]) -> None:
        """Forget a header."""


class Flow(FlowControl):
    """Reads on only when whatever has come is being answered: else requests would pile up that nobody has asked for."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        """Read on, unless requests wait."""
        if not self._pipeline:
            super().resume_reading()


class _Nobody:
    """Who waits for more of a short request: nobody."""

    def set(self) -> None:
        """Do nothing."""


class Short:
    """A request that goes the short way, in the place of uvicorn's exchange."""

    message_event = _Nobody()
    __slots__ = ("disconnected", "headers", "keep_alive", "raw", "response_complete", "url", "visit")

    def __init__(self, visit: Visit, url: bytes, headers: Head, *, keep_alive: bool) -> None:
        self.visit, self.url, self.headers, self.keep_alive = visit, url, headers, keep_alive
        self.raw = b""
        self.response_complete = self.disconnected = False
