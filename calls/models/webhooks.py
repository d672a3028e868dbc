"""Who may send us signed webhooks, and the secrets that prove it (Standard Webhooks)."""

import base64
import secrets
from typing import ClassVar

from django.db import models

from calls.models.secrets import decrypt, encrypt

PREFIX = "whsec_"
SECRET_BYTES = 32


class WebhookSource(models.Model):
    """A system that signs its webhooks. Two secrets are valid at once while one replaces the other."""

    name = models.CharField(max_length=100, unique=True)
    encrypted_secret = models.TextField(editable=False)
    encrypted_previous_secret = models.TextField(blank=True, editable=False)
    is_active = models.BooleanField(default=True)
    rotated_at = models.DateTimeField(null=True, editable=False)
    last_used_on = models.DateField("last used", null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def valid_secrets(self) -> list[str]:
        """The secrets that a signature may be made with, the newest first."""
        stored = (self.encrypted_secret, self.encrypted_previous_secret)
        return [decrypt(secret) for secret in stored if secret]


def new_secret() -> str:
    """Return a new secret in the form that Standard Webhooks libraries take."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sealed(secret: str) -> str:
    """Return a secret as it is stored."""
    return encrypt(secret)
