"""SQLite: one process, 32 connections, no error; against one connection in the process itself."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Figure, in_turns
from benchmarks.lab import ROOT, Lab


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Figure 14."""
    errors = Figure("14", "SQLite, 16 and 32 connections: answers that are not 200", 0, False)
    rate = Figure("14b", "SQLite, 32 connections over HTTP ÷ one in-process connection", 0.5, True)
    with tempfile.TemporaryDirectory() as folder:
        here = Lab(f"sqlite:///{(Path(folder) / 'bench.sqlite3').as_posix()}", lab.seconds, lab.rounds)
        here.prepare()
        with here.server(workers=1, threads=32) as server:
            server.load(seconds=min(1, lab.seconds))
            sides = {
                "in the process": lambda: in_process(here),
                "16 connections": lambda: server.load(connections=16, strict=False),
                "32 connections": lambda: server.load(connections=32, strict=False),
            }
            refused = 0
            for got in in_turns(lab.rounds, sides, tell):
                few, ours = got["16 connections"], got["32 connections"]
                # All rounds count together: a median would hide an error of one of them.
                refused += sum(few["others"].values()) + sum(ours["others"].values())
                rate.take(
                    ours["rate"] / got["in the process"],
                    ours=ours["rate"],
                    inside=got["in the process"],
                    **{"of 16": few["rate"], "p99": ours["p99"]},
                )
            errors.take(float(refused))
        differing, calls = here.differing_calls()
    seventeen = Figure("17", "SQLite: calls that differ from the fold of their events", 0, False, note=f"of {calls:,}")
    seventeen.take(float(differing), calls=float(calls))
    return [errors, rate, seventeen]


def in_process(lab: Lab) -> float:
    """Return how many single events a second one connection records without HTTP, each committed."""
    words = [sys.executable, "-m", "benchmarks.inside", lab.name(), str(lab.seconds)]
    done = subprocess.run(words, cwd=ROOT, env=lab.environ, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["rate"])
