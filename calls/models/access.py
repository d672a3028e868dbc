"""Tokens: how a program proves who it is."""

from datetime import date
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db import models, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.utils import timezone
from knox.models import AbstractAuthToken, AuthTokenManager


class Revision:
    """A number that changes whenever something was done, in this process, that may take a right away."""

    number = 0

    def advance(self, **_: Any) -> None:
        """Let whatever was remembered of tokens and rights be forgotten: now, and once it is committed."""
        self.number += 1
        transaction.on_commit(self._committed)

    def _committed(self) -> None:
        self.number += 1


revision = Revision()


class TokenQuerySet(models.QuerySet["AccessToken"]):
    """Tokens; those that are changed or deleted together are forgotten too."""

    def update(self, **values: Any) -> int:
        """Change tokens."""
        revision.advance()
        return super().update(**values)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Revoke tokens."""
        revision.advance()
        return super().delete()

    def note_use(self, day: date) -> None:
        """Write down the day of the last use, which takes no right away."""
        super().update(last_used_on=day)


class AccessToken(AbstractAuthToken):
    """A key that lets a program act as its owner. Only its hash is kept; the key is shown once."""

    # knox makes the hash the primary key, which would then stand in the addresses of the admin.
    id = models.BigAutoField(primary_key=True)
    digest = models.CharField(max_length=128, unique=True, editable=False)
    name = models.CharField(max_length=100, blank=True, help_text="What it is for, such as the system that uses it.")
    last_used_on = models.DateField("last used", null=True, blank=True, editable=False)

    # While it is in use: what is remembered of it (`web.callers`).
    caller: Any = None

    objects = AuthTokenManager.from_queryset(TokenQuerySet)()

    class Meta:
        verbose_name = "access token"
        ordering = ["-created"]

    def __str__(self) -> str:
        return self.name or f"token of {self.user}"

    def save(self, *args: Any, **options: Any) -> None:
        """Store the token; a changed expiry counts at once."""
        revision.advance()
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        """Revoke the token; that counts at once."""
        revision.advance()
        deleted: tuple[int, dict[str, int]] = super().delete(*args, **options)
        return deleted

    @property
    def expired(self) -> bool:
        """Whether the token's time is over."""
        return self.expiry is not None and self.expiry <= timezone.now()


def forget_rights_when_people_change() -> None:
    """Let a change of a user, a group or its rights count at once in this process."""
    for model in (User, Group, Permission):
        for signal in (post_save, post_delete):
            signal.connect(revision.advance, sender=model, dispatch_uid=f"rights-{model.__name__}")
    for through in (User.groups.through, User.user_permissions.through, Group.permissions.through):
        m2m_changed.connect(revision.advance, sender=through, dispatch_uid=f"rights-{through.__name__}")
