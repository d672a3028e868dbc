"""What all views of the API share, beside what the framework gives them."""

from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request

from calls.web.bodies import is_chunked


class ReadsChunks:
    """Lets a view read bodies whose length is not told beforehand (RFC 9112, section 7.1).

    The framework takes a body without a Content-Length for none at all: what was sent would be
    lost, and the request judged as an empty one.
    """

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Return the framework's request, with a body also where no length says that there is one."""
        made: Request = super().initialize_request(request, *args, **kwargs)  # type: ignore[misc]
        if is_chunked(request):
            made._stream = request  # type: ignore[assignment]
        return made
