"""Walking along an index that begins with one column and goes on in a list's order.

A planner may think it quicker to walk along another index, which has the order but not the column, until it has met
enough rows: it takes them for spread evenly over all times. That is a walk through the whole table where they are
all at its other end, as those of a line that was given up. So it is told what it cannot see through: that the
column also lies between two unknown bounds. It then takes the rows for rare, however many they are.
"""

from typing import Any

from django.db import connection
from django.db.models import Q
from django.db.models.expressions import RawSQL


def along(column: str, value: Any) -> Q:
    """Return the condition that a column has a value, in a form that leads to the index that begins with it."""
    if connection.vendor != "postgresql":
        return Q(**{column: value})
    opaque = RawSQL("SELECT %s", [value])
    return Q(**{column: value, f"{column}__gte": opaque, f"{column}__lte": opaque})


def along_sql(column: str) -> str:
    """Return the same as SQL, with three placeholders for the value; SQLite, which goes by the rules, has one."""
    if connection.vendor != "postgresql":
        return f"{column} = %s"
    return f"{column} = %s AND {column} BETWEEN (SELECT %s) AND (SELECT %s)"


def along_params(value: Any) -> list[Any]:
    """Return the parameters of `along_sql`."""
    return [value] * (3 if connection.vendor == "postgresql" else 1)
