"""What the metrics tell of the database's present contents, each within a bound and all within a time limit."""

from typing import NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from calls.models import Call
from calls.models.quarantine import QuarantineShare, QuarantineState, RefusedReport
from calls.queries.watch import Watch

# More calls in progress, or reports in the quarantine, than this are not counted.
COUNT_AT_MOST = 100_000


class Figures(NamedTuple):
    """What is in the database now."""

    calls_in_progress: int
    quarantine_open: int
    quarantine_dropped: int


def figures() -> Figures | None:
    """Return the figures, a second old at most; None if the database does not answer in time."""
    return watch.ask()


def _look(connection: BaseDatabaseWrapper) -> Figures:
    # Ordered as the partial index is, so that it is read and not the table.
    going_on = Call.objects.filter(ended_at=None).order_by("started_at", "id")
    waiting = RefusedReport.objects.filter(state=QuarantineState.OPEN).order_by("id")
    return Figures(
        _count(connection, going_on),
        _count(connection, waiting),
        _dropped(connection),
    )


def _count(connection: BaseDatabaseWrapper, rows: "QuerySet[Call] | QuerySet[RefusedReport]") -> int:
    sql, parameters = rows.values("pk")[:COUNT_AT_MOST].query.get_compiler(connection=connection).as_sql()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({sql}) counted", parameters)  # noqa: S608 - what the ORM wrote
        [count] = cursor.fetchone()
    return int(count)


def _dropped(connection: BaseDatabaseWrapper) -> int:
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(QuarantineShare._meta.db_table)
        cursor.execute(f"SELECT coalesce(sum(dropped), 0) FROM {table}")  # noqa: S608 - our own table's name
        [dropped] = cursor.fetchone()
    return int(dropped)


watch = Watch(_look)
