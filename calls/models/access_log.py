"""Who looked at which number's calls."""

from enum import StrEnum
from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from calls.fields import ExactField, WordField, known_words


class Look(StrEnum):
    """What was looked at."""

    HISTORY = "history"
    HISTORY_EXPORT = "history_export"
    CALL_LIST = "call_list"
    CALL = "call"
    CLIENT_HISTORY = "client_history"
    RECORDING = "recording"
    LIVE = "live"
    ADMIN_NUMBER = "admin_number"
    ADMIN_CALL = "admin_call"
    ADMIN_SEARCH = "admin_search"
    ADMIN_EXPORT = "admin_export"


class AccessLogEntry(models.Model):
    """One look of one user at the calls of one number. Rows are only ever added; retention removes old ones."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    # As it was then; it outlives the user.
    user_name = models.CharField("user", max_length=150)
    what = WordField(Look)
    number_hmac = ExactField("fingerprint of the number", max_length=64, blank=True)
    call_id = models.UUIDField(null=True)

    class Meta:
        verbose_name = "look at a number"
        verbose_name_plural = "looks at numbers"
        ordering: ClassVar = ["-id"]
        default_permissions: ClassVar = ["view"]
        constraints: ClassVar = [known_words("access_log_entry", "what", Look)]
        indexes: ClassVar = [
            models.Index(fields=["number_hmac", "id"], name="access_log_by_number"),
            models.Index(fields=["at"], name="access_log_by_age"),
            models.Index(fields=["user", "id"], name="access_log_by_user"),
        ]

    def __str__(self) -> str:
        return f"{self.user_name}: {self.what}"

    def save(self, *args: Any, **options: Any) -> None:
        """Add the row; one that is there cannot be changed."""
        if not self._state.adding:
            raise TypeError("The access log is only added to.")
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> Any:
        """Refuse: only retention removes entries, by their age."""
        raise TypeError("The access log is only added to.")
