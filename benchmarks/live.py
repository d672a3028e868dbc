"""Live changes: `python -m benchmarks.live` (also a part of `python3 dev.py bench`).

1. Two socket processes on PostgreSQL with 500 sockets: does each of 1,000 changes reach all of
   them once, and how long after it was reported?
2. Ingest with nobody listening, with 500 sockets that follow one number each, with the socket
   processes frozen (SIGSTOP), and killed: interleaved rounds, and ratios to the first.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.cluster import cluster, free_port

ROOT = Path(__file__).parents[1]
WORDS = ("INITIATE", "ANSWER", "DISCONNECT")
START_SECONDS, PATIENCE_SECONDS = 60, 120


class Told(msgspec.Struct):
    """The part of an event that is counted."""

    event_id: str


class Message(msgspec.Struct):
    """The part of a message that is counted."""

    type: str
    event: Told | None = None


class Lab:
    """A database, and what is started on it."""

    def __init__(self, url: str) -> None:
        self.environ = {
            **os.environ,
            "PYTHON_DOTENV_DISABLED": "true",
            "DJANGO_SETTINGS_MODULE": "phonegoggles.settings",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "ALLOWED_HOSTS": "127.0.0.1",
            "HTTPS": "false",
            "DATABASE_URL": url,
            "LOG_LEVEL": "ERROR",
        }
        self.manage("migrate", "--noinput")
        self.writer = self.manage("create_token", "pbx", "--create", "--group", "Telephony systems").split()[-1]
        self.reader = self.manage("create_token", "ana", "--create", "--group", "Analysts").split()[-1]

    def manage(self, *words: str) -> str:
        """Run a command of manage.py and return what it printed."""
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(command, cwd=ROOT, env=self.environ, check=True, stdout=subprocess.PIPE, text=True).stdout

    @contextmanager
    def serve(self, *words: str) -> "Iterator[tuple[int, subprocess.Popen[bytes]]]":
        """Run a server, PORT in its words being a free one, until the end of the block."""
        port = free_port()
        command = [sys.executable, *(str(port) if word == "PORT" else word for word in words)]
        server = subprocess.Popen(command, cwd=ROOT, env=self.environ, stdout=subprocess.DEVNULL)
        try:
            until = time.monotonic() + START_SECONDS
            while True:
                try:
                    urlopen(f"http://127.0.0.1:{port}/livez", timeout=5).close()
                    break
                except OSError:
                    if server.poll() is not None or time.monotonic() > until:
                        raise RuntimeError("the server does not answer") from None
                    time.sleep(0.1)
            yield port, server
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGCONT)
                server.terminate()
            server.wait(30)

    def requests(self) -> Any:
        """Run the server of requests, as in production."""
        words = "-m granian --interface rsgi --workers 2 --no-access-log --log-level error"
        return self.serve(*words.split(), "--port", "PORT", "phonegoggles.rsgi:application")

    def sockets(self) -> Any:
        """Run a server of sockets."""
        return self.serve("manage.py", "serve_asgi", "--port", "PORT")


def body_of(call: str, step: int, number: str) -> bytes:
    """Return one report; an event's id says its call and its step."""
    report = {
        "event_id": f"{call}:{step}",
        "call_id": call,
        "event": WORDS[step],
        "calling_number": number,
        "called_number": "+49301234567",
        "created_at": f"2026-04-01T12:00:{step * 5:02}Z",
    }
    return json.dumps(report).encode()


class Reporter:
    """One connection over which events are reported, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        self._reader, self._writer = reader, writer
        self._head = f"POST /process-events/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Token {key}\r\n".encode()

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


async def reporter(port: int, key: str) -> Reporter:
    """Return a new connection to the server of requests."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    return Reporter(reader, writer, key)


async def open_sockets(lab: Lab, ports: list[int], count: int, queries: list[str]) -> list[ClientConnection]:
    """Open sockets at all servers in turn, and hear their greetings."""
    turns = asyncio.Semaphore(20)

    async def one(number: int) -> ClientConnection:
        async with turns:
            socket = await connect(
                f"ws://127.0.0.1:{ports[number % len(ports)]}/ws/calls/{queries[number % len(queries)]}",
                additional_headers={"Authorization": f"Token {lab.reader}"},
                compression=None,
                max_queue=None,
                ping_interval=None,
                open_timeout=60,
                proxy=None,
            )
            json.loads(await socket.recv())
            return socket

    return await asyncio.gather(*(one(number) for number in range(count)))


# -- 1. Does everything arrive, and when --------------------------------------------------------


