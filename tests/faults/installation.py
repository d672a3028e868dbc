"""A whole installation to break: a database of its own, tokens, and the production server."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tests.cluster import find_programs, free_port, server_account
from tests.faults.audit import FACTS
from tests.faults.traffic import Ledger, Traffic, check_histories

ROOT = Path(__file__).parents[2]
START_SECONDS = 90


def environment(url: str, **more: str) -> dict[str, str]:
    """Return the environment of an installation on a database; GROUP_COMMIT and the like come from outside."""
    # What pytest's settings, or the browser tests, have put there is not how the service runs.
    ours = {"DEBUG", "OWN_NUMBERS", "DATABASE_POOL", "TOKEN_CACHE_SECONDS", "DJANGO_ALLOW_ASYNC_UNSAFE"}
    passed = {name: value for name, value in os.environ.items() if name not in ours}
    knobs = {"PYTHON_DOTENV_DISABLED": "true", "DJANGO_SETTINGS_MODULE": "phonegoggles.settings"}
    knobs |= {"SECRET_KEY": "faults-only-" + "x" * 50, "ALLOWED_HOSTS": "127.0.0.1", "HTTPS": "false"}
    return {**passed, **knobs, "DATABASE_URL": url, "THROTTLE_FAILED_AUTH": "", **more}


def manage(url: str, *words: str, root: Path = ROOT, **more: str) -> str:
    """Run a management command and return what it printed."""
    command = [sys.executable, "manage.py", *words]
    ended = subprocess.run(command, cwd=root, env=environment(url, **more), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(words)}: {ended.stdout}{ended.stderr}")
    return ended.stdout.strip()


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


def send_signal(pids: Sequence[int], number: int) -> None:
    """Signal processes, of which some may have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@dataclass
class Tokens:
    """A key that may report, and one that may read."""

    writer: str
    reader: str


def prepare(url: str) -> Tokens:
    """Make the tables and the tokens."""
    manage(url, "migrate", "--noinput", "-v0")
    writer = manage(url, "create_token", "reporter", "--create", "--group", "Telephony systems")
    return Tokens(writer, manage(url, "create_token", "reader", "--create", "--group", "Analysts"))


class Server:
    """The server of requests, as docs/running.md says; it may be killed and started again on the same port."""

    def __init__(self, url: str, *, root: Path = ROOT, workers: int = 2, **more: str) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._root, self._environment, self._workers = root, environment(url, **more), workers
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait for its first answer."""
        self._process = subprocess.Popen(
            [sys.executable, *self._words()],
            cwd=self._root,
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._log.seek(0)
                raise RuntimeError(f"the server did not start: {self._log.read()[-2000:].decode(errors='replace')}")
            time.sleep(0.1)

    def _words(self) -> list[str]:
        if (self._root / "phonegoggles/serving.py").exists():
            words = f"manage.py serve --no-sockets --workers {self._workers} --port {self.port}"
            return words.split()
        # Code of earlier days was served by granian, over RSGI or over WSGI.
        way = "rsgi" if (self._root / "phonegoggles/rsgi.py").exists() else "wsgi"
        words = f"-m granian --interface {way} --workers {self._workers} --port {self.port}"
        words += " --blocking-threads 64" if way == "wsgi" else ""
        return [*words.split(), f"phonegoggles.{way}:application"]

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def workers(self) -> list[int]:
        """The processes that serve."""
        return children_of(self._process.pid) if self._process else []

    def kill(self) -> None:
        """End all of it as a crash of the machine's user space would: nobody gets to tidy up."""
        if self._process is not None:
            # First whoever would start the others again. Granian's are in its group, ours have groups of their own.
            send_signal([self._process.pid, *self.workers], signal.SIGKILL)
            self._process.wait(30)

    def stop(self) -> None:
        """End it for good."""
        self.kill()
        self._log.close()


