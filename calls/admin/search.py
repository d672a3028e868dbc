"""What a person typed into the search of a list: ids and numbers, found by indexes only."""

import re
from collections.abc import Sequence
from uuid import UUID

from django.db import connection
from django.db.models import Q

from calls.admin.keyset import LOOK_THROUGH, Branch, find_page
from calls.admin.paging import Search
from calls.domain.events import call_uuid
from calls.domain.numbers import suggest_e164
from calls.domain.vocabulary import Source
from calls.models import Call, CallEvent
from calls.models.calls import ID_LENGTH

CALL_ORDER = ("started_at", "id")
NUMBER_COLUMNS = ("calling_number", "called_number")
# A beginning that more numbers than these share (in one column) is looked for among the newest calls instead.
NUMBERS_AT_MOST = 20
# How many of a number's calls the search for events goes back.
CALLS_AT_MOST = 1_000

_DIGITS = re.compile(r"\+?[0-9]+")
_SEPARATORS = re.compile(r"[\s().\-/\u2010-\u2015\u00a0]+")
_LAST_CODE_POINT = 0x10FFFF


def find_calls(text: str) -> Search:
    """Return where the calls lie that have this id, ours or the sender's, or a number that begins like this."""
    text = text.strip()
    if len(text) > ID_LENGTH:
        return Search([])
    ids = list(Call.objects.filter(pk__in=_ids_in(text)).order_by().values_list("pk", flat=True))
    by_id = [Branch(Q(pk__in=ids))] if ids else []
    beginnings = _beginnings_in(text)
    numbers = {column: _numbers_with(beginnings, column=column) for column in NUMBER_COLUMNS}
    if all(found is not None for found in numbers.values()):
        by_number = [Branch(Q(**{column: number})) for column, found in numbers.items() for number in found or ()]
        return Search([*by_id, *by_number])
    note = f"More than {NUMBERS_AT_MOST} numbers begin with {text}; a longer beginning is found faster."
    if by_id:
        return Search(by_id, [f"This is the call whose id is {text}. {note}"])
    return Search([Branch(also=_has_number_with(beginnings))], [note])


def find_events(text: str) -> Search:
    """Return where the events lie that have this id, or whose call `find_calls` finds."""
    text = text.strip()
    if len(text) > ID_LENGTH:
        return Search([])
    # The index is (source, event_id): naming every source lets it serve.
    events = CallEvent.objects.filter(source__in=list(Source), event_id=text)
    branches = [Branch(Q(pk__in=list(events.order_by().values_list("pk", flat=True))), in_order=False)]
    calls, notes = _newest_calls(text, what="events")
    branches.append(Branch(Q(call_id__in=calls), in_order=False))
    return Search(branches, notes)


def find_recordings(text: str) -> Search:
    """Return where the recordings lie that have this id, or whose call `find_calls` finds."""
    text = text.strip()
    if len(text) > ID_LENGTH:
        return Search([])
    calls, notes = _newest_calls(text, what="recordings")
    # The index of recordings by their call gives them in no order; a call has few.
    return Search([Branch(Q(call_id__in=calls), in_order=False), Branch(Q(pk__in=uuids_in(text)))], notes)


def _newest_calls(text: str, *, what: str) -> tuple[list[UUID], Sequence[str]]:
    """Return the ids of the newest calls that `find_calls` finds, and what the user should know of that."""
    calls = find_calls(text)
    # There is no going on from here, so this looks far at once.
    page = find_page(
        Call.objects.all(), calls.branches, columns=CALL_ORDER, size=CALLS_AT_MOST, look_through=LOOK_THROUGH
    )
    if not page.more:
        return page.ids, calls.notes
    return page.ids, [*calls.notes, f"These are the {what} of the newest {len(page.ids):,} such calls only."]


def exact_calls(text: str) -> Q:
    """Return the condition of the calls with exactly this id, ours or the sender's."""
    return Q(pk__in=_ids_in(text.strip()))


def uuids_in(text: str) -> list[UUID]:
    """Return the UUID that a text is, if it is one."""
    try:
        return [UUID(text.strip())]
    except ValueError:
        return []


def _ids_in(text: str) -> list[UUID]:
    """Return the ids, under which a call is stored, that a text may stand for."""
    return [call_uuid(text), *uuids_in(text)]


def _beginnings_in(text: str) -> list[str]:
    """Return the beginnings of stored numbers that a text may stand for."""
    bare = _SEPARATORS.sub("", text)
    if not _DIGITS.fullmatch(bare):
        # A SIP user, `anonymous`, or a whole number in some other spelling.
        whole = suggest_e164(text)
        return [text, whole] if whole else [text]
    beginnings = [bare] if bare.startswith("+") else [f"+{bare}", bare]
    if bare.startswith("00"):
        beginnings.append("+" + bare[2:])
    if (whole := suggest_e164(text)) and whole not in beginnings:
        beginnings.append(whole)
    return beginnings


def _successor(beginning: str) -> str | None:
    """Return the first text, in the order of code points, after all texts that begin like this."""
    for place in range(len(beginning) - 1, -1, -1):
        point = ord(beginning[place])
        if point < _LAST_CODE_POINT:
            following = 0xE000 if point == 0xD7FF else point + 1
            return beginning[:place] + chr(following)
    return None


def _has_number_with(beginnings: Sequence[str]) -> Q:
    condition = Q()
    for beginning in beginnings:
        for column in NUMBER_COLUMNS:
            part = Q(**{f"{column}__gte": beginning})
            if (end := _successor(beginning)) is not None:
                part &= Q(**{f"{column}__lt": end})
            condition |= part
    return condition


def _numbers_with(beginnings: Sequence[str], *, column: str) -> set[str] | None:
    """Return the numbers in a column that begin in one of these ways, or None if they are too many."""
    numbers: set[str] = set()
    for beginning in beginnings:
        numbers.update(_distinct(column, beginning, limit=NUMBERS_AT_MOST + 1))
        if len(numbers) > NUMBERS_AT_MOST:
            return None
    return numbers


def _distinct(column: str, beginning: str, *, limit: int) -> list[str]:
    """Return the first distinct numbers of a column that begin like this.

    One probe of the index for each number: `SELECT DISTINCT` would read every call of every number.
    """
    table, quoted = Call._meta.db_table, connection.ops.quote_name(column)
    end = _successor(beginning)
    below = "" if end is None else f" AND {quoted} < %s"
    bound = [] if end is None else [end]

    def first(condition: str) -> str:
        return f"SELECT {quoted} FROM {table} WHERE {quoted} {condition}{below} ORDER BY {quoted} LIMIT 1"  # noqa: S608 - names of ours

    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE found(number, place) AS (SELECT ({first('>= %s')}), 1 UNION ALL"  # noqa: S608 - names of ours
            f" SELECT ({first('> found.number')}), place + 1 FROM found WHERE number IS NOT NULL AND place < %s)"
            " SELECT number FROM found WHERE number IS NOT NULL",
            [beginning, *bound, *bound, limit],
        )
        return [number for (number,) in cursor.fetchall()]
