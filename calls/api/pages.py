"""Pages of a list by keyset: a page of any depth costs what the first one costs."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Model, Q, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from calls.web.cursors import Cursor, address_of_page, read_cursor, write_cursor
from calls.web.parameters import whole_number

DEFAULT_LIMIT = 50
MOST = 500


class KeysetPagination(BasePagination):
    """Pages in the order of a time and the id, `{"next", "previous", "results"}`.

    The queryset's own ordering, a time and the id both up or both down, decides. A view whose rows lie along several
    indexes may have `ways()`, which returns a condition for each; they are read one by one and merged.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """Return the rows of the page that the request asks for."""
        self.request = request
        # A cursor belongs to its filters: the same list is meant, or none.
        self.filters = sorted(
            (key, value) for key, value in request.query_params.items() if key not in ("cursor", "limit")
        )
        text = request.query_params.get("cursor")
        cursor = None if text is None else read_cursor(text, filters=(request.path, self.filters))
        limit = whole_number(request, "limit", default=DEFAULT_LIMIT, most=MOST)
        ways: list[Q] = view.ways() if hasattr(view, "ways") else []
        return self._page(queryset, ways or [Q()], limit, cursor)

    def _page(self, queryset: QuerySet[Any], ways: Sequence[Q], limit: int, cursor: Cursor | None) -> list[Any]:
        descending, field = _ordering(queryset)
        backwards = cursor is not None and cursor.backwards
        if cursor is not None:
            step = "lt" if descending != backwards else "gt"
            past = Q(**{f"{field}__{step}": cursor.started_at}) | Q(
                **{field: cursor.started_at, f"id__{step}": cursor.id}
            )
            # The first condition alone lets the index begin where the page begins.
            queryset = queryset.filter(Q(**{f"{field}__{step}e": cursor.started_at}), past)
        if backwards:
            queryset = queryset.reverse()
        found = {row.pk: row for way in ways for row in queryset.filter(way)[: limit + 1]}
        rows = list(found.values())
        if len(ways) > 1:
            rows.sort(key=lambda row: (getattr(row, field), row.pk), reverse=descending != backwards)
        more = len(rows) > limit
        rows = rows[:limit]
        if backwards:
            rows.reverse()
        self.field = field
        self.next_cursor = self._cursor(rows[-1:], backwards=False) if more or backwards else None
        self.previous_cursor = (
            self._cursor(rows[:1], backwards=True) if cursor is not None and (more or not backwards) else None
        )
        return rows

    def _cursor(self, row: Sequence[Model], *, backwards: bool) -> str | None:
        if not row:
            return None
        cursor = Cursor(getattr(row[0], self.field), row[0].pk, backwards)
        return write_cursor(cursor, filters=(self.request.path, self.filters))

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page with the addresses of its neighbours."""
        request = self.request._request
        return Response(
            {
                "next": address_of_page(request, self.next_cursor),
                "previous": address_of_page(request, self.previous_cursor),
                "results": data,
            }
        )

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe the page for the documentation."""
        address = {"type": "string", "nullable": True, "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": address, "previous": address, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Describe the parameters of pages for the documentation."""
        return [
            {
                "name": "limit",
                "in": "query",
                "description": f"Rows a page, at most {MOST}.",
                "schema": {"type": "integer", "default": DEFAULT_LIMIT, "minimum": 1, "maximum": MOST},
            },
            {
                "name": "cursor",
                "in": "query",
                "description": "From `next` or `previous`.",
                "schema": {"type": "string"},
            },
        ]


def _ordering(queryset: QuerySet[Any]) -> tuple[bool, str]:
    """Return whether a queryset goes down, and by which time."""
    first = str(queryset.query.order_by[0])
    return first.startswith("-"), first.removeprefix("-")
