"""What all sockets of a process share: one reader of the logs, which writes each change out once for all of them."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeVar
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from calls.api.live_text import show_call, text, update
from calls.models import CallChange, CallEvent
from calls.queries.changes import (
    Labels,
    Tail,
    calls_by_id,
    entries_between,
    events_by_id,
    glance_at,
    last_id_given_out,
)
from calls.queries.reading import read_apart
from calls.realtime.bridge import Bridge
from calls.realtime.fanout import Fanout, Listener, Marks, Message
from calls.web.cursors import seal, unseal
from calls.web.errors import Gone, Invalid

logger = logging.getLogger(__name__)
T = TypeVar("T")

# The shortest time between two looks, which gathers what a busy moment brings; in seconds.
GATHER_SECONDS = 0.03
# The same while each look finds at least so many changes: looking costs as much for one as for hundreds. Then
# nobody waits for the bell either.
BUSY_GATHER_SECONDS, BUSY = 0.1, 50
# The longest time between two looks, should no bell ring. SQLite has no bell between processes.
LOOK_SECONDS = {"postgresql": 1.0, "sqlite": 0.1}
# How long to wait for a database that does not answer.
RETRY_SECONDS = 0.5
LIVE = "live"


class Position(NamedTuple):
    """A place in both logs: up to here everything was told."""

    event: int
    change: int


class Change(NamedTuple):
    """One entry of one of the logs, and the position once it is told."""

    call: UUID
    event: int | None
    position: Position


@dataclass(frozen=True, slots=True)
class Place:
    """Where a listener came in: what is beyond `top` it will hear, what is up to `settled` it never will."""

    settled: Position
    top: Position


def write_live_cursor(position: Position) -> str:
    """Return the text by which a listener finds its place again."""
    return seal(msgspec.json.encode(position), purpose=LIVE)


def read_live_cursor(text: str) -> Position:
    """Return the position of a cursor; raise Invalid for one that we did not make."""
    try:
        return msgspec.json.decode(unseal(text, purpose=LIVE), type=Position)
    except (ValueError, msgspec.MsgspecError):
        raise Invalid({"since": ["This cursor is not valid. Use one that a message carried."]}) from None


class Feed:
    """Follows the logs as long as somebody listens; belongs to one event loop."""

    def __init__(self) -> None:
        self.fanout = Fanout()
        self._lock = asyncio.Lock()
        self._rung = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._untold: list[tuple[Change, Marks]] = []
        self._busy = False

    async def join(self, listener: Listener) -> Place:
        """Let a listener hear all changes from the returned place on."""
        async with self._lock:
            if self._following is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed", initializer=read_apart)
                try:
                    self._events, self._changes = await self._apart(_stand_at_the_end)
                except BaseException:
                    await self._close_thread()
                    raise
                loop = asyncio.get_running_loop()
                self._bridge = Bridge(lambda: loop.call_soon_threadsafe(self._rung.set))
                self._bridge.start()
                self._following = loop.create_task(self._follow())
            self.fanout.add(listener)
            return Place(
                settled=Position(self._events.settled, self._changes.settled),
                top=Position(self._events.top, self._changes.top),
            )

    async def leave(self, listener: Listener) -> None:
        """Let a listener hear no more; after the last one nothing is followed."""
        self.fanout.remove(listener)
        if len(self.fanout):
            return
        async with self._lock:
            if self._following is None or len(self.fanout):
                return
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
            self._following = None
            self._untold = []
            await asyncio.to_thread(self._bridge.stop)
            await self._close_thread()

    async def _follow(self) -> None:
        longest = LOOK_SECONDS[connection.vendor]
        while True:
            self._rung.clear()
            try:
                more = await self._look()
            except (DatabaseError, InterfaceError) as error:
                logger.warning("The log of calls cannot be read (%s); trying again.", type(error).__name__)
                await self._apart(_close_connection)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except Exception:
                logger.exception("Changes could not be told: %s", self._untold)
                self._untold.clear()  # rather than failing at them for ever
                more = False
            if not self._is_behind():
                await asyncio.sleep(BUSY_GATHER_SECONDS if self._busy else GATHER_SECONDS)
            if not (more or self._busy):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._rung.wait(), longest)

    async def _look(self) -> bool:
        """Tell the listeners what is new; say whether to look again at once."""
        async with self._lock:  # who comes in meanwhile is not asked for, so they must stand after it
            labels = self.fanout.labels()
            await self._apart(lambda: self._read(labels))
        heard_by = [(change, self.fanout.who_wants(marks)) for change, marks in self._untold]
        wanted = [change for change, listeners in heard_by if listeners]
        messages = iter(await self._apart(lambda: write_out(wanted)) if wanted else ())
        for _, listeners in heard_by:
            if listeners and (message := next(messages)):
                for listener in listeners:
                    listener.offer(message)
        self._untold = []
        return any(log.behind or log.has_gaps for log in (self._events, self._changes))

    def _is_behind(self) -> bool:
        """Say whether there was more than the last look took."""
        return any(log.behind for log in (self._events, self._changes))

    def _read(self, labels: Labels) -> None:
        """Take down what is new; it is kept until it is told, since the logs do not show it a second time."""
        self._busy = False
        for entry in self._events.look(labels):
            place = Position(entry.settled, self._changes.settled)
            self._untold.append((Change(entry.call, entry.id, place), Marks(entry.call, *entry.glance)))
        for entry in self._changes.look(labels):
            place = Position(self._events.settled, entry.settled)
            self._untold.append((Change(entry.call, None, place), Marks(entry.call, *entry.glance)))
        self._busy = self._events.seen + self._changes.seen >= BUSY

    async def _apart(self, work: Callable[[], T]) -> T:
        """Do something with the database in the feed's own thread, which keeps its connection."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _close_thread(self) -> None:
        await self._apart(_close_connection)
        self._thread.shutdown(wait=False)


