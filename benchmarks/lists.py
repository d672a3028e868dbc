"""The admin at many events and at few: every list with each of its filters and searches, and the other screens."""

import json
import subprocess
import sys
from collections.abc import Callable

from benchmarks.figures import Figure, in_turns
from benchmarks.history import FEW
from benchmarks.lab import ROOT, Lab
from benchmarks.peers.fill import EVENTS_A_CALL, numbers_of

VISITS = 3
SHOWN = 5
LISTS = "/admin/calls/"


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Figure 11. What the database took, as the application saw it, for each page; the slowest are told."""
    few = min(FEW, lab.rows // 2)
    sides = {"few": (lab.with_events(few, tell), few), "many": (lab.with_events(lab.rows, tell), lab.rows)}
    for full, _ in sides.values():
        full.manage("roll_up_calls")  # as a schedule does in operation (docs/running.md)
    slowest = Figure("11", f"lists of the admin at {lab.rows:,} events: the slowest, ms of SQL", 60, False)
    ratio = Figure("11", f"lists of the admin, all together: ÷ at {few:,} events", 1.5, False)
    screens = Figure("11", f"other screens of the admin at {lab.rows:,} events: the slowest, ms of SQL", 60, False)

    def visit(side: str) -> dict[str, float]:
        full, events = sides[side]
        numbers = numbers_of(events // EVENTS_A_CALL)
        # Those that are there at either size.
        chosen = {"heavy": numbers.heavy_number(0), "light": numbers.light_number(77)}
        words = [sys.executable, "-m", "benchmarks.screens", json.dumps(chosen), str(VISITS)]
        done = subprocess.run(words, cwd=ROOT, env=full.environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return dict(json.loads(done.stdout))

    for number in range(min(2, lab.rounds)):
        [got] = in_turns(1, {side: lambda side=side: visit(side) for side in sides}, tell)  # type: ignore[misc] # bound now
        few_ms, many_ms = got["few"], got["many"]
        both = [address for address in many_ms if address in few_ms and address.startswith(LISTS)]
        tell(f"the slowest of round {number + 1}:")
        for address in sorted(many_ms, key=lambda address: -many_ms[address])[:SHOWN]:
            tell(f"  {many_ms[address]:.1f} ms ({few_ms.get(address, 0):.1f} ms of few events) {address}")
        slowest.take(max(ms for address, ms in many_ms.items() if address.startswith(LISTS)), pages=len(both))
        ratio.take(
            sum(many_ms[address] for address in both) / sum(few_ms[address] for address in both),
            mean_ms=sum(many_ms[address] for address in both) / len(both),
        )
        screens.take(max(ms for address, ms in many_ms.items() if not address.startswith(LISTS)))
    return [slowest, ratio, screens]
