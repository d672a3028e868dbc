"""JSON goes out, whatever the caller's Accept header says."""

from typing import Any

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class AlwaysJSON(BaseContentNegotiation):
    """Answer in the first format of the view.

    A sender whose Accept header we cannot serve must still not lose its event to a 406.
    """

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Return the parser whose media type the body has."""
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the view's first renderer."""
        return renderers[0], renderers[0].media_type
