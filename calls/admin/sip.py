"""SIP configurations. A password goes in and never comes out."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminPasswordWidget

from calls.admin.again import ChecksAgain
from calls.admin.asking import AsksFirst, asks_first
from calls.admin.display import NOTHING, label, moment, short
from calls.domain.rules import NotPossible
from calls.models import SIPConfiguration
from calls.models.secrets import UnreadableSecret
from calls.models.sip import is_one_line
from calls.operations.connection import as_dict, check_connection, summary
from calls.operations.sip import delete_configuration, save_configuration, set_default
from calls.web.throttles import ConnectionTestThrottle

PASSWORD_LENGTH = 256


class SIPForm(forms.ModelForm):  # type: ignore[type-arg]
    """A configuration; a password that is left empty stays what it is."""

    password = forms.CharField(
        max_length=PASSWORD_LENGTH,
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password"}, render_value=False),
        help_text="Never shown. Left empty, it stays what it is.",
    )

    def clean(self) -> dict[str, Any]:
        """Refuse line breaks, which could add headers to SIP messages, and a default that is not active."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        broken = [name for name, value in cleaned.items() if isinstance(value, str) and not is_one_line(value)]
        for name in broken:
            self.add_error(name, "Must be one line, without control characters.")
        if self.instance.is_default and not cleaned.get("is_active", True):
            self.add_error("is_active", "The default must be active; make another the default first.")
        return cleaned

    @property
    def values(self) -> dict[str, Any]:
        """What is to be stored."""
        return {name: value for name, value in self.cleaned_data.items() if name != "password" or value}


