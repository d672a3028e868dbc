"""Lists that open in the same time at ten million rows as at ten.

Nothing is counted, no page is reached by skipping rows, the order is fixed by an index, and a
search or filter either has an index or looks through a bounded number of rows (see `keyset`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import ALL_VAR, ORDER_VAR
from django.db import connection, models
from django.db.models import Q
from django.http import HttpRequest
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from calls.admin.keyset import LOOK_THROUGH, Branch, Cursor, Page, Place, find_page, read_cursor, write_cursor

# The query string's words for "rows older than this place" and "rows newer than it".
OLDER, NEWER = "older", "newer"


@dataclass(frozen=True, slots=True)
class Search:
    """What a search comes down to: the branches on which its rows lie, and what its user should know."""

    branches: Sequence[Branch]
    notes: Sequence[str] = field(default=())


class KeysetFilter(admin.SimpleListFilter):
    """A filter that tells which part of its condition an index serves, in the list's order.

    One index serves a list at a time, the search's or the first active filter's. A condition that
    `fits_every_index` (a range of the ordering column) goes with any of them.
    """

    fits_every_index = False

    @classmethod
    def parameters(cls) -> Sequence[str]:
        """Return the filter's parameters in the query string."""
        return [str(cls.parameter_name)]

    def conditions(self) -> tuple[Q, Q]:
        """Return what an index serves, and what has to be checked row by row."""
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: "models.QuerySet[Any]") -> "models.QuerySet[Any]":
        """Return the rows that pass the filter."""
        return queryset.filter(*self.conditions())


class KeysetFooter:
    """What stands below the list; unfold asks the paginator for its template."""

    template_name = "admin/calls/keyset_footer.html"


