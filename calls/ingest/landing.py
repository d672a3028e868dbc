"""From the thread that commits back to an event loop: the loop is woken once for all that was committed together."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from calls.domain.events import Event
from calls.operations.outcomes import Outcome
from calls.operations.together import Tell

logger = logging.getLogger(__name__)

# Takes what became of an event; None if that went wrong, which is logged elsewhere.
Then: TypeAlias = Callable[[Outcome | None], object]


class Landing:
    """Brings what became of events to whoever waits for it on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._told: deque[tuple[Then, Outcome | None]] = deque()

    def first(
        self,
        record_soon: Callable[[Sequence[Event], Tell[Outcome]], object],
        events: Sequence[Event],
        then: Then,
    ) -> None:
        """Have events recorded, and `then` told, on the loop, what became of the first."""

        def tell(outcomes: list[Outcome], error: BaseException | None) -> None:
            self._told.append((then, None if error else outcomes[0]))
            # Where there are more, the loop has been called and has not come yet; in this order none is forgotten.
            if len(self._told) == 1:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                    self._loop.call_soon_threadsafe(self._land)

        record_soon(events, tell)

    def _land(self) -> None:
        while self._told:
            then, outcome = self._told.popleft()
            try:
                then(outcome)
            except Exception:  # the others are to be told all the same
                logger.exception("An answer could not be given")
