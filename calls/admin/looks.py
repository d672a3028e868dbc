"""Writing down whose calls are looked at in lists: where a search narrows them to a number, and every download."""

from typing import Any

from django.contrib.admin.views.main import SEARCH_VAR
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from calls.models.access_log import Look
from calls.operations.access_log import looked_at


class WritesLooksDown:
    """An admin whose list tells who called whom."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list; a search for a number is a look at it."""
        response: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        text = request.GET.get(SEARCH_VAR, "").strip()
        if text and response.status_code == 200:
            looked_at(request.user, [text], what=Look.ADMIN_SEARCH, at=timezone.now())
        return response

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Stream the list; without a search for a number it is a look at all of them."""
        response: HttpResponseBase = super().export_view(request)  # type: ignore[misc]
        if response.status_code == 200:
            text = request.GET.get(SEARCH_VAR, "").strip()
            looked_at(request.user, [text], what=Look.ADMIN_EXPORT, at=timezone.now())
        return response
