"""Forms that were right when they were checked, and were overtaken before they were stored."""

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse


class ChecksAgain:
    """An admin that checks a form once more when somebody was quicker, so that the form says what is wrong now."""

    # What storing raises then; nothing was stored.
    overtaken: ClassVar[type[Exception]]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form, or check and store it."""
        show: Any = super().changeform_view  # type: ignore[misc]
        try:
            response: HttpResponse = show(request, object_id, form_url, extra_context)
        except self.overtaken:
            response = show(request, object_id, form_url, extra_context)
        return response
