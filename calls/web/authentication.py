"""Who is calling: `Authorization: Token <key>`."""

from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication as KnoxTokenAuthentication
from knox.crypto import hash_token
from rest_framework.authentication import SessionAuthentication as BaseSessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from calls.models import AccessToken
from calls.web.throttles import FailedAuthenticationThrottle


class TokenAuthentication(KnoxTokenAuthentication):
    """Knox's tokens, found by their hash in one query; the day of their last use is noted."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, AccessToken] | None:
        """Return the owner of the token in the header, or None without such a header."""
        try:
            result: tuple[AbstractBaseUser, AccessToken] | None = super().authenticate(request)
        except AuthenticationFailed:
            FailedAuthenticationThrottle().count_failure(request)
            raise
        return result

    def authenticate_credentials(self, token: bytes) -> tuple[AbstractBaseUser, AccessToken]:
        """Return the owner and the token, or refuse without saying which part was wrong."""
        try:
            digest = hash_token(token.decode("ascii"))
            found = AccessToken.objects.select_related("user").get(digest=digest)
        except (UnicodeDecodeError, AccessToken.DoesNotExist):
            raise AuthenticationFailed("Invalid token.") from None
        now = timezone.now()
        if (found.expiry is not None and found.expiry <= now) or not found.user.is_active:
            raise AuthenticationFailed("Invalid token.")
        note_use(found, at=now)
        return found.user, found


def note_use(token: AccessToken, *, at: datetime) -> None:
    """Remember the day of a token's last use: one write a day, however busy the token is."""
    today = at.date()
    if token.last_used_on != today:
        AccessToken.objects.filter(pk=token.pk).update(last_used_on=today)


class SessionAuthentication(BaseSessionAuthentication):
    """A browser's session, with its CSRF token; the check leaves the body to whoever reads it."""

    def enforce_csrf(self, request: Request) -> None:
        """Check Django's own request: through the REST framework's, looking for a form field parses the body."""
        super().enforce_csrf(request._request)  # type: ignore[arg-type]


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes the session."""

    target_class = "calls.web.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the cookie that carries the session."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes the token."""

    target_class = "calls.web.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the header that carries the token."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token <key>`; make one with `manage.py create_token` or in the admin.",
        }