class PostgreSQL:
    """The processes of a running cluster: killed, started again, frozen, thawed."""

    def __init__(self, url: str) -> None:
        self.data = Path(sql(url, "SHOW data_directory")[0][0])

    @property
    def pids(self) -> list[int]:
        """Its processes, the postmaster first: all of them live in its directory, also orphans."""
        found = []
        for link in Path("/proc").glob("[0-9]*/cwd"):
            with contextlib.suppress(OSError):
                if link.readlink() == self.data and _alive(int(link.parent.name)):
                    found.append(int(link.parent.name))
        with contextlib.suppress(OSError):
            postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
            found.sort(key=lambda pid: pid != postmaster)
        return found

    def kill(self) -> None:
        """`kill -9` of all of it, the postmaster first, and wait until all are gone."""
        deadline = time.monotonic() + START_SECONDS
        while (pids := self.pids) and time.monotonic() < deadline:
            send_signal(pids, signal.SIGKILL)
            time.sleep(0.02)
        # Where nobody collects dead processes (a container without an init), a new postmaster would take the
        # dead one for alive, and leave these to it.
        for left in [self.data / "postmaster.pid", *self.data.parent.glob(".s.PGSQL.*")]:
            left.unlink(missing_ok=True)

    def kill_one(self) -> None:
        """`kill -9` of one backend: the postmaster then throws everybody out and recovers by itself."""
        backends = [pid for pid in self.pids[1:] if b"postgres: postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        send_signal(backends[:1], signal.SIGKILL)

    def freeze(self) -> None:
        """Stop all of it in the middle of whatever it does."""
        send_signal(self.pids, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        send_signal(self.pids, signal.SIGCONT)

    @property
    def runs(self) -> bool:
        """Whether its postmaster is alive."""
        return bool(self.pids)

    def start(self) -> None:
        """Start it; it recovers from its log first."""
        programs = find_programs()
        assert programs is not None
        command = [str(programs / "pg_ctl"), "-D", str(self.data), "-w", "-t", "60"]
        log = str(self.data / "server.log")
        silent: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started = subprocess.run([*command, "-l", log, "start"], cwd="/", check=False, **silent, **server_account())
        if started.returncode:
            raise RuntimeError("PostgreSQL did not start again:\n" + Path(log).read_text()[-3000:])


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def sql(url: str, statement: str) -> list[Any]:
    """Run one statement outside of everything, and return its rows."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def with_path(url: str, *, name: str | None = None, port: int | None = None) -> str:
    """Return a database's address with another name or port."""
    parts = urlsplit(url)
    netloc = parts.netloc if port is None else f"{parts.netloc.rpartition(':')[0]}:{port}"
    return urlunsplit(parts._replace(netloc=netloc, path=parts.path if name is None else f"/{name}"))


@dataclass
class Verdict:
    """The figure of one fault."""

    acked: int = 0
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the promise was kept."""
        return bool(self.acked) and not (self.lost or self.duplicated or self.wrong)

    def __str__(self) -> str:
        """Return the line that is printed."""
        counts = f"{len(self.lost)} lost, {len(self.duplicated)} duplicated, {len(self.wrong)} wrong"
        return f"{self.acked:>7,} acked, {counts}"


def judge(
    url: str, ledger: Ledger, *, address: str = "", tokens: Tokens | None = None, notes: Sequence[str] = ()
) -> Verdict:
    """Compare a database, and the answers of a server on it, with a ledger."""
    rows = [[str(value) if value is not None else None for value in _facts(event)] for event in ledger.sent.values()]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.audit"],
        cwd=ROOT,
        env=environment(url),
        input=json.dumps({"sent": rows, "acked": sorted(ledger.acked)}),
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    found = json.loads(ended.stdout)
    twice = [event_id for event_id, times in ledger.created.items() if times > 1]
    wrong = [*ledger.wrong, *found["wrong"]]
    if address and tokens:
        wrong += check_histories(address, ledger, tokens.reader)
    refused = sum(ledger.refused.values())
    told = [*notes, *([f"{refused} tries refused or unanswered"] if refused else [])]
    if ledger.longest:
        told.append(f"longest wait for an acknowledgement {ledger.longest:.1f} s")
    return Verdict(len(ledger.acked), found["lost"], [*found["duplicated"], *twice], wrong, told)


def _facts(event: Any) -> list[Any]:
    return [getattr(event, name) for name in FACTS]


@contextlib.contextmanager
def serving(url: str, **options: Any) -> Iterator[Server]:
    """Start a server, and stop it in the end."""
    server = Server(url, **options)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def traffic(server: Server, tokens: Tokens, *others: Server, **options: Any) -> Traffic:
    """Return senders that report to one or several servers."""
    addresses = [server.address, *(other.address for other in others)]
    return Traffic(addresses, writer=tokens.writer, reader=tokens.reader, **options)
