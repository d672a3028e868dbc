"""Who hears of which call, and what happens to those who do not keep up."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from calls.realtime import fanout
from calls.realtime.fanout import Fanout, Listener, Marks, Message, Wanted

CALL, OTHER = uuid4(), uuid4()
ADA, BOB = "+15550001", "+15550002"


def play(scene: "Coroutine[Any, Any, None]") -> None:
    """Run a scene in a thread of its own: a browser test may have left a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, scene).result()


def marks(call: object = CALL, numbers: tuple[str, ...] = (ADA, BOB), client: int | None = 7) -> Marks:
    return Marks(call, frozenset(numbers), client, "ringing")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "heard"),
    [
        (Wanted(), True),
        (Wanted(calls=frozenset({CALL})), True),
        (Wanted(calls=frozenset({OTHER})), False),
        (Wanted(numbers=frozenset({ADA, BOB})), True),
        (Wanted(numbers=frozenset({"+15550003"})), False),
        (Wanted(clients=frozenset({7, 8})), True),
        (Wanted(clients=frozenset({8})), False),
        (Wanted(statuses=frozenset({"ringing"})), True),
        (Wanted(statuses=frozenset({"ended"})), False),
        (Wanted(calls=frozenset({CALL}), numbers=frozenset({"+15550003"})), False),
        (Wanted(numbers=frozenset({ADA}), clients=frozenset({8})), False),
        (Wanted(clients=frozenset({7}), statuses=frozenset({"ringing", "ended"})), True),
    ],
)
def test_a_listener_hears_of_what_it_wants_once_and_of_nothing_else(wanted: Wanted, heard: bool) -> None:
    everybody, listener = Fanout(), Listener(wanted)
    everybody.add(listener)
    assert everybody.who_wants(marks()) == ({listener} if heard else set())
    everybody.remove(listener)
    assert everybody.who_wants(marks()) == set()
    assert len(everybody) == 0
    assert not everybody._shelves


def test_a_call_without_a_client_is_not_for_those_who_want_one() -> None:
    everybody = Fanout()
    everybody.add(Listener(Wanted(clients=frozenset({7}))))
    assert everybody.who_wants(marks(client=None)) == set()


def test_what_waits_is_taken_in_order_by_each_for_itself() -> None:
    async def scene() -> None:
        one, two = Listener(Wanted()), Listener(Wanted())
        taking = asyncio.ensure_future(one.take())
        await asyncio.sleep(0)
        for number in range(3):
            for listener in (one, two):
                listener.offer(Message(str(number), number))
        assert [(await taking).text, (await one.take()).text, (await one.take()).text] == ["0", "1", "2"]
        assert [(await two.take()).text for _ in range(3)] == ["0", "1", "2"]

    play(scene())


@pytest.mark.parametrize(("limit", "value", "text"), [("MOST_MESSAGES", 5, "x"), ("MOST_CHARACTERS", 50, "x" * 10)])
def test_who_falls_too_far_behind_is_given_up_and_keeps_nothing(
    limit: str, value: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, limit, value)

    async def scene() -> None:
        slow, quick = Listener(Wanted()), Listener(Wanted())
        for number in range(10):
            slow.offer(Message(text, number))
            quick.offer(Message(text, number))
            assert (await quick.take()).entry == number
            assert slow.too_slow.is_set() == (number >= 5)
        assert not quick.too_slow.is_set()
        assert not slow._waiting

    play(scene())
