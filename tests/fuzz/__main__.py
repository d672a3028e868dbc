"""`python -m tests.fuzz [--seconds N] [name ...]`: fuzz the parsers, and print what came of it.

Each target runs in a process of its own. What breaks a property is kept in the folder that is named, and is run
again by `--file FILE name`.
"""

import argparse
import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NO_ATHERIS = "atheris is not here: it has wheels for Linux on x86-64 and Python 3.11 to 3.13 only."
# How much one target may take, in MiB, and how long one input, in seconds: beyond it is a finding.
MEMORY_MIB, SLOW_SECONDS = 1024, 10
STARTING_SECONDS = 60


@dataclass
class Outcome:
    """What came of one target."""

    name: str
    executions: int
    failed: bool
    log: str

    def __str__(self) -> str:
        """Return a line of the table."""
        return f"{self.name:<20}{self.executions:>12,}  {'FOUND SOMETHING' if self.failed else 'nothing found'}"


def load() -> None:
    """Load the code that is fuzzed so that its branches are seen, and with it Django."""
    import atheris
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    parsers = ["calls.domain", "calls.ingest", "calls.web", "calls.sip", "standardwebhooks"]
    # It says of every module that it is instrumented.
    with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=parsers):
        django.setup()
        import tests.fuzz.targets  # noqa: F401 - loads the rest


def fuzz(name: str, seconds: int, folder: Path) -> None:
    """Fuzz one target in this process, which that ends."""
    import atheris

    from tests.fuzz.targets import TARGETS

    target, corpus = TARGETS[name], folder / "corpus" / name
    corpus.mkdir(parents=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / str(number)).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}", f"-max_len={target.longest}", f"-rss_limit_mb={MEMORY_MIB}",
        f"-timeout={SLOW_SECONDS}", "-print_final_stats=1", f"-artifact_prefix={folder / name}-",
    ]  # fmt: skip

    def check(data: bytes) -> None:
        try:
            target.check(data)
        except BaseException:
            (folder / f"{name}-broken").write_bytes(data)
            raise

    atheris.Setup([sys.argv[0], *options, str(corpus)], check)
    atheris.Fuzz()


def start(name: str, seconds: int, folder: Path) -> int:
    """Fuzz a target in a fork of this process, which writes to a file; return its id."""
    child = os.fork()
    if child == 0:
        log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            fuzz(name, seconds, folder)
        finally:
            os._exit(1)  # libFuzzer ends the process itself
    return child


def run(names: list[str], *, seconds: int, folder: Path, at_once: int) -> Iterator[Outcome]:
    """Fuzz targets, some at once, and yield what came of each."""
    load()
    waiting, running = list(names), dict[int, str]()
    deadline = time.monotonic() + len(names) * (seconds + STARTING_SECONDS)
    while waiting or running:
        while waiting and len(running) < at_once:
            name = waiting.pop(0)
            running[start(name, seconds, folder)] = name
        child, status = next(((p, s) for p in running for q, s in [os.waitpid(p, os.WNOHANG)] if q), (0, 0))
        if child:
            name = running.pop(child)
            log = (folder / f"{name}.log").read_text(errors="replace")
            found = re.search(r"stat::number_of_executed_units:\s*(\d+)", log)
            yield Outcome(name, int(found[1]) if found else 0, os.waitstatus_to_exitcode(status) != 0, log)
        elif time.monotonic() > deadline:
            for each in running:
                os.kill(each, 9)
            raise TimeoutError(f"still running: {', '.join(running.values())}")
        else:
            time.sleep(0.05)


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="dev.py fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="name", help="which parsers (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=2, help="how many side by side (default: %(default)s)")
    parser.add_argument("--file", type=Path, help="only give this to the parser that is named")
    options = parser.parse_args()
    try:
        load()
    except ImportError as error:
        if error.name != "atheris":
            raise
        print(NO_ATHERIS, file=sys.stderr)
        return 2
    from tests.fuzz.targets import TARGETS

    unknown = [name for name in options.names if name not in TARGETS]
    if unknown or min(options.seconds, options.at_once) < 1 or (options.file and len(options.names) != 1):
        parser.error(f"names are {', '.join(TARGETS)}; --seconds and --at-once are 1 or more; --file needs one name")
    if options.file:
        TARGETS[options.names[0]].check(options.file.read_bytes())
        print("Nothing found.")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="phonegoggles-fuzz-"))
    failed = False
    print(f"{'':<20}{'executions':>12}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        for outcome in run(
            options.names or list(TARGETS), seconds=options.seconds, folder=folder, at_once=options.at_once
        ):
            print(outcome, flush=True)
            failed |= outcome.failed
            if outcome.failed:
                print(outcome.log[-4000:], flush=True)
    if failed:
        print(f"Logs, and what broke a property: {folder}")
    else:
        shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