class KeysetChangeList(ChangeList):
    """A change list whose pages are found by their place, newest first, without counting."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.title = capfirst(self.opts.verbose_name_plural)
        # The same filters, all pages of them.
        self.export_url = f"export.csv{self.get_query_string()}"

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> "models.QuerySet[Any]":
        """Work out the branches of the list from its search and filters; return all rows."""
        places = {name: self.params.pop(name, "") for name in (OLDER, NEWER)}
        for name in (*places, ORDER_VAR, ALL_VAR):
            # Filters and searches begin at the first page again; other orders, or all rows, cannot be had.
            self.filter_params.pop(name, None)
        self.cursor = self._read_cursor(request, places)
        self.filter_specs, self.has_filters, _, _, self.has_active_filters = self.get_filters(request)
        self.clear_all_filters_qs = self.get_query_string(remove=self.get_filters_params())
        search = self.model_admin.search(self.query) if self.query.strip() else Search([Branch()])
        self.notes = list(search.notes)
        self.branches = self._narrow(search.branches, self.filter_specs)
        rows: models.QuerySet[Any] = self.root_queryset
        return rows

    def _read_cursor(self, request: HttpRequest, places: dict[str, str]) -> Cursor | None:
        for name, text in places.items():
            if text:
                try:
                    return read_cursor(self.model, text, columns=self.model_admin.keyset, newer=name == NEWER)
                except ValueError:
                    messages.warning(request, "That page of the list is not known; this is the first one.")
                    return None
        return None

    def _narrow(self, branches: Sequence[Branch], filters: Iterable[KeysetFilter]) -> list[Branch]:
        """Return the branches with the filters' conditions added."""
        within, also = Q(), Q()
        index_taken = bool(self.query.strip())
        for spec in filters:
            served, checked = spec.conditions()
            if spec.fits_every_index:
                within &= served
            elif served and not index_taken:
                within &= served
                index_taken = True
            else:
                also &= served
            also &= checked
        return [Branch(branch.within & within, branch.also & also, branch.in_order) for branch in branches]

    def get_ordering(self, request: HttpRequest, queryset: "models.QuerySet[Any]") -> list[str]:
        """Return the one order that the list has."""
        return [f"-{column}" for column in self.model_admin.keyset]

    def get_ordering_field_columns(self) -> dict[int, str]:
        """Return no columns: none can be sorted by."""
        return {}

    def get_results(self, request: HttpRequest) -> None:
        """Find the page's rows, and the places where its neighbours begin."""
        page = find_page(
            self.queryset,
            self.branches,
            columns=self.model_admin.keyset,
            size=self.list_per_page,
            cursor=self.cursor,
        )
        rows = self.apply_select_related(self.queryset).defer(*self.model_admin.list_defer)
        by_id = {row.pk: row for row in rows.filter(pk__in=page.ids).order_by()} if page.ids else {}
        self.result_list = [by_id[key] for key in page.ids if key in by_id]
        self._find_neighbours(page)
        # What the templates of a counted list ask for.
        self.result_count = len(self.result_list)
        # Where both counts are the same, the header says nothing of either.
        self.full_result_count = self.result_count
        self.show_full_result_count = self.show_admin_actions = False
        self.can_show_all = self.multi_page = self.show_all = False
        self.paginator = KeysetFooter()

    def _find_neighbours(self, page: Page) -> None:
        """Work out the links to the newer and the older rows, and what is known of the total."""
        columns = self.model_admin.keyset
        places = [tuple(getattr(row, column) for column in columns) for row in self.result_list]
        backwards = self.cursor is not None and self.cursor.newer
        # Behind us are rows anyway; before us, if the page was not the end.
        has_newer, has_older = (page.more, True) if backwards else (self.cursor is not None, page.more)
        # An empty page lies around its edge, or where it was to begin; a page that stopped at an edge goes on there.
        around = page.edge or (self.cursor.place if self.cursor else None)
        newest = page.edge if page.edge and backwards else places[0] if places else around
        oldest = page.edge if page.edge and not backwards else places[-1] if places else around
        self.newer_url = self._url(NEWER, newest, inclusive=not places) if has_newer and newest else ""
        self.older_url = self._url(OLDER, oldest, inclusive=not places) if has_older and oldest else ""
        self.newest_url = self.get_query_string() if self.cursor is not None else ""
        self.further_url = ""
        if page.edge is not None:
            self.further_url = self.newer_url if backwards else self.older_url
            way = "Newer" if backwards else "Older"
            further = f", which looks through {LOOK_THROUGH:,} more" if page.through < LOOK_THROUGH else ""
            self.notes.append(f"{page.through:,} rows were looked through for this page. Go on with “{way}”{further}.")
        self.is_whole = self.cursor is None and not page.more
        narrowed = bool(self.query.strip()) or self.has_active_filters
        total = None if self.is_whole or narrowed else estimated_total(self.model)
        self.estimate = f"{total:,}" if total else ""

    def _url(self, name: str, place: Place, *, inclusive: bool) -> str:
        cursor = Cursor(place, name == NEWER, inclusive)
        url: str = self.get_query_string({name: write_cursor(self.model, cursor)})
        return url


class KeysetAdmin(ModelAdmin):
    """An admin of a table that may be huge: its rows are looked at, neither added nor deleted."""

    # The columns, ending with the primary key, that order the list, newest first. An index holds them.
    keyset: ClassVar[Sequence[str]] = ("id",)
    # What the list does not show and need not load.
    list_defer: ClassVar[Sequence[str]] = ()
    list_per_page = 50
    list_before_template = "admin/calls/list_notes.html"
    sortable_by = ()
    actions = None
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        """Return the change list that neither counts nor skips."""
        return KeysetChangeList

    def search(self, text: str) -> Search:
        """Return the branches on which the rows lie that a text finds."""
        raise NotImplementedError

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Say whether a list may be narrowed by a parameter: only by those of its filters.

        Django's free lookups (`?notes__icontains=`) could make the database read the whole table.
        """
        return any(lookup in filter_class.parameters() for filter_class in self.list_filter)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: rows come from events only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Refuse: nothing here is deleted by hand."""
        return False


def estimated_total(model: type[models.Model]) -> int | None:
    """Return about how many rows a table has, from PostgreSQL's own notes; None where it keeps none."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [model._meta.db_table])
        (total,) = cursor.fetchone()
    return total if total > 0 else None
