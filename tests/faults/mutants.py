"""Put deliberate faults into a copy of the code, and say which test notices: `python3 dev.py mutants`."""

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import cluster, find_programs
from tests.faults.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
# Where the tests that were chosen for a fault notice nothing, these are tried.
FALLBACK = ("tests/domain", "tests/operations", "tests/ingest/test_process_events.py")
LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", "*.sqlite3*", ".env", "media", ".*_cache", ".hypothesis"
)
FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
MOST_SECONDS = 600


def run_tests(root: Path, tests: Sequence[str], url: str | None) -> tuple[int, str]:
    """Run tests in a copy of the code; return pytest's exit code and the first test that failed."""
    with tempfile.TemporaryDirectory() as scratch:
        environ = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", TEST_SQLITE=f"{scratch}/test.sqlite3")
        environ.update(
            DJANGO_SETTINGS_MODULE="tests.settings", DATABASE_URL=url or f"sqlite:///{scratch}/unused.sqlite3"
        )
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:schemathesis",
            *tests,
        ]
        ended = subprocess.run(
            command, cwd=root, env=environ, capture_output=True, text=True, check=False, timeout=MOST_SECONDS
        )
    found = FAILED.search(ended.stdout)
    return ended.returncode, found[1] if found else ended.stdout.strip().rpartition("\n")[2]


def try_one(root: Path, mutation: Mutation, url: str | None) -> str | None:
    """Return the test that notices a fault, or None."""
    file, mutated = mutation.apply(root)
    path = root / file
    before = path.read_text(encoding="utf-8")
    path.write_text(mutated, encoding="utf-8")
    try:
        for tests in (mutation.tests, FALLBACK):
            code, first = run_tests(root, tests, url if mutation.postgresql else None)
            if code == 1:
                return first
            if code:
                raise RuntimeError(f"pytest ended with {code}: {first}")
    finally:
        path.write_text(before, encoding="utf-8")
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Try the faults whose names contain one of the words, or all; 1 if one went unnoticed."""
    parser = argparse.ArgumentParser(prog="dev.py mutants", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("words", nargs="*", metavar="word", help="only faults whose names contain one of these")
    words = parser.parse_args(argv).words
    chosen = {name: each for name, each in MUTATIONS.items() if not words or any(word in name for word in words)}
    caught, bad = 0, []
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends, but tidies up
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "copy"
        shutil.copytree(ROOT, root, ignore=LEFT_BEHIND)
        url = None
        if any(each.postgresql for each in chosen.values()):
            if find_programs() is None:
                print("NOT TRIED, because PostgreSQL's server was not found: those that need it", flush=True)
                bad += [name for name, each in chosen.items() if each.postgresql]
                chosen = {name: each for name, each in chosen.items() if not each.postgresql}
            else:
                url = stack.enter_context(cluster(fast=True))
        # A test that fails without any fault would notice everything.
        for on_postgresql in (False, True):
            tests = sorted(
                {test for each in chosen.values() if each.postgresql == on_postgresql for test in each.tests}
            )
            code, first = run_tests(root, tests, url if on_postgresql else None) if tests else (0, "")
            if code:
                print(f"{first} fails without any fault in the code; nothing can be said.", flush=True)
                return 1
        for name, mutation in chosen.items():
            begin = time.monotonic()
            test = try_one(root, mutation, url)
            caught += test is not None
            if test is None:
                bad.append(name)
            print(f"{name:<52} {test or 'NOT NOTICED'}  ({time.monotonic() - begin:.0f} s)", flush=True)
    print(f"{caught} of {len(chosen)} deliberate faults were noticed.", flush=True)
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())
