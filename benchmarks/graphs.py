"""Draws what things cost at several sizes, and how much is answered over several connections.

`python3 dev.py bench graphs` writes `docs/pictures/`. Not a part of the whole run: it has no goals.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl

from benchmarks.figures import Figure
from benchmarks.history import CONNECTIONS, pages_of, reader_of
from benchmarks.lab import ROOT, Lab

mpl.use("svg")
mpl.rcParams |= {"svg.hashsalt": "phonegoggles", "svg.fonttype": "none", "font.family": "sans-serif"}

from matplotlib import pyplot  # noqa: E402 - after the choice of what it draws with

HERE = Path("docs/pictures")
Series = dict[str, list[float]]


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Draw both pictures."""
    sizes = [size for size in (10_000, 100_000, 1_000_000, 10_000_000) if size < lab.rows] + [lab.rows]
    cost: Series = {"one event": [], "history, first page": [], "history, deep page": [], "statistics of a month": []}
    for size in sizes:
        full = lab.with_events(size, tell)
        full.manage("roll_up_calls")
        paths, key = pages_of(full, size), reader_of(full)
        with full.server() as server:
            for name, kind in (("history, first page", "first light"), ("history, deep page", "deep light")):
                options = {"kind": "get", "key": key, "paths": paths[kind], "connections": CONNECTIONS}
                server.load(**options, seconds=min(1, lab.seconds))
                cost[name].append(_median(lambda options=options: server.load(**options)["p50"], lab.rounds))  # type: ignore[misc] # bound now
            server.load(connections=CONNECTIONS, seconds=min(1, lab.seconds))
            cost["one event"].append(_median(lambda: server.load(connections=CONNECTIONS)["p50"], lab.rounds))
            month = "/api/call-logs/statistics/?from=2023-01-01T00:00:00Z&to=2023-01-31T00:00:00Z"
            options = {"kind": "get", "key": key, "paths": [month], "connections": CONNECTIONS}
            server.load(**options, seconds=min(1, lab.seconds))
            cost["statistics of a month"].append(
                _median(lambda options=options: server.load(**options)["p50"], lab.rounds)
            )  # type: ignore[misc] # bound now
        tell(f"{size:,}: " + ", ".join(f"{name} {values[-1]:.2f} ms" for name, values in cost.items()))
    many = [count for count in (1, 2, 4, 8, 16, 32, 64, 128, 256) if count <= 8 or lab.rows > 10_000]
    rates: Series = {"single events": [], "histories": []}
    with full.server() as server:
        server.load(connections=8, seconds=min(1, lab.seconds))
        for count in many:
            options = {"kind": "get", "key": key, "paths": paths["first light"], "connections": count}
            rates["single events"].append(
                _median(lambda count=count: server.load(connections=count)["rate"], lab.rounds)
            )  # type: ignore[misc] # bound now
            rates["histories"].append(_median(lambda options=options: server.load(**options)["rate"], lab.rounds))  # type: ignore[misc] # bound now
            tell(f"{count} connections: " + ", ".join(f"{name} {values[-1]:.0f}/s" for name, values in rates.items()))
    if lab.rows > 10_000:  # a quick run draws nothing that anybody should see
        folder = ROOT / HERE
        folder.mkdir(exist_ok=True)
        title = f"p50 over {CONNECTIONS} connections, ms"
        draw(folder / "cost-against-size.svg", sizes, cost, x="events stored", y=title)
        draw(folder / "throughput-against-connections.svg", many, rates, x="connections", y="requests a second")
    return [Figure("–", "cost against size, throughput against connections", 0, True, note=f"drawn in {HERE}")]


def _median(ask: Callable[[], float], rounds: int) -> float:
    values = sorted(ask() for _ in range(min(3, rounds)))
    return values[len(values) // 2]


def draw(path: Path, xs: Sequence[float], series: Series, *, x: str, y: str) -> None:
    """Write a picture of lines over a logarithmic axis, each with its name at its end."""
    figure, axes = pyplot.subplots(figsize=(7.5, 4.2), layout="constrained")
    for (name, values), marker in zip(series.items(), "osD^", strict=False):
        axes.plot(xs, values, marker=marker, label=name)
    axes.set_xscale("log")
    axes.set_xticks(xs, [f"{value:,}" for value in xs])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
