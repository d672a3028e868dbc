"""Live changes of calls: the WebSocket `/ws/calls/`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone

from calls.api.live_feed import (
    Change,
    Place,
    Position,
    check_reach,
    hello,
    marks_of,
    missed,
    read_live_cursor,
    write_out,
)
from calls.api.live_hall import RIGHT, hall_of_this_loop
from calls.domain.events import call_uuid
from calls.domain.vocabulary import CallStatus
from calls.models import Call, ClientNumber
from calls.models.access_log import Look
from calls.operations.access_log import looked_at
from calls.queries.calls import spellings
from calls.realtime.fanout import Listener, Message, Wanted
from calls.web.errors import Invalid, answer_exception
from calls.web.gate import APIGate
from calls.web.sockets import Socket, Visitor, admit, chosen_subprotocol, request_of

logger = logging.getLogger(__name__)

FILTERS = ("call", "number", "client", "status")
# How many values one filter may have, and how long one may be.
MOST_VALUES, LONGEST = 100, 255
# Close codes (RFC 6455, section 7.4); ours are those from 4000 on.
POLICY, BROKEN, TOO_SLOW = 1008, 1011, 4008
# How long a listener that does not read has to take its farewell, in seconds.
FAREWELL_SECONDS = 5


class LiveCalls(Socket):
    """One socket: refused before it is accepted, or told of every change that it wants to hear of."""

    def __init__(self) -> None:
        super().__init__()
        self._hall = hall_of_this_loop()
        self._listener: Listener | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._dropped = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the socket until it is closed."""
        self._serving = asyncio.current_task()
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            if not self._dropped:
                raise
        finally:
            await self._leave()

    async def connect(self) -> None:
        """Judge the handshake, and begin to tell."""
        request = request_of(self.scope)
        turned_away = APIGate(lambda request: HttpResponse())(request)
        if turned_away.status_code >= 400:
            await self.deny(turned_away)
            return
        try:
            place, since = await self._come_in(request)
        except Exception as error:  # a handshake is answered for whatever a view is answered for
            await self._leave()
            answer = answer_exception(error, {})
            headers = {name: value for name, value in answer.headers.items() if name != "Content-Type"}
            await self.deny(JsonResponse(answer.data, status=answer.status_code, headers=headers))
            return
        await self.accept(chosen_subprotocol(self.scope))
        assert self._listener is not None  # noqa: S101 - it has come in
        self._start(self._tell(self._listener, place, since))
        self._start(self._watch(self._listener))

    async def _come_in(self, request: HttpRequest) -> tuple[Place, Position | None]:
        """Take a place in the hall; raise what the handshake is then refused with."""
        self._hall.check_room()
        visitor = await database_sync_to_async(admit)(request, subprotocols=self.scope["subprotocols"], right=RIGHT)
        wanted, since = read_query(request)
        if since is not None:
            await database_sync_to_async(check_reach)(since)
        self._hall.enter(self, visitor)
        listener = Listener(wanted)
        place = await self._hall.feed.join(listener)
        self._listener = listener
        if settings.ACCESS_LOG:
            await database_sync_to_async(note_listener)(visitor, wanted)
        return place, since

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take no messages: what is wanted stands in the address."""
        await self.part(POLICY, "This socket only tells: filters go into its address.")

    # -- Telling

    async def _tell(self, listener: Listener, place: Place, since: Position | None) -> None:
        """Send the greeting, what was missed, and then everything as it comes."""
        await self.send(text_data=hello(since or place.settled))
        told: set[int] = set()
        if since is not None:
            async for message in _catch_up(listener.wanted, place, since):
                await self.send(text_data=message.text)
                if message.entry is not None and message.entry > place.settled.event:
                    told.add(message.entry)
        while True:
            message = await listener.take()
            if message.entry is None or message.entry not in told:
                await self.send(text_data=message.text)

    async def _watch(self, listener: Listener) -> None:
        """Close the socket of a listener that has fallen too far behind, however deaf it is."""
        await listener.too_slow.wait()
        await self.part(TOO_SLOW, "Too slow: come back with ?since= and the last cursor.")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(self._guard(work)))

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """Do some work of this socket's; when it fails, the other side shall come again."""
        try:
            await work
        except OSError:  # the connection is gone
            return
        except Exception as error:
            logger.exception("A socket failed: %s", type(error).__name__)
            await self.part(BROKEN, "Something went wrong here: come back with ?since= and the last cursor.")

    # -- Leaving

    async def part(self, code: int, reason: str) -> None:
        """Close the socket for a reason; where the other side does not even read that, drop it."""
        await self._leave()
        try:
            await asyncio.wait_for(self.close(code, reason), FAREWELL_SECONDS)
        except OSError:
            return
        except TimeoutError:
            self._dropped = True
            if self._serving is not None:
                self._serving.cancel()

    async def _leave(self) -> None:
        """Hear no more; may be called twice."""
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._hall.leave(self)
        listener, self._listener = self._listener, None
        if listener is not None:
            await self._hall.feed.leave(listener)


