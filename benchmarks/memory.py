"""A worker's memory after many events, against its memory after a few."""

from collections.abc import Callable

from benchmarks.figures import Figure
from benchmarks.lab import Lab, memory_bytes


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Figure 16, its first half: what a worker takes in must not stay with it."""
    figure = Figure("16", f"a worker's memory after {lab.many:,} events ÷ after a tenth of them", 1.1, False)
    with lab.server(workers=1, threads=32) as server:
        tell(f"{lab.many:,} events in batches and one by one")
        sizes = []
        for least in (lab.many // 10, lab.many - lab.many // 10):
            # First those that make all threads and connections, whose buffers the batches then fill.
            server.load(connections=32, seconds=0, least=max(1, least // 10 // 32))
            server.load(kind="batch", size=1000, connections=2, seconds=0, least=max(1, least * 9 // 10 // 1000 // 2))
            sizes.append(memory_bytes(server.pid))
    if all(sizes):
        figure.take(sizes[1] / sizes[0], before=sizes[0] / 2**20, after=sizes[1] / 2**20)
    else:
        figure.note = "memory is known on Linux only"
    return [figure]
