"""The secrets of webhook sources: made, rotated, revoked."""

from datetime import datetime

from django.db import transaction

from calls.models import WebhookSource
from calls.models.webhooks import new_secret, sealed


def add_source(name: str) -> tuple[WebhookSource, str]:
    """Make a source and return it with its secret, which is shown this once."""
    secret = new_secret()
    return WebhookSource.objects.create(name=name, encrypted_secret=sealed(secret)), secret


def rotate(source: WebhookSource, *, at: datetime) -> str:
    """Give a source a new secret and return it; the present one stays valid until the next rotation, or its drop."""
    secret = new_secret()
    with transaction.atomic():
        locked = WebhookSource.objects.select_for_update().get(pk=source.pk)
        locked.encrypted_previous_secret = locked.encrypted_secret
        locked.encrypted_secret = sealed(secret)
        locked.rotated_at = at
        locked.save(update_fields=["encrypted_secret", "encrypted_previous_secret", "rotated_at"])
    return secret


def drop_previous_secret(source: WebhookSource) -> None:
    """Let only the newest secret be valid."""
    WebhookSource.objects.filter(pk=source.pk).update(encrypted_previous_secret="")  # nosec B106 - none


def note_use(source: WebhookSource, *, at: datetime) -> None:
    """Remember the day of a source's last use: one write a day."""
    if source.last_used_on != at.date():
        WebhookSource.objects.filter(pk=source.pk).update(last_used_on=at.date())
