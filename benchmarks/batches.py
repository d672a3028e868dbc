"""Batches of a thousand over two connections, against COPY of the same events and an upsert of their calls."""

from collections.abc import Callable

from benchmarks.figures import Figure, in_turns
from benchmarks.lab import Lab
from benchmarks.peers import copy

CONNECTIONS = 2


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Figure 6."""
    figure = Figure("6", f"batches of {lab.batch:,}, {CONNECTIONS} connections ÷ COPY + upsert", 0.7, True)
    copy.make_tables(lab.url)
    with lab.server() as server:
        options = {"connections": CONNECTIONS, "kind": "batch", "size": lab.batch}
        server.load(**options, seconds=min(1, lab.seconds))
        sides = {
            "COPY and upsert": lambda: copy.events_per_second(
                lab.url, name=lab.name(), seconds=lab.seconds, connections=CONNECTIONS, size=lab.batch
            ),
            "batches": lambda: server.load(**options),
        }
        for got in in_turns(lab.rounds, sides, tell):
            ours, peer = got["batches"]["rate"] * lab.batch, got["COPY and upsert"]
            app, database = got["batches"]["app"] / lab.batch, got["batches"]["database"] / lab.batch
            figure.take(ours / peer, ours=ours, copy=peer, app=app, database=database)
    return [figure]
