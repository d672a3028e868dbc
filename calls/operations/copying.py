"""Large groups of events that nobody knows yet, copied: COPY spares PostgreSQL a quarter of what INSERT costs it.

COPY knows no ON CONFLICT, so this is a bet that all the events are new, and that nobody else makes one of the new
calls meanwhile (docs/decisions/0029). Whoever loses it undoes the transaction and goes the way that looks first. Locks
are taken in the order of every group: calls that are there, events, calls that are not, each by id.

Rows go in as CSV. msgspec writes those of a whole group at once as JSON, of which the texts are those of a CSV whose
escape is a backslash, and the lengths of time ISO 8601's (https://www.postgresql.org/docs/current/sql-copy.html).
"""

import re
from collections.abc import Collection, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from django.db import IntegrityError, connection

from calls.models import Call, ClientNumber
from calls.models.calls import STATE_FIELDS
from calls.operations import running
from calls.operations.statements import (
    CALL_COLUMNS,
    CALLS,
    EVENT_ROW,
    EVENTS,
    lock_sql,
    text_array,
    types_of,
    uuid_array,
)

# Groups of so many events were measured; copied, they cost a sixth less, large ones a quarter.
LEAST = 30
# So many of a group's events are looked up before it is copied: what is known already comes mostly in long runs, as
# when a file is imported again, and what is copied in vain has to be cleaned up by the database.
LOOKED_UP = 16
# After a lost bet so many groups of the process look first; as many again, up to MOST_CAUTION, if the next one is lost.
CAUTION, MOST_CAUTION = 4, 256

COPIED_CALL = (*CALL_COLUMNS, "client_id")
_FORMAT = "WITH (FORMAT csv, ESCAPE '\\', NULL 'null')"
_UNIQUE_VIOLATION = "23505"
_SOURCE, _EVENT_ID = EVENT_ROW.index("source"), EVENT_ROW.index("event_id")
# Escapes of JSON that a CSV does not have, after any number of backslashes that stand for themselves.
_OTHER_ESCAPES = re.compile(rb'(?<!\\)(?:\\\\)*\\[^"\\]')

_encoder = msgspec.json.Encoder()

Row: TypeAlias = Sequence[Any]


class Lost(Exception):
    """Something was there already; the transaction has to be undone."""


class Luck:
    """Whether it has lately been right to bet. Threads share it, and may be off by a group."""

    def __init__(self) -> None:
        self._caution = CAUTION
        self._looks = 0

    def bets(self, size: int) -> bool:
        """Say whether a group of so many events should be copied."""
        if size < LEAST or connection.vendor != "postgresql" or connection.in_atomic_block:
            return False
        if self._looks > 0:
            self._looks -= 1
            return False
        return True

    def won(self) -> None:
        """Learn that a group was copied."""
        self._caution = CAUTION

    def lost(self) -> None:
        """Learn that a group was not."""
        self._looks, self._caution = self._caution, min(2 * self._caution, MOST_CAUTION)


luck = Luck()


def lock_and_copy(calls: Collection[UUID], events: Sequence[Sequence[Any]]) -> dict[UUID, list[Any]]:
    """Lock those calls that are there, in id order, and add the events; return the locked calls' rows of STATE_FIELDS.

    The events are given as their columns, EVENT_ROW, in the order in which live listeners are to be told of them. They
    are added in the order of their keys. Raises Lost.
    """
    size = len(events[0])
    some = slice(None, None, -(-size // LOOKED_UP))
    texts = [text_array(events[_SOURCE][some]), text_array(events[_EVENT_ID][some])]
    *locked, last = running.run(_lock_and_draw(), [uuid_array(calls), *texts, str(size)])
    if last[-1] is None:
        raise Lost
    filled = [place for place, column in enumerate(events) if column.count(None) < size]
    names = ", ".join(("id", *(EVENT_ROW[place] for place in filled)))
    rows = sorted(
        zip(last[-1].split(), *(events[place] for place in filled), strict=True),
        key=itemgetter(1 + _SOURCE, 1 + _EVENT_ID),
    )
    _copy(f"COPY {EVENTS} ({names}) FROM STDIN {_FORMAT}", rows)
    return {call: state for call, *state, _ in locked}


def copy_calls(rows: Sequence[Row]) -> None:
    """Make new calls, given as COPIED_CALL; raises Lost if somebody else has made one of them."""
    _copy(f"COPY {CALLS} ({', '.join(COPIED_CALL)}) FROM STDIN {_FORMAT}", sorted(rows, key=lambda row: row[0].int))


def clients_of(numbers: Collection[str]) -> dict[str, int]:
    """Return whose numbers these are, of those that are somebody's."""
    sql = f"SELECT number, client_id FROM {ClientNumber._meta.db_table} WHERE number = ANY(%s::text[])"  # noqa: S608 - names of ours
    return {str(number): int(client) for number, client in running.run(sql, [text_array(list(numbers))])}


@cache
def _lock_and_draw() -> str:
    # Of a UNION ALL, the first part is read to its end before the second begins. So the events' ids are drawn when the
    # calls are locked, and are greater than those of all events of these calls that anybody has committed.
    nulls = ", ".join(f"NULL::{kind}" for kind in types_of(Call, ("id", *STATE_FIELDS)))
    known = (
        f"SELECT FROM unnest(%s::text[], %s::text[]) AS given(source, event_id) JOIN {EVENTS} USING (source, event_id)"
    )
    draw = f"SELECT string_agg(nextval('{EVENTS}_id_seq')::text, ' ') FROM generate_series(1, %s::int)"  # noqa: S608 - names of ours
    return (
        f"WITH locked AS MATERIALIZED ({lock_sql()}) SELECT locked.*, NULL::text AS ids FROM locked"  # noqa: S608 - names of ours
        f" UNION ALL SELECT {nulls}, CASE WHEN NOT EXISTS ({known}) THEN ({draw}) END"
    )


def _copy(sql: str, rows: Sequence[Row]) -> None:
    try:
        running.copy(sql, as_csv(rows))
    except IntegrityError as error:
        if getattr(error.__cause__, "sqlstate", None) != _UNIQUE_VIOLATION:
            raise
        raise Lost from None


def as_csv(rows: Sequence[Row]) -> bytes:
    """Return rows as the lines of a CSV of which a backslash is the escape, and `null` is NULL."""
    text = _encoder.encode_lines(rows)  # each in brackets, on a line of its own
    if b"\\" in text and _OTHER_ESCAPES.search(text):
        return "\n".join(",".join(map(_field, row)) for row in rows).encode()
    return b"\n".join([line[1:-1] for line in text.split(b"\n")])


def _field(value: Any) -> str:
    if isinstance(value, str):
        value = str(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{value}"'
    return _encoder.encode(value).decode()
