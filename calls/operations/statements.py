"""The SQL of the write path: set-based, so that a group of events of any size costs as much as one.

The same text of SQL serves every size, so that it can be prepared once. Calls, wide rows that leave much out, go
in as one JSON text (`json_to_recordset`, on SQLite `json_each`); what a row does not name is NULL. Events, narrow
ones of which there are more, go into PostgreSQL as a text of an array for each column: an array written out at once
costs next to nothing, and PostgreSQL reads it in half the time.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeAlias
from uuid import UUID

import orjson
from django.db import DataError, connection, models

from calls.models import Call, CallEvent, ClientNumber
from calls.models.calls import DERIVED_FIELDS, EVENT_COLUMNS, STATE_FIELDS
from calls.operations.running import run

# A call's client is whoever has the other party's number; the row says which numbers that may be.
REMOTE = ("remote_first", "remote_second")
_CLIENT = "COALESCE({})".format(
    ", ".join(f"(SELECT client_id FROM {ClientNumber._meta.db_table} WHERE number = new.{name})" for name in REMOTE)  # noqa: S608 - names of ours
)

# SQLSTATE of a division by zero, see _all_made.
_NOT_ALL_MADE = "22012"
# SQLSTATEs after which the same transaction may simply be tried again: serialization failure, deadlock.
TRY_AGAIN = {"40001", "40P01"}
# The transaction that writes, as the rows that it writes tell it (xmin).
_WRITER = "pg_current_xact_id()::xid::text"

# What makes a call's row, and what is written back when its state changes.
CALLS, EVENTS = Call._meta.db_table, CallEvent._meta.db_table
CALL_UPDATES = (*STATE_FIELDS, *DERIVED_FIELDS, "updated_at")
CALL_COLUMNS = ("id", "external_id", *CALL_UPDATES, "created_at")
EVENT_ROW = ("call_id", *EVENT_COLUMNS)

Row: TypeAlias = Mapping[str, Any]
Key: TypeAlias = tuple[str, str]


class NotAllMade(Exception):
    """Something was not to be had: somebody else was there before us. The transaction has to be undone, or is."""


def _json(rows: Sequence[Row]) -> str:
    if connection.vendor == "postgresql":
        return orjson.dumps(rows, default=interval).decode()
    return json.dumps([{name: _plain(value) for name, value in row.items()} for row in rows])


def interval(value: Any) -> str:
    """Return what orjson does not know, a length of time, as PostgreSQL reads it."""
    if isinstance(value, timedelta):
        if not value:
            return "0"
        seconds, microseconds = divmod(value // timedelta(microseconds=1), 1_000_000)
        return f"{seconds}.{microseconds:06} seconds"
    raise TypeError(type(value).__name__)


def _plain(value: Any) -> Any:
    """Return a value as SQLite's columns hold it, inside JSON."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    return value


def text_array(values: Sequence[Any]) -> str:
    """Return values as the text of a PostgreSQL array; that of nothing but NULL may be empty for `unnest`."""
    if values.count(None) == len(values):
        return "{}"
    text = orjson.dumps(values).decode()
    # Within quotes a JSON text is an array's text, unless there is an escape of more than the next character.
    if "\\" in text:
        return "{" + ",".join(map(_array_element, values)) + "}"
    return f"{{{text[1:-1]}}}"


def _array_element(value: Any) -> str:
    if value is None:
        return "NULL"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def types_of(model: type[models.Model], columns: Sequence[str]) -> list[str]:
    """Return the PostgreSQL types of columns' values, without their lengths."""
    by_column = {field.attname: field for field in model._meta.concrete_fields}
    types = []
    for column in columns:
        field: Any = by_column[column]
        target = field.target_field if isinstance(field, models.ForeignKey) else field
        kind = target.rel_db_type(connection) or ""
        # JSON comes as a text, because it may hold numbers that only Python's own module writes.
        types.append("text" if kind.startswith(("varchar", "json")) else kind)
    return types


def rows_source(model: type[models.Model], columns: Sequence[str], *, extra: Sequence[str] = ()) -> str:
    """Return a FROM item, named `new`, that yields the rows of a JSON text.

    The columns are those of a model, followed by `extra` texts.
    """
    names = (*columns, *extra)
    if connection.vendor == "postgresql":
        types = [*types_of(model, columns), *("text" for _ in extra)]
        pairs = ", ".join(f"{name} {kind}" for name, kind in zip(names, types, strict=True))
        return f"json_to_recordset(%s::json) AS new({pairs})"
    values = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in names)
    return f"(SELECT {values} FROM json_each(%s)) AS new"  # noqa: S608 - columns of ours