async def arrivals(lab: Lab, requests: int, ports: list[int], options: argparse.Namespace) -> bool:
    """Report changes and listen on all sockets; print what arrived, and say whether it was right."""
    sockets = await open_sockets(lab, ports, options.sockets, [""])
    begun: dict[str, float] = {}
    delays: list[float] = []
    wrong: Counter[str] = Counter()

    async def listen(socket: ClientConnection) -> None:
        heard: dict[str, int] = {}
        while len(heard) < options.changes:
            try:
                text = await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS)
            except (TimeoutError, OSError):
                break
            message = msgspec.json.decode(text, type=Message)
            if message.event is None:
                continue
            name = message.event.event_id
            call, _, step = name.rpartition(":")
            if name in heard:
                wrong["repeated"] += 1
            elif int(step) and f"{call}:{int(step) - 1}" not in heard:
                wrong["out of order"] += 1
            heard[name] = 1
            delays.append(time.perf_counter() - begun[name])
        wrong["lost"] += options.changes - len(heard)

    listening = [asyncio.create_task(listen(socket)) for socket in sockets]
    pipe = await reporter(requests, lab.writer)
    start = time.perf_counter()
    for number in range(options.changes):
        await asyncio.sleep(max(0.0, start + number / options.rate - time.perf_counter()))
        body = body_of(f"arrival-{number // 3}", number % 3, "+12025550101")
        begun[f"arrival-{number // 3}:{number % 3}"] = time.perf_counter()
        await pipe.report(body)
    seconds = time.perf_counter() - start
    await asyncio.gather(*listening)
    pipe.close()
    await asyncio.gather(*(socket.close() for socket in sockets))
    delays.sort()
    expected = options.changes * options.sockets
    print(f"{options.changes:,} changes in {seconds:.1f} s, {options.sockets} sockets in {len(ports)} processes")
    print(f"  messages   {len(delays):,} of {expected:,}")
    print(f"  lost {wrong['lost']}, repeated {wrong['repeated']}, out of order {wrong['out of order']}")
    p50, p99 = (delays[int(len(delays) * part)] * 1000 for part in (0.5, 0.99))
    print(f"  from the report to the listener: p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {delays[-1] * 1000:.0f} ms")
    return not wrong.total() and len(delays) == expected


# -- 2. Does anybody's listening cost the ingest anything ----------------------------------------


async def ingest(lab: Lab, port: int, name: str, options: argparse.Namespace) -> float:
    """Report events over many connections for some seconds, and return how many a second were committed."""
    until = time.perf_counter() + options.seconds
    done = 0

    async def talk(number: int) -> None:
        nonlocal done
        pipe = await reporter(port, lab.writer)
        turn = 0
        while time.perf_counter() < until:
            call, step = divmod(turn, 3)
            await pipe.report(body_of(f"{name}-{number}-{call}", step, f"+1202555{call % 10_000:04}"))
            turn += 1
            done += 1
        pipe.close()

    began = time.perf_counter()
    await asyncio.gather(*(talk(number) for number in range(options.connections)))
    return done / (time.perf_counter() - began)


def hear_in_another_process(lab: Lab, ports: list[int], count: int) -> "subprocess.Popen[bytes]":
    """Open sockets, each for one number, in a process of their own, and return it once all are open."""
    command = [sys.executable, "-m", "benchmarks.live", "--listen", *map(str, ports), "--sockets", str(count)]
    child = subprocess.Popen(command, cwd=ROOT, env={**lab.environ, "READER": lab.reader}, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    return child


async def listen_forever(ports: list[int], count: int) -> None:
    """Hear, and throw away; each socket follows one number."""
    lab = Lab.__new__(Lab)
    lab.reader = os.environ["READER"]
    queries = [f"?number=%2B1202555{number:04}" for number in range(count)]
    sockets = await open_sockets(lab, ports, count, queries)
    print("open", flush=True)

    async def drain(socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for _ in socket:
                pass

    await asyncio.gather(*(drain(socket) for socket in sockets))


def cost(lab: Lab, requests: int, options: argparse.Namespace) -> None:
    """Measure ingest in each situation, in interleaved rounds, and print the ratios."""
    rates: dict[str, list[float]] = {"nobody listens": [], "500 listen": [], "frozen": [], "killed": []}
    names = iter(range(10_000))

    def measure(situation: str) -> None:
        rates[situation].append(asyncio.run(ingest(lab, requests, f"cost-{next(names)}", options)))

    measure("nobody listens")
    rates["nobody listens"].clear()  # that was to warm up
    for turn in range(options.rounds):
        print(f"  round {turn + 1} of {options.rounds}", file=sys.stderr)
        measure("nobody listens")
        with ExitStack() as stack:
            servers = [stack.enter_context(lab.sockets()) for _ in range(2)]
            ears = hear_in_another_process(lab, [port for port, _ in servers], options.sockets)
            measure("500 listen")
            for _, server in servers:
                server.send_signal(signal.SIGSTOP)
            measure("frozen")
            for _, server in servers:
                server.kill()
            measure("killed")
            ears.kill()
            ears.wait()
    base = statistics.median(rates["nobody listens"])
    print(f"Ingest over {options.connections} connections, each figure the median of {options.rounds} rounds")
    for situation, found in rates.items():
        rate = statistics.median(found)
        print(f"  {situation:16} {rate:8,.0f} events/s   ÷ nobody listening {rate / base:.2f}")


def main() -> int:
    """Run both measurements on a durable cluster of their own; fail if anything was lost or repeated."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--changes", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=20, help="changes a second (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement of ingest")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--listen", type=int, nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.listen:
        asyncio.run(listen_forever(options.listen, options.sockets))
        return 0
    with cluster() as url, ExitStack() as stack:
        lab = Lab(url)
        requests, _ = stack.enter_context(lab.requests())
        with lab.sockets() as (one, _), lab.sockets() as (two, _):
            right = asyncio.run(arrivals(lab, requests, [one, two], options))
        if options.rounds:
            cost(lab, requests, options)
    return 0 if right else 1


if __name__ == "__main__":
    raise SystemExit(main())