async def _catch_up(wanted: Wanted, place: Place, since: Position) -> AsyncIterator[Message]:
    """Yield the messages that were missed since a position."""

    def stretch(since: Position) -> tuple[Position, list[Message], bool]:
        position, changes = missed(since, place)
        marks = marks_of({change.call for change in changes})
        fitting: list[Change] = [c for c in changes if c.call in marks and wanted.fits(marks[c.call])]
        return position, [message for message in write_out(fitting) if message], bool(changes)

    while True:
        since, messages, more = await database_sync_to_async(stretch)(since)
        if not more:
            return
        for message in messages:
            yield message


def read_query(request: HttpRequest) -> tuple[Wanted, Position | None]:
    """Return what the address asks for: which calls, and since when; raise Invalid."""
    given = {name: request.GET.getlist(name) for name in request.GET}
    since = given.pop("since", [""])[-1]
    errors: dict[str, list[str]] = {}
    for name, values in given.items():
        if name not in FILTERS:
            errors[name] = [f"There is no such filter. Known are: {', '.join(FILTERS)}; and since."]
        elif len(values) > MOST_VALUES or any(not value.strip() or len(value) > LONGEST for value in values):
            errors[name] = [f"Give 1 to {MOST_VALUES} values, none of them empty or longer than {LONGEST}."]
        elif any("\0" in value for value in values):
            # The database would refuse it at every look, and so everybody's.
            errors[name] = ["Must not contain NUL characters."]
    clients = given.get("client", [])
    if "client" not in errors and not all(v.isascii() and v.isdigit() and len(v) < 19 for v in clients):
        errors["client"] = ["Must be the id of a client, a whole number."]
    if "status" not in errors and not set(given.get("status", [])) <= set(CallStatus):
        errors["status"] = [f"Must be one of: {', '.join(CallStatus)}."]
    if errors:
        raise Invalid(errors)
    wanted = Wanted(
        calls=frozenset(call for text in given.get("call", []) for call in _calls_called(text)),
        numbers=frozenset(number for text in given.get("number", []) for number in spellings(text.strip())),
        clients=frozenset(map(int, clients)),
        statuses=frozenset(given.get("status", [])),
    )
    return wanted, read_live_cursor(since) if since else None


def note_listener(visitor: Visitor, wanted: Wanted) -> None:
    """Write down who listens to which numbers' calls: those that are asked for, else all of them."""
    numbers = set(wanted.numbers)
    numbers |= {*ClientNumber.objects.filter(client__in=wanted.clients).values_list("number", flat=True)}
    for parties in Call.objects.filter(pk__in=wanted.calls).values_list("calling_number", "called_number"):
        numbers |= {number for number in parties if number}
    narrowed = wanted.numbers or wanted.clients or wanted.calls
    user = get_user_model()._default_manager.get(pk=visitor.user)
    looked_at(user, sorted(numbers) if narrowed else [""], what=Look.LIVE, at=timezone.now())


def _calls_called(text: str) -> set[UUID]:
    """Return which calls an id may mean: ours, or the external one; the latter leads to a UUID too."""
    found = {call_uuid(text)}
    with suppress(ValueError):
        found.add(UUID(text))
    return found
