"""Looking up missed calls to return, in SQL that both databases understand alike.

A line of the list is a wait (see `domain.missed`), found by its last missed call, so that the list has the
order of calls and pages of any depth cost the same. Whether a missed call is the last one of its wait, and
which contact ended it, follows from the caller's next calls, which two indexes give.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from calls.domain.missed import UNANSWERED, WITHHELD, Contact, Leg, Returned, Wait, extend
from calls.domain.vocabulary import Direction
from calls.models import Call, Client

# So many unanswered calls are looked through for one page, and so many calls of one caller for one line.
LOOK_THROUGH = 2_000
CALLS_A_LINE = 100
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
                f"{sql.format(columns='started_at, id')} OFFSET %s",  # noqa: S608 - columns and tables of ours
                [*params, 1, LOOK_THROUGH - 1],
            )
            edge = next((Place(_time(at), _uuid(pk)) for at, pk in cursor.fetchall()), None)
    waits = [_wait(row) for row in rows[:limit]]
    if len(rows) > limit:
        edge = Place(waits[-1].last_missed_at, waits[-1].last_call)
    _complete(waits)
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
    """Return the SQL of the newest calls that may be missed inbound ones, read in order from one index each."""
    where, values = ["ended_at IS NOT NULL"], []
    if wanted.start is not None:
        where.append("started_at >= %s")
        values.append(_param(wanted.start))
    if wanted.end is not None:
        where.append("started_at < %s")
        values.append(_param(wanted.end))
    if after is not None:
        where.append("(started_at, id) < (%s, %s)")
        values += [_param(after.started_at), _param(after.id)]
    if wanted.number is not None:
        branches = [("calling_number = %s", [wanted.number])]
    elif wanted.client is not None:
        branches = [("client_id = %s", [wanted.client])]
    else:
        branches = [("status = %s", [status.value]) for status in UNANSWERED]
    order = f"ORDER BY started_at DESC, id DESC LIMIT {LOOK_THROUGH}"
    selects = [
        f"SELECT * FROM (SELECT started_at, id, calling_number, client_id, direction, status FROM {_TABLE}"  # noqa: S608
        f" WHERE {' AND '.join([condition, *where])} {order}) AS branch_{place}"
        for place, (condition, _) in enumerate(branches)
    ]
    params = [value for _, own in branches for value in [*own, *values]]
    return (
        f"SELECT {{columns}} FROM ({' UNION ALL '.join(selects)}) AS looked_through"  # noqa: S608
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
    with_caller = f"SELECT {{0}} FROM {_TABLE} AS c WHERE c.calling_number = m.calling_number"
    state = {None: "", True: "AND contact_at IS NULL", False: "AND contact_at IS NOT NULL"}[is_open]
    columns = "started_at, id, calling_number, client_id, direction, status"
    return f"""
        WITH candidate AS MATERIALIZED ({candidates.format(columns=columns)}),
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
    at = _time(started_at)
    contact = None
    if contact_at is not None:
        back = back_at is not None and _time(back_at) == _time(contact_at)
        how = Returned.CALLED_BACK if back else Returned.GOT_THROUGH
        contact = Contact(UUID(int=0), _time(contact_at), how)
    return Wait(caller, _uuid(pk), at, at, contact=contact, client=client)


# -- What else a line shows ---------------------------------------------------------------------------


def _complete(waits: list[Wait]) -> None:
    """Fill in what a line shows beyond its last call: three statements for all of them, and one for the clients."""
    if not waits:
        return
    legs: list[list[Leg]] = [[] for _ in waits]
    for inbound in (True, False):
        for place, started_at, answered in _legs(waits, inbound=inbound):
            legs[place].append(Leg(_time(started_at), inbound, bool(answered)))
    clients = Client.objects.in_bulk({wait.client for wait in waits if wait.client})
    calls = _contact_calls(waits)
    for place, wait in enumerate(waits):
        extend(wait, legs[place], until=wait.contact.at if wait.contact else None)
        wait.more = any(
            sum(leg.inbound == inbound for leg in legs[place]) == CALLS_A_LINE for inbound in (True, False)
        )
        wait.client = clients.get(wait.client)
        if wait.contact is not None:
            pk, user = calls[place]
            wait.contact = Contact(pk, wait.contact.at, wait.contact.how, user)


def _legs(waits: list[Wait], *, inbound: bool) -> list[tuple[int, Any, Any]]:
    """Return the newest calls that each caller made before the wait's end, or received."""
    column = "calling_number" if inbound else "called_number"
    direction = Direction.INBOUND if inbound else Direction.OUTBOUND
    selects, params = [], []
    for place, wait in enumerate(waits):
        # What the caller did after the last missed call is no part of the wait.
        until = wait.last_missed_at if inbound else wait.contact.at if wait.contact else None
        bound = "" if until is None else " AND started_at <= %s"
        selects.append(
            f"SELECT * FROM (SELECT {place} AS place, started_at,"  # noqa: S608
            " CASE WHEN answered_at IS NULL THEN 0 ELSE 1 END AS answered"
            f" FROM {_TABLE} WHERE {column} = %s{bound} AND direction = '{direction}'"
            f" AND (answered_at IS NOT NULL OR {_MISSED})"
            f" ORDER BY started_at DESC LIMIT {CALLS_A_LINE}) AS leg_{place}"
        )
        params += [wait.caller] if until is None else [wait.caller, _param(until)]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects), params)
        return list(cursor.fetchall())


def _contact_calls(waits: list[Wait]) -> dict[int, tuple[UUID, str]]:
    """Return the calls that ended the waits, and who of us handled them."""
    selects, params = [], []
    for place, wait in enumerate(waits):
        if wait.contact is None:
            continue
        back = wait.contact.how is Returned.CALLED_BACK
        column, direction = ("called", Direction.OUTBOUND) if back else ("calling", Direction.INBOUND)
        selects.append(
            f"SELECT * FROM (SELECT {place} AS place, id, handled_by_id FROM {_TABLE}"  # noqa: S608
            f" WHERE {column}_number = %s AND started_at = %s AND direction = '{direction}'"
            f" AND answered_at IS NOT NULL ORDER BY id LIMIT 1) AS contact_{place}"
        )
        params += [wait.caller, _param(wait.contact.at)]
    if not selects:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects), params)
        rows = cursor.fetchall()
    users = Call._meta.get_field("handled_by").related_model._default_manager.in_bulk(  # type: ignore[union-attr]
        {user for _, _, user in rows if user}
    )
    return {place: (_uuid(pk), users[user].get_username() if user in users else "") for place, pk, user in rows}


def _param(value: datetime | UUID) -> Any:
    """Return a value as the database's columns hold it."""
    if connection.vendor == "postgresql":
        return value
    return value.hex if isinstance(value, UUID) else str(value.astimezone(UTC).replace(tzinfo=None))


def _time(value: Any) -> datetime:
    """Return an instant as both databases give it; SQLite's knows no time zone, and may be a text."""
    at: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _uuid(value: Any) -> UUID:
    return UUID(value) if isinstance(value, str) else value
