"""What is kept of the erasure of a number: a receipt, and what tells a retry of an erased event. Never the number."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from calls.fields import ExactField


class ErasureReceipt(models.Model):
    """That a number was erased: by whom, when, and how many rows held it."""

    id = models.BigAutoField(primary_key=True)
    number_hmac = ExactField("fingerprint of the number", max_length=64)
    pseudonym = ExactField(max_length=64, help_text="What stands where the number stood.")
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    asked_by_name = models.CharField("asked by", max_length=150)
    began_at = models.DateTimeField("begun")
    finished_at = models.DateTimeField("finished", null=True)
    # How many rows of each kind were changed so far, and where to go on after an interruption.
    counts = models.JSONField(default=dict)
    position = models.JSONField(null=True)

    class Meta:
        verbose_name = "erasure"
        ordering: ClassVar = ["-id"]
        default_permissions: ClassVar = ["view"]
        permissions: ClassVar = [("erase_number", "Can erase a number everywhere")]
        indexes: ClassVar = [models.Index(fields=["number_hmac"], name="erasure_by_number")]

    def __str__(self) -> str:
        return f"erasure {self.pk}"


class ErasedCall(models.Model):
    """Which erased numbers a call had: they are kept out of what is still reported of it."""

    id = models.BigAutoField(primary_key=True)
    # No foreign keys to calls and events: nothing that is written or removed there shall have to look here.
    call_id = models.UUIDField()
    receipt = models.ForeignKey(ErasureReceipt, on_delete=models.PROTECT, related_name="+", db_index=False)

    class Meta:
        default_permissions: ClassVar = []
        constraints: ClassVar = [models.UniqueConstraint(fields=["call_id", "receipt"], name="erased_call_once")]

    def __str__(self) -> str:
        return f"{self.call_id} of erasure {self.receipt_id}"


class ErasedEvent(models.Model):
    """What an event said before one of its numbers was erased, as a keyed fingerprint: a retry says the same."""

    event_id = models.BigIntegerField(primary_key=True)
    fingerprint = ExactField(max_length=64)

    class Meta:
        default_permissions: ClassVar = []

    def __str__(self) -> str:
        return f"event {self.event_id}"
