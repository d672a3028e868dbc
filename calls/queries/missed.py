"""Looking up missed calls to return, in SQL that both databases understand alike.

A line of the list is a wait (see `domain.missed`), found by its last missed call, so that the list has the
order of calls and pages of any depth cost the same. Whether a missed call is the last one of its wait, and
which contact ended it, follows from the caller's next calls, which two indexes give.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from calls.domain.missed import UNANSWERED, WITHHELD, Contact, Returned, Wait
from calls.domain.vocabulary import Direction
from calls.models import Call
from calls.queries.missed_lines import complete
from calls.queries.values import as_param, as_time, as_uuid

# So many unanswered calls are looked through for one page.
LOOK_THROUGH = 1_000
# How many lines are fetched at a time where all are wanted.
STRETCH = 200

_MISSED = f"status IN ({', '.join(repr(status.value) for status in UNANSWERED)})"
_TABLE = Call._meta.db_table


class Place(NamedTuple):
    """Where a line stands: its last missed call's start and id."""

    started_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedFilter:
    """Which waits are wanted: `open` ones, ended ones, or both (None); `start` is inclusive, `end` exclusive.

    Both bound the start of the last missed call.
    """

    open: bool | None = None
    start: datetime | None = None
    end: datetime | None = None
    client: int | None = None
    number: str | None = None


@dataclass(frozen=True, slots=True)
class MissedPage:
    """Some waits, the latest first, and where the next page goes on, if there may be more."""

    waits: list[Wait]
    next: Place | None = None


def missed_calls(wanted: MissedFilter, *, limit: int, after: Place | None = None) -> MissedPage:
    """Return up to `limit` waits, the latest missed call first; fewer if too many calls had to be looked through."""
    sql, params = _candidates(wanted, after)
    with connection.cursor() as cursor:
        cursor.execute(_waits_sql(sql, wanted.open), [*params, LOOK_THROUGH, limit + 1])
        rows = cursor.fetchall()
        edge = None
        if len(rows) <= limit:
            cursor.execute(
                f"{sql} OFFSET %s",
                [*params, 1, LOOK_THROUGH - 1],
            )
            edge = next((Place(as_time(at), as_uuid(pk)) for at, pk in cursor.fetchall()), None)
    waits = [_wait(row) for row in rows[:limit]]
    if len(rows) > limit:
        edge = Place(waits[-1].last_missed_at, waits[-1].last_call)
    complete(waits)
    return MissedPage(waits, edge)


def all_missed_calls(wanted: MissedFilter) -> Iterator[Wait]:
    """Yield every wait, a stretch at a time, so that memory stays flat however many there are."""
    after = None
    while True:
        page = missed_calls(wanted, limit=STRETCH, after=after)
        yield from page.waits
        if page.next is None:
            return
        after = page.next


def _candidates(wanted: MissedFilter, after: Place | None) -> tuple[str, list[Any]]:
    """Return the SQL of where the newest calls stand that may be missed ones, in order, each branch from one index.

    Nothing else is read of them here: so the index alone answers. If more were wanted, a planner might rather walk
    along all calls, the newest first, to find a sixth of them missed: through the whole table, if that was long ago.
    """
    where: list[str] = []
    values: list[Any] = []
    if wanted.start is not None:
        where.append("started_at >= %s")
        values.append(as_param(wanted.start))
    if wanted.end is not None:
        where.append("started_at < %s")
        values.append(as_param(wanted.end))
    if after is not None:
        where.append("(started_at, id) < (%s, %s)")
        values += [as_param(after.started_at), as_param(after.id)]
    if wanted.number is not None:
        branches: list[tuple[str, Any]] = [("calling_number", wanted.number)]
    elif wanted.client is not None:
        branches = [("client_id", wanted.client)]
    else:
        branches = [("outcome", status.value) for status in UNANSWERED]
    order = f"ORDER BY started_at DESC, id DESC LIMIT {LOOK_THROUGH}"
    selects = [
        f"SELECT * FROM (SELECT started_at, id FROM {_TABLE}"  # noqa: S608 - names of ours
        f" WHERE {' AND '.join([f'{column} = %s', *where])} {order}) AS branch_{place}"
        for place, (column, _) in enumerate(branches)
    ]
    params = [param for _, value in branches for param in [value, *values]]
    return (
        f"SELECT started_at, id FROM ({' UNION ALL '.join(selects)}) AS looked_through"  # noqa: S608 - names of ours
        " ORDER BY started_at DESC, id DESC LIMIT %s",
        params,
    )


