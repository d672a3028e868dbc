"""Recordings of calls: where the sound is, what was said, and how far it has come."""

import uuid
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from calls.domain.recordings import RecordingStatus
from calls.fields import WordField, known_words
from calls.models.calls import Call


class CallRecording(models.Model):
    """One recording of a call. A deleted one stays as a row that says when and why."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="recordings")
    status = WordField(RecordingStatus, default=RecordingStatus.PENDING)
    file = models.FileField(upload_to="recordings/%Y/%m/", max_length=255, blank=True)
    file_url = models.URLField(max_length=2000, blank=True, help_text="Where an outside system keeps it; https only.")
    file_path = models.CharField(max_length=1000, blank=True, help_text="Where the recorder says that it is.")
    file_size = models.PositiveBigIntegerField(null=True, blank=True, help_text="Bytes.")
    duration = models.PositiveIntegerField(null=True, blank=True, help_text="Seconds.")
    format = models.CharField(max_length=20, blank=True)
    transcript = models.TextField(blank=True)
    transcript_confidence = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(1)]
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True, blank=True)
    deleted_why = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = "recording"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            known_words("recording", "status", RecordingStatus),
            models.CheckConstraint(
                condition=Q(transcript_confidence__isnull=True)
                | Q(transcript_confidence__gte=0, transcript_confidence__lte=1),
                name="recording_confidence_0_to_1",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["created_at", "id"], name="recording_by_creation")]

    def __str__(self) -> str:
        return f"recording of {self.call_id}"

    @property
    def has_file(self) -> bool:
        """Whether there is sound to play. A deleted recording names its file only until that is gone."""
        return bool(self.file) and self.status != RecordingStatus.DELETED
