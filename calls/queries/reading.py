"""Asking what is asked very often: prepared, and answered in PostgreSQL's binary form.

Where no transaction goes on, the pool lends a connection for just the one statement (`read_apart` keeps one),
which goes straight to libpq: psycopg's cursor takes as long for it as the database does. In a transaction it goes
by a cursor, over the transaction's connection. Errors are Django's, and Django's log of queries (tests count
them and look at their plans) sees them.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from time import monotonic
from typing import Any, TypeVar

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

from calls.queries.values import as_list

# So many different statements each connection keeps prepared.
MOST_PREPARED = 100
BINARY = psycopg.pq.Format.BINARY
TUPLES = psycopg.pq.ExecStatus.TUPLES_OK
DONE = psycopg.pq.ExecStatus.COMMAND_OK

_numbers = count(1)
M = TypeVar("M", bound=models.Model)


def read_apart() -> None:
    """Give this thread a connection of its own, outside the pool, for reading the same again and again.

    Its plans are for tables of any size: one that was made while a table was empty would read all of it
    for ever after. Nothing may be open on the thread's connection.
    """
    if connection.vendor != "postgresql":
        return
    alias = connection.alias
    known: dict[str, Any] = connections.settings[alias]
    options = {name: value for name, value in known["OPTIONS"].items() if name != "pool"}
    ways = " ".join(f"-c enable_{way}=off" for way in ("seqscan", "hashjoin", "mergejoin"))
    options["options"] = f"{options.get('options', '')} {ways}"
    connections[alias] = type(connections[alias])({**known, "OPTIONS": options}, alias)


def read(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the rows that a SELECT finds. Its text should not change from one time to the next: each is prepared.

    Parameters are texts, numbers, instants and UUIDs; the database infers their types.
    """
    wrapper: Any = connections[DEFAULT_DB_ALIAS]  # `connection` looks it up anew for each of its attributes
    if wrapper.vendor != "postgresql":
        with wrapper.cursor() as plain:
            plain.execute(sql, params)
            return list(plain.fetchall())
    began = monotonic()
    pool = wrapper.pool if wrapper.connection is None else None
    with wrapper.wrap_database_errors:
        if pool is None:
            wrapper.ensure_connection()
            if wrapper.get_autocommit():
                rows = _ask(wrapper.connection, sql, params)
            else:
                cursor: psycopg.Cursor[Any] = psycopg.Cursor(wrapper.connection)
                rows = cursor.execute(sql, params, binary=True).fetchall()
        else:
            pool.open()
            lent = pool.getconn()
            try:
                rows = _ask(lent, sql, params)
            finally:
                pool.putconn(lent)
    if wrapper.queries_logged:
        wrapper.queries_log.append({"sql": wrapper.ops.compose_sql(sql, params), "time": f"{monotonic() - began:.3f}"})
    return rows


def rows_by_id(model: type[M], keys: Sequence[Any]) -> dict[Any, M]:
    """Return the rows of a table that have one of these keys, by their keys."""
    if connection.vendor != "postgresql":
        return model._default_manager.in_bulk(keys)
    sql, names = _by_id(model)
    found = [model.from_db(connection.alias, names, row) for row in read(sql, [as_list(keys)])] if keys else []
    return {row.pk: row for row in found}


@lru_cache
def _by_id(model: type[models.Model]) -> tuple[str, list[str]]:
    """Return the statement of `rows_by_id`, and the names of what it finds."""
    meta: Any = model._meta
    columns = ", ".join(f'"{field.column}"' for field in meta.concrete_fields)
    kind = meta.pk.rel_db_type(connection)
    sql = f'SELECT {columns} FROM {meta.db_table} WHERE "{meta.pk.column}" = ANY(%s::{kind}[])'  # noqa: S608 - names of ours
    return sql, [field.attname for field in meta.concrete_fields]


def _ask(lent: "psycopg.Connection[Any]", sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the rows that a statement finds over a connection on which nothing else goes on."""
    pgconn = lent.pgconn
    values = [str(value).encode() for value in params]
    names: dict[str, bytes] = vars(lent).setdefault("_read_by_us", {})
    name = names.get(sql)
    if name is None and len(names) < MOST_PREPARED and settings.GROUP_COMMIT:
        # Without GROUP_COMMIT we may be behind a pooler that keeps no connection, and so nothing prepared, for us.
        name = b"read_%d" % next(_numbers)
        _check(pgconn.prepare(name, _numbered(sql)), DONE)
        names[sql] = name
    if name is None:
        result = pgconn.exec_params(_numbered(sql), values, result_format=BINARY)
    else:
        result = pgconn.exec_prepared(name, values, result_format=BINARY)
    if result.status != TUPLES:
        names.clear()  # whatever it was: perhaps somebody took away what was prepared
    _check(result, TUPLES)
    found = Transformer(lent)
    found.set_pgresult(result)
    rows: list[tuple[Any, ...]] = found.load_rows(0, result.ntuples, tuple)
    return rows


def _check(result: Any, wanted: psycopg.pq.ExecStatus) -> None:
    if result.status != wanted:
        raise error_from_result(result)


@lru_cache(maxsize=256)
def _numbered(sql: str) -> bytes:
    """Return a statement with PostgreSQL's own placeholders."""
    first, *others = sql.split("%s")
    text = first + "".join(f"${place}{part}" for place, part in enumerate(others, 1))
    return text.replace("%%", "%").encode()
