"""Who comes in while the logs are being looked at."""

import asyncio
import threading
from typing import Any

import pytest

from calls.api.live_feed import Feed
from calls.operations.record import record
from calls.realtime.fanout import Listener, Wanted
from tests.build import build_event
from tests.realtime.test_fanout import play
from tests.realtime_client import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)


def test_who_comes_in_during_a_look_stands_behind_what_it_has_seen() -> None:
    looking, go_on = threading.Event(), threading.Event()

    async def scene() -> None:
        feed = Feed()
        first, second = Listener(Wanted(numbers=frozenset({"+1"}))), Listener(Wanted(numbers=frozenset({"+2"})))
        await feed.join(first)
        look = feed._events.look

        def slowly(labels: Any) -> Any:
            looking.set()
            go_on.wait(PATIENCE)
            return look(labels)

        feed._events.look = slowly  # type: ignore[method-assign]
        await asyncio.to_thread(record, [build_event(event_id="before", calling_number="+2")])
        await asyncio.to_thread(looking.wait, PATIENCE)
        joining = asyncio.ensure_future(feed.join(second))
        await asyncio.wait([joining], timeout=0.1)
        assert not joining.done()  # it was not asked for, so what this look finds must lie before it
        go_on.set()
        place = await joining
        assert place.top.event == feed._events.top > 0
        await asyncio.to_thread(record, [build_event(event_id="after", call_id="2", calling_number="+2")])
        assert '"after"' in (await asyncio.wait_for(second.take(), PATIENCE)).text
        assert not first._waiting
        for listener in (first, second):
            await feed.leave(listener)

    play(scene())
