"""Who looked at which number's calls: a log that is looked at and downloaded, never changed."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from calls.admin.display import NOTHING, link, moment, plain, whole
from calls.admin.export import Column, ExportsCSV, plainly, utc
from calls.admin.filters import WordFilter
from calls.admin.keyset import Branch
from calls.admin.paging import KeysetAdmin, Search
from calls.domain.numbers import canonical, is_e164, suggest_e164
from calls.models import AccessLogEntry
from calls.models.access_log import Look
from calls.models.fingerprints import number_fingerprints


class LookFilter(WordFilter):
    """What was looked at; no index serves it."""

    title = "what"
    parameter_name = "what"
    words = [(look.value, plain(look.value)) for look in Look]

    def condition(self, word: str) -> tuple[Q, Q]:
        """Return what was looked at, as something to be checked row by row."""
        return Q(), Q(what=word)


@admin.register(AccessLogEntry)
class AccessLogAdmin(ExportsCSV, KeysetAdmin):
    """Every look, the latest first. A number is searched for by its fingerprint."""

    list_display = ("looked", "user_name", "shown_what", "shown_number", "shown_call")
    list_display_links = ("looked",)
    list_filter = (LookFilter,)
    search_fields = ("number_hmac",)
    search_help_text = "Number, exactly: who looked at it"
    export_name = "access-log"
    fieldsets = (("Look", {"fields": (("looked", "user_name"), "shown_what", "whole_number", "shown_call")}),)

    def search(self, text: str) -> Search:
        """Return the branches on which the looks at a number lie."""
        number = canonical(text.strip())
        if not is_e164(number):
            number = suggest_e164(number) or number
        numbers = dict.fromkeys([number, text.strip()])
        return Search([Branch(Q(number_hmac=one)) for each in numbers for one in number_fingerprints(each)])

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[AccessLogEntry]", search_term: str
    ) -> tuple["QuerySet[AccessLogEntry]", bool]:
        """Return the looks at exactly this number, where Django itself asks."""
        return queryset.filter(number_hmac__in=number_fingerprints(search_term)), False

    def export_columns(self, request: HttpRequest) -> list[Column]:
        """Return what is written of each look."""
        names = ("user_id", "user_name", "what", "number_hmac", "call_id")
        return [plainly("id"), utc("at"), *(plainly(name) for name in names)]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a log that could be changed would prove nothing."""
        return False

    # -- Columns and fields ---------------------------------------------------------------------

    @admin.display(description="time (UTC)")
    def looked(self, look: AccessLogEntry) -> SafeString | str:
        """Show when it was."""
        return moment(look.at)

    @admin.display(description="what")
    def shown_what(self, look: AccessLogEntry) -> str:
        """Show what was looked at."""
        return plain(look.what)

    @admin.display(description="number")
    def shown_number(self, look: AccessLogEntry) -> str:
        """Show by which beginning of its fingerprint the number is told from others."""
        return look.number_hmac[:12] if look.number_hmac else "all"

    @admin.display(description="fingerprint of the number")
    def whole_number(self, look: AccessLogEntry) -> SafeString | str:
        """Show the fingerprint."""
        return whole(look.number_hmac)

    @admin.display(description="call")
    def shown_call(self, look: AccessLogEntry) -> SafeString | str:
        """Show which call it was, as a link."""
        return link(f"/admin/calls/call/{look.call_id}/change/", str(look.call_id)) if look.call_id else NOTHING
