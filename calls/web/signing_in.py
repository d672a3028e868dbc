"""Signing in with a password, from one address under many names: django-axes counts one name at one address."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from calls.web.throttles import FailedAuthenticationThrottle


class SignInThrottle(FailedAuthenticationThrottle):
    """Bound tries to sign in from one address (setting THROTTLE_FAILED_AUTH), right or wrong."""

    scope = "sign-in"


class BoundedSignIn:
    """Knows nobody; stands first, so that too many tries are refused before a password is looked at."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """Count a try; raise PermissionDenied, which ends the sign-in, when there were too many."""
        if request is not None and not SignInThrottle().allow_request(request, None):  # type: ignore[arg-type]
            request.axes_locked_out = True  # type: ignore[attr-defined]
            raise PermissionDenied  # axes' middleware answers it with 429, as it does for one name
