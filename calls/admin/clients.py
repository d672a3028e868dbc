"""Clients and their numbers; whoever gets a number gets its calls, also the earlier ones."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import PaginationInlineFormSet
from unfold.widgets import UnfoldAdminTextInputWidget

from calls.admin.again import ChecksAgain
from calls.admin.display import NOTHING, moment, number, short
from calls.admin.export import STRETCH, Column, ExportsCSV, plainly, utc
from calls.admin.latest import CALLS_AT_MOST, latest_calls_of
from calls.domain.numbers import is_e164, suggest_e164
from calls.models import Client, ClientNumber
from calls.operations.clients import NumberTaken, delete_client, set_numbers

NUMBERS_AT_MOST = 100
NUMBERS_IN_LIST = 2


class NumberForm(forms.ModelForm):  # type: ignore[type-arg]
    """One number; for a badly written one the error suggests the right spelling."""

    # Longer than a number is, so that what is badly written can be looked at.
    number = forms.CharField(max_length=64, widget=UnfoldAdminTextInputWidget({"placeholder": "+12025550123"}))

    def clean_number(self) -> str:
        """Refuse what is no E.164 number."""
        given: str = self.cleaned_data["number"]
        if not is_e164(given):
            suggestion = suggest_e164(given)
            hint = f" Did you mean {suggestion}?" if suggestion else ""
            raise ValidationError(f"Must be a number in E.164 form, as in +12025550123.{hint}")
        return given

    def validate_unique(self) -> None:
        """Leave it to the numbers together: one row may give a number up that another takes."""


class NumberFormSet(PaginationInlineFormSet):
    """All numbers of a client together."""

    def clean(self) -> None:
        """Refuse numbers that another client has."""
        super().clean()
        kept = {form: form.cleaned_data["number"] for form in self._kept() if form.cleaned_data.get("number")}
        rows = ClientNumber.objects.filter(number__in=list(kept.values())).select_related("client")
        owners = {row.number: row.client for row in rows if row.client_id != self.instance.pk}
        for form, one in kept.items():
            if one in owners:
                form.add_error("number", f"{owners[one]} has this number already.")

    def _kept(self) -> list[Any]:
        return [form for form in self.forms if hasattr(form, "cleaned_data") and form not in self.deleted_forms]

    def store(self) -> None:
        """Give the client the numbers that came, and take those that went; raise NumberTaken."""
        changed = [form for form in self.forms if form.has_changed()]
        gone = {form.initial["number"] for form in changed if form.initial.get("number")}
        came = {form.cleaned_data["number"] for form in changed if form not in self.deleted_forms}
        if came != gone:
            present = ClientNumber.objects.filter(client=self.instance).values_list("number", flat=True)
            set_numbers(self.instance, (set(present) - gone) | came, at=timezone.now())
        # What the log of changes asks for.
        self.new_objects = [ClientNumber(number=number) for number in sorted(came - gone)]
        self.deleted_objects = [ClientNumber(number=number) for number in sorted(gone - came)]
        self.changed_objects: list[Any] = []


class NumberInline(TabularInline):
    """The numbers of a client; whoever may change the client may change them."""

    model = ClientNumber
    form = NumberForm
    formset = NumberFormSet
    verbose_name = "number"
    max_num = NUMBERS_AT_MOST
    hide_title = True

    def get_extra(self, request: HttpRequest, obj: Client | None = None, **kwargs: Any) -> int:
        """Return how many empty rows there are: one for a new client."""
        return 0 if obj else 1

    def has_view_permission(self, request: HttpRequest, obj: Client | None = None) -> bool:
        """Let those see numbers who see clients."""
        return request.user.has_perm("calls.view_client") or self.has_change_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Client | None = None) -> bool:
        """Let those change numbers who may change the client, or add one."""
        return request.user.has_perm("calls.change_client" if obj else "calls.add_client")

    def has_add_permission(self, request: HttpRequest, obj: Client | None = None) -> bool:
        """Let those add numbers who may change them."""
        return self.has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Client | None = None) -> bool:
        """Let those remove numbers who may change them."""
        return self.has_change_permission(request, obj)


@admin.register(Client)
class ClientAdmin(ExportsCSV, ChecksAgain, ModelAdmin):
    """Everybody whom the organisation talks to."""

    overtaken = NumberTaken
    list_display = ("shown_name", "shown_company", "shown_email", "shown_numbers", "created")
    list_after_template = "admin/calls/export_link.html"
    export_name = "clients"
    search_fields = ("name", "company", "email")
    search_help_text = "Name, company, e-mail address or number"
    ordering = ("name", "id")
    list_per_page = 50
    inlines = (NumberInline,)
    actions = None
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    change_form_outer_after_template = "admin/calls/client/latest_calls.html"
    fields = ("name", "company", "email", "notes")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Client]":
        """Return the clients together with their numbers."""
        found: QuerySet[Client] = super().get_queryset(request).prefetch_related("numbers")
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Client]", search_term: str
    ) -> tuple["QuerySet[Client]", bool]:
        """Return the clients that have all words, or a number that begins so."""
        found, may_have_duplicates = super().get_search_results(request, queryset, search_term)
        beginning = suggest_e164(search_term) or search_term.strip()
        if not beginning.startswith("+") or len(beginning) < 3:
            return found, may_have_duplicates
        owners = ClientNumber.objects.filter(number__startswith=beginning).values("client")
        return found | queryset.filter(Q(pk__in=owners)), may_have_duplicates

    def export_columns(self, request: HttpRequest) -> list[Column]:
        """Return what is written of each client."""
        return [
            *(plainly(name) for name in ("id", "name", "company", "email")),
            ("phone_numbers", lambda client: " ".join(client.phone_numbers)),
            utc("created_at"),
        ]

    def export_rows(self, changelist: Any) -> Iterator[Client]:
        """Yield all clients of the list, in its order."""
        found: Iterator[Client] = changelist.queryset.iterator(chunk_size=STRETCH)
        return found

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        """Return the form, with a small field for the notes: most are short."""
        form = super().get_form(request, obj, change=change, **options)
        if "notes" in form.base_fields:
            form.base_fields["notes"].widget.attrs["rows"] = 4
        return form

    # -- Saving and deleting --------------------------------------------------------------------

    def save_formset(self, request: HttpRequest, form: Any, formset: NumberFormSet, change: bool) -> None:
        """Store the numbers, and match their calls."""
        formset.store()

    def delete_model(self, request: HttpRequest, obj: Client) -> None:
        """Delete the client; calls that another client's number claims too become that client's."""
        delete_client(obj, at=timezone.now())

    # -- The client's page ----------------------------------------------------------------------

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Client | None = None, **options: Any
    ) -> HttpResponse:
        """Show the client together with the latest calls."""
        if obj is not None and request.user.has_perm("calls.view_call"):
            context["latest_calls"], context["all_calls_url"] = latest_calls_of(obj)
            context["latest_calls_at_most"] = CALLS_AT_MOST
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **options)
        return response

    # -- Columns --------------------------------------------------------------------------------

    @admin.display(description="name", ordering="name")
    def shown_name(self, client: Client) -> SafeString | str:
        """Show the name."""
        return short(client.name, width=28)

    @admin.display(description="company", ordering="company")
    def shown_company(self, client: Client) -> SafeString | str:
        """Show the company."""
        return short(client.company, width=20) or NOTHING

    @admin.display(description="e-mail address", ordering="email")
    def shown_email(self, client: Client) -> SafeString | str:
        """Show the e-mail address."""
        return short(client.email, width=24) or NOTHING

    @admin.display(description="numbers")
    def shown_numbers(self, client: Client) -> SafeString | str:
        """Show the first numbers, and how many more there are."""
        numbers = client.phone_numbers
        shown = [(number(one),) for one in numbers[:NUMBERS_IN_LIST]]
        more = len(numbers) - len(shown)
        return format_html_join(", ", "{}", [*shown, (f"{more} more",)] if more else shown) or NOTHING

    @admin.display(description="created (UTC)", ordering="created_at")
    def created(self, client: Client) -> SafeString | str:
        """Show when the client was added."""
        return moment(client.created_at)
