"""Who is calling, for servers that can say it only by HTTP Basic authentication (RFC 7617).

mod_json_cdr sets no headers and signs nothing. Its `cred` is a user name and a password: the password is one of
our tokens, and the name, which says nothing that the token does not, is not looked at.
"""

import base64
import binascii
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from calls.models import AccessToken
from calls.web.authentication import TokenAuthentication
from calls.web.throttles import FailedAuthenticationThrottle


class TokenAsPassword(TokenAuthentication):
    """Let in whoever sends a token as the password of HTTP Basic authentication."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, AccessToken] | None:
        """Return the owner of the token and the token, or None without such a header."""
        scheme, _, credentials = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"basic":
            return None
        try:
            _, _, password = base64.b64decode(credentials.strip(), validate=True).partition(b":")
            return self.authenticate_credentials(password)
        except (binascii.Error, AuthenticationFailed):
            FailedAuthenticationThrottle().count_failure(request)
            raise AuthenticationFailed("Invalid token.") from None


class BasicScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes it."""

    target_class = "calls.ingest.basic.TokenAsPassword"
    name = "basic"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the scheme."""
        return {"type": "http", "scheme": "basic", "description": "The password is a token."}
