"""What an authenticated sender reported and we refused, kept so that it can be mended and reported again."""

from enum import StrEnum
from typing import ClassVar

from django.conf import settings
from django.db import models

from calls.fields import ExactField, WordField, known_words

ID_LENGTH = 255


class QuarantineState(StrEnum):
    """What has become of a refused report."""

    OPEN = "open"
    REPLAYED = "replayed"
    DISMISSED = "dismissed"


class RefusedReport(models.Model):
    """One body that was refused; the same one again only counts. Secrets are masked before it gets here."""

    id = models.BigAutoField(primary_key=True)
    # Which door it came to; the same one takes it again.
    door = ExactField(max_length=32)
    media_type = ExactField(max_length=100)
    # Who sent it: by a key that outlives the name, and the name as it was then.
    sender = ExactField(max_length=64)
    sender_name = models.CharField("sender", max_length=150)

    # What the sender was told.
    status = models.PositiveSmallIntegerField()
    code = ExactField(max_length=64)
    detail = models.TextField()
    errors = models.JSONField(null=True)

    body = models.BinaryField()
    size = models.PositiveBigIntegerField(help_text="Bytes, as it was sent.")
    is_cut = models.BooleanField(default=False, help_text="Only the beginning was kept.")
    fingerprint = ExactField(max_length=64, help_text="Of the whole body, keyed.")
    kept_bytes = models.PositiveIntegerField()
    event_id = ExactField(max_length=ID_LENGTH, null=True)
    call_id = ExactField(max_length=ID_LENGTH, null=True)
    times = models.PositiveIntegerField(default=1, help_text="How often it was sent.")
    received_at = models.DateTimeField()
    last_received_at = models.DateTimeField()

    state = WordField(QuarantineState, default=QuarantineState.OPEN)
    mended_body = models.BinaryField(null=True)
    replayed_status = models.PositiveSmallIntegerField(null=True)
    replayed_answer = models.JSONField(null=True)
    handled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    handled_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        default_permissions: ClassVar = ["view", "change"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["sender", "door", "fingerprint"], name="refused_report_once"),
            known_words("refused_report", "state", QuarantineState),
        ]
        indexes: ClassVar = [
            models.Index(fields=["state", "id"], name="refused_report_by_state"),
            models.Index(fields=["sender", "state", "id"], name="refused_report_by_sender"),
            models.Index(fields=["last_received_at"], name="refused_report_by_age"),
            models.Index(fields=["event_id", "id"], name="refused_report_by_event"),
            models.Index(fields=["call_id", "id"], name="refused_report_by_call"),
            models.Index(
                fields=["handled_by"], name="refused_report_by_handler", condition=models.Q(handled_by__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"refused report {self.pk}"


class QuarantineShare(models.Model):
    """What one sender takes up of the quarantine is settled under the lock of this row."""

    sender = ExactField(max_length=64, primary_key=True)
    dropped = models.PositiveBigIntegerField(default=0, help_text="Refused reports that there was no room for.")
    dropped_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions: ClassVar = []

    def __str__(self) -> str:
        return str(self.sender)
