"""Who may come in: people, their groups, and the tokens of programs."""

from collections.abc import Sequence
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from calls.admin.display import NOTHING, label, moment
from calls.admin.once import ShowsOnce, show_once
from calls.models import AccessToken

# Whoever is in one of these groups works in the admin.
STAFF_GROUPS = ("Analysts", "Operators")

for model in (User, Group, AccessAttempt, AccessFailureLog, AccessLog):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


# -- Tokens -------------------------------------------------------------------------------------


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]
    """What can be said of a token."""

    maker: Any = None

    def clean_expiry(self) -> Any:
        """Refuse a new token that would never work."""
        expiry = self.cleaned_data["expiry"]
        if self.instance._state.adding and expiry is not None and expiry <= timezone.now():
            raise ValidationError("This time is over already.")
        return expiry

    def clean_user(self) -> User:
        """Refuse an owner who may do what the token's maker may not."""
        owner: User = self.cleaned_data["user"]
        if not owner.get_all_permissions() <= self.maker.get_all_permissions():
            raise ValidationError("This user has rights that you do not have yourself.")
        return owner


@admin.register(AccessToken)
class AccessTokenAdmin(ShowsOnce, ModelAdmin):
    """Tokens: made for somebody, shown once, revoked by deleting them."""

    form = TokenForm
    list_display = ("__str__", "user", "made", "used", "ends")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    search_help_text = "Name or owner"
    autocomplete_fields = ("user",)
    fields = ("user", "name", "expiry")
    show_facets = admin.ShowFacets.NEVER

    def get_fields(self, request: HttpRequest, obj: AccessToken | None = None) -> Sequence[str]:
        """Return what a new token needs, or what can be seen of one."""
        return self.fields if obj is None else (*self.fields, "made", "used")

    def get_readonly_fields(self, request: HttpRequest, obj: AccessToken | None = None) -> Sequence[str]:
        """Return what stays as it is: a token never changes its owner."""
        return () if obj is None else ("user", "made", "used")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        """Return the form, which knows who fills it in."""
        form = super().get_form(request, obj, change=change, **options)
        form.maker = request.user
        return form

    def save_model(self, request: HttpRequest, obj: AccessToken, form: forms.Form, change: bool) -> None:
        """Make the token, keep only its hash, and show its key this once; or store its name and expiry."""
        if change:
            obj.save(update_fields=["name", "expiry"])
            return
        made, key = AccessToken.objects.create(user=obj.user, name=obj.name, expiry=None)
        made.expiry = obj.expiry  # the manager takes a length of time; people choose a moment
        made.save(update_fields=["expiry"])
        obj.digest, obj.token_key, obj.created = made.digest, made.token_key, made.created
        obj._state.adding = False
        show_once(request, what=f"The key of “{obj}”", secret=key)

    @admin.display(description="created (UTC)")
    def made(self, token: AccessToken) -> SafeString | str:
        """Show when it was made."""
        return moment(token.created)

    @admin.display(description="last used")
    def used(self, token: AccessToken) -> str:
        """Show the day of its last use."""
        return f"{token.last_used_on:%Y-%m-%d}" if token.last_used_on else "never"

    @admin.display(description="expiry (UTC)")
    def ends(self, token: AccessToken) -> SafeString | str:
        """Show until when it works, and whether that is over."""
        if token.expired:
            return format_html("{} {}", moment(token.expiry), label("expired", colour="danger"))
        return moment(token.expiry) if token.expiry else "never"


# -- People and groups --------------------------------------------------------------------------


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    """People, and the users that programs act as."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    compressed_fields = False
    show_facets = admin.ShowFacets.NEVER

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let only superusers change a superuser: a new password would be enough to become one."""
        return self._may_touch(request, obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let only superusers delete a superuser."""
        return self._may_touch(request, obj) and super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Let only superusers give rights beyond those of a group."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, "is_superuser", "user_permissions")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Let those into the admin whose group works in it."""
        super().save_related(request, form, formsets, change)
        user: User = form.instance
        if not user.is_staff and user.groups.filter(name__in=STAFF_GROUPS).exists():
            user.is_staff = True
            user.save(update_fields=["is_staff"])
            messages.info(request, f"{user} is in a group that works in the admin, and may now sign in here.")

    @staticmethod
    def _may_touch(request: HttpRequest, user: User | None) -> bool:
        return user is None or not user.is_superuser or request.user.is_superuser


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Groups: which rights come together."""

    compressed_fields = False


# -- Attempts to sign in ------------------------------------------------------------------------


@admin.register(AccessAttempt)
class AccessAttemptAdmin(ModelAdmin):
    """Wrong passwords, for looking at; `manage.py axes_reset_username` opens a closed pair again."""

    list_display = ("shown_username", "ip_address", "failures_since_start", "at", "path_info")
    search_fields = ("username__startswith", "ip_address__startswith")
    search_help_text = "User name or address"
    fields = ("shown_username", "ip_address", "failures_since_start", "at", "path_info", "user_agent")
    actions = None
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: attempts are made at the door."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: AccessAttempt | None = None) -> bool:
        """Refuse: what happened stays as it was."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AccessAttempt | None = None) -> bool:
        """Refuse: what happened stays as it was."""
        return False

    @admin.display(description="user name")
    def shown_username(self, attempt: AccessAttempt) -> str:
        """Show the name that was tried."""
        return attempt.username or NOTHING

    @admin.display(description="last attempt (UTC)")
    def at(self, attempt: AccessAttempt) -> SafeString | str:
        """Show when it was tried last."""
        return moment(attempt.attempt_time)
