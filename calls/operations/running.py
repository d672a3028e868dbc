"""Running the write path's statements: together in one message, and prepared where that is wanted.

On PostgreSQL they go past Django's cursor, which neither prepares nor reads binary results, to the
same connection and so into the same transaction. Errors are Django's, and Django's log of queries
(tests count them) sees them.
"""

from collections.abc import Sequence
from time import monotonic
from typing import Any, TypeAlias

import psycopg
from django.db import connection, connections

Statement: TypeAlias = tuple[str, list[Any]]
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
            for way in ("seqscan", "hashjoin", "mergejoin"):
                cursor.execute(f"SET enable_{way} = off")
        connection.connection.prepare_threshold = 1


def run(statement: Statement) -> list[Row]:
    """Run one statement and return its rows."""
    return run_together(statement)[0]


def run_together(*statements: Statement) -> list[list[Row]]:
    """Run statements in their order and return the rows of each."""
    if connection.vendor != "postgresql":
        return [_run_plainly(statement) for statement in statements]
    connection.ensure_connection()
    began = monotonic()
    with connection.wrap_database_errors:
        results = _run_binary(connection.connection, statements)
    if connection.queries_logged:
        time = f"{monotonic() - began:.3f}"
        connection.queries_log.extend({"sql": sql, "time": time} for sql, _ in statements)
    return results


def _run_plainly(statement: Statement) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(*statement)
        return cursor.fetchall() if cursor.description else []


def _run_binary(raw: Any, statements: Sequence[Statement]) -> list[list[Row]]:
    prepare = raw.prepare_threshold is not None
    if len(statements) == 1:
        return [_rows(_execute(raw, statements[0], prepare))]
    with raw.pipeline():
        cursors = [_execute(raw, statement, prepare) for statement in statements]
    return [_rows(cursor) for cursor in cursors]


def _execute(raw: Any, statement: Statement, prepare: bool) -> Any:
    cursor = psycopg.Cursor(raw)
    cursor.execute(*statement, prepare=prepare, binary=True)
    return cursor


def _rows(cursor: Any) -> list[Row]:
    return cursor.fetchall() if cursor.description else []
