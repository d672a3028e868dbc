"""Handshakes of WebSockets (RFC 6455): who is it, may they come in, do they still."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from io import BytesIO
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user, get_user_model
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.http import is_same_domain
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.request import Request

from calls.models import AccessToken
from calls.web.authentication import TokenAuthentication
from calls.web.errors import body_of

WEB = ("http", "https")
# A browser cannot send headers with a handshake, but it can offer subprotocols: ours, and its key.
SUBPROTOCOL = "phonegoggles.v1"
TOKEN_SUBPROTOCOL = "token."  # noqa: S105 - how the word begins


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is at the other end of a socket, and what proved it: a token, or a session."""

    user: int
    token: int | None = None
    session: str | None = None


def request_of(scope: dict[str, Any]) -> HttpRequest:
    """Return the handshake as the HTTP request that it is, for everything that knows how to judge one."""
    scheme = {"wss": "https"}.get(scope.get("scheme", "ws"), "http")
    return ASGIRequest({**scope, "type": "http", "method": "GET", "scheme": scheme}, BytesIO())


def chosen_subprotocol(scope: dict[str, Any]) -> str | None:
    """Return which of the offered subprotocols is spoken; never the one that carries the key."""
    return SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None


def admit(request: HttpRequest, *, subprotocols: Collection[str], right: str) -> Visitor:
    """Return who is calling; raise AuthenticationFailed, NotAuthenticated (both 401) or PermissionDenied.

    The header `Authorization` is looked at first, then a subprotocol `token.<key>`, then the session.
    """
    keys = [word.removeprefix(TOKEN_SUBPROTOCOL) for word in subprotocols if word.startswith(TOKEN_SUBPROTOCOL)]
    if keys and "HTTP_AUTHORIZATION" not in request.META:
        request.META["HTTP_AUTHORIZATION"] = f"Token {keys[0]}"
    try:
        found = TokenAuthentication().authenticate(Request(request))
    except AuthenticationFailed as error:
        error.auth_header = "Token"  # type: ignore[attr-defined]
        raise
    if found is not None:
        user, token = found
        visitor = Visitor(user.pk, token=token.pk)
    else:
        user, session = _session_user(request)
        visitor = Visitor(user.pk, session=session)
    if not user.has_perm(right):  # type: ignore[attr-defined]
        raise PermissionDenied()
    return visitor


def _session_user(request: HttpRequest) -> tuple[Any, str]:
    """Return who is signed in in this browser, if the page that opens the socket is one of ours."""
    request.session = _sessions()(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    user = get_user(request)
    if not user.is_authenticated:
        refusal = NotAuthenticated()
        refusal.auth_header = "Token"  # type: ignore[attr-defined]
        raise refusal
    # Browsers send cookies with any page's handshake, and no same-origin policy holds that page back.
    if not _is_ours(request):
        raise PermissionDenied("Pages of this origin may not listen in a signed-in user's name.", "forbidden_origin")
    return user, str(request.session.session_key)


def _is_ours(request: HttpRequest) -> bool:
    """Say whether the page's origin is this service, or one that CSRF_TRUSTED_ORIGINS trusts."""
    origin = request.META.get("HTTP_ORIGIN", "").lower()
    scheme, _, host = origin.partition("://")
    # A proxy that ends TLS passes plain HTTP on, so that only the setting knows which scheme is right.
    if host == request.get_host().lower() and scheme in (("https",) if settings.SECURE_SSL_REDIRECT else WEB):
        return True
    for trusted in settings.CSRF_TRUSTED_ORIGINS:
        trusted_scheme, _, trusted_host = trusted.lower().partition("://")
        if scheme == trusted_scheme and is_same_domain(host, trusted_host.removeprefix("*")):
            return True
    return False


def still_welcome(visitors: Collection[Visitor], *, right: str, at: datetime) -> set[Visitor]:
    """Return those who would still be let in: token and session valid, account active, right not taken away."""
    users = get_user_model()._default_manager.with_perm(right, backend="django.contrib.auth.backends.ModelBackend")
    known = {user.pk: user for user in users.filter(pk__in={visitor.user for visitor in visitors})}
    tokens = AccessToken.objects.filter(pk__in={visitor.token for visitor in visitors if visitor.token})
    valid = {token.pk for token in tokens if token.expiry is None or token.expiry > at}
    return {
        visitor
        for visitor in visitors
        if visitor.user in known
        and (visitor.token in valid if visitor.session is None else _is_alive(visitor.session, known[visitor.user]))
    }


def _is_alive(key: str, user: Any) -> bool:
    """Say whether a session is still this user's: not signed out, not expired, the password not changed since."""
    session = _sessions()(key)
    if session.get(SESSION_KEY) != str(user.pk):
        return False
    return session.get(HASH_SESSION_KEY) in (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())


def _sessions() -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore


# -- Answers to handshakes ---------------------------------------------------------------------


class Socket(AsyncWebsocketConsumer):  # type: ignore[misc]
    """A socket that can refuse its handshake as a view would: with a status, and an error in JSON."""

    async def deny(self, answer: HttpResponse) -> None:
        """Answer the handshake with an HTTP error, where the server can (ASGI: Websocket Denial Response)."""
        if "websocket.http.response" not in (self.scope.get("extensions") or {}):
            await self.close()  # the server then says 403
            return
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
        start = {"type": "websocket.http.response.start", "status": answer.status_code, "headers": headers}
        await self.base_send(start)
        await self.base_send({"type": "websocket.http.response.body", "body": answer.content})


class NoSuchSocket(Socket):
    """The answer at every address where there is no socket."""

    async def connect(self) -> None:
        """Refuse."""
        await self.deny(JsonResponse(body_of("There is nothing at this address.", "not_found"), status=404))


@csrf_exempt
def speak_websocket(request: HttpRequest) -> HttpResponse:
    """Answer a plain request at the address of a socket (RFC 9110, section 15.5.22)."""
    detail = "This address speaks WebSocket (RFC 6455). Is a proxy in the way, or is the socket server another one?"
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    return JsonResponse(body_of(detail, "upgrade_required"), status=426, headers=headers)
