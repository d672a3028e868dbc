"""Serve requests from one process."""

import os
import socket
import sys
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string

from calls.management.commands.serve_asgi import raise_limit_of_files
from calls.management.crowd import Crowd


class Command(BaseCommand):
    """`manage.py serve_requests`: every address but that of live changes, from one process (docs/running.md)."""

    help = "Serve requests from one process; `serve` starts several of them, and the server of sockets."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say where to listen."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
        parser.add_argument(
            "--grace", type=int, default=30, metavar="SECONDS", help="for finishing, at a stop (default: %(default)s)"
        )
        parser.add_argument("--processor", type=int, metavar="N", help="run on this processor only (Linux)")
        parser.add_argument(
            "--among",
            type=int,
            nargs=4,
            metavar=("LISTENER", "STARTER", "COUNTS", "PLACE"),
            help="what `serve` shares with its processes: files, and the place among them",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until told to stop."""
        raise_limit_of_files()
        if options["processor"] is not None:
            os.sched_setaffinity(0, {options["processor"]})
        server = import_string("phonegoggles.serving.RequestServer")(
            import_string("phonegoggles.wsgi.application"),
            threads=settings.SERVE_THREADS,
            shortcut=settings.INGEST_SHORTCUT,
            grace=options["grace"],
            host=options["host"],
            port=options["port"],
        )
        with suppress(KeyboardInterrupt):
            if options["among"]:
                listener, starter, counts, place = options["among"]
                server.run_among_others(
                    socket.socket(fileno=listener), socket.socket(fileno=starter), Crowd(counts, place)
                )
            else:
                server.run()
        if not server.started:
            sys.exit(3)
