"""Buttons on a row's page that ask before they do anything: a GET only asks, a POST does it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant

# What a button does to a row; it says so to the person in a message.
Act = Callable[[Any, HttpRequest, Any], None]


def asks_first(
    *,
    button: str,
    question: str,
    rights: list[str],
    icon: str,
    dangerous: bool = False,
    fits: Callable[[Any], bool] = lambda row: True,
) -> Callable[[Act], Callable[..., HttpResponse]]:
    """Make of a method what a button does, for those who have all the rights; rows that it `fits` show the button."""

    def decorate(act: Act) -> Callable[..., HttpResponse]:
        @wraps(act)
        def view(model_admin: Any, request: HttpRequest, object_id: str) -> HttpResponse:
            opts = model_admin.opts
            if not request.user.has_perms(rights):
                raise PermissionDenied
            row = model_admin.get_object(request, unquote(object_id))
            if row is None:
                unknown: HttpResponse = model_admin._get_obj_does_not_exist_redirect(request, opts, object_id)
                return unknown
            page = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[quote(row.pk)])
            if request.method == "POST":
                act(model_admin, request, row)
                return HttpResponseRedirect(page)
            context = {
                **model_admin.admin_site.each_context(request),
                "opts": opts,
                "original": row,
                "title": button,
                "question": question,
                "back": page,
                "dangerous": dangerous,
            }
            return TemplateResponse(request, "admin/calls/ask.html", context)

        # Unfold's own `permissions` are looked up in the database by a system check: too early in an empty one.
        view.rights, view.fits = rights, fits  # type: ignore[attr-defined]
        variant = ActionVariant.DANGER if dangerous else ActionVariant.DEFAULT
        made: Callable[..., HttpResponse] = action(
            description=button, url_path=act.__name__, icon=icon, variant=variant
        )(view)
        return made

    return decorate


class AsksFirst:
    """An admin with such buttons; each is shown to those who may press it, on the pages of the rows that it fits."""

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Return the buttons of a row's page."""
        row = self.get_object(request, unquote(object_id))  # type: ignore[attr-defined]
        buttons = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        may = request.user.has_perms
        return [one for one in buttons if row is not None and may(one.method.rights) and one.method.fits(row)]