def _waits_sql(candidates: str, is_open: bool | None) -> str:
    """Return the SQL of the calls that are the last missed ones of their wait, with the contact that ended it.

    Of the caller's next inbound instant (`next_at`) all calls count together: if one of them was missed,
    the wait goes on with it, unless somebody called back before.
    """
    inbound, outbound = f"direction = '{Direction.INBOUND}'", f"direction = '{Direction.OUTBOUND}'"
    missed = f"{inbound} AND {_MISSED}"
    with_caller = f"SELECT {{0}} FROM {_TABLE} AS c WHERE c.calling_number = m.calling_number"  # noqa: S608 - names of ours
    state = {None: "", True: "AND contact_at IS NULL", False: "AND contact_at IS NOT NULL"}[is_open]
    return f"""
        WITH place AS MATERIALIZED ({candidates}),
        candidate AS MATERIALIZED (
            SELECT c.started_at, c.id, c.calling_number, c.client_id, c.direction, c.status
            FROM place JOIN {_TABLE} AS c ON c.id = place.id WHERE c.ended_at IS NOT NULL
        ),
        probed AS MATERIALIZED (
            SELECT m.started_at, m.id, m.calling_number, m.client_id,
                EXISTS({with_caller.format(1)} AND c.started_at = m.started_at AND c.id > m.id AND {_of("c", missed)})
                    AS goes_on,
                EXISTS({with_caller.format(1)} AND c.started_at = m.started_at
                    AND {_of("c", inbound)} AND c.answered_at IS NOT NULL) AS through_at_once,
                ({with_caller.format("c.started_at")} AND c.started_at > m.started_at
                    AND {_of("c", inbound)} AND (c.answered_at IS NOT NULL OR {_of("c", _MISSED)})
                    ORDER BY c.started_at LIMIT 1) AS next_at,
                (SELECT c.started_at FROM {_TABLE} AS c WHERE c.called_number = m.calling_number
                    AND c.started_at >= m.started_at AND {_of("c", outbound)} AND c.answered_at IS NOT NULL
                    ORDER BY c.started_at LIMIT 1) AS back_at
            FROM candidate AS m
            WHERE {_of("m", missed)}
                AND m.calling_number NOT IN ({", ".join(f"'{word}'" for word in sorted(WITHHELD))})
        ),
        judged AS (
            SELECT m.*, CASE
                WHEN through_at_once OR back_at = m.started_at THEN m.started_at
                WHEN next_at IS NULL OR back_at < next_at THEN back_at
                ELSE next_at END AS contact_at
            FROM probed AS m
            WHERE NOT goes_on AND (
                through_at_once OR next_at IS NULL OR back_at < next_at OR back_at = m.started_at
                OR NOT EXISTS({with_caller.format(1)} AND c.started_at = m.next_at AND {_of("c", missed)})
            )
        )
        SELECT started_at, id, calling_number, client_id, contact_at, back_at
        FROM judged AS m WHERE TRUE {state} ORDER BY started_at DESC, id DESC LIMIT %s
    """  # noqa: S608 - columns, tables and words of ours


def _of(alias: str, condition: str) -> str:
    """Return a condition on the columns of one table of several."""
    for column in ("direction", "status"):
        condition = condition.replace(column, f"{alias}.{column}")
    return condition


def _wait(row: tuple[Any, ...]) -> Wait:
    started_at, pk, caller, client, contact_at, back_at = row
    at = as_time(started_at)
    contact = None
    if contact_at is not None:
        back = back_at is not None and as_time(back_at) == as_time(contact_at)
        how = Returned.CALLED_BACK if back else Returned.GOT_THROUGH
        contact = Contact(UUID(int=0), as_time(contact_at), how)
    return Wait(caller, as_uuid(pk), at, at, contact=contact, client=client)
