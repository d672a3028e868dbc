"""A month's statistics from hours that are added up, against adding up the month's calls."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import psycopg

from benchmarks.figures import Figure
from benchmarks.lab import ROOT, Lab
from benchmarks.peers.fill import Filling

MONTH = timedelta(days=30)
MONTHS = 4


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Figure 10. Each of some months has as many calls; a worker of the product and the plain query take turns."""
    calls = max(1000, lab.many)
    figure = Figure(
        "10", f"statistics of a month of {calls:,} among {MONTHS * calls:,} calls ÷ the plain scan", 1 / 300, False
    )
    full = lab.filled("months", Filling(MONTHS * calls, every=MONTH / calls, with_events=False), tell)
    full.manage("roll_up_calls")
    with psycopg.connect(full.url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE calls_hourfigures")
    for number in range(lab.rounds):
        tell(f"round {number + 1} of {lab.rounds}")
        words = [sys.executable, "-m", "benchmarks.month"]
        done = subprocess.run(words, cwd=ROOT, env=full.environ, capture_output=True, text=True, check=True)
        seen = json.loads(done.stdout)
        figure.take(seen["ours"] / seen["plain"], ours_ms=seen["ours"] * 1000, plain_ms=seen["plain"] * 1000)
    return [figure]
