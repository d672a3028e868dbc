"""PostgreSQL's own load generator, on a script with one statement an event."""

import re
import subprocess
from pathlib import Path

import psycopg

from tests.cluster import find_programs

HERE = Path(__file__).parent
EVENTS_IN_SCRIPT = 3


def make_tables(url: str) -> None:
    """Make the tables of the script anew."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((HERE / "one_cte_tables.sql").read_text())


def events_per_second(url: str, *, seconds: float, clients: int) -> float:
    """Return how many events PostgreSQL alone takes, prepared, each committed durably."""
    programs = find_programs()
    assert programs is not None
    words = [str(programs / "pgbench"), "-n", "-M", "prepared", "-c", str(clients), "-j", "2"]
    words += ["-T", str(max(1, round(seconds))), "-f", str(HERE / "one_cte.sql"), url]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1]) * EVENTS_IN_SCRIPT
