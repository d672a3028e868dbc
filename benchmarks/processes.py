"""Servers that are no part of the laboratory's own: each runs until the end of a block."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.cluster import free_port

START_SECONDS, STOP_SECONDS = 60, 30


@contextmanager
def serving(
    words: Sequence[str], *, folder: Path, environ: Mapping[str, str], port: int | None = None
) -> "Iterator[tuple[int, subprocess.Popen[bytes]]]":
    """Run a server, PORT in its words being its port (default: a free one), once it takes connections."""
    port = port or free_port()
    command = [str(port) if word == "PORT" else word for word in words]
    process = subprocess.Popen(command, cwd=folder, env=dict(environ), stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield port, process
    finally:
        if process.poll() is None:
            if hasattr(signal, "SIGCONT"):
                process.send_signal(signal.SIGCONT)  # a frozen one would not hear that it is to end
            process.terminate()
        process.wait(STOP_SECONDS)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} stopped with {process.returncode}")
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} does not answer")
