"""Who is calling: `Authorization: Token <key>`."""

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication as KnoxTokenAuthentication
from rest_framework.authentication import SessionAuthentication as BaseSessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from calls.models import AccessToken
from calls.web.callers import find_caller
from calls.web.throttles import FailedAuthenticationThrottle


class TokenAuthentication(KnoxTokenAuthentication):
    """Knox's tokens, found by their hash; the day of their last use is noted."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, AccessToken] | None:
        """Return the owner of the token in the header, or None without such a header."""
        scheme, _, key = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme == "Token" and key.isascii() and key.isalnum():  # the usual spelling; knox knows the others
            caller = find_caller(key.encode())
            if caller is not None:
                return caller.token.user, caller.token
        try:
            result: tuple[AbstractBaseUser, AccessToken] | None = super().authenticate(request)
        except AuthenticationFailed:
            FailedAuthenticationThrottle().count_failure(request)
            raise
        return result

    def authenticate_credentials(self, token: bytes) -> tuple[AbstractBaseUser, AccessToken]:
        """Return the owner and the token, or refuse without saying which part was wrong."""
        caller = find_caller(token)
        if caller is None:
            raise AuthenticationFailed("Invalid token.")
        return caller.token.user, caller.token


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
