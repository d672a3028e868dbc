"""A PostgreSQL cluster that lives only as long as one command: `python -m tests.cluster -- COMMAND ARGS…`.

The command finds the cluster's address in DATABASE_URL. In Python: `with cluster() as url: …`.
Standard library only, because `dev.py` uses it from outside the virtual environment.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

PROGRAMS = ("initdb", "pg_ctl", "postgres")
# Losing the data in a crash is no loss for tests, and waiting for the disk is most of their time.
# Never for a benchmark: its numbers would promise what a real database does not hold.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


class ClusterError(Exception):
    """PostgreSQL is missing or does not start; the message says why."""


def version_of(directory: Path) -> tuple[int, ...]:
    """Return the version number in a path like 15/bin or opt/postgresql@15/bin, for sorting."""
    numbers = [part.rpartition("@")[2].rpartition("-")[2] for part in directory.parts]
    return max(
        (tuple(map(int, number.split("."))) for number in numbers if number.replace(".", "").isdecimal()),
        default=(),
    )


def newest_first(root: Path, pattern: str) -> list[Path]:
    """Return the directories under root that fit the pattern, the highest PostgreSQL version first."""
    return sorted(root.glob(pattern), key=lambda path: version_of(path.relative_to(root)), reverse=True)


def find_programs() -> Path | None:
    """Return the directory that holds PostgreSQL's server programs, or None when there is none."""
    candidates: list[Path] = []
    # First what the user put on PATH; pg_config alone is no proof, it also comes with the client library.
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            candidates.append(Path(answer.stdout.strip()))
    if postgres := shutil.which("postgres"):
        candidates.append(Path(postgres).resolve().parent)
    candidates += newest_first(Path("/usr/lib/postgresql"), "*/bin")  # Debian, Ubuntu
    candidates += newest_first(Path("/usr"), "pgsql-*/bin")  # Red Hat
    if brew := shutil.which("brew"):
        candidates += newest_first(Path(brew).parent.parent, "opt/postgresql*/bin")
    candidates += newest_first(Path("/Applications/Postgres.app/Contents/Versions"), "*/bin")
    candidates += newest_first(Path(os.environ.get("PROGRAMFILES", r"C:\Program Files")), "PostgreSQL/*/bin")
    for candidate in candidates:
        if all(shutil.which(program, path=str(candidate)) for program in PROGRAMS):
            return candidate
    return None


def server_account() -> dict[str, Any]:
    """Return the Popen arguments that make root run the server as somebody else; empty for anybody but root."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return {}
    import pwd

    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    raise ClusterError("root may not run PostgreSQL, and there is no user `postgres` or `nobody` to run it")


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def cluster(*, fast: bool = False, more: Sequence[str] = (), parent: Path | None = None) -> Iterator[str]:
    """Start a fresh cluster, give its address, and stop and delete it at the end, however the end comes.

    `fast` gives up all promises about a crash of the machine: for tests, never for measurements.
    `more` are settings of PostgreSQL, each `name=value`. It lives in a directory made in `parent`.
    """
    programs = find_programs()
    if programs is None:
        raise ClusterError("PostgreSQL's server programs (initdb, pg_ctl, postgres) were not found")
    account = server_account()
    directory = Path(tempfile.mkdtemp(prefix="cluster-", dir=parent))
    data, log = directory / "data", directory / "log"

    def program(name: str, *arguments: str) -> bool:
        """Run one of PostgreSQL's programs as the server's account; say whether it succeeded."""
        # Into a file and never into a pipe: the server inherits it, and a pipe would stay open as long as it runs.
        with log.open("ab") as output:
            command = [str(programs / name), *arguments]
            ended = subprocess.run(
                command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, **account
            )
        return ended.returncode == 0

    try:
        if account:
            os.chown(directory, account["user"], account["group"])
        # C.UTF-8 comes with every Linux, but not with other systems; C sorts the same way.
        locale = "C.UTF-8" if sys.platform == "linux" else "C"
        if not program(
            "initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", f"--locale={locale}"
        ):
            raise ClusterError(f"initdb failed:\n{log.read_text(errors='replace')}")
        for _ in range(3):  # somebody else may take the free port before the server does
            port = free_port()
            settings = {
                "listen_addresses": "127.0.0.1",
                "port": str(port),
                "unix_socket_directories": "" if sys.platform == "win32" else directory.as_posix(),
                "max_connections": "200",
                **(FAST if fast else {}),
                **dict(setting.split("=", 1) for setting in more),
            }
            with (data / "postgresql.conf").open("a", encoding="utf-8") as file:
                file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
            if program("pg_ctl", "-D", str(data), "-w", "-t", "60", "-l", str(data / "server.log"), "start"):
                break
        else:
            server_log = data / "server.log"
            said = log.read_text(errors="replace") + (server_log.read_text() if server_log.exists() else "")
            raise ClusterError(f"PostgreSQL did not start:\n{said}")
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        # "immediate" skips the tidy closing of a database that is deleted in the next moment anyway.
        if (data / "postmaster.pid").exists():
            program("pg_ctl", "-D", str(data), "-w", "-t", "60", "-m", "immediate", "stop")
        shutil.rmtree(directory, ignore_errors=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command against a fresh cluster, pass signals on to it, and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fast", action="store_true", help="no fsync: for tests only, never for measurements")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of PostgreSQL")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ARGS", help="what to run")
    options = parser.parse_args(argv)
    command: list[str] = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("name the command to run, after --")
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:
        """Hand a signal to the command; before there is one, end, and let nothing disturb the tidying up."""
        if child is None:
            for name in SIGNALS:
                signal.signal(name, signal.SIG_IGN)
            raise SystemExit(128 + number)
        # A terminal sends Ctrl-C to the command itself; a second one would cut its own tidying short.
        if number != signal.SIGINT or not sys.stdin.isatty():
            child.send_signal(number)

    for name in SIGNALS:
        signal.signal(name, pass_on)
    try:
        with cluster(fast=options.fast, more=options.set) as url:
            child = subprocess.Popen(command, env={**os.environ, "DATABASE_URL": url})
            code = child.wait()
    except (ClusterError, OSError) as error:
        print(error, file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 1
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    raise SystemExit(main())
