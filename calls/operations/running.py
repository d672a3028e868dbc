"""Running the write path's statements, prepared where that is wanted.

On PostgreSQL they go past Django's cursor, which neither prepares nor reads binary results, to the
same connection and so into the same transaction. Errors are Django's, and Django's log of queries
(tests count them) sees them.
"""

from collections.abc import Sequence
from threading import local
from time import monotonic
from typing import Any, TypeAlias

import psycopg
from django.db import connection, connections

from calls.operations.lane import AVAILABLE, Lane

TUPLES = psycopg.pq.ExecStatus.TUPLES_OK

Row: TypeAlias = Sequence[Any]

# Each thread's own lane, if it has a connection apart.
_own = local()


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
        if AVAILABLE:
            _own.lane = Lane(connection.connection)


def run(sql: str, parameters: Sequence[Any], *, last: bool = False) -> list[Row]:
    """Run a statement and return its rows.

    If it is the `last` of the open transaction, that may be committed with it, which saves a wait: nothing may
    follow, and whatever makes the statement fail undoes all of it.
    """
    if connection.vendor != "postgresql":
        with connection.cursor() as plain:
            plain.execute(sql, parameters)
            return plain.fetchall() if plain.description else []
    connection.ensure_connection()
    began = monotonic()
    with connection.wrap_database_errors:
        raw: Any = connection.connection
        lane = getattr(_own, "lane", None)
        if lane is not None and lane.connection is raw:
            rows: list[Row] = lane.run(sql, parameters, last=last and _is_outermost())
            _log(sql, began)
            return rows
        cursor: psycopg.Cursor[Any] = psycopg.Cursor(raw)
        cursor.execute(sql, parameters, prepare=raw.prepare_threshold is not None, binary=True)
        result = cursor.pgresult
        rows = cursor.fetchall() if result is not None and result.status == TUPLES else []
    _log(sql, began)
    return rows


def copy(sql: str, block: bytes) -> None:
    """Run a COPY … FROM STDIN of rows that are written out already (PostgreSQL only)."""
    connection.ensure_connection()
    began = monotonic()
    with connection.wrap_database_errors:
        cursor: psycopg.Cursor[Any] = psycopg.Cursor(connection.connection)
        with cursor.copy(sql.encode()) as rows:
            rows.write(block)
    _log(sql, began)


def _is_outermost() -> bool:
    """Say whether the open transaction ends where the block does that we are in."""
    return len(connection.atomic_blocks) == 1


def _log(sql: str, began: float) -> None:
    if connection.queries_logged:
        connection.queries_log.append({"sql": sql, "time": f"{monotonic() - began:.3f}"})
