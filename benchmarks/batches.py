"""Batches of a thousand over two connections, against COPY of the same events and an upsert of their calls."""

from collections.abc import Callable
from functools import partial

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
        copied = partial(copy.events_per_second, lab.url, seconds=lab.seconds, connections=CONNECTIONS, size=lab.batch)
        sides = {
            "COPY and upsert": lambda: copied(name=lab.name()),
            "the same without references": lambda: copied(name=lab.name(), bare=True),
            "batches": lambda: server.load(**options),
        }
        for got in in_turns(lab.rounds, sides, tell):
            ours, peer = got["batches"]["rate"] * lab.batch, got["COPY and upsert"]
            app, database = got["batches"]["app"] / lab.batch, got["batches"]["database"] / lab.batch
            bare = got["the same without references"]
            figure.take(ours / peer, ours=ours, copy=peer, bare=bare, app=app, database=database)
    return [figure]
