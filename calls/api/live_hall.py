"""Who is listening in this process: how many there may be, and whether they still may."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from django.conf import settings
from django.utils import timezone
from rest_framework.exceptions import Throttled

from calls import metrics
from calls.api.live_feed import Feed
from calls.web.errors import RETRY_AFTER_SECONDS, Unavailable
from calls.web.sockets import Visitor, still_welcome

logger = logging.getLogger(__name__)
RIGHT = "calls.view_call"
NOT_WELCOME = 4001


class Guest(Protocol):
    """A socket, as the hall knows it."""

    part: Callable[[int, str], Coroutine[Any, Any, None]]


class Hall:
    """All sockets of one event loop, and the feed that they share."""

    def __init__(self) -> None:
        self.feed = Feed()
        self._visitors: dict[Guest, Visitor] = {}
        self._patrol: asyncio.Task[None] | None = None

    def check_room(self) -> None:
        """Raise Unavailable if no more sockets fit in."""
        if len(self._visitors) >= settings.LIVE_MAX_SOCKETS:
            raise Unavailable("Too many sockets are open here. Try again later.")

    def enter(self, guest: Guest, visitor: Visitor) -> None:
        """Let a guest in; raise Unavailable or Throttled where there are too many."""
        self.check_room()
        own = sum(each.user == visitor.user for each in self._visitors.values())
        if own >= settings.LIVE_MAX_SOCKETS_PER_USER:
            raise Throttled(RETRY_AFTER_SECONDS, "This user has too many sockets open here.")
        self._visitors[guest] = visitor
        metrics.SOCKETS.inc()
        if self._patrol is None:
            self._patrol = asyncio.get_running_loop().create_task(self._walk())

    def leave(self, guest: Guest) -> None:
        """Let a guest go."""
        if self._visitors.pop(guest, None) is not None:
            metrics.SOCKETS.dec()
        if not self._visitors and self._patrol is not None:
            self._patrol.cancel()
            self._patrol = None

    async def _walk(self) -> None:
        """Show out, again and again, who would no longer be let in."""
        while True:
            await asyncio.sleep(settings.LIVE_RECHECK_SECONDS)
            present = dict(self._visitors)
            try:
                welcome = await database_sync_to_async(still_welcome)(
                    set(present.values()), right=RIGHT, at=timezone.now()
                )
            except Exception as error:
                # Without its database the process tells nothing either, so there is nothing to keep from anybody.
                logger.warning("Who still may listen cannot be checked: %s", type(error).__name__)
                continue
            unwelcome = [guest for guest, visitor in present.items() if visitor not in welcome]
            reason = "The token or session is no longer valid, or the right was taken away."
            # Beside the patrol: the last to leave ends it.
            self._parting = {asyncio.ensure_future(guest.part(NOT_WELCOME, reason)) for guest in unwelcome}


_halls: WeakKeyDictionary[asyncio.AbstractEventLoop, Hall] = WeakKeyDictionary()


def hall_of_this_loop() -> Hall:
    """Return the hall of the running event loop; a server process has one."""
    return _halls.setdefault(asyncio.get_running_loop(), Hall())
