"""Following the logs: what has been added since the last look, in an order that skips nothing.

Ids are given out when a row is inserted, but become visible in the order of commits: on PostgreSQL
an id may appear after higher ones did. Whoever only asks for "id > the highest" never sees it. So
the ids missed so far are kept as gaps, and each look asks for them too. A gap is given up when every
transaction that was writing to the log when it was noticed has ended. Such a transaction is known by
its lock on the table, which it has from before its first id until after its rows are visible.

Within one call there is no such problem: whoever commits an event of a call has drawn its id after
those before had committed, and each look takes its rows in the order of ids.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, models
from django.db.models import Q

from calls.models import Call, CallEvent
from calls.queries.calls import all_calls

# How many rows one look takes at most, beside what fills gaps.
STRETCH = 1000
# How far back the first look searches for ids that may still appear.
LOOK_BACK = 50_000
# With more gaps than this, they are asked for only at every tenth look.
MANY_GAPS = 500


class Entry(NamedTuple):
    """A row of a log; `settled` is the id up to which, once this entry is told, everything was told."""

    id: int
    call: UUID
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

    def look(self) -> list[Entry]:
        """Return what is new, in the order of ids; `behind` says whether there was more than one look takes."""
        writing = self._look_at_writers()
        self._looks += 1
        with_gaps = bool(self._gaps) and (len(self._gaps) <= MANY_GAPS or self._looks % 10 == 0)
        rows = self._read(with_gaps=with_gaps)
        self.behind = sum(id > self.top for id, _ in rows) >= STRETCH
        self._fill([id for id, _ in rows if id < self.top])
        if with_gaps:  # which were read after all who could fill them had ended
            self._gaps = [gap for gap in self._gaps if gap.writers is None or gap.writers & writing]
        return list(self._number(rows))

    def _number(self, rows: Sequence[tuple[int, UUID]]) -> Iterator[Entry]:
        """Say for each row up to where everything is told with it, and take the gaps between new rows in."""
        for id, call in rows:
            if id > self.top:
                if id > self.top + 1 and connection.vendor == "postgresql":
                    self._gaps.append(Gap(self.top + 1, id - 1))
                self.top = id
            yield Entry(id, call, min(id, self.settled))

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
        rows = _rows(
            "SELECT virtualtransaction FROM pg_locks WHERE relation = %s::regclass AND mode = 'RowExclusiveLock'"
            " AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [self._table],
        )
        writing = frozenset(transaction for (transaction,) in rows)
        for gap in self._gaps:
            if gap.writers is None:
                gap.writers = writing
        return writing

    def _read(self, *, with_gaps: bool) -> list[tuple[int, UUID]]:
        """Return the new rows and those in gaps, from one snapshot: else a call's later row might come first."""
        sql = f"SELECT id, call_id FROM {self._table} WHERE id > %s ORDER BY id LIMIT {STRETCH}"  # noqa: S608 - names of ours
        values: list[Any] = [self.top]
        if with_gaps:
            sql = (
                f"({sql}) UNION ALL SELECT log.id, log.call_id FROM unnest(%s::bigint[], %s::bigint[])"  # noqa: S608 - names of ours
                f" AS gap(first, last) JOIN {self._table} AS log ON log.id BETWEEN gap.first AND gap.last ORDER BY id"
            )
            values += [[gap.first for gap in self._gaps], [gap.last for gap in self._gaps]]
        return [(id, call if isinstance(call, UUID) else UUID(call)) for id, call in _rows(sql, values)]

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
            self.look()  # most of these have been given up long ago


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


class Glance(NamedTuple):
    """Of a call, what decides who wants to hear of it."""

    numbers: frozenset[str]
    client: int | None
    status: str


def glance_at(calls: Sequence[UUID], labels: Collection[UUID | str | int | None]) -> dict[UUID, Glance]:
    """Return what decides who hears of these calls; a call that is gone is left out.

    So is one that has none of the `labels`: calls, numbers and clients somebody listens to; None stands for all.
    """
    rows = Call.objects.filter(pk__in=calls).order_by()
    if None not in labels:
        numbers = [label for label in labels if isinstance(label, str)]
        rows = rows.filter(
            Q(calling_number__in=numbers)
            | Q(called_number__in=numbers)
            | Q(client__in=[label for label in labels if isinstance(label, int)])
            | Q(pk__in=[label for label in labels if isinstance(label, UUID)])
        )
    return {
        call: Glance(frozenset((calling, called)), client, status)
        for call, calling, called, client, status in rows.values_list(
            "pk", "calling_number", "called_number", "client_id", "status"
        )
    }


def calls_by_id(calls: Sequence[UUID]) -> dict[UUID, Call]:
    """Return these calls with what is shown of them; a call that is gone is left out."""
    return {call.pk: call for call in all_calls().filter(pk__in=calls).order_by()}


def events_by_id(events: Sequence[int]) -> dict[int, CallEvent]:
    """Return these events with who of us caused them."""
    return {event.pk: event for event in CallEvent.objects.select_related("user").filter(pk__in=events).order_by()}


def _rows(sql: str, values: Sequence[Any] = ()) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
