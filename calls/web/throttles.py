"""Slowing down: readers, if the operator says so, and whoever fails to prove who they are."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from calls.web.addresses import client_address


class ReadThrottle(SimpleRateThrottle):
    """Bound the reads of each token (setting THROTTLE_READS); reports of events are never throttled."""

    scope = "reads"

    def get_rate(self) -> str | None:
        """Return the rate from the settings; None is no bound."""
        return settings.THROTTLE_READS or None

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        """Count by token, else by user; what is not a read is not counted."""
        if request.method not in SAFE_METHODS:
            return None
        who = getattr(request.auth, "pk", None) or f"user-{request.user.pk}"
        return self.cache_format % {"scope": self.scope, "ident": who}


class FailedAuthenticationThrottle(SimpleRateThrottle):
    """Bound wrong tokens from one address (setting THROTTLE_FAILED_AUTH).

    A right token always passes: behind a proxy many callers share one address, and one that
    guesses must not shut out a telephony system.
    """

    scope = "failed-authentication"

    def get_rate(self) -> str | None:
        """Return the rate from the settings; None is no bound."""
        return settings.THROTTLE_FAILED_AUTH or None

    def get_cache_key(self, request: Any, view: Any) -> str:
        """Count by address."""
        return self.cache_format % {"scope": self.scope, "ident": client_address(request) or ""}

    def count_failure(self, request: Request) -> None:
        """Count one failure; raise Throttled (429) when there were too many."""
        if not self.allow_request(request, None):  # type: ignore[arg-type]
            raise Throttled(self.wait())


class ConnectionTestThrottle(SimpleRateThrottle):
    """Bound how often one person makes us open connections (setting THROTTLE_SIP_TESTS), by API and admin together."""

    scope = "sip-tests"

    def get_rate(self) -> str | None:
        """Return the rate from the settings; None is no bound."""
        return settings.THROTTLE_SIP_TESTS or None

    def get_cache_key(self, request: Any, view: Any) -> str:
        """Count by user: more tokens are no more tests."""
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk}

    def seconds_to_wait(self, request: HttpRequest) -> int:
        """Count a test that is not asked for over the API; return 0, or how long to wait when there were too many."""
        if self.allow_request(request, None):  # type: ignore[arg-type]
            return 0
        return max(1, round(self.wait() or 0))
