"""Following the logs: what has been added since the last look, in an order that skips nothing.

Ids are given out when a row is inserted, but become visible in the order of commits: on PostgreSQL
an id may appear after higher ones did. Whoever only asks for "id > the highest" never sees it. So
the ids missed so far are kept as gaps, and each look asks for them too. A gap is given up when every
transaction that was writing to the log when it was noticed has ended. Such a transaction is known by
its lock on the table, which it has from before its first id until after its rows are visible.

Within one call there is no such problem: whoever commits an event of a call has drawn its id after
those before had committed, and each look takes its rows in the order of ids.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import msgspec
from django.contrib.auth import get_user_model
from django.db import connection, models

from calls.models import Call, CallEvent, Client
from calls.queries.reading import read, rows_by_id
from calls.queries.values import as_list, as_uuid, unpacked

# How many rows one look takes at most, beside what fills gaps.
STRETCH = 1000
# How far back the first look searches for ids that may still appear.
LOOK_BACK = 50_000
# With more gaps than this, they are asked for only at every tenth look.
MANY_GAPS = 500


# What somebody may want to hear of: a call, a number, a client; None stands for all.
Labels: TypeAlias = Collection[UUID | str | int | None]
ALL: Labels = frozenset([None])


class Glance(NamedTuple):
    """Of a call, what decides who wants to hear of it."""

    numbers: frozenset[str]
    client: int | None
    status: str


class Entry(NamedTuple):
    """A row of a log; `settled` is the id up to which, once this entry is told, everything was told."""

    id: int
    call: UUID
    glance: Glance
    settled: int


@dataclass(slots=True)
class Gap:
    """Ids that were skipped, and the transactions that may still add them, once these have been looked up."""

    first: int
    last: int
    writers: frozenset[str] | None = None


class Tail:
    """The end of one log, seen by somebody who looks at it again and again."""

    def __init__(self, model: type[models.Model]) -> None:
        self._model = model
        self._table = model._meta.db_table
        self._gaps: list[Gap] = []
        self._looks = 0
        self.top = 0
        self.seen = 0
        self.behind = False
        self._begin()

    @property
    def settled(self) -> int:
        """The id up to which all has been seen, or will never come."""
        return self._gaps[0].first - 1 if self._gaps else self.top

    @property
    def has_gaps(self) -> bool:
        """Whether an id is missing that may still appear."""
        return bool(self._gaps)

    def look(self, labels: Labels = ALL) -> list[Entry]:
        """Return what is new of the calls with one of the labels, in the order of ids.

        `seen` says how much is new of all calls, `behind` whether there was more than one look takes.
        """
        writing = self._look_at_writers()
        self._looks += 1
        with_gaps = bool(self._gaps) and (len(self._gaps) <= MANY_GAPS or self._looks % 10 == 0)
        ids, rows = self._read(labels, with_gaps=with_gaps)
        self.seen = len(ids)
        new = [id for id in ids if id > self.top]
        self.behind = len(new) >= STRETCH
        if len(new) < len(ids):
            self._fill([id for id in ids if id < self.top])
        if with_gaps:  # which were read after all who could fill them had ended
            self._gaps = [gap for gap in self._gaps if gap.writers is None or gap.writers & writing]
        self._go_on(new)
        settled = self.settled  # no gap that was noticed just now lies before an id that it follows
        return [Entry(id, call, glance, min(id, settled)) for id, call, glance in rows]

    def _go_on(self, new: Sequence[int]) -> None:
        """Stand after the new ids, and take the gaps between them in."""
        if not new:
            return
        if connection.vendor == "postgresql" and new[-1] - self.top > len(new):
            for before, id in zip([self.top, *new], new, strict=False):
                if id > before + 1:
                    self._gaps.append(Gap(before + 1, id - 1))
        self.top = new[-1]

    def _fill(self, ids: Sequence[int]) -> None:
        """Take ids that have appeared out of the gaps; both are in ascending order."""
        gaps: list[Gap] = []
        appeared = iter(ids)
        id = next(appeared, None)
        for gap in self._gaps:
            first = gap.first
            while id is not None and id <= gap.last:
                if id >= first:
                    if id > first:
                        gaps.append(Gap(first, id - 1, gap.writers))
                    first = id + 1
                id = next(appeared, None)
            if first <= gap.last:
                gaps.append(Gap(first, gap.last, gap.writers))
        self._gaps = gaps

    def _look_at_writers(self) -> frozenset[str]:
        """Return which transactions are writing to the log, and note them for the gaps noticed before."""
        if not self._gaps:
            return frozenset()
        rows = read(
            "SELECT virtualtransaction FROM pg_locks WHERE relation = %s::text::regclass AND mode = 'RowExclusiveLock'"
            " AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [self._table],
        )
        writing = frozenset(transaction for (transaction,) in rows)
        for gap in self._gaps:
            if gap.writers is None:
                gap.writers = writing
        return writing

    def _read(self, labels: Labels, *, with_gaps: bool) -> tuple[list[int], list[tuple[int, UUID, Glance]]]:
        """Return the ids of the new rows and of those in gaps, and the rows of wanted calls among them.

        All from one snapshot: else a call's later row might come first.
        """
        values: list[Any] = [self.top]
        if with_gaps:
            values += [as_list([gap.first for gap in self._gaps]), as_list([gap.last for gap in self._gaps])]
        everything = None in labels
        if not everything:
            values += _kinds(frozenset(labels))
        rows = read(_look(self._table, with_gaps, everything, connection.vendor == "postgresql"), values)
        ids: list[int] = []
        wanted = []
        for call, calling, called, client, status, packed in rows:
            its = msgspec.json.decode(packed or "[]", type=list[int])
            if call is None:
                ids = sorted(its)
            else:
                key, glance = as_uuid(call), Glance(frozenset((calling, called)), client, status)
                wanted += [(id, key, glance) for id in its]
        wanted.sort(key=lambda row: row[0])
        return ids, wanted

    def _begin(self) -> None:
        """Stand after the last id given out, knowing which of the latest ones are missing."""
        self.top = last_id_given_out(self._model)
        if connection.vendor == "postgresql":
            floor = max(0, self.top - LOOK_BACK)
            ids = f"SELECT id FROM {self._table} WHERE id > %s AND id <= %s UNION ALL SELECT %s"  # noqa: S608 - names of ours
            pairs = f"SELECT id, lag(id, 1, %s::bigint) OVER (ORDER BY id) AS earlier FROM ({ids}) AS ids"  # noqa: S608 - names of ours
            rows = _rows(
                f"SELECT earlier + 1, id - 1 FROM ({pairs}) AS pairs WHERE id > earlier + 1 ORDER BY id",  # noqa: S608 - names of ours
                [floor, floor, self.top, self.top + 1],
            )
            self._gaps = [Gap(first, last) for first, last in rows]
            self.look(())  # most of these have been given up long ago


@lru_cache
def _look(table: str, with_gaps: bool, everything: bool, postgresql: bool) -> str:
    """Return the statement of a look: a row with all ids that are new, and one for each wanted call with its own."""
    fresh = f"(SELECT id, call_id FROM {table} WHERE id > %s ORDER BY id LIMIT {STRETCH})"  # noqa: S608 - names of ours
    if with_gaps:
        fresh += (
            " UNION ALL SELECT log.id, log.call_id FROM unnest(%s::bigint[], %s::bigint[]) AS gap(first, last)"  # noqa: S608 - names of ours
            f" JOIN {table} AS log ON log.id BETWEEN gap.first AND gap.last"
        )
    elif not postgresql:
        fresh = fresh[1:-1]
    # Numbers are compared byte by byte, as their columns are.
    collation = ' COLLATE "C"' if postgresql else ""
    lists = "" if everything else f", numbers(number) AS (SELECT {unpacked('text')}{collation})"
    wanted = (
        ""
        if everything
        else (
            " WHERE calling_number IN (SELECT number FROM numbers) OR called_number IN (SELECT number FROM numbers)"  # noqa: S608 - names of ours
            f" OR client_id IN (SELECT {unpacked('bigint')}) OR call.id IN (SELECT {unpacked('uuid')})"
        )
    )
    nothing = "NULL, NULL, NULL, NULL, NULL"
    collected, packed = "json_group_array(id)", "%s"
    if postgresql:
        nothing = "NULL::uuid, NULL, NULL, NULL::bigint, NULL"
        collected, packed = "array_agg(id)", "array_to_json(%s)::text"
    # The events of a call come together, so that each call is looked up once.
    return (
        f"WITH fresh AS ({fresh}), by_call AS (SELECT call_id, {collected} AS ids FROM fresh GROUP BY call_id){lists}"  # noqa: S608 - names of ours
        f" SELECT {nothing}, {packed % collected} FROM fresh"
        f" UNION ALL SELECT call.id, calling_number, called_number, client_id, status, {packed % 'ids'}"
        f" FROM by_call JOIN {Call._meta.db_table} AS call ON call.id = by_call.call_id{wanted}"
    )


@lru_cache(maxsize=8)
def _kinds(labels: frozenset[UUID | str | int | None]) -> tuple[str, str, str]:
    """Return the numbers, clients and calls among labels, as parameters."""
    return (
        as_list([label for label in labels if isinstance(label, str)]),
        as_list([label for label in labels if isinstance(label, int)]),
        as_list([label for label in labels if isinstance(label, UUID)]),
    )


def entries_between(model: type[models.Model], after: int, upto: int) -> list[tuple[int, UUID]]:
    """Return the next rows (id, call) of a log after an id and not beyond another, in order."""
    sql = f"SELECT id, call_id FROM {model._meta.db_table} WHERE id > %s AND id <= %s ORDER BY id LIMIT {STRETCH}"  # noqa: S608 - names of ours
    return [(id, call if isinstance(call, UUID) else UUID(call)) for id, call in _rows(sql, [after, upto])]


def last_id_given_out(model: type[models.Model]) -> int:
    """Return the highest id that a log has ever given out, also to rows that are gone or still to come."""
    table = model._meta.db_table
    if connection.vendor == "postgresql":
        sql, values = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(%s, 'id')::regclass), 0)", [table]
    else:
        sql, values = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = %s", [table]
    [[last]] = _rows(sql, values)
    return int(last)


def glance_at(calls: Sequence[UUID]) -> dict[UUID, Glance]:
    """Return what decides who hears of these calls; a call that is gone is left out."""
    rows = Call.objects.filter(pk__in=calls).order_by()
    return {
        call: Glance(frozenset((calling, called)), client, status)
        for call, calling, called, client, status in rows.values_list(
            "pk", "calling_number", "called_number", "client_id", "status"
        )
    }


def calls_by_id(calls: Sequence[UUID]) -> dict[UUID, Call]:
    """Return these calls with what is shown of them; a call that is gone is left out."""
    found = rows_by_id(Call, calls)
    _join(found.values(), "client", Client)
    _join(found.values(), "handled_by", get_user_model())
    return found


def events_by_id(events: Sequence[int]) -> dict[int, CallEvent]:
    """Return these events with who of us caused them."""
    found = rows_by_id(CallEvent, events)
    _join(found.values(), "user", get_user_model())
    return found


def _join(rows: Collection[models.Model], name: str, other: type[models.Model]) -> None:
    """Give rows what a foreign key of theirs leads to; most rows lead nowhere."""
    keys = {key for row in rows if (key := getattr(row, f"{name}_id")) is not None}
    there = other._default_manager.in_bulk(keys) if keys else {}
    for row in rows if keys else ():
        setattr(row, name, there.get(getattr(row, f"{name}_id")))


def _rows(sql: str, values: Sequence[Any] = ()) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
