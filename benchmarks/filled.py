"""Ingest while the tables hold many events, against ingest while they are empty."""

from collections.abc import Callable

from benchmarks.figures import Figure, in_turns
from benchmarks.lab import Lab

CONNECTIONS = 32


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Figure 15: two databases of one cluster, one of them full."""
    figure = Figure("15", f"single events with {lab.rows:,} events stored ÷ with none", 0.9, True)
    empty, full = lab.another("empty"), lab.with_events(lab.rows, tell)
    with empty.server() as few, full.server() as many:
        for server in (few, many):
            server.load(connections=CONNECTIONS, seconds=min(1, lab.seconds))
        sides = {
            "empty": lambda: few.load(connections=CONNECTIONS),
            "full": lambda: many.load(connections=CONNECTIONS),
        }
        for got in in_turns(lab.rounds, sides, tell):
            figure.take(
                got["full"]["rate"] / got["empty"]["rate"], full=got["full"]["rate"], empty=got["empty"]["rate"]
            )
    return [figure]
