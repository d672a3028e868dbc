"""Counting requests for the metrics: by the name of their address, method and status."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from calls import metrics


class CountsRequests:
    """Middleware that counts each answer. It stands first, so that answers of other middleware count too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Let the request pass, and count how it was answered."""
        response = self.get_response(request)
        found = request.resolver_match
        metrics.count_request((found and found.view_name) or "none", request.method, response.status_code)
        return response
