"""Takes new connections for one of several processes that share a listening socket, and keeps them even.

A system gives a newcomer to whichever process asks first, and one that is awake asks for many: of 32 connections
of a telephony system 30 went to one process of two, while the other had nothing to do. So a process that has more
than another waits a moment, and takes only whom nobody else has taken by then.
"""

import asyncio
import logging
import socket
from collections.abc import Callable

from calls.management.crowd import Crowd

logger = logging.getLogger(__name__)

# How long whoever has more connections leaves a newcomer to the others, in seconds.
COURTESY_SECONDS = 0.003
# After a connection could not be taken, for want of files, say: how long nobody is let in, in seconds.
PAUSE_SECONDS = 1.0


class Newcomers:
    """Gives each connection that comes a protocol; stands where uvicorn keeps an `asyncio.Server`."""

    def __init__(self, listener: socket.socket, crowd: Crowd, protocol: Callable[[], asyncio.Protocol]) -> None:
        self.sockets = [listener]
        self._listener, self._crowd, self._protocol = listener, crowd, protocol
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        crowd.begin()
        self._look_out()

    def close(self) -> None:
        """Let nobody in any more."""
        self._crowd.end()
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Wait for those who were just coming in."""
        await asyncio.gather(*self._beginning, return_exceptions=True)

    def _look_out(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._come)

    def _come(self) -> None:
        if self._crowd.is_large():
            self._wait(COURTESY_SECONDS, self._take_and_look_out)
        else:
            self._take()

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(seconds, then)

    def _take_and_look_out(self) -> None:
        self._look_out()
        self._take()

    def _take(self) -> None:
        """Take one; between two the others get their turn."""
        try:
            line, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # somebody else was faster, or the newcomer has left
        except OSError:
            logger.exception("A connection could not be accepted")
            self._wait(PAUSE_SECONDS, self._look_out)
            return
        line.setblocking(False)
        self._crowd.change(1)
        task = self._loop.create_task(self._begin(line))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _begin(self, line: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, line)
        except OSError:  # it is cut already
            self._leave(line)
        except Exception:
            logger.exception("A connection could not be begun")
            self._leave(line)

    def _leave(self, line: socket.socket) -> None:
        self._crowd.change(-1)
        line.close()
