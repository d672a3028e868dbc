"""Faults of those who report, of the network to them, and of the web workers."""

import random
import signal
import socket
import time

from tests.faults.installation import Verdict, judge, send_signal, serving, traffic
from tests.faults.run import Place, fault

HALF_SENT = 40


@fault()
def kill_workers(place: Place) -> Verdict:
    """`kill -9` of web workers, which the server replaces, and of the whole server, which is started again."""
    url, tokens = place.postgresql()
    chance, workers, servers = random.Random(3), 0, 0
    with serving(url) as server:
        with traffic(server, tokens).flowing() as senders:
            end = time.monotonic() + place.seconds
            while time.monotonic() < end or not servers:
                # Granian gives up when a worker dies within 5.5 s of its start; that is what `manage.py serve` is
                # for, which starts it again. So here each of the first workers dies, and none of their successors.
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
    """40 requests whose body stops half-way, and 40 whose headers come byte by byte; the others must go on."""
    url, tokens = place.postgresql()
    head = f"POST /process-events/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Token {tokens.writer}\r\n"
    with serving(url) as server:
        held = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(2 * HALF_SENT)]
        try:
            begun = f'{head}Content-Type: application/json\r\nContent-Length: 400\r\n\r\n{{"event_id":'
            for half in held[:HALF_SENT]:
                half.sendall(begun.encode())
            slow = iter(head * 1000)
            with traffic(server, tokens).flowing() as senders:
                end = time.monotonic() + place.seconds
                while time.monotonic() < end:
                    byte = next(slow).encode()
                    for loris in held[HALF_SENT:]:
                        try:
                            loris.sendall(byte)
                        except OSError:
                            continue  # the server has had enough of it, as it may
                    senders.wait_for(10)
            during = len(senders.ledger.acked)
        finally:
            for each in held:
                each.close()
        notes = [f"all of them while {2 * HALF_SENT} requests were half sent ({during:,} events)"]
        return judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)
