"""Lists as CSV: the rows of all pages, with the filters and in the order that the screen shows.

The rows are read a stretch at a time by their place, as pages are, so that memory stays flat and no
transaction stays open, however many there are. Times are ISO 8601 in UTC; their columns say so.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path

from calls.admin.keyset import Cursor, find_page
from calls.domain.instants import write_instant
from calls.web.csv import csv_response

STRETCH = 1_000

# A column's name, and what it holds of a row.
Column = tuple[str, Callable[[Any], Any]]


def utc(attribute: str) -> Column:
    """Return the column of a time, named so that it says in which time zone it is."""

    def value(row: Any) -> str:
        at = getattr(row, attribute)
        return "" if at is None else write_instant(at)

    return f"{attribute}_utc", value


def plainly(attribute: str, name: str = "") -> Column:
    """Return the column of an attribute as it is."""

    def value(row: Any) -> Any:
        found = getattr(row, attribute)
        return "" if found is None else found

    return name or attribute, value


class ExportsCSV:
    """An admin whose list can be downloaded; `export.csv` takes the query string of the list."""

    export_name = "export"

    def export_columns(self, request: HttpRequest) -> Sequence[Column]:
        """Return the columns that this person may see."""
        raise NotImplementedError

    def export_rows(self, changelist: Any) -> Iterator[Model]:
        """Yield all rows of the list, in its order."""
        return walk(changelist)

    def get_urls(self) -> list[Any]:
        """Return the addresses of the admin, and that of the download."""
        view = self.admin_site.admin_view(self.export_view)  # type: ignore[attr-defined]
        opts = self.model._meta  # type: ignore[attr-defined]
        own = path("export.csv", view, name=f"{opts.app_label}_{opts.model_name}_export")
        return [own, *super().get_urls()]  # type: ignore[misc]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Stream the list as CSV."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        try:
            changelist = self.get_changelist_instance(request)  # type: ignore[attr-defined]
        except IncorrectLookupParameters as error:
            return HttpResponse(f"{error}\n", status=400, content_type="text/plain; charset=utf-8")
        columns = self.export_columns(request)
        rows = ([value(row) for _, value in columns] for row in self.export_rows(changelist))
        return csv_response(f"{self.export_name}.csv", [name for name, _ in columns], rows)


def walk(changelist: Any) -> Iterator[Model]:
    """Yield the rows of a keyset list from its first page to its last."""
    admin, columns, cursor = changelist.model_admin, changelist.model_admin.keyset, None
    shown = changelist.apply_select_related(changelist.queryset).defer(*admin.list_defer).order_by()
    while True:
        page = find_page(changelist.queryset, changelist.branches, columns=columns, size=STRETCH, cursor=cursor)
        by_id = {row.pk: row for row in shown.filter(pk__in=page.ids)} if page.ids else {}
        rows = [by_id[key] for key in page.ids if key in by_id]
        yield from rows
        if not page.more:
            return
        place = page.edge or (tuple(getattr(rows[-1], column) for column in columns) if rows else None)
        if place is None:
            return
        # An edge is the last row that was looked through, whether or not it was among those found.
        cursor = Cursor(place)
