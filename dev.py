#!/usr/bin/env python3
"""Everything a developer does with this checkout: `python3 dev.py --help`.

Standard library only, because this runs before anything is installed.
"""

from __future__ import annotations  # lets a Python that is too old reach the message in main()

import argparse
import contextlib
import difflib
import hashlib
import http.client
import json
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
DOTENV = ROOT / ".env"
SCHEMA = ROOT / "docs" / "openapi.yaml"
MANAGE = str(ROOT / "manage.py")
WINDOWS = sys.platform == "win32"

# The sample organisation's numbers, so that the made-up calls have a direction.
# A test holds this equal to calls/sampledata/, which cannot be imported from outside .venv.
SAMPLE_OWN_NUMBERS = "+120255501"

DOTENV_HEADER = "# Made by `python3 dev.py run` for this machine only. All names: .env.example\n"
DOTENV_LINE = re.compile(r"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*(.*?)[ \t]*\r?$", re.MULTILINE)
# Empty is a possible value of the other settings; for these it only means "still to be filled in".
NEVER_EMPTY = {"SECRET_KEY", "ADMIN_PASSWORD"}
READ_DOTENV = """
import dotenv, json, sys
print(json.dumps({name: value for name, value in dotenv.dotenv_values(sys.argv[1]).items() if value is not None}))
"""
# Asks the database whether `admin` exists and has the password that the environment holds.
ASK_FOR_ADMIN = """
import os
from django.contrib.auth import get_user_model
user = get_user_model().objects.filter(username="admin").first()
print("absent" if user is None else "same" if user.check_password(os.environ["ADMIN_PASSWORD"]) else "different")
"""
SERVER_START_SECONDS = 60
TELEPHONY_REMEDY = "Debian: apt-get install kamailio kamailio-extra-modules kamailio-python3-modules sip-tester."


class Failed(Exception):
    """A step went wrong; the message is for the user."""


class Stopped(BaseException):
    """Somebody asked this program to end: Ctrl-C, SIGTERM, or a terminal that closed."""


# -- Child processes -------------------------------------------------------------------------


