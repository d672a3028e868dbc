"""Answers that were given to requests with an Idempotency-Key, so that a retry gets the same one."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from calls.fields import ExactField


class IdempotentRequest(models.Model):
    """One request that must happen once; without an answer it is still in progress."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    path = ExactField(max_length=500)
    key = ExactField(max_length=255)
    body_hash = ExactField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        default_permissions: ClassVar = []
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "path", "key"], name="idempotent_request_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["created_at"], name="idempotent_request_by_age")]

    def __str__(self) -> str:
        return f"{self.key} at {self.path}"
