"""What events and calls take on disk: `python -m benchmarks.storage [--calls N]`, on a PostgreSQL cluster of its own.

Sample calls are recorded through the product's write path, many at a time, or `--singly`, as telephony systems report
them: event by event over HTTP. The tables are then vacuumed but not rewritten, so that what updates leave behind is
counted. Prints bytes a row, by table and index.
"""

import argparse
import json
import subprocess
import sys
from typing import Any

import psycopg

from benchmarks.lab import ROOT, laboratory

CONNECTIONS = 32
TABLES = ("calls_callevent", "calls_call")
PARTS = """
    SELECT relation.oid::regclass::text, pg_relation_size(relation.oid)
    FROM pg_class AS relation
    WHERE relation.oid = %(table)s::regclass
        OR relation.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = %(table)s::regclass)
    UNION ALL
    SELECT 'TOAST, maps', pg_table_size(%(table)s) - pg_relation_size(%(table)s)
    ORDER BY 2 DESC
"""
COLUMNS = """
    SELECT pg_stats.attname, format_type(atttypid, atttypmod), avg_width * (1 - null_frac)
    FROM pg_stats JOIN pg_attribute ON attrelid = tablename::regclass AND pg_attribute.attname = pg_stats.attname
    WHERE tablename = %s ORDER BY 3 DESC
"""


def measure(url: str) -> dict[str, Any]:
    """Return, of each table, its rows, the bytes a row of the heap and of each index, and the widths of its columns."""
    found: dict[str, Any] = {}
    with psycopg.connect(url, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(f"VACUUM ANALYZE {table}")  # a table of ours
            [rows] = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or [0]
            parts = connection.execute(PARTS, {"table": table}).fetchall()
            columns = connection.execute(COLUMNS, [table]).fetchall()
            found[table] = {
                "rows": rows,
                "bytes a row": {name: size / max(1, rows) for name, size in parts},
                "columns": {f"{name} {kind}": float(width) for name, kind, width in columns if width},
            }
    return found


def main() -> None:
    """Fill, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=50_000, help="how many sample calls (default: %(default)s)")
    parser.add_argument("--singly", action="store_true", help="one event a request, three for each call")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    with laboratory(seconds=1, rounds=1) as lab:
        if options.singly:
            with lab.server() as server:
                server.load(connections=CONNECTIONS, seconds=0, least=options.calls * 3 // CONNECTIONS)
        else:
            words = ["--calls", str(options.calls), "--days", "30", "--seed", "1"]
            command = [sys.executable, str(ROOT / "create_test_data.py"), *words]
            subprocess.run(command, cwd=ROOT, env=lab.environ, check=True, stdout=subprocess.DEVNULL)
        found = measure(lab.url)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for table, said in found.items():
        parts = said["bytes a row"]
        print(f"\n{table}: {said['rows']:,} rows, {sum(parts.values()):,.0f} bytes a row")
        for name, size in parts.items():
            print(f"  {size:8,.1f}  {name}")
        print("  of a row, by column: " + ", ".join(f"{name} {width:.0f}" for name, width in said["columns"].items()))


if __name__ == "__main__":
    main()