def stop_on_signals() -> None:
    """Turn the first request to end into Stopped, and ignore the next ones: tidying up is not to be cut short."""
    signals = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]

    def stop(number: int, frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    for each in signals:
        signal.signal(each, stop)


def finish(child: subprocess.Popen[bytes], patience: float) -> None:
    """End a child: wait as long as patience lasts, then ask it to end, then force it."""
    for seconds, then in ((patience, child.terminate), (15.0, child.kill)):
        try:
            child.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            then()
    child.wait()


def call(command: Sequence[str], environ: dict[str, str] | None = None) -> int:
    """Run a command in the checkout, with its output shown, and return its exit code."""
    child = subprocess.Popen(command, cwd=ROOT, env=environ)
    try:
        return child.wait()
    except Stopped as stopped:
        # A terminal sends Ctrl-C to the child too: let it say its last words.
        finish(child, patience=5 if stopped.args[0] == signal.SIGINT else 0)
        raise


def read(command: Sequence[str], environ: dict[str, str] | None = None) -> str:
    """Run a command in the checkout quietly and return its output; when it fails, all that it said is the error."""
    ended = subprocess.run(command, cwd=ROOT, env=environ, text=True, capture_output=True, check=False)
    if ended.returncode:
        raise Failed(f"{ended.stdout}{ended.stderr}".rstrip())
    return ended.stdout.strip()


# -- What a start needs: .venv and .env --------------------------------------------------------


def venv_program(name: str, windows: bool = WINDOWS) -> str:
    """Return where .venv keeps a program on this kind of system."""
    return str(VENV / "Scripts" / f"{name}.exe" if windows else VENV / "bin" / name)


def install(requirements: str) -> str:
    """Bring .venv up to date with a requirements file, unless it is already, and return its Python."""
    python, version = venv_program("python"), platform.python_version()
    wanted = f"{hashlib.sha256((ROOT / requirements).read_bytes()).hexdigest()} {version}\n"
    stamp = VENV / f"{requirements}.stamp"
    try:
        fits = read([python, "-c", "import pip, platform; print(platform.python_version())"]) == version
    except (OSError, Failed):
        fits = False  # not there, half made, or its Python is gone
    if fits and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    if not fits:
        read([sys.executable, "-m", "venv", "--clear", str(VENV)])
    options = ["--quiet", "--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes"]
    if call([python, "-m", "pip", "install", *options, "-r", requirements]):
        raise Failed(f"pip could not install {requirements}")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def write_private(path: Path, content: bytes) -> None:
    """Write a file that nobody else may read, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".env.")  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def complete_dotenv(path: Path) -> list[str]:
    """Add what a first start needs and .env does not have, touching no value, and return the added names."""
    path = path.resolve()  # a link stays a link
    before = path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else DOTENV_HEADER
    wanted = {
        "SECRET_KEY": secrets.token_urlsafe(64),
        "ADMIN_PASSWORD": secrets.token_hex(10),
        "DEBUG": "true",
        "HTTPS": "false",
        "OWN_NUMBERS": SAMPLE_OWN_NUMBERS,
    }
    present = {name for name, value in DOTENV_LINE.findall(before) if value.strip("'\"") or name not in NEVER_EMPTY}
    missing = [name for name in wanted if name not in present]
    if missing:
        lines = [before.removesuffix("\n"), *(f"{name}={wanted[name]}" for name in missing), ""]
        write_private(path, "\n".join(lines).encode("utf-8", "surrogateescape"))
    else:
        path.chmod(0o600)
    return missing


# -- run -------------------------------------------------------------------------------------


def address_to_bind(host: str, port: int) -> str:
    """Return the address behind a host name after making sure that a server can listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if not WINDOWS:  # there it would let two servers share the port; elsewhere it forgives closed connections
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise Failed(f"Cannot serve on {host} port {port}: {error.strerror}. Choose another with --port.") from error
    return str(address[0])


def is_alive(host: str, port: int) -> bool:
    """Say whether the server answers that it lives; asked without any proxy of the environment."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def serve(command: Sequence[str], environ: dict[str, str], host: str, port: int, ready: Sequence[str]) -> int:
    """Run the server until it ends or is told to; say the ready lines once it answers."""
    # A session of its own: the terminal's Ctrl-C shall not reach it beside our request to end.
    server = subprocess.Popen(command, cwd=ROOT, env=environ, start_new_session=not WINDOWS)
    try:
        deadline = time.monotonic() + SERVER_START_SECONDS
        while not is_alive(host, port):
            if server.poll() is not None:
                print("The server ended before it answered.", file=sys.stderr)
                return server.returncode or 1
            if time.monotonic() > deadline:
                raise Failed(f"The server did not answer /livez with 200 within {SERVER_START_SECONDS} seconds.")
            time.sleep(0.1)
        print(*ready, sep="\n", flush=True)
        return server.wait()
    except Stopped:
        return 0
    finally:
        finish(server, patience=5 if WINDOWS else 0)  # Windows cannot ask, but has passed Ctrl-C on
        if sys.platform != "win32":
            with contextlib.suppress(ProcessLookupError):  # a worker outlives a server that was killed
                os.killpg(server.pid, signal.SIGKILL)


def run(options: argparse.Namespace) -> int:
    """Set everything up that is missing, fill an empty database with sample calls, and serve."""
    address = address_to_bind(options.host, options.port)
    print("[1/7] Python packages in .venv (takes a while the first time)", flush=True)
    python = install("requirements.txt")
    added = complete_dotenv(DOTENV)
    print(f"[2/7] Settings in .env: {'added ' + ', '.join(added) if added else 'complete'}", flush=True)
    environ: dict[str, str] = {**json.loads(read([python, "-c", READ_DOTENV, str(DOTENV)])), **os.environ}
    password = environ.pop("ADMIN_PASSWORD")  # only the two children that need it get it
    print("[3/7] Database tables", flush=True)
    read([python, MANAGE, "migrate", "--noinput"], environ)
    print("[4/7] Administrator", flush=True)
    ask = [python, MANAGE, "shell", "--no-imports", "-c", ASK_FOR_ADMIN]
    admin = read(ask, {**environ, "ADMIN_PASSWORD": password})
    if admin == "absent":
        who = {"USERNAME": "admin", "PASSWORD": password, "EMAIL": "admin@example.org"}
        superuser = {f"DJANGO_SUPERUSER_{name}": value for name, value in who.items()}
        read([python, MANAGE, "createsuperuser", "--noinput"], {**environ, **superuser})
    elif admin != "same":
        password = "(the password this database already has)"  # noqa: S105 - says that it is unknown
    print("[5/7] A fresh token", flush=True)
    token = read([python, MANAGE, "create_token", "admin", "--name", "dev.py run", "--replace"], environ)
    print("[6/7] Sample calls, if there are no calls yet", flush=True)
    sample = ["--if-empty", "--calls", "300", "--days", "14", "--ongoing", "6"]
    read([python, str(ROOT / "create_test_data.py"), *sample], environ)
    print("[7/7] Server (Ctrl-C stops it)", flush=True)
    # "All addresses" is nothing to open; any other host is shown as the user wrote it.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, options.host)  # noqa: S104 - read, not bound
    in_url = f"[{host}]" if ":" in host else host
    environ.setdefault("ALLOWED_HOSTS", f"localhost,127.0.0.1,[::1],{in_url}")
    command = [python, MANAGE, "serve_asgi", "--host", address, "--port", str(options.port)]
    ready = [
        f"Open: http://{in_url}:{options.port}/admin/",
        f"Administrator: admin / {password}",
        f"Token: {token}",
    ]
    return serve(command, environ, host, options.port, ready)


def serve_as_in_production(options: argparse.Namespace) -> int:
    """Serve with the settings of the environment and .env, as on a server; with arguments for `manage.py serve`."""
    command = [install("requirements.txt"), MANAGE, "serve", *options.more]
    if not WINDOWS:
        os.chdir(ROOT)
        os.execv(command[0], command)  # noqa: S606 - it has its own way of ending, and its own patience
    return call(command)


# -- test, check -----------------------------------------------------------------------------


class Report:
    """What was checked so far, and how it ended."""

    def __init__(self) -> None:
        self.failed = False
        self.lines: list[str] = []

    def add(self, name: str, passed: bool) -> None:
        """Note how a check ended."""
        self.failed |= not passed
        self.lines.append(f"{'passed' if passed else 'FAILED'}  {name}")

    def check(self, name: str, command: Sequence[str], environ: dict[str, str] | None = None) -> bool:
        """Run a check, show what it says, note how it ended, and say whether it passed."""
        print(f"\n== {name}", flush=True)
        passed = call(command, environ) == 0
        self.add(name, passed)
        return passed

    def leave_out(self, what: str, missing: str, remedy: str) -> None:
        """Note loudly that something cannot be checked here; where CI is true, that is a failure."""
        in_ci = os.environ.get("CI", "").lower() == "true"
        self.failed |= in_ci
        loud = [f"{'FAILED' if in_ci else 'NOT CHECKED'}: {what}, because {missing} was not found.", remedy]
        self.lines += ["!" * 80, *loud, "!" * 80]

    def show(self) -> None:
        """Print all of it."""
        print("\n== Summary", *self.lines, sep="\n", flush=True)


def production_like(scratch: Path) -> dict[str, str]:
    """Return an environment like a real installation's, untouched by .env, with a database of its own."""
    environ = {name: value for name, value in os.environ.items() if name not in {"DEBUG", "HTTPS"}}
    return environ | {
        "PYTHON_DOTENV_DISABLED": "true",
        "SECRET_KEY": secrets.token_urlsafe(64),
        "ALLOWED_HOSTS": "example.org",
        "DATABASE_URL": f"sqlite:///{(scratch / 'check.sqlite3').as_posix()}",
    }


def make_schema(python: str, target: Path) -> list[str]:
    """Return the command that writes the OpenAPI document, and fails on anything doubtful in it."""
    return [python, MANAGE, "spectacular", "--validate", "--fail-on-warn", "--file", str(target)]


def run_checks(report: Report, python: str, scratch: Path) -> None:
    """Run the linters, types, contracts, and Django's own checks; and compare the OpenAPI document."""
    environ = production_like(scratch)
    report.check("ruff check", [python, "-m", "ruff", "check", "."])
    report.check("bandit", [python, "-m", "tests.house.weaknesses"])
    report.check("ruff format --check", [python, "-m", "ruff", "format", "--check", "."])
    report.check("mypy", [python, "-m", "mypy"])
    report.check("lint-imports", [venv_program("lint-imports")])
    report.check("makemigrations --check", [python, MANAGE, "makemigrations", "--check", "--dry-run"], environ)
    report.check("check --deploy", [python, MANAGE, "check", "--deploy", "--fail-level", "WARNING"], environ)
    made = scratch / "openapi.yaml"
    if report.check("OpenAPI document is valid", make_schema(python, made), environ):
        kept = SCHEMA.read_text(encoding="utf-8").splitlines() if SCHEMA.exists() else []
        now = made.read_text(encoding="utf-8").splitlines()
        changes = list(difflib.unified_diff(kept, now, "docs/openapi.yaml", "the code's", lineterm=""))
        if changes:
            print(*changes[:60], "Rewrite it with: python3 dev.py schema", sep="\n", flush=True)
        report.add("docs/openapi.yaml is up to date", not changes)


def check(options: argparse.Namespace) -> int:
    """Run what `test` runs, without the tests."""
    report = Report()
    with tempfile.TemporaryDirectory() as scratch:
        run_checks(report, install("requirements-dev.txt"), Path(scratch))
    report.show()
    return int(report.failed)


def find_chromium() -> str | None:
    """Return the browser for the browser tests: the variable CHROMIUM, or one on PATH."""
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    return next((path for path in map(shutil.which, filter(None, names)) if path), None)


def has_telephony() -> bool:
    """Say whether the telephone journeys can be made here."""
    from tests.journeys.telephony import find_programs

    return find_programs() is not None


def has_sip_peers() -> bool:
    """Say whether the servers are here that SIP connections and TURN credentials are tested against."""
    from tests.peers import find_coturn, find_kamailio

    return bool(find_kamailio("tls", "websocket") and find_coturn())


def start_postgresql(report: Report, stack: contextlib.ExitStack) -> str | None:
    """Start a throw-away cluster and return its address, or note why there is none."""
    from tests.cluster import ClusterError, cluster, find_programs

    if find_programs() is None:
        remedy = "Debian, Ubuntu: apt-get install postgresql. macOS: brew install postgresql. Windows: its installer."
        report.leave_out("the tests on PostgreSQL", "PostgreSQL's server (initdb, pg_ctl)", remedy)
        return None
    try:
        return stack.enter_context(cluster(fast=True))
    except ClusterError as error:
        print(error, file=sys.stderr)
        report.add("start PostgreSQL", False)
        return None


def pytest_command(python: str, words: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """Return the command that runs pytest with these arguments, without the tests that have one of some marks."""
    marks = ["-m", " and ".join(f"not {name}" for name in left_out)] if left_out else []
    return [python, "-m", "pytest", *marks, *words]


def test(options: argparse.Namespace) -> int:
    """Run all checks, then the tests on SQLite and on PostgreSQL; with arguments for pytest, only the tests.

    pytest's closing line is the last thing on stdout: the summary comes before the last run.
    """
    report = Report()
    python = install("requirements-dev.txt")
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not options.more:
            run_checks(report, python, scratch)
        # Each worker has a database of its own. "load" keeps pytest-django's order, which "loadfile" does not: tests
        # with real transactions come last, because they empty the tables that migrations have filled.
        # There is one worker more than processors, because many tests wait for servers that they have started.
        words: list[str] = options.more or ["-n", str((os.cpu_count() or 1) + 1), "--dist", "load"]
        environ, left_out = dict(os.environ), []
        chromium = find_chromium()
        if chromium:
            environ["CHROMIUM"] = chromium
        else:
            remedy = "Debian: apt-get install chromium. Elsewhere: put the path of Chrome or Chromium into CHROMIUM."
            report.leave_out("the browser tests", "Chromium", remedy)
            left_out.append("browser")
        if not has_telephony():
            report.leave_out("the telephone journeys", "Kamailio with its modules, or SIPp", TELEPHONY_REMEDY)
            left_out.append("telephony")
        if not has_sip_peers():  # those tests leave themselves out
            remedy = "Debian: apt-get install kamailio kamailio-tls-modules kamailio-websocket-modules coturn."
            report.leave_out("the tests against SIP and TURN servers", "Kamailio with its modules, or coturn", remedy)
        # Never the caller's database, and no test database in the checkout, where another run might use it.
        unused = f"sqlite:///{(scratch / 'unused.sqlite3').as_posix()}"
        runs = {"pytest on SQLite": {"DATABASE_URL": unused, "TEST_SQLITE": str(scratch / "test.sqlite3")}}
        postgresql = start_postgresql(report, stack)
        if postgresql:
            runs["pytest on PostgreSQL"] = {"DATABASE_URL": postgresql}
        *earlier, last = runs
        for name in earlier:
            # What has nothing to do with the database waits for the last run.
            not_now = left_out if options.more else [*left_out, "once"]
            report.check(name, pytest_command(python, words, not_now), environ | runs[name])
        report.show()
        print(f"\n== {last}", flush=True)
        code = call(pytest_command(python, words, left_out), environ | runs[last])
    return code or int(report.failed)


def journey(options: argparse.Namespace) -> int:
    """Play telephone calls through Kamailio into the service, and print what became of them."""
    python = install("requirements-dev.txt")
    # The time of each commit is what the delay is measured by; nothing here makes the database faster than it is.
    cluster = ["-m", "tests.cluster", "--set", "track_commit_timestamp=on", "--"]
    return call([python, *cluster, python, "-m", "tests.journeys", *options.more])


def soak(options: argparse.Namespace) -> int:
    """Break what can break while calls are reported, and print what became of what was acknowledged."""
    return call([install("requirements-dev.txt"), "-m", "tests.faults", *options.more])


def mutants(options: argparse.Namespace) -> int:
    """Put deliberate faults into a copy of the code, one at a time, and print which test notices each."""
    return call([install("requirements-dev.txt"), "-m", "tests.faults.mutants", *options.more])


def fuzz(options: argparse.Namespace) -> int:
    """Feed the parsers with what no sender would send, and print what broke; with arguments for `-m tests.fuzz`."""
    return call([install("requirements-dev.txt"), "-m", "tests.fuzz", *options.more])


# -- compile, schema -------------------------------------------------------------------------


def compile_requirements(options: argparse.Namespace) -> int:
    """Rebuild both requirements files from their .in files; versions that still fit stay as they are."""
    install("requirements-dev.txt")
    flags = ["--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header"]
    for name in ("requirements", "requirements-dev"):
        uv = [venv_program("uv"), "pip", "compile", *flags, "--output-file", f"{name}.txt", f"{name}.in"]
        code = call(uv)
        if code:
            return code
    return 0


def schema(options: argparse.Namespace) -> int:
    """Rewrite docs/openapi.yaml from the code."""
    python = install("requirements-dev.txt")
    SCHEMA.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        return call(make_schema(python, SCHEMA), production_like(Path(scratch)))


def bench(options: argparse.Namespace) -> int:
    """Measure how fast the service is, on a cluster of its own; with arguments for `python -m benchmarks`."""
    return call([install("requirements-dev.txt"), "-m", "benchmarks", *options.more])


# -- The command line ------------------------------------------------------------------------


def port_number(text: str) -> int:
    """Return a TCP port given on the command line."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def command_line() -> argparse.ArgumentParser:
    """Return the parser; each sub-command names the function that does it."""
    parser = argparse.ArgumentParser(prog="dev.py", description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    table = {"run": run, "serve": serve_as_in_production, "test": test, "check": check, "journey": journey}
    table |= {
        "bench": bench,
        "soak": soak,
        "mutants": mutants,
        "fuzz": fuzz,
        "schema": schema,
        "compile": compile_requirements,
    }
    made = {}
    for name, function in table.items():
        said = function.__doc__ or ""
        made[name] = commands.add_parser(name, help=said.partition("\n")[0], description=said, allow_abbrev=False)
        made[name].set_defaults(function=function)
    made["run"].add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    made["run"].add_argument("--port", type=port_number, default=8000, help="port to listen on (default: %(default)s)")
    made["test"].usage = "dev.py test [-h] [arguments for pytest ...]"
    made["serve"].usage = "dev.py serve [-h] [arguments for manage.py serve ...]"
    made["journey"].usage = "dev.py journey [-h] [--calls N] [--rate N] [--pause MS]"
    made["bench"].usage = "dev.py bench [-h] [name ...] [--quick] [--json]"
    made["soak"].usage = "dev.py soak [-h] [--minutes N] [--rows N] [--commit COMMIT] [name ...]"
    made["mutants"].usage = "dev.py mutants [-h] [word ...]"
    made["fuzz"].usage = "dev.py fuzz [-h] [name ...] [--seconds N] [--at-once N] [--file FILE]"
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this with an older one shall be told
        print(f"dev.py needs Python 3.11 or newer; this is {platform.python_version()}.", file=sys.stderr)
        return 2
    parser = command_line()
    options, more = parser.parse_known_args(argv)
    if more and options.function not in (serve_as_in_production, test, journey, bench, soak, mutants, fuzz):
        parser.error(f"unknown arguments: {' '.join(more)}")
    options.more = more
    stop_on_signals()
    try:
        code = int(options.function(options))
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    except Stopped as stopped:
        return 128 + int(stopped.args[0])
    return code if code >= 0 else 128 - code  # a child that a signal ended, as shells count it


if __name__ == "__main__":
    raise SystemExit(main())
