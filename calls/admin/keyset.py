"""Pages of long lists: found by where the last page ended, never by counting or skipping rows.

A list is newest first, by columns that an index holds. What is wanted may lie on several
branches (calls a number made, calls it received); each branch is read in order from an index of its own
and only as far as one page needs, then they are merged. So no page costs more than the first one,
however many rows there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from django.core import signing
from django.core.exceptions import EmptyResultSet
from django.db import connection, models
from django.db.models import Q

# Where no index serves a condition, this many rows are looked through for one page, and no more: few for the first
# page, which opens at once so, and many for each that somebody asks to go on to.
FIRST_LOOK, LOOK_THROUGH = 4_000, 20_000
# What is not rare fills a page after a few rows: so many are looked through before all.
GLANCE = 500

# Where a row stands in a list: its values of the columns that order it.
Place: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """One way to the rows of a list.

    An index serves `within`, in the list's order; `also` is checked row by row. Where the rows are few
    but come in another order (`in_order=False`), all of them are sorted.
    """

    within: Q = field(default_factory=Q)
    also: Q = field(default_factory=Q)
    in_order: bool = True


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: just after a place (or at it, if `inclusive`), towards the older or the newer rows."""

    place: Place
    newer: bool = False
    inclusive: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """The ids of one page's rows, newest first; whether `more` follow in the direction of travel.

    `edge` is where looking through stopped, if it had to stop before the page was full, after so many rows (`through`).
    """

    ids: list[Any]
    more: bool
    edge: Place | None = None
    through: int = 0


def find_page(
    rows: "models.QuerySet[Any]",
    branches: Sequence[Branch],
    *,
    columns: Sequence[str],
    size: int,
    cursor: Cursor | None = None,
    look_through: int | None = None,
) -> Page:
    """Return one page of the rows on any of the branches; `columns` order the list and end with the key.

    Where no index serves, `look_through` rows are looked through at most; unless it is given, few for the first page
    and more for later ones.
    """
    newer = cursor is not None and cursor.newer
    reach = _beyond(columns, cursor.place, newer=newer, inclusive=cursor.inclusive) if cursor else Q()
    most = look_through or (LOOK_THROUGH if cursor else min(FIRST_LOOK, LOOK_THROUGH))
    ids: list[Any] = []
    edge: Place | None = None
    looked_through = [branch for branch in branches if branch.also]
    # The first stretch is part of the second, which is so much longer that it makes no difference.
    for through in [min(GLANCE, most), most] if looked_through else [0]:
        near = reach
        if looked_through:
            edge = _edge(rows, looked_through, reach, columns=columns, newer=newer, through=through)
            if edge is not None:
                near = reach & _beyond(columns, edge, newer=not newer, inclusive=True)
        conditions = [(branch.within & branch.also & near, branch.in_order) for branch in branches]
        ids = _ids(rows, conditions, columns=columns, newer=newer, stretch=slice(0, size + 1))
        if edge is None or len(ids) > size:
            break
    more = len(ids) > size
    ids = ids[:size]
    ids = ids[::-1] if newer else ids
    return Page(ids, True) if more else Page(ids, edge is not None, edge, through if edge is not None else 0)


def write_cursor(model: type[models.Model], cursor: Cursor) -> str:
    """Return a cursor as the opaque text that a page's address carries; its direction is not in it."""
    values = [str(value) for value in cursor.place]
    return signing.Signer(salt=_salt(model)).sign_object([cursor.inclusive, *values])


def read_cursor(model: type[models.Model], text: str, *, columns: Sequence[str], newer: bool) -> Cursor:
    """Return the cursor that a text stands for; raise ValueError for one that we did not write."""
    try:
        inclusive, *values = signing.Signer(salt=_salt(model)).unsign_object(text)
    except (signing.BadSignature, ValueError):
        raise ValueError("This is no cursor of ours.") from None
    place = tuple(
        model._meta.get_field(column).to_python(value)  # type: ignore[union-attr]
        for column, value in zip(columns, values, strict=True)
    )
    return Cursor(place, newer, inclusive)


def _salt(model: type[models.Model]) -> str:
    return f"calls.admin.keyset.{model._meta.label_lower}"


def _beyond(columns: Sequence[str], place: Place, *, newer: bool, inclusive: bool = False) -> Q:
    """Return the condition of the rows on one side of a place, with the row at the place if `inclusive`.

    The first column bounds the index scan, also where the database does not compare whole rows by an index.
    """
    side = "gt" if newer else "lt"
    last = f"{columns[-1]}__{side}e" if inclusive else f"{columns[-1]}__{side}"
    if len(columns) == 1:
        return Q(**{last: place[0]})
    first = columns[0]
    return Q(**{f"{first}__{side}e": place[0]}) & (Q(**{f"{first}__{side}": place[0]}) | Q(**{last: place[1]}))


def _edge(
    rows: "models.QuerySet[Any]",
    branches: Sequence[Branch],
    reach: Q,
    *,
    columns: Sequence[str],
    newer: bool,
    through: int,
) -> Place | None:
    """Return the nearest place up to which all branches can be looked through; None if that is all there is."""
    share = max(1, through // len(branches))
    conditions = [(branch.within & reach, True) for branch in branches]
    ids = _ids(rows, conditions, columns=columns, newer=newer, stretch=slice(share - 1, share), limit=1)
    return rows.filter(pk=ids[0]).order_by().values_list(*columns).first() if ids else None


def _ids(
    rows: "models.QuerySet[Any]",
    conditions: Sequence[tuple[Q, bool]],
    *,
    columns: Sequence[str],
    newer: bool,
    stretch: slice,
    limit: int | None = None,
) -> list[Any]:
    """Return the ids on all branches, each read within its own stretch, merged in the order of travel.

    MATERIALIZED keeps the outer order and limit out of the branches: a planner that hopes to meet the
    wanted rows early on a walk through the whole table would walk for a long time if they are old.
    """
    selects: list[str] = []
    params: list[Any] = []
    for condition, in_order in conditions:
        branch = rows.filter(condition).order_by().values_list(*columns)
        if in_order:
            branch = branch.order_by(*(column if newer else f"-{column}" for column in columns))[stretch]
        try:
            sql, values = branch.query.sql_with_params()
        except EmptyResultSet:
            continue
        selects.append(f"SELECT * FROM ({sql}) AS branch_{len(selects)}")  # noqa: S608 - the ORM's own SQL
        params += values
    if not selects:
        return []
    order = ", ".join(f"{column} {'ASC' if newer else 'DESC'}" for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH found({', '.join(columns)}) AS MATERIALIZED ({' UNION '.join(selects)})"  # noqa: S608 - names of ours
            f" SELECT {columns[-1]} FROM found ORDER BY {order} LIMIT %s",
            [*params, limit or stretch.stop],
        )
        key = rows.model._meta.pk
        return [key.to_python(value) for (value,) in cursor.fetchall()]
