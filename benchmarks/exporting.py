"""What memory a large export takes, against one of a tenth: by command, and as CSV over HTTP."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import psycopg

from benchmarks.figures import Figure
from benchmarks.lab import ROOT, Lab
from benchmarks.listeners import make_reader

# All calls are of one number, so that its history is as long as the table.
NUMBER = "+12025550100"
# The n-th call begins seven seconds after the one before.
CALLS = """
    INSERT INTO calls_call (id, external_id, status, direction, call_type, calling_number, called_number, started_at,
        answered_at, ended_at, ended_by, duration, ring_seconds, talk_seconds, hold_seconds, anomalies, odd, marks,
        hold_total, last_event_at, last_event_rank, version, created_at, updated_at)
    SELECT md5('fill-' || n)::uuid, 'fill-' || n, 'ended', 'unknown', 'voice',
        '+12025550100', '+4930' || lpad((n * 104729 %% 1000000)::text, 7, '0'),
        at, at + interval '5 s', at + interval '65 s', 'ended', 65, 5, 60, 0, 0, 0, 789, '0', at + interval '65 s',
        14, 3, at, at + interval '65 s'
    FROM (
        SELECT n, timestamptz '2023-01-01' + n * interval '7 s' AS at FROM generate_series(%s::bigint, %s) AS n
    ) AS new
"""
EVENTS = """
    INSERT INTO calls_callevent (call_id, source, event_id, type, word, occurred_at, received_at, calling_number,
        called_number)
    SELECT md5('fill-' || n)::uuid, 'process_events', 'fill-' || n || '-' || word, type, word, at + late, at + late,
        '+12025550100', '+4930' || lpad((n * 104729 %% 1000000)::text, 7, '0')
    FROM (
            SELECT n, timestamptz '2023-01-01' + n * interval '7 s' AS at FROM generate_series(%s::bigint, %s) AS n
        ) AS new,
        (VALUES ('initiated', 'INITIATE', interval '0'), ('answered', 'ANSWER', interval '5 s'),
            ('ended', 'DISCONNECT', interval '65 s')) AS steps(type, word, late)
"""
CHUNK = 100_000
CALLS_BEGAN = datetime(2023, 1, 1, tzinfo=UTC)
SECONDS_APART = 7
PIECE = 1 << 20


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Figure 16, its second half: an export is a stream, however long."""
    here = lab.another("exported")
    tell(f"filling {lab.many:,} calls of one number, a third of them with their events")
    _fill(here.url, lab.many)
    figures = [_by_command(here, tell, "calls", lab.many), _by_command(here, tell, "events", lab.many // 3 * 3)]
    return [*figures, _over_http(here, tell)]


def _fill(url: str, calls: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for begin in range(0, calls, CHUNK):
            connection.execute(CALLS, [begin + 1, min(begin + CHUNK, calls)])
        connection.execute(EVENTS, [1, calls // 3])
        for table in ("calls_call", "calls_callevent"):
            connection.execute(f"VACUUM ANALYZE {table}")


def _until(calls: int) -> str:
    """Return the time before which so many calls began."""
    return (CALLS_BEGAN + timedelta(seconds=SECONDS_APART * (calls + 1))).strftime("%Y-%m-%dT%H:%M:%SZ")


def _by_command(lab: Lab, tell: Callable[[str], None], what: str, rows: int) -> Figure:
    figure = Figure("16b", f"memory of export_{what} of {rows:,} rows ÷ of a tenth", 1.1, False)
    calls = lab.many if what == "calls" else lab.many // 3
    sizes, seconds = [], 0.0
    for part in (calls // 10, calls):
        tell(f"export_{what} of {part:,} calls")
        began = time.perf_counter()
        sizes.append(_most_memory(lab, f"export_{what}", "--to", _until(part)))
        seconds = time.perf_counter() - began
    if all(sizes):
        figure.take(sizes[1] / sizes[0], tenth=sizes[0] / 2**20, whole=sizes[1] / 2**20, rate=rows / seconds)
    else:
        figure.note = "memory is known on Linux only"
    return figure


def _most_memory(lab: Lab, *words: str) -> int:
    """Run a command of manage.py and return the most memory that it had, in bytes; 0 where that cannot be told."""
    command = [sys.executable, "manage.py", *words]
    process = subprocess.Popen(command, cwd=ROOT, env=lab.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:  # the last look is at most a moment old, and a leak would show long before
        most = max(most, _peak(process.pid))
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"manage.py {' '.join(words)} ended with {process.returncode}")
    return most


def _peak(pid: int) -> int:
    """Return the most memory that a process or any of its children ever had; 0 where that cannot be told."""
    sizes = [0]
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        sizes.append(int(found[1]) * 1024 if found else 0)
        for task in os.listdir(f"/proc/{pid}/task"):
            children = Path(f"/proc/{pid}/task/{task}/children").read_text().split()
            sizes += [_peak(int(child)) for child in children]
    return max(sizes)


def _over_http(lab: Lab, tell: Callable[[str], None]) -> Figure:
    figure = Figure("16c", f"a worker's memory at its most, CSV of {lab.many:,} rows ÷ of a tenth", 1.1, False)
    key = make_reader(lab)
    sizes = []
    with lab.server(workers=1) as server:
        address = f"http://127.0.0.1:{server.port}/call-history/{NUMBER.replace('+', '%2B')}/?format=csv&to="
        for part in (lab.many // 10, lab.many):
            tell(f"CSV of {part:,} rows over HTTP")
            began = time.perf_counter()
            lines = _download(address + _until(part), key)
            rate = lines / (time.perf_counter() - began)
            if lines != part + 1:  # and the names of the columns
                raise RuntimeError(f"{part:,} rows were asked for, {lines - 1:,} came")
            sizes.append(_peak(server.pid))
    if all(sizes):
        figure.take(sizes[1] / sizes[0], tenth=sizes[0] / 2**20, whole=sizes[1] / 2**20, rate=rate)
    else:
        figure.note = "memory is known on Linux only"
    return figure


def _download(address: str, key: str) -> int:
    """Read an answer piece by piece, and return how many lines it had."""
    lines = 0
    with urlopen(Request(address, headers={"Authorization": f"Token {key}"}), timeout=600) as answer:
        while piece := answer.read(PIECE):
            lines += piece.count(b"\n")
    return lines
