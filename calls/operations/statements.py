"""The SQL of the write path: set-based, so that a group of events of any size costs as much as one.

PostgreSQL takes its rows from arrays (`unnest`), SQLite from one JSON text (`json_each`);
everything else is the same for both.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, models

from calls.models import Call, CallEvent, ClientNumber
from calls.models.calls import DERIVED_FIELDS, EVENT_COLUMNS, STATE_FIELDS

# A call's client is whoever has the other party's number; the row says which numbers that may be.
REMOTE = ("remote_first", "remote_second")
_CLIENT = "COALESCE({})".format(
    ", ".join(f"(SELECT client_id FROM {ClientNumber._meta.db_table} WHERE number = new.{name})" for name in REMOTE)  # noqa: S608
)

# What makes a call's row, and what is written back when its state changes.
CALL_UPDATES = (*STATE_FIELDS, *DERIVED_FIELDS, "updated_at")
CALL_COLUMNS = ("id", "external_id", *CALL_UPDATES, "created_at")
EVENT_ROW = ("call_id", *EVENT_COLUMNS)

Row = Sequence[Any]


def _plain(value: Any) -> Any:
    """Return a value as SQLite's columns hold it, inside JSON."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    return value


def _fields(model: type[models.Model], columns: Sequence[str]) -> "list[models.Field[Any, Any]]":
    by_column = {field.attname: field for field in model._meta.concrete_fields}
    return [by_column[column] for column in columns]


def _type(field: "models.Field[Any, Any]") -> str:
    """Return the PostgreSQL type of a column's values, without its length."""
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    kind = target.rel_db_type(connection) or ""
    return "text" if kind.startswith("varchar") else kind


def rows_source(model: type[models.Model], columns: Sequence[str], *, extra: Sequence[str] = ()) -> str:
    """Return a FROM item, named `new`, that yields the rows given to `parameters`.

    The columns are those of a model, followed by `extra` texts.
    """
    names = (*columns, *extra)
    if connection.vendor == "postgresql":
        types = [_type(field) for field in _fields(model, columns)] + ["text"] * len(extra)
        arrays = ", ".join(f"%s::{kind}[]" for kind in types)
        return f"unnest({arrays}) AS new({', '.join(names)})"
    values = ", ".join(f"json_extract(value, '$[{place}]') AS {column}" for place, column in enumerate(names))
    return f"(SELECT {values} FROM json_each(%s)) AS new"  # noqa: S608 - columns of ours


def parameters(rows: Iterable[Row], width: int) -> list[Any]:
    """Return the parameters that fill a `rows_source`."""
    if connection.vendor == "postgresql":
        columns = [list(column) for column in zip(*rows, strict=True)]
        return columns or [[] for _ in range(width)]
    return [json.dumps([[_plain(value) for value in row] for row in rows])]


def _run(sql: str, params: list[Any]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


def make_calls(rows: list[Row]) -> set[UUID]:
    """Add those calls that are not there yet, in id order, and return which these were.

    Waits for others that are just making one of them. Taking them in id order keeps two
    groups from waiting for each other.
    """
    table, columns = Call._meta.db_table, ", ".join(CALL_COLUMNS)
    found = _run(
        f"INSERT INTO {table} ({columns}, client_id) SELECT {columns}, {_CLIENT}"  # noqa: S608
        f" FROM {rows_source(Call, CALL_COLUMNS, extra=REMOTE)}"
        " WHERE true ORDER BY id ON CONFLICT (id) DO NOTHING RETURNING id",
        parameters(rows, len(CALL_COLUMNS) + len(REMOTE)),
    )
    return {value if isinstance(value, UUID) else UUID(value) for (value,) in found}


def update_calls(rows: list[Row]) -> None:
    """Write the new state of calls that are locked by us; a row is (id, *CALL_UPDATES, *REMOTE)."""
    columns = ("id", *CALL_UPDATES)
    changes = ", ".join([*(f"{column} = new.{column}" for column in CALL_UPDATES), f"client_id = {_CLIENT}"])
    table = Call._meta.db_table
    _run(
        f"UPDATE {table} SET {changes}"  # noqa: S608
        f" FROM {rows_source(Call, columns, extra=REMOTE)} WHERE {table}.id = new.id",
        parameters(rows, len(columns) + len(REMOTE)),
    )


def add_events(rows: list[Row]) -> set[tuple[str, str]]:
    """Add those events whose (source, event_id) is not known yet, and return these keys.

    They get their ids in the order in which they are given, which is the order in which live
    listeners are told of them. PostgreSQL inserts them in the order of their keys all the same, so
    that two groups do not wait for each other.
    """
    table, columns = CallEvent._meta.db_table, ", ".join(EVENT_ROW)
    source, order = rows_source(CallEvent, EVENT_ROW), ""
    if connection.vendor == "postgresql":
        source = f"(SELECT nextval('{table}_id_seq') AS id, {columns} FROM {source}) AS new"  # noqa: S608
        columns = f"id, {columns}"
        order = " ORDER BY source, event_id"
    found = _run(
        f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {source}"  # noqa: S608
        f" WHERE true{order} ON CONFLICT (source, event_id) DO NOTHING RETURNING source, event_id",
        parameters(rows, len(EVENT_ROW)),
    )
    return {(source, event_id) for source, event_id in found}
