"""Serve in production: requests, and sockets beside them."""

import ipaddress
import os
import shutil
import socket
import sys
import tempfile
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS, connections
from prometheus_client.multiprocess import mark_process_dead

from calls.management.crowd import make_counts
from calls.management.server import BACKLOG
from calls.management.supervisor import SURROUNDINGS, Among, Child, Supervisor
from calls.queries.readiness import readiness

# Requests that Django answers at once, in each process; single events by the shortcut need no thread.
THREADS = 64
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - only to make a folder of our own in it


class Command(BaseCommand):
    """`manage.py serve`: servers of requests, the server of sockets, and a supervisor that keeps them up."""

    help = "Serve requests (one process a core) and live changes (one process for sockets), until told to stop."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say where to listen, and with how many."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=port, default=8000, help="port for requests (default: %(default)s)")
        parser.add_argument("--sockets-port", type=port, default=8001, help="port for sockets (default: %(default)s)")
        parser.add_argument("--no-sockets", action="store_true", help="serve no sockets")
        parser.add_argument(
            "--workers", type=some, help="processes for requests (default: one a core; on SQLite one)", metavar="N"
        )
        parser.add_argument(
            "--threads", type=some, default=THREADS, metavar="N", help="requests at once in each (default: %(default)s)"
        )
        parser.add_argument(
            "--grace", type=some, default=30, metavar="SECONDS", help="for finishing, at a stop (default: %(default)s)"
        )
        parser.add_argument(
            "--pin",
            action=BooleanOptionalAction,
            default=True,
            help="keep each process for requests on a processor, if all processors get as many (default: yes)",
        )
        parser.add_argument("--trust-proxy", metavar="ADDRESSES", help="see serve_asgi")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check, serve, and stop without losing anything."""
        if os.name != "posix":  # there are no sockets that several processes share
            raise CommandError("This needs a POSIX system: start `serve_requests` and `serve_asgi` by hand.")
        # What it has to say goes to stderr; an error ends it before anything listens.
        call_command("check", deploy=True, fail_level="ERROR", stdout=self.stderr)
        if readiness().get("migrations") is False:  # of a database that is away nothing is known: it may come
            raise CommandError("The database lacks migrations of this version: run `manage.py migrate` first.")
        if not settings.DEBUG and not Path(settings.STATIC_ROOT).is_dir():
            self.stderr.write("There are no static files, which the admin needs: run `manage.py collectstatic`.")
        ports = [options["port"]] + ([] if options["no_sockets"] else [options["sockets_port"]])
        if len(set(ports)) < len(ports):
            raise CommandError("Requests and sockets need a port each: choose another --sockets-port.")
        workers = options["workers"] or default_workers()
        listener = listen(options["host"], options["port"])
        for number in ports[1:]:
            listen(options["host"], number).close()
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        counts = Path(folder or tempfile.mkdtemp(prefix="phonegoggles-", dir=memory()))
        empty(counts)
        try:
            supervisor = Supervisor(
                children(options, workers, listener, make_counts(2 * workers, memory())),
                environment(counts, options["threads"]),
                grace=options["grace"],
                buried=lambda pid: mark_process_dead(pid, str(counts)),  # type: ignore[no-untyped-call]
            )
            self.stderr.write(
                f"Serving requests on {options['host']} port {options['port']} with {workers} x {options['threads']}"
                + ("" if options["no_sockets"] else f", sockets on port {options['sockets_port']}")
            )
            supervisor.run()
        finally:
            listener.close()
            if not folder:
                shutil.rmtree(counts, ignore_errors=True)


def children(options: dict[str, Any], workers: int, listener: socket.socket, counts: IO[bytes]) -> list[Child]:
    """Return the servers that are to run."""
    own = [sys.executable, os.path.abspath(sys.argv[0])]
    requests = [*own, "serve_requests", "--grace", str(options["grace"])]
    found = [
        Child(
            "server of requests",
            requests + (["--processor", str(processor)] if processor is not None else []),
            among=Among(listener, counts, place, place + workers),
        )
        for place, processor in enumerate(processors(workers) if options["pin"] else [None] * workers)
    ]
    if not options["no_sockets"]:
        command = [*own, "serve_asgi", "--host", options["host"]]
        command += ["--port", str(options["sockets_port"])]
        if options["trust_proxy"]:
            command += ["--trust-proxy", options["trust_proxy"]]
        found.append(Child("server of sockets", command))
    return found


def environment(counts: Path, threads: int) -> dict[str, str]:
    """Return the surroundings of the children: ours, where they count and find the project, their threads and heaps."""
    path = os.pathsep.join(filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH")]))
    more = {"PROMETHEUS_MULTIPROC_DIR": str(counts), "PYTHONPATH": path, "SERVE_THREADS": str(threads)}
    return {**SURROUNDINGS, **os.environ, **more}


def processors(workers: int) -> Sequence[int | None]:
    """Return the processor for each process, or None: unevenly used, one would wait while another one idles.

    A process that runs one thread at a time gains nothing by moving to and fro between them, which its threads
    make it do when they hand the interpreter's lock on.
    """
    if not hasattr(os, "sched_setaffinity"):
        return [None] * workers
    ours = sorted(os.sched_getaffinity(0))
    return ours * (workers // len(ours)) if workers % len(ours) == 0 else [None] * workers


def default_workers() -> int:
    """Return how many processes serve requests: as many as there are cores for us; SQLite has one writer at a time."""
    if connections[DEFAULT_DB_ALIAS].vendor == "sqlite":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> str | None:
    """Return a folder in memory, if there is one: a full disk must not stop the counting, nor what is counted."""
    return str(SHARED_MEMORY) if SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK) else None


def empty(counts: Path) -> None:
    """Remove what an earlier run has counted, as the client library asks for."""
    counts.mkdir(parents=True, exist_ok=True)
    for file in counts.glob("*.db"):
        file.unlink(missing_ok=True)


def listen(host: str, number: int) -> socket.socket:
    """Listen on a port; raise CommandError if nobody can: two servers sharing one would both get requests."""
    try:
        is_six = ipaddress.ip_address(host).version == 6
    except ValueError:
        raise CommandError(f"--host must be an IP address, not {host!r}.") from None
    listener = socket.socket(socket.AF_INET6 if is_six else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, number))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CommandError(f"Cannot listen on {host} port {number}: {error.strerror}.") from error
    return listener


def port(text: str) -> int:
    """Return a TCP port given on the command line."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ValueError(text)
    return int(text)


def some(text: str) -> int:
    """Return a number of one or more given on the command line."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 10_000):
        raise ValueError(text)
    return int(text)
