"""Tokens: how a program proves who it is."""

from django.db import models
from django.utils import timezone
from knox.models import AbstractAuthToken


class AccessToken(AbstractAuthToken):
    """A key that lets a program act as its owner. Only its hash is kept; the key is shown once."""

    # knox makes the hash the primary key, which would then stand in the addresses of the admin.
    id = models.BigAutoField(primary_key=True)
    digest = models.CharField(max_length=128, unique=True, editable=False)
    name = models.CharField(max_length=100, blank=True, help_text="What it is for, such as the system that uses it.")
    last_used_on = models.DateField("last used", null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "access token"
        ordering = ["-created"]

    def __str__(self) -> str:
        return self.name or f"token of {self.user}"

    @property
    def expired(self) -> bool:
        """Whether the token's time is over."""
        return self.expiry is not None and self.expiry <= timezone.now()
