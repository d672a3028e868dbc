"""SIP peers that do what a test says: for what no real server can be made to do."""

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.sip.certificates import Certificate


@dataclass
class Asked:
    """One request as it came in, and how many came before it."""

    text: str
    count: int

    def header(self, name: str) -> str:
        """Return the value of a header, empty if it is not there."""
        found = re.search(rf"^{name}: (.*)\r$", self.text, re.MULTILINE)
        return found[1] if found else ""


# What a peer says to a request: pieces of bytes, each in a datagram of its own or sent one after the other.
Script = Callable[[Asked], list[bytes]]


@dataclass
class Peer:
    """A scripted peer: where it is, and what it was asked."""

    port: int
    asked: list[Asked] = field(default_factory=list)


def answer(asked: Asked, status: str, *more: str, body: str = "", **other: str) -> bytes:
    """Return the answer to a request; `via="…"` and the like replace what it says of the request."""
    lines = [f"SIP/2.0 {status}"]
    for name in ("Via", "From", "To", "Call-ID", "CSeq"):
        lines.append(f"{name}: {other.get(name.lower().replace('-', '_'), asked.header(name))}")
    lines += [*more, f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@contextlib.contextmanager
def udp_peer(script: Script) -> Iterator[Peer]:
    """Answer each datagram by the script."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        peer = Peer(opened.getsockname()[1])

        def serve() -> None:
            while True:
                data, sender = opened.recvfrom(65536)
                if data == b"stop":
                    return
                asked = Asked(data.decode(), len(peer.asked))
                peer.asked.append(asked)
                for piece in script(asked):
                    opened.sendto(piece, sender)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield peer
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stop:
                stop.sendto(b"stop", ("127.0.0.1", peer.port))
            thread.join()


@contextlib.contextmanager
def stream_peer(script: Script, *, certificate: Certificate | None = None, hang_up: bool = False) -> Iterator[Peer]:
    """Answer each request of one connection by the script; hang up after the first, or when the other side does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = Peer(listener.getsockname()[1])

        def serve() -> None:
            plain, _ = listener.accept()
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                stack.enter_context(plain)
                opened: socket.socket = plain
                # Small pieces go out at once, not put together.
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if certificate:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(certificate.certificate, certificate.key)
                    opened = stack.enter_context(context.wrap_socket(plain, server_side=True))
                waiting = b""
                while piece := opened.recv(65536):
                    waiting += piece
                    while b"\r\n\r\n" in waiting:
                        head, _, waiting = waiting.partition(b"\r\n\r\n")
                        asked = Asked(head.decode() + "\r\n\r\n", len(peer.asked))
                        peer.asked.append(asked)
                        for part in script(asked):
                            opened.sendall(part)
                        if hang_up:
                            return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield peer
        finally:
            with contextlib.suppress(OSError):  # a connection that never came
                socket.create_connection(("127.0.0.1", peer.port), timeout=1).close()
            thread.join()
