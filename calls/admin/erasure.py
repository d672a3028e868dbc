"""Erasing a number, in two steps: what holds it is shown first. And the receipts of what was erased."""

from time import monotonic
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import action

from calls.admin.display import NOTHING, label, moment, whole
from calls.admin.export import Column, ExportsCSV, plainly, utc
from calls.admin.keyset import Branch
from calls.admin.paging import KeysetAdmin, Search
from calls.models import ErasureReceipt
from calls.models.calls import ID_LENGTH
from calls.models.fingerprints import number_fingerprints
from calls.operations.erase import Erasure, NotErasable, begin, read_erasable, run, uses_in_settings

RIGHT = "calls.erase_number"
# For how long a request counts or erases; what is left then is a matter of another click, or of the command.
PATIENCE_SECONDS = 15.0


def erase_page(request: HttpRequest) -> HttpResponse:
    """Ask for a number, show what holds it, and erase it once it was typed again.

    The number travels in bodies only: addresses are kept by proxies and browsers.
    """
    if not request.user.has_perm(RIGHT):
        raise PermissionDenied
    context: dict[str, Any] = {**admin.site.each_context(request), "title": "Erase a number", "number": ""}
    text = request.POST.get("number", "")[:ID_LENGTH]
    if request.method == "POST":
        context["number"] = text
        try:
            number = read_erasable(text)
        except NotErasable as error:
            messages.error(request, str(error))
        else:
            again = request.POST.get("again")
            if again == number and _erase(request, number):
                return HttpResponseRedirect(reverse("admin:calls_erasurereceipt_changelist"))
            if again is not None and again != number:
                messages.error(request, "The two numbers differ. Nothing was erased.")
            context |= _preview(number)
    response = render(request, "admin/calls/erase.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _preview(number: str) -> dict[str, Any]:
    erasure = begin(number, user=None, at=timezone.now(), dry_run=True)
    is_whole = _run_for_a_while(erasure)
    counts = sorted((name, count) for name, count in erasure.counts.items() if count)
    return {"number": number, "counts": counts, "is_whole": is_whole, "settings": uses_in_settings(number)}


def _erase(request: HttpRequest, number: str) -> bool:
    """Erase, and say whether that is finished."""
    erasure = begin(number, user=request.user, at=timezone.now())
    if _run_for_a_while(erasure):
        messages.success(request, f"The number was erased everywhere. In its place stands {erasure.name}.")
        return True
    messages.warning(
        request,
        "Not finished yet: there is much to look through. Erase again to go on, or run manage.py erase_number.",
    )
    return False


def _run_for_a_while(erasure: Erasure) -> bool:
    """Go on until all is done, or patience ends; say whether all is done."""
    end = monotonic() + PATIENCE_SECONDS
    return all(monotonic() < end for _ in run(erasure))


@admin.register(ErasureReceipt)
class ErasureReceiptAdmin(ExportsCSV, KeysetAdmin):
    """Every erasure, the latest first."""

    list_display = ("shown_state", "begun", "asked_by_name", "pseudonym", "shown_counts")
    list_display_links = ("shown_state", "begun")
    search_fields = ("number_hmac",)
    search_help_text = "Number, exactly: was it erased?"
    actions_list = ("erase_a_number",)
    export_name = "erasures"
    fieldsets = (
        (
            "Erasure",
            {
                "fields": (
                    ("shown_state", "asked_by_name"),
                    ("begun", "finished"),
                    "pseudonym",
                    "fingerprint",
                    "shown_counts",
                )
            },
        ),
    )  # fmt: skip

    def search(self, text: str) -> Search:
        """Return the branches on which the receipts of a number lie."""
        try:
            number = read_erasable(text)
        except NotErasable:
            number = text.strip()
        return Search([Branch(Q(number_hmac=one)) for one in number_fingerprints(number)])

    def export_columns(self, request: HttpRequest) -> list[Column]:
        """Return what is written of each erasure."""
        times = (utc("began_at"), utc("finished_at"))
        return [plainly("id"), *times, plainly("asked_by_name"), plainly("number_hmac"), plainly("pseudonym")]

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[ErasureReceipt]", search_term: str
    ) -> tuple["QuerySet[ErasureReceipt]", bool]:
        """Return the receipts of exactly this number, where Django itself asks."""
        return queryset.filter(number_hmac__in=number_fingerprints(search_term)), False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a receipt stays as it is."""
        return False

    def has_erase_permission(self, request: HttpRequest) -> bool:
        """Say who may erase."""
        return request.user.has_perm(RIGHT)

    @action(  # type: ignore[untyped-decorator]
        description="Erase a number", url_path="erase", permissions=["erase"], icon="ink_eraser"
    )
    def erase_a_number(self, request: HttpRequest) -> HttpResponse:
        """Lead to the page that asks for it."""
        return HttpResponseRedirect(reverse("erase-number"))

    # -- Columns and fields ---------------------------------------------------------------------

    @admin.display(description="state")
    def shown_state(self, receipt: ErasureReceipt) -> SafeString:
        """Show whether it is finished."""
        if receipt.finished_at is None:
            return label("not finished", colour="warning", title="Erase the number again to go on.")
        return label("erased", colour="success")

    @admin.display(description="begun (UTC)")
    def begun(self, receipt: ErasureReceipt) -> SafeString | str:
        """Show when it began."""
        return moment(receipt.began_at)

    @admin.display(description="finished (UTC)")
    def finished(self, receipt: ErasureReceipt) -> SafeString | str:
        """Show when it was done."""
        return moment(receipt.finished_at)

    @admin.display(description="fingerprint of the number")
    def fingerprint(self, receipt: ErasureReceipt) -> SafeString | str:
        """Show by what the number is known again."""
        return whole(receipt.number_hmac)

    @admin.display(description="what was changed")
    def shown_counts(self, receipt: ErasureReceipt) -> SafeString | str:
        """Show how many rows of each kind held it."""
        counts = sorted((name, count) for name, count in receipt.counts.items() if count)
        return format_html_join(", ", "{}: {}", counts) if counts else NOTHING
