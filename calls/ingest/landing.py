"""From the thread that commits back to an event loop: the loop is woken once for all that was committed together."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from calls.domain.events import Event
from calls.operations.outcomes import Outcome
from calls.operations.together import Tell

T = TypeVar("T")


class Landing:
    """Brings what became of events to whoever awaits it on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._told: deque[tuple[asyncio.Future[Outcome | None], Outcome | None]] = deque()

    async def first(
        self, record_soon: Callable[[Sequence[Event], Tell[Outcome]], object], events: Sequence[Event]
    ) -> Outcome | None:
        """Return what became of the first of these events; None if that went wrong, which is logged elsewhere."""
        future: asyncio.Future[Outcome | None] = self._loop.create_future()

        def tell(outcomes: list[Outcome], error: BaseException | None) -> None:
            self._told.append((future, None if error else outcomes[0]))
            # Where there are more, the loop has been called and has not come yet; in this order none is forgotten.
            if len(self._told) == 1:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                    self._loop.call_soon_threadsafe(self._land)

        record_soon(events, tell)
        return await future

    def _land(self) -> None:
        while self._told:
            future, outcome = self._told.popleft()
            if not future.done():
                future.set_result(outcome)
