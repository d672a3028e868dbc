"""Looking up the calls of one number.

Two index scans, one for the calls it made and one for those it received, each starting where
the last page ended: page 1,000 costs what page 1 costs, and 100,000 calls cost what 20 do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from calls.domain.history import BY_SEEN, LABELS, HistoryEntry, Label, Seen
from calls.models import Call
from calls.queries.reading import read
from calls.queries.values import as_param, as_time, as_uuid

# How many calls are fetched at a time where all are wanted.
STRETCH = 2_000


class Place(NamedTuple):
    """Where a call stands in a history: its start, and its id among those of the same start."""

    started_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """Which calls of which number are wanted, and in which order.

    `start` is inclusive and `end` exclusive; both bound the call's start.
    """

    number: str
    newest_first: bool = False
    ongoing: bool = False
    labels: frozenset[Label] = frozenset()
    start: datetime | None = None
    end: datetime | None = None


class Line(NamedTuple):
    """One entry of a history, and where it stands."""

    started_at: datetime
    id: UUID
    counterparty_number: str
    label: Label
    duration: int | None

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.started_at, self.id)

    @property
    def entry(self) -> HistoryEntry:
        """What the number saw."""
        return HistoryEntry(self.started_at, self.counterparty_number, self.label, self.duration)


def history_of(
    wanted: HistoryFilter, *, limit: int, after: Place | None = None, before: Place | None = None
) -> list[Line]:
    """Return up to `limit` entries, in the wanted order: the first, those after a place, or those just before one."""
    backwards = before is not None
    place = before if backwards else after
    bounds = [as_param(bound) for bound in (wanted.start, wanted.end) if bound is not None]
    if place is not None:
        bounds += [as_param(place.started_at), as_param(place.id)]
    params: list[Any] = []
    selects, outer = [], ""
    for called_out in (True, False):
        select, outer = _branch(
            called_out,
            wanted.labels,
            wanted.ongoing,
            wanted.start is not None,
            wanted.end is not None,
            place is not None,
            wanted.newest_first != backwards,
        )
        if select:
            selects.append(select)
            # A number that calls itself has one entry, as the caller.
            params += [*([wanted.number] if called_out else [wanted.number, wanted.number]), *bounds, limit]
    if not selects:
        return []
    rows = read(f"{' UNION ALL '.join(selects)} {outer}", [*params, limit])
    lines = [_line(row) for row in rows]
    return lines[::-1] if backwards else lines


def whole_history_of(wanted: HistoryFilter) -> Iterator[HistoryEntry]:
    """Yield every entry, a stretch at a time, so that memory stays flat however long the history is."""
    after = None
    while True:
        lines = history_of(wanted, limit=STRETCH, after=after)
        for line in lines:
            yield line.entry
        if len(lines) < STRETCH:
            return
        after = lines[-1].place


def is_known(number: str) -> bool:
    """Say whether any call was ever made or received by a number."""
    calls = Call.objects.order_by()
    return calls.filter(calling_number=number).exists() or calls.filter(called_number=number).exists()


@lru_cache(maxsize=256)
def _branch(
    called_out: bool, labels: frozenset[Label], ongoing: bool, start: bool, end: bool, placed: bool, descending: bool
) -> tuple[str, str]:
    """Return the SQL of the calls that the number made, or received, and that of their order.

    The first is empty if none can match. Its text depends on what is bounded, never on the bounds.
    """
    order = "DESC" if descending else "ASC"
    outer = f"ORDER BY started_at {order}, id {order} LIMIT %s"
    allowed = [
        _outcome(seen)
        for name, seen in LABELS.items()
        if seen.called_out == called_out and (name in labels if labels else seen.ended or ongoing)
    ]
    if not allowed:
        return "", outer
    where = ["calling_number = %s" if called_out else "called_number = %s AND calling_number <> %s"]
    where.append(f"({' OR '.join(allowed)})")
    if start:
        where.append("started_at >= %s")
    if end:
        where.append("started_at < %s")
    if placed:
        where.append(f"(started_at, id) {'<' if descending else '>'} (%s, %s)")
    return (
        f"SELECT * FROM (SELECT started_at, id, {'called' if called_out else 'calling'}_number AS other,"  # noqa: S608 - names of ours
        f" {1 if called_out else 0} AS called_out, answered_at IS NOT NULL AS answered,"
        f" ended_at IS NOT NULL AS ended, duration FROM {Call._meta.db_table}"
        f" WHERE {' AND '.join(where)} {outer}) AS {'made' if called_out else 'received'}"
    ), outer


def _outcome(seen: Seen) -> str:
    ended = f"ended_at IS {'NOT NULL' if seen.ended else 'NULL'}"
    if seen.answered is None:
        return ended
    return f"({ended} AND answered_at IS {'NOT NULL' if seen.answered else 'NULL'})"


def _line(row: tuple[Any, ...]) -> Line:
    started_at, call, other, called_out, answered, ended, duration = row
    if not isinstance(call, UUID):  # SQLite
        started_at, call = as_time(started_at), as_uuid(call)
    return Line(started_at, call, other, BY_SEEN[called_out, ended, answered], duration)
