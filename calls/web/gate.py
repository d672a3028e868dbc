"""The first thing a request meets: what must not come in at all gets its answer in JSON."""

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, JsonResponse

from calls.web.errors import body_of, is_api


class APIGate:
    """Middleware for the paths of the API: a wrong host, plain HTTP where HTTPS is wanted; and nothing is cached.

    Django would answer the first with a page while debugging, and the second with a redirect,
    which loses the body of a POST.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Let the request pass, or answer it."""
        if is_api(request):
            try:
                request.get_host()
            except DisallowedHost:
                return JsonResponse(body_of("This service does not answer for that host.", "invalid"), status=400)
            if settings.SECURE_SSL_REDIRECT and not request.is_secure():
                return JsonResponse(
                    body_of("Use HTTPS. Behind a proxy, see the setting TRUST_X_FORWARDED_PROTO.", "https_required"),
                    status=403,
                )
        response = self.get_response(request)
        if is_api(request):
            response.headers.setdefault("Cache-Control", "no-store")  # who called whom is for nobody's cache
        return response
