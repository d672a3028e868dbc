"""What a measurement needs: a database of its own, servers, the load, and the clock of each process.

The database is durable (fsync, synchronous_commit): a benchmark of another one would promise what
a real one does not hold.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psycopg

from benchmarks.peers import fill
from calls.management.supervisor import SURROUNDINGS
from tests.cluster import cluster, free_port

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
START_SECONDS = 60
# The database of which others are copies.
BLANK = "blank"
# As many threads as connections: a request that waits for its commit holds a thread.
WORKERS, THREADS = 2, 16


def cpu_seconds(pid: int) -> float:
    """Return what a process and its living children have used, in seconds of CPU; 0 where that cannot be told."""
    total = 0.0
    with suppress(OSError, ValueError):
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total = sum(map(int, values[11:15])) / TICKS  # its own, and that of children that have ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                total += cpu_seconds(int(child))
    return total


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process's largest child, or its own; 0 where that cannot be told."""
    sizes = [0]
    with suppress(OSError, ValueError):
        sizes.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        sizes += [memory_bytes(int(child)) for child in children]
    return max(sizes)


@dataclass
class Lab:
    """A database, and whatever is started on it."""

    url: str
    seconds: float
    rounds: int
    batch: int = 1000
    long_call: int = 1000
    rows: int = 0
    many: int = 0
    sockets: int = 0
    environ: dict[str, str] = field(default_factory=dict)
    key: str = ""
    database_pid: int = 0
    _names: int = 0

    def name(self) -> str:
        """Return a name that no other run on this database has."""
        self._names += 1
        return f"{time.time_ns() // 10**6:x}-{self._names}"

    def prepare(self) -> None:
        """Make the tables, and a telephony system's token."""
        self.environ = {
            **os.environ,
            "PYTHONWARNINGS": "ignore",
            "PYTHON_DOTENV_DISABLED": "true",
            "DJANGO_SETTINGS_MODULE": "benchmarks.peers.settings",
            "SECRET_KEY": "benchmarks-only-" + "x" * 40,
            "ALLOWED_HOSTS": "127.0.0.1",
            "HTTPS": "false",
            "DEBUG": "false",
            "DATABASE_URL": self.url,
            "LOG_LEVEL": "ERROR",
        }
        self.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)  # browser tests in the same run of pytest need it
        self.manage("migrate", "--noinput", "--run-syncdb")
        words = ("create_token", "pbx", "--create", "--replace", "--group", "Telephony systems")
        self.key = self.manage(*words).strip().splitlines()[-1].split()[-1]

    def another(self, name: str, *, keep: bool = False) -> "Lab":
        """Return another database of the same cluster, made anew unless it is kept from an earlier run."""
        base, _, _ = self.url.rpartition("/")
        with psycopg.connect(self.url, autocommit=True) as connection:
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if there and not keep:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            fresh = not (there and keep)
            if fresh:
                # A copy of one that is prepared, once there is one: that takes a moment, preparing takes ten.
                connection.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{BLANK}"' if self.key else ""))
        other = replace(self, url=f"{base}/{name}", environ={**self.environ, "DATABASE_URL": f"{base}/{name}"})
        if not (fresh and self.key):
            other.prepare()
        return other

    def filled(self, name: str, filling: fill.Filling, tell: Callable[[str], None]) -> "Lab":
        """Return a database with so many calls, filled unless an earlier run has left it here."""
        tell(f"{filling.calls:,} calls (filled once, and kept where BENCH_DATABASE_URL names the cluster)")
        with psycopg.connect(self.url) as connection:
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        whole = there is not None and fill.is_filled(f"{self.url.rpartition('/')[0]}/{name}", filling)
        other = self.another(name, keep=whole)
        if not whole:
            fill.fill(other.url, filling, tell)
        else:
            # A migration may have rewritten tables, of which PostgreSQL then does not know what is visible to all
            # until its own cleaning comes by, for which nobody waits here. Filling ends with the same.
            with psycopg.connect(other.url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
        return other

    def with_events(self, events: int, tell: Callable[[str], None]) -> "Lab":
        """Return a database with about so many events, in whole calls."""
        return self.filled(f"events_{events}", fill.Filling(events // fill.EVENTS_A_CALL), tell)

    def differing_calls(self) -> tuple[int, int]:
        """Return how many calls differ from what their events add up to, and how many there are."""
        words = [sys.executable, "-m", "benchmarks.check"]
        done = subprocess.run(words, cwd=ROOT, env=self.environ, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        return found["differing"], found["calls"]

    def manage(self, *words: str) -> str:
        """Run a command of manage.py and return what it printed."""
        command = [sys.executable, str(ROOT / "manage.py"), *words]
        done = subprocess.run(command, env=self.environ, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"manage.py {' '.join(words)}: {done.stderr}")
        return done.stdout

    @contextmanager
    def server(
        self, *, workers: int = WORKERS, threads: int = THREADS, wsgi: bool = False, **settings: str
    ) -> Iterator["Server"]:
        """Start the server as in production, or granian as a plain WSGI server, and stop it at the end."""
        port = free_port()
        if wsgi:
            words = f"-m granian --workers {workers} --port {port} --backpressure 256 --no-access-log --log-level error"
            words += f" --interface wsgi --blocking-threads {threads} phonegoggles.wsgi:application"
        else:
            words = f"manage.py serve --no-sockets --workers {workers} --threads {threads} --port {port}"
        process = subprocess.Popen(
            [sys.executable, *words.split()],
            cwd=ROOT,
            env={**SURROUNDINGS, **self.environ, **settings},
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait_for(port, process)
            yield Server(self, port, process.pid)
        finally:
            process.terminate()
            process.wait(30)


@dataclass
class Server:
    """A running server."""

    lab: Lab
    port: int
    pid: int

    def load(
        self, *, path: str = "/process-events/", seconds: float | None = None, strict: bool = True, **options: Any
    ) -> dict[str, Any]:
        """Load it, and return what was seen, with the microseconds of CPU that each answer took.

        Other answers than 200 are an error, unless they are what is measured (`strict`).
        """
        words = [sys.executable, "-m", "benchmarks.load", str(self.port), "--path", path, "--key", self.lab.key]
        words += ["--name", self.lab.name(), "--seconds", str(self.lab.seconds if seconds is None else seconds)]
        for name, value in options.items():
            words += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
        app, database = cpu_seconds(self.pid), cpu_seconds(self.lab.database_pid)
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        seen: dict[str, Any] = json.loads(done.stdout)
        if seen["others"] and strict:
            raise RuntimeError(f"{path} answered {seen['others']}")
        count = max(1, seen["count"])
        seen["app"] = (cpu_seconds(self.pid) - app) / count * 1e6
        seen["database"] = (cpu_seconds(self.lab.database_pid) - database) / count * 1e6
        return seen


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(START_SECONDS * 10):
        try:
            urlopen(f"http://127.0.0.1:{port}/livez", timeout=START_SECONDS).close()
        except (URLError, ConnectionError):
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"the server stopped with {process.returncode}") from None
        else:
            return
    raise RuntimeError("the server did not answer")


@contextmanager
def laboratory(**sizes: Any) -> Iterator[Lab]:
    """Start a durable cluster with a prepared database on it, and stop it at the end.

    With BENCH_DATABASE_URL an existing cluster is used instead, and what was filled there is kept.
    """
    with ExitStack() as stack:
        url = os.environ.get("BENCH_DATABASE_URL") or stack.enter_context(cluster())
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "SELECT current_setting('data_directory'), current_setting('fsync'),"
                " current_setting('synchronous_commit')"
            ).fetchone()
        assert row is not None
        folder, *durable = row
        if durable != ["on", "on"]:
            raise RuntimeError("fsync and synchronous_commit must be on: else the figures promise what is not held")
        pid = 0
        with suppress(OSError):
            pid = int((Path(folder) / "postmaster.pid").read_text().split()[0])
        yield Lab(url, database_pid=pid, **sizes).another(BLANK).another("bench")