# -- The statements ---------------------------------------------------------------------------------


def lock_sql() -> str:
    """Return what locks those of some calls that are there, in id order, and reads their STATE_FIELDS."""
    columns = ", ".join(("id", *STATE_FIELDS))
    return f"SELECT {columns} FROM {CALLS} WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE"  # noqa: S608 - names of ours


def _add(*, only_if: str = "true") -> str:
    # Events get their ids in the order in which they are given, which is the order in which live listeners are
    # told of them. They are inserted in the order of their keys all the same: two groups then never wait for
    # each other in a circle. Whoever writes has SQLite for itself.
    columns = ", ".join(EVENT_ROW)
    source, order, values = rows_source(CallEvent, EVENT_ROW), "", columns
    if connection.vendor == "postgresql":
        arrays = ", ".join(f"%s::{kind}[]" for kind in types_of(CallEvent, EVENT_ROW))
        numbered = f"SELECT nextval('{EVENTS}_id_seq') AS id, {columns} FROM unnest({arrays}) AS given({columns})"  # noqa: S608 - names of ours
        source, order = f"({numbered}) AS new", " ORDER BY source, event_id"
        columns, values = f"id, {columns}", f"id, {columns.replace('metadata', 'metadata::jsonb')}"
    return (
        f"INSERT INTO {EVENTS} ({columns}) SELECT {values} FROM {source} WHERE {only_if}{order}"  # noqa: S608 - names of ours
        " ON CONFLICT (source, event_id) DO NOTHING RETURNING source, event_id"
    )


def _lock_and_add() -> str:
    # Of a UNION ALL, the first part is read to its end before the second begins: everybody locks, then adds.
    # Which were added is only told where not all were, which is rare.
    nulls = ", ".join(f"NULL::{kind}" for kind in types_of(Call, ("id", *STATE_FIELDS)))
    told = "CASE WHEN count(*) < %s::int THEN json_agg(json_build_array(source, event_id))::text END"
    return (
        f"WITH locked AS MATERIALIZED ({lock_sql()}), added AS ({_add()})"  # noqa: S608 - names of ours
        " SELECT locked.*, NULL::int AS count, NULL::text AS told FROM locked"
        f" UNION ALL SELECT {nulls}, count(*)::int, {told} FROM added"
    )


def _make(*, only_if: str = "true") -> str:
    columns = ", ".join(CALL_COLUMNS)
    return (
        f"INSERT INTO {CALLS} ({columns}, client_id) SELECT {columns}, {_CLIENT}"  # noqa: S608 - names of ours
        f" FROM {rows_source(Call, CALL_COLUMNS, extra=REMOTE)}"
        f" WHERE {only_if} ORDER BY id ON CONFLICT (id) DO NOTHING RETURNING id"
    )


def _update(*, extra: Sequence[str] = (), only_if: str = "true") -> str:
    changes = ", ".join([*(f"{column} = new.{column}" for column in CALL_UPDATES), f"client_id = {_CLIENT}"])
    source = rows_source(Call, ("id", *CALL_UPDATES), extra=(*REMOTE, *extra))
    return f"UPDATE {CALLS} SET {changes} FROM {source} WHERE {CALLS}.id = new.id AND {only_if}"  # noqa: S608 - names of ours


def _make_all() -> str:
    return f"WITH made AS ({_make()}) {_all_made()}"


def _make_all_and_update() -> str:
    return f"WITH made AS ({_make()}), updated AS ({_update()}) {_all_made()}"


def _update_all() -> str:
    return f"WITH updated AS ({_update()}) SELECT {_WRITER}"


def _all_made() -> str:
    # Fails where fewer were made than wanted: so the statement can be sent together with the COMMIT that follows.
    return f"SELECT {_WRITER}, 1 / (count(*) = %s::int)::int FROM made"  # noqa: S608 - words of ours


def _as_foreseen(*, new: bool, changed: bool) -> str:
    # Each part waits for the one before, in the order in which everybody takes locks: calls that are there, events,
    # calls that are not. One that finds less than was foreseen leaves nothing to the next, and the division fails.
    parts = []
    only_if = "true"
    if changed:
        is_ours = f"{CALLS}.xmin = new.seen::xid"
        parts.append(f"changed AS ({_update(extra=('seen',), only_if=is_ours)} RETURNING 1)")
        only_if = "(SELECT count(*) FROM changed) = %s::int"
    parts.append(f"added AS ({_add(only_if=only_if)})")
    done = "(SELECT count(*) FROM added) = %s::int"
    if new:
        parts.append(f"made AS ({_make(only_if=done)})")
        done = "(SELECT count(*) FROM made) = %s::int"
    return f"WITH {', '.join(parts)} SELECT {_WRITER}, 1 / ({done})::int"


