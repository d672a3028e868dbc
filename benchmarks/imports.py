"""`manage.py import_events` of an NDJSON file, against COPY of as many such events and an upsert of their calls."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, in_turns
from benchmarks.lab import Lab
from benchmarks.peers import copy

CONNECTIONS = 2
START = datetime(2024, 4, 1, tzinfo=UTC)


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Figure 7. The command's start is counted, so that small files look slow."""
    events = max(300, lab.many)
    figure = Figure("7", f"import_events of {events:,} events ÷ COPY + upsert, {CONNECTIONS} connections", 0.7, True)
    copy.make_tables(lab.url)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "events.ndjson"

        def imported() -> float:
            _write(path, lab.name(), events)
            began = time.perf_counter()
            lab.manage("import_events", str(path))
            return events / (time.perf_counter() - began)

        copied = partial(copy.events_per_second, lab.url, events=events, connections=CONNECTIONS, size=lab.batch)
        sides = {
            "COPY and upsert": lambda: copied(name=lab.name()),
            "the same without references": lambda: copied(name=lab.name(), bare=True),
            "import": imported,
        }
        for got in in_turns(lab.rounds, sides, tell):
            ours, peer, bare = got["import"], got["COPY and upsert"], got["the same without references"]
            figure.take(ours / peer, ours=ours, copy=peer, bare=bare)
    return [figure]


def _write(path: Path, name: str, events: int) -> None:
    """Write whole calls of three events, in the order of their starts."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(events // 3):
            for second, word in ((0, "INITIATE"), (5, "ANSWER"), (65, "DISCONNECT")):
                fields = {
                    "event_id": f"{name}-{number}-{word}",
                    "call_id": f"{name}-{number}",
                    "event": word,
                    "calling_number": f"+1202555{number % 10000:04}",
                    "called_number": f"+4930{number % 100000:06}",
                    "created_at": (START + timedelta(seconds=number + second)).isoformat(),
                }
                file.write(json.dumps(fields) + "\n")
