"""What a line of the missed calls shows beyond its last call, for all lines of a page together."""

from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection

from calls.domain.missed import UNANSWERED, Contact, Leg, Returned, Wait, extend
from calls.domain.vocabulary import Direction
from calls.models import Call, Client
from calls.queries.values import as_param, as_time, as_uuid

# So many calls of one caller, each way, are counted for one line.
CALLS_A_LINE = 100

_TABLE = Call._meta.db_table
_MISSED = f"status IN ({', '.join(repr(status.value) for status in UNANSWERED)})"


def complete(waits: list[Wait]) -> None:
    """Fill in what a line shows beyond its last call: three statements for all of them, and one for the clients."""
    if not waits:
        return
    legs: list[list[Leg]] = [[] for _ in waits]
    for inbound in (True, False):
        for place, started_at, answered in _legs(waits, inbound=inbound):
            legs[place].append(Leg(as_time(started_at), inbound, bool(answered)))
    clients = Client.objects.in_bulk({wait.client for wait in waits if wait.client})
    calls = _contact_calls(waits)
    for place, wait in enumerate(waits):
        extend(wait, legs[place], until=wait.contact.at if wait.contact else None)
        wait.more = any(sum(leg.inbound == inbound for leg in legs[place]) == CALLS_A_LINE for inbound in (True, False))
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
            f"SELECT * FROM (SELECT {place} AS place, started_at,"  # noqa: S608 - names of ours
            " CASE WHEN answered_at IS NULL THEN 0 ELSE 1 END AS answered"
            f" FROM {_TABLE} WHERE {column} = %s{bound} AND direction = '{direction}'"
            f" AND (answered_at IS NOT NULL OR {_MISSED})"
            f" ORDER BY started_at DESC LIMIT {CALLS_A_LINE}) AS leg_{place}"
        )
        params += [wait.caller] if until is None else [wait.caller, as_param(until)]
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
            f"SELECT * FROM (SELECT {place} AS place, id, handled_by_id FROM {_TABLE}"  # noqa: S608 - names of ours
            f" WHERE {column}_number = %s AND started_at = %s AND direction = '{direction}'"
            f" AND answered_at IS NOT NULL ORDER BY id LIMIT 1) AS contact_{place}"
        )
        params += [wait.caller, as_param(wait.contact.at)]
    if not selects:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects), params)
        rows = cursor.fetchall()
    users = get_user_model().objects.in_bulk({user for _, _, user in rows if user})
    return {place: (as_uuid(pk), users[user].get_username() if user in users else "") for place, pk, user in rows}
