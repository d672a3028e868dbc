"""A TCP proxy between the service and its database, which can swallow what passes, and cut connections."""

import contextlib
import ctypes
import selectors
import socket
import struct
import threading
from typing import Self

# A program of Linux's socket filters (BPF) that keeps 0 bytes of every segment: "ret #0".
_NOTHING = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
_SO_ATTACH_FILTER = 26


class Proxy:
    """Passes bytes between its own port and another one, as long as it is not told otherwise."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.swallow_requests = self.swallow_answers = False
        self.swallowed = 0
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._inside: set[socket.socket] = set()  # the ends towards the database
        self._deaf: list[socket.socket] = []  # kept open: closing one would tell the other side
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._lock, self._open = threading.Lock(), True
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop, and close everything."""
        self._open = False
        self._thread.join()
        self.cut()
        for end in self._deaf:
            end.close()
        self._listener.close()

    def cut(self) -> None:
        """Cut all connections (RST on both sides)."""
        with self._lock:
            for end in list(self._pairs):
                self._drop(end)

    def deafen(self) -> None:
        """Let no segment of these connections arrive any more, nor be acknowledged: a cable that is cut for good."""
        with self._lock:
            for end in list(self._pairs):
                end.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _filter())
                self._selector.unregister(end)
                self._deaf.append(end)
            self._pairs.clear()
            self._inside.clear()

    def _drop(self, end: socket.socket) -> None:
        other = self._pairs.pop(end, None)
        self._inside.discard(end)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(end)
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.close()
        if other is not None and other in self._pairs:
            self._drop(other)

    def _work(self) -> None:
        while self._open:
            for key, _ in self._selector.select(0.05):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._pairs:
                        self._pass(key.fileobj)

    def _accept(self) -> None:
        outside, _ = self._listener.accept()
        try:
            inside = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            outside.close()
            return
        self._pairs[outside], self._pairs[inside] = inside, outside
        self._inside.add(inside)
        for end in (outside, inside):
            self._selector.register(end, selectors.EVENT_READ)

    def _pass(self, end: socket.socket) -> None:
        try:
            data = end.recv(65536)
            if not data:
                self._drop(end)
            elif self.swallow_answers if end in self._inside else self.swallow_requests:
                self.swallowed += len(data)
            else:
                self._pairs[end].sendall(data)
        except OSError:
            self._drop(end)


def _filter() -> bytes:
    return struct.pack("HL", 1, ctypes.addressof(_NOTHING))
