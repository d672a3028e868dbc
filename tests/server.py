"""The production server, started for a test on the test's own database."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from django.conf import settings
from django.db import connection

ROOT = Path(__file__).parents[1]
# How long a server may take to answer for the first time, in seconds.
START_SECONDS = 60


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], Any], *, seconds: float = 60) -> None:
    """Wait for something that must become true."""
    wait = threading.Event()
    for _ in range(round(seconds * 100)):
        if true():
            return
        wait.wait(0.01)
    raise AssertionError


def database_url() -> str:
    """Return the address of the database that the tests run on."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{Path(database['NAME']).absolute().as_posix()}"
    who = f"{database['USER']}:{database['PASSWORD']}" if database["PASSWORD"] else database["USER"]
    return f"postgresql://{who}@{database['HOST']}:{database['PORT']}/{database['NAME']}"


def knobs_for(url: str) -> dict[str, str]:
    """Return the environment of a small installation on a database."""
    knobs = {
        "PYTHON_DOTENV_DISABLED": "true",
        "DJANGO_SETTINGS_MODULE": "phonegoggles.settings",
        "SECRET_KEY": settings.SECRET_KEY,  # so that sessions which a test makes are good here too
        "ALLOWED_HOSTS": "127.0.0.1",
        "HTTPS": "false",
        "DATABASE_URL": url,
        "DATABASE_POOL": "8",
    }
    # The browser tests of this process need this setting; a real installation refuses to start with it.
    inherited = {name: value for name, value in os.environ.items() if name != "DJANGO_ALLOW_ASYNC_UNSAFE"}
    return {**inherited, **knobs}


@contextmanager
def production_server(
    *, workers: int = 2, port: int | None = None, kill: bool = False, **environment: str
) -> Iterator[str]:
    """Start the server of requests, yield its address, and stop it: politely, or as a crash would (`kill`)."""
    environment = {"SERVE_THREADS": "8", **environment}
    command = ["manage.py", "serve_requests", "--port", "PORT"]
    if workers > 1:
        command[1:2] = ["serve", "--no-sockets", "--workers", str(workers), "--threads", environment["SERVE_THREADS"]]
    with _server(command, environment, port=port, kill=kill) as (address, _):
        yield address


@contextmanager
def socket_server(**environment: str) -> "Iterator[tuple[str, subprocess.Popen[bytes]]]":
    """Start the server of sockets, yield its address and its process, and stop it."""
    with _server(["manage.py", "serve_asgi", "--port", "PORT"], environment) as (address, server):
        yield address, server


@contextmanager
def both_servers(*more: str, **environment: str) -> "Iterator[tuple[str, str, subprocess.Popen[bytes]]]":
    """Start `manage.py serve`, yield where requests and sockets go and the process, and stop it."""
    sockets = free_port()
    command = ["manage.py", "serve", "--port", "PORT", "--sockets-port", str(sockets), *more]
    with _server(command, environment) as (address, server):
        if "--no-sockets" not in more:
            _wait_until_it_answers(f"http://127.0.0.1:{sockets}", server)
        yield address, f"http://127.0.0.1:{sockets}", server


@contextmanager
def _server(
    command: list[str], environment: dict[str, str], *, port: int | None = None, kill: bool = False
) -> "Iterator[tuple[str, subprocess.Popen[bytes]]]":
    """Run a server on the test's own database; PORT in its command is a free one."""
    port = port or free_port()
    server = subprocess.Popen(
        [sys.executable, *(str(port) if word == "PORT" else word for word in command)],
        cwd=ROOT,
        env={**knobs_for(database_url()), **environment},
        stdout=subprocess.DEVNULL,
        start_new_session=kill,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_it_answers(address, server)
        yield address, server
    finally:
        if kill:
            kill_all(server.pid)
        else:
            server.terminate()
        server.wait(30)


def kill_all(pid: int) -> None:
    """End a process, and then those whom it has started, without letting any of them tidy up."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [list(map(int, line.split())) for line in listed.splitlines()]
    for each in [pid, *(child for child, parent in pairs if parent == pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def _wait_until_it_answers(address: str, server: "subprocess.Popen[bytes]") -> None:
    """Ask until there is an answer; each refused connection is followed by a short wait on the process.

    One that is not refused may wait: `serve` listens before its children are there.
    """
    for _ in range(START_SECONDS * 10):
        try:
            urlopen(f"{address}/livez", timeout=START_SECONDS).close()  # noqa: S310 - our own server
        except (URLError, ConnectionError):
            try:
                server.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"the server stopped with {server.returncode}") from None
        else:
            return
    raise RuntimeError("the server did not answer")
