"""Running the write path's statements, prepared where that is wanted.

On PostgreSQL they go past Django's cursor, which neither prepares nor reads binary results, to the
same connection and so into the same transaction. Errors are Django's, and Django's log of queries
(tests count them) sees them.
"""

from collections.abc import Sequence
from time import monotonic
from typing import Any, TypeAlias

import psycopg
from django.db import connection, connections

TUPLES = psycopg.pq.ExecStatus.TUPLES_OK

Row: TypeAlias = Sequence[Any]


def connect_apart() -> None:
    """Give this thread a connection of its own, outside the pool, that keeps its statements prepared.

    Outside the pool, because those who hold its connections may be waiting for this thread. Its
    plans are for tables of any size: one that was made while a table was empty would read all of
    it once it is large, and the write path never wants that.
    """
    alias = connection.alias
    known: dict[str, Any] = connections.settings[alias]
    options = {name: value for name, value in known["OPTIONS"].items() if name != "pool"}
    connections[alias] = type(connections[alias])({**known, "OPTIONS": options}, alias)
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET jit = off")
            cursor.execute("SET plan_cache_mode = force_generic_plan")
            for way in ("seqscan", "hashjoin", "mergejoin"):
                cursor.execute(f"SET enable_{way} = off")
        connection.connection.prepare_threshold = 1


def run(sql: str, parameters: Sequence[Any]) -> list[Row]:
    """Run a statement and return its rows."""
    if connection.vendor != "postgresql":
        with connection.cursor() as plain:
            plain.execute(sql, parameters)
            return plain.fetchall() if plain.description else []
    connection.ensure_connection()
    began = monotonic()
    with connection.wrap_database_errors:
        raw: Any = connection.connection
        cursor: psycopg.Cursor[Any] = psycopg.Cursor(raw)
        cursor.execute(sql, parameters, prepare=raw.prepare_threshold is not None, binary=True)
        result = cursor.pgresult
        rows = cursor.fetchall() if result is not None and result.status == TUPLES else []
    if connection.queries_logged:
        connection.queries_log.append({"sql": sql, "time": f"{monotonic() - began:.3f}"})
    return rows
