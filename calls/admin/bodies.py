"""Bodies that somebody sent, of whatever bytes, shown and mended as text."""

from typing import Any

from django import forms
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextareaWidget

from calls.models import RefusedReport


class MendForm(forms.ModelForm):  # type: ignore[type-arg]  # has no [] at run time
    """The body as it will be replayed."""

    body_to_replay = forms.CharField(
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 14, "spellcheck": "false", "style": "font-family: monospace"}),
        help_text="Mend it here and save; then replay it. What was sent stays as it was.",
    )

    class Meta:
        model = RefusedReport
        fields: tuple[str, ...] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["body_to_replay"] = _text(_to_replay(self.instance))

    def clean_body_to_replay(self) -> str:
        """Return the text with the line ends that it was shown with; browsers send others."""
        return str(self.cleaned_data["body_to_replay"]).replace("\r\n", "\n")


def _to_replay(report: RefusedReport) -> bytes:
    return bytes(report.body if report.mended_body is None else report.mended_body)


def _text(body: bytes) -> str:
    return body.decode(errors="replace").replace("\r\n", "\n")


def as_text(body: bytes) -> SafeString | str:
    """Return a body of any bytes as text that is nothing but text."""
    if not body:
        return "Nothing of it was kept."
    return format_html(
        '<pre class="overflow-auto text-xs" style="max-height: 24rem; white-space: pre-wrap; overflow-wrap: anywhere">'
        "{}</pre>",
        body.decode(errors="replace"),
    )
