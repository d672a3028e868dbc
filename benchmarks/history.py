"""The history of a number over HTTP: in large tables and small ones, of numbers with many calls and with few."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.figures import Figure, in_turns
from benchmarks.lab import ROOT, Lab
from benchmarks.peers.fill import EVENTS_A_CALL, numbers_of

FEW = 10_000
# So many entries have a page, so that numbers with twenty calls have a second one.
PAGE = 10
CONNECTIONS, EMPTY_CONNECTIONS = 8, 32
ASKED = 200  # so many different addresses of each kind


def pages_of(lab: Lab, events: int) -> dict[str, list[str]]:
    """Return the addresses of first pages, and of such from the middle, by how many calls their numbers have."""
    numbers = numbers_of(events // EVENTS_A_CALL)
    # Places all over each kind, in no order.
    chosen = {
        "heavy": sorted({numbers.heavy_number(place) for place in range(ASKED)}),
        "light": [numbers.light_number(place * 7919) for place in range(ASKED)],
    }
    words = [sys.executable, "-m", "benchmarks.places", json.dumps(chosen), str(PAGE)]
    done = subprocess.run(words, cwd=ROOT, env=lab.environ, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def reader_of(lab: Lab) -> str:
    """Return the key of a token that may read."""
    words = ("create_token", "reader", "--create", "--replace", "--group", "Analysts")
    return lab.manage(*words).strip().splitlines()[-1].split()[-1]


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Figures 8 and 9."""
    few = min(FEW, lab.rows // 2)
    small, large = lab.with_events(few, tell), lab.with_events(lab.rows, tell)
    paths = {"small": pages_of(small, few), "large": pages_of(large, lab.rows)}
    keys = {"small": reader_of(small), "large": reader_of(large)}
    figures = {
        (page, which, percentile): Figure("8", f"history, {page} page, {percentile}: {said}", 1.2, False)
        for page in ("first", "deep")
        for which, said in (
            ("size", f"{lab.rows:,} ÷ {few:,} events"),
            ("skew", "number with 100,000 ÷ 20 calls"),
        )
        for percentile in ("p50", "p99")
    }
    rate = Figure("9", "history requests/s ÷ empty REST view", 0.7, True)
    # The empty view as in figure 2, by a plain WSGI server; that on ours is told beside it.
    with small.server() as few_rows, large.server() as many_rows, large.server(wsgi=True) as plain:
        servers = {"small": few_rows, "large": many_rows}

        def get(size: str, kind: str, **options: Any) -> dict[str, Any]:
            asked = {"kind": "get", "key": keys[size], "paths": paths[size][kind], "connections": CONNECTIONS}
            return servers[size].load(**{**asked, **options})

        for size in servers:
            for kind in paths[size]:
                get(size, kind, seconds=min(1, lab.seconds))
        sides: dict[str, Callable[[], dict[str, Any]]] = {
            f"{page} {size} {kind}": lambda page=page, size=size, kind=kind: get(size, f"{page} {kind}")  # type: ignore[misc]
            for page in ("first", "deep")
            for size, kind in (("small", "light"), ("large", "light"), ("large", "heavy"))
        }
        sides["whole"] = lambda: get("large", "whole light", connections=EMPTY_CONNECTIONS)
        sides["empty"] = lambda: plain.load(path="/peers/empty/", connections=EMPTY_CONNECTIONS)
        sides["empty here"] = lambda: many_rows.load(path="/peers/empty/", connections=EMPTY_CONNECTIONS)
        for got in in_turns(lab.rounds, sides, tell):
            for (page, which, percentile), figure in figures.items():
                base = got[f"{page} {'small' if which == 'size' else 'large'} light"][percentile]
                ours = got[f"{page} large {'light' if which == 'size' else 'heavy'}"][percentile]
                figure.take(ours / base, ours_ms=ours, base_ms=base)
            whole, empty = got["whole"], got["empty"]
            rate.take(
                whole["rate"] / empty["rate"],
                history=whole["rate"],
                empty=empty["rate"],
                here=got["empty here"]["rate"],
                app=whole["app"],
                database=whole["database"],
                app_empty=empty["app"],
            )
    return [*figures.values(), rate]
