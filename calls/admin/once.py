"""Secrets that are shown once, right after they were made, and stored nowhere in clear."""

from typing import Any

from django.contrib import messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html


def show_once(request: HttpRequest, *, what: str, secret: str) -> None:
    """Show a new secret on the next page, and only there."""
    # Messages wait in a cookie; only if they overflow it, in the database, where no secret may ever be. So make room.
    list(messages.get_messages(request))
    messages.success(
        request,
        format_html(
            "{}, to be copied now, since it is shown only this once:"
            " <code id='shown-once' style='user-select: all; overflow-wrap: anywhere'>{}</code>",
            what,
            secret,
        ),
    )


class ShowsOnce:
    """An admin whose new rows come with a secret: it must be read before anything else is done."""

    def response_add(self, request: HttpRequest, obj: Model, post_url_continue: str | None = None) -> HttpResponse:
        """Go back to the list, with the secret as the only message."""
        response: HttpResponse = self.response_post_save_add(request, obj)  # type: ignore[attr-defined]
        return response

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        """Show one button to save."""
        context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **options)  # type: ignore[misc]
