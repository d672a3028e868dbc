"""Faults of those who report, of the network to them, and of the web workers."""

import contextlib
import random
import signal
import socket
import time

from tests.faults.installation import Verdict, judge, send_signal, serving, traffic
from tests.faults.run import Place, fault

# More than the threads of both processes, for each of two doors; and so many whose headers come byte by byte.
HALF_SENT, SLOW_HEADERS = 150, 40


@fault()
def kill_workers(place: Place) -> Verdict:
    """`kill -9` of web workers, which the server replaces, and of the whole server, which is started again."""
    url, tokens = place.postgresql()
    chance, workers, servers = random.Random(3), 0, 0
    with serving(url) as server:
        with traffic(server, tokens).flowing() as senders:
            end = time.monotonic() + place.seconds
            while time.monotonic() < end or not servers:
                # Each of the first workers dies, and none of their successors: one that dies at once waits for longer.
                first = set(server.workers)
                for _ in range(2):
                    alive = [worker for worker in server.workers if worker in first]
                    if alive:
                        send_signal([chance.choice(alive)], signal.SIGKILL)
                        workers += 1
                    senders.wait_for(20)
                server.kill()
                server.start()
                servers += 1
                senders.wait_for(20)
        notes = [f"{workers} workers and {servers} whole servers killed"]
        return judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)


@fault()
def cut_answer(place: Place) -> Verdict:
    """The sender's connection is cut before it has read the answer, half of the time; it sends the same again."""
    url, tokens = place.postgresql()
    with serving(url) as server:
        with traffic(server, tokens, cut=0.5).flowing() as senders:
            senders.last(place.seconds)
        notes = [f"{senders.cuts} answers not read"]
        return judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)


@fault()
def half_sent(place: Place) -> Verdict:
    """Hundreds of requests whose body stops half-way, and 40 whose headers come byte by byte; the others must go on."""
    url, tokens = place.postgresql()
    lines = f"Host: 127.0.0.1\r\nAuthorization: Token {tokens.writer}\r\n"
    paths = ["/process-events/"] * HALF_SENT + ["/api/webhooks/sip/"] * HALF_SENT
    with serving(url) as server, contextlib.ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))

        for path in paths:
            begun = f'{lines}Content-Type: application/json\r\nContent-Length: 400\r\n\r\n{{"event_id":'
            connect().sendall(f"POST {path} HTTP/1.1\r\n{begun}".encode())
        slow = [connect() for _ in range(SLOW_HEADERS)]
        bytes_of_slow = iter(f"POST /process-events/ HTTP/1.1\r\n{lines * 1000}")
        with traffic(server, tokens).flowing() as senders:
            end = time.monotonic() + place.seconds
            while time.monotonic() < end:
                byte = next(bytes_of_slow).encode()
                for loris in slow:
                    with contextlib.suppress(OSError):  # the server may have had enough of it
                        loris.sendall(byte)
                senders.wait_for(10)
        notes = [f"all of them while {len(paths)} bodies and {len(slow)} headers were half sent"]
        stack.close()
        return judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)
