"""Kamailio with the configuration of `deploy/kamailio/`, the delivery of its reports, and SIPp: all on the loopback."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.journeys.kinds import OURS, Kind
from tests.peers import find_kamailio, find_sipp

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "kamailio"
SCENARIOS = Path(__file__).parent / "sipp"
SIP_PORT = 5060
# What deploy/kamailio needs beyond Kamailio itself.
MODULES = ("app_python3", "dialog", "htable", "jansson", "mqueue", "rtimer")
# How long anything here may take to begin or to end, in seconds.
PATIENCE = 60


def find_programs() -> tuple[str, str] | None:
    """Return Kamailio and SIPp, or None where one is missing."""
    kamailio, sipp = find_kamailio(*MODULES), find_sipp()
    return (kamailio, sipp) if kamailio and sipp else None


def own_address() -> str:
    """Return an address of the loopback that no other process of these tests uses, so that no port is ever taken."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 16) % 128}.{pid >> 8 & 255}.{max(pid & 255, 1)}"


def wait_for(what: str, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Ask again and again until something is so; raise TimeoutError if it does not become so."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)


@dataclass
class Tuning:
    """How long Kamailio waits, in milliseconds: for any reply; for an answer; and, in seconds, for a second attempt.

    With several workers one SIP message may overtake another, which SIPp, unlike a telephone, takes for a failure.
    """

    reply: int = 2000
    answer: int = 3000
    retry: int = 2
    workers: int = 1


@dataclass
class Exchange:
    """A running Kamailio, and the directory that it and the programs around it work in."""

    directory: Path
    address: str
    kamailio: "subprocess.Popen[bytes]"

    @property
    def outbox(self) -> Path:
        """Where reports wait."""
        return self.directory / "outbox"

    def waiting(self) -> int:
        """Return how many reports wait to be delivered."""
        return sum(1 for _ in self.outbox.glob("[!.]*.json"))

    def refused(self) -> list[str]:
        """Return the reports that the service did not take."""
        return [path.read_text() for path in sorted((self.outbox / "refused").glob("[!.]*.json"))]

    def said(self) -> str:
        """Return what Kamailio and deliver.py have to say, for whoever looks for a fault."""
        logs = [self.directory / f"{name}.log" for name in ("kamailio", "deliver")]
        return "".join(log.read_text(errors="replace") for log in logs if log.exists())


@contextlib.contextmanager
def workplace(kinds: Sequence[Kind], tuning: Tuning) -> Iterator[Path]:
    """Give a directory with all of Kamailio's files and an empty outbox."""
    with tempfile.TemporaryDirectory(prefix="exchange-") as name:
        directory = Path(name)
        for file in ("kamailio.cfg", "phonegoggles.cfg", "collector.py"):
            shutil.copy(DEPLOY / file, directory)
        (directory / "site.cfg").write_text(site(directory, own_address(), kinds, tuning))
        (directory / "outbox").mkdir()
        yield directory


def kamailio_command(directory: Path) -> list[str]:
    """Return how Kamailio is started in a directory; raise RuntimeError if it is not installed."""
    programs = find_programs()
    if programs is None:
        raise RuntimeError("Kamailio (with its modules) and SIPp were not found")
    places = ["-f", str(directory / "kamailio.cfg"), "-w", str(directory), "-Y", str(directory)]
    return [programs[0], "-DD", "-E", "-m", "64", "-M", "8", *places]


@contextlib.contextmanager
def running_kamailio(directory: Path) -> Iterator[Exchange]:
    """Start Kamailio in its directory, without a deliver.py, until the end of the block."""
    environ = {**os.environ, "PHONEGOGGLES_OUTBOX": str(directory / "outbox")}
    with program("kamailio", kamailio_command(directory), directory, environ) as child:
        made = Exchange(directory, own_address(), child)
        try:
            wait_for("Kamailio answers OPTIONS", lambda: answers_options(made.address))
        except TimeoutError as error:
            raise RuntimeError(f"{error}\n{made.said()}") from error
        yield made


@contextlib.contextmanager
def exchange(url: str, secret: str, kinds: Sequence[Kind], tuning: Tuning) -> Iterator[Exchange]:
    """Start Kamailio and deliver.py, reporting to this address of the webhook, until the end of the block."""
    with workplace(kinds, tuning) as directory, running_kamailio(directory) as made:
        (directory / "secret").write_text(secret)
        environ = {
            **os.environ,
            "PHONEGOGGLES_OUTBOX": str(made.outbox),
            "PHONEGOGGLES_SECRET_FILE": str(directory / "secret"),
            "PHONEGOGGLES_URL": url,
        }
        with program("deliver", [sys.executable, str(DEPLOY / "deliver.py")], directory, environ):
            wait_for(f"deliver.py has begun\n{made.said()}", (made.outbox / "refused").exists)
            yield made


@contextlib.contextmanager
def program(
    name: str, command: Sequence[str], directory: Path, environ: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program in a group of its own, with what it says in a file, and end the whole group with the block."""
    with (directory / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(
            command,
            cwd=directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def site(directory: Path, address: str, kinds: Sequence[Kind], tuning: Tuning) -> str:
    """Return a site.cfg: our numbers call out, all others call in, and each number is a telephone of its own."""
    lines = [
        f"listen=udp:{address}:{SIP_PORT}",
        f"#!define CHILDREN {tuning.workers}",
        f"#!define FR_TIMER {tuning.reply}",
        f"#!define FR_INV_TIMER {tuning.answer}",
        f"#!define PHONEGOGGLES_RETRY {tuning.retry}",
        f'#!define PHONEGOGGLES_COLLECTOR "{directory / "collector.py"}"',
        "log_stderror=yes",
        "route[FROM] {",
        f'    if ($si != "{address}") {{ return -1; }}',
        '    $var(direction) = "inbound";',
        f'    if ($fU =~ "^\\{OURS}") {{ $var(direction) = "outbound"; }}',
        "    return 1;",
        "}",
        "route[TO] {",
        *(
            f'    if ($rU == "{kind.called_number}") {{ $du = "sip:{address}:{called_port(kind)}"; return 1; }}'
            for kind in kinds
            if kind.routed
        ),
        "    return -1;",
        "}",
    ]
    return "\n".join(lines) + "\n"


def caller_port(kind: Kind) -> int:
    """Return where the callers of a kind are."""
    return 5100 + kind.number  # SIPp takes ports from 6000 on for the sound


def called_port(kind: Kind) -> int:
    """Return where the called of a kind are."""
    return 5200 + kind.number


def answers_options(address: str) -> bool:
    """Say whether a SIP server answers OPTIONS with 200."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        probe.settimeout(0.2)
        here = f"{address}:{probe.getsockname()[1]}"
        lines = [
            f"OPTIONS sip:{address}:{SIP_PORT} SIP/2.0",
            f"Via: SIP/2.0/UDP {here};branch=z9hG4bK{time.time_ns()}",
            f"From: <sip:probe@{here}>;tag=1",
            f"To: <sip:{address}:{SIP_PORT}>",
            f"Call-ID: {time.time_ns()}@{here}",
            "CSeq: 1 OPTIONS",
            "Max-Forwards: 5",
            "Content-Length: 0",
        ]
        probe.sendto("\r\n".join([*lines, "", ""]).encode(), (address, SIP_PORT))
        try:
            return probe.recv(65536).startswith(b"SIP/2.0 200 ")
        except OSError:
            return False


def is_bound(address: str, port: int) -> bool:
    """Say whether somebody has this UDP port; asked of the kernel, since trying to take it might be in their way."""
    here = f"{socket.inet_aton(address)[::-1].hex()}:{port:04x}".upper()
    return any(line.split()[1] == here for line in Path("/proc/net/udp").read_text().splitlines())


# -- SIPp ----------------------------------------------------------------------------------------


@dataclass
class Load:
    """How many calls of a kind are made, how many a second, and how long their pauses are (milliseconds)."""

    kind: Kind
    calls: int
    rate: float
    pause: int


class Telephones:
    """SIPp for the calls of one kind: one process calls, another one is called."""

    def __init__(self, load: Load, directory: Path, address: str) -> None:
        self.load, self.directory, self.address = load, directory, address
        self.name = f"kind{load.kind.number}"

    @contextlib.contextmanager
    def run(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Start both; gives the caller, which ends after its last call."""
        kind, load = self.load.kind, self.load
        numbers = self.directory / f"{self.name}.csv"
        numbers.write_text(f"SEQUENTIAL\n{kind.calling_number};{kind.called_number}\n")
        with contextlib.ExitStack() as stack:
            if kind.called:
                called = self._command(f"called_{kind.called}", called_port(kind))
                stack.enter_context(program(f"{self.name}-called", called, self.directory, dict(os.environ)))
                wait_for(f"a telephone listens for {kind.name}", lambda: is_bound(self.address, called_port(kind)))
            caller = self._command(f"caller_{kind.caller}", caller_port(kind))
            caller += ["-inf", str(numbers), "-r", str(load.rate), "-d", str(load.pause)]
            caller += ["-trace_stat", "-stf", str(self.statistics), "-fd", "1"]
            caller += ["-trace_shortmsg", "-shortmessage_file", str(self.messages)]
            caller += [f"{self.address}:{SIP_PORT}"]
            yield stack.enter_context(program(f"{self.name}-caller", caller, self.directory, dict(os.environ)))

    def _command(self, scenario: str, port: int) -> list[str]:
        found = find_programs()
        if found is None:
            raise RuntimeError("SIPp was not found")
        command = [found[1], "-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", self.address, "-p", str(port)]
        command += ["-m", str(self.load.calls), "-nostdin", "-timeout", f"{PATIENCE}s", "-timeout_error"]
        return [*command, "-trace_err", "-error_file", str(self.directory / f"{self.name}-{scenario}.err")]

    @property
    def statistics(self) -> Path:
        """SIPp's own statistics, as CSV."""
        return self.directory / f"{self.name}.stat"

    @property
    def messages(self) -> Path:
        """One line for each SIP message that the caller sent or received."""
        return self.directory / f"{self.name}.messages"

    def errors(self) -> str:
        """Return what SIPp found wrong."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.directory.glob(f"{self.name}-*.err")))
