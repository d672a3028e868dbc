"""Listeners to live changes: socket servers, sockets in a process of their own, and a count of what arrives at them.

`python -m benchmarks.listeners PORT … --sockets N` opens the sockets, each for one number, says so, and hears.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.lab import ROOT, Lab
from benchmarks.processes import serving

WORDS = ("INITIATE", "ANSWER", "DISCONNECT")
PATIENCE_SECONDS = 120


class Told(msgspec.Struct):
    """The part of an event that is counted."""

    event_id: str


class Message(msgspec.Struct):
    """The part of a message that is counted."""

    type: str
    event: Told | None = None


def make_reader(lab: Lab) -> str:
    """Return the token of somebody who may listen."""
    words = ("create_token", "ana", "--create", "--replace", "--group", "Analysts")
    return lab.manage(*words).strip().splitlines()[-1].split()[-1]


@contextmanager
def socket_servers(lab: Lab, count: int = 1) -> "Iterator[dict[int, subprocess.Popen[bytes]]]":
    """Run servers of sockets (`manage.py serve` runs one); gives their processes by their ports."""
    words = [sys.executable, "manage.py", "serve_asgi", "--port", "PORT"]
    with ExitStack() as stack:
        yield dict(stack.enter_context(serving(words, folder=ROOT, environ=lab.environ)) for _ in range(count))


async def open_sockets(ports: list[int], reader: str, queries: list[str]) -> list[ClientConnection]:
    """Open a socket for each query, at all servers in turn, and hear their greetings."""
    turns = asyncio.Semaphore(20)

    async def one(number: int, query: str) -> ClientConnection:
        async with turns:
            socket = await connect(
                f"ws://127.0.0.1:{ports[number % len(ports)]}/ws/calls/{query}",
                additional_headers={"Authorization": f"Token {reader}"},
                compression=None,
                max_queue=None,
                ping_interval=None,
                open_timeout=60,
                proxy=None,
            )
            json.loads(await socket.recv())
            return socket

    return await asyncio.gather(*(one(number, query) for number, query in enumerate(queries)))


# -- Does everything arrive, and when ---------------------------------------------------------------


@dataclass
class Arrivals:
    """What was reported, what the sockets heard of it, and how long each message took, in seconds, in order."""

    changes: int
    sockets: int
    seconds: float = 0.0
    delays: list[float] = field(default_factory=list)
    lost: int = 0
    repeated: int = 0
    out_of_order: int = 0

    @property
    def wrong(self) -> int:
        """How many messages were lost, came twice or came before an earlier one of their call."""
        return self.lost + self.repeated + self.out_of_order

    def delay(self, part: float) -> float:
        """Return the delay that this part of the messages did not exceed, in milliseconds."""
        return self.delays[min(len(self.delays) - 1, int(len(self.delays) * part))] * 1000 if self.delays else 0.0


async def arrivals(
    requests: int, ports: list[int], *, writer: str, reader: str, sockets: int, changes: int, rate: float
) -> Arrivals:
    """Report changes, so many a second, while all sockets listen to everything; return what arrived."""
    found = Arrivals(changes, sockets)
    opened = await open_sockets(ports, reader, [""] * sockets)
    begun: dict[str, float] = {}

    async def listen(socket: ClientConnection) -> None:
        heard: Counter[str] = Counter()
        while len(heard) < changes:
            try:
                text = await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS)
            except (TimeoutError, OSError, ConnectionClosed):
                break
            message = msgspec.json.decode(text, type=Message)
            if message.event is None:
                continue
            name = message.event.event_id
            call, _, step = name.rpartition(":")
            if heard[name]:
                found.repeated += 1
            elif int(step) and not heard[f"{call}:{int(step) - 1}"]:
                found.out_of_order += 1
            heard[name] += 1
            found.delays.append(time.perf_counter() - begun[name])
        found.lost += changes - len(+heard)

    listening = [asyncio.create_task(listen(socket)) for socket in opened]
    pipe = await Reporter.connect(requests, writer)
    start = time.perf_counter()
    for number in range(changes):
        await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
        call, step = divmod(number, 3)
        begun[f"arrival-{call}:{step}"] = time.perf_counter()
        await pipe.report(_body(f"arrival-{call}", step))
    found.seconds = time.perf_counter() - start
    await asyncio.gather(*listening)
    pipe.close()
    await asyncio.gather(*(socket.close() for socket in opened))
    found.delays.sort()
    return found


def _body(call: str, step: int) -> bytes:
    """Return one report; an event's id says its call and its step."""
    report = {
        "event_id": f"{call}:{step}",
        "call_id": call,
        "event": WORDS[step],
        "calling_number": "+12025550101",
        "called_number": "+49301234567",
        "created_at": f"2026-04-01T12:00:{step * 5:02}Z",
    }
    return json.dumps(report).encode()


class Reporter:
    """One connection over which events are reported, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        self._reader, self._writer = reader, writer
        self._head = f"POST /process-events/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Token {key}\r\n".encode()

    @classmethod
    async def connect(cls, port: int, key: str) -> "Reporter":
        """Return a new connection to the server of requests."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        return cls(reader, writer, key)

    async def report(self, body: bytes) -> None:
        """Report an event and wait until it is committed."""
        head = self._head + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._writer.write(head + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer.decode())
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await self._reader.readexactly(length)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


# -- Listeners that cost something ------------------------------------------------------------------


@contextmanager
def ears(lab: Lab, ports: list[int], *, reader: str, sockets: int) -> "Iterator[subprocess.Popen[bytes]]":
    """Open sockets in a process of their own, each for one number of the load generator's callers; gives it."""
    words = [sys.executable, "-m", "benchmarks.listeners", *map(str, ports), "--sockets", str(sockets)]
    child = subprocess.Popen(words, cwd=ROOT, env={**lab.environ, "READER": reader}, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        if not child.stdout.readline():
            raise RuntimeError("the sockets could not be opened")
        yield child
    finally:
        child.kill()
        child.wait()


async def listen_for_ever(ports: list[int], reader: str, count: int) -> None:
    """Hear, and throw away; each socket follows one number."""
    opened = await open_sockets(ports, reader, [f"?number=%2B1202555{number:04}" for number in range(count)])
    print("open", flush=True)

    async def drain(socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for _ in socket:
                pass

    await asyncio.gather(*(drain(socket) for socket in opened))


def main() -> None:
    """Open the sockets and listen until killed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("ports", type=int, nargs="+")
    parser.add_argument("--sockets", type=int, default=500)
    options = parser.parse_args()
    asyncio.run(listen_for_ever(options.ports, os.environ["READER"], options.sockets))


if __name__ == "__main__":
    main()