def _stand_at_the_end() -> tuple[Tail, Tail]:
    return Tail(CallEvent), Tail(CallChange)


def _close_connection() -> None:
    with suppress(DatabaseError, InterfaceError):
        connection.close()


def marks_of(calls: Iterable[UUID]) -> dict[UUID, Marks]:
    """Return what decides who hears of these calls."""
    return {call: Marks(call, *glance) for call, glance in glance_at(list(calls)).items()}


def write_out(changes: Sequence[Change]) -> list[Message | None]:
    """Return the messages of changes; None for what was erased meanwhile."""
    calls = calls_by_id(list({change.call for change in changes}))
    events = events_by_id([change.event for change in changes if change.event is not None])
    shown = {pk: show_call(call) for pk, call in calls.items()}
    messages: list[Message | None] = []
    for change in changes:
        if change.call not in shown or (change.event is not None and change.event not in events):
            messages.append(None)
            continue
        event = None if change.event is None else events[change.event]
        told = update(write_live_cursor(change.position), event, shown[change.call])
        messages.append(Message(told, change.event))
    return messages


def hello(position: Position) -> str:
    """Return the first message of a socket."""
    return text({"type": "hello", "cursor": write_live_cursor(position)})


# -- Catching up ---------------------------------------------------------------------------------


def check_reach(since: Position) -> None:
    """Raise Gone for a cursor from which catching up would take too long, or that is ahead of the logs."""
    ends = Position(last_id_given_out(CallEvent), last_id_given_out(CallChange))
    if since.event > ends.event or since.change > ends.change:
        raise Gone("This cursor is from another database, or from before it was restored. Read the calls anew.")
    if (ends.event - since.event) + (ends.change - since.change) > settings.LIVE_CATCH_UP:
        raise Gone("Too much has happened since this cursor. Read the calls anew, and listen from now on.")


def missed(since: Position, place: Place) -> tuple[Position, list[Change]]:
    """Return the next stretch of what was missed since a position, and the position to go on from.

    Nothing is left when the list is empty. What lies beyond `place.top` will be heard live.
    """
    rows = entries_between(CallEvent, since.event, place.top.event)
    if rows:
        upto = rows[-1][0]
        return since._replace(event=upto), [
            # Up to `settled` nothing can come in between any more, so only there a cursor may follow.
            Change(call, id, Position(min(id, place.settled.event), since.change))
            for id, call in rows
        ]
    rows = entries_between(CallChange, since.change, place.top.change)
    if rows:
        told = place.settled.event
        changes = [Change(call, None, Position(told, min(id, place.settled.change))) for id, call in rows]
        return Position(max(since.event, place.top.event), rows[-1][0]), changes
    return since, []
