"""Serve sockets, and requests beside them."""

import socket
import sys
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand

from calls.management.server import Server

try:
    import resource
except ImportError:  # Windows has no such bound
    resource = None  # type: ignore[assignment]

# A listener that acknowledges nothing for so long is dropped by the system itself, in milliseconds.
DEAF_MILLISECONDS = 60_000


class Command(BaseCommand):
    """`manage.py serve_asgi`: the WebSocket of live changes, and every other address too, from one process.

    In production, requests have processes of their own; this one then only gets `/ws/` from the
    proxy (docs/running.md).
    """

    help = "Serve the WebSocket of live changes, and every other address beside it, from one process (uvicorn)."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say where to listen."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8001, help="port to listen on (default: %(default)s)")
        parser.add_argument("--uds", help="path of a Unix domain socket to listen on, instead of an address")
        parser.add_argument("--trust-proxy", metavar="ADDRESSES", help="proxies whose X-Forwarded-* headers count")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until told to stop."""
        raise_limit_of_files()
        config = uvicorn.Config(
            settings.ASGI_APPLICATION.replace(".application", ":application"),
            host=options["host"],
            port=options["port"],
            uds=options["uds"],
            lifespan="off",
            log_config=None,
            log_level="warning",  # its lines of information carry whole addresses, with numbers and cursors in them
            access_log=False,
            server_header=False,
            proxy_headers=bool(options["trust_proxy"]),
            forwarded_allow_ips=options["trust_proxy"],
            ws="websockets-sansio",
            ws_max_size=4_096,  # nothing is expected
            ws_ping_interval=20,
            ws_ping_timeout=20,
            ws_per_message_deflate=False,  # it would cost more for each of many listeners than all the rest
            timeout_graceful_shutdown=5,
        )
        listener = config.bind_socket()
        if hasattr(socket, "TCP_USER_TIMEOUT") and not options["uds"]:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAF_MILLISECONDS)
        server = Server(config)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
        if not server.started:
            sys.exit(3)


def raise_limit_of_files() -> None:
    """Let this process have as many sockets open as the system allows it, not only the usual 1,024."""
    if resource is not None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard == resource.RLIM_INFINITY or hard > soft:
            wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
