"""A call and its events, as most would model them."""

from typing import ClassVar

from django.db import models


class Call(models.Model):
    """A call with the columns that the history needs."""

    call_id = models.CharField(max_length=255, unique=True)
    calling_number = models.CharField(max_length=32)
    called_number = models.CharField(max_length=32)
    status = models.CharField(max_length=16, default="initiated")
    started_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    duration = models.PositiveIntegerField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["calling_number", "started_at"]),
            models.Index(fields=["called_number", "started_at"]),
        ]


class CallEvent(models.Model):
    """One event of a call."""

    event_id = models.CharField(max_length=255, unique=True)
    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="events")
    event = models.CharField(max_length=16)
    created_at = models.DateTimeField()
    received_at = models.DateTimeField(auto_now_add=True)