@admin.register(SIPConfiguration)
class SIPConfigurationAdmin(AsksFirst, ChecksAgain, ModelAdmin):
    """Accounts on SIP servers; one of them is the default."""

    overtaken = NotPossible
    form = SIPForm
    list_display = ("shown_name", "server", "shown_username", "shown_caller", "is_active", "default")
    search_fields = ("name", "sip_server", "username", "caller_number")
    search_help_text = "Name, server, user name or number"
    ordering = ("name",)
    actions = None
    actions_detail = ("make_default", "test_connection")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    readonly_fields = ("default", "has_password", "changed", "last_test_result")
    fieldsets = (
        (
            "Account",
            {
                "fields": (
                    ("name", "is_active"),
                    ("sip_server", "sip_port"),
                    ("transport", "realm"),
                    ("username", "password"),
                    ("caller_number", "display_name"),
                )
            },
        ),
        ("Browsers", {"fields": ("wss_uri", ("stun_server", "turn_server"))}),
    )
    known = ("State", {"fields": (("default", "has_password"), "changed", "last_test_result")})

    def get_fieldsets(self, request: HttpRequest, obj: SIPConfiguration | None = None) -> Any:
        """Return the parts of the page; a password only goes in, so it is for those who may change it."""
        if obj is None:
            return self.fieldsets
        if self.has_change_permission(request, obj):
            return (*self.fieldsets, self.known)
        (title, account), browsers = self.fieldsets
        rows = [tuple(name for name in row if name != "password") for row in account["fields"]]
        return ((title, {"fields": rows}), browsers, self.known)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the page, with the way to its history: who tested it, and who was given its password."""
        response: HttpResponse = super().change_view(
            request, object_id, form_url, {**(extra_context or {}), "show_history": True}
        )
        return response

    # -- Saving, choosing and deleting ----------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: SIPConfiguration, form: SIPForm, change: bool) -> None:
        """Store the configuration; the first active one becomes the default."""
        stored = save_configuration(obj, form.values)
        obj.pk, obj.is_default = stored.pk, stored.is_default

    @asks_first(
        button="Set as default",
        question="Calls that name no SIP configuration then use this one, and the present default is none any more.",
        rights=["calls.view_sipconfiguration", "calls.change_sipconfiguration"],
        icon="star",
        fits=lambda configuration: not configuration.is_default,
    )
    def make_default(self, request: HttpRequest, configuration: SIPConfiguration) -> None:
        """Make it the only default, or say why not."""
        try:
            set_default(configuration)
        except NotPossible as refusal:
            messages.error(request, str(refusal))
        else:
            self.log_change(request, configuration, "Made the default.")
            messages.success(request, f"{configuration} is the default now.")

    @asks_first(
        button="Test connection",
        question="The SIP server is asked whether it is there (OPTIONS), as it is stored now, and with the password if"
        " it wants one. This takes a few seconds at most.",
        rights=["calls.view_sipconfiguration", "calls.change_sipconfiguration"],
        icon="network_check",
    )
    def test_connection(self, request: HttpRequest, configuration: SIPConfiguration) -> None:
        """Ask the server, and say what came of it."""
        if seconds := ConnectionTestThrottle().seconds_to_wait(request):
            messages.error(request, f"Too many tests; try again in {seconds} s.")
            return
        try:
            found = as_dict(check_connection(configuration, user=request.user, at=timezone.now()))
        except UnreadableSecret as unreadable:
            messages.error(request, str(unreadable))
            return
        say = messages.success if found["reachable"] and found["authenticated"] is not False else messages.warning
        say(request, f"{configuration}: {summary(found)}.")

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask and delete; say so if the default cannot go."""
        try:
            response: HttpResponse = super().delete_view(request, object_id, extra_context)
        except NotPossible as refusal:
            messages.error(request, str(refusal))
            return HttpResponseRedirect(reverse("admin:calls_sipconfiguration_change", args=[object_id]))
        return response

    def delete_model(self, request: HttpRequest, obj: SIPConfiguration) -> None:
        """Delete the configuration; the default one only if no other could be the default."""
        delete_configuration(obj)

    # -- Columns and fields ---------------------------------------------------------------------

    @admin.display(description="name", ordering="name")
    def shown_name(self, configuration: SIPConfiguration) -> SafeString | str:
        """Show the name."""
        return short(configuration.name, width=32)

    @admin.display(description="server", ordering="sip_server")
    def server(self, configuration: SIPConfiguration) -> SafeString | str:
        """Show where its server is, and how it is reached."""
        at = f"{configuration.sip_server}:{configuration.sip_port}/{configuration.transport}"
        return short(at, width=40)

    @admin.display(description="user name", ordering="username")
    def shown_username(self, configuration: SIPConfiguration) -> SafeString | str:
        """Show the user name."""
        return short(configuration.username, width=24) or NOTHING

    @admin.display(description="caller number")
    def shown_caller(self, configuration: SIPConfiguration) -> SafeString | str:
        """Show who calls."""
        return short(configuration.caller_number, width=24)

    @admin.display(description="default")
    def default(self, configuration: SIPConfiguration) -> SafeString | str:
        """Show whether it is the default."""
        return label("default", colour="success") if configuration.is_default else NOTHING

    @admin.display(description="password")
    def has_password(self, configuration: SIPConfiguration) -> str:
        """Show whether there is a password, and nothing of it."""
        return "stored" if configuration.encrypted_password else "none"

    @admin.display(description="last changed (UTC)")
    def changed(self, configuration: SIPConfiguration) -> SafeString | str:
        """Show when it was last changed."""
        return moment(configuration.updated_at)

    @admin.display(description="last test (UTC)")
    def last_test_result(self, configuration: SIPConfiguration) -> SafeString | str:
        """Show what the last test found, and whether it was one of the configuration as it is now."""
        if configuration.last_tested_at is None or configuration.last_test is None:
            return NOTHING
        found = configuration.last_test
        good = found["reachable"] and found["authenticated"] is not False
        before = " (before the last change)" if configuration.last_tested_at < configuration.updated_at else ""
        return format_html(
            "{} {} {}{}",
            moment(configuration.last_tested_at),
            label("reachable" if found["reachable"] else "not reachable", colour="success" if good else "danger"),
            summary(found),
            before,
        )
