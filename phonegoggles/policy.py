"""What a browser may do with our answers: the Content-Security-Policy (W3C CSP3) of every address.

The reasons, and what the theme makes us allow: docs/decisions/0011-content-security-policy.md
"""

from collections.abc import Callable, Mapping

from django.conf import settings
from django.http import HttpRequest, HttpResponse

HEADER = "Content-Security-Policy"

# Data, files and errors are no pages: nothing in them may run, load, be sent or be framed.
NOTHING = {
    "default-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
# The pages of the admin: only what this server sends itself.
ADMIN = NOTHING | {
    # Alpine.js, with which the theme is made, evaluates attributes of the page; inline scripts stay forbidden.
    "script-src": "'self' 'unsafe-eval'",
    # The theme's colours are an inline style, and so are the widths of some cells.
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "media-src": "'self'",
    # Also the WebSocket of this very server.
    "connect-src": "'self'",
    "form-action": "'self'",
}
# Swagger UI, which asks our own API only.
DOCUMENTATION = NOTHING | {
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
}


def write_policy(directives: Mapping[str, str]) -> str:
    """Return a policy as its header carries it."""
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


# By how a path begins; the first that fits.
POLICIES = [("/admin/", write_policy(ADMIN)), ("/api/docs", write_policy(DOCUMENTATION)), ("/", write_policy(NOTHING))]


class ContentSecurityPolicy:
    """Middleware that gives each answer the policy of its path. It is the first one, so that none is left out."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Add the policy, but for Django's own pages about errors, which show only while debugging."""
        response = self.get_response(request)
        if not (settings.DEBUG and response.status_code in (404, 500)):
            path = request.path_info
            response.headers.setdefault(HEADER, next(policy for start, policy in POLICIES if path.startswith(start)))
        return response
