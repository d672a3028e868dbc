"""The load generator: many connections, each sending its next request when the last one is answered.

A plain loop over sockets, in a process of its own; about 10 µs a request. It runs on the same
machine as what it measures, so its own time is reported too.
"""

import argparse
import json
import selectors
import socket
import sys
import time
import zlib
from collections import Counter
from datetime import UTC, datetime
from typing import Any

WORDS = ("INITIATE", "ANSWER", "DISCONNECT")


class Connection:
    """One connection with its own calls: each is initiated, answered and ended, one event after the other."""

    def __init__(self, address: tuple[str, int], key: str, name: str, options: argparse.Namespace) -> None:
        self.socket = socket.create_connection(address, timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.name, self.turn, self.sent, self.begun, self.pending = name, options.first, 0, 0.0, b""
        # Callers are spread over all numbers, so that whoever listens to some of them hears their share.
        self.offset = 0 if options.call else zlib.crc32(name.encode())
        self.kind = options.kind
        number = f"{int(name.rpartition('-')[2]):012}"
        self.paths = [path.replace("#", number) for path in options.paths or [options.path]]
        # Each connection begins somewhere else.
        self.place = zlib.crc32(name.encode())
        self.call = options.call
        self.size = options.size
        self.next: bytes | None = None
        self.head = (
            f"Host: {address[0]}:{address[1]}\r\nAuthorization: Token {key}\r\nContent-Type: application/json\r\n"
        )

    def body(self) -> bytes:
        """Return the next event, or the next batch."""
        if self.kind == "batch":
            body, self.next = self.next or self.batch(), None
            return body
        self.turn += 1
        return self.event()

    def batch(self) -> bytes:
        """Return the next batch, of whole calls; at a fraction of what as many single events would cost to make."""
        at = datetime.now(UTC).isoformat()
        events = []
        for turn in range(self.turn, self.turn + self.size):
            call, step = divmod(turn, 3)
            events.append(
                f'{{"event_id":"{self.name}-{turn}","call_id":"{self.name}-{call}","event":"{WORDS[step]}",'
                f'"calling_number":"+1202555{(self.offset + call * 7919) % 10_000:04}",'
                f'"called_number":"+4930{call % 100000:06}","created_at":"{at}"}}'
            )
        self.turn += self.size
        return f"[{','.join(events)}]".encode()

    def event(self) -> bytes:
        """Return an event."""
        call, step = divmod(self.turn, 3)
        if self.call:  # always the same, long call
            number = self.name.rpartition("-")[2]
            call_id, word, minute = f"{self.call}-{number}", "ANSWER", self.turn // 60
            call = 0  # its numbers stay as well
            at = f"2024-{1 + minute // 40320:02}-{1 + minute // 1440 % 28:02}"
            at += f"T{minute // 60 % 24:02}:{minute % 60:02}:{self.turn % 60:02}Z"
        else:
            call_id, word = f"{self.name}-{call}", WORDS[step]
            # Live events, as they come: of calls that ended long ago, statistics would have to take note too.
            at = datetime.now(UTC).isoformat()
        return (
            f'{{"event_id":"{self.name}-{self.turn}","call_id":"{call_id}","event":"{word}",'
            f'"calling_number":"+1202555{(self.offset + call * 7919) % 10_000:04}",'
            f'"called_number":"+4930{call % 100000:06}",'
            f'"created_at":"{at}"}}'
        ).encode()

    def send(self) -> None:
        """Send the next request."""
        if self.kind == "get":
            self.place += 1
            request = f"GET {self.paths[self.place % len(self.paths)]} HTTP/1.1\r\n{self.head}\r\n".encode()
        else:
            body = self.body()
            request = f"POST {self.paths[0]} HTTP/1.1\r\n{self.head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self.sent += 1
        self.begun = time.perf_counter()
        self.socket.sendall(request)
        if self.kind == "batch":
            self.next = self.batch()  # while the server is at work

    def receive(self) -> int | None:
        """Return the status of a complete answer, None of one that is not complete yet."""
        part = self.socket.recv(65536)
        if not part:
            return -1
        self.pending += part
        head, found, rest = self.pending.partition(b"\r\n\r\n")
        if not found:
            return None
        low = head.lower()
        at = low.find(b"content-length:")
        length = int(low[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) < length:
            return None
        self.pending = b""
        return int(head[9:12])


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Load the server for some seconds and return what was seen."""
    address = (options.host, options.port)
    chosen = selectors.DefaultSelector()
    for number in range(options.connections):
        connection = Connection(address, options.key, f"{options.name}-{number}", options)
        chosen.register(connection.socket, selectors.EVENT_READ, connection)
    waits: list[float] = []
    codes: Counter[int] = Counter()
    began = time.perf_counter()
    until = began + options.seconds
    for key in list(chosen.get_map().values()):
        key.data.send()
    own, most = time.process_time(), 0
    running = options.connections
    while running:
        for key, _ in chosen.select(30):
            connection = key.data
            code = connection.receive()
            if code is None:
                continue
            now = time.perf_counter()
            codes[code] += 1
            if code == 200:
                waits.append(now - connection.begun)
            if code == -1 or (now >= until and connection.sent >= options.least):
                chosen.unregister(connection.socket)
                connection.socket.close()
                running -= 1
                most = max(most, connection.sent)
            else:
                connection.send()
    seconds = time.perf_counter() - began
    waits.sort()
    return {
        "rate": len(waits) / seconds,
        "p50": waits[len(waits) // 2] * 1000 if waits else None,
        "p99": waits[int(len(waits) * 0.99)] * 1000 if waits else None,
        "count": len(waits),
        "most": most,
        "others": {str(code): count for code, count in codes.items() if code != 200},
        "cpu": (time.process_time() - own) / max(1, len(waits)) * 1e6,
    }


def main() -> None:
    """Read the command line, run, and print what was seen as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--path", default="/process-events/", help="a # in it becomes the connection's number")
    parser.add_argument("--paths", type=json.loads, help="several, in turns, as JSON")
    parser.add_argument("--kind", choices=("event", "batch", "get"), default="event")
    parser.add_argument("--key", default="")
    parser.add_argument("--name", required=True, help="makes the ids of this run its own")
    parser.add_argument("--call", default="", help="send further events of this one call of each connection")
    parser.add_argument("--first", type=int, default=0, help="the number of each connection's first event")
    parser.add_argument("--least", type=int, default=0, help="how many requests each connection sends at least")
    parser.add_argument("--size", type=int, default=1000, help="events in a batch")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3)
    json.dump(run(parser.parse_args()), sys.stdout)


if __name__ == "__main__":
    main()
