"""`python -m benchmarks [name …] [--quick] [--json]`: measures, and prints one table.

Every figure is a ratio of two things that were measured in turns in this run, on a machine that
should have nothing else to do. `--quick` only shows that everything runs: its figures mean nothing.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks import (
    batches,
    exporting,
    filled,
    graphs,
    healthchecks,
    history,
    imports,
    lists,
    live,
    long_calls,
    memory,
    single,
    sqlite,
    statistics,
)
from benchmarks.figures import Figure, table
from benchmarks.lab import Lab, laboratory

MEASURES: dict[str, Callable[[Lab, Callable[[str], None]], list[Figure]]] = {
    "single": single.measure,
    "healthchecks": healthchecks.measure,
    "batches": batches.measure,
    "long_calls": long_calls.measure,
    "live": live.measure,
    "sqlite": sqlite.measure,
    "filled": filled.measure,
    "memory": memory.measure,
    "exports": exporting.measure,
    "imports": imports.measure,
    "history": history.measure,
    "lists": lists.measure,
    "statistics": statistics.measure,
}
# What is measured only when it is named.
MORE: dict[str, Callable[[Lab, Callable[[str], None]], list[Figure]]] = {"graphs": graphs.measure}
# Sizes of a whole run and of a quick one: seconds a side, rounds, events in a batch, events of a long call,
# events in the full tables, events of the memory's measurement, listening sockets.
WHOLE: dict[str, Any] = {
    "seconds": 5.0,
    "rounds": 5,
    "batch": 1000,
    "long_call": 1000,
    "rows": 10_000_000,
    "many": 10**6,
    "sockets": 500,
}
QUICK: dict[str, Any] = {
    "seconds": 0.2,
    "rounds": 1,
    "batch": 50,
    "long_call": 20,
    "rows": 3000,
    "many": 2000,
    "sockets": 20,
}


def tell(text: str) -> None:
    """Say what is being done."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def run(names: list[str], sizes: dict[str, Any]) -> list[Figure]:
    """Measure what is named, and at last whether every call is what its events add up to."""
    figures: list[Figure] = []
    with laboratory(**sizes) as lab:
        for name in names:
            tell(f"== {name}")
            figures += (MEASURES | MORE)[name](lab, tell)
        tell("== comparing every call with the fold of its events")
        differing, calls = lab.differing_calls()
        last = Figure("17", "calls that differ from the fold of their events", 0, False)
        last.take(float(differing), calls=float(calls))
        figures.append(last)
    return figures


def main() -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(prog="dev.py bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", choices=[[], *MEASURES, *MORE], help="what to measure (default: everything but graphs)"
    )
    parser.add_argument("--quick", action="store_true", help="only show that everything runs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--seconds", type=float, help="how long each side is measured in each round")
    parser.add_argument("--rounds", type=int, help="how often")
    parser.add_argument("--rows", type=int, help="how many events the full tables hold")
    options = parser.parse_args()
    sizes = dict(QUICK if options.quick else WHOLE)
    for name in ("seconds", "rounds", "rows"):
        if getattr(options, name) is not None:
            sizes[name] = getattr(options, name)
    figures = run(options.names or list(MEASURES), sizes)
    machine = f"{platform.machine()}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    if options.json:
        print(json.dumps({"at": when, "machine": machine, "figures": [one.as_json() for one in figures]}, indent=2))
    else:
        print(f"{when}; {machine}; {sizes['rounds']} rounds of {sizes['seconds']:g} s\n\n{table(figures)}")


if __name__ == "__main__":
    main()
