"""Looking up the calls of one number.

Two index scans, one for the calls it made and one for those it received, each starting where
the last page ended: page 1,000 costs what page 1 costs, and 100,000 calls cost what 20 do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from calls.domain.history import LABELS, HistoryEntry, Label, Seen, label
from calls.models import Call

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

    place: Place
    entry: HistoryEntry


def history_of(
    wanted: HistoryFilter, *, limit: int, after: Place | None = None, before: Place | None = None
) -> list[Line]:
    """Return up to `limit` entries, in the wanted order: the first, those after a place, or those just before one."""
    backwards = before is not None
    descending = wanted.newest_first != backwards
    place = before if backwards else after
    order = "DESC" if descending else "ASC"
    outer = f"ORDER BY started_at {order}, id {order} LIMIT %s"
    branches, params = [], []
    for called_out in (True, False):
        where, values = _conditions(wanted, called_out=called_out)
        if not where:
            continue
        if place is not None:
            where.append(f"(started_at, id) {'<' if descending else '>'} (%s, %s)")
            values += [_param(place.started_at), _param(place.id)]
        branches.append(
            f"SELECT * FROM (SELECT started_at, id, {'called' if called_out else 'calling'}_number AS other,"  # noqa: S608 - names of ours
            f" {1 if called_out else 0} AS called_out, answered_at IS NOT NULL AS answered,"
            f" ended_at IS NOT NULL AS ended, duration FROM {Call._meta.db_table}"
            f" WHERE {' AND '.join(where)} {outer}) AS {'made' if called_out else 'received'}"
        )
        params += [*values, limit]
    if not branches:
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"{' UNION ALL '.join(branches)} {outer}", [*params, limit])
        lines = [_line(row) for row in cursor.fetchall()]
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


def _conditions(wanted: HistoryFilter, *, called_out: bool) -> tuple[list[str], list[Any]]:
    """Return the conditions on the calls that the number made, or received; none if none can match."""
    if called_out:
        where, values = ["calling_number = %s"], [wanted.number]
    else:
        # A number that calls itself has one entry, as the caller.
        where, values = ["called_number = %s AND calling_number <> %s"], [wanted.number, wanted.number]
    allowed = [
        _outcome(seen)
        for name, seen in LABELS.items()
        if seen.called_out == called_out and (name in wanted.labels if wanted.labels else seen.ended or wanted.ongoing)
    ]
    if not allowed:
        return [], []
    where.append(f"({' OR '.join(allowed)})")
    if wanted.start is not None:
        where.append("started_at >= %s")
        values.append(_param(wanted.start))
    if wanted.end is not None:
        where.append("started_at < %s")
        values.append(_param(wanted.end))
    return where, values


def _outcome(seen: Seen) -> str:
    ended = f"ended_at IS {'NOT NULL' if seen.ended else 'NULL'}"
    if seen.answered is None:
        return ended
    return f"({ended} AND answered_at IS {'NOT NULL' if seen.answered else 'NULL'})"


def _param(value: datetime | UUID) -> Any:
    """Return a value as the database's columns hold it."""
    if connection.vendor == "postgresql":
        return value
    return value.hex if isinstance(value, UUID) else str(value.astimezone(UTC).replace(tzinfo=None))


def _line(row: tuple[Any, ...]) -> Line:
    started_at, call, other, called_out, answered, ended, duration = row
    if isinstance(started_at, str):
        started_at = datetime.fromisoformat(started_at).replace(tzinfo=UTC)
    if isinstance(call, str):
        call = UUID(call)
    seen = label(called_out=bool(called_out), ended=bool(ended), answered=bool(answered))
    return Line(Place(started_at, call), HistoryEntry(started_at, other, seen, duration))
