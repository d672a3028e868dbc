"""Real SIP and TURN servers and clients on the loopback. Each `find_…` returns None where one is absent.

Standard library only, because `dev.py` and `.ci/run` ask it what is missing.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

# How long a peer may take until it listens, in seconds.
START_SECONDS = 30
MODULES = ("/usr/lib/*/kamailio/modules", "/usr/lib64/kamailio/modules", "/usr/local/lib*/kamailio/modules")


def find_kamailio(*modules: str) -> str | None:
    """Return where Kamailio is, if it has these modules too, such as `tls`."""
    program = shutil.which("kamailio", path=_with_sbin())
    root = Path("/")
    folders = [folder for pattern in MODULES for folder in root.glob(pattern.lstrip("/"))]
    if program and any(all((folder / f"{module}.so").exists() for module in modules) for folder in folders):
        return program
    return None


def find_coturn() -> tuple[str, str] | None:
    """Return where coturn's server and its client are."""
    server, client = (shutil.which(name, path=_with_sbin()) for name in ("turnserver", "turnutils_uclient"))
    return (server, client) if server and client else None


def find_sipp() -> str | None:
    """Return where SIPp is, which plays telephones."""
    return shutil.which("sipp", path=_with_sbin())


def find_nginx() -> str | None:
    """Return where nginx is."""
    return shutil.which("nginx", path=_with_sbin())


def _with_sbin() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


@contextlib.contextmanager
def running(command: list[str], *, ready: Callable[[], bool]) -> Iterator[Path]:
    """Run a server until the end of the block, which begins when it is ready; gives the path of what it says."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            server = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            for _ in range(START_SECONDS * 20):
                if ready():
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.wait(0.05)
                    raise RuntimeError(f"{command[0]} ended: {log.read_text(errors='replace')[-3000:]}")
            else:
                raise RuntimeError(f"{command[0]} does not listen: {log.read_text(errors='replace')[-3000:]}")
            yield log
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@contextlib.contextmanager
def kamailio(program: str, configuration: str, *, port: int) -> Iterator[Path]:
    """Run Kamailio with this configuration, until the end of the block; it listens on TCP at this port."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kamailio.cfg"
        file.write_text(configuration, encoding="utf-8")
        command = [program, "-DD", "-E", "-m", "32", "-M", "4", "-Y", folder, "-f", str(file)]
        with running(command, ready=lambda: listens(port)) as log:
            yield log


def listens(port: int) -> bool:
    """Return whether somebody listens on this TCP port of the loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that are free for UDP and TCP, all different."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(found) < count:
            datagram = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            datagram.bind(("127.0.0.1", 0))
            port = datagram.getsockname()[1]
            stream = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                stream.bind(("127.0.0.1", port))
                found.append(port)
    return found


@contextlib.contextmanager
def coturn(program: str, *, secret: str) -> Iterator[int]:
    """Run coturn, which believes what is signed with this secret, until the end of the block; gives its port."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "-n", "--use-auth-secret", f"--static-auth-secret={secret}", "--realm=turn.test"]
        command += ["--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={port}", "--no-cli"]
        command += ["--no-tls", "--no-dtls", "--allow-loopback-peers", "--log-file=stdout"]
        command += [f"--pidfile={folder}/pid", f"--userdb={folder}/users"]
        with running(command, ready=lambda: listens(port)):
            yield port
