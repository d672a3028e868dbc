"""The server of requests: uvicorn's, with a protocol of our own; one process of `manage.py serve`."""

import asyncio
import socket
from functools import partial
from typing import Any

import uvicorn

from calls.ingest.landing import Landing
from calls.ingest.shortcut import Shortcut
from calls.management.crowd import Crowd
from calls.management.server import BACKLOG, Server
from phonegoggles.gateway import Application, Gateway
from phonegoggles.newcomers import Newcomers
from phonegoggles.protocol import Protocol

# More connections than this are answered with 503 at once.
MOST_CONNECTIONS = 10_000


class RequestServer(Server):
    """Serves until it is told to stop, or until whoever has started it is gone."""

    def __init__(self, django: Application, *, threads: int, shortcut: bool, grace: int, **where: Any) -> None:
        self._gateway = Gateway(django, threads=threads)
        self._has_shortcut = shortcut
        self._crowd: Crowd | None = None
        self._starter: socket.socket | None = None
        super().__init__(
            uvicorn.Config(
                self._gateway,
                interface="asgi3",
                lifespan="off",
                ws="none",
                log_config=None,
                log_level="warning",  # its lines of information carry whole addresses, with numbers and cursors in them
                access_log=False,
                server_header=False,
                proxy_headers=False,  # Django judges them, by its settings
                backlog=BACKLOG,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=grace,
                **where,
            )
        )

    def run_among_others(self, listener: socket.socket, starter: socket.socket, crowd: Crowd) -> None:
        """Serve as one of several processes that share a listener, until `starter` is closed at its other end."""
        self._crowd, self._starter = crowd, starter
        self.run(sockets=[listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so to whoever has started it."""
        loop = asyncio.get_running_loop()
        shortcut = Shortcut(Landing(loop)) if self._has_shortcut else None
        gone = partial(self._crowd.change, -1) if self._crowd else int
        make: Any = partial(Protocol, shortcut, gone=gone)
        self.config.http_protocol_class = make
        if self._crowd is None or self._starter is None or sockets is None:
            await super().startup(sockets)
            return
        make = partial(make, config=self.config, server_state=self.server_state, app_state={})
        self.servers = [Newcomers(listener, self._crowd, make) for listener in sockets]  # type: ignore[misc]
        self.started = True
        self._starter.send(b"1")
        loop.add_reader(self._starter, self._stop)

    def _stop(self) -> None:
        """End: nothing ever comes this way but the end of whoever is there."""
        assert self._starter is not None  # noqa: S101 - only then it is called
        asyncio.get_running_loop().remove_reader(self._starter)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way, and end."""
        for server in self.servers:
            server.close()
            if isinstance(server, Newcomers):  # who is just coming in is to be told too
                await server.wait_closed()
        await super().shutdown(sockets)
        self._gateway.close()
