"""Webhook sources: who signs webhooks, with secrets that are shown once."""

from django.contrib import admin, messages
from django.forms import Form
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from calls.admin.asking import AsksFirst, asks_first
from calls.admin.display import label, moment, short
from calls.admin.once import ShowsOnce, show_once
from calls.models import WebhookSource
from calls.operations.webhooks import add_source, drop_previous_secret, rotate

RIGHTS = ["calls.view_webhooksource", "calls.change_webhooksource"]


@admin.register(WebhookSource)
class WebhookSourceAdmin(AsksFirst, ShowsOnce, ModelAdmin):
    """Sources: made with a secret, given new ones, switched off, deleted."""

    list_display = ("shown_name", "is_active", "secrets", "used", "rotated", "made")
    search_fields = ("name",)
    search_help_text = "Name"
    ordering = ("name",)
    actions = None
    actions_detail = ("rotate_secret", "drop_previous_secret")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fieldsets = (
        ("Source", {"fields": ("name", "is_active")}),
        ("Secrets", {"fields": (("secrets", "used"), ("rotated", "made"))}),
    )
    add_fieldsets = ((None, {"fields": ("name",)}),)
    readonly_fields = ("secrets", "used", "rotated", "made")

    def save_model(self, request: HttpRequest, obj: WebhookSource, form: Form, change: bool) -> None:
        """Make the source and show its secret this once; or store its name, and whether it is active."""
        if change:
            obj.save(update_fields=["name", "is_active"])
            return
        made, secret = add_source(obj.name)
        obj.pk, obj.created_at = made.pk, made.created_at
        obj._state.adding = False
        show_once(request, what=f"The secret of “{obj}”", secret=secret)

    @asks_first(
        button="Rotate the secret",
        question="A new secret is made and shown once. The present one stays valid beside it until you drop it,"
        " or rotate again; the one before it, if there is one, stops working now.",
        rights=RIGHTS,
        icon="autorenew",
    )
    def rotate_secret(self, request: HttpRequest, source: WebhookSource) -> None:
        """Give the source a new secret and show it this once."""
        secret = rotate(source, at=timezone.now())
        self.log_change(request, source, "Rotated the secret.")
        show_once(request, what=f"The new secret of “{source}”", secret=secret)

    @asks_first(
        button="Drop the previous secret",
        question="Webhooks that are still signed with the previous secret are refused from now on.",
        rights=RIGHTS,
        icon="key_off",
        dangerous=True,
        fits=lambda source: bool(source.encrypted_previous_secret),
    )
    def drop_previous_secret(self, request: HttpRequest, source: WebhookSource) -> None:
        """Let only the newest secret be valid."""
        drop_previous_secret(source)
        self.log_change(request, source, "Dropped the previous secret.")
        messages.success(request, "Only the newest secret is valid now.")

    # -- Columns and fields ---------------------------------------------------------------------

    @admin.display(description="name", ordering="name")
    def shown_name(self, source: WebhookSource) -> SafeString | str:
        """Show the name."""
        return short(source.name, width=40)

    @admin.display(description="valid secrets")
    def secrets(self, source: WebhookSource) -> SafeString | str:
        """Show how many secrets a signature may be made with, and nothing of them."""
        if source.encrypted_previous_secret:
            return label("two: the newest and the previous one", colour="warning")
        return "one"

    @admin.display(description="last used", ordering="last_used_on")
    def used(self, source: WebhookSource) -> str:
        """Show the day of its last use."""
        return f"{source.last_used_on:%Y-%m-%d}" if source.last_used_on else "never"

    @admin.display(description="rotated (UTC)")
    def rotated(self, source: WebhookSource) -> SafeString | str:
        """Show when the newest secret replaced another."""
        return moment(source.rotated_at)

    @admin.display(description="created (UTC)", ordering="created_at")
    def made(self, source: WebhookSource) -> SafeString | str:
        """Show when it was made."""
        return moment(source.created_at)
