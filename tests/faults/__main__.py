"""Break things and print what became of the promise: `python3 dev.py soak [--minutes 10] [name …]`."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

from tests.faults import databases, servers, storms, upgrades  # noqa: F401 - they enter their faults into the list
from tests.faults.run import FAULTS, LeftOut, place


def _end(number: int, frame: object) -> None:
    """End, but tidy up what was started."""
    raise SystemExit(128 + number)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the faults that were named, or all; 1 if a promise was broken or something could not be tried."""
    parser = argparse.ArgumentParser(prog="dev.py soak", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--minutes", type=float, default=10, help="for all of them together (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="events in the tables that migrations change")
    parser.add_argument("--commit", help="the old code of an upgrade (default: before the newest migration)")
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of: {', '.join(FAULTS)}")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - set(FAULTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(FAULTS)}")
    names = options.names or list(FAULTS)
    failed = False
    signal.signal(signal.SIGTERM, _end)
    committed = os.environ.get("GROUP_COMMIT", "as set by default")
    print(f"{len(names)} faults, {options.minutes:g} minutes; GROUP_COMMIT: {committed}", flush=True)
    with place(seconds=options.minutes * 60 / len(names), rows=options.rows, commit=options.commit) as here:
        for name in names:
            begin = time.monotonic()
            try:
                verdict = FAULTS[name](here)
            except LeftOut as reason:
                failed = True
                print(f"{name:<24} NOT TRIED: {reason}", flush=True)
                continue
            except Exception as error:  # the others are still worth knowing
                failed = True
                print(f"{name:<24} FAILED: {type(error).__name__}: {error}", flush=True)
                continue
            failed |= not verdict.good
            notes = "; ".join([f"{time.monotonic() - begin:.0f} s", *verdict.notes])
            print(f"{name:<24}{verdict}   ({notes})", flush=True)
            for problem in [*verdict.lost[:3], *verdict.duplicated[:3], *verdict.wrong[:5]]:
                print(f"    {problem}", file=sys.stderr, flush=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
