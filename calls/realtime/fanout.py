"""Who wants to hear of which calls, and what waits for each of them. Plain Python, for one event loop."""

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

# What may wait for one listener before it is given up: messages, and characters in them.
MOST_MESSAGES = 10_000
MOST_CHARACTERS = 16 * 1024 * 1024

# A call, a number or a client; their kinds of value cannot be mistaken for each other.
Label: TypeAlias = UUID | str | int | None


@dataclass(frozen=True, slots=True)
class Marks:
    """What of a call decides who hears of it."""

    call: UUID
    numbers: frozenset[str]
    client: int | None
    status: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which calls somebody wants to hear of: all conditions that are given, each with any of its values."""

    calls: frozenset[UUID] = frozenset()
    numbers: frozenset[str] = frozenset()
    clients: frozenset[int] = frozenset()
    statuses: frozenset[str] = frozenset()

    def fits(self, marks: Marks) -> bool:
        """Say whether a call is wanted."""
        return (
            (not self.calls or marks.call in self.calls)
            and (not self.numbers or not self.numbers.isdisjoint(marks.numbers))
            and (not self.clients or marks.client in self.clients)
            and (not self.statuses or marks.status in self.statuses)
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One change, written out once for all who hear of it; `entry` is its place in the log of events."""

    text: str
    entry: int | None


@dataclass(eq=False, slots=True)
class Listener:
    """Somebody who listens, and what waits for them."""

    wanted: Wanted
    too_slow: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: deque[Message] = field(default_factory=deque)
    _characters: int = 0
    _stirred: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, message: Message) -> None:
        """Let a message wait for this listener, unless it is too far behind already."""
        if self.too_slow.is_set():
            return
        if len(self._waiting) >= MOST_MESSAGES or self._characters + len(message.text) > MOST_CHARACTERS:
            self.too_slow.set()
            self._waiting.clear()
        else:
            self._waiting.append(message)
            self._characters += len(message.text)
            self._stirred.set()

    async def take(self) -> Message:
        """Return the next message as soon as there is one."""
        while not self._waiting:
            self._stirred.clear()
            await self._stirred.wait()
        message = self._waiting.popleft()
        self._characters -= len(message.text)
        return message


class Fanout:
    """All listeners, found by what they want: a change looks only at those it may concern."""

    def __init__(self) -> None:
        self._shelves: dict[Label, set[Listener]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, listener: Listener) -> None:
        """Let a listener hear from now on."""
        self._count += 1
        for label in _labels(listener.wanted):
            self._shelves.setdefault(label, set()).add(listener)

    def remove(self, listener: Listener) -> None:
        """Let a listener hear no more."""
        self._count -= 1
        for label in _labels(listener.wanted):
            self._shelves[label].discard(listener)
            if not self._shelves[label]:
                del self._shelves[label]

    def labels(self) -> frozenset[Label]:
        """Return all under which somebody is found; with None among them, any call may be wanted."""
        return frozenset(self._shelves)

    def who_wants(self, marks: Marks) -> set[Listener]:
        """Return who hears of a call."""
        labels: list[Label] = [None, marks.call, marks.client, *marks.numbers]
        return {
            listener for label in labels for listener in self._shelves.get(label, ()) if listener.wanted.fits(marks)
        }


def _labels(wanted: Wanted) -> Collection[Label]:
    """Return under what a listener is found: its narrowest condition, or None where it has none of these."""
    return wanted.calls or wanted.numbers or wanted.clients or (None,)
