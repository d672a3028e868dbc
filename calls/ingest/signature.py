"""Is this webhook really theirs? Standard Webhooks signatures (https://www.standardwebhooks.com/)."""

import codecs
import io
import logging
from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from standardwebhooks import Webhook, WebhookVerificationError

from calls.ingest.door import MAX_EVENT_BYTES
from calls.models import WebhookSource
from calls.models.secrets import UnreadableSecret
from calls.operations.webhooks import note_use
from calls.web.bodies import copy_body
from calls.web.throttles import FailedAuthenticationThrottle

logger = logging.getLogger(__name__)

HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


class SignedSource:
    """Whoever signed a webhook; it may report, and nothing else."""

    is_authenticated = True
    is_active = True
    pk = None
    RIGHTS = frozenset({"calls.add_callevent", "calls.add_callrecording"})

    def __init__(self, source: WebhookSource) -> None:
        self.source = source

    def get_username(self) -> str:
        """Return the source's name."""
        return self.source.name

    def has_perm(self, right: str, obj: Any = None) -> bool:
        """Say whether the right is one of those that reporting needs."""
        return right in self.RIGHTS


class SignatureAuthentication(BaseAuthentication):
    """Let in whoever signed the body with a secret of an active source within the last five minutes."""

    def authenticate(self, request: Request) -> tuple[SignedSource, WebhookSource] | None:
        """Return the source whose secret signed the body; None without a signature."""
        if not any(name in request.headers for name in HEADERS):
            return None
        body = _as_sent(request)
        headers = {name: request.headers.get(name, "") for name in HEADERS}
        for source in WebhookSource.objects.filter(is_active=True):
            if any(_signed(secret, body, headers) for secret in _secrets(source)):
                note_use(source, at=timezone.now())
                return SignedSource(source), source
        FailedAuthenticationThrottle().count_failure(request)
        raise AuthenticationFailed("The signature is missing, too old, or not made with a secret of ours.")


def _secrets(source: WebhookSource) -> list[str]:
    """Return a source's secrets; one that nobody can read any more must not shut out the other sources."""
    try:
        return source.valid_secrets
    except UnreadableSecret:
        logger.error("The secret of the webhook source %s cannot be read; rotate it.", source.name)
        return []


def _signed(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError, OverflowError, OSError):
        # The library reads some malformed headers without checking them first.
        return False
    return True


def body_of(request: Request) -> bytes:
    """Return what the body of a webhook says; a byte order mark says nothing."""
    return _as_sent(request).removeprefix(codecs.BOM_UTF8)


def _as_sent(request: Request) -> bytes:
    """Return the body byte for byte, as it was signed. It is read once, whoever asks; the view says how much."""
    held: bytes | None = getattr(request._request, "webhook_body", None)
    if held is None:
        body = io.BytesIO()
        limit = getattr(request.parser_context.get("view"), "max_body_bytes", MAX_EVENT_BYTES)
        copy_body(request._request, body, limit=limit)
        held = body.getvalue()
        request._request.webhook_body = held  # type: ignore[attr-defined]
    return held


class SignatureScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes the signature."""

    target_class = "calls.ingest.signature.SignatureAuthentication"
    name = "signature"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the header that carries the signature."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "webhook-signature",
            "description": "Standard Webhooks: also `webhook-id` and `webhook-timestamp`.",
        }