def _new_as_foreseen() -> str:
    return _as_foreseen(new=True, changed=False)


def _changed_as_foreseen() -> str:
    return _as_foreseen(new=False, changed=True)


def _all_as_foreseen() -> str:
    return _as_foreseen(new=True, changed=True)


@cache
def _sql(write: Callable[[], str], vendor: str) -> str:
    """Return the text of a statement; each is put together once for each kind of database."""
    return write()


def _run(write: Callable[[], str], *parameters: str, last: bool = False) -> list[Any]:
    return run(_sql(write, connection.vendor), parameters, last=last)


def lock_and_add(
    calls: Sequence[UUID], events: Sequence[Sequence[Any]]
) -> tuple[dict[UUID, list[Any]], set[Key] | None]:
    """Lock those calls that are there, in id order, and add those events that are not known yet.

    The events are given as their columns, EVENT_ROW. Returns the locked calls' rows of STATE_FIELDS, and the
    (source, event_id) of what was added; None if that is all.
    """
    if connection.vendor != "postgresql":
        rows = [dict(zip(EVENT_ROW, row, strict=True)) for row in zip(*events, strict=True)]
        return lock(calls), {(source, event_id) for source, event_id in _run(_add, _json(rows))}
    added: set[Key] | None = None
    arrays = map(text_array, events)
    *locked, last = _run(_lock_and_add, uuid_array(calls), *arrays, str(len(events[0])))
    count, told = last[-2:]
    if count < len(events[0]):
        added = {(source, event_id) for source, event_id in orjson.loads(told or "[]")}
    return {call: state for call, *state, _, _ in locked}, added


def lock(calls: Sequence[UUID]) -> dict[UUID, list[Any]]:
    """Lock those calls that are there, in id order, and return their rows of STATE_FIELDS."""
    if connection.vendor == "postgresql":
        return {call: state for call, *state in _run(lock_sql, uuid_array(calls))}
    # Whoever writes has SQLite for itself; its columns need Django's reading.
    rows = Call.objects.filter(pk__in=calls).values_list("pk", *STATE_FIELDS)
    return {call: list(state) for call, *state in rows}


def uuid_array(calls: Iterable[UUID]) -> str:
    """Return ids as the text of a PostgreSQL array."""
    return text_array(list(calls))


def write_calls(*, new: Sequence[Row], changed: Sequence[Row], last: bool = False) -> str:
    """Make new calls and write the changed states of calls that are locked by us; return by which transaction.

    Rows of CALL_COLUMNS and REMOTE; a changed one needs no more than its id and CALL_UPDATES. Raises NotAllMade
    if somebody else made one of the new ones meanwhile. With `last`, it may be committed at once (`running.run`).
    """
    if connection.vendor != "postgresql":
        made = _run(_make, _json(new)) if new else []
        if changed:
            _run(_update, _json(changed))
        if len(made) < len(new):
            raise NotAllMade
        return ""
    if new and changed:
        return _write(_make_all_and_update, _json(new), _json(changed), str(len(new)), last=last)
    if new:
        return _write(_make_all, _json(new), str(len(new)), last=last)
    return _write(_update_all, _json(changed), last=last) if changed else ""


def write_foreseen(*, new: Sequence[Row], changed: Sequence[Row], events: Sequence[Sequence[Any]]) -> str:
    """Change calls, add events and make new calls, in one statement; return by which transaction (PostgreSQL only).

    Rows as for `lock_and_add` and `write_calls`; a changed one also names as `seen` the transaction that wrote what
    it replaces. Raises NotAllMade if anything was otherwise, and then nothing has happened.
    """
    # In the order in which they stand in the statement.
    texts = [_json(changed)] if changed else []
    texts += map(text_array, events)
    if changed:
        texts.append(str(len(changed)))
    if new:
        texts.append(_json(new))
    texts.append(str(len(events[0])))
    if new:
        texts.append(str(len(new)))
    return _write(_all_as_foreseen if new and changed else _new_as_foreseen if new else _changed_as_foreseen, *texts)


def _write(write: Callable[[], str], *parameters: str, last: bool = False) -> str:
    try:
        [[writer, *_]] = _run(write, *parameters, last=last)
    except DataError as error:
        if getattr(error.__cause__, "sqlstate", None) != _NOT_ALL_MADE:
            raise
        raise NotAllMade from None
    return str(writer)
